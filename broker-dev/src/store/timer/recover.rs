//! Opening a timer: what the files say, checked against the timer topic's queue.
//!
//! The checkpoint tells which slots are done and how far the queue was taken in. The log is read
//! from its first entry on, and each entry is held against the message it times: right offset,
//! length, time and chain, or the log ends there. The wheel is made from the log's entries; the
//! file is only brought in line.
//!
//! What the queue has and the log lost is taken in again: see `CatchUp`. Without a checkpoint
//! that can be believed, every slot of the last seven days counts as not done, and the whole queue
//! is gone through; the caller then tells what was delivered from the commit log.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use super::checkpoint::{CheckpointFile, TimerCheckpoint};
use super::log::{ScanEnd, TimerLog};
use super::source::{TimedMessage, TimerSource};
use super::unit::TimerUnit;
use super::wheel::{SLOTS, Slot, Wheel, WheelFile, add_to};
use super::{BLANK_SLOTS, TimerOptions, TimerStore};
use crate::store::disk::Disk;
use crate::store::error::{Context, StoreError};

/// What opening a timer found and did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TimerRecovery {
    /// There was a checkpoint that could be believed.
    pub has_checkpoint: bool,
    /// Entries of the log that were kept.
    pub entries: u64,
    /// Where the log was cut: its file, and the offset in it of what was no right entry.
    pub damaged: Option<(PathBuf, u64)>,
    /// Messages of the queue to look at again: they are in the log, or get their entry again.
    pub looked_at_again: i64,
    /// Slots of the wheel's file that said something else than the log.
    pub slots_changed: usize,
}

/// What was taken in before the store was opened, as far as the queue is gone through again.
#[derive(Debug)]
pub(super) struct CatchUp {
    /// The queue's end at that time.
    pub(super) until: i64,
    /// The queue was taken in before this offset.
    handled: i64,
    /// Slots before this time were done.
    read_ms: i64,
    /// Places in the commit log of messages that have an entry, sorted.
    logged: Vec<i64>,
    /// Messages that went round: their id, and how often.
    rolled: HashSet<(String, i32)>,
}

impl CatchUp {
    /// Whether a message was taken in or delivered before.
    pub(super) fn knows(&self, message: &TimedMessage<'_>) -> bool {
        let was_done = message.queue_offset < self.handled && message.out_ms < self.read_ms;
        let is_logged = || self.logged.binary_search(&message.physical_offset).is_ok();
        let went_round =
            || self.rolled.contains(&(message.unique_key.to_owned(), message.roll_times + 1));
        was_done || is_logged() || went_round()
    }
}

/// What the log's entries come to.
#[derive(Default)]
struct Scanned {
    /// Every slot, done or not.
    slots: BTreeMap<i64, Slot>,
    logged: Vec<i64>,
    rolled: HashSet<(String, i32)>,
    /// An entry's message was there.
    is_verified: bool,
}

impl TimerStore {
    /// Opens the timer of a store's folder, or makes it.
    ///
    /// # Errors
    /// [`StoreError::Io`] and [`StoreError::Full`]. Damaged files are no error: see
    /// [`recovery`](Self::recovery).
    pub fn open(
        options: TimerOptions,
        disk: Arc<dyn Disk>,
        source: &dyn TimerSource,
        now_ms: i64,
    ) -> Result<Self, StoreError> {
        let check_path = options.root.join("config").join("timercheck");
        let (checkpoint_file, found) = CheckpointFile::open(Arc::clone(&disk), check_path)?;
        let precision = options.precision();
        let sound = found.filter(|found| found.is_sound(precision));
        let mut log = TimerLog::open(Arc::clone(&disk), options.log_dir(), options.log_file_bytes)?;
        let mut scanned = Scanned::default();
        let first = log.first();
        let end =
            log.scan(|position, unit| scanned.take(position, unit, first, precision, source))?;
        log.remove_strangers()?;

        let now_slot = now_ms.div_euclid(precision) * precision;
        let read_ms = match sound {
            Some(checkpoint) => checkpoint.read_ms,
            None => now_slot - (SLOTS - BLANK_SLOTS) * precision,
        };
        let mut recovery = TimerRecovery {
            has_checkpoint: sound.is_some(),
            entries: scanned.logged.len() as u64,
            damaged: match end {
                ScanEnd::Clean => None,
                ScanEnd::Damaged { file, offset } => Some((file, offset)),
            },
            ..TimerRecovery::default()
        };
        let (queue_offset, catch_up) = catch_up(&mut scanned, sound, read_ms, source);
        recovery.looked_at_again =
            catch_up.as_ref().map_or(0, |catch_up| (catch_up.handled - queue_offset).max(0));

        let mut slots = scanned.slots;
        let mut wheel = Wheel::new(slots.split_off(&read_ms.div_euclid(precision)));
        let wheel_path = options.root.join("timerwheel");
        let wheel_file = WheelFile::open(Arc::clone(&disk), wheel_path)?;
        recovery.slots_changed = wheel_file.compare(&mut wheel, read_ms.div_euclid(precision))?;
        disk.sync_dir(&options.root).context(&options.root, "sync")?;
        if recovery != TimerRecovery::default() {
            tracing::info!(?recovery, read_ms, queue_offset, "the timer is open");
        }
        Ok(Self {
            options,
            disk,
            log,
            wheel,
            wheel_file: Arc::new(wheel_file),
            checkpoint_file: Arc::new(checkpoint_file),
            checkpoint: sound.unwrap_or_default(),
            read_ms,
            queue_offset,
            catch_up,
            is_changed: recovery.slots_changed > 0,
            recovery,
        })
    }
}

impl Scanned {
    /// Takes an entry of the log, if it is the right one.
    fn take(
        &mut self,
        position: i64,
        unit: &TimerUnit,
        first: i64,
        precision: i64,
        source: &dyn TimerSource,
    ) -> bool {
        let time = unit.slot_ms().div_euclid(precision);
        let before = self.slots.get(&time).map(|slot| slot.last);
        let is_chained = match before {
            Some(before) => unit.previous == before,
            // What stood before it has expired.
            None => unit.previous == -1 || (0..first).contains(&unit.previous),
        };
        // The messages of the oldest entries have expired; those of all others are there.
        let newest = self.logged.last().copied().unwrap_or(0);
        let mut is_right =
            !self.is_verified && (newest..source.first_physical()).contains(&unit.physical_offset);
        if is_chained && !is_right {
            source.at(unit.physical_offset, &mut |message| {
                is_right = is_of(unit, message);
                if is_right {
                    self.is_verified = true;
                    note_rolled(&mut self.rolled, message);
                }
            });
        }
        if !(is_chained && is_right) {
            return false;
        }
        let slot =
            self.slots.entry(time).or_insert(Slot { first: position, last: position, count: 0 });
        add_to(slot, position, unit.is_delete);
        self.logged.push(unit.physical_offset);
        true
    }
}

/// Whether an entry is one of this message.
fn is_of(unit: &TimerUnit, message: &TimedMessage<'_>) -> bool {
    let is_time = if unit.is_roll {
        unit.delay_ms > 0 && unit.slot_ms() < message.out_ms
    } else {
        unit.slot_ms() == message.out_ms
    };
    is_time
        && unit.size == message.size
        && unit.topic_hash == message.topic_hash()
        && unit.is_delete == message.delete_key.is_some()
}

/// Where to go on in the queue, and what is known of the messages from there on.
fn catch_up(
    scanned: &mut Scanned,
    checkpoint: Option<TimerCheckpoint>,
    read_ms: i64,
    source: &dyn TimerSource,
) -> (i64, Option<CatchUp>) {
    let (min, max) = source.range();
    let handled = checkpoint.map_or(min, |checkpoint| checkpoint.queue_offset.clamp(min, max));
    let mut logged = std::mem::take(&mut scanned.logged);
    let mut rolled = std::mem::take(&mut scanned.rolled);
    logged.sort_unstable();
    // The first that has no entry, unless it was delivered: before it there is nothing to do.
    let mut start = max;
    source.all_but(&logged, &mut |message| {
        note_rolled(&mut rolled, message);
        if message.queue_offset >= handled || message.out_ms >= read_ms {
            start = start.min(message.queue_offset.max(min));
        }
    });
    let catch_up = CatchUp { until: max, handled, read_ms, logged, rolled };
    (start, (start < max).then_some(catch_up))
}

fn note_rolled(rolled: &mut HashSet<(String, i32)>, message: &TimedMessage<'_>) {
    if message.roll_times > 0 {
        rolled.insert((message.unique_key.to_owned(), message.roll_times));
    }
}
