//! The wheel: for each second of the next days, where the timer log's entries of that second are.
//!
//! `timerwheel` has 2 × 604,800 slots of 32 bytes; the slot of a time is `time / precision` modulo
//! their number.
//!
//! | Offset | Size | Field | |
//! |---|---|---|---|
//! | 0 | 8 | `delayedTime` | time / precision; another time's slot counts as empty |
//! | 8 | 8 | `firstPos` | position in the timer log of the slot's first entry |
//! | 16 | 8 | `lastPos` | of its last one, from which `prevPos` leads through all |
//! | 24 | 4 | `num` | entries, those that take others back counted as -1 |
//! | 28 | 4 | `magic` | 0 |
//!
//! Here the file is only written: what it says follows from the timer log, and the wheel in memory
//! holds just the slots that have entries.
//!
//! Source: RocketMQ 5.3.3 `store/timer/{TimerWheel, Slot}`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::store::disk::{Disk, DiskFile, Open};
use crate::store::error::{Context, StoreError};

/// Bytes of a slot.
pub(crate) const SLOT_BYTES: usize = 32;
/// Slots of a turn: seven days of seconds.
pub(crate) const SLOTS: i64 = 7 * 24 * 3600;
/// Bytes of the file: two turns.
pub(crate) const FILE_BYTES: u64 = 2 * SLOTS as u64 * SLOT_BYTES as u64;
/// Bytes read at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// A slot that has entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) first: i64,
    pub(crate) last: i64,
    pub(crate) count: i32,
}

impl Slot {
    fn encode(self, time: i64) -> [u8; SLOT_BYTES] {
        let mut bytes = [0; SLOT_BYTES];
        let fields: [&[u8]; 4] = [
            &time.to_be_bytes(),
            &self.first.to_be_bytes(),
            &self.last.to_be_bytes(),
            &self.count.to_be_bytes(),
        ];
        for (slot, byte) in bytes.iter_mut().zip(fields.into_iter().flatten()) {
            *slot = *byte;
        }
        bytes
    }
}

/// Slots as bytes, by their place in the file.
pub(crate) type Changes = BTreeMap<u64, [u8; SLOT_BYTES]>;

/// The slots that have entries, and what the file does not say yet.
#[derive(Debug, Default)]
pub(crate) struct Wheel {
    /// By time / precision.
    slots: BTreeMap<i64, Slot>,
    changes: Changes,
}

/// Where the slot of a time stands in the file.
fn place(time: i64) -> u64 {
    // The remainder lies between 0 and the number of slots.
    let index = u64::try_from(time.rem_euclid(2 * SLOTS)).unwrap_or_default();
    index * SLOT_BYTES as u64
}

impl Wheel {
    /// A wheel of these slots; the file is to be [compared](WheelFile::compare) with it.
    pub(crate) fn new(slots: BTreeMap<i64, Slot>) -> Self {
        Self { slots, changes: Changes::new() }
    }

    /// The slot of a time.
    pub(crate) fn slot(&self, time: i64) -> Option<Slot> {
        self.slots.get(&time).copied()
    }

    /// The earliest slot that has entries.
    pub(crate) fn first(&self) -> Option<(i64, Slot)> {
        self.slots.first_key_value().map(|(time, slot)| (*time, *slot))
    }

    /// Slots that have entries.
    pub(crate) fn slots(&self) -> &BTreeMap<i64, Slot> {
        &self.slots
    }

    /// Adds an entry of the timer log to the slot of a time.
    pub(crate) fn add(&mut self, time: i64, position: i64, is_delete: bool) {
        let slot =
            self.slots.entry(time).or_insert(Slot { first: position, last: position, count: 0 });
        add_to(slot, position, is_delete);
        let bytes = slot.encode(time);
        self.changes.insert(place(time), bytes);
    }

    /// Forgets a slot whose entries are done. The file keeps it, as Apache's does.
    pub(crate) fn remove(&mut self, time: i64) {
        self.slots.remove(&time);
    }

    /// Takes what the file does not say yet.
    pub(crate) fn take_changes(&mut self) -> Changes {
        std::mem::take(&mut self.changes)
    }

    /// Takes back changes that could not be written; newer ones of the same slots stay.
    pub(crate) fn restore_changes(&mut self, changes: Changes) {
        for (place, bytes) in changes {
            self.changes.entry(place).or_insert(bytes);
        }
    }
}

/// Counts one more entry in.
pub(crate) fn add_to(slot: &mut Slot, position: i64, is_delete: bool) {
    slot.last = position;
    slot.count = slot.count.saturating_add(if is_delete { -1 } else { 1 });
}

/// `timerwheel`, open for writing.
#[derive(Debug)]
pub(crate) struct WheelFile {
    disk: Arc<dyn Disk>,
    file: DiskFile,
}

impl WheelFile {
    /// Opens the file, or makes it; one of another length is made anew. All but the slots in use
    /// is a hole.
    pub(crate) fn open(disk: Arc<dyn Disk>, path: PathBuf) -> Result<Self, StoreError> {
        let file = disk.open(&path, Open::Any).context(&path, "open")?;
        let length = file.file().metadata().context(&path, "ask the length of")?.len();
        if length != FILE_BYTES {
            if length != 0 {
                tracing::warn!(
                    file = %path.display(),
                    length,
                    expected = FILE_BYTES,
                    "the timer wheel has another length: it is made anew"
                );
                disk.set_length(&file, 0).context(&path, "set the length of")?;
            }
            disk.set_length(&file, FILE_BYTES).context(&path, "set the length of")?;
        }
        Ok(Self { disk, file })
    }

    /// Notes where the file says something else than the wheel about a time from `read` on. Tells
    /// how many slots those are.
    pub(crate) fn compare(&self, wheel: &mut Wheel, read: i64) -> Result<usize, StoreError> {
        let mut missing: Changes =
            wheel.slots.iter().map(|(time, slot)| (place(*time), slot.encode(*time))).collect();
        let mut changes = Changes::new();
        self.walk(|at, stored| {
            let time = stored.first_chunk().map_or(0, |time| i64::from_be_bytes(*time));
            match missing.remove(&at) {
                Some(wanted) if wanted == *stored => {}
                Some(wanted) => drop(changes.insert(at, wanted)),
                // A time before is done, and Apache's broker does not look at it again.
                None if time < read => {}
                None => drop(changes.insert(at, [0; SLOT_BYTES])),
            }
        })?;
        changes.extend(missing);
        let count = changes.len();
        wheel.restore_changes(changes);
        Ok(count)
    }

    /// Shows every slot that is not all zeros.
    fn walk(&self, mut show: impl FnMut(u64, &[u8; SLOT_BYTES])) -> Result<(), StoreError> {
        let path = self.file.path();
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut at = 0;
        while let Some(data) = self.disk.next_data(&self.file, at).context(path, "look through")?
            && data < FILE_BYTES
        {
            at = data - data % SLOT_BYTES as u64;
            let read = self.disk.read_at(&self.file, at, &mut chunk).context(path, "read")?;
            let slots = chunk.get(..read).unwrap_or_default().as_chunks::<SLOT_BYTES>().0;
            for slot in slots {
                if *slot != [0; SLOT_BYTES] {
                    show(at, slot);
                }
                at += SLOT_BYTES as u64;
            }
            if slots.is_empty() {
                break;
            }
        }
        Ok(())
    }

    /// Writes and syncs changes.
    pub(crate) fn write(&self, changes: &Changes) -> Result<(), StoreError> {
        if changes.is_empty() {
            return Ok(());
        }
        let path = self.file.path();
        for (at, slot) in changes {
            self.disk.write_at(&self.file, *at, slot).context(path, "write")?;
        }
        self.disk.sync_data(&self.file).context(path, "sync")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::disk::RealDisk;

    fn open(folder: &std::path::Path) -> WheelFile {
        WheelFile::open(Arc::new(RealDisk), folder.join("timerwheel")).unwrap()
    }

    #[test]
    fn a_slot_stands_where_apache_looks_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let mut wheel = Wheel::default();
        let time = 1_700_000_000;
        wheel.add(time, 104, false);
        wheel.add(time, 208, false);
        wheel.add(time, 260, true);
        open(folder.path()).write(&wheel.take_changes()).unwrap();
        let bytes = std::fs::read(folder.path().join("timerwheel")).unwrap();
        assert_eq!(bytes.len(), 38_707_200);
        let at = (1_700_000_000usize % 1_209_600) * 32;
        let words: Vec<i64> = bytes[at..at + 24]
            .chunks(8)
            .map(|word| i64::from_be_bytes(word.try_into().unwrap()))
            .collect();
        assert_eq!(words, [time, 104, 260]);
        assert_eq!(bytes[at + 24..at + 32], [0, 0, 0, 1, 0, 0, 0, 0]);
        assert_eq!(
            bytes.iter().filter(|byte| **byte != 0).count(),
            bytes[at..at + 32].iter().filter(|byte| **byte != 0).count()
        );
    }

    #[test]
    fn what_the_file_says_wrongly_is_put_right() {
        let folder = tempfile::tempdir().unwrap();
        let mut wheel = Wheel::default();
        for time in [100, 5_000, 900_000] {
            wheel.add(time, time, false);
        }
        let file = open(folder.path());
        file.write(&wheel.take_changes()).unwrap();
        // Nothing to be done: 100 is over, the others agree.
        let kept = |times: &[i64]| {
            let slot = |time: i64| Slot { first: time, last: time, count: 1 };
            Wheel::new(times.iter().map(|time| (*time, slot(*time))).collect())
        };
        let mut same = kept(&[5_000, 900_000]);
        assert_eq!(file.compare(&mut same, 101).unwrap(), 0);
        // One slot too many, one too few, one other.
        let mut other = kept(&[5_000, 7_000]);
        other.add(5_000, 8_000, false);
        other.take_changes();
        assert_eq!(file.compare(&mut other, 101).unwrap(), 3);
        file.write(&other.take_changes()).unwrap();
        assert_eq!(open(folder.path()).compare(&mut other, 101).unwrap(), 0);
        assert_eq!(file.compare(&mut Wheel::default(), 101).unwrap(), 2);
    }

    #[test]
    fn a_file_of_another_length_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("timerwheel"), [7; 1000]).unwrap();
        let file = open(folder.path());
        assert_eq!(file.compare(&mut Wheel::default(), 0).unwrap(), 0);
        assert_eq!(std::fs::metadata(file.file.path()).unwrap().len(), FILE_BYTES);
    }
}
