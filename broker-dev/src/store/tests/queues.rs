//! Queues of all kinds: batches, light topics, extensions, and very many of them.

#![allow(clippy::cast_possible_truncation, reason = "small numbers of a test")]

use std::path::Path;
use std::sync::Arc;

use super::log::{WRAPPED, inner_batch, put_message};
use super::*;

fn offsets(store: &Store, topic: &str, offset: i64) -> (Vec<i64>, usize, i64) {
    let result = store.get(topic, 0, offset, ALL, &|_| true);
    let mut offsets = Vec::new();
    for segment in &result.segments {
        offsets.extend(record::iter(segment).map(|record| record.unwrap().queue_offset));
    }
    (offsets, result.count, result.next_begin_offset)
}

fn reopen(root: &Path, store: Arc<Store>, is_clean: bool) -> Arc<Store> {
    if is_clean {
        store.close().unwrap();
    }
    drop(store);
    open(root)
}

#[test]
fn a_batch_queue_has_a_unit_for_each_record_and_an_offset_for_each_message() {
    for is_clean in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let mut store = open(folder.path());
        let body = inner_batch(&["a", "b", "c"]);
        let properties = "INNER_NUM\u{1}3\u{2}";
        let wrapped = PutMessage { sys_flag: WRAPPED, properties, ..message("B", 0, &body) };
        // 0-2, 3, 4-6, 7, …: more records than a file has units.
        let turn = [wrapped, message("B", 0, b"single")];
        for life in 0..4 {
            for _ in 0..3 {
                store.put(&turn, &mut Vec::new()).unwrap();
            }
            let end = (life + 1) * 12;
            assert_eq!((store.min_offset("B", 0), store.max_offset("B", 0)), (0, end));
            let bases: Vec<i64> = (0..end).filter(|offset| offset % 4 % 3 == 0).collect();
            for offset in 0..end {
                let from = bases.partition_point(|base| *base <= offset) - 1;
                let count = end as usize - bases[from] as usize;
                assert_eq!(offsets(&store, "B", offset), (bases[from..].to_vec(), count, end));
            }
            assert_eq!(store.get("B", 0, end, ALL, &|_| true).status, GetStatus::OffsetOverflowOne);
            let limits = GetLimits { max_messages: 4, max_bytes: usize::MAX };
            assert_eq!(store.get("B", 0, 0, limits, &|_| true).count, 4);
            let limits = GetLimits { max_messages: 3, max_bytes: usize::MAX };
            assert_eq!(store.get("B", 0, 3, limits, &|_| true).next_begin_offset, 4);
            store = reopen(folder.path(), store, is_clean);
        }
        store.flush().unwrap();
        let second = format!("batchconsumequeue/B/0/{:020}", 460);
        assert_eq!(std::fs::read(folder.path().join(second)).unwrap().len(), 460);
        assert!(!folder.path().join("consumequeue/B").exists());
    }
}

#[test]
fn times_find_places_in_a_batch_queue_too() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(VirtualClock::new(1_000));
    let store =
        Store::open(options(folder.path()), clock.clone(), Arc::new(RealDisk), Arc::new(()))
            .unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let body = inner_batch(&["a", "b"]);
    let properties = "INNER_NUM\u{1}2\u{2}";
    let wrapped = PutMessage { sys_flag: WRAPPED, properties, ..message("B", 0, &body) };
    for _ in 0..15 {
        store.put(&[wrapped], &mut Vec::new()).unwrap();
        runtime.block_on(clock.advance(std::time::Duration::from_millis(10)));
    }
    for (time, lower, upper) in
        [(0, 0, 0), (1_000, 0, 0), (1_005, 2, 0), (1_110, 22, 22), (1_139, 28, 26), (9_999, 30, 28)]
    {
        assert_eq!(store.offset_by_time("B", 0, time, Boundary::Lower), lower, "{time}");
        assert_eq!(store.offset_by_time("B", 0, time, Boundary::Upper), upper, "{time}");
    }
    assert_eq!(store.store_time("B", 0, 3), Some(1_010));
}

#[test]
fn a_topic_cannot_have_queues_of_another_kind_than_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    put(&store, "B", 0, b"x").unwrap();
    put(&store, "T", 0, b"x").unwrap();
    assert!(store.set_queue_kind("T", QueueKind::Batch).is_err());
    store.set_queue_kind("new", QueueKind::Batch).unwrap();
    assert_eq!(store.queue_kind("new"), QueueKind::Batch);
    let body = inner_batch(&["a"]);
    let properties = "INNER_NUM\u{1}1\u{2}";
    let wrapped = PutMessage { sys_flag: WRAPPED, properties, ..message("T", 0, &body) };
    let error = store.put(&[wrapped], &mut Vec::new()).unwrap_err();
    assert!(matches!(error, StoreError::IllegalMessage { .. }), "{error}");
    store.close().unwrap();
    drop(store);
    for (topic, kind, names) in
        [("B", QueueKind::Simple, "batchconsumequeue"), ("T", QueueKind::Batch, "consumequeue")]
    {
        let kinds = [(topic.to_owned(), kind)].into();
        let options = StoreOptions { queue_kinds: kinds, ..options(folder.path()) };
        let error = open_with(options, Arc::new(RealDisk), Arc::new(())).unwrap_err().to_string();
        assert!(error.contains(topic) && error.contains(names), "{error}");
    }
    // Without a word from the options the folders decide.
    let options = StoreOptions { queue_kinds: [].into(), ..options(folder.path()) };
    let store = open_with(options, Arc::new(RealDisk), Arc::new(())).unwrap();
    assert_eq!(store.queue_kind("B"), QueueKind::Batch);
    assert_eq!(bodies(&store, "B", 0), [b"x"]);
}

fn with_light_topics(root: &Path) -> StoreOptions {
    StoreOptions { multi_dispatch: true, max_light_topics: 3, ..options(root) }
}

#[test]
fn a_message_stands_in_the_queues_of_its_light_topics_too() {
    let folder = tempfile::tempdir().unwrap();
    let open =
        || open_with(with_light_topics(folder.path()), Arc::new(RealDisk), Arc::new(())).unwrap();
    let mut expected: Vec<Vec<u8>> = Vec::new();
    for life in 0..4_u8 {
        let store = open();
        assert_eq!(store.recovery().damaged_count, 0);
        assert_eq!(bodies(&store, "%LMQ%a", 0), expected);
        for n in 0..9_u8 {
            let both = "INNER_MULTI_DISPATCH\u{1}%LMQ%a,other,%LMQ%b\u{2}";
            let one = "TAGS\u{1}TagA\u{2}INNER_MULTI_DISPATCH\u{1}%LMQ%a\u{2}";
            let body = [life, n];
            let properties = if n % 3 == 0 { both } else { one };
            let put = put_message(&store, PutMessage { properties, ..message("T", 0, &body) });
            let record = store.record_at(put.unwrap().physical_offset).unwrap();
            let (record, _) = Record::decode(&record).unwrap().unwrap();
            let a = i64::from(life) * 9 + i64::from(n);
            let b = a / 3;
            let offsets = if n % 3 == 0 { format!("{a},,{b}") } else { a.to_string() };
            assert_eq!(record.property("INNER_MULTI_QUEUE_OFFSET"), Some(&*offsets));
            expected.push(body.to_vec());
        }
        assert_eq!(bodies(&store, "%LMQ%a", 0), expected);
        let third: Vec<_> = expected.iter().step_by(3).cloned().collect();
        assert_eq!(bodies(&store, "%LMQ%b", 0), third);
        assert_eq!(bodies(&store, "T", 0).len(), expected.len());
        assert_eq!(store.max_offset("other", 0), 0);
        let tagged = store.get("%LMQ%a", 0, 0, ALL, &|code| code == 2_598_919);
        assert_eq!(tagged.count, 6 * (usize::from(life) + 1));
        if life % 2 == 0 {
            store.close().unwrap();
        }
    }
    // A queue folder that is gone comes back from the log.
    std::fs::remove_dir_all(folder.path().join("consumequeue")).unwrap();
    assert_eq!(bodies(&open(), "%LMQ%a", 0), expected);
}

#[test]
fn there_are_no_more_light_topics_than_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let options = with_light_topics(folder.path());
    let store = open_with(options, Arc::new(RealDisk), Arc::new(())).unwrap();
    let put = |names: &str| {
        let properties = format!("INNER_MULTI_DISPATCH\u{1}{names}\u{2}");
        put_message(&store, PutMessage { properties: &properties, ..message("T", 0, b"x") })
    };
    put("%LMQ%a,%LMQ%b").unwrap();
    put("%LMQ%c").unwrap();
    let error = put("%LMQ%a,%LMQ%d").unwrap_err();
    assert!(matches!(error, StoreError::TooManyQueues { limit: 3 }), "{error}");
    assert_eq!(store.max_offset("%LMQ%a", 0), 1, "a refused message takes no place");
    store.delete_topic("%LMQ%c").unwrap();
    put("%LMQ%a,%LMQ%d").unwrap();
    assert_eq!(store.max_offset("%LMQ%a", 0), 2);
}

#[test]
fn without_the_option_light_topics_are_plain_text() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let properties = "INNER_MULTI_DISPATCH\u{1}%LMQ%a\u{2}";
    put_message(&store, PutMessage { properties, ..message("T", 0, b"x") }).unwrap();
    assert_eq!(store.queues(), [("T".into(), 0)]);
}

/// Takes everything, and remembers the extensions that it was shown.
#[derive(Default)]
struct ByExtension(std::cell::RefCell<Vec<Extension>>);

impl MessageFilter for ByExtension {
    fn passes_code(&self, tags_code: i64) -> bool {
        tags_code == 2_598_919
    }

    fn passes_extension(&self, extension: &Extension) -> bool {
        self.0.borrow_mut().push(extension.clone());
        true
    }
}

#[test]
fn extensions_say_what_a_unit_has_no_room_for() {
    let folder = tempfile::tempdir().unwrap();
    let with = |queue_extensions| {
        let options = StoreOptions {
            queue_extensions,
            extension_file_bytes: 33_000,
            ..options(folder.path())
        };
        open_with(options, Arc::new(RealDisk), Arc::new(())).unwrap()
    };
    let mut puts = 0;
    for life in 0..4 {
        let store = with(true);
        assert_eq!(store.max_offset("T", 0), puts);
        for _ in 0..30 {
            put(&store, "T", 0, b"x").unwrap();
            puts += 1;
        }
        let filter = ByExtension::default();
        let found = store.get("T", 0, 0, ALL, &filter);
        assert_eq!((found.count as i64, filter.0.borrow().len() as i64), (puts, puts));
        let first = Extension {
            tags_code: 2_598_919,
            store_timestamp: 1_700_000_000_000,
            bits: Vec::new(),
        };
        assert_eq!(filter.0.borrow()[0], first);
        assert_eq!(store.get("T", 0, 0, ALL, &|code| code == 1).count, 0);
        if life % 2 == 0 {
            store.close().unwrap();
        }
    }
    with(true).close().unwrap();
    let file = folder.path().join(format!("consumequeue_ext/T/0/{:020}", 0));
    assert_eq!(std::fs::metadata(&file).unwrap().len(), 33_000);
    // Without extensions recovery puts plain units back.
    let store = with(false);
    let filter = ByExtension::default();
    assert_eq!(store.get("T", 0, 0, ALL, &filter).count as i64, puts);
    assert_eq!(filter.0.borrow().len(), 0);
}

#[test]
fn opening_looks_at_no_queue_that_recovery_does_not_meet() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    for n in 0..200 {
        put(&store, &format!("topic-{n}"), n % 7, b"x").unwrap();
    }
    for _ in 0..20 {
        put(&store, "last", 0, &[0; 2_000]).unwrap();
    }
    store.close().unwrap();
    drop(store);
    let disk = Arc::new(FaultyDisk::new(Arc::new(RealDisk)));
    let options = StoreOptions { max_open_queue_files: 16, ..options(folder.path()) };
    let store = open_with(options, disk.clone(), Arc::new(())).unwrap();
    let before = disk.calls(Call::Open);
    assert!(before < 20, "{before} files were opened");
    assert_eq!(store.queues().len(), 201);
    assert_eq!(disk.calls(Call::Open), before, "names come from the folders");
    for n in 0..200 {
        assert_eq!(bodies(&store, &format!("topic-{n}"), n % 7), [b"x"]);
        assert_eq!(put(&store, &format!("topic-{n}"), n % 7, b"y").unwrap().queue_offset, 1);
    }
    assert!(disk.calls(Call::Open) >= before + 200);
}

#[test]
fn units_that_cannot_be_written_stop_the_writers_before_the_memory_is_full() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Arc::new(FaultyDisk::new(Arc::new(RealDisk)));
    let options = StoreOptions { queue_memory_bytes: 1_000, ..options(folder.path()) };
    let store = open_with(options, disk.clone(), Arc::new(())).unwrap();
    disk.fail_from(Call::Write, 1, std::io::ErrorKind::StorageFull);
    let mut stored = 0;
    let error = loop {
        match put(&store, "T", stored % 5, b"x") {
            Ok(_) => stored += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, StoreError::Full { .. }), "{error}");
    assert!((50..60).contains(&stored), "{stored}");
    let readable =
        |store: &Store| (0..5).map(|queue| bodies(store, "T", queue).len()).sum::<usize>();
    assert!(readable(&store) >= 50);
    disk.heal();
    put(&store, "T", 0, b"x").unwrap();
    assert_eq!(readable(&store) as i32, stored + 1);
    store.close().unwrap();
    drop(store);
    assert_eq!(readable(&open(folder.path())) as i32, stored + 1);
}

#[test]
fn last_units_that_were_damaged_long_ago_come_back_from_the_log() {
    for (bit, units) in [(0, 1), (7 * 8, 1), (10 * 8, 2), (11 * 8 + 1, 3)] {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path());
        let bodies_of = |store: &Store| bodies(store, "idle", 0);
        for n in 0..5 {
            put(&store, "idle", 0, &[n]).unwrap();
            put(&store, "other", 0, &[n]).unwrap();
        }
        let expected = bodies_of(&store);
        // So much more that a clean stop vouches for the first file.
        for _ in 0..30 {
            put(&store, "other", 0, &[0; 2_000]).unwrap();
        }
        store.close().unwrap();
        drop(store);
        let file = folder.path().join(format!("consumequeue/idle/0/{:020}", 0));
        let mut bytes = std::fs::read(&file).unwrap();
        for unit in 5 - units..5 {
            bytes[unit * 20 + bit / 8] ^= 1 << (bit % 8);
        }
        std::fs::write(&file, bytes).unwrap();
        let store = open(folder.path());
        assert_eq!(bodies_of(&store), expected, "bit {bit} of {units}");
        assert_eq!(put(&store, "idle", 0, b"next").unwrap().queue_offset, 5);
    }
}
