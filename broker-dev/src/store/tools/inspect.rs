//! What is in a folder, without reading all of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use oxmq::protocol::body::{
    ConsumerOffsetSerializeWrapper, DelayOffsetSerializeWrapper, TopicConfig,
    TopicConfigSerializeWrapper,
};
use oxmq::protocol::names::SCHEDULE_TOPIC;
use serde::Serialize;

use super::error::ToolError;
use super::folder::{Folder, StoreFile};
use super::inventory::{Inventory, KindSummary};
use super::log_reader::LogReader;
use super::progress::Progress;
use super::reader::read_small;
use super::units::Units;
use super::verify::{FileKind, read_config};
use super::walk::{Event, LogWalk};
use crate::store::checkpoint::Checkpoint;

/// What [`inspect`] found.
#[derive(Debug, Clone, Serialize)]
pub struct Inspection {
    /// The folder.
    pub folder: PathBuf,
    /// The last broker stopped in order.
    pub clean: bool,
    /// A broker works on the folder: what is at the ends may have moved meanwhile.
    pub in_use: bool,
    /// Files by kind.
    pub files: Vec<KindSummary>,
    /// The commit log.
    pub log: LogSummary,
    /// The checkpoint, if it can be read.
    pub checkpoint: Option<CheckpointSummary>,
    /// Topics that are configured or have a queue.
    pub topics: Vec<TopicSummary>,
    /// Committed offsets, by group and topic.
    pub groups: Vec<GroupSummary>,
    /// Delay levels that have had messages.
    pub delay_levels: Vec<DelaySummary>,
    /// What could not be read, and why.
    pub unreadable: Vec<String>,
}

/// The commit log in short.
#[derive(Debug, Clone, Default, Serialize)]
pub struct LogSummary {
    /// First byte.
    pub min_offset: i64,
    /// After the last sound record.
    pub max_offset: i64,
    /// Bytes of each file.
    pub file_bytes: u64,
    /// Store time of the first record, ms.
    pub first_store_ms: Option<i64>,
    /// Store time of the last record, ms.
    pub last_store_ms: Option<i64>,
}

/// The times of `checkpoint`, ms; 0 where nothing is known.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct CheckpointSummary {
    /// Of the last record synced to the log.
    pub log_ms: i64,
    /// Of the last record whose unit is synced.
    pub queues_ms: i64,
    /// Of the last record in the index files.
    pub index_ms: i64,
}

/// One topic.
#[derive(Debug, Clone, Serialize)]
pub struct TopicSummary {
    /// Its name.
    pub topic: String,
    /// Whether `topics.json` has it.
    pub configured: bool,
    /// Queues for readers, writers.
    pub read_queues: i32,
    /// Queues for writers.
    pub write_queues: i32,
    /// Permission bits: 4 read, 2 write, 1 inherited.
    pub perm: i32,
    /// `message.type` and its like.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
    /// Messages that can be read.
    pub messages: i64,
    /// Its queues that have files.
    pub queues: Vec<QueueSummary>,
}

/// One queue.
#[derive(Debug, Clone, Serialize)]
pub struct QueueSummary {
    /// Number of the queue.
    pub queue_id: i32,
    /// First message that can be read.
    pub min_offset: i64,
    /// After the last message.
    pub max_offset: i64,
    /// Store time of the first one, ms.
    pub first_store_ms: Option<i64>,
    /// Store time of the last one, ms.
    pub last_store_ms: Option<i64>,
    /// Whether it is a batch consume queue, whose ends are not looked for here.
    pub batch: bool,
}

/// What a group has committed in a topic.
#[derive(Debug, Clone, Serialize)]
pub struct GroupSummary {
    /// The group.
    pub group: String,
    /// The topic.
    pub topic: String,
    /// By queue.
    pub queues: Vec<CommittedSummary>,
    /// Messages not yet consumed, over all queues whose end is known.
    pub lag: i64,
}

/// What a group has committed in a queue.
#[derive(Debug, Clone, Serialize)]
pub struct CommittedSummary {
    /// Number of the queue.
    pub queue_id: i32,
    /// Next message to consume.
    pub committed: i64,
    /// Messages behind it; missing where the queue has no files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag: Option<i64>,
}

/// One delay level.
#[derive(Debug, Clone, Serialize)]
pub struct DelaySummary {
    /// 1 to 18.
    pub level: i32,
    /// Next message to deliver.
    pub offset: i64,
    /// Messages that wait.
    pub waiting: i64,
}

/// Looks at a folder.
///
/// # Errors
/// The folder itself cannot be listed.
pub fn inspect(folder: &Folder, progress: &dyn Progress) -> Result<Inspection, ToolError> {
    let (log_files, mut unusable) = folder.log_files();
    let log = log_summary(folder, &log_files, progress)?;
    let mut records = LogReader::new(folder, &log_files);
    let (topics, bad) = topics(folder, &log, &mut records, progress);
    unusable.extend(bad);
    let ends = ends(&topics);
    let inventory = Inventory::of(folder)?;
    let unreadable = unusable
        .into_iter()
        .map(|one| format!("{}: {}", folder.shown(&one.path).display(), one.reason))
        .chain(inventory.unusable)
        .collect::<BTreeSet<_>>();
    Ok(Inspection {
        folder: folder.root().to_path_buf(),
        clean: folder.is_clean()?,
        in_use: folder.is_in_use()?,
        files: inventory.kinds,
        log,
        checkpoint: checkpoint(folder),
        topics,
        groups: groups(folder, &ends),
        delay_levels: delay_levels(folder, &ends),
        unreadable: unreadable.into_iter().collect(),
    })
}

type Ends = BTreeMap<(String, i32), i64>;

fn log_summary(
    folder: &Folder,
    files: &[StoreFile],
    progress: &dyn Progress,
) -> Result<LogSummary, ToolError> {
    let mut reader = LogReader::new(folder, files);
    let mut store_ms = |offset| reader.record(offset).map(|(record, _)| record.store_timestamp);
    // The newest file that begins with a record; what was made ahead of need is empty.
    let last = files.iter().rev().find(|file| store_ms(file.start).is_some()).or(files.first());
    let first_store_ms = files.first().and_then(|file| store_ms(file.start));
    let min_offset = files.first().map_or(0, |file| file.start);
    let file_bytes = super::walk::file_bytes(files);
    let Some(last) = last else { return Ok(LogSummary::default()) };
    progress.begin("end of the log", file_bytes);
    let walked = LogWalk::new(folder, files).run(last.start, progress, &mut |event| {
        let _: Event<'_> = event;
        Ok(std::ops::ControlFlow::Continue(()))
    })?;
    let last_store_ms = (walked.last_store_ms > 0).then_some(walked.last_store_ms);
    Ok(LogSummary { min_offset, max_offset: walked.end, file_bytes, first_store_ms, last_store_ms })
}

fn topics(
    folder: &Folder,
    log: &LogSummary,
    records: &mut LogReader<'_>,
    progress: &dyn Progress,
) -> (Vec<TopicSummary>, Vec<super::folder::Unusable>) {
    let config: TopicConfigSerializeWrapper =
        read_config(folder, "topics.json").unwrap_or_default();
    let (queues, mut unusable) = folder.queues("consumequeue");
    let (batch_queues, bad) = folder.queues("batchconsumequeue");
    unusable.extend(bad);
    let mut by_topic: BTreeMap<String, Vec<QueueSummary>> = BTreeMap::new();
    progress.begin("consume queues", queues.len() as u64);
    for queue in queues {
        let topic = queue.topic.to_string();
        let summary = queue_summary(folder, Units::new(queue), log, records);
        by_topic.entry(topic).or_default().push(summary);
        progress.advance(1);
    }
    for queue in batch_queues {
        let (queue_id, batch) = (queue.queue_id, true);
        let (first_store_ms, last_store_ms) = (None, None);
        let summary = QueueSummary {
            queue_id,
            min_offset: 0,
            max_offset: 0,
            first_store_ms,
            last_store_ms,
            batch,
        };
        by_topic.entry(queue.topic.to_string()).or_default().push(summary);
    }
    let names: BTreeSet<String> =
        by_topic.keys().chain(config.topic_config_table.keys()).cloned().collect();
    let summary = |topic: String| {
        let known = config.topic_config_table.get(&topic);
        let default = TopicConfig::default();
        let queues = by_topic.remove(&topic).unwrap_or_default();
        let shown = known.unwrap_or(&default);
        TopicSummary {
            configured: known.is_some(),
            read_queues: shown.read_queue_nums,
            write_queues: shown.write_queue_nums,
            perm: shown.perm,
            attributes: shown.attributes.clone(),
            messages: queues.iter().map(|queue| queue.max_offset - queue.min_offset).sum(),
            queues,
            topic,
        }
    };
    (names.into_iter().map(summary).collect(), unusable)
}

fn queue_summary(
    folder: &Folder,
    mut units: Units,
    log: &LogSummary,
    records: &mut LogReader<'_>,
) -> QueueSummary {
    let max_offset = units.end(folder.disk());
    let min_offset = units.min(folder.disk(), max_offset, log.min_offset);
    let mut store_ms = |offset: i64| {
        let unit = units.get(folder.disk(), offset)?;
        records.record(unit.physical_offset).map(|(record, _)| record.store_timestamp)
    };
    let has_some = min_offset < max_offset;
    QueueSummary {
        queue_id: 0,
        min_offset,
        max_offset,
        first_store_ms: has_some.then(|| store_ms(min_offset)).flatten(),
        last_store_ms: has_some.then(|| store_ms(max_offset - 1)).flatten(),
        batch: false,
    }
    .with_id(units.folder.queue_id)
}

impl QueueSummary {
    fn with_id(self, queue_id: i32) -> Self {
        Self { queue_id, ..self }
    }
}

fn ends(topics: &[TopicSummary]) -> Ends {
    let queues = topics.iter().flat_map(|topic| {
        let known = topic.queues.iter().filter(|queue| !queue.batch);
        known.map(|queue| ((topic.topic.clone(), queue.queue_id), queue.max_offset))
    });
    queues.collect()
}

fn groups(folder: &Folder, ends: &Ends) -> Vec<GroupSummary> {
    let offsets: ConsumerOffsetSerializeWrapper =
        read_config(folder, "consumerOffset.json").unwrap_or_default();
    let summary = |(key, by_id): (&String, &BTreeMap<i32, i64>)| {
        let (topic, group) = key.split_once('@').unwrap_or((key, ""));
        let queues: Vec<CommittedSummary> = by_id
            .iter()
            .map(|(queue_id, committed)| {
                let end = ends.get(&(topic.to_owned(), *queue_id));
                let lag = end.map(|end| end.saturating_sub(*committed));
                CommittedSummary { queue_id: *queue_id, committed: *committed, lag }
            })
            .collect();
        GroupSummary {
            group: group.to_owned(),
            topic: topic.to_owned(),
            lag: queues.iter().filter_map(|queue| queue.lag).sum(),
            queues,
        }
    };
    let mut groups: Vec<GroupSummary> = offsets.offset_table.iter().map(summary).collect();
    groups.sort_by(|a, b| (&a.group, &a.topic).cmp(&(&b.group, &b.topic)));
    groups
}

fn delay_levels(folder: &Folder, ends: &Ends) -> Vec<DelaySummary> {
    let offsets: DelayOffsetSerializeWrapper =
        read_config(folder, "delayOffset.json").unwrap_or_default();
    let by_topic = ends.iter().filter(|((topic, _), _)| topic == SCHEDULE_TOPIC);
    by_topic
        .map(|((_, queue_id), end)| {
            let level = queue_id.saturating_add(1);
            let offset = offsets.offset_table.get(&level).copied().unwrap_or_default();
            DelaySummary { level, offset, waiting: end.saturating_sub(offset) }
        })
        .collect()
}

fn checkpoint(folder: &Folder) -> Option<CheckpointSummary> {
    let bytes = read_small(folder.disk(), &folder.root().join("checkpoint"), 1 << 20).ok()?;
    let Checkpoint { log_ms, queues_ms, index_ms, .. } = Checkpoint::decode(&bytes);
    Some(CheckpointSummary { log_ms, queues_ms, index_ms })
}

impl Inspection {
    /// The files of one kind.
    pub fn kind(&self, kind: FileKind) -> Option<&KindSummary> {
        self.files.iter().find(|summary| summary.kind == kind)
    }
}
