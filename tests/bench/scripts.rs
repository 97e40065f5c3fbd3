//! The throughput scripts of the Python and Node packages: run, and their lines read.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::clients::{Direction, Sample};

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn python_command() -> Command {
    // Not resolved: it is by its link that Python finds its environment.
    let python: PathBuf = workspace().join(".venv/bin/python");
    Command::new(python)
}

/// Whether the Python package is there.
pub(crate) fn check_python() -> Result<(), String> {
    check(python_command().args(["-c", "import oxmq"]), "make python-release")
}

/// Whether the Node package is there.
pub(crate) fn check_node() -> Result<(), String> {
    let mut node = Command::new("node");
    node.args(["--input-type=module", "--eval", "await import('oxmq')"]);
    check(node.current_dir(workspace().join("client-node")), "make node-release")
}

fn check(import: &mut Command, remedy: &str) -> Result<(), String> {
    match import.stdout(Stdio::null()).stderr(Stdio::null()).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err(format!("not built ({remedy} builds it)")),
        Err(error) => Err(format!("it cannot be started: {error} ({remedy} builds it)")),
    }
}

/// Runs the Python script.
pub(crate) fn python(name_server: SocketAddr, messages: usize) -> Vec<Sample> {
    let mut python = python_command();
    python.arg("client-py/benches/throughput.py").arg(name_server.to_string());
    python.args(["--count", &messages.to_string()]);
    samples(python.current_dir(workspace()))
}

/// Runs the Node script.
pub(crate) fn node(name_server: SocketAddr, messages: usize) -> Vec<Sample> {
    let mut node = Command::new("node");
    node.args(["benches/throughput.mjs", "--rounds", "1", "--messages", &messages.to_string()]);
    node.env("OXMQ_NAME_SERVER", name_server.to_string());
    samples(node.current_dir(workspace().join("client-node")))
}

/// One a line, as JSON.
fn samples(script: &mut Command) -> Vec<Sample> {
    let output = script.stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "{script:?} failed");
    String::from_utf8(output.stdout).unwrap().lines().map(sample).collect()
}

fn sample(line: &str) -> Sample {
    let line: Value = serde_json::from_str(line).unwrap();
    let text = |name: &str| line[name].as_str().expect("a text").to_owned();
    let number = |name: &str| line[name].as_f64().expect("a number");
    let direction = match text("direction").as_str() {
        "send" => Direction::Send,
        "receive" => Direction::Receive,
        other => panic!("no direction: {other}"),
    };
    Sample {
        direction,
        how: text("how"),
        per_second: number("messages_per_second"),
        cpu_micros: number("cpu_us_per_message"),
    }
}
