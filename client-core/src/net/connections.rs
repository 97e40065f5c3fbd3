//! One connection for each address, opened when it is needed.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::CallError;
use super::connection::Connection;
use super::inbound::Inbound;
use super::transport::Transport;
use crate::clock::{self, SharedClock};
use crate::protocol::command::RemotingCommand;
use crate::protocol::signature::{self, Credentials};
use crate::randomness::Randomness;

/// The longest time that opening a connection may take.
const DIAL_TIMEOUT: Duration = Duration::from_secs(3);
/// The pause after a failed dial; doubles with each that follows, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// Short, so that a broker that comes back is found at once.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What all connections of a client share.
#[derive(Debug)]
pub(crate) struct Dialer {
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) clock: SharedClock,
    pub(crate) inbound: Arc<dyn Inbound>,
    /// From advertised addresses to those that can be reached.
    pub(crate) address_map: HashMap<String, String>,
    pub(crate) random: Arc<Randomness>,
    /// Who signs every request, if anybody.
    pub(crate) credentials: Option<Credentials>,
    pub(crate) stop: CancellationToken,
}

/// The connections of a client.
#[derive(Debug)]
pub(crate) struct Connections {
    lines: ArcSwap<HashMap<Arc<str>, Arc<Line>>>,
    dialer: Arc<Dialer>,
}

impl Connections {
    pub(crate) fn new(dialer: Dialer) -> Self {
        Self { lines: ArcSwap::default(), dialer: Arc::new(dialer) }
    }

    /// Sends a request to `address` and waits for its answer until `deadline`.
    pub(crate) async fn call(
        &self,
        address: &Arc<str>,
        request: RemotingCommand,
        deadline: Duration,
    ) -> Result<RemotingCommand, CallError> {
        let request = self.signed(request);
        self.line(address).connect(deadline).await?.call(request, deadline).await
    }

    /// Queues a request that wants no answer.
    pub(crate) async fn send(
        &self,
        address: &Arc<str>,
        request: RemotingCommand,
        deadline: Duration,
    ) -> Result<(), CallError> {
        let request = self.signed(request);
        self.line(address).connect(deadline).await?.send(request, deadline).await
    }

    /// Nothing may be changed in a request afterwards.
    fn signed(&self, mut request: RemotingCommand) -> RemotingCommand {
        if let Some(credentials) = &self.dialer.credentials {
            signature::sign(&mut request, credentials);
        }
        request
    }

    /// Opens a connection, unless there is one.
    pub(crate) async fn connect(
        &self,
        address: &Arc<str>,
        deadline: Duration,
    ) -> Result<(), CallError> {
        self.line(address).connect(deadline).await.map(drop)
    }

    /// Forgets the addresses that `keep` does not name; their connections end once they are idle.
    pub(crate) fn retain(&self, keep: impl Fn(&Arc<str>) -> bool) {
        if self.lines.load().keys().all(&keep) {
            return;
        }
        self.lines.rcu(|lines| {
            let kept = lines.iter().filter(|(address, _)| keep(address));
            kept.map(|(address, line)| (address.clone(), line.clone())).collect::<HashMap<_, _>>()
        });
    }

    fn line(&self, address: &Arc<str>) -> Arc<Line> {
        if let Some(line) = self.lines.load().get(address) {
            return line.clone();
        }
        let added = Arc::new(Line::new(address.clone(), self.dialer.clone()));
        self.lines.rcu(|lines| {
            let mut lines = HashMap::clone(lines);
            lines.entry(address.clone()).or_insert_with(|| added.clone());
            lines
        });
        self.lines.load().get(address).cloned().unwrap_or(added)
    }
}

/// One address and the connection to it.
#[derive(Debug)]
struct Line {
    address: Arc<str>,
    dialer: Arc<Dialer>,
    current: ArcSwapOption<Connection>,
    /// Held while dialing, so that one dial serves all who wait.
    dialing: Mutex<Pause>,
}

/// When to dial again after failures.
#[derive(Debug, Default)]
struct Pause {
    failures: u32,
    not_before: Duration,
    reason: String,
}

impl Line {
    fn new(address: Arc<str>, dialer: Arc<Dialer>) -> Self {
        Self { address, dialer, current: ArcSwapOption::empty(), dialing: Mutex::default() }
    }

    fn open_connection(&self) -> Option<Arc<Connection>> {
        self.current.load_full().filter(|open| open.is_open())
    }

    /// The open connection, or a new one. After a failed dial the next waits for its turn, if
    /// `deadline` leaves the time.
    async fn connect(&self, deadline: Duration) -> Result<Arc<Connection>, CallError> {
        if let Some(open) = self.open_connection() {
            return Ok(open);
        }
        let clock = &*self.dialer.clock;
        let mut pause = clock::timeout_at(clock, deadline, self.dialing.lock())
            .await
            .map_err(|_| CallError::TooLate)?;
        if let Some(open) = self.open_connection() {
            return Ok(open);
        }
        if self.dialer.stop.is_cancelled() {
            return Err(CallError::NotSent("the client is closed".to_owned()));
        }
        if pause.not_before >= deadline {
            return Err(CallError::NotSent(pause.reason.clone()));
        }
        clock.sleep_until(pause.not_before).await;
        match self.dial(deadline).await {
            Ok(connection) => {
                *pause = Pause::default();
                let connection = Arc::new(connection);
                self.current.store(Some(connection.clone()));
                self.dialer.inbound.connected(&self.address);
                Ok(connection)
            }
            Err(reason) => {
                pause.failures = pause.failures.saturating_add(1);
                pause.not_before = clock.monotonic().saturating_add(self.pause(pause.failures));
                pause.reason.clone_from(&reason);
                Err(CallError::NotSent(reason))
            }
        }
    }

    async fn dial(&self, deadline: Duration) -> Result<Connection, String> {
        let Dialer { transport, clock, inbound, address_map, stop, .. } = &*self.dialer;
        let advertised = &*self.address;
        let address = address_map.get(advertised).map_or(advertised, String::as_str);
        let until = deadline.min(clock.monotonic().saturating_add(DIAL_TIMEOUT));
        let shown = if address == advertised {
            address.to_owned()
        } else {
            format!("{address} (advertised as {advertised})")
        };
        match clock::timeout_at(&**clock, until, transport.dial(address)).await {
            Ok(Ok(wire)) => Ok(Connection::start(
                wire,
                self.address.clone(),
                clock.clone(),
                inbound.clone(),
                stop.child_token(),
            )),
            Ok(Err(error)) => Err(format!("cannot connect to {shown}: {error}")),
            Err(_) => Err(format!("cannot connect to {shown}: no answer")),
        }
    }

    fn pause(&self, failures: u32) -> Duration {
        let pause = FIRST_PAUSE.saturating_mul(1 << (failures - 1).min(16)).min(LONGEST_PAUSE);
        let jitter = self.dialer.random.word() % 1_000;
        pause / 2 + pause * jitter / 2_000
    }
}
