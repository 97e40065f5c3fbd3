//! Names of topics and groups: which are legal, and which are RocketMQ's own.
//!
//! Source: RocketMQ 5.3.3 `common/topic/TopicValidator`, `common/MixAll`, `client/Validators`.

use std::fmt;

/// The longest topic, bytes.
pub const MAX_TOPIC_BYTES: usize = 127;
/// The longest retry or dead-letter topic, bytes.
pub const MAX_RETRY_TOPIC_BYTES: usize = 255;
/// The longest group, bytes.
pub const MAX_GROUP_BYTES: usize = 120;

/// Begins a retry topic; the consumer group follows.
pub const RETRY_PREFIX: &str = "%RETRY%";
/// Begins a dead-letter topic; the consumer group follows.
pub const DLQ_PREFIX: &str = "%DLQ%";
/// Begins a light topic.
pub const LIGHT_PREFIX: &str = "%LMQ%";
/// Begins names that RocketMQ keeps for itself.
pub const SYSTEM_PREFIX: &str = "rmq_sys_";

/// The topic that a new topic is made after.
pub const DEFAULT_TOPIC: &str = "TBW102";
/// Holds delayed messages, one queue a level.
pub const SCHEDULE_TOPIC: &str = "SCHEDULE_TOPIC_XXXX";
/// Holds half messages.
pub const HALF_TOPIC: &str = "RMQ_SYS_TRANS_HALF_TOPIC";
/// Tells which half messages have ended.
pub const OP_HALF_TOPIC: &str = "RMQ_SYS_TRANS_OP_HALF_TOPIC";
/// Holds half messages that were checked too often.
pub const TRANS_CHECK_MAX_TIME_TOPIC: &str = "TRANS_CHECK_MAX_TIME_TOPIC";
/// Apache's self test.
pub const SELF_TEST_TOPIC: &str = "SELF_TEST_TOPIC";
/// Apache's benchmark.
pub const BENCHMARK_TOPIC: &str = "BenchmarkTest";
/// Tells of offsets that were moved.
pub const OFFSET_MOVED_EVENT: &str = "OFFSET_MOVED_EVENT";
/// Message traces.
pub const TRACE_TOPIC: &str = "RMQ_SYS_TRACE_TOPIC";
/// Holds timer messages.
pub const TIMER_TOPIC: &str = "rmq_sys_wheel_timer";

/// Topics that a client may not send to.
const NOT_SENDABLE: [&str; 6] = [
    SCHEDULE_TOPIC,
    HALF_TOPIC,
    OP_HALF_TOPIC,
    TRANS_CHECK_MAX_TIME_TOPIC,
    SELF_TEST_TOPIC,
    OFFSET_MOVED_EVENT,
];

/// System topics whose names do not begin with [`SYSTEM_PREFIX`].
const SYSTEM_TOPICS: [&str; 9] = [
    DEFAULT_TOPIC,
    SCHEDULE_TOPIC,
    BENCHMARK_TOPIC,
    HALF_TOPIC,
    OP_HALF_TOPIC,
    TRANS_CHECK_MAX_TIME_TOPIC,
    SELF_TEST_TOPIC,
    OFFSET_MOVED_EVENT,
    TRACE_TOPIC,
];

/// Why a name is no topic or group.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the {what} {name:?} {reason}")]
pub struct NameError {
    what: &'static str,
    /// The name's beginning, with what cannot be printed escaped by the message.
    name: String,
    reason: Reason,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Reason {
    Empty,
    TooLong { bytes: usize, limit: usize },
    Character(char),
    NotSendable,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "is empty: give it a name"),
            Self::TooLong { bytes, limit } => {
                write!(f, "is {bytes} bytes long; the limit is {limit}")
            }
            Self::Character(c) => write!(
                f,
                "holds the character {c:?}: only letters, digits, '%', '|', '-' and '_' are allowed"
            ),
            Self::NotSendable => write!(f, "is RocketMQ's own: nobody may send to it"),
        }
    }
}

/// Checks a topic's name. What passes is a safe name for a folder.
///
/// # Errors
/// [`NameError`] says what is wrong with it.
pub fn check_topic(name: &str) -> Result<(), NameError> {
    let is_retry = name.starts_with(RETRY_PREFIX) || name.starts_with(DLQ_PREFIX);
    let limit = if is_retry { MAX_RETRY_TOPIC_BYTES } else { MAX_TOPIC_BYTES };
    check("topic", name, limit)
}

/// Checks a topic that a client wants to send to.
///
/// # Errors
/// [`NameError`] says what is wrong with it.
pub fn check_sendable_topic(name: &str) -> Result<(), NameError> {
    check_topic(name)?;
    if NOT_SENDABLE.contains(&name) {
        return Err(error("topic", name, Reason::NotSendable));
    }
    Ok(())
}

/// Checks a group's name.
///
/// # Errors
/// [`NameError`] says what is wrong with it.
pub fn check_group(name: &str) -> Result<(), NameError> {
    check("group", name, MAX_GROUP_BYTES)
}

fn check(what: &'static str, name: &str, limit: usize) -> Result<(), NameError> {
    let is_legal = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '%' | '|' | '-' | '_');
    if name.is_empty() {
        return Err(error(what, name, Reason::Empty));
    }
    if name.len() > limit {
        return Err(error(what, name, Reason::TooLong { bytes: name.len(), limit }));
    }
    match name.chars().find(|c| !is_legal(c)) {
        Some(c) => Err(error(what, name, Reason::Character(c))),
        None => Ok(()),
    }
}

fn error(what: &'static str, name: &str, reason: Reason) -> NameError {
    let mut shown: String = name.chars().take(60).collect();
    if shown.len() < name.len() {
        shown.push('…');
    }
    NameError { what, name: shown, reason }
}

/// The topic through which a group's failed messages come back.
pub fn retry_topic(group: &str) -> String {
    format!("{RETRY_PREFIX}{group}")
}

/// The topic that keeps the messages a group has given up.
pub fn dlq_topic(group: &str) -> String {
    format!("{DLQ_PREFIX}{group}")
}

/// Whether this names a light topic: one logical queue of messages that other topics store.
pub fn is_light_topic(name: &str) -> bool {
    name.starts_with(LIGHT_PREFIX)
}

/// Whether a topic is RocketMQ's own.
pub fn is_system_topic(name: &str) -> bool {
    name.starts_with(SYSTEM_PREFIX) || SYSTEM_TOPICS.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_are_refused_with_words() {
        for (name, word) in [
            ("", "empty"),
            ("../../etc/passwd", "'.'"),
            ("a/b", "'/'"),
            ("a\0b", "'\\0'"),
            ("主题", "'主'"),
            ("a b", "' '"),
        ] {
            let error = check_topic(name).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
        let error = check_topic(&"x".repeat(10_000)).unwrap_err().to_string();
        assert!(error.contains("10000 bytes") && error.len() < 300, "{error}");
    }

    #[test]
    fn limits_are_apaches() {
        assert!(check_topic(&"x".repeat(127)).is_ok());
        assert!(check_topic(&"x".repeat(128)).is_err());
        assert!(check_topic(&retry_topic(&"x".repeat(120))).is_ok());
        assert!(check_group(&"x".repeat(121)).is_err());
        assert!(check_sendable_topic(SCHEDULE_TOPIC).is_err());
        assert!(check_topic(SCHEDULE_TOPIC).is_ok());
        assert!(is_system_topic("rmq_sys_anything") && !is_system_topic("orders"));
    }
}
