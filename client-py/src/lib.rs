//! The native half of the Python package `oxmq`.
//!
//! ```text
//! Python: send() ──► Producer.submit ──► oxmq's tasks (threads without the interpreter's lock)
//!    ▲                                        │ results gather, the bell rings once
//!    └── futures set ◄── Queue.drain ◄── loop's reader ◄── eventfd
//! ```
//!
//! What a Python programmer sees is written in Python, beside it in `python/oxmq`; here are numbers,
//! bytes and queues. Results and deliveries cross the border in batches. The client's threads never
//! take the interpreter's lock: they put results down and ring a [`bell`]; a thread of Python picks
//! them up.

mod backlog;
mod bell;
mod blocking;
mod client;
mod consumer;
mod delivery;
mod error;
mod logging;
mod message;
mod producer;
mod queue;
mod runtime;
mod testing;

use pyo3::prelude::*;

/// The module `oxmq._native`.
#[pymodule]
mod _native {
    #[pymodule_export]
    use super::blocking::{BlockingClient, BlockingConsumer, BlockingProducer, Handle};
    #[pymodule_export]
    use super::client::Client;
    #[pymodule_export]
    use super::consumer::{Consumer, DrainReport};
    #[pymodule_export]
    use super::delivery::{BlockingDelivery, Delivery, Received};
    #[pymodule_export]
    use super::logging::{drain_log, start_log};
    #[pymodule_export]
    use super::message::{Message, MessageQueue, Receipt};
    #[pymodule_export]
    use super::producer::Producer;
    #[pymodule_export]
    use super::queue::Queue;
    #[pymodule_export]
    use super::runtime::forked;
    #[pymodule_export]
    use super::testing::DevBroker;
}
