//! Reading a backlog through a consume queue, beside a bare scan of the same bytes.

use std::path::Path;
use std::sync::Arc;

use broker_dev::store::disk::RealDisk;
use broker_dev::store::{GetLimits, GetStatus, PutMessage, Store, StoreOptions, bare};
use oxmq::clock::{Clock, SystemClock};

use crate::Effort;
use crate::append_work::{folder, message_to};
use crate::latencies::median;
use crate::proc::settle_disk;
use crate::report::{Report, Row};
use crate::servers::Servers;

const FILE_BYTES: u64 = 64 << 20;
const BODY_BYTES: usize = 1024;
/// As clients pull.
const LIMITS: GetLimits = GetLimits { max_messages: 32, max_bytes: 256 * 1024 };
const TOPIC: &str = "orders";

pub(crate) fn measure(_: &mut Servers, effort: Effort, report: &mut Report) {
    let messages = effort.messages * 4;
    for queues in [1, 8] {
        let folder = folder();
        let bytes = fill(folder.path(), messages, queues);
        settle_disk();
        let rounds: Vec<(f64, f64)> = (0..effort.rounds * 3)
            .map(|_| (bare_scan(folder.path()), read(folder.path(), messages, queues)))
            .collect();
        let bare = median(rounds.iter().map(|round| round.0).collect());
        let ours = median(rounds.iter().map(|round| round.1).collect());
        let share = median(rounds.iter().map(|round| round.0 / round.1).collect());
        let what = format!("reading a backlog of 1 KiB messages, queues: {queues}");
        let rate = |seconds: f64| ("rate", bytes / seconds / 1e6, "MB/s");
        report.add(Row {
            what: what.clone(),
            whose: "bare scan".to_owned(),
            values: vec![rate(bare)],
        });
        let values = vec![rate(ours), ("beside the scan", share, "×")];
        report.add(Row { what: what.clone(), whose: "the store".to_owned(), values });
        if queues == 1 {
            report.at_least(format!("{what}: beside a bare scan"), share, 0.7);
        }
    }
}

fn open(root: &Path) -> Arc<Store> {
    let options = StoreOptions {
        root: root.to_path_buf(),
        commit_log_file_bytes: FILE_BYTES,
        ..StoreOptions::default()
    };
    Store::open(options, SystemClock::shared(), Arc::new(RealDisk), Arc::new(())).unwrap()
}

/// Stores the backlog; returns its bytes.
fn fill(root: &Path, messages: usize, queues: i32) -> f64 {
    let store = open(root);
    let body = vec![7; BODY_BYTES];
    let turn: Vec<PutMessage<'_>> =
        (0..64).map(|nth| message_to(TOPIC, nth % queues, &body)).collect();
    let mut out = Vec::new();
    for _ in 0..messages / turn.len() {
        out.clear();
        store.put(&turn, &mut out).unwrap();
    }
    let end = store.commit_log_range().1;
    store.close().unwrap();
    end as f64
}

/// Looks at every byte.
fn touch(bytes: &[u8]) -> u64 {
    let words = bytes.as_chunks::<8>().0.iter();
    words.fold(0, |sum, word| sum.wrapping_add(u64::from_be_bytes(*word)))
}

fn bare_scan(root: &Path) -> f64 {
    let clock = SystemClock::new();
    let mut sum = 0_u64;
    bare::scan(&root.join("commitlog"), Arc::new(RealDisk), |bytes| {
        sum = sum.wrapping_add(touch(bytes));
    })
    .unwrap();
    std::hint::black_box(sum);
    clock.monotonic().as_secs_f64()
}

fn read(root: &Path, messages: usize, queues: i32) -> f64 {
    let store = open(root);
    let clock = SystemClock::new();
    let (mut sum, mut count) = (0_u64, 0);
    let mut offsets = vec![0; usize::try_from(queues).unwrap()];
    let mut is_done = false;
    // The queues in turn, as one consumer of them all would.
    while !is_done {
        is_done = true;
        for (queue, offset) in (0..).zip(&mut offsets) {
            let result = store.get(TOPIC, queue, *offset, LIMITS, &|_| true);
            *offset = result.next_begin_offset;
            count += result.count;
            is_done &= result.status != GetStatus::Found;
            for segment in &result.segments {
                sum = sum.wrapping_add(touch(segment));
            }
        }
    }
    std::hint::black_box(sum);
    let seconds = clock.monotonic().as_secs_f64();
    assert_eq!(count, messages / 64 * 64, "all of it was read");
    seconds
}
