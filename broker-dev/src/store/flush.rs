//! Durability: syncs of the log, one at a time.
//!
//! Whoever needs bytes on the disk says up to where; one sync then serves all who asked meanwhile
//! (group commit), and the durable offset tells them. Who waits here syncs itself if nobody is at
//! it, which spares two wake-ups; for those who do not wait, a thread does. The first sync that
//! fails poisons the store: the kernel may have dropped the dirty pages, so a second attempt that
//! succeeds proves nothing.
//!
//! A log that grows faster than the disk takes it is written back in stretches, and whoever makes
//! it longer waits for the disk from [`StoreOptions::max_unsynced_bytes`] on: a little and often,
//! where the kernel would stop it seldom and for long.

use std::ops::Range;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use super::engine::Shared;
use super::error::{Context, StoreError};
use super::group_commit::{Claim, GroupCommit};
use super::mapped_file::MappedFile;
use super::options::{FlushMode, StoreOptions};

/// What the page count of [`StoreOptions::flush_least_pages`] counts, bytes.
const PAGE: i64 = 4096;
/// Bytes that are written back at once, when there are many.
const STRETCH: usize = 16 << 20;
/// A writer that waits for the disk looks so often whether the store was closed.
const LOOK: Duration = Duration::from_millis(100);

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

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct SyncOwner {
    commit: GroupCommit,
    durable_store_ms: AtomicI64,
    backlog: Backlog,
}

/// How far the log was written back, for those who wait since it is far behind.
#[derive(Debug)]
struct Backlog {
    written: AtomicI64,
    waiting: Mutex<()>,
    moved: Condvar,
}

impl Backlog {
    fn advance(&self, end: i64) {
        self.written.fetch_max(end, Ordering::AcqRel);
        let _waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        self.moved.notify_all();
    }

    /// Waits until less than `most` bytes before `end` are left, or `is_over`.
    fn wait(&self, end: i64, most: i64, is_over: impl Fn() -> bool) {
        let is_far = || end.saturating_sub(self.written.load(Ordering::Acquire)) > most;
        if !is_far() {
            return;
        }
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        while is_far() && !is_over() {
            let waited = self.moved.wait_timeout(waiting, LOOK);
            (waiting, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl SyncOwner {
    /// Everything before `durable` is on the disk already.
    pub(crate) fn new(durable: i64) -> Self {
        let written = AtomicI64::new(durable);
        Self {
            commit: GroupCommit::new(durable),
            durable_store_ms: AtomicI64::new(0),
            backlog: Backlog { written, waiting: Mutex::default(), moved: Condvar::new() },
        }
    }

    /// Offset before which the log is on the disk.
    pub(crate) fn durable(&self) -> i64 {
        self.commit.durable()
    }

    /// Store time of a record that is on the disk.
    pub(crate) fn durable_store_ms(&self) -> i64 {
        self.durable_store_ms.load(Ordering::Acquire)
    }

    /// Asks for a sync up to an offset, and returns at once.
    pub(crate) fn request(&self, end: i64) {
        self.commit.request(end);
    }

    /// The log has grown up to `end`, and nobody asks for a sync: waits if it is too far ahead of
    /// the disk.
    pub(crate) fn has_grown(&self, end: i64, shared: &Shared) {
        let most = i64::try_from(shared.options.max_unsynced_bytes).unwrap_or(i64::MAX);
        // Not before half of it: each page that is written back must be opened to the writer
        // again, which slows a burst down that the disk would take at its leisure.
        if end.saturating_sub(self.durable()) < most / 2 {
            return;
        }
        self.commit.request(end);
        self.backlog.wait(end, most, || shared.check_open().is_err());
    }

    /// Waits until everything before `end` is on the disk, and sees to it if nobody else does.
    pub(crate) fn sync_to(&self, end: i64, shared: &Shared) -> Result<(), StoreError> {
        loop {
            shared.poison.check()?;
            match self.commit.claim(end) {
                Claim::Done => return Ok(()),
                Claim::Sync => self.sync_claimed(shared)?,
                Claim::Failed | Claim::Idle => {}
                Claim::Stopped => return Err(StoreError::Closed),
            }
        }
    }

    /// Ends the thread.
    pub(crate) fn stop(&self) {
        self.commit.stop();
    }

    /// The thread's work: sync when asked or when the interval is over, until stopped or poisoned.
    pub(crate) fn run(&self, shared: &Shared) {
        let interval = shared.options.flush_interval;
        let mut waited = Duration::ZERO;
        loop {
            match self.commit.claim_asked(interval) {
                Claim::Sync => {
                    waited = Duration::ZERO;
                    if self.sync_claimed(shared).is_err() {
                        return;
                    }
                }
                Claim::Idle => {
                    waited = waited.saturating_add(interval);
                    let grown = Grown { durable: self.durable(), end: shared.log.end() };
                    let is_new_file = shared.log.is_in_newer_file(grown.durable);
                    if grown.is_due(waited, is_new_file, &shared.options) {
                        self.commit.request(grown.end);
                    }
                }
                Claim::Done | Claim::Failed | Claim::Stopped => return,
            }
        }
    }

    /// Syncs the log up to its present end, also after [`stop`](Self::stop).
    pub(crate) fn sync_last(&self, shared: &Shared) -> Result<(), StoreError> {
        shared.poison.check()?;
        match self.commit.claim_last() {
            Claim::Sync => self.sync_claimed(shared),
            _ => shared.poison.check(),
        }
    }

    fn sync_claimed(&self, shared: &Shared) -> Result<(), StoreError> {
        let store_ms = shared.log.last_store_ms();
        let end = shared.log.end();
        let result = shared.log.files_between(self.durable(), end).try_for_each(|file| {
            self.write_back(&file, end, shared)?;
            let file = file.disk_file();
            shared.disk.sync_data(file).context(file.path(), "sync")
        });
        if let Err(error) = result {
            let error = shared.poison(&error);
            self.commit.finish(None);
            // Whoever waits looks again, and finds the store poisoned.
            self.backlog.advance(self.durable());
            return Err(error);
        }
        self.durable_store_ms.store(store_ms, Ordering::Release);
        self.commit.finish(Some(end));
        self.backlog.advance(end);
        if shared.options.flush == FlushMode::Sync {
            shared.dispatch();
        }
        shared.events.durable(end);
        Ok(())
    }

    /// Brings much of a file to the disk in stretches, so that those who wait go on in between.
    fn write_back(&self, file: &MappedFile, end: i64, shared: &Shared) -> Result<(), StoreError> {
        let from = self.backlog.written.load(Ordering::Acquire);
        let (start, range) = (file.start(), in_file(file, from, end));
        let mut at = range.start;
        while range.end.saturating_sub(at) > STRETCH {
            let to = at + STRETCH;
            let (disk, file) = (&shared.disk, file.disk_file());
            disk.write_back(file, at as u64, to as u64).context(file.path(), "write back")?;
            at = to;
            self.backlog.advance(start + to as i64);
        }
        Ok(())
    }
}

/// Which bytes of a file lie between two offsets of the log.
fn in_file(file: &MappedFile, from: i64, to: i64) -> Range<usize> {
    let place = |offset: i64| {
        let at = usize::try_from(offset.saturating_sub(file.start())).unwrap_or(0);
        at.min(file.length())
    };
    place(from)..place(to)
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
