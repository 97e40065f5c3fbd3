//! Appending 1 KiB messages, and copying the same bytes into a reserved mapped file.
//!
//! `cargo bench -p oxmq-broker-dev --bench append`. Absolute figures, with criterion's statistics,
//! for work on the store. `make bench` takes the two in turn and gives the ratio, which is what can
//! be compared between machines and hours.

mod work;

use criterion::{Criterion, Throughput, criterion_group};

use crate::work::{bare, store};

fn append(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("append 1 KiB");
    group.sample_size(10).throughput(Throughput::Elements(1));
    let messages = |wanted: u64| usize::try_from(wanted).unwrap_or(usize::MAX).max(64);
    group.bench_function("bare copy", |bench| bench.iter_custom(|n| bare(messages(n))));
    for a_turn in [1, 64] {
        group.bench_function(format!("store, {a_turn} a turn"), |bench| {
            bench.iter_custom(|n| store(messages(n).next_multiple_of(64), a_turn, 1, false));
        });
    }
    group.finish();
}

criterion_group!(benches, append);

fn main() {
    benches();
    Criterion::default().configure_from_args().final_summary();
}
