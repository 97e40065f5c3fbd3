//! What a recovery tells.

use std::path::PathBuf;

/// Damaged places that are reported one by one; further ones are only counted.
const MOST_REPORTED: usize = 1_000;

/// A place of the commit log that holds no sound record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub file: PathBuf,
    /// Byte offset in that file.
    pub offset: u64,
    /// What is wrong there.
    pub reason: String,
}

impl Damage {
    pub(super) fn new(file: PathBuf, at: usize, reason: String) -> Self {
        Self { file, offset: at as u64, reason }
    }
}

/// What opening a store found and did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// The store was closed cleanly before, or is new.
    pub is_clean: bool,
    /// Commit-log offset from which on records were checked.
    pub start_offset: i64,
    /// Commit-log offset where the log ends.
    pub end_offset: i64,
    /// Records checked.
    pub records: u64,
    /// Damaged places that were skipped, the first thousand.
    pub damaged: Vec<Damage>,
    /// How many there were in all.
    pub damaged_count: u64,
    /// The damaged end that was cut off.
    pub torn_end: Option<Damage>,
    /// The consume queues were rebuilt from the log's first record on.
    pub rebuilt_queues: bool,
}

impl RecoveryReport {
    /// Notes a damaged place.
    pub(super) fn note(&mut self, damage: Damage) {
        let Damage { file, offset, reason } = &damage;
        tracing::warn!(file = %file.display(), offset, %reason, "a damaged record is skipped");
        self.damaged_count += 1;
        if self.damaged.len() < MOST_REPORTED {
            self.damaged.push(damage);
        }
    }
}
