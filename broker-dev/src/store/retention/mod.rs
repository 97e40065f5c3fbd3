//! Which files of the commit log may go, and what goes with them.
//!
//! [`decide`] is the decision, from the files' ages, the time, and how full the disk is; [`clean`]
//! carries it out, one file a [step](super::Store::retention_step): whoever owns the store calls that
//! again after the time it tells. Deleted are always the oldest files, never the newest, and none
//! that somebody reads, unless it has been waited for for long.
//!
//! ```text
//! disk over `warning`          no messages are taken; files go whatever their age
//! disk over `clean_forcibly`   files go whatever their age
//! disk over `max_used`         files older than `reserved` go
//! an hour of `delete_hours`    likewise; at other times nothing goes
//! asked for                    likewise
//! ```
//!
//! A file is as old as the first record of the next one: it was full then.
//!
//! Source: RocketMQ 5.3.3 `DefaultMessageStore.CleanCommitLogService`, `CleanConsumeQueueService`.
//! Differs: Apache takes the time of the file's last modification, which a copied folder does not
//! keep and a virtual clock does not move.

mod clean;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub(crate) use clean::Retention;
pub use clean::RetentionStep;

const HOUR_MS: i64 = 3_600_000;
const DAY_HOURS: i64 = 24;

/// What a store keeps, and for how long.
#[derive(Debug, Clone, PartialEq)]
pub struct RetentionOptions {
    /// How long a file is kept after it was filled. Default 72 hours.
    pub reserved: Duration,
    /// Hours of the day, local time, in which expired files are deleted. Default 4.
    pub delete_hours: Vec<u8>,
    /// Used part of the disk over which expired files go at any hour. Default 0.75; 1 means never.
    pub max_used: f64,
    /// Used part of the disk over which files go before they are expired. Default 0.85, 1 means
    /// never.
    pub clean_forcibly: f64,
    /// Used part of the disk over which no messages are taken. Default 0.9, 1 means never.
    pub warning: f64,
    /// Whether files may go before they are expired. Default true.
    pub may_clean_forcibly: bool,
    /// Files that go in one round at most. Default 10.
    pub batch: usize,
    /// Time between two files of a round. Default 100 ms.
    pub file_interval: Duration,
    /// Time between two rounds. Default 10 s.
    pub interval: Duration,
    /// How long a file that somebody reads is waited for. It is removed then; who reads it reads
    /// on, and its room on the disk is free when they are done. Default 120 s.
    pub force_after: Duration,
}

impl Default for RetentionOptions {
    fn default() -> Self {
        Self {
            reserved: Duration::from_secs(72 * 3600),
            delete_hours: vec![4],
            max_used: 0.75,
            clean_forcibly: 0.85,
            warning: 0.9,
            may_clean_forcibly: true,
            batch: 10,
            file_interval: Duration::from_millis(100),
            interval: Duration::from_secs(10),
            force_after: Duration::from_secs(120),
        }
    }
}

/// What a decision is made from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Situation {
    /// When each file but the newest was full, oldest first, ms since the Unix epoch; `None` where
    /// that is unknown.
    pub(crate) filled_ms: Vec<Option<i64>>,
    /// Now, ms since the Unix epoch.
    pub(crate) now_ms: i64,
    /// Whether it is, or was since the last decision, an hour to delete.
    pub(crate) is_hour: bool,
    /// Whether somebody asked for it.
    pub(crate) is_asked: bool,
    /// Used part of the disk with the commit log, 0 to 1; `None` if unknown.
    pub(crate) log_used: Option<f64>,
    /// Used part of the disk with the consume queues.
    pub(crate) queues_used: Option<f64>,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// How many of the oldest files may go.
    pub(crate) files: usize,
    /// Whether messages are to be refused; `None`: as before.
    pub(crate) is_full: Option<bool>,
}

/// Decides what may go.
pub(crate) fn decide(options: &RetentionOptions, situation: &Situation) -> Verdict {
    let disks = [situation.log_used, situation.queues_used];
    let is_over = |limit: f64| disks.iter().flatten().any(|used| *used > limit);
    // An unknown use counts as over the lowest mark, as with Apache.
    let is_above_max = disks.contains(&None) || is_over(options.max_used);
    let is_full = if is_over(options.warning) {
        Some(true)
    } else if is_over(options.clean_forcibly) {
        None
    } else {
        Some(false)
    };
    let is_forced = options.may_clean_forcibly && is_full != Some(false);
    let is_time = situation.is_hour || situation.is_asked || is_above_max;
    let reserved = i64::try_from(options.reserved.as_millis()).unwrap_or(i64::MAX);
    let may_go = |filled: &Option<i64>| {
        let is_expired =
            || filled.is_some_and(|filled| filled.saturating_add(reserved) <= situation.now_ms);
        is_forced || is_time && is_expired()
    };
    let files = situation.filled_ms.iter().take_while(|filled| may_go(filled)).count();
    Verdict { files, is_full }
}

/// Whether one of the hours was reached from `last_ms` to `now_ms`, both included, given the hour
/// of a time.
pub(crate) fn is_hour_between(
    hours: &[u8],
    last_ms: i64,
    now_ms: i64,
    hour_of: impl Fn(i64) -> u8,
) -> bool {
    let passed = now_ms.saturating_sub(last_ms).max(0) / HOUR_MS;
    // A day has all hours.
    (0..=passed.min(DAY_HOURS))
        .map(|ago| now_ms.saturating_sub(ago * HOUR_MS))
        .chain([last_ms.min(now_ms).max(now_ms.saturating_sub(DAY_HOURS * HOUR_MS))])
        .any(|time| hours.contains(&hour_of(time)))
}
