//! The building blocks of what threads hand over to each other: `std`'s.
//!
//! [`hand_over`](super::hand_over), [`group_commit`](super::group_commit) and
//! [`published`](super::published) take them from here and nothing else from outside. So
//! `tests/models` can compile the same files over loom's, which tries every order of their steps.

pub(crate) use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering, fence};
pub(crate) use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
