//! A consumer hands a message back: code 36.
//!
//! It goes to the group's retry topic, through the delay level asked for; or to its dead-letter
//! topic when it was handed back too often.
//!
//! Source: RocketMQ 5.3.3 `broker/processor/AbstractSendMessageProcessor.consumerSendMsgBack`.

use oxmq::protocol::body::{SubscriptionGroupConfig, perm};
use oxmq::protocol::code::ResponseCode;
use oxmq::protocol::command::RemotingCommand;
use oxmq::protocol::header::ConsumerSendMsgBackRequestHeader;
use oxmq::protocol::message::id::offset_message_id;
use oxmq::protocol::message::properties::name;
use oxmq::protocol::message::{Properties, Record, sys_flag};
use oxmq::protocol::names;

use super::Caller;
use super::flush_wait::FlushWait;
use crate::core::Core;
use crate::meta::groups::no_group;
use crate::reply::{Refusal, Reply, ReplyTo};
use crate::server::Outgoing;
use crate::store::PutMessage;

/// From this release on a client's own limit of retries counts.
const HONOURS_MAX_RETRIES: i32 = 121;

/// The delay level of a first retry that names none.
const FIRST_RETRY_LEVEL: i32 = 3;

/// Serves the request; the answer may wait for the disk.
pub(crate) fn send_back(
    core: &Core,
    caller: &Caller,
    request: &RemotingCommand,
    flush_wait: &mut FlushWait,
    out: &mut Outgoing,
) {
    let to = ReplyTo::new(request);
    let served = store_again(core, request);
    if request.is_one_way() {
        return;
    }
    match served {
        Ok(end_offset) => {
            flush_wait.answer(core, caller, (to, end_offset), Reply::done(), out);
        }
        Err(refusal) => out.command(&to.served(Err(refusal))),
    }
}

/// Stores the message again; returns the end of the log after it, if the group retries at all.
fn store_again(core: &Core, request: &RemotingCommand) -> Result<Option<i64>, Refusal> {
    let header: ConsumerSendMsgBackRequestHeader = request.header()?;
    let group = core.groups.get(&header.group).ok_or_else(|| no_group(&header.group))?;
    if core.config.broker_permission & perm::WRITE == 0 {
        return Err(Refusal::new(ResponseCode::NO_PERMISSION, "the broker takes no messages"));
    }
    if group.retry_queue_nums <= 0 {
        return Ok(None);
    }
    let bytes = core.store.record_at(header.offset).ok_or_else(|| not_there(header.offset))?;
    let (record, _) = Record::decode(&bytes)?.ok_or_else(|| not_there(header.offset))?;
    if record.sys_flag & sys_flag::INNER_BATCH != 0 {
        let remark = "a message of an inner batch cannot be handed back alone";
        return Err(Refusal::new(ResponseCode::MESSAGE_ILLEGAL, remark));
    }
    let theirs = header.max_reconsume_times.filter(|_| request.version >= HONOURS_MAX_RETRIES);
    let limit = theirs.unwrap_or(group.retry_max_times);
    let is_over = record.reconsume_times >= limit || header.delay_level < 0;
    let mut properties = kept_properties(&record);
    let (topic, queue_id) = if is_over {
        to_dead_letters(core, &record, &header.group, &mut properties)?
    } else {
        to_retry(core, &record, &group, header.delay_level, &mut properties)?
    };
    let message = PutMessage {
        topic: &topic,
        queue_id,
        flag: record.flag,
        sys_flag: record.sys_flag,
        born_timestamp: record.born_timestamp,
        born_host: record.born_host,
        store_host: core.store_host,
        reconsume_times: record.reconsume_times.saturating_add(1),
        prepared_transaction_offset: 0,
        body: record.body,
        properties: properties.as_encoded(),
    };
    let (_, end_offset) = core.put_one(message)?;
    tracing::debug!(group = header.group, topic, offset = header.offset, "message handed back");
    Ok(Some(end_offset))
}

/// The properties of the message, told where it came from first.
fn kept_properties(record: &Record<'_>) -> Properties {
    let mut properties = Properties::from_encoded(record.properties);
    if properties.get(name::RETRY_TOPIC).is_none() {
        properties.set(name::RETRY_TOPIC, record.topic);
    }
    if properties.get(name::ORIGIN_MESSAGE_ID).is_none() {
        let id = offset_message_id(record.store_host, record.physical_offset);
        properties.set(name::ORIGIN_MESSAGE_ID, &id);
    }
    properties.set(name::WAIT_STORE_MSG_OK, "false");
    for stale in [name::DELAY_TIME_LEVEL, name::REAL_TOPIC, name::REAL_QUEUE_ID, name::POP_CK] {
        properties.remove(stale);
    }
    properties
}

fn to_retry(
    core: &Core,
    record: &Record<'_>,
    group: &SubscriptionGroupConfig,
    level: i32,
    properties: &mut Properties,
) -> Result<(String, i32), Refusal> {
    let topic = names::retry_topic(&group.group_name);
    core.ensure_topic(&topic, group.retry_queue_nums, perm::READ | perm::WRITE)?;
    let level = match level {
        0 => FIRST_RETRY_LEVEL.saturating_add(record.reconsume_times),
        level => level,
    };
    let level = level.min(core.config.delay_levels.max());
    let queue_id = core.next_queue(group.retry_queue_nums);
    properties.set(name::DELAY_TIME_LEVEL, &level.to_string());
    properties.set(name::REAL_TOPIC, &topic);
    properties.set(name::REAL_QUEUE_ID, &queue_id.to_string());
    Ok((names::SCHEDULE_TOPIC.to_owned(), level - 1))
}

fn to_dead_letters(
    core: &Core,
    record: &Record<'_>,
    group: &str,
    properties: &mut Properties,
) -> Result<(String, i32), Refusal> {
    let topic = names::dlq_topic(group);
    core.ensure_topic(&topic, 1, perm::READ | perm::WRITE)?;
    for (name, origin) in [
        (name::DLQ_ORIGIN_TOPIC, name::RETRY_TOPIC),
        (name::DLQ_ORIGIN_MESSAGE_ID, name::ORIGIN_MESSAGE_ID),
    ] {
        let origin = properties.get(origin).unwrap_or(record.topic).to_owned();
        properties.set(name, &origin);
    }
    Ok((topic, 0))
}

fn not_there(offset: i64) -> Refusal {
    Refusal::new(
        ResponseCode::SYSTEM_ERROR,
        format!("there is no message at offset {offset} of the commit log"),
    )
}
