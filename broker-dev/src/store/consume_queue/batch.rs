//! One place of a batch queue: which record stands there, and how many messages are in it.
//!
//! | Offset | Size | Field |
//! |---|---|---|
//! | 0 | 8 | offset of the record in the commit log |
//! | 8 | 4 | length of the record |
//! | 12 | 8 | tag code |
//! | 20 | 8 | when it was stored, ms since the Unix epoch |
//! | 28 | 8 | offset in the queue of the first message in it |
//! | 36 | 2 | messages in it |
//! | 38 | 4 | offset in a compacted log, −1 |
//! | 42 | 4 | reserved, 0 |
//!
//! Source: RocketMQ 5.3.3 `store/queue/BatchConsumeQueue`.

use super::unit::{UNIT_BYTES, Unit};

/// Bytes of a unit.
pub(crate) const BATCH_UNIT_BYTES: usize = 46;

/// One unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BatchUnit {
    pub(crate) unit: Unit,
    pub(crate) store_timestamp: i64,
    pub(crate) base_offset: i64,
    pub(crate) count: i16,
}

impl BatchUnit {
    /// The unit's bytes.
    pub(crate) fn encode(&self) -> [u8; BATCH_UNIT_BYTES] {
        let mut bytes = [0; BATCH_UNIT_BYTES];
        let (unit, rest) = bytes.split_at_mut(UNIT_BYTES);
        let (time, rest) = rest.split_at_mut(8);
        let (base, rest) = rest.split_at_mut(8);
        let (count, rest) = rest.split_at_mut(2);
        let (compacted, _reserved) = rest.split_at_mut(4);
        unit.copy_from_slice(&self.unit.encode());
        time.copy_from_slice(&self.store_timestamp.to_be_bytes());
        base.copy_from_slice(&self.base_offset.to_be_bytes());
        count.copy_from_slice(&self.count.to_be_bytes());
        compacted.copy_from_slice(&(-1i32).to_be_bytes());
        bytes
    }

    /// Takes a unit's bytes apart; `None` if they are too few.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (unit, rest) = bytes.split_first_chunk()?;
        let (time, rest) = rest.split_first_chunk()?;
        let (base, rest) = rest.split_first_chunk()?;
        let (count, rest) = rest.split_first_chunk()?;
        (rest.len() >= 8).then_some(Self {
            unit: Unit::decode(unit),
            store_timestamp: i64::from_be_bytes(*time),
            base_offset: i64::from_be_bytes(*base),
            count: i16::from_be_bytes(*count),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_have_apaches_bytes() {
        let unit = Unit { physical_offset: 0x0102, length: 98, tags_code: -2 };
        let batch = BatchUnit { unit, store_timestamp: 7, base_offset: 0x0304, count: 5 };
        let bytes = batch.encode();
        assert_eq!(bytes[..UNIT_BYTES], unit.encode());
        let rest = [
            0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 3, 4, 0, 5, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0,
            0,
        ];
        assert_eq!(bytes[UNIT_BYTES..], rest);
        assert_eq!(BatchUnit::decode(&bytes), Some(batch));
        assert_eq!(BatchUnit::decode(&bytes[1..]), None);
    }
}
