//! Timed messages: the timer wheel and its log, as Apache's 5.x keeps them.
//!
//! A message that is to be delivered at some time is stored in the timer topic. From that topic's
//! one queue it is [taken in](TimerStore::take_in): an entry in the timer log, found through the
//! wheel's slot of its second. When its slot is [due](TimerStore::next_due), somebody reads the
//! slot's entries, stores the messages where they belong, and [finishes](TimerStore::finish) the
//! slot.
//!
//! ```text
//! timer topic's queue ──► timerlog   append only, each entry points at the slot's one before
//!      (commit log)           ▲
//!                         timerwheel  slot of a second ──► its last entry
//!                         timercheck  slots done before this time; queue taken in before this offset
//! ```
//!
//! Everything here is files and plain state: no clock, no threads, no messages stored. What is on
//! the disk follows from two things, the timer topic's queue and the checkpoint: a log or a wheel
//! that is missing or damaged is made again, see [`recovery`](TimerRecovery).
//!
//! Source: RocketMQ 5.3.3 `store/timer`.

mod checkpoint;
mod flush;
mod log;
mod recover;
mod source;
#[cfg(test)]
mod tests;
mod unit;
mod wheel;

use std::path::PathBuf;
use std::sync::Arc;

pub use flush::TimerFlush;
pub use recover::TimerRecovery;
pub use source::{TimedMessage, TimerSource};
pub use unit::TimerUnit;
pub(crate) use unit::UNIT_BYTES;
pub(crate) use wheel::{FILE_BYTES as WHEEL_BYTES, SLOT_BYTES};

use super::disk::Disk;
use super::error::StoreError;
use checkpoint::{CheckpointFile, TimerCheckpoint};
use log::TimerLog;
use recover::CatchUp;
use wheel::{SLOTS, Wheel, WheelFile};

/// Slots of a turn that stay empty.
const BLANK_SLOTS: i64 = 60;

/// How a timer is laid out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimerOptions {
    /// The store's folder.
    pub root: PathBuf,
    /// Length of a slot, ms. Default 1,000, as in all of Apache's releases; more makes delivery
    /// coarser, less makes the wheel's turn shorter.
    pub precision_ms: i64,
    /// A message further off than so many slots goes round the timer topic meanwhile. Default
    /// 172,800, two days of seconds; outside 2 to 604,740 it counts as 604,740.
    pub roll_window_slots: i64,
    /// Bytes of a file of the timer log. Default 100 MiB, as holes. The files of an existing log
    /// overrule it.
    pub log_file_bytes: u64,
}

impl TimerOptions {
    /// The defaults in a store's folder.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            precision_ms: 1_000,
            roll_window_slots: 172_800,
            log_file_bytes: 100 << 20,
        }
    }

    /// Whether the folder has any of a timer's files.
    pub fn exists(&self, disk: &dyn Disk) -> bool {
        let is_there =
            |path: PathBuf| disk.read_dir(&path).is_ok_and(|entries| !entries.is_empty());
        let has = |dir: PathBuf, name: &str| {
            disk.read_dir(&dir).is_ok_and(|all| all.iter().any(|entry| entry.name == name))
        };
        is_there(self.log_dir())
            || has(self.root.clone(), "timerwheel")
            || has(self.root.join("config"), "timercheck")
    }

    fn log_dir(&self) -> PathBuf {
        self.root.join("timerlog")
    }

    fn precision(&self) -> i64 {
        self.precision_ms.max(1)
    }

    /// The roll window, ms.
    fn window_ms(&self) -> i64 {
        let most = SLOTS - BLANK_SLOTS;
        let slots = match self.roll_window_slots {
            slots if (2..=most).contains(&slots) => slots,
            _ => most,
        };
        // The log has four bytes for the distance.
        slots.saturating_mul(self.precision()).min(i32::MAX.into())
    }
}

/// What became of a message that was taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It waits in its slot.
    Waits,
    /// Its slot is done: it is to be delivered at once.
    IsDue,
    /// It was taken in, or delivered, before the store was opened.
    WasKnown,
}

/// The timer's state and files. One caller at a time.
#[derive(Debug)]
pub struct TimerStore {
    options: TimerOptions,
    disk: Arc<dyn Disk>,
    log: TimerLog,
    wheel: Wheel,
    wheel_file: Arc<WheelFile>,
    checkpoint_file: Arc<CheckpointFile>,
    checkpoint: TimerCheckpoint,
    read_ms: i64,
    queue_offset: i64,
    catch_up: Option<CatchUp>,
    recovery: TimerRecovery,
    is_changed: bool,
}

impl TimerStore {
    /// What opening it found.
    pub fn recovery(&self) -> &TimerRecovery {
        &self.recovery
    }

    /// The next message of the timer topic's queue to take in.
    pub fn queue_offset(&self) -> i64 {
        self.queue_offset
    }

    /// Moves on to a message of the timer topic's queue.
    pub fn set_queue_offset(&mut self, offset: i64) {
        self.is_changed |= self.queue_offset != offset;
        self.queue_offset = offset;
        if self.catch_up.as_ref().is_some_and(|catch_up| offset >= catch_up.until) {
            self.catch_up = None;
        }
    }

    /// Whether something is to be [flushed](Self::begin_flush).
    pub fn is_changed(&self) -> bool {
        self.is_changed
    }

    /// Slots before this time are done, ms since the Unix epoch.
    pub fn read_ms(&self) -> i64 {
        self.read_ms
    }

    /// The start of the slot that a time lies in.
    pub fn slot_start(&self, time_ms: i64) -> i64 {
        let precision = self.options.precision();
        time_ms.div_euclid(precision) * precision
    }

    /// Entries that wait in the slot of a time.
    pub fn waiting_at(&self, time_ms: i64) -> i32 {
        let time = time_ms.div_euclid(self.options.precision());
        self.wheel.slot(time).map_or(0, |slot| slot.count)
    }

    /// Entries that wait in all slots.
    pub fn waiting(&self) -> i64 {
        self.wheel.slots().values().map(|slot| i64::from(slot.count)).sum()
    }

    /// Takes in a message of the timer topic: it gets an entry in the log, unless its slot is done
    /// or it was taken in before. The caller then [moves on](Self::set_queue_offset).
    ///
    /// Differs: Apache's broker delivers at once what is due already; here it waits in its slot as
    /// long as that is not done, so that what came due together is delivered in the order of time.
    ///
    /// # Errors
    /// The log cannot be written; nothing has changed.
    pub fn take_in(
        &mut self,
        message: &TimedMessage<'_>,
        now_ms: i64,
    ) -> Result<Taken, StoreError> {
        let is_known = |catch_up: &CatchUp| catch_up.knows(message);
        if self.catch_up.as_ref().is_some_and(is_known) {
            return Ok(Taken::WasKnown);
        }
        if message.out_ms < self.read_ms {
            return Ok(Taken::IsDue);
        }
        let write_ms = self.slot_start(now_ms).max(self.read_ms).min(message.out_ms);
        let slot_ms = self.slot_for(message.out_ms, write_ms);
        let time = slot_ms.div_euclid(self.options.precision());
        let unit = TimerUnit {
            previous: self.wheel.slot(time).map_or(-1, |slot| slot.last),
            is_roll: slot_ms != message.out_ms,
            is_delete: message.delete_key.is_some(),
            write_ms,
            delay_ms: i32::try_from(slot_ms - write_ms).unwrap_or(i32::MAX),
            physical_offset: message.physical_offset,
            size: message.size,
            topic_hash: message.topic_hash(),
        };
        let position = self.log.append(&unit)?;
        self.wheel.add(time, position, unit.is_delete);
        self.is_changed = true;
        Ok(Taken::Waits)
    }

    /// The time of the slot that a message waits in: its own, or one on the way there.
    fn slot_for(&self, out_ms: i64, write_ms: i64) -> i64 {
        let precision = self.options.precision();
        let window = self.options.window_ms();
        let beyond = out_ms.saturating_sub(write_ms).saturating_sub(window);
        if beyond < 0 {
            out_ms
        } else if beyond < window / precision / 3 * precision {
            // The next time round is no short one.
            write_ms + window / precision / 2 * precision
        } else {
            write_ms + window
        }
    }

    /// The time of the first slot that has entries, if it is over at `now_ms`.
    pub fn next_due(&self, now_ms: i64) -> Option<i64> {
        let (time, _) = self.wheel.first()?;
        let precision = self.options.precision();
        (time.saturating_add(1).saturating_mul(precision) <= now_ms).then(|| time * precision)
    }

    /// When the first slot that has entries will be over.
    pub fn next_end(&self) -> Option<i64> {
        let (time, _) = self.wheel.first()?;
        Some(time.saturating_add(1).saturating_mul(self.options.precision()))
    }

    /// Positions in the log of the entries in the slot of a time, oldest first.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn positions(&self, slot_ms: i64) -> Result<Vec<i64>, StoreError> {
        let time = slot_ms.div_euclid(self.options.precision());
        let mut positions = Vec::new();
        let mut at = self.wheel.slot(time).map_or(-1, |slot| slot.last);
        while let Some(unit) = self.log.read(at)? {
            positions.push(at);
            // Each one points back, so this ends.
            at = if unit.previous < at { unit.previous } else { -1 };
        }
        positions.reverse();
        Ok(positions)
    }

    /// The entry at a position of the log.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn unit(&self, position: i64) -> Result<Option<TimerUnit>, StoreError> {
        self.log.read(position)
    }

    /// Notes that all entries of the slot of a time, and of those before it, are done.
    pub fn finish(&mut self, slot_ms: i64) {
        let precision = self.options.precision();
        self.wheel.remove(slot_ms.div_euclid(precision));
        self.read_ms = self.read_ms.max(self.slot_start(slot_ms) + precision);
        self.is_changed = true;
    }

    /// Notes that nothing is due any more at a time.
    pub fn rest(&mut self, now_ms: i64) {
        if self.next_due(now_ms).is_none() {
            self.read_ms = self.read_ms.max(self.slot_start(now_ms));
        }
    }

    /// Removes files of the log whose messages the commit log, which begins at this offset, no
    /// longer has.
    ///
    /// # Errors
    /// A file cannot be removed.
    pub fn remove_before(&mut self, physical_offset: i64) -> Result<(), StoreError> {
        self.log.remove_before(physical_offset)
    }
}
