//! All consume queues, as the records of the log pass by.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use oxmq::protocol::message::properties::name;
use oxmq::protocol::message::record::Record;
use oxmq::protocol::message::sys_flag;
use oxmq::protocol::names::SCHEDULE_TOPIC;

use super::config;
use super::log::unusable_files;
use super::queue::{Expected, QueueCheck};
use super::{Checked, Context, FileKind, Finding, Findings, Severity};
use crate::store::consume_queue::{UNIT_BYTES, tags_code};
use crate::store::layout;
use crate::store::tools::walk::RecordAt;

/// Queues whose units are held in memory at a time.
const MOST_WINDOWS: usize = 4_096;
/// Queues without a folder that are told apart.
const MOST_MISSING: usize = 10_000;
/// Bytes of a consume-queue file by default.
const FILE_BYTES: u64 = 6_000_000;

/// Records of a queue that has no folder.
#[derive(Debug)]
struct Missing {
    count: u64,
    first_offset: i64,
    first_at: (PathBuf, u64),
}

/// See the [module](self).
pub(super) struct Queues<'a> {
    context: &'a Context<'a>,
    log_first: i64,
    by_topic: HashMap<Box<str>, BTreeMap<i32, QueueCheck>>,
    windows: usize,
    missing: BTreeMap<(Box<str>, i32), Missing>,
    deleted: BTreeMap<String, i64>,
    topics: Option<Vec<String>>,
}

impl<'a> Queues<'a> {
    /// Lists the queues' files and checks their lengths.
    pub(super) fn open(
        context: &'a Context<'a>,
        log_first: i64,
        findings: &mut Findings,
        checked: &mut Checked,
    ) -> Self {
        let (folders, unusable) = context.folder.queues("consumequeue");
        unusable_files(context, FileKind::ConsumeQueue, unusable, findings);
        let files = || folders.iter().flat_map(|queue| &queue.files);
        checked.files += files().count() as u64;
        let longest = files().map(|file| file.length).max().unwrap_or(FILE_BYTES);
        let file_bytes =
            layout::queue_file_bytes(files().map(|file| file.length), UNIT_BYTES, longest);
        for file in files() {
            let is_apart = file.start % i64::try_from(file_bytes).unwrap_or(1).max(1) != 0;
            if file.length != file_bytes || is_apart {
                let what = format!(
                    "a file of {} bytes at {} among files of {file_bytes}",
                    file.length, file.start
                );
                let path = context.folder.shown(&file.path);
                let at = file.length.min(file_bytes);
                findings.add(Finding::new(
                    Severity::Damage,
                    FileKind::ConsumeQueue,
                    path,
                    at,
                    what,
                ));
            }
        }
        let mut by_topic: HashMap<Box<str>, BTreeMap<i32, QueueCheck>> = HashMap::new();
        for folder in folders {
            let (topic, id) = (folder.topic.clone(), folder.queue_id);
            by_topic.entry(topic).or_default().insert(id, QueueCheck::new(folder, file_bytes));
        }
        let (missing, windows) = (BTreeMap::new(), 0);
        let deleted = config::deleted_topics(context);
        let topics = config::topics(context);
        Self { context, log_first, by_topic, windows, missing, deleted, topics }
    }

    /// Holds a record against the units of all queues that it is in.
    pub(super) fn record(
        &mut self,
        at: &RecordAt<'_>,
        findings: &mut Findings,
        checked: &mut Checked,
    ) {
        let record = &at.record;
        let is_batch = record.sys_flag & sys_flag::INNER_BATCH != 0;
        let is_over =
            self.deleted.get(record.topic).is_some_and(|end| record.physical_offset < *end);
        if !sys_flag::is_queued(record.sys_flag) || is_batch || is_over {
            return;
        }
        let expected = Expected {
            physical_offset: record.physical_offset,
            length: i32::try_from(at.bytes.len()).unwrap_or(i32::MAX),
            tags_code: self.tags_code(record),
        };
        self.unit(at, record.topic, record.queue_id, record.queue_offset, &expected, findings);
        checked.units += 1;
        let names = record.property("INNER_MULTI_DISPATCH");
        let offsets = record.property("INNER_MULTI_QUEUE_OFFSET");
        if let (Some(names), Some(offsets)) = (names, offsets) {
            for (queue, offset) in names.split(',').zip(offsets.split(',')) {
                let Ok(offset) = offset.parse() else { continue };
                let id = if queue.starts_with("%LMQ%") { 0 } else { record.queue_id };
                self.unit(at, queue, id, offset, &expected, findings);
                checked.units += 1;
            }
        }
    }

    fn tags_code(&self, record: &Record<'_>) -> Option<i64> {
        let levels = self.context.options.delay_levels_ms.as_deref();
        let is_delayed =
            record.topic == SCHEDULE_TOPIC && record.property(name::DELAY_TIME_LEVEL).is_some();
        if is_delayed && levels.is_none() {
            return None;
        }
        Some(tags_code(record, levels.unwrap_or_default()))
    }

    fn unit(
        &mut self,
        at: &RecordAt<'_>,
        topic: &str,
        queue_id: i32,
        offset: i64,
        expected: &Expected,
        findings: &mut Findings,
    ) {
        let queue = self.by_topic.get_mut(topic).and_then(|ids| ids.get_mut(&queue_id));
        let Some(queue) = queue else { return self.miss(at, topic, queue_id, offset) };
        let had_window = queue.has_window();
        queue.record(self.context, offset, expected, self.log_first, findings);
        if !had_window && queue.has_window() {
            self.windows += 1;
        }
        if self.windows > MOST_WINDOWS {
            self.windows = 0;
            let queues = self.by_topic.values_mut().flat_map(BTreeMap::values_mut);
            queues.for_each(QueueCheck::drop_window);
        }
    }

    fn miss(&mut self, at: &RecordAt<'_>, topic: &str, queue_id: i32, first_offset: i64) {
        let key = (topic.into(), queue_id);
        if let Some(missing) = self.missing.get_mut(&key) {
            missing.count += 1;
        } else if self.missing.len() < MOST_MISSING {
            let first_at = (self.context.folder.shown(&at.file.path), at.at);
            self.missing.insert(key, Missing { count: 1, first_offset, first_at });
        }
    }

    /// Ends the pass; returns the queues' ends.
    pub(super) fn finish(
        mut self,
        log_end: i64,
        findings: &mut Findings,
        checked: &mut Checked,
    ) -> BTreeMap<(Box<str>, i32), i64> {
        let mut ends = BTreeMap::new();
        for (topic, ids) in &mut self.by_topic {
            for (id, queue) in ids {
                let log = self.log_first..log_end.max(self.log_first);
                let end = queue.finish(self.context, log, findings);
                ends.insert((topic.clone(), *id), end);
            }
        }
        checked.bytes += checked.units * UNIT_BYTES as u64;
        for ((topic, id), missing) in &self.missing {
            // A topic that nobody knows any more was deleted; its records stay in the log.
            let topics = self.topics.as_ref();
            let is_known = topics.is_none_or(|all| all.iter().any(|name| **name == **topic));
            let severity = if is_known { self.context.unsettled() } else { Severity::Note };
            let Missing { count, first_offset, first_at: (file, at) } = missing;
            let what = format!(
                "{count} records of `{}` queue {id}, from offset {first_offset} on, are in no consume queue{}",
                topic.escape_debug(),
                if is_known { "" } else { ": the topic was deleted" }
            );
            findings.add(Finding::new(severity, FileKind::ConsumeQueue, file.clone(), *at, what));
        }
        ends
    }
}
