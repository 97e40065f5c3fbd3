//! Offsets: codes 14, 15, 29 to 32, and 43.
//!
//! Source: RocketMQ 5.3.3 `broker/processor/{ConsumerManageProcessor, AdminBrokerProcessor}`.

use oxmq::protocol::body::Body;
use oxmq::protocol::code::ResponseCode;
use oxmq::protocol::command::RemotingCommand;
use oxmq::protocol::header::{
    GetEarliestMsgStoretimeResponseHeader, OffsetResponseHeader, QueryConsumerOffsetRequestHeader,
    QueueRequestHeader, SearchOffsetRequestHeader, UpdateConsumerOffsetRequestHeader,
};

use super::shown;
use crate::core::Core;
use crate::meta::groups::no_group;
use crate::meta::topics::no_topic;
use crate::reply::{Refusal, Reply, Served};
use crate::store::Boundary;

/// Code 14: a group's committed offset.
///
/// A group without one that can still read its queue from the first message is told 0, as with
/// RocketMQ; unless it asks not to be.
pub(crate) fn query(core: &Core, request: &RemotingCommand) -> Served {
    let header: QueryConsumerOffsetRequestHeader = request.header()?;
    let QueryConsumerOffsetRequestHeader { consumer_group, topic, queue_id, .. } = &header;
    if let Some(offset) = core.offsets.committed(consumer_group, topic, *queue_id) {
        return Ok(offset_reply(offset));
    }
    let may_be_zero = header.set_zero_if_not_found != Some(false);
    if may_be_zero && core.store.min_offset(topic, *queue_id) <= 0 {
        return Ok(offset_reply(0));
    }
    let remark = format!(
        "the consumer group `{}` has no offset in queue {queue_id} of `{}`",
        shown(consumer_group),
        shown(topic)
    );
    Err(Refusal::new(ResponseCode::QUERY_NOT_FOUND, remark))
}

/// Code 15: a group commits an offset.
pub(crate) fn update(core: &Core, request: &RemotingCommand) -> Served {
    let header: UpdateConsumerOffsetRequestHeader =
        request.header().map_err(|error| invalid(error.to_string()))?;
    let UpdateConsumerOffsetRequestHeader { consumer_group, topic, queue_id, commit_offset } =
        &header;
    core.groups.get(consumer_group).ok_or_else(|| no_group(consumer_group))?;
    core.topics.get(topic).ok_or_else(|| no_topic(&shown(topic), ""))?;
    if *queue_id < 0 {
        return Err(invalid(format!("there is no queue {queue_id}")));
    }
    core.offsets.commit(consumer_group, topic, *queue_id, *commit_offset);
    Ok(Reply::done())
}

/// Code 29: the offset at a time.
pub(crate) fn search(core: &Core, request: &RemotingCommand) -> Served {
    let header: SearchOffsetRequestHeader = request.header()?;
    let is_upper =
        header.boundary_type.as_deref().is_some_and(|kind| kind.eq_ignore_ascii_case("upper"));
    let boundary = if is_upper { Boundary::Upper } else { Boundary::Lower };
    let SearchOffsetRequestHeader { topic, queue_id, timestamp, .. } = &header;
    Ok(offset_reply(core.store.offset_by_time(topic, *queue_id, *timestamp, boundary)))
}

/// Code 30: a queue's end.
pub(crate) fn max(core: &Core, request: &RemotingCommand) -> Served {
    let header: QueueRequestHeader = request.header()?;
    Ok(offset_reply(core.store.max_offset(&header.topic, header.queue_id)))
}

/// Code 31: a queue's first offset.
pub(crate) fn min(core: &Core, request: &RemotingCommand) -> Served {
    let header: QueueRequestHeader = request.header()?;
    Ok(offset_reply(core.store.min_offset(&header.topic, header.queue_id)))
}

/// Code 32: when a queue's first message was stored.
pub(crate) fn earliest(core: &Core, request: &RemotingCommand) -> Served {
    let header: QueueRequestHeader = request.header()?;
    let timestamp = core.store.earliest_store_time(&header.topic, header.queue_id).unwrap_or(-1);
    Ok(Reply::fields(&GetEarliestMsgStoretimeResponseHeader { timestamp }))
}

/// Code 43: all committed offsets.
pub(crate) fn all(core: &Core) -> Reply {
    Reply::body(core.offsets.all().encode())
}

fn offset_reply(offset: i64) -> Reply {
    Reply::fields(&OffsetResponseHeader { offset })
}

fn invalid(remark: impl Into<Box<str>>) -> Refusal {
    Refusal::new(ResponseCode::INVALID_PARAMETER, remark)
}
