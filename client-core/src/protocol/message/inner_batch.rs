//! Inner batches: one record that holds several messages, of topics with `queue.type=BatchCQ`.
//!
//! The record's body is that of a batch send ([`super::batch`]). It takes as many places in its
//! queue as it has messages; the first is its `queueOffset`, also kept as `INNER_BASE`, and
//! `INNER_NUM` counts them. Whoever reads it takes it apart.
//!
//! Source: RocketMQ 5.3.3 `broker/processor/SendMessageProcessor.sendBatchMessage`,
//! `common/message/MessageDecoder.decodeMessage`.

use bytes::Bytes;

use super::batch::{self, BatchItem};
use super::properties::name;
use super::record::Record;
use super::{properties, sys_flag};
use crate::protocol::DecodeError;

/// Whether a record is to be taken apart by whoever reads it.
pub const fn is_wrapped(sys_flag: i32) -> bool {
    const BOTH: i32 = sys_flag::INNER_BATCH | sys_flag::NEED_UNWRAP;
    sys_flag & BOTH == BOTH
}

/// Messages that the properties of an inner batch count; `None` if they do not say, or none.
pub fn count(property_text: &str) -> Option<i16> {
    properties::find(property_text, name::INNER_NUM)?.parse().ok().filter(|count| *count > 0)
}

/// The messages of an inner batch, in the order of their places; `body` is the record's,
/// decompressed.
///
/// # Errors
/// The body is no batch.
pub fn items(body: Bytes) -> Result<Vec<BatchItem>, DecodeError> {
    batch::decode(body)
}

/// The record as if its `nth` message stood alone: its own flag, properties and place, all else of
/// the batch. The body is the batch's still.
pub fn single<'a>(batch: &Record<'a>, nth: usize, item: &'a BatchItem) -> Record<'a> {
    Record {
        queue_offset: batch.queue_offset.saturating_add(i64::try_from(nth).unwrap_or(i64::MAX)),
        flag: item.flag,
        properties: &item.properties,
        ..*batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_a_positive_short() {
        assert_eq!(count("INNER_NUM\u{1}32767\u{2}"), Some(32_767));
        for text in
            ["", "INNER_NUM\u{1}0\u{2}", "INNER_NUM\u{1}-1\u{2}", "INNER_NUM\u{1}32768\u{2}"]
        {
            assert_eq!(count(text), None, "{text:?}");
        }
    }

    #[test]
    fn both_bits_are_needed() {
        assert!(is_wrapped(0xC0) && is_wrapped(0xC1));
        assert!(!is_wrapped(0x80) && !is_wrapped(0x40) && !is_wrapped(0));
    }
}
