//! Which keys of a record are indexed, and their hashes.
//!
//! First the unique key (`UNIQ_KEY`), then the pieces of `KEYS` between spaces. What is hashed is
//! `topic#key`.
//!
//! Source: RocketMQ 5.3.3 `store/index/IndexService.buildIndex`, `IndexFile.indexKeyHashMethod`.

use memchr::memchr;
use oxmq::protocol::message::properties::VALUE_END;
use oxmq::protocol::message::record::Record;
use oxmq::protocol::message::sys_flag;

const UNIQ_KEY: &str = "UNIQ_KEY\u{1}";
const KEYS: &str = "KEYS\u{1}";

/// The keys of a record, in the order of their entries. A roll-back has none.
pub(crate) fn keys<'a>(record: &Record<'a>) -> impl Iterator<Item = &'a str> {
    let is_rolled_back =
        record.sys_flag & sys_flag::TRANSACTION_MASK == sys_flag::TRANSACTION_ROLLBACK;
    let (unique, keys) = if is_rolled_back { ("", "") } else { find(record.properties) };
    std::iter::once(unique).chain(keys.split(' ')).filter(|key| !key.is_empty())
}

/// The values of the two properties; empty where one is missing. As everywhere, the last one counts
/// where a name stands twice, and one without a value does not.
fn find(properties: &str) -> (&str, &str) {
    let (mut unique, mut keys) = ("", "");
    let mut rest = properties;
    while !rest.is_empty() {
        let end = memchr(VALUE_END, rest.as_bytes()).unwrap_or(rest.len());
        let (pair, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
        let found = |name| pair.strip_prefix(name).filter(|value: &&str| !value.is_empty());
        unique = found(UNIQ_KEY).unwrap_or(unique);
        keys = found(KEYS).unwrap_or(keys);
        rest = after.get(1..).unwrap_or_default();
    }
    (unique, keys)
}

/// Java's hash of `topic#`, to be gone on with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TopicHash(i32);

impl TopicHash {
    pub(crate) fn new(topic: &str) -> Self {
        Self(extend(extend(0, topic), "#"))
    }

    /// The hash of `topic#key` as it stands in an entry.
    pub(crate) fn key(self, key: &str) -> u32 {
        // The smallest number has no absolute value: Apache takes 0.
        extend(self.0, key).checked_abs().unwrap_or(0).cast_unsigned()
    }
}

/// Goes on with a Java hash.
fn extend(hash: i32, text: &str) -> i32 {
    let add = |hash: i32, unit: u16| hash.wrapping_mul(31).wrapping_add(unit.into());
    if !text.is_ascii() {
        return text.encode_utf16().fold(hash, add);
    }
    // Four characters a step: the multiplications do not wait for each other.
    let (fours, rest) = text.as_bytes().as_chunks::<4>();
    let hash = fours.iter().fold(hash, |hash, [a, b, c, d]| {
        let of = |byte: u8, factor: i32| i32::from(byte).wrapping_mul(factor);
        let four = of(*a, 31 * 31 * 31) + of(*b, 31 * 31) + of(*c, 31) + i32::from(*d);
        hash.wrapping_mul(31 * 31 * 31 * 31).wrapping_add(four)
    });
    rest.iter().fold(hash, |hash, byte| add(hash, (*byte).into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use oxmq::protocol::message::tags::java_hash;

    #[test]
    fn keys_come_in_apaches_order() {
        let properties = "A\u{1}1\u{2}KEYS\u{1}k1  k2 \u{2}UNIQ_KEY\u{1}u\u{2}XKEYS\u{1}no\u{2}";
        assert_eq!(find(properties), ("u", "k1  k2 "));
        assert_eq!(find("KEYS\u{1}a\u{2}KEYS\u{1}b\u{2}KEYS\u{1}\u{2}"), ("", "b"));
        assert_eq!(find("UNIQ_KEY\u{1}open"), ("open", ""));
        assert_eq!(find("\u{2}\u{2}KEYS"), ("", ""));
    }

    #[test]
    fn hashes_are_javas_absolute_values() {
        for (topic, key) in [
            ("T", "k"),
            ("topic", "order-4711"),
            ("主题", "ключ"),
            ("t", ""),
            ("abcde", "fghijklmn"),
        ] {
            let whole = java_hash(&format!("{topic}#{key}"));
            assert_eq!(TopicHash::new(topic).key(key), whole.unsigned_abs(), "{topic}#{key}");
        }
        // "#" and a text whose hash together is the smallest number.
        assert_eq!(extend(0, "polygenelubricants"), i32::MIN);
        assert_eq!(TopicHash(0).key("polygenelubricants"), 0);
    }
}
