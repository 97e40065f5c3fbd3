//! A message received.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use oxmq::Error;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict, PyMappingProxy};
use pyo3::{PyClassInitializer, intern};

use crate::client::{or_exception, seconds};
use crate::message::MessageQueue;
use crate::queue::Queue;
use crate::runtime::{Here, block_on};

/// What was received. Everything is made when it is first asked for.
#[pyclass(frozen, subclass, module = "oxmq")]
pub(crate) struct Received {
    delivery: Here<oxmq::Delivery>,
    body: PyOnceLock<Py<PyBytes>>,
    properties: PyOnceLock<Py<PyMappingProxy>>,
}

impl Received {
    fn new(delivery: oxmq::Delivery) -> Self {
        Self {
            delivery: Here::new(delivery),
            body: PyOnceLock::new(),
            properties: PyOnceLock::new(),
        }
    }

    pub(crate) fn core(&self) -> PyResult<&oxmq::Delivery> {
        self.delivery.get()
    }
}

#[pymethods]
impl Received {
    #[getter]
    fn topic(&self) -> PyResult<&str> {
        Ok(&self.delivery.get()?.topic)
    }

    #[getter]
    fn body(&self, py: Python<'_>) -> PyResult<Py<PyBytes>> {
        let delivery = self.delivery.get()?;
        Ok(self.body.get_or_init(py, || PyBytes::new(py, &delivery.body).unbind()).clone_ref(py))
    }

    #[getter]
    fn tag(&self) -> PyResult<Option<&str>> {
        Ok(self.delivery.get()?.tag())
    }

    #[getter]
    fn keys(&self) -> PyResult<Vec<&str>> {
        Ok(self.delivery.get()?.keys().collect())
    }

    #[getter]
    fn message_id(&self) -> PyResult<std::borrow::Cow<'_, str>> {
        Ok(self.delivery.get()?.message_id())
    }

    #[getter]
    fn offset_message_id(&self) -> PyResult<String> {
        Ok(self.delivery.get()?.offset_message_id())
    }

    #[getter]
    fn properties(&self, py: Python<'_>) -> PyResult<Py<PyMappingProxy>> {
        let delivery = self.delivery.get()?;
        let make = || {
            let properties = PyDict::new(py);
            delivery.properties().try_for_each(|(name, value)| properties.set_item(name, value))?;
            Ok::<_, PyErr>(PyMappingProxy::new(py, properties.as_mapping()).unbind())
        };
        Ok(self.properties.get_or_try_init(py, make)?.clone_ref(py))
    }

    #[getter]
    fn queue(&self) -> PyResult<MessageQueue> {
        Ok(MessageQueue(self.delivery.get()?.queue().clone()))
    }

    #[getter]
    fn queue_offset(&self) -> PyResult<i64> {
        Ok(self.delivery.get()?.queue_offset)
    }

    #[getter]
    fn reconsume_times(&self) -> PyResult<i32> {
        Ok(self.delivery.get()?.reconsume_times)
    }

    #[getter]
    fn flag(&self) -> PyResult<i32> {
        Ok(self.delivery.get()?.flag)
    }

    #[getter]
    fn born_timestamp(&self) -> PyResult<i64> {
        Ok(self.delivery.get()?.born_timestamp)
    }

    #[getter]
    fn store_timestamp(&self) -> PyResult<i64> {
        Ok(self.delivery.get()?.store_timestamp)
    }

    #[getter]
    fn born_host(&self) -> PyResult<String> {
        Ok(self.delivery.get()?.born_host.to_string())
    }

    fn __repr__(&self) -> PyResult<String> {
        let delivery = self.delivery.get()?;
        Ok(format!(
            "Delivery({}, {} at {}, <{} bytes>)",
            delivery.message_id(),
            delivery.queue(),
            delivery.queue_offset,
            delivery.body.len()
        ))
    }
}

/// A delivery of an event loop: its verbs are awaited.
#[pyclass(frozen, extends = Received, module = "oxmq")]
pub(crate) struct Delivery {
    queue: Py<Queue>,
}

impl Delivery {
    pub(crate) fn create(
        py: Python<'_>,
        delivery: oxmq::Delivery,
        queue: Py<Queue>,
    ) -> PyResult<Py<Self>> {
        let base = PyClassInitializer::from(Received::new(delivery));
        Py::new(py, base.add_subclass(Self { queue }))
    }
}

/// Runs work that ends in nothing on the client's threads; returns a future of the running loop.
pub(crate) fn start(
    py: Python<'_>,
    queue: &Py<Queue>,
    work: impl Future<Output = Result<(), Error>> + Send + 'static,
) -> PyResult<Py<PyAny>> {
    static NEW_FUTURE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let new_future = NEW_FUTURE.get_or_try_init(py, || {
        py.import("oxmq._events")?.getattr("new_future").map(Bound::unbind)
    })?;
    let future = new_future.bind(py).call1((queue,))?;
    let done = |py: Python<'_>, done| or_exception(py, done).map(|()| py.None());
    let tag = queue.get().call(py, future.clone().unbind(), work, done)?;
    future.setattr(intern!(py, "tag"), tag)?;
    Ok(future.unbind())
}

/// The outcome of work that takes no time, if it took none.
fn at_once<T>(work: impl Future<Output = T>) -> Option<T> {
    match pin!(work).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => Some(outcome),
        Poll::Pending => None,
    }
}

#[pymethods]
impl Delivery {
    /// It is done.
    fn ack(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        let delivery = slf.as_super().get().core()?;
        match at_once(delivery.ack()) {
            Some(acked) => or_exception(py, acked).and_then(|()| Done::awaitable(py)),
            // Settling it once more changes nothing.
            None => {
                let delivery = delivery.clone();
                start(py, &slf.get().queue, async move { delivery.ack().await })
            }
        }
    }

    /// It could not be done now.
    #[pyo3(signature = (delay=0.0))]
    fn nack(slf: &Bound<'_, Self>, delay: f64) -> PyResult<Py<PyAny>> {
        let delay = seconds("delay", delay)?;
        let delivery = slf.as_super().get().core()?.clone();
        start(slf.py(), &slf.get().queue, async move { delivery.nack(delay).await })
    }

    /// It can never be done.
    #[pyo3(signature = (reason=String::new()))]
    fn reject(slf: &Bound<'_, Self>, reason: String) -> PyResult<Py<PyAny>> {
        let delivery = slf.as_super().get().core()?.clone();
        start(slf.py(), &slf.get().queue, async move { delivery.reject(reason).await })
    }
}

/// Something to await that is done already.
#[pyclass(frozen, module = "oxmq._native")]
pub(crate) struct Done;

impl Done {
    fn awaitable(py: Python<'_>) -> PyResult<Py<PyAny>> {
        static DONE: PyOnceLock<Py<Done>> = PyOnceLock::new();
        Ok(DONE.get_or_try_init(py, || Py::new(py, Self))?.clone_ref(py).into_any())
    }
}

#[pymethods]
impl Done {
    fn __await__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(&self) -> Option<()> {
        None
    }
}

/// A delivery of a thread: its verbs block.
#[pyclass(frozen, extends = Received, module = "oxmq._native")]
pub(crate) struct BlockingDelivery;

impl BlockingDelivery {
    pub(crate) fn create(py: Python<'_>, delivery: oxmq::Delivery) -> PyResult<Py<Self>> {
        let base = PyClassInitializer::from(Received::new(delivery));
        Py::new(py, base.add_subclass(Self))
    }
}

fn finish(
    py: Python<'_>,
    work: impl Future<Output = Result<(), Error>> + Send + 'static,
) -> PyResult<()> {
    let outcome = block_on(py, work)?;
    or_exception(py, outcome)
}

#[pymethods]
impl BlockingDelivery {
    /// It is done.
    fn ack(slf: &Bound<'_, Self>) -> PyResult<()> {
        let delivery = slf.as_super().get().core()?;
        match at_once(delivery.ack()) {
            Some(acked) => or_exception(slf.py(), acked),
            None => {
                let delivery = delivery.clone();
                finish(slf.py(), async move { delivery.ack().await })
            }
        }
    }

    /// It could not be done now.
    #[pyo3(signature = (delay=0.0))]
    fn nack(slf: &Bound<'_, Self>, delay: f64) -> PyResult<()> {
        let delay: Duration = seconds("delay", delay)?;
        let delivery = slf.as_super().get().core()?.clone();
        finish(slf.py(), async move { delivery.nack(delay).await })
    }

    /// It can never be done.
    #[pyo3(signature = (reason=String::new()))]
    fn reject(slf: &Bound<'_, Self>, reason: String) -> PyResult<()> {
        let delivery = slf.as_super().get().core()?.clone();
        finish(slf.py(), async move { delivery.reject(reason).await })
    }
}
