//! What a store gives back after everything that can happen to it: killed, cut off, flipped bits,
//! a disk that fails at any step, and all of that again while it recovers.
//!
//! Stores here are opened in this process; dropping one without closing it leaves its folder as a
//! killed process would.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "helpers of tests, with small numbers"
)]

mod child;
mod cut;
mod damage;
mod faults;
mod full;
mod history;
mod image;
mod kills;
mod loop_disk;
mod matrix;
mod model;
mod power;
mod power_cut;
mod readings;
mod reopening;
mod scanner;
mod share;
mod truncation;
mod world;
