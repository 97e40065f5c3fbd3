//! The property string: `name 0x01 value 0x02`, repeated.
//!
//! Differs between releases in its end: 4.9.1 to 5.1.4 leave the last `0x02` out, others write it.
//! Readers here take both; writers write it. Nothing can be escaped, so a name or a value with
//! either byte in it cannot be sent.
//!
//! Source: RocketMQ 5.3.3 `common/message/MessageDecoder`, `MessageConst`.

/// Ends a name.
pub const NAME_END: u8 = 1;
/// Ends a value.
pub const VALUE_END: u8 = 2;
/// The longest property string, bytes: its length is a signed 16-bit number.
pub const MAX_LENGTH: usize = i16::MAX as usize;

/// Names of properties that RocketMQ itself reads or writes.
pub mod name {
    /// Keys that queries by key find, separated by one space.
    pub const KEYS: &str = "KEYS";
    /// The tag.
    pub const TAGS: &str = "TAGS";
    /// `false`: the producer does not wait for flush and replicas.
    pub const WAIT_STORE_MSG_OK: &str = "WAIT";
    /// Delay level, 1 to 18.
    pub const DELAY_TIME_LEVEL: &str = "DELAY";
    /// Original topic of a retry message.
    pub const RETRY_TOPIC: &str = "RETRY_TOPIC";
    /// Original topic of a delayed or half message.
    pub const REAL_TOPIC: &str = "REAL_TOPIC";
    /// Original queue id of a delayed or half message.
    pub const REAL_QUEUE_ID: &str = "REAL_QID";
    /// `true`: a half message.
    pub const TRANSACTION_PREPARED: &str = "TRAN_MSG";
    /// The producer group, for transaction checks and replies.
    pub const PRODUCER_GROUP: &str = "PGROUP";
    /// Id of the first attempt of a message that was handed back.
    pub const ORIGIN_MESSAGE_ID: &str = "ORIGIN_MESSAGE_ID";
    /// Retry count of a failed message that is sent as a normal one.
    pub const RECONSUME_TIME: &str = "RECONSUME_TIME";
    /// Limit that goes with [`RECONSUME_TIME`].
    pub const MAX_RECONSUME_TIMES: &str = "MAX_RECONSUME_TIMES";
    /// The broker's region.
    pub const MSG_REGION: &str = "MSG_REGION";
    /// The broker's trace switch.
    pub const TRACE_SWITCH: &str = "TRACE_ON";
    /// The client's message id; the same for every attempt of one send.
    pub const UNIQ_KEY: &str = "UNIQ_KEY";
    /// The cluster's name.
    pub const CLUSTER: &str = "CLUSTER";
    /// Check point of a popped message.
    pub const POP_CK: &str = "POP_CK";
    /// Items of an inner batch.
    pub const INNER_NUM: &str = "INNER_NUM";
    /// Further queues that a message stands in.
    pub const INNER_MULTI_DISPATCH: &str = "INNER_MULTI_DISPATCH";
    /// Its offsets in them.
    pub const INNER_MULTI_QUEUE_OFFSET: &str = "INNER_MULTI_QUEUE_OFFSET";
    /// Queue offset of the first item of an inner batch.
    pub const INNER_BASE: &str = "INNER_BASE";
    /// Topic that a dead letter came from.
    pub const DLQ_ORIGIN_TOPIC: &str = "DLQ_ORIGIN_TOPIC";
    /// Id of the message that became a dead letter.
    pub const DLQ_ORIGIN_MESSAGE_ID: &str = "DLQ_ORIGIN_MESSAGE_ID";
    /// Ordering key.
    pub const SHARDING_KEY: &str = "__SHARDINGKEY";
    /// CRC of the record, appended by the store when asked to.
    pub const CRC32: &str = "__CRC32#";
    /// Relative delay, seconds.
    pub const TIMER_DELAY_SEC: &str = "TIMER_DELAY_SEC";
    /// Relative delay, milliseconds.
    pub const TIMER_DELAY_MS: &str = "TIMER_DELAY_MS";
    /// Delivery time, milliseconds since the Unix epoch.
    pub const TIMER_DELIVER_MS: &str = "TIMER_DELIVER_MS";
    /// When a timed message is due, as its broker counts: milliseconds since the Unix epoch.
    pub const TIMER_OUT_MS: &str = "TIMER_OUT_MS";
    /// When the timer took a message in.
    pub const TIMER_ENQUEUE_MS: &str = "TIMER_ENQUEUE_MS";
    /// When the timer let a message out.
    pub const TIMER_DEQUEUE_MS: &str = "TIMER_DEQUEUE_MS";
    /// How often a message that is due in days went round the timer.
    pub const TIMER_ROLL_TIMES: &str = "TIMER_ROLL_TIMES";
    /// The timed message that this one takes back: its topic, `+`, its [`UNIQ_KEY`].
    pub const TIMER_DEL_UNIQKEY: &str = "TIMER_DEL_UNIQKEY";
    /// How often a half message's producer was asked.
    pub const TRANSACTION_CHECK_TIMES: &str = "TRANSACTION_CHECK_TIMES";
    /// Queue offset of the half message that this one is a copy of.
    pub const TRAN_PREPARED_QUEUE_OFFSET: &str = "TRAN_PREPARED_QUEUE_OFFSET";
    /// Seconds before a half message's producer is asked.
    pub const CHECK_IMMUNITY_TIME_IN_SECONDS: &str = "CHECK_IMMUNITY_TIME_IN_SECONDS";
    /// Transaction id.
    pub const TRANSACTION_ID: &str = "__transactionId__";
}

/// Walks a property string without copying. Pairs without a name or without a value are passed
/// over, as Java does.
pub fn iter(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split(char::from(VALUE_END)).filter_map(|pair| {
        let (name, value) = pair.split_once(char::from(NAME_END))?;
        (!name.is_empty() && !value.is_empty()).then_some((name, value))
    })
}

/// The value of one property; the last one wins where a name stands twice.
pub fn find<'a>(text: &'a str, wanted: &str) -> Option<&'a str> {
    iter(text).filter(|(name, _)| *name == wanted).last().map(|(_, value)| value)
}

/// An owned property string that can be changed.
///
/// It stays in its encoded form: a message has a handful of properties, and most are only passed
/// on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Properties(String);

impl Properties {
    /// No properties.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes an encoded string, with or without its last separator.
    pub fn from_encoded(text: impl Into<String>) -> Self {
        let mut text = text.into();
        if !text.is_empty() && !text.ends_with(char::from(VALUE_END)) {
            text.push(char::from(VALUE_END));
        }
        Self(text)
    }

    /// The encoded string; ends in `0x02` unless empty.
    pub fn as_encoded(&self) -> &str {
        &self.0
    }

    /// The encoded string, taken out.
    pub fn into_encoded(self) -> String {
        self.0
    }

    /// The value of a property.
    pub fn get(&self, name: &str) -> Option<&str> {
        find(&self.0, name)
    }

    /// All properties in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        iter(&self.0)
    }

    /// Sets a property, replacing one of the same name. Neither text may hold `0x01` or `0x02`:
    /// such bytes are dropped, since they would forge other properties. Callers that take text
    /// from users check it first with [`is_valid_text`] and report it.
    pub fn set(&mut self, name: &str, value: &str) {
        self.remove(name);
        self.append(name, value);
    }

    /// Adds a property without looking for one of the same name.
    pub fn append(&mut self, name: &str, value: &str) {
        self.0.reserve(name.len() + value.len() + 2);
        self.push_text(name);
        self.0.push(char::from(NAME_END));
        self.push_text(value);
        self.0.push(char::from(VALUE_END));
    }

    fn push_text(&mut self, text: &str) {
        if is_valid_text(text) {
            self.0.push_str(text);
        } else {
            self.0.extend(text.chars().filter(|c| !is_separator(*c)));
        }
    }

    /// Removes every property of this name.
    pub fn remove(&mut self, name: &str) {
        if find(&self.0, name).is_none() {
            return;
        }
        let mut kept = String::with_capacity(self.0.len());
        for (other, value) in iter(&self.0).filter(|(other, _)| *other != name) {
            kept.push_str(other);
            kept.push(char::from(NAME_END));
            kept.push_str(value);
            kept.push(char::from(VALUE_END));
        }
        self.0 = kept;
    }
}

impl<'a> FromIterator<(&'a str, &'a str)> for Properties {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str)>>(pairs: I) -> Self {
        let mut properties = Self::new();
        for (name, value) in pairs {
            properties.set(name, value);
        }
        properties
    }
}

/// Whether a text can stand in a property string.
pub fn is_valid_text(text: &str) -> bool {
    memchr::memchr2(NAME_END, VALUE_END, text.as_bytes()).is_none()
}

fn is_separator(c: char) -> bool {
    c == char::from(NAME_END) || c == char::from(VALUE_END)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_java_reads() {
        let text = "a\u{2}b\u{1}x\u{2}c\u{1}y=1\u{1}z\u{2}d";
        assert_eq!(iter(text).collect::<Vec<_>>(), [("b", "x"), ("c", "y=1\u{1}z")]);
    }

    #[test]
    fn takes_strings_with_and_without_the_last_separator() {
        for text in ["k\u{1}v", "k\u{1}v\u{2}"] {
            let mut properties = Properties::from_encoded(text);
            properties.set("n", "1");
            assert_eq!(properties.as_encoded(), "k\u{1}v\u{2}n\u{1}1\u{2}");
        }
    }

    #[test]
    fn setting_twice_keeps_one() {
        let mut properties = Properties::new();
        properties.set("k", "1");
        properties.set("other", "x");
        properties.set("k", "2");
        assert_eq!(properties.iter().collect::<Vec<_>>(), [("other", "x"), ("k", "2")]);
        properties.remove("k");
        assert_eq!(properties.get("k"), None);
    }

    #[test]
    fn a_separator_in_a_value_cannot_forge_a_property() {
        let mut properties = Properties::new();
        properties.set("k", "v\u{2}TAGS\u{1}forged");
        assert_eq!(properties.get("TAGS"), None);
        assert!(!is_valid_text("a\u{1}"));
    }
}
