//! The store's tools: on sound folders, on folders with planted damage, on hostile ones.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

#[path = "store_tools/cli.rs"]
mod cli;
#[path = "store_tools/damage.rs"]
mod damage;
#[path = "store_tools/hostile.rs"]
mod hostile;
#[path = "store_tools/repairs.rs"]
mod repairs;
#[path = "store_tools/snapshots.rs"]
mod snapshots;
#[path = "store_tools/world.rs"]
mod world;
