//! What the producers and consumers of a client share: who it is, where topics are, connections,
//! heartbeats.

pub(crate) mod groups;
pub(crate) mod heartbeat;
pub(crate) mod name_server;
pub(crate) mod options;
pub(crate) mod route;

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::clock::SharedClock;
use crate::error::Error;
use crate::net::CallError;
use crate::net::connections::Connections;
use crate::protocol::code::ResponseCode;
use crate::protocol::command::RemotingCommand;
use crate::protocol::message::id::UniqueKeys;
use crate::randomness::Randomness;
use groups::Groups;
use name_server::NameServers;
use route::Routes;

/// The time allowed for requests that belong to no call of the application.
pub(crate) const HOUSEKEEPING_TIMEOUT: Duration = Duration::from_secs(3);

/// The shared part of a client. Its background tasks end when the last handle is dropped.
#[derive(Debug)]
pub(crate) struct Instance {
    /// As brokers know this client; no other client has it.
    pub(crate) client_id: String,
    pub(crate) clock: SharedClock,
    pub(crate) random: Arc<Randomness>,
    pub(crate) unique_keys: UniqueKeys,
    pub(crate) connections: Connections,
    pub(crate) name_servers: NameServers,
    pub(crate) routes: Routes,
    pub(crate) groups: Arc<Groups>,
    /// For calls from threads that are not the runtime's.
    pub(crate) runtime: Handle,
    pub(crate) stop: CancellationToken,
    pub(crate) _stop_on_drop: DropGuard,
}

impl Instance {
    /// The point in time `after` from now.
    pub(crate) fn deadline(&self, after: Duration) -> Duration {
        self.clock.monotonic().saturating_add(after)
    }

    /// Whether the client was closed.
    pub(crate) fn is_closed(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Sends a request and returns its answer if that is a success.
    pub(crate) async fn ask(
        &self,
        operation: &'static str,
        address: &Arc<str>,
        request: RemotingCommand,
        timeout: Duration,
    ) -> Result<RemotingCommand, Error> {
        let answer = self
            .connections
            .call(address, request, self.deadline(timeout))
            .await
            .map_err(|error: CallError| error.into_error(operation, address))?;
        match answer.response_code() {
            ResponseCode::SUCCESS => Ok(answer),
            code => {
                Err(Error::from_response(operation, code, answer.remark.as_deref())
                    .at(address.clone()))
            }
        }
    }
}
