//! What the broker does with each family of requests: header in, store call, reply out.
//!
//! Handlers never wait and never touch a file. What has to wait (a pull for a message, a send for
//! the disk) is kept by the connection's session and taken up again on an event.

pub(crate) mod auth;
pub(crate) mod cleaning;
pub(crate) mod client;
pub(crate) mod cluster;
pub(crate) mod flush_wait;
pub(crate) mod group;
pub(crate) mod inspect;
mod later;
pub(crate) mod lock;
pub(crate) mod offset;
pub(crate) mod pull;
pub(crate) mod recall;
pub(crate) mod relay;
pub(crate) mod reply_message;
pub(crate) mod reset;
pub(crate) mod send;
pub(crate) mod send_back;
mod send_check;
mod send_reply;
pub(crate) mod topic;
pub(crate) mod transaction;
pub(crate) mod view;

use std::sync::Arc;

use crate::server::{Handle, Peer};

/// Who asks.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) peer: Peer,
    pub(crate) handle: Arc<Handle>,
}

/// A name as it may stand in a remark: short, and nothing that could disturb a terminal.
pub(crate) fn shown(name: &str) -> String {
    name.chars().take(127).flat_map(char::escape_default).collect()
}
