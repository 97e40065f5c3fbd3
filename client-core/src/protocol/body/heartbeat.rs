//! Heartbeats and what brokers tell of those who sent them.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

/// Who a client is: its groups and subscriptions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HeartbeatData {
    /// The client's id, one per process and cluster.
    #[serde(rename = "clientID")]
    pub client_id: String,
    /// Its consumer groups.
    pub consumer_data_set: Vec<ConsumerData>,
    /// Not 0: a heartbeat of the second kind, from 5.1.3 on.
    pub heartbeat_fingerprint: i32,
    /// Its producer groups.
    pub producer_data_set: Vec<ProducerData>,
    /// The subscriptions are left out because they have not changed.
    #[serde(alias = "isWithoutSub")]
    pub without_sub: bool,
}

/// A producer group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProducerData {
    /// The group.
    pub group_name: String,
}

/// A consumer group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumerData {
    /// Where a new group starts.
    pub consume_from_where: ConsumeFromWhere,
    /// How it receives.
    pub consume_type: ConsumeType,
    /// The group.
    pub group_name: String,
    /// Whether members share the messages.
    pub message_model: MessageModel,
    /// What it subscribes to.
    pub subscription_data_set: Vec<SubscriptionData>,
    /// RocketMQ's unit mode.
    pub unit_mode: bool,
}

/// How a consumer receives.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ConsumeType {
    /// The application pulls.
    ConsumeActively,
    /// The client pulls and pushes to the application.
    #[default]
    ConsumePassively,
    /// By pop.
    ConsumePop,
}

/// Whether the members of a group share its messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum MessageModel {
    /// Each member sees everything.
    Broadcasting,
    /// Each message goes to one member.
    #[default]
    Clustering,
}

/// Where a group without offsets starts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ConsumeFromWhere {
    /// At the end.
    #[default]
    #[serde(
        alias = "CONSUME_FROM_LAST_OFFSET_AND_FROM_MIN_WHEN_BOOT_FIRST",
        alias = "CONSUME_FROM_MIN_OFFSET",
        alias = "CONSUME_FROM_MAX_OFFSET"
    )]
    ConsumeFromLastOffset,
    /// At the beginning.
    ConsumeFromFirstOffset,
    /// At a time.
    ConsumeFromTimestamp,
}

/// A subscription to one topic.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SubscriptionData {
    /// A class filter, which no broker runs any more.
    pub class_filter_mode: bool,
    /// The hash of each tag, see [`crate::protocol::message::tags::java_hash`].
    #[serde(deserialize_with = "numbers")]
    pub code_set: Vec<i32>,
    /// `TAG` or `SQL92`.
    #[serde(deserialize_with = "or_default")]
    pub expression_type: String,
    /// `*`, tags joined by `||`, or SQL.
    #[serde(deserialize_with = "or_default")]
    pub sub_string: String,
    /// Grows with each change.
    pub sub_version: i64,
    /// The tags; empty for `*` and SQL.
    #[serde(deserialize_with = "or_default")]
    pub tags_set: Vec<String>,
    /// The topic.
    pub topic: String,
}

impl SubscriptionData {
    /// The expression type that a missing one means.
    pub const TAG: &'static str = "TAG";
    /// The expression type of conditions on properties.
    pub const SQL92: &'static str = "SQL92";
    /// The subscription to everything.
    pub const ALL: &'static str = "*";

    /// A subscription by tags: `*` or empty for all, else tags joined by `||`.
    ///
    /// Source: RocketMQ 5.3.3 `remoting/protocol/filter/FilterAPI`.
    pub fn by_tags(topic: impl Into<String>, expression: &str, version: i64) -> Self {
        let expression = expression.trim();
        let is_all = expression.is_empty() || expression == Self::ALL;
        let tags: Vec<String> = expression
            .split("||")
            .map(str::trim)
            .filter(|tag| !tag.is_empty() && !is_all)
            .map(str::to_owned)
            .collect();
        Self {
            class_filter_mode: false,
            code_set: tags
                .iter()
                .map(|tag| crate::protocol::message::tags::java_hash(tag))
                .collect(),
            expression_type: Self::TAG.to_owned(),
            sub_string: if is_all { Self::ALL.to_owned() } else { expression.to_owned() },
            sub_version: version,
            tags_set: tags,
            topic: topic.into(),
        }
    }

    /// A subscription by a condition on properties, in SQL92.
    pub fn by_sql(topic: impl Into<String>, condition: &str, version: i64) -> Self {
        Self {
            expression_type: Self::SQL92.to_owned(),
            sub_string: condition.to_owned(),
            sub_version: version,
            topic: topic.into(),
            ..Self::default()
        }
    }

    /// Whether it asks for every tag.
    pub fn is_all(&self) -> bool {
        self.sub_string == Self::ALL
    }
}

/// A value that may stand there as null.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Numbers, which Go's client writes as strings.
fn numbers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<i32>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Number {
        Number(i32),
        Text(String),
    }
    let numbers = Option::<Vec<Number>>::deserialize(deserializer)?.unwrap_or_default();
    let parse = |number| match number {
        Number::Number(number) => Ok(number),
        Number::Text(text) => text.parse().map_err(serde::de::Error::custom),
    };
    numbers.into_iter().map(parse).collect()
}

/// The live members of a consumer group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GetConsumerListByGroupResponseBody {
    /// Their client ids.
    pub consumer_id_list: Vec<String>,
}

/// A subscription that the broker shall check.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CheckClientRequestBody {
    /// The client's id.
    pub client_id: String,
    /// The consumer group.
    pub group: String,
    /// The subscription.
    pub subscription_data: SubscriptionData,
}

/// One connection of a group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Connection {
    /// `ip:port` of the client.
    pub client_addr: String,
    /// The client's id.
    pub client_id: String,
    /// Its language, by name.
    pub language: String,
    /// Its release.
    pub version: i32,
}

/// The live connections of a consumer group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumerConnection {
    /// The connections.
    pub connection_set: Vec<Connection>,
    /// Where a new group starts.
    pub consume_from_where: ConsumeFromWhere,
    /// How it receives.
    pub consume_type: ConsumeType,
    /// Whether members share the messages.
    pub message_model: MessageModel,
    /// Subscriptions by topic.
    pub subscription_table: BTreeMap<String, SubscriptionData>,
}

/// The live connections of a producer group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProducerConnection {
    /// The connections.
    pub connection_set: Vec<Connection>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::body::Body;

    #[test]
    fn javas_heartbeat_is_read_and_written_to_the_letter() {
        let text = r#"{"clientID":"10.0.0.9@1234#5678","consumerDataSet":[{"consumeFromWhere":"CONSUME_FROM_LAST_OFFSET","consumeType":"CONSUME_PASSIVELY","groupName":"g","messageModel":"CLUSTERING","subscriptionDataSet":[{"classFilterMode":false,"codeSet":[2598919,2598920],"expressionType":"TAG","subString":"TagA || TagB","subVersion":1700000000000,"tagsSet":["TagA","TagB"],"topic":"t"}],"unitMode":false}],"heartbeatFingerprint":0,"producerDataSet":[{"groupName":"pg"}],"withoutSub":false}"#;
        let heartbeat = HeartbeatData::decode(text.as_bytes()).unwrap();
        assert_eq!(String::from_utf8(heartbeat.encode()).unwrap(), text);
        let subscription = SubscriptionData::by_tags("t", " TagA || TagB ", 1_700_000_000_000);
        assert_eq!(heartbeat.consumer_data_set[0].subscription_data_set, [subscription]);
    }

    #[test]
    fn gos_heartbeat_has_numbers_as_strings_and_nulls() {
        let text = r#"{"clientID":"c","consumerDataSet":[{"groupName":"g","messageModel":"CLUSTERING","consumeType":"CONSUME_PASSIVELY","consumeFromWhere":"CONSUME_FROM_LAST_OFFSET","subscriptionDataSet":[{"topic":"t","subString":"*","tagsSet":null,"codeSet":["97"],"subVersion":1,"expressionType":null}]}]}"#;
        let heartbeat = HeartbeatData::decode(text.as_bytes()).unwrap();
        let subscription = &heartbeat.consumer_data_set[0].subscription_data_set[0];
        assert_eq!(subscription.code_set, [97]);
        assert!(subscription.is_all());
    }
}
