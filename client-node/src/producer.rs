//! Sends, submitted by tag.

use std::cell::RefCell;
use std::sync::Arc;

use napi::{Error, Result};
use napi_derive::napi;
use oxmq::completions::Outcome;
use oxmq::{MessageQueue, Producer, ProducerBuilder, Receipt, SendOptions};

use crate::message::{MessageExtra, QueueFields, build};
use crate::runtime::{Shared, millis, offset_number, tag};

/// How a producer is set up.
#[napi(object)]
#[derive(Debug)]
pub struct ProducerOptions {
    /// Total time allowed for a send.
    pub timeout_ms: Option<f64>,
    /// Time allowed for one attempt.
    pub attempt_timeout_ms: Option<f64>,
    /// How often a failed attempt is repeated.
    pub retries: Option<u32>,
    /// The longest body.
    pub max_message_bytes: Option<u32>,
    /// Longer bodies are compressed.
    pub compress_above: Option<u32>,
    /// How many sends may be under way.
    pub max_pending: Option<u32>,
}

impl ProducerOptions {
    pub(crate) fn apply(self, mut builder: ProducerBuilder) -> ProducerBuilder {
        if let Some(ms) = self.timeout_ms {
            builder = builder.timeout(millis(ms));
        }
        if let Some(ms) = self.attempt_timeout_ms {
            builder = builder.attempt_timeout(millis(ms));
        }
        if let Some(retries) = self.retries {
            builder = builder.retries(retries);
        }
        if let Some(bytes) = self.max_message_bytes {
            builder = builder.max_message_bytes(bytes as usize);
        }
        if let Some(bytes) = self.compress_above {
            builder = builder.compress_above(bytes as usize);
        }
        if let Some(sends) = self.max_pending {
            builder = builder.max_pending(sends as usize);
        }
        builder
    }
}

/// A receipt in full: what most receipts say in numbers.
#[napi(object, object_from_js = false)]
#[derive(Debug)]
pub struct ReceiptFields {
    /// The producer's id of the message.
    pub message_id: String,
    /// The broker's.
    pub offset_message_id: String,
    /// The queue's broker.
    pub broker_name: String,
    /// The queue's number.
    pub queue_id: i32,
    /// Place in the queue.
    pub queue_offset: f64,
    /// How safely it is stored.
    pub status: &'static str,
    /// How many attempts it took.
    pub attempts: u32,
    /// What a timed message can be taken back with.
    pub recall_handle: Option<String>,
}

impl From<&Receipt> for ReceiptFields {
    fn from(receipt: &Receipt) -> Self {
        Self {
            message_id: receipt.message_id.clone(),
            offset_message_id: receipt.offset_message_id.clone(),
            broker_name: receipt.queue.broker_name.to_string(),
            queue_id: receipt.queue.queue_id,
            queue_offset: offset_number(receipt.queue_offset),
            status: receipt.status.name(),
            attempts: receipt.attempts,
            recall_handle: receipt.recall_handle.clone(),
        }
    }
}

/// A producer, as JavaScript holds it.
#[napi]
pub struct NativeProducer {
    /// `None` once closed.
    producer: RefCell<Option<Producer>>,
    shared: Arc<Shared>,
}

impl NativeProducer {
    pub(crate) fn new(producer: Producer, shared: Arc<Shared>) -> Self {
        Self { producer: RefCell::new(Some(producer)), shared }
    }

    fn open(&self) -> Result<Producer> {
        let producer = self.producer.borrow();
        producer.clone().ok_or_else(|| Error::from_reason("the producer is closed"))
    }
}

#[napi]
impl NativeProducer {
    /// Submits a send. `false`: as many as allowed are under way, and this one is not.
    #[napi]
    pub fn submit(
        &self,
        number: f64,
        topic: String,
        body: &[u8],
        message_tag: Option<String>,
        key: Option<String>,
        extra: Option<MessageExtra>,
    ) -> Result<bool> {
        let options = extra.as_ref().map(send_options).unwrap_or_default();
        let message = build(topic, body, message_tag, key, extra);
        let submitted =
            self.open()?.submit_with(message, options, tag(number), &self.shared.completions);
        Ok(submitted.is_ok())
    }

    /// Hands a message over without waiting for an answer from the broker.
    #[napi]
    pub fn oneway(
        &self,
        number: f64,
        topic: String,
        body: &[u8],
        message_tag: Option<String>,
        key: Option<String>,
        extra: Option<MessageExtra>,
    ) -> Result<()> {
        let message = build(topic, body, message_tag, key, extra);
        let producer = self.open()?;
        self.shared.run(tag(number), async move {
            producer.send_oneway(message).await.map(|()| Outcome::Done)
        })
    }

    /// Takes a timed message back.
    #[napi]
    pub fn recall(&self, number: f64, handle: String) -> Result<()> {
        let producer = self.open()?;
        self.shared
            .run(tag(number), async move { producer.recall(&handle).await.map(|_| Outcome::Done) })
    }

    /// Stops the retries of a send.
    #[napi]
    pub fn cancel(&self, number: f64) {
        if let Some(producer) = &*self.producer.borrow() {
            producer.cancel(tag(number));
        }
    }

    /// Leaves the group.
    #[napi]
    pub fn close(&self) {
        self.producer.borrow_mut().take();
    }
}

fn send_options(extra: &MessageExtra) -> SendOptions {
    SendOptions {
        queue: extra.queue.as_ref().map(|queue| {
            let QueueFields { topic, broker_name, queue_id } = queue;
            MessageQueue::new(topic.as_str(), broker_name.as_str(), *queue_id)
        }),
        shard: extra.shard.clone(),
        timeout: extra.timeout_ms.map(millis),
    }
}
