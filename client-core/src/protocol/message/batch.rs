//! The body of `SEND_BATCH_MESSAGE`: items one after another.
//!
//! | Size | Field |
//! |---|---|
//! | 4 | item size, itself included |
//! | 4 + 4 | magic and CRC, both written 0 and ignored |
//! | 4 | flag |
//! | 4 + n | body length, body |
//! | 2 + p | properties length, properties |
//!
//! Source: RocketMQ 5.3.3 `common/message/MessageDecoder.encodeMessage`.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::properties;
use crate::protocol::{DecodeError, length};

/// Bytes of an item with neither body nor properties.
pub const MIN_ITEM_LENGTH: usize = 4 + 4 + 4 + 4 + 4 + 2;

/// One message of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchItem {
    /// The application's flag.
    pub flag: i32,
    /// The body.
    pub body: Bytes,
    /// The encoded property string.
    pub properties: String,
}

/// Writes the items of a batch.
///
/// # Errors
/// [`DecodeError::TooLarge`] for properties or a body that do not fit their length fields.
pub fn encode(items: &[BatchItem]) -> Result<Bytes, DecodeError> {
    let length: usize =
        items.iter().map(|item| MIN_ITEM_LENGTH + item.body.len() + item.properties.len()).sum();
    let mut out = BytesMut::with_capacity(length);
    for item in items {
        let too_large = |what, length: usize, limit: usize| DecodeError::TooLarge {
            what,
            length: length as u64,
            limit: limit as u64,
        };
        let properties_length = u16::try_from(item.properties.len())
            .ok()
            .filter(|length| usize::from(*length) <= properties::MAX_LENGTH)
            .ok_or_else(|| {
                too_large("a property string", item.properties.len(), properties::MAX_LENGTH)
            })?;
        let size = MIN_ITEM_LENGTH + item.body.len() + item.properties.len();
        let size =
            i32::try_from(size).map_err(|_| too_large("a batch item", size, i32::MAX as usize))?;
        out.put_i32(size);
        out.put_u64(0);
        out.put_i32(item.flag);
        out.put_u32(length::as_u32(item.body.len()));
        out.put_slice(&item.body);
        out.put_u16(properties_length);
        out.put_slice(item.properties.as_bytes());
    }
    Ok(out.freeze())
}

/// Reads the items of a batch; bodies are slices of `bytes`.
///
/// # Errors
/// Lengths that contradict each other, or properties that are not UTF-8.
pub fn decode(mut bytes: Bytes) -> Result<Vec<BatchItem>, DecodeError> {
    let mut items = Vec::new();
    while !bytes.is_empty() {
        let available = bytes.len() as u64;
        let bad = |length: i64| DecodeError::BadLength { what: "a batch item", length, available };
        let size = i64::from(bytes.clone().try_get_i32().map_err(|_| bad(-1))?);
        let length =
            usize::try_from(size).ok().filter(|l| (MIN_ITEM_LENGTH..=bytes.len()).contains(l));
        let mut item = bytes.split_to(length.ok_or_else(|| bad(size))?);
        item.advance(12);
        let flag = item.get_i32();
        let body_length = i64::from(item.get_i32());
        let body = usize::try_from(body_length)
            .ok()
            .filter(|length| length + 2 <= item.len())
            .map(|length| item.split_to(length))
            .ok_or_else(|| bad(body_length))?;
        let properties_length = item.get_u16();
        if usize::from(properties_length) != item.len() {
            return Err(bad(properties_length.into()));
        }
        let properties = String::from_utf8(item.to_vec())
            .map_err(|_| DecodeError::NotUtf8 { what: "a batch item's properties" })?;
        items.push(BatchItem { flag, body, properties });
    }
    Ok(items)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_item_is_apaches_bytes_and_comes_back() {
        let item = BatchItem {
            flag: 0,
            body: Bytes::from_static(b"hi"),
            properties: "k\u{1}v\u{2}".to_owned(),
        };
        let bytes = encode(std::slice::from_ref(&item)).unwrap();
        let expected: &[u8] = b"\0\0\0\x1c\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x02hi\0\x04k\x01v\x02";
        assert_eq!(bytes, expected);
        assert_eq!(decode(bytes).unwrap(), [item]);
    }

    #[test]
    fn cut_or_lying_items_are_refused() {
        let good = encode(&[BatchItem {
            flag: 1,
            body: Bytes::from_static(b"x"),
            properties: String::new(),
        }])
        .unwrap();
        for length in 1..good.len() {
            assert!(decode(good.slice(..length)).is_err(), "{length} bytes");
        }
        for at in [0, 3, 16, 19, 22] {
            let mut bad = good.to_vec();
            bad[at] ^= 0x80;
            assert!(decode(bad.into()).is_err(), "byte {at}");
        }
    }
}
