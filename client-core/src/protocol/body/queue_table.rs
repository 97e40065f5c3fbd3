//! A map keyed by queues, which fastjson writes with objects for keys.

use std::collections::BTreeMap;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::MessageQueue;

/// Values by queue. Written with each queue's JSON text as the key, which Java reads like its own
/// form; read in either.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueTable<T>(pub BTreeMap<MessageQueue, T>);

impl<T> Default for QueueTable<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T: Serialize> Serialize for QueueTable<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let key = |queue| serde_json::to_string(queue).unwrap_or_default();
        serializer.collect_map(self.0.iter().map(|(queue, value)| (key(queue), value)))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for QueueTable<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let table = BTreeMap::<String, T>::deserialize(deserializer)?;
        let parse = |(key, value): (String, T)| {
            serde_json::from_str(&key).map(|queue| (queue, value)).map_err(D::Error::custom)
        };
        table.into_iter().map(parse).collect::<Result<_, _>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::body::{Body, TopicStatsTable};

    #[test]
    fn both_forms_of_keys_are_read() {
        let javas = r#"{"offsetTable":{{"brokerName":"b","queueId":3,"topic":"t"}:{"lastUpdateTimestamp":0,"maxOffset":9,"minOffset":0}},"topicPutTps":0.0}"#;
        let table = TopicStatsTable::decode(javas.as_bytes()).unwrap();
        let queue = MessageQueue { broker_name: "b".into(), queue_id: 3, topic: "t".into() };
        assert_eq!(table.offset_table.0[&queue].max_offset, 9);
        assert_eq!(TopicStatsTable::decode(&table.encode()).unwrap(), table);
    }
}
