//! Consumer groups: codes 200, 201, 207, 208 and 352.
//!
//! Source: RocketMQ 5.3.3 `broker/processor/AdminBrokerProcessor`.

use oxmq::protocol::body::{
    Body, ConsumeStats, MessageQueue, OffsetWrapper, SubscriptionGroupConfig,
};
use oxmq::protocol::command::RemotingCommand;
use oxmq::protocol::header::{
    DeleteSubscriptionGroupRequestHeader, GetConsumeStatsRequestHeader, GroupRequestHeader,
};

use crate::core::Core;
use crate::meta::groups::no_group;
use crate::reply::{Reply, Served};

/// Code 200: makes or changes a group.
pub(crate) fn create(core: &Core, request: &RemotingCommand) -> Served {
    let group = SubscriptionGroupConfig::decode(&request.body)?;
    core.groups.put(group, core.clock.now_ms())?;
    Ok(Reply::done())
}

/// Code 207: removes a group, and its offsets if that is asked for.
pub(crate) fn delete(core: &Core, request: &RemotingCommand) -> Served {
    let header: DeleteSubscriptionGroupRequestHeader = request.header()?;
    core.groups.remove(&header.group_name, core.clock.now_ms())?;
    if header.clean_offset == Some(true) || header.remove_offset == Some(true) {
        core.offsets.remove_group(&header.group_name);
    }
    Ok(Reply::done())
}

/// Code 352: one group.
pub(crate) fn get(core: &Core, request: &RemotingCommand) -> Served {
    let header: GroupRequestHeader = request.header()?;
    let group = core.groups.get(&header.group).ok_or_else(|| no_group(&header.group))?;
    Ok(Reply::body(group.encode()))
}

/// Code 201: all groups.
pub(crate) fn all(core: &Core) -> Reply {
    Reply::body(core.groups.all().encode())
}

/// Code 208: how far a group is.
pub(crate) fn stats(core: &Core, request: &RemotingCommand) -> Served {
    let header: GetConsumeStatsRequestHeader = request.header()?;
    let group = header.consumer_group;
    let topics = match header.topic.filter(|topic| !topic.is_empty()) {
        Some(topic) => vec![topic],
        None => core.offsets.topics_of(&group),
    };
    let mut stats = ConsumeStats::default();
    for topic in topics {
        let Some(config) = core.topics.get(&topic) else { continue };
        let queues = (0..config.read_queue_nums).map(|queue_id| {
            let queue = MessageQueue {
                broker_name: core.config.broker_name.clone(),
                queue_id,
                topic: topic.clone(),
            };
            (queue, progress(core, &group, &topic, queue_id))
        });
        stats.offset_table.0.extend(queues);
    }
    Ok(Reply::body(stats.encode()))
}

pub(super) fn progress(core: &Core, group: &str, topic: &str, queue_id: i32) -> OffsetWrapper {
    let consumer_offset = core.offsets.committed(group, topic, queue_id).unwrap_or_default();
    let last = core.store.store_time(topic, queue_id, consumer_offset - 1);
    OffsetWrapper {
        broker_offset: core.store.max_offset(topic, queue_id),
        consumer_offset,
        last_timestamp: last.unwrap_or_default(),
        pull_offset: consumer_offset,
    }
}
