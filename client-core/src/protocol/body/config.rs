//! Configurations of topics and groups, and offsets: on the wire and in `config/*.json`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::DataVersion;

/// Permission bits of a topic.
///
/// Source: RocketMQ 5.3.3 `common/constant/PermName`.
pub mod perm {
    /// New topics may be made after this one.
    pub const INHERIT: i32 = 1;
    /// Producers may write.
    pub const WRITE: i32 = 2;
    /// Consumers may read.
    pub const READ: i32 = 4;
}

/// A topic.
///
/// Source: RocketMQ 5.3.3 `common/TopicConfig`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicConfig {
    /// `message.type`, `queue.type`, `cleanup.policy`, `reserve.time`; 5.x only. A value of
    /// another shape (fastjson's `$ref`) is dropped.
    #[serde(deserialize_with = "text_map")]
    pub attributes: BTreeMap<String, String>,
    /// Whether it is ordered.
    pub order: bool,
    /// Bits of [`perm`].
    pub perm: i32,
    /// Queues that consumers read.
    pub read_queue_nums: i32,
    /// `SINGLE_TAG` or `MULTI_TAG`.
    pub topic_filter_type: String,
    /// The topic.
    pub topic_name: String,
    /// Bits: 1 unit, 2 unit subscription.
    pub topic_sys_flag: i32,
    /// Queues that producers write.
    pub write_queue_nums: i32,
}

impl Default for TopicConfig {
    fn default() -> Self {
        Self::new("", 16, perm::READ | perm::WRITE)
    }
}

impl TopicConfig {
    /// A topic with as many queues for reading as for writing.
    pub fn new(topic: impl Into<String>, queues: i32, perm: i32) -> Self {
        Self {
            attributes: BTreeMap::new(),
            order: false,
            perm,
            read_queue_nums: queues,
            topic_filter_type: "SINGLE_TAG".to_owned(),
            topic_name: topic.into(),
            topic_sys_flag: 0,
            write_queue_nums: queues,
        }
    }
}

/// A map of texts that may stand there as null or hold other things, which are left out.
fn text_map<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, String>, D::Error> {
    let map = Option::<BTreeMap<String, Value>>::deserialize(deserializer)?.unwrap_or_default();
    let texts = map.into_iter().filter(|(name, _)| name != "$ref");
    Ok(texts.filter_map(|(name, value)| Some((name, value.as_str()?.to_owned()))).collect())
}

/// A consumer group.
///
/// Source: RocketMQ 5.3.3 `remoting/protocol/subscription/SubscriptionGroupConfig`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SubscriptionGroupConfig {
    /// 5.x only.
    #[serde(deserialize_with = "text_map")]
    pub attributes: BTreeMap<String, String>,
    /// Which broker of a group serves its pulls; 0 is the master.
    pub broker_id: i64,
    /// Whether broadcast consumers are allowed.
    pub consume_broadcast_enable: bool,
    /// Whether anybody may consume.
    pub consume_enable: bool,
    /// Whether a new group starts at the first message rather than the last.
    pub consume_from_min_enable: bool,
    /// 5.x only.
    pub consume_message_orderly: bool,
    /// 5.x only.
    pub consume_timeout_minute: i32,
    /// The group.
    pub group_name: String,
    /// How long a failed message waits; 5.x only. Kept as Apache wrote it.
    pub group_retry_policy: Value,
    /// 5.x only.
    pub group_sys_flag: i32,
    /// Whether members are told when membership changes.
    pub notify_consumer_ids_changed_enable: bool,
    /// How often a message may be handed back before it becomes a dead letter.
    pub retry_max_times: i32,
    /// Queues of the retry topic.
    pub retry_queue_nums: i32,
    /// Subscriptions fixed by the administrator; 5.x only. Kept as Apache wrote them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscription_data_set: Option<Value>,
    /// Which broker serves a group that is far behind.
    pub which_broker_when_consume_slowly: i64,
}

impl Default for SubscriptionGroupConfig {
    fn default() -> Self {
        Self {
            attributes: BTreeMap::new(),
            broker_id: 0,
            consume_broadcast_enable: true,
            consume_enable: true,
            consume_from_min_enable: true,
            consume_message_orderly: false,
            consume_timeout_minute: 15,
            group_name: String::new(),
            group_retry_policy: serde_json::json!({"type": "CUSTOMIZED"}),
            group_sys_flag: 0,
            notify_consumer_ids_changed_enable: true,
            retry_max_times: 16,
            retry_queue_nums: 1,
            subscription_data_set: None,
            which_broker_when_consume_slowly: 1,
        }
    }
}

/// Consumer groups and how new they are: on the wire and in `config/subscriptionGroup.json`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SubscriptionGroupWrapper {
    /// How new they are.
    pub data_version: DataVersion,
    /// Bits that forbid a topic to a group, by group and topic.
    pub forbidden_table: BTreeMap<String, BTreeMap<String, i32>>,
    /// Configurations by group.
    pub subscription_group_table: BTreeMap<String, SubscriptionGroupConfig>,
}

/// Committed offsets: on the wire and in `config/consumerOffset.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumerOffsetSerializeWrapper {
    /// How new they are.
    pub data_version: DataVersion,
    /// Offset by queue id, by `topic@group`.
    pub offset_table: BTreeMap<String, BTreeMap<i32, i64>>,
}

/// How far each delay level is: on the wire and in `config/delayOffset.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DelayOffsetSerializeWrapper {
    /// How new they are; 5.x only.
    pub data_version: DataVersion,
    /// Queue offset by delay level, 1 to 18.
    pub offset_table: BTreeMap<i32, i64>,
}
