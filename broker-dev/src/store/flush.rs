//! Durability: one thread owns every sync of the log.
//!
//! Whoever needs bytes on the disk says up to where; one sync then serves all who asked meanwhile
//! (group commit), and the durable offset tells them. The first sync that fails poisons the store:
//! the kernel may have dropped the dirty pages, so a second attempt that succeeds proves nothing.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use super::engine::Shared;
use super::error::{Context, StoreError};
use super::options::{FlushMode, StoreOptions};

/// What the page count of [`StoreOptions::flush_least_pages`] counts, bytes.
const PAGE: i64 = 4096;

/// Remembers the first failed sync.
#[derive(Debug, Default)]
pub(crate) struct Poison(OnceLock<Arc<str>>);

impl Poison {
    /// The error that every write gets, once there is one.
    pub(crate) fn error(&self) -> Option<StoreError> {
        self.0.get().map(|reason| StoreError::Poisoned { reason: Arc::clone(reason) })
    }

    /// Fails if a sync failed before.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        self.error().map_or(Ok(()), Err)
    }

    /// Notes a failure; the first one stays. Returns what writes get from now on.
    pub(crate) fn set(&self, cause: &StoreError) -> StoreError {
        let reason = self.0.get_or_init(|| cause.to_string().into());
        StoreError::Poisoned { reason: Arc::clone(reason) }
    }
}

#[derive(Debug, Default)]
struct Wishes {
    requested: i64,
    stop: bool,
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct SyncOwner {
    wishes: Mutex<Wishes>,
    wake: Condvar,
    synced: Condvar,
    durable: AtomicI64,
    durable_store_ms: AtomicI64,
}

impl SyncOwner {
    /// Everything before `durable` is on the disk already.
    pub(crate) fn new(durable: i64) -> Self {
        Self {
            wishes: Mutex::default(),
            wake: Condvar::new(),
            synced: Condvar::new(),
            durable: AtomicI64::new(durable),
            durable_store_ms: AtomicI64::new(0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Wishes> {
        self.wishes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Offset before which the log is on the disk.
    pub(crate) fn durable(&self) -> i64 {
        self.durable.load(Ordering::Acquire)
    }

    /// Store time of a record that is on the disk.
    pub(crate) fn durable_store_ms(&self) -> i64 {
        self.durable_store_ms.load(Ordering::Acquire)
    }

    /// Asks for a sync up to an offset, and returns at once.
    pub(crate) fn request(&self, end: i64) {
        let mut wishes = self.lock();
        if wishes.requested < end {
            wishes.requested = end;
            self.wake.notify_one();
        }
    }

    /// Asks for a sync and waits for it.
    pub(crate) fn sync_to(&self, end: i64, poison: &Poison) -> Result<(), StoreError> {
        self.request(end);
        let mut wishes = self.lock();
        while self.durable() < end {
            poison.check()?;
            if wishes.stop {
                return Err(StoreError::Closed);
            }
            wishes = self.synced.wait(wishes).unwrap_or_else(PoisonError::into_inner);
        }
        Ok(())
    }

    /// Ends the owner's thread.
    pub(crate) fn stop(&self) {
        self.lock().stop = true;
        self.wake.notify_all();
        self.synced.notify_all();
    }

    /// Waits until there is something to sync; `false` when it is time to stop.
    fn wait(&self, shared: &Shared) -> bool {
        let mut wishes = self.lock();
        let mut waited = Duration::ZERO;
        loop {
            if wishes.stop || shared.poison.error().is_some() {
                return false;
            }
            if wishes.requested > self.durable() {
                return true;
            }
            let interval = shared.options.flush_interval;
            let (guard, timeout) =
                self.wake.wait_timeout(wishes, interval).unwrap_or_else(PoisonError::into_inner);
            wishes = guard;
            if timeout.timed_out() {
                waited = waited.saturating_add(interval);
                let grown = Grown { durable: self.durable(), end: shared.log.end() };
                let is_new_file = shared.log.is_in_newer_file(grown.durable);
                if grown.is_due(waited, is_new_file, &shared.options) {
                    return !wishes.stop;
                }
            }
        }
    }

    /// The thread's work: sync when asked or when the interval is over, until stopped or poisoned.
    pub(crate) fn run(&self, shared: &Shared) {
        while self.wait(shared) {
            if self.sync_once(shared).is_err() {
                break;
            }
        }
        self.synced.notify_all();
    }

    /// Syncs the log up to its present end. Only the owner's thread, or nobody else, may be at it.
    pub(crate) fn sync_once(&self, shared: &Shared) -> Result<(), StoreError> {
        shared.poison.check()?;
        let store_ms = shared.log.last_store_ms();
        let end = shared.log.end();
        let result = shared.log.files_between(self.durable(), end).try_for_each(|file| {
            let file = file.disk_file();
            shared.disk.sync_data(file).context(file.path(), "sync")
        });
        if let Err(error) = result {
            return Err(shared.poison(&error));
        }
        self.durable_store_ms.store(store_ms, Ordering::Release);
        {
            // Under the lock, so that `sync_to` cannot look just before and sleep just after.
            let _wishes = self.lock();
            self.durable.store(end, Ordering::Release);
            self.synced.notify_all();
        }
        if shared.options.flush == FlushMode::Sync {
            shared.dispatch();
        }
        shared.events.durable(end);
        Ok(())
    }
}

/// What of the log nobody asked to be synced.
#[derive(Debug, Clone, Copy)]
struct Grown {
    durable: i64,
    end: i64,
}

impl Grown {
    /// Whether it is time for it: enough pages, a full file, or long enough.
    ///
    /// Source: RocketMQ 5.3.3 `store/CommitLog.FlushRealTimeService`,
    /// `store/logfile/DefaultMappedFile.isAbleToFlush`.
    fn is_due(self, waited: Duration, is_new_file: bool, options: &StoreOptions) -> bool {
        let pages = self.end / PAGE - self.durable / PAGE;
        self.end > self.durable
            && (is_new_file
                || pages >= i64::from(options.flush_least_pages)
                || waited >= options.flush_thorough_interval)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_grows_is_synced_by_pages_by_files_and_by_time() {
        let options = StoreOptions::default();
        let is_due = |durable, end, seconds, is_new_file| {
            let grown = Grown { durable, end };
            grown.is_due(Duration::from_secs(seconds), is_new_file, &options)
        };
        assert!(!is_due(0, 0, 99, true), "nothing new");
        assert!(!is_due(0, 4 * PAGE - 1, 0, false));
        assert!(is_due(0, 4 * PAGE, 0, false));
        assert!(is_due(PAGE - 1, 4 * PAGE, 0, false), "pages are counted as they lie in the file");
        assert!(is_due(0, 1, 10, false) && !is_due(0, 1, 9, false));
        assert!(is_due(0, 1, 0, true));
    }
}
