//! What a connection tells the rest of the client: that it is there, and what a broker asks.

use std::fmt;

use crate::protocol::command::RemotingCommand;

/// Takes what comes in by itself.
///
/// Called by a connection's task: it must not wait.
pub(crate) trait Inbound: fmt::Debug + Send + Sync {
    /// A connection to `address` has been opened.
    fn connected(&self, address: &str);

    /// The other side asks for something. The answer, unless it wants none.
    fn request(&self, address: &str, request: &RemotingCommand) -> Option<RemotingCommand>;
}
