//! That a dry run changes nothing, and that what it foresees happens.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use broker_dev::store::tools::{Change, Repair, ToolError, plan_repair, repair};
use oxmq::clock::VirtualClock;

use crate::world::{START_MS, edit, files, folder, open, options, put, store, verified};

type Contents = BTreeMap<PathBuf, Vec<u8>>;

pub(crate) fn contents(root: &Path) -> Contents {
    let mut all = Contents::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(dir) = folders.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let bytes = std::fs::read(&path).unwrap();
                all.insert(path.strip_prefix(root).unwrap().to_path_buf(), bytes);
            }
        }
    }
    all
}

fn is_always(file: &Path) -> bool {
    ["abort", "lock", "checkpoint"].iter().any(|name| file == Path::new(name))
}

/// Plans, repairs, and holds one against the other.
fn planned_and_done(root: &Path) -> Repair {
    let clock = || Arc::new(VirtualClock::new(START_MS));
    let before = contents(root);
    let plan = plan_repair(&folder(root), options(root), clock()).unwrap();
    assert_eq!(contents(root), before, "a dry run changed something");
    let done = repair(&folder(root), options(root), clock()).unwrap();
    let expected = Repair { dry_run: false, files: Vec::new(), ..plan.clone() };
    assert_eq!(expected, done);
    let after = contents(root);
    let names: BTreeSet<&PathBuf> = before.keys().chain(after.keys()).collect();
    let differs = |name: &&PathBuf| before.get(*name) != after.get(*name) && !is_always(name);
    let changed: BTreeSet<PathBuf> = names.into_iter().filter(differs).cloned().collect();
    let foreseen: BTreeSet<PathBuf> = plan
        .files
        .iter()
        // Room behind the log's end is cleared also where it is empty.
        .filter(|one| !matches!(one.change, Change::Cleared { .. } | Change::Updated))
        .map(|one| one.file.clone())
        .collect();
    let maybe: BTreeSet<PathBuf> = plan.files.iter().map(|one| one.file.clone()).collect();
    assert!(foreseen.is_subset(&changed), "foreseen {foreseen:#?}\nchanged {changed:#?}");
    assert!(changed.is_subset(&maybe), "changed {changed:#?}\nforeseen {maybe:#?}");
    for one in &plan.files {
        let (old, new) = (before.get(&one.file), after.get(&one.file));
        match one.change {
            Change::Made { bytes } => assert_eq!(new.unwrap().len() as u64, bytes),
            Change::Removed => assert!(new.is_none(), "{one:?}"),
            Change::Resized { from, to } => {
                assert_eq!((old.unwrap().len() as u64, new.unwrap().len() as u64), (from, to));
            }
            Change::Cleared { from, to } => {
                let (from, to) = (usize::try_from(from).unwrap(), usize::try_from(to).unwrap());
                assert!(new.unwrap()[from..to].iter().all(|byte| *byte == 0), "{one:?}");
            }
            Change::Written { from, to } => {
                let (from, to) = (usize::try_from(from).unwrap(), usize::try_from(to).unwrap());
                assert_eq!(old.unwrap()[..from], new.unwrap()[..from], "{one:?}");
                assert_eq!(old.unwrap()[to..], new.unwrap()[to..], "{one:?}");
            }
            _ => {}
        }
    }
    plan
}

#[test]
fn a_sound_store_needs_nothing() {
    let folder = tempfile::tempdir().unwrap();
    store(folder.path());
    let plan = planned_and_done(folder.path());
    assert!(plan.clean && plan.cut.is_none() && plan.skipped_count == 0, "{plan:#?}");
}

#[test]
fn after_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    store(folder.path());
    let store = open(folder.path());
    for n in 0..40 {
        put(&store, "orders", 1, &format!("later-{n}"), b"later");
    }
    drop(store);
    let plan = planned_and_done(folder.path());
    assert!(!plan.clean && plan.cut.is_none(), "{plan:#?}");
    assert!(verified(folder.path()).sound, "{:#?}", verified(folder.path()));
}

#[test]
fn a_torn_end_is_cut_where_it_was_said() {
    let folder = tempfile::tempdir().unwrap();
    store(folder.path());
    std::fs::write(folder.path().join("abort"), "1").unwrap();
    let log = files(folder.path(), "commitlog").pop().unwrap();
    let end = {
        let bytes = std::fs::read(&log).unwrap();
        bytes.iter().rposition(|byte| *byte != 0).unwrap()
    };
    edit(&log, |bytes| bytes[end - 100..end + 30].fill(0x5A));
    let plan = planned_and_done(folder.path());
    let cut = plan.cut.unwrap();
    assert!(cut.offset < end as u64 - 99, "{cut:?}");
    assert!(verified(folder.path()).sound);
}

#[test]
fn damage_in_the_middle_is_skipped_as_foreseen() {
    let folder = tempfile::tempdir().unwrap();
    store(folder.path());
    std::fs::write(folder.path().join("abort"), "1").unwrap();
    std::fs::remove_file(folder.path().join("checkpoint")).unwrap();
    for (file, at) in [(0, 4_900), (1, 9_000)] {
        edit(&files(folder.path(), "commitlog")[file], |bytes| bytes[at] ^= 4);
    }
    let plan = planned_and_done(folder.path());
    assert_eq!(plan.skipped_count, 2, "{plan:#?}");
}

#[test]
fn missing_and_cut_off_files_are_built_again_as_foreseen() {
    let folder = tempfile::tempdir().unwrap();
    store(folder.path());
    std::fs::remove_dir_all(folder.path().join("consumequeue")).unwrap();
    let _ = std::fs::remove_dir_all(folder.path().join("index"));
    let log = files(folder.path(), "commitlog").pop().unwrap();
    edit(&log, |bytes| bytes.truncate(15_000));
    let plan = planned_and_done(folder.path());
    let made = plan.files.iter().filter(|one| matches!(one.change, Change::Made { .. })).count();
    assert!(made >= 4, "{plan:#?}");
    assert!(verified(folder.path()).sound, "{:#?}", verified(folder.path()));
}

#[test]
fn a_folder_at_which_a_broker_works_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    let clock = || Arc::new(VirtualClock::new(START_MS));
    for tried in [
        plan_repair(&folder(root.path()), options(root.path()), clock()),
        repair(&folder(root.path()), options(root.path()), clock()),
    ] {
        assert!(matches!(tried, Err(ToolError::InUse { .. })), "{tried:?}");
    }
    assert!(verified(root.path()).in_use);
    store.close().unwrap();
}
