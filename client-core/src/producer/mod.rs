//! Sending.
//!
//! ```text
//! send ── validate ── route ── select (without fault) ── request ── answer ── judge ─┬─► Receipt
//!                       ▲                                                            ├─► Error
//!                       └───────────── wait (retry), same unique key ◄───────────────┘
//! ```

mod fault;
mod recall;
mod receipt;
mod retry;
mod select;
mod send;
mod submit;
pub(crate) mod validate;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::error::Error;
use crate::instance::Instance;
use crate::message::{Message, MessageQueue};
use crate::protocol::header::UnregisterClientRequestHeader;
use fault::Faults;
pub use receipt::{Receipt, StoredStatus};
pub use submit::Full;
use submit::Submits;

/// Sends messages. Cheap to clone; clones are one producer, which leaves its group when the last
/// is dropped.
///
/// A send ends in one of three ways: **stored** ([`Receipt`]), **not stored**, or **unknown** (an
/// [`Error`] whose [`stored`](Error::stored) tells which of the two). Failed attempts are repeated
/// within the total time allowed, with growing pauses, on another broker if there is one. All
/// attempts of one send carry the same message id, so that consumers can recognise a duplicate.
///
/// ```no_run
/// # async fn example(client: oxmq::Client) -> Result<(), oxmq::Error> {
/// use oxmq::Message;
///
/// let producer = client.producer("orders-service").start().await?;
/// let receipt = producer.send(Message::new("orders", "...").tag("paid").key("order-42")).await?;
/// println!("{} is in {} at {}", receipt.message_id, receipt.queue, receipt.queue_offset);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Producer {
    inner: Arc<Inner>,
}

struct Inner {
    instance: Arc<Instance>,
    group: Arc<str>,
    options: Options,
    turn: AtomicUsize,
    faults: Mutex<Faults>,
    /// Whether the fault table has entries: most sends need not look.
    has_faults: AtomicBool,
    submits: Submits,
}

#[derive(Debug, Clone)]
struct Options {
    timeout: Duration,
    attempt_timeout: Duration,
    retries: u32,
    max_message_bytes: usize,
    compress_above: usize,
    max_pending: usize,
}

/// How one message is to be sent.
#[derive(Debug, Clone, Default)]
pub struct SendOptions {
    /// To this queue only. Default: the queues take turns.
    pub queue: Option<MessageQueue>,
    /// To the queue that belongs to this text: messages of equal shards keep their order. A
    /// `queue` goes before it.
    pub shard: Option<String>,
    /// Total time allowed, retries included. Default: the producer's.
    pub timeout: Option<Duration>,
}

/// Options of a [`Producer`].
#[derive(Debug)]
#[must_use = "start() makes the producer"]
pub struct ProducerBuilder {
    instance: Arc<Instance>,
    group: Arc<str>,
    options: Options,
}

impl ProducerBuilder {
    pub(crate) fn new(instance: Arc<Instance>, group: Arc<str>) -> Self {
        let options = Options {
            timeout: Duration::from_secs(10),
            attempt_timeout: Duration::from_secs(3),
            retries: 2,
            max_message_bytes: 4 * 1024 * 1024,
            compress_above: 4_096,
            max_pending: 16_384,
        };
        Self { instance, group, options }
    }

    /// Total time allowed for a send, retries included. Default: 10 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options.timeout = timeout;
        self
    }

    /// Time allowed for one attempt. Shorter than the total, or a silent broker leaves no time to
    /// try another. Default: 3 s.
    pub fn attempt_timeout(mut self, timeout: Duration) -> Self {
        self.options.attempt_timeout = timeout;
        self
    }

    /// How often a failed attempt is repeated. Default: 2.
    pub fn retries(mut self, retries: u32) -> Self {
        self.options.retries = retries;
        self
    }

    /// The longest body, before compression. Brokers have a limit of their own, 4 MiB unless
    /// configured. Default: 4 MiB.
    pub fn max_message_bytes(mut self, bytes: usize) -> Self {
        self.options.max_message_bytes = bytes;
        self
    }

    /// Bodies longer than this are compressed with zlib, which every consumer understands.
    /// `usize::MAX` never does. Default: 4096 bytes.
    pub fn compress_above(mut self, bytes: usize) -> Self {
        self.options.compress_above = bytes;
        self
    }

    /// How many sends given to [`Producer::submit`] may be under way. Default: 16,384.
    pub fn max_pending(mut self, sends: usize) -> Self {
        self.options.max_pending = sends;
        self
    }

    /// Joins the group. Routes are looked up when a topic is first sent to.
    ///
    /// # Errors
    /// `InvalidArgument` for a group name that is none, `Closed` if the client is.
    pub async fn start(self) -> Result<Producer, Error> {
        validate::group("start producer", &self.group)?;
        if self.instance.is_closed() {
            return Err(Error::closed("start producer"));
        }
        self.instance.groups.join_producer(&self.group);
        let inner = Arc::new(Inner {
            turn: AtomicUsize::new(self.instance.random.word() as usize),
            submits: Submits::new(self.options.max_pending),
            instance: self.instance,
            group: self.group,
            options: self.options,
            faults: Mutex::default(),
            has_faults: AtomicBool::new(false),
        });
        submit::start_pump(&inner);
        Ok(Producer { inner })
    }
}

impl Producer {
    /// The producer's group.
    pub fn group(&self) -> &str {
        &self.inner.group
    }

    /// Sends a message.
    ///
    /// # Errors
    /// [`Error::stored`] tells whether the message may have been stored nevertheless.
    ///
    /// # Cancel safety
    /// Dropping the future gives up the outcome: the message may be stored or not.
    pub async fn send(&self, message: Message) -> Result<Receipt, Error> {
        self.inner.send(message, &SendOptions::default(), &|| false).await
    }

    /// Sends a message in a way of its own.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub async fn send_with(
        &self,
        message: Message,
        options: SendOptions,
    ) -> Result<Receipt, Error> {
        self.inner.send(message, &options, &|| false).await
    }

    /// Hands a message to a connection and does not wait for an answer: the fastest way, for
    /// messages that may be lost.
    ///
    /// # Errors
    /// The message could not be handed over. Nothing is known of it afterwards.
    pub async fn send_oneway(&self, message: Message) -> Result<(), Error> {
        self.inner.send_oneway(message).await
    }
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer")
            .field("group", &self.inner.group)
            .field("options", &self.inner.options)
            .finish_non_exhaustive()
    }
}

impl Inner {
    fn note_failure(&self, broker: &Arc<str>) {
        let now = self.instance.clock.monotonic();
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).failed(broker, now);
        self.has_faults.store(true, Ordering::Release);
    }

    fn note_success(&self, broker: &str) {
        if !self.has_faults.load(Ordering::Acquire) {
            return;
        }
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        faults.worked(broker);
        if faults.is_empty() {
            self.has_faults.store(false, Ordering::Release);
        }
    }

    fn is_avoided(&self, broker: &str) -> bool {
        self.has_faults.load(Ordering::Acquire) && {
            let now = self.instance.clock.monotonic();
            self.faults.lock().unwrap_or_else(PoisonError::into_inner).is_avoided(broker, now)
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.submits.fail_waiting();
        if !self.instance.groups.leave_producer(&self.group) || self.instance.is_closed() {
            return;
        }
        let header = UnregisterClientRequestHeader {
            client_id: self.instance.client_id.clone(),
            producer_group: Some(self.group.to_string()),
            consumer_group: None,
        };
        let instance = self.instance.clone();
        let runtime = instance.runtime.clone();
        runtime.spawn(async move { instance.unregister(header).await });
    }
}
