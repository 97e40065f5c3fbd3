//! Routes and clusters.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{DataVersion, TopicConfig};
use crate::protocol::json;

/// Where the queues of a topic are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicRouteData {
    /// The brokers that have queues of it.
    pub broker_datas: Vec<BrokerData>,
    /// Obsolete; always empty.
    pub filter_server_table: BTreeMap<String, Vec<String>>,
    /// `brokerA:queues;brokerB:queues` of an ordered topic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order_topic_conf: Option<String>,
    /// How many queues each of the brokers has.
    pub queue_datas: Vec<QueueData>,
    /// Where the queues of a static topic are, by broker name; 5.x only. Kept as Apache wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic_queue_mapping_by_broker: Option<BTreeMap<String, Value>>,
}

impl TopicRouteData {
    /// Writes it for a reader of `version`, or one that says that it wants strict JSON: with quoted
    /// keys and in ASCII then, and as Java always did before.
    ///
    /// Source: RocketMQ 5.3.3 `namesrv/processor/ClientRequestProcessor`.
    pub fn encode_for(&self, version: i32, wants_strict_json: bool) -> Vec<u8> {
        if version >= V4_9_4 || wants_strict_json {
            json::to_vec_ascii(self)
        } else {
            json::to_vec_with_bare_keys(self)
        }
    }
}

/// The first release whose clients are sent strict JSON.
const V4_9_4: i32 = 401;

/// A broker and its replicas.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BrokerData {
    /// `ip:port` by broker id; 0 is the master.
    pub broker_addrs: BTreeMap<i64, String>,
    /// The name that master and slaves share.
    pub broker_name: String,
    /// The cluster.
    pub cluster: String,
    /// Whether a slave may act as master; 5.x only.
    pub enable_acting_master: bool,
    /// The zone; 5.x only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone_name: Option<String>,
}

/// The queues of one topic on one broker.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct QueueData {
    /// The broker's name.
    pub broker_name: String,
    /// Bits: 4 read, 2 write, 1 inherit.
    pub perm: i32,
    /// Queues that consumers read.
    pub read_queue_nums: i32,
    /// Bits: 1 unit, 2 unit subscription.
    #[serde(alias = "topicSynFlag")]
    pub topic_sys_flag: i32,
    /// Queues that producers write.
    pub write_queue_nums: i32,
}

/// Which brokers a name server knows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterInfo {
    /// Brokers by name.
    pub broker_addr_table: BTreeMap<String, BrokerData>,
    /// Names of brokers by cluster.
    pub cluster_addr_table: BTreeMap<String, Vec<String>>,
}

impl ClusterInfo {
    /// Writes it as every release of Java's name server does: with bare keys.
    pub fn encode_with_bare_keys(&self) -> Vec<u8> {
        json::to_vec_with_bare_keys(self)
    }
}

/// The members of a broker group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BrokerMemberGroup {
    /// `ip:port` by broker id; 0 is the master.
    pub broker_addrs: BTreeMap<i64, String>,
    /// The name that they share.
    pub broker_name: String,
    /// The cluster.
    pub cluster: String,
}

/// The answer to code 901.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GetBrokerMemberGroupResponseBody {
    /// The group.
    pub broker_member_group: BrokerMemberGroup,
}

impl GetBrokerMemberGroupResponseBody {
    /// Writes it as Java's name server does: with bare keys.
    pub fn encode_with_bare_keys(&self) -> Vec<u8> {
        json::to_vec_with_bare_keys(self)
    }
}

/// Topic configurations and how new they are: in registrations and in `config/topics.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicConfigSerializeWrapper {
    /// How new they are.
    pub data_version: DataVersion,
    /// Configurations by topic.
    pub topic_config_table: BTreeMap<String, TopicConfig>,
    /// Where the queues of static topics are, by topic: in registrations of 5.x only. Kept as
    /// Apache wrote it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub topic_queue_mapping_info_map: BTreeMap<String, Value>,
}
