//! Storing faster than the disk takes it, for long: does it slow down, or stop now and then?

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use broker_dev::store::disk::RealDisk;
use broker_dev::store::{Store, StoreOptions};
use oxmq::clock::{Clock, SystemClock};

use crate::append_work::{BODY_BYTES, message};
use crate::latencies::Latencies;
use crate::report::{Report, Row};
use crate::servers::Servers;
use crate::{Effort, proc};

/// Files of the log that are kept; older ones go while the load runs, so that the disk lasts.
const FILE_BYTES: u64 = 128 << 20;
const A_TURN: usize = 16;
/// p99 of an append, milliseconds.
const GOAL_MS: f64 = 20.0;
/// The log ends here, whatever its time.
const MOST_BYTES: i64 = 24 << 30;

pub(crate) fn measure(_: &mut Servers, effort: Effort, report: &mut Report) {
    let what = "ASYNC_FLUSH, 1 KiB, faster than the disk";
    proc::settle_disk();
    let target = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target");
    let folder = tempfile::tempdir_in(target).unwrap();
    let options = StoreOptions {
        root: folder.path().to_path_buf(),
        commit_log_file_bytes: FILE_BYTES,
        ..StoreOptions::default()
    };
    let store = Store::open(options, SystemClock::shared(), Arc::new(RealDisk), Arc::new(()));
    let (mut turns, seconds) = load(&store.unwrap(), effort.run * 12);
    let total: usize = seconds.iter().sum();
    #[expect(clippy::cast_precision_loss, reason = "counts of messages")]
    let rates: Vec<f64> = seconds.iter().map(|count| *count as f64).collect();
    let whole = rates.get(1..rates.len().saturating_sub(1)).unwrap_or_default();
    let slowest = whole.iter().copied().fold(f64::INFINITY, f64::min);
    let p99 = turns.quantile(0.99);
    #[expect(clippy::cast_precision_loss, reason = "counts of messages")]
    let values = vec![
        ("rate", total as f64 / seconds.len() as f64, "msg/s"),
        ("slowest second", slowest, "msg/s"),
        ("p50", turns.quantile(0.5), "µs"),
        ("p99", p99, "µs"),
        ("p99.9", turns.quantile(0.999), "µs"),
        ("longest", turns.quantile(1.0), "µs"),
    ];
    report.add(Row { what: what.to_owned(), whose: "the store".to_owned(), values });
    report.at_most(format!("{what}: p99 of an append, ms"), p99 / 1e3, GOAL_MS);
}

/// Durations of turns, and messages stored in each second.
fn load(store: &Store, time: Duration) -> (Latencies, Vec<usize>) {
    let clock = SystemClock::new();
    let body = vec![7; BODY_BYTES];
    let turn: Vec<_> = (0..A_TURN).map(|_| message(&body, 0)).collect();
    let (mut turns, mut seconds, mut out) = (Latencies::default(), vec![0], Vec::new());
    loop {
        let before = clock.monotonic();
        if before >= time || store.commit_log_range().1 >= MOST_BYTES {
            return (turns, seconds);
        }
        let second = usize::try_from(before.as_secs()).unwrap();
        seconds.resize(second + 1, 0);
        out.clear();
        store.put(&turn, &mut out).unwrap();
        turns.record(clock.monotonic() - before);
        seconds[second] += A_TURN;
    }
}
