//! Opening a killed store of 1 GiB, all of it behind the checkpoint: the worst that a recovery has
//! to look at.
//!
//! `cargo bench -p oxmq-broker-dev --bench recovery`. The folder's files are in the operating
//! system's memory, as after a kill; a power cut adds the time to read them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use broker_dev::store::disk::RealDisk;
use broker_dev::store::{PutMessage, Store, StoreOptions};
use oxmq::clock::SystemClock;

const TOTAL_BYTES: i64 = 1 << 30;
const ROUNDS: usize = 5;

fn open(options: &StoreOptions) -> Arc<Store> {
    let disk = Arc::new(RealDisk);
    Store::open(options.clone(), SystemClock::shared(), disk, Arc::new(())).expect("a store")
}

fn fill(store: &Store) {
    let body = vec![7; 1024];
    let message = |queue_id| PutMessage {
        topic: "orders",
        queue_id,
        flag: 0,
        sys_flag: 0,
        born_timestamp: 1_700_000_000_000,
        born_host: ([127, 0, 0, 1], 40_000).into(),
        store_host: ([127, 0, 0, 1], 10_911).into(),
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body: &body,
        properties: "UNIQ_KEY\u{1}7F0000010001000000000000000012AB\u{2}TAGS\u{1}paid\u{2}",
    };
    let turn: Vec<_> = (0..64).map(|number| message(number % 8)).collect();
    let mut out = Vec::new();
    while store.commit_log_range().1 < TOTAL_BYTES {
        out.clear();
        store.put(&turn, &mut out).expect("stored");
    }
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
#[expect(clippy::print_stdout, reason = "the benchmark's result")]
fn main() {
    let target = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target");
    let folder = tempfile::tempdir_in(target).expect("a folder in target/");
    let options = StoreOptions {
        root: folder.path().to_path_buf(),
        commit_log_file_bytes: 64 << 20,
        checkpoint_interval: Duration::from_secs(3_600),
        ..StoreOptions::default()
    };
    let store = open(&options);
    fill(&store);
    drop(store);
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let store = open(&options);
        let elapsed = start.elapsed();
        let report = store.recovery();
        println!(
            "opened 1 GiB, {} records, in {:.0} ms ({} damaged)",
            report.records,
            elapsed.as_secs_f64() * 1e3,
            report.damaged_count
        );
    }
}
