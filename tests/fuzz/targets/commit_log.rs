//! A store whose log's last file is any bytes opens, or names what it refuses.
#![no_main]

#[path = "../store.rs"]
mod store;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| store::open_with("commitlog/00000000000000004096", bytes));
