//! The end of a transaction: what a commit or a roll-back stores.
//!
//! Source: RocketMQ 5.3.3 `broker/processor/EndTransactionProcessor`.

use oxmq::protocol::code::ResponseCode;
use oxmq::protocol::header::EndTransactionRequestHeader;
use oxmq::protocol::message::properties::name;
use oxmq::protocol::message::{Record, sys_flag};
use oxmq::protocol::names::HALF_TOPIC;

use super::{immunity_ms, op, real_place};
use crate::core::Core;
use crate::meta::topics::no_topic;
use crate::reply::Refusal;
use crate::store::PutMessage;

/// Ends a transaction; returns the end of the log after what was stored for that. The committed
/// message and the op message are stored in one turn: both or neither.
///
/// # Errors
/// It is not this group's half message, or comes too late; the store refuses.
pub(crate) fn end(
    core: &Core,
    header: &EndTransactionRequestHeader,
    is_commit: bool,
) -> Result<i64, Refusal> {
    let bytes = core.store.record_at(header.commit_log_offset).ok_or_else(not_there)?;
    let (half, _) = Record::decode(&bytes)?.ok_or_else(not_there)?;
    check_age(core, header, &half)?;
    check_half(header, &half)?;
    let body = op::body(half.queue_offset);
    let op = op::message(core, half.queue_id, &body);
    let mut puts = Vec::with_capacity(2);
    let turn = if is_commit {
        core.store.put(&[committed(core, &half)?, op], &mut puts)?
    } else {
        core.store.put(&[op], &mut puts)?
    };
    core.statistics.stored(puts.len(), puts.iter().map(|put| u64::from(put.length)).sum());
    Ok(turn.end_offset)
}

/// The message as consumers will get it.
fn committed<'a>(core: &Core, half: &Record<'a>) -> Result<PutMessage<'a>, Refusal> {
    let (topic, queue_id) =
        real_place(half).ok_or_else(|| refused("the half message does not say where it goes"))?;
    let config = core.topics.get(topic).ok_or_else(|| no_topic(topic, ""))?;
    if !(0..config.write_queue_nums.max(config.read_queue_nums)).contains(&queue_id) {
        return Err(refused(format!("the topic `{topic}` has no queue {queue_id}")));
    }
    Ok(PutMessage {
        topic,
        queue_id,
        flag: half.flag,
        sys_flag: half.sys_flag & !sys_flag::TRANSACTION_MASK | sys_flag::TRANSACTION_COMMIT,
        born_timestamp: half.born_timestamp,
        born_host: half.born_host,
        store_host: half.store_host,
        reconsume_times: half.reconsume_times,
        prepared_transaction_offset: half.physical_offset,
        body: half.body,
        properties: half.properties,
    })
}

/// A message that says how long its producer is left in peace is, after that, ended only by the
/// answer to a check.
fn check_age(
    core: &Core,
    header: &EndTransactionRequestHeader,
    half: &Record<'_>,
) -> Result<(), Refusal> {
    if header.from_transaction_check == Some(true) {
        return Ok(());
    }
    let age = core.clock.now_ms().saturating_sub(half.born_timestamp);
    match immunity_ms(core, half) {
        Some(immunity) if age > immunity => Err(Refusal::new(
            ResponseCode::ILLEGAL_OPERATION,
            format!("the message is {age} ms old: its producer will be asked"),
        )),
        _ => Ok(()),
    }
}

/// Whether the record is the half message that the request means.
fn check_half(header: &EndTransactionRequestHeader, half: &Record<'_>) -> Result<(), Refusal> {
    let reason = if half.topic != HALF_TOPIC {
        "that is no half message"
    } else if half.property(name::PRODUCER_GROUP) != Some(&header.producer_group) {
        "the half message is another producer group's"
    } else if half.queue_offset != header.tran_state_table_offset {
        "the half message has another queue offset"
    } else {
        return Ok(());
    };
    Err(refused(reason))
}

fn refused(remark: impl Into<Box<str>>) -> Refusal {
    Refusal::new(ResponseCode::SYSTEM_ERROR, remark)
}

fn not_there() -> Refusal {
    refused("there is no half message at that offset of the commit log")
}
