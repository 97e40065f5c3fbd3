//! Time, as something that is handed in.
//!
//! Whoever needs the time takes a [`Clock`]. [`Clock::system`] is the real one; [`Clock::manual`]
//! stands still until [`Clock::advance`] moves it, so two hours of retry delay pass in
//! milliseconds. This module is the only place in the workspace that reads the machine's clock.
//!
//! One clock gives two readings. [`Clock::now_ms`] is wall time (it goes on the wire and to disk);
//! [`Clock::elapsed`] only moves forward (deadlines and intervals). On a manual clock both move
//! together.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;

/// A source of time, cheap to clone; clones of a manual clock move together.
#[derive(Clone)]
pub struct Clock(Arc<Source>);

enum Source {
    System { origin: Instant },
    Manual { start_ms: i64, elapsed: watch::Sender<Duration>, moving: Mutex<()> },
}

/// The deadline passed before the future was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the deadline passed")]
pub struct DeadlinePassed;

impl Clock {
    /// The machine's clock.
    #[expect(clippy::disallowed_methods, reason = "the one door to the machine's clock")]
    pub fn system() -> Self {
        Self(Arc::new(Source::System { origin: Instant::now() }))
    }

    /// A clock that stands at `start_ms` (milliseconds since the Unix epoch) until it is moved.
    pub fn manual(start_ms: i64) -> Self {
        let (elapsed, _) = watch::channel(Duration::ZERO);
        Self(Arc::new(Source::Manual { start_ms, elapsed, moving: Mutex::new(()) }))
    }

    /// Wall time in milliseconds since the Unix epoch. The machine's may step back.
    #[expect(clippy::disallowed_methods, reason = "the one door to the machine's clock")]
    pub fn now_ms(&self) -> i64 {
        match &*self.0 {
            Source::System { .. } => match SystemTime::now().duration_since(UNIX_EPOCH) {
                Ok(since) => whole_ms(since),
                Err(before) => -whole_ms(before.duration()),
            },
            Source::Manual { start_ms, elapsed, .. } => start_ms + whole_ms(*elapsed.borrow()),
        }
    }

    /// Time since this clock was made; never goes back.
    #[expect(clippy::disallowed_methods, reason = "the one door to the machine's clock")]
    pub fn elapsed(&self) -> Duration {
        match &*self.0 {
            Source::System { origin } => Instant::now().duration_since(*origin),
            Source::Manual { elapsed, .. } => *elapsed.borrow(),
        }
    }

    /// Whether this clock only moves by [`advance`](Self::advance).
    pub fn is_manual(&self) -> bool {
        matches!(*self.0, Source::Manual { .. })
    }

    /// Moves a manual clock and wakes whoever waits for a time that has now come.
    ///
    /// Returns `false`, and does nothing, on the machine's clock.
    pub fn advance(&self, by: Duration) -> bool {
        match &*self.0 {
            Source::System { .. } => false,
            Source::Manual { elapsed, moving, .. } => {
                let _one_at_a_time = moving.lock().unwrap_or_else(PoisonError::into_inner);
                elapsed.send_modify(|now| *now = now.saturating_add(by));
                true
            }
        }
    }

    /// Waits until [`elapsed`](Self::elapsed) is at least `deadline`.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    #[expect(clippy::disallowed_methods, reason = "the one place that waits on real time")]
    pub async fn wait_until(&self, deadline: Duration) {
        match &*self.0 {
            Source::System { origin } => match origin.checked_add(deadline) {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            },
            Source::Manual { elapsed, .. } => {
                let mut moved = elapsed.subscribe();
                // The sender lives as long as `self`, so waiting cannot fail.
                let _ = moved.wait_for(|now| *now >= deadline).await;
            }
        }
    }

    /// Waits for `duration` from now.
    pub async fn wait(&self, duration: Duration) {
        self.wait_until(self.elapsed().saturating_add(duration)).await;
    }

    /// Runs `work` until it is done or `deadline` (on the scale of [`elapsed`](Self::elapsed)) has
    /// come.
    ///
    /// # Errors
    /// [`DeadlinePassed`] if the deadline came first; `work` is dropped then.
    pub async fn within<W: Future>(
        &self,
        deadline: Duration,
        work: W,
    ) -> Result<W::Output, DeadlinePassed> {
        tokio::select! {
            biased;
            done = work => Ok(done),
            () = self.wait_until(deadline) => Err(DeadlinePassed),
        }
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_manual() { "manual" } else { "system" };
        f.debug_struct("Clock").field("kind", &kind).field("now_ms", &self.now_ms()).finish()
    }
}

fn whole_ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn two_hours_pass_as_soon_as_the_test_says_so() {
        let clock = Clock::manual(1_000);
        let waiting = tokio::spawn({
            let clock = clock.clone();
            async move {
                clock.wait(Duration::from_secs(7_200)).await;
                clock.now_ms()
            }
        });
        tokio::task::yield_now().await;
        clock.advance(Duration::from_secs(7_199));
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        clock.advance(Duration::from_secs(1));
        assert_eq!(waiting.await.unwrap(), 7_201_000);
    }

    #[tokio::test]
    async fn a_deadline_that_comes_first_drops_the_work() {
        let clock = Clock::manual(0);
        let mover = clock.clone();
        let (outcome, _) = tokio::join!(
            clock.within(Duration::from_millis(5), std::future::pending::<()>()),
            async move { mover.advance(Duration::from_millis(5)) }
        );
        assert_eq!(outcome, Err(DeadlinePassed));
    }

    #[test]
    fn the_machines_clock_cannot_be_moved() {
        assert!(!Clock::system().advance(Duration::from_secs(1)));
    }
}
