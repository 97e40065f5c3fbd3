//! A RocketMQ client.
//!
//! [`protocol`] turns bytes into values and back: no sockets, no clock, no runtime. Everything
//! that waits stands behind the feature `client` (on by default).

pub mod protocol;

#[cfg(feature = "clock")]
pub mod clock;
