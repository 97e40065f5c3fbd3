//! What two stores have in common, and what not.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use oxmq::protocol::message::record::Record;
use serde::Serialize;
use serde_json::Value;

use super::error::ToolError;
use super::folder::{Folder, QueueFolder, StoreFile};
use super::log_reader::LogReader;
use super::progress::Progress;
use super::units::Units;
use super::verify::read_config;

/// Config files whose content is compared, leaving out how often they were saved.
const CONFIGS: [&str; 6] = [
    "topics.json",
    "subscriptionGroup.json",
    "consumerOffset.json",
    "delayOffset.json",
    "consumerFilter.json",
    "deletedTopics.json",
];

/// How much [`diff`] tells.
#[derive(Debug, Clone)]
pub struct DiffOptions {
    /// Differences that are told one by one; further ones are counted.
    pub most_details: usize,
    /// Compare only this topic.
    pub topic: Option<String>,
}

impl Default for DiffOptions {
    fn default() -> Self {
        Self { most_details: 1_000, topic: None }
    }
}

/// What [`diff`] found.
#[derive(Debug, Clone, Serialize)]
pub struct Difference {
    /// One folder.
    pub left: PathBuf,
    /// The other.
    pub right: PathBuf,
    /// There is none.
    pub same: bool,
    /// Queues that were compared.
    pub queues_compared: u64,
    /// Messages that both have, alike or not.
    pub messages_compared: u64,
    /// Queues that differ.
    pub queues: Vec<QueueDifference>,
    /// Messages that differ, one by one.
    pub messages: Vec<MessageDifference>,
    /// Differences between config files.
    pub configs: Vec<ConfigDifference>,
    /// Differences that are not listed, being too many.
    pub left_out: u64,
}

/// A queue that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct QueueDifference {
    /// Topic.
    pub topic: String,
    /// Queue.
    pub queue_id: i32,
    /// Offsets of the left one: the first message, and after the last.
    pub left: Option<(i64, i64)>,
    /// Of the right one.
    pub right: Option<(i64, i64)>,
    /// Messages that only the left one has.
    pub only_left: u64,
    /// Messages that only the right one has.
    pub only_right: u64,
    /// Messages that both have, but not alike.
    pub different: u64,
}

/// A message that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MessageDifference {
    /// Topic.
    pub topic: String,
    /// Queue.
    pub queue_id: i32,
    /// Place in the queue.
    pub queue_offset: i64,
    /// `left`, `right`, or the names of the fields that are not alike.
    pub what: Vec<&'static str>,
}

/// A value that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConfigDifference {
    /// The file in `config`.
    pub file: String,
    /// Where in it: keys, joined with `/`.
    pub path: String,
    /// What the left one says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left: Option<Value>,
    /// What the right one says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub right: Option<Value>,
}

/// Compares two stores message by message. Where in the log a message stands does not count.
///
/// # Errors
/// A folder cannot be listed.
pub fn diff(
    left: &Folder,
    right: &Folder,
    options: &DiffOptions,
    progress: &dyn Progress,
) -> Result<Difference, ToolError> {
    let (left_files, right_files) = (left.log_files().0, right.log_files().0);
    let mut sides = (Side::new(left, &left_files), Side::new(right, &right_files));
    let keys: BTreeSet<(Box<str>, i32)> =
        sides.0.queues.keys().chain(sides.1.queues.keys()).cloned().collect();
    let mut difference = Difference {
        left: left.root().to_path_buf(),
        right: right.root().to_path_buf(),
        same: true,
        queues_compared: 0,
        messages_compared: 0,
        queues: Vec::new(),
        messages: Vec::new(),
        configs: Vec::new(),
        left_out: 0,
    };
    progress.begin("queues", keys.len() as u64);
    for key in keys {
        if options.topic.as_ref().is_none_or(|topic| **topic == *key.0) {
            difference.queues_compared += 1;
            queue(&mut sides, &key, options, &mut difference);
        }
        progress.advance(1);
    }
    for file in CONFIGS {
        let read = |folder: &Folder| read_config::<Value>(folder, file).map(without_version);
        compare(file, "", read(left), read(right), options, &mut difference);
    }
    difference.same = difference.queues.is_empty() && difference.configs.is_empty();
    Ok(difference)
}

/// How often a file was saved tells nothing of what it says.
fn without_version(mut value: Value) -> Value {
    if let Some(object) = value.as_object_mut() {
        object.remove("dataVersion");
    }
    value
}

struct Side<'a> {
    folder: &'a Folder,
    log_first: i64,
    records: LogReader<'a>,
    queues: BTreeMap<(Box<str>, i32), QueueFolder>,
}

impl<'a> Side<'a> {
    fn new(folder: &'a Folder, files: &'a [StoreFile]) -> Self {
        let log_first = files.first().map_or(0, |file| file.start);
        let queues = folder.queues("consumequeue").0.into_iter();
        let queues = queues.map(|queue| ((queue.topic.clone(), queue.queue_id), queue)).collect();
        Self { folder, log_first, records: LogReader::new(folder, files), queues }
    }

    fn units(&self, key: &(Box<str>, i32)) -> Option<(Units, (i64, i64))> {
        let mut units = Units::new(self.queues.get(key)?.clone());
        let end = units.end(self.folder.disk());
        let min = units.min(self.folder.disk(), end, self.log_first);
        Some((units, (min, end)))
    }

    fn record(&mut self, units: &mut Units, offset: i64) -> Option<Record<'_>> {
        let unit = units.get(self.folder.disk(), offset).filter(|unit| unit.is_record())?;
        self.records.record(unit.physical_offset).map(|(record, _)| record)
    }
}

fn queue(
    (left, right): &mut (Side<'_>, Side<'_>),
    key: &(Box<str>, i32),
    options: &DiffOptions,
    difference: &mut Difference,
) {
    let (mut left_units, mut right_units) = (left.units(key), right.units(key));
    let range = |units: &Option<(Units, (i64, i64))>| units.as_ref().map(|(_, range)| *range);
    let mut summary = QueueDifference {
        topic: key.0.to_string(),
        queue_id: key.1,
        left: range(&left_units),
        right: range(&right_units),
        only_left: 0,
        only_right: 0,
        different: 0,
    };
    let ranges = || summary.left.into_iter().chain(summary.right);
    let from = ranges().map(|range| range.0).min().unwrap_or(0);
    let to = ranges().map(|range| range.1).max().unwrap_or(0);
    for offset in from..to {
        let inside =
            |range: Option<(i64, i64)>| range.is_some_and(|(a, b)| (a..b).contains(&offset));
        let one = left_units
            .as_mut()
            .filter(|(_, range)| inside(Some(*range)))
            .and_then(|(units, _)| left.record(units, offset));
        let other = right_units
            .as_mut()
            .filter(|(_, range)| inside(Some(*range)))
            .and_then(|(units, _)| right.record(units, offset));
        let what = match (one, other) {
            (None, None) => continue,
            (Some(_), None) => {
                summary.only_left += 1;
                vec!["left"]
            }
            (None, Some(_)) => {
                summary.only_right += 1;
                vec!["right"]
            }
            (Some(one), Some(other)) => {
                difference.messages_compared += 1;
                let fields = fields(&one, &other);
                if fields.is_empty() {
                    continue;
                }
                summary.different += 1;
                fields
            }
        };
        if difference.messages.len() < options.most_details {
            let (topic, queue_id) = (summary.topic.clone(), summary.queue_id);
            difference.messages.push(MessageDifference {
                topic,
                queue_id,
                queue_offset: offset,
                what,
            });
        } else {
            difference.left_out += 1;
        }
    }
    let is_same = summary.only_left + summary.only_right + summary.different == 0
        && summary.left == summary.right;
    if !is_same {
        difference.queues.push(summary);
    }
}

/// Names of the fields that are not alike.
fn fields(one: &Record<'_>, other: &Record<'_>) -> Vec<&'static str> {
    let all = [
        ("topic", one.topic == other.topic),
        ("queueId", one.queue_id == other.queue_id),
        ("queueOffset", one.queue_offset == other.queue_offset),
        ("body", one.body == other.body),
        ("properties", one.properties == other.properties),
        ("flag", one.flag == other.flag),
        ("sysFlag", one.sys_flag == other.sys_flag),
        ("bornTimestamp", one.born_timestamp == other.born_timestamp),
        ("bornHost", one.born_host == other.born_host),
        ("storeTimestamp", one.store_timestamp == other.store_timestamp),
        ("storeHost", one.store_host == other.store_host),
        ("reconsumeTimes", one.reconsume_times == other.reconsume_times),
    ];
    all.into_iter().filter(|(_, same)| !same).map(|(name, _)| name).collect()
}

/// Compares two values, down to where they differ.
fn compare(
    file: &str,
    path: &str,
    left: Option<Value>,
    right: Option<Value>,
    options: &DiffOptions,
    difference: &mut Difference,
) {
    match (left, right) {
        (left, right) if left == right => {}
        (Some(Value::Object(mut left)), Some(Value::Object(mut right))) => {
            let keys: BTreeSet<String> = left.keys().chain(right.keys()).cloned().collect();
            for key in keys {
                let path = if path.is_empty() { key.clone() } else { format!("{path}/{key}") };
                compare(file, &path, left.remove(&key), right.remove(&key), options, difference);
            }
        }
        (left, right) => {
            if difference.configs.len() < options.most_details.max(1) {
                let (file, path) = (file.to_owned(), path.to_owned());
                difference.configs.push(ConfigDifference { file, path, left, right });
            } else {
                difference.left_out += 1;
            }
        }
    }
}
