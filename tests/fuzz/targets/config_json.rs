//! A store whose config file is any bytes opens, or names the file.
#![no_main]

#[path = "../store.rs"]
mod store;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| store::open_with("config/deletedTopics.json", bytes));
