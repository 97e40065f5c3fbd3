//! `broker-dev store inspect`.

use std::fmt::Write as _;
use std::io::Write as _;

use broker_dev::store::tools::{self, Inspection, ToolError, TopicSummary};
use clap::Args;

use super::bar::Bar;
use super::{FolderArguments, SOUND, bytes, print_json, table};

pub(super) const EXAMPLES: &str = "\
Examples:
  broker-dev store inspect ./store
  broker-dev store inspect ~/store --json | jq '.groups[] | select(.lag > 0)'
  broker-dev store inspect /data/store --commit-log /ssd/commitlog --all

Nothing is written and no lock is taken: a running broker may be looked at, its ends then move.
Exit status: 0 shown, 2 the folder cannot be read.";

/// Arguments of `inspect`.
#[derive(Debug, Args)]
pub(crate) struct Inspect {
    #[command(flatten)]
    folder: FolderArguments,

    /// Show every queue, and topics without messages
    #[arg(long)]
    all: bool,

    /// One JSON object instead of tables
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Inspect) -> Result<u8, ToolError> {
    let folder = arguments.folder.open()?;
    let bar = Bar::default();
    let found = tools::inspect(&folder, &bar)?;
    drop(bar);
    if arguments.json {
        print_json(&found)?;
        return Ok(SOUND);
    }
    let text = text(&found, arguments.all);
    std::io::stdout().lock().write_all(text.as_bytes()).map_err(ToolError::Output)?;
    Ok(SOUND)
}

fn time(ms: Option<i64>) -> String {
    ms.filter(|ms| *ms > 0).map_or_else(|| "-".into(), tools::time)
}

fn text(found: &Inspection, is_all: bool) -> String {
    let mut out = String::new();
    let state = match (found.in_use, found.clean) {
        (true, _) => "a broker works on it: what is at the ends moves",
        (false, true) => "cleanly closed",
        (false, false) => "not cleanly closed: the next start recovers it",
    };
    let _ = writeln!(out, "{}\n  {state}\n", found.folder.display());
    files(&mut out, found);
    log(&mut out, found);
    topics(&mut out, found, is_all);
    groups(&mut out, found);
    delay_levels(&mut out, found);
    for line in &found.unreadable {
        let _ = writeln!(out, "not read: {line}");
    }
    out
}

fn files(out: &mut String, found: &Inspection) {
    let mut table = table::new(&["FILES", "FIRST", "LAST", "COUNT", "BYTES", "ON DISK"], 3);
    for kind in &found.files {
        table.add_row([
            kind_name(kind.kind),
            kind.first.clone(),
            kind.last.clone(),
            kind.files.to_string(),
            bytes(kind.bytes),
            bytes(kind.allocated),
        ]);
    }
    let _ = writeln!(out, "{}", table::text(&table));
}

/// A kind as the JSON output has it.
pub(super) fn kind_name(kind: tools::FileKind) -> String {
    serde_json::to_value(kind)
        .ok()
        .and_then(|value| value.as_str().map(str::to_owned))
        .unwrap_or_default()
}

fn log(out: &mut String, found: &Inspection) {
    let log = &found.log;
    let length = u64::try_from(log.max_offset - log.min_offset).unwrap_or(0);
    let _ = writeln!(
        out,
        "  LOG         {} to {} ({}), files of {}",
        log.min_offset,
        log.max_offset,
        bytes(length),
        bytes(log.file_bytes)
    );
    let _ = writeln!(out, "  RECORDS     from {}", time(log.first_store_ms));
    let _ = writeln!(out, "              to   {}", time(log.last_store_ms));
    if let Some(checkpoint) = &found.checkpoint {
        let _ = writeln!(
            out,
            "  CHECKPOINT  log {}, queues {}, index {}",
            time(Some(checkpoint.log_ms)),
            time(Some(checkpoint.queues_ms)),
            time(Some(checkpoint.index_ms))
        );
    }
    out.push('\n');
}

fn topics(out: &mut String, found: &Inspection, is_all: bool) {
    let mut table =
        table::new(&["TOPIC", "FIRST RECORD", "LAST RECORD", "QUEUE", "MIN", "MAX", "MESSAGES"], 3);
    let mut hidden = 0;
    for topic in &found.topics {
        if topic.messages == 0 && topic.queues.is_empty() && !is_all {
            hidden += 1;
            continue;
        }
        topic_rows(&mut table, topic, is_all);
    }
    let _ = writeln!(out, "{}", table::text(&table).trim_end());
    if hidden > 0 {
        let _ = writeln!(out, "  and {hidden} topics without a message (--all shows them)");
    }
    out.push('\n');
}

fn topic_rows(table: &mut comfy_table::Table, topic: &TopicSummary, is_all: bool) {
    let name = if topic.configured {
        topic.topic.clone()
    } else {
        format!("{} (not in topics.json)", topic.topic)
    };
    let first = topic.queues.iter().filter_map(|queue| queue.first_store_ms).min();
    let last = topic.queues.iter().filter_map(|queue| queue.last_store_ms).max();
    let of = format!("{}", topic.queues.len());
    let total = topic.messages.to_string();
    table.add_row([name, time(first), time(last), of, String::new(), String::new(), total]);
    for queue in topic.queues.iter().filter(|_| is_all) {
        table.add_row([
            String::new(),
            time(queue.first_store_ms),
            time(queue.last_store_ms),
            format!("#{}", queue.queue_id),
            queue.min_offset.to_string(),
            queue.max_offset.to_string(),
            (queue.max_offset - queue.min_offset).to_string(),
        ]);
    }
}

fn groups(out: &mut String, found: &Inspection) {
    if found.groups.is_empty() {
        return;
    }
    let mut table = table::new(&["GROUP", "TOPIC", "COMMITTED", "LAG"], 3);
    for group in &found.groups {
        let committed: Vec<String> = group
            .queues
            .iter()
            .map(|queue| format!("#{}:{}", queue.queue_id, queue.committed))
            .collect();
        table.add_row([
            group.group.clone(),
            group.topic.clone(),
            committed.join(" "),
            group.lag.to_string(),
        ]);
    }
    let _ = writeln!(out, "{}", table::text(&table));
}

fn delay_levels(out: &mut String, found: &Inspection) {
    if found.delay_levels.is_empty() {
        return;
    }
    let mut table = table::new(&["DELAY LEVEL", "NEXT", "WAITING"], 1);
    for level in &found.delay_levels {
        table.add_row([
            level.level.to_string(),
            level.offset.to_string(),
            level.waiting.to_string(),
        ]);
    }
    let _ = writeln!(out, "{}", table::text(&table));
}
