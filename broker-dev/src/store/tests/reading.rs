//! Reading queues: Apache's ten outcomes, limits, and files that go away.

#![allow(clippy::cast_possible_truncation, reason = "small numbers of a test")]

use std::sync::Arc;

use super::*;
use crate::store::mapped_file_queue::Removal;

/// A queue of ten messages, the third of which is damaged in the log beyond being found.
fn store_with_a_gap(root: &Path) -> (Arc<Store>, Vec<Put>) {
    let store = open(root);
    let puts: Vec<Put> = (0..10).map(|n| put(&store, "T", 0, &[n; 1_500]).unwrap()).collect();
    drop(store);
    let gap = puts[2].physical_offset as usize;
    let log = root.join(format!("commitlog/{:020}", 0));
    let mut bytes = std::fs::read(&log).unwrap();
    bytes[gap + 4] ^= 0xFF;
    std::fs::write(&log, bytes).unwrap();
    (open(root), puts)
}

#[test]
fn a_get_ends_in_one_of_apaches_ten_ways() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = store_with_a_gap(folder.path());
    put(&store, "empty", 1, b"x").unwrap();
    type Filter = fn(i64) -> bool;
    let (all, none): (Filter, Filter) = (|_| true, |_| false);
    let check = |topic: &str, offset, filter: Filter| {
        let result = store.get(topic, 0, offset, ALL, &filter);
        (result.status, result.next_begin_offset, result.count)
    };
    use GetStatus::*;
    for (topic, offset, filter, expected) in [
        // Queues are made on demand, so there is none that does not exist.
        ("none", 0, all, (NoMessageInQueue, 0, 0)),
        ("none", 5, all, (NoMessageInQueue, 0, 0)),
        ("empty", 0, all, (NoMessageInQueue, 0, 0)),
        ("T", -1, all, (OffsetTooSmall, 0, 0)),
        ("T", 10, all, (OffsetOverflowOne, 10, 0)),
        ("T", 11, all, (OffsetOverflowBadly, 10, 0)),
        ("T", 0, none, (NoMatchedMessage, 10, 0)),
        // The blank of the damaged record costs no other.
        ("T", 0, all, (Found, 10, 9)),
        ("T", 2, all, (Found, 10, 7)),
        ("T", 9, all, (Found, 10, 1)),
    ] {
        assert_eq!(check(topic, offset, filter), expected, "{topic} {offset}");
    }
    let names = [
        (Found, "FOUND"),
        (NoMatchedMessage, "NO_MATCHED_MESSAGE"),
        (MessageWasRemoving, "MESSAGE_WAS_REMOVING"),
        (OffsetFoundNull, "OFFSET_FOUND_NULL"),
        (OffsetOverflowBadly, "OFFSET_OVERFLOW_BADLY"),
        (OffsetOverflowOne, "OFFSET_OVERFLOW_ONE"),
        (OffsetTooSmall, "OFFSET_TOO_SMALL"),
        (NoMatchedLogicQueue, "NO_MATCHED_LOGIC_QUEUE"),
        (NoMessageInQueue, "NO_MESSAGE_IN_QUEUE"),
        (OffsetReset, "OFFSET_RESET"),
    ];
    assert!(names.iter().all(|(status, name)| status.name() == *name));
}

#[test]
fn units_that_cannot_be_read_send_the_reader_to_the_next_file() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Arc::new(FaultyDisk::new(Arc::new(RealDisk)));
    let store = open_with(options(folder.path()), disk.clone(), Arc::new(())).unwrap();
    for n in 0..50 {
        put(&store, "T", 0, &[n; 10]).unwrap();
    }
    store.flush().unwrap();
    disk.fail_from(Call::Read, 1, std::io::ErrorKind::Other);
    for (offset, next) in [(0, 20), (25, 40), (40, 50)] {
        let result = store.get("T", 0, offset, ALL, &|_| true);
        let outcome = (result.status, result.next_begin_offset);
        assert_eq!(outcome, (GetStatus::OffsetFoundNull, next), "{offset}");
    }
    disk.heal();
    assert_eq!(store.get("T", 0, 0, ALL, &|_| true).count, 50);
}

#[test]
fn what_the_log_no_longer_has_is_being_removed_until_the_queue_knows() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    // Ten to a log file, twenty to a queue file.
    for n in 0..45 {
        put(&store, "T", 0, &[n; 1_500]).unwrap();
    }
    store.flush().unwrap();
    let shared = store.shared();
    let files = shared.log.files();
    while files.files().len() > 2 {
        assert!(matches!(files.remove_first(false).unwrap(), Removal::Removed { .. }));
    }
    let result = store.get("T", 0, 0, GetLimits { max_messages: 5, max_bytes: 1 }, &|_| true);
    assert_eq!((result.status, result.count), (GetStatus::Found, 1), "the gone are passed over");
    let limited = shared.log.min();
    let first = (0..45).find(|offset| store.store_time("T", 0, *offset).is_some()).unwrap();
    assert_eq!(result.next_begin_offset, first + 1);
    assert!(limited > 0);
    shared.table.remove_before(limited).unwrap();
    assert_eq!(store.min_offset("T", 0), first);
    let gone = store.get("T", 0, 0, ALL, &|_| true);
    assert_eq!((gone.status, gone.next_begin_offset), (GetStatus::OffsetTooSmall, first));
    let names: Vec<_> = std::fs::read_dir(folder.path().join("consumequeue/T/0"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(names.len() as i64, 3 - first / 20);
    // All that is left of a queue may be gone; its offsets go on.
    shared.table.remove_before(shared.log.end()).unwrap();
    assert_eq!((store.min_offset("T", 0), store.max_offset("T", 0)), (45, 45));
    assert_eq!(put(&store, "T", 0, b"x").unwrap().queue_offset, 45);
    store.close().unwrap();
    drop(store);
    let store = open(folder.path());
    assert_eq!(store.max_offset("T", 0), 46);
}

#[test]
fn old_messages_come_in_smaller_portions() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let puts: Vec<Put> = (0..20).map(|n| put(&store, "T", 0, &[n; 100]).unwrap()).collect();
    let length = puts[0].length as usize;
    let end = store.commit_log_range().1;
    let limits = |on_disk, newest: i64| TransferLimits {
        in_memory: GetLimits { max_messages: 8, max_bytes: usize::MAX },
        on_disk,
        in_memory_bytes: end - puts[newest as usize].physical_offset,
    };
    let few = GetLimits { max_messages: 3, max_bytes: usize::MAX };
    let small = GetLimits { max_messages: 8, max_bytes: 2 * length };
    for (on_disk, newest, offset, count) in
        [(few, 10, 0, 3), (small, 10, 0, 2), (few, 10, 10, 8), (few, 10, 9, 8), (few, 10, 6, 3)]
    {
        let result = store.get_within("T", 0, offset, limits(on_disk, newest), &|_| true);
        assert_eq!(result.count, count, "from {offset}");
    }
}
