//! A RocketMQ client: explicit about what was stored, asynchronous, small.
//!
//! One [`Client`] owns connections, routes and heartbeats; everything else is made from it. A
//! [`Producer`] sends [`Message`]s and answers with a [`Receipt`] or an [`Error`] that says whether
//! the message may have been stored. A [`PushConsumer`] hands each [`Delivery`] to a function, a
//! [`ConsumerStream`] to whoever awaits the next one.
//!
//! ```no_run
//! use oxmq::{Ack, Client, Message};
//!
//! # async fn bill(_: &oxmq::Delivery) -> Result<(), std::io::Error> { Ok(()) }
//! # #[tokio::main] async fn main() -> Result<(), oxmq::Error> {
//! let client = Client::builder("127.0.0.1:9876").connect().await?;
//!
//! let producer = client.producer("orders-service").start().await?;
//! let receipt = producer.send(Message::new("orders", "...").tag("paid").key("order-42")).await?;
//! println!("stored as {}", receipt.message_id);
//!
//! let consumer = client
//!     .push_consumer("billing")
//!     .subscribe("orders", "paid || refunded")
//!     .start(async |delivery| {
//!         bill(&delivery).await?;
//!         Ok(Ack)
//!     })
//!     .await?;
//! # drop(consumer); Ok(()) }
//! ```
//!
//! [`protocol`] turns bytes into values and back: no sockets, no clock, no runtime. With default
//! features off, it is all there is. Everything that waits stands behind the feature `client`.

pub mod protocol;

#[cfg(feature = "clock")]
pub mod clock;

#[cfg(feature = "client")]
mod client;
#[cfg(feature = "client")]
pub mod completions;
#[cfg(feature = "client")]
mod consumer;
#[cfg(feature = "client")]
mod error;
#[cfg(feature = "client")]
mod instance;
#[cfg(feature = "client")]
mod message;
#[cfg(feature = "client")]
mod net;
#[cfg(feature = "client")]
mod producer;
#[cfg(feature = "client")]
mod randomness;

#[cfg(feature = "client")]
pub use client::{Client, ClientBuilder};
#[cfg(feature = "client")]
pub use consumer::{
    Ack, ConsumeFrom, ConsumerStream, Delivery, DeliveryHandle, DrainReport, HandlerError,
    PushConsumer, PushConsumerBuilder, Selector, Taken, Verdict,
};
#[cfg(feature = "client")]
pub use error::{Error, ErrorKind, Stored};
#[cfg(feature = "client")]
pub use message::{Message, MessageQueue};
#[cfg(feature = "client")]
pub use net::transport::{Dialing, TcpTransport, Transport, Wire};
#[cfg(feature = "client")]
pub use producer::{Full, Producer, ProducerBuilder, Receipt, SendOptions, StoredStatus};
#[cfg(feature = "client")]
pub use protocol::signature::Credentials;
