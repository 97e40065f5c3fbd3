//! The answer to a send that was stored.
//!
//! This is the one answer that is written by hand: there are hundreds of thousands a second.

use bytes::{BufMut, BytesMut};
use oxmq::protocol::code::ResponseCode;
use oxmq::protocol::command::{BROKER_VERSION, HeaderEncoding, RemotingCommand};
use oxmq::protocol::header::SendMessageResponseHeader;

use crate::reply::ReplyTo;
use crate::server::Outgoing;

/// The parts of every answer that depend on the broker alone.
#[derive(Debug)]
pub(crate) struct SendReplies {
    region: String,
    is_traced: bool,
    /// Address part of a message id, in hexadecimal.
    id_prefix: String,
    /// `,"MSG_REGION":"…","TRACE_ON":"…"`, if that needs no escaping.
    fixed_fields: Option<String>,
}

/// Where a send's messages were stored.
#[derive(Debug, Clone)]
pub(super) struct Stored<K> {
    pub(super) to: ReplyTo,
    pub(super) queue_id: i32,
    pub(super) queue_offset: i64,
    pub(super) first_physical: i64,
    /// Of a batch: where its further messages are.
    pub(super) more_physical: Vec<i64>,
    pub(super) unique_key: K,
    /// The producer is told that its batch became one record.
    pub(super) is_inner_batch: bool,
    /// What a timed message can be taken back with.
    pub(super) recall_handle: Option<Box<str>>,
}

impl Stored<&str> {
    /// The same, independent of the request.
    pub(super) fn into_owned(self) -> Stored<Box<str>> {
        Stored {
            to: self.to,
            queue_id: self.queue_id,
            queue_offset: self.queue_offset,
            first_physical: self.first_physical,
            more_physical: self.more_physical,
            unique_key: self.unique_key.into(),
            is_inner_batch: self.is_inner_batch,
            recall_handle: self.recall_handle,
        }
    }
}

impl SendReplies {
    /// `store_host` is the address in the message ids.
    pub(crate) fn new(region: &str, is_traced: bool, store_host: std::net::SocketAddr) -> Self {
        let mut id_prefix = oxmq::protocol::message::id::offset_message_id(store_host, 0);
        id_prefix.truncate(id_prefix.len().saturating_sub(16));
        let fixed = format!(r#","MSG_REGION":"{region}","TRACE_ON":"{is_traced}""#);
        Self {
            region: region.to_owned(),
            is_traced,
            id_prefix,
            fixed_fields: is_plain(region).then_some(fixed),
        }
    }

    /// Writes the answer.
    pub(super) fn write<K: AsRef<str>>(
        &self,
        code: ResponseCode,
        stored: &Stored<K>,
        out: &mut Outgoing,
    ) {
        match &self.fixed_fields {
            Some(fixed)
                if stored.to.encoding == HeaderEncoding::Json
                    && !stored.is_inner_batch
                    && is_plain(stored.unique_key.as_ref()) =>
            {
                self.write_json(code, stored, fixed, out.heads());
            }
            _ => out.command(&self.command(code, stored)),
        }
    }

    fn command<K: AsRef<str>>(&self, code: ResponseCode, stored: &Stored<K>) -> RemotingCommand {
        let ids = std::iter::once(&stored.first_physical).chain(&stored.more_physical);
        let ids: Vec<_> = ids.map(|offset| format!("{}{offset:016X}", self.id_prefix)).collect();
        let header = SendMessageResponseHeader {
            msg_id: ids.join(","),
            queue_id: stored.queue_id,
            queue_offset: stored.queue_offset,
            transaction_id: Some(stored.unique_key.as_ref().to_owned()),
            batch_uniq_id: stored.is_inner_batch.then(|| stored.unique_key.as_ref().to_owned()),
            recall_handle: stored.recall_handle.as_deref().map(str::to_owned),
        };
        let mut command = stored.to.response(code).with_header(&header);
        command.ext_fields.push("MSG_REGION", &self.region);
        command.ext_fields.push("TRACE_ON", if self.is_traced { "true" } else { "false" });
        command
    }

    fn write_json<K: AsRef<str>>(
        &self,
        code: ResponseCode,
        stored: &Stored<K>,
        fixed: &str,
        out: &mut BytesMut,
    ) {
        let start = out.len();
        out.reserve(512);
        out.put_u64(0);
        put(out, "{\"code\":", code.0);
        put(out, ",\"extFields\":{\"queueId\":\"", stored.queue_id);
        put(out, "\",\"queueOffset\":\"", stored.queue_offset);
        out.put_slice(b"\",\"msgId\":\"");
        self.put_id(out, stored.first_physical);
        for offset in &stored.more_physical {
            out.put_u8(b',');
            self.put_id(out, *offset);
        }
        out.put_slice(b"\",\"transactionId\":\"");
        out.put_slice(stored.unique_key.as_ref().as_bytes());
        out.put_u8(b'"');
        if let Some(handle) = &stored.recall_handle {
            out.put_slice(b",\"recallHandle\":\"");
            out.put_slice(handle.as_bytes());
            out.put_u8(b'"');
        }
        out.put_slice(fixed.as_bytes());
        put(out, "},\"flag\":1,\"language\":\"RUST\",\"opaque\":", stored.to.opaque);
        put(out, ",\"serializeTypeCurrentRPC\":\"JSON\",\"version\":", BROKER_VERSION);
        out.put_u8(b'}');
        // A batch is bounded by the frame it came in, so this is far below 2^24.
        let header = u32::try_from(out.len() - start - 8).unwrap_or_default();
        if let Some(lengths) = out.get_mut(start..start + 8) {
            let lengths_word = u64::from(header + 4) << 32 | u64::from(header);
            lengths.copy_from_slice(&lengths_word.to_be_bytes());
        }
    }

    fn put_id(&self, out: &mut BytesMut, physical_offset: i64) {
        const HEX: &[u8; 16] = b"0123456789ABCDEF";
        out.put_slice(self.id_prefix.as_bytes());
        let mut digits = [b'0'; 16];
        for (digit, byte) in digits.chunks_exact_mut(2).zip(physical_offset.to_be_bytes()) {
            if let [high, low] = digit {
                *high = HEX.get(usize::from(byte >> 4)).copied().unwrap_or(b'0');
                *low = HEX.get(usize::from(byte & 15)).copied().unwrap_or(b'0');
            }
        }
        out.put_slice(&digits);
    }
}

fn put(out: &mut BytesMut, before: &str, number: impl itoa::Integer) {
    out.put_slice(before.as_bytes());
    out.put_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Whether a text stands in JSON as it is.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| byte >= 0x20 && !matches!(byte, b'"' | b'\\'))
}

#[cfg(test)]
mod tests {
    use oxmq::protocol::frame::MAX_FRAME_BYTES;

    use super::*;

    /// The hand-written answer says what the general one says.
    #[test]
    fn both_ways_of_writing_say_the_same() {
        let replies = SendReplies::new("DefaultRegion", true, ([127, 0, 0, 1], 10911).into());
        for (encoding, key, recall_handle) in [
            (HeaderEncoding::Json, "KEY", None),
            (HeaderEncoding::Json, "KEY", Some("dj-_==".into())),
            (HeaderEncoding::Json, "K\"Y\n", None),
            (HeaderEncoding::Binary, "KEY", Some("dj==".into())),
        ] {
            let stored = Stored {
                to: ReplyTo { opaque: -7, encoding },
                queue_id: 3,
                queue_offset: 1 << 40,
                first_physical: 1234,
                more_physical: vec![i64::MAX],
                unique_key: key,
                is_inner_batch: false,
                recall_handle,
            };
            let mut out = Outgoing::default();
            replies.write(ResponseCode::FLUSH_DISK_TIMEOUT, &stored, &mut out);
            let written = RemotingCommand::decode(out.heads(), MAX_FRAME_BYTES).unwrap().unwrap();
            assert_eq!(written, replies.command(ResponseCode::FLUSH_DISK_TIMEOUT, &stored));
            let header: SendMessageResponseHeader = written.header().unwrap();
            assert_eq!(
                header.msg_id,
                "7F00000100002A9F00000000000004D2,7F00000100002A9F7FFFFFFFFFFFFFFF"
            );
            assert!(out.is_empty());
        }
    }
}
