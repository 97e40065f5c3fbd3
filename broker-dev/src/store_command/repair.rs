//! `broker-dev store repair`.

use std::io::Write;
use std::sync::Arc;

use broker_dev::store::StoreOptions;
use broker_dev::store::tools::{self, Change, FileChange, Repair, ToolError};
use clap::Args;
use oxmq::clock::SystemClock;

use super::{DAMAGE, FolderArguments, SOUND, print_json};

pub(super) const EXAMPLES: &str = "\
Examples:
  broker-dev store repair ./store --dry-run          what the next start will do
  broker-dev store repair ./store --dry-run --json
  broker-dev store snapshot ./store before.snap && broker-dev store repair ./store

A broker does the same whenever it starts: a repair never has to be asked for. With --dry-run the
broker's own recovery runs on the folder, but what it writes goes to a temporary folder.
Exit status: 0 nothing is lost, 1 something is cut off or skipped, 2 cannot.";

/// Arguments of `repair`.
#[derive(Debug, Args)]
pub(crate) struct RepairArguments {
    #[command(flatten)]
    folder: FolderArguments,

    /// Change nothing: only tell
    #[arg(long)]
    dry_run: bool,

    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &RepairArguments) -> Result<u8, ToolError> {
    let folder = arguments.folder.open()?;
    let clock = Arc::new(SystemClock::new());
    let options = StoreOptions::default();
    let done = if arguments.dry_run {
        tools::plan_repair(&folder, options, clock)?
    } else {
        let _ = writeln!(
            std::io::stderr(),
            "opening {} with recovery: what is torn is cut off, what is missing is built again",
            folder.root().display()
        );
        tools::repair(&folder, options, clock)?
    };
    if arguments.json {
        print_json(&done)?
    } else {
        print(&done).map_err(ToolError::Output)?
    }
    Ok(if done.cut.is_none() && done.skipped_count == 0 { SOUND } else { DAMAGE })
}

fn print(done: &Repair) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let (is, cut, skipped) = if done.dry_run {
        ("would be", "would be cut", "would be skipped")
    } else {
        ("were", "was cut", "was skipped")
    };
    let stop = if done.clean { "a clean stop" } else { "a crash" };
    writeln!(out, "{}: after {stop}", done.folder.display())?;
    writeln!(
        out,
        "  {} records {is} checked, from {} on; the log ends at {}",
        done.records, done.start_offset, done.end_offset
    )?;
    if let Some(place) = &done.cut {
        writeln!(
            out,
            "  {cut} in {} at byte {}: {}",
            place.file.display(),
            place.offset,
            place.reason
        )?;
    }
    for place in &done.skipped {
        writeln!(
            out,
            "  {skipped} in {} at byte {}: {}",
            place.file.display(),
            place.offset,
            place.reason
        )?;
    }
    let more = done.skipped_count.saturating_sub(done.skipped.len() as u64);
    if more > 0 {
        writeln!(out, "  … and {more} more places")?;
    }
    if done.rebuilds_queues {
        writeln!(out, "  the consume queues {is} rebuilt from the first record on")?;
    }
    for change in &done.files {
        writeln!(out, "  {}", words(change))?;
    }
    if done.dry_run { writeln!(out, "nothing was changed") } else { Ok(()) }
}

fn words(change: &FileChange) -> String {
    let file = change.file.display();
    match change.change {
        Change::Made { bytes } => format!("make    {file} ({bytes} bytes)"),
        Change::Removed => format!("remove  {file}"),
        Change::Written { from, to } => format!("write   {file} bytes {from} to {to}"),
        Change::Cleared { from, to } => format!("clear   {file} bytes {from} to {to}"),
        Change::Resized { from, to } => format!("resize  {file} from {from} to {to} bytes"),
        _ => format!("update  {file}"),
    }
}
