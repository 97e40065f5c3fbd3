//! Accepts connections.

use std::sync::Arc;
use std::time::Duration;

use oxmq::clock::{self, SharedClock};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection::{self, Peer, Session};
use super::{Connections, Handle};

/// The most connections at one time.
const MAX_CONNECTIONS: usize = 20_000;

/// How long to wait after the system refused to accept (it is out of file descriptors).
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

/// A socket that listens, and who is connected to it.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) socket: TcpListener,
    pub(crate) connections: Arc<Connections>,
    pub(crate) clock: SharedClock,
}

impl Listener {
    /// Accepts until `stop`; each connection runs as a task of `tasks`, talking to a session that
    /// `session` makes.
    pub(crate) async fn run<S: Session>(
        self,
        stop: CancellationToken,
        tasks: TaskTracker,
        mut session: impl FnMut(Peer, Arc<Handle>) -> S,
    ) {
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = self.socket.accept() => accepted,
            };
            let ends = accepted.and_then(|(stream, remote)| {
                let local = stream.local_addr()?;
                Ok((stream, Peer { remote, local }))
            });
            let (stream, peer) = match ends {
                Ok(ends) => ends,
                Err(error) => {
                    tracing::warn!(%error, "a connection cannot be accepted");
                    clock::sleep(&*self.clock, ACCEPT_AGAIN).await;
                    continue;
                }
            };
            let Some(handle) = self.connections.open(MAX_CONNECTIONS, self.clock.monotonic())
            else {
                tracing::warn!(remote = %peer.remote, "too many connections: one more is refused");
                continue;
            };
            let mut session = session(peer, Arc::clone(&handle));
            let connections = Arc::clone(&self.connections);
            tasks.spawn(async move {
                connection::run(stream, peer, Arc::clone(&handle), &mut session).await;
                connections.closed(handle.id());
                session.closed();
            });
        }
        self.connections.close_all();
    }
}
