//! One entry of the timer log: 52 bytes, big-endian.
//!
//! | Offset | Size | Field | |
//! |---|---|---|---|
//! | 0 | 4 | `size` | 52 |
//! | 4 | 8 | `prevPos` | position of the same slot's entry before this one, -1: none |
//! | 12 | 4 | `magic` | bits: 1 always, 2 [`ROLL`], 4 [`DELETE`] |
//! | 16 | 8 | `currWriteTime` | the wheel's time at the write, ms |
//! | 24 | 4 | `delayedTime` | time of the slot minus `currWriteTime`, ms |
//! | 28 | 8 | `offsetPy` | the message's place in the commit log |
//! | 36 | 4 | `sizePy` | its record's length |
//! | 40 | 4 | `hashCode` | Java's hash of its real topic |
//! | 44 | 8 | | zeros |
//!
//! The end of a file, where no entry fits, holds [`BLANK_BYTES`]: the bytes left (4), zeros (8), and
//! the magic of a blank (4).
//!
//! Source: RocketMQ 5.3.3 `store/timer/TimerLog`, `TimerMessageStore.doEnqueue`.

use oxmq::protocol::message::record::MAGIC_BLANK;

/// Bytes of an entry.
pub(crate) const UNIT_BYTES: usize = 52;
/// The same, as an entry says it.
const UNIT_SIZE: i32 = 52;
/// Bytes that end a file.
pub(crate) const BLANK_BYTES: usize = 16;
/// Bit of the magic that every entry has.
const DEFAULT: i32 = 1;
/// Bit of the magic: when due, the message goes round once more.
const ROLL: i32 = 2;
/// Bit of the magic: the entry takes back another one.
const DELETE: i32 = 4;

/// An entry of the timer log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimerUnit {
    /// Position of the same slot's entry before this one; -1 if there is none.
    pub previous: i64,
    /// When due, the message goes round once more: its time lies beyond the wheel.
    pub is_roll: bool,
    /// It takes back another message of the same slot.
    pub is_delete: bool,
    /// The wheel's time when it was written, ms since the Unix epoch.
    pub write_ms: i64,
    /// The slot's time minus `write_ms`.
    pub delay_ms: i32,
    /// The message's place in the commit log.
    pub physical_offset: i64,
    /// Its record's length.
    pub size: i32,
    /// Java's hash of its real topic.
    pub topic_hash: i32,
}

impl TimerUnit {
    /// The time of its slot, ms since the Unix epoch.
    pub fn slot_ms(&self) -> i64 {
        self.write_ms.saturating_add(self.delay_ms.into())
    }

    pub(crate) fn encode(&self) -> [u8; UNIT_BYTES] {
        let roll = if self.is_roll { ROLL } else { 0 };
        let delete = if self.is_delete { DELETE } else { 0 };
        let mut bytes = [0; UNIT_BYTES];
        let fields: [&[u8]; 8] = [
            &UNIT_SIZE.to_be_bytes(),
            &self.previous.to_be_bytes(),
            &(DEFAULT | roll | delete).to_be_bytes(),
            &self.write_ms.to_be_bytes(),
            &self.delay_ms.to_be_bytes(),
            &self.physical_offset.to_be_bytes(),
            &self.size.to_be_bytes(),
            &self.topic_hash.to_be_bytes(),
        ];
        let mut slots = bytes.iter_mut();
        for (slot, byte) in slots.by_ref().zip(fields.into_iter().flatten()) {
            *slot = *byte;
        }
        bytes
    }

    /// Reads an entry; `None` if the bytes are none.
    pub(crate) fn decode(bytes: &[u8; UNIT_BYTES]) -> Option<Self> {
        let mut rest = bytes.as_slice();
        if next_i32(&mut rest)? != UNIT_SIZE {
            return None;
        }
        let previous = next_i64(&mut rest)?;
        let magic = next_i32(&mut rest)?;
        if magic & !(DEFAULT | ROLL | DELETE) != 0 || magic & DEFAULT == 0 {
            return None;
        }
        Some(Self {
            previous,
            is_roll: magic & ROLL != 0,
            is_delete: magic & DELETE != 0,
            write_ms: next_i64(&mut rest)?,
            delay_ms: next_i32(&mut rest)?,
            physical_offset: next_i64(&mut rest)?,
            size: next_i32(&mut rest)?,
            topic_hash: next_i32(&mut rest)?,
        })
    }
}

/// The bytes that end a file in which `left` bytes are left.
pub(crate) fn blank(left: u64) -> [u8; BLANK_BYTES] {
    let left = u32::try_from(left).unwrap_or(u32::MAX);
    (u128::from(left) << 96 | u128::from(MAGIC_BLANK)).to_be_bytes()
}

/// Whether an entry's place holds the end of a file instead.
pub(crate) fn is_blank(bytes: &[u8]) -> bool {
    bytes.get(12..BLANK_BYTES) == Some(&MAGIC_BLANK.to_be_bytes())
}

pub(crate) fn next_i32(rest: &mut &[u8]) -> Option<i32> {
    let (head, tail) = rest.split_first_chunk()?;
    *rest = tail;
    Some(i32::from_be_bytes(*head))
}

pub(crate) fn next_i64(rest: &mut &[u8]) -> Option<i64> {
    let (head, tail) = rest.split_first_chunk()?;
    *rest = tail;
    Some(i64::from_be_bytes(*head))
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn unit() -> TimerUnit {
        TimerUnit {
            previous: -1,
            is_roll: false,
            is_delete: true,
            write_ms: 1_700_000_000_000,
            delay_ms: 5_000,
            physical_offset: 4_660,
            size: 300,
            topic_hash: -7,
        }
    }

    #[test]
    fn an_entry_stands_as_apache_writes_it() {
        let bytes = unit().encode();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            hex,
            "00000034ffffffffffffffff00000005\
             0000018bcfe56800000013880000000000001234\
             0000012cfffffff90000000000000000"
        );
        assert_eq!(TimerUnit::decode(&bytes), Some(unit()));
    }

    #[test]
    fn other_bytes_are_no_entry() {
        assert_eq!(TimerUnit::decode(&[0; UNIT_BYTES]), None);
        for (at, value) in [(3, 51), (15, 4), (15, 0x15), (12, 1)] {
            let mut bytes = unit().encode();
            bytes[at] = value;
            assert_eq!(TimerUnit::decode(&bytes), None, "{at}");
        }
    }

    #[test]
    fn a_blank_tells_what_is_left() {
        let bytes = blank(48);
        assert_eq!(bytes, [0, 0, 0, 48, 0, 0, 0, 0, 0, 0, 0, 0, 0xCB, 0xD4, 0x31, 0x94]);
        assert!(is_blank(&bytes) && !is_blank(&unit().encode()) && !is_blank(&bytes[1..]));
    }
}
