//! A name server on its own, without a broker.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use oxmq::clock::{self, SharedClock, SystemClock};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Directory, ListenerId, NameServerConfig, NameServerSession, Place};
use crate::broker::StartError;
use crate::clock::{Mover, Time};
use crate::listen::listen;
use crate::liveness::Liveness;
use crate::operations::{self, NameServerOperations};
use crate::server::Listener;
use crate::store::disk::{Disk, RealDisk};

/// How long a stop waits for connections to write what they have.
const STOP_WAIT: Duration = Duration::from_secs(3);

/// Options of [`NameServer::start`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct NameServerOptions {
    /// Where it listens, `host:port`; port 0 is any free one. Default `127.0.0.1:9876`.
    pub address: String,
    /// Where `/healthz`, `/readyz` and `/metrics` are served over HTTP, `host:port`; `None`: nowhere.
    pub http_address: Option<String>,
    /// Whether other machines may reach a name server that asks nobody who they are. Default
    /// `false`: only addresses of this machine are listened on.
    pub allow_public: bool,
    /// The folder in whose `config` KV configurations and changed settings are kept; `None`: they
    /// end with the name server.
    pub store: Option<PathBuf>,
    /// The time it lives in.
    pub time: Time,
    /// The disk the folder is on.
    pub disk: Arc<dyn Disk>,
    /// Everything else, under RocketMQ's names.
    pub settings: NameServerConfig,
}

impl Default for NameServerOptions {
    fn default() -> Self {
        Self {
            address: "127.0.0.1:9876".to_owned(),
            http_address: None,
            allow_public: false,
            store: None,
            time: Time::Machine,
            disk: Arc::new(RealDisk),
            settings: NameServerConfig::default(),
        }
    }
}

impl NameServerOptions {
    /// A free port on loopback, and nothing kept.
    pub fn for_tests() -> Self {
        Self { address: "127.0.0.1:0".to_owned(), ..Self::default() }
    }
}

/// A running name server without a broker.
///
/// Dropping it ends it.
pub struct NameServer {
    directory: Arc<Directory>,
    address: SocketAddr,
    http_address: Option<SocketAddr>,
    is_stopping: Arc<AtomicBool>,
    clock: SharedClock,
    liveness: Liveness,
    mover: Mover,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl fmt::Debug for NameServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NameServer").field("address", &self.address).finish_non_exhaustive()
    }
}

impl NameServer {
    /// Starts a name server on the present tokio runtime; it serves when this returns.
    ///
    /// # Errors
    /// The address cannot be listened on, or what was kept cannot be read. Nothing is left running.
    pub async fn start(options: NameServerOptions) -> Result<Self, StartError> {
        let sockets = listen("name server", &options.address, options.allow_public)?;
        let http = options.http_address.as_deref();
        let http = http.map(|address| listen("HTTP server", address, options.allow_public));
        let http = http.transpose()?;
        let (clock, mover) = options.time.start();
        let liveness = Liveness::new(Arc::clone(&clock));
        let place = options.store.map(|root| Place { disk: options.disk, root });
        let directory = Directory::open(liveness.clone(), options.settings, place)?;
        let server = Self {
            directory: Arc::new(directory),
            address: sockets.address,
            http_address: http.as_ref().map(|http| http.address),
            is_stopping: Arc::default(),
            clock,
            liveness,
            mover,
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        let Self { directory, clock, stop, tasks, is_stopping, .. } = &server;
        let operations =
            Arc::new(NameServerOperations::new(Arc::clone(directory), Arc::clone(is_stopping)));
        for socket in http.into_iter().flat_map(|http| http.sockets) {
            let operations = Arc::clone(&operations) as Arc<_>;
            tasks.spawn(operations::serve(socket, operations, stop.clone(), tasks.clone()));
        }
        serve(directory, sockets.sockets, 0, clock, stop, tasks);
        let expiry = expire_periodically(Arc::downgrade(directory), Arc::clone(clock));
        let stop = stop.clone();
        tasks.spawn(async move {
            stop.run_until_cancelled(expiry).await;
        });
        Ok(server)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where health and metrics are served, if they are.
    pub fn http_address(&self) -> Option<SocketAddr> {
        self.http_address
    }

    /// The clock that it lives by.
    pub fn clock(&self) -> SharedClock {
        Arc::clone(&self.clock)
    }

    /// Moves time ahead, for the brokers that registered too: whoever is silent for too long by
    /// then is gone when this returns.
    pub async fn advance(&self, duration: Duration) {
        self.mover.advance(duration).await;
        self.directory.expire();
    }

    /// Moves time ahead without counting it as silence.
    pub async fn skip(&self, duration: Duration) {
        self.liveness.skip(duration);
        self.mover.advance(duration).await;
    }

    /// Stops: takes no more connections, and ends those there are. Answers under way have three
    /// seconds.
    pub async fn stop(self) {
        self.stop_within(STOP_WAIT).await;
    }

    /// The same with another time for answers under way.
    pub async fn stop_within(self, patience: Duration) {
        tracing::info!("stopping");
        self.is_stopping.store(true, Ordering::Relaxed);
        self.stop.cancel();
        self.tasks.close();
        let clock = SystemClock::new();
        if clock::timeout(&clock, patience, self.tasks.wait()).await.is_err() {
            tracing::warn!("some clients did not take their answers in time: they are cut off");
            self.directory.close_all();
        }
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.stop.cancel();
        self.tasks.close();
    }
}

/// Has a name server answer on `sockets` until `stop`.
pub(crate) fn serve(
    directory: &Arc<Directory>,
    sockets: Vec<TcpListener>,
    listener: ListenerId,
    clock: &SharedClock,
    stop: &CancellationToken,
    tasks: &TaskTracker,
) {
    for socket in sockets {
        let connections = Arc::clone(&directory.connections);
        let accept = Listener { socket, connections, clock: Arc::clone(clock) };
        let directory = Arc::clone(directory);
        let session = move |peer, handle: Arc<_>| {
            NameServerSession::new(Arc::clone(&directory), peer, &handle, listener)
        };
        tasks.spawn(accept.run(stop.clone(), tasks.clone(), session));
    }
}

/// Looks for silent brokers and connections, as often as the settings say.
pub(crate) async fn expire_periodically(directory: Weak<Directory>, clock: SharedClock) {
    loop {
        let Some(period) = directory.upgrade().map(|directory| directory.config().scan_interval)
        else {
            return;
        };
        clock::sleep(&*clock, Duration::from(period).max(Duration::from_millis(100))).await;
        let Some(directory) = directory.upgrade() else { return };
        directory.expire();
    }
}
