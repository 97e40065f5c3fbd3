//! Offsets that an operator sets: codes 222, 308 and 314.
//!
//! A reset is kept by the broker until the group's next pull of the queue, which is told to go on
//! from there; pulls that wait are woken for it. Until then the members' own commits do not count.
//!
//! Source: RocketMQ 5.3.3 `broker/processor/AdminBrokerProcessor`, `broker/offset/
//! ConsumerOffsetManager` with `useServerSideResetOffset`, its default. Differs: in code 308, Apache
//! forgets the offsets of the groups that are to be left out.

use std::collections::BTreeMap;

use oxmq::protocol::body::{Body, MessageQueue, QueryCorrectionOffsetBody, ResetOffsetBody};
use oxmq::protocol::code::ResponseCode;
use oxmq::protocol::command::RemotingCommand;
use oxmq::protocol::header::{
    CloneGroupOffsetRequestHeader, QueryCorrectionOffsetHeader, ResetOffsetRequestHeader,
};

use super::shown;
use crate::core::Core;
use crate::events::Wake;
use crate::meta::groups::no_group;
use crate::meta::topics::no_topic;
use crate::reply::{Refusal, Reply, Served};
use crate::store::Boundary;

/// Code 222: sets a group's offsets to a time, or in one queue to an offset.
pub(crate) fn reset(core: &Core, request: &RemotingCommand) -> Served {
    let header: ResetOffsetRequestHeader = request.header()?;
    let ResetOffsetRequestHeader { topic, group, .. } = &header;
    let config = core.topics.get(topic).ok_or_else(|| no_topic(&shown(topic), ""))?;
    core.groups.get(group).ok_or_else(|| no_group(group))?;
    let offsets: BTreeMap<i32, i64> = match header.queue_id.filter(|queue_id| *queue_id >= 0) {
        Some(queue_id) => BTreeMap::from([(queue_id, target(core, &header, queue_id)?)]),
        None => (0..config.read_queue_nums)
            .map(|queue_id| (queue_id, at_time(core, &header, queue_id)))
            .collect(),
    };
    let mut body = ResetOffsetBody::default();
    for (queue_id, offset) in offsets {
        core.offsets.reset(group, topic, queue_id, offset);
        core.events.long_poll.wake(topic, queue_id, Wake::wake);
        let broker_name = core.config.broker_name.clone();
        let queue = MessageQueue { broker_name, queue_id, topic: topic.clone() };
        body.offset_table.0.insert(queue, offset);
    }
    Ok(Reply::body(body.encode()))
}

fn target(core: &Core, header: &ResetOffsetRequestHeader, queue_id: i32) -> Result<i64, Refusal> {
    let Some(offset) = header.offset.filter(|offset| *offset != -1) else {
        return Ok(at_time(core, header, queue_id));
    };
    let topic = &header.topic;
    let (min, max) =
        (core.store.min_offset(topic, queue_id), core.store.max_offset(topic, queue_id));
    if !(min..=max.saturating_add(1)).contains(&offset) {
        let remark =
            format!("the offset {offset} is not within the queue, which goes from {min} to {max}");
        return Err(Refusal::new(ResponseCode::SYSTEM_ERROR, remark));
    }
    Ok(offset)
}

fn at_time(core: &Core, header: &ResetOffsetRequestHeader, queue_id: i32) -> i64 {
    match header.timestamp {
        ..0 => core.store.max_offset(&header.topic, queue_id),
        time => core.store.offset_by_time(&header.topic, queue_id, time, Boundary::Lower),
    }
}

/// Code 314: gives one group the offsets of another.
pub(crate) fn copy(core: &Core, request: &RemotingCommand) -> Served {
    let header: CloneGroupOffsetRequestHeader = request.header()?;
    let topics = match header.topic.filter(|topic| !topic.trim().is_empty()) {
        Some(topic) => vec![topic],
        None => core.offsets.topics_of(&header.src_group),
    };
    let is_offline = header.offline.unwrap_or_default();
    let view = core.consumers.view(&header.src_group);
    for topic in topics {
        let is_subscribed = view.as_ref().is_none_or(|view| {
            view.subscriptions.is_empty() || view.subscriptions.iter().any(|it| it.topic == topic)
        });
        if core.topics.get(&topic).is_some() && (is_offline || is_subscribed) {
            core.offsets.copy(&header.src_group, &header.dest_group, &topic);
        }
    }
    Ok(Reply::done())
}

/// Code 308: the smallest offset of all groups in each queue; the greatest number there is where
/// the group to compare with is behind all others.
pub(crate) fn correction(core: &Core, request: &RemotingCommand) -> Served {
    let header: QueryCorrectionOffsetHeader = request.header()?;
    let left_out: Vec<&str> =
        header.filter_groups.as_deref().unwrap_or_default().split(',').collect();
    let mut smallest: BTreeMap<i32, i64> = BTreeMap::new();
    for (group, queues) in core.offsets.groups_of(&header.topic) {
        if left_out.contains(&&*group) {
            continue;
        }
        for (queue_id, offset) in queues {
            if offset >= core.store.min_offset(&header.topic, queue_id) {
                let known = smallest.entry(queue_id).or_insert(offset);
                *known = offset.min(*known);
            }
        }
    }
    for (queue_id, offset) in core.offsets.of(&header.compare_group, &header.topic) {
        if let Some(known) = smallest.get_mut(&queue_id)
            && *known > offset
        {
            *known = i64::MAX;
        }
    }
    Ok(Reply::body(QueryCorrectionOffsetBody { correction_offsets: smallest }.encode()))
}
