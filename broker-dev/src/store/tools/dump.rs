//! Records one by one, in the order of the log.

use std::ops::ControlFlow;

use oxmq::protocol::message::properties::{self, name};
use oxmq::protocol::message::record::Record;
use serde::Serialize;

use super::error::ToolError;
use super::folder::Folder;
use super::progress::Progress;
use super::walk::{Event, LogWalk};

/// Which records are wanted. What is not said is not asked for.
#[derive(Debug, Clone, Default)]
pub struct DumpFilter {
    /// Of this topic.
    pub topic: Option<String>,
    /// Of this queue.
    pub queue_id: Option<i32>,
    /// From this queue offset on.
    pub from: Option<i64>,
    /// Before this queue offset.
    pub to: Option<i64>,
    /// With this among their keys, or as their unique key.
    pub key: Option<String>,
    /// Stored at this time or later, ms.
    pub since_ms: Option<i64>,
    /// Stored before this time, ms.
    pub until_ms: Option<i64>,
    /// At most so many.
    pub limit: Option<u64>,
}

impl DumpFilter {
    fn takes(&self, record: &Record<'_>) -> bool {
        let has_key = |key: &str| {
            let keys = record.property(name::KEYS).unwrap_or_default();
            keys.split(' ').any(|one| one == key) || record.property(name::UNIQ_KEY) == Some(key)
        };
        self.topic.as_ref().is_none_or(|topic| topic == record.topic)
            && self.queue_id.is_none_or(|id| id == record.queue_id)
            && self.from.is_none_or(|from| record.queue_offset >= from)
            && self.to.is_none_or(|to| record.queue_offset < to)
            && self.since_ms.is_none_or(|since| record.store_timestamp >= since)
            && self.until_ms.is_none_or(|until| record.store_timestamp < until)
            && self.key.as_deref().is_none_or(has_key)
    }
}

/// One record, its body left to the caller.
#[derive(Debug, Serialize)]
pub struct DumpedRecord<'a> {
    /// Topic.
    pub topic: &'a str,
    /// Queue.
    pub queue_id: i32,
    /// Place in the queue.
    pub queue_offset: i64,
    /// Place in the commit log.
    pub physical_offset: i64,
    /// Bytes of the record.
    pub length: u64,
    /// When the broker stored it, ms.
    pub store_timestamp: i64,
    /// When the producer made it, ms.
    pub born_timestamp: i64,
    /// The producer's address.
    pub born_host: String,
    /// The broker's address.
    pub store_host: String,
    /// System flag.
    pub sys_flag: i32,
    /// The application's flag.
    pub flag: i32,
    /// How often it was handed back.
    pub reconsume_times: i32,
    /// Log offset of its half message.
    pub prepared_transaction_offset: i64,
    /// Properties in their order, as pairs.
    pub properties: Vec<(&'a str, &'a str)>,
    /// Bytes of the body.
    pub body_length: u64,
    /// The body as stored, perhaps compressed.
    #[serde(skip)]
    pub body: &'a [u8],
    /// The whole record.
    #[serde(skip)]
    pub raw: &'a [u8],
}

impl<'a> DumpedRecord<'a> {
    fn of(record: &Record<'a>, raw: &'a [u8]) -> Self {
        Self {
            topic: record.topic,
            queue_id: record.queue_id,
            queue_offset: record.queue_offset,
            physical_offset: record.physical_offset,
            length: raw.len() as u64,
            store_timestamp: record.store_timestamp,
            born_timestamp: record.born_timestamp,
            born_host: record.born_host.to_string(),
            store_host: record.store_host.to_string(),
            sys_flag: record.sys_flag,
            flag: record.flag,
            reconsume_times: record.reconsume_times,
            prepared_transaction_offset: record.prepared_transaction_offset,
            properties: properties::iter(record.properties).collect(),
            body_length: record.body.len() as u64,
            body: record.body,
            raw,
        }
    }
}

/// What [`dump_records`] went through.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Dumped {
    /// Records given out.
    pub records: u64,
    /// Damaged places that were passed over.
    pub damaged: u64,
}

/// Gives out the records of the log that a filter takes.
///
/// # Errors
/// `take` fails. Damaged places are counted.
pub fn dump_records(
    folder: &Folder,
    filter: &DumpFilter,
    progress: &dyn Progress,
    take: &mut dyn FnMut(&DumpedRecord<'_>) -> Result<(), ToolError>,
) -> Result<Dumped, ToolError> {
    let (files, unusable) = folder.log_files();
    let total: u64 = files.iter().map(|file| file.length).sum();
    progress.begin("commit log", total);
    let mut dumped = Dumped { records: 0, damaged: unusable.len() as u64 };
    let from = files.first().map_or(0, |file| file.start);
    if filter.limit == Some(0) {
        return Ok(dumped);
    }
    LogWalk::new(folder, &files).run(from, progress, &mut |event| {
        match event {
            Event::Record(at) if filter.takes(&at.record) => {
                take(&DumpedRecord::of(&at.record, at.bytes))?;
                dumped.records += 1;
                if filter.limit.is_some_and(|limit| dumped.records >= limit) {
                    return Ok(ControlFlow::Break(()));
                }
            }
            Event::Record(_) => {}
            _ => dumped.damaged += 1,
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(dumped)
}
