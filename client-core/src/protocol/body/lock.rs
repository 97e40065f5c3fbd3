//! Locks of queues, for orderly consumption: codes 41 and 42.

use serde::{Deserialize, Serialize};

use super::MessageQueue;

/// Asks for the locks of queues.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LockBatchRequestBody {
    /// The client's id.
    pub client_id: String,
    /// The consumer group.
    pub consumer_group: String,
    /// The queues.
    pub mq_set: Vec<MessageQueue>,
    /// Whether only this broker is asked.
    pub only_this_broker: bool,
}

/// Gives locks back.
pub type UnlockBatchRequestBody = LockBatchRequestBody;

/// The queues whose locks the client now holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LockBatchResponseBody {
    /// The queues.
    #[serde(rename = "lockOKMQSet")]
    pub lock_ok_mq_set: Vec<MessageQueue>,
}
