//! How a store is laid out and how careful it is.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::consume_queue::{BATCH_UNIT_BYTES, QueueKind, UNIT_BYTES};
use super::error::StoreError;
use super::index::Geometry;
use super::retention::RetentionOptions;

/// Bytes of the longest extension, and of what stays free behind it.
const MAX_EXTENSION: u64 = i16::MAX as u64 + 4;

/// When a message counts as stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum FlushMode {
    /// Once it is in the operating system's memory; the disk follows within
    /// [`StoreOptions::flush_interval`], or for the last few pages within
    /// [`StoreOptions::flush_thorough_interval`]. A killed process loses nothing, a power cut the
    /// last interval. RocketMQ: `ASYNC_FLUSH`.
    #[default]
    Async,
    /// Once it is on the disk; one sync serves all that wait. RocketMQ: `SYNC_FLUSH`.
    Sync,
}

/// Options of [`Store::open`](super::Store::open).
#[derive(Debug, Clone, PartialEq)]
pub struct StoreOptions {
    /// The store's folder. Default `store`.
    pub root: PathBuf,
    /// The commit log's folder; default `commitlog` in the root.
    pub commit_log_path: Option<PathBuf>,
    /// Bytes of a commit-log file. Default 1 GiB, at most `i32::MAX`. The files of an existing
    /// store overrule it. Each is taken from the disk whole, and one more ahead of need.
    pub commit_log_file_bytes: u64,
    /// Bytes of a consume-queue file, a multiple of 20. Default 6,000,000. The files of an
    /// existing store overrule it. Blocks are taken as they are needed.
    pub consume_queue_file_bytes: u64,
    /// Bytes of a batch-queue file, a multiple of 46. Default 13,800,000. The files of an existing
    /// store overrule it.
    pub batch_queue_file_bytes: u64,
    /// Whether units are extended by what has no room in them, in the folder `consumequeue_ext`.
    /// Default no. Without it, tags cannot be told from the units that were written with it.
    pub queue_extensions: bool,
    /// Bytes of an extension file. Default 48 MiB. The files of an existing store overrule it.
    pub extension_file_bytes: u64,
    /// What the queues of topics are like. A topic whose folder says otherwise is an error; that of
    /// any other topic is what its folder says, or simple. Default none.
    pub queue_kinds: BTreeMap<String, QueueKind>,
    /// Whether a message may name light topics in whose queues it stands too. Default no.
    pub multi_dispatch: bool,
    /// Most light topics. Default 20,000.
    pub max_light_topics: usize,
    /// Most consume-queue files that are open at the same time. Default 512.
    pub max_open_queue_files: usize,
    /// Most bytes of consume-queue units that are in memory only, before whoever adds one writes
    /// them out. Default 64 MiB.
    pub queue_memory_bytes: usize,
    /// When a message counts as stored.
    pub flush: FlushMode,
    /// Longest time between two syncs of a log that grows, in [`FlushMode::Async`]: by
    /// [`flush_least_pages`](Self::flush_least_pages) or more. Default 500 ms.
    pub flush_interval: Duration,
    /// In [`FlushMode::Async`] a log that grew by fewer pages of 4 KiB since its last sync waits
    /// for more of them, or for [`flush_thorough_interval`](Self::flush_thorough_interval). 0: the
    /// interval alone counts. Default 4.
    pub flush_least_pages: u32,
    /// Longest time between two syncs of a log that grew at all. Default 10 s.
    pub flush_thorough_interval: Duration,
    /// In [`FlushMode::Async`], bytes that may be stored and not written back yet; whoever stores
    /// more waits for the disk. More takes longer bursts at the speed of memory, until the kernel
    /// itself stops the writer, for long. From half of it on the log is written back without
    /// waiting for the interval. Default 1 GiB.
    pub max_unsynced_bytes: u64,
    /// How long a caller should wait for durability before it answers "flush timed out"; the store
    /// itself does not wait. Default 5 s.
    pub sync_flush_timeout: Duration,
    /// Time between two checkpoints of a store that changes: what a recovery after a crash has to
    /// look at grows with it. Default 1 s.
    pub checkpoint_interval: Duration,
    /// Longest body, bytes. Default 4 MiB.
    pub max_message_bytes: usize,
    /// Whether messages can be looked up by key: index files are kept. Default true.
    pub message_index: bool,
    /// Hash slots of an index file. Default 5,000,000. The files of an existing store overrule it.
    pub index_slots: u32,
    /// Entries of an index file, one of which is never used. Default 20,000,000. The files of an
    /// existing store overrule it. Blocks are taken as they are needed.
    pub index_entries: u32,
    /// Most messages that one [`Store::query`](super::Store::query) finds. Default 64.
    pub max_query_messages: usize,
    /// Whether each record ends in a CRC of all of it, its head and properties included, as its
    /// last property. Default `false`: the CRC of the body is always there.
    pub append_record_crc: bool,
    /// Whether a recovery checks that CRC where a record has one. Default `false`.
    pub verify_record_crc: bool,
    /// Which files go, and when.
    pub retention: RetentionOptions,
    /// Delays of the levels 1, 2, … that a message's `DELAY` names, ms. Default: Apache's 18 from
    /// one second to two hours.
    pub delay_levels_ms: Vec<i64>,
}

impl Default for StoreOptions {
    fn default() -> Self {
        const SECOND: i64 = 1_000;
        const MINUTE: i64 = 60 * SECOND;
        let mut delay_levels_ms = vec![SECOND, 5 * SECOND, 10 * SECOND, 30 * SECOND];
        delay_levels_ms.extend((1..=10).map(|minutes| minutes * MINUTE));
        delay_levels_ms.extend([20 * MINUTE, 30 * MINUTE, 60 * MINUTE, 120 * MINUTE]);
        Self {
            root: PathBuf::from("store"),
            commit_log_path: None,
            commit_log_file_bytes: 1 << 30,
            consume_queue_file_bytes: 6_000_000,
            batch_queue_file_bytes: 13_800_000,
            queue_extensions: false,
            extension_file_bytes: 48 << 20,
            queue_kinds: BTreeMap::new(),
            multi_dispatch: false,
            max_light_topics: 20_000,
            max_open_queue_files: 512,
            queue_memory_bytes: 64 << 20,
            flush: FlushMode::Async,
            flush_interval: Duration::from_millis(500),
            flush_least_pages: 4,
            flush_thorough_interval: Duration::from_secs(10),
            max_unsynced_bytes: 1 << 30,
            sync_flush_timeout: Duration::from_secs(5),
            checkpoint_interval: Duration::from_secs(1),
            max_message_bytes: 4 << 20,
            message_index: true,
            index_slots: Geometry::APACHE.slots,
            index_entries: Geometry::APACHE.entries,
            max_query_messages: 64,
            retention: RetentionOptions::default(),
            append_record_crc: false,
            verify_record_crc: false,
            delay_levels_ms,
        }
    }
}

impl StoreOptions {
    /// The commit log's folder.
    pub fn commit_log_dir(&self) -> PathBuf {
        self.commit_log_path.clone().unwrap_or_else(|| self.root.join("commitlog"))
    }

    /// The consume queues' folder.
    pub fn consume_queue_dir(&self) -> PathBuf {
        self.root.join("consumequeue")
    }

    /// The batch queues' folder.
    pub fn batch_queue_dir(&self) -> PathBuf {
        self.root.join("batchconsumequeue")
    }

    /// The folder of the consume queues' extensions.
    pub fn extension_dir(&self) -> PathBuf {
        self.root.join("consumequeue_ext")
    }

    /// The index files' folder.
    pub fn index_dir(&self) -> PathBuf {
        self.root.join("index")
    }

    /// How large index files are made.
    pub(crate) fn index_geometry(&self) -> Geometry {
        Geometry { slots: self.index_slots, entries: self.index_entries }
    }

    /// Checks sizes before anything is opened.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        let bad = |reason: String| Err(StoreError::BadOptions { reason });
        let log = self.commit_log_file_bytes;
        if log < 1024 || i32::try_from(log).is_err() {
            return bad(format!(
                "commit-log files of {log} bytes: 1024 to {} are possible",
                i32::MAX
            ));
        }
        for (kind, bytes, unit) in [
            ("consume-queue", self.consume_queue_file_bytes, UNIT_BYTES),
            ("batch-queue", self.batch_queue_file_bytes, BATCH_UNIT_BYTES),
        ] {
            if bytes == 0 || !bytes.is_multiple_of(unit as u64) || i32::try_from(bytes).is_err() {
                return bad(format!("{kind} files of {bytes} bytes: take a multiple of {unit}"));
            }
        }
        let ext = self.extension_file_bytes;
        if ext <= MAX_EXTENSION || i32::try_from(ext).is_err() {
            return bad(format!("extension files of {ext} bytes: take more than {MAX_EXTENSION}"));
        }
        let (index, bytes) = (self.index_geometry(), self.index_geometry().file_bytes());
        if index.slots == 0 || index.entries < 2 || i32::try_from(bytes).is_err() {
            let Geometry { slots, entries } = index;
            return bad(format!("index files of {slots} slots and {entries} entries"));
        }
        Ok(())
    }
}
