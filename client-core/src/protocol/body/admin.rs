//! Lists and tables for administration.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::QueueTable;

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
