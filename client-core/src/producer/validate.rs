//! What is checked before a message goes anywhere.

use crate::error::Error;
use crate::message::Message;
use crate::protocol::message::properties;
use crate::protocol::names;

/// Bytes of properties that the client adds itself: the unique key with its name.
const ADDED_PROPERTY_BYTES: usize = 64;

/// Checks a message whole.
pub(crate) fn message(message: &Message, max_message_bytes: usize) -> Result<(), Error> {
    let refuse = |reason: String| Err(Error::invalid("send", reason));
    if let Some(reason) = &message.invalid {
        return refuse(reason.clone());
    }
    names::check_sendable_topic(&message.topic).or_else(|error| refuse(error.to_string()))?;
    if message.body.is_empty() {
        return refuse("the body is empty, and RocketMQ stores no empty messages".to_owned());
    }
    if message.body.len() > max_message_bytes {
        return refuse(format!(
            "the body is {} bytes long; the limit is {max_message_bytes}",
            message.body.len()
        ));
    }
    let properties_bytes = message.properties.as_encoded().len();
    if properties_bytes + ADDED_PROPERTY_BYTES > properties::MAX_LENGTH {
        return refuse(format!(
            "tag, keys and properties take {properties_bytes} bytes; the limit is {}",
            properties::MAX_LENGTH - ADDED_PROPERTY_BYTES
        ));
    }
    Ok(())
}

/// Checks a group's name.
pub(crate) fn group(operation: &'static str, group: &str) -> Result<(), Error> {
    names::check_group(group).map_err(|error| Error::invalid(operation, error.to_string()))?;
    if matches!(group, "DEFAULT_PRODUCER" | "DEFAULT_CONSUMER") {
        let reason = format!("the group name `{group}` is RocketMQ's own");
        return Err(Error::invalid(operation, reason));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn reason(message: Message) -> String {
        let error = super::message(&message, 100).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(!error.retryable());
        error.reason().to_owned()
    }

    #[test]
    fn each_wrong_message_is_told_what_is_wrong() {
        assert!(message(&Message::new("t", "b"), 100).is_ok());
        assert!(reason(Message::new("", "b")).contains("empty"));
        assert!(reason(Message::new("a/b", "b")).contains("'/'"));
        assert!(reason(Message::new("x".repeat(10_000), "b")).contains("10000 bytes"));
        assert!(reason(Message::new("SCHEDULE_TOPIC_XXXX", "b")).contains("RocketMQ's own"));
        assert!(reason(Message::new("t", "")).contains("empty"));
        assert!(reason(Message::new("t", vec![0; 101])).contains("101 bytes"));
        assert!(reason(Message::new("t", "b").tag("\u{2}")).contains("0x02"));
        let long = Message::new("t", "b").property("p", "x".repeat(40_000));
        assert!(reason(long).contains("the limit is"));
    }

    #[test]
    fn group_names_are_checked() {
        assert!(group("start", "billing").is_ok());
        for bad in ["", "DEFAULT_PRODUCER", "a b", "中"] {
            assert!(group("start", bad).is_err(), "{bad}");
        }
    }
}
