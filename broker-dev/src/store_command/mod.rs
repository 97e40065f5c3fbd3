//! `broker-dev store …`: looking at a store's folder from a terminal.
//!
//! What is found comes from [`broker_dev::store::tools`]; here it is only asked for and shown.

mod bar;
mod diff;
mod dump;
mod inspect;
mod repair;
mod snapshot;
mod table;
mod verify;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use broker_dev::store::disk::RealDisk;
use broker_dev::store::tools::{Folder, ToolError};
use clap::{Args, Subcommand};
use serde::Serialize;

/// What was asked for is sound.
const SOUND: u8 = 0;
/// Damage, or a difference, was found.
const DAMAGE: u8 = 1;
/// It could not be found out.
const CANNOT: u8 = 2;

/// What `broker-dev store` does.
#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// Show what is in a store's folder: files, topics, queues, groups and their lag
    #[command(after_help = inspect::EXAMPLES)]
    Inspect(inspect::Inspect),
    /// Check every byte that has a meaning, and name what is damaged and what is lost
    #[command(after_help = verify::EXAMPLES)]
    Verify(verify::Verify),
    /// Print records as text or as JSON lines
    #[command(after_help = dump::EXAMPLES)]
    Dump(dump::Dump),
    /// Compare two stores: messages, offsets, config files
    #[command(after_help = diff::EXAMPLES)]
    Diff(diff::DiffArguments),
    /// Recover a store as the next start of a broker does, or tell what that will do
    #[command(after_help = repair::EXAMPLES)]
    Repair(repair::RepairArguments),
    /// Copy a store into one file
    #[command(after_help = snapshot::SNAPSHOT_EXAMPLES)]
    Snapshot(snapshot::SnapshotArguments),
    /// Make a store from a snapshot, checking every file
    #[command(after_help = snapshot::RESTORE_EXAMPLES)]
    Restore(snapshot::RestoreArguments),
}

/// The folder to look at.
#[derive(Debug, Args)]
pub(crate) struct FolderArguments {
    /// Folder of the store: the one with `commitlog` and `config` in it
    #[arg(value_name = "DIR")]
    folder: PathBuf,

    /// Folder of the commit log, if it is not in the store's; may be repeated
    #[arg(long, value_name = "DIR")]
    commit_log: Vec<PathBuf>,
}

impl FolderArguments {
    fn open(&self) -> Result<Folder, ToolError> {
        Folder::open(&self.folder, &self.commit_log, Arc::new(RealDisk))
    }
}

/// Does it; returns the exit status.
pub(crate) fn run(command: StoreCommand) -> ExitCode {
    let done = match command {
        StoreCommand::Inspect(arguments) => inspect::run(&arguments),
        StoreCommand::Verify(arguments) => verify::run(&arguments),
        StoreCommand::Dump(arguments) => dump::run(&arguments),
        StoreCommand::Diff(arguments) => diff::run(&arguments),
        StoreCommand::Repair(arguments) => repair::run(&arguments),
        StoreCommand::Snapshot(arguments) => snapshot::snapshot(&arguments),
        StoreCommand::Restore(arguments) => snapshot::restore(&arguments),
    };
    match done {
        Ok(status) => status.into(),
        // Whoever reads the output has seen enough.
        Err(ToolError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => SOUND.into(),
        Err(error) => {
            let _ = writeln!(io::stderr(), "broker-dev store: {error}");
            CANNOT.into()
        }
    }
}

/// Prints a result as one JSON object.
fn print_json(value: &impl Serialize) -> Result<(), ToolError> {
    let mut out = io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, value)
        .map_err(io::Error::from)
        .and_then(|()| writeln!(out))
        .map_err(ToolError::Output)
}

/// Bytes as people read them.
fn bytes(count: u64) -> String {
    indicatif::HumanBytes(count).to_string()
}
