//! The results that an event loop waits for: one queue for each loop.
//!
//! A call leaves its future here under a number (its tag). Its result comes in through
//! [`Completions`] (sends) or [`Answers`] (everything rarer), the alarm rings once for however many
//! there are, and [`Queue::drain`] sets all futures in one go, on the loop's thread.

use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use oxmq::clock::{SystemClock, sleep};
use oxmq::completions::{Bell, Completion, Completions, Outcome};
use oxmq::{Error, ErrorKind, Message, SendOptions};
use pyo3::exceptions::{PyOSError, PyRuntimeError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::{IntoPyObjectExt, intern};
use tokio::task::AbortHandle;

use crate::backlog::{Backlog, Numbered};
use crate::bell::{Alarm, Condition};
use crate::error;
use crate::message::Receipt;
use crate::runtime::{self, Here};

/// How many results one turn of the loop takes before others get theirs.
const MAX_DRAIN: usize = 1_024;
/// How many calls other than sends may be under way.
const MAX_CALLS: usize = 65_536;
/// How soon a loop looks again for a place when another loop has them all.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Numbers calls. For the whole process, since a producer may serve several loops.
static NEXT_TAG: AtomicU64 = AtomicU64::new(1);

pub(crate) fn next_tag() -> u64 {
    NEXT_TAG.fetch_add(1, Ordering::Relaxed)
}

/// Makes the result of a call, or its exception, with the interpreter's lock.
type Convert = Box<dyn FnOnce(Python<'_>) -> PyResult<Py<PyAny>> + Send>;

/// A result on its way to a future.
enum Arrived {
    Send(Result<Outcome, Error>),
    Call(Convert),
}

impl Arrived {
    fn into_python(self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        match self {
            Self::Send(Ok(Outcome::Receipt(receipt))) => Receipt::from(receipt).into_py_any(py),
            Self::Send(Ok(_)) => Ok(py.None()),
            Self::Send(Err(error)) => Err(error::exception(py, &error)),
            Self::Call(convert) => convert(py),
        }
    }
}

/// Where results of calls other than sends gather, and the numbers of listeners to wake.
pub(crate) struct Answers {
    list: Mutex<AnswerList>,
    alarm: Arc<Alarm>,
}

#[derive(Default)]
struct AnswerList {
    results: Vec<(u64, Convert)>,
    woken: Vec<u64>,
    /// There may be places for messages that wait.
    look_again: bool,
}

impl Answers {
    fn list(&self) -> MutexGuard<'_, AnswerList> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, tag: u64, convert: Convert) {
        self.list().results.push((tag, convert));
        self.alarm.ring();
    }

    fn look_again(&self) {
        self.list().look_again = true;
        self.alarm.ring();
    }

    /// Wakes a listener, see [`Queue::listen`].
    pub(crate) fn wake(&self, listener: u64) {
        self.list().woken.push(listener);
        self.alarm.ring();
    }
}

/// A call that has no result yet.
struct Waiting {
    future: Py<PyAny>,
    work: Work,
}

/// What a cancelled call ends.
enum Work {
    /// A send of the producer with this number.
    Send(u64),
    Call(AbortHandle),
}

/// What belongs to the loop's thread.
#[derive(Default)]
struct Table {
    waiting: HashMap<u64, Waiting>,
    backlog: Backlog,
    /// Calls other than sends among `waiting`.
    calls: usize,
    listeners: HashMap<u64, Py<PyAny>>,
}

impl Table {
    fn remove(&mut self, tag: u64) -> Option<Waiting> {
        let removed = self.waiting.remove(&tag)?;
        if matches!(removed.work, Work::Call(_)) {
            self.calls = self.calls.saturating_sub(1);
        }
        Some(removed)
    }
}

/// The results of one event loop's calls.
#[pyclass(frozen, weakref, module = "oxmq._native")]
pub(crate) struct Queue {
    completions: Here<Arc<Completions>>,
    answers: Arc<Answers>,
    alarm: Arc<Alarm>,
    table: Mutex<Table>,
}

/// Rings an alarm that has other uses, too.
struct Shared(Arc<Alarm>);

impl Bell for Shared {
    fn ring(&self) {
        self.0.ring();
    }
}

impl Queue {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a message; the future gets a receipt. Returns the call's number.
    pub(crate) fn send(
        &self,
        py: Python<'_>,
        producer: &Numbered,
        message: Message,
        options: SendOptions,
        future: Py<PyAny>,
    ) -> PyResult<u64> {
        let completions = self.completions.get()?;
        let tag = next_tag();
        let mut table = self.table();
        if let Err(message) = table.backlog.send(producer, message, options, tag, completions) {
            drop(table);
            const REASON: &str = "256 MiB of messages wait for their turn already; await some \
                                  sends before making more";
            let topic = Some(message.topic());
            return Err(error::local(py, ErrorKind::Busy, "send", topic, REASON));
        }
        table.waiting.insert(tag, Waiting { future, work: Work::Send(producer.number) });
        if table.backlog.is_stuck() {
            drop(table);
            self.look_again_soon(py)?;
        }
        Ok(tag)
    }

    /// Has the backlog tried again although no send of this loop will end.
    fn look_again_soon(&self, py: Python<'_>) -> PyResult<()> {
        let answers = self.answers.clone();
        runtime::handle(py)?.spawn(async move {
            sleep(&SystemClock::new(), LOOK_AGAIN).await;
            answers.look_again();
        });
        Ok(())
    }

    /// Runs work on the client's threads; the future gets what `convert` makes of its outcome.
    /// Returns the call's number.
    pub(crate) fn call<T: Send + 'static>(
        &self,
        py: Python<'_>,
        future: Py<PyAny>,
        work: impl Future<Output = T> + Send + 'static,
        convert: impl FnOnce(Python<'_>, T) -> PyResult<Py<PyAny>> + Send + 'static,
    ) -> PyResult<u64> {
        self.completions.get()?;
        let runtime = runtime::handle(py)?;
        let tag = next_tag();
        let mut table = self.table();
        if table.calls >= MAX_CALLS {
            const REASON: &str = "65,536 calls are under way; await some before making more";
            drop(table);
            return Err(error::local(py, ErrorKind::Busy, "call", None, REASON));
        }
        let answers = self.answers.clone();
        let task = runtime.spawn(async move {
            let outcome = work.await;
            answers.push(tag, Box::new(move |py| convert(py, outcome)));
        });
        table.calls += 1;
        table.waiting.insert(tag, Waiting { future, work: Work::Call(task.abort_handle()) });
        Ok(tag)
    }

    /// Calls `callback` on the loop's thread whenever `Answers::wake` is called with the number
    /// returned, until [`Queue::forget_listener`].
    pub(crate) fn listen(&self, callback: Py<PyAny>) -> (u64, Arc<Answers>) {
        let listener = next_tag();
        self.table().listeners.insert(listener, callback);
        (listener, self.answers.clone())
    }

    pub(crate) fn forget_listener(&self, listener: u64) {
        let callback = self.table().listeners.remove(&listener);
        // Outside the lock: dropping it may run anything.
        drop(callback);
    }

    /// Sends what waits for a place, as far as there are places: so many sends have ended.
    fn advance(&self, py: Python<'_>, ended: usize) -> PyResult<()> {
        let completions = self.completions.get()?;
        let look_again = std::mem::take(&mut self.answers.list().look_again);
        if ended == 0 && !look_again {
            return Ok(());
        }
        let mut table = self.table();
        table.backlog.ended(ended);
        table.backlog.advance(completions);
        if table.backlog.is_stuck() {
            drop(table);
            self.look_again_soon(py)?;
        }
        Ok(())
    }

    /// Pairs results with their futures; those without one were cancelled.
    fn take_results(&self, sends: Vec<Completion>) -> Vec<(Waiting, Arrived)> {
        let calls = std::mem::take(&mut self.answers.list().results);
        let calls = calls.into_iter().map(|(tag, convert)| (tag, Arrived::Call(convert)));
        let sends = sends.into_iter().map(|send| (send.tag, Arrived::Send(send.outcome)));
        let mut table = self.table();
        sends
            .chain(calls)
            .filter_map(|(tag, arrived)| Some((table.remove(tag)?, arrived)))
            .collect()
    }

    fn take_woken(&self, py: Python<'_>) -> Vec<Py<PyAny>> {
        let woken = std::mem::take(&mut self.answers.list().woken);
        let table = self.table();
        woken
            .iter()
            .filter_map(|listener| table.listeners.get(listener))
            .map(|callback| callback.clone_ref(py))
            .collect()
    }
}

/// Sets a future, unless it is done: then it was cancelled.
fn resolve(py: Python<'_>, future: &Bound<'_, PyAny>, arrived: Arrived) -> PyResult<()> {
    if future.call_method0(intern!(py, "done"))?.is_truthy()? {
        return Ok(());
    }
    match arrived.into_python(py) {
        Ok(value) => future.call_method1(intern!(py, "set_result"), (value,))?,
        Err(error) => future.call_method1(intern!(py, "set_exception"), (error,))?,
    };
    Ok(())
}

#[pymethods]
impl Queue {
    /// With a descriptor to watch, or (`descriptor=False`) to be waited for.
    #[new]
    fn new(descriptor: bool) -> PyResult<Self> {
        let alarm = Arc::new(if descriptor { with_descriptor()? } else { condition() });
        let completions = Arc::new(Completions::new(Box::new(Shared(alarm.clone()))));
        let answers = Arc::new(Answers { list: Mutex::default(), alarm: alarm.clone() });
        Ok(Self { completions: Here::new(completions), answers, alarm, table: Mutex::default() })
    }

    /// The descriptor that is readable when there are results.
    fn fileno(&self) -> PyResult<i32> {
        let none = || PyRuntimeError::new_err("this queue has no descriptor");
        self.alarm.fileno().ok_or_else(none)
    }

    /// Waits for results, for so many seconds at most. Returns whether there are some.
    fn wait(&self, py: Python<'_>, seconds: f64) -> PyResult<bool> {
        self.completions.get()?;
        Ok(py.detach(|| self.alarm.wait(Duration::from_secs_f64(seconds.clamp(0.0, 3_600.0)))))
    }

    /// Sets the futures whose results are there. Returns whether there may be more: call again.
    fn drain(&self, py: Python<'_>) -> PyResult<bool> {
        let completions = self.completions.get()?;
        self.alarm.silence();
        let mut sends = Vec::new();
        let more = completions.drain(&mut sends, MAX_DRAIN);
        let ended = sends.len();
        let results = self.take_results(sends);
        for callback in self.take_woken(py) {
            callback.call0(py)?;
        }
        let mut failure = Ok(());
        for (waiting, arrived) in results {
            let resolved = resolve(py, waiting.future.bind(py), arrived);
            failure = failure.and(resolved);
        }
        self.advance(py, ended)?;
        failure.map(|()| more)
    }

    /// The future of a call was cancelled: ends the call's work, or frees its place.
    fn cancel(&self, tag: u64) {
        let mut table = self.table();
        let removed = table.remove(tag);
        let unsent = match removed.as_ref().map(|waiting| &waiting.work) {
            Some(Work::Send(producer)) => table.backlog.cancel(*producer, tag),
            Some(Work::Call(work)) => {
                work.abort();
                None
            }
            None => None,
        };
        drop(table);
        // Outside the lock: dropping a future may run anything.
        drop((removed, unsent));
    }

    /// How many calls have no result yet.
    fn pending(&self) -> usize {
        self.table().waiting.len()
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        let Ok(table) = self.table.try_lock() else { return Ok(()) };
        table.waiting.values().try_for_each(|waiting| visit.call(&waiting.future))?;
        table.listeners.values().try_for_each(|callback| visit.call(callback))
    }

    fn __clear__(&self) {
        let table = std::mem::take(&mut *self.table());
        drop(table);
    }
}

#[cfg(unix)]
fn with_descriptor() -> PyResult<Alarm> {
    use crate::bell::descriptor::Descriptor;
    let failed = |error| PyOSError::new_err(format!("oxmq cannot make a descriptor: {error}"));
    Descriptor::new().map(Alarm::Descriptor).map_err(failed)
}

#[cfg(not(unix))]
fn with_descriptor() -> PyResult<Alarm> {
    Err(PyOSError::new_err("no descriptors on this platform"))
}

fn condition() -> Alarm {
    Alarm::Condition(Condition::default())
}
