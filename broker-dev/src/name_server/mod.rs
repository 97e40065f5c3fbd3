//! The name server: which brokers there are, and which queues each has.
//!
//! ```text
//! connection ──► session ──┬─► brokers    register, take leave, ask for versions and members
//!                          ├─► routes     where a topic's queues are, lists of topics
//!                          └─► operators  KV configurations, permissions, settings
//!                                  │
//!                              directory ──► route_table, look_up (pure)   kv   notice
//! ```
//!
//! A broker in the same process registers with a call, others over the wire.

mod brokers;
mod config;
mod directory;
mod kv;
mod look_up;
mod notice;
mod operators;
mod reach;
mod route_table;
mod routes;
mod server;
mod session;

pub use config::NameServerConfig;
pub(crate) use directory::{Directory, Place};
pub(crate) use reach::{Here, ListenerId, Reach, host_name};
pub(crate) use route_table::{
    BrokerKey, Gone, MinIdChange, RegisterError, Registered, Registration, RemoveFrom, RouteTable,
};
pub use server::{NameServer, NameServerOptions};
pub(crate) use server::{expire_periodically, serve};
pub(crate) use session::NameServerSession;
