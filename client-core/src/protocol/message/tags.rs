//! Tag codes: what a consume queue keeps of a tag, and what a broker filters by.

/// Java's `String.hashCode`: over UTF-16 code units, wrapping at 32 bits.
///
/// ```
/// use oxmq::protocol::message::tags::java_hash;
/// assert_eq!(java_hash("TagA"), 2598919);
/// assert_eq!(java_hash("中文"), 646394);
/// ```
pub fn java_hash(text: &str) -> i32 {
    text.encode_utf16().fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(unit.into()))
}

/// The tag code of a message: the hash of its whole `TAGS` property, sign-extended; 0 without tag.
pub fn tags_code(tags: Option<&str>) -> i64 {
    tags.filter(|tags| !tags.is_empty()).map_or(0, |tags| java_hash(tags).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values computed by Java's `String.hashCode`.
    #[test]
    fn hashes_as_java_does() {
        for (text, hash) in [
            ("TagA", 2_598_919),
            ("TagB", 2_598_920),
            ("a", 97),
            ("中文", 646_394),
            ("😀", 1_772_899),
        ] {
            assert_eq!(java_hash(text), hash, "{text}");
        }
        assert_eq!(tags_code(Some("")), 0);
        assert_eq!(tags_code(None), 0);
    }
}
