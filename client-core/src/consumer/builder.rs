//! How a consumer is set up.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::Delivery;
use super::core::Core;
use super::process_queue::Limits;
use super::push::{Ack, HandlerError, PushConsumer};
use super::stream::ConsumerStream;
use super::subscription::{Selector, Subscription};
use crate::error::Error;
use crate::instance::Instance;
use crate::producer::validate;
use crate::protocol::body::ConsumeFromWhere;
use crate::protocol::names;

/// Where a group starts in a queue that it has no committed offset of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ConsumeFrom {
    /// At the end: with messages sent after the consumer started. Queues that appear later are
    /// read from their beginning, since the group was there first.
    #[default]
    Last,
    /// At the beginning.
    First,
    /// With the first message stored at or after this time, milliseconds since the Unix epoch.
    Timestamp(i64),
}

impl ConsumeFrom {
    pub(super) fn on_the_wire(self) -> ConsumeFromWhere {
        match self {
            Self::Last => ConsumeFromWhere::ConsumeFromLastOffset,
            Self::First => ConsumeFromWhere::ConsumeFromFirstOffset,
            Self::Timestamp(_) => ConsumeFromWhere::ConsumeFromTimestamp,
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Options {
    pub(super) consume_from: ConsumeFrom,
    pub(super) limits: Limits,
    pub(super) max_reconsume_times: i32,
    pub(super) concurrency: usize,
    pub(super) commit_interval: Duration,
}

/// Options of a consumer.
///
/// All members of a group must subscribe to the same topics with the same tags: brokers keep one
/// subscription for each group.
#[derive(Debug)]
#[must_use = "start() or stream() makes the consumer"]
pub struct PushConsumerBuilder {
    instance: Arc<Instance>,
    group: Arc<str>,
    subscriptions: BTreeMap<Arc<str>, Selector>,
    options: Options,
}

impl PushConsumerBuilder {
    pub(crate) fn new(instance: Arc<Instance>, group: Arc<str>) -> Self {
        let options = Options {
            consume_from: ConsumeFrom::Last,
            limits: Limits { messages: 1_000, bytes: 32 * 1024 * 1024 },
            max_reconsume_times: 16,
            concurrency: 20,
            commit_interval: Duration::from_secs(5),
        };
        Self { instance, group, subscriptions: BTreeMap::new(), options }
    }

    /// Adds a topic; `selector` is `*` for every message, tags joined by `||`, or
    /// [`Selector::sql`]. Subscribing to a topic again replaces its selector.
    pub fn subscribe(mut self, topic: impl Into<Arc<str>>, selector: impl Into<Selector>) -> Self {
        self.subscriptions.insert(topic.into(), selector.into());
        self
    }

    /// Where the group starts in a queue that it has no committed offset of. Default: at the end.
    pub fn consume_from(mut self, from: ConsumeFrom) -> Self {
        self.options.consume_from = from;
        self
    }

    /// How many messages of one queue may be unsettled, waiting ones included. More smooths out
    /// slow handlers and takes more memory. At least 1. Default: 1,000.
    pub fn max_in_flight(mut self, messages: usize) -> Self {
        self.options.limits.messages = messages.max(1);
        self
    }

    /// How many bytes of bodies of one queue may be unsettled; the pull that goes beyond is the
    /// last until some are settled. Default: 32 MiB.
    pub fn max_in_flight_bytes(mut self, bytes: usize) -> Self {
        self.options.limits.bytes = bytes.max(1);
        self
    }

    /// How often a message is delivered again before it goes to the dead-letter topic. Default: 16.
    pub fn max_reconsume_times(mut self, times: u32) -> Self {
        self.options.max_reconsume_times = i32::try_from(times).unwrap_or(i32::MAX);
        self
    }

    /// How many handlers run at once; of [`start`](Self::start) only. At least 1. Default: 20.
    pub fn concurrency(mut self, handlers: usize) -> Self {
        self.options.concurrency = handlers.max(1);
        self
    }

    /// How often progress is told to the brokers: after a crash, what was settled since is
    /// delivered again. Default: 5 s.
    pub fn commit_interval(mut self, interval: Duration) -> Self {
        self.options.commit_interval = interval;
        self
    }

    /// Joins the group and calls `handler` with each delivery, several at once. A delivery whose
    /// handler fails or panics is handed back, to be delivered again later.
    ///
    /// Returns once this member has its first share of the queues, if any is to be had.
    ///
    /// # Errors
    /// `InvalidArgument` for names or expressions that are none, or no subscription at all;
    /// `Rejected` if a broker cannot read a condition or serves none; `Unavailable` or `Timeout` if
    /// no name server answers. A topic that does not exist is no
    /// error: its messages come once it does.
    pub async fn start<H, F>(self, handler: H) -> Result<PushConsumer, Error>
    where
        H: Fn(Delivery) -> F + Send + Sync + 'static,
        F: Future<Output = Result<Ack, HandlerError>> + Send + 'static,
    {
        let concurrency = self.options.concurrency;
        let core = self.join().await?;
        Ok(PushConsumer::start(core, handler, concurrency))
    }

    /// Joins the group; deliveries wait in the stream for whoever asks for the next.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn stream(self) -> Result<ConsumerStream, Error> {
        Ok(ConsumerStream::new(self.join().await?))
    }

    async fn join(self) -> Result<Arc<Core>, Error> {
        const OPERATION: &str = "start consumer";
        validate::group(OPERATION, &self.group)?;
        let of_group = |error: Error| error.of_group(&self.group);
        if self.subscriptions.is_empty() {
            return Err(of_group(Error::invalid(OPERATION, "it subscribes to no topic")));
        }
        let mut subscriptions = Vec::with_capacity(self.subscriptions.len() + 1);
        for (topic, selector) in &self.subscriptions {
            names::check_topic(topic)
                .map_err(|error| of_group(Error::invalid(OPERATION, error.to_string())))?;
            subscriptions.push(Subscription::parse(topic.clone(), selector).map_err(of_group)?);
        }
        subscriptions.push(Subscription::all(names::retry_topic(&self.group)));
        Core::join(self.instance, self.group, subscriptions, self.options).await
    }
}
