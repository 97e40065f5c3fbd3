//! Power cuts: pages that never reached the disk, in any order.

use std::fs;

use crate::world::{contents, edit, fill, log_place, open, open_at, put};

#[test]
fn pages_lost_after_the_checkpoint_cost_the_end_never_the_middle() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    fill(&store, 10, 100);
    let kept = contents(&store);
    store.close().unwrap();
    drop(store);
    // An hour later, and nothing of it synced.
    let store = open_at(folder.path(), 3_600_000);
    let later: Vec<_> = (0..60).map(|_| put(&store, "T", 0, &[b'x'; 300]).unwrap()).collect();
    drop(store);
    let lost = later[5];
    let (file, at) = log_place(folder.path(), lost.physical_offset);
    let sector = at.next_multiple_of(512);
    edit(&file, |bytes| bytes[sector..sector + 512].fill(0));
    let store = open(folder.path());
    let now = contents(&store);
    assert!(kept.iter().all(|(key, body)| now.get(key) == Some(body)));
    let offsets: Vec<i64> = now.keys().filter(|key| key.1 == 0).map(|key| key.2).collect();
    let end = offsets.len() as i64;
    assert_eq!(offsets, (0..end).collect::<Vec<_>>());
    assert!((lost.queue_offset - 1..=lost.queue_offset + 2).contains(&end), "{end}");
    assert!(store.recovery().torn_end.is_some());
    // What lay behind does not come back.
    put(&store, "T", 0, &[b'y'; 300]).unwrap();
    drop(store);
    let store = open(folder.path());
    assert_eq!(store.max_offset("T", 0), end + 1);
    assert_eq!(store.recovery().torn_end, None);
}

#[test]
fn queue_pages_that_were_lost_come_back_from_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    fill(&store, 60, 100);
    let all = contents(&store);
    store.flush().unwrap();
    drop(store);
    for queue in ["0", "1"] {
        for entry in fs::read_dir(folder.path().join("consumequeue/T").join(queue)).unwrap() {
            edit(&entry.unwrap().path(), |bytes| bytes[40..120].fill(0));
        }
    }
    assert_eq!(contents(&open(folder.path())), all);
}

#[test]
fn remains_of_an_older_life_behind_the_end_stay_dead() {
    let folder = tempfile::tempdir().unwrap();
    let store = open_at(folder.path(), 0);
    let old = fill(&store, 12, 100);
    store.close().unwrap();
    drop(store);
    // Apache's broker cuts a log without clearing what it cuts, and writes on from there.
    let (file, _) = log_place(folder.path(), 0);
    let remains = fs::read(&file).unwrap();
    let cut = old[3].physical_offset as usize;
    edit(&file, |bytes| bytes[cut..].fill(0));
    let store = open_at(folder.path(), 60_000);
    put(&store, "T", 1, &[b'n'; 37]).unwrap();
    let expected = contents(&store);
    let end = store.commit_log_range().1 as usize;
    store.close().unwrap();
    drop(store);
    edit(&file, |bytes| bytes[end..].copy_from_slice(&remains[end..]));
    assert_eq!(contents(&open(folder.path())), expected);
}
