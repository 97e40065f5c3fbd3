//! The command: what one frame says, in a request or in its response.
//!
//! Source: RocketMQ 5.3.3 `remoting/protocol/RemotingCommand`.

use bytes::{BufMut, Bytes, BytesMut};

use super::code::{LanguageCode, RequestCode, ResponseCode};
use super::ext_fields::ExtFields;
use super::header::Header;
use super::{DecodeError, frame, header_binary, header_json, length};

/// The release that we announce as a client: 5.1.4, the last one to which no broker sends GO_AWAY.
///
/// Source: `common/MQVersion`, ordinal of `V5_1_4`.
pub const CLIENT_VERSION: i32 = 441;

/// The release that we announce as a broker and name server: 5.3.3.
///
/// Source: `common/MQVersion`, ordinal of `V5_3_3`.
pub const BROKER_VERSION: i32 = 479;

/// Bit of `flag`: a response.
const RESPONSE: i32 = 1;
/// Bit of `flag`: the sender wants no response.
const ONE_WAY: i32 = 2;

/// How a header is written. Either may stand in any frame, whatever the other side wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HeaderEncoding {
    /// A JSON object.
    #[default]
    Json,
    /// RocketMQ's own binary layout.
    Binary,
}

impl HeaderEncoding {
    /// The encoding that a frame's fifth byte names.
    ///
    /// # Errors
    /// [`DecodeError::UnknownFormat`].
    pub fn from_wire(byte: u8) -> Result<Self, DecodeError> {
        match byte {
            0 => Ok(Self::Json),
            1 => Ok(Self::Binary),
            other => {
                Err(DecodeError::UnknownFormat { what: "a header encoding", value: other.into() })
            }
        }
    }

    /// The byte that names it in a frame.
    pub const fn to_wire(self) -> u8 {
        match self {
            Self::Json => 0,
            Self::Binary => 1,
        }
    }
}

/// A request or a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemotingCommand {
    /// A [`RequestCode`] or a [`ResponseCode`], as [`is_response`](Self::is_response) tells.
    pub code: i32,
    /// What the sender is written in.
    pub language: LanguageCode,
    /// The sender's release, see [`BROKER_VERSION`].
    pub version: i32,
    /// The request's number on its connection, chosen by its sender and repeated by the response.
    /// Both ends count for themselves: only [`is_response`](Self::is_response) tells whose number
    /// it is.
    pub opaque: i32,
    /// See [`is_response`](Self::is_response) and [`is_one_way`](Self::is_one_way).
    pub flag: i32,
    /// Words for a person, in a response.
    pub remark: Option<Box<str>>,
    /// The header's fields.
    pub ext_fields: ExtFields,
    /// The body; empty if there is none.
    pub body: Bytes,
    /// How the header was or will be written.
    pub header_encoding: HeaderEncoding,
}

impl RemotingCommand {
    /// A request of ours, without a body. The connection that sends it sets `opaque`.
    pub fn request(code: RequestCode, header: &impl Header) -> Self {
        let mut ext_fields = ExtFields::new();
        header.write(&mut ext_fields);
        Self {
            code: code.0,
            language: LanguageCode::RUST,
            version: CLIENT_VERSION,
            opaque: 0,
            flag: 0,
            remark: None,
            ext_fields,
            body: Bytes::new(),
            header_encoding: HeaderEncoding::Json,
        }
    }

    /// A request that wants no response.
    pub fn one_way(code: RequestCode, header: &impl Header) -> Self {
        Self { flag: ONE_WAY, ..Self::request(code, header) }
    }

    /// The response to `request`, without header or body. As Apache's brokers do from 5.0 on, it is
    /// written in JSON unless the request was binary.
    pub fn response(request: &Self, code: ResponseCode) -> Self {
        Self {
            code: code.0,
            language: LanguageCode::RUST,
            version: BROKER_VERSION,
            opaque: request.opaque,
            flag: RESPONSE,
            remark: None,
            ext_fields: ExtFields::new(),
            body: Bytes::new(),
            header_encoding: request.header_encoding,
        }
    }

    /// The same with a body.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// The same with words for a person.
    #[must_use]
    pub fn with_remark(mut self, remark: impl Into<Box<str>>) -> Self {
        self.remark = Some(remark.into());
        self
    }

    /// The same with the fields of `header` added.
    #[must_use]
    pub fn with_header(mut self, header: &impl Header) -> Self {
        header.write(&mut self.ext_fields);
        self
    }

    /// Reads the fields as a typed header.
    ///
    /// # Errors
    /// A field is missing or bad; the error names it.
    pub fn header<H: Header>(&self) -> Result<H, DecodeError> {
        H::read(&self.ext_fields)
    }

    /// Whether this answers a request of the other side.
    pub const fn is_response(&self) -> bool {
        self.flag & RESPONSE != 0
    }

    /// Whether no response may be sent.
    pub const fn is_one_way(&self) -> bool {
        self.flag & ONE_WAY != 0
    }

    /// The code as a request's.
    pub const fn request_code(&self) -> RequestCode {
        RequestCode(self.code)
    }

    /// The code as a response's.
    pub const fn response_code(&self) -> ResponseCode {
        ResponseCode(self.code)
    }

    /// Takes the next command off the front of `buffer`; `Ok(None)` if it has not arrived whole.
    /// Body and fields point into the buffer's memory.
    ///
    /// # Errors
    /// The frame or its header is none: the stream cannot be read further.
    pub fn decode(
        buffer: &mut BytesMut,
        max_frame_bytes: usize,
    ) -> Result<Option<Self>, DecodeError> {
        let Some(frame) = frame::decode(buffer, max_frame_bytes)? else { return Ok(None) };
        let mut command = match frame.encoding {
            HeaderEncoding::Json => header_json::decode(frame.header),
            HeaderEncoding::Binary => header_binary::decode(frame.header),
        }?;
        command.body = frame.body;
        Ok(Some(command))
    }

    /// Writes everything but the body: the lengths, which count the body, and the header. The body
    /// follows from its own memory.
    ///
    /// # Errors
    /// [`DecodeError::TooLarge`] if the header or the frame do not fit; `out` is then unchanged.
    pub fn encode_head(&self, out: &mut BytesMut) -> Result<(), DecodeError> {
        self.encode_head_for(self.body.len(), out)
    }

    /// Writes the same for a body of `body_length` bytes that follows from several places; `body`
    /// is left out.
    ///
    /// # Errors
    /// As [`encode_head`](Self::encode_head).
    pub fn encode_head_for(
        &self,
        body_length: usize,
        out: &mut BytesMut,
    ) -> Result<(), DecodeError> {
        let encoding = match self.header_encoding {
            HeaderEncoding::Binary if header_binary::fits(self.code) => HeaderEncoding::Binary,
            _ => HeaderEncoding::Json,
        };
        encode_head_with(out, encoding, body_length, |out| match encoding {
            HeaderEncoding::Json => header_json::encode(self, out),
            HeaderEncoding::Binary => header_binary::encode(self, out),
        })
    }

    /// Writes the whole frame.
    ///
    /// # Errors
    /// As [`encode_head`](Self::encode_head).
    pub fn encode(&self, out: &mut BytesMut) -> Result<(), DecodeError> {
        self.encode_head(out)?;
        out.put_slice(&self.body);
        Ok(())
    }
}

/// Writes the two length words around a header that `write` appends, and checks them.
fn encode_head_with(
    out: &mut BytesMut,
    encoding: HeaderEncoding,
    body_length: usize,
    write: impl FnOnce(&mut BytesMut),
) -> Result<(), DecodeError> {
    let start = out.len();
    out.put_u64(0);
    write(out);
    let header_length = out.len() - start - frame::PREFIX_BYTES;
    let total = 4 + header_length + body_length;
    let checks = [
        ("a header", header_length, frame::MAX_HEADER_BYTES),
        ("a frame", total, frame::MAX_FRAME_BYTES - 4),
    ];
    for (what, length, limit) in checks {
        if length > limit {
            out.truncate(start);
            return Err(DecodeError::TooLarge { what, length: length as u64, limit: limit as u64 });
        }
    }
    let word = u32::from(encoding.to_wire()) << 24 | length::as_u32(header_length);
    let prefix = (total as u64) << 32 | u64::from(word);
    if let Some(place) = out.get_mut(start..start + frame::PREFIX_BYTES) {
        place.copy_from_slice(&prefix.to_be_bytes());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::frame::MAX_FRAME_BYTES;

    fn decode(bytes: &[u8]) -> RemotingCommand {
        RemotingCommand::decode(&mut BytesMut::from(bytes), MAX_FRAME_BYTES).unwrap().unwrap()
    }

    /// What Apache's serializers write for the same request; only the order of members is theirs
    /// by accident.
    #[test]
    fn both_encodings_of_one_request_say_the_same() {
        let json = br#"{"code":105,"extFields":{"topic":"TopicTest"},"flag":0,"language":"JAVA","opaque":7,"serializeTypeCurrentRPC":"JSON","version":479}"#;
        let mut frame = vec![0, 0, 0, 0x87, 0, 0, 0, 0x83];
        frame.extend_from_slice(json);
        let from_json = decode(&frame);
        let binary = b"\0\0\0\x2d\x01\0\0\x29\0\x69\0\x01\xdf\0\0\0\x07\0\0\0\0\0\0\0\0\
            \0\0\0\x14\0\x05topic\0\0\0\x09TopicTest";
        let from_binary = decode(binary);
        assert_eq!(from_json.request_code(), RequestCode::GET_ROUTEINFO_BY_TOPIC);
        assert_eq!(from_json.ext_fields.get("topic"), Some("TopicTest"));
        assert_eq!(
            RemotingCommand { header_encoding: HeaderEncoding::Binary, ..from_json.clone() },
            from_binary
        );
        let mut out = BytesMut::new();
        from_json.encode(&mut out).unwrap();
        assert_eq!(out, frame.as_slice());
        out.clear();
        from_binary.encode(&mut out).unwrap();
        assert_eq!(out, &binary[..]);
    }

    #[test]
    fn unknown_codes_and_odd_texts_survive_the_way_there_and_back() {
        for encoding in [HeaderEncoding::Json, HeaderEncoding::Binary] {
            let mut command = RemotingCommand::request(RequestCode(-12_345), &());
            command.header_encoding = encoding;
            command.opaque = i32::MIN;
            command.remark = Some("line\nbreak \"quoted\" \\ 中文 😀 \u{1}\u{7f}".into());
            command.ext_fields.push("a\tb", "x\u{1}y\u{2}");
            command.ext_fields.push("plain", "value");
            command.body = Bytes::from_static(b"body");
            let mut out = BytesMut::new();
            command.encode(&mut out).unwrap();
            assert_eq!(decode(&out), command);
        }
    }

    #[test]
    fn codes_that_the_binary_encoding_would_cut_are_written_as_json() {
        let mut command = RemotingCommand::request(RequestCode::POP_MESSAGE, &());
        command.header_encoding = HeaderEncoding::Binary;
        let mut out = BytesMut::new();
        command.encode(&mut out).unwrap();
        assert_eq!(decode(&out).request_code(), RequestCode::POP_MESSAGE);
    }

    #[test]
    fn a_frame_over_the_limit_is_not_begun() {
        let command = RemotingCommand::request(RequestCode::SEND_MESSAGE, &())
            .with_body(vec![0; MAX_FRAME_BYTES]);
        let mut out = BytesMut::from(&b"before"[..]);
        assert!(command.encode_head(&mut out).is_err());
        assert_eq!(out, "before");
    }
}
