//! The program's arguments, environment and files.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_broker-dev"));
    command.args(arguments).env_clear().stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Standard output of a program that ends well.
fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// What a program that fails says about it.
fn failure(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(!output.status.success());
    String::from_utf8(output.stderr).unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn arguments_go_before_the_environment_and_that_before_files() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("broker.conf");
    let lines = "# Apache's\nbrokerName=from-file\nbrokerClusterName=from-file\n\
                 autoCreateTopicEnable = false\nlistenPort=10999\nbrokerRole=ASYNC_MASTER\n\
                 storePathRootDir=/srv/store\nflushDiskType=SYNC_FLUSH\norderMessageEnable=true\n";
    std::fs::write(&file, lines).unwrap();
    let mut command = program(&["-c", text(&file), "--set", "brokerName=from-argument"]);
    command.args(["--name-server-address", "127.0.0.1:1", "--print-config"]);
    command.env("OXMQ_SET_BROKER_NAME", "from-variable");
    command.env("OXMQ_SET_BROKER_CLUSTER_NAME", "from-variable");
    command.env("OXMQ_NAME_SERVER_ADDRESS", "127.0.0.1:2").env("OXMQ_FLUSH", "async");
    let printed = output(&mut command);
    for line in [
        "brokerName = \"from-argument\"  # --set brokerName=from-argument",
        "brokerClusterName = \"from-variable\"  # OXMQ_SET_BROKER_CLUSTER_NAME",
        &format!("autoCreateTopicEnable = false  # {}", text(&file)),
        "broker-address = \"127.0.0.1:10999\"",
        "store = \"/srv/store\"",
        "flushDiskType = \"ASYNC_FLUSH\"  # OXMQ_FLUSH",
        &format!("orderMessageEnable = true  # {}", text(&file)),
        "name-server-address = \"127.0.0.1:1\"  # --name-server-address",
        "traceOn = true",
    ] {
        assert!(printed.lines().any(|printed| printed == line), "{line}\n{printed}");
    }

    // What was printed is a file that says the same.
    let again = folder.path().join("again.toml");
    std::fs::write(&again, &printed).unwrap();
    let plain = |text: &str| -> Vec<String> {
        text.lines().map(|line| line.split("  # ").next().unwrap().to_owned()).collect()
    };
    let reprinted = output(&mut program(&["-c", text(&again), "--print-config"]));
    assert_eq!(plain(&reprinted), plain(&printed));
}

#[test]
fn toml_files_may_hold_listeners() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("broker.toml");
    let lines = "http-address = \"127.0.0.1:9878\"\nmaxMessageSize = 1024\ntraceOn = false\n\
                 [[listener]]\nname = \"host\"\nname-server = \"0.0.0.0:9976\"\n\
                 broker = \"0.0.0.0:10991\"\nadvertised = \"localhost:32768\"\n";
    std::fs::write(&file, lines).unwrap();
    let other = "other,name-server=127.0.0.1:1,broker=127.0.0.1:2";
    let printed = output(&mut program(&["-c", text(&file), "--listener", other, "--print-config"]));
    for part in [
        "maxMessageSize = 1024",
        "traceOn = false",
        "http-address = \"127.0.0.1:9878\"",
        "[[listener]]\nname = \"host\"\nname-server = \"0.0.0.0:9976\"\n\
         broker = \"0.0.0.0:10991\"\nadvertised = \"localhost:32768\"\n",
        "[[listener]]\nname = \"other\"\n",
    ] {
        assert!(printed.contains(part), "{part}\n{printed}");
    }
}

#[test]
fn what_cannot_be_taken_is_refused_with_its_place_and_the_nearest_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bad.conf");
    for (line, words) in [
        ("autoCreateTopicEnabled=true", "did you mean `autoCreateTopicEnable`?"),
        ("brokerRole=SLAVE", "`brokerRole` should be ASYNC_MASTER"),
        ("listenPort=high", "`listenPort` should be a port"),
        ("storePathCommitLog=/elsewhere", "in the store's folder"),
        ("traceOn=perhaps", "should be true or false"),
        ("a=\\u12", "line 1 is broken"),
    ] {
        std::fs::write(&file, line).unwrap();
        let said = failure(&mut program(&["-c", text(&file), "--print-config"]));
        assert!(said.contains(words) && said.contains("bad.conf"), "{said}");
    }
    let said = failure(program(&[]).env("OXMQ_SET_BROKER_NAM", "x"));
    assert!(said.contains("OXMQ_SET_BROKER_NAM") && said.contains("`brokerName`"), "{said}");
    for (arguments, words) in [
        (["--set", "nothing"], "not of the form name=value"),
        (["--listener", "x,broker=a"], "needs name, name-server and broker"),
        (["--listener", "x,port=1"], "no `port`"),
        (["-c", "/does/not/exist"], "/does/not/exist cannot be read"),
    ] {
        let said = failure(&mut program(&arguments));
        assert!(said.contains(words), "{said}");
    }
    let said = failure(&mut program(&["name-server", "--set", "brokerName=x"]));
    assert!(said.contains("there is no setting `brokerName`"), "{said}");
}

/// A program under way; killed when a test ends early.
struct Running {
    child: Child,
    ready: serde_json::Value,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Running {
    fn start(arguments: &[&str]) -> Self {
        let mut child = program(arguments).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        Self { child, ready, lines }
    }

    fn terminate(&self) {
        let pid = Pid::from_raw(self.child.id().try_into().unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_name_server_alone_says_where_it_is_and_stops_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    let store = text(folder.path());
    let mut running = Running::start(&[
        "name-server",
        "--name-server-address",
        "127.0.0.1:0",
        "--http-address",
        "127.0.0.1:0",
        "--store",
        store,
        "--json",
    ]);
    assert_eq!(running.ready["event"], "ready");
    for key in ["name_server", "http"] {
        let address = running.ready[key].as_str().unwrap();
        std::net::TcpStream::connect(address).unwrap();
    }
    running.terminate();
    assert_eq!(running.lines.next().unwrap().unwrap(), r#"{"event":"stopped"}"#);
    assert!(running.child.wait().unwrap().success());
}

#[test]
fn logs_are_text_or_one_json_object_a_line() {
    let folder = tempfile::tempdir().unwrap();
    for format in ["text", "json"] {
        let mut child = program(&[
            "name-server",
            "--name-server-address=127.0.0.1:0",
            "--store",
            text(folder.path()),
            "--log=info",
            "--log-format",
            format,
        ])
        .spawn()
        .unwrap();
        let mut ready = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        assert!(ready.starts_with("broker-dev is ready"), "{ready}");
        let pid = Pid::from_raw(child.id().try_into().unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        let output = child.wait_with_output().unwrap();
        let logged = String::from_utf8(output.stderr).unwrap();
        let line = logged.lines().find(|line| line.contains("stopping")).unwrap();
        match serde_json::from_str::<serde_json::Value>(line) {
            Ok(event) => assert_eq!((format, &event["level"]), ("json", &"INFO".into())),
            Err(_) => assert!(format == "text" && line.contains("INFO"), "{line}"),
        }
    }
}

#[test]
fn a_broker_tells_its_listeners_and_its_http_address() {
    let folder = tempfile::tempdir().unwrap();
    let mut running = Running::start(&[
        "--name-server-address=127.0.0.1:0",
        "--broker-address=127.0.0.1:0",
        "--http-address=127.0.0.1:0",
        "--listener=host,name-server=127.0.0.1:0,broker=127.0.0.1:0,advertised=localhost:1",
        "--store",
        text(folder.path()),
        "--set=mappedFileSizeCommitLog=1048576",
        "--json",
    ]);
    let host = &running.ready["listeners"]["host"];
    for address in [&host["name_server"], &host["broker"], &running.ready["http"]] {
        std::net::TcpStream::connect(address.as_str().unwrap()).unwrap();
    }
    running.terminate();
    assert!(running.child.wait().unwrap().success());
}
