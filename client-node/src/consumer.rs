//! Receiving: frames of deliveries go out, verdicts come in.

use std::cell::RefCell;
use std::sync::Arc;

use napi::bindgen_prelude::BufferSlice;
use napi::{Env, Error, Result};
use napi_derive::napi;
use oxmq::completions::Outcome;
use oxmq::{
    ConsumeFrom, ConsumerStream, Delivery, DeliveryHandle, DrainReport, PushConsumerBuilder, Taken,
    Verdict,
};

use crate::message::{QueueFields, write_frame};
use crate::runtime::{Shared, millis, offset_number, tag};

/// A topic, and what is wanted of it.
#[napi(object)]
#[derive(Debug)]
pub struct Subscription {
    /// The topic.
    pub topic: String,
    /// `*`, tags joined by `||`, or a condition in SQL92.
    pub expression: String,
    /// Whether it is a condition.
    pub is_sql: bool,
}

/// How a consumer is set up.
#[napi(object)]
#[derive(Debug)]
pub struct ConsumerOptions {
    /// At the beginning; without it, and without a timestamp, at the end.
    pub from_first: Option<bool>,
    /// From this time, milliseconds since the Unix epoch.
    pub from_timestamp: Option<f64>,
    /// Unsettled messages of one queue.
    pub max_in_flight: Option<u32>,
    /// Unsettled bytes of one queue.
    pub max_in_flight_bytes: Option<u32>,
    /// Deliveries before a message goes to the dead-letter topic.
    pub max_reconsume_times: Option<u32>,
    /// How often progress is told.
    pub commit_interval_ms: Option<f64>,
}

impl ConsumerOptions {
    #[expect(clippy::cast_possible_truncation, reason = "milliseconds are whole and below 2^53")]
    pub(crate) fn apply(self, mut builder: PushConsumerBuilder) -> PushConsumerBuilder {
        if self.from_first == Some(true) {
            builder = builder.consume_from(ConsumeFrom::First);
        }
        if let Some(ms) = self.from_timestamp {
            builder = builder.consume_from(ConsumeFrom::Timestamp(ms as i64));
        }
        if let Some(messages) = self.max_in_flight {
            builder = builder.max_in_flight(messages as usize);
        }
        if let Some(bytes) = self.max_in_flight_bytes {
            builder = builder.max_in_flight_bytes(bytes as usize);
        }
        if let Some(times) = self.max_reconsume_times {
            builder = builder.max_reconsume_times(times);
        }
        if let Some(ms) = self.commit_interval_ms {
            builder = builder.commit_interval(millis(ms));
        }
        builder
    }
}

/// A committed offset.
#[napi(object, object_from_js = false)]
#[derive(Debug)]
pub struct CommittedFields {
    /// Of this queue.
    pub queue: QueueFields,
    /// The group goes on there.
    pub offset: f64,
}

/// What became of a consumer's messages.
#[napi(object, object_from_js = false)]
#[derive(Debug)]
pub struct DrainFields {
    /// Settled while it ended.
    pub finished: u32,
    /// Fetched, and not given to the application.
    pub handed_back: u32,
    /// Not settled in time.
    pub abandoned: u32,
    /// What brokers know now.
    pub committed: Vec<CommittedFields>,
}

impl From<DrainReport> for DrainFields {
    fn from(report: DrainReport) -> Self {
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let committed = report.committed.iter().map(|(queue, offset)| CommittedFields {
            queue: queue.into(),
            offset: offset_number(*offset),
        });
        Self {
            finished: count(report.finished),
            handed_back: count(report.handed_back),
            abandoned: count(report.abandoned),
            committed: committed.collect(),
        }
    }
}

/// A frame's memory is kept for the next one up to this size.
const KEPT_BYTES: usize = 1024 * 1024;

/// Numbers of a verdict: the two halves of the handle, what to do, and the delay in milliseconds.
const VERDICT_STRIDE: usize = 4;

/// A consumer, as JavaScript holds it.
#[napi]
pub struct NativeConsumer {
    /// `None` once closed.
    stream: RefCell<Option<Arc<ConsumerStream>>>,
    shared: Arc<Shared>,
    scratch: RefCell<(Vec<Delivery>, Vec<u8>)>,
}

impl NativeConsumer {
    pub(crate) fn new(stream: ConsumerStream, shared: Arc<Shared>) -> Self {
        stream.on_ready(shared.kick.clone());
        Self { stream: RefCell::new(Some(Arc::new(stream))), shared, scratch: RefCell::default() }
    }

    fn open(&self) -> Result<Arc<ConsumerStream>> {
        let stream = self.stream.borrow();
        stream.clone().ok_or_else(|| Error::from_reason("the consumer is closed"))
    }
}

#[napi]
impl NativeConsumer {
    /// Takes what is there, as one frame. `None`: nothing, wait for the kick. An empty frame: there
    /// will be no more.
    #[napi]
    pub fn take<'env>(
        &self,
        env: &'env Env,
        max: u32,
        max_bytes: u32,
    ) -> Result<Option<BufferSlice<'env>>> {
        let Some(stream) = self.stream.borrow().clone() else {
            return BufferSlice::copy_from(env, []).map(Some);
        };
        let mut scratch = self.scratch.borrow_mut();
        let (deliveries, frame) = &mut *scratch;
        let taken = stream.take(max as usize, max_bytes as usize, deliveries);
        if deliveries.is_empty() && taken != Taken::Closed {
            return Ok(None);
        }
        write_frame(deliveries, frame);
        deliveries.clear();
        let copy = BufferSlice::copy_from(env, &frame)?;
        frame.shrink_to(KEPT_BYTES);
        Ok(Some(copy))
    }

    /// Settles deliveries, four numbers each.
    #[napi]
    pub fn settle(&self, number: f64, verdicts: &[f64]) -> Result<()> {
        let verdicts: Vec<_> =
            verdicts.chunks_exact(VERDICT_STRIDE).filter_map(read_verdict).collect();
        self.open()?.settle(&verdicts, tag(number), &self.shared.completions);
        Ok(())
    }

    /// Writes to the log why a message is rejected.
    #[napi]
    pub fn note_rejection(&self, message_id: String, topic: String, reason: String) {
        tracing::warn!(message_id, topic, reason, "message rejected");
    }

    /// The queues that it owns.
    #[napi]
    pub fn assignment(&self) -> Result<Vec<QueueFields>> {
        Ok(self.open()?.assignment().iter().map(QueueFields::from).collect())
    }

    /// Tells brokers of all progress.
    #[napi]
    pub fn commit(&self, number: f64) -> Result<()> {
        let stream = self.open()?;
        self.shared.run(tag(number), async move { stream.commit().await.map(|()| Outcome::Done) })
    }

    /// Ends it in good order. `untaken`: messages of frames that nobody looked at.
    #[napi]
    pub fn drain(&self, number: f64, deadline_ms: f64, untaken: u32) -> Result<()> {
        let stream = self.open()?;
        let deadline = millis(deadline_ms);
        self.shared.run(tag(number), async move {
            Ok(Outcome::Drained(stream.drain_leaving(deadline, untaken as usize).await))
        })
    }

    /// Lets go of it.
    #[napi]
    pub fn close(&self) {
        self.stream.borrow_mut().take();
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the halves are whole and below 2^32")]
fn read_verdict(numbers: &[f64]) -> Option<(DeliveryHandle, Verdict)> {
    let &[upper, lower, kind, delay_ms] = numbers else { return None };
    let handle = DeliveryHandle((upper as u64) << 32 | lower as u64);
    let verdict = match kind as u32 {
        0 => Verdict::Ack,
        1 => Verdict::Nack(millis(delay_ms)),
        _ => Verdict::Reject,
    };
    Some((handle, verdict))
}
