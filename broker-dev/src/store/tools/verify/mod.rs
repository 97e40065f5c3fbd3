//! Is everything in the folder what it says? Each damaged file with the place, and what is lost.
//!
//! One pass goes over the commit log from its first byte and checks every record; consume queues
//! and index are followed along with it, so that each record is held against its unit and its
//! entries, and each unit and entry against its record, without a random read. The timer's files,
//! the checkpoint and the config files are looked at for themselves.
//!
//! Memory is bounded: nothing is kept for a record, a little for each queue, and a thousand
//! findings.

mod batch;
mod checkpoint;
mod config;
mod finding;
mod index;
mod log;
mod queue;
mod queues;
mod timer;

use std::path::PathBuf;

use serde::Serialize;

pub(super) use config::read as read_config;
pub use finding::{FileKind, Finding, Lost, Severity};

use super::error::ToolError;
use super::folder::Folder;
use super::progress::Progress;
use finding::Findings;

/// What [`verify`] looks at, and how much it tells.
#[derive(Debug, Clone)]
pub struct VerifyOptions {
    /// Findings that are told one by one; further ones are counted.
    pub most_findings: usize,
    /// Delays of the levels 1, 2, … in force when delayed messages were stored, ms; `None`: the
    /// times of delivery are not checked.
    pub delay_levels_ms: Option<Vec<i64>>,
}

impl Default for VerifyOptions {
    fn default() -> Self {
        Self { most_findings: 1_000, delay_levels_ms: None }
    }
}

/// What [`verify`] found.
#[derive(Debug, Clone, Serialize)]
pub struct Verification {
    /// The folder.
    pub folder: PathBuf,
    /// Nothing is damaged. There may be notes.
    pub sound: bool,
    /// The last broker stopped in order.
    pub clean: bool,
    /// A broker works on the folder: what is at the ends may have moved meanwhile.
    pub in_use: bool,
    /// What was looked at.
    pub checked: Checked,
    /// What is damaged or worth a note, in the order of the log.
    pub findings: Vec<Finding>,
    /// Findings that are not listed, being too many.
    pub findings_left_out: u64,
    /// Messages that are lost for certain.
    pub messages_lost: u64,
}

/// How much was looked at.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Checked {
    /// Files.
    pub files: u64,
    /// Bytes of them that were read.
    pub bytes: u64,
    /// Records of the commit log.
    pub records: u64,
    /// Units of consume queues, batch queues and their extensions.
    pub units: u64,
    /// Entries of index files.
    pub index_entries: u64,
    /// Units of the timer log and slots of its wheel.
    pub timer_entries: u64,
    /// Config files.
    pub config_files: u64,
}

/// Looks at every byte that has a meaning.
///
/// # Errors
/// The folder cannot be looked at as a whole. What cannot be read in it is a finding.
pub fn verify(
    folder: &Folder,
    options: &VerifyOptions,
    progress: &dyn Progress,
) -> Result<Verification, ToolError> {
    let (clean, in_use) = (folder.is_clean()?, folder.is_in_use()?);
    let mut findings = Findings::new(options.most_findings);
    let mut checked = Checked::default();
    let context = Context { folder, options, is_settled: clean && !in_use, in_use };
    let log = log::check(&context, &mut findings, &mut checked, progress)?;
    let (log_files, _) = folder.log_files();
    progress.begin("index, batches, timer", 0);
    batch::check(&context, &log, &log_files, &mut findings, &mut checked);
    index::check(&context, &log, &log_files, &mut findings, &mut checked);
    timer::check(&context, &log, &log_files, &mut findings, &mut checked);
    checkpoint::check(&context, &log, &mut findings, &mut checked);
    config::check(&context, &log, &mut findings, &mut checked);
    let (findings, findings_left_out) = findings.finish();
    Ok(Verification {
        folder: folder.root().to_path_buf(),
        sound: findings.damage == 0,
        clean,
        in_use,
        checked,
        messages_lost: findings.lost,
        findings: findings.list,
        findings_left_out,
    })
}

/// What all checks know.
struct Context<'a> {
    folder: &'a Folder,
    options: &'a VerifyOptions,
    /// Stopped in order and nobody at work: then everything must agree.
    is_settled: bool,
    in_use: bool,
}

impl Context<'_> {
    /// Whether the end may move while it is looked at.
    fn is_live(&self) -> bool {
        self.in_use
    }

    /// How grave it is that something derived lacks what the next start puts back.
    fn unsettled(&self) -> Severity {
        if self.is_settled { Severity::Damage } else { Severity::Note }
    }
}
