//! Old tricks: bugs of Apache's broker, each as a test that would have caught it here.
//!
//! A test is named after the number of Apache's issue and what went wrong there;
//! `docs/old-tricks.md` tells each story.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tests: small numbers, and what fails here fails the test"
)]

#[path = "../support/mod.rs"]
mod support;

mod config;
mod disk;
mod flush;
mod index;
mod log;
mod queues;
mod timer;
mod world;
