//! What an application sends, and where it ends up.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::protocol::message::properties::{self, Properties, name};

/// A message to be sent.
///
/// Nothing is checked while it is built; [`Producer::send`](crate::Producer::send) checks it whole
/// and reports the first thing that is wrong.
///
/// ```
/// use oxmq::Message;
///
/// let message = Message::new("orders", "{\"id\":42}").tag("paid").key("order-42");
/// assert_eq!(message.topic(), "orders");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub(crate) topic: Arc<str>,
    pub(crate) body: Bytes,
    pub(crate) properties: Properties,
    pub(crate) flag: i32,
    /// The first text that no property string can hold, for the error of `send`.
    pub(crate) invalid: Option<String>,
}

impl Message {
    /// A message with a body and no properties. A [`Bytes`] body is not copied.
    pub fn new(topic: impl Into<Arc<str>>, body: impl Into<Bytes>) -> Self {
        Self {
            topic: topic.into(),
            body: body.into(),
            properties: Properties::new(),
            flag: 0,
            invalid: None,
        }
    }

    /// Sets the tag that consumers can filter by.
    #[must_use]
    pub fn tag(self, tag: impl AsRef<str>) -> Self {
        self.set(name::TAGS, tag.as_ref())
    }

    /// Adds a key that the message can be looked up by. Keys hold no spaces.
    #[must_use]
    pub fn key(self, key: impl AsRef<str>) -> Self {
        let key = key.as_ref();
        if key.is_empty() || key.contains(' ') {
            return self.refuse(format!("the key `{key}` is empty or holds a space"));
        }
        let keys = match self.properties.get(name::KEYS) {
            Some(keys) => Cow::Owned(format!("{keys} {key}")),
            None => Cow::Borrowed(key),
        };
        self.set(name::KEYS, &keys)
    }

    /// Adds several keys.
    #[must_use]
    pub fn keys<K: AsRef<str>>(self, keys: impl IntoIterator<Item = K>) -> Self {
        keys.into_iter().fold(self, |message, key| message.key(key))
    }

    /// Sets a property of the application's own. RocketMQ's names are refused.
    #[must_use]
    pub fn property(self, name: impl AsRef<str>, value: impl AsRef<str>) -> Self {
        let (name, value) = (name.as_ref(), value.as_ref());
        if is_reserved(name) {
            return self.refuse(format!("the property name `{name}` belongs to RocketMQ"));
        }
        self.set(name, value)
    }

    /// Delivers the message later: level 1 to 18, which are 1 s, 5 s, 10 s, 30 s, 1 to 10 min,
    /// 20 min, 30 min, 1 h and 2 h unless the broker is configured otherwise. 0 is at once.
    #[must_use]
    pub fn delay_level(self, level: u8) -> Self {
        let now = self.now();
        if level == 0 { now } else { now.set(name::DELAY_TIME_LEVEL, &level.to_string()) }
    }

    /// Delivers the message once so much time has passed at its broker: to the second, for up to
    /// three days unless the broker is configured otherwise. Zero is at once. Of this,
    /// [`deliver_at`](Self::deliver_at) and [`delay_level`](Self::delay_level), the last one
    /// counts.
    ///
    /// Brokers of 5.x keep timed messages. **4.9 knows none: it delivers at once.** There, delay
    /// levels work.
    #[must_use]
    pub fn delay(self, delay: Duration) -> Self {
        // Never earlier than asked for.
        let ms = delay.as_nanos().div_ceil(1_000_000);
        match i64::try_from(ms) {
            Ok(0) => self.now(),
            Ok(ms) => self.now().set(name::TIMER_DELAY_MS, &ms.to_string()),
            Err(_) => self.refuse(format!("a delay of {delay:?} is longer than time goes")),
        }
    }

    /// Delivers the message at a time, in milliseconds since the Unix epoch: to the second, up to
    /// three days ahead unless the broker is configured otherwise. A time that is over is at once.
    ///
    /// Brokers of 5.x keep timed messages. **4.9 knows none: it delivers at once.** There, delay
    /// levels work.
    #[must_use]
    pub fn deliver_at(self, time_ms: i64) -> Self {
        self.now().set(name::TIMER_DELIVER_MS, &time_ms.to_string())
    }

    /// Without any delay.
    fn now(mut self) -> Self {
        for delay in [name::DELAY_TIME_LEVEL, name::TIMER_DELAY_MS, name::TIMER_DELIVER_MS] {
            self.properties.remove(delay);
        }
        self
    }

    /// Sets the application's flag, which RocketMQ only carries.
    #[must_use]
    pub fn flag(mut self, flag: i32) -> Self {
        self.flag = flag;
        self
    }

    /// The topic.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The body.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The value of a property.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.properties.get(name)
    }

    fn set(mut self, name: &str, value: &str) -> Self {
        if name.is_empty() || value.is_empty() {
            return self.refuse(format!("the property `{name}` needs a name and a value"));
        }
        if !properties::is_valid_text(name) || !properties::is_valid_text(value) {
            return self
                .refuse(format!("the property `{name}` holds a byte 0x01 or 0x02: {value:?}"));
        }
        self.properties.set(name, value);
        self
    }

    fn refuse(mut self, reason: String) -> Self {
        self.invalid.get_or_insert(reason);
        self
    }
}

/// Names that RocketMQ reads or writes itself, besides those with a method on [`Message`].
const RESERVED: &[&str] = &[
    name::KEYS,
    name::TAGS,
    name::WAIT_STORE_MSG_OK,
    name::DELAY_TIME_LEVEL,
    name::RETRY_TOPIC,
    name::REAL_TOPIC,
    name::REAL_QUEUE_ID,
    name::TRANSACTION_PREPARED,
    name::PRODUCER_GROUP,
    name::ORIGIN_MESSAGE_ID,
    name::RECONSUME_TIME,
    name::MAX_RECONSUME_TIMES,
    name::MSG_REGION,
    name::TRACE_SWITCH,
    name::UNIQ_KEY,
    name::CLUSTER,
    name::POP_CK,
    name::INNER_NUM,
    name::INNER_BASE,
    name::DLQ_ORIGIN_TOPIC,
    name::DLQ_ORIGIN_MESSAGE_ID,
    name::CRC32,
    name::TRANSACTION_ID,
    name::TIMER_DELAY_SEC,
    name::TIMER_DELAY_MS,
    name::TIMER_DELIVER_MS,
    name::TIMER_OUT_MS,
    name::TIMER_DEL_UNIQKEY,
    "MIN_OFFSET",
    "MAX_OFFSET",
    "TRANSACTION_CHECK_TIMES",
    "CORRELATION_ID",
    "REPLY_TO_CLIENT",
    "INSTANCE_ID",
    "MSG_TYPE",
    "POP_CK_OFFSET",
    "1ST_POP_TIME",
];

fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name)
}

/// One queue of a topic: the unit that a consumer group shares out.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageQueue {
    /// The topic.
    pub topic: Arc<str>,
    /// The name of the broker that holds the queue; a master and its replicas share it.
    pub broker_name: Arc<str>,
    /// Number of the queue on that broker, from 0.
    pub queue_id: i32,
}

impl MessageQueue {
    /// A queue.
    pub fn new(
        topic: impl Into<Arc<str>>,
        broker_name: impl Into<Arc<str>>,
        queue_id: i32,
    ) -> Self {
        Self { topic: topic.into(), broker_name: broker_name.into(), queue_id }
    }
}

impl fmt::Display for MessageQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.topic, self.broker_name, self.queue_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_joined_by_one_space() {
        let message = Message::new("t", "b").key("a").keys(["b", "c"]);
        assert_eq!(message.get("KEYS"), Some("a b c"));
    }

    #[test]
    fn the_first_bad_text_is_kept_for_the_error() {
        let message = Message::new("t", "b").tag("a\u{1}b").property("UNIQ_KEY", "1").key("x y");
        assert!(message.invalid.unwrap().contains("0x01"));
        assert!(Message::new("t", "b").property("KEYS", "1").invalid.is_some());
        assert!(Message::new("t", "b").property("mine", "").invalid.is_some());
    }

    #[test]
    fn of_several_delays_the_last_one_counts() {
        let timed = Message::new("t", "b").delay_level(3).delay(Duration::from_micros(1_500));
        assert_eq!((timed.get("DELAY"), timed.get("TIMER_DELAY_MS")), (None, Some("2")));
        let at = timed.deliver_at(1_700_000_000_000);
        assert_eq!(at.get("TIMER_DELAY_MS"), None);
        assert_eq!(at.get("TIMER_DELIVER_MS"), Some("1700000000000"));
        let now = at.delay(Duration::ZERO);
        assert!(
            ["DELAY", "TIMER_DELAY_MS", "TIMER_DELIVER_MS"]
                .map(|name| now.get(name))
                .iter()
                .all(Option::is_none)
        );
        assert!(now.delay(Duration::MAX).invalid.is_some());
    }

    #[test]
    fn delay_level_zero_is_no_delay() {
        let message = Message::new("t", "b").delay_level(3).delay_level(0);
        assert_eq!(message.get("DELAY"), None);
        assert_eq!(message.delay_level(18).get("DELAY"), Some("18"));
    }
}
