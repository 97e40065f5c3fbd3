//! What the next start of a broker will do to a folder, and doing it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use oxmq::clock::SharedClock;
use serde::Serialize;

use super::dry_disk::{DryDisk, FileChange};
use super::error::{Context, ToolError};
use super::folder::Folder;
use crate::store::disk::Disk;
use crate::store::recovery::{Damage, RecoveryReport};
use crate::store::{Store, StoreOptions};

/// Files that every start changes, whatever it finds.
const ALWAYS: [&str; 4] = ["abort", "abort.bak", "lock", "checkpoint"];

/// What [`plan_repair`] foresees, or [`repair`] did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Repair {
    /// The folder.
    pub folder: PathBuf,
    /// Nothing was changed.
    pub dry_run: bool,
    /// The last broker stopped in order.
    pub clean: bool,
    /// Log offset from which on records are checked.
    pub start_offset: i64,
    /// Log offset where the log ends then.
    pub end_offset: i64,
    /// Records checked.
    pub records: u64,
    /// Damaged places that are skipped, the first thousand.
    pub skipped: Vec<Place>,
    /// How many there are in all.
    pub skipped_count: u64,
    /// The damaged end that is cut off.
    pub cut: Option<Place>,
    /// The consume queues are rebuilt from the log's first record on.
    pub rebuilds_queues: bool,
    /// What happens to files; empty when not a dry run.
    pub files: Vec<FileChange>,
}

/// A place of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The file, inside the folder.
    pub file: PathBuf,
    /// Byte in it.
    pub offset: u64,
    /// What is wrong there.
    pub reason: String,
}

impl Repair {
    fn of(folder: &Folder, report: &RecoveryReport) -> Self {
        let place = |damage: &Damage| Place {
            file: folder.shown(&damage.file),
            offset: damage.offset,
            reason: damage.reason.clone(),
        };
        Self {
            folder: folder.root().to_path_buf(),
            dry_run: false,
            clean: report.is_clean,
            start_offset: report.start_offset,
            end_offset: report.end_offset,
            records: report.records,
            skipped: report.damaged.iter().map(place).collect(),
            skipped_count: report.damaged_count,
            cut: report.torn_end.as_ref().map(place),
            rebuilds_queues: report.rebuilt_queues,
            files: Vec::new(),
        }
    }
}

/// Runs the store's own recovery over a folder without changing a byte of it: what is written goes
/// to copies in a temporary folder.
///
/// `options` are those of the broker to come; the folder's place is set here.
///
/// # Errors
/// [`ToolError::InUse`]; the recovery fails, as it would then.
pub fn plan_repair(
    folder: &Folder,
    options: StoreOptions,
    clock: SharedClock,
) -> Result<Repair, ToolError> {
    let options = placed(folder, options)?;
    let log = options.commit_log_dir();
    let disk = DryDisk::new(folder.shared_disk(), log).context(folder.root(), "copy what is in")?;
    let disk = Arc::new(disk);
    let report = open_and_close(&options, clock, Arc::clone(&disk) as Arc<dyn Disk>)?;
    let mut repair = Repair::of(folder, &report);
    repair.dry_run = true;
    let changes = disk.changes().context(folder.root(), "compare what is in")?;
    let is_news = |change: &FileChange| {
        let inside = folder.shown(&change.file);
        !ALWAYS.iter().any(|always| inside == Path::new(always))
    };
    repair.files = changes
        .into_iter()
        .filter(is_news)
        .map(|change| FileChange { file: folder.shown(&change.file), ..change })
        .collect();
    Ok(repair)
}

/// Opens the store, which recovers it, and closes it.
///
/// # Errors
/// [`ToolError::InUse`]; the recovery fails.
pub fn repair(
    folder: &Folder,
    options: StoreOptions,
    clock: SharedClock,
) -> Result<Repair, ToolError> {
    let options = placed(folder, options)?;
    let report = open_and_close(&options, clock, folder.shared_disk())?;
    Ok(Repair::of(folder, &report))
}

fn placed(folder: &Folder, options: StoreOptions) -> Result<StoreOptions, ToolError> {
    if folder.logs().len() > 1 {
        let reason = "a log in several folders cannot be opened by a broker of ours".into();
        return Err(ToolError::BadRequest { reason });
    }
    if folder.is_in_use()? {
        return Err(ToolError::InUse { folder: folder.root().to_path_buf() });
    }
    let commit_log_path = folder.other_log().map(Path::to_path_buf);
    Ok(StoreOptions { root: folder.root().to_path_buf(), commit_log_path, ..options })
}

fn open_and_close(
    options: &StoreOptions,
    clock: SharedClock,
    disk: Arc<dyn Disk>,
) -> Result<RecoveryReport, ToolError> {
    let store = Store::open(options.clone(), clock, disk, Arc::new(()))?;
    let report = store.recovery().clone();
    store.close()?;
    Ok(report)
}
