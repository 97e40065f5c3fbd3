//! What is done ahead of need or now and then, off everybody's way: the next log file, pages ahead
//! of the log's end, a dispatch that was handed over, and checkpoints.

use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::checkpoint::{Checkpoint, CheckpointFile};
use super::commit_log::Wanted;
use super::engine::Shared;
use super::error::{Context, StoreError};
use super::mapped_file::MappedFile;

/// Bytes of pages brought in at once, between looks at what else is to do.
const TOUCH_STEP: usize = 512 * 1024;

/// How many times as long as a checkpoint took nothing is done before the next one.
const REST: u32 = 4;

#[derive(Debug, Default)]
struct Jobs {
    next_file: Option<i64>,
    pages: Option<(Arc<MappedFile>, Range<usize>)>,
    dispatch: bool,
    /// The next file's pages are to be brought in.
    spare: bool,
    stop: bool,
}

impl Jobs {
    fn is_empty(&self) -> bool {
        !self.dispatch && !self.spare && self.pages.is_none() && self.next_file.is_none()
    }
}

/// The thread that prepares.
#[derive(Debug, Default)]
pub(crate) struct Preparer {
    jobs: Mutex<Jobs>,
    wake: Condvar,
}

impl Preparer {
    fn lock(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over what an append wants; newer pages replace older ones.
    pub(crate) fn prepare(&self, wanted: Wanted) {
        let mut jobs = self.lock();
        jobs.next_file = wanted.next_file.or(jobs.next_file);
        if let Some(pages) = wanted.pages {
            jobs.pages = Some(pages);
        }
        self.wake.notify_one();
    }

    /// Takes over a dispatch.
    pub(crate) fn dispatch(&self) {
        self.lock().dispatch = true;
        self.wake.notify_one();
    }

    /// Ends the thread.
    pub(crate) fn stop(&self) {
        self.lock().stop = true;
        self.wake.notify_all();
    }

    /// The thread's work.
    pub(crate) fn run(&self, shared: &Shared) {
        loop {
            let mut jobs = self.lock();
            while !jobs.stop && jobs.is_empty() {
                jobs = self.wake.wait(jobs).unwrap_or_else(PoisonError::into_inner);
            }
            if jobs.stop {
                return;
            }
            let dispatch = std::mem::take(&mut jobs.dispatch);
            let pages = next_step(&mut jobs.pages);
            // The file is less urgent than the pages: it comes when those are done.
            let next_file = if pages.is_none() { jobs.next_file.take() } else { None };
            let spare = pages.is_none() && next_file.is_none() && std::mem::take(&mut jobs.spare);
            drop(jobs);
            if dispatch {
                shared.dispatch();
            }
            if let Some((file, range)) = pages {
                bring_in(shared, &file, range);
            }
            match next_file.map(|start| shared.log.make_spare(start)) {
                Some(Ok(())) => self.lock().spare = true,
                // The append that needs the file tries again and reports it.
                Some(Err(error)) => {
                    tracing::warn!(%error, "the next commit-log file could not be made ahead");
                }
                None => {}
            }
            if spare {
                match shared.log.ready_spare() {
                    Ok(more) => self.lock().spare |= more,
                    Err(error) => drop(shared.poison(&error)),
                }
            }
        }
    }
}

/// Brings pages in; their blocks are written too where that makes syncs faster.
fn bring_in(shared: &Shared, file: &MappedFile, range: Range<usize>) {
    file.touch(range.clone());
    if !shared.log.writes_ahead() {
        return;
    }
    let (from, to) = (range.start as u64, range.end as u64);
    let (disk, file) = (&shared.disk, file.disk_file());
    if let Err(error) = disk.write_back(file, from, to).context(file.path(), "write back") {
        shared.poison(&error);
    }
}

/// Splits a step off the pages that are to be brought in.
fn next_step(
    pages: &mut Option<(Arc<MappedFile>, Range<usize>)>,
) -> Option<(Arc<MappedFile>, Range<usize>)> {
    let (file, range) = pages.take()?;
    // Pages that the log has reached meanwhile are there.
    let start = range.start.max(file.published());
    let end = start.saturating_add(TOUCH_STEP).min(range.end);
    if start >= end {
        return None;
    }
    if end < range.end {
        *pages = Some((Arc::clone(&file), end..range.end));
    }
    Some((file, start..end))
}

#[derive(Debug, Default)]
struct Stop {
    stop: bool,
}

/// Has this thread take what the others leave: on few processors, a checkpoint of very many queues
/// would keep the one waiting that brings in pages ahead of the writers.
fn yield_to_others() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, 10) {
        tracing::debug!(%error, "the checkpoints' thread keeps its priority");
    }
}

/// The thread that writes checkpoints.
#[derive(Debug)]
pub(crate) struct Checkpointer {
    file: CheckpointFile,
    last: Mutex<Checkpoint>,
    stop: Mutex<Stop>,
    wake: Condvar,
}

impl Checkpointer {
    /// Goes on from the checkpoint found.
    pub(crate) fn new(file: CheckpointFile, found: Checkpoint) -> Self {
        Self { file, last: Mutex::new(found), stop: Mutex::default(), wake: Condvar::new() }
    }

    /// Ends the thread.
    pub(crate) fn stop(&self) {
        self.stop.lock().unwrap_or_else(PoisonError::into_inner).stop = true;
        self.wake.notify_all();
    }

    /// The thread's work: a checkpoint each interval, and a new attempt at a stalled dispatch.
    pub(crate) fn run(&self, shared: &Shared) {
        yield_to_others();
        let mut took = Duration::ZERO;
        let mut stop = self.stop.lock().unwrap_or_else(PoisonError::into_inner);
        while !stop.stop && shared.poison.error().is_none() {
            let interval = shared.options.checkpoint_interval.max(took * REST);
            let (guard, _) =
                self.wake.wait_timeout(stop, interval).unwrap_or_else(PoisonError::into_inner);
            if guard.stop {
                return;
            }
            drop(guard);
            if shared.dispatcher.is_stalled() {
                shared.dispatch();
            }
            let began = shared.clock.monotonic();
            if let Err(error) = self.write(shared, false) {
                tracing::warn!(%error, "no checkpoint was written");
            }
            // With very many queues a checkpoint takes long: then it comes less often.
            took = shared.clock.monotonic().saturating_sub(began);
            stop = self.stop.lock().unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Brings the derived files to the disk, then says up to when all files are there; the last
    /// time also if no time has passed.
    ///
    /// # Errors
    /// No room for the derived files; or a failed sync, which poisons the store.
    pub(crate) fn write(&self, shared: &Shared, is_last: bool) -> Result<(), StoreError> {
        shared.poison.check()?;
        let queues_ms = shared.dispatcher.last_store_ms();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let log_ms = shared.sync.durable_store_ms();
        let mut next = Checkpoint {
            log_ms: log_ms.max(last.log_ms),
            queues_ms: queues_ms.max(last.queues_ms),
            index_ms: last.index_ms,
            durable: shared.sync.durable(),
        };
        let is_index_behind = || shared.index.as_ref().is_some_and(|index| index.is_dirty());
        if next == *last && !is_last && !is_index_behind() {
            return Ok(());
        }
        shared.dispatcher.write_out()?;
        shared.dispatcher.sync().map_err(|error| shared.poison(&error))?;
        if let Some(index) = &shared.index {
            index.sync_now_and_then().map_err(|error| shared.poison(&error))?;
            next.index_ms = next.index_ms.max(index.synced_ms());
        }
        if next != *last {
            self.file.write(&next).map_err(|error| shared.poison(&error))?;
        }
        *last = next;
        Ok(())
    }
}
