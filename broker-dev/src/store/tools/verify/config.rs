//! The JSON files in `config`, and whether they and the queues agree.

use std::collections::BTreeMap;
use std::path::Path;

use oxmq::protocol::body::{
    ConsumerOffsetSerializeWrapper, DelayOffsetSerializeWrapper, SubscriptionGroupWrapper,
    TopicConfigSerializeWrapper,
};
use oxmq::protocol::json;
use oxmq::protocol::names::SCHEDULE_TOPIC;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::log::LogFacts;
use super::{Checked, Context, FileKind, Finding, Findings, Severity};
use crate::store::disk::EntryKind;
use crate::store::tools::reader::read_small;

/// The longest config file that is read.
pub(in crate::store::tools) const MOST_BYTES: usize = 64 << 20;
/// Files in `config` that are no JSON.
const BINARY: [&str; 1] = ["timercheck"];

/// Reads and parses a config file; `None` if it is missing or unreadable.
pub(in crate::store::tools) fn read<T: DeserializeOwned>(
    folder: &crate::store::tools::Folder,
    name: &str,
) -> Option<T> {
    let path = folder.root().join("config").join(name);
    let bytes = read_small(folder.disk(), &path, MOST_BYTES).ok()?;
    json::parse("a config file", &bytes).ok()
}

/// Where the records of deleted topics end.
pub(super) fn deleted_topics(context: &Context<'_>) -> BTreeMap<String, i64> {
    read(context.folder, "deletedTopics.json").unwrap_or_default()
}

/// The topics that are configured; `None` if that cannot be told.
pub(super) fn topics(context: &Context<'_>) -> Option<Vec<String>> {
    let topics: TopicConfigSerializeWrapper = read(context.folder, "topics.json")?;
    Some(topics.topic_config_table.into_keys().collect())
}

/// Parses every file, and holds the offsets against the queues.
pub(super) fn check(
    context: &Context<'_>,
    log: &LogFacts,
    findings: &mut Findings,
    checked: &mut Checked,
) {
    let dir = context.folder.root().join("config");
    let entries = match context.folder.look(&dir) {
        Ok(entries) => entries,
        Err(error) => {
            let path = context.folder.shown(&dir);
            let finding =
                Finding::new(Severity::Damage, FileKind::Config, path, 0, error.to_string());
            return findings.add(finding);
        }
    };
    for entry in entries {
        let name = entry.name.to_string_lossy().into_owned();
        let path = dir.join(&entry.name);
        if entry.kind == EntryKind::Folder || BINARY.contains(&&*name) {
            continue;
        }
        checked.files += 1;
        checked.config_files += 1;
        checked.bytes += entry.length;
        if let Err((at, what)) = parse(context, &path, &name) {
            // What was set aside is known to be damaged; a temporary file never counted.
            let is_aside = name.ends_with(".damaged") || name.ends_with(".tmp");
            let severity = if is_aside { Severity::Note } else { Severity::Damage };
            let shown = context.folder.shown(&path);
            findings.add(Finding::new(severity, FileKind::Config, shown, at, what));
        }
    }
    offsets(context, log, findings);
}

/// Parses a file as what its name says it is; else tells where it is wrong, and how.
fn parse(context: &Context<'_>, path: &Path, name: &str) -> Result<(), (u64, String)> {
    let bytes = read_small(context.folder.disk(), path, MOST_BYTES)
        .map_err(|error| (0, format!("cannot be read: {error}")))?;
    let kind = [".bak", ".tmp", ".damaged"]
        .iter()
        .fold(name, |name, suffix| name.strip_suffix(suffix).unwrap_or(name));
    fn as_a<T: DeserializeOwned>(bytes: &[u8]) -> Result<(), (u64, String)> {
        match json::parse::<T>("the file", bytes) {
            Ok(_) => Ok(()),
            Err(error) => {
                let at = match &error {
                    oxmq::protocol::DecodeError::BadJson { position, .. } => *position as u64,
                    _ => 0,
                };
                Err((at, error.to_string()))
            }
        }
    }
    if bytes.is_empty() {
        return Err((0, "empty".into()));
    }
    match kind {
        "topics.json" => as_a::<TopicConfigSerializeWrapper>(&bytes),
        "subscriptionGroup.json" => as_a::<SubscriptionGroupWrapper>(&bytes),
        "consumerOffset.json" | "lmqConsumerOffset.json" => {
            as_a::<ConsumerOffsetSerializeWrapper>(&bytes)
        }
        "delayOffset.json" => as_a::<DelayOffsetSerializeWrapper>(&bytes),
        "deletedTopics.json" => as_a::<BTreeMap<String, i64>>(&bytes),
        _ => as_a::<IgnoredAny>(&bytes),
    }
}

/// Offsets that are past the end of their queue.
fn offsets(context: &Context<'_>, log: &LogFacts, findings: &mut Findings) {
    let mut past = |file: &str, topic: &str, id: i32, whose: String, offset: i64| {
        let Some(end) = log.ends.get(&(topic.into(), id)) else { return };
        if offset > *end || offset < -1 {
            let what = format!("{whose} is at {offset}, the queue's end is {end}");
            let path = Path::new("config").join(file);
            findings.add(Finding::new(context.unsettled(), FileKind::Config, path, 0, what));
        }
    };
    let file = "consumerOffset.json";
    let committed: ConsumerOffsetSerializeWrapper = read(context.folder, file).unwrap_or_default();
    for (key, by_id) in &committed.offset_table {
        let topic = key.split('@').next().unwrap_or(key);
        for (id, offset) in by_id {
            past(file, topic, *id, format!("`{key}` queue {id}"), *offset);
        }
    }
    let file = "delayOffset.json";
    let delay: DelayOffsetSerializeWrapper = read(context.folder, file).unwrap_or_default();
    for (level, offset) in &delay.offset_table {
        let id = level.saturating_sub(1);
        past(file, SCHEDULE_TOPIC, id, format!("delay level {level}"), *offset);
    }
}
