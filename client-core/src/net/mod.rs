//! Sockets. The only part of the client that reads and writes bytes.
//!
//! ```text
//! callers ── bounded queue ──► one task per socket ──► Transport ──► broker or name server
//!    ▲                          │ opaque → waiter
//!    └──────── answer ──────────┘ requests of the broker ──► inbound
//! ```

pub(crate) mod connection;
pub(crate) mod connections;
pub(crate) mod inbound;
mod out_buffer;
pub(crate) mod transport;
mod waiters;

use std::sync::Arc;

use crate::error::{Error, ErrorKind, Stored};
use crate::protocol::DecodeError;

/// Why a request has no answer.
#[derive(Debug, Clone)]
pub(crate) enum CallError {
    /// It never left: the other side knows nothing of it.
    NotSent(String),
    /// Its time was over before it left.
    TooLate,
    /// It left, and then the connection broke.
    Lost(String),
    /// It left, and no answer came in time.
    TimedOut,
    /// It does not fit into a frame.
    Unsendable(DecodeError),
}

impl CallError {
    /// Whether the other side may have acted on the request.
    pub(crate) fn stored(&self) -> Stored {
        match self {
            Self::Lost(_) | Self::TimedOut => Stored::Unknown,
            Self::NotSent(_) | Self::TooLate | Self::Unsendable(_) => Stored::No,
        }
    }

    /// The error of a public operation that made the call.
    pub(crate) fn into_error(self, operation: &'static str, address: &Arc<str>) -> Error {
        let error = match self {
            Self::NotSent(reason) => Error::new(ErrorKind::Unavailable, operation, reason)
                .hinting("check that the address can be reached; `address_map` translates it"),
            Self::Lost(reason) => Error::new(ErrorKind::Unavailable, operation, reason),
            Self::TooLate => {
                Error::new(ErrorKind::Timeout, operation, "no connection in the time allowed")
            }
            Self::TimedOut => {
                Error::new(ErrorKind::Timeout, operation, "no answer in the time allowed")
            }
            Self::Unsendable(error) => {
                Error::invalid(operation, error.to_string()).caused_by(error)
            }
        };
        error.at(address.clone())
    }
}
