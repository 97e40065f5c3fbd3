//! One queue that this member owns, for as long as it does.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::core::Shared;
use super::process_queue::ProcessQueue;
use crate::message::MessageQueue;

/// A queue owned, and its messages in flight.
#[derive(Debug)]
pub(super) struct Assigned {
    pub(super) queue: MessageQueue,
    /// Names this ownership in delivery handles.
    pub(super) slot: u16,
    pub(super) shared: Arc<Shared>,
    table: Mutex<ProcessQueue>,
    /// There is room for a pull again.
    pub(super) room: Notify,
    /// Cancelled once the queue is somebody else's, or the consumer ends.
    pub(super) revoked: CancellationToken,
    /// What the broker was last told; -1 if nothing.
    committed: AtomicI64,
    /// Held while the broker is being told.
    pub(super) commits: tokio::sync::Mutex<()>,
}

impl Assigned {
    pub(super) fn new(
        queue: MessageQueue,
        slot: u16,
        shared: Arc<Shared>,
        table: ProcessQueue,
        revoked: CancellationToken,
        committed: i64,
    ) -> Self {
        Self {
            queue,
            slot,
            shared,
            table: Mutex::new(table),
            room: Notify::new(),
            revoked,
            committed: AtomicI64::new(committed),
            commits: tokio::sync::Mutex::default(),
        }
    }

    pub(super) fn table(&self) -> MutexGuard<'_, ProcessQueue> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Settles one message; it may have been settled before.
    pub(super) fn settle(&self, offset: i64) {
        self.settle_all(std::iter::once(offset));
    }

    /// Settles several messages.
    pub(super) fn settle_all(&self, offsets: impl Iterator<Item = i64>) {
        let mut table = self.table();
        let enough = table.worth_a_pull();
        let had_room = table.room() >= enough;
        for offset in offsets {
            table.settle(offset);
        }
        let has_room = table.room() >= enough;
        drop(table);
        if has_room && !had_room {
            self.room.notify_one();
        }
        self.shared.note_settled();
    }

    /// The offset to tell the broker, if it does not know it.
    pub(super) fn uncommitted(&self) -> Option<i64> {
        let offset = self.table().committable();
        (offset != self.committed.load(Ordering::Acquire)).then_some(offset)
    }

    /// The broker knows this offset.
    pub(super) fn note_committed(&self, offset: i64) {
        self.committed.store(offset, Ordering::Release);
    }

    /// What the broker was last told.
    pub(super) fn committed(&self) -> i64 {
        self.committed.load(Ordering::Acquire)
    }
}
