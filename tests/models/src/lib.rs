//! The store's hand-overs between threads, tried in every order of their steps.
//!
//! The files below are the broker's own. There they take locks and atomics from `std`, here from
//! loom, which runs a test once for each order that the memory model allows.
#![cfg(test)]
#![allow(dead_code, reason = "the broker's files have more than the models use")]

mod sync {
    pub(crate) use std::sync::{PoisonError, TryLockError};

    pub(crate) use loom::sync::atomic::{AtomicI64, AtomicUsize, Ordering, fence};
    pub(crate) use loom::sync::{Condvar, Mutex, MutexGuard};
}

#[path = "../../../broker-dev/src/store/group_commit.rs"]
mod group_commit;
#[path = "../../../broker-dev/src/store/hand_over.rs"]
mod hand_over;
#[path = "../../../broker-dev/src/store/published.rs"]
mod published;

mod append;
mod dispatch;
mod flush;
