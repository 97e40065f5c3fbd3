//! A log that ends anywhere within its last records.

use std::fs;
use std::path::Path;

use crate::world::{Contents, body, contents, edit, fill, freeze, log_place, open, put};

const MESSAGES: usize = 40;

/// A store that was killed (or closed), and the contents and end of each record.
fn stopped(is_clean: bool) -> (tempfile::TempDir, Vec<(i64, i64)>, Contents) {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let puts = fill(&store, MESSAGES, 40);
    let all = contents(&store);
    if is_clean {
        store.close().unwrap();
    }
    let places = puts.iter().map(|put| (put.physical_offset, i64::from(put.length))).collect();
    (folder, places, all)
}

/// What is left of the contents if the log ends at `cut`.
fn expected(all: &Contents, places: &[(i64, i64)], cut: i64) -> Contents {
    let kept = places.iter().filter(|(offset, length)| offset + length <= cut).count();
    let is_kept = |key: &(String, i32, i64)| {
        let number = key.2 as usize * 2 + key.1 as usize;
        number < kept
    };
    all.iter().filter(|(key, _)| is_kept(key)).map(|(k, v)| (k.clone(), v.clone())).collect()
}

fn cut_anywhere(is_clean: bool, cut_file: impl Fn(&Path, usize)) {
    let (folder, places, all) = stopped(is_clean);
    let (first, _) = places[MESSAGES - 3];
    let (last, length) = places[MESSAGES - 1];
    for cut in first..=last + length {
        let copy = freeze(folder.path());
        let (file, at) = log_place(copy.path(), cut);
        cut_file(&file, at);
        let expected = expected(&all, &places, cut);
        let store = open(copy.path());
        assert_eq!(contents(&store), expected, "cut at {cut}");
        assert_eq!(store.recovery().damaged_count, 0, "cut at {cut}");
        let next = put(&store, "T", 0, b"next").unwrap();
        let last = expected.keys().filter(|key| key.1 == 0).map(|key| key.2).max();
        assert_eq!(next.queue_offset, last.unwrap() + 1);
        drop(store);
        let store = open(copy.path());
        assert_eq!(contents(&store).len(), expected.len() + 1, "cut at {cut}, opened again");
        assert_eq!(store.recovery().torn_end, None, "the first recovery cleared the end");
    }
}

#[test]
fn a_file_cut_short_after_a_kill_loses_only_what_is_cut() {
    cut_anywhere(false, |file, at| {
        fs::OpenOptions::new().write(true).open(file).unwrap().set_len(at as u64).unwrap();
    });
}

#[test]
fn a_file_cut_short_after_a_clean_stop_loses_only_what_is_cut() {
    cut_anywhere(true, |file, at| {
        fs::OpenOptions::new().write(true).open(file).unwrap().set_len(at as u64).unwrap();
    });
}

#[test]
fn zeros_from_anywhere_to_the_end_lose_only_what_they_cover() {
    cut_anywhere(false, |file, at| edit(file, |bytes| bytes[at..].fill(0)));
}

#[test]
fn a_log_that_is_gone_leaves_an_empty_store() {
    let (folder, ..) = stopped(false);
    fs::remove_dir_all(folder.path().join("commitlog")).unwrap();
    let store = open(folder.path());
    assert_eq!(contents(&store).len(), 0);
    assert_eq!(put(&store, "T", 0, &body(0, 5)).unwrap().queue_offset, 0);
}
