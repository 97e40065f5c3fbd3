//! A RocketMQ name server and broker in one process, on Apache's wire and file formats.
//!
//! It starts in milliseconds, on free ports if asked to, inside a test or as the `broker-dev`
//! program. Clients of RocketMQ 4.9 and 5.x connect to it over the remoting protocol.
//!
//! ```
//! # tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(async {
//! use broker_dev::{Broker, Options};
//!
//! let broker = Broker::start(Options::for_tests()).await?;
//! println!("name server at {}", broker.name_server_address());
//! broker.stop().await?;
//! # Ok::<(), broker_dev::StartError>(())
//! # }).unwrap();
//! ```
//!
//! The way of a message, one step a module: [`server`](crate) reads it off a socket, `handler`
//! checks it, [`store`] keeps it and tells `events`, `long_poll` wakes who waits for it, `handler`
//! answers the pull.

mod alarm;
mod auth;
mod broker;
mod calls;
mod clock;
mod config;
mod core;
mod entrance;
mod events;
mod filter;
mod group;
mod handler;
mod listen;
mod liveness;
mod long_poll;
mod meta;
mod name_server;
mod operations;
mod options;
mod properties;
mod registration;
mod reply;
mod schedule;
mod server;
mod settings;
mod statistics;
pub mod store;
mod transaction;

pub use broker::{Broker, StartError};
pub use clock::Time;
pub use config::{BrokerConfig, DeleteHours, Millis};
pub use entrance::ListenerAddresses;
pub use name_server::{NameServer, NameServerConfig, NameServerOptions};
pub use options::{NamedListener, Options};
pub use properties::parse as parse_properties;
pub use schedule::{BadDelayLevels, DelayLevels};
pub use settings::{ConfigError, unknown_key};
pub use store::FlushMode;
