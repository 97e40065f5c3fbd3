//! A disk on which the files of one folder break, and no others.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use broker_dev::store::disk::{Disk, DiskFile, Entry, FolderLock, Open, RealDisk, Seen};

/// Refuses to give a length to files in a folder while it is told to.
#[derive(Debug)]
pub(crate) struct BrokenFolder {
    folder: PathBuf,
    is_broken: AtomicBool,
    refused: AtomicU64,
}

impl BrokenFolder {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder, is_broken: AtomicBool::new(false), refused: AtomicU64::new(0) }
    }

    pub(crate) fn set_broken(&self, is_broken: bool) {
        self.is_broken.store(is_broken, Ordering::Release);
    }

    /// How often it refused.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Acquire)
    }

    fn check(&self, path: &Path) -> io::Result<()> {
        if self.is_broken.load(Ordering::Acquire) && path.starts_with(&self.folder) {
            self.refused.fetch_add(1, Ordering::AcqRel);
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }
}

impl Disk for BrokenFolder {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        RealDisk.create_dir_all(path)
    }

    fn open(&self, path: &Path, which: Open) -> io::Result<DiskFile> {
        RealDisk.open(path, which)
    }

    fn set_length(&self, file: &DiskFile, bytes: u64) -> io::Result<()> {
        self.check(file.path())?;
        RealDisk.set_length(file, bytes)
    }

    fn reserve(&self, file: &DiskFile, from: u64, to: u64) -> io::Result<()> {
        self.check(file.path())?;
        RealDisk.reserve(file, from, to)
    }

    fn zero(&self, file: &DiskFile, from: u64, to: u64) -> io::Result<()> {
        RealDisk.zero(file, from, to)
    }

    fn next_data(&self, file: &DiskFile, from: u64) -> io::Result<Option<u64>> {
        RealDisk.next_data(file, from)
    }

    fn sync_data(&self, file: &DiskFile) -> io::Result<()> {
        RealDisk.sync_data(file)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        RealDisk.sync_dir(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove_file(path)
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<Entry>> {
        RealDisk.read_dir(path)
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        RealDisk.read(path)
    }

    fn write_at(&self, file: &DiskFile, offset: u64, bytes: &[u8]) -> io::Result<()> {
        RealDisk.write_at(file, offset, bytes)
    }

    fn used_part(&self, path: &Path) -> io::Result<f64> {
        RealDisk.used_part(path)
    }

    fn look(&self, path: &Path) -> io::Result<Vec<Seen>> {
        RealDisk.look(path)
    }

    fn open_read(&self, path: &Path) -> io::Result<DiskFile> {
        RealDisk.open_read(path)
    }

    fn read_at(&self, file: &DiskFile, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        RealDisk.read_at(file, offset, into)
    }

    fn is_locked(&self, path: &Path) -> io::Result<bool> {
        RealDisk.is_locked(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn FolderLock>> {
        RealDisk.lock(path)
    }
}
