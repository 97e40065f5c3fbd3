//! Every file of a folder, by kind.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::error::ToolError;
use super::folder::Folder;
use super::verify::FileKind;
use crate::store::disk::{EntryKind, Seen};

/// Folders inside each other that are looked into.
const MOST_DEEP: usize = 8;

/// All files of one kind.
#[derive(Debug, Clone, Serialize)]
pub struct KindSummary {
    /// The kind.
    pub kind: FileKind,
    /// How many.
    pub files: u64,
    /// Their lengths, bytes.
    pub bytes: u64,
    /// What they take of the disk, bytes.
    pub allocated: u64,
    /// The first one's name.
    pub first: String,
    /// The last one's name.
    pub last: String,
}

/// One file.
#[derive(Debug, Clone)]
pub(super) struct FileEntry {
    pub(super) path: PathBuf,
    pub(super) length: u64,
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Inventory {
    pub(super) kinds: Vec<KindSummary>,
    pub(super) files: Vec<FileEntry>,
    /// Folders, outer ones first.
    pub(super) folders: Vec<PathBuf>,
    pub(super) unusable: Vec<String>,
}

impl Inventory {
    /// Lists the folder with everything in it, and the commit log's folders.
    pub(super) fn of(folder: &Folder) -> Result<Self, ToolError> {
        let mut inventory = Self::default();
        let mut kinds = BTreeMap::new();
        inventory.add(folder, folder.root(), 0, &mut kinds)?;
        for log in folder.logs().iter().filter(|log| !log.starts_with(folder.root())) {
            inventory.add(folder, log, 0, &mut kinds)?;
        }
        inventory.kinds = kinds.into_values().collect();
        Ok(inventory)
    }

    fn add(
        &mut self,
        folder: &Folder,
        dir: &Path,
        depth: usize,
        kinds: &mut BTreeMap<FileKind, KindSummary>,
    ) -> Result<(), ToolError> {
        for entry in folder.look(dir)? {
            let path = dir.join(&entry.name);
            match entry.kind {
                EntryKind::Folder if depth < MOST_DEEP => {
                    self.folders.push(path.clone());
                    if let Err(error) = self.add(folder, &path, depth + 1, kinds) {
                        self.unusable.push(error.to_string());
                    }
                }
                EntryKind::File => {
                    count(kinds, kind_of(folder, &path), &entry);
                    self.files.push(FileEntry { path, length: entry.length });
                }
                other => {
                    let what = match other {
                        EntryKind::Folder => "folders too deep inside each other",
                        EntryKind::Link => "a symbolic link, not followed",
                        _ => "neither a file nor a folder",
                    };
                    self.unusable.push(format!("{}: {what}", folder.shown(&path).display()));
                }
            }
        }
        Ok(())
    }
}

fn count(kinds: &mut BTreeMap<FileKind, KindSummary>, kind: FileKind, entry: &Seen) {
    let name = || entry.name.to_string_lossy().into_owned();
    let summary = kinds.entry(kind).or_insert_with(|| KindSummary {
        kind,
        files: 0,
        bytes: 0,
        allocated: 0,
        first: name(),
        last: name(),
    });
    summary.files += 1;
    summary.bytes += entry.length;
    summary.allocated += entry.allocated;
    summary.first = name().min(std::mem::take(&mut summary.first));
    summary.last = name().max(std::mem::take(&mut summary.last));
}

/// What kind a file is, by its place.
pub(super) fn kind_of(folder: &Folder, path: &Path) -> FileKind {
    if folder.logs().iter().any(|log| path.starts_with(log)) {
        return FileKind::CommitLog;
    }
    let inside = folder.shown(path);
    let mut parts = inside.iter().filter_map(|part| part.to_str());
    match (parts.next(), parts.next()) {
        (Some("consumequeue"), Some(_)) => FileKind::ConsumeQueue,
        (Some("consumequeue_ext"), Some(_)) => FileKind::ConsumeQueueExt,
        (Some("batchconsumequeue"), Some(_)) => FileKind::BatchConsumeQueue,
        (Some("index"), Some(_)) => FileKind::Index,
        (Some("timerlog"), Some(_)) => FileKind::TimerLog,
        (Some("config"), Some("timercheck")) => FileKind::TimerCheckpoint,
        (Some("config"), Some(_)) => FileKind::Config,
        (Some("timerwheel"), None) => FileKind::TimerWheel,
        (Some("checkpoint"), None) => FileKind::Checkpoint,
        (Some("abort" | "abort.bak" | "lock"), None) => FileKind::Marker,
        _ => FileKind::Other,
    }
}
