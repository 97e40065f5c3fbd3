//! Our own broker as its users start it: the `broker-dev` binary in a process of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use serde_json::Value;

use crate::process::{Process, lock};

const PATIENCE: Duration = Duration::from_secs(30);

/// A running `broker-dev`.
#[derive(Debug)]
pub struct BrokerDev {
    /// Where clients begin.
    pub name_server: SocketAddr,
    /// Where messages go.
    pub broker: SocketAddr,
    /// Its store folder.
    pub store: PathBuf,
    process: Process,
}

impl BrokerDev {
    /// Starts it on free ports and the given store folder.
    ///
    /// # Panics
    /// If it does not get ready.
    pub fn start(store: &Path) -> Self {
        Self::start_with(store, &[])
    }

    /// The same, with more arguments.
    pub fn start_with(store: &Path, arguments: &[&str]) -> Self {
        Self::start_on("127.0.0.1:0", store, arguments)
    }

    /// The same, where it listens on another address of this machine.
    pub fn start_on(address: &str, store: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(binary());
        command.args(["--name-server-address", address, "--broker-address", address]);
        command.arg("--json").arg("--store").arg(store).args(arguments);
        let process = Process::start("broker-dev", &command);
        let ready = process.wait_for(PATIENCE, |line| {
            let event: Value = serde_json::from_str(line).ok()?;
            (event["event"] == "ready").then_some(event)
        });
        let address = |key: &str| ready[key].as_str().unwrap().parse().unwrap();
        Self {
            name_server: address("name_server"),
            broker: address("broker"),
            store: store.to_owned(),
            process,
        }
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.process.pid()
    }

    /// A clean stop, as on Ctrl-C.
    pub fn stop(self) {
        self.process.stop(PATIENCE);
    }

    /// `kill -9`.
    pub fn kill(self) {
        self.process.kill();
    }
}

/// The binary, built now in the profile of the tests if it is not there or not fresh.
///
/// # Panics
/// If it does not build.
pub fn binary() -> PathBuf {
    static BUILT: Mutex<Option<PathBuf>> = Mutex::new(None);
    lock(&BUILT).get_or_insert_with(build).clone()
}

fn build() -> PathBuf {
    // target/debug/deps/the_test: its folder's folder is where binaries go.
    let here = std::env::current_exe().unwrap();
    let here = here.parent().unwrap();
    let folder = if here.ends_with("deps") { here.parent().unwrap() } else { here };
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "-q", "-p", "oxmq-broker-dev", "--bin", "broker-dev"]);
    cargo.arg("--target-dir").arg(folder.parent().unwrap());
    if folder.ends_with("release") {
        cargo.arg("--release");
    }
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let status = cargo.current_dir(workspace).status().unwrap();
    assert!(status.success(), "broker-dev does not build");
    folder.join("broker-dev")
}
