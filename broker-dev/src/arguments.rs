//! The program's arguments.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// A RocketMQ name server and broker in one process, ready in milliseconds.
///
/// Clients of RocketMQ 4.9 and 5.x connect to the name server's address, as to Apache's. Messages
/// are kept in Apache's file format, in the folder given by --store: a broker of Apache's can open
/// it, and the other way round.
#[derive(Debug, Parser)]
#[command(name = "broker-dev", version, after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    #[command(flatten)]
    pub(crate) common: Common,

    /// Where the broker listens; port 0 takes any free one [default: 127.0.0.1:10911]
    #[arg(long, value_name = "HOST:PORT", env = "OXMQ_BROKER_ADDRESS")]
    pub(crate) broker_address: Option<String>,

    /// When a send is answered: after the append, or once the disk has it
    #[arg(long, value_enum, env = "OXMQ_FLUSH")]
    pub(crate) flush: Option<Flush>,

    /// Have every request signed, and allowed by policies. The file holds the first user, a super
    /// user, as {"accessKey":"...","secretKey":"..."}; it counts where there are no users yet
    #[arg(long, value_name = "FILE", env = "OXMQ_SUPER_USER_FILE")]
    pub(crate) super_user_file: Option<PathBuf>,

    /// Another way in, for askers that are to be told another address of the broker, such as those
    /// behind a container's published ports; may be repeated
    #[arg(
        long = "listener",
        value_name = "NAME,name-server=HOST:PORT,broker=HOST:PORT[,advertised=HOST[:PORT]]"
    )]
    pub(crate) listeners: Vec<String>,
}

/// What a name server alone takes too.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// Where the name server listens; port 0 takes any free one [default: 127.0.0.1:9876]
    #[arg(long, value_name = "HOST:PORT", env = "OXMQ_NAME_SERVER_ADDRESS")]
    pub(crate) name_server_address: Option<String>,

    /// Folder of everything that is kept, made if it is not there; one broker at a time works on it
    /// [default: ./store]
    #[arg(long, value_name = "DIR", env = "OXMQ_STORE")]
    pub(crate) store: Option<PathBuf>,

    /// File of settings: TOML if it ends in .toml, else name=value lines like Apache's broker.conf.
    /// The environment goes before it, and arguments before that
    #[arg(long, short = 'c', value_name = "FILE", env = "OXMQ_CONFIG")]
    pub(crate) config: Option<PathBuf>,

    /// A setting under RocketMQ's name, such as autoCreateTopicEnable=false; may be repeated. In
    /// the environment: OXMQ_SET_AUTO_CREATE_TOPIC_ENABLE=false
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) settings: Vec<String>,

    /// Where /healthz, /readyz and /metrics are served over HTTP; nowhere unless this is given
    #[arg(long, value_name = "HOST:PORT", env = "OXMQ_HTTP_ADDRESS")]
    pub(crate) http_address: Option<String>,

    /// Let other machines connect, although nobody is asked who they are
    #[arg(long, env = "OXMQ_ALLOW_PUBLIC", num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "true|false")]
    pub(crate) allow_public: Option<bool>,

    /// How many seconds a stop may take for what is under way; a second signal ends it at once
    /// [default: 10]
    #[arg(long, value_name = "SECONDS", env = "OXMQ_STOP_TIMEOUT")]
    pub(crate) stop_timeout: Option<u64>,

    /// What is logged to standard error: a level, or levels by module such as
    /// `warn,broker_dev=debug` [default: warn]
    #[arg(long, value_name = "FILTER", env = "RUST_LOG")]
    pub(crate) log: Option<String>,

    /// How it is logged
    #[arg(long, value_enum, env = "OXMQ_LOG_FORMAT")]
    pub(crate) log_format: Option<LogFormat>,

    /// Print every setting with the value it has, and where that comes from, and end
    #[arg(long)]
    pub(crate) print_config: bool,

    /// Write one JSON object a line to standard output; the first says that all is ready
    #[arg(long)]
    pub(crate) json: bool,
}

const EXAMPLES: &str = "\
Examples:
  broker-dev                                   on the usual ports, messages in ./store
  broker-dev --broker-address 127.0.0.1:0 --name-server-address 127.0.0.1:0 --json
                                               on free ports, which the first line tells
  broker-dev --flush sync --set autoCreateTopicEnable=false
  broker-dev -c broker.conf --print-config     every setting, and where its value comes from
  broker-dev name-server                       a name server without a broker
  broker-dev settings                          every setting with its value
  broker-dev store verify ./store              is everything in the folder sound?

Ctrl-C or SIGTERM stops it cleanly.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// A name server without a broker
    NameServer(#[command(flatten)] Common),
    /// Print the script that completes this program's arguments in a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print every setting that --set takes, with the value it has
    Settings,
    /// Look at the folder of a store: any RocketMQ broker's, open or not
    #[command(subcommand)]
    Store(crate::store_command::StoreCommand),
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Flush {
    /// After the append: a killed process loses nothing, a power cut the last half second
    Async,
    /// Once the disk has it: nothing is lost
    Sync,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Lines for people
    Text,
    /// One JSON object a line
    Json,
}
