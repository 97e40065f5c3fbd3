//! Dispatch into queues and index, and messages found by key, without any broker: the store alone.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use broker_dev::store::disk::RealDisk;
use broker_dev::store::{Arrived, PutMessage, Store, StoreEvents, StoreOptions};
use oxmq::clock::{SharedClock, SystemClock};

use crate::Effort;
use crate::latencies::{median, quantile};
use crate::report::{Report, Row};
use crate::servers::Servers;

/// Threads that append, each to a queue of its own.
const WRITERS: usize = 4;
/// Messages of one turn of a writer.
const A_TURN: usize = 4;
const TOPIC: &str = "orders";
/// Messages among which one is looked for.
const AMONG: u64 = 10_000_000;
const FOUND: u64 = 20_000;

pub(crate) fn measure(_: &mut Servers, effort: Effort, report: &mut Report) {
    dispatch(effort, report);
    queries(effort, report);
}

fn folder() -> tempfile::TempDir {
    // The disk that stores live on, not a temporary file system in memory.
    let target = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target");
    tempfile::tempdir_in(target).expect("a folder in target/")
}

fn message<'a>(body: &'a [u8], queue_id: usize, properties: &'a str) -> PutMessage<'a> {
    PutMessage {
        topic: TOPIC,
        queue_id: i32::try_from(queue_id).unwrap(),
        flag: 0,
        sys_flag: 0,
        born_timestamp: 1_700_000_000_000,
        born_host: ([127, 0, 0, 1], 40_000).into(),
        store_host: ([127, 0, 0, 1], 10_911).into(),
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body,
        properties,
    }
}

fn properties(number: u64) -> String {
    format!(
        "UNIQ_KEY\u{1}7F00000100010000000{number:013X}\u{2}TAGS\u{1}paid\u{2}\
         KEYS\u{1}order-{number}\u{2}WAIT\u{1}true\u{2}CLUSTER\u{1}DefaultCluster\u{2}"
    )
}

/// When the puts of each queue's messages began, and how long after that they were readable.
#[derive(Debug)]
struct Lag {
    clock: SharedClock,
    /// Nanoseconds, by queue and offset.
    begun: Vec<Vec<AtomicU64>>,
    seen: Mutex<(Vec<usize>, Vec<f64>)>,
}

impl Lag {
    fn new(clock: SharedClock, messages: usize) -> Self {
        let times = || (0..messages).map(|_| AtomicU64::new(0)).collect();
        Self {
            clock,
            begun: (0..WRITERS).map(|_| times()).collect(),
            seen: Mutex::new((vec![0; WRITERS], Vec::with_capacity(messages * WRITERS))),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.clock.monotonic().as_nanos()).unwrap()
    }
}

impl StoreEvents for Lag {
    fn dispatched(&self, arrived: &[Arrived]) {
        let now = self.now();
        let (next, lags) = &mut *self.seen.lock().unwrap();
        for arrived in arrived {
            let queue = usize::try_from(arrived.queue_id).unwrap();
            while next[queue] < usize::try_from(arrived.max_offset).unwrap() {
                let begun = self.begun[queue][next[queue]].load(Ordering::Relaxed);
                lags.push(now.saturating_sub(begun) as f64 / 1e6);
                next[queue] += 1;
            }
        }
    }
}

/// Appends of a second or so: messages a second until the last put returned, and until all could
/// be read; and how long each took from its put to being readable, ms.
fn run(messages: usize, message_index: bool) -> Run {
    let folder = folder();
    let options = StoreOptions {
        root: folder.path().to_path_buf(),
        commit_log_file_bytes: 256 << 20,
        message_index,
        ..StoreOptions::default()
    };
    let clock = SystemClock::shared();
    let lag = Arc::new(Lag::new(Arc::clone(&clock), messages));
    let store = Store::open(options, Arc::clone(&clock), Arc::new(RealDisk), lag.clone()).unwrap();
    let body = vec![7; 1024];
    let texts: Vec<Vec<String>> = (0..WRITERS)
        .map(|writer| {
            (0..messages).map(|number| properties((number * WRITERS + writer) as u64)).collect()
        })
        .collect();
    let begun = clock.monotonic();
    std::thread::scope(|scope| {
        for (writer, texts) in texts.iter().enumerate() {
            let (store, body, lag) = (&store, &body, &lag);
            scope.spawn(move || {
                let mut out = Vec::new();
                for (texts, times) in texts.chunks(A_TURN).zip(lag.begun[writer].chunks(A_TURN)) {
                    let turn: Vec<_> =
                        texts.iter().map(|text| message(body, writer, text)).collect();
                    let now = lag.now();
                    times.iter().for_each(|begun| begun.store(now, Ordering::Relaxed));
                    out.clear();
                    store.put(&turn, &mut out).unwrap();
                }
            });
        }
    });
    let appended = (clock.monotonic() - begun).as_secs_f64();
    while store.dispatch_behind_bytes() > 0 {
        std::thread::yield_now();
    }
    let dispatched = (clock.monotonic() - begun).as_secs_f64();
    let all = (messages * WRITERS) as f64;
    let lags = std::mem::take(&mut lag.seen.lock().unwrap().1);
    assert_eq!(lags.len() as f64, all, "each message was told of once");
    (all / appended, all / dispatched, lags)
}

/// Appended and dispatched, messages/s, and how long each took to be readable, ms.
type Run = (f64, f64, Vec<f64>);

fn dispatch(effort: Effort, report: &mut Report) {
    let messages = effort.messages;
    // In turn: the disk writes back when it likes.
    let rounds: Vec<_> =
        (0..effort.rounds * 3).map(|_| (run(messages, true), run(messages, false))).collect();
    let of = |figure: &dyn Fn(&Run) -> f64, with_index: bool| {
        let runs = rounds.iter().map(|(with, without)| if with_index { with } else { without });
        median(runs.map(figure).collect())
    };
    let p = |part: f64| move |run: &Run| quantile(&mut run.2.clone(), part);
    let what = format!("append and dispatch, 1 KiB, {A_TURN} a turn, threads: {WRITERS}");
    for with_index in [true, false] {
        let whose = if with_index { "queues and index" } else { "queues only" };
        let values = vec![
            ("appended", of(&|run| run.0, with_index), "msg/s"),
            ("dispatched", of(&|run| run.1, with_index), "msg/s"),
            ("put to readable p50", of(&p(0.5), with_index), "ms"),
            ("p99", of(&p(0.99), with_index), "ms"),
            ("p99.9", of(&p(0.999), with_index), "ms"),
        ];
        report.add(Row { what: what.clone(), whose: whose.to_owned(), values });
    }
    let share = median(rounds.iter().map(|(with, without)| with.0 / without.0).collect());
    let values = vec![("rate", share, "×")];
    report.add(Row { what, whose: "with an index beside without".to_owned(), values });
    let keeps_up = of(&|run| run.1 / run.0, true);
    report.at_least("dispatch beside append, queues and index".to_owned(), keeps_up, 0.99);
    report.at_most("from put to readable, p99, ms".to_owned(), of(&p(0.99), true), 1.0);
}

fn queries(effort: Effort, report: &mut Report) {
    let among = if effort.rounds == 1 && effort.messages < 100_000 { AMONG / 10 } else { AMONG };
    let folder = folder();
    let options = StoreOptions { root: folder.path().to_path_buf(), ..StoreOptions::default() };
    let clock = SystemClock::shared();
    let store = Store::open(options, Arc::clone(&clock), Arc::new(RealDisk), Arc::new(())).unwrap();
    let mut places: HashMap<u64, i64> = HashMap::new();
    let mut out = Vec::new();
    for first in (0..among).step_by(64) {
        let texts: Vec<String> = (first..(first + 64).min(among)).map(properties).collect();
        let turn: Vec<_> = texts.iter().map(|text| message(b"a body", 0, text)).collect();
        out.clear();
        store.put(&turn, &mut out).unwrap();
        places.extend((first..).zip(out.iter().map(|put| put.physical_offset)));
    }
    // Every key is looked for once before it is timed: what counts is warm.
    let numbers: Vec<u64> =
        (0..FOUND).map(|n| n.wrapping_mul(0x9E37_79B9_7F4A_7C15) % among).collect();
    let by_index = |number: u64| {
        let found = store.query(TOPIC, &format!("order-{number}"), 32, 0, i64::MAX).unwrap();
        assert_eq!(found.records.len(), 1, "order-{number}");
        found.records[0].len()
    };
    let by_map = |number: u64| {
        let key = format!("order-{number}");
        let number: u64 = key.trim_start_matches("order-").parse().unwrap();
        store.record_at(places[&number]).unwrap().len()
    };
    let timed = |find: &dyn Fn(u64) -> usize| -> Vec<f64> {
        let one = |number: &u64| {
            let begun = clock.monotonic();
            std::hint::black_box(find(*number));
            (clock.monotonic() - begun).as_secs_f64() * 1e6
        };
        numbers.iter().map(|number| find(*number)).for_each(drop);
        numbers.iter().map(one).collect()
    };
    let what = format!("one of {among} messages by key, warm");
    let mut figures = |whose: &str, find: &dyn Fn(u64) -> usize| {
        let mut times = timed(find);
        let [p50, p99] = [0.5, 0.99].map(|part| quantile(&mut times, part));
        let values = vec![("p50", p50, "µs"), ("p99", p99, "µs")];
        report.add(Row { what: what.clone(), whose: whose.to_owned(), values });
        p99
    };
    figures("a hash map in memory, and the record", &by_map);
    let p99 = figures("the index", &by_index);
    report.at_most(format!("{what}: p99, ms"), p99 / 1e3, 1.0);
}
