//! The broker's time: the machine's, which can also be moved ahead, or a test's own clock.

use std::sync::Arc;
use std::time::Duration;

use oxmq::clock::{Clock, SharedClock, Sleep, SystemClock, VirtualClock};
use tokio::sync::watch;

/// Which time a broker lives in. All of them can be moved ahead.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub enum Time {
    /// It passes as on the machine; [`Broker::advance`](crate::Broker::advance) skips some of it.
    #[default]
    Machine,
    /// It passes only when a test moves it.
    Virtual(Arc<VirtualClock>),
}

/// A clock that a broker was started with, and how it is moved.
#[derive(Debug, Clone)]
pub(crate) enum Mover {
    Skipping(Arc<SkippingClock>),
    Virtual(Arc<VirtualClock>),
}

impl Time {
    pub(crate) fn start(self) -> (SharedClock, Mover) {
        match self {
            Self::Machine => {
                let clock = Arc::new(SkippingClock::new(SystemClock::shared()));
                (clock.clone(), Mover::Skipping(clock))
            }
            Self::Virtual(clock) => (clock.clone(), Mover::Virtual(clock)),
        }
    }
}

impl Mover {
    /// Moves the clock ahead; whoever waits for a time on the way is woken.
    pub(crate) async fn advance(&self, duration: Duration) {
        match self {
            Self::Skipping(clock) => clock.skip(duration),
            Self::Virtual(clock) => clock.advance(duration).await,
        }
    }
}

/// Another clock, and the time that was skipped on top of it.
#[derive(Debug)]
pub(crate) struct SkippingClock {
    inner: SharedClock,
    skipped: watch::Sender<Duration>,
}

impl SkippingClock {
    fn new(inner: SharedClock) -> Self {
        Self { inner, skipped: watch::Sender::new(Duration::ZERO) }
    }

    fn skip(&self, duration: Duration) {
        self.skipped.send_modify(|skipped| *skipped = skipped.saturating_add(duration));
    }
}

impl Clock for SkippingClock {
    fn now_ms(&self) -> i64 {
        let skipped = i64::try_from(self.skipped.borrow().as_millis()).unwrap_or(i64::MAX);
        self.inner.now_ms().saturating_add(skipped)
    }

    fn monotonic(&self) -> Duration {
        self.inner.monotonic().saturating_add(*self.skipped.borrow())
    }

    fn sleep_until(&self, deadline: Duration) -> Sleep {
        let inner = Arc::clone(&self.inner);
        let mut skips = self.skipped.subscribe();
        Box::pin(async move {
            loop {
                let skipped = *skips.borrow_and_update();
                tokio::select! {
                    () = inner.sleep_until(deadline.saturating_sub(skipped)) => return,
                    changed = skips.changed() => if changed.is_err() {
                        // Nobody can skip any more.
                        return inner.sleep_until(deadline.saturating_sub(skipped)).await;
                    },
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn skipping_wakes_those_whose_time_has_come() {
        let inner = Arc::new(VirtualClock::new(5));
        let clock = Arc::new(SkippingClock::new(inner.clone()));
        let sleeper = tokio::spawn(clock.sleep_until(Duration::from_secs(60)));
        tokio::task::yield_now().await;
        clock.skip(Duration::from_secs(50));
        tokio::task::yield_now().await;
        assert!(!sleeper.is_finished());
        assert_eq!(clock.now_ms(), 50_005);
        inner.advance(Duration::from_secs(10)).await;
        sleeper.await.unwrap();
        assert_eq!(clock.monotonic(), Duration::from_secs(60));
    }
}
