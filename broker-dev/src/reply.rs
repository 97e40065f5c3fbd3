//! What a handler answers: a response, or a refusal with words for a person.

use bytes::Bytes;
use oxmq::protocol::DecodeError;
use oxmq::protocol::code::LanguageCode;
use oxmq::protocol::code::ResponseCode;
use oxmq::protocol::command::{BROKER_VERSION, HeaderEncoding, RemotingCommand};
use oxmq::protocol::ext_fields::ExtFields;
use oxmq::protocol::header::Header;
use oxmq::protocol::names::NameError;

use crate::store::StoreError;

/// The part of a response that a handler decides.
#[derive(Debug, Default)]
pub(crate) struct Reply {
    ext_fields: ExtFields,
    body: Bytes,
}

/// A request that is not served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: ResponseCode,
    pub(crate) remark: Box<str>,
}

/// What serving a request comes to.
pub(crate) type Served = Result<Reply, Refusal>;

impl Reply {
    /// SUCCESS and nothing more.
    pub(crate) fn done() -> Self {
        Self::default()
    }

    /// SUCCESS with fields.
    pub(crate) fn fields(header: &impl Header) -> Self {
        let mut ext_fields = ExtFields::new();
        header.write(&mut ext_fields);
        Self { ext_fields, ..Self::default() }
    }

    /// SUCCESS with a body.
    pub(crate) fn body(body: impl Into<Bytes>) -> Self {
        Self { body: body.into(), ..Self::default() }
    }

    /// The same with one field more.
    pub(crate) fn with_field(mut self, name: &str, value: &str) -> Self {
        self.ext_fields.push(name, value);
        self
    }

    /// The same with a body.
    pub(crate) fn with_body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }
}

impl Refusal {
    pub(crate) fn new(code: ResponseCode, remark: impl Into<Box<str>>) -> Self {
        Self { code, remark: remark.into() }
    }
}

/// What an answer needs to know of its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ReplyTo {
    pub(crate) opaque: i32,
    pub(crate) encoding: HeaderEncoding,
}

impl ReplyTo {
    pub(crate) fn new(request: &RemotingCommand) -> Self {
        Self { opaque: request.opaque, encoding: request.header_encoding }
    }

    /// A response without header and body.
    pub(crate) fn response(self, code: ResponseCode) -> RemotingCommand {
        RemotingCommand {
            code: code.0,
            language: LanguageCode::RUST,
            version: BROKER_VERSION,
            opaque: self.opaque,
            flag: 1,
            remark: None,
            ext_fields: ExtFields::new(),
            body: Bytes::new(),
            header_encoding: self.encoding,
        }
    }

    /// The response that carries what was decided.
    pub(crate) fn served(self, served: Served) -> RemotingCommand {
        match served {
            Ok(reply) => RemotingCommand {
                ext_fields: reply.ext_fields,
                body: reply.body,
                ..self.response(ResponseCode::SUCCESS)
            },
            Err(refusal) => self.response(refusal.code).with_remark(refusal.remark),
        }
    }
}

/// A code that nothing serves.
pub(crate) fn not_supported(request: &RemotingCommand, by: &str) -> Refusal {
    let code = request.request_code();
    Refusal::new(
        ResponseCode::REQUEST_CODE_NOT_SUPPORTED,
        format!("{code} is not served by this {by}"),
    )
}

/// A header or body that cannot be read. Apache answers 1 here: its readers throw.
impl From<DecodeError> for Refusal {
    fn from(error: DecodeError) -> Self {
        Self::new(ResponseCode::SYSTEM_ERROR, format!("the request cannot be read: {error}"))
    }
}

impl From<NameError> for Refusal {
    fn from(error: NameError) -> Self {
        Self::new(ResponseCode::INVALID_PARAMETER, error.to_string())
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::from(&error)
    }
}

impl From<&StoreError> for Refusal {
    fn from(error: &StoreError) -> Self {
        let code = match error {
            StoreError::IllegalMessage { .. } => ResponseCode::MESSAGE_ILLEGAL,
            StoreError::Poisoned { .. }
            | StoreError::Closed
            | StoreError::DiskFull { .. }
            | StoreError::Full { .. } => ResponseCode::SERVICE_NOT_AVAILABLE,
            _ => ResponseCode::SYSTEM_ERROR,
        };
        Self::new(code, error.to_string())
    }
}
