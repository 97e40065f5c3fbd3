//! The embedded broker.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::{Mutex, PoisonError};

use broker_dev::{Broker, Options};
use pyo3::IntoPyObjectExt;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;

use crate::client::seconds;
use crate::error;
use crate::queue::Queue;
use crate::runtime::{Here, block_on};

/// How a broker is started.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct DevBrokerOptions {
    name_server_address: Option<String>,
    broker_address: Option<String>,
    store: Option<PathBuf>,
    settings: Vec<(String, String)>,
}

impl DevBrokerOptions {
    fn build(self) -> PyResult<Options> {
        let mut options = Options::for_tests();
        if let Some(address) = self.name_server_address {
            options.name_server_address = address;
        }
        if let Some(address) = self.broker_address {
            options.broker_address = address;
        }
        options.store = self.store;
        for (key, value) in self.settings {
            let set = options.settings.set(&key, &value);
            set.map_err(|error| PyValueError::new_err(error.to_string()))?;
        }
        Ok(options)
    }
}

/// A running broker and its name server. Each verb has two forms: one that blocks, and one for
/// event loops.
#[pyclass(frozen, module = "oxmq._native")]
pub(crate) struct DevBroker {
    broker: Here<Mutex<Option<Arc<Broker>>>>,
    name_server: String,
    broker_address: String,
    store: PathBuf,
}

impl DevBroker {
    fn new(broker: Broker) -> Self {
        Self {
            name_server: broker.name_server_address().to_string(),
            broker_address: broker.broker_address().to_string(),
            store: broker.store_path().to_owned(),
            broker: Here::new(Mutex::new(Some(Arc::new(broker)))),
        }
    }

    fn running(&self) -> PyResult<Arc<Broker>> {
        let broker = self.broker.get()?.lock().unwrap_or_else(PoisonError::into_inner).clone();
        broker.ok_or_else(|| PyRuntimeError::new_err("the broker was stopped"))
    }

    /// The broker, if nobody took it before.
    fn take(&self) -> PyResult<Option<Arc<Broker>>> {
        Ok(self.broker.get()?.lock().unwrap_or_else(PoisonError::into_inner).take())
    }
}

/// Stops a broker.
async fn stop(broker: Option<Arc<Broker>>) -> Result<(), String> {
    match broker.map(Arc::into_inner) {
        None => Ok(()),
        Some(None) => Err("another call uses the broker: it stops when that ends".to_owned()),
        Some(Some(broker)) => broker.stop().await.map_err(|error| error.to_string()),
    }
}

fn started(started: Result<Broker, broker_dev::StartError>) -> PyResult<DevBroker> {
    started.map(DevBroker::new).map_err(|failure| error::broker(&failure))
}

fn stopped(stopped: Result<(), String>) -> PyResult<()> {
    stopped.map_err(|failure| error::broker(&failure))
}

#[pymethods]
impl DevBroker {
    #[staticmethod]
    fn start(py: Python<'_>, options: DevBrokerOptions) -> PyResult<Self> {
        let options = options.build()?;
        started(block_on(py, Broker::start(options))?)
    }

    #[staticmethod]
    fn start_in(
        py: Python<'_>,
        queue: &Queue,
        future: Py<PyAny>,
        options: DevBrokerOptions,
    ) -> PyResult<u64> {
        let start = Broker::start(options.build()?);
        queue.call(py, future, start, |py, broker| started(broker)?.into_py_any(py))
    }

    #[getter]
    fn name_server(&self) -> &str {
        &self.name_server
    }

    #[getter]
    fn broker_address(&self) -> &str {
        &self.broker_address
    }

    #[getter]
    fn store(&self) -> &std::path::Path {
        &self.store
    }

    fn advance(&self, py: Python<'_>, duration: f64) -> PyResult<()> {
        let (broker, duration) = (self.running()?, seconds("advance", duration)?);
        block_on(py, async move { broker.advance(duration).await })
    }

    fn advance_in(
        &self,
        py: Python<'_>,
        queue: &Queue,
        future: Py<PyAny>,
        duration: f64,
    ) -> PyResult<u64> {
        let (broker, duration) = (self.running()?, seconds("advance", duration)?);
        let advance = async move { broker.advance(duration).await };
        queue.call(py, future, advance, |py, ()| Ok(py.None()))
    }

    fn stop(&self, py: Python<'_>) -> PyResult<()> {
        stopped(block_on(py, stop(self.take()?))?)
    }

    fn stop_in(&self, py: Python<'_>, queue: &Queue, future: Py<PyAny>) -> PyResult<u64> {
        let stop = stop(self.take()?);
        queue.call(py, future, stop, |py, outcome| stopped(outcome).map(|()| py.None()))
    }
}
