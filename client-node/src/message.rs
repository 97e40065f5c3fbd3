//! Messages in both directions: a message to send from its parts, and a frame of deliveries.

use std::io::Write;

use bytes::{BufMut, Bytes};
use napi_derive::napi;
use oxmq::{Delivery, Message, MessageQueue};

use crate::runtime::{millis, offset_number};

/// One queue of a topic.
#[napi(object)]
#[derive(Debug)]
pub struct QueueFields {
    /// The topic.
    pub topic: String,
    /// The broker that holds it.
    pub broker_name: String,
    /// Its number there.
    pub queue_id: i32,
}

impl From<&MessageQueue> for QueueFields {
    fn from(queue: &MessageQueue) -> Self {
        Self {
            topic: queue.topic.to_string(),
            broker_name: queue.broker_name.to_string(),
            queue_id: queue.queue_id,
        }
    }
}

/// What most messages do without.
#[napi(object)]
#[derive(Debug)]
pub struct MessageExtra {
    /// More keys.
    pub keys: Option<Vec<String>>,
    /// Names and values in turn.
    pub properties: Option<Vec<String>>,
    /// Level of delay.
    pub delay_level: Option<u32>,
    /// Delay.
    pub delay_ms: Option<f64>,
    /// Delivery time, ms since the Unix epoch.
    pub deliver_at_ms: Option<f64>,
    /// The application's flag.
    pub flag: Option<i32>,
    /// To this queue only.
    pub queue: Option<QueueFields>,
    /// To the queue of this text.
    pub shard: Option<String>,
    /// Total time allowed.
    pub timeout_ms: Option<f64>,
}

/// Builds a message. What is wrong with it is reported by the send.
pub(crate) fn build(
    topic: String,
    body: &[u8],
    tag: Option<String>,
    key: Option<String>,
    extra: Option<MessageExtra>,
) -> Message {
    let mut message = Message::new(topic, Bytes::copy_from_slice(body));
    if let Some(tag) = tag {
        message = message.tag(tag);
    }
    if let Some(key) = key {
        message = message.key(key);
    }
    let Some(extra) = extra else { return message };
    message = message.keys(extra.keys.unwrap_or_default());
    for pair in extra.properties.unwrap_or_default().chunks_exact(2) {
        if let [name, value] = pair {
            message = message.property(name, value);
        }
    }
    // A level beyond a byte is beyond all levels: the send refuses it as it refuses 255.
    let level = extra.delay_level.unwrap_or_default();
    message = message.delay_level(u8::try_from(level).unwrap_or(u8::MAX));
    if let Some(delay) = extra.delay_ms {
        message = message.delay(millis(delay));
    }
    if let Some(time) = extra.deliver_at_ms {
        message = message.deliver_at(whole_ms(time));
    }
    message.flag(extra.flag.unwrap_or_default())
}

/// A time in whole milliseconds, never an earlier one.
#[expect(clippy::cast_possible_truncation, reason = "what no time reaches becomes the last one")]
fn whole_ms(time: f64) -> i64 {
    time.ceil() as i64
}

/// Writes deliveries one after the other, each a head and its texts. All numbers big-endian.
///
/// | offset | bytes | field |
/// |---|---|---|
/// | 0 | 4 | length of the whole |
/// | 4 | 4 | times handed back |
/// | 8 | 4 | flag |
/// | 12 | 4 | queue id |
/// | 16 | 8 | queue offset, a double |
/// | 24 | 8 | born timestamp, ms since the Unix epoch, a double |
/// | 32 | 8 | store timestamp, the same |
/// | 40 | 4 | handle, upper half |
/// | 44 | 4 | handle, lower half |
/// | 48 | 4 | length of the body |
/// | 52 | 4 | length of the properties |
/// | 56 | 2 | length of the topic |
/// | 58 | 2 | length of the queue's topic |
/// | 60 | 2 | length of the broker's name |
/// | 62 | 1 | length of the offset message id |
/// | 63 | 1 | length of the producer's address |
/// | 64 | … | body, properties, topic, queue's topic, broker's name, id, address |
pub(crate) fn write_frame(deliveries: &[Delivery], frame: &mut Vec<u8>) {
    frame.clear();
    for delivery in deliveries {
        let start = frame.len();
        write_head(delivery, frame);
        write_texts(delivery, frame, start);
        let length = frame.len() - start;
        patch(frame, start, &length_u32(length).to_be_bytes());
    }
}

/// Length of a head.
const HEAD: usize = 64;
/// Where a head has the lengths of the two texts that are made while writing.
const MADE_LENGTHS: usize = 62;

fn write_head(delivery: &Delivery, frame: &mut Vec<u8>) {
    let queue = delivery.queue();
    frame.reserve(HEAD + delivery.body.len());
    frame.put_u32(0);
    frame.put_i32(delivery.reconsume_times);
    frame.put_i32(delivery.flag);
    frame.put_i32(queue.queue_id);
    frame.put_f64(offset_number(delivery.queue_offset));
    frame.put_f64(offset_number(delivery.born_timestamp));
    frame.put_f64(offset_number(delivery.store_timestamp));
    frame.put_u64(delivery.handle().0);
    frame.put_u32(length_u32(delivery.body.len()));
    frame.put_u32(length_u32(delivery.encoded_properties().len()));
    frame.put_u16(short(&delivery.topic).1);
    frame.put_u16(short(&queue.topic).1);
    frame.put_u16(short(&queue.broker_name).1);
    frame.put_u16(0);
}

fn write_texts(delivery: &Delivery, frame: &mut Vec<u8>, start: usize) {
    let queue = delivery.queue();
    frame.extend_from_slice(&delivery.body);
    frame.extend_from_slice(delivery.encoded_properties().as_bytes());
    for text in [&delivery.topic, &queue.topic, &queue.broker_name] {
        frame.extend_from_slice(short(text).0.as_bytes());
    }
    let id_start = frame.len();
    frame.extend_from_slice(delivery.offset_message_id().as_bytes());
    let host_start = frame.len();
    // Writing to memory does not fail.
    let _ = write!(frame, "{}", delivery.born_host);
    let lengths = [host_start - id_start, frame.len() - host_start]
        .map(|length| u8::try_from(length).unwrap_or(0));
    patch(frame, start + MADE_LENGTHS, &lengths);
}

fn patch(frame: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = frame.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

/// A name that fits a 16-bit length; RocketMQ's are all far shorter, and no other is readable.
fn short(name: &str) -> (&str, u16) {
    u16::try_from(name.len()).map_or(("", 0), |length| (name, length))
}

/// Bodies and frames are far below 4 GiB: brokers bound them, and `take` is bounded.
fn length_u32(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
