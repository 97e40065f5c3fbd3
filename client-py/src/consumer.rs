//! Receiving in an event loop.

use std::sync::Arc;

use oxmq::completions::Bell;
use oxmq::{ConsumerStream, Taken};
use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::client::seconds;
use crate::delivery::{Delivery, start};
use crate::message::MessageQueue;
use crate::queue::{Answers, Queue};
use crate::runtime::Here;

/// A consumer whose deliveries are taken in batches.
#[pyclass(frozen, module = "oxmq._native")]
pub(crate) struct Consumer {
    stream: Here<Arc<ConsumerStream>>,
    queue: Py<Queue>,
    listener: u64,
}

/// Wakes the loop's listener.
struct Wake {
    listener: u64,
    answers: Arc<Answers>,
}

impl Bell for Wake {
    fn ring(&self) {
        self.answers.wake(self.listener);
    }
}

impl Consumer {
    pub(crate) fn new(stream: ConsumerStream, queue: Py<Queue>, wake: Py<PyAny>) -> Self {
        let (listener, answers) = queue.get().listen(wake);
        stream.on_ready(Arc::new(Wake { listener, answers }));
        Self { stream: Here::new(Arc::new(stream)), queue, listener }
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.queue.get().forget_listener(self.listener);
    }
}

#[pymethods]
impl Consumer {
    /// Takes what is there, up to so many deliveries and bytes. Returns them, and whether there
    /// will never be more.
    fn take<'py>(
        &self,
        py: Python<'py>,
        max: usize,
        max_bytes: usize,
    ) -> PyResult<(Bound<'py, PyList>, bool)> {
        let mut taken = Vec::new();
        let state = self.stream.get()?.take(max, max_bytes, &mut taken);
        let deliveries = PyList::empty(py);
        for delivery in taken {
            deliveries.append(Delivery::create(py, delivery, self.queue.clone_ref(py))?)?;
        }
        Ok((deliveries, state == Taken::Closed))
    }

    /// Gives deliveries back that were taken and not looked at.
    fn give_back(&self, deliveries: Vec<Bound<'_, Delivery>>) -> PyResult<()> {
        let deliveries =
            deliveries.iter().map(|delivery| delivery.as_super().get().core().cloned());
        self.stream.get()?.give_back(deliveries.collect::<PyResult<_>>()?);
        Ok(())
    }

    /// The queues that this member owns now.
    fn assignment(&self) -> PyResult<Vec<MessageQueue>> {
        Ok(self.stream.get()?.assignment().into_iter().map(MessageQueue).collect())
    }

    /// Tells brokers of all progress; the future returned gets `None`.
    fn commit(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let stream = self.stream.get()?.clone();
        start(py, &self.queue, async move { stream.commit().await })
    }

    /// Ends in good order; the future gets a report.
    fn drain(
        &self,
        py: Python<'_>,
        queue: &Queue,
        future: Py<PyAny>,
        deadline: f64,
    ) -> PyResult<u64> {
        let stream = self.stream.get()?.clone();
        let deadline = seconds("deadline", deadline)?;
        let work = async move { stream.drain(deadline).await };
        queue.call(py, future, work, |py, report| DrainReport::from(report).into_py_any(py))
    }
}

/// What became of a consumer's messages when it ended.
#[pyclass(frozen, module = "oxmq")]
pub(crate) struct DrainReport(oxmq::DrainReport);

impl From<oxmq::DrainReport> for DrainReport {
    fn from(report: oxmq::DrainReport) -> Self {
        Self(report)
    }
}

#[pymethods]
impl DrainReport {
    #[getter]
    fn finished(&self) -> usize {
        self.0.finished
    }

    #[getter]
    fn handed_back(&self) -> usize {
        self.0.handed_back
    }

    #[getter]
    fn abandoned(&self) -> usize {
        self.0.abandoned
    }

    #[getter]
    fn committed(&self) -> Vec<(MessageQueue, i64)> {
        let committed = self.0.committed.iter();
        committed.map(|(queue, offset)| (MessageQueue(queue.clone()), *offset)).collect()
    }

    fn __repr__(&self) -> String {
        let oxmq::DrainReport { finished, handed_back, abandoned, .. } = &self.0;
        format!(
            "DrainReport(finished={finished}, handed_back={handed_back}, abandoned={abandoned})"
        )
    }
}
