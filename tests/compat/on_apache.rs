//! Runs a command against a fresh Apache cluster:
//!
//! ```text
//! on-apache 5.3.3 npm test --prefix client-node
//! ```
//!
//! The command finds the name server in `OXMQ_NAME_SERVER`; its exit status is this program's.
//! Where Apache's software cannot run, the command is skipped, loudly.

use std::process::{Command, ExitCode};

use oxmq_tests::apache::{Cluster, Options};
use oxmq_tests::java::Release;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (Some(version), Some(program)) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: on-apache VERSION COMMAND [ARGUMENT…]");
        return ExitCode::from(2);
    };
    let arguments: Vec<String> = arguments.collect();
    let what = format!("`{program} {}` on Apache {version}", arguments.join(" "));
    let release = match Release::prepare(&version) {
        Ok(release) => release,
        Err(reason) => {
            eprintln!("SKIPPED: {what}: {reason}");
            return ExitCode::SUCCESS;
        }
    };
    let cluster = Cluster::start(&release, &Options::default());
    eprintln!("{what}, name server {}", cluster.name_server);
    let mut command = Command::new(&program);
    command.args(arguments).env("OXMQ_NAME_SERVER", cluster.name_server.to_string());
    match command.status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(status) => {
            eprintln!("{what}: {status}{}", cluster.broker_log());
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{what}: cannot start: {error}");
            ExitCode::FAILURE
        }
    }
}
