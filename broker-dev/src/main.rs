//! The `broker-dev` program: a RocketMQ name server and broker for a laptop or a test.

mod store_command;

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use broker_dev::{Broker, BrokerConfig, FlushMode, Options};
use clap::{CommandFactory, Parser, Subcommand, ValueEnum};
use oxmq::clock::{Clock, SystemClock};
use tracing_subscriber::EnvFilter;

/// Room for each worker's stack; nothing here recurses.
const STACK_BYTES: usize = 1024 * 1024;

/// A RocketMQ name server and broker in one process, ready in milliseconds.
///
/// Clients of RocketMQ 4.9 and 5.x connect to the name server's address, as to Apache's. Messages
/// are kept in Apache's file format, in the folder given by --store: a broker of Apache's can open
/// it, and the other way round.
#[derive(Debug, Parser)]
#[command(name = "broker-dev", version, after_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,

    /// Where the name server listens; port 0 takes any free one
    #[arg(
        long,
        value_name = "HOST:PORT",
        default_value = "127.0.0.1:9876",
        env = "OXMQ_NAME_SERVER_ADDRESS"
    )]
    name_server_address: String,

    /// Where the broker listens; port 0 takes any free one
    #[arg(
        long,
        value_name = "HOST:PORT",
        default_value = "127.0.0.1:10911",
        env = "OXMQ_BROKER_ADDRESS"
    )]
    broker_address: String,

    /// Folder of the messages, made if it is not there; one broker at a time works on it
    #[arg(long, value_name = "DIR", default_value = "./store", env = "OXMQ_STORE")]
    store: PathBuf,

    /// When a send is answered: after the append, or once the disk has it
    #[arg(long, value_enum, env = "OXMQ_FLUSH")]
    flush: Option<Flush>,

    /// A setting under RocketMQ's name, such as autoCreateTopicEnable=false; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,

    /// Let other machines connect, although this broker asks nobody who they are
    #[arg(long)]
    allow_public: bool,

    /// Write one JSON object a line to standard output; the first says that the broker is ready
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  broker-dev                                   on the usual ports, messages in ./store
  broker-dev --broker-address 127.0.0.1:0 --name-server-address 127.0.0.1:0 --json
                                               on free ports, which the first line tells
  broker-dev --flush sync --set autoCreateTopicEnable=false
  broker-dev settings                          every setting with its value
  broker-dev store verify ./store              is everything in the folder sound?

The environment variable RUST_LOG sets what is logged to standard error (for example `debug`).
Ctrl-C or SIGTERM stops it cleanly.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Print the script that completes this program's arguments in a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print every setting that --set takes, with the value it has
    Settings,
    /// Look at the folder of a store: any RocketMQ broker's, open or not
    #[command(subcommand)]
    Store(store_command::StoreCommand),
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Flush {
    /// After the append: a killed process loses nothing, a power cut the last half second
    Async,
    /// Once the disk has it: nothing is lost
    Sync,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    log_to_stderr();
    match run(arguments) {
        Ok(status) => status,
        Err(message) => {
            let _ = writeln!(std::io::stderr(), "broker-dev: {message}");
            ExitCode::FAILURE
        }
    }
}

fn log_to_stderr() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
}

fn run(arguments: Arguments) -> Result<ExitCode, String> {
    let settings = settings(&arguments)?;
    match arguments.command {
        Some(Command::Store(command)) => return Ok(store_command::run(command)),
        Some(Command::Completions { shell }) => {
            let mut command = Arguments::command();
            clap_complete::generate(shell, &mut command, "broker-dev", &mut std::io::stdout());
        }
        Some(Command::Settings) => print_settings(&settings)?,
        None => {
            let clock = SystemClock::new();
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .thread_stack_size(STACK_BYTES)
                .enable_all()
                .build()
                .map_err(|error| format!("cannot start: {error}"))?;
            runtime.block_on(serve(arguments, settings, &clock))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn settings(arguments: &Arguments) -> Result<BrokerConfig, String> {
    let mut settings = BrokerConfig::default();
    for pair in &arguments.settings {
        settings.set_pair(pair).map_err(|error| format!("--set {pair}: {error}"))?;
    }
    if let Some(flush) = arguments.flush {
        settings.flush = match flush {
            Flush::Async => FlushMode::Async,
            Flush::Sync => FlushMode::Sync,
        };
    }
    Ok(settings)
}

fn print_settings(settings: &BrokerConfig) -> Result<(), String> {
    let mut out = std::io::stdout().lock();
    for (key, value) in settings.entries() {
        writeln!(out, "{key}={value}").map_err(|error| error.to_string())?;
    }
    Ok(())
}

async fn serve(
    arguments: Arguments,
    settings: BrokerConfig,
    clock: &SystemClock,
) -> Result<(), String> {
    // Before the ready line: whoever reads it may stop us at once.
    let stopped = stop_signal()?;
    let mut options = Options::default().store(&arguments.store);
    options.name_server_address = arguments.name_server_address;
    options.broker_address = arguments.broker_address;
    options.allow_public = arguments.allow_public;
    options.settings = settings;
    let broker = Broker::start(options).await.map_err(|error| error.to_string())?;
    announce(&broker, clock.monotonic(), arguments.json).map_err(|error| error.to_string())?;
    stopped.await;
    let stopped = broker.stop().await.map_err(|error| format!("stopped, but {error}"));
    if arguments.json && stopped.is_ok() {
        let _ = writeln!(std::io::stdout(), "{}", serde_json::json!({"event": "stopped"}));
    }
    stopped
}

/// Tells where everything is.
fn announce(broker: &Broker, took: Duration, is_json: bool) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let store = std::path::absolute(broker.store_path())?;
    let started_in_ms = (took.as_secs_f64() * 10_000.0).round() / 10.0;
    if is_json {
        let line = serde_json::json!({
            "event": "ready",
            "name_server": broker.name_server_address().to_string(),
            "broker": broker.broker_address().to_string(),
            "store": store.to_string_lossy(),
            "pid": std::process::id(),
            "started_in_ms": started_in_ms,
            "version": env!("CARGO_PKG_VERSION"),
        });
        writeln!(out, "{line}")?;
    } else {
        writeln!(out, "broker-dev is ready after {started_in_ms} ms")?;
        writeln!(out, "  name server  {}  (clients connect here)", broker.name_server_address())?;
        writeln!(out, "  broker       {}", broker.broker_address())?;
        writeln!(out, "  messages in  {}", store.display())?;
        writeln!(out, "  Ctrl-C stops it")?;
    }
    out.flush()
}

/// Completes when the program is asked to stop.
fn stop_signal() -> Result<impl Future<Output = ()>, String> {
    use tokio::signal::unix::{SignalKind, signal};
    let listen = |kind| signal(kind).map_err(|error| format!("cannot listen for signals: {error}"));
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
