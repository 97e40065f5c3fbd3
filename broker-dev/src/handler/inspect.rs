//! What operators ask about topics and groups: codes 300, 303, 305, 317, 328, 343 and 345.
//!
//! Source: RocketMQ 5.3.3 `broker/processor/AdminBrokerProcessor`.

use std::collections::{BTreeMap, BTreeSet};

use oxmq::protocol::body::{
    Body, ConsumeStats, ConsumeStatsList, GroupList, MessageQueue, ProducerInfo, ProducerTableInfo,
    QueryConsumeTimeSpanBody, QuerySubscriptionResponseBody, QueueTimeSpan, TopicList,
};
use oxmq::protocol::command::RemotingCommand;
use oxmq::protocol::header::{
    GetConsumeStatsInBrokerHeader, GroupRequestHeader, TopicGroupRequestHeader, TopicRequestHeader,
};
use oxmq::protocol::names;

use super::group::progress;
use super::shown;
use crate::core::Core;
use crate::meta::topics::no_topic;
use crate::reply::{Reply, Served};

/// Code 300: the groups that consume a topic, now or in the past.
pub(crate) fn groups_of_topic(core: &Core, request: &RemotingCommand) -> Served {
    let header: TopicRequestHeader = request.header()?;
    let mut groups: BTreeSet<String> = core.consumers.subscribed_to(&header.topic);
    groups.extend(core.offsets.groups_of(&header.topic).into_keys());
    Ok(Reply::body(GroupList { group_list: groups.into_iter().collect() }.encode()))
}

/// Code 343: the topics in which a group has an offset.
pub(crate) fn topics_of_group(core: &Core, request: &RemotingCommand) -> Served {
    let header: GroupRequestHeader = request.header()?;
    let topic_list = core.offsets.topics_of(&header.group);
    let broker_addr = Some(core.store_host.to_string());
    Ok(Reply::body(TopicList { broker_addr, topic_list }.encode()))
}

/// Code 345: what a group subscribes to in a topic.
pub(crate) fn subscription(core: &Core, request: &RemotingCommand) -> Served {
    let header: TopicGroupRequestHeader = request.header()?;
    let topic = header.topic.unwrap_or_default();
    let known = core.consumers.subscription(&header.group, &topic);
    let subscription_data =
        known.and_then(|(subscription, _)| subscription).map(|known| known.data.clone());
    let body = QuerySubscriptionResponseBody { subscription_data, group: header.group, topic };
    Ok(Reply::body(body.encode()))
}

/// Code 303: from when to when the messages of a topic are, and where a group is.
pub(crate) fn time_span(core: &Core, request: &RemotingCommand) -> Served {
    let header: TopicGroupRequestHeader = request.header()?;
    let (topic, group) = (header.topic.unwrap_or_default(), header.group);
    let config = core.topics.get(&topic).ok_or_else(|| no_topic(&shown(&topic), ""))?;
    let now_ms = core.clock.now_ms();
    let span = |queue_id| {
        let stored_at = |offset| core.store.store_time(&topic, queue_id, offset).unwrap_or(-1);
        let min_time_stamp = core.store.earliest_store_time(&topic, queue_id).unwrap_or(-1);
        let end = core.store.max_offset(&topic, queue_id);
        let offset = core.offsets.committed(&group, &topic, queue_id).unwrap_or(-1);
        let next = if offset < end { stored_at(offset) } else { now_ms };
        QueueTimeSpan {
            message_queue: queue(core, &topic, queue_id),
            min_time_stamp,
            max_time_stamp: stored_at(end - 1),
            consume_time_stamp: if offset > 0 { stored_at(offset - 1) } else { min_time_stamp },
            delay_time: now_ms - next,
        }
    };
    let consume_time_span_set = (0..config.write_queue_nums).map(span).collect();
    Ok(Reply::body(QueryConsumeTimeSpanBody { consume_time_span_set }.encode()))
}

/// Code 305: RocketMQ's own topics.
pub(crate) fn system_topics(core: &Core) -> Reply {
    let all = core.topics.all().topic_config_table.into_keys();
    let topic_list = all.filter(|topic| names::is_system_topic(topic)).collect();
    Reply::body(TopicList { broker_addr: None, topic_list }.encode())
}

/// Code 317: the progress of all groups.
pub(crate) fn all_progress(core: &Core, request: &RemotingCommand) -> Served {
    let header: GetConsumeStatsInBrokerHeader = request.header()?;
    let mut list = ConsumeStatsList {
        broker_addr: core.store_host.to_string(),
        ..ConsumeStatsList::default()
    };
    for group in core.groups.all().subscription_group_table.into_keys() {
        let stats = group_progress(core, &group, header.is_order);
        for wrapper in stats.iter().flat_map(|stats| stats.offset_table.0.values()) {
            list.total_diff += wrapper.broker_offset - wrapper.consumer_offset;
            list.total_inflight_diff += wrapper.pull_offset - wrapper.consumer_offset;
        }
        list.consume_stats_list.push(BTreeMap::from([(group, stats)]));
    }
    Ok(Reply::body(list.encode()))
}

/// A group's progress in each topic that it consumes.
fn group_progress(core: &Core, group: &str, only_ordered: bool) -> Vec<ConsumeStats> {
    let subscriptions = core.consumers.view(group).map(|view| view.subscriptions);
    let is_wanted = |topic: &str| {
        let subscriptions = subscriptions.as_deref().unwrap_or_default();
        subscriptions.is_empty() || subscriptions.iter().any(|wanted| wanted.topic == topic)
    };
    let topics = core.offsets.topics_of(group).into_iter();
    let configs = topics.filter_map(|topic| core.topics.get(&topic));
    configs
        .filter(|topic| is_wanted(&topic.topic_name) && (topic.order || !only_ordered))
        .map(|topic| {
            let mut stats = ConsumeStats::default();
            stats.offset_table.0 = (0..topic.write_queue_nums)
                .map(|queue_id| {
                    let name = &topic.topic_name;
                    (queue(core, name, queue_id), progress(core, group, name, queue_id))
                })
                .collect();
            stats
        })
        .collect()
}

/// Code 328: all producers.
pub(crate) fn producers(core: &Core) -> Reply {
    let now = core.liveness.now();
    let now_ms = core.clock.now_ms();
    let mut data: BTreeMap<String, Vec<ProducerInfo>> = BTreeMap::new();
    for (group, client_id, member, at) in core.producers.all() {
        let silent_ms = i64::try_from(now.saturating_sub(at).as_millis()).unwrap_or(i64::MAX);
        data.entry(group).or_default().push(ProducerInfo {
            client_id,
            remote_ip: member.address.ip().to_string(),
            language: member.language.name().to_owned(),
            version: member.version,
            last_update_timestamp: now_ms.saturating_sub(silent_ms),
        });
    }
    Reply::body(ProducerTableInfo { data }.encode())
}

fn queue(core: &Core, topic: &str, queue_id: i32) -> MessageQueue {
    let broker_name = core.config.broker_name.clone();
    MessageQueue { broker_name, queue_id, topic: topic.to_owned() }
}
