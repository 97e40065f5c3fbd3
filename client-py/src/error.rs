//! Errors as Python's exceptions; their classes are written in Python, in `oxmq/_errors.py`.

use oxmq::{Error, ErrorKind, Stored};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

/// Makes an exception of the class of a kind: `_errors.make`.
static MAKE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// The exception that tells all of an error.
pub(crate) fn exception(py: Python<'_>, error: &Error) -> PyErr {
    let details = || {
        let details = PyDict::new(py);
        details.set_item("retryable", error.retryable())?;
        details.set_item("stored", stored_name(error.stored()))?;
        details.set_item("operation", error.operation())?;
        details.set_item("reason", error.reason())?;
        details.set_item("hint", error.hint())?;
        details.set_item("response_code", error.code().map(|code| code.0))?;
        details.set_item("topic", error.topic())?;
        details.set_item("group", error.group())?;
        details.set_item("queue_id", error.queue_id())?;
        details.set_item("broker", error.broker())?;
        details.set_item("address", error.address())?;
        details.set_item("attempts", error.attempts())?;
        make(py, error.kind().name(), &error.to_string(), &details)
    };
    details().unwrap_or_else(|failure| failure)
}

/// An exception about something that happened on this side of the core.
pub(crate) fn local(
    py: Python<'_>,
    kind: ErrorKind,
    operation: &str,
    topic: Option<&str>,
    reason: &str,
) -> PyErr {
    let details = || {
        let details = PyDict::new(py);
        details.set_item("retryable", kind == ErrorKind::Busy)?;
        details.set_item("operation", operation)?;
        details.set_item("reason", reason)?;
        details.set_item("topic", topic)?;
        let subject = topic.map(|topic| format!(" `{topic}`")).unwrap_or_default();
        make(py, kind.name(), &format!("{operation}{subject}: {reason}"), &details)
    };
    details().unwrap_or_else(|failure| failure)
}

fn make(py: Python<'_>, kind: &str, text: &str, details: &Bound<'_, PyDict>) -> PyResult<PyErr> {
    let make =
        MAKE.get_or_try_init(py, || py.import("oxmq._errors")?.getattr("make").map(Bound::unbind))?;
    let exception = make.bind(py).call((kind, text), Some(details))?;
    Ok(PyErr::from_value(exception))
}

const fn stored_name(stored: Stored) -> &'static str {
    match stored {
        Stored::No => "no",
        Stored::Unknown => "unknown",
    }
}

/// An error of the embedded broker.
pub(crate) fn broker(error: &dyn std::fmt::Display) -> PyErr {
    PyRuntimeError::new_err(error.to_string())
}
