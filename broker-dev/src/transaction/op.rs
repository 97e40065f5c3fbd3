//! Op messages: which half messages are settled.
//!
//! The body has the queue offsets of half messages, each followed by a comma; the tag is `d`.
//!
//! Differs: Apache's broker gathers offsets for up to three seconds, and a crash loses those it
//! gathered: their producers are asked again, and a message may be there twice. Here each is
//! written at once, in one turn with the committed message. Its one offset stands without a comma,
//! which every release reads; 4.9 cannot read one.

use oxmq::protocol::message::Record;
use oxmq::protocol::names::OP_HALF_TOPIC;

use crate::core::Core;
use crate::store::PutMessage;

/// The properties of an op message.
const PROPERTIES: &str = "TAGS\u{1}d\u{2}";

/// The tag of an op message that settles half messages.
const TAG: &str = "d";

/// An op message; `body` is [`body`] of the half message's offset.
pub(super) fn message<'a>(core: &Core, queue_id: i32, body: &'a str) -> PutMessage<'a> {
    PutMessage {
        topic: OP_HALF_TOPIC,
        queue_id,
        flag: 0,
        sys_flag: 0,
        born_timestamp: core.clock.now_ms(),
        born_host: core.store_host,
        store_host: core.store_host,
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body: body.as_bytes(),
        properties: PROPERTIES,
    }
}

/// The body that settles one half message.
pub(super) fn body(half_offset: i64) -> String {
    half_offset.to_string()
}

/// The half messages that an op message settles. What is no number is passed over.
pub(super) fn settled<'a>(op: &Record<'a>) -> impl Iterator<Item = i64> + use<'a> {
    let body = if op.property("TAGS") == Some(TAG) { op.body } else { b"" };
    let offsets = body.split(|byte| *byte == b',');
    offsets.filter_map(|offset| std::str::from_utf8(offset).ok()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record<'a>(body: &'a [u8], properties: &'a str) -> Record<'a> {
        Record {
            body_crc: 0,
            queue_id: 0,
            flag: 0,
            queue_offset: 0,
            physical_offset: 0,
            sys_flag: 0,
            born_timestamp: 0,
            born_host: ([127, 0, 0, 1], 1).into(),
            store_timestamp: 0,
            store_host: ([127, 0, 0, 1], 1).into(),
            reconsume_times: 0,
            prepared_transaction_offset: 0,
            body,
            topic: OP_HALF_TOPIC,
            properties,
        }
    }

    /// One offset as 4.9 and this broker write it, several as 5.x does.
    #[test]
    fn the_bodies_of_all_releases_are_read() {
        let read = |body: &[u8]| settled(&record(body, PROPERTIES)).collect::<Vec<_>>();
        assert_eq!(read(body(17).as_bytes()), [17]);
        assert_eq!(read(b"17,18,204,"), [17, 18, 204]);
        assert_eq!(read(b"17,x,\xFF,-,3"), [17, 3]);
        assert!(read(b"").is_empty());
        assert_eq!(settled(&record(b"17", "TAGS\u{1}x\u{2}")).count(), 0);
    }
}
