//! Topics: codes 17, 21, 202, 215 and 351.
//!
//! Source: RocketMQ 5.3.3 `broker/processor/AdminBrokerProcessor`.

use std::collections::BTreeMap;

use oxmq::protocol::body::{
    Body, MessageQueue, QueueTable, TopicConfig, TopicOffset, TopicStatsTable,
};
use oxmq::protocol::code::ResponseCode;
use oxmq::protocol::command::RemotingCommand;
use oxmq::protocol::header::{CreateTopicRequestHeader, TopicRequestHeader};
use oxmq::protocol::names;

use super::shown;
use crate::core::Core;
use crate::meta::topics::no_topic;
use crate::reply::{Refusal, Reply, Served};

/// Attributes that a topic can have, and which of them may change later.
const ATTRIBUTES: [(&str, bool); 4] = [
    ("message.type", true),
    ("queue.type", false),
    ("cleanup.policy", false),
    ("reserve.time", true),
];

/// Code 17: makes or changes a topic.
pub(crate) fn create(core: &Core, request: &RemotingCommand) -> Served {
    let header: CreateTopicRequestHeader = request.header()?;
    names::check_topic(&header.topic)?;
    let cluster_or_broker = [&core.config.cluster, &core.config.broker_name];
    if names::is_system_topic(&header.topic) || cluster_or_broker.contains(&&header.topic) {
        return Err(invalid(format!("the topic `{}` is RocketMQ's own", header.topic)));
    }
    let known = core.topics.get(&header.topic);
    let before = known.map(|topic| topic.attributes.clone()).unwrap_or_default();
    let changes = header.attributes.as_deref().unwrap_or_default();
    let topic = TopicConfig {
        attributes: changed_attributes(before, changes)?,
        order: header.order.unwrap_or_default(),
        perm: header.perm,
        read_queue_nums: header.read_queue_nums,
        topic_filter_type: header.topic_filter_type.unwrap_or_else(|| "SINGLE_TAG".to_owned()),
        topic_sys_flag: header.topic_sys_flag.unwrap_or_default(),
        topic_name: header.topic,
        write_queue_nums: header.write_queue_nums,
    };
    core.put_topic(topic)?;
    Ok(Reply::done())
}

/// Applies `+key=value,-key` to a topic's attributes.
fn changed_attributes(
    mut attributes: BTreeMap<String, String>,
    changes: &str,
) -> Result<BTreeMap<String, String>, Refusal> {
    let is_new = attributes.is_empty();
    for change in changes.split(',').map(str::trim).filter(|change| !change.is_empty()) {
        let (key, value) = match change.strip_prefix('+').map(|pair| pair.split_once('=')) {
            Some(Some((key, value))) => (key, Some(value)),
            Some(None) => return Err(invalid(format!("`{}` has no value", shown(change)))),
            None => match change.strip_prefix('-') {
                Some(key) => (key, None),
                None => {
                    let remark = format!("`{}` begins with neither + nor -", shown(change));
                    return Err(invalid(remark));
                }
            },
        };
        let Some((_, may_change)) = ATTRIBUTES.iter().find(|(known, _)| *known == key) else {
            return Err(invalid(format!("topics have no attribute `{}`", shown(key))));
        };
        let is_same = attributes.get(key).map(String::as_str) == value;
        if !may_change && !is_new && !is_same {
            return Err(invalid(format!("the attribute `{key}` cannot be changed")));
        }
        match value {
            Some(value) => attributes.insert(key.to_owned(), value.to_owned()),
            None => attributes.remove(key),
        };
    }
    Ok(attributes)
}

/// Code 215: removes a topic.
pub(crate) fn delete(core: &Core, request: &RemotingCommand) -> Served {
    let header: TopicRequestHeader = request.header()?;
    names::check_topic(&header.topic)?;
    if names::is_system_topic(&header.topic) {
        return Err(invalid(format!("the topic `{}` is RocketMQ's own", header.topic)));
    }
    core.remove_topic(&header.topic)?;
    Ok(Reply::done())
}

/// Code 351: one topic.
pub(crate) fn get(core: &Core, request: &RemotingCommand) -> Served {
    let header: TopicRequestHeader = request.header()?;
    let topic =
        core.topics.get(&header.topic).ok_or_else(|| no_topic(&shown(&header.topic), ""))?;
    Ok(Reply::body(topic.encode()))
}

/// Code 21: all topics.
pub(crate) fn all(core: &Core) -> Reply {
    Reply::body(core.topics.all().encode())
}

/// Code 202: the offsets of a topic's queues.
pub(crate) fn stats(core: &Core, request: &RemotingCommand) -> Served {
    let header: TopicRequestHeader = request.header()?;
    let topic = header.topic;
    let config = core.topics.get(&topic).ok_or_else(|| no_topic(&shown(&topic), ""))?;
    let queues = config.read_queue_nums.max(config.write_queue_nums);
    let offsets = (0..queues).map(|queue_id| {
        let (min_offset, max_offset) =
            (core.store.min_offset(&topic, queue_id), core.store.max_offset(&topic, queue_id));
        let last = core.store.store_time(&topic, queue_id, max_offset - 1);
        let queue = MessageQueue {
            broker_name: core.config.broker_name.clone(),
            queue_id,
            topic: topic.clone(),
        };
        let last_update_timestamp = last.unwrap_or_default();
        (queue, TopicOffset { last_update_timestamp, max_offset, min_offset })
    });
    let table = TopicStatsTable { offset_table: QueueTable(offsets.collect()), topic_put_tps: 0.0 };
    Ok(Reply::body(table.encode()))
}

fn invalid(remark: impl Into<Box<str>>) -> Refusal {
    Refusal::new(ResponseCode::INVALID_PARAMETER, remark)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_added_changed_and_removed() {
        let none = BTreeMap::new();
        let made = changed_attributes(none, "+message.type=FIFO,+queue.type=SimpleCQ").unwrap();
        assert_eq!(made.len(), 2);
        let changed = changed_attributes(made.clone(), "+message.type=NORMAL").unwrap();
        assert_eq!(changed["message.type"], "NORMAL");
        let removed = changed_attributes(made.clone(), "-message.type").unwrap();
        assert_eq!(removed.len(), 1);
        for bad in ["+queue.type=BatchCQ", "-queue.type", "+colour=red", "message.type=x", "+a"] {
            assert!(changed_attributes(made.clone(), bad).is_err(), "{bad}");
        }
    }
}
