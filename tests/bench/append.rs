//! The store's append beside a bare copy of the same bytes into a mapped file.

use crate::Effort;
use crate::append_work::{bare, store};
use crate::latencies::median;
use crate::report::{Report, Row};
use crate::servers::Servers;

const MESSAGES: usize = 200_000;
/// Messages a turn, threads.
const SHAPES: [(usize, usize); 4] = [(1, 1), (64, 1), (1, 4), (64, 4)];
/// Of the bare copy's rate.
const GOAL: f64 = 0.8;

pub(crate) fn measure(_: &mut Servers, effort: Effort, report: &mut Report) {
    let per_second = |seconds: f64| MESSAGES as f64 / seconds;
    for (a_turn, writers) in SHAPES {
        let what = format!("append, 1 KiB, {a_turn} a turn, threads: {writers}");
        // In turn, and often: the disk writes back when it likes.
        let rounds: Vec<(f64, f64, f64)> = (0..effort.rounds * 3)
            .map(|_| {
                let bare = bare(MESSAGES).as_secs_f64();
                let alone = store(MESSAGES, a_turn, writers, false).as_secs_f64();
                (bare, alone, store(MESSAGES, a_turn, writers, true).as_secs_f64())
            })
            .collect();
        let bare = median(rounds.iter().map(|round| round.0).collect());
        let store = median(rounds.iter().map(|round| round.1).collect());
        let share = median(rounds.iter().map(|round| round.0 / round.1).collect());
        let values = vec![("rate", per_second(bare), "msg/s")];
        report.add(Row { what: what.clone(), whose: "bare mapped copy".to_owned(), values });
        let values = vec![("rate", per_second(store), "msg/s"), ("beside the copy", share, "×")];
        report.add(Row { what: what.clone(), whose: "the store".to_owned(), values });
        let indexed = median(rounds.iter().map(|round| round.2).collect());
        let beside = median(rounds.iter().map(|round| round.0 / round.2).collect());
        let values = vec![("rate", per_second(indexed), "msg/s"), ("beside the copy", beside, "×")];
        report.add(Row {
            what: what.clone(),
            whose: "the store, with index files".to_owned(),
            values,
        });
        report.at_least(format!("{what}: beside a bare mapped copy"), share, GOAL);
    }
}
