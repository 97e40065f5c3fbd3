//! What a broker is started with.

use std::path::PathBuf;
use std::sync::Arc;

use oxmq::protocol::signature::Credentials;

use crate::clock::Time;
use crate::config::BrokerConfig;
use crate::name_server::NameServerConfig;
use crate::store::FlushMode;
use crate::store::disk::{Disk, RealDisk};

/// Size of commit-log files of brokers in tests: small, since each is taken from the disk whole.
const TEST_LOG_FILE_BYTES: u64 = 16 * 1024 * 1024;

/// Options of [`Broker::start`](crate::Broker::start).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Options {
    /// Where the name server listens, `host:port`; port 0 is any free one. Default
    /// `127.0.0.1:9876`.
    pub name_server_address: String,
    /// Where the broker listens, `host:port`; port 0 is any free one. Default `127.0.0.1:10911`.
    pub broker_address: String,
    /// More ways in, beside the usual one: for askers that are to be told another address of the
    /// broker than the usual ones. Default: none.
    pub listeners: Vec<NamedListener>,
    /// Where `/healthz`, `/readyz` and `/metrics` are served over HTTP, `host:port`; `None`: nowhere.
    pub http_address: Option<String>,
    /// Whether other machines may reach a broker that asks nobody who they are. Default `false`:
    /// only addresses of this machine are listened on.
    pub allow_public: bool,
    /// The store's folder; `None`: a new one in the system's folder for temporary files, removed
    /// when the broker stops.
    pub store: Option<PathBuf>,
    /// The first user, made where there are none yet: a super user. Nobody is made without being
    /// named here.
    pub super_user: Option<Credentials>,
    /// The time the broker lives in.
    pub time: Time,
    /// The disk the store is on.
    pub disk: Arc<dyn Disk>,
    /// Everything else, under RocketMQ's names.
    pub settings: BrokerConfig,
    /// The name server's settings, under RocketMQ's names.
    pub name_server: NameServerConfig,
}

/// A way in of its own: who comes through it is told an address of the broker that fits it.
///
/// An address in a route is the one by which the asker reached the name server, with the port of
/// the broker's socket in the same listener. Where ports are mapped on the way (a container's
/// published ports), nobody here can see to which: then `advertised` says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedListener {
    /// Its name.
    pub name: String,
    /// Where its askers find the name server, `host:port`.
    pub name_server_address: String,
    /// Where they find the broker, `host:port`.
    pub broker_address: String,
    /// What they are told of the broker, `host` or `host:port`; `None`: the address by which they
    /// came. This goes before `brokerIP1`.
    pub advertised: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            name_server_address: "127.0.0.1:9876".to_owned(),
            broker_address: "127.0.0.1:10911".to_owned(),
            listeners: Vec::new(),
            http_address: None,
            allow_public: false,
            store: None,
            super_user: None,
            time: Time::Machine,
            disk: Arc::new(RealDisk),
            settings: BrokerConfig::default(),
            name_server: NameServerConfig::default(),
        }
    }
}

impl Options {
    /// Free ports on loopback and a temporary store.
    pub fn for_tests() -> Self {
        let mut options = Self {
            name_server_address: "127.0.0.1:0".to_owned(),
            broker_address: "127.0.0.1:0".to_owned(),
            ..Self::default()
        };
        options.settings.commit_log_file_bytes = TEST_LOG_FILE_BYTES;
        // How full the disk of the machine is says nothing of a test.
        options.settings.disk_max_used = 100;
        options.settings.disk_clean_forcibly = 100;
        options.settings.disk_warning = 100;
        options
    }

    /// The same on the store in `folder`, which stays when the broker stops.
    #[must_use]
    pub fn store(mut self, folder: impl Into<PathBuf>) -> Self {
        self.store = Some(folder.into());
        self
    }

    /// The same where every request must be signed, and allowed by policies; `first` is a super
    /// user, unless there are users already.
    #[must_use]
    pub fn users(mut self, first: Credentials) -> Self {
        self.super_user = Some(first);
        self.settings.authentication = true;
        self.settings.authorization = true;
        self
    }

    /// The same in another time.
    #[must_use]
    pub fn time(mut self, time: Time) -> Self {
        self.time = time;
        self
    }

    /// The same on another disk.
    #[must_use]
    pub fn disk(mut self, disk: Arc<dyn Disk>) -> Self {
        self.disk = disk;
        self
    }

    /// The same with another flush mode.
    #[must_use]
    pub fn flush(mut self, flush: FlushMode) -> Self {
        self.settings.flush = flush;
        self
    }
}
