//! The time by which clients and brokers are thought alive.
//!
//! A clock that is moved ahead on purpose gives nobody the chance to send the heartbeats that fell
//! into the time skipped. So silence is measured without it: moving the clock ends delays and
//! locks, not connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use oxmq::clock::SharedClock;

/// The clock's time without what was skipped.
#[derive(Debug, Clone)]
pub(crate) struct Liveness {
    clock: SharedClock,
    skipped_ms: Arc<AtomicU64>,
}

impl Liveness {
    pub(crate) fn new(clock: SharedClock) -> Self {
        Self { clock, skipped_ms: Arc::default() }
    }

    /// Notes that the clock is about to be moved ahead.
    pub(crate) fn skip(&self, duration: Duration) {
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        self.skipped_ms.fetch_add(millis, Ordering::SeqCst);
    }

    /// Time since the clock was made, without what was skipped.
    pub(crate) fn now(&self) -> Duration {
        let skipped = Duration::from_millis(self.skipped_ms.load(Ordering::SeqCst));
        self.clock.monotonic().saturating_sub(skipped)
    }
}
