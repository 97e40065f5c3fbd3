//! Lists and tables for administration.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{MessageQueue, QueueTable, SubscriptionData};

/// Topics.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicList {
    /// A broker to ask for more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broker_addr: Option<String>,
    /// The topics.
    pub topic_list: Vec<String>,
}

/// Consumer groups.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GroupList {
    /// The groups.
    pub group_list: Vec<String>,
}

/// Keys and values.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct KVTable {
    /// Values by key.
    pub table: BTreeMap<String, String>,
}

/// Keys and values by namespace: a name server's `kvConfig.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct KVConfigSerializeWrapper {
    /// Values by namespace and key.
    pub config_table: BTreeMap<String, BTreeMap<String, String>>,
}

/// The offsets of each queue of a topic.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicStatsTable {
    /// Offsets by queue.
    pub offset_table: QueueTable<TopicOffset>,
    /// Messages stored a second.
    pub topic_put_tps: f64,
}

/// The offsets of one queue.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicOffset {
    /// Store time of the last message, ms since the Unix epoch; 0 if there is none.
    pub last_update_timestamp: i64,
    /// The queue's end.
    pub max_offset: i64,
    /// The queue's first offset.
    pub min_offset: i64,
}

/// How far a group is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumeStats {
    /// Messages consumed a second.
    pub consume_tps: f64,
    /// Offsets by queue.
    pub offset_table: QueueTable<OffsetWrapper>,
}

/// How far a group is in one queue.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OffsetWrapper {
    /// The queue's end.
    pub broker_offset: i64,
    /// The group's committed offset.
    pub consumer_offset: i64,
    /// Store time of the last message consumed, ms since the Unix epoch.
    pub last_timestamp: i64,
    /// The offset last pulled from, from 5.1 on.
    pub pull_offset: i64,
}

/// The progress of every group of a broker.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumeStatsList {
    /// Of each group, its progress in each of its topics.
    pub consume_stats_list: Vec<BTreeMap<String, Vec<ConsumeStats>>>,
    /// The broker's address.
    pub broker_addr: String,
    /// Messages not consumed yet.
    pub total_diff: i64,
    /// Messages pulled and not consumed yet, from 5.1 on.
    pub total_inflight_diff: i64,
}

/// What a group subscribes to in a topic.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct QuerySubscriptionResponseBody {
    /// The subscription, if a member is connected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscription_data: Option<SubscriptionData>,
    /// The group.
    pub group: String,
    /// The topic.
    pub topic: String,
}

/// From when to when the messages of a topic are, and where a group is in time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct QueryConsumeTimeSpanBody {
    /// One entry a queue.
    pub consume_time_span_set: Vec<QueueTimeSpan>,
}

/// The times of one queue, ms since the Unix epoch; -1 where there is no message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QueueTimeSpan {
    /// The queue.
    pub message_queue: MessageQueue,
    /// When its first message was stored.
    pub min_time_stamp: i64,
    /// When its last message was stored.
    pub max_time_stamp: i64,
    /// When the message was stored that the group consumed last.
    pub consume_time_stamp: i64,
    /// How long ago the next one was stored, ms; 0 if there is none.
    pub delay_time: i64,
}

/// Offsets by queue id.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct QueryCorrectionOffsetBody {
    /// The smallest offset that any group has committed.
    pub correction_offsets: BTreeMap<i32, i64>,
}

/// New offsets by queue.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ResetOffsetBody {
    /// Offsets by queue.
    pub offset_table: QueueTable<i64>,
}

/// Where members of a group are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GetConsumerStatusBody {
    /// Of one member: what it told.
    pub message_queue_table: QueueTable<i64>,
    /// Of all members, by client id: what a broker collected.
    pub consumer_table: BTreeMap<String, QueueTable<i64>>,
}

/// All producers of a broker.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProducerTableInfo {
    /// By producer group.
    pub data: BTreeMap<String, Vec<ProducerInfo>>,
}

/// One producer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProducerInfo {
    /// The client's id.
    pub client_id: String,
    /// The client's address, without port.
    #[serde(rename = "remoteIP")]
    pub remote_ip: String,
    /// The language that it is written in.
    pub language: String,
    /// The release that it says it is.
    pub version: i32,
    /// When it was last heard of, ms since the Unix epoch.
    pub last_update_timestamp: i64,
}

/// Units of a consume queue.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct QueryConsumeQueueResponseBody {
    /// What the group that was asked about subscribes to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscription_data: Option<SubscriptionData>,
    /// Why there is no subscription.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter_data: Option<String>,
    /// The units.
    pub queue_data: Vec<ConsumeQueueData>,
    /// The queue's end.
    pub max_queue_index: i64,
    /// The queue's first offset.
    pub min_queue_index: i64,
}

/// One unit of a consume queue.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumeQueueData {
    /// Where the record is in the commit log.
    pub physic_offset: i64,
    /// Bytes of the record.
    pub physic_size: i32,
    /// The tag code.
    pub tags_code: i64,
    /// Whether the group's filter takes it.
    pub eval: bool,
}

/// Whether a group may read a topic.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GroupForbidden {
    /// The topic.
    pub topic: String,
    /// The group.
    pub group: String,
    /// Whether it may.
    pub readable: bool,
}
