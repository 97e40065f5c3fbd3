//! Batch consume queues: units of 46 bytes, each against its record and the unit before it.

use std::io;

use oxmq::protocol::message::properties::name;

use super::log::{LogFacts, unusable_files};
use super::{Checked, Context, FileKind, Finding, Findings, Lost, Severity};
use crate::store::consume_queue::{BATCH_UNIT_BYTES, BatchUnit};
use crate::store::tools::folder::{QueueFolder, StoreFile};
use crate::store::tools::log_reader::LogReader;
use crate::store::tools::reader::Reader;

/// Bytes read at a time.
const CHUNK: usize = 256 * 1024;

/// Checks every queue of `batchconsumequeue`.
pub(super) fn check(
    context: &Context<'_>,
    log: &LogFacts,
    log_files: &[StoreFile],
    findings: &mut Findings,
    checked: &mut Checked,
) {
    let (queues, unusable) = context.folder.queues("batchconsumequeue");
    unusable_files(context, FileKind::BatchConsumeQueue, unusable, findings);
    let mut records = LogReader::new(context.folder, log_files);
    for queue in &queues {
        let mut next = None;
        for file in &queue.files {
            checked.files += 1;
            let walked =
                units(context, log, queue, file, &mut next, &mut records, findings, checked);
            match walked {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    let what = format!("cannot be read: {error}");
                    let path = context.folder.shown(&file.path);
                    let kind = FileKind::BatchConsumeQueue;
                    findings.add(Finding::new(Severity::Damage, kind, path, 0, what));
                }
            }
        }
    }
}

/// Walks through one file; tells whether the queue goes on behind it.
#[expect(clippy::too_many_arguments, reason = "one straight walk, called once")]
fn units(
    context: &Context<'_>,
    log: &LogFacts,
    queue: &QueueFolder,
    file: &StoreFile,
    next: &mut Option<i64>,
    records: &mut LogReader<'_>,
    findings: &mut Findings,
    checked: &mut Checked,
) -> io::Result<bool> {
    let mut reader = Reader::open(context.folder.disk(), &file.path, CHUNK)?;
    let mut at = 0;
    while let Some(unit) = BatchUnit::decode(reader.at(at, BATCH_UNIT_BYTES)?) {
        let entry = unit.unit;
        if entry.length <= 0 || entry.physical_offset < 0 {
            return Ok(false);
        }
        checked.units += 1;
        checked.bytes += BATCH_UNIT_BYTES as u64;
        let offset = entry.physical_offset;
        let lost = Lost {
            topic: queue.topic.to_string(),
            queue_id: queue.queue_id,
            queue_offset: unit.base_offset,
            physical_offset: offset,
            length: u64::try_from(entry.length).unwrap_or(0),
            keys: None,
            unique_key: None,
        };
        let is_gone = !entry.is_record() || offset < log.first || findings.name_lost(lost);
        let mut what = None;
        if !is_gone {
            what = records.record(offset).map_or_else(
                || Some("no record is there".to_owned()),
                |(record, bytes)| {
                    let count = record.property(name::INNER_NUM).and_then(|text| text.parse().ok());
                    let is_right = *record.topic == *queue.topic
                        && record.queue_id == queue.queue_id
                        && record.queue_offset == unit.base_offset
                        && record.store_timestamp == unit.store_timestamp
                        && i32::try_from(bytes.len()) == Ok(entry.length)
                        && count.unwrap_or(1) == unit.count;
                    (!is_right).then(|| "the record there says otherwise".to_owned())
                },
            );
        }
        if next.is_some_and(|next| next != unit.base_offset) && !is_gone {
            what.get_or_insert_with(|| format!("begins at {}, out of its row", unit.base_offset));
        }
        if let Some(what) = what {
            let what = format!("the unit of batch {} points to {offset}: {what}", unit.base_offset);
            let is_end = offset >= log.end;
            let severity = if is_end { context.unsettled() } else { Severity::Damage };
            let path = context.folder.shown(&file.path);
            findings.add(Finding::new(severity, FileKind::BatchConsumeQueue, path, at, what));
        }
        *next = Some(unit.base_offset.saturating_add(unit.count.max(1).into()));
        at += BATCH_UNIT_BYTES as u64;
    }
    Ok(true)
}
