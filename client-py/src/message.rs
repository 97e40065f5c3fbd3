//! What is sent, and where it ends up.

use bytes::Bytes;
use oxmq::Message as CoreMessage;
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString};

use crate::client::seconds;

/// The parts of a message, as keyword arguments bring them.
pub(crate) struct Parts<'a, 'py> {
    pub(crate) topic: &'a str,
    pub(crate) body: &'a Bound<'py, PyAny>,
    pub(crate) tag: Option<&'a str>,
    pub(crate) key: Option<&'a str>,
    pub(crate) keys: Option<&'a Bound<'py, PyAny>>,
    pub(crate) properties: Option<&'a Bound<'py, PyDict>>,
    pub(crate) delay_level: i64,
    /// Seconds.
    pub(crate) delay: Option<f64>,
    /// Seconds since the Unix epoch.
    pub(crate) deliver_at: Option<f64>,
    pub(crate) flag: i32,
}

impl Parts<'_, '_> {
    /// The message. Its texts are checked when it is sent.
    pub(crate) fn build(&self) -> PyResult<CoreMessage> {
        let mut message = CoreMessage::new(self.topic, body_of(self.body)?).flag(self.flag);
        if let Some(tag) = self.tag {
            message = message.tag(tag);
        }
        if let Some(key) = self.key {
            message = message.key(key);
        }
        if let Some(keys) = self.keys {
            message = message.keys(texts(keys)?);
        }
        if let Some(properties) = self.properties {
            for (name, value) in properties {
                let name = text("a property's name", &name)?;
                message = message.property(name, text("a property's value", &value)?);
            }
        }
        if self.delay_level != 0 {
            let level = u8::try_from(self.delay_level).ok().filter(|level| *level <= 18);
            let bad = || PyValueError::new_err("delay_level is 0 (at once) to 18");
            message = message.delay_level(level.ok_or_else(bad)?);
        }
        if i32::from(self.delay_level != 0)
            + i32::from(self.delay.is_some())
            + i32::from(self.deliver_at.is_some())
            > 1
        {
            let what = "give one of delay_level, delay and deliver_at";
            return Err(PyValueError::new_err(what));
        }
        if let Some(delay) = self.delay {
            message = message.delay(seconds("delay", delay)?);
        }
        if let Some(time) = self.deliver_at {
            // Never earlier than asked for.
            let since_epoch = seconds("deliver_at", time)?.as_nanos().div_ceil(1_000_000);
            message = message.deliver_at(i64::try_from(since_epoch).unwrap_or(i64::MAX));
        }
        Ok(message)
    }
}

/// Several keys. One text would be taken apart into its letters.
fn texts(keys: &Bound<'_, PyAny>) -> PyResult<Vec<String>> {
    if keys.is_instance_of::<PyString>() {
        return Err(PyTypeError::new_err("keys is a list of str; for a single one there is key"));
    }
    keys.try_iter()?.map(|key| text("a key", &key?)).collect()
}

fn text(what: &str, value: &Bound<'_, PyAny>) -> PyResult<String> {
    value.extract().map_err(|_| {
        let kind = value.get_type();
        PyTypeError::new_err(format!("{what} must be str, not {kind}"))
    })
}

/// A copy of a body: the client's threads cannot keep Python's memory alive.
fn body_of(body: &Bound<'_, PyAny>) -> PyResult<Bytes> {
    if let Ok(bytes) = body.cast::<PyBytes>() {
        return Ok(Bytes::copy_from_slice(bytes.as_bytes()));
    }
    let Ok(buffer) = PyBuffer::<u8>::get(body) else {
        let kind = body.get_type();
        return Err(PyTypeError::new_err(format!(
            "a body must be bytes, bytearray or memoryview, not {kind}: encode text, for instance \
             text.encode()"
        )));
    };
    Ok(buffer.to_vec(body.py())?.into())
}

/// A message to be sent, for calls that take several.
#[pyclass(frozen, module = "oxmq")]
pub(crate) struct Message(pub(crate) CoreMessage);

#[pymethods]
impl Message {
    #[new]
    #[pyo3(signature = (topic, body, *, tag=None, key=None, keys=None, properties=None, delay_level=0, delay=None, deliver_at=None, flag=0))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments, seen from Python")]
    fn new(
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
    ) -> PyResult<Self> {
        let parts =
            Parts { topic, body, tag, key, keys, properties, delay_level, delay, deliver_at, flag };
        parts.build().map(Self)
    }

    #[getter]
    fn topic(&self) -> &str {
        self.0.topic()
    }

    #[getter]
    fn body<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.0.body())
    }

    fn __repr__(&self) -> String {
        format!("Message(topic={:?}, body=<{} bytes>)", self.0.topic(), self.0.body().len())
    }
}

/// One queue of a topic.
#[pyclass(frozen, eq, hash, from_py_object, module = "oxmq")]
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct MessageQueue(pub(crate) oxmq::MessageQueue);

#[pymethods]
impl MessageQueue {
    #[new]
    fn new(topic: &str, broker_name: &str, queue_id: i32) -> Self {
        Self(oxmq::MessageQueue::new(topic, broker_name, queue_id))
    }

    #[getter]
    fn topic(&self) -> &str {
        &self.0.topic
    }

    #[getter]
    fn broker_name(&self) -> &str {
        &self.0.broker_name
    }

    #[getter]
    fn queue_id(&self) -> i32 {
        self.0.queue_id
    }

    fn __repr__(&self) -> String {
        let oxmq::MessageQueue { topic, broker_name, queue_id } = &self.0;
        format!("MessageQueue({topic:?}, {broker_name:?}, {queue_id})")
    }

    fn __str__(&self) -> String {
        self.0.to_string()
    }
}

/// A message was stored, and this is where.
#[pyclass(frozen, module = "oxmq")]
pub(crate) struct Receipt(oxmq::Receipt);

impl From<oxmq::Receipt> for Receipt {
    fn from(receipt: oxmq::Receipt) -> Self {
        Self(receipt)
    }
}

#[pymethods]
impl Receipt {
    #[getter]
    fn message_id(&self) -> &str {
        &self.0.message_id
    }

    #[getter]
    fn offset_message_id(&self) -> &str {
        &self.0.offset_message_id
    }

    #[getter]
    fn queue(&self) -> MessageQueue {
        MessageQueue(self.0.queue.clone())
    }

    #[getter]
    fn queue_offset(&self) -> i64 {
        self.0.queue_offset
    }

    #[getter]
    fn status(&self) -> &'static str {
        self.0.status.name()
    }

    #[getter]
    fn attempts(&self) -> u32 {
        self.0.attempts
    }

    #[getter]
    fn recall_handle(&self) -> Option<&str> {
        self.0.recall_handle.as_deref()
    }

    fn __repr__(&self) -> String {
        let oxmq::Receipt { message_id, queue, queue_offset, status, .. } = &self.0;
        let status = status.name();
        format!("Receipt({message_id}, {queue} at {queue_offset}, {status})")
    }
}
