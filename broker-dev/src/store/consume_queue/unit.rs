//! One place of a consume queue: which record stands there.
//!
//! | Offset | Size | Field |
//! |---|---|---|
//! | 0 | 8 | offset of the record in the commit log |
//! | 8 | 4 | length of the record |
//! | 12 | 8 | tag code; for a delayed message the time of its delivery |
//!
//! Source: RocketMQ 5.3.3 `store/ConsumeQueue`.

use memchr::memmem;
use oxmq::protocol::message::properties::{VALUE_END, name};
use oxmq::protocol::message::record::Record;
use oxmq::protocol::message::tags;
use oxmq::protocol::names::SCHEDULE_TOPIC;

/// Bytes of a unit.
pub(crate) const UNIT_BYTES: usize = 20;

/// How the property of the tag begins.
const TAGS: &[u8] = b"TAGS\x01";

/// One unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unit {
    pub(crate) physical_offset: i64,
    pub(crate) length: i32,
    pub(crate) tags_code: i64,
}

impl Unit {
    /// Fills places that no record takes: before the first one of a file, or where the log is
    /// damaged.
    pub(crate) const BLANK: Self = Self { physical_offset: 0, length: i32::MAX, tags_code: 0 };

    /// The unit's bytes.
    pub(crate) fn encode(&self) -> [u8; UNIT_BYTES] {
        let mut bytes = [0; UNIT_BYTES];
        let (offset, rest) = bytes.split_at_mut(8);
        let (length, tags_code) = rest.split_at_mut(4);
        offset.copy_from_slice(&self.physical_offset.to_be_bytes());
        length.copy_from_slice(&self.length.to_be_bytes());
        tags_code.copy_from_slice(&self.tags_code.to_be_bytes());
        bytes
    }

    /// Takes a unit's bytes apart.
    pub(crate) fn decode(bytes: &[u8; UNIT_BYTES]) -> Self {
        let [o0, o1, o2, o3, o4, o5, o6, o7, l0, l1, l2, l3, t @ ..] = *bytes;
        Self {
            physical_offset: i64::from_be_bytes([o0, o1, o2, o3, o4, o5, o6, o7]),
            length: i32::from_be_bytes([l0, l1, l2, l3]),
            tags_code: i64::from_be_bytes(t),
        }
    }

    /// Whether a record may stand behind it.
    pub(crate) fn is_record(&self) -> bool {
        self.physical_offset >= 0 && self.length > 0 && self.length != i32::MAX
    }
}

/// What stands in a unit's last field for this record.
///
/// `delay_levels_ms` holds the delay of level 1, 2, …; a level beyond counts as the last.
pub(crate) fn tags_code(record: &Record<'_>, delay_levels_ms: &[i64]) -> i64 {
    if record.topic == SCHEDULE_TOPIC {
        let level = record.property(name::DELAY_TIME_LEVEL).and_then(|level| level.parse().ok());
        if let Some(level @ 1..) = level {
            return deliver_time(record.store_timestamp, level, delay_levels_ms);
        }
    }
    tags::tags_code(tags_of(record.properties))
}

/// The `TAGS` property; what [`oxmq::protocol::message::properties::find`] gives, but without
/// looking at every property: this is asked for each message.
fn tags_of(properties: &str) -> Option<&str> {
    let bytes = properties.as_bytes();
    let mut before = bytes.len();
    loop {
        let at = memmem::rfind(bytes.get(..before)?, TAGS)?;
        let value = properties.get(at + TAGS.len()..)?;
        let value = value.split(char::from(VALUE_END)).next()?;
        let begins = at.checked_sub(1).is_none_or(|last| bytes.get(last) == Some(&VALUE_END));
        if begins && !value.is_empty() {
            return Some(value);
        }
        before = at;
    }
}

fn deliver_time(store_timestamp: i64, level: i64, delay_levels_ms: &[i64]) -> i64 {
    let index = usize::try_from(level - 1).unwrap_or(usize::MAX);
    let delay = delay_levels_ms.get(index).or(delay_levels_ms.last()).copied().unwrap_or(1_000);
    store_timestamp.saturating_add(delay)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_have_apaches_bytes() {
        let unit = Unit { physical_offset: 0x0102, length: 98, tags_code: -2 };
        let mut bytes = [0xFF; UNIT_BYTES];
        bytes[..12].copy_from_slice(&[0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 98]);
        bytes[19] = 0xFE;
        assert_eq!(unit.encode(), bytes);
        assert_eq!(Unit::decode(&bytes), unit);
        assert!(unit.is_record() && !Unit::BLANK.is_record());
    }

    #[test]
    fn the_tag_is_the_one_that_a_walk_over_all_properties_finds() {
        for text in [
            "",
            "TAGS\u{1}a",
            "TAGS\u{1}a\u{2}",
            "TAGS\u{1}a\u{2}TAGS\u{1}b\u{2}",
            "TAGS\u{1}a\u{2}TAGS\u{1}\u{2}",
            "MYTAGS\u{1}a\u{2}",
            "TAGS\u{1}a\u{2}MYTAGS\u{1}b\u{2}",
            "k\u{1}TAGS\u{1}x\u{2}",
            "k\u{1}v\u{2}TAGS\u{1}中文\u{1}x\u{2}z",
            "TAGS\u{2}",
        ] {
            let walked = oxmq::protocol::message::properties::find(text, name::TAGS);
            assert_eq!(tags_of(text), walked, "{text:?}");
        }
    }

    #[test]
    fn delayed_messages_carry_their_delivery_time() {
        let levels = [1_000, 5_000];
        for (topic, properties, code) in [
            ("SCHEDULE_TOPIC_XXXX", "DELAY\u{1}2\u{2}TAGS\u{1}TagA\u{2}", 105_000),
            ("SCHEDULE_TOPIC_XXXX", "DELAY\u{1}9\u{2}", 105_000),
            ("SCHEDULE_TOPIC_XXXX", "DELAY\u{1}0\u{2}TAGS\u{1}TagA\u{2}", 2_598_919),
            ("T", "DELAY\u{1}2\u{2}TAGS\u{1}TagA\u{2}", 2_598_919),
            ("T", "", 0),
        ] {
            let host = ([127, 0, 0, 1], 1).into();
            let record = Record {
                body_crc: 0,
                queue_id: 0,
                flag: 0,
                queue_offset: 0,
                physical_offset: 0,
                sys_flag: 0,
                born_timestamp: 0,
                born_host: host,
                store_timestamp: 100_000,
                store_host: host,
                reconsume_times: 0,
                prepared_transaction_offset: 0,
                body: b"",
                topic,
                properties,
            };
            assert_eq!(tags_code(&record, &levels), code, "{topic} {properties}");
        }
    }
}
