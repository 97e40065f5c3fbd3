//! Power cuts at every call that changes the disk, with any part of what was not synced surviving,
//! and again during the recovery from that; on the disk in memory.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::{Arc, Mutex};

use broker_dev::store::disk::{Call, FaultyDisk, Frozen, Lie, MemoryDisk};
use broker_dev::store::{FlushMode, StoreOptions};
use oxmq_tests::journal::{Journal, Verdict};
use oxmq_tests::small_store::{self, StillClock};

use crate::readings::{Shared, open_store, read, write};
use crate::share::share;

/// A folder below one that is there, as a user's would be.
const ROOT: &str = "/mnt/store";

fn new_disk() -> Arc<MemoryDisk> {
    Arc::new(MemoryDisk::with_folder(Path::new("/mnt")).unwrap())
}

/// What had been promised at a moment, and the disk at that moment.
struct Moment {
    call: Call,
    promised: usize,
    journal: Journal,
    disk: Frozen,
}

type Moments = Arc<Mutex<Vec<Moment>>>;

/// Has the disk remember itself before each of its calls.
fn remember(disk: &Arc<MemoryDisk>, journal: &Shared) -> Moments {
    let moments = Moments::default();
    let (kept, journal, own) = (Arc::clone(&moments), journal.clone(), Arc::downgrade(disk));
    disk.watch(move |call| {
        let Some(disk) = own.upgrade() else { return };
        // First the promises: what is promised later cannot be expected of this moment.
        let journal = journal.lock().clone();
        let promised = journal.sent.iter().filter(|sent| sent.is_promised).count();
        let disk = disk.freeze().unwrap();
        kept.lock().unwrap().push(Moment { call, promised, journal, disk });
    });
    moments
}

/// What a life's moments and their ends found.
#[derive(Debug, Default)]
struct Tally {
    opened: usize,
    opened_twice: usize,
    wrong: Vec<String>,
}

impl Tally {
    fn check(&self) {
        let few: Vec<_> = self.wrong.iter().take(5).collect();
        assert!(self.wrong.is_empty(), "{} of {}: {few:#?}", self.wrong.len(), self.opened);
    }
}

struct Campaign {
    flush: FlushMode,
    lie: Option<Lie>,
    /// Seeds of cuts for each moment.
    cuts: u64,
    /// Every how many cuts the recovery is cut too.
    twice_every: usize,
}

impl Campaign {
    fn options(&self, is_busy: bool) -> StoreOptions {
        small_store::options(Path::new(ROOT), self.flush, is_busy)
    }

    /// One writer's life in several openings, cut at each of its moments.
    fn run(&self, seed: u64, tally: &mut Tally) {
        let mut random = fastrand::Rng::with_seed(seed);
        let (disk, clock, journal) = (new_disk(), StillClock::at(0), Shared::default());
        disk.lie(self.lie);
        let moments = remember(&disk, &journal);
        for _ in 0..3 {
            let options = self.options(random.bool());
            let store = open_store(options, disk.clone(), clock.clone()).unwrap();
            write(&store, &clock, &journal, 12, &mut random).unwrap();
            if random.u8(..3) > 0 {
                store.close().unwrap();
                journal.lock().promise_all();
            }
        }
        disk.watch(|_| {});
        let all = journal.lock().clone();
        let mut moments = std::mem::take(&mut *moments.lock().unwrap());
        for (number, moment) in moments.iter_mut().enumerate() {
            // What was under way at the moment may be there, with the offset answered later.
            for (then, later) in moment.journal.sent.iter_mut().zip(&all.sent) {
                then.offset = later.offset;
            }
            let known = moment.journal.sent.len();
            moment.journal.sent.extend(all.sent.iter().skip(known).cloned().map(|mut sent| {
                sent.is_promised = false;
                sent
            }));
            for cut in 0..self.cuts {
                let seed = if cut == 0 { 0 } else { random.u64(..) };
                let what = format!("seed {seed}, moment {number} ({:?})", moment.call);
                self.end(moment, seed, &what, &mut random, tally);
            }
        }
    }

    /// Opens what a power cut at this moment left, and at times cuts that opening too.
    fn end(
        &self,
        moment: &Moment,
        seed: u64,
        what: &str,
        random: &mut fastrand::Rng,
        tally: &mut Tally,
    ) {
        let disk = Arc::new(moment.disk.after_power_cut(seed).unwrap());
        tally.opened += 1;
        let is_cut_again = tally.opened.is_multiple_of(self.twice_every);
        let during = is_cut_again.then(|| remember(&disk, &Shared::default()));
        self.judge(&disk, moment, what, tally);
        disk.watch(|_| {});
        for (number, second) in during
            .iter()
            .flat_map(|during| std::mem::take(&mut *during.lock().unwrap()).into_iter().enumerate())
        {
            let seed = if random.bool() { 0 } else { random.u64(..) };
            let disk = Arc::new(second.disk.after_power_cut(seed).unwrap());
            tally.opened_twice += 1;
            let what = format!("{what}, then seed {seed}, moment {number} ({:?})", second.call);
            self.judge(&disk, moment, &what, tally);
        }
    }

    fn judge(&self, disk: &Arc<MemoryDisk>, moment: &Moment, what: &str, tally: &mut Tally) {
        let clock = StillClock::at(10_000_000);
        let store = match open_store(self.options(false), disk.clone(), clock) {
            Ok(store) => store,
            Err(error) => {
                tally.wrong.push(format!("{what}: does not open: {error}"));
                return;
            }
        };
        let verdicts = moment.journal.judge(&read(&store));
        if !verdicts.is_empty() {
            let report = store.recovery();
            tally
                .wrong
                .push(format!("{what}, {} promised: {verdicts:?}, {report:?}", moment.promised));
        }
        let left = read(&store).values().map(Vec::len).sum();
        if verdicts.is_empty() && read(&store) != moment.journal.expected(left) {
            tally.wrong.push(format!("{what}: differs from the model"));
        }
    }
}

fn campaign(flush: FlushMode) {
    let campaign = Campaign { flush, lie: None, cuts: 3, twice_every: 60 };
    let mut tally = Tally::default();
    for seed in 0..share(3) {
        campaign.run(seed, &mut tally);
    }
    eprintln!("{flush:?}: {} power cuts, {} twice", tally.opened, tally.opened_twice);
    assert!(tally.opened > 500 && tally.opened_twice > 50);
    tally.check();
}

#[test]
fn a_power_cut_at_any_call_takes_at_most_the_end_with_async_flush() {
    campaign(FlushMode::Async);
}

#[test]
fn a_power_cut_at_any_call_takes_nothing_promised_with_sync_flush() {
    campaign(FlushMode::Sync);
}

#[test]
fn a_disk_that_lies_is_found_out() {
    for lie in [Lie::SyncData, Lie::HalfSyncData, Lie::SyncDir] {
        let campaign =
            Campaign { flush: FlushMode::Sync, lie: Some(lie), cuts: 1, twice_every: 1_000 };
        let mut tally = Tally::default();
        campaign.run(1, &mut tally);
        assert!(!tally.wrong.is_empty(), "{lie:?} went unnoticed");
    }
}

/// A life on a disk that fails once, then a power cut.
fn fail_and_cut(flush: FlushMode, call: Call, nth: u64, kind: ErrorKind) -> bool {
    let campaign = Campaign { flush, lie: None, cuts: 1, twice_every: 1_000 };
    let mut random = fastrand::Rng::with_seed(nth);
    let (memory, clock, journal) = (new_disk(), StillClock::at(0), Shared::default());
    let disk = Arc::new(FaultyDisk::new(memory.clone()));
    disk.fail_nth(call, nth, kind);
    let options = campaign.options(false);
    let result = open_store(options, disk.clone(), clock.clone()).and_then(|store| {
        let mut result = Ok(());
        for _ in 0..20 {
            result = result.and(write(&store, &clock, &journal, 1, &mut random));
        }
        let closed = store.close();
        if closed.is_ok() {
            journal.lock().promise_all();
        }
        result.and(closed)
    });
    let journal = journal.lock().clone();
    let promised = journal.sent.iter().filter(|sent| sent.is_promised).count();
    let moment = Moment { call, promised, journal, disk: memory.freeze().unwrap() };
    let mut tally = Tally::default();
    for seed in 0..3 {
        let what = format!("{call:?} {nth} {kind:?}, seed {seed}, {result:?}");
        campaign.end(&moment, seed, &what, &mut random, &mut tally);
    }
    tally.check();
    disk.calls(call) >= nth
}

#[test]
fn a_failing_call_and_then_a_power_cut_take_nothing_promised() {
    let kinds = [ErrorKind::Other, ErrorKind::StorageFull, ErrorKind::QuotaExceeded];
    for flush in [FlushMode::Sync, FlushMode::Async] {
        for call in crate::faults::KINDS {
            for (nth, kind) in (1..60).zip(kinds.into_iter().cycle()) {
                if !fail_and_cut(flush, call, nth, kind) {
                    break;
                }
            }
        }
    }
}

#[test]
fn losing_the_end_is_no_hole_and_losing_the_middle_is() {
    let mut journal = Journal::default();
    for offset in 0..3 {
        let number = journal.send("T", 0);
        journal.answered(number, offset);
    }
    assert_eq!(journal.judge(&journal.expected(2)), []);
    let mut holed = journal.expected(3);
    holed.values_mut().for_each(|messages| drop(messages.remove(1)));
    assert!(journal.judge(&holed).contains(&Verdict::Hole { number: 1 }));
}
