//! The timer: its log against the commit log, its wheel against its log, and its checkpoint.

use std::io::{self, ErrorKind};

use oxmq::protocol::message::record::MAGIC_BLANK;
use oxmq::protocol::names::TIMER_TOPIC;

use super::log::{LogFacts, unusable_files};
use super::{Checked, Context, FileKind, Finding, Findings, Severity};
use crate::store::timer::{SLOT_BYTES, TimerUnit, UNIT_BYTES, WHEEL_BYTES};
use crate::store::tools::folder::StoreFile;
use crate::store::tools::log_reader::LogReader;
use crate::store::tools::reader::{Reader, read_small};

/// Bytes read at a time.
const CHUNK: usize = 256 * 1024;

/// Checks `timerlog`, `timerwheel` and `config/timercheck`.
pub(super) fn check(
    context: &Context<'_>,
    log: &LogFacts,
    log_files: &[StoreFile],
    findings: &mut Findings,
    checked: &mut Checked,
) {
    let (files, unusable) = context.folder.files(&context.folder.root().join("timerlog"));
    unusable_files(context, FileKind::TimerLog, unusable, findings);
    let mut records = LogReader::new(context.folder, log_files);
    for file in &files {
        checked.files += 1;
        match units(context, log, file, &mut records, findings, checked) {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => {
                add(context, FileKind::TimerLog, &file.path, 0, &error.to_string(), findings)
            }
        }
    }
    wheel(context, &files, findings, checked);
    let path = context.folder.root().join("config/timercheck");
    match read_small(context.folder.disk(), &path, 1 << 20) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => {
            add(context, FileKind::TimerCheckpoint, &path, 0, &error.to_string(), findings)
        }
        Ok(bytes) => {
            checked.files += 1;
            let negative = |at: &usize| bytes.get(*at).is_some_and(|byte| *byte >= 0x80);
            if bytes.len() != 4096 {
                let what = format!("{} bytes instead of 4096", bytes.len());
                add(context, FileKind::TimerCheckpoint, &path, 0, &what, findings);
            } else if let Some(at) = [0, 8, 16, 24].iter().find(|at| negative(at)) {
                let what = "a negative number";
                add(context, FileKind::TimerCheckpoint, &path, *at as u64, what, findings);
            }
        }
    }
}

fn add(
    context: &Context<'_>,
    kind: FileKind,
    path: &std::path::Path,
    at: u64,
    what: &str,
    findings: &mut Findings,
) {
    findings.add(Finding::new(Severity::Damage, kind, context.folder.shown(path), at, what));
}

/// Walks through a file of the timer log; tells whether the log goes on behind it.
fn units(
    context: &Context<'_>,
    log: &LogFacts,
    file: &StoreFile,
    records: &mut LogReader<'_>,
    findings: &mut Findings,
    checked: &mut Checked,
) -> io::Result<bool> {
    let mut reader = Reader::open(context.folder.disk(), &file.path, CHUNK)?;
    let mut at = 0;
    while let Some(bytes) = reader.array::<UNIT_BYTES>(at)? {
        if bytes.iter().all(|byte| *byte == 0) {
            return Ok(false);
        }
        if bytes.get(12..16) == Some(&MAGIC_BLANK.to_be_bytes()) {
            return Ok(true);
        }
        let Some(unit) = TimerUnit::decode(&bytes) else {
            add(context, FileKind::TimerLog, &file.path, at, "no entry of a timer", findings);
            return Ok(false);
        };
        checked.timer_entries += 1;
        checked.bytes += UNIT_BYTES as u64;
        let position = file.start.saturating_add(i64::try_from(at).unwrap_or(0));
        let offset = unit.physical_offset;
        let is_gone = offset < log.first || log.is_damaged(offset);
        let is_right = is_gone
            || records.record(offset).is_some_and(|(record, bytes)| {
                record.topic == TIMER_TOPIC && i32::try_from(bytes.len()) == Ok(unit.size)
            });
        if unit.previous >= position || unit.previous < -1 {
            let what = format!("an entry says that entry {} stands before it", unit.previous);
            add(context, FileKind::TimerLog, &file.path, at + 4, &what, findings);
        }
        if !is_right {
            let what = format!("an entry points to {offset} in the log: no timed message is there");
            add(context, FileKind::TimerLog, &file.path, at + 28, &what, findings);
        }
        at += UNIT_BYTES as u64;
    }
    Ok(true)
}

/// Holds each slot that is in use against its last entry.
fn wheel(context: &Context<'_>, log: &[StoreFile], findings: &mut Findings, checked: &mut Checked) {
    let path = context.folder.root().join("timerwheel");
    let kind = FileKind::TimerWheel;
    let mut reader = match Reader::open(context.folder.disk(), &path, CHUNK) {
        Err(error) if error.kind() == ErrorKind::NotFound => return,
        Err(error) => return add(context, kind, &path, 0, &error.to_string(), findings),
        Ok(reader) => reader,
    };
    checked.files += 1;
    if reader.length() != WHEEL_BYTES {
        let what = format!("{} bytes instead of {WHEEL_BYTES}", reader.length());
        return add(context, kind, &path, 0, &what, findings);
    }
    let walked = slots(&mut reader, |at, slot| {
        checked.timer_entries += 1;
        let long = |at: usize| {
            let bytes = slot.get(at..).and_then(<[u8]>::first_chunk).copied();
            bytes.map_or(0, i64::from_be_bytes)
        };
        let (time, first, last) = (long(0), long(8), long(16));
        let end = log.last().map_or(0, StoreFile::end);
        let is_expired = last < log.first().map_or(0, |file| file.start);
        let stands = unit_at(context, log, last);
        let is_right = first <= last
            && last < end
            && (is_expired || stands.is_some_and(|unit| unit.slot_ms().div_euclid(1_000) == time));
        if !is_right && context.is_settled {
            let what =
                format!("the slot of second {time} leads to {last}, where none of its entries is");
            add(context, kind, &path, at, &what, findings);
        }
    });
    if let Err(error) = walked {
        add(context, kind, &path, 0, &error.to_string(), findings);
    }
}

fn unit_at(context: &Context<'_>, log: &[StoreFile], position: i64) -> Option<TimerUnit> {
    let after = log.partition_point(|file| file.start <= position);
    let file = log.get(after.checked_sub(1)?)?;
    let mut reader = Reader::open(context.folder.disk(), &file.path, UNIT_BYTES).ok()?;
    let at = u64::try_from(position - file.start).ok()?;
    TimerUnit::decode(&reader.array(at).ok()??)
}

/// Shows every slot that is not all zeros.
fn slots(reader: &mut Reader<'_>, mut show: impl FnMut(u64, &[u8; SLOT_BYTES])) -> io::Result<()> {
    let mut at = 0;
    while let Some(data) = reader.next_data(at)? {
        at = data - data % SLOT_BYTES as u64;
        let chunk = reader.at(at, CHUNK)?.as_chunks::<SLOT_BYTES>().0.to_vec();
        if chunk.is_empty() {
            break;
        }
        for slot in &chunk {
            if *slot != [0; SLOT_BYTES] {
                show(at, slot);
            }
            at += SLOT_BYTES as u64;
        }
    }
    Ok(())
}
