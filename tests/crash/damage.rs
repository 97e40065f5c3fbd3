//! Bytes that changed on the disk.

use std::fs;

use crate::world::{Contents, LOG_FILE_BYTES, contents, edit, fill, freeze, log_place, open};

const MESSAGES: usize = 60;

#[test]
fn any_flipped_bit_of_the_last_record_costs_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let last = *fill(&store, 9, 20).last().unwrap();
    let mut others = contents(&store);
    let own = others.remove(&("T".into(), 0, last.queue_offset)).unwrap();
    drop(store);
    let mut detected = 0;
    for bit in 0..last.length as usize * 8 {
        let copy = freeze(folder.path());
        let (file, at) = log_place(copy.path(), last.physical_offset);
        edit(&file, |bytes| bytes[at + bit / 8] ^= 1 << (bit % 8));
        let store = open(copy.path());
        let now = contents(&store);
        assert!(others.iter().all(|(key, body)| now.get(key) == Some(body)), "bit {bit}");
        assert!(now.len() <= others.len() + 1, "bit {bit}");
        // Fields without a check sum (times, hosts, tags, the topic) may differ unseen; the body
        // never does.
        assert!(now.values().all(|body| *body == own || others.values().any(|o| o == body)));
        let report = store.recovery();
        let is_missing = now.len() == others.len();
        let is_told = report.torn_end.is_some() || report.damaged_count > 0;
        assert_eq!(is_missing, is_told, "bit {bit}: {report:?}");
        detected += usize::from(is_missing);
    }
    assert!(detected > 8 * 50, "{detected} flips were seen");
}

/// Damages each record in turn and expects it, and no other, to be missing.
fn damage_each(is_clean: bool, damage: impl Fn(&mut [u8])) {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let puts = fill(&store, MESSAGES, 100);
    let all = contents(&store);
    if is_clean {
        store.close().unwrap();
    }
    drop(store);
    // What a clean stop vouches for is not looked at again but for the last file.
    let files = puts.last().unwrap().physical_offset / LOG_FILE_BYTES as i64;
    let first = if is_clean { files * LOG_FILE_BYTES as i64 } else { 0 };
    for (number, put) in puts.iter().enumerate().take(MESSAGES - 2) {
        if put.physical_offset < first {
            continue;
        }
        let copy = freeze(folder.path());
        let (file, at) = log_place(copy.path(), put.physical_offset);
        edit(&file, |bytes| damage(&mut bytes[at..at + put.length as usize]));
        let mut expected: Contents = all.clone();
        expected.remove(&("T".into(), (number % 2) as i32, put.queue_offset));
        for life in 0..2 {
            let store = open(copy.path());
            assert_eq!(contents(&store), expected, "record {number}, life {life}");
            let report = store.recovery();
            assert_eq!(report.damaged_count, 1, "record {number}: {report:?}");
            assert_eq!((&report.damaged[0].file, report.damaged[0].offset), (&file, at as u64));
            assert_eq!(store.max_offset("T", 0), MESSAGES as i64 / 2);
        }
    }
}

#[test]
fn a_flipped_body_byte_after_a_kill_costs_one_record_and_is_reported() {
    damage_each(false, |record| record[100] ^= 1);
}

#[test]
fn a_flipped_body_byte_after_a_clean_stop_costs_one_record_and_is_reported() {
    damage_each(true, |record| record[100] ^= 1);
}

#[test]
fn a_lying_length_costs_one_record() {
    damage_each(false, |record| record[2] ^= 1);
    damage_each(false, |record| record[0] = 0x7F);
}

#[test]
fn a_lying_offset_costs_one_record() {
    damage_each(false, |record| record[35] ^= 1);
}

#[test]
fn a_wrong_magic_costs_one_record() {
    damage_each(false, |record| record[5] ^= 0x10);
}

#[test]
fn consume_queues_that_are_gone_or_garbled_are_built_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    fill(&store, MESSAGES, 100);
    let all = contents(&store);
    store.flush().unwrap();
    drop(store);
    let queue = "consumequeue/T/0";
    let first = format!("{queue}/{:020}", 0);
    let second = format!("{queue}/{:020}", 200);
    type Damage<'a> = Box<dyn Fn(&std::path::Path) + 'a>;
    let damages: Vec<(&str, Damage<'_>)> = vec![
        ("all gone", Box::new(|root| fs::remove_dir_all(root.join("consumequeue")).unwrap())),
        ("one gone", Box::new(|root| fs::remove_dir_all(root.join(queue)).unwrap())),
        ("first file gone", Box::new(|root| fs::remove_file(root.join(&first)).unwrap())),
        ("middle file gone", Box::new(|root| fs::remove_file(root.join(&second)).unwrap())),
        ("a file cut short", Box::new(|root| fs::write(root.join(&second), b"short").unwrap())),
        ("zeros", Box::new(|root| edit(&root.join(&second), |bytes| bytes.fill(0)))),
        ("ones", Box::new(|root| edit(&root.join(&second), |bytes| bytes.fill(0xFF)))),
        ("a shifted byte", Box::new(|root| edit(&root.join(&first), |bytes| bytes.rotate_left(1)))),
        ("checkpoint gone", Box::new(|root| fs::remove_file(root.join("checkpoint")).unwrap())),
        (
            "checkpoint lies",
            Box::new(|root| {
                edit(&root.join("checkpoint"), |bytes| bytes[..24].fill(0x7F));
                fs::remove_dir_all(root.join(queue)).unwrap();
            }),
        ),
    ];
    for (what, damage) in damages {
        let copy = freeze(folder.path());
        damage(copy.path());
        let store = open(copy.path());
        assert_eq!(contents(&store), all, "{what}");
        store.close().unwrap();
        drop(store);
        assert_eq!(contents(&open(copy.path())), all, "{what}, opened again");
    }
}

#[test]
fn a_clean_store_without_its_queues_gets_them_back() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    fill(&store, MESSAGES, 100);
    let all = contents(&store);
    store.close().unwrap();
    drop(store);
    fs::remove_dir_all(folder.path().join("consumequeue")).unwrap();
    assert_eq!(contents(&open(folder.path())), all);
}

#[test]
fn a_damaged_page_after_a_clean_stop_costs_only_its_records() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let puts = fill(&store, MESSAGES, 100);
    let all = contents(&store);
    store.close().unwrap();
    drop(store);
    // Open as after a kill, so that everything is looked at; the checkpoint vouches for it.
    fs::write(folder.path().join("abort"), b"1").unwrap();
    let page = 512..1024;
    let (file, _) = log_place(folder.path(), 0);
    edit(&file, |bytes| bytes[page.clone()].fill(0));
    let touched = |put: &broker_dev::store::Put| {
        let (start, end) = (put.physical_offset, put.physical_offset + i64::from(put.length));
        start < page.end as i64 && end > page.start as i64
    };
    let lost = puts.iter().filter(|put| touched(put)).count();
    let store = open(folder.path());
    assert_eq!(contents(&store).len(), all.len() - lost);
    assert_eq!(store.recovery().torn_end, None);
}
