//! Typed bodies: the JSON that some requests and responses carry.
//!
//! The structs have Apache's names. Members that a release does not write take their defaults, and
//! unknown ones are passed over.
//!
//! Source: RocketMQ 5.3.3 `remoting/protocol/{body, heartbeat, route, subscription}`.

mod admin;
mod auth;
mod config;
mod heartbeat;
mod lock;
mod queue_table;
mod registration;
mod route;

pub use admin::*;
pub use auth::*;
pub use config::*;
pub use heartbeat::*;
pub use lock::*;
pub use queue_table::*;
pub use registration::*;
pub use route::*;

use serde::{Deserialize, Serialize};

use super::{DecodeError, json};

/// A body in JSON.
pub trait Body: Serialize + for<'de> Deserialize<'de> {
    /// What it is called in errors.
    const WHAT: &'static str;

    /// Reads it, fastjson's liberties included.
    ///
    /// # Errors
    /// [`DecodeError::BadJson`].
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        json::parse(Self::WHAT, bytes)
    }

    /// Writes it.
    fn encode(&self) -> Vec<u8> {
        json::to_vec(self)
    }
}

/// Gives types their names in errors.
macro_rules! bodies {
    ($($type:ty: $what:literal,)+) => {
        $(impl Body for $type {
            const WHAT: &'static str = $what;
        })+
    };
}

bodies! {
    TopicRouteData: "a topic route",
    ClusterInfo: "cluster information",
    GetBrokerMemberGroupResponseBody: "a broker group's members",
    KVConfigSerializeWrapper: "the table of KV configurations",
    TopicList: "a topic list",
    KVTable: "a table of keys and values",
    RegisterBrokerBody: "a broker's registration",
    HeartbeatData: "a heartbeat",
    GetConsumerListByGroupResponseBody: "a consumer list",
    CheckClientRequestBody: "a subscription to check",
    LockBatchRequestBody: "a lock request",
    LockBatchResponseBody: "a lock response",
    TopicConfigSerializeWrapper: "topic configurations",
    TopicConfig: "a topic configuration",
    SubscriptionGroupWrapper: "subscription groups",
    SubscriptionGroupConfig: "a subscription group",
    ConsumerOffsetSerializeWrapper: "consumer offsets",
    DelayOffsetSerializeWrapper: "delay offsets",
    ConsumerConnection: "a consumer's connections",
    ProducerConnection: "a producer's connections",
    TopicStatsTable: "a topic's offsets",
    ConsumeStats: "a group's progress",
    GroupList: "a group list",
    ConsumeStatsList: "the progress of all groups",
    QuerySubscriptionResponseBody: "a subscription",
    QueryConsumeTimeSpanBody: "time spans",
    QueryCorrectionOffsetBody: "corrected offsets",
    ResetOffsetBody: "new offsets",
    GetConsumerStatusBody: "where consumers are",
    ProducerTableInfo: "producers",
    QueryConsumeQueueResponseBody: "units of a consume queue",
    GroupForbidden: "whether a group may read",
    UserInfo: "a user",
    AclInfo: "what a user may do",
    DataVersion: "a data version",
}

/// One queue of a topic on one broker.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MessageQueue {
    /// The broker's name.
    pub broker_name: String,
    /// The queue's number on that broker, from 0 on.
    pub queue_id: i32,
    /// The topic.
    pub topic: String,
}

/// How new a configuration is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DataVersion {
    /// Counts changes.
    pub counter: i64,
    /// Counts changes of role; 5.x only.
    pub state_version: i64,
    /// When it was last changed, ms since the Unix epoch.
    pub timestamp: i64,
}

impl DataVersion {
    /// Notes a change.
    pub fn advance(&mut self, now_ms: i64) {
        self.timestamp = now_ms;
        self.counter += 1;
    }
}
