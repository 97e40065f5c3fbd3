//! Taking in messages: checks and sums before the lock, dispatch after it.

use std::cell::RefCell;

use oxmq::protocol::message::properties;
use oxmq::protocol::message::record::BLANK_LENGTH;

use super::commit_log::{Prepared, Put, PutMessage};
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
        let shared = self.shared();
        shared.check_writable()?;
        let (end_offset, wanted) = PREPARED.with_borrow_mut(|prepared| {
            loop {
                let deletions = shared.table.deletions();
                let mut is_stale = false;
                let appended = prepare(shared, messages, prepared).and_then(|()| {
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
        match shared.options.flush {
            FlushMode::Async => shared.dispatch(),
            FlushMode::Sync => shared.sync.request(end_offset),
        }
        Ok(PutTurn { end_offset })
    }
}

/// Checks the messages and works out all that does not need the lock.
fn prepare(
    shared: &Shared,
    messages: &[PutMessage<'_>],
    prepared: &mut Vec<Prepared>,
) -> Result<(), StoreError> {
    for (nth, message) in messages.iter().enumerate() {
        let length = check_sizes(shared, message)?;
        let same = nth.checked_sub(1).and_then(|nth| messages.get(nth)).is_some_and(|last| {
            last.queue_id == message.queue_id && last.topic == message.topic && last.is_queued()
        });
        let queue = match prepared.last() {
            _ if !message.is_queued() => None,
            Some(last) if same => last.queue.clone(),
            _ => Some(shared.table.get_or_create(message.topic, message.queue_id)?),
        };
        prepared.push(Prepared { body_crc: message.body_crc(), length, queue });
    }
    Ok(())
}

/// The message's record length, if every part of it fits.
fn check_sizes(shared: &Shared, message: &PutMessage<'_>) -> Result<u32, StoreError> {
    let illegal = |reason: String| Err(StoreError::IllegalMessage { reason });
    let limit = shared.options.max_message_bytes;
    let body = message.body.len();
    if body > limit {
        return illegal(format!("its body has {body} bytes, the limit is {limit}"));
    }
    let (length, limit) = (message.properties.len(), properties::MAX_LENGTH);
    if length > limit {
        return illegal(format!("its properties have {length} bytes, the limit is {limit}"));
    }
    if message.topic.len() > u8::MAX.into() {
        return illegal(format!("its topic has {} bytes, the limit is 255", message.topic.len()));
    }
    let length = message.encoded_length();
    let room = shared.log.files().file_bytes().saturating_sub(BLANK_LENGTH);
    let limit = room.min(shared.options.max_message_bytes.saturating_add(MAX_OVERHEAD));
    match u32::try_from(length) {
        Ok(fitting) if length <= limit => Ok(fitting),
        _ => illegal(format!("its record has {length} bytes, the limit is {limit}")),
    }
}
