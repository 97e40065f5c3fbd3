//! RocketMQ's remoting protocol: bytes to values and back.
//!
//! Nothing here waits, reads a clock, opens a socket or a file, or knows a runtime. The client and
//! the broker both speak through this module, so a byte layout stands in one place only.
//!
//! ```text
//! socket bytes ── frame ──► Frame ── command ──► RemotingCommand ── header ──► SendMessageRequestHeader …
//!                                       │                └──────── body ────► HeartbeatData …
//!                                       └─ header_json | header_binary
//! record bytes (pull bodies, the commit log) ── message::record ──► Record
//! ```
//!
//! Byte order is big-endian everywhere. Source: RocketMQ 5.3.3, modules `remoting` and `common`.

pub mod body;
pub mod code;
pub mod command;
pub mod error;
pub mod ext_fields;
pub mod frame;
pub mod header;
mod header_binary;
mod header_json;
pub mod json;
mod length;
pub mod message;
pub mod names;
pub mod signature;

pub use error::DecodeError;
