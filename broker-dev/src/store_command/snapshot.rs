//! `broker-dev store snapshot` and `restore`.

use std::io::Write;
use std::path::PathBuf;

use broker_dev::store::tools::{self, ToolError};
use clap::Args;
use oxmq::clock::SystemClock;

use super::bar::Bar;
use super::{FolderArguments, SOUND, bytes, print_json};

pub(super) const SNAPSHOT_EXAMPLES: &str = "\
Examples:
  broker-dev store snapshot ./store before.snap
  broker-dev store snapshot /data/store --commit-log /ssd/commitlog store.snap --json
  zstdcat before.snap | tar -tv                      what is in it

A folder at which a broker works is refused. Room made ahead of need costs nothing.
Exit status: 0 written, 2 cannot; then nothing is left behind.";

pub(super) const RESTORE_EXAMPLES: &str = "\
Examples:
  broker-dev store restore before.snap ./store-again
  broker-dev store restore before.snap ./copy && broker-dev --store ./copy

Every file is checked; the folder gets its name when all is there. One that is not empty is refused.
Exit status: 0 unpacked, 2 cannot; then nothing is left behind.";

/// Arguments of `snapshot`.
#[derive(Debug, Args)]
pub(crate) struct SnapshotArguments {
    #[command(flatten)]
    folder: FolderArguments,

    /// The file to write; it must not be there
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

/// Arguments of `restore`.
#[derive(Debug, Args)]
pub(crate) struct RestoreArguments {
    /// A file that `snapshot` wrote
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// The folder to make; it may be there if it is empty
    #[arg(value_name = "DIR")]
    folder: PathBuf,

    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

pub(super) fn snapshot(arguments: &SnapshotArguments) -> Result<u8, ToolError> {
    let folder = arguments.folder.open()?;
    let bar = Bar::default();
    let done = tools::snapshot(&folder, &arguments.file, &SystemClock::new(), &bar)?;
    drop(bar);
    if arguments.json {
        print_json(&done)?;
        return Ok(SOUND);
    }
    let state =
        if done.clean { "" } else { "\nit was not cleanly closed: a restored one recovers" };
    writeln!(
        std::io::stdout(),
        "{}: {} files of {} in {}{state}",
        done.file.display(),
        done.files,
        bytes(done.bytes),
        bytes(done.archive_bytes)
    )
    .map_err(ToolError::Output)?;
    Ok(SOUND)
}

pub(super) fn restore(arguments: &RestoreArguments) -> Result<u8, ToolError> {
    let bar = Bar::default();
    let done = tools::restore(&arguments.file, &arguments.folder, &bar)?;
    drop(bar);
    if arguments.json {
        print_json(&done)?;
        return Ok(SOUND);
    }
    writeln!(
        std::io::stdout(),
        "{}: {} files of {}, as of {}, every one checked",
        done.folder.display(),
        done.files,
        bytes(done.bytes),
        tools::time(done.created_ms)
    )
    .map_err(ToolError::Output)?;
    Ok(SOUND)
}
