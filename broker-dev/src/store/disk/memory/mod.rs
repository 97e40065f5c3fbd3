//! A disk in memory that can lose its power.
//!
//! What is written and what is on the disk are two things here. Each file is a memory file of the
//! operating system, so it can be mapped like any other, with an image beside it of what a sync
//! has made durable; names (made, renamed, removed) become durable with their folder. At any moment
//! the disk can be [frozen](MemoryDisk::freeze), and the frozen state be turned into what a killed
//! process or a power cut leaves behind.
//!
//! ```text
//! open, write_at, mapping ──► now      ──┐
//! sync_data, sync_dir     ──► durable  ──┴─► freeze ──► killed, after_power_cut(seed)
//! ```

mod frozen;
mod names;

use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::MemfdFlags;

use super::{Call, Disk, DiskFile, Entry, EntryKind, FolderLock, Open, RealDisk, Seen};
use names::{Names, Node};

pub use frozen::Frozen;

/// What a disk may claim and not do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lie {
    /// [`Disk::sync_data`] succeeds and brings nothing to the disk.
    SyncData,
    /// [`Disk::sync_data`] succeeds and brings every other sector to the disk.
    HalfSyncData,
    /// [`Disk::sync_dir`] succeeds and brings nothing to the disk.
    SyncDir,
    /// [`Disk::zero`] succeeds and leaves the bytes as they are.
    Zero,
    /// [`Disk::write_at`] succeeds and writes nothing.
    Write,
    /// [`Disk::rename`] leaves the file under its old name too, until the power is cut, and only
    /// there afterwards.
    Rename,
    /// [`Disk::remove_file`] removes a file until the power is cut, whatever is synced.
    Remove,
}

/// Bytes that the disk writes whole or not at all.
const SECTOR: usize = 512;

/// One file: what is written, and what of it is on the disk.
#[derive(Debug)]
struct MemoryFile {
    number: u64,
    file: File,
    durable: Mutex<Vec<u8>>,
}

type Watch = Arc<dyn Fn(Call) + Send + Sync>;

#[derive(Default)]
struct State {
    names: Names,
    watch: Option<Watch>,
    lie: Option<Lie>,
}

/// A disk in memory that keeps what is written and what is durable apart, and can lose its power.
#[derive(Default)]
pub struct MemoryDisk {
    state: Mutex<State>,
    held: Arc<Mutex<BTreeSet<PathBuf>>>,
}

impl fmt::Debug for MemoryDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryDisk")
            .field("names", &self.lock_state().names)
            .finish_non_exhaustive()
    }
}

impl MemoryFile {
    fn with(bytes: &[u8]) -> io::Result<Arc<Self>> {
        let file = File::from(rustix::fs::memfd_create("disk", MemfdFlags::CLOEXEC)?);
        file.write_all_at(bytes, 0)?;
        let number = file.metadata()?.ino();
        Ok(Arc::new(Self { number, file, durable: Mutex::new(bytes.to_vec()) }))
    }

    fn now(&self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(self.file.metadata()?.len()).unwrap_or(0)];
        self.file.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }

    fn durable(&self) -> MutexGuard<'_, Vec<u8>> {
        self.durable.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the sectors durable that `which` takes, by their number.
    fn sync(&self, which: impl Fn(usize) -> bool) -> io::Result<()> {
        let now = self.now()?;
        let mut durable = self.durable();
        durable.resize(now.len(), 0);
        for (number, (old, new)) in durable.chunks_mut(SECTOR).zip(now.chunks(SECTOR)).enumerate() {
            if which(number) {
                old.copy_from_slice(new);
            }
        }
        Ok(())
    }
}

impl MemoryDisk {
    /// An empty disk that has the folder `root`.
    ///
    /// # Errors
    /// None but those of the operating system's memory files.
    pub fn with_folder(root: &Path) -> io::Result<Self> {
        let disk = Self::default();
        disk.lock_state().names.make_folders(root);
        disk.lock_state().names.settle();
        Ok(disk)
    }

    /// Calls `watch` before each call that changes the disk, on the caller's thread; it may
    /// [`freeze`](Self::freeze).
    pub fn watch(&self, watch: impl Fn(Call) + Send + Sync + 'static) {
        self.lock_state().watch = Some(Arc::new(watch));
    }

    /// Makes the disk lie from now on, or no more.
    pub fn lie(&self, lie: Option<Lie>) {
        self.lock_state().lie = lie;
    }

    /// The disk at this moment.
    ///
    /// # Errors
    /// None but those of the operating system's memory files.
    pub fn freeze(&self) -> io::Result<Frozen> {
        Frozen::of(&self.lock_state().names)
    }

    fn lock_state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state, to be changed by a call of this kind.
    fn change(&self, call: Call) -> MutexGuard<'_, State> {
        let watch = self.lock_state().watch.clone();
        if let Some(watch) = watch {
            watch(call);
        }
        self.lock_state()
    }
}

impl Disk for MemoryDisk {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.change(Call::CreateDir).names.make_folders(path);
        Ok(())
    }

    fn open(&self, path: &Path, which: Open) -> io::Result<DiskFile> {
        let call = if which == Open::New { Call::Create } else { Call::Open };
        let mut state = self.change(call);
        let file = match (state.names.get(path), which) {
            (Some(Node::Folder), _) => return Err(ErrorKind::IsADirectory.into()),
            (Some(Node::File(_)), Open::New) => return Err(ErrorKind::AlreadyExists.into()),
            (Some(Node::File(file)), _) => Arc::clone(file),
            (None, Open::Existing) => return Err(ErrorKind::NotFound.into()),
            (None, Open::New | Open::Any) => {
                let file = MemoryFile::with(&[])?;
                state.names.make(path, Node::File(Arc::clone(&file)))?;
                file
            }
        };
        Ok(DiskFile::new(path.to_path_buf(), file.file.try_clone()?))
    }

    fn set_length(&self, file: &DiskFile, bytes: u64) -> io::Result<()> {
        let _state = self.change(Call::SetLength);
        RealDisk.set_length(file, bytes)
    }

    fn reserve(&self, file: &DiskFile, from: u64, to: u64) -> io::Result<()> {
        let _state = self.change(Call::Reserve);
        RealDisk.reserve(file, from, to)
    }

    fn zero(&self, file: &DiskFile, from: u64, to: u64) -> io::Result<()> {
        match self.change(Call::Zero).lie {
            Some(Lie::Zero) => Ok(()),
            _ => RealDisk.zero(file, from, to),
        }
    }

    fn next_data(&self, file: &DiskFile, from: u64) -> io::Result<Option<u64>> {
        RealDisk.next_data(file, from)
    }

    fn sync_data(&self, file: &DiskFile) -> io::Result<()> {
        let state = self.change(Call::SyncData);
        let number = file.file().metadata()?.ino();
        // A file that lost its last name needs no sync.
        let Some(file) = state.names.file(number) else { return Ok(()) };
        match state.lie {
            Some(Lie::SyncData) => Ok(()),
            Some(Lie::HalfSyncData) => file.sync(|sector| sector % 2 == 0),
            _ => file.sync(|_| true),
        }
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.change(Call::SyncDir);
        let lie = state.lie;
        match state.names.get(path) {
            Some(Node::Folder) if lie == Some(Lie::SyncDir) => {}
            Some(Node::Folder) => state.names.sync(path, lie == Some(Lie::Remove)),
            Some(Node::File(_)) => return Err(ErrorKind::NotADirectory.into()),
            None => return Err(ErrorKind::NotFound.into()),
        }
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.change(Call::Rename);
        let is_forgotten = state.lie == Some(Lie::Rename);
        state.names.rename(from, to, is_forgotten)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.change(Call::Remove).names.remove(path)
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<Entry>> {
        self.lock_state().names.list(path)
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        match self.lock_state().names.get(path) {
            Some(Node::File(file)) => file.now(),
            Some(Node::Folder) => Err(ErrorKind::IsADirectory.into()),
            None => Err(ErrorKind::NotFound.into()),
        }
    }

    fn write_at(&self, file: &DiskFile, offset: u64, bytes: &[u8]) -> io::Result<()> {
        match self.change(Call::Write).lie {
            Some(Lie::Write) => Ok(()),
            _ => RealDisk.write_at(file, offset, bytes),
        }
    }

    fn used_part(&self, _path: &Path) -> io::Result<f64> {
        Ok(0.0)
    }

    fn look(&self, path: &Path) -> io::Result<Vec<Seen>> {
        let seen = |entry: Entry| Seen {
            name: entry.name.into(),
            kind: if entry.is_dir { EntryKind::Folder } else { EntryKind::File },
            length: entry.length,
            allocated: entry.length,
        };
        let mut entries: Vec<Seen> = self.read_dir(path)?.into_iter().map(seen).collect();
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn open_read(&self, path: &Path) -> io::Result<DiskFile> {
        self.open(path, Open::Existing)
    }

    fn read_at(&self, file: &DiskFile, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        RealDisk.read_at(file, offset, into)
    }

    fn is_locked(&self, path: &Path) -> io::Result<bool> {
        Ok(self.held.lock().unwrap_or_else(PoisonError::into_inner).contains(path))
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn FolderLock>> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if !held.insert(path.to_path_buf()) {
            return Err(ErrorKind::WouldBlock.into());
        }
        let lock = MemoryLock { path: path.to_path_buf(), held: Arc::clone(&self.held) };
        drop(held);
        let file = self.open(path, Open::Any)?;
        RealDisk.write_at(&file, 0, b"lock")?;
        Ok(Box::new(lock))
    }
}

#[derive(Debug)]
struct MemoryLock {
    path: PathBuf,
    held: Arc<Mutex<BTreeSet<PathBuf>>>,
}

impl FolderLock for MemoryLock {}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.path);
    }
}

#[cfg(test)]
mod tests;
