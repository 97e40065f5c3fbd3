//! The `broker-dev` program: a RocketMQ name server and broker for a laptop or a test.

mod arguments;
mod configuration;
mod serve;
mod store_command;
mod super_user;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use arguments::{Arguments, Command, Common};
use clap::{ArgMatches, CommandFactory, FromArgMatches};
use configuration::{Configuration, Kind};
use oxmq::clock::SystemClock;
use tracing_subscriber::EnvFilter;

/// Room for each worker's stack; nothing here recurses.
const STACK_BYTES: usize = 1024 * 1024;

fn main() -> ExitCode {
    let matches = Arguments::command().get_matches();
    let arguments = match Arguments::from_arg_matches(&matches) {
        Ok(arguments) => arguments,
        Err(error) => error.exit(),
    };
    match run(arguments, &matches) {
        Ok(status) => status,
        Err(message) => {
            let _ = writeln!(std::io::stderr(), "broker-dev: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments, matches: &ArgMatches) -> Result<ExitCode, String> {
    match arguments.command {
        Some(Command::Store(command)) => {
            let filter = std::env::var("RUST_LOG");
            log_to_stderr(filter.as_deref().unwrap_or("warn"), false);
            return Ok(store_command::run(command));
        }
        Some(Command::Completions { shell }) => {
            let mut command = Arguments::command();
            clap_complete::generate(shell, &mut command, "broker-dev", &mut std::io::stdout());
        }
        Some(Command::Settings) => {
            let configuration = Configuration::read(Kind::Broker, &[matches])?;
            let lines = configuration.entries().into_iter();
            print(&lines.map(|(key, value)| format!("{key}={value}\n")).collect::<String>())?;
        }
        Some(Command::NameServer(common)) => {
            let inner = matches.subcommand_matches("name-server");
            let all: Vec<_> = std::iter::once(matches).chain(inner).collect();
            start(Configuration::read(Kind::NameServer, &all)?, Kind::NameServer, &common)?;
        }
        None => {
            let configuration = Configuration::read(Kind::Broker, &[matches])?;
            start(configuration, Kind::Broker, &arguments.common)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn start(configuration: Configuration, kind: Kind, common: &Common) -> Result<(), String> {
    if common.print_config {
        return print(&configuration.to_toml());
    }
    log_to_stderr(configuration.log_filter(), configuration.logs_json());
    let clock = SystemClock::new();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .thread_stack_size(STACK_BYTES)
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start: {error}"))?;
    runtime.block_on(async {
        match kind {
            Kind::Broker => serve::broker(&configuration, common.json, &clock).await,
            Kind::NameServer => serve::name_server(&configuration, common.json, &clock).await,
        }
    })
}

fn log_to_stderr(filter: &str, is_json: bool) {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|error| {
        let _ =
            writeln!(std::io::stderr(), "broker-dev: --log {filter}: {error}; logging warnings");
        EnvFilter::new("warn")
    });
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if is_json {
        log.json().flatten_event(true).init();
    } else {
        log.with_ansi(std::io::stderr().is_terminal()).init();
    }
}

fn print(text: &str) -> Result<(), String> {
    std::io::stdout().lock().write_all(text.as_bytes()).map_err(|error| error.to_string())
}
