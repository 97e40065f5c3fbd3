//! Sending from an event loop.

use oxmq::SendOptions;
use pyo3::IntoPyObjectExt as _;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::backlog::Numbered;
use crate::client::{or_exception, seconds};
use crate::message::{MessageQueue, Parts};
use crate::queue::{Queue, next_tag};
use crate::runtime::Here;

/// A producer, for any number of event loops.
#[pyclass(frozen, module = "oxmq._native")]
pub(crate) struct Producer(Here<Numbered>);

impl Producer {
    pub(crate) fn new(producer: oxmq::Producer) -> Self {
        Self(Here::new(Numbered { number: next_tag(), producer }))
    }
}

/// How a message is to be sent, as Python tells it.
pub(crate) fn send_options(
    shard: Option<String>,
    to_queue: Option<MessageQueue>,
    timeout: Option<f64>,
) -> PyResult<SendOptions> {
    Ok(SendOptions {
        queue: to_queue.map(|queue| queue.0),
        shard,
        timeout: timeout.map(|timeout| seconds("timeout", timeout)).transpose()?,
    })
}

#[pymethods]
impl Producer {
    /// The producer's group.
    #[getter]
    fn group(&self) -> PyResult<&str> {
        Ok(self.0.get()?.producer.group())
    }

    /// Sends a message; the future gets a receipt.
    #[expect(clippy::too_many_arguments, reason = "called from Python, with all of them")]
    fn send(
        &self,
        py: Python<'_>,
        queue: &Queue,
        future: Py<PyAny>,
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
    ) -> PyResult<u64> {
        let parts =
            Parts { topic, body, tag, key, keys, properties, delay_level, delay, deliver_at, flag };
        let options = send_options(shard, to_queue, timeout)?;
        queue.send(py, self.0.get()?, parts.build()?, options, future)
    }

    /// Hands a message to a connection; the future gets `None`.
    #[expect(clippy::too_many_arguments, reason = "called from Python, with all of them")]
    fn send_oneway(
        &self,
        py: Python<'_>,
        queue: &Queue,
        future: Py<PyAny>,
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
    ) -> PyResult<u64> {
        let parts =
            Parts { topic, body, tag, key, keys, properties, delay_level, delay, deliver_at, flag };
        let (producer, message) = (self.0.get()?.producer.clone(), parts.build()?);
        let send = async move { producer.send_oneway(message).await };
        queue.call(py, future, send, |py, sent| or_exception(py, sent).map(|()| py.None()))
    }

    /// Takes a timed message back; the future gets its id.
    fn recall(
        &self,
        py: Python<'_>,
        queue: &Queue,
        future: Py<PyAny>,
        handle: String,
    ) -> PyResult<u64> {
        let producer = self.0.get()?.producer.clone();
        let recall = async move { producer.recall(&handle).await };
        queue.call(py, future, recall, |py, recalled| {
            or_exception(py, recalled).and_then(|id| id.into_py_any(py))
        })
    }

    /// The future of a send was cancelled: stops its retries.
    fn cancel(&self, tag: u64) -> PyResult<()> {
        self.0.get()?.producer.cancel(tag);
        Ok(())
    }
}
