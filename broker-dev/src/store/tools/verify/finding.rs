//! What a check tells.

use std::path::PathBuf;

use serde::Serialize;

/// Lost messages that are named in one finding; further ones are counted.
const MOST_LOST: usize = 100;

/// Which kind of file it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FileKind {
    /// `commitlog`.
    CommitLog,
    /// `consumequeue`.
    ConsumeQueue,
    /// `consumequeue_ext`.
    ConsumeQueueExt,
    /// `batchconsumequeue`.
    BatchConsumeQueue,
    /// `index`.
    Index,
    /// `timerwheel`.
    TimerWheel,
    /// `timerlog`.
    TimerLog,
    /// `config/timercheck`.
    TimerCheckpoint,
    /// `checkpoint`.
    Checkpoint,
    /// JSON files in `config`.
    Config,
    /// `abort` and `lock`.
    Marker,
    /// Anything else.
    Other,
}

/// Whether something is wrong, or only worth knowing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Bytes are not what was written, or something is missing.
    Damage,
    /// Nothing is lost: the next start of a broker puts it right, or it is as it should be but
    /// seldom.
    Note,
}

/// A message that is lost, as far as it can still be named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lost {
    /// Its topic.
    pub topic: String,
    /// Its queue.
    pub queue_id: i32,
    /// Its place in the queue.
    pub queue_offset: i64,
    /// Where it stood in the commit log.
    pub physical_offset: i64,
    /// Bytes of its record.
    pub length: u64,
    /// Its keys, if they can be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keys: Option<String>,
    /// The id that its producer gave it, if it can be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unique_key: Option<String>,
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How grave it is.
    pub severity: Severity,
    /// What kind of file.
    pub kind: FileKind,
    /// Which one, inside the folder.
    pub file: PathBuf,
    /// Byte in the file.
    pub offset: u64,
    /// Bytes that it is about, if that can be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub length: Option<u64>,
    /// What is wrong, in words.
    pub what: String,
    /// Messages that are lost by it, the first hundred.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lost: Vec<Lost>,
    /// How many those are in all.
    #[serde(skip_serializing_if = "is_zero")]
    pub lost_count: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Finding {
    pub(super) fn new(
        severity: Severity,
        kind: FileKind,
        file: PathBuf,
        offset: u64,
        what: impl Into<String>,
    ) -> Self {
        let what = what.into();
        let (length, lost, lost_count) = (None, Vec::new(), 0);
        Self { severity, kind, file, offset, length, what, lost, lost_count }
    }

    pub(super) fn with_length(mut self, length: u64) -> Self {
        self.length = Some(length);
        self
    }

    pub(super) fn with_lost(mut self, lost: impl IntoIterator<Item = Lost>) -> Self {
        for lost in lost {
            self.add_lost(lost);
        }
        self
    }

    /// Names one more message; tells whether it was new.
    fn add_lost(&mut self, lost: Lost) -> bool {
        let is_known = |known: &Lost| {
            known.physical_offset == lost.physical_offset
                && known.queue_id == lost.queue_id
                && known.topic == lost.topic
        };
        if self.lost.iter().any(is_known) {
            return false;
        }
        self.lost_count += 1;
        if self.lost.len() < MOST_LOST {
            self.lost.push(lost);
        }
        true
    }
}

/// A damaged stretch of the log, so that units which point into it can name what it held.
#[derive(Debug)]
struct Stretch {
    from: i64,
    to: i64,
    finding: usize,
}

/// All findings, up to a bound.
#[derive(Debug)]
pub(super) struct Findings {
    most: usize,
    pub(super) list: Vec<Finding>,
    left_out: u64,
    pub(super) damage: u64,
    pub(super) lost: u64,
    stretches: Vec<Stretch>,
}

impl Findings {
    pub(super) fn new(most: usize) -> Self {
        Self { most, list: Vec::new(), left_out: 0, damage: 0, lost: 0, stretches: Vec::new() }
    }

    pub(super) fn add(&mut self, finding: Finding) {
        if finding.severity == Severity::Damage {
            self.damage += 1;
        }
        self.lost += finding.lost_count;
        if self.list.len() < self.most {
            self.list.push(finding);
        } else {
            self.left_out += 1;
        }
    }

    /// Adds damage to the bytes `from..to` of the log. The last of many stretches grows where the
    /// list is full, so that what points into it is still known to be lost.
    pub(super) fn add_log_damage(&mut self, finding: Finding, from: i64, to: i64) {
        let index = self.list.len();
        self.add(finding);
        if index < self.list.len() {
            self.stretches.push(Stretch { from, to, finding: index });
        } else if let Some(last) = self.stretches.last_mut() {
            last.to = last.to.max(to);
        }
    }

    /// The damaged stretches of the log, in order.
    pub(super) fn damaged_stretches(&self) -> Vec<(i64, i64)> {
        self.stretches.iter().map(|stretch| (stretch.from, stretch.to)).collect()
    }

    fn stretch(&self, offset: i64) -> Option<&Stretch> {
        let after = self.stretches.partition_point(|stretch| stretch.from <= offset);
        let stretch = self.stretches.get(after.checked_sub(1)?)?;
        (offset < stretch.to).then_some(stretch)
    }

    /// Names a message that stood in a damaged stretch; false if it stood in none.
    pub(super) fn name_lost(&mut self, lost: Lost) -> bool {
        let Some(index) = self.stretch(lost.physical_offset).map(|stretch| stretch.finding) else {
            return false;
        };
        if let Some(finding) = self.list.get_mut(index)
            && finding.add_lost(lost)
        {
            self.lost += 1;
        }
        true
    }

    pub(super) fn finish(self) -> (Self, u64) {
        let left_out = self.left_out;
        (self, left_out)
    }
}
