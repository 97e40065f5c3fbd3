//! Recovery of the log, and of what was dispatched from it.

use crate::world::{
    LOG_FILE_BYTES, body, contents, edit, fill, freeze, lose_log_from, mark_killed, numbered, open,
    put, roll_back,
};

/// Apache's broker stopped (or was killed) before it had dispatched all of its log. The next life
/// began to dispatch at the log's end: those messages never reached their queue, and everything
/// behind them came to stand at the wrong place in it.
#[test]
fn rmq_467_messages_that_were_not_dispatched_before_the_stop() {
    for is_clean in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path());
        fill(&store, "T", 0..20);
        store.close().unwrap();
        drop(store);
        let before = freeze(folder.path());
        let store = open(folder.path());
        fill(&store, "T", 20..23);
        if is_clean {
            store.close().unwrap();
        }
        let frozen = freeze(folder.path());
        roll_back("consumequeue", before.path(), frozen.path());

        for life in 0..2 {
            let store = open(frozen.path());
            assert_eq!(contents(&store), numbered("T", 23 + life), "clean: {is_clean}");
            assert_eq!(put(&store, "T", 0, &body(23 + life)).queue_offset, 23 + life as i64);
        }
    }
}

/// The other half of the same fix: a record whose check fails ended the scan, but the bytes behind
/// it were not cut, and new records were written in front of old ones.
#[test]
fn rmq_467_a_damaged_end_is_cut_before_more_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let puts = fill(&store, "T", 0..20);
    let frozen = freeze(folder.path());
    let last = puts.last().unwrap();
    let start = last.physical_offset - last.physical_offset % LOG_FILE_BYTES as i64;
    let file = frozen.path().join(format!("commitlog/{start:020}"));
    edit(&file, |bytes| bytes[(last.physical_offset - start) as usize + 90] ^= 1);

    let store = open(frozen.path());
    assert!(store.recovery().torn_end.is_some(), "{:?}", store.recovery());
    assert_eq!(contents(&store), numbered("T", 19));
    // A shorter record in its place: what is left of the old one must not come back to life.
    put(&store, "T", 0, b"short");
    drop(store);
    let store = open(frozen.path());
    let mut expected = numbered("T", 19);
    expected.insert(("T".into(), 0, 19), "short".to_owned());
    assert_eq!(contents(&store), expected);
    assert_eq!(store.recovery().torn_end, None);
}

/// Apache's abnormal recovery began with the last file that it found sound. The last messages of
/// the file before it, if they were not dispatched when the process died, were lost to consumers.
#[test]
fn rmq_1434_the_end_of_the_file_before_the_last_one() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let mut number = 0;
    // The last file shall hold one record, the first in it.
    while store.commit_log_range().1 < 3 * LOG_FILE_BYTES as i64 {
        put(&store, "T", 0, &body(number));
        number += 1;
    }
    store.close().unwrap();
    drop(store);
    for forgotten in 1..10 {
        let frozen = freeze(folder.path());
        // The checkpoint of a clean stop vouches for everything; the queues lag behind it.
        mark_killed(frozen.path());
        let short = number - forgotten;
        let files = frozen.path().join("consumequeue/T/0");
        for unit in short..number {
            let (file, at) = crate::world::queue_place(frozen.path(), "T", unit as i64);
            edit(&file, |bytes| bytes[at..at + 20].fill(0));
        }
        assert!(files.exists());
        let store = open(frozen.path());
        assert_eq!(contents(&store), numbered("T", number), "{forgotten} were not dispatched");
        assert_eq!(put(&store, "T", 0, b"next").queue_offset, number as i64);
    }
}

/// When Apache's broker cut its log, the offset up to which records count as dispatched stayed
/// beyond the cut. What was stored there afterwards was held to be dispatched already, and the
/// next cut was reckoned from the wrong place: more was lost each time.
#[test]
fn rmq_6665_what_is_stored_after_a_cut_is_dispatched() {
    let folder = tempfile::tempdir().unwrap();
    let mut expected = numbered("T", 0);
    for round in 0..6 {
        let store = open(folder.path());
        assert_eq!(contents(&store), expected, "round {round}");
        let had = expected.len();
        let puts = fill(&store, "T", had..had + 12);
        // Dispatched at once, right behind the cut of the round before.
        assert_eq!(contents(&store), numbered("T", had + 12), "round {round}");
        assert_eq!(store.max_offset("T", 0), (had + 12) as i64);
        drop(store);
        // A power cut takes the last five of the log, while their units are on the disk.
        lose_log_from(folder.path(), puts[7].physical_offset);
        expected = numbered("T", had + 7);
        let store = open(folder.path());
        assert_eq!(contents(&store), expected, "round {round}, cut");
        assert_eq!(store.commit_log_range().1, puts[7].physical_offset);
        assert_eq!(store.max_offset("T", 0), (had + 7) as i64);
        if round % 2 == 0 {
            store.close().unwrap();
        }
    }
}
