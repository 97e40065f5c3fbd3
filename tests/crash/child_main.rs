//! A process that writes to a store until somebody or something kills it; it tells on its standard
//! output what was acknowledged: `a NUMBER OFFSET` for each message, `p` when all before is durable,
//! `e ERROR` when a write failed, `closed` at an orderly end.
//!
//! `crash-child ROOT async|sync TURNS FIRST_NUMBER SEED KILL_AT`: with KILL_AT above 0 it kills
//! itself before the call of that number that it makes on the disk. Without TURNS it only opens.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a tool of tests")]

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use broker_dev::store::disk::{FaultyDisk, RealDisk};
use broker_dev::store::{FlushMode, Store, StoreError};
use oxmq_tests::small_store::{StillClock, options, put, queue_of};
use rustix::process::{Signal, getpid, kill_process};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| -> u64 { arguments[at].parse().unwrap() };
    let flush = if arguments[1] == "sync" { FlushMode::Sync } else { FlushMode::Async };
    let (turns, first, seed, kill_at) = (number(2), number(3), number(4), number(5));
    let disk = FaultyDisk::new(Arc::new(RealDisk));
    let calls = AtomicU64::new(0);
    disk.watch(move |_| {
        if calls.fetch_add(1, Ordering::SeqCst) + 1 == kill_at {
            kill_process(getpid(), Signal::KILL).unwrap();
            // The signal may come to another thread first; this call must not happen.
            std::thread::park();
        }
    });
    // Times go on from life to life.
    let clock = StillClock::at(i64::try_from(first).unwrap() * 10);
    let options = options(Path::new(&arguments[0]), flush, seed % 2 == 0);
    let life =
        Store::open(options, clock.clone(), Arc::new(disk), Arc::new(())).and_then(|store| {
            if turns > 0 { live(&store, &clock, turns, first, seed) } else { Ok(()) }
        });
    if let Err(error) = life {
        tell(&format!("e {error}"));
    }
}

fn live(
    store: &Store,
    clock: &StillClock,
    turns: u64,
    first: u64,
    seed: u64,
) -> Result<(), StoreError> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut next = first;
    for _ in 0..turns {
        clock.advance(random.i64(0..20));
        let count = if random.u8(..6) == 0 { random.u64(1..5) } else { 1 };
        let messages: Vec<_> = (next..next + count)
            .map(|number| (number, queue_of(number).0, queue_of(number).1))
            .collect();
        next += count;
        let puts = put(store, &messages)?;
        let is_durable = store.options().flush == FlushMode::Sync || random.u8(..8) == 0;
        if is_durable {
            store.flush()?;
        }
        let mut lines = String::new();
        for ((number, ..), put) in messages.iter().zip(&puts) {
            lines += &format!("a {number} {}\n", put.queue_offset);
        }
        tell(&(lines + if is_durable { "p" } else { "" }));
    }
    store.close()?;
    tell("p\nclosed");
    Ok(())
}

fn tell(lines: &str) {
    let mut out = std::io::stdout().lock();
    // Nobody may listen any more.
    let _ = out.write_all(format!("{}\n", lines.trim_end()).as_bytes()).and_then(|()| out.flush());
}
