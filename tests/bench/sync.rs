//! Storing durably, beside what the disk itself does: a write and an `fdatasync`, again and again.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use broker_dev::store::disk::{Call, Disk, FaultyDisk, Open, RealDisk};
use broker_dev::store::{FlushMode, Store, StoreOptions};
use oxmq::clock::{Clock, SystemClock};

use crate::append_work::{BODY_BYTES, message};
use crate::latencies::{Latencies, median};
use crate::report::{Report, Row};
use crate::servers::Servers;
use crate::{Effort, proc};

const FILE_BYTES: u64 = 128 << 20;
/// Of the disk's own rate.
const GOAL: f64 = 0.8;
/// One sync of the disk's.
const MOST: f64 = 2.5;

/// How often something was synced, and how long that took.
#[derive(Debug)]
struct Synced {
    per_second: f64,
    p50: f64,
    p99: f64,
}

impl Synced {
    fn new(mut latencies: Latencies, syncs: f64, seconds: f64) -> Self {
        let (p50, p99) = (latencies.quantile(0.5), latencies.quantile(0.99));
        Self { per_second: syncs / seconds, p50, p99 }
    }

    fn values(&self) -> Vec<(&'static str, f64, &'static str)> {
        vec![("syncs", self.per_second, "/s"), ("p50", self.p50, "µs"), ("p99", self.p99, "µs")]
    }
}

pub(crate) fn measure(_: &mut Servers, effort: Effort, report: &mut Report) {
    for writers in [1, 64] {
        let what = format!("SYNC_FLUSH, 1 KiB, writers: {writers}");
        let mut shares = Vec::new();
        let mut tails = Vec::new();
        for _ in 0..effort.rounds {
            proc::settle_disk();
            let (store, batch) = store(writers, effort.run / 2);
            // What one sync of the store's brings to the disk, in whole pages; 4 KiB at least.
            let bytes = (batch * record_bytes()).next_multiple_of(4096);
            let disks = [("a growing part of a file", false), ("blocks written before", true)];
            let disks =
                disks.map(|(name, is_written)| (name, disk(bytes, is_written, effort.run / 4)));
            for (name, disk) in &disks {
                let whose = format!("the disk, {} KiB, {name}", bytes / 1024);
                report.add(Row { what: what.clone(), whose, values: disk.values() });
            }
            let better = if disks[1].1.per_second > disks[0].1.per_second {
                &disks[1].1
            } else {
                &disks[0].1
            };
            shares.push(store.per_second / better.per_second);
            tails.push(store.p99 / better.p50);
            let mut values = store.values();
            #[expect(clippy::cast_precision_loss, reason = "a small number")]
            values.push(("messages a sync", batch as f64, ""));
            report.add(Row { what: what.clone(), whose: "the store".to_owned(), values });
        }
        report.at_least(
            format!("{what}: syncs a second beside the disk's own"),
            median(shares),
            GOAL,
        );
        report.at_most(format!("{what}: p99 beside one sync of the disk's"), median(tails), MOST);
    }
}

/// Bytes of a record of [`message`].
fn record_bytes() -> usize {
    BODY_BYTES + 300
}

fn folder() -> tempfile::TempDir {
    let target = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target");
    tempfile::tempdir_in(target).unwrap()
}

/// Writes and syncs one place of a file after another.
fn disk(bytes: usize, is_written: bool, time: Duration) -> Synced {
    let folder = folder();
    let file = RealDisk.open(&folder.path().join("f"), Open::New).unwrap();
    RealDisk.set_length(&file, FILE_BYTES).unwrap();
    RealDisk.reserve(&file, 0, FILE_BYTES).unwrap();
    if is_written {
        let zeros = vec![0; 1 << 20];
        for at in (0..FILE_BYTES).step_by(zeros.len()) {
            RealDisk.write_at(&file, at, &zeros).unwrap();
        }
    }
    RealDisk.sync_data(&file).unwrap();
    let data = vec![7; bytes];
    let clock = SystemClock::new();
    let mut latencies = Latencies::default();
    let begin = clock.monotonic();
    let mut at = 0;
    while clock.monotonic() - begin < time && at + bytes as u64 <= FILE_BYTES {
        let before = clock.monotonic();
        RealDisk.write_at(&file, at, &data).unwrap();
        RealDisk.sync_data(&file).unwrap();
        latencies.record(clock.monotonic() - before);
        at += bytes as u64;
    }
    let seconds = (clock.monotonic() - begin).as_secs_f64();
    let syncs = latencies.len() as f64;
    Synced::new(latencies, syncs, seconds)
}

/// Stores one message at a time from so many threads; tells also how many messages a sync had.
fn store(writers: usize, time: Duration) -> (Synced, usize) {
    let folder = folder();
    let disk = Arc::new(FaultyDisk::new(Arc::new(RealDisk)));
    let store = open(folder.path(), disk.clone());
    // The first file is written to the disk in the background meanwhile.
    load(&store, writers, time / 4);
    let before = disk.calls(Call::SyncData);
    let clock = SystemClock::new();
    let latencies = load(&store, writers, time);
    let seconds = clock.monotonic().as_secs_f64();
    let syncs = (disk.calls(Call::SyncData) - before).max(1);
    let batch = latencies.len().div_ceil(usize::try_from(syncs).unwrap());
    (Synced::new(latencies, syncs as f64, seconds), batch)
}

fn open(folder: &Path, disk: Arc<dyn Disk>) -> Arc<Store> {
    let options = StoreOptions {
        root: folder.to_path_buf(),
        commit_log_file_bytes: FILE_BYTES,
        flush: FlushMode::Sync,
        checkpoint_interval: Duration::from_secs(60),
        ..StoreOptions::default()
    };
    Store::open(options, SystemClock::shared(), disk, Arc::new(())).unwrap()
}

fn load(store: &Store, writers: usize, time: Duration) -> Latencies {
    let clock = SystemClock::new();
    let body = vec![7; BODY_BYTES];
    let one = |queue| {
        let mut latencies = Latencies::default();
        let mut out = Vec::new();
        while clock.monotonic() < time {
            out.clear();
            let before = clock.monotonic();
            store.put_durable(&[message(&body, queue)], &mut out).unwrap();
            latencies.record(clock.monotonic() - before);
        }
        latencies
    };
    let one = &one;
    thread::scope(|scope| {
        let threads: Vec<_> = (0..writers)
            .map(|writer| scope.spawn(move || one(i32::try_from(writer % 8).unwrap())))
            .collect();
        threads.into_iter().fold(Latencies::default(), |mut all, thread| {
            all.merge(thread.join().unwrap());
            all
        })
    })
}
