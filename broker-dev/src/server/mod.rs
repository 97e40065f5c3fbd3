//! Sockets: accepting them, reading commands off them, writing answers to them.
//!
//! One task owns a socket. It reads what has arrived, hands each command to its [`Session`], and
//! writes the answers of all of them at once. Others reach it only through its [`Handle`].
//!
//! ```text
//! listener ──► connection (one task) ── command ──► Session ── answer ──► Outgoing ──► socket
//!                     ▲
//!                  Handle ◄── a message arrived, the disk has it, members changed, stop
//! ```

mod connection;
mod handle;
mod listener;
mod outgoing;
mod router;

pub(crate) use connection::{Peer, Session};
pub(crate) use handle::{ConnectionId, Connections, Event, Handle};
pub(crate) use listener::Listener;
pub(crate) use outgoing::Outgoing;
pub(crate) use router::BrokerSession;
