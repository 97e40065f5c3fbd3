//! One frame: a length, the header's length and encoding, the header, the body.
//!
//! | Offset | Size | Field | |
//! |---|---|---|---|
//! | 0 | 4 | `total` | bytes after this field |
//! | 4 | 1 | header encoding | 0 JSON, 1 binary |
//! | 5 | 3 | `headerLength` | |
//! | 8 | `headerLength` | header | |
//! | 8 + `headerLength` | the rest of `total` | body | empty and absent are the same |
//!
//! Source: RocketMQ 5.3.3 `remoting/netty/NettyDecoder`, `remoting/protocol/RemotingCommand`.

use bytes::{Buf, Bytes, BytesMut};

use super::DecodeError;
use super::command::HeaderEncoding;

/// The largest frame that Apache's peers accept, its length field included: 16 MiB.
pub const MAX_FRAME_BYTES: usize = 16 * 1024 * 1024;

/// Bytes of the two length words.
pub const PREFIX_BYTES: usize = 8;

/// The largest header that its 24-bit length field can tell.
pub const MAX_HEADER_BYTES: usize = 0xFF_FFFF;

/// A frame, cut out of the read buffer without copying.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// How the header is encoded.
    pub encoding: HeaderEncoding,
    /// The header's bytes.
    pub header: Bytes,
    /// The body's bytes.
    pub body: Bytes,
}

/// Takes the next frame off the front of `buffer`; `Ok(None)` if it has not arrived whole, and then
/// nothing is consumed.
///
/// Lengths are checked before the bytes they speak of have arrived, and nothing is allocated for
/// them.
///
/// # Errors
/// The lengths exceed `max_frame_bytes` or contradict each other, or the encoding is unknown. The
/// stream cannot be read further: close it.
pub fn decode(buffer: &mut BytesMut, max_frame_bytes: usize) -> Result<Option<Frame>, DecodeError> {
    let mut prefix = buffer.as_ref();
    let Ok(total) = prefix.try_get_i32() else { return Ok(None) };
    let available = max_frame_bytes.saturating_sub(4);
    let bad_length = |what, length: i64, available: usize| DecodeError::BadLength {
        what,
        length,
        available: available as u64,
    };
    let Some(total) = usize::try_from(total).ok().filter(|total| *total >= 4) else {
        return Err(bad_length("a frame", total.into(), available));
    };
    if total > available {
        return Err(DecodeError::TooLarge {
            what: "a frame",
            length: total as u64,
            limit: available as u64,
        });
    }
    let Ok(word) = prefix.try_get_u32() else { return Ok(None) };
    let encoding = HeaderEncoding::from_wire((word >> 24) as u8)?;
    let header_length = (word & 0xFF_FFFF) as usize;
    if header_length > total - 4 {
        return Err(bad_length("a frame's header", header_length as i64, total - 4));
    }
    if buffer.len() < 4 + total {
        return Ok(None);
    }
    let mut body = buffer.split_to(4 + total).freeze();
    body.advance(PREFIX_BYTES);
    let header = body.split_to(header_length);
    Ok(Some(Frame { encoding, header, body }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// GET_ROUTEINFO_BY_TOPIC in the binary encoding, computed from Apache's serializer.
    const FRAME: &[u8] = b"\0\0\0\x2d\x01\0\0\x29\0\x69\0\x01\xdf\0\0\0\x07\0\0\0\0\0\0\0\0\
        \0\0\0\x14\0\x05topic\0\0\0\x09TopicTest";

    #[test]
    fn a_frame_is_cut_whole_or_not_at_all() {
        for length in 0..FRAME.len() {
            let mut buffer = BytesMut::from(&FRAME[..length]);
            assert_eq!(decode(&mut buffer, MAX_FRAME_BYTES), Ok(None));
            assert_eq!(buffer.len(), length, "nothing is consumed");
        }
        let mut buffer = BytesMut::from(FRAME);
        buffer.extend_from_slice(b"next");
        let frame = decode(&mut buffer, MAX_FRAME_BYTES).unwrap().unwrap();
        assert_eq!(frame.encoding, HeaderEncoding::Binary);
        assert_eq!((frame.header.len(), frame.body.len()), (0x29, 0));
        assert_eq!(buffer, "next");
    }

    #[test]
    fn lying_lengths_are_refused_before_their_bytes_arrive() {
        for bad in [
            &b"\x01\0\0\0"[..],               // one byte over the limit, with its length field
            b"\x7f\xff\xff\xff",              // 2 GiB
            b"\xff\xff\xff\xff\0\0\0\0",      // negative
            b"\0\0\0\x03\0\0\0\0",            // too short for the second word
            b"\0\0\0\x10\0\0\0\x0d",          // header longer than the frame
            b"\0\0\0\x10\x02\0\0\x04",        // unknown encoding
            b"GET / HTTP/1.1\r\nHost: a\r\n", // another protocol
        ] {
            let mut buffer = BytesMut::from(bad);
            let capacity = buffer.capacity();
            assert!(decode(&mut buffer, MAX_FRAME_BYTES).is_err(), "{bad:?}");
            assert_eq!(buffer.capacity(), capacity);
        }
    }
}
