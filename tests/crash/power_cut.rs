//! Power cuts of a real file system: it forgets what was not written yet, in the middle of a
//! process's work.

use broker_dev::store::FlushMode;

use crate::child::{Lives, Orders, store_in};
use crate::loop_disk::LoopDisk;
use crate::share::share;

/// Cuts of one file system.
const CUTS: u64 = 6;

fn cut(flush: FlushMode) {
    let mut random = fastrand::Rng::with_seed(3 + flush as u64);
    let mut cuts = 0;
    let mut promised = 0;
    for _ in 0..share(2) {
        let Some(disk) = LoopDisk::or_skip(16) else { return };
        let mut lives = Lives::new(store_in(&disk.root()), flush);
        for life in 0..CUTS {
            let at_line = random.usize(1..60);
            let mut is_cut = false;
            let orders = Orders { turns: 80, seed: random.u64(..), kill_at: 0, wrapper: &[] };
            lives.run(orders, |line, child| {
                if line == at_line {
                    disk.cut_power().unwrap();
                    is_cut = true;
                    child.kill().unwrap();
                }
            });
            cuts += u64::from(is_cut);
            disk.start_again();
            promised += lives.journal.sent.iter().filter(|sent| sent.is_promised).count();
            let verdicts = lives.judge();
            assert_eq!(verdicts, [], "cut {life}, {} sent", lives.journal.sent.len());
        }
    }
    eprintln!("{flush:?}: {cuts} power cuts, {promised} promises kept");
    assert!(cuts >= share(8) && promised > 0);
}

#[test]
fn a_power_cut_takes_at_most_the_end_with_async_flush() {
    cut(FlushMode::Async);
}

#[test]
fn a_power_cut_takes_nothing_answered_with_sync_flush() {
    cut(FlushMode::Sync);
}
