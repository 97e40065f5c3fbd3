//! What goes, and when.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use oxmq::clock::VirtualClock;

use super::*;
use crate::store::disk::{FaultyDisk, RealDisk};
use crate::store::{GetLimits, GetStatus, PutMessage, Store, StoreError, StoreOptions};

const HOUR: Duration = Duration::from_secs(3600);
const NOW_MS: i64 = 1_700_000_000_000;

fn situation(ages_in_hours: &[i64]) -> Situation {
    Situation {
        filled_ms: ages_in_hours.iter().map(|age| Some(NOW_MS - age * HOUR_MS)).collect(),
        now_ms: NOW_MS,
        is_hour: false,
        is_asked: false,
        log_used: Some(0.5),
        queues_used: Some(0.5),
    }
}

fn files(situation: &Situation) -> usize {
    decide(&RetentionOptions::default(), situation).files
}

#[test]
fn expired_files_go_in_their_hour_or_when_asked_for() {
    let calm = situation(&[100, 80, 72, 71, 90, 1]);
    assert_eq!(files(&calm), 0);
    assert_eq!(files(&Situation { is_hour: true, ..calm.clone() }), 3);
    assert_eq!(files(&Situation { is_asked: true, ..calm.clone() }), 3);
    assert_eq!(files(&Situation { is_hour: true, ..situation(&[]) }), 0);
    let mut unknown = Situation { is_hour: true, ..calm };
    unknown.filled_ms[1] = None;
    assert_eq!(files(&unknown), 1);
}

#[test]
fn the_fuller_the_disk_the_more_goes() {
    let with = |log: f64, queues: f64| {
        let situation =
            Situation { log_used: Some(log), queues_used: Some(queues), ..situation(&[80, 1]) };
        let verdict = decide(&RetentionOptions::default(), &situation);
        (verdict.files, verdict.is_full)
    };
    assert_eq!(with(0.75, 0.75), (0, Some(false)));
    assert_eq!(with(0.76, 0.1), (1, Some(false)));
    assert_eq!(with(0.1, 0.76), (1, Some(false)));
    // Between the two higher marks the store stays as it is, so that it does not flicker.
    assert_eq!(with(0.86, 0.1), (2, None));
    assert_eq!(with(0.1, 0.86), (2, None));
    assert_eq!(with(0.91, 0.1), (2, Some(true)));
    assert_eq!(with(0.1, 0.91), (2, Some(true)));
    let unknown = Situation { log_used: None, ..situation(&[80, 1]) };
    assert_eq!(files(&unknown), 1);
    let careful = RetentionOptions { may_clean_forcibly: false, ..RetentionOptions::default() };
    let full = Situation { log_used: Some(0.99), ..situation(&[80, 1]) };
    assert_eq!(decide(&careful, &full), Verdict { files: 1, is_full: Some(true) });
}

#[test]
fn an_hour_is_not_missed_between_two_looks() {
    let hour_of = |ms: i64| u8::try_from(ms / HOUR_MS % 24).unwrap();
    let between = |last: i64, now: i64| is_hour_between(&[4, 16], last, now, hour_of);
    let at = |hour: i64, minute: i64| hour * HOUR_MS + minute * 60_000;
    assert!(between(at(4, 0), at(4, 0)));
    assert!(between(at(3, 59), at(4, 59)));
    assert!(!between(at(5, 0), at(15, 59)));
    assert!(between(at(4, 59), at(5, 1)));
    assert!(between(at(3, 59), at(5, 0)));
    assert!(between(at(5, 0), at(500, 0)));
    assert!(!between(at(5, 0), at(5, 0)));
    assert!(!is_hour_between(&[], 0, i64::MAX, hour_of));
    // A clock that was set back has not passed any hour.
    assert!(!between(at(20, 0), at(10, 0)));
}

struct World {
    folder: tempfile::TempDir,
    clock: Arc<VirtualClock>,
    disk: Arc<FaultyDisk>,
    store: Arc<Store>,
}

fn options(root: &Path) -> StoreOptions {
    StoreOptions {
        root: root.to_path_buf(),
        commit_log_file_bytes: 4096,
        consume_queue_file_bytes: 200,
        index_slots: 8,
        index_entries: 16,
        retention: RetentionOptions { delete_hours: Vec::new(), ..RetentionOptions::default() },
        ..StoreOptions::default()
    }
}

impl World {
    fn new(change: impl FnOnce(&mut StoreOptions)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(VirtualClock::new(NOW_MS));
        let disk = Arc::new(FaultyDisk::new(Arc::new(RealDisk)));
        disk.set_used(0.5);
        let mut options = options(folder.path());
        change(&mut options);
        let store = Store::open(options, clock.clone(), disk.clone(), Arc::new(())).unwrap();
        Self { folder, clock, disk, store }
    }

    fn put(&self, number: usize) -> Result<(), StoreError> {
        let properties = format!("KEYS\u{1}k{number}\u{2}");
        let message = PutMessage {
            topic: "T",
            queue_id: 0,
            flag: 0,
            sys_flag: 0,
            born_timestamp: 1,
            born_host: ([127, 0, 0, 1], 1000).into(),
            store_host: ([127, 0, 0, 1], 10911).into(),
            reconsume_times: 0,
            prepared_transaction_offset: 0,
            body: &[b'x'; 900],
            properties: &properties,
        };
        self.store.put(&[message], &mut Vec::new()).map(drop)
    }

    /// Messages an hour apart, four of which fill a file of the log.
    async fn fill(&self, messages: usize) {
        for number in 0..messages {
            self.put(number).unwrap();
            self.clock.advance(HOUR).await;
        }
    }

    fn set_used(&self, used: f64) {
        self.disk.set_used(used);
    }

    fn count(&self, kind: &str) -> usize {
        fs::read_dir(self.folder.path().join(kind)).unwrap().count()
    }

    fn finds(&self, number: usize) -> bool {
        let found = self.store.query("T", &format!("k{number}"), 9, 0, i64::MAX).unwrap();
        found.records.len() == 1
    }
}

/// Three days pass on a clock that the test moves.
#[tokio::test]
async fn what_is_older_than_72_hours_goes_and_takes_its_units_and_keys_along() {
    let world = World::new(|_| {});
    world.fill(100).await;
    world.store.shared().table.write_out().unwrap();
    world.store.ask_for_cleaning();
    let (before, queues, index) =
        (world.count("commitlog"), world.count("consumequeue/T/0"), world.count("index"));
    assert!(before >= 25 && queues == 10 && index == 7);
    // The nth file is full when message 4 × n + 4 comes; 28 hours are more than are reserved.
    assert_eq!(world.store.clean_expired().unwrap(), 7);
    let (min, _) = world.store.commit_log_range();
    assert_eq!(min, 7 * 4096);
    assert_eq!(world.store.min_offset("T", 0), 28);
    assert_eq!(world.store.max_offset("T", 0), 100);
    // The file after the last one may have been made ahead meanwhile.
    assert!((before - 7..=before - 6).contains(&world.count("commitlog")));
    assert_eq!(world.count("consumequeue/T/0"), queues - 2);
    assert_eq!(world.count("index"), index - 1);
    assert!(!world.finds(27) && world.finds(28) && world.finds(99));
    let limits = GetLimits { max_messages: 9, max_bytes: 9_999 };
    let read = |offset| world.store.get("T", 0, offset, limits, &|_| true).status;
    assert_eq!((read(27), read(28)), (GetStatus::OffsetTooSmall, GetStatus::Found));

    // All of it expires; the newest file stays, and the queue goes on where it was.
    world.clock.advance(HOUR * 1_000).await;
    world.store.ask_for_cleaning();
    world.store.clean_expired().unwrap();
    assert_eq!(world.store.min_offset("T", 0), 96);
    world.put(100).unwrap();
    assert_eq!(world.store.max_offset("T", 0), 101);
    world.store.close().unwrap();
    drop(world.store);
    let again = Store::open(
        options(world.folder.path()),
        world.clock.clone(),
        world.disk.clone(),
        Arc::new(()),
    )
    .unwrap();
    assert_eq!((again.min_offset("T", 0), again.max_offset("T", 0)), (96, 101));
}

#[tokio::test]
async fn a_round_has_its_limit_and_its_pauses() {
    let world = World::new(|options| options.retention.batch = 3);
    world.fill(100).await;
    world.clock.advance(HOUR * 1_000).await;
    world.store.ask_for_cleaning();
    let mut waits = Vec::new();
    for _ in 0..4 {
        let step = world.store.retention_step().unwrap();
        assert_eq!(step.log_files, 1);
        waits.push(step.wait);
    }
    let (short, long) = (Duration::from_millis(100), Duration::from_secs(10));
    assert_eq!(waits, [short, short, long, short]);
}

#[tokio::test]
async fn a_file_that_is_read_stays_until_it_was_waited_for_for_long() {
    let world = World::new(|_| {});
    world.fill(40).await;
    let read = world.store.record_at(0).unwrap();
    let copy = read.to_vec();
    world.set_used(0.88);
    assert_eq!(world.store.clean_expired().unwrap(), 0);
    world.clock.advance(Duration::from_secs(119)).await;
    assert_eq!(world.store.clean_expired().unwrap(), 0);
    world.clock.advance(Duration::from_secs(1)).await;
    assert!(world.store.clean_expired().unwrap() >= 9);
    assert_eq!(world.count("commitlog"), 2, "the newest and the one made ahead");
    assert_eq!(read, copy, "who reads reads on");
}

#[tokio::test]
async fn over_the_warning_mark_no_messages_are_taken_until_there_is_room() {
    let world = World::new(|options| options.retention.may_clean_forcibly = false);
    world.fill(10).await;
    world.set_used(0.91);
    world.store.clean_expired().unwrap();
    let error = world.put(10).unwrap_err();
    assert!(matches!(error, StoreError::DiskFull { .. }), "{error}");
    // Between the marks it stays so.
    world.set_used(0.88);
    world.store.clean_expired().unwrap();
    world.put(10).unwrap_err();
    world.set_used(0.84);
    world.store.clean_expired().unwrap();
    world.put(10).unwrap();
    assert_eq!(world.store.max_offset("T", 0), 11);
}
