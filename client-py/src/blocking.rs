//! Sending and receiving from threads that wait.
//!
//! Results do not wait to be picked up here: the bell itself, rung by a client's thread, hands each
//! to the slot that its caller waits at. No interpreter's lock is needed for that.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use oxmq::completions::{Bell, Completions, Outcome};
use oxmq::{ConsumerStream, Error, Full, SendOptions, Taken};
use pyo3::exceptions::PyTimeoutError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::bell::{Alarm, Condition};
use crate::client::{ClientOptions, ConsumerOptions, ProducerOptions, or_exception, seconds};
use crate::consumer::DrainReport;
use crate::delivery::BlockingDelivery;
use crate::message::{Message, MessageQueue, Parts, Receipt};
use crate::producer::send_options;
use crate::queue::next_tag;
use crate::runtime::{Here, SIGNAL_INTERVAL, block_on};

/// How many results the bell hands out at once.
const MAX_DRAIN: usize = 1_024;
/// How many deliveries a consumer takes ahead of its caller, and how many bytes of bodies.
const MAX_TAKE: usize = 256;
const MAX_TAKE_BYTES: usize = 4 * 1024 * 1024;

/// Where one caller waits for one result.
#[derive(Default)]
struct Slot {
    outcome: Mutex<Option<Result<oxmq::Receipt, Error>>>,
    filled: Condvar,
}

impl Slot {
    fn outcome(&self) -> MutexGuard<'_, Option<Result<oxmq::Receipt, Error>>> {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fill(&self, outcome: Result<oxmq::Receipt, Error>) {
        *self.outcome() = Some(outcome);
        self.filled.notify_all();
    }

    /// Waits for so long. Returns whether there is a result.
    fn wait(&self, timeout: Duration) -> bool {
        let outcome = self.outcome();
        let waited = self.filled.wait_timeout_while(outcome, timeout, |outcome| outcome.is_none());
        waited.unwrap_or_else(PoisonError::into_inner).0.is_some()
    }
}

/// The sends of one producer that have no result yet.
struct Hub {
    slots: Mutex<HashMap<u64, Arc<Slot>>>,
    /// Told of every result: a place may be free.
    freed: Condvar,
    completions: Arc<Completions>,
}

struct HandOut(Weak<Hub>);

impl Bell for HandOut {
    fn ring(&self) {
        if let Some(hub) = self.0.upgrade() {
            hub.hand_out();
        }
    }
}

impl Hub {
    fn new() -> Arc<Self> {
        Arc::new_cyclic(|hub| Self {
            slots: Mutex::default(),
            freed: Condvar::new(),
            completions: Arc::new(Completions::new(Box::new(HandOut(hub.clone())))),
        })
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<u64, Arc<Slot>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hand_out(&self) {
        let mut results = Vec::new();
        loop {
            let more = self.completions.drain(&mut results, MAX_DRAIN);
            let mut slots = self.slots();
            for result in results.drain(..) {
                let Some(slot) = slots.remove(&result.tag) else { continue };
                match result.outcome {
                    Ok(Outcome::Receipt(receipt)) => slot.fill(Ok(receipt)),
                    Err(error) => slot.fill(Err(error)),
                    Ok(_) => {}
                }
            }
            drop(slots);
            self.freed.notify_all();
            if !more {
                return;
            }
        }
    }
}

/// A send under way.
#[pyclass(frozen, module = "oxmq.blocking")]
pub(crate) struct Handle {
    slot: Arc<Slot>,
    tag: u64,
    producer: Here<oxmq::Producer>,
}

#[pymethods]
impl Handle {
    /// Whether there is a result.
    fn done(&self) -> bool {
        self.slot.outcome().is_some()
    }

    /// Stops its retries. A request that has left cannot be called back: its result still comes.
    fn cancel(&self) -> PyResult<()> {
        self.producer.get()?.cancel(self.tag);
        Ok(())
    }

    /// Waits for the result, for so many seconds at most.
    #[pyo3(signature = (timeout=None))]
    fn result(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Receipt> {
        self.producer.get()?;
        let mut left = timeout.map(|timeout| seconds("timeout", timeout)).transpose()?;
        loop {
            let turn = left.map_or(SIGNAL_INTERVAL, |left| left.min(SIGNAL_INTERVAL));
            if py.detach(|| self.slot.wait(turn)) {
                break;
            }
            py.check_signals()?;
            if let Some(left) = &mut left {
                *left -= turn;
                if left.is_zero() {
                    return Err(PyTimeoutError::new_err("the send has no result yet"));
                }
            }
        }
        let outcome = self.slot.outcome().clone();
        match outcome {
            Some(outcome) => or_exception(py, outcome).map(Receipt::from),
            None => Err(PyTimeoutError::new_err("the send has no result yet")),
        }
    }
}

/// A client for threads that wait.
#[pyclass(frozen, module = "oxmq._native")]
pub(crate) struct BlockingClient(Here<oxmq::Client>);

#[pymethods]
impl BlockingClient {
    #[staticmethod]
    fn connect(py: Python<'_>, options: ClientOptions) -> PyResult<Self> {
        let client = block_on(py, options.builder()?.connect())?;
        or_exception(py, client).map(|client| Self(Here::new(client)))
    }

    fn producer(&self, py: Python<'_>, options: ProducerOptions) -> PyResult<BlockingProducer> {
        let producer = block_on(py, options.builder(self.0.get()?)?.start())?;
        Ok(BlockingProducer {
            producer: Here::new(or_exception(py, producer)?),
            hub: Here::new(Hub::new()),
        })
    }

    fn consumer(&self, py: Python<'_>, options: ConsumerOptions) -> PyResult<BlockingConsumer> {
        let stream = block_on(py, options.builder(self.0.get()?)?.stream())?;
        Ok(BlockingConsumer::new(or_exception(py, stream)?))
    }

    #[getter]
    fn client_id(&self) -> PyResult<&str> {
        Ok(self.0.get()?.client_id())
    }

    fn close(&self) -> PyResult<()> {
        self.0.get()?.close();
        Ok(())
    }
}

/// A producer for threads that wait, any number of them.
#[pyclass(frozen, module = "oxmq._native")]
pub(crate) struct BlockingProducer {
    producer: Here<oxmq::Producer>,
    hub: Here<Arc<Hub>>,
}

impl BlockingProducer {
    /// Submits a message, once there is a place for it.
    fn submit(
        &self,
        py: Python<'_>,
        mut message: oxmq::Message,
        options: &SendOptions,
    ) -> PyResult<Handle> {
        let (producer, hub) = (self.producer.get()?, self.hub.get()?);
        let (tag, slot) = (next_tag(), Arc::new(Slot::default()));
        hub.slots().insert(tag, slot.clone());
        while let Err(Full(back)) =
            producer.submit_with(message, options.clone(), tag, &hub.completions)
        {
            message = back;
            py.detach(|| {
                let slots = hub.slots();
                // Rung for every result; looking again now and then costs nothing.
                drop(hub.freed.wait_timeout(slots, SIGNAL_INTERVAL));
            });
            py.check_signals().inspect_err(|_| drop(hub.slots().remove(&tag)))?;
        }
        Ok(Handle { slot, tag, producer: Here::new(producer.clone()) })
    }
}

#[pymethods]
impl BlockingProducer {
    #[getter]
    fn group(&self) -> PyResult<&str> {
        Ok(self.producer.get()?.group())
    }

    /// Submits a message; waits only while too many are under way.
    #[expect(clippy::too_many_arguments, reason = "called from Python, with all of them")]
    fn send_nowait(
        &self,
        py: Python<'_>,
        topic: &str,
        body: &Bound<'_, PyAny>,
        tag: Option<&str>,
        key: Option<&str>,
        keys: Option<&Bound<'_, PyAny>>,
        properties: Option<&Bound<'_, PyDict>>,
        delay_level: i64,
        delay: Option<f64>,
        deliver_at: Option<f64>,
        flag: i32,
        shard: Option<String>,
        to_queue: Option<MessageQueue>,
        timeout: Option<f64>,
    ) -> PyResult<Handle> {
        let parts =
            Parts { topic, body, tag, key, keys, properties, delay_level, delay, deliver_at, flag };
        self.submit(py, parts.build()?, &send_options(shard, to_queue, timeout)?)
    }

    /// Submits several; waits only while too many are under way.
    fn send_all_nowait(&self, py: Python<'_>, messages: Vec<Py<Message>>) -> PyResult<Vec<Handle>> {
        let options = SendOptions::default();
        messages.iter().map(|message| self.submit(py, message.get().0.clone(), &options)).collect()
    }

    /// Takes a timed message back; returns its id.
    fn recall(&self, py: Python<'_>, handle: String) -> PyResult<String> {
        let producer = self.producer.get()?.clone();
        let recalled = block_on(py, async move { producer.recall(&handle).await })?;
        or_exception(py, recalled)
    }

    /// Hands a message to a connection.
    fn send_oneway(&self, py: Python<'_>, message: Py<Message>) -> PyResult<()> {
        let (producer, message) = (self.producer.get()?.clone(), message.get().0.clone());
        let sent = block_on(py, async move { producer.send_oneway(message).await })?;
        or_exception(py, sent)
    }
}

/// A consumer for threads that wait.
#[pyclass(frozen, module = "oxmq._native")]
pub(crate) struct BlockingConsumer {
    stream: Here<Arc<ConsumerStream>>,
    alarm: Arc<Alarm>,
    /// Taken, and not yet given out.
    taken: Mutex<VecDeque<oxmq::Delivery>>,
}

struct Ring(Arc<Alarm>);

impl Bell for Ring {
    fn ring(&self) {
        self.0.ring();
    }
}

impl BlockingConsumer {
    fn new(stream: ConsumerStream) -> Self {
        let alarm = Arc::new(Alarm::Condition(Condition::default()));
        stream.on_ready(Arc::new(Ring(alarm.clone())));
        Self { stream: Here::new(Arc::new(stream)), alarm, taken: Mutex::default() }
    }
}

#[pymethods]
impl BlockingConsumer {
    /// Waits for the next delivery, for so many seconds at most; `None` once there will be no more,
    /// or the time is over.
    #[pyo3(signature = (timeout=None))]
    fn next(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Option<Py<BlockingDelivery>>> {
        let mut left = timeout.map(|timeout| seconds("timeout", timeout)).transpose()?;
        loop {
            self.alarm.silence();
            let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
            let mut state = Taken::More;
            if taken.is_empty() {
                let mut batch = Vec::new();
                state = self.stream.get()?.take(MAX_TAKE, MAX_TAKE_BYTES, &mut batch);
                taken.extend(batch);
            }
            let delivery = taken.pop_front();
            drop(taken);
            if let Some(delivery) = delivery {
                return BlockingDelivery::create(py, delivery).map(Some);
            }
            let turn = left.map_or(SIGNAL_INTERVAL, |left| left.min(SIGNAL_INTERVAL));
            if state == Taken::Closed || turn.is_zero() {
                return Ok(None);
            }
            py.detach(|| self.alarm.wait(turn));
            py.check_signals()?;
            left = left.map(|left| left.saturating_sub(turn));
        }
    }

    fn assignment(&self) -> PyResult<Vec<MessageQueue>> {
        Ok(self.stream.get()?.assignment().into_iter().map(MessageQueue).collect())
    }

    fn commit(&self, py: Python<'_>) -> PyResult<()> {
        let stream = self.stream.get()?.clone();
        let committed = block_on(py, async move { stream.commit().await })?;
        or_exception(py, committed)
    }

    fn drain(&self, py: Python<'_>, deadline: f64) -> PyResult<DrainReport> {
        let stream = self.stream.get()?.clone();
        let taken = std::mem::take(&mut *self.taken.lock().unwrap_or_else(PoisonError::into_inner));
        stream.give_back(taken.into());
        let deadline = seconds("deadline", deadline)?;
        block_on(py, async move { stream.drain(deadline).await }).map(DrainReport::from)
    }
}
