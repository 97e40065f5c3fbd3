//! The same folder, opened again and again.

use std::fs;

use crate::world::{contents, fill, freeze, open, put};

#[test]
fn twenty_lives_lose_and_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut expected = crate::world::Contents::new();
    for life in 0..20 {
        let store = open(folder.path());
        assert_eq!(contents(&store), expected, "life {life}");
        fill(&store, 7, 90);
        expected = contents(&store);
        assert_eq!(expected.len(), (life + 1) * 7);
        match life % 3 {
            0 => store.close().unwrap(),
            1 => store.flush().unwrap(),
            _ => {}
        }
    }
}

#[test]
fn opening_alone_changes_no_stored_byte() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    fill(&store, 30, 90);
    store.close().unwrap();
    drop(store);
    let bytes = |root: &std::path::Path| {
        ["commitlog", "consumequeue/T/0", "consumequeue/T/1"].map(|dir| {
            let mut files: Vec<_> = fs::read_dir(root.join(dir))
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .map(|path| (path.file_name().unwrap().to_owned(), fs::read(&path).unwrap()))
                .collect();
            files.sort();
            files
        })
    };
    let before = bytes(folder.path());
    for _ in 0..3 {
        open(folder.path()).close().unwrap();
        assert!(bytes(folder.path()) == before);
    }
}

#[test]
fn a_folder_frozen_after_any_message_gives_back_all_of_them_twice() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    for number in 0..60 {
        put(&store, "T", number % 3, format!("message {number}").as_bytes()).unwrap();
        let frozen = freeze(folder.path());
        let now = contents(&store);
        let again = open(frozen.path());
        assert!(!again.recovery().is_clean);
        assert_eq!(contents(&again), now);
        let twice = freeze(frozen.path());
        drop(again);
        assert_eq!(contents(&open(twice.path())), now);
        assert_eq!(contents(&open(frozen.path())), now);
    }
}
