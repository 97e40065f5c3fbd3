//! Errors on their way to JavaScript: every field that `OxmqError` has.

use napi_derive::napi;
use oxmq::{Error, ErrorKind, Stored};

/// The fields of an error.
#[napi(object, object_from_js = false)]
#[derive(Debug)]
pub struct ErrorFields {
    /// A name that stays the same between releases, for instance `ROUTE_NOT_FOUND`.
    pub code: &'static str,
    /// Everything that is known, as one text.
    pub message: String,
    /// Whether the same call may succeed later.
    pub retryable: bool,
    /// `no` or `unknown`: whether the message of a failed send may lie on a broker.
    pub stored: &'static str,
    /// What was being done.
    pub operation: &'static str,
    /// The number of the answer, if there was one.
    pub response_code: Option<i32>,
    /// The topic it is about.
    pub topic: Option<String>,
    /// The group it is about.
    pub group: Option<String>,
    /// The queue it is about.
    pub queue_id: Option<i32>,
    /// The name of the broker it is about.
    pub broker: Option<String>,
    /// The address that was spoken to.
    pub address: Option<String>,
    /// What to try.
    pub hint: Option<&'static str>,
    /// How often it was tried.
    pub attempts: u32,
}

impl From<&Error> for ErrorFields {
    fn from(error: &Error) -> Self {
        Self {
            code: code(error.kind()),
            message: error.to_string(),
            retryable: error.retryable(),
            stored: match error.stored() {
                Stored::No => "no",
                Stored::Unknown => "unknown",
            },
            operation: error.operation(),
            response_code: error.code().map(|code| code.0),
            topic: error.topic().map(str::to_owned),
            group: error.group().map(str::to_owned),
            queue_id: error.queue_id(),
            broker: error.broker().map(str::to_owned),
            address: error.address().map(str::to_owned),
            hint: error.hint(),
            attempts: error.attempts(),
        }
    }
}

impl ErrorFields {
    /// The embedded broker could not do what it was asked.
    pub(crate) fn of_broker(operation: &'static str, message: String) -> Self {
        Self {
            code: "BROKER_FAILED",
            message,
            retryable: false,
            stored: "no",
            operation,
            response_code: None,
            topic: None,
            group: None,
            queue_id: None,
            broker: None,
            address: None,
            hint: None,
            attempts: 0,
        }
    }
}

/// A kind's name in JavaScript's manner. `js/error.ts` has a class for each.
fn code(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::InvalidArgument => "INVALID_ARGUMENT",
        ErrorKind::RouteNotFound => "ROUTE_NOT_FOUND",
        ErrorKind::Timeout => "TIMEOUT",
        ErrorKind::Unavailable => "UNAVAILABLE",
        ErrorKind::Busy => "BUSY",
        ErrorKind::Denied => "DENIED",
        ErrorKind::Rejected(_) => "REJECTED",
        ErrorKind::Protocol => "PROTOCOL",
        ErrorKind::Closed => "CLOSED",
        // A kind made after this release.
        _ => "UNKNOWN",
    }
}
