//! The store as its users see it.

use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use oxmq::clock::{SharedClock, VirtualClock};
use oxmq::protocol::message::record::{self, Record};

use super::disk::{Call, Disk, FaultyDisk, RealDisk};
use super::*;

mod log;
mod queues;
mod reading;
mod sync;

fn clock() -> SharedClock {
    Arc::new(VirtualClock::new(1_700_000_000_000))
}

fn options(root: &Path) -> StoreOptions {
    StoreOptions {
        root: root.to_path_buf(),
        commit_log_file_bytes: 16 * 1024,
        consume_queue_file_bytes: 400,
        batch_queue_file_bytes: 46 * 10,
        queue_kinds: [("B".to_owned(), QueueKind::Batch)].into(),
        ..StoreOptions::default()
    }
}

fn open(root: &Path) -> Arc<Store> {
    open_with(options(root), Arc::new(RealDisk), Arc::new(())).unwrap()
}

fn open_with(
    options: StoreOptions,
    disk: Arc<dyn Disk>,
    events: Arc<dyn StoreEvents>,
) -> Result<Arc<Store>, StoreError> {
    Store::open(options, clock(), disk, events)
}

fn message<'a>(topic: &'a str, queue_id: i32, body: &'a [u8]) -> PutMessage<'a> {
    PutMessage {
        topic,
        queue_id,
        flag: 0,
        sys_flag: 0,
        born_timestamp: 1,
        born_host: ([127, 0, 0, 1], 1000).into(),
        store_host: ([127, 0, 0, 1], 10911).into(),
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body,
        properties: "TAGS\u{1}TagA\u{2}",
    }
}

fn put(store: &Store, topic: &str, queue_id: i32, body: &[u8]) -> Result<Put, StoreError> {
    let mut out = Vec::new();
    store.put(&[message(topic, queue_id, body)], &mut out)?;
    Ok(out[0])
}

const ALL: GetLimits = GetLimits { max_messages: 1_000, max_bytes: usize::MAX };

/// Bodies of a whole queue, read in as many turns as it takes.
fn bodies(store: &Store, topic: &str, queue_id: i32) -> Vec<Vec<u8>> {
    let mut bodies = Vec::new();
    let mut offset = store.min_offset(topic, queue_id);
    while offset < store.max_offset(topic, queue_id) {
        let result = store.get(topic, queue_id, offset, ALL, &|_| true);
        for segment in &result.segments {
            bodies.extend(record::iter(segment).map(|record| record.unwrap().body.to_vec()));
        }
        offset = result.next_begin_offset;
    }
    bodies
}

#[test]
fn what_is_put_is_got_in_order_also_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let expected: Vec<Vec<u8>> = (0..200).map(|n| format!("body {n}").into_bytes()).collect();
    for (life, part) in expected.chunks(50).enumerate() {
        let store = open(folder.path());
        assert_eq!(store.recovery().damaged_count, 0);
        assert_eq!(bodies(&store, "T", 3), expected[..life * 50]);
        for (n, body) in part.iter().enumerate() {
            let put = put(&store, "T", 3, body).unwrap();
            assert_eq!(put.queue_offset, (life * 50 + n) as i64);
        }
        assert_eq!(bodies(&store, "T", 3), expected[..(life + 1) * 50]);
        if life % 2 == 0 {
            store.close().unwrap();
        }
    }
    assert_eq!(bodies(&open(folder.path()), "T", 3), expected);
}

#[test]
fn a_turn_gives_contiguous_offsets_for_each_queue() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let messages: Vec<PutMessage<'_>> =
        (0..10).map(|n| message("T", n % 2, b"twelve bytes")).collect();
    let mut out = Vec::new();
    let turn = store.put(&messages, &mut out).unwrap();
    let offsets: Vec<i64> = out.iter().map(|put| put.queue_offset).collect();
    assert_eq!(offsets, [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]);
    let last = out.last().unwrap();
    assert_eq!(last.physical_offset + i64::from(last.length), turn.end_offset);
    assert_eq!(store.commit_log_range(), (0, turn.end_offset));
    assert_eq!((store.max_offset("T", 0), store.max_offset("T", 1)), (5, 5));
}

#[test]
fn records_in_the_log_say_where_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let put_at = put(&store, "T", 1, b"x").unwrap();
    let bytes = store.record_at(put_at.physical_offset).unwrap();
    let (record, length) = Record::decode(&bytes).unwrap().unwrap();
    assert_eq!(length, put_at.length as usize);
    assert_eq!((record.topic, record.queue_id, record.queue_offset), ("T", 1, 0));
    assert_eq!(record.store_timestamp, 1_700_000_000_000);
    record.verify_crc().unwrap();
    assert_eq!(store.record_at(put_at.physical_offset + 1), None);
    assert_eq!(store.record_at(-1), None);
}

#[test]
fn a_get_has_apaches_statuses() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let get = |offset| {
        let result = store.get("T", 0, offset, ALL, &|_| true);
        (result.status, result.next_begin_offset)
    };
    assert_eq!(get(7), (GetStatus::NoMessageInQueue, 0));
    for _ in 0..3 {
        put(&store, "T", 0, b"x").unwrap();
    }
    assert_eq!(get(0), (GetStatus::Found, 3));
    assert_eq!(get(3), (GetStatus::OffsetOverflowOne, 3));
    assert_eq!(get(4), (GetStatus::OffsetOverflowBadly, 3));
    assert_eq!(get(-1), (GetStatus::OffsetTooSmall, 0));
    let none = store.get("T", 0, 0, ALL, &|_| false);
    assert_eq!((none.status, none.next_begin_offset), (GetStatus::NoMatchedMessage, 3));
    let tag = store.get("T", 0, 0, ALL, &|code| code == 2_598_919);
    assert_eq!((tag.status, tag.count, tag.segments.len()), (GetStatus::Found, 3, 1));
}

#[test]
fn a_get_keeps_its_limits_but_gives_at_least_one() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let length = put(&store, "T", 0, &[1; 100]).unwrap().length as usize;
    for _ in 0..9 {
        put(&store, "T", 0, &[1; 100]).unwrap();
    }
    for (max_messages, max_bytes, count) in [
        (4, usize::MAX, 4),
        (10, 3 * length, 3),
        (10, 3 * length - 1, 2),
        (10, 0, 1),
        (0, 0, 1),
        (99, usize::MAX, 10),
    ] {
        let result = store.get("T", 0, 0, GetLimits { max_messages, max_bytes }, &|_| true);
        assert_eq!((result.count, result.next_begin_offset), (count, count as i64));
        assert_eq!(result.bytes, result.segments.iter().map(bytes::Bytes::len).sum::<usize>());
    }
}

#[test]
fn half_messages_take_no_place_in_a_queue() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let half = PutMessage { sys_flag: 0x4, ..message("T", 0, b"half") };
    let mut out = Vec::new();
    store.put(&[half, message("T", 0, b"whole")], &mut out).unwrap();
    assert_eq!((out[0].queue_offset, out[1].queue_offset), (0, 0));
    assert_eq!(bodies(&store, "T", 0), [b"whole"]);
}

#[test]
fn offsets_by_time_follow_the_store_times() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(VirtualClock::new(1_000));
    let store =
        Store::open(options(folder.path()), clock.clone(), Arc::new(RealDisk), Arc::new(()))
            .unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for _ in 0..5 {
        for _ in 0..2 {
            put(&store, "T", 0, b"x").unwrap();
        }
        runtime.block_on(clock.advance(std::time::Duration::from_millis(10)));
    }
    let by_time = |time, boundary| store.offset_by_time("T", 0, time, boundary);
    for (time, lower, upper) in
        [(0, 0, 0), (1_000, 0, 1), (1_005, 2, 1), (1_010, 2, 3), (1_040, 8, 9), (9_999, 10, 9)]
    {
        assert_eq!(by_time(time, Boundary::Lower), lower, "{time}");
        assert_eq!(by_time(time, Boundary::Upper), upper, "{time}");
    }
    assert_eq!(store.offset_by_time("none", 0, 5, Boundary::Lower), 0);
    assert_eq!(store.store_time("T", 0, 2), Some(1_010));
    assert_eq!(store.earliest_store_time("T", 0), Some(1_000));
    assert_eq!(store.store_time("T", 0, 10), None);
}

#[test]
fn a_message_that_does_not_fit_is_refused_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    put(&store, "T", 0, b"first").unwrap();
    let range = store.commit_log_range();
    let (big, long) = (vec![0; 16 * 1024], "x".repeat(40_000));
    for bad in [
        message("T", 0, &big),
        PutMessage { properties: &long, ..message("T", 0, b"") },
        message(&long, 0, b""),
        message("../T", 0, b""),
        message("", 0, b""),
        message("a\0b", 0, b""),
        message("T", -1, b""),
    ] {
        let mut out = Vec::new();
        let error = store.put(&[message("T", 0, b"good"), bad], &mut out).unwrap_err();
        assert!(matches!(error, StoreError::IllegalMessage { .. }), "{error}");
        assert!(out.is_empty());
    }
    assert_eq!(store.commit_log_range(), range);
    assert_eq!(put(&store, "T", 0, b"next").unwrap().queue_offset, 1);
}

#[test]
fn a_second_store_on_the_folder_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(folder.path());
    let error = open_with(options(folder.path()), Arc::new(RealDisk), Arc::new(())).unwrap_err();
    assert!(matches!(error, StoreError::Locked { .. }));
    assert!(error.to_string().contains(folder.path().to_str().unwrap()), "{error}");
    drop(first);
    open(folder.path());
}

#[test]
fn a_full_disk_fails_the_send_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Arc::new(FaultyDisk::new(Arc::new(RealDisk)));
    let store = open_with(options(folder.path()), disk.clone(), Arc::new(())).unwrap();
    let body = vec![7; 3_000];
    put(&store, "T", 0, &body).unwrap();
    disk.fail_from(Call::Reserve, 1, std::io::ErrorKind::StorageFull);
    let mut stored = 1;
    let error = loop {
        match put(&store, "T", 0, &body) {
            Ok(_) => stored += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, StoreError::Full { .. }), "{error}");
    assert_eq!(bodies(&store, "T", 0).len(), stored);
    disk.heal();
    assert_eq!(put(&store, "T", 0, &body).unwrap().queue_offset, stored as i64);
}

/// Remembers what it was told.
#[derive(Default)]
struct Heard {
    arrived: Mutex<Vec<(String, i32, i64)>>,
    durable: AtomicI64,
    poisoned: AtomicI64,
    changed: std::sync::Condvar,
    lock: Mutex<()>,
}

impl Heard {
    fn wait_until(&self, is_done: impl Fn() -> bool) {
        let mut guard = self.lock.lock().unwrap();
        while !is_done() {
            guard = self.changed.wait(guard).unwrap();
        }
    }

    fn tell(&self) {
        let _guard = self.lock.lock().unwrap();
        self.changed.notify_all();
    }
}

impl StoreEvents for Heard {
    fn dispatched(&self, arrived: &[Arrived]) {
        let mut all = self.arrived.lock().unwrap();
        all.extend(arrived.iter().map(|a| (a.topic.to_string(), a.queue_id, a.max_offset)));
    }

    fn durable(&self, offset: i64) {
        self.durable.store(offset, Ordering::SeqCst);
        self.tell();
    }

    fn poisoned(&self, _: &StoreError) {
        self.poisoned.fetch_add(1, Ordering::SeqCst);
        self.tell();
    }
}

#[test]
fn arrivals_are_told_before_the_put_returns() {
    let folder = tempfile::tempdir().unwrap();
    let heard = Arc::new(Heard::default());
    let store = open_with(options(folder.path()), Arc::new(RealDisk), heard.clone()).unwrap();
    put(&store, "T", 0, b"x").unwrap();
    let messages = [message("T", 1, b"x"), message("T", 1, b"x"), message("U", 0, b"x")];
    store.put(&messages, &mut Vec::new()).unwrap();
    let arrived = std::mem::take(&mut *heard.arrived.lock().unwrap());
    assert_eq!(arrived, [("T".into(), 0, 1), ("T".into(), 1, 2), ("U".into(), 0, 1)]);
}

#[test]
fn with_sync_flush_messages_are_readable_once_durable() {
    let folder = tempfile::tempdir().unwrap();
    let heard = Arc::new(Heard::default());
    let options = StoreOptions { flush: FlushMode::Sync, ..options(folder.path()) };
    let store = open_with(options, Arc::new(RealDisk), heard.clone()).unwrap();
    for n in 1..=5 {
        let turn = store.put(&[message("T", 0, b"x")], &mut Vec::new()).unwrap();
        heard.wait_until(|| heard.durable.load(Ordering::SeqCst) >= turn.end_offset);
        assert!(store.durable_offset() >= turn.end_offset);
        assert_eq!(store.max_offset("T", 0), n);
    }
}

#[test]
fn the_first_failed_sync_ends_writing_but_not_reading() {
    let folder = tempfile::tempdir().unwrap();
    let heard = Arc::new(Heard::default());
    let disk = Arc::new(FaultyDisk::new(Arc::new(RealDisk)));
    let store = open_with(options(folder.path()), disk.clone(), heard.clone()).unwrap();
    put(&store, "T", 0, b"before").unwrap();
    disk.fail_nth(Call::SyncData, 1, std::io::ErrorKind::Other);
    assert!(matches!(store.flush(), Err(StoreError::Poisoned { .. })));
    let syncs = disk.calls(Call::SyncData);
    assert_eq!(heard.poisoned.load(Ordering::SeqCst), 1);
    assert!(matches!(put(&store, "T", 0, b"after"), Err(StoreError::Poisoned { .. })));
    assert!(matches!(store.flush(), Err(StoreError::Poisoned { .. })));
    assert!(matches!(store.is_poisoned(), Some(StoreError::Poisoned { .. })));
    assert_eq!(bodies(&store, "T", 0), [b"before"]);
    assert!(store.close().is_err());
    assert_eq!(disk.calls(Call::SyncData), syncs, "nothing retries a sync");
    drop(store);
    let store = open(folder.path());
    assert!(!store.recovery().is_clean);
    assert_eq!(bodies(&store, "T", 0), [b"before"]);
}

#[test]
fn many_writers_get_one_order_and_lose_no_wake_up() {
    let folder = tempfile::tempdir().unwrap();
    let heard = Arc::new(Heard::default());
    let options = StoreOptions { commit_log_file_bytes: 256 * 1024, ..options(folder.path()) };
    let store = open_with(options, Arc::new(RealDisk), heard.clone()).unwrap();
    const WRITERS: i32 = 4;
    const EACH: i64 = 2_000;
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let store = &store;
            scope.spawn(move || {
                for n in 0..EACH {
                    let body = format!("{writer}:{n}");
                    put(store, "T", (writer + i32::try_from(n).unwrap()) % 3, body.as_bytes())
                        .unwrap();
                }
            });
        }
    });
    // No put is under way: whoever came last found the lock free, or was seen by its holder.
    let total: i64 = (0..3).map(|queue| store.max_offset("T", queue)).sum();
    assert_eq!(total, i64::from(WRITERS) * EACH);
    assert_eq!(store.dispatch_behind_bytes(), 0);
    for queue in 0..3 {
        let mut next = [0; WRITERS as usize];
        for body in bodies(&store, "T", queue) {
            let text = String::from_utf8(body).unwrap();
            let (writer, n) = text.split_once(':').unwrap();
            let (writer, n): (usize, i64) = (writer.parse().unwrap(), n.parse().unwrap());
            assert!(n >= next[writer], "a writer's messages keep their order");
            next[writer] = n + 1;
        }
    }
}

#[test]
fn apaches_files_are_there_with_their_lengths() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    for n in 0..100 {
        put(&store, "T", 0, &[n; 200]).unwrap();
    }
    store.flush().unwrap();
    let exists = |name: &str| folder.path().join(name).exists();
    let length = |name: &str| std::fs::metadata(folder.path().join(name)).unwrap().len();
    assert!(exists("abort") && exists("lock"));
    assert_eq!(length("commitlog/00000000000000000000"), 16 * 1024);
    assert_eq!(length("commitlog/00000000000000016384"), 16 * 1024);
    assert_eq!(length("consumequeue/T/0/00000000000000000000"), 400);
    assert_eq!(length("consumequeue/T/0/00000000000000001600"), 400);
    assert_eq!(length("checkpoint"), 4096);
    store.close().unwrap();
    assert!(!exists("abort"));
    let end = store.commit_log_range().1;
    let files = std::fs::read_dir(folder.path().join("commitlog")).unwrap().count();
    assert_eq!(files as i64, end / (16 * 1024) + 1, "no file made ahead stays behind");
    assert!(matches!(put(&store, "T", 0, b"x"), Err(StoreError::Closed)));
}

#[test]
fn the_files_of_a_store_overrule_the_options() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    for n in 0..100 {
        put(&store, "T", 0, &[n; 200]).unwrap();
    }
    let all = bodies(&store, "T", 0);
    store.close().unwrap();
    drop(store);
    let other = StoreOptions { root: folder.path().to_path_buf(), ..StoreOptions::default() };
    let store = open_with(other, Arc::new(RealDisk), Arc::new(())).unwrap();
    assert_eq!(store.options().commit_log_file_bytes, 16 * 1024);
    assert_eq!(store.options().consume_queue_file_bytes, 400);
    assert_eq!(bodies(&store, "T", 0).len(), all.len());
    assert_eq!(bodies(&store, "T", 0), all);
}

/// Deletes `T` among other topics' messages, and leaves the store as `end` does.
fn delete_and_recreate(end: fn(&Store), spoil: fn(&Path)) {
    let folder = tempfile::tempdir().unwrap();
    let fill = |store: &Store, topic: &str, prefix: &str, count: usize| -> Vec<Vec<u8>> {
        let bodies: Vec<_> = (0..count).map(|n| format!("{prefix} {n}").into_bytes()).collect();
        for body in &bodies {
            put(store, topic, 0, body).unwrap();
        }
        bodies
    };
    let check_after = |expected: &[Vec<u8>], kept: &[Vec<u8>]| {
        let store = open(folder.path());
        assert_eq!(store.recovery().damaged, []);
        assert_eq!(store.recovery().torn_end, None);
        assert_eq!(bodies(&store, "T", 0), expected);
        assert_eq!(bodies(&store, "U", 0), kept);
        assert_eq!(store.min_offset("T", 0), 0);
        store
    };
    let store = open(folder.path());
    // Several files of the log and of the queues.
    fill(&store, "T", "old", 150);
    let kept = fill(&store, "U", "kept", 150);
    store.delete_topic("T").unwrap();
    assert_eq!(store.max_offset("T", 0), 0);
    end(&store);
    drop(store);
    spoil(folder.path());

    let store = check_after(&[], &kept);
    assert_eq!(store.queues(), [("U".into(), 0)]);
    let first = put(&store, "T", 0, b"new").unwrap();
    assert_eq!(first.queue_offset, 0);
    let mut new = vec![b"new".to_vec()];
    new.extend(fill(&store, "T", "newer", 60));
    end(&store);
    drop(store);
    spoil(folder.path());

    let store = check_after(&new, &kept);
    store.delete_topic("T").unwrap();
    let last = fill(&store, "T", "last", 3);
    end(&store);
    drop(store);
    spoil(folder.path());
    check_after(&last, &kept);
}

fn leave_alone(_: &Path) {}

#[test]
fn a_deleted_topic_begins_anew_after_a_clean_stop() {
    delete_and_recreate(|store| store.close().unwrap(), leave_alone);
}

#[test]
fn a_deleted_topic_begins_anew_after_a_crash() {
    delete_and_recreate(|_| {}, leave_alone);
}

#[test]
fn a_deleted_topic_begins_anew_when_the_queues_are_rebuilt() {
    fn remove_queues(root: &Path) {
        std::fs::remove_dir_all(root.join("consumequeue")).unwrap();
    }
    delete_and_recreate(|_| {}, remove_queues);
    delete_and_recreate(|store| store.close().unwrap(), remove_queues);
}

#[test]
fn files_of_a_deleted_topic_that_cannot_be_removed_do_no_harm() {
    for reopens in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let disk = Arc::new(FaultyDisk::new(Arc::new(RealDisk)));
        let mut store = open_with(options(folder.path()), disk.clone(), Arc::new(())).unwrap();
        for _ in 0..50 {
            put(&store, "T", 0, b"old").unwrap();
        }
        disk.fail_from(Call::Remove, 1, std::io::ErrorKind::PermissionDenied);
        store.delete_topic("T").unwrap();
        disk.heal();
        if reopens {
            drop(store);
            store = open(folder.path());
        }
        assert_eq!(put(&store, "T", 0, b"new").unwrap().queue_offset, 0);
        assert_eq!(bodies(&store, "T", 0), [b"new"]);
        drop(store);
        let store = open(folder.path());
        assert_eq!(store.recovery().damaged, []);
        assert_eq!(bodies(&store, "T", 0), [b"new"]);
    }
}

#[test]
fn a_reader_reads_on_while_its_topic_is_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    put(&store, "T", 0, b"read me").unwrap();
    let got = store.get("T", 0, 0, ALL, &|_| true);
    store.delete_topic("T").unwrap();
    let record = record::iter(&got.segments[0]).next().unwrap().unwrap();
    assert_eq!(record.body, b"read me");
    assert_eq!(store.get("T", 0, 0, ALL, &|_| true).status, GetStatus::NoMessageInQueue);
    assert!(store.queues().is_empty());
}

#[test]
fn messages_that_become_durable_after_their_topic_was_deleted_do_not_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let options = StoreOptions { flush: FlushMode::Sync, ..options(folder.path()) };
    let store = open_with(options, Arc::new(RealDisk), Arc::new(())).unwrap();
    for _ in 0..20 {
        put(&store, "T", 0, b"old").unwrap();
        store.delete_topic("T").unwrap();
    }
    store.flush().unwrap();
    store.close().unwrap();
    assert_eq!((store.dispatch_behind_bytes(), store.max_offset("T", 0)), (0, 0));
    drop(store);
    assert!(open(folder.path()).queues().is_empty());
}

#[test]
fn writers_go_on_while_their_topic_is_deleted_again_and_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..300 {
                    put(&store, "T", 0, b"x").unwrap();
                }
            });
        }
        (0..20).for_each(|_| store.delete_topic("T").unwrap());
    });
    put(&store, "T", 0, b"x").unwrap();
    let max = store.max_offset("T", 0);
    assert_eq!((store.min_offset("T", 0), bodies(&store, "T", 0).len() as i64), (0, max));
    drop(store);
    let store = open(folder.path());
    assert_eq!(store.recovery().damaged, []);
    assert_eq!((store.min_offset("T", 0), store.max_offset("T", 0)), (0, max));
}
