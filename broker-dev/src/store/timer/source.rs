//! What the timer knows of the messages it times: the timer topic's queue and its records.

use oxmq::protocol::message::properties;
use oxmq::protocol::message::record::Record;
use oxmq::protocol::message::tags::java_hash;
use oxmq::protocol::names::TIMER_TOPIC;

use crate::store::Store;

/// A message of the timer topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimedMessage<'a> {
    /// Its place in the timer topic's queue.
    pub queue_offset: i64,
    /// Its place in the commit log.
    pub physical_offset: i64,
    /// Its record's length.
    pub size: i32,
    /// The slot in which it is due, ms since the Unix epoch. Property `TIMER_OUT_MS`.
    pub out_ms: i64,
    /// How often it went round already. Property `TIMER_ROLL_TIMES`.
    pub roll_times: i32,
    /// The message that it takes back, if it is no message of its own. Property
    /// `TIMER_DEL_UNIQKEY`.
    pub delete_key: Option<&'a str>,
    /// Where it is to be delivered. Property `REAL_TOPIC`.
    pub real_topic: &'a str,
    /// The producer's id of it. Property `UNIQ_KEY`.
    pub unique_key: &'a str,
}

impl<'a> TimedMessage<'a> {
    /// What a record of the timer topic says; `None` if it does not say when it is due.
    pub fn read(record: &Record<'a>, size: usize) -> Option<Self> {
        let mut message = Self {
            queue_offset: record.queue_offset,
            physical_offset: record.physical_offset,
            size: i32::try_from(size).ok()?,
            out_ms: -1,
            roll_times: 0,
            delete_key: None,
            real_topic: "",
            unique_key: "",
        };
        for (name, value) in properties::iter(record.properties) {
            match name {
                "TIMER_OUT_MS" => message.out_ms = value.parse().ok()?,
                "TIMER_ROLL_TIMES" => message.roll_times = value.parse().unwrap_or(0),
                "TIMER_DEL_UNIQKEY" => message.delete_key = Some(value),
                "REAL_TOPIC" => message.real_topic = value,
                "UNIQ_KEY" => message.unique_key = value,
                _ => {}
            }
        }
        (message.out_ms >= 0 && record.topic == TIMER_TOPIC).then_some(message)
    }

    /// The hash that the timer log keeps of the real topic.
    pub(crate) fn topic_hash(&self) -> i32 {
        java_hash(self.real_topic)
    }
}

/// The timer topic's queue, as recovery reads it.
pub trait TimerSource {
    /// The queue's first offset and its end.
    fn range(&self) -> (i64, i64);
    /// The commit log's first offset.
    fn first_physical(&self) -> i64;
    /// Shows the message at a place of the commit log, if one of the timer topic is there.
    fn at(&self, physical_offset: i64, show: &mut dyn FnMut(&TimedMessage<'_>));
    /// Shows the queue's messages whose place in the commit log is not among these, which are
    /// sorted.
    fn all_but(&self, places: &[i64], show: &mut dyn FnMut(&TimedMessage<'_>));
}

impl TimerSource for Store {
    fn range(&self) -> (i64, i64) {
        (self.min_offset(TIMER_TOPIC, 0), self.max_offset(TIMER_TOPIC, 0))
    }

    fn first_physical(&self) -> i64 {
        self.commit_log_range().0
    }

    fn at(&self, physical_offset: i64, show: &mut dyn FnMut(&TimedMessage<'_>)) {
        let Some(bytes) = self.record_at(physical_offset) else { return };
        if let Ok(Some((record, size))) = Record::decode(&bytes)
            && let Some(message) = TimedMessage::read(&record, size)
        {
            show(&message);
        }
    }

    fn all_but(&self, places: &[i64], show: &mut dyn FnMut(&TimedMessage<'_>)) {
        let Some(queue) = self.shared().table.get(TIMER_TOPIC, 0) else { return };
        let (min, max) = self.range();
        for entry in queue.scan(min).into_iter().flatten().take_while(|entry| entry.offset < max) {
            let unit = entry.unit;
            if unit.is_record() && places.binary_search(&unit.physical_offset).is_err() {
                self.at(unit.physical_offset, show);
            }
        }
    }
}
