//! Consume queues that do not agree with the log.

use std::fs;

use crate::world::{
    QUEUE_FILE_BYTES, body, contents, edit, fill, freeze, lose_log_from, mark_crashed, numbered,
    open, put, queue_place,
};

const UNITS_PER_FILE: usize = QUEUE_FILE_BYTES as usize / 20;

/// A host went down and took the end of a consume queue with it. Apache's broker dispatched on
/// behind the gap ("logic queue order maybe wrong"): from then on each offset of the queue led to
/// another message, until somebody deleted the queues by hand.
#[test]
fn rmq_7355_a_host_went_down_and_took_the_end_of_a_queue() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    fill(&store, "T", 0..35);
    fill(&store, "U", 0..35);
    let mut expected = numbered("T", 35);
    expected.append(&mut numbered("U", 35));
    store.close().unwrap();
    drop(store);
    mark_crashed(folder.path());
    // From deleting the last file (as the issue does) to losing nearly everything.
    for kept_units in [30, 29, 20, 7, 0] {
        let frozen = freeze(folder.path());
        for unit in kept_units..35 {
            let (file, at) = queue_place(frozen.path(), "T", unit);
            if at == 0 {
                fs::remove_file(&file).unwrap();
            } else if file.exists() {
                edit(&file, |bytes| bytes[at..].fill(0));
            }
        }
        let store = open(frozen.path());
        assert_eq!(contents(&store), expected, "{kept_units} units kept");
        assert_eq!(put(&store, "T", 0, &body(35)).queue_offset, 35);
        drop(store);
        let found = contents(&open(frozen.path()));
        assert_eq!(found[&("T".to_owned(), 0, 35)], "message 35");
        assert_eq!(found.len(), 71);
    }
}

/// The last file of a queue held no unit, because the records for it were lost with the log's end.
/// Apache's broker stepped one unit back from its beginning, got a negative position, and did not
/// start any more.
#[test]
fn rmq_9728_the_last_file_of_a_queue_is_empty() {
    for first_bytes in [0, 1, 7, 19] {
        for is_clean in [true, false] {
            let folder = tempfile::tempdir().unwrap();
            let store = open(folder.path());
            let puts = fill(&store, "T", 0..UNITS_PER_FILE + 3);
            let lost = puts[UNITS_PER_FILE];
            store.close().unwrap();
            drop(store);
            if !is_clean {
                mark_crashed(folder.path());
            }
            lose_log_from(folder.path(), lost.physical_offset);
            // Nothing of its first unit reached the disk, or only a part.
            let (file, at) = queue_place(folder.path(), "T", UNITS_PER_FILE as i64);
            assert_eq!(at, 0);
            edit(&file, |bytes| bytes[first_bytes..].fill(0));

            let store = open(folder.path());
            assert_eq!(contents(&store), numbered("T", UNITS_PER_FILE));
            assert_eq!(store.min_offset("T", 0), 0);
            assert_eq!(store.max_offset("T", 0), UNITS_PER_FILE as i64);
            put(&store, "T", 0, &body(UNITS_PER_FILE));
            drop(store);
            assert_eq!(contents(&open(folder.path())), numbered("T", UNITS_PER_FILE + 1));
        }
    }
}

/// The same search for the smallest offset, in two more places where Apache's broker did not
/// start: a queue of which no unit is left, and one whose every unit is older than the log.
#[test]
fn rmq_10108_a_queue_without_one_unit_that_counts() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    fill(&store, "old", 0..UNITS_PER_FILE);
    let old_end = store.commit_log_range().1;
    fill(&store, "T", 0..40);
    let before_new = store.commit_log_range().1;
    fill(&store, "new", 0..UNITS_PER_FILE + 1);
    store.close().unwrap();
    drop(store);
    mark_crashed(folder.path());
    // The beginning of the log expired, its end was lost.
    let mut gone = 0;
    for number in 0.. {
        let start = number * crate::world::LOG_FILE_BYTES as i64;
        if start + crate::world::LOG_FILE_BYTES as i64 > before_new {
            break;
        }
        if start < old_end {
            fs::remove_file(folder.path().join(format!("commitlog/{start:020}"))).unwrap();
            gone = start + crate::world::LOG_FILE_BYTES as i64;
        }
    }
    assert!(gone >= old_end);
    lose_log_from(folder.path(), before_new);
    // And the old queue has a file ahead of need.
    let (file, _) = queue_place(folder.path(), "old", UNITS_PER_FILE as i64);
    fs::write(file, vec![0; QUEUE_FILE_BYTES as usize]).unwrap();

    for _ in 0..2 {
        let store = open(folder.path());
        let found = contents(&store);
        assert!(found.keys().all(|(topic, ..)| topic == "T"), "{:?}", found.keys());
        assert_eq!(found.len(), 40 - store.min_offset("T", 0) as usize);
        // A queue keeps counting from where it was, even when all it had is gone.
        let units = UNITS_PER_FILE as i64;
        assert_eq!((store.min_offset("old", 0), store.max_offset("old", 0)), (units, units));
        assert_eq!((store.min_offset("new", 0), store.max_offset("new", 0)), (0, 0));
    }
    let store = open(folder.path());
    assert_eq!(put(&store, "old", 0, b"next").queue_offset, UNITS_PER_FILE as i64);
    assert_eq!(put(&store, "new", 0, b"first").queue_offset, 0);
}
