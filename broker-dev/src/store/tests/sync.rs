//! Durability: group commit, its waiters, and what a failed sync does to them.

use std::io::ErrorKind;

use super::*;

struct Setting {
    _folder: tempfile::TempDir,
    disk: Arc<FaultyDisk>,
    heard: Arc<Heard>,
    store: Arc<Store>,
}

impl Setting {
    fn new(change: impl FnOnce(StoreOptions) -> StoreOptions) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let disk = Arc::new(FaultyDisk::new(Arc::new(RealDisk)));
        let heard = Arc::new(Heard::default());
        let options = change(StoreOptions { flush: FlushMode::Sync, ..options(folder.path()) });
        let store = open_with(options, disk.clone(), heard.clone()).unwrap();
        Self { _folder: folder, disk, heard, store }
    }
}

#[test]
fn one_sync_serves_all_who_came_meanwhile() {
    let setting = Setting::new(|options| options);
    let Setting { disk, store, .. } = &setting;
    disk.hold(Call::SyncData);
    let first = put(store, "T", 0, b"first").unwrap();
    disk.until_held(1);
    let before = disk.calls(Call::SyncData);
    std::thread::scope(|scope| {
        for _ in 0..20 {
            put(store, "T", 0, b"meanwhile").unwrap();
        }
        let waiters: Vec<_> = (0..8).map(|_| scope.spawn(|| store.flush())).collect();
        assert!(store.durable_offset() <= first.physical_offset, "the sync is not over");
        disk.release(Call::SyncData);
        for waiter in waiters {
            waiter.join().unwrap().unwrap();
        }
    });
    assert_eq!(store.durable_offset(), store.commit_log_range().1);
    assert_eq!(disk.calls(Call::SyncData) - before, 1, "one more for all of them");
}

#[test]
fn who_waits_when_a_sync_fails_gets_the_error_and_nobody_tries_again() {
    let setting = Setting::new(|options| options);
    let Setting { disk, store, heard, .. } = &setting;
    disk.hold(Call::SyncData);
    put(store, "T", 0, b"first").unwrap();
    disk.until_held(1);
    let syncs = disk.calls(Call::SyncData);
    std::thread::scope(|scope| {
        let waiters: Vec<_> = (0..8).map(|_| scope.spawn(|| store.flush())).collect();
        put(store, "T", 0, b"while it is under way").unwrap();
        disk.fail_from(Call::SyncData, 0, ErrorKind::Other);
        disk.release(Call::SyncData);
        for waiter in waiters {
            assert!(matches!(waiter.join().unwrap(), Err(StoreError::Poisoned { .. })));
        }
    });
    assert_eq!(heard.poisoned.load(Ordering::SeqCst), 1);
    assert!(matches!(put(store, "T", 0, b"later"), Err(StoreError::Poisoned { .. })));
    disk.heal();
    assert!(matches!(store.flush(), Err(StoreError::Poisoned { .. })));
    assert_eq!(disk.calls(Call::SyncData), syncs, "nothing retries a sync");
}

#[test]
fn a_message_is_not_readable_before_it_is_durable() {
    let setting = Setting::new(|options| options);
    let Setting { disk, store, .. } = &setting;
    disk.hold(Call::SyncData);
    put(store, "T", 0, b"x").unwrap();
    disk.until_held(1);
    assert_eq!(store.max_offset("T", 0), 0);
    disk.release(Call::SyncData);
    store.close().unwrap();
    assert_eq!(bodies(store, "T", 0), [b"x"]);
}

#[test]
fn a_sync_covers_every_file_since_the_last_one() {
    let setting = Setting::new(|options| options);
    let Setting { disk, store, .. } = &setting;
    disk.hold(Call::SyncData);
    put(store, "T", 0, b"x").unwrap();
    disk.until_held(1);
    let before = disk.calls(Call::SyncData);
    for _ in 0..5 {
        put(store, "T", 0, &[0; 9 * 1024]).unwrap();
    }
    disk.release(Call::SyncData);
    store.flush().unwrap();
    assert_eq!(store.commit_log_range().1 / (16 * 1024), 4);
    assert!(disk.calls(Call::SyncData) - before >= 5, "the file that was full, and those after it");
}

#[test]
fn closing_brings_everything_to_the_disk() {
    let setting = Setting::new(|options| StoreOptions { flush: FlushMode::Async, ..options });
    put(&setting.store, "T", 0, b"x").unwrap();
    setting.store.close().unwrap();
    assert_eq!(setting.store.durable_offset(), setting.store.commit_log_range().1);
}
