//! The index's own place in the log.
//!
//! Indexing costs more than appending: a key's slot may be anywhere in twenty megabytes. So it is done
//! behind the queues, on a thread of its own, many records a turn; whoever asks for a key first
//! brings the index up to what can be read. How far it may stay behind is bounded: writers who
//! find it further behind help.
//!
//! Nobody wakes the thread while it is awake: it looks for more every millisecond, and falls asleep
//! when there was nothing for some time.

use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::Index;
use crate::store::dispatch::Dispatcher;
use crate::store::engine::Shared;
use crate::store::error::StoreError;

/// Bytes of log that the index may stay behind the queues.
const MOST_BEHIND: i64 = 16 << 20;
/// A nap of the thread while there is work now and then.
const NAP: Duration = Duration::from_millis(1);
/// A rest after a turn that failed.
const REST: Duration = Duration::from_millis(100);
/// Naps without work after which the thread sleeps until it is woken.
const NAPS_BEFORE_SLEEP: u32 = 20;

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct IndexLine {
    dispatcher: Dispatcher,
    is_awake: AtomicBool,
    stop: Mutex<bool>,
    wake: Condvar,
}

impl IndexLine {
    /// An index that has all records before `position`.
    pub(crate) fn new(index: Arc<Index>, position: i64, last_store_ms: i64) -> Self {
        Self {
            dispatcher: Dispatcher::new(vec![index], position, last_store_ms),
            is_awake: AtomicBool::new(false),
            stop: Mutex::new(false),
            wake: Condvar::new(),
        }
    }

    /// Whether records stand in the log that cannot be indexed.
    pub(crate) fn is_stalled(&self) -> bool {
        self.dispatcher.is_stalled()
    }

    /// Indexes all that can be read.
    ///
    /// # Errors
    /// No room for an entry or a file; it is tried again the next time.
    pub(crate) fn catch_up(&self, shared: &Shared) -> Result<(), StoreError> {
        self.dispatcher.run_to_end(&shared.log, shared.dispatcher.position(), &())
    }

    /// More can be read: sees to it that it is indexed soon.
    pub(crate) fn follow(&self, shared: &Shared) {
        // What can be read was told before; the thread tells that it sleeps, and looks again.
        fence(Ordering::SeqCst);
        if !self.is_awake.load(Ordering::Relaxed) && !self.is_awake.swap(true, Ordering::AcqRel) {
            let _asleep = self.stop.lock().unwrap_or_else(PoisonError::into_inner);
            self.wake.notify_one();
        }
        if shared.dispatcher.position() - self.dispatcher.position() > MOST_BEHIND {
            self.try_catch_up(shared);
        }
    }

    fn try_catch_up(&self, shared: &Shared) -> bool {
        let caught_up = self.catch_up(shared);
        if let Err(error) = &caught_up {
            // Writes are refused until an attempt succeeds.
            tracing::warn!(%error, "stored messages cannot be indexed yet");
        }
        caught_up.is_ok()
    }

    /// Ends the thread.
    pub(crate) fn stop(&self) {
        *self.stop.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.wake.notify_all();
    }

    /// The thread's work.
    pub(crate) fn run(&self, shared: &Shared) {
        let mut idle = 0;
        let mut nap = NAP;
        loop {
            let is_behind = || self.dispatcher.position() < shared.dispatcher.position();
            if is_behind() {
                idle = 0;
                nap = if self.try_catch_up(shared) { NAP } else { REST };
            }
            let mut stop = self.stop.lock().unwrap_or_else(PoisonError::into_inner);
            if !*stop && idle < NAPS_BEFORE_SLEEP {
                idle += 1;
                (stop, _) =
                    self.wake.wait_timeout(stop, nap).unwrap_or_else(PoisonError::into_inner);
            } else if !*stop {
                self.is_awake.store(false, Ordering::Relaxed);
                fence(Ordering::SeqCst);
                if is_behind() {
                    self.is_awake.store(true, Ordering::Relaxed);
                }
                while !*stop && !self.is_awake.load(Ordering::Acquire) {
                    stop = self.wake.wait(stop).unwrap_or_else(PoisonError::into_inner);
                }
                idle = 0;
            }
            if *stop {
                return;
            }
        }
    }
}
