//! A disk on which everything can be done and nothing happens.
//!
//! What is written goes to copies in a temporary folder, and mappings are private. So the store's
//! own recovery runs over a folder, and afterwards it can be told what it would have changed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use crate::store::disk::{Disk, DiskFile, Entry, EntryKind, FolderLock, Open, RealDisk, Seen};

/// Bytes compared or copied at a time.
const CHUNK: usize = 64 * 1024;

/// What would happen to a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileChange {
    /// The file.
    pub file: PathBuf,
    /// What happens to it.
    #[serde(flatten)]
    pub change: Change,
}

/// See [`FileChange`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "change")]
#[non_exhaustive]
pub enum Change {
    /// It is made.
    Made {
        /// Its length, bytes.
        bytes: u64,
    },
    /// It is removed.
    Removed,
    /// Bytes of it are written.
    Written {
        /// The first byte that changes.
        from: u64,
        /// The byte after the last one that changes.
        to: u64,
    },
    /// Bytes of it become zeros.
    Cleared {
        /// The first byte.
        from: u64,
        /// The byte after the last.
        to: u64,
    },
    /// Its length changes.
    Resized {
        /// Bytes it has.
        from: u64,
        /// Bytes it gets.
        to: u64,
    },
    /// It is written where that is needed.
    Updated,
}

#[derive(Debug)]
enum Node {
    Removed,
    /// What was written of it is in this file.
    Copy(PathBuf),
    Folder,
}

#[derive(Debug, Default)]
struct State {
    nodes: BTreeMap<PathBuf, Node>,
    copies: u64,
    cleared: BTreeMap<PathBuf, (u64, u64)>,
    updated: BTreeSet<PathBuf>,
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct DryDisk {
    inner: Arc<dyn Disk>,
    folder: tempfile::TempDir,
    /// Files that are only ever changed through mappings.
    log: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug)]
struct NoLock;

impl FolderLock for NoLock {}

impl DryDisk {
    /// Over a disk, whose commit log lies in `log`.
    pub(super) fn new(inner: Arc<dyn Disk>, log: PathBuf) -> io::Result<Self> {
        let folder = tempfile::tempdir()?;
        Ok(Self { inner, folder, log, state: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn new_copy(&self, state: &mut State, path: &Path) -> PathBuf {
        state.copies += 1;
        let copy = self.folder.path().join(state.copies.to_string());
        state.nodes.insert(path.to_path_buf(), Node::Copy(copy.clone()));
        copy
    }

    /// The copy of a file, made if there is none yet.
    fn copy_of(&self, path: &Path) -> io::Result<File> {
        let mut state = self.state();
        let copy = match state.nodes.get(path) {
            Some(Node::Copy(copy)) => copy.clone(),
            Some(Node::Folder) => return Err(ErrorKind::IsADirectory.into()),
            Some(Node::Removed) => return Err(ErrorKind::NotFound.into()),
            None => {
                let original = self.inner.open_read(path)?;
                let copy = self.new_copy(&mut state, path);
                let into = File::create_new(&copy)?;
                copy_data(&*self.inner, &original, &into)?;
                copy
            }
        };
        OpenOptions::new().read(true).write(true).open(copy)
    }

    /// The copy, if there is one.
    fn existing_copy(&self, path: &Path) -> Option<PathBuf> {
        match self.state().nodes.get(path) {
            Some(Node::Copy(copy)) => Some(copy.clone()),
            _ => None,
        }
    }

    fn has_original(&self, path: &Path) -> bool {
        self.inner.open_read(path).is_ok()
    }

    /// What has become of every file, in the order of their names.
    pub(super) fn changes(&self) -> io::Result<Vec<FileChange>> {
        let state = self.state();
        let mut changes = Vec::new();
        for (file, node) in &state.nodes {
            let original = self.inner.open_read(file).ok();
            let change = match (node, original) {
                (Node::Removed, Some(_)) => Some(Change::Removed),
                (Node::Copy(copy), None) => Some(Change::Made { bytes: fs::metadata(copy)?.len() }),
                (Node::Copy(copy), Some(original)) => self.difference(&original, copy)?,
                (Node::Removed | Node::Folder, _) => None,
            };
            changes.extend(change.map(|change| FileChange { file: file.clone(), change }));
        }
        for (file, (from, to)) in &state.cleared {
            let change = Change::Cleared { from: *from, to: *to };
            changes.push(FileChange { file: file.clone(), change });
        }
        for file in state.updated.iter().filter(|file| !state.nodes.contains_key(*file)) {
            changes.push(FileChange { file: file.clone(), change: Change::Updated });
        }
        changes.sort_by(|a, b| a.file.cmp(&b.file));
        Ok(changes)
    }

    fn difference(&self, original: &DiskFile, copy: &Path) -> io::Result<Option<Change>> {
        let copy = RealDisk.open_read(copy)?;
        let lengths = (original.file().metadata()?.len(), copy.file().metadata()?.len());
        let (mut first, mut last) = (None, 0);
        let (mut one, mut other) = (vec![0; CHUNK], vec![0; CHUNK]);
        let mut at = 0;
        while at < lengths.0.min(lengths.1) {
            let read = self.inner.read_at(original, at, &mut one)?;
            let other_read = RealDisk.read_at(&copy, at, &mut other)?;
            let both = read.min(other_read);
            if both == 0 {
                break;
            }
            if one.get(..both) != other.get(..both) {
                let differs = |(n, (a, b)): (usize, (&u8, &u8))| (a != b).then_some(n as u64);
                let pairs = || one.iter().zip(&other).take(both).enumerate();
                first = first.or_else(|| pairs().find_map(differs).map(|n| at + n));
                last = pairs().rev().find_map(differs).map_or(last, |n| at + n + 1);
            }
            at += both as u64;
        }
        Ok(match first {
            _ if lengths.0 != lengths.1 => Some(Change::Resized { from: lengths.0, to: lengths.1 }),
            Some(from) => Some(Change::Written { from, to: last }),
            None => None,
        })
    }
}

/// Copies what is other than zero; the new file gets the same length.
fn copy_data(disk: &dyn Disk, from: &DiskFile, to: &File) -> io::Result<()> {
    let length = from.file().metadata()?.len();
    to.set_len(length)?;
    let mut chunk = vec![0; CHUNK];
    let to = DiskFile::new(PathBuf::new(), to.try_clone()?);
    let mut at = 0;
    while let Some(data) = disk.next_data(from, at)? {
        let read = disk.read_at(from, data, &mut chunk)?;
        let bytes = chunk.get(..read).unwrap_or_default();
        if bytes.is_empty() {
            break;
        }
        RealDisk.write_at(&to, data, bytes)?;
        at = data + read as u64;
    }
    Ok(())
}

impl Disk for DryDisk {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        for folder in path.ancestors() {
            if folder.as_os_str().is_empty() || self.inner.look(folder).is_ok() {
                break;
            }
            self.state().nodes.insert(folder.to_path_buf(), Node::Folder);
        }
        Ok(())
    }

    fn open(&self, path: &Path, which: Open) -> io::Result<DiskFile> {
        let mut state = self.state();
        let exists = match state.nodes.get(path) {
            Some(Node::Copy(_)) => true,
            Some(Node::Folder) => return Err(ErrorKind::IsADirectory.into()),
            Some(Node::Removed) => false,
            None => self.has_original(path),
        };
        match (exists, which) {
            (true, Open::New) => return Err(ErrorKind::AlreadyExists.into()),
            (false, Open::Existing) => return Err(ErrorKind::NotFound.into()),
            (false, _) => {
                let copy = self.new_copy(&mut state, path);
                File::create_new(copy)?;
            }
            (true, _) => {}
        }
        match state.nodes.get(path) {
            Some(Node::Copy(copy)) => {
                let file = OpenOptions::new().read(true).write(true).open(copy)?;
                Ok(DiskFile::new(path.to_path_buf(), file))
            }
            _ => {
                let file = self.inner.open_read(path)?.file().try_clone()?;
                Ok(DiskFile::private(path.to_path_buf(), file))
            }
        }
    }

    fn set_length(&self, file: &DiskFile, bytes: u64) -> io::Result<()> {
        self.copy_of(file.path())?.set_len(bytes)
    }

    fn reserve(&self, _file: &DiskFile, _from: u64, _to: u64) -> io::Result<()> {
        Ok(())
    }

    fn zero(&self, file: &DiskFile, from: u64, to: u64) -> io::Result<()> {
        let path = file.path();
        if path.starts_with(&self.log) && self.existing_copy(path).is_none() {
            // Behind the log's end: its mapping is not looked at there any more.
            self.state().cleared.insert(path.to_path_buf(), (from, to));
            return Ok(());
        }
        let copy = DiskFile::new(path.to_path_buf(), self.copy_of(path)?);
        RealDisk.zero(&copy, from, to)
    }

    fn next_data(&self, file: &DiskFile, from: u64) -> io::Result<Option<u64>> {
        match self.existing_copy(file.path()) {
            Some(copy) => RealDisk.next_data(&RealDisk.open_read(&copy)?, from),
            None => self.inner.next_data(file, from),
        }
    }

    fn sync_data(&self, file: &DiskFile) -> io::Result<()> {
        // The log is only appended to, and nobody appends here.
        if file.is_private() && !file.path().starts_with(&self.log) {
            self.state().updated.insert(file.path().to_path_buf());
        }
        Ok(())
    }

    fn sync_dir(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.copy_of(from)?;
        let mut state = self.state();
        if let Some(node) = state.nodes.insert(from.to_path_buf(), Node::Removed) {
            state.nodes.insert(to.to_path_buf(), node);
        }
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        let exists = match state.nodes.get(path) {
            Some(Node::Copy(copy)) => {
                let _ = fs::remove_file(copy);
                true
            }
            Some(_) => false,
            None => self.has_original(path),
        };
        if !exists {
            return Err(ErrorKind::NotFound.into());
        }
        state.cleared.remove(path);
        state.updated.remove(path);
        state.nodes.insert(path.to_path_buf(), Node::Removed);
        Ok(())
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let seen = self.look(path)?;
        Ok(seen
            .into_iter()
            .filter_map(|seen| {
                let is_dir = seen.kind == EntryKind::Folder;
                let name = seen.name.into_string().ok()?;
                Some(Entry { name, is_dir, length: seen.length })
            })
            .collect())
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let file = self.open_read(path)?;
        let length = file.file().metadata()?.len();
        let length = usize::try_from(length).map_err(|_| ErrorKind::FileTooLarge)?;
        super::reader::read_small(self, path, length)
    }

    fn write_at(&self, file: &DiskFile, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let copy = DiskFile::new(file.path().to_path_buf(), self.copy_of(file.path())?);
        RealDisk.write_at(&copy, offset, bytes)
    }

    fn used_part(&self, path: &Path) -> io::Result<f64> {
        self.inner.used_part(path)
    }

    fn look(&self, path: &Path) -> io::Result<Vec<Seen>> {
        let state = self.state();
        let is_made = matches!(state.nodes.get(path), Some(Node::Folder));
        let found = match self.inner.look(path) {
            Err(error) if error.kind() == ErrorKind::NotFound && is_made => Vec::new(),
            found => found?,
        };
        let kept = |seen: &Seen| !state.nodes.contains_key(&path.join(&seen.name));
        let mut entries: Vec<Seen> = found.into_iter().filter(kept).collect();
        // Names under a folder follow it closely.
        for (child, node) in state.nodes.range(path.to_path_buf()..) {
            if !child.starts_with(path) {
                break;
            }
            let (Some(name), true) = (child.file_name(), child.parent() == Some(path)) else {
                continue;
            };
            let (kind, length) = match node {
                Node::Removed => continue,
                Node::Folder => (EntryKind::Folder, 0),
                Node::Copy(copy) => (EntryKind::File, fs::metadata(copy)?.len()),
            };
            entries.push(Seen { name: name.to_os_string(), kind, length, allocated: length });
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn open_read(&self, path: &Path) -> io::Result<DiskFile> {
        let node = match self.state().nodes.get(path) {
            Some(Node::Copy(copy)) => Some(copy.clone()),
            Some(_) => return Err(ErrorKind::NotFound.into()),
            None => None,
        };
        match node {
            Some(copy) => Ok(DiskFile::new(path.to_path_buf(), File::open(copy)?)),
            None => self.inner.open_read(path),
        }
    }

    fn read_at(&self, file: &DiskFile, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        match self.existing_copy(file.path()) {
            Some(copy) => RealDisk.read_at(&RealDisk.open_read(&copy)?, offset, into),
            None => self.inner.read_at(file, offset, into),
        }
    }

    fn is_locked(&self, path: &Path) -> io::Result<bool> {
        self.inner.is_locked(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn FolderLock>> {
        if self.inner.is_locked(path)? {
            return Err(ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(NoLock))
    }
}
