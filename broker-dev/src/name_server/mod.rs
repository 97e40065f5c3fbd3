//! The name server: which brokers there are, and which queues each has.
//!
//! The table is pure; the server around it knows sockets. A broker in the same process registers
//! with a call, others over the wire.

mod route_table;
mod server;

pub(crate) use route_table::{Registration, RouteTable};
pub(crate) use server::{NameServer, NameServerSession};
