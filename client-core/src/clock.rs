//! Time, as one of the four doors to the outside world.
//!
//! Nothing else in oxmq reads the time or sleeps. Code that waits takes a [`SharedClock`]; code
//! that decides takes the time itself. A test hands in a [`VirtualClock`] and moves it, so that two
//! hours of retry delay pass in milliseconds.
//!
//! ```
//! # use std::{sync::Arc, time::Duration};
//! # use oxmq::clock::{Clock, VirtualClock, sleep};
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let clock = Arc::new(VirtualClock::new(0));
//! let sleeper = tokio::spawn({
//!     let clock = clock.clone();
//!     async move { sleep(&*clock, Duration::from_secs(7200)).await; clock.now_ms() }
//! });
//! clock.advance(Duration::from_secs(7200)).await;
//! assert_eq!(sleeper.await.unwrap(), 7_200_000);
//! # });
//! ```

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::oneshot;

/// A wait for a moment; see [`Clock::sleep_until`].
pub type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A clock that many tasks hold.
pub type SharedClock = Arc<dyn Clock>;

/// Tells the time and waits for it.
pub trait Clock: Debug + Send + Sync {
    /// Wall time, milliseconds since the Unix epoch: what goes onto the wire and to disk. It may
    /// step when the machine's clock is set.
    fn now_ms(&self) -> i64;

    /// Time since the clock was made; never goes back. Deadlines are points on this scale.
    fn monotonic(&self) -> Duration;

    /// Completes once [`monotonic`](Self::monotonic) has reached `deadline`. Dropping the future
    /// ends the wait.
    fn sleep_until(&self, deadline: Duration) -> Sleep;
}

/// The operating system's clock.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// A clock whose monotonic scale begins now.
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }

    /// The same, ready to be shared.
    pub fn shared() -> SharedClock {
        Arc::new(Self::new())
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    fn now_ms(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }

    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    fn sleep_until(&self, deadline: Duration) -> Sleep {
        match self.start.checked_add(deadline) {
            Some(instant) => Box::pin(tokio::time::sleep_until(instant.into())),
            None => Box::pin(std::future::pending()),
        }
    }
}

/// A clock that stands still until a test moves it.
#[derive(Debug)]
pub struct VirtualClock {
    start_ms: i64,
    state: Mutex<VirtualState>,
    /// Sleepers that were woken and have not run since.
    unsettled: Arc<AtomicUsize>,
}

#[derive(Debug, Default)]
struct VirtualState {
    now: Duration,
    sleepers: BinaryHeap<Reverse<Sleeper>>,
    next_number: u64,
}

#[derive(Debug)]
struct Sleeper {
    deadline: Duration,
    number: u64,
    wake: oneshot::Sender<Unsettled>,
}

impl Sleeper {
    fn key(&self) -> (Duration, u64) {
        (self.deadline, self.number)
    }
}

impl PartialEq for Sleeper {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}
impl Eq for Sleeper {}
impl PartialOrd for Sleeper {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Sleeper {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

/// Counts a sleeper as woken but not yet running; gone once the sleeper has run or was dropped.
#[derive(Debug)]
struct Unsettled(Arc<AtomicUsize>);

impl Unsettled {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count.clone())
    }
}

impl Drop for Unsettled {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// How often [`VirtualClock::advance`] lets other tasks run after each step, so that what a woken
/// task sends can reach the task it is for.
const SETTLE_TURNS: u32 = 32;

impl VirtualClock {
    /// A clock that shows `start_ms`, milliseconds since the Unix epoch.
    pub fn new(start_ms: i64) -> Self {
        Self { start_ms, state: Mutex::default(), unsettled: Arc::default() }
    }

    /// Moves the clock forward, stopping at each moment that somebody waits for: sleepers wake in
    /// the order of their deadlines, each seeing the time it asked for. Those that go back to
    /// sleep within `duration` are woken again.
    ///
    /// Returns when the clock shows the new time and every task woken on the way has begun to run.
    pub async fn advance(&self, duration: Duration) {
        let target = self.monotonic().saturating_add(duration);
        // Tasks that were just spawned go to sleep first.
        self.settle().await;
        loop {
            let more = self.step_towards(target);
            self.settle().await;
            if !more {
                return;
            }
        }
    }

    /// Moves to the next deadline at or before `target` and wakes those who wait for it, or moves
    /// to `target` if there is none.
    fn step_towards(&self, target: Duration) -> bool {
        let mut state = self.state();
        while state.sleepers.peek().is_some_and(|next| next.0.wake.is_closed()) {
            state.sleepers.pop();
        }
        match state.sleepers.peek().map(|next| next.0.deadline).filter(|due| *due <= target) {
            Some(due) => state.now = state.now.max(due),
            None => {
                state.now = state.now.max(target);
                return false;
            }
        }
        while state.sleepers.peek().is_some_and(|next| next.0.deadline <= state.now) {
            if let Some(Reverse(sleeper)) = state.sleepers.pop() {
                // A sleeper that went away meanwhile needs no waking.
                let _ = sleeper.wake.send(Unsettled::new(&self.unsettled));
            }
        }
        true
    }

    async fn settle(&self) {
        for _ in 0..SETTLE_TURNS {
            tokio::task::yield_now().await;
        }
        while self.unsettled.load(Ordering::SeqCst) > 0 {
            tokio::task::yield_now().await;
        }
    }

    fn state(&self) -> MutexGuard<'_, VirtualState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for VirtualClock {
    fn now_ms(&self) -> i64 {
        let passed = i64::try_from(self.monotonic().as_millis()).unwrap_or(i64::MAX);
        self.start_ms.saturating_add(passed)
    }

    fn monotonic(&self) -> Duration {
        self.state().now
    }

    fn sleep_until(&self, deadline: Duration) -> Sleep {
        let mut state = self.state();
        if deadline <= state.now {
            return Box::pin(std::future::ready(()));
        }
        let (wake, woken) = oneshot::channel();
        let number = state.next_number;
        state.next_number += 1;
        state.sleepers.push(Reverse(Sleeper { deadline, number, wake }));
        Box::pin(async move {
            // An error means that the clock is gone: then its time has come to an end as well.
            drop(woken.await);
        })
    }
}

/// Waits for `duration` on `clock`.
pub async fn sleep(clock: &dyn Clock, duration: Duration) {
    clock.sleep_until(clock.monotonic().saturating_add(duration)).await;
}

/// The time allowed is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the time allowed is over")]
pub struct Elapsed;

/// Runs `future` for at most `duration`.
///
/// # Errors
/// [`Elapsed`]; the future is dropped then.
pub async fn timeout<F: Future>(
    clock: &dyn Clock,
    duration: Duration,
    future: F,
) -> Result<F::Output, Elapsed> {
    timeout_at(clock, clock.monotonic().saturating_add(duration), future).await
}

/// Runs `future` until [`Clock::monotonic`] reaches `deadline`.
///
/// # Errors
/// [`Elapsed`]; the future is dropped then.
pub async fn timeout_at<F: Future>(
    clock: &dyn Clock,
    deadline: Duration,
    future: F,
) -> Result<F::Output, Elapsed> {
    tokio::select! {
        biased;
        output = future => Ok(output),
        () = clock.sleep_until(deadline) => Err(Elapsed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test]
    async fn sleepers_wake_in_order_and_see_their_own_time() {
        let clock = Arc::new(VirtualClock::new(1_000));
        let seen = Arc::new(Mutex::new(Vec::new()));
        for seconds in [3, 1, 2, 9] {
            let (clock, seen) = (clock.clone(), seen.clone());
            tokio::spawn(async move {
                sleep(&*clock, SECOND * seconds).await;
                seen.lock().unwrap().push(clock.now_ms());
            });
        }
        tokio::task::yield_now().await;
        clock.advance(5 * SECOND).await;
        assert_eq!(*seen.lock().unwrap(), [2_000, 3_000, 4_000]);
        assert_eq!(clock.now_ms(), 6_000);
    }

    #[tokio::test]
    async fn a_task_that_sleeps_again_is_woken_again() {
        let clock = Arc::new(VirtualClock::new(0));
        let ticks = Arc::new(AtomicUsize::new(0));
        let task = tokio::spawn({
            let (clock, ticks) = (clock.clone(), ticks.clone());
            async move {
                loop {
                    sleep(&*clock, SECOND).await;
                    ticks.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
        tokio::task::yield_now().await;
        clock.advance(3_600 * SECOND).await;
        assert_eq!(ticks.load(Ordering::SeqCst), 3_600);
        task.abort();
    }

    #[tokio::test]
    async fn a_timeout_ends_when_the_clock_says_so() {
        let clock = Arc::new(VirtualClock::new(0));
        let waiting = tokio::spawn({
            let clock = clock.clone();
            async move { timeout(&*clock, SECOND, std::future::pending::<()>()).await }
        });
        tokio::task::yield_now().await;
        clock.advance(SECOND).await;
        assert_eq!(waiting.await.unwrap(), Err(Elapsed));
        assert_eq!(timeout(&*clock, Duration::ZERO, async { 7 }).await, Ok(7));
    }

    #[tokio::test]
    async fn dropped_sleepers_do_not_hold_the_clock_up() {
        let clock = VirtualClock::new(0);
        drop(clock.sleep_until(SECOND));
        clock.advance(2 * SECOND).await;
        assert_eq!(clock.monotonic(), 2 * SECOND);
        clock.sleep_until(SECOND).await;
    }
}
