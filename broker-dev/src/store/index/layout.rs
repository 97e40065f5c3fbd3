//! Where what stands in an index file.
//!
//! | Offset | Size | Part |
//! |---|---|---|
//! | 0 | 8 | `beginTimestamp`: store time of the first record in it, ms |
//! | 8 | 8 | `endTimestamp`: of the last one |
//! | 16 | 8 | `beginPhyOffset`: log offset of the first record in it |
//! | 24 | 8 | `endPhyOffset`: of the last one |
//! | 32 | 4 | `hashSlotCount`: slots in use |
//! | 36 | 4 | `indexCount`: number of the next entry; the first one has number 1 |
//! | 40 | 4 × slots | number of the newest entry of each slot; 0 without one |
//! | … | 20 × entries | the entries |
//!
//! | Offset in an entry | Size | Field |
//! |---|---|---|
//! | 0 | 4 | hash of the key |
//! | 4 | 8 | log offset of the record |
//! | 12 | 4 | seconds from the file's begin to the record's store time |
//! | 16 | 4 | number of the entry before it in its slot; 0 without one |
//!
//! Source: RocketMQ 5.3.3 `store/index/{IndexHeader, IndexFile}`.

use crate::store::disk::{Disk, Open};
use crate::store::error::{Context, StoreError};
use crate::store::mapped_file::MappedWords;
use std::path::Path;

/// Bytes before the slots.
const HEADER_BYTES: u64 = 40;
const SLOT_BYTES: u64 = 4;
const ENTRY_BYTES: u64 = 20;
/// Words before the slots.
const HEADER_WORDS: usize = 10;
/// Words of an entry.
const ENTRY_WORDS: usize = 5;

/// How many slots and entries a file has room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Geometry {
    pub(crate) slots: u32,
    /// Entry 0 is never used.
    pub(crate) entries: u32,
}

impl Geometry {
    /// Apache's defaults.
    pub(crate) const APACHE: Self = Self { slots: 5_000_000, entries: 20_000_000 };

    /// Bytes of a file.
    pub(crate) fn file_bytes(self) -> u64 {
        HEADER_BYTES + u64::from(self.slots) * SLOT_BYTES + u64::from(self.entries) * ENTRY_BYTES
    }

    /// The byte at which a slot stands.
    pub(crate) fn slot_at(self, slot: u32) -> u64 {
        HEADER_BYTES + u64::from(slot) * SLOT_BYTES
    }

    /// The byte at which an entry stands.
    pub(crate) fn entry_at(self, number: u32) -> u64 {
        self.slot_at(self.slots) + u64::from(number) * ENTRY_BYTES
    }

    /// The word with a slot.
    pub(super) fn slot_word(self, slot: u32) -> usize {
        HEADER_WORDS + slot as usize
    }

    /// The first word of an entry.
    pub(super) fn entry_word(self, number: u32) -> usize {
        HEADER_WORDS + self.slots as usize + number as usize * ENTRY_WORDS
    }

    /// The slot of a hash, which is not negative.
    pub(crate) fn slot_of(self, hash: u32) -> u32 {
        hash.checked_rem(self.slots).unwrap_or(0)
    }

    /// The geometries that a file of this length may have, the likely ones first.
    pub(crate) fn candidates(length: u64, expected: Self) -> Vec<Self> {
        let entries_beside = |slots: u32| {
            let rest = length.checked_sub(HEADER_BYTES + u64::from(slots) * SLOT_BYTES)?;
            let entries = u32::try_from(rest / ENTRY_BYTES).ok()?;
            Some(Self { slots, entries })
        };
        let slots_beside = |entries: u32| {
            let rest = length.checked_sub(HEADER_BYTES + u64::from(entries) * ENTRY_BYTES)?;
            Some(Self { slots: u32::try_from(rest / SLOT_BYTES).ok()?, entries })
        };
        // Four entries a slot, as Apache has them.
        let alike = u32::try_from(length.saturating_sub(HEADER_BYTES) / 84).ok();
        let alike = alike.map(|slots| Self { slots, entries: slots.saturating_mul(4) });
        let possible = [
            Some(expected),
            Some(Self::APACHE),
            entries_beside(expected.slots),
            slots_beside(expected.entries),
            alike,
            entries_beside(Self::APACHE.slots),
            slots_beside(Self::APACHE.entries),
        ];
        let is_right = |geometry: &Self| {
            geometry.slots > 0 && geometry.entries > 1 && geometry.file_bytes() == length
        };
        possible.into_iter().flatten().filter(is_right).collect()
    }

    /// The geometry of a file of this length. Where more than one is possible, the one with an
    /// entry where the header says that the last one is.
    pub(super) fn of_file(words: &MappedWords, length: u64, expected: Self) -> Option<Self> {
        let candidates = Self::candidates(length, expected);
        let header = Header::read(words);
        let agrees = |geometry: &&Self| header.agrees(words, **geometry);
        candidates.iter().find(agrees).or(candidates.first()).copied()
    }
}

/// What the first bytes of a file say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) begin_ms: i64,
    pub(crate) end_ms: i64,
    pub(crate) begin_offset: i64,
    pub(crate) end_offset: i64,
    pub(crate) used_slots: u32,
    pub(crate) count: u32,
}

impl Header {
    /// A file without entries, seeded as Apache does it with where the one before it ends.
    pub(super) fn after(last: Option<&Self>) -> Self {
        let (ms, offset) = last.map_or((0, 0), |last| (last.end_ms, last.end_offset));
        Self {
            begin_ms: ms,
            end_ms: ms,
            begin_offset: offset,
            end_offset: offset,
            used_slots: 0,
            count: 1,
        }
    }

    pub(super) fn read(words: &MappedWords) -> Self {
        Self {
            begin_ms: words.get_long(0),
            end_ms: words.get_long(2),
            begin_offset: words.get_long(4),
            end_offset: words.get_long(6),
            used_slots: words.get(8),
            count: words.get(9).cast_signed().max(1).cast_unsigned(),
        }
    }

    /// The same from the bytes of a file.
    pub(crate) fn decode(bytes: &[u8; 40]) -> Self {
        let (longs, ints) = bytes.split_at(32);
        let mut longs = longs.as_chunks::<8>().0.iter().map(|long| i64::from_be_bytes(*long));
        let mut ints = ints.as_chunks::<4>().0.iter().map(|int| i32::from_be_bytes(*int));
        let (mut long, mut int) = (|| longs.next().unwrap_or(0), || ints.next().unwrap_or(0));
        Self {
            begin_ms: long(),
            end_ms: long(),
            begin_offset: long(),
            end_offset: long(),
            used_slots: int().cast_unsigned(),
            count: int().max(1).cast_unsigned(),
        }
    }

    /// A file without entries stays all zeros but for its seed, as Apache leaves it.
    pub(super) fn write(&self, words: &MappedWords) {
        words.set_long(0, self.begin_ms);
        words.set_long(2, self.end_ms);
        words.set_long(4, self.begin_offset);
        words.set_long(6, self.end_offset);
        words.set(8, self.used_slots);
        words.set(9, if self.count > 1 { self.count } else { 0 });
    }

    /// Whether the entries are those that the header speaks of, as far as a look at the first, the
    /// last and the next tells.
    pub(super) fn agrees(&self, words: &MappedWords, geometry: Geometry) -> bool {
        let count = self.count;
        if count == 1 {
            return Entry::read(words, geometry, 1).is_nothing();
        }
        let is_last_right = count <= geometry.entries
            && Entry::read(words, geometry, count - 1).offset == self.end_offset
            && Entry::read(words, geometry, 1).offset == self.begin_offset;
        let is_next_free =
            || count == geometry.entries || Entry::read(words, geometry, count).is_nothing();
        is_last_right && self.used_slots < count && is_next_free()
    }
}

/// One key of one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) hash: u32,
    pub(crate) offset: i64,
    pub(crate) seconds: i32,
    pub(crate) previous: u32,
}

impl Entry {
    pub(super) fn read(words: &MappedWords, geometry: Geometry, number: u32) -> Self {
        let at = geometry.entry_word(number);
        Self {
            hash: words.get(at),
            offset: words.get_long(at + 1),
            seconds: words.get(at + 3).cast_signed(),
            previous: words.get(at + 4),
        }
    }

    /// The same from its bytes.
    pub(crate) fn decode(bytes: &[u8; 20]) -> Self {
        let [h0, h1, h2, h3, offset @ .., s0, s1, s2, s3, p0, p1, p2, p3] = *bytes;
        Self {
            hash: u32::from_be_bytes([h0, h1, h2, h3]),
            offset: i64::from_be_bytes(offset),
            seconds: i32::from_be_bytes([s0, s1, s2, s3]),
            previous: u32::from_be_bytes([p0, p1, p2, p3]),
        }
    }

    pub(super) fn write(&self, words: &MappedWords, geometry: Geometry, number: u32) {
        let at = geometry.entry_word(number);
        words.set(at, self.hash);
        words.set_long(at + 1, self.offset);
        words.set(at + 3, self.seconds.cast_unsigned());
        words.set(at + 4, self.previous);
    }

    /// Whether nothing was written here.
    pub(super) fn is_nothing(&self) -> bool {
        *self == Self { hash: 0, offset: 0, seconds: 0, previous: 0 }
    }
}

/// Opens and maps an index file.
pub(super) fn map(disk: &dyn Disk, path: &Path, bytes: u64) -> Result<MappedWords, StoreError> {
    let file = disk.open(path, Open::Existing).context(path, "open")?;
    MappedWords::map(file, usize::try_from(bytes).unwrap_or(usize::MAX)).context(path, "map")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apaches_files_have_420_000_040_bytes() {
        assert_eq!(Geometry::APACHE.file_bytes(), 420_000_040);
        assert_eq!(Geometry::APACHE.entry_word(0) * 4, 20_000_040);
    }

    #[test]
    fn the_geometry_is_found_from_the_length() {
        let expected = Geometry { slots: 100, entries: 400 };
        let first = |length| Geometry::candidates(length, expected).first().copied();
        assert_eq!(first(expected.file_bytes()), Some(expected));
        assert_eq!(first(420_000_040), Some(Geometry::APACHE));
        let other = Geometry { slots: 100, entries: 500 };
        assert_eq!(first(other.file_bytes()), Some(other));
        let other = Geometry { slots: 7, entries: 28 };
        assert!(Geometry::candidates(other.file_bytes(), expected).contains(&other));
        assert_eq!(first(40), None);
        assert_eq!(first(41), None);
    }
}
