//! Who is connected: producers, consumers, and the queues that consumers hold.
//!
//! These tables are filled by heartbeats and emptied by goodbyes, closed connections and silence.
//! They are pure: the time is passed in, and whoever must be told of a change is returned.

pub(crate) mod consumers;
pub(crate) mod lock;
pub(crate) mod producers;

use std::net::SocketAddr;
use std::time::Duration;

use oxmq::protocol::code::LanguageCode;

use crate::server::ConnectionId;

/// How long a client lives without a heartbeat.
pub(crate) const EXPIRY: Duration = Duration::from_secs(120);

/// The most clients of one group.
const MAX_MEMBERS: usize = 10_000;

/// The most groups with a client.
const MAX_GROUPS: usize = 100_000;

/// One client, as a member of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    /// Its connection.
    pub(crate) connection: ConnectionId,
    /// The address it came from.
    pub(crate) address: SocketAddr,
    /// The language it says it is written in.
    pub(crate) language: LanguageCode,
    /// The release it says it is.
    pub(crate) version: i32,
}

/// A member and when it was last heard of.
#[derive(Debug)]
struct Seen {
    member: Member,
    at: Duration,
}

impl Seen {
    fn is_expired(&self, now: Duration) -> bool {
        now.saturating_sub(self.at) > EXPIRY
    }
}

/// A group whose members must learn that it has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Changed {
    /// The group.
    pub(crate) group: String,
    /// The connections of its members.
    pub(crate) members: Vec<ConnectionId>,
}
