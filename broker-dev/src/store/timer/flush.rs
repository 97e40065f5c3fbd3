//! Bringing a timer's state to the disk, in an order that a crash can come between.
//!
//! The commit log first (the caller's part): what the checkpoint calls delivered has to be there.
//! Then the timer log, the wheel, and last the checkpoint.

use std::sync::Arc;

use super::TimerStore;
use super::checkpoint::{CheckpointFile, TimerCheckpoint};
use super::log::LogSync;
use super::wheel::{Changes, WheelFile};
use crate::store::disk::Disk;
use crate::store::error::StoreError;

/// A timer's state at one moment, to be written without the timer waiting.
#[derive(Debug)]
pub struct TimerFlush {
    disk: Arc<dyn Disk>,
    log: LogSync,
    changes: Changes,
    checkpoint: TimerCheckpoint,
    wheel_file: Arc<WheelFile>,
    checkpoint_file: Arc<CheckpointFile>,
}

impl TimerStore {
    /// The state to write; `None` if it is on the disk already. The answer goes back with
    /// [`flushed`](Self::flushed); one flush at a time.
    pub fn begin_flush(&mut self, now_ms: i64) -> Option<TimerFlush> {
        if !std::mem::take(&mut self.is_changed) {
            return None;
        }
        let log = self.log.sync();
        let old = self.checkpoint;
        let is_newer = old.read_ms != self.read_ms || old.queue_offset != self.queue_offset;
        let checkpoint = TimerCheckpoint {
            read_ms: self.read_ms,
            log_flushed: log.end(),
            queue_offset: self.queue_offset,
            state_version: old.state_version,
            timestamp: if is_newer { now_ms } else { old.timestamp },
            counter: old.counter.saturating_add(is_newer.into()),
        };
        Some(TimerFlush {
            disk: Arc::clone(&self.disk),
            log,
            changes: self.wheel.take_changes(),
            checkpoint,
            wheel_file: Arc::clone(&self.wheel_file),
            checkpoint_file: Arc::clone(&self.checkpoint_file),
        })
    }

    /// Takes back a flush that was [written](TimerFlush::write), or was not.
    pub fn flushed(&mut self, flush: TimerFlush, is_written: bool) {
        if is_written {
            self.log.synced(&flush.log);
            self.checkpoint = flush.checkpoint;
        } else {
            self.wheel.restore_changes(flush.changes);
            self.is_changed = true;
        }
    }

    /// Notes that the checkpoint is to be written even if nothing came in: at the end, so that the
    /// next start need not look back.
    pub fn touch(&mut self) {
        self.is_changed |= self.checkpoint.read_ms != self.read_ms;
    }
}

impl TimerFlush {
    /// Writes and syncs. What was delivered before [`TimerStore::begin_flush`] has to be on the
    /// disk.
    ///
    /// # Errors
    /// The disk refuses; the checkpoint is then as it was.
    pub fn write(&self) -> Result<(), StoreError> {
        self.log.run(&*self.disk)?;
        self.wheel_file.write(&self.changes)?;
        self.checkpoint_file.write(&self.checkpoint)
    }
}
