//! 10,000 topics with 8 queues each, beside one topic.

use std::path::Path;
use std::sync::Arc;

use broker_dev::store::disk::RealDisk;
use broker_dev::store::{Store, StoreOptions};
use oxmq::clock::{Clock, SystemClock};

use crate::Effort;
use crate::append_work::{folder, message_to};
use crate::latencies::{Latencies, median};
use crate::proc::{anonymous_mib, settle_disk};
use crate::report::{Report, Row};
use crate::servers::{OURS, Servers};

const QUEUES: usize = 8;
const TOPICS: usize = 10_000;
/// Queues one after another are far from each other in every table.
const STRIDE: usize = 30_011;

pub(crate) fn measure(_: &mut Servers, effort: Effort, report: &mut Report) {
    let rounds: Vec<_> = (0..effort.rounds)
        .map(|_| {
            // The many first: what they free, the one would not have to ask for.
            let many = round(TOPICS, effort.messages * 5);
            (round(1, effort.messages * 5), many)
        })
        .collect();
    let values = |pick: &dyn Fn(&Outcome) -> f64| {
        let one = median(rounds.iter().map(|(one, _)| pick(one)).collect());
        let many = median(rounds.iter().map(|(_, many)| pick(many)).collect());
        (one, many)
    };
    let p50 = values(&|outcome| outcome.p50);
    let p99 = values(&|outcome| outcome.p99);
    let clean = values(&|outcome| outcome.open_clean);
    let killed = values(&|outcome| outcome.open_killed);
    let append = values(&|outcome| outcome.memory);
    let row = |topics: usize, pick: fn((f64, f64)) -> f64| Row {
        what: format!("topics with 8 queues: {topics}"),
        whose: OURS.to_owned(),
        values: vec![
            ("append p50", pick(p50), "µs"),
            ("p99", pick(p99), "µs"),
            ("memory after the appends", pick(append), "MiB"),
            ("open after a clean stop", pick(clean), "ms"),
            ("open after a crash", pick(killed), "ms"),
        ],
    };
    report.add(row(1, |pair| pair.0));
    report.add(row(TOPICS, |pair| pair.1));
    let share = median(rounds.iter().map(|(one, many)| many.p99 / one.p99).collect());
    report.at_most(format!("{TOPICS} topics: append p99 beside one topic's"), share, 1.5);
    report.at_most(format!("{TOPICS} topics: seconds to open"), clean.1 / 1e3, 2.0);
    report.at_most(format!("{TOPICS} topics: seconds to open after a crash"), killed.1 / 1e3, 2.0);
}

struct Outcome {
    p50: f64,
    p99: f64,
    memory: f64,
    open_clean: f64,
    open_killed: f64,
}

fn round(topics: usize, messages: usize) -> Outcome {
    settle_disk();
    let folder = folder();
    let names: Vec<String> = (0..topics).map(|topic| format!("topic-{topic:05}")).collect();
    let before = memory();
    let store = open(folder.path());
    let body = vec![7; 1024];
    let mut out = Vec::with_capacity(1);
    let mut put = |nth: usize| {
        let place = nth.wrapping_mul(STRIDE) % (topics * QUEUES);
        let queue = i32::try_from(place % QUEUES).unwrap();
        out.clear();
        store.put(&[message_to(&names[place / QUEUES], queue, &body)], &mut out).unwrap();
    };
    // Every queue has a message before anything is measured, and its file.
    (0..TOPICS * QUEUES).for_each(&mut put);
    store.flush().unwrap();
    settle_disk();
    let mut latencies = Latencies::default();
    let clock = SystemClock::new();
    for nth in 0..messages {
        let began = clock.monotonic();
        put(nth);
        latencies.record(clock.monotonic() - began);
    }
    let memory = memory() - before;
    // As a crash would leave the folder, but for what the kernel has still to write.
    drop(store);
    settle_disk();
    let (store, open_killed) = timed_open(folder.path());
    store.close().unwrap();
    drop(store);
    settle_disk();
    let (store, open_clean) = timed_open(folder.path());
    drop(store);
    let (p50, p99) = (latencies.quantile(0.5), latencies.quantile(0.99));
    Outcome { p50, p99, memory, open_clean, open_killed }
}

fn memory() -> f64 {
    anonymous_mib(i32::try_from(std::process::id()).unwrap())
}

fn timed_open(root: &Path) -> (Arc<Store>, f64) {
    let clock = SystemClock::new();
    let store = open(root);
    (store, clock.monotonic().as_secs_f64() * 1e3)
}

fn open(root: &Path) -> Arc<Store> {
    let options = StoreOptions {
        root: root.to_path_buf(),
        commit_log_file_bytes: 128 << 20,
        ..StoreOptions::default()
    };
    Store::open(options, SystemClock::shared(), Arc::new(RealDisk), Arc::new(())).unwrap()
}
