//! Asking producers about transactions that have not ended.
//!
//! One round goes through the half messages from the group's offset on. Settled ones are passed;
//! for one that is old enough, a copy with one more check on its count goes to the end of the half
//! topic, and one live producer of the group is asked about the copy. After the last check, or when
//! the log may lose it soon, a message is put aside.
//!
//! Source: RocketMQ 5.3.3 `TransactionalMessageServiceImpl.check`,
//! `DefaultTransactionalMessageCheckListener`. Differs: all op messages are read before anything
//! is decided; after the last check, too, the producer has one interval to answer; a copy that was
//! made because its message is still immune does not count as a check; copies keep the
//! application's flag.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use oxmq::protocol::body::perm;
use oxmq::protocol::code::RequestCode;
use oxmq::protocol::command::RemotingCommand;
use oxmq::protocol::header::CheckTransactionStateRequestHeader;
use oxmq::protocol::message::id::offset_message_id;
use oxmq::protocol::message::properties::name;
use oxmq::protocol::message::{Properties, Record, record};
use oxmq::protocol::names::{HALF_TOPIC, OP_HALF_TOPIC, TRANS_CHECK_MAX_TIME_TOPIC};

use super::{GROUP, immunity_ms, op, real_place, timeout_ms};
use crate::core::Core;
use crate::server::Event;
use crate::store::{GetLimits, GetStatus, Put, PutMessage, StoreError};

/// How much is read at a time.
const LIMITS: GetLimits = GetLimits { max_messages: 32, max_bytes: 1 << 20 };

/// The half topic has one queue.
const QUEUE: i32 = 0;

/// Half messages older than this may leave the log any time: Apache's time of keeping files.
const OLDEST_MS: i64 = 72 * 3_600_000;

/// The most settled offsets that one round keeps in mind.
const MOST_SETTLED: usize = 4_000_000;

/// When the last round was.
#[derive(Debug)]
pub(crate) struct Checks(Mutex<Duration>);

/// The op messages from the group's offset on.
#[derive(Debug, Default)]
struct Settled {
    offsets: HashSet<i64>,
    /// Each op message's offset, and the highest half message that it settles.
    ops: Vec<(i64, i64)>,
    next: i64,
    is_whole: bool,
}

/// What a round does about a half message.
enum Step {
    /// It is settled, or cared for.
    Next,
    /// It and those after it are too young.
    Stop,
}

impl Checks {
    /// The first round is one interval after `now`.
    pub(crate) fn starting_at(now: Duration) -> Self {
        Self(Mutex::new(now))
    }

    /// Does a round if it is time for one. Returns how many producers were asked.
    ///
    /// # Errors
    /// The store refuses; what was done counts.
    pub(crate) fn round_if_due(&self, core: &Core) -> Result<usize, StoreError> {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = core.clock.monotonic();
        let interval = Duration::from(core.config.transaction_check_interval);
        if now.saturating_sub(*last) < interval {
            return Ok(0);
        }
        *last = now;
        round(core)
    }
}

/// Where the group stands in a queue.
fn offset(core: &Core, topic: &str) -> i64 {
    let (min, max) = (core.store.min_offset(topic, QUEUE), core.store.max_offset(topic, QUEUE));
    core.offsets.committed(GROUP, topic, QUEUE).unwrap_or(min).clamp(min, max.max(min))
}

fn round(core: &Core) -> Result<usize, StoreError> {
    let started = core.clock.now_ms();
    let first = offset(core, HALF_TOPIC);
    if first >= core.store.max_offset(HALF_TOPIC, QUEUE) {
        return Ok(0);
    }
    let op_first = offset(core, OP_HALF_TOPIC);
    let settled = read_ops(core, op_first);
    let mut next = first;
    let mut asked = 0;
    let result = walk(core, &settled, started, &mut next, &mut asked);
    if next != first {
        core.offsets.commit(GROUP, HALF_TOPIC, QUEUE, next);
    }
    let done = settled.ops.iter().find(|(_, highest)| *highest >= next);
    let op_next = done.map_or(settled.next, |(offset, _)| *offset);
    if op_next != op_first {
        core.offsets.commit(GROUP, OP_HALF_TOPIC, QUEUE, op_next);
    }
    result.map(|()| asked)
}

fn read_ops(core: &Core, first: i64) -> Settled {
    let mut settled = Settled { next: first, ..Settled::default() };
    while settled.offsets.len() < MOST_SETTLED {
        let found = core.store.get(OP_HALF_TOPIC, QUEUE, settled.next, LIMITS, &|_| true);
        for op in found.segments.iter().flat_map(|segment| record::iter(segment)).flatten() {
            settled.offsets.extend(op::settled(&op));
            let highest = op::settled(&op).max().unwrap_or(-1);
            settled.ops.push((op.queue_offset, highest));
        }
        if found.next_begin_offset <= settled.next {
            settled.is_whole = true;
            break;
        }
        settled.next = found.next_begin_offset;
    }
    settled
}

/// Goes through the half messages, moving `next` past each that is cared for.
fn walk(
    core: &Core,
    settled: &Settled,
    started: i64,
    next: &mut i64,
    asked: &mut usize,
) -> Result<(), StoreError> {
    let limits = GetLimits { max_messages: 1, ..LIMITS };
    loop {
        if settled.offsets.contains(next) {
            *next += 1;
            continue;
        }
        if !settled.is_whole {
            return Ok(());
        }
        let found = core.store.get(HALF_TOPIC, QUEUE, *next, limits, &|_| true);
        let bytes = found.segments.first().filter(|_| found.status == GetStatus::Found);
        let Some(Ok(Some((half, _)))) = bytes.map(|bytes| Record::decode(bytes)) else {
            if found.next_begin_offset <= *next {
                return Ok(());
            }
            // The log no longer has it.
            *next = found.next_begin_offset;
            continue;
        };
        *next = half.queue_offset;
        if settled.offsets.contains(next) {
            continue;
        }
        match care(core, settled, started, &half, asked)? {
            Step::Next => *next += 1,
            Step::Stop => return Ok(()),
        }
    }
}

/// Cares for one half message that is not settled.
fn care(
    core: &Core,
    settled: &Settled,
    started: i64,
    half: &Record<'_>,
    asked: &mut usize,
) -> Result<Step, StoreError> {
    if half.store_timestamp >= started {
        return Ok(Step::Stop);
    }
    let checks: u32 = half
        .property(name::TRANSACTION_CHECK_TIMES)
        .and_then(|times| times.parse().ok())
        .unwrap_or_default();
    let age = core.clock.now_ms().saturating_sub(half.born_timestamp);
    if checks >= core.config.transaction_check_max || age > OLDEST_MS {
        put_aside(core, half)?;
        return Ok(Step::Next);
    }
    let immunity = immunity_ms(core, half);
    match immunity {
        Some(immunity) if age < immunity => {
            let original = half
                .property(name::TRAN_PREPARED_QUEUE_OFFSET)
                .and_then(|offset| offset.parse().ok())
                .unwrap_or(half.queue_offset);
            if !settled.offsets.contains(&original) {
                let original = (name::TRAN_PREPARED_QUEUE_OFFSET, original.to_string());
                copy(core, half, original)?;
            }
            return Ok(Step::Next);
        }
        None if (0..timeout_ms(core)).contains(&age) => return Ok(Step::Stop),
        _ => {}
    }
    let counted = (name::TRANSACTION_CHECK_TIMES, (checks + 1).to_string());
    let (put, properties) = copy(core, half, counted)?;
    *asked += usize::from(ask(core, half, put, &properties));
    Ok(Step::Next)
}

/// Stores the half message once more, with one property changed.
fn copy(
    core: &Core,
    half: &Record<'_>,
    (name, value): (&str, String),
) -> Result<(Put, Properties), StoreError> {
    let mut properties = Properties::from_encoded(half.properties);
    properties.set(name, &value);
    let (put, _) = core.put_one(as_put(half, HALF_TOPIC, QUEUE, properties.as_encoded()))?;
    Ok((put, properties))
}

/// Stores the half message where nobody asks about it any more.
fn put_aside(core: &Core, half: &Record<'_>) -> Result<(), StoreError> {
    let topic = TRANS_CHECK_MAX_TIME_TOPIC;
    if let Err(refusal) = core.ensure_topic(topic, 1, perm::READ | perm::WRITE) {
        tracing::error!(topic, remark = %refusal.remark, "the topic cannot be made");
    }
    tracing::warn!(
        topic = half.property(name::REAL_TOPIC),
        id = half.property(name::UNIQ_KEY),
        "a transaction has not ended: its message is put aside"
    );
    core.put_one(as_put(half, topic, 0, half.properties)).map(drop)
}

fn as_put<'a>(
    half: &Record<'a>,
    topic: &'a str,
    queue_id: i32,
    properties: &'a str,
) -> PutMessage<'a> {
    PutMessage {
        topic,
        queue_id,
        flag: half.flag,
        sys_flag: half.sys_flag,
        born_timestamp: half.born_timestamp,
        born_host: half.born_host,
        store_host: half.store_host,
        reconsume_times: half.reconsume_times,
        prepared_transaction_offset: 0,
        body: half.body,
        properties,
    }
}

/// Asks one live producer of the group about the copy of a half message; tells whether there is
/// one.
fn ask(core: &Core, half: &Record<'_>, put: Put, properties: &Properties) -> bool {
    let group = properties.get(name::PRODUCER_GROUP).unwrap_or_default();
    let members = core.producers.members(group).unwrap_or_default();
    if members.is_empty() {
        tracing::debug!(group, "no producer is there to be asked about a transaction");
        return false;
    }
    let Some((_, member)) = members.get(fastrand::usize(..members.len())) else { return false };
    let Some(frame) = question(core, half, put, properties) else { return false };
    core.connections.tell(member.connection, Event::Push(frame));
    true
}

/// The question, as it goes over the wire.
fn question(core: &Core, half: &Record<'_>, put: Put, properties: &Properties) -> Option<Bytes> {
    let (topic, queue_id) = real_place(half)?;
    let id = properties.get(name::UNIQ_KEY).map(str::to_owned);
    let header = CheckTransactionStateRequestHeader {
        topic: Some(HALF_TOPIC.to_owned()),
        tran_state_table_offset: put.queue_offset,
        commit_log_offset: put.physical_offset,
        msg_id: id.clone(),
        transaction_id: id,
        offset_msg_id: Some(offset_message_id(core.store_host, put.physical_offset)),
        bname: Some(core.config.broker_name.clone()),
    };
    let asked_about = Record {
        topic,
        queue_id,
        queue_offset: put.queue_offset,
        physical_offset: put.physical_offset,
        store_timestamp: put.store_timestamp,
        properties: properties.as_encoded(),
        ..*half
    };
    let mut body = vec![0; asked_about.encoded_length()];
    asked_about.encode(&mut body).ok()?;
    let request =
        RemotingCommand::one_way(RequestCode::CHECK_TRANSACTION_STATE, &header).with_body(body);
    let mut frame = BytesMut::new();
    request.encode(&mut frame).ok()?;
    Some(frame.freeze())
}
