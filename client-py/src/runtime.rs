//! The threads that carry the client's work, and what a fork does to them.
//!
//! There is one tokio runtime for a process, made when it is first needed. A fork copies memory but
//! no threads: what belongs to the parent's runtime would wait for ever in the child, or take a lock
//! that nobody there will ever release. So everything native remembers in which process it was made
//! ([`Here`]): elsewhere its use is an error, and dropping it leaves it alone. The child makes a
//! runtime of its own for what is made there.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use pyo3::exceptions::{PyOSError, PyRuntimeError};
use pyo3::prelude::*;
use tokio::runtime::{Builder, Handle, Runtime};

/// How many forks lie between the first process of this family and this one.
static GENERATION: AtomicU64 = AtomicU64::new(0);

/// Taken with the interpreter's lock only, so that no other thread holds it when one forks.
static RUNTIME: Mutex<Option<(u64, Runtime)>> = Mutex::new(None);

/// Called in the child, after a fork.
#[pyfunction]
pub(crate) fn forked() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
}

fn generation() -> u64 {
    GENERATION.load(Ordering::Relaxed)
}

/// The runtime of this process.
pub(crate) fn handle(_py: Python<'_>) -> PyResult<Handle> {
    let mut held = RUNTIME.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((born, runtime)) = &*held
        && *born == generation()
    {
        return Ok(runtime.handle().clone());
    }
    // The parent's has no threads here: stopping it would wait for them.
    std::mem::forget(held.take());
    let runtime =
        Builder::new_multi_thread().thread_name("oxmq").enable_all().build().map_err(|error| {
            PyOSError::new_err(format!("oxmq cannot start its threads: {error}"))
        })?;
    let handle = runtime.handle().clone();
    *held = Some((generation(), runtime));
    Ok(handle)
}

/// A value of this process.
pub(crate) struct Here<T> {
    born: u64,
    value: Option<T>,
}

impl<T> Here<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { born: generation(), value: Some(value) }
    }

    /// The value.
    ///
    /// # Errors
    /// In a child of the process that it was made in.
    pub(crate) fn get(&self) -> PyResult<&T> {
        match &self.value {
            Some(value) if self.born == generation() => Ok(value),
            _ => Err(PyRuntimeError::new_err(
                "this oxmq object was made before a fork, and its threads stayed in the parent: \
                 connect again in the child",
            )),
        }
    }
}

impl<T> Drop for Here<T> {
    fn drop(&mut self) {
        if self.born != generation() {
            std::mem::forget(self.value.take());
        }
    }
}

/// How often a blocked thread looks whether a signal (Ctrl-C) has come.
pub(crate) const SIGNAL_INTERVAL: Duration = Duration::from_millis(100);

/// Runs a future on the runtime and blocks this thread until it ends, without the interpreter's
/// lock. A signal whose handler raises ends the future.
pub(crate) fn block_on<T: Send + 'static>(
    py: Python<'_>,
    future: impl Future<Output = T> + Send + 'static,
) -> PyResult<T> {
    let (done, outcome) = sync_channel(1);
    // Nobody else wants it; the lock only lets it be lent to a detached thread.
    let outcome = Mutex::new(outcome);
    let wait = || {
        let outcome = outcome.lock().unwrap_or_else(PoisonError::into_inner);
        outcome.recv_timeout(SIGNAL_INTERVAL)
    };
    let task = handle(py)?.spawn(async move {
        let _ = done.send(future.await);
    });
    loop {
        match py.detach(wait) {
            Ok(value) => return Ok(value),
            Err(RecvTimeoutError::Timeout) => py.check_signals().inspect_err(|_| task.abort())?,
            Err(RecvTimeoutError::Disconnected) => {
                return Err(PyRuntimeError::new_err("oxmq: the task panicked; see standard error"));
            }
        }
    }
}
