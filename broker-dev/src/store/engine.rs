//! The store as a whole: opening, closing, and what its threads share.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use oxmq::clock::SharedClock;

use super::StoreEvents;
use super::checkpoint::{Checkpoint, CheckpointFile};
use super::commit_log::CommitLog;
use super::consume_queue::QueueTable;
use super::disk::{self, Disk, FolderLock, Open};
use super::dispatch::{DispatchSink, Dispatcher, Run};
use super::error::{Context, StoreError};
use super::flush::{Poison, SyncOwner};
use super::housekeeping::{Checkpointer, Preparer};
use super::index::{Index, IndexLine};
use super::options::{FlushMode, StoreOptions};
use super::recovery::{self, RecoveryReport};
use super::retention::Retention;

/// Bytes of log that the dispatch may stay behind the appends.
const MOST_BEHIND: i64 = 256 << 10;

/// What all parts of an open store can reach.
pub(crate) struct Shared {
    pub(crate) options: StoreOptions,
    pub(crate) clock: SharedClock,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) events: Arc<dyn StoreEvents>,
    pub(crate) log: CommitLog,
    pub(crate) table: Arc<QueueTable>,
    pub(crate) index: Option<Arc<Index>>,
    pub(crate) index_line: Option<IndexLine>,
    pub(crate) dispatcher: Dispatcher,
    pub(crate) sync: SyncOwner,
    pub(crate) preparer: Preparer,
    pub(crate) checkpointer: Checkpointer,
    pub(crate) poison: Poison,
    pub(crate) retention: Retention,
    is_closed: AtomicBool,
}

impl Shared {
    /// Fails once the store is closed or poisoned.
    pub(crate) fn check_open(&self) -> Result<(), StoreError> {
        if self.is_closed.load(Ordering::Acquire) {
            return Err(StoreError::Closed);
        }
        self.poison.check()
    }

    /// Fails also while records stand in the log that cannot be dispatched: a producer must not
    /// be told "stored" for ever more messages that no consumer will see.
    pub(crate) fn check_writable(&self) -> Result<(), StoreError> {
        self.check_open()?;
        if self.retention.is_full() {
            return Err(StoreError::DiskFull { folder: self.options.root.clone() });
        }
        if self.dispatcher.is_stalled() {
            self.dispatcher.run(&self.log, || self.dispatch_limit(), &*self.events)?;
        }
        match &self.index_line {
            Some(line) if line.is_stalled() => line.catch_up(self),
            _ => Ok(()),
        }
    }

    /// Up to where messages may become readable. With [`FlushMode::Sync`] only what is durable,
    /// as with Apache's broker: nobody acts on a message that a power cut takes back.
    fn dispatch_limit(&self) -> i64 {
        match self.options.flush {
            FlushMode::Async => self.log.end(),
            FlushMode::Sync => self.sync.durable(),
        }
    }

    /// Dispatches what there is, or leaves it to whoever is at it.
    ///
    /// Writers who are far ahead of it wait for it, so that what is stored can soon be read.
    pub(crate) fn dispatch(&self) {
        let limit = self.dispatch_limit();
        let is_far_behind = limit - self.dispatcher.position() > MOST_BEHIND;
        let ran = if is_far_behind {
            self.dispatcher.run_to_end(&self.log, limit, &*self.events).map(|()| Run::Done)
        } else {
            self.dispatcher.run(&self.log, || self.dispatch_limit(), &*self.events)
        };
        match ran {
            Ok(Run::Done) => {}
            Ok(Run::HandOver) => self.preparer.dispatch(),
            // Writes are refused until an attempt succeeds.
            Err(error) => tracing::warn!(%error, "stored messages cannot be made readable yet"),
        }
        if let Some(line) = &self.index_line {
            line.follow(self);
        }
    }

    /// Ends writing after a failed sync; returns what writers get.
    pub(crate) fn poison(&self, cause: &StoreError) -> StoreError {
        let is_first = self.poison.error().is_none();
        let error = self.poison.set(cause);
        if is_first {
            tracing::error!(%cause, "a sync failed: the store takes no more writes");
            self.events.poisoned(&error);
        }
        error
    }

    fn abort_path(&self) -> PathBuf {
        self.options.root.join("abort")
    }
}

/// An open store. Dropping it without [`close`](Self::close) leaves the folder as a crash would.
pub struct Store {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    report: RecoveryReport,
    _lock: Box<dyn FolderLock>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("root", &self.shared.options.root).finish_non_exhaustive()
    }
}

impl Store {
    /// Opens a store, or makes a new one: takes the folder's lock, and recovers what is there.
    ///
    /// The file sizes of an existing store overrule those of the options.
    ///
    /// # Errors
    /// [`StoreError::Locked`] if another broker has the folder; [`StoreError::BadOptions`];
    /// [`StoreError::Io`] and [`StoreError::Full`]. Damaged files are no error: see
    /// [`recovery`](Self::recovery).
    pub fn open(
        mut options: StoreOptions,
        clock: SharedClock,
        disk: Arc<dyn Disk>,
        events: Arc<dyn StoreEvents>,
    ) -> Result<Arc<Self>, StoreError> {
        options.check()?;
        for dir in [&options.root, &options.commit_log_dir(), &options.consume_queue_dir()] {
            disk::make_lasting(&*disk, dir).context(dir, "create")?;
        }
        let lock = lock_folder(&*disk, &options)?;
        let is_clean = mark_running(&*disk, &options)?;
        let (file, mut checkpoint) = CheckpointFile::open(Arc::clone(&disk), &options.root)?;
        let index = options.message_index.then(|| {
            let (dir, geometry) = (options.index_dir(), options.index_geometry());
            Arc::new(Index::new(dir, geometry, Arc::clone(&disk), Arc::clone(&clock)))
        });
        // What is derived from the log besides the consume queues.
        let derived: Vec<Arc<dyn DispatchSink>> =
            index.iter().map(|index| Arc::clone(index) as _).collect();
        let trusted = Checkpoint {
            index_ms: if index.is_some() { checkpoint.index_ms } else { i64::MAX },
            ..checkpoint
        };
        let recovered = recovery::recover(&mut options, &disk, trusted, is_clean, &derived)?;
        // The index follows behind them on its own.
        let sinks: Vec<Arc<dyn DispatchSink>> = vec![Arc::clone(&recovered.table) as _];
        let (end, last_ms) = (recovered.log.end(), recovered.log.last_store_ms());
        if let Some(index) = &index {
            index.is_complete_to(last_ms);
        }
        if checkpoint.durable > end {
            // What comes to stand behind the end now is not what was synced there once.
            checkpoint.durable = end;
            file.write(&checkpoint)?;
        }
        let shared = Arc::new(Shared {
            retention: Retention::new(clock.now_ms()),
            clock,
            disk,
            events,
            log: recovered.log,
            table: recovered.table,
            index_line: index.as_ref().map(|index| IndexLine::new(Arc::clone(index), end, last_ms)),
            index,
            dispatcher: Dispatcher::new(sinks, end, last_ms),
            sync: SyncOwner::new(recovered.durable),
            preparer: Preparer::default(),
            checkpointer: Checkpointer::new(file, checkpoint),
            poison: Poison::default(),
            is_closed: AtomicBool::new(false),
            options,
        });
        let threads = Mutex::new(start_threads(&shared)?);
        // What a killed process left in the operating system's memory.
        shared.sync.request(end);
        Ok(Arc::new(Self { shared, threads, report: recovered.report, _lock: lock }))
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// The options in force, file sizes as found in the folder.
    pub fn options(&self) -> &StoreOptions {
        &self.shared.options
    }

    /// What opening the store found and did.
    pub fn recovery(&self) -> &RecoveryReport {
        &self.report
    }

    /// Asks for a sync up to an offset and returns; [`StoreEvents::durable`] tells when it is done.
    pub fn request_sync(&self, end_offset: i64) {
        self.shared.sync.request(end_offset);
    }

    /// Offset before which the commit log is on the disk.
    pub fn durable_offset(&self) -> i64 {
        self.shared.sync.durable()
    }

    /// Why the store takes no more writes, if a sync failed.
    pub fn is_poisoned(&self) -> Option<StoreError> {
        self.shared.poison.error()
    }

    /// Waits until everything stored so far is on the disk. What can be made again from the log is
    /// handed to the operating system.
    ///
    /// # Errors
    /// [`StoreError::Poisoned`], [`StoreError::Closed`]; or there is no room for derived files.
    pub fn flush(&self) -> Result<(), StoreError> {
        self.shared.sync.sync_to(self.shared.log.end(), &self.shared)?;
        self.shared.dispatcher.write_out()
    }

    /// Brings everything to the disk and marks the folder as cleanly closed. Writes fail from now
    /// on; a second call does nothing.
    ///
    /// # Errors
    /// The first thing that failed; the folder then stays marked as not cleanly closed, and the
    /// next open looks at it as after a crash.
    pub fn close(&self) -> Result<(), StoreError> {
        let shared = &self.shared;
        if shared.is_closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        self.stop_threads();
        shared.sync.sync_last(shared)?;
        shared.dispatcher.run_to_end(&shared.log, shared.log.end(), &*shared.events)?;
        if let (Some(index), Some(line)) = (&shared.index, &shared.index_line) {
            line.catch_up(shared)?;
            index.sync_now().map_err(|error| shared.poison(&error))?;
        }
        shared.checkpointer.write(shared, true)?;
        shared.log.remove_spare()?;
        let (abort, root) = (shared.abort_path(), &shared.options.root);
        let log_dir = shared.log.files().dir();
        shared.disk.sync_dir(log_dir).context(log_dir, "sync")?;
        shared.disk.remove_file(&abort).context(&abort, "remove")?;
        shared.disk.sync_dir(root).context(root, "sync")
    }

    fn stop_threads(&self) {
        self.shared.sync.stop();
        self.shared.preparer.stop();
        self.shared.checkpointer.stop();
        self.shared.index_line.iter().for_each(IndexLine::stop);
        let threads =
            std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            // A callback may drop the last handle, and then runs on one of these threads.
            if thread.thread().id() != std::thread::current().id() && thread.join().is_err() {
                tracing::error!("a thread of the store panicked");
            }
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.stop_threads();
    }
}

fn lock_folder(disk: &dyn Disk, options: &StoreOptions) -> Result<Box<dyn FolderLock>, StoreError> {
    let path = options.root.join("lock");
    match disk.lock(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
            Err(StoreError::Locked { folder: options.root.clone() })
        }
        locked => locked.context(&path, "lock"),
    }
}

/// Writes `abort`, which a clean close removes; tells whether it was missing.
fn mark_running(disk: &dyn Disk, options: &StoreOptions) -> Result<bool, StoreError> {
    let path = options.root.join("abort");
    let (file, is_clean) = match disk.open(&path, Open::New) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            (disk.open(&path, Open::Existing).context(&path, "open")?, false)
        }
        opened => (opened.context(&path, "create")?, true),
    };
    let process = std::process::id().to_string();
    disk.set_length(&file, process.len() as u64).context(&path, "set the length of")?;
    disk.write_at(&file, 0, process.as_bytes()).context(&path, "write")?;
    disk.sync_dir(&options.root).context(&options.root, "sync")?;
    Ok(is_clean)
}

fn start_threads(shared: &Arc<Shared>) -> Result<Vec<JoinHandle<()>>, StoreError> {
    let start = |name: &str, work: fn(&Shared)| {
        let own = Arc::clone(shared);
        std::thread::Builder::new()
            .name(name.into())
            .spawn(move || work(&own))
            .context(&shared.options.root, "start a thread for")
    };
    let mut threads = vec![
        start("store-sync", |shared| shared.sync.run(shared))?,
        start("store-prepare", |shared| shared.preparer.run(shared))?,
        start("store-checkpoint", |shared| shared.checkpointer.run(shared))?,
    ];
    if shared.index_line.is_some() {
        threads.push(start("store-index", |shared| {
            shared.index_line.iter().for_each(|line| line.run(shared));
        })?);
    }
    Ok(threads)
}
