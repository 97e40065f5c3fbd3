//! What a broker must not forget beside messages: topics, consumer groups, consumer offsets.
//!
//! Kept in memory, written to `config/*.json` in RocketMQ's form, through the store's disk.

mod file;
pub(crate) mod groups;
pub(crate) mod offsets;
mod table;
pub(crate) mod topics;

pub(crate) use file::MetaFile;
pub(crate) use groups::Groups;
pub(crate) use offsets::Offsets;
pub(crate) use topics::Topics;
