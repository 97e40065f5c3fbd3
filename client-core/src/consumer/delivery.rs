//! A message on its way to the application.

use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::assigned::Assigned;
use super::{delay_level, send_back};
use crate::error::Error;
use crate::message::MessageQueue;
use crate::protocol::message::properties::{self, name};
use crate::protocol::message::{id, record::Record};

/// A message received, to be settled with [`ack`](Self::ack), [`nack`](Self::nack) or
/// [`reject`](Self::reject), in any order.
///
/// One that is never settled stays in flight: it holds the group's committed offset back, and is
/// delivered again once the consumer has ended. So is one that was settled after its queue went to
/// another member.
#[derive(Clone)]
pub struct Delivery {
    assigned: Arc<Assigned>,
    /// The topic that it was sent to, also when it comes back after a `nack`.
    pub topic: Arc<str>,
    /// The body, decompressed.
    pub body: Bytes,
    /// Checked to be UTF-8 by the record's decoder.
    properties: Bytes,
    /// Its place in its queue, counted in messages from 0.
    pub queue_offset: i64,
    physical_offset: i64,
    store_host: SocketAddr,
    /// How often it was handed back before; 0 the first time.
    pub reconsume_times: i32,
    /// The application's flag.
    pub flag: i32,
    /// When it was sent, by the producer's clock; milliseconds since the Unix epoch.
    pub born_timestamp: i64,
    /// When it was stored, by the broker's clock; milliseconds since the Unix epoch.
    pub store_timestamp: i64,
    /// The producer's address.
    pub born_host: SocketAddr,
}

/// Names a delivery of a consumer, for [`ConsumerStream::settle`](crate::ConsumerStream::settle).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeliveryHandle(pub u64);

/// Bits of a handle that hold the queue offset; the slot of the queue is above.
const OFFSET_BITS: u32 = 48;

impl DeliveryHandle {
    fn new(slot: u16, offset: i64) -> Self {
        Self(u64::from(slot) << OFFSET_BITS | offset.unsigned_abs() & ((1 << OFFSET_BITS) - 1))
    }

    /// The slot of the queue, and the offset in it.
    pub(super) fn parts(self) -> (u16, i64) {
        let slot = u16::try_from(self.0 >> OFFSET_BITS).unwrap_or_default();
        (slot, i64::try_from(self.0 & ((1 << OFFSET_BITS) - 1)).unwrap_or_default())
    }
}

impl Delivery {
    /// `body` is the record's, decompressed; `properties` the record's.
    pub(super) fn new(
        assigned: Arc<Assigned>,
        record: &Record<'_>,
        body: Bytes,
        properties: Bytes,
    ) -> Self {
        let sent_to = if assigned.shared.is_retry_topic(&assigned.queue.topic) {
            record.property(name::RETRY_TOPIC).map(Arc::from)
        } else {
            None
        };
        Self {
            topic: sent_to.unwrap_or_else(|| assigned.queue.topic.clone()),
            body,
            properties,
            queue_offset: record.queue_offset,
            physical_offset: record.physical_offset,
            store_host: record.store_host,
            reconsume_times: record.reconsume_times,
            flag: record.flag,
            born_timestamp: record.born_timestamp,
            store_timestamp: record.store_timestamp,
            born_host: record.born_host,
            assigned,
        }
    }

    /// The queue that it was read from; for one that was handed back, a queue of the group's retry
    /// topic.
    pub fn queue(&self) -> &MessageQueue {
        &self.assigned.queue
    }

    /// The tag.
    pub fn tag(&self) -> Option<&str> {
        self.property(name::TAGS)
    }

    /// The keys.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.property(name::KEYS).unwrap_or_default().split(' ').filter(|key| !key.is_empty())
    }

    /// The id that the producer gave it, the same for every copy; or, if it gave none,
    /// [`offset_message_id`](Self::offset_message_id).
    pub fn message_id(&self) -> Cow<'_, str> {
        match self.property(name::UNIQ_KEY) {
            Some(key) => Cow::Borrowed(key),
            None => Cow::Owned(self.offset_message_id()),
        }
    }

    /// Where the broker keeps this copy of it.
    pub fn offset_message_id(&self) -> String {
        id::offset_message_id(self.store_host, self.physical_offset)
    }

    /// The value of a property, RocketMQ's own included.
    pub fn property(&self, name: &str) -> Option<&str> {
        properties::find(self.encoded_properties(), name)
    }

    /// All properties, RocketMQ's own included.
    pub fn properties(&self) -> impl Iterator<Item = (&str, &str)> {
        properties::iter(self.encoded_properties())
    }

    /// The properties as they came: name, `0x01`, value, `0x02`, and so on.
    pub fn encoded_properties(&self) -> &str {
        std::str::from_utf8(&self.properties).unwrap_or_default()
    }

    /// Names this delivery for [`ConsumerStream::settle`](crate::ConsumerStream::settle).
    pub fn handle(&self) -> DeliveryHandle {
        DeliveryHandle::new(self.assigned.slot, self.queue_offset)
    }

    /// It is done. Takes effect at once; brokers are told of progress every few seconds.
    ///
    /// # Errors
    /// None so far. Settling a second time changes nothing.
    pub async fn ack(&self) -> Result<(), Error> {
        self.assigned.settle(self.queue_offset);
        Ok(())
    }

    /// It could not be done now: the broker delivers it again after at least `delay`, rounded up
    /// to one of its delay levels (1 s, 5 s, 10 s, 30 s, 1 to 10 min, 20 min, 30 min, 1 h, 2 h).
    /// With no delay at all the broker chooses, longer from time to time. After
    /// [`max_reconsume_times`](crate::PushConsumerBuilder::max_reconsume_times) it goes to the
    /// dead-letter topic instead.
    ///
    /// # Errors
    /// The broker could not be told: the message is still in flight, try again.
    pub async fn nack(&self, delay: Duration) -> Result<(), Error> {
        send_back::hand_back(&self.assigned, self.queue_offset, delay_level::for_delay(delay)).await
    }

    /// It can never be done: it goes to the group's dead-letter topic, and `reason` to the log.
    ///
    /// # Errors
    /// The broker could not be told: the message is still in flight, try again.
    pub async fn reject(&self, reason: impl fmt::Display + Send) -> Result<(), Error> {
        tracing::warn!(
            message_id = %self.message_id(), topic = %self.topic, %reason, "message rejected"
        );
        send_back::hand_back(&self.assigned, self.queue_offset, delay_level::DEAD_LETTER).await
    }

    pub(super) fn is_revoked(&self) -> bool {
        self.assigned.revoked.is_cancelled()
    }

    pub(super) fn assigned(&self) -> &Arc<Assigned> {
        &self.assigned
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("topic", &self.topic)
            .field("message_id", &self.message_id())
            .field("queue", &self.queue().to_string())
            .field("queue_offset", &self.queue_offset)
            .field("reconsume_times", &self.reconsume_times)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_gives_slot_and_offset_back() {
        for (slot, offset) in [(0, 0), (1, 7), (u16::MAX, (1 << 48) - 1)] {
            assert_eq!(DeliveryHandle::new(slot, offset).parts(), (slot, offset));
        }
    }
}
