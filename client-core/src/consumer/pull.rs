//! Fetching the messages of one queue: one task each, one request at a time.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::assigned::Assigned;
use super::core::Core;
use super::{Delivery, commit, delay_level, send_back};
use crate::clock;
use crate::error::{Error, ErrorKind};
use crate::protocol::DecodeError;
use crate::protocol::body::SubscriptionData;
use crate::protocol::code::{RequestCode, ResponseCode};
use crate::protocol::command::RemotingCommand;
use crate::protocol::header::{PullMessageRequestHeader, PullMessageResponseHeader, pull_sys_flag};
use crate::protocol::message::compression::CompressionType;
use crate::protocol::message::inner_batch;
use crate::protocol::message::properties::name;
use crate::protocol::message::record::{self, Record};

const OPERATION: &str = "pull";
/// How long a broker may hold a request when there is nothing.
const SUSPEND: Duration = Duration::from_secs(15);
/// How long to wait for an answer: the broker's time and a margin.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The pause after a failure.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(1);
/// The pause after a broker asked for less load.
const PAUSE_WHEN_BUSY: Duration = Duration::from_millis(20);
/// Messages asked for at most. Brokers have lower limits of their own; Apache's is 32.
const BATCH: usize = 256;
/// Bytes asked for at most, from 5.0 on.
const BATCH_BYTES: i32 = 256 * 1024;
/// The longest body after decompression.
const MAX_BODY_BYTES: usize = 64 * 1024 * 1024;

/// Pulls until the queue is revoked.
pub(super) async fn keep_pulling(core: Arc<Core>, assigned: Arc<Assigned>) {
    let revoked = assigned.revoked.clone();
    let mut replica = 0;
    loop {
        let step = async {
            let room = room(&assigned).await;
            pull_once(&core, &assigned, room, &mut replica).await
        };
        let outcome = tokio::select! {
            biased;
            () = revoked.cancelled() => return,
            outcome = step => outcome,
        };
        let Err(error) = outcome else { continue };
        let is_busy = error.kind() == ErrorKind::Busy;
        if is_busy {
            tracing::debug!(%error, "pulling more slowly");
        } else {
            tracing::warn!(%error, "pull failed, trying again");
        }
        let pause = if is_busy { PAUSE_WHEN_BUSY } else { PAUSE_AFTER_FAILURE };
        tokio::select! {
            () = revoked.cancelled() => return,
            () = clock::sleep(&*core.shared.instance.clock, pause) => {}
        }
    }
}

/// Waits for room worth a pull and says how many messages fit.
async fn room(assigned: &Assigned) -> usize {
    loop {
        {
            let table = assigned.table();
            let room = table.room();
            if room >= table.worth_a_pull() {
                return room;
            }
        }
        assigned.room.notified().await;
    }
}

/// One request and what it brings. `replica` is the broker id to ask, as the broker suggests.
async fn pull_once(
    core: &Arc<Core>,
    assigned: &Arc<Assigned>,
    room: usize,
    replica: &mut i64,
) -> Result<(), Error> {
    let (shared, queue) = (&core.shared, &assigned.queue);
    let context = |error: Error| error.on_queue(queue).of_group(&shared.group);
    let route = shared.instance.routes.cached(&queue.topic);
    let found = route.as_ref().and_then(|route| route.replica(&queue.broker_name, *replica));
    let Some((address, _)) = found else {
        let reason = "the broker has no address";
        return Err(context(Error::new(ErrorKind::Unavailable, OPERATION, reason)));
    };
    let request = request(core, assigned, room);
    let deadline = shared.instance.deadline(TIMEOUT);
    let answer = shared
        .instance
        .connections
        .call(address, request, deadline)
        .await
        .map_err(|error| context(error.into_error(OPERATION, address)))?;
    let code = answer.response_code();
    if !matches!(
        code,
        ResponseCode::SUCCESS
            | ResponseCode::PULL_NOT_FOUND
            | ResponseCode::PULL_RETRY_IMMEDIATELY
            | ResponseCode::PULL_OFFSET_MOVED
    ) {
        let error = Error::from_response(OPERATION, code, answer.remark.as_deref());
        return Err(context(error).at(address.clone()));
    }
    let header: PullMessageResponseHeader = answer.header()?;
    *replica = header.suggest_which_broker_id;
    match code {
        ResponseCode::SUCCESS => take_in(core, assigned, &answer.body, &header),
        ResponseCode::PULL_OFFSET_MOVED => move_to(assigned, &header).await,
        _ => assigned.table().fetched_to(header.next_begin_offset),
    }
    Ok(())
}

fn request(core: &Core, assigned: &Assigned, room: usize) -> RemotingCommand {
    let queue = &assigned.queue;
    let subscription = core.subscription(&queue.topic);
    let header = PullMessageRequestHeader {
        consumer_group: core.shared.group.to_string(),
        topic: queue.topic.to_string(),
        queue_id: queue.queue_id,
        queue_offset: assigned.table().fetched(),
        max_msg_nums: i32::try_from(room.min(BATCH)).unwrap_or(i32::MAX),
        sys_flag: pull_sys_flag::SUSPEND | pull_sys_flag::SUBSCRIPTION,
        // See `commit`.
        commit_offset: 0,
        suspend_timeout_millis: i64::try_from(SUSPEND.as_millis()).unwrap_or(i64::MAX),
        subscription: subscription.map(|one| one.expression.clone()),
        sub_version: core.version,
        expression_type: subscription
            .filter(|one| one.is_sql)
            .map(|_| SubscriptionData::SQL92.to_owned()),
        max_msg_bytes: Some(BATCH_BYTES),
    };
    RemotingCommand::request(RequestCode::PULL_MESSAGE, &header)
}

/// Puts what came into the table of the queue and before the application.
fn take_in(
    core: &Core,
    assigned: &Arc<Assigned>,
    body: &Bytes,
    header: &PullMessageResponseHeader,
) {
    let subscription = core.subscription(&assigned.queue.topic);
    let mut came: Vec<Came> = Vec::new();
    for record in record::iter(body) {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                tracing::warn!(queue = %assigned.queue, %error, "unreadable record passed over");
                break;
            }
        };
        let is_wanted = |record: &Record<'_>| {
            subscription.as_ref().is_none_or(|wanted| wanted.wants(record.property(name::TAGS)))
        };
        if inner_batch::is_wrapped(record.sys_flag) {
            unwrap(assigned, body, &record, is_wanted, &mut came);
            continue;
        }
        let delivery = is_wanted(&record).then(|| deliver(assigned, body, &record)).flatten();
        came.push((record.queue_offset, record.physical_offset, delivery));
    }
    let mut ready = Vec::with_capacity(came.len());
    {
        let mut table = assigned.table();
        for (offset, physical_offset, delivery) in came {
            let bytes = delivery.as_ref().map_or(0, |delivery| delivery.body.len());
            if !table.add(offset, physical_offset, bytes) {
                continue;
            }
            match delivery {
                Some(delivery) => ready.push(delivery),
                None => drop(table.settle(offset)),
            }
        }
        table.fetched_to(header.next_begin_offset);
    }
    if !ready.is_empty() {
        core.ready.push(ready);
    }
}

/// A message that came: its place in its queue and in the log; `None` if it is passed over.
type Came = (i64, i64, Option<Delivery>);

/// Takes an inner batch apart: each of its messages is a delivery of its own. Those before the
/// place that was asked for are passed over by the queue's table.
fn unwrap(
    assigned: &Arc<Assigned>,
    bytes: &Bytes,
    record: &Record<'_>,
    is_wanted: impl Fn(&Record<'_>) -> bool,
    came: &mut Vec<Came>,
) {
    let items = match body_of(bytes, record).and_then(inner_batch::items) {
        Ok(items) => items,
        Err(error) => {
            let (queue, offset) = (&assigned.queue, record.queue_offset);
            tracing::error!(%queue, offset, %error, "unreadable batch: to the dead-letter topic");
            bury(assigned, record);
            came.push((record.queue_offset, record.physical_offset, None));
            return;
        }
    };
    for (nth, item) in items.iter().enumerate() {
        let single = inner_batch::single(record, nth, item);
        let delivery = is_wanted(&single).then(|| {
            let properties = Bytes::copy_from_slice(item.properties.as_bytes());
            Delivery::new(assigned.clone(), &single, item.body.clone(), properties)
        });
        came.push((single.queue_offset, single.physical_offset, delivery));
    }
}

/// A record's body, without a copy unless it is compressed.
fn body_of(bytes: &Bytes, record: &Record<'_>) -> Result<Bytes, DecodeError> {
    match CompressionType::from_sys_flag(record.sys_flag)? {
        None => Ok(bytes.slice_ref(record.body)),
        Some(kind) => kind.decompress(record.body, MAX_BODY_BYTES),
    }
}

/// One record as a delivery, without copying its body unless it is compressed. A body that does
/// not decompress goes to the dead-letter topic.
fn deliver(assigned: &Arc<Assigned>, bytes: &Bytes, record: &Record<'_>) -> Option<Delivery> {
    match body_of(bytes, record) {
        Ok(body) => {
            let properties = bytes.slice_ref(record.properties.as_bytes());
            Some(Delivery::new(assigned.clone(), record, body, properties))
        }
        Err(error) => {
            let (queue, offset) = (&assigned.queue, record.queue_offset);
            tracing::error!(%queue, offset, %error, "unreadable body: to the dead-letter topic");
            bury(assigned, record);
            None
        }
    }
}

/// The message itself is passed over here; a copy of it goes to the dead-letter topic.
fn bury(assigned: &Arc<Assigned>, record: &Record<'_>) {
    let (assigned, physical_offset) = (assigned.clone(), record.physical_offset);
    let runtime = assigned.shared.instance.runtime.clone();
    runtime.spawn(async move {
        let outcome = send_back::ask(&assigned, physical_offset, delay_level::DEAD_LETTER).await;
        if let Err(error) = outcome {
            tracing::error!(%error, "not in the dead-letter topic either");
        }
    });
}

/// The broker does not have the offset asked for: it was deleted, reset, or never there.
async fn move_to(assigned: &Arc<Assigned>, header: &PullMessageResponseHeader) {
    let next = header.next_begin_offset;
    let asked = assigned.table().fetched();
    tracing::warn!(
        queue = %assigned.queue, asked, next, min = header.min_offset, max = header.max_offset,
        "the broker does not have the offset asked for; going on where it says"
    );
    assigned.table().restart_at(next);
    if let Err(error) = commit::commit(assigned.clone(), OPERATION).await {
        tracing::warn!(%error, "the new offset is not committed yet");
    }
}
