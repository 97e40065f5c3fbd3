//! Carrying out what was decided, a file at a time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use oxmq::protocol::message::record::Record;

use super::{Situation, decide, is_hour_between};
use crate::store::commit_log::CommitLog;
use crate::store::engine::{Shared, Store};
use crate::store::error::{Context, StoreError};
use crate::store::local_time;
use crate::store::mapped_file_queue::Removal;

/// How often [`Store::clean_expired`] lets other threads go first while they read an old file.
const MOMENTS_FOR_READERS: usize = 1_000;

/// Rounds in which expired files go after somebody asked for it.
const ROUNDS_ASKED_FOR: u32 = 20;

/// What one [`Store::retention_step`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetentionStep {
    /// When to make the next step.
    pub wait: Duration,
    /// Whether a round is over: nothing more is to be done before a while has passed.
    pub is_round_over: bool,
    /// Commit-log files removed.
    pub log_files: usize,
    /// Other files removed: of consume queues and of the index.
    pub other_files: usize,
}

/// What a store remembers of its retention between steps.
#[derive(Debug)]
pub(crate) struct Retention {
    state: Mutex<State>,
    /// The disk is so full that no messages are taken.
    is_full: AtomicBool,
}

#[derive(Debug)]
struct State {
    /// Files removed in this round.
    in_round: usize,
    rounds_asked_for: u32,
    last_look_ms: i64,
    /// Since when, on the clock that only goes forward, the oldest file is waited for, and its start.
    waiting: Option<(i64, Duration)>,
    /// The log's first offset when the other files were last looked at.
    cleaned_to: i64,
}

impl Retention {
    /// A store that is opened now.
    pub(crate) fn new(now_ms: i64) -> Self {
        let state = State {
            in_round: 0,
            rounds_asked_for: 0,
            last_look_ms: now_ms,
            waiting: None,
            cleaned_to: 0,
        };
        Self { state: Mutex::new(state), is_full: AtomicBool::new(false) }
    }

    /// Whether messages are to be refused.
    pub(crate) fn is_full(&self) -> bool {
        self.is_full.load(Ordering::Acquire)
    }
}

/// When each log file but the newest was full: the store time of the first sound record after it.
fn filled_ms(log: &CommitLog) -> Vec<Option<i64>> {
    let files = log.files().files();
    let first_ms = |file: &std::sync::Arc<crate::store::mapped_file::MappedFile>| {
        let (record, _) = Record::decode(file.bytes()).ok()??;
        (record.physical_offset == file.start()).then_some(record.store_timestamp)
    };
    let mut next = None;
    let mut filled: Vec<Option<i64>> = files
        .iter()
        .skip(1)
        .rev()
        .map(|file| {
            next = first_ms(file).or(next);
            next
        })
        .collect();
    filled.reverse();
    filled
}

impl Store {
    /// Removes what may go: at most one file of the commit log, and files of consume queues and of
    /// the index that point only at what is gone. Tells when to be called again.
    ///
    /// # Errors
    /// A file cannot be removed; it is tried again by a later step. [`StoreError::Poisoned`],
    /// [`StoreError::Closed`].
    pub fn retention_step(&self) -> Result<RetentionStep, StoreError> {
        let shared = self.shared();
        let mut state = shared.retention.state.lock().unwrap_or_else(PoisonError::into_inner);
        let stepped = state.step(shared);
        if stepped.is_err() {
            state.in_round = 0;
        }
        stepped
    }

    /// Makes steps until a round removes nothing more, without waiting between them but a moment for
    /// whoever is reading an old file; returns how many files of the commit log went.
    ///
    /// # Errors
    /// As [`retention_step`](Self::retention_step).
    pub fn clean_expired(&self) -> Result<usize, StoreError> {
        let mut removed = 0;
        let mut patience = MOMENTS_FOR_READERS;
        loop {
            let before = removed;
            loop {
                let step = self.retention_step()?;
                removed += step.log_files;
                if step.is_round_over {
                    break;
                }
            }
            if removed > before {
                continue;
            }
            let state = self.shared().retention.state.lock();
            if patience == 0 || state.unwrap_or_else(PoisonError::into_inner).waiting.is_none() {
                return Ok(removed);
            }
            patience -= 1;
            std::thread::yield_now();
        }
    }

    /// Has expired files removed whatever the hour, in the next rounds.
    pub fn ask_for_cleaning(&self) {
        let mut state =
            self.shared().retention.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.rounds_asked_for = ROUNDS_ASKED_FOR;
    }
}

impl State {
    fn step(&mut self, shared: &Shared) -> Result<RetentionStep, StoreError> {
        shared.check_open()?;
        let options = &shared.options.retention;
        let situation = self.situation(shared);
        let verdict = decide(options, &situation);
        if let Some(is_full) = verdict.is_full
            && shared.retention.is_full.swap(is_full, Ordering::AcqRel) != is_full
        {
            tracing::warn!(is_full, "the disk is (or no longer is) too full to take messages");
        }
        let is_wanted = verdict.files > 0 && self.in_round < options.batch;
        let log_files = if is_wanted { self.remove_oldest(shared)? } else { 0 };
        self.in_round += log_files;
        let is_round_over = log_files == 0 || self.in_round >= options.batch;
        if is_round_over {
            self.in_round = 0;
            self.rounds_asked_for = self.rounds_asked_for.saturating_sub(1);
            // A file that is being read does not miss its hour.
            if self.waiting.is_none() {
                // Not the time by now: what lies between was not looked at.
                self.last_look_ms = situation.now_ms;
            }
        }
        let other_files = if is_round_over { self.remove_others(shared)? } else { 0 };
        let wait = if is_round_over { options.interval } else { options.file_interval };
        Ok(RetentionStep { wait, is_round_over, log_files, other_files })
    }

    fn situation(&self, shared: &Shared) -> Situation {
        let options = &shared.options;
        let now_ms = shared.clock.now_ms();
        let hours = &options.retention.delete_hours;
        Situation {
            filled_ms: filled_ms(&shared.log),
            now_ms,
            is_hour: is_hour_between(hours, self.last_look_ms, now_ms, local_time::hour),
            is_asked: self.rounds_asked_for > 0,
            log_used: shared.disk.used_part(&options.commit_log_dir()).ok(),
            queues_used: shared.disk.used_part(&options.consume_queue_dir()).ok(),
        }
    }

    /// Removes the oldest file, unless it must be waited for.
    fn remove_oldest(&mut self, shared: &Shared) -> Result<usize, StoreError> {
        let files = shared.log.files();
        let start = files.first_offset().unwrap_or(0);
        let now = shared.clock.monotonic();
        let since = match self.waiting {
            Some((waited_for, since)) if waited_for == start => since,
            _ => now,
        };
        let is_forced = now.saturating_sub(since) >= shared.options.retention.force_after;
        match files.remove_first(is_forced)? {
            Removal::Removed { bytes } => {
                self.waiting = None;
                tracing::info!(start, bytes, is_forced, "an old commit-log file is removed");
                Ok(1)
            }
            Removal::IsRead => {
                self.waiting = Some((start, since));
                Ok(0)
            }
            Removal::IsLast => Ok(0),
        }
    }

    /// Removes files that point only at what the log no longer has.
    fn remove_others(&mut self, shared: &Shared) -> Result<usize, StoreError> {
        let min = shared.log.min();
        if min <= self.cleaned_to {
            return Ok(0);
        }
        let log_dir = shared.log.files().dir();
        shared.disk.sync_dir(log_dir).context(log_dir, "sync")?;
        let mut removed = shared.table.remove_before(min)?;
        if let Some(index) = &shared.index {
            removed += index.remove_expired(min)?;
        }
        self.cleaned_to = min;
        Ok(removed)
    }
}
