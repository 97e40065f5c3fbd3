//! How far readers may look: a number that only grows.

use super::sync::{AtomicUsize, Ordering};

/// Parts what one writer has finished from what it is at. Whoever sees a number here also sees
/// every byte that was written before it was stored.
#[derive(Debug)]
pub(crate) struct Published(AtomicUsize);

impl Published {
    /// Nothing is published.
    pub(crate) fn new() -> Self {
        Self(AtomicUsize::new(0))
    }

    /// Bytes that readers may see.
    pub(crate) fn get(&self) -> usize {
        self.0.load(Ordering::Acquire)
    }

    /// The same for the writer, who needs no order with itself.
    pub(crate) fn own(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Shows readers the bytes before `end`; only the writer does, and never takes bytes back.
    pub(crate) fn advance(&self, end: usize) {
        self.0.store(end.max(self.own()), Ordering::Release);
    }
}
