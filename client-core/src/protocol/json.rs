//! JSON as fastjson writes it.
//!
//! Java's bodies and config files are not always JSON: maps keyed by numbers have bare keys
//! (`{0:"a"}`), maps keyed by objects have objects for keys (`{{"queueId":0}:7}`), and fastjson
//! reads single quotes, bare names and trailing commas. [`parse`] takes all that: an object that
//! is a key becomes a string holding its JSON text, which Java accepts as well, so that is what
//! [`to_vec`] leaves written.
//!
//! Two more ways of writing serve peers that look at the text itself: [`to_vec_with_bare_keys`] as
//! Java's tools do by default, [`to_vec_ascii`] as Apache's name server does for readers of strict
//! JSON.
//!
//! Source: fastjson 1.2.83 as RocketMQ 5.3.3 uses it.

use std::io::{self, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Serializer;
use serde_json::ser::Formatter;

use super::DecodeError;

/// How deep values may be nested.
const MAX_DEPTH: u32 = 100;

/// Reads a value. Strict JSON takes the fast path; the rest is first brought into form.
///
/// # Errors
/// [`DecodeError::BadJson`], naming `what`.
pub fn parse<T: DeserializeOwned>(what: &'static str, bytes: &[u8]) -> Result<T, DecodeError> {
    let bad = |position: usize, reason: String| DecodeError::BadJson { what, position, reason };
    let strict = match serde_json::from_slice(bytes) {
        Ok(value) => return Ok(value),
        Err(error) => error,
    };
    if strict.is_data() {
        return Err(bad(position_of(bytes, &strict), strict.to_string()));
    }
    let normal = normalise(bytes).map_err(|(position, reason)| bad(position, reason.to_owned()))?;
    serde_json::from_str(&normal).map_err(|error| bad(0, error.to_string()))
}

/// Writes a value as compact JSON.
pub fn to_vec(value: &impl Serialize) -> Vec<u8> {
    // Fails only for maps whose keys are no strings, which the types here do not have.
    serde_json::to_vec(value).unwrap_or_default()
}

/// Writes a value with whole-number keys bare: `{0:"10.0.0.1:10911"}`.
pub fn to_vec_with_bare_keys(value: &impl Serialize) -> Vec<u8> {
    write(value, BareKeys::default())
}

/// Writes a value as strict JSON in ASCII: other characters as `\uXXXX`.
pub fn to_vec_ascii(value: &impl Serialize) -> Vec<u8> {
    write(value, Ascii)
}

fn write(value: &impl Serialize, formatter: impl Formatter) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(256);
    // As for `to_vec`.
    match value.serialize(&mut Serializer::with_formatter(&mut bytes, formatter)) {
        Ok(()) => bytes,
        Err(_) => Vec::new(),
    }
}

/// Keys that are numbers come as a string's beginning, a number, and a string's end: the quotes are
/// held back until it is known what stands between them.
#[derive(Default)]
struct BareKeys {
    quote: Quote,
}

#[derive(Default, Clone, Copy, PartialEq)]
enum Quote {
    #[default]
    None,
    /// A quote is due if text follows.
    Held,
    Written,
    /// A number stands where text was expected.
    Dropped,
}

impl BareKeys {
    fn open<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        if self.quote == Quote::Held {
            self.quote = Quote::Written;
            out.write_all(b"\"")?;
        }
        Ok(())
    }
}

impl Formatter for BareKeys {
    fn begin_string<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.quote = Quote::Held;
        Ok(())
    }

    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        out: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        self.open(out)?;
        out.write_all(fragment.as_bytes())
    }

    fn write_char_escape<W: ?Sized + Write>(
        &mut self,
        out: &mut W,
        escape: serde_json::ser::CharEscape,
    ) -> io::Result<()> {
        self.open(out)?;
        serde_json::ser::CompactFormatter.write_char_escape(out, escape)
    }

    fn write_i32<W: ?Sized + Write>(&mut self, out: &mut W, value: i32) -> io::Result<()> {
        self.write_i64(out, value.into())
    }

    fn write_i64<W: ?Sized + Write>(&mut self, out: &mut W, value: i64) -> io::Result<()> {
        if self.quote == Quote::Held {
            self.quote = Quote::Dropped;
        }
        write!(out, "{value}")
    }

    fn end_string<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.open(out)?;
        match std::mem::take(&mut self.quote) {
            Quote::Dropped => Ok(()),
            _ => out.write_all(b"\""),
        }
    }
}

struct Ascii;

impl Formatter for Ascii {
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        out: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(|c: char| !c.is_ascii()) {
            let (plain, other) = rest.split_at(at);
            out.write_all(plain.as_bytes())?;
            let mut characters = other.chars();
            if let Some(character) = characters.next() {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    write!(out, "\\u{unit:04X}")?;
                }
            }
            rest = characters.as_str();
        }
        out.write_all(rest.as_bytes())
    }
}

/// The byte offset that serde_json's line and column speak of.
fn position_of(bytes: &[u8], error: &serde_json::Error) -> usize {
    let lines = bytes.split_inclusive(|byte| *byte == b'\n');
    let before: usize = lines.take(error.line().saturating_sub(1)).map(<[u8]>::len).sum();
    before + error.column().saturating_sub(1)
}

type Problem = (usize, &'static str);

/// Rewrites fastjson's dialect as strict JSON.
fn normalise(bytes: &[u8]) -> Result<String, Problem> {
    let text = std::str::from_utf8(bytes).map_err(|error| (error.valid_up_to(), "not UTF-8"))?;
    let mut reader = Reader { text, at: 0, out: String::with_capacity(text.len() + 16) };
    reader.value(0)?;
    match reader.peek() {
        None => Ok(reader.out),
        Some(_) => Err((reader.at, "bytes after the value's end")),
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    out: String,
}

impl Reader<'_> {
    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The next byte that is neither white space nor part of a comment.
    fn peek(&mut self) -> Option<u8> {
        loop {
            match self.byte()? {
                b' ' | b'\t' | b'\n' | b'\r' => self.at += 1,
                b'/' => self.comment()?,
                byte => return Some(byte),
            }
        }
    }

    fn comment(&mut self) -> Option<()> {
        let rest = self.text.get(self.at..)?;
        let length = match rest.as_bytes().get(1)? {
            b'/' => rest.find('\n').unwrap_or(rest.len()),
            b'*' => rest.find("*/")? + 2,
            _ => return None,
        };
        self.at += length;
        Some(())
    }

    fn eat(&mut self, byte: u8) -> bool {
        let is_there = self.peek() == Some(byte);
        self.at += usize::from(is_there);
        is_there
    }

    fn value(&mut self, depth: u32) -> Result<(), Problem> {
        if depth > MAX_DEPTH {
            return Err((self.at, "values nested too deep"));
        }
        match self.peek() {
            Some(b'{') => self.items(b'}', |reader| {
                reader.key(depth + 1)?;
                if !reader.eat(b':') {
                    return Err((reader.at, "expected a colon"));
                }
                reader.out.push(':');
                reader.value(depth + 1)
            }),
            Some(b'[') => self.items(b']', |reader| reader.value(depth + 1)),
            Some(b'"' | b'\'') => self.string(),
            Some(_) => self.word(false),
            None => Err((self.at, "expected a value")),
        }
    }

    /// The items of an object or array; a comma may follow the last.
    fn items(
        &mut self,
        end: u8,
        mut item: impl FnMut(&mut Self) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        self.out.push(if end == b'}' { '{' } else { '[' });
        self.at += 1;
        let mut is_first = true;
        loop {
            if self.eat(end) {
                self.out.push(char::from(end));
                return Ok(());
            }
            if !is_first {
                self.out.push(',');
            }
            is_first = false;
            item(self)?;
            if !self.eat(b',') && self.peek() != Some(end) {
                return Err((self.at, "expected a comma or the end of the object or array"));
            }
        }
    }

    fn key(&mut self, depth: u32) -> Result<(), Problem> {
        match self.peek() {
            Some(b'"' | b'\'') => self.string(),
            Some(b'{' | b'[') => {
                let start = self.out.len();
                self.value(depth)?;
                let key = self.out.split_off(start);
                self.push_string(&key);
                Ok(())
            }
            _ => self.word(true),
        }
    }

    /// A number, boolean or null, or a bare name where a key is wanted.
    fn word(&mut self, is_key: bool) -> Result<(), Problem> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$' | '-' | '+' | '.');
        let word = rest.split(|c| !is_part(c)).next().unwrap_or_default();
        let is_value = matches!(word, "true" | "false" | "null") || word.parse::<f64>().is_ok();
        if word.is_empty() || (!is_key && !is_value) {
            return Err((self.at, if is_key { "expected a name" } else { "expected a value" }));
        }
        self.at += word.len();
        if is_key {
            self.push_string(word);
        } else {
            self.out.push_str(word);
        }
        Ok(())
    }

    fn string(&mut self) -> Result<(), Problem> {
        let start = self.at;
        let quote = self.byte().map_or('"', char::from);
        self.at += 1;
        let rest = self.text.get(self.at..).unwrap_or_default();
        let mut is_escaped = false;
        let length = rest.find(|c: char| {
            let is_end = c == quote && !is_escaped;
            is_escaped = c == '\\' && !is_escaped;
            is_end
        });
        let length = length.ok_or((start, "a string without end"))?;
        let inside = rest.get(..length).unwrap_or_default();
        self.at += length + 1;
        self.out.push('"');
        if quote == '"' {
            self.out.push_str(inside);
        } else {
            self.out.push_str(&inside.replace("\\'", "'").replace('"', "\\\""));
        }
        self.out.push('"');
        Ok(())
    }

    fn push_string(&mut self, text: &str) {
        self.out.push_str(&serde_json::Value::from(text).to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read(text: &str) -> Result<Value, DecodeError> {
        parse("a test", text.as_bytes())
    }

    #[test]
    fn reads_what_fastjson_writes() {
        assert_eq!(
            read(r#"{"offsetTable":{"t@g":{0:12,1:-3}}}"#).unwrap(),
            json!({"offsetTable": {"t@g": {"0": 12, "1": -3}}})
        );
        assert_eq!(
            read(r#"{"t":{{"brokerName":"b","queueId":3}:{"max":9}}}"#).unwrap(),
            json!({"t": {"{\"brokerName\":\"b\",\"queueId\":3}": {"max": 9}}})
        );
        assert_eq!(
            read("{a:'it\\'s \"x\"', /* note */ b:[1,2,],}").unwrap(),
            json!({"a": "it's \"x\"", "b": [1, 2]})
        );
    }

    #[test]
    fn writes_as_java_does_for_its_own_and_for_others() {
        let value = std::collections::BTreeMap::from([
            (-1_i64, vec!["", "a\"b", "\u{fc}\u{1f600}!"]),
            (7, vec![]),
        ]);
        let bare = String::from_utf8(to_vec_with_bare_keys(&value)).unwrap();
        assert_eq!(bare, "{-1:[\"\",\"a\\\"b\",\"\u{fc}\u{1f600}!\"],7:[]}");
        let ascii = String::from_utf8(to_vec_ascii(&value)).unwrap();
        assert_eq!(ascii, r#"{"-1":["","a\"b","\u00FC\uD83D\uDE00!"],"7":[]}"#);
        assert_eq!(read(&bare).unwrap(), read(&ascii).unwrap());
    }

    #[test]
    fn says_where_it_ends_to_make_sense() {
        for (text, position) in
            [("", 0), ("{0:", 3), ("{0:x}", 3), ("{0:1 2}", 5), ("{0:'x}", 3), ("{0:1} x", 6)]
        {
            match read(text) {
                Err(DecodeError::BadJson { position: found, .. }) => {
                    assert_eq!(found, position, "{text}");
                }
                other => panic!("{text}: {other:?}"),
            }
        }
        assert!(read(&format!("{{0:{}", "[".repeat(100_000))).is_err());
    }
}
