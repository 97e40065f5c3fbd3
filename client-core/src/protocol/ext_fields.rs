//! The string map in a header, and the only place that reports a field as missing or bad.

use std::fmt;

use bytes::Bytes;

use super::{DecodeError, length};

/// The longest piece of a bad value that an error repeats, characters.
const SHOWN_CHARACTERS: usize = 40;

/// A header's fields: texts by name, in the order of the wire.
///
/// Decoded fields point into the frame they came in; nothing is copied unless the frame had it
/// escaped. A name that stands twice has its last value, as in Java.
#[derive(Clone, Default)]
pub struct ExtFields {
    /// The frame's header, checked to be UTF-8 by the decoder.
    source: Bytes,
    /// Texts that are not in `source`.
    owned: String,
    entries: Vec<(Span, Span)>,
}

/// Where a text stands: in the frame or among the owned ones.
#[derive(Debug, Clone, Copy)]
struct Span {
    start: u32,
    length: u32,
    is_owned: bool,
}

impl ExtFields {
    /// No fields.
    pub fn new() -> Self {
        Self::default()
    }

    /// No fields, and room for them.
    pub fn with_capacity(fields: usize, text_bytes: usize) -> Self {
        Self {
            source: Bytes::new(),
            owned: String::with_capacity(text_bytes),
            entries: Vec::with_capacity(fields),
        }
    }

    /// No fields yet of a frame whose header is `source`.
    pub(super) fn of_frame(source: Bytes) -> Self {
        Self { source, owned: String::new(), entries: Vec::with_capacity(16) }
    }

    /// How many fields there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The value of a field.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.entries.iter().rev().find(|(key, _)| self.bytes(*key) == name.as_bytes());
        found.map(|(_, value)| self.text(*value))
    }

    /// All fields in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries.iter().map(|(key, value)| (self.text(*key), self.text(*value)))
    }

    /// Adds a field.
    pub fn push(&mut self, name: &str, value: &str) {
        let key = self.own(name);
        let value = self.own(value);
        self.entries.push((key, value));
    }

    /// Adds a field whose value is the number's decimal text.
    pub fn push_number(&mut self, name: &str, value: impl itoa::Integer) {
        self.push(name, itoa::Buffer::new().format(value));
    }

    /// The value of a field that must be there.
    ///
    /// # Errors
    /// [`DecodeError::MissingField`], or [`DecodeError::BadField`] if it is no `T`.
    pub fn required<'a, T: FieldValue<'a>>(&'a self, name: &'static str) -> Result<T, DecodeError> {
        self.optional(name)?.ok_or(DecodeError::MissingField { name })
    }

    /// The value of a field that may be missing. An empty text is a missing number.
    ///
    /// # Errors
    /// [`DecodeError::BadField`] if it is there but no `T`.
    pub fn optional<'a, T: FieldValue<'a>>(
        &'a self,
        name: &'static str,
    ) -> Result<Option<T>, DecodeError> {
        let Some(text) = self.get(name) else { return Ok(None) };
        if text.is_empty() && !T::MAY_BE_EMPTY {
            return Ok(None);
        }
        T::parse(text).map(Some).ok_or_else(|| DecodeError::BadField {
            name,
            expected: T::EXPECTED,
            found: text.chars().take(SHOWN_CHARACTERS).collect(),
        })
    }

    /// Adds a field whose two texts stand in the frame.
    pub(super) fn push_ranges(
        &mut self,
        name: std::ops::Range<usize>,
        value: std::ops::Range<usize>,
    ) {
        self.entries.push((Span::of_frame(name), Span::of_frame(value)));
    }

    /// Adds a field of which either text had to be unescaped.
    pub(super) fn push_mixed(
        &mut self,
        name: Result<std::ops::Range<usize>, String>,
        value: Result<std::ops::Range<usize>, String>,
    ) {
        let mut span = |text: Result<std::ops::Range<usize>, String>| match text {
            Ok(range) => Span::of_frame(range),
            Err(text) => self.own(&text),
        };
        let entry = (span(name), span(value));
        self.entries.push(entry);
    }

    fn own(&mut self, text: &str) -> Span {
        let start = length::as_u32(self.owned.len());
        self.owned.push_str(text);
        Span { start, length: length::as_u32(text.len()), is_owned: true }
    }

    fn bytes(&self, span: Span) -> &[u8] {
        let all = if span.is_owned { self.owned.as_bytes() } else { self.source.as_ref() };
        let start = span.start as usize;
        all.get(start..start + span.length as usize).unwrap_or_default()
    }

    fn text(&self, span: Span) -> &str {
        // The decoder has checked the whole header; this is the price of having no unsafe here.
        std::str::from_utf8(self.bytes(span)).unwrap_or_default()
    }
}

impl Span {
    fn of_frame(range: std::ops::Range<usize>) -> Self {
        Self {
            start: length::as_u32(range.start),
            length: length::as_u32(range.len()),
            is_owned: false,
        }
    }
}

impl fmt::Debug for ExtFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// Equal when the same names have the same values, whatever their order.
impl PartialEq for ExtFields {
    fn eq(&self, other: &Self) -> bool {
        let covers = |a: &Self, b: &Self| a.iter().all(|(name, _)| a.get(name) == b.get(name));
        covers(self, other) && covers(other, self)
    }
}

impl Eq for ExtFields {}

impl<'a> FromIterator<(&'a str, &'a str)> for ExtFields {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str)>>(pairs: I) -> Self {
        let mut fields = Self::new();
        for (name, value) in pairs {
            fields.push(name, value);
        }
        fields
    }
}

/// A type that a field's text can stand for.
pub trait FieldValue<'a>: Sized {
    /// The type in words, for errors.
    const EXPECTED: &'static str;
    /// Whether an empty text is a value rather than a missing one.
    const MAY_BE_EMPTY: bool = false;
    /// Reads the text; `None` if it is no such value.
    fn parse(text: &'a str) -> Option<Self>;
    /// Adds the field.
    fn push(&self, name: &str, fields: &mut ExtFields);
}

impl<'a> FieldValue<'a> for &'a str {
    const EXPECTED: &'static str = "a text";
    const MAY_BE_EMPTY: bool = true;

    fn parse(text: &'a str) -> Option<Self> {
        Some(text)
    }

    fn push(&self, name: &str, fields: &mut ExtFields) {
        fields.push(name, self);
    }
}

impl FieldValue<'_> for String {
    const EXPECTED: &'static str = "a text";
    const MAY_BE_EMPTY: bool = true;

    fn parse(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }

    fn push(&self, name: &str, fields: &mut ExtFields) {
        fields.push(name, self);
    }
}

impl FieldValue<'_> for i32 {
    const EXPECTED: &'static str = "a 32-bit number";

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    fn push(&self, name: &str, fields: &mut ExtFields) {
        fields.push_number(name, *self);
    }
}

impl FieldValue<'_> for i64 {
    const EXPECTED: &'static str = "a 64-bit number";

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    fn push(&self, name: &str, fields: &mut ExtFields) {
        fields.push_number(name, *self);
    }
}

/// As Java's `Boolean.parseBoolean`: everything but `true` is false.
impl FieldValue<'_> for bool {
    const EXPECTED: &'static str = "true or false";

    fn parse(text: &str) -> Option<Self> {
        Some(text.eq_ignore_ascii_case("true"))
    }

    fn push(&self, name: &str, fields: &mut ExtFields) {
        fields.push(name, if *self { "true" } else { "false" });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_two_values_counts() {
        let fields: ExtFields = [("a", "1"), ("b", "2"), ("a", "3")].into_iter().collect();
        assert_eq!(fields.get("a"), Some("3"));
        assert_eq!(fields.required::<i32>("b"), Ok(2));
        assert_eq!(fields.get("c"), None);
    }

    #[test]
    fn errors_name_the_field_and_what_was_found() {
        let fields: ExtFields =
            [("queueId", "x".repeat(1_000).as_str()), ("offset", "")].into_iter().collect();
        let error = fields.required::<i32>("queueId").unwrap_err();
        assert!(error.to_string().contains("`queueId` should be a 32-bit number"), "{error}");
        assert!(error.to_string().len() < 120, "{error}");
        assert_eq!(
            fields.required::<i64>("offset"),
            Err(DecodeError::MissingField { name: "offset" })
        );
        assert_eq!(fields.required::<bool>("queueId"), Ok(false));
    }
}
