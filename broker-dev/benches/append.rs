//! Appending 1 KiB messages beside copying the same bytes into a reserved mapped file.
//!
//! `cargo bench -p oxmq-broker-dev --bench append`. Each figure is taken in turn with its peer, in
//! fresh folders on the same disk; page faults are in both. The ratios come first: they are what
//! can be compared between machines and hours.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use broker_dev::store::bare::BareCopy;
use broker_dev::store::disk::RealDisk;
use broker_dev::store::{PutMessage, Store, StoreOptions};
use criterion::{Criterion, Throughput, criterion_group};
use oxmq::clock::SystemClock;

const BODY_BYTES: usize = 1024;
const FILE_BYTES: u64 = 64 << 20;
const MESSAGES: usize = 200_000;
const ROUNDS: usize = 9;
const PROPERTIES: &str = "UNIQ_KEY\u{1}7F0000010001000000000000000012AB\u{2}TAGS\u{1}paid\u{2}\
    KEYS\u{1}order-42\u{2}WAIT\u{1}true\u{2}CLUSTER\u{1}DefaultCluster\u{2}";
const TOPIC: &str = "orders";

fn message(body: &[u8], queue_id: i32) -> PutMessage<'_> {
    PutMessage {
        topic: TOPIC,
        queue_id,
        flag: 0,
        sys_flag: 0,
        born_timestamp: 1_700_000_000_000,
        born_host: ([127, 0, 0, 1], 40_000).into(),
        store_host: ([127, 0, 0, 1], 10_911).into(),
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body,
        properties: PROPERTIES,
    }
}

/// Bytes of the record of such a message.
const RECORD_BYTES: usize = 91 + BODY_BYTES + TOPIC.len() + PROPERTIES.len();

fn folder() -> tempfile::TempDir {
    // The disk that stores live on, not a temporary file system in memory.
    let target = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target");
    tempfile::tempdir_in(target).expect("a folder in target/")
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

fn bare(messages: usize) -> Duration {
    let folder = folder();
    let file_bytes = usize::try_from(FILE_BYTES).expect("64 bits");
    let mut copy = BareCopy::new(folder.path(), file_bytes, Arc::new(RealDisk)).expect("a file");
    let record = vec![7; RECORD_BYTES];
    timed(|| (0..messages).for_each(|_| copy.append(&record).expect("room")))
}

fn store(messages: usize, a_turn: usize, writers: usize) -> Duration {
    let folder = folder();
    let options = StoreOptions {
        root: folder.path().to_path_buf(),
        commit_log_file_bytes: FILE_BYTES,
        ..StoreOptions::default()
    };
    let store = Store::open(options, SystemClock::shared(), Arc::new(RealDisk), Arc::new(()))
        .expect("a store");
    let body = vec![7; BODY_BYTES];
    timed(|| {
        std::thread::scope(|scope| {
            for writer in 0..writers {
                let (store, body) = (&store, &body);
                scope.spawn(move || {
                    let mut out = Vec::with_capacity(a_turn);
                    let queue = i32::try_from(writer).unwrap_or(0);
                    let turn: Vec<_> = (0..a_turn).map(|_| message(body, queue)).collect();
                    for _ in 0..messages / a_turn / writers {
                        out.clear();
                        store.put(&turn, &mut out).expect("stored");
                    }
                });
            }
        });
    })
}

#[expect(clippy::print_stdout, reason = "the ratios are the benchmark's result")]
fn ratios() {
    for (a_turn, writers) in [(1, 1), (64, 1), (1, 4), (64, 4)] {
        let mut ratios: Vec<f64> = (0..ROUNDS)
            .map(|_| bare(MESSAGES).as_secs_f64() / store(MESSAGES, a_turn, writers).as_secs_f64())
            .collect();
        ratios.sort_by(f64::total_cmp);
        let at = |place: usize| ratios.get(place).copied().unwrap_or_default() * 100.0;
        println!(
            "append, {writers} writers, {a_turn} a turn: {:.0} % of a bare copy ({:.0}-{:.0})",
            at(ROUNDS / 2),
            at(0),
            at(ROUNDS - 1)
        );
    }
}

fn append(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("append 1 KiB");
    group.sample_size(10).throughput(Throughput::Elements(1));
    let messages = |wanted: u64| usize::try_from(wanted).unwrap_or(usize::MAX).max(64);
    group.bench_function("bare copy", |bench| bench.iter_custom(|n| bare(messages(n))));
    for a_turn in [1, 64] {
        group.bench_function(format!("store, {a_turn} a turn"), |bench| {
            bench.iter_custom(|n| store(messages(n).next_multiple_of(64), a_turn, 1));
        });
    }
    group.finish();
}

criterion_group!(benches, append);

fn main() {
    ratios();
    benches();
    Criterion::default().configure_from_args().final_summary();
}
