//! Taking in messages: checks and sums before the lock, dispatch after it.

use std::cell::RefCell;
use std::ops::Range;
use std::sync::Arc;

use oxmq::protocol::message::properties::{self, name};
use oxmq::protocol::message::record::BLANK_LENGTH;
use oxmq::protocol::message::{Properties, batch, inner_batch, record_crc, sys_flag};

use super::commit_log::{Prepared, Put, PutMessage, Special};
use super::consume_queue::{ConsumeQueue, QueueKind, may_be_in_several, wanted};
use super::engine::{Shared, Store};
use super::error::StoreError;
use super::options::FlushMode;

/// Bytes that a record may have besides its body: Apache allows 64 KiB.
const MAX_OVERHEAD: usize = 64 * 1024;

/// The outcome of one [`Store::put`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PutTurn {
    /// End of the commit log after the messages. In [`FlushMode::Sync`] they are stored once
    /// [`Store::durable_offset`] has reached it.
    pub end_offset: i64,
}

thread_local! {
    /// Kept from turn to turn, so that a put allocates nothing in the long run.
    static PREPARED: RefCell<Vec<Prepared>> = const { RefCell::new(Vec::new()) };
}

impl Store {
    /// Appends messages, in order and as one run of offsets for each queue, and adds their places
    /// to `out`. Either all are appended or none.
    ///
    /// In [`FlushMode::Async`] they are stored when this returns, and readable at once. In
    /// [`FlushMode::Sync`] a sync is on its way, see [`PutTurn`]; they are readable once durable,
    /// as with Apache's broker.
    ///
    /// # Errors
    /// [`StoreError::IllegalMessage`], [`StoreError::Full`], [`StoreError::Io`],
    /// [`StoreError::Poisoned`], [`StoreError::Closed`]; nothing was appended then.
    pub fn put(
        &self,
        messages: &[PutMessage<'_>],
        out: &mut Vec<Put>,
    ) -> Result<PutTurn, StoreError> {
        self.put_runs(messages, &[], out)
    }

    /// Does the same, with runs of messages that stand together in one file, as the messages of a
    /// batch do. `runs` are ranges of `messages`, in order.
    ///
    /// # Errors
    /// As [`put`](Self::put); [`StoreError::IllegalMessage`] also for a run that is longer than a
    /// file.
    pub fn put_runs(
        &self,
        messages: &[PutMessage<'_>],
        runs: &[Range<usize>],
        out: &mut Vec<Put>,
    ) -> Result<PutTurn, StoreError> {
        let shared = self.shared();
        let end_offset = append(shared, messages, runs, out)?;
        match shared.options.flush {
            FlushMode::Async => {
                shared.dispatch();
                shared.sync.has_grown(end_offset, shared);
            }
            FlushMode::Sync => shared.sync.request(end_offset),
        }
        Ok(PutTurn { end_offset })
    }

    /// Appends messages as [`put`](Self::put) does and waits until they are on the disk, whatever
    /// the flush mode. One sync serves all who wait.
    ///
    /// # Errors
    /// As [`put`](Self::put). With [`StoreError::Poisoned`] the messages may be appended, and may
    /// be lost.
    pub fn put_durable(
        &self,
        messages: &[PutMessage<'_>],
        out: &mut Vec<Put>,
    ) -> Result<PutTurn, StoreError> {
        let shared = self.shared();
        let end_offset = append(shared, messages, &[], out)?;
        if shared.options.flush == FlushMode::Async {
            shared.dispatch();
        }
        shared.sync.sync_to(end_offset, shared)?;
        Ok(PutTurn { end_offset })
    }
}

/// Appends messages in one turn; returns the log's end after them.
fn append(
    shared: &Shared,
    messages: &[PutMessage<'_>],
    runs: &[Range<usize>],
    out: &mut Vec<Put>,
) -> Result<i64, StoreError> {
    shared.check_writable()?;
    let (end_offset, wanted) = PREPARED.with_borrow_mut(|prepared| {
        loop {
            let deletions = shared.table.deletions();
            let mut is_stale = false;
            let appended = prepare(shared, messages, runs, prepared).and_then(|()| {
                let gate = || {
                    is_stale = shared.table.deletions() != deletions;
                    if is_stale { Err(StoreError::Closed) } else { shared.check_open() }
                };
                shared.log.append(messages, prepared, || shared.clock.now_ms(), gate, out)
            });
            prepared.clear();
            // A topic was deleted meanwhile, perhaps with a queue that was looked up here.
            if !is_stale {
                return appended;
            }
        }
    })?;
    if !wanted.is_empty() {
        shared.preparer.prepare(wanted);
    }
    Ok(end_offset)
}

/// Checks the messages and works out all that does not need the lock.
fn prepare(
    shared: &Shared,
    messages: &[PutMessage<'_>],
    runs: &[Range<usize>],
    prepared: &mut Vec<Prepared>,
) -> Result<(), StoreError> {
    for (nth, message) in messages.iter().enumerate() {
        let places = places(message)?;
        let special = special(shared, message)?;
        let length = check_sizes(shared, message, special.as_deref())?;
        let same = nth.checked_sub(1).and_then(|nth| messages.get(nth)).is_some_and(|last| {
            last.queue_id == message.queue_id && last.topic == message.topic && last.is_queued()
        });
        let queue = match prepared.last() {
            _ if !message.is_queued() => None,
            Some(last) if same => last.queue.clone(),
            _ => Some(shared.table.get_or_create(message.topic, message.queue_id)?),
        };
        let is_batch = message.sys_flag & sys_flag::INNER_BATCH != 0;
        if is_batch && queue.as_ref().is_some_and(|queue| queue.kind() == QueueKind::Simple) {
            let reason = "it is an inner batch, but its topic has no queues for those".into();
            return Err(StoreError::IllegalMessage { reason });
        }
        prepared.push(Prepared {
            body_crc: message.body_crc(),
            length,
            run_length: length,
            queue,
            places,
            queue_offset: 0,
            special,
        });
    }
    runs.iter().try_for_each(|run| join(shared, prepared.get_mut(run.clone()).unwrap_or_default()))
}

/// Has the records of a run stand in one file.
fn join(shared: &Shared, run: &mut [Prepared]) -> Result<(), StoreError> {
    let total: u64 = run.iter().map(|known| u64::from(known.length)).sum();
    let room = shared.log.files().file_bytes().saturating_sub(BLANK_LENGTH);
    let Some(fitting) = u32::try_from(total).ok().filter(|total| *total as usize <= room) else {
        let reason = format!("its batch has {total} bytes in records, a file {room}");
        return Err(StoreError::IllegalMessage { reason });
    };
    for known in run.iter_mut() {
        known.run_length = 0;
    }
    if let Some(first) = run.first_mut() {
        first.run_length = fitting;
    }
    Ok(())
}

/// The places that a message takes in its queue.
fn places(message: &PutMessage<'_>) -> Result<i64, StoreError> {
    if message.sys_flag & sys_flag::INNER_BATCH == 0 {
        return Ok(1);
    }
    let most = message.body.len() / batch::MIN_ITEM_LENGTH;
    let count = inner_batch::count(message.properties).map(i64::from);
    count.filter(|count| *count <= most as i64).ok_or_else(|| {
        let reason = "it is an inner batch, but INNER_NUM does not count its messages".into();
        StoreError::IllegalMessage { reason }
    })
}

/// What is to be done for few messages only: an inner batch is told its first place, a message of
/// light topics its places there, and a CRC that the producer wrote must not stand where the
/// store's own will.
fn special(shared: &Shared, message: &PutMessage<'_>) -> Result<Option<Box<Special>>, StoreError> {
    let tells_base = message.sys_flag & sys_flag::INNER_BATCH != 0 && message.is_queued();
    let has_crc = shared.options.append_record_crc
        && properties::find(message.properties, name::CRC32).is_some();
    let light = light_queues(shared, message)?;
    if !tells_base && !has_crc && light.is_empty() {
        return Ok(None);
    }
    let mut own = Properties::from_encoded(message.properties);
    own.remove(name::CRC32);
    if tells_base {
        own.remove(name::INNER_BASE);
    }
    if !light.is_empty() {
        own.remove(name::INNER_MULTI_QUEUE_OFFSET);
    }
    Ok(Some(Box::new(Special::new(own, tells_base, light))))
}

/// The queues of the light topics that a message names, a gap for each name that is none; nothing
/// if it names none at all.
fn light_queues(
    shared: &Shared,
    message: &PutMessage<'_>,
) -> Result<Vec<Option<Arc<ConsumeQueue>>>, StoreError> {
    let is_wanted =
        shared.table.multi_dispatch() && message.is_queued() && may_be_in_several(message.topic);
    let Some(names) = is_wanted.then(|| wanted(message.properties)).flatten() else {
        return Ok(Vec::new());
    };
    let queue = |name: &str| match name {
        "" => Ok(None),
        name => shared.table.light_queue(name).map(Some),
    };
    let queues: Vec<_> = names.map(queue).collect::<Result<_, StoreError>>()?;
    Ok(if queues.iter().any(Option::is_some) { queues } else { Vec::new() })
}

/// The message's record length, if every part of it fits.
fn check_sizes(
    shared: &Shared,
    message: &PutMessage<'_>,
    special: Option<&Special>,
) -> Result<u32, StoreError> {
    let illegal = |reason: String| Err(StoreError::IllegalMessage { reason });
    let limit = shared.options.max_message_bytes;
    let body = message.body.len();
    if body > limit {
        return illegal(format!("its body has {body} bytes, the limit is {limit}"));
    }
    let own = special.map(|special| &special.properties);
    let text = own.map_or(message.properties, Properties::as_encoded);
    let base = special.map_or(0, Special::most_added);
    // With the separator that the producer may have left out.
    let seal = if shared.options.append_record_crc { 1 + record_crc::LENGTH } else { 0 };
    let (length, limit) = (text.len() + base + seal, properties::MAX_LENGTH);
    if length > limit {
        return illegal(format!("its properties have {length} bytes, the limit is {limit}"));
    }
    if message.topic.len() > u8::MAX.into() {
        return illegal(format!("its topic has {} bytes, the limit is 255", message.topic.len()));
    }
    let length = message.encoded_length(text, shared.options.append_record_crc);
    let room = shared.log.files().file_bytes().saturating_sub(BLANK_LENGTH);
    let limit = room.min(shared.options.max_message_bytes.saturating_add(MAX_OVERHEAD));
    match u32::try_from(length) {
        Ok(fitting) if length + base <= limit => Ok(fitting),
        _ => illegal(format!("its record has {length} bytes, the limit is {limit}")),
    }
}
