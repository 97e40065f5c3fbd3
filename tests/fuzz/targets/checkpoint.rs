//! A store whose checkpoint is any bytes opens, and has all of its messages.
#![no_main]

#[path = "../store.rs"]
mod store;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| store::open_with("checkpoint", bytes));
