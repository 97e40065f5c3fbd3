//! The client, and the options that Python gives.

use std::collections::HashMap;
use std::time::Duration;

use oxmq::{
    ClientBuilder, ConsumeFrom, Credentials, Error, ProducerBuilder, PushConsumerBuilder, Selector,
};
use pyo3::IntoPyObjectExt;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::consumer::Consumer;
use crate::error;
use crate::producer::Producer;
use crate::queue::Queue;
use crate::runtime::Here;

/// A time that Python gives in seconds.
pub(crate) fn seconds(what: &str, seconds: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(seconds)
        .map_err(|error| PyValueError::new_err(format!("{what}: {error}")))
}

/// Options of a client; `None` is the core's default.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct ClientOptions {
    name_servers: String,
    instance_name: Option<String>,
    address_map: Option<HashMap<String, String>>,
    /// User and secret.
    credentials: Option<(String, String)>,
    connect_timeout: Option<f64>,
}

impl ClientOptions {
    pub(crate) fn builder(self) -> PyResult<ClientBuilder> {
        let mut builder = oxmq::Client::builder(self.name_servers);
        if let Some(name) = self.instance_name {
            builder = builder.instance_name(name);
        }
        if let Some(map) = self.address_map {
            builder = builder.address_map(map);
        }
        if let Some((access_key, secret_key)) = self.credentials {
            builder = builder.credentials(Credentials::new(access_key, secret_key));
        }
        if let Some(timeout) = self.connect_timeout {
            builder = builder.connect_timeout(seconds("connect_timeout", timeout)?);
        }
        Ok(builder)
    }
}

/// Options of a producer; `None` is the core's default.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct ProducerOptions {
    group: String,
    timeout: Option<f64>,
    attempt_timeout: Option<f64>,
    retries: Option<u32>,
    max_message_bytes: Option<usize>,
    compress_above: Option<usize>,
    max_pending: Option<usize>,
}

impl ProducerOptions {
    pub(crate) fn builder(self, client: &oxmq::Client) -> PyResult<ProducerBuilder> {
        let mut builder = client.producer(self.group);
        if let Some(timeout) = self.timeout {
            builder = builder.timeout(seconds("timeout", timeout)?);
        }
        if let Some(timeout) = self.attempt_timeout {
            builder = builder.attempt_timeout(seconds("attempt_timeout", timeout)?);
        }
        if let Some(retries) = self.retries {
            builder = builder.retries(retries);
        }
        if let Some(bytes) = self.max_message_bytes {
            builder = builder.max_message_bytes(bytes);
        }
        if let Some(bytes) = self.compress_above {
            builder = builder.compress_above(bytes);
        }
        if let Some(sends) = self.max_pending {
            builder = builder.max_pending(sends);
        }
        Ok(builder)
    }
}

/// Options of a consumer; `None` is the core's default.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct ConsumerOptions {
    group: String,
    /// Topics and expressions, and whether these are SQL.
    subscriptions: Vec<(String, String, bool)>,
    /// `last`, `first`, or milliseconds since the Unix epoch.
    consume_from: Start,
    max_in_flight: Option<usize>,
    max_in_flight_bytes: Option<usize>,
    max_reconsume_times: Option<u32>,
    commit_interval: Option<f64>,
}

#[derive(FromPyObject)]
enum Start {
    Timestamp(i64),
    Name(String),
}

impl Start {
    fn parse(self) -> PyResult<ConsumeFrom> {
        match self {
            Self::Timestamp(timestamp) => Ok(ConsumeFrom::Timestamp(timestamp)),
            Self::Name(name) if name == "first" => Ok(ConsumeFrom::First),
            Self::Name(name) if name == "last" => Ok(ConsumeFrom::Last),
            Self::Name(name) => Err(PyValueError::new_err(format!(
                "consume_from is \"first\", \"last\" or milliseconds since 1970, not {name:?}"
            ))),
        }
    }
}

impl ConsumerOptions {
    pub(crate) fn builder(self, client: &oxmq::Client) -> PyResult<PushConsumerBuilder> {
        let mut builder = client.push_consumer(self.group).consume_from(self.consume_from.parse()?);
        for (topic, expression, is_sql) in self.subscriptions {
            let of = if is_sql { Selector::sql } else { Selector::tags };
            builder = builder.subscribe(topic, of(expression));
        }
        if let Some(messages) = self.max_in_flight {
            builder = builder.max_in_flight(messages);
        }
        if let Some(bytes) = self.max_in_flight_bytes {
            builder = builder.max_in_flight_bytes(bytes);
        }
        if let Some(times) = self.max_reconsume_times {
            builder = builder.max_reconsume_times(times);
        }
        if let Some(interval) = self.commit_interval {
            builder = builder.commit_interval(seconds("commit_interval", interval)?);
        }
        Ok(builder)
    }
}

/// A client, for an event loop.
#[pyclass(frozen, module = "oxmq._native")]
pub(crate) struct Client(Here<oxmq::Client>);

/// Makes `Client`, `Producer` and so on of what the core made.
pub(crate) fn or_exception<T>(py: Python<'_>, outcome: Result<T, Error>) -> PyResult<T> {
    outcome.map_err(|error| error::exception(py, &error))
}

#[pymethods]
impl Client {
    /// Connects; the future gets the client.
    #[staticmethod]
    fn connect(
        py: Python<'_>,
        queue: &Queue,
        future: Py<PyAny>,
        options: ClientOptions,
    ) -> PyResult<u64> {
        queue.call(py, future, options.builder()?.connect(), |py, client| {
            Self(Here::new(or_exception(py, client)?)).into_py_any(py)
        })
    }

    /// Starts a producer; the future gets it.
    fn producer(
        &self,
        py: Python<'_>,
        queue: &Queue,
        future: Py<PyAny>,
        options: ProducerOptions,
    ) -> PyResult<u64> {
        let start = options.builder(self.0.get()?)?.start();
        queue.call(py, future, start, |py, producer| {
            Producer::new(or_exception(py, producer)?).into_py_any(py)
        })
    }

    /// Starts a consumer whose `wake` is called on the loop when there is something to take; the
    /// future gets it.
    fn consumer(
        &self,
        py: Python<'_>,
        queue: Py<Queue>,
        future: Py<PyAny>,
        options: ConsumerOptions,
        wake: Py<PyAny>,
    ) -> PyResult<u64> {
        let stream = options.builder(self.0.get()?)?.stream();
        let its_queue = queue.clone_ref(py);
        queue.get().call(py, future, stream, move |py, stream| {
            Consumer::new(or_exception(py, stream)?, its_queue, wake).into_py_any(py)
        })
    }

    /// As brokers know this client.
    #[getter]
    fn client_id(&self) -> PyResult<&str> {
        Ok(self.0.get()?.client_id())
    }

    /// Ends all connections.
    fn close(&self) -> PyResult<()> {
        self.0.get()?.close();
        Ok(())
    }
}
