//! `broker-dev store dump`.

use std::io::{BufWriter, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use broker_dev::store::tools::{self, DumpFilter, DumpedRecord, ToolError};
use clap::{Args, ValueEnum};

use super::bar::Bar;
use super::{DAMAGE, FolderArguments, SOUND};

pub(super) const EXAMPLES: &str = "\
Examples:
  broker-dev store dump ./store --topic orders --queue 3 --from 100 --to 120
  broker-dev store dump ./store --key order-17 --body base64 --json
  broker-dev store dump ./store --since '2026-11-25 01:00' --until 2026-11-25T02:00 --body none
  broker-dev store dump ./store --topic orders --raw > orders.records

Records come in the order of the log. Times are UTC, or milliseconds since 1970.
Exit status: 0 all was sound, 1 damaged places were passed over, 2 cannot.";

/// Arguments of `dump`.
#[derive(Debug, Args)]
pub(crate) struct Dump {
    #[command(flatten)]
    folder: FolderArguments,

    /// Only this topic
    #[arg(long, value_name = "NAME")]
    topic: Option<String>,

    /// Only this queue
    #[arg(long, value_name = "ID")]
    queue: Option<i32>,

    /// From this queue offset on
    #[arg(long, value_name = "OFFSET")]
    from: Option<i64>,

    /// Before this queue offset
    #[arg(long, value_name = "OFFSET")]
    to: Option<i64>,

    /// Only records with this key or unique key
    #[arg(long)]
    key: Option<String>,

    /// Only records stored then or later
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<i64>,

    /// Only records stored before then
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<i64>,

    /// At most so many
    #[arg(long, value_name = "N")]
    limit: Option<u64>,

    /// How bodies are shown
    #[arg(long, value_enum, default_value_t = Body::Text)]
    body: Body,

    /// One JSON object a line
    #[arg(long)]
    json: bool,

    /// The records' own bytes, one after another, and nothing else
    #[arg(long, conflicts_with = "json")]
    raw: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Body {
    /// As text, what is none escaped
    Text,
    /// In base64
    Base64,
    /// Not at all
    None,
}

fn time(text: &str) -> Result<i64, String> {
    tools::parse_time(text).ok_or_else(|| {
        "give a time as 2026-11-25, '2026-11-25 01:02:03' (UTC) or milliseconds since 1970".into()
    })
}

pub(super) fn run(arguments: &Dump) -> Result<u8, ToolError> {
    let folder = arguments.folder.open()?;
    let filter = DumpFilter {
        topic: arguments.topic.clone(),
        queue_id: arguments.queue,
        from: arguments.from,
        to: arguments.to,
        key: arguments.key.clone(),
        since_ms: arguments.since,
        until_ms: arguments.until,
        limit: arguments.limit,
    };
    let mut out = BufWriter::new(std::io::stdout().lock());
    let bar = Bar::default();
    let dumped = tools::dump_records(&folder, &filter, &bar, &mut |record| {
        let written = match (arguments.raw, arguments.json) {
            (true, _) => out.write_all(record.raw),
            (_, true) => print_json(&mut out, record, arguments.body),
            _ => print(&mut out, record, arguments.body),
        };
        written.map_err(ToolError::Output)
    })?;
    drop(bar);
    out.flush().map_err(ToolError::Output)?;
    if dumped.damaged > 0 {
        let _ = writeln!(
            std::io::stderr(),
            "broker-dev store: {} damaged places were passed over: see `store verify`",
            dumped.damaged
        );
        return Ok(DAMAGE);
    }
    Ok(SOUND)
}

fn print_json(out: &mut impl Write, record: &DumpedRecord<'_>, body: Body) -> std::io::Result<()> {
    let mut value = serde_json::to_value(record)?;
    if let Some(object) = value.as_object_mut() {
        match body {
            Body::Text => {
                object.insert("body".into(), String::from_utf8_lossy(record.body).into());
            }
            Body::Base64 => {
                object.insert("body_base64".into(), STANDARD.encode(record.body).into());
            }
            Body::None => {}
        }
    }
    serde_json::to_writer(&mut *out, &value)?;
    writeln!(out)
}

fn print(out: &mut impl Write, record: &DumpedRecord<'_>, body: Body) -> std::io::Result<()> {
    writeln!(
        out,
        "{} queue {} offset {}  log {}  {} bytes",
        record.topic.escape_debug(),
        record.queue_id,
        record.queue_offset,
        record.physical_offset,
        record.length
    )?;
    writeln!(
        out,
        "  stored {} by {}  born {} at {}",
        tools::time(record.store_timestamp),
        record.store_host,
        tools::time(record.born_timestamp),
        record.born_host
    )?;
    writeln!(
        out,
        "  sysFlag {:#x}  flag {}  reconsumed {}  prepared {}",
        record.sys_flag, record.flag, record.reconsume_times, record.prepared_transaction_offset
    )?;
    for (name, value) in &record.properties {
        writeln!(out, "  {} = {}", name.escape_debug(), value.escape_debug())?;
    }
    match body {
        Body::Text => writeln!(out, "  body {}", record.body.escape_ascii_or_text()),
        Body::Base64 => writeln!(out, "  body {}", STANDARD.encode(record.body)),
        Body::None => writeln!(out, "  body of {} bytes", record.body_length),
    }
}

/// Bytes as text where they are some.
trait AsText {
    fn escape_ascii_or_text(&self) -> String;
}

impl AsText for [u8] {
    fn escape_ascii_or_text(&self) -> String {
        match std::str::from_utf8(self) {
            Ok(text) => text.escape_debug().to_string(),
            Err(_) => self.escape_ascii().to_string(),
        }
    }
}
