//! The handle that a timed message can be taken back with: base64 of
//! `v1 topic brokerName time uniqKey`, in the alphabet for addresses, padded.
//!
//! Source: RocketMQ 5.3.3 `common/producer/RecallMessageHandle`.

use crate::protocol::DecodeError;

const VERSION: &str = "v1";
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
/// The longest handle that is looked at, bytes.
const MAX_BYTES: usize = 2_048;

/// What a handle says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handle {
    /// The message's topic.
    pub topic: String,
    /// The broker that has it.
    pub broker_name: String,
    /// A time in the slot that it waits in, ms since the Unix epoch.
    pub deliver_ms: i64,
    /// Its `UNIQ_KEY`.
    pub unique_key: String,
}

impl Handle {
    /// The handle as text.
    pub fn encode(&self) -> String {
        let Self { topic, broker_name, deliver_ms, unique_key } = self;
        to_base64(format!("{VERSION} {topic} {broker_name} {deliver_ms} {unique_key}").as_bytes())
    }

    /// Reads a handle.
    ///
    /// # Errors
    /// The text is none.
    pub fn decode(text: &str) -> Result<Self, DecodeError> {
        let bad = || DecodeError::BadField {
            name: "recallHandle",
            expected: "a handle that a broker gave",
            found: text.chars().take(80).collect(),
        };
        let bytes = Some(text).filter(|text| text.len() <= MAX_BYTES).and_then(from_base64);
        let raw = String::from_utf8(bytes.ok_or_else(bad)?).map_err(|_| bad())?;
        let mut parts = raw.split(' ');
        let mut next = || parts.next().filter(|part| !part.is_empty()).ok_or_else(bad);
        if next()? != VERSION {
            return Err(bad());
        }
        Ok(Self {
            topic: next()?.to_owned(),
            broker_name: next()?.to_owned(),
            deliver_ms: next()?.parse().map_err(|_| bad())?,
            unique_key: next()?.to_owned(),
        })
    }
}

fn to_base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let word = group.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte));
        let word = word << (8 * (3 - group.len()));
        for place in 0..4 {
            let index = word >> (18 - 6 * place) & 63;
            let letter = ALPHABET.get(index as usize).filter(|_| place <= group.len());
            text.push(letter.map_or('=', |letter| char::from(*letter)));
        }
    }
    text
}

fn from_base64(text: &str) -> Option<Vec<u8>> {
    let letters = text.trim_end_matches('=').as_bytes();
    let mut bytes = Vec::with_capacity(letters.len() / 4 * 3 + 2);
    for group in letters.chunks(4) {
        let mut word = 0u32;
        for letter in group {
            let value = ALPHABET.iter().position(|known| known == letter)?;
            word = word << 6 | u32::try_from(value).ok()?;
        }
        let [_, three @ ..] = (word << (6 * (4 - group.len()))).to_be_bytes();
        bytes.extend(three.iter().take(group.len().checked_sub(1).filter(|whole| *whole > 0)?));
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Java's `Base64.getUrlEncoder` writes it.
    #[test]
    fn a_handle_is_what_apache_makes_of_it() {
        let handle = Handle {
            topic: "orders".to_owned(),
            broker_name: "broker-a".to_owned(),
            deliver_ms: 1_700_000_004_001,
            unique_key: "7F0000010001".to_owned(),
        };
        let text = "djEgb3JkZXJzIGJyb2tlci1hIDE3MDAwMDAwMDQwMDEgN0YwMDAwMDEwMDAx";
        assert_eq!(handle.encode(), text);
        assert_eq!(Handle::decode(text), Ok(handle));
    }

    #[test]
    fn base64_pads_and_comes_back() {
        for (bytes, text) in [
            (&b""[..], ""),
            (b"f", "Zg=="),
            (b"fo", "Zm8="),
            (b"foo", "Zm9v"),
            (b"\xFB\xFF", "-_8="),
        ] {
            assert_eq!(to_base64(bytes), text);
            assert_eq!(from_base64(text).unwrap(), bytes);
        }
    }

    #[test]
    fn other_texts_are_refused() {
        let long = "A".repeat(5_000);
        for text in ["", "a", "????", "djI=", "djEgYQ==", "djEgYSBiIGMgZA==", &long] {
            assert!(Handle::decode(text).is_err(), "{text}");
        }
    }
}
