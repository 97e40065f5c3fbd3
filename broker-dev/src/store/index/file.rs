//! One index file: what readers share, and its one writer.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::Key;
use super::layout::{self, Entry, Geometry, Header};
use crate::store::disk::{Disk, Open};
use crate::store::error::{Context, StoreError};
use crate::store::mapped_file::MappedWords;

/// Bytes whose blocks are taken from the disk at once.
const RESERVE_STEP: u64 = 64 * 1024;
/// A time in an entry is rounded down to a second.
const SECOND_MS: i64 = 1_000;

/// See the [module](self).
#[derive(Debug)]
pub(super) struct IndexFile {
    path: PathBuf,
    geometry: Geometry,
    begin_ms: AtomicI64,
    end_ms: AtomicI64,
    begin_offset: AtomicI64,
    end_offset: AtomicI64,
    used_slots: AtomicU32,
    count: AtomicU32,
    words: Mutex<Option<Arc<MappedWords>>>,
}

impl IndexFile {
    pub(super) fn new(path: PathBuf, geometry: Geometry, header: Header) -> Self {
        Self {
            path,
            geometry,
            begin_ms: AtomicI64::new(header.begin_ms),
            end_ms: AtomicI64::new(header.end_ms),
            begin_offset: AtomicI64::new(header.begin_offset),
            end_offset: AtomicI64::new(header.end_offset),
            used_slots: AtomicU32::new(header.used_slots),
            count: AtomicU32::new(header.count),
            words: Mutex::default(),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// The header as of now. While the file is being written, the fields may be of different
    /// moments.
    pub(super) fn header(&self) -> Header {
        // The count first: what belongs to the entries before it was set before it.
        let count = self.count.load(Ordering::Acquire);
        Header {
            begin_ms: self.begin_ms.load(Ordering::Acquire),
            end_ms: self.end_ms.load(Ordering::Acquire),
            begin_offset: self.begin_offset.load(Ordering::Acquire),
            end_offset: self.end_offset.load(Ordering::Acquire),
            used_slots: self.used_slots.load(Ordering::Acquire),
            count,
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.count.load(Ordering::Acquire) >= self.geometry.entries
    }

    /// The file's bytes, mapped now if they are not yet; and whether they are only now.
    pub(super) fn words(&self, disk: &dyn Disk) -> Result<(Arc<MappedWords>, bool), StoreError> {
        let mut words = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(words) = &*words {
            return Ok((Arc::clone(words), false));
        }
        let mapped = Arc::new(layout::map(disk, &self.path, self.geometry.file_bytes())?);
        *words = Some(Arc::clone(&mapped));
        Ok((mapped, true))
    }

    /// Lets go of the mapping; who is reading reads on.
    pub(super) fn unmap(&self) {
        *self.words.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Shows the log offsets of the entries with this hash, the newest first, until told to stop or
    /// until they are surely older than `begin_ms`.
    ///
    /// The entries' own times are not compared otherwise: they are whole seconds, and that of a
    /// file's first entry counts from the end of the file before.
    pub(super) fn walk(
        &self,
        words: &MappedWords,
        hash: u32,
        begin_ms: i64,
        mut take: impl FnMut(i64) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let header = self.header();
        if header.count <= 1 {
            return ControlFlow::Continue(());
        }
        let mut number = words.get(self.geometry.slot_word(self.geometry.slot_of(hash)));
        // An entry is written before its slot, and its slot before the count: there may be more
        // entries than the count tells.
        if number >= self.geometry.entries {
            return ControlFlow::Continue(());
        }
        while number > 0 {
            let entry = Entry::read(words, self.geometry, number);
            let before_ms = header.begin_ms.saturating_add(
                i64::from(entry.seconds).saturating_add(1).saturating_mul(SECOND_MS),
            );
            let is_too_old = number > 1 && before_ms <= begin_ms;
            if entry.seconds < 0 || is_too_old {
                break;
            }
            if entry.hash == hash {
                take(entry.offset)?;
            }
            // A damaged chain must not lead in circles.
            if entry.previous >= number {
                break;
            }
            number = entry.previous;
        }
        ControlFlow::Continue(())
    }
}

/// The one writer of an index file.
#[derive(Debug)]
pub(super) struct IndexWriter {
    file: Arc<IndexFile>,
    words: Arc<MappedWords>,
    /// As it will be when it is shown.
    header: Header,
    /// A bit for each step of the file's bytes: whether its blocks are taken.
    reserved: Vec<u64>,
}

impl IndexWriter {
    /// Makes a file after the one given.
    pub(super) fn create(
        disk: &dyn Disk,
        path: PathBuf,
        geometry: Geometry,
        last: Option<&Header>,
    ) -> Result<Self, StoreError> {
        let opened = disk.open(&path, Open::New).context(&path, "create")?;
        let header = Header::after(last);
        let made = disk.set_length(&opened, geometry.file_bytes());
        let made = made.context(&path, "set the length of").and_then(|()| {
            let file = Arc::new(IndexFile::new(path.clone(), geometry, header));
            let mut writer = Self::open(disk, file)?;
            writer.reserve(disk, 0)?;
            header.write(&writer.words);
            Ok(writer)
        });
        if made.is_err() {
            // Half a file would be taken for a damaged one.
            let _ = disk.remove_file(&path);
        }
        made
    }

    /// Goes on with a file that is there.
    pub(super) fn open(disk: &dyn Disk, file: Arc<IndexFile>) -> Result<Self, StoreError> {
        let (words, _) = file.words(disk)?;
        let steps = file.geometry.file_bytes().div_ceil(RESERVE_STEP);
        let reserved = vec![0; usize::try_from(steps.div_ceil(64)).unwrap_or(0)];
        let header = file.header();
        Ok(Self { file, words, header, reserved })
    }

    pub(super) fn file(&self) -> &Arc<IndexFile> {
        &self.file
    }

    pub(super) fn words(&self) -> &Arc<MappedWords> {
        &self.words
    }

    /// Takes the blocks of a word from the disk, and of its neighbours.
    pub(super) fn reserve(&mut self, disk: &dyn Disk, word: usize) -> Result<(), StoreError> {
        let step = word as u64 * 4 / RESERVE_STEP;
        let Some(bits) = self.reserved.get_mut(usize::try_from(step / 64).unwrap_or(usize::MAX))
        else {
            return Ok(());
        };
        let bit = 1u64 << (step % 64);
        if *bits & bit == 0 {
            let from = step * RESERVE_STEP;
            let to = (from + RESERVE_STEP).min(self.file.geometry.file_bytes());
            let file = self.words.disk_file();
            disk.reserve(file, from, to).context(file.path(), "reserve blocks for")?;
            *bits |= bit;
        }
        Ok(())
    }

    pub(super) fn is_full(&self) -> bool {
        self.header.count >= self.file.geometry.entries
    }

    /// Adds keys until the file is full, and counts them.
    ///
    /// # Errors
    /// No room on the disk for one of them; those before it are there then.
    pub(super) fn put_many(
        &mut self,
        disk: &dyn Disk,
        keys: &[Key],
        done: &mut usize,
    ) -> Result<(), StoreError> {
        // Loads that do not wait for each other bring the slots into the processor's caches.
        let geometry = self.file.geometry;
        let slot = |key: &Key| self.words.get(geometry.slot_word(geometry.slot_of(key.hash)));
        std::hint::black_box(keys.iter().map(slot).fold(0, |all, slot| all ^ slot));
        let mut result = Ok(());
        for key in keys {
            if self.is_full() {
                break;
            }
            result = self.put(disk, key);
            if result.is_err() {
                break;
            }
            *done += 1;
        }
        self.note(self.header);
        result
    }

    fn put(&mut self, disk: &dyn Disk, key: &Key) -> Result<(), StoreError> {
        let Key { hash, offset, store_ms } = *key;
        let geometry = self.file.geometry;
        let header = self.header;
        let (number, slot) = (header.count, geometry.slot_word(geometry.slot_of(hash)));
        let entry_word = geometry.entry_word(number);
        for word in [slot, entry_word, entry_word + 4] {
            self.reserve(disk, word)?;
        }
        let newest = self.words.get(slot);
        let previous = if newest > number { 0 } else { newest };
        let seconds = match header.begin_ms {
            ..=0 => 0,
            begin_ms => (store_ms.saturating_sub(begin_ms) / SECOND_MS).clamp(0, i32::MAX.into()),
        };
        let seconds = i32::try_from(seconds).unwrap_or(i32::MAX);
        let entry = Entry { hash, offset, seconds, previous };
        entry.write(&self.words, geometry, number);
        self.words.set(slot, number);
        self.header = Header {
            begin_ms: if number == 1 { store_ms } else { header.begin_ms },
            begin_offset: if number == 1 { offset } else { header.begin_offset },
            end_ms: store_ms,
            end_offset: offset,
            used_slots: header.used_slots + u32::from(previous == 0),
            count: number + 1,
        };
        Ok(())
    }

    /// Sets the header, for readers and in the file; the count last.
    pub(super) fn note(&mut self, header: Header) {
        self.header = header;
        let file = &self.file;
        file.begin_ms.store(header.begin_ms, Ordering::Release);
        file.end_ms.store(header.end_ms, Ordering::Release);
        file.begin_offset.store(header.begin_offset, Ordering::Release);
        file.end_offset.store(header.end_offset, Ordering::Release);
        file.used_slots.store(header.used_slots, Ordering::Release);
        header.write(&self.words);
        file.count.store(header.count, Ordering::Release);
    }
}
