//! The disk, as something that is handed in.
//!
//! Everything the store does to files goes through [`Disk`], so that tests can break any single
//! step of it (`FaultyDisk`) or cut its power (`MemoryDisk`). Only reading and writing *mapped* bytes does not: memory has no
//! error to report. That is why blocks are [reserved](Disk::reserve) before a mapping is written.

mod faulty;
mod folders;
#[cfg(target_os = "linux")]
mod memory;
mod real;

use std::ffi::OsString;
use std::fmt::Debug;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

pub use faulty::{Call, FaultyDisk};
pub use folders::make_lasting;
#[cfg(target_os = "linux")]
pub use memory::{Frozen, Lie, MemoryDisk};
pub use real::RealDisk;

/// An open file that remembers its path.
#[derive(Debug)]
pub struct DiskFile {
    path: PathBuf,
    file: File,
    is_private: bool,
}

impl DiskFile {
    /// Joins a path and the file opened there.
    pub fn new(path: PathBuf, file: File) -> Self {
        Self { path, file, is_private: false }
    }

    /// The same, but what is written to a mapping of the file stays in memory.
    pub fn private(path: PathBuf, file: File) -> Self {
        Self { path, file, is_private: true }
    }

    /// Where the file lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The open file, for reading and writing.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Whether writes to a mapping stay in memory.
    pub(crate) fn is_private(&self) -> bool {
        self.is_private
    }
}

/// Which file [`Disk::open`] may open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Open {
    /// One that exists.
    Existing,
    /// One that does not exist yet.
    New,
    /// Either; a new one is empty.
    Any,
}

/// One entry of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name without the folder; entries whose name is not UTF-8 are left out.
    pub name: String,
    /// Whether it is a folder itself.
    pub is_dir: bool,
    /// Length in bytes.
    pub length: u64,
}

/// What an entry of a folder is, links not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A plain file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Link,
    /// A device, a pipe, a socket.
    Other,
}

/// One entry of a folder that somebody else wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The name without the folder, as the operating system has it.
    pub name: OsString,
    /// What it is.
    pub kind: EntryKind,
    /// Length in bytes.
    pub length: u64,
    /// Bytes that the disk has for it: less than the length where the file has holes.
    pub allocated: u64,
}

/// Holds the lock of a store folder until dropped.
pub trait FolderLock: Debug + Send + Sync {}

/// File operations, one method for each kind that can fail on its own.
///
/// # Errors
/// Every method reports the operating system's error; the caller adds the path.
pub trait Disk: Debug + Send + Sync {
    /// Makes a folder and those above it.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;
    /// Opens a file for reading and writing.
    fn open(&self, path: &Path, which: Open) -> io::Result<DiskFile>;
    /// Sets a file's length; new bytes are zeros.
    fn set_length(&self, file: &DiskFile, bytes: u64) -> io::Result<()>;
    /// Takes blocks on the disk for the bytes `from..to`, which are inside the file and hold
    /// nothing of value where no block was before. Afterwards writing them cannot run out of
    /// space.
    fn reserve(&self, file: &DiskFile, from: u64, to: u64) -> io::Result<()>;
    /// Makes the bytes `from..to` zeros again.
    fn zero(&self, file: &DiskFile, from: u64, to: u64) -> io::Result<()>;
    /// The first byte at or after `from` that may be other than zero; `None` if there is none.
    fn next_data(&self, file: &DiskFile, from: u64) -> io::Result<Option<u64>>;
    /// Has the bytes `from..to` written to the disk and waits for that. It makes a later
    /// [`sync_data`](Self::sync_data) short and takes nothing from it: only that makes them last.
    ///
    /// # Errors
    /// The disk's; a later sync may not report it again. A disk that has nothing to do does nothing.
    fn write_back(&self, file: &DiskFile, from: u64, to: u64) -> io::Result<()> {
        let _ = (file, from, to);
        Ok(())
    }
    /// Waits until a file's bytes (written or mapped) and its length are on the disk.
    fn sync_data(&self, file: &DiskFile) -> io::Result<()>;
    /// Waits until everything written to the file system of this file is on the disk, what was
    /// written to other files too, and their folders. An error since the file was opened counts.
    /// Tells whether the disk can do that at all; by default it cannot.
    fn sync_file_system(&self, file: &DiskFile) -> io::Result<bool> {
        let _ = file;
        Ok(false)
    }
    /// Waits until a folder's entries are on the disk.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// Renames a file, replacing one of the new name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Lists a folder, in no order.
    fn read_dir(&self, path: &Path) -> io::Result<Vec<Entry>>;
    /// Reads a whole file.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
    /// Writes bytes at an offset of an open file, without sync.
    fn write_at(&self, file: &DiskFile, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// The used part of the file system that a folder is on, 0 to 1.
    fn used_part(&self, path: &Path) -> io::Result<f64>;
    /// Lists a folder that somebody else wrote, in the order of the names.
    fn look(&self, path: &Path) -> io::Result<Vec<Seen>>;
    /// Opens a plain file for reading only; anything else, a symbolic link too, is an error.
    fn open_read(&self, path: &Path) -> io::Result<DiskFile>;
    /// Reads bytes at an offset until `into` is full or the file ends; tells how many they were.
    fn read_at(&self, file: &DiskFile, offset: u64, into: &mut [u8]) -> io::Result<usize>;
    /// Whether somebody holds the lock of [`lock`](Self::lock), without taking or making it.
    fn is_locked(&self, path: &Path) -> io::Result<bool>;
    /// Takes the exclusive lock that Apache's broker takes too; an error of kind
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) means that somebody has it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn FolderLock>>;
}
