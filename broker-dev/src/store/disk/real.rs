//! The operating system's disk.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{FallocateFlags, FlockOperation, Mode, OFlags, SeekFrom};
use rustix::io::Errno;
use rustix::process::{Flock, FlockType};

use super::{Disk, DiskFile, Entry, EntryKind, FolderLock, Open, Seen};

/// Files as the operating system has them.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

/// Bytes written at once where blocks can only be had by writing zeros.
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

/// Lock files that this process holds. The operating system's record locks belong to a process, so
/// they do not keep two stores of one process apart, and closing any handle of the file drops them.
static HELD: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

#[derive(Debug)]
struct HeldLock {
    key: PathBuf,
    _file: File,
}

impl FolderLock for HeldLock {}

impl Drop for HeldLock {
    fn drop(&mut self) {
        HELD.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

fn write_zeros(file: &File, mut from: u64, to: u64) -> io::Result<()> {
    while from < to {
        let left = usize::try_from(to - from).unwrap_or(usize::MAX).min(ZEROS.len());
        let chunk = ZEROS.get(..left).unwrap_or(&ZEROS);
        file.write_all_at(chunk, from)?;
        from += chunk.len() as u64;
    }
    Ok(())
}

/// The name under which a lock file is in [`HELD`].
fn lock_key(path: &Path) -> io::Result<PathBuf> {
    let folder = path.parent().unwrap_or(Path::new("."));
    Ok(fs::canonicalize(folder)?.join(path.file_name().unwrap_or_default()))
}

fn is_unsupported(error: Errno) -> bool {
    error == Errno::OPNOTSUPP || error == Errno::NOSYS || error == Errno::INVAL
}

impl Disk for RealDisk {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    fn open(&self, path: &Path, which: Open) -> io::Result<DiskFile> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(which == Open::Any)
            .create_new(which == Open::New)
            .truncate(false)
            .open(path)?;
        Ok(DiskFile::new(path.to_path_buf(), file))
    }

    fn set_length(&self, file: &DiskFile, bytes: u64) -> io::Result<()> {
        file.file().set_len(bytes)
    }

    fn reserve(&self, file: &DiskFile, from: u64, to: u64) -> io::Result<()> {
        if from >= to {
            return Ok(());
        }
        match rustix::fs::fallocate(file.file(), FallocateFlags::empty(), from, to - from) {
            Ok(()) => Ok(()),
            Err(error) if is_unsupported(error) => write_zeros(file.file(), from, to),
            Err(error) => Err(error.into()),
        }
    }

    fn zero(&self, file: &DiskFile, from: u64, to: u64) -> io::Result<()> {
        if from >= to {
            return Ok(());
        }
        #[cfg(target_os = "linux")]
        match rustix::fs::fallocate(file.file(), FallocateFlags::ZERO_RANGE, from, to - from) {
            Ok(()) => return Ok(()),
            Err(error) if is_unsupported(error) => {}
            Err(error) => return Err(error.into()),
        }
        write_zeros(file.file(), from, to)
    }

    fn next_data(&self, file: &DiskFile, from: u64) -> io::Result<Option<u64>> {
        match rustix::fs::seek(file.file(), SeekFrom::Data(from)) {
            Ok(at) => Ok(Some(at)),
            Err(Errno::NXIO) => Ok(None),
            Err(error) if is_unsupported(error) => Ok(Some(from)),
            Err(error) => Err(error.into()),
        }
    }

    fn write_back(&self, file: &DiskFile, from: u64, to: u64) -> io::Result<()> {
        crate::store::mapped_file::write_back(file.file(), from, to)
    }

    fn sync_data(&self, file: &DiskFile) -> io::Result<()> {
        file.file().sync_data()
    }

    #[cfg(target_os = "linux")]
    fn sync_file_system(&self, file: &DiskFile) -> io::Result<bool> {
        rustix::fs::syncfs(file.file())?;
        Ok(true)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let metadata = match entry.metadata() {
                Ok(metadata) => metadata,
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            if let Ok(name) = entry.file_name().into_string() {
                entries.push(Entry { name, is_dir: metadata.is_dir(), length: metadata.len() });
            }
        }
        Ok(entries)
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        fs::read(path)
    }

    fn write_at(&self, file: &DiskFile, offset: u64, bytes: &[u8]) -> io::Result<()> {
        file.file().write_all_at(bytes, offset)
    }

    fn used_part(&self, path: &Path) -> io::Result<f64> {
        let of = rustix::fs::statvfs(path)?;
        let used = of.f_blocks.saturating_sub(of.f_bfree);
        // What only the superuser may take counts as not there.
        Ok(used as f64 / used.saturating_add(of.f_bavail).max(1) as f64)
    }

    fn look(&self, path: &Path) -> io::Result<Vec<Seen>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            // Of the entry itself: links are not followed.
            let metadata = match entry.metadata() {
                Ok(metadata) => metadata,
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            let kind = match metadata.file_type() {
                is if is.is_file() => EntryKind::File,
                is if is.is_dir() => EntryKind::Folder,
                is if is.is_symlink() => EntryKind::Link,
                _ => EntryKind::Other,
            };
            let allocated = metadata.blocks().saturating_mul(512);
            let length = metadata.len();
            entries.push(Seen { name: entry.file_name(), kind, length, allocated });
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn open_read(&self, path: &Path) -> io::Result<DiskFile> {
        // Opening a pipe would wait for its other end without `NONBLOCK`.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::open(path, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::LOOP) => return Err(io::Error::other("it is a symbolic link")),
            Err(error) => return Err(error.into()),
        };
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("it is no plain file"));
        }
        Ok(DiskFile::new(path.to_path_buf(), file))
    }

    fn read_at(&self, file: &DiskFile, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let mut read = 0;
        while let Some(rest) = into.get_mut(read..).filter(|rest| !rest.is_empty()) {
            match file.file().read_at(rest, offset + read as u64) {
                Ok(0) => break,
                Ok(some) => read += some,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(read)
    }

    fn is_locked(&self, path: &Path) -> io::Result<bool> {
        // Asking the operating system about a lock of this very process would drop it.
        let held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
        if lock_key(path).is_ok_and(|key| held.contains(&key)) {
            return Ok(true);
        }
        let file = match self.open_read(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            opened => opened?,
        };
        let wanted = Flock::from(FlockType::WriteLock);
        Ok(rustix::process::fcntl_getlk(file.file(), &wanted)?.is_some())
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn FolderLock>> {
        let key = lock_key(path)?;
        let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
        if held.contains(&key) {
            return Err(ErrorKind::WouldBlock.into());
        }
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        match rustix::fs::fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::AGAIN | Errno::ACCESS) => return Err(ErrorKind::WouldBlock.into()),
            Err(error) => return Err(error.into()),
        }
        file.write_all_at(b"lock", 0)?;
        held.insert(key.clone());
        Ok(Box::new(HeldLock { key, _file: file }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_locked_once_even_within_a_process() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let first = RealDisk.lock(&path).unwrap();
        assert_eq!(RealDisk.lock(&path).unwrap_err().kind(), ErrorKind::WouldBlock);
        drop(first);
        RealDisk.lock(&path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"lock");
    }

    #[test]
    fn reserving_keeps_bytes_and_zeroing_clears_them() {
        let folder = tempfile::tempdir().unwrap();
        let file = RealDisk.open(&folder.path().join("f"), Open::New).unwrap();
        RealDisk.set_length(&file, 100_000).unwrap();
        RealDisk.write_at(&file, 10, b"kept").unwrap();
        RealDisk.reserve(&file, 0, 100_000).unwrap();
        assert_eq!(&fs::read(file.path()).unwrap()[10..14], b"kept");
        RealDisk.zero(&file, 12, 100_000).unwrap();
        let bytes = fs::read(file.path()).unwrap();
        assert_eq!((&bytes[10..14], bytes.len()), (&b"ke\0\0"[..], 100_000));
    }
}
