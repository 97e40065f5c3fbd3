//! Who syncs, and who waits for it: one at a time, for all who came meanwhile.
//!
//! Whoever wants something on the disk and finds nobody at it does it itself, for itself and for
//! all who asked so far; who comes while a sync is under way waits for the next one. One thread
//! takes over what was asked for without waiting. After a failed sync nobody tries again.

use std::time::Duration;

use super::sync::{AtomicI64, Condvar, Mutex, MutexGuard, Ordering, PoisonError};

#[derive(Debug, Default)]
struct State {
    requested: i64,
    is_busy: bool,
    has_failed: bool,
    is_stopped: bool,
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct GroupCommit {
    state: Mutex<State>,
    /// Rings for the thread that takes over what was asked for.
    asked: Condvar,
    /// Rings when a sync is over.
    over: Condvar,
    durable: AtomicI64,
}

/// What a caller is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Claim {
    /// Sync, and tell [`finish`](GroupCommit::finish): nobody else does.
    Sync,
    /// Nothing: it is done.
    Done,
    /// Nothing: a sync failed.
    Failed,
    /// Nothing: it was stopped before.
    Stopped,
    /// Nothing was asked for in time.
    Idle,
}

impl GroupCommit {
    /// Everything before `durable` is on the disk already.
    pub(crate) fn new(durable: i64) -> Self {
        Self {
            state: Mutex::new(State::default()),
            asked: Condvar::new(),
            over: Condvar::new(),
            durable: AtomicI64::new(durable),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Offset before which everything is on the disk.
    pub(crate) fn durable(&self) -> i64 {
        self.durable.load(Ordering::Acquire)
    }

    /// Asks for a sync up to `end`, and returns at once.
    pub(crate) fn request(&self, end: i64) {
        let mut state = self.lock();
        if state.requested < end {
            state.requested = end;
            // While a sync is under way, its end rings.
            if !state.is_busy {
                self.asked.notify_one();
            }
        }
    }

    /// Waits until everything before `end` is on the disk, or until it is the caller's turn to see
    /// to it.
    pub(crate) fn claim(&self, end: i64) -> Claim {
        let mut state = self.lock();
        loop {
            if self.durable() >= end {
                return Claim::Done;
            }
            if state.has_failed {
                return Claim::Failed;
            }
            if state.is_stopped {
                return Claim::Stopped;
            }
            if !state.is_busy {
                state.is_busy = true;
                return Claim::Sync;
            }
            state = self.over.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The thread's part: waits until something was asked for and nobody is at it, or for so long.
    pub(crate) fn claim_asked(&self, patience: Duration) -> Claim {
        let mut state = self.lock();
        loop {
            if state.has_failed {
                return Claim::Failed;
            }
            if state.is_stopped {
                return Claim::Stopped;
            }
            if state.requested > self.durable() && !state.is_busy {
                state.is_busy = true;
                return Claim::Sync;
            }
            let waited = self.asked.wait_timeout(state, patience);
            let (guard, waited) = waited.unwrap_or_else(PoisonError::into_inner);
            state = guard;
            let has_work = state.requested > self.durable() && !state.is_busy;
            if waited.timed_out() && !has_work && !state.is_stopped && !state.has_failed {
                return Claim::Idle;
            }
        }
    }

    /// Waits for a sync that is under way, and claims the last one, although it was stopped.
    pub(crate) fn claim_last(&self) -> Claim {
        let mut state = self.lock();
        while state.is_busy {
            state = self.over.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.has_failed {
            return Claim::Failed;
        }
        state.is_busy = true;
        Claim::Sync
    }

    /// Ends a turn that was claimed: everything before `durable` is on the disk, or the sync has
    /// failed. Wakes all who wait.
    pub(crate) fn finish(&self, durable: Option<i64>) {
        let mut state = self.lock();
        state.is_busy = false;
        match durable {
            // Under the lock, so that nobody looks just before and sleeps just after.
            Some(end) => self.durable.store(end.max(self.durable()), Ordering::Release),
            None => state.has_failed = true,
        }
        self.over.notify_all();
        if durable.is_none() || state.requested > self.durable() {
            self.asked.notify_one();
        }
    }

    /// Ends the thread, and everybody's waiting.
    pub(crate) fn stop(&self) {
        self.lock().is_stopped = true;
        self.asked.notify_all();
        self.over.notify_all();
    }
}
