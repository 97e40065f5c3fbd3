//! Sending: codes 10, 310, 320, and their response.

use super::header;
use crate::protocol::DecodeError;
use crate::protocol::ext_fields::ExtFields;

/// The fields of a send, borrowed from the request.
///
/// Code 10 writes the names in full, codes 310 and 320 in single letters; see [`SendFields`].
///
/// Source: `SendMessageRequestHeader`, `SendMessageRequestHeaderV2`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SendMessageRequestHeader<'a> {
    /// The producer's group.
    pub producer_group: &'a str,
    /// The topic.
    pub topic: &'a str,
    /// The topic that a new one is made after.
    pub default_topic: &'a str,
    /// How many queues a new topic gets at most.
    pub default_topic_queue_nums: i32,
    /// The queue; negative leaves the choice to the broker.
    pub queue_id: i32,
    /// Bits of [`crate::protocol::message::sys_flag`].
    pub sys_flag: i32,
    /// When the message was made, ms since the Unix epoch.
    pub born_timestamp: i64,
    /// The application's flag.
    pub flag: i32,
    /// The encoded property string.
    pub properties: &'a str,
    /// How often the message was handed back; 0 if missing.
    pub reconsume_times: i32,
    /// RocketMQ's unit mode; false if missing.
    pub unit_mode: bool,
    /// How often it may be handed back; of this send only, for retry topics.
    pub max_reconsume_times: Option<i32>,
    /// Whether the body is a batch.
    pub batch: bool,
}

/// Which names the fields of a send have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendFields {
    /// Code 10: `producerGroup`, `topic` …
    Full,
    /// Codes 310 and 320: `a`, `b` …
    Letters,
}

/// The names in the order of [`SendMessageRequestHeader`]'s fields.
const FULL: [&str; 13] = [
    "producerGroup",
    "topic",
    "defaultTopic",
    "defaultTopicQueueNums",
    "queueId",
    "sysFlag",
    "bornTimestamp",
    "flag",
    "properties",
    "reconsumeTimes",
    "unitMode",
    "maxReconsumeTimes",
    "batch",
];
const LETTERS: [&str; 13] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m"];

impl SendFields {
    const fn names(self) -> [&'static str; 13] {
        match self {
            Self::Full => FULL,
            Self::Letters => LETTERS,
        }
    }
}

impl<'a> SendMessageRequestHeader<'a> {
    /// Reads the fields.
    ///
    /// # Errors
    /// A field is missing or bad; the error names it.
    pub fn read(fields: &'a ExtFields, names: SendFields) -> Result<Self, DecodeError> {
        let [group, topic, default, nums, queue, sys, born, flag, props, times, unit, max, batch] =
            names.names();
        Ok(Self {
            producer_group: fields.required(group)?,
            topic: fields.required(topic)?,
            default_topic: fields.optional(default)?.unwrap_or_default(),
            default_topic_queue_nums: fields.optional(nums)?.unwrap_or_default(),
            queue_id: fields.required(queue)?,
            sys_flag: fields.required(sys)?,
            born_timestamp: fields.required(born)?,
            flag: fields.required(flag)?,
            properties: fields.optional(props)?.unwrap_or_default(),
            reconsume_times: fields.optional(times)?.unwrap_or_default(),
            unit_mode: fields.optional(unit)?.unwrap_or_default(),
            max_reconsume_times: fields.optional(max)?,
            batch: fields.optional(batch)?.unwrap_or_default(),
        })
    }

    /// Adds the fields.
    pub fn write(&self, fields: &mut ExtFields, names: SendFields) {
        let [group, topic, default, nums, queue, sys, born, flag, props, times, unit, max, batch] =
            names.names();
        let text = |value: bool| if value { "true" } else { "false" };
        fields.push(group, self.producer_group);
        fields.push(topic, self.topic);
        fields.push(default, self.default_topic);
        fields.push_number(nums, self.default_topic_queue_nums);
        fields.push_number(queue, self.queue_id);
        fields.push_number(sys, self.sys_flag);
        fields.push_number(born, self.born_timestamp);
        fields.push_number(flag, self.flag);
        fields.push(props, self.properties);
        fields.push_number(times, self.reconsume_times);
        fields.push(unit, text(self.unit_mode));
        if let Some(times) = self.max_reconsume_times {
            fields.push_number(max, times);
        }
        fields.push(batch, text(self.batch));
    }
}

header! {
    /// Where a message was stored.
    ///
    /// Brokers add `MSG_REGION` and `TRACE_ON`. A Java producer fails if a send's response has no
    /// fields at all.
    SendMessageResponseHeader {
        /// The offset message id; several, joined by commas, for a batch.
        msg_id: String = "msgId",
        /// The queue.
        queue_id: i32 = "queueId",
        /// The place in the queue; the first of a batch.
        queue_offset: i64 = "queueOffset",
        /// The `UNIQ_KEY`, from 5.0 on.
        transaction_id: Option<String> = "transactionId",
        /// The batch's own id, for inner batches.
        batch_uniq_id: Option<String> = "batchUniqId",
        /// What a timed message can be taken back with, from 5.3.1 on; see
        /// [`crate::protocol::message::recall`].
        recall_handle: Option<String> = "recallHandle",
    }
}

header! {
    /// Takes a timed message back: code 370.
    RecallMessageRequestHeader {
        /// The producer's group.
        producer_group: Option<String> = "producerGroup",
        /// The message's topic.
        topic: String = "topic",
        /// The handle from the answer to its send.
        recall_handle: String = "recallHandle",
    }
}

header! {
    /// A timed message will not be delivered.
    RecallMessageResponseHeader {
        /// The `UNIQ_KEY` of the message.
        msg_id: String = "msgId",
    }
}

header! {
    /// Hands a message back, to be delivered again later: code 36.
    ConsumerSendMsgBackRequestHeader {
        /// Commit-log offset of the message.
        offset: i64 = "offset",
        /// The consumer group.
        group: String = "group",
        /// Delay level; 0 leaves it to the broker (3 + how often it was handed back), negative
        /// means the dead-letter topic.
        delay_level: i32 = "delayLevel",
        /// The offset message id of the message.
        origin_msg_id: Option<String> = "originMsgId",
        /// Its topic.
        origin_topic: Option<String> = "originTopic",
        /// RocketMQ's unit mode.
        unit_mode: Option<bool> = "unitMode",
        /// How often it may be handed back before it becomes a dead letter.
        max_reconsume_times: Option<i32> = "maxReconsumeTimes",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_send_comes_back_under_both_kinds_of_names() {
        let header = SendMessageRequestHeader {
            producer_group: "g",
            topic: "t",
            default_topic: "TBW102",
            default_topic_queue_nums: 4,
            queue_id: -1,
            sys_flag: 1,
            born_timestamp: 1_700_000_000_000,
            flag: 7,
            properties: "k\u{1}v\u{2}",
            reconsume_times: 2,
            unit_mode: false,
            max_reconsume_times: Some(16),
            batch: true,
        };
        for names in [SendFields::Full, SendFields::Letters] {
            let mut fields = ExtFields::new();
            header.write(&mut fields, names);
            assert_eq!(SendMessageRequestHeader::read(&fields, names), Ok(header));
        }
    }
}
