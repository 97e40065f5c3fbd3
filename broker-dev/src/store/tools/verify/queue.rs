//! One consume queue, held against the records of the log as they pass by.
//!
//! A record *fits* if the unit at its queue offset is its own. Units that no record fits are judged
//! once a later one has; records without a fitting unit are kept as ranges until the end, because
//! they may turn out to be from before the topic was deleted and made anew.

use super::{Context, FileKind, Finding, Findings, Lost, Severity};
use crate::store::consume_queue::Unit;
use crate::store::tools::folder::QueueFolder;
use crate::store::tools::units::{UNIT, Units};

/// Ranges that are kept apart for one queue.
const MOST_RANGES: usize = 1_000;

/// What a unit should say.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected {
    pub(super) physical_offset: i64,
    pub(super) length: i32,
    /// `None`: anything will do.
    pub(super) tags_code: Option<i64>,
}

/// A run of queue offsets with the same trouble.
#[derive(Debug, Clone, Copy)]
struct Range {
    from: i64,
    to: i64,
    /// Log offset of the first one's record, or where the first unit points.
    physical_offset: i64,
    trouble: Trouble,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    /// The record's unit is not there, or zeros.
    NoUnit,
    /// Another unit stands in the record's place.
    OtherUnit,
    /// The unit is right but for the tag code.
    TagsCode,
    /// The unit points to where its record is not.
    NoRecord,
    /// Neither a unit nor a record, in the middle.
    Nothing,
    /// The unit points past the log's end.
    PastEnd,
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct QueueCheck {
    source: Units,
    file_bytes: i64,
    /// Offset after the last one that was judged.
    next: i64,
    /// Queue and log offset of the first record that fitted.
    first_fit: Option<(i64, i64)>,
    unfit: Vec<Range>,
    units: Vec<Range>,
}

impl QueueCheck {
    pub(super) fn new(folder: QueueFolder, file_bytes: u64) -> Self {
        let source = Units::new(folder);
        let next = source.first();
        let file_bytes = i64::try_from(file_bytes).unwrap_or(i64::MAX).max(UNIT);
        let (unfit, units) = (Vec::new(), Vec::new());
        Self { source, file_bytes, next, first_fit: None, unfit, units }
    }

    /// Whether units are held in memory.
    pub(super) fn has_window(&self) -> bool {
        self.source.has_window()
    }

    pub(super) fn drop_window(&mut self) {
        self.source.drop_window();
    }

    fn unit(&mut self, context: &Context<'_>, offset: i64) -> Option<Unit> {
        self.source.get(context.folder.disk(), offset)
    }

    /// Holds a record against its unit.
    pub(super) fn record(
        &mut self,
        context: &Context<'_>,
        offset: i64,
        expected: &Expected,
        log_first: i64,
        findings: &mut Findings,
    ) {
        let unit = self.unit(context, offset);
        let trouble = match unit {
            Some(unit)
                if unit.physical_offset == expected.physical_offset
                    && unit.length == expected.length =>
            {
                if offset > self.next {
                    self.judge(context, offset, i64::MAX, log_first, findings);
                }
                self.next = self.next.max(offset.saturating_add(1));
                self.first_fit.get_or_insert((offset, expected.physical_offset));
                let is_right = expected.tags_code.is_none_or(|code| code == unit.tags_code);
                if is_right { None } else { Some(Trouble::TagsCode) }
            }
            Some(unit) if unit.length != 0 || unit.physical_offset != 0 => Some(Trouble::OtherUnit),
            _ => Some(Trouble::NoUnit),
        };
        if let Some(trouble) = trouble {
            push(&mut self.unfit, offset, expected.physical_offset, trouble);
        }
    }

    /// Judges the units up to a queue offset, which no record fits.
    fn judge(
        &mut self,
        context: &Context<'_>,
        to: i64,
        log_end: i64,
        log_first: i64,
        findings: &mut Findings,
    ) {
        let mut offset = self.next;
        while offset < to {
            let Some(unit) = self.unit(context, offset) else {
                // Go on where the next file begins.
                let byte = offset.saturating_mul(UNIT);
                let next = self.source.folder.files.iter().find(|file| file.start > byte);
                let next = next.map_or(to, |file| file.start / UNIT).clamp(offset + 1, to);
                self.nothing(offset, next);
                offset = next;
                continue;
            };
            let is_record = unit.is_record();
            if is_record && unit.physical_offset >= log_end {
                push(&mut self.units, offset, unit.physical_offset, Trouble::PastEnd);
            } else if is_record && unit.physical_offset >= log_first {
                let lost = Lost {
                    topic: self.source.folder.topic.to_string(),
                    queue_id: self.source.folder.queue_id,
                    queue_offset: offset,
                    physical_offset: unit.physical_offset,
                    length: u64::try_from(unit.length).unwrap_or(0),
                    keys: None,
                    unique_key: None,
                };
                if !findings.name_lost(lost) && !self.is_unfit(offset) {
                    push(&mut self.units, offset, unit.physical_offset, Trouble::NoRecord);
                }
            } else if !is_record && unit != Unit::BLANK {
                self.nothing(offset, offset + 1);
            }
            offset += 1;
        }
    }

    fn nothing(&mut self, from: i64, to: i64) {
        if to == from + 1 && self.is_unfit(from) {
            return;
        }
        let is_full = self.units.len() >= MOST_RANGES;
        match self.units.last_mut() {
            Some(last) if last.to == from && last.trouble == Trouble::Nothing => last.to = to,
            _ if !is_full => {
                let trouble = Trouble::Nothing;
                self.units.push(Range { from, to, physical_offset: 0, trouble });
            }
            _ => {}
        }
    }

    fn is_unfit(&self, offset: i64) -> bool {
        self.unfit.iter().rev().any(|range| (range.from..range.to).contains(&offset))
    }

    /// Ends the pass: judges what stands behind the last record, and tells everything. Returns the
    /// queue's end.
    pub(super) fn finish(
        &mut self,
        context: &Context<'_>,
        log: std::ops::Range<i64>,
        findings: &mut Findings,
    ) -> i64 {
        let end = self.tail(context);
        self.judge(context, end, log.end, log.start, findings);
        if let Some((path, at, reason)) = self.source.failed.take() {
            let what = format!("cannot be read: {reason}");
            let path = context.folder.shown(&path);
            findings.add(Finding::new(Severity::Damage, FileKind::ConsumeQueue, path, at, what));
        }
        let ranges: Vec<Range> = self.unfit.drain(..).chain(self.units.drain(..)).collect();
        let mut before = 0;
        for range in ranges {
            let of_records =
                matches!(range.trouble, Trouble::NoUnit | Trouble::OtherUnit | Trouble::TagsCode);
            let is_from_before = of_records
                && self.first_fit.is_some_and(|(offset, physical_offset)| {
                    range.physical_offset < physical_offset && range.from >= offset
                });
            if is_from_before {
                before += range.to - range.from;
            } else {
                let finding = self.finding(context, &range);
                findings.add(finding);
            }
        }
        if before > 0 {
            let what = format!(
                "{before} records are from before the queue began anew at offset 0: nobody reads them"
            );
            let path = context.folder.shown(&self.source.folder.path);
            findings.add(Finding::new(Severity::Note, FileKind::ConsumeQueue, path, 0, what));
        }
        self.source.drop_window();
        self.next.max(end)
    }

    /// The offset after the last unit in the row that begins at the last one that fitted.
    fn tail(&mut self, context: &Context<'_>) -> i64 {
        let mut offset = self.next;
        while let Some(unit) = self.unit(context, offset) {
            if unit.length <= 0 || unit.physical_offset < 0 {
                break;
            }
            offset += 1;
        }
        offset
    }

    fn finding(&self, context: &Context<'_>, range: &Range) -> Finding {
        let (from, last) = (range.from, range.to - 1);
        let units = if from == last {
            format!("the unit of message {from}")
        } else {
            format!("the units of messages {from} to {last}")
        };
        let at = range.physical_offset;
        let (severity, what) = match range.trouble {
            Trouble::NoUnit => (
                context.unsettled(),
                format!("{units} are missing; the records stand in the log at {at}"),
            ),
            Trouble::OtherUnit => (
                Severity::Damage,
                format!("{units} point elsewhere; the records stand in the log at {at}"),
            ),
            Trouble::TagsCode => (
                Severity::Damage,
                format!("{units} have another tag code than the records in the log at {at}"),
            ),
            Trouble::NoRecord => (
                Severity::Damage,
                format!("{units} point to {at} in the log, where their record is not"),
            ),
            Trouble::Nothing => {
                (Severity::Damage, format!("{units} are missing, and no record is known"))
            }
            Trouble::PastEnd => {
                (context.unsettled(), format!("{units} point to {at} in the log, past its end"))
            }
        };
        let what = if from == last {
            what.replace(" are ", " is ")
                .replace(" point ", " points ")
                .replace(" have ", " has ")
                .replace("the records stand", "the record stands")
                .replace("the records in", "the record in")
        } else {
            what
        };
        let byte = from.saturating_mul(UNIT);
        let start = byte - byte.rem_euclid(self.file_bytes);
        let (path, start) = match self.source.file_of(byte) {
            Some(file) => (file.path.clone(), file.start),
            None => {
                let name = crate::store::mapped_file_queue::file_name(start);
                (self.source.folder.path.join(name), start)
            }
        };
        let in_file = u64::try_from(byte - start).unwrap_or(0);
        let length = u64::try_from((range.to - from).saturating_mul(UNIT)).unwrap_or(0);
        let path = context.folder.shown(&path);
        Finding::new(severity, FileKind::ConsumeQueue, path, in_file, what).with_length(length)
    }
}

fn push(ranges: &mut Vec<Range>, offset: i64, physical_offset: i64, trouble: Trouble) {
    let is_full = ranges.len() >= MOST_RANGES;
    match ranges.last_mut() {
        Some(last) if last.to == offset && (last.trouble == trouble || is_full) => {
            last.to = offset.saturating_add(1);
        }
        _ if !is_full => {
            let to = offset.saturating_add(1);
            ranges.push(Range { from: offset, to, physical_offset, trouble });
        }
        // Too many to be told apart.
        _ => {}
    }
}
