//! Header encoding 0: a JSON object.
//!
//! `{"code":105,"extFields":{"topic":"t"},"flag":0,"language":"JAVA","opaque":7,"version":479}`
//!
//! The scanner is our own: it leaves texts where they are, which a deserializer cannot, and this
//! is the hottest parsing there is. It takes what Java's peers send: members in any order, unknown
//! ones, numbers or booleans as field values, a language by name or by number.
//!
//! Source: RocketMQ 5.3.3 `remoting/protocol/RemotingSerializable`.

use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};

use super::DecodeError;
use super::code::LanguageCode;
use super::command::{HeaderEncoding, RemotingCommand};
use super::ext_fields::ExtFields;

const WHAT: &str = "a header";

/// How deep unknown members may be nested.
const MAX_DEPTH: u32 = 32;

pub(super) fn encode(command: &RemotingCommand, out: &mut BytesMut) {
    out.put_slice(b"{\"code\":");
    put_number(out, command.code);
    if !command.ext_fields.is_empty() {
        out.put_slice(b",\"extFields\":{");
        for (index, (name, value)) in command.ext_fields.iter().enumerate() {
            if index > 0 {
                out.put_u8(b',');
            }
            put_text(out, name);
            out.put_u8(b':');
            put_text(out, value);
        }
        out.put_u8(b'}');
    }
    out.put_slice(b",\"flag\":");
    put_number(out, command.flag);
    out.put_slice(b",\"language\":\"");
    out.put_slice(command.language.name().as_bytes());
    out.put_slice(b"\",\"opaque\":");
    put_number(out, command.opaque);
    if let Some(remark) = &command.remark {
        out.put_slice(b",\"remark\":");
        put_text(out, remark);
    }
    out.put_slice(b",\"serializeTypeCurrentRPC\":\"JSON\",\"version\":");
    put_number(out, command.version);
    out.put_u8(b'}');
}

fn put_number(out: &mut BytesMut, number: i32) {
    out.put_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Writes a JSON string. Control characters, quotes and backslashes are escaped, all else stands
/// as it is.
fn put_text(out: &mut BytesMut, text: &str) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.put_u8(b'"');
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|byte| *byte < 0x20 || matches!(byte, b'"' | b'\\')) {
        let (plain, special) = rest.split_at(at);
        out.put_slice(plain);
        let Some((byte, after)) = special.split_first() else { break };
        match byte {
            b'"' | b'\\' => out.put_slice(&[b'\\', *byte]),
            byte => {
                out.put_slice(b"\\u00");
                for nibble in [byte >> 4, byte & 15] {
                    out.put_u8(HEX.get(usize::from(nibble)).copied().unwrap_or(b'0'));
                }
            }
        }
        rest = after;
    }
    out.put_slice(rest);
    out.put_u8(b'"');
}

pub(super) fn decode(header: Bytes) -> Result<RemotingCommand, DecodeError> {
    let text = std::str::from_utf8(&header).map_err(|_| DecodeError::NotUtf8 { what: WHAT })?;
    let mut command = RemotingCommand {
        code: 0,
        language: LanguageCode::JAVA,
        version: 0,
        opaque: 0,
        flag: 0,
        remark: None,
        ext_fields: ExtFields::of_frame(header.clone()),
        body: Bytes::new(),
        header_encoding: HeaderEncoding::Json,
    };
    let mut scanner = Scanner { text, at: 0 };
    scanner.members(|scanner, name| member(&mut command, scanner, name))?;
    scanner.skip_space();
    if scanner.at < text.len() {
        return Err(scanner.bad("the end"));
    }
    Ok(command)
}

fn member(
    command: &mut RemotingCommand,
    scanner: &mut Scanner<'_>,
    name: Text,
) -> Result<(), DecodeError> {
    let text = scanner.text;
    match scanner.as_str(&name) {
        "code" => command.code = scanner.number()?,
        "version" => command.version = scanner.number()?,
        "opaque" => command.opaque = scanner.number()?,
        "flag" => command.flag = scanner.number()?,
        "language" => command.language = scanner.language()?,
        "remark" => command.remark = scanner.scalar()?.map(|remark| remark.of(text).into()),
        "extFields" if scanner.peek() == Some(b'{') => {
            let fields = &mut command.ext_fields;
            scanner.members(|scanner, name| {
                if let Some(value) = scanner.scalar()? {
                    push_field(fields, name, value);
                }
                Ok(())
            })?;
        }
        _ => scanner.skip_value(0)?,
    }
    Ok(())
}

fn push_field(fields: &mut ExtFields, name: Text, value: Text) {
    match (name, value) {
        (Text::Plain(name), Text::Plain(value)) => fields.push_ranges(name, value),
        (name, value) => fields.push_mixed(name.into_result(), value.into_result()),
    }
}

/// A text of the header: its place, or what it says where it had to be unescaped.
enum Text {
    Plain(Range<usize>),
    Unescaped(String),
}

impl Text {
    fn of<'a>(&'a self, source: &'a str) -> &'a str {
        match self {
            Self::Plain(range) => source.get(range.clone()).unwrap_or_default(),
            Self::Unescaped(text) => text,
        }
    }

    fn into_result(self) -> Result<Range<usize>, String> {
        match self {
            Self::Plain(range) => Ok(range),
            Self::Unescaped(text) => Err(text),
        }
    }
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    fn as_str<'b>(&self, text: &'b Text) -> &'b str
    where
        'a: 'b,
    {
        text.of(self.text)
    }

    fn bad(&self, expected: &str) -> DecodeError {
        let reason = format!("expected {expected}");
        DecodeError::BadJson { what: WHAT, position: self.at, reason }
    }

    fn skip_space(&mut self) {
        let space =
            self.rest().iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'));
        self.at += space.count();
    }

    /// The next byte that is no white space.
    fn peek(&mut self) -> Option<u8> {
        self.skip_space();
        self.rest().first().copied()
    }

    fn eat(&mut self, byte: u8) -> bool {
        let is_there = self.peek() == Some(byte);
        self.at += usize::from(is_there);
        is_there
    }

    /// Walks an object; `member` reads the value after each name.
    fn members(
        &mut self,
        mut member: impl FnMut(&mut Self, Text) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        if !self.eat(b'{') {
            return Err(self.bad("an object"));
        }
        if self.eat(b'}') {
            return Ok(());
        }
        loop {
            self.skip_space();
            let name = self.string()?;
            if !self.eat(b':') {
                return Err(self.bad("a colon"));
            }
            member(self, name)?;
            if self.eat(b'}') {
                return Ok(());
            }
            if !self.eat(b',') {
                return Err(self.bad("a comma or the object's end"));
            }
        }
    }

    /// A string at this place.
    fn string(&mut self) -> Result<Text, DecodeError> {
        if self.rest().first() != Some(&b'"') {
            return Err(self.bad("a string"));
        }
        let start = self.at + 1;
        let inside = self.text.as_bytes().get(start..).unwrap_or_default();
        match memchr::memchr2(b'"', b'\\', inside) {
            Some(length) if inside.get(length) == Some(&b'"') => {
                self.at = start + length + 1;
                Ok(Text::Plain(start..start + length))
            }
            Some(_) => self.escaped_string(),
            None => Err(self.bad("the string's end")),
        }
    }

    /// A string with escapes: rare, so serde_json may allocate.
    fn escaped_string(&mut self) -> Result<Text, DecodeError> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let mut stream = serde_json::Deserializer::from_str(rest).into_iter::<String>();
        let Some(Ok(text)) = stream.next() else {
            return Err(self.bad("a string with valid escapes"));
        };
        self.at += stream.byte_offset();
        Ok(Text::Unescaped(text))
    }

    /// A string, or the text of a number or boolean; `None` for null.
    fn scalar(&mut self) -> Result<Option<Text>, DecodeError> {
        if self.peek() == Some(b'"') {
            return self.string().map(Some);
        }
        let word = self.word();
        match self.text.get(word.clone()) {
            Some("null") => Ok(None),
            None | Some("") => Err(self.bad("a string, a number, a boolean or null")),
            Some(_) => Ok(Some(Text::Plain(word))),
        }
    }

    /// The place of the letters, digits, signs and points from here on.
    fn word(&mut self) -> Range<usize> {
        let start = self.at;
        let length = self
            .rest()
            .iter()
            .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.'))
            .count();
        self.at += length;
        start..self.at
    }

    fn number(&mut self) -> Result<i32, DecodeError> {
        let start = self.at;
        let text = self.text;
        let number = self.scalar()?.map_or(Some(0), |value| value.of(text).parse().ok());
        number.ok_or_else(|| {
            self.at = start;
            self.bad("a 32-bit number")
        })
    }

    /// A language by name in any case, or by ordinal. One that we do not know is `OTHER`.
    fn language(&mut self) -> Result<LanguageCode, DecodeError> {
        let text = self.text;
        Ok(self.scalar()?.map_or(LanguageCode::JAVA, |value| LanguageCode::parse(value.of(text))))
    }

    fn skip_value(&mut self, depth: u32) -> Result<(), DecodeError> {
        if depth > MAX_DEPTH {
            return Err(self.bad("fewer nested values"));
        }
        match self.peek() {
            Some(b'{') => self.members(|scanner, _| scanner.skip_value(depth + 1)),
            Some(b'[') => {
                self.at += 1;
                if self.eat(b']') {
                    return Ok(());
                }
                loop {
                    self.skip_value(depth + 1)?;
                    if self.eat(b']') {
                        return Ok(());
                    }
                    if !self.eat(b',') {
                        return Err(self.bad("a comma or the array's end"));
                    }
                }
            }
            _ => self.scalar().map(drop),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<RemotingCommand, DecodeError> {
        decode(Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn takes_what_other_peers_write() {
        let command = parse(
            r#" { "extFields" : {"a":1,"b":true,"c":null,"d":"x\"y\u4e2d","e":""},
                 "new":{"deep":[1,{"x":[]},"]"]}, "language":"go", "remark":"", "code":10 ,
                 "version":"317", "flag":0, "opaque":-3 } "#,
        )
        .unwrap();
        let fields: Vec<_> = command.ext_fields.iter().collect();
        assert_eq!(fields, [("a", "1"), ("b", "true"), ("d", "x\"y中"), ("e", "")]);
        assert_eq!(command.language, LanguageCode::GO);
        assert_eq!((command.code, command.version, command.opaque), (10, 317, -3));
        assert_eq!(parse(r#"{"language":12}"#).unwrap().language, LanguageCode::RUST);
        assert_eq!(parse(r#"{"extFields":null}"#).unwrap().ext_fields.len(), 0);
    }

    #[test]
    fn says_where_the_json_ends_to_make_sense() {
        for (text, position) in [
            ("", 0),
            ("[]", 0),
            (r#"{"code":x}"#, 8),
            (r#"{"code":1"#, 9),
            (r#"{"code":1} x"#, 11),
            (r#"{"remark":"abc}"#, 10),
            (r#"{"remark":"\q"}"#, 10),
        ] {
            match parse(text) {
                Err(DecodeError::BadJson { position: found, .. }) => {
                    assert_eq!(found, position, "{text}")
                }
                other => panic!("{text}: {other:?}"),
            }
        }
        let deep = format!("{{\"x\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(parse(&deep).is_err());
    }
}
