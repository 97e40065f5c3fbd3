//! The client's one error: what to do about it, what it is about, and whether a message may have
//! been stored.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use crate::protocol::DecodeError;
use crate::protocol::code::ResponseCode;

/// What a caller can do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The call itself is wrong: a name, a size or a text that RocketMQ cannot carry.
    InvalidArgument,
    /// No name server knows the topic.
    RouteNotFound,
    /// The time allowed is over.
    Timeout,
    /// Nobody could be reached, or the broker is not serving.
    Unavailable,
    /// The broker asks for less load.
    Busy,
    /// The broker does not permit it.
    Denied,
    /// The broker refused with a code that asks for nothing else.
    Rejected(ResponseCode),
    /// The other side speaks something that is not RocketMQ's protocol.
    Protocol,
    /// The client, the producer or the consumer was closed, or the call was cancelled.
    Closed,
}

impl ErrorKind {
    /// A short name that stays the same between releases, for logs and for other languages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::InvalidArgument => "InvalidArgument",
            Self::RouteNotFound => "RouteNotFound",
            Self::Timeout => "Timeout",
            Self::Unavailable => "Unavailable",
            Self::Busy => "Busy",
            Self::Denied => "Denied",
            Self::Rejected(_) => "Rejected",
            Self::Protocol => "Protocol",
            Self::Closed => "Closed",
        }
    }
}

/// Whether a message of a failed send lies on a broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Stored {
    /// It does not: sending again cannot duplicate it.
    #[default]
    No,
    /// It may: the request left, and no clear answer came back. Sending again can duplicate it.
    Unknown,
}

/// Why an operation failed.
///
/// Its text tells everything that is known: the operation, what it was about, the cause, what to
/// try, and for a send whether the message may have been stored.
#[derive(Clone)]
pub struct Error(Box<Details>);

#[derive(Clone)]
struct Details {
    kind: ErrorKind,
    operation: &'static str,
    reason: String,
    hint: Option<&'static str>,
    code: Option<ResponseCode>,
    stored: Stored,
    retryable: bool,
    topic: Option<Arc<str>>,
    group: Option<Arc<str>>,
    queue_id: Option<i32>,
    broker: Option<Arc<str>>,
    address: Option<Arc<str>>,
    attempts: u32,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, operation: &'static str, reason: impl Into<String>) -> Self {
        let retryable = matches!(
            kind,
            ErrorKind::RouteNotFound
                | ErrorKind::Timeout
                | ErrorKind::Unavailable
                | ErrorKind::Busy
        );
        Self(Box::new(Details {
            kind,
            operation,
            reason: reason.into(),
            hint: None,
            code: None,
            stored: Stored::No,
            retryable,
            topic: None,
            group: None,
            queue_id: None,
            broker: None,
            address: None,
            attempts: 0,
            source: None,
        }))
    }

    /// An argument that cannot work, however often it is tried.
    pub(crate) fn invalid(operation: &'static str, reason: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidArgument, operation, reason)
    }

    /// Whatever was asked, its owner is closed.
    pub(crate) fn closed(operation: &'static str) -> Self {
        Self::new(ErrorKind::Closed, operation, "it is closed")
    }

    /// A broker or name server answered with a code other than success.
    pub(crate) fn from_response(
        operation: &'static str,
        code: ResponseCode,
        remark: Option<&str>,
    ) -> Self {
        let (kind, hint) = judge_code(code);
        let reason = match remark {
            Some(remark) if !remark.is_empty() => format!("{code}: {remark}"),
            _ => code.to_string(),
        };
        let mut error = Self::new(kind, operation, reason);
        error.0.code = Some(code);
        error.0.hint = hint;
        error
    }

    pub(crate) fn hinting(mut self, hint: &'static str) -> Self {
        self.0.hint = Some(hint);
        self
    }

    pub(crate) fn with_stored(mut self, stored: Stored) -> Self {
        self.0.stored = stored;
        self
    }

    pub(crate) fn with_retryable(mut self, retryable: bool) -> Self {
        self.0.retryable = retryable;
        self
    }

    pub(crate) fn on_topic(mut self, topic: &Arc<str>) -> Self {
        self.0.topic = Some(topic.clone());
        self
    }

    pub(crate) fn of_group(mut self, group: &Arc<str>) -> Self {
        self.0.group = Some(group.clone());
        self
    }

    pub(crate) fn on_queue(mut self, queue: &crate::MessageQueue) -> Self {
        self.0.topic = Some(queue.topic.clone());
        self.0.broker = Some(queue.broker_name.clone());
        self.0.queue_id = Some(queue.queue_id);
        self
    }

    pub(crate) fn at(mut self, address: impl Into<Arc<str>>) -> Self {
        self.0.address = Some(address.into());
        self
    }

    pub(crate) fn after_attempts(mut self, attempts: u32) -> Self {
        self.0.attempts = attempts;
        self
    }

    pub(crate) fn caused_by(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.0.source = Some(Arc::new(source));
        self
    }

    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether the same call may succeed later without anything being changed.
    pub fn retryable(&self) -> bool {
        self.0.retryable
    }

    /// For a send: whether the message may lie on a broker.
    pub fn stored(&self) -> Stored {
        self.0.stored
    }

    /// What was being done, for instance `send`.
    pub fn operation(&self) -> &'static str {
        self.0.operation
    }

    /// What went wrong, without the context.
    pub fn reason(&self) -> &str {
        &self.0.reason
    }

    /// What to try.
    pub fn hint(&self) -> Option<&'static str> {
        self.0.hint
    }

    /// The code of the answer, if there was one.
    pub fn code(&self) -> Option<ResponseCode> {
        self.0.code
    }

    /// The topic it is about.
    pub fn topic(&self) -> Option<&str> {
        self.0.topic.as_deref()
    }

    /// The consumer or producer group it is about.
    pub fn group(&self) -> Option<&str> {
        self.0.group.as_deref()
    }

    /// The queue of the topic it is about.
    pub fn queue_id(&self) -> Option<i32> {
        self.0.queue_id
    }

    /// The name of the broker it is about.
    pub fn broker(&self) -> Option<&str> {
        self.0.broker.as_deref()
    }

    /// The address that was spoken to.
    pub fn address(&self) -> Option<&str> {
        self.0.address.as_deref()
    }

    /// How often it was tried.
    pub fn attempts(&self) -> u32 {
        self.0.attempts
    }
}

/// What a response code means to a caller.
fn judge_code(code: ResponseCode) -> (ErrorKind, Option<&'static str>) {
    match code {
        ResponseCode::SYSTEM_BUSY | ResponseCode::FLOW_CONTROL => {
            (ErrorKind::Busy, Some("send more slowly, or give the broker more room"))
        }
        ResponseCode::SERVICE_NOT_AVAILABLE => (
            ErrorKind::Unavailable,
            Some("the broker is shutting down, is a replica, or its disk is full"),
        ),
        ResponseCode::NO_PERMISSION => {
            (ErrorKind::Denied, Some("check the permissions of the topic, the group and the user"))
        }
        ResponseCode::TOPIC_NOT_EXIST => (
            ErrorKind::RouteNotFound,
            Some("create the topic, or turn the broker's autoCreateTopicEnable on"),
        ),
        ResponseCode::MESSAGE_ILLEGAL | ResponseCode::INVALID_PARAMETER => {
            (ErrorKind::InvalidArgument, None)
        }
        other => (ErrorKind::Rejected(other), None),
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let details = &*self.0;
        write!(f, "{}", details.operation)?;
        if let Some(topic) = &details.topic {
            write!(f, " `{topic}`")?;
        }
        if let Some(group) = &details.group {
            write!(f, " for group `{group}`")?;
        }
        match (&details.broker, details.queue_id) {
            (Some(broker), Some(queue)) => write!(f, " on queue {queue} of {broker}")?,
            (Some(broker), None) => write!(f, " on {broker}")?,
            _ => {}
        }
        if let Some(address) = &details.address {
            write!(f, " at {address}")?;
        }
        write!(f, ": {}", details.reason)?;
        if details.attempts > 1 {
            write!(f, " (after {} attempts)", details.attempts)?;
        }
        if details.stored == Stored::Unknown {
            write!(f, "; the message may have been stored")?;
        }
        if let Some(hint) = details.hint {
            write!(f, "; {hint}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("retryable", &self.0.retryable)
            .field("stored", &self.0.stored)
            .field("text", &self.to_string())
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

impl From<DecodeError> for Error {
    fn from(error: DecodeError) -> Self {
        Self::new(ErrorKind::Protocol, "reading an answer", error.to_string()).caused_by(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_tells_everything_that_is_known() {
        let error = Error::from_response("send", ResponseCode::SYSTEM_BUSY, Some("queue is full"))
            .on_queue(&crate::MessageQueue::new("orders", "broker-a", 3))
            .at("127.0.0.1:10911")
            .after_attempts(3)
            .with_stored(Stored::Unknown);
        assert_eq!(
            error.to_string(),
            "send `orders` on queue 3 of broker-a at 127.0.0.1:10911: SYSTEM_BUSY (2): queue is \
             full (after 3 attempts); the message may have been stored; send more slowly, or give \
             the broker more room"
        );
        assert_eq!(error.kind(), ErrorKind::Busy);
        assert!(error.retryable());
    }

    #[test]
    fn a_code_nobody_knows_keeps_its_number() {
        let error = Error::from_response("send", ResponseCode(9_999), None);
        assert_eq!(error.kind(), ErrorKind::Rejected(ResponseCode(9_999)));
        assert_eq!(error.code(), Some(ResponseCode(9_999)));
        assert!(!error.retryable());
    }
}
