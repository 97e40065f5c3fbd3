//! `broker-dev store diff`.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use broker_dev::store::disk::RealDisk;
use broker_dev::store::tools::{self, DiffOptions, Difference, Folder, ToolError};
use clap::Args;

use super::bar::Bar;
use super::{DAMAGE, SOUND, print_json, table};

pub(super) const EXAMPLES: &str = "\
Examples:
  broker-dev store diff ./store ./store-again
  broker-dev store diff ./before ./after --topic orders --json | jq '.messages[]'
  broker-dev store diff ./master ./slave --summary

Compared are messages by topic, queue and offset, the queues' ends, and the config files. Where in
the log a message stands does not count. Exit status: 0 the same, 1 different, 2 cannot.";

/// Arguments of `diff`.
#[derive(Debug, Args)]
pub(crate) struct DiffArguments {
    /// Folder of one store
    #[arg(value_name = "LEFT")]
    left: PathBuf,

    /// Folder of the other
    #[arg(value_name = "RIGHT")]
    right: PathBuf,

    /// Only this topic
    #[arg(long, value_name = "NAME")]
    topic: Option<String>,

    /// Only the queues, not each message
    #[arg(long)]
    summary: bool,

    /// Differences that are listed; further ones are counted
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    limit: usize,

    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &DiffArguments) -> Result<u8, ToolError> {
    let open = |folder: &PathBuf| Folder::open(folder, &[], Arc::new(RealDisk));
    let (left, right) = (open(&arguments.left)?, open(&arguments.right)?);
    let most_details = if arguments.summary { 0 } else { arguments.limit };
    let options = DiffOptions { most_details, topic: arguments.topic.clone() };
    let bar = Bar::default();
    let found = tools::diff(&left, &right, &options, &bar)?;
    drop(bar);
    if arguments.json {
        print_json(&found)?
    } else {
        print(&found).map_err(ToolError::Output)?
    }
    Ok(if found.same { SOUND } else { DAMAGE })
}

fn range(range: Option<(i64, i64)>) -> String {
    range.map_or_else(|| "-".into(), |(from, to)| format!("{from}..{to}"))
}

fn print(found: &Difference) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    if !found.queues.is_empty() {
        let headings = ["TOPIC", "QUEUE", "LEFT", "RIGHT", "ONLY LEFT", "ONLY RIGHT", "DIFFERENT"];
        let mut table = table::new(&headings, 1);
        for queue in &found.queues {
            table.add_row([
                queue.topic.clone(),
                queue.queue_id.to_string(),
                range(queue.left),
                range(queue.right),
                queue.only_left.to_string(),
                queue.only_right.to_string(),
                queue.different.to_string(),
            ]);
        }
        writeln!(out, "{}", table::text(&table))?;
    }
    for message in &found.messages {
        let what = match &*message.what {
            ["left"] => "only in the left one".to_owned(),
            ["right"] => "only in the right one".to_owned(),
            fields => format!("other {}", fields.join(", ")),
        };
        let topic = message.topic.escape_debug();
        writeln!(
            out,
            "{topic} queue {} offset {}: {what}",
            message.queue_id, message.queue_offset
        )?;
    }
    for config in &found.configs {
        let value = |value: &Option<serde_json::Value>| {
            value.as_ref().map_or_else(|| "nothing".into(), ToString::to_string)
        };
        let (left, right) = (value(&config.left), value(&config.right));
        writeln!(out, "config/{} {}: {left} | {right}", config.file, config.path)?;
    }
    if found.left_out > 0 {
        writeln!(out, "… and {} more differences", found.left_out)?;
    }
    writeln!(
        out,
        "{}: {} queues, {} messages compared",
        if found.same { "the same" } else { "different" },
        found.queues_compared,
        found.messages_compared
    )
}
