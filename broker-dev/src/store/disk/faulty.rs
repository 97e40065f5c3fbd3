//! A disk that breaks when a test says so.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};

use super::{Disk, DiskFile, Entry, FolderLock, Open, Seen};

/// A kind of call that can be made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    /// [`Disk::open`] of a new file.
    Create,
    /// [`Disk::open`] of a file that may exist.
    Open,
    /// [`Disk::create_dir_all`].
    CreateDir,
    /// [`Disk::set_length`].
    SetLength,
    /// [`Disk::reserve`].
    Reserve,
    /// [`Disk::zero`].
    Zero,
    /// [`Disk::sync_data`].
    SyncData,
    /// [`Disk::sync_dir`].
    SyncDir,
    /// [`Disk::rename`].
    Rename,
    /// [`Disk::remove_file`].
    Remove,
    /// [`Disk::read_dir`], [`Disk::read`] and [`Disk::next_data`].
    Read,
    /// [`Disk::write_at`].
    Write,
}

#[derive(Debug, Clone, Copy)]
struct Fault {
    first: u64,
    last: u64,
    kind: ErrorKind,
}

#[derive(Debug, Default)]
struct Script {
    calls: BTreeMap<Call, u64>,
    faults: BTreeMap<Call, Fault>,
    held: BTreeSet<Call>,
    waiting: usize,
    used: Option<f64>,
}

type Watch = Box<dyn Fn(Call) + Send + Sync>;

/// Passes every call on to another disk, except those that it was told to fail.
pub struct FaultyDisk {
    inner: Arc<dyn Disk>,
    script: Mutex<Script>,
    /// Rings when a call begins to wait, and when calls may go on.
    changed: Condvar,
    watch: OnceLock<Watch>,
}

impl fmt::Debug for FaultyDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultyDisk").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl FaultyDisk {
    /// A disk that works until told otherwise.
    pub fn new(inner: Arc<dyn Disk>) -> Self {
        Self { inner, script: Mutex::default(), changed: Condvar::new(), watch: OnceLock::new() }
    }

    /// Calls `watch` before each call, on the caller's thread; the first such wish counts.
    pub fn watch(&self, watch: impl Fn(Call) + Send + Sync + 'static) {
        // A second watch is refused: then the first one stays, as said.
        let _ = self.watch.set(Box::new(watch));
    }

    /// Fails the `nth` call of a kind, counted from 1 from now on, and no other.
    pub fn fail_nth(&self, call: Call, nth: u64, kind: ErrorKind) {
        self.script(call, nth, nth, kind);
    }

    /// Fails the `nth` call of a kind, counted from 1 from now on, and all after it.
    pub fn fail_from(&self, call: Call, nth: u64, kind: ErrorKind) {
        self.script(call, nth, u64::MAX, kind);
    }

    /// Lets every call through again.
    pub fn heal(&self) {
        self.lock_script().faults.clear();
    }

    /// Lets calls of a kind wait until [`release`](Self::release): they have been made, and have
    /// neither succeeded nor failed.
    pub fn hold(&self, call: Call) {
        self.lock_script().held.insert(call);
    }

    /// Waits until so many calls wait.
    pub fn until_held(&self, calls: usize) {
        let mut script = self.lock_script();
        while script.waiting < calls {
            script = self.changed.wait(script).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Lets the calls that wait go on, and later ones pass. Faults told meanwhile hold for them.
    pub fn release(&self, call: Call) {
        self.lock_script().held.remove(&call);
        self.changed.notify_all();
    }

    /// Says how full the disk is, 0 to 1.
    pub fn set_used(&self, part: f64) {
        self.lock_script().used = Some(part);
    }

    /// How many calls of a kind there were, failed ones included.
    pub fn calls(&self, call: Call) -> u64 {
        self.lock_script().calls.get(&call).copied().unwrap_or(0)
    }

    fn lock_script(&self) -> std::sync::MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn script(&self, call: Call, first: u64, last: u64, kind: ErrorKind) {
        let mut script = self.lock_script();
        let so_far = script.calls.get(&call).copied().unwrap_or(0);
        let fault =
            Fault { first: so_far.saturating_add(first), last: so_far.saturating_add(last), kind };
        script.faults.insert(call, fault);
    }

    fn check(&self, call: Call) -> io::Result<()> {
        if let Some(watch) = self.watch.get() {
            watch(call);
        }
        let mut script = self.lock_script();
        let count = script.calls.entry(call).or_default();
        *count += 1;
        let now = *count;
        while script.held.contains(&call) {
            script.waiting += 1;
            self.changed.notify_all();
            script = self.changed.wait(script).unwrap_or_else(PoisonError::into_inner);
            script.waiting -= 1;
        }
        match script.faults.get(&call) {
            Some(fault) if (fault.first..=fault.last).contains(&now) => {
                Err(io::Error::new(fault.kind, format!("{call:?} number {now} was told to fail")))
            }
            _ => Ok(()),
        }
    }
}

impl Disk for FaultyDisk {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.check(Call::CreateDir)?;
        self.inner.create_dir_all(path)
    }

    fn open(&self, path: &Path, which: Open) -> io::Result<DiskFile> {
        self.check(if which == Open::New { Call::Create } else { Call::Open })?;
        self.inner.open(path, which)
    }

    fn set_length(&self, file: &DiskFile, bytes: u64) -> io::Result<()> {
        self.check(Call::SetLength)?;
        self.inner.set_length(file, bytes)
    }

    fn reserve(&self, file: &DiskFile, from: u64, to: u64) -> io::Result<()> {
        self.check(Call::Reserve)?;
        self.inner.reserve(file, from, to)
    }

    fn zero(&self, file: &DiskFile, from: u64, to: u64) -> io::Result<()> {
        self.check(Call::Zero)?;
        self.inner.zero(file, from, to)
    }

    fn next_data(&self, file: &DiskFile, from: u64) -> io::Result<Option<u64>> {
        self.check(Call::Read)?;
        self.inner.next_data(file, from)
    }

    fn write_back(&self, file: &DiskFile, from: u64, to: u64) -> io::Result<()> {
        self.inner.write_back(file, from, to)
    }

    fn sync_data(&self, file: &DiskFile) -> io::Result<()> {
        self.check(Call::SyncData)?;
        self.inner.sync_data(file)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.check(Call::SyncDir)?;
        self.inner.sync_dir(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.check(Call::Rename)?;
        self.inner.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.check(Call::Remove)?;
        self.inner.remove_file(path)
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<Entry>> {
        self.check(Call::Read)?;
        self.inner.read_dir(path)
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.check(Call::Read)?;
        self.inner.read(path)
    }

    fn write_at(&self, file: &DiskFile, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.check(Call::Write)?;
        self.inner.write_at(file, offset, bytes)
    }

    fn used_part(&self, path: &Path) -> io::Result<f64> {
        let said = self.lock_script().used;
        said.map_or_else(|| self.inner.used_part(path), Ok)
    }

    fn look(&self, path: &Path) -> io::Result<Vec<Seen>> {
        self.check(Call::Read)?;
        self.inner.look(path)
    }

    fn open_read(&self, path: &Path) -> io::Result<DiskFile> {
        self.check(Call::Open)?;
        self.inner.open_read(path)
    }

    fn read_at(&self, file: &DiskFile, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        self.check(Call::Read)?;
        self.inner.read_at(file, offset, into)
    }

    fn is_locked(&self, path: &Path) -> io::Result<bool> {
        self.inner.is_locked(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn FolderLock>> {
        self.inner.lock(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::disk::RealDisk;

    #[test]
    fn only_the_call_named_fails() {
        let folder = tempfile::tempdir().unwrap();
        let disk = FaultyDisk::new(Arc::new(RealDisk));
        disk.fail_nth(Call::SyncDir, 2, ErrorKind::Other);
        assert!(disk.sync_dir(folder.path()).is_ok());
        assert!(disk.sync_dir(folder.path()).is_err());
        assert!(disk.sync_dir(folder.path()).is_ok());
        disk.fail_from(Call::SyncDir, 1, ErrorKind::StorageFull);
        assert_eq!(disk.sync_dir(folder.path()).unwrap_err().kind(), ErrorKind::StorageFull);
        assert_eq!(disk.calls(Call::SyncDir), 4);
        disk.heal();
        assert!(disk.sync_dir(folder.path()).is_ok());
    }
}
