//! Deadlines of many waiters, watched by one task.
//!
//! A waiter that is served before its time takes its deadline back. So a connection needs no timer
//! of its own, however many of its requests wait.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use oxmq::clock::Clock;
use tokio::sync::Notify;

/// When a waiter's time is up; given back when it is served before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Deadline {
    at: Duration,
    number: u64,
}

/// Waiters by deadline. `W` is how a waiter is told.
#[derive(Debug)]
pub(crate) struct Alarm<W> {
    waiters: Mutex<Waiters<W>>,
    /// Rings when a deadline comes before all that were known.
    sooner: Notify,
}

#[derive(Debug)]
struct Waiters<W> {
    next_number: u64,
    by_deadline: BTreeMap<Deadline, W>,
}

impl<W> Default for Alarm<W> {
    fn default() -> Self {
        let waiters = Waiters { next_number: 0, by_deadline: BTreeMap::new() };
        Self { waiters: Mutex::new(waiters), sooner: Notify::new() }
    }
}

impl<W> Alarm<W> {
    /// Enters a waiter whose time is up at `at`.
    pub(crate) fn set(&self, at: Duration, waiter: W) -> Deadline {
        let mut waiters = self.waiters.lock().unwrap_or_else(PoisonError::into_inner);
        let deadline = Deadline { at, number: waiters.next_number };
        waiters.next_number += 1;
        let is_first = waiters.by_deadline.keys().next().is_none_or(|first| deadline < *first);
        waiters.by_deadline.insert(deadline, waiter);
        if is_first {
            self.sooner.notify_one();
        }
        deadline
    }

    /// Takes a waiter out, if it is still there.
    pub(crate) fn cancel(&self, deadline: Deadline) {
        let mut waiters = self.waiters.lock().unwrap_or_else(PoisonError::into_inner);
        waiters.by_deadline.remove(&deadline);
    }

    /// Takes out those whose time is up.
    pub(crate) fn due(&self, now: Duration) -> Vec<W> {
        let mut waiters = self.waiters.lock().unwrap_or_else(PoisonError::into_inner);
        // The first deadline that is not due yet.
        let end = Deadline { at: now.saturating_add(Duration::from_nanos(1)), number: 0 };
        let later = waiters.by_deadline.split_off(&end);
        std::mem::replace(&mut waiters.by_deadline, later).into_values().collect()
    }

    /// Hands waiters to `wake` as their time comes; never returns.
    pub(crate) async fn watch(&self, clock: &dyn Clock, wake: impl Fn(W)) {
        loop {
            let first = {
                let waiters = self.waiters.lock().unwrap_or_else(PoisonError::into_inner);
                waiters.by_deadline.keys().next().map(|deadline| deadline.at)
            };
            match first {
                None => self.sooner.notified().await,
                Some(first) => tokio::select! {
                    () = self.sooner.notified() => {}
                    () = clock.sleep_until(first) => {}
                },
            }
            self.due(clock.monotonic()).into_iter().for_each(&wake);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use oxmq::clock::VirtualClock;

    use super::*;

    #[test]
    fn waiters_are_due_in_order_and_not_before() {
        let alarm = Alarm::default();
        let at = Duration::from_millis;
        alarm.set(at(20), "second");
        alarm.set(at(10), "first");
        let gone = alarm.set(at(15), "gone");
        alarm.cancel(gone);
        assert_eq!(alarm.due(at(9)), [""; 0]);
        assert_eq!(alarm.due(at(20)), ["first", "second"]);
        assert_eq!(alarm.due(at(99)), [""; 0]);
    }

    #[tokio::test]
    async fn a_deadline_that_comes_sooner_is_kept_too() {
        let clock = Arc::new(VirtualClock::new(0));
        let alarm = Arc::new(Alarm::default());
        let woken = Arc::new(Mutex::new(Vec::new()));
        tokio::spawn({
            let (clock, alarm, woken) = (clock.clone(), alarm.clone(), woken.clone());
            async move { alarm.watch(&*clock, |name| woken.lock().unwrap().push(name)).await }
        });
        alarm.set(Duration::from_secs(100), "late");
        clock.advance(Duration::from_secs(1)).await;
        alarm.set(Duration::from_secs(5), "soon");
        clock.advance(Duration::from_secs(4)).await;
        assert_eq!(*woken.lock().unwrap(), ["soon"]);
        clock.advance(Duration::from_secs(95)).await;
        assert_eq!(*woken.lock().unwrap(), ["soon", "late"]);
    }
}
