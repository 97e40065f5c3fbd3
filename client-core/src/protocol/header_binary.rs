//! Header encoding 1, `ROCKETMQ`.
//!
//! | # | Size | Field | |
//! |---|---|---|---|
//! | 1 | 2 | code | |
//! | 2 | 1 | language | ordinal |
//! | 3 | 2 | version | |
//! | 4 | 4 | opaque | |
//! | 5 | 4 | flag | |
//! | 6 | 4 + n | remark length, remark | |
//! | 7 | 4 | bytes of all fields | |
//! | 8 | (2 + k, 4 + v)… | name length, name, value length, value | an empty value is a missing one |
//!
//! Codes over 32,767 do not fit: Java cuts them silently and nobody can restore them, so such
//! commands are written as JSON (see [`fits`]).
//!
//! Source: RocketMQ 5.3.3 `remoting/protocol/RocketMQSerializable`.

use bytes::{BufMut, Bytes, BytesMut};

use super::code::LanguageCode;
use super::command::{HeaderEncoding, RemotingCommand};
use super::ext_fields::ExtFields;
use super::{DecodeError, length};

/// Whether this encoding can tell the code.
pub(super) fn fits(code: i32) -> bool {
    i16::try_from(code).is_ok()
}

pub(super) fn encode(command: &RemotingCommand, out: &mut BytesMut) {
    let remark = command.remark.as_deref().unwrap_or_default();
    out.put_i16(i16::try_from(command.code).unwrap_or_default());
    out.put_u8(command.language.0);
    out.put_i16(i16::try_from(command.version).unwrap_or(i16::MAX));
    out.put_i32(command.opaque);
    out.put_i32(command.flag);
    out.put_u32(length::as_u32(remark.len()));
    out.put_slice(remark.as_bytes());
    let length_at = out.len();
    out.put_u32(0);
    for (name, value) in command.ext_fields.iter() {
        let Ok(name_length) = i16::try_from(name.len()) else { continue };
        out.put_i16(name_length);
        out.put_slice(name.as_bytes());
        out.put_u32(length::as_u32(value.len()));
        out.put_slice(value.as_bytes());
    }
    let length = length::as_u32(out.len() - length_at - 4);
    if let Some(place) = out.get_mut(length_at..length_at + 4) {
        place.copy_from_slice(&length.to_be_bytes());
    }
}

pub(super) fn decode(header: Bytes) -> Result<RemotingCommand, DecodeError> {
    let mut reader = Reader { bytes: &header, at: 0 };
    let code = reader.i16()?;
    let language = LanguageCode(reader.u8()?);
    let version = reader.i16()?;
    let opaque = reader.i32()?;
    let flag = reader.i32()?;
    let remark = reader.text("a remark")?;
    let remark = header.get(remark).filter(|text| !text.is_empty());
    let remark = remark.and_then(|text| std::str::from_utf8(text).ok()).map(Into::into);
    let fields_length = reader.i32()?;
    let end = usize::try_from(fields_length).ok().and_then(|length| reader.at.checked_add(length));
    let Some(end) = end.filter(|end| *end <= header.len()) else {
        return Err(reader.bad("the fields", fields_length.into()));
    };
    let mut reader = Reader { bytes: header.get(..end).unwrap_or_default(), at: reader.at };
    let mut ext_fields = ExtFields::of_frame(header.clone());
    while reader.at < end {
        let name_length = reader.i16()?;
        let name = reader.checked_text("a field's name", name_length.into())?;
        let value = reader.text("a field's value")?;
        if !value.is_empty() {
            ext_fields.push_ranges(name, value);
        }
    }
    Ok(RemotingCommand {
        code: code.into(),
        language,
        version: version.into(),
        opaque,
        flag,
        remark,
        ext_fields,
        body: Bytes::new(),
        header_encoding: HeaderEncoding::Binary,
    })
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let array = rest.first_chunk::<N>().ok_or_else(|| self.bad("a field of it", N as i64))?;
        self.at += N;
        Ok(*array)
    }

    fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn i16(&mut self) -> Result<i16, DecodeError> {
        self.array().map(i16::from_be_bytes)
    }

    fn i32(&mut self) -> Result<i32, DecodeError> {
        self.array().map(i32::from_be_bytes)
    }

    /// The place of a text after its 32-bit length.
    fn text(&mut self, what: &'static str) -> Result<std::ops::Range<usize>, DecodeError> {
        let length = self.i32()?;
        self.checked_text(what, length.into())
    }

    fn checked_text(
        &mut self,
        what: &'static str,
        length: i64,
    ) -> Result<std::ops::Range<usize>, DecodeError> {
        let end = usize::try_from(length).ok().and_then(|length| self.at.checked_add(length));
        let text = end.and_then(|end| self.bytes.get(self.at..end));
        let text = text.ok_or_else(|| self.bad(what, length))?;
        std::str::from_utf8(text).map_err(|_| DecodeError::NotUtf8 { what })?;
        let start = self.at;
        self.at += text.len();
        Ok(start..self.at)
    }

    fn bad(&self, what: &'static str, length: i64) -> DecodeError {
        let available = self.bytes.len().saturating_sub(self.at) as u64;
        DecodeError::BadLength { what, length, available }
    }
}
