//! The CRC of a whole record, as its last property: an option of RocketMQ's stores from 5.1 on.
//!
//! | Offset in the tail | Size | |
//! |---|---|---|
//! | 0 | 8 | `__CRC32#` |
//! | 8 | 1 | `0x01` |
//! | 9 | 10 | digits of the CRC, the last one first, filled up with `0` |
//! | 19 | 1 | `0x02` |
//!
//! It covers the record from its first byte up to this tail, with the queue offset, the physical
//! offset and the store time in place; the top bit is cleared.
//!
//! Source: RocketMQ 5.3.3 `store/CommitLog`, `common/message/MessageDecoder.createCrc32`.

use super::properties::{self, NAME_END, VALUE_END, name};
use crate::protocol::DecodeError;

/// Bytes of the tail.
pub const LENGTH: usize = 20;
const DIGITS: usize = 10;

/// Writes the tail into the last [`LENGTH`] bytes of a record, whose other bytes are final.
pub fn seal(record: &mut [u8]) {
    let Some((covered, tail)) = record.split_last_chunk_mut::<LENGTH>() else { return };
    *tail = encode(super::record::body_crc(covered));
}

fn encode(mut crc: u32) -> [u8; LENGTH] {
    let mut tail = [b'0'; LENGTH];
    let (text, rest) = tail.split_at_mut(name::CRC32.len());
    text.copy_from_slice(name::CRC32.as_bytes());
    if let [name_end, digits @ .., value_end] = rest {
        (*name_end, *value_end) = (NAME_END, VALUE_END);
        for digit in digits {
            *digit = b'0' + u8::try_from(crc % 10).unwrap_or_default();
            crc /= 10;
        }
    }
    tail
}

/// Checks a whole record against its tail. `Ok(false)`: it has none, so nothing is known.
///
/// `property_text` is the record's property string.
///
/// # Errors
/// [`DecodeError::BadCrc`], also if what stands there is no number.
pub fn verify(record: &[u8], property_text: &str) -> Result<bool, DecodeError> {
    let Some(digits) = properties::find(property_text, name::CRC32) else { return Ok(false) };
    let covered = record.len().checked_sub(LENGTH).and_then(|end| record.get(..end));
    let found = super::record::body_crc(covered.unwrap_or_default());
    match decode(digits) {
        Some(expected) if expected == found => Ok(true),
        expected => {
            let expected = expected.unwrap_or_default();
            Err(DecodeError::BadCrc { what: "a record", expected, found })
        }
    }
}

fn decode(digits: &str) -> Option<u32> {
    if digits.len() != DIGITS {
        return None;
    }
    digits.bytes().rev().try_fold(0_u32, |sum, digit| {
        let digit = digit.is_ascii_digit().then(|| u32::from(digit - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_stand_the_last_one_first() {
        assert_eq!(&encode(1_486_039_724), b"__CRC32#\x014279306841\x02");
        assert_eq!(&encode(7), b"__CRC32#\x017000000000\x02");
        assert_eq!(decode("4279306841"), Some(1_486_039_724));
        assert_eq!(
            (decode("427930684"), decode("42793068x1"), decode("9999999999")),
            (None, None, None)
        );
    }

    #[test]
    fn a_sealed_record_is_checked_whole() {
        let mut record = [vec![7; 100], b"a\x01b\x02".to_vec(), vec![0; LENGTH]].concat();
        seal(&mut record);
        let text = String::from_utf8(record[100..].to_vec()).unwrap();
        assert_eq!(verify(&record, &text), Ok(true));
        assert_eq!(verify(&record, "a\x01b\x02"), Ok(false));
        for at in 0..104 {
            let mut bad = record.clone();
            bad[at] ^= 1;
            assert!(verify(&bad, &text).is_err(), "byte {at}");
        }
        assert!(verify(&[], "__CRC32#\x010000000001\x02").is_err());
    }
}
