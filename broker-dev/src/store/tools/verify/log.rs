//! The pass over the commit log, with everything that follows it.

use std::ops::ControlFlow;

use oxmq::protocol::message::record_crc;

use super::queues::Queues;
use super::{Checked, Context, FileKind, Finding, Findings, Severity};
use crate::store::tools::error::ToolError;
use crate::store::tools::folder::Unusable;
use crate::store::tools::progress::Progress;
use crate::store::tools::walk::{DamageAt, Event, LogWalk, RecordAt, file_bytes};

/// What the pass learned for the checks after it.
#[derive(Debug, Default)]
pub(super) struct LogFacts {
    /// Offset of the first byte.
    pub(super) first: i64,
    /// Offset after the last sound record.
    pub(super) end: i64,
    /// Where it is damaged.
    damaged: Vec<(i64, i64)>,
    pub(super) last_store_ms: i64,
    pub(super) records: u64,
    /// End of each queue, by topic and id.
    pub(super) ends: std::collections::BTreeMap<(Box<str>, i32), i64>,
}

impl LogFacts {
    /// Whether a log offset lies where the log is damaged: that was told already.
    pub(super) fn is_damaged(&self, offset: i64) -> bool {
        let after = self.damaged.partition_point(|(from, _)| *from <= offset);
        let stretch = after.checked_sub(1).and_then(|at| self.damaged.get(at));
        stretch.is_some_and(|(_, to)| offset < *to)
    }
}

/// Checks the log and the queues.
pub(super) fn check(
    context: &Context<'_>,
    findings: &mut Findings,
    checked: &mut Checked,
    progress: &dyn Progress,
) -> Result<LogFacts, ToolError> {
    let folder = context.folder;
    let (files, unusable) = folder.log_files();
    unusable_files(context, FileKind::CommitLog, unusable, findings);
    let expected = file_bytes(&files);
    for file in files.iter().filter(|file| file.length != expected) {
        let what = format!("the file has {} bytes, the log's files have {expected}", file.length);
        let at = file.length.min(expected);
        let path = folder.shown(&file.path);
        findings.add(Finding::new(Severity::Damage, FileKind::CommitLog, path, at, what));
    }
    checked.files += files.len() as u64;
    let total: u64 = files.iter().map(|file| file.length).sum();
    progress.begin("commit log", total);
    let first = files.first().map_or(0, |file| file.start);
    let mut queues = Queues::open(context, first, findings, checked);
    let mut pass = Pass { context, findings, checked, queues: &mut queues };
    let walk = LogWalk::new(folder, &files);
    let walked = walk.run(first, progress, &mut |event| pass.event(event))?;
    let records = checked.records;
    let ends = queues.finish(walked.end, findings, checked);
    let damaged = findings.damaged_stretches();
    let (end, last_store_ms) = (walked.end, walked.last_store_ms);
    Ok(LogFacts { first, end, damaged, last_store_ms, records, ends })
}

/// Reports what stands in the way of reading.
pub(super) fn unusable_files(
    context: &Context<'_>,
    kind: FileKind,
    unusable: Vec<Unusable>,
    findings: &mut Findings,
) {
    for Unusable { path, reason } in unusable {
        let path = context.folder.shown(&path);
        findings.add(Finding::new(Severity::Damage, kind, path, 0, reason));
    }
}

struct Pass<'p, 'a> {
    context: &'p Context<'a>,
    findings: &'p mut Findings,
    checked: &'p mut Checked,
    queues: &'p mut Queues<'a>,
}

impl Pass<'_, '_> {
    fn event(&mut self, event: Event<'_>) -> Result<ControlFlow<()>, ToolError> {
        match event {
            Event::Record(record) => self.record(&record),
            Event::Damage(damage) => self.damage(damage, "", Severity::Damage),
            Event::TornEnd(damage) => {
                self.damage(damage, "the log ends here, torn: ", Severity::Damage);
            }
            Event::Gap(from, to) => self.gap(from, to),
            Event::Unreadable(file, at, reason) => {
                let path = self.context.folder.shown(&file.path);
                let what = format!("cannot be read: {reason}");
                let left = file.length.saturating_sub(at);
                let finding = Finding::new(Severity::Damage, FileKind::CommitLog, path, at, what)
                    .with_length(left);
                let from = file.start.saturating_add(i64::try_from(at).unwrap_or(i64::MAX));
                self.findings.add_log_damage(finding, from, file.end());
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn record(&mut self, at: &RecordAt<'_>) {
        self.checked.records += 1;
        self.checked.bytes += at.bytes.len() as u64;
        if let Err(error) = record_crc::verify(at.bytes, at.record.properties) {
            let what = error.to_string();
            let path = self.context.folder.shown(&at.file.path);
            let lost = super::Lost::of(&at.record, at.bytes.len());
            let finding = Finding::new(Severity::Damage, FileKind::CommitLog, path, at.at, what)
                .with_length(at.bytes.len() as u64)
                .with_lost([lost]);
            self.findings.add(finding);
        }
        self.queues.record(at, self.findings, self.checked);
    }

    fn damage(&mut self, damage: DamageAt<'_>, prefix: &str, severity: Severity) {
        let DamageAt { file, at, length, reason, remains } = damage;
        let path = self.context.folder.shown(&file.path);
        let what = format!("{prefix}{reason}");
        let finding = Finding::new(severity, FileKind::CommitLog, path, at, what)
            .with_length(length)
            .with_lost(remains);
        let from = file.start.saturating_add(i64::try_from(at).unwrap_or(i64::MAX));
        let to = from.saturating_add(i64::try_from(length).unwrap_or(i64::MAX));
        self.findings.add_log_damage(finding, from, to);
    }

    fn gap(&mut self, from: i64, to: i64) {
        let what = format!("log bytes {from} to {to} have no file, or two");
        let name = crate::store::mapped_file_queue::file_name(from);
        let path = std::path::Path::new("commitlog").join(name);
        let length = u64::try_from(to.saturating_sub(from)).unwrap_or(0);
        let finding =
            Finding::new(Severity::Damage, FileKind::CommitLog, path, 0, what).with_length(length);
        self.findings.add_log_damage(finding, from, to);
    }
}
