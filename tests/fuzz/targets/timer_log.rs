//! A timer whose log is any bytes opens; entries that point at no message wait for nothing.
#![no_main]

use std::path::Path;
use std::sync::Arc;

use broker_dev::store::disk::{Disk, MemoryDisk, Open};
use broker_dev::store::timer::{TimerOptions, TimerStore};
use libfuzzer_sys::fuzz_target;

#[path = "../store.rs"]
mod store;

fuzz_target!(|bytes: &[u8]| {
    let own = TimerOptions { log_file_bytes: 52 * 20, ..TimerOptions::new("/store") };
    let disk = Arc::new(MemoryDisk::with_folder(Path::new("/store/timerlog")).unwrap());
    let mut whole = bytes.to_vec();
    whole.resize(52 * 20, 0);
    let path = Path::new("/store/timerlog/00000000000000000000");
    let file = disk.open(path, Open::New).unwrap();
    disk.write_at(&file, 0, &whole).unwrap();
    let messages = store::open_on(Arc::new(MemoryDisk::with_folder(Path::new("/")).unwrap()));
    let timer = TimerStore::open(own, disk, &*messages.unwrap(), store::NOW_MS).unwrap();
    let _ = (timer.waiting(), timer.next_due(store::NOW_MS + 1_000_000_000));
});
