//! A disk that fails at its n-th call of a kind, for every kind and every n.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use broker_dev::store::disk::{Call, Disk, FaultyDisk, RealDisk};
use broker_dev::store::{StoreError, StoreOptions};

use crate::world::{
    Contents, body, contents, fill, freeze, open, open_on, options, put, sync_options,
};

pub(crate) const KINDS: [Call; 12] = [
    Call::Create,
    Call::Open,
    Call::CreateDir,
    Call::SetLength,
    Call::Reserve,
    Call::Zero,
    Call::SyncData,
    Call::SyncDir,
    Call::Rename,
    Call::Remove,
    Call::Read,
    Call::Write,
];

/// Each of the first calls, and some of the later ones, which are much alike.
fn numbers() -> impl Iterator<Item = u64> {
    (1..20).chain((20..1_000).step_by(9))
}

/// Opens, puts, flushes and closes; gives what was acknowledged, and whether all went well.
fn life(
    options: StoreOptions,
    disk: Arc<dyn Disk>,
    first: usize,
    acknowledged: &mut Contents,
) -> Result<(), StoreError> {
    let store = open_on(options, disk, 1_700_000_000_000)?;
    let mut result = Ok(());
    for number in first..first + 40 {
        let body = body(number, 150);
        match put(&store, "T", 0, &body) {
            Ok(put) => {
                acknowledged.insert(("T".into(), 0, put.queue_offset), body);
            }
            Err(error) => result = Err(error),
        }
        if number % 10 == 9 {
            result = result.and(store.flush());
        }
    }
    result.and(store.close())
}

fn fail_everywhere(make: fn(&Path) -> StoreOptions, kind: ErrorKind) {
    for call in KINDS {
        for nth in numbers() {
            let folder = tempfile::tempdir().unwrap();
            let mut acknowledged = Contents::new();
            life(make(folder.path()), Arc::new(RealDisk), 0, &mut acknowledged).unwrap();
            let disk = Arc::new(FaultyDisk::new(Arc::new(RealDisk)));
            disk.fail_nth(call, nth, kind);
            let result = life(make(folder.path()), disk.clone(), 40, &mut acknowledged);
            let store = open(folder.path());
            let found = contents(&store);
            for (key, body) in &acknowledged {
                assert_eq!(found.get(key), Some(body), "{call:?} {nth}: {result:?}");
            }
            let offsets: Vec<i64> = found.keys().map(|key| key.2).collect();
            assert_eq!(offsets, (0..offsets.len() as i64).collect::<Vec<_>>());
            assert_eq!(store.recovery().damaged_count, 0, "{call:?} {nth}");
            if disk.calls(call) < nth {
                result.unwrap();
                break;
            }
        }
    }
}

#[test]
fn whatever_fails_what_was_acknowledged_is_there_with_async_flush() {
    fail_everywhere(options, ErrorKind::Other);
}

#[test]
fn whatever_fails_what_was_acknowledged_is_there_with_sync_flush() {
    fail_everywhere(sync_options, ErrorKind::StorageFull);
}

#[test]
fn a_recovery_that_fails_anywhere_can_be_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    fill(&store, 60, 100);
    let all = contents(&store);
    drop(store);
    // A torn end, so that the recovery has something to clear, and a file made ahead.
    let garbage = format!("{:020}", 8192);
    crate::world::edit(&folder.path().join("commitlog").join(garbage), |bytes| {
        let end = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0);
        bytes[end.saturating_sub(20)..=end].reverse();
    });
    let expected = contents(&open(freeze(folder.path()).path()));
    assert!(expected.len() < all.len() && expected.len() > all.len() / 2);
    for call in KINDS {
        for nth in numbers() {
            let copy = freeze(folder.path());
            let disk = Arc::new(FaultyDisk::new(Arc::new(RealDisk)));
            disk.fail_nth(call, nth, ErrorKind::Other);
            let _ = open_on(options(copy.path()), disk.clone(), 1_700_000_000_000);
            assert_eq!(contents(&open(copy.path())), expected, "{call:?} {nth}");
            assert_eq!(contents(&open(copy.path())), expected, "{call:?} {nth}, again");
            if disk.calls(call) < nth {
                break;
            }
        }
    }
}
