//! `broker-dev store verify`.

use std::io::Write;

use broker_dev::DelayLevels;
use broker_dev::store::tools::{
    self, Finding, Lost, Severity, ToolError, Verification, VerifyOptions,
};
use clap::Args;

use super::bar::Bar;
use super::inspect::kind_name;
use super::{DAMAGE, FolderArguments, SOUND, bytes, print_json};

pub(super) const EXAMPLES: &str = "\
Examples:
  broker-dev store verify ./store
  broker-dev store verify ./store --json | jq '.findings[].lost[]?'
  broker-dev store verify ./store && echo sound

Nothing is written and no lock is taken. Exit status: 0 sound, 1 damage found, 2 cannot.";

/// Arguments of `verify`.
#[derive(Debug, Args)]
pub(crate) struct Verify {
    #[command(flatten)]
    folder: FolderArguments,

    /// Findings that are listed; further ones are counted
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    limit: usize,

    /// The broker's `messageDelayLevel`, to check the times of delivery, such as \"1s 5s 10s\"
    #[arg(long, value_name = "LEVELS")]
    delay_levels: Option<String>,

    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Verify) -> Result<u8, ToolError> {
    let folder = arguments.folder.open()?;
    let delay_levels_ms = match &arguments.delay_levels {
        None => None,
        Some(text) => match text.parse::<DelayLevels>() {
            Ok(levels) => Some(levels.delays_ms().to_vec()),
            Err(error) => return Err(ToolError::BadRequest { reason: error.to_string() }),
        },
    };
    let options = VerifyOptions { most_findings: arguments.limit, delay_levels_ms };
    let bar = Bar::default();
    let found = tools::verify(&folder, &options, &bar)?;
    drop(bar);
    if arguments.json {
        print_json(&found)?
    } else {
        print(&found).map_err(ToolError::Output)?
    }
    Ok(if found.sound { SOUND } else { DAMAGE })
}

fn print(found: &Verification) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    for finding in &found.findings {
        print_finding(&mut out, finding)?;
    }
    if found.findings_left_out > 0 {
        writeln!(out, "… and {} more", found.findings_left_out)?;
    }
    let checked = &found.checked;
    writeln!(
        out,
        "{}: {} records, {} units, {} index entries, {} timer entries, {} config files; {} files, {}",
        found.folder.display(),
        checked.records,
        checked.units,
        checked.index_entries,
        checked.timer_entries,
        checked.config_files,
        checked.files,
        bytes(checked.bytes)
    )?;
    if found.in_use {
        writeln!(out, "a broker works on it: what is at the ends may have moved meanwhile")?;
    } else if !found.clean {
        writeln!(out, "not cleanly closed: the next start of a broker recovers it")?;
    }
    if found.sound {
        writeln!(out, "sound")
    } else {
        writeln!(out, "DAMAGED; messages lost for certain: {}", found.messages_lost)
    }
}

fn print_finding(out: &mut impl Write, finding: &Finding) -> std::io::Result<()> {
    let severity = if finding.severity == Severity::Damage { "damage" } else { "note" };
    write!(
        out,
        "{severity}: {} {} at byte {}",
        kind_name(finding.kind),
        finding.file.display(),
        finding.offset
    )?;
    if let Some(length) = finding.length {
        write!(out, " ({length} bytes)")?;
    }
    writeln!(out, ": {}", finding.what)?;
    for lost in &finding.lost {
        print_lost(out, lost)?;
    }
    let more = finding.lost_count.saturating_sub(finding.lost.len() as u64);
    if more > 0 { writeln!(out, "  lost: {more} more") } else { Ok(()) }
}

fn print_lost(out: &mut impl Write, lost: &Lost) -> std::io::Result<()> {
    write!(
        out,
        "  lost: topic {} queue {} offset {}",
        lost.topic.escape_debug(),
        lost.queue_id,
        lost.queue_offset
    )?;
    for (name, value) in [("keys", &lost.keys), ("unique key", &lost.unique_key)] {
        if let Some(value) = value {
            write!(out, ", {name} {}", value.escape_debug())?;
        }
    }
    writeln!(out)
}
