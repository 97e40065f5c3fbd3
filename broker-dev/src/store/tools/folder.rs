//! A store's folder, as it is found.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::{Context, ToolError};
use crate::store::disk::{Disk, EntryKind, Seen};

/// Names that tell a store's folder.
const SIGNS: [&str; 4] = ["commitlog", "consumequeue", "config", "checkpoint"];

/// A store's folder. It is only ever read: no lock is taken, nothing is made, symbolic links are
/// not followed.
#[derive(Debug, Clone)]
pub struct Folder {
    root: PathBuf,
    logs: Vec<PathBuf>,
    /// Symbolic links in the root.
    links: Vec<OsString>,
    disk: Arc<dyn Disk>,
}

/// One of equally long files that follow each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StoreFile {
    /// Offset of its first byte among all files of its kind: its name.
    pub(super) start: i64,
    pub(super) path: PathBuf,
    pub(super) length: u64,
    pub(super) allocated: u64,
}

impl StoreFile {
    /// Offset after its last byte.
    pub(super) fn end(&self) -> i64 {
        self.start.saturating_add(i64::try_from(self.length).unwrap_or(i64::MAX))
    }
}

/// The files of one queue.
#[derive(Debug, Clone)]
pub(super) struct QueueFolder {
    pub(super) topic: Box<str>,
    pub(super) queue_id: i32,
    pub(super) path: PathBuf,
    pub(super) files: Vec<StoreFile>,
}

/// Something in a store's folder that no reader can use: where, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unusable {
    pub(super) path: PathBuf,
    pub(super) reason: String,
}

impl Folder {
    /// Looks at a folder. `logs` are the folders of the commit log, if they are not `commitlog` in
    /// the root.
    ///
    /// # Errors
    /// There is no such folder, or nothing in it that a broker left behind.
    pub fn open(root: &Path, logs: &[PathBuf], disk: Arc<dyn Disk>) -> Result<Self, ToolError> {
        let entries = disk.look(root).context(root, "list")?;
        let is_store = entries.iter().any(|entry| SIGNS.iter().any(|sign| entry.name == *sign));
        if !is_store {
            return Err(ToolError::NoStore { folder: root.to_path_buf() });
        }
        let logs = if logs.is_empty() { vec![root.join("commitlog")] } else { logs.to_vec() };
        let links = entries.into_iter().filter(|entry| entry.kind == EntryKind::Link);
        let links = links.map(|entry| entry.name).collect();
        Ok(Self { root: root.to_path_buf(), logs, links, disk })
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn disk(&self) -> &dyn Disk {
        &*self.disk
    }

    pub(super) fn shared_disk(&self) -> Arc<dyn Disk> {
        Arc::clone(&self.disk)
    }

    /// The commit log's folder, if it is not the usual one.
    pub(super) fn other_log(&self) -> Option<&Path> {
        match &*self.logs {
            [only] if *only == self.root.join("commitlog") => None,
            [first, ..] => Some(first),
            [] => None,
        }
    }

    pub(super) fn logs(&self) -> &[PathBuf] {
        &self.logs
    }

    /// A path as it is shown: inside the folder without the folder's own name.
    pub(super) fn shown(&self, path: &Path) -> PathBuf {
        path.strip_prefix(&self.root).unwrap_or(path).to_path_buf()
    }

    /// Whether a broker works on it.
    ///
    /// # Errors
    /// The lock file cannot be asked.
    pub fn is_in_use(&self) -> Result<bool, ToolError> {
        let path = self.root.join("lock");
        self.disk.is_locked(&path).context(&path, "ask for the lock of")
    }

    /// Whether the last broker stopped in order: there is no file `abort`.
    ///
    /// # Errors
    /// The folder cannot be listed.
    pub fn is_clean(&self) -> Result<bool, ToolError> {
        let entries = self.look(&self.root)?;
        Ok(!entries.iter().any(|entry| entry.name == "abort"))
    }

    /// Entries of a folder; none if it is missing.
    pub(super) fn look(&self, dir: &Path) -> Result<Vec<Seen>, ToolError> {
        match self.disk.look(dir) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            entries => entries.context(dir, "list"),
        }
    }

    /// The files of a folder whose names are offsets, in order, and what is in the way.
    pub(super) fn files(&self, dir: &Path) -> (Vec<StoreFile>, Vec<Unusable>) {
        let (mut files, mut unusable) = (Vec::new(), Vec::new());
        let entries = match self.look(dir) {
            Ok(entries) => entries,
            Err(error) => {
                unusable.push(Unusable { path: dir.to_path_buf(), reason: error.to_string() });
                return (files, unusable);
            }
        };
        for entry in entries {
            let path = dir.join(&entry.name);
            let Some(start) = offset_name(&entry.name) else { continue };
            match why_unusable(entry.kind, EntryKind::File) {
                Some(reason) => unusable.push(Unusable { path, reason }),
                None => {
                    let Seen { length, allocated, .. } = entry;
                    files.push(StoreFile { start, path, length, allocated });
                }
            }
        }
        files.sort_by_key(|file| file.start);
        (files, unusable)
    }

    /// The commit log's files, over all of its folders.
    pub(super) fn log_files(&self) -> (Vec<StoreFile>, Vec<Unusable>) {
        let (mut files, mut unusable) = (Vec::new(), Vec::new());
        for dir in &self.logs {
            if self.is_link_inside(dir) {
                let reason = "a symbolic link, not followed: name its target with --commit-log";
                unusable.push(Unusable { path: dir.clone(), reason: reason.into() });
                continue;
            }
            let (some, bad) = self.files(dir);
            files.extend(some);
            unusable.extend(bad);
        }
        files.sort_by_key(|file| file.start);
        (files, unusable)
    }

    fn is_link_inside(&self, dir: &Path) -> bool {
        dir.parent() == Some(&*self.root)
            && self.links.iter().any(|link| Some(&**link) == dir.file_name())
    }

    /// Folders in a folder, by name; what else stands there under a queue's kind of name is
    /// unusable.
    fn folders(&self, dir: &Path, unusable: &mut Vec<Unusable>) -> Vec<String> {
        let entries = match self.look(dir) {
            Ok(entries) => entries,
            Err(error) => {
                unusable.push(Unusable { path: dir.to_path_buf(), reason: error.to_string() });
                return Vec::new();
            }
        };
        let mut names = Vec::new();
        for entry in entries {
            let path = dir.join(&entry.name);
            let reason = why_unusable(entry.kind, EntryKind::Folder);
            match (entry.name.into_string(), reason) {
                (Ok(name), None) => names.push(name),
                (Err(_), None) => {
                    let reason = "its name is not UTF-8".to_owned();
                    unusable.push(Unusable { path, reason });
                }
                // RocksDB keeps plain files here.
                (_, Some(reason)) if entry.kind != EntryKind::File => {
                    unusable.push(Unusable { path, reason });
                }
                _ => {}
            }
        }
        names
    }

    /// The queues in `kind` (`consumequeue` and its like), by topic and id.
    pub(super) fn queues(&self, kind: &str) -> (Vec<QueueFolder>, Vec<Unusable>) {
        let dir = self.root.join(kind);
        let (mut queues, mut unusable) = (Vec::new(), Vec::new());
        if self.is_link_inside(&dir) {
            let reason = "a symbolic link: not followed".to_owned();
            unusable.push(Unusable { path: dir, reason });
            return (queues, unusable);
        }
        for topic in self.folders(&dir, &mut unusable) {
            let topic_dir = dir.join(&topic);
            let mut by_id = BTreeMap::new();
            for queue in self.folders(&topic_dir, &mut unusable) {
                let Some(id) = queue.parse().ok().filter(|id: &i32| *id >= 0) else { continue };
                by_id.insert(id, topic_dir.join(queue));
            }
            for (queue_id, path) in by_id {
                let (files, bad) = self.files(&path);
                unusable.extend(bad);
                let topic = topic.as_str().into();
                queues.push(QueueFolder { topic, queue_id, path, files });
            }
        }
        (queues, unusable)
    }
}

/// The offset that a name of 20 digits stands for.
fn offset_name(name: &OsStr) -> Option<i64> {
    let name = name.to_str().filter(|name| name.len() == 20)?;
    let is_number = name.bytes().all(|byte| byte.is_ascii_digit());
    name.parse().ok().filter(|_| is_number)
}

fn why_unusable(is: EntryKind, wanted: EntryKind) -> Option<String> {
    let reason = match is {
        _ if is == wanted => return None,
        EntryKind::File => "a file where a folder belongs",
        EntryKind::Folder => "a folder where a file belongs",
        EntryKind::Link => "a symbolic link: not followed",
        EntryKind::Other => "neither a file nor a folder",
    };
    Some(reason.into())
}
