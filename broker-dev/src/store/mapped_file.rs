//! Bytes of a file, mapped: the store's only `unsafe`.
//!
//! A file is filled front to back by one [`MappedWriter`] and read by any number of holders of the
//! [`MappedFile`]. What keeps them apart is one number, how many bytes are *published*: readers see
//! only bytes before it, the writer changes only bytes from it on, and it never goes back.
//!
//! ```text
//! 0 ───────────── published ───────────────────── length
//! │  readers: &[u8]   │   the writer: &mut [u8]      │
//! ```
//!
//! Files that change in place, at any place, are [`MappedWords`] instead: every access is to one
//! aligned 32-bit word and atomic.
//!
//! What is assumed of the outside world: nobody cuts the file shorter while it is mapped (a page
//! past the end would kill the process), and nobody else writes to it; the folder's lock is there
//! for that. Whoever writes has [reserved](super::disk::Disk::reserve) the blocks before.
#![expect(unsafe_code, reason = "slices over mapped memory; see the module's words")]

use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
#[cfg(not(miri))]
use memmap2::{MmapOptions, MmapRaw as Memory};

#[cfg(miri)]
use heap::Memory;

use super::disk::DiskFile;
use super::published::Published;

/// One mapped file, for readers.
pub(crate) struct MappedFile {
    start: i64,
    map: Memory,
    published: Published,
    file: DiskFile,
}

/// The one writer of a mapped file. It cannot be cloned.
#[derive(Debug)]
pub(crate) struct MappedWriter {
    file: Arc<MappedFile>,
    ready: usize,
}

impl fmt::Debug for MappedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MappedFile")
            .field("path", &self.file.path())
            .field("published", &self.published())
            .finish_non_exhaustive()
    }
}

/// Stands for a mapping under Miri, which has none: memory with the file's bytes, reached by the
/// same pointers. What is written to it stays there.
#[cfg(miri)]
mod heap {
    use std::cell::UnsafeCell;
    use std::io;

    use super::DiskFile;

    #[derive(Debug)]
    pub(super) struct Memory {
        words: Box<[UnsafeCell<u64>]>,
        length: usize,
    }

    // SAFETY: bytes are reached through pointers only, as those of a mapping are; who may touch
    // which when is for the users of both.
    unsafe impl Send for Memory {}
    // SAFETY: see above.
    unsafe impl Sync for Memory {}

    impl Memory {
        pub(super) fn new(file: &DiskFile, length: usize) -> io::Result<Self> {
            let words = (0..length.div_ceil(8)).map(|_| UnsafeCell::new(0)).collect();
            let memory = Self { words, length };
            let bytes = std::fs::read(file.path())?;
            let count = bytes.len().min(length);
            // SAFETY: both are that long, and the memory is new: nobody else has it.
            unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), memory.as_mut_ptr(), count) };
            Ok(memory)
        }

        pub(super) fn as_ptr(&self) -> *const u8 {
            self.as_mut_ptr()
        }

        pub(super) fn as_mut_ptr(&self) -> *mut u8 {
            UnsafeCell::raw_get(self.words.as_ptr()).cast()
        }

        pub(super) fn len(&self) -> usize {
            self.length
        }
    }
}

#[cfg(miri)]
fn map_file(file: &DiskFile, length: usize) -> io::Result<Memory> {
    Memory::new(file, length)
}

/// Maps a file; a private one so that what is written stays in memory.
#[cfg(not(miri))]
fn map_file(file: &DiskFile, length: usize) -> io::Result<Memory> {
    let options = || {
        let mut options = MmapOptions::new();
        options.len(length);
        options
    };
    if file.is_private() {
        // SAFETY: as for every mapping here, nobody shortens the file or writes to it; this one
        // cannot change it either.
        Ok(Memory::from(unsafe { options().map_copy(file.file())? }))
    } else {
        options().map_raw(file.file())
    }
}

impl MappedFile {
    /// Maps the first `length` bytes of a file; nothing is published yet.
    ///
    /// `start` is the offset of its first byte among all files of its kind.
    ///
    /// # Errors
    /// The file is shorter than `length`, or cannot be mapped.
    pub(crate) fn map(file: DiskFile, start: i64, length: usize) -> io::Result<MappedWriter> {
        if file.file().metadata()?.len() < length as u64 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "shorter than its mapping"));
        }
        let map = map_file(&file, length)?;
        let published = Published::new();
        Ok(MappedWriter { file: Arc::new(Self { start, map, published, file }), ready: 0 })
    }

    /// Offset of the first byte among all files of this kind.
    pub(crate) fn start(&self) -> i64 {
        self.start
    }

    /// Bytes mapped.
    pub(crate) fn length(&self) -> usize {
        self.map.len()
    }

    /// Bytes that readers may see.
    pub(crate) fn published(&self) -> usize {
        self.published.get()
    }

    /// The file itself, for syncing and removing.
    pub(crate) fn disk_file(&self) -> &DiskFile {
        &self.file
    }

    /// The published bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: the mapping lives as long as `self`; bytes before `published` were written before
        // the Release store that the Acquire load saw, and nobody writes them again.
        unsafe { std::slice::from_raw_parts(self.map.as_ptr(), self.published()) }
    }

    /// Published bytes that keep the mapping alive, without a copy; `None` if they are not (all)
    /// published.
    pub(crate) fn slice(self: &Arc<Self>, range: Range<usize>) -> Option<Bytes> {
        self.bytes().get(range.clone())?;
        Some(Bytes::from_owner(Slice { file: Arc::clone(self), range }))
    }

    /// Has the kernel read pages from the disk that will be looked at soon, without waiting for it.
    pub(crate) fn read_ahead(&self, range: Range<usize>) {
        let end = range.end.min(self.length());
        #[cfg(unix)]
        if range.start < end {
            let length = end - range.start;
            if let Err(error) =
                self.map.advise_range(memmap2::Advice::WillNeed, range.start, length)
            {
                tracing::debug!(%error, "pages not read ahead");
            }
        }
        #[cfg(not(unix))]
        let _ = end;
    }

    /// Has the kernel bring in pages for writing, so that the writer does not wait for them.
    /// A kernel that cannot is no error: the writer then brings them in itself.
    pub(crate) fn touch(&self, range: Range<usize>) {
        let end = range.end.min(self.length());
        #[cfg(all(target_os = "linux", not(miri)))]
        if range.start < end {
            let length = end - range.start;
            if let Err(error) =
                self.map.advise_range(memmap2::Advice::PopulateWrite, range.start, length)
            {
                tracing::debug!(%error, "pages not brought in ahead");
            }
        }
        #[cfg(not(all(target_os = "linux", not(miri))))]
        let _ = end;
    }
}

/// Has the kernel write a range of a file to the disk, and waits for that.
///
/// # Errors
/// What the disk reported. A file system that cannot is no error.
pub(crate) fn write_back(file: &std::fs::File, from: u64, to: u64) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use std::os::fd::AsRawFd;
        let offset = i64::try_from(from).unwrap_or(i64::MAX);
        let length = i64::try_from(to.saturating_sub(from)).unwrap_or(i64::MAX);
        let flags = libc::SYNC_FILE_RANGE_WAIT_BEFORE
            | libc::SYNC_FILE_RANGE_WRITE
            | libc::SYNC_FILE_RANGE_WAIT_AFTER;
        // SAFETY: no memory is passed, and the descriptor is open as long as `file` is borrowed.
        if unsafe { libc::sync_file_range(file.as_raw_fd(), offset, length, flags) } != 0 {
            let error = io::Error::last_os_error();
            let is_unable = matches!(
                error.raw_os_error(),
                Some(libc::ENOSYS | libc::EINVAL | libc::ESPIPE | libc::EOPNOTSUPP)
            );
            return if is_unable { Ok(()) } else { Err(error) };
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (file, from, to);
    Ok(())
}

impl MappedWriter {
    /// What readers hold.
    pub(crate) fn file(&self) -> &Arc<MappedFile> {
        &self.file
    }

    /// Bytes published so far: where [`spare`](Self::spare) begins.
    pub(crate) fn published(&self) -> usize {
        self.file.published.own()
    }

    /// All bytes, published or not.
    pub(crate) fn all(&self) -> &[u8] {
        // SAFETY: only `spare` gives out mutable bytes, and it borrows this writer, the only one,
        // exclusively.
        unsafe { std::slice::from_raw_parts(self.file.map.as_ptr(), self.file.length()) }
    }

    /// The bytes that are not published yet.
    pub(crate) fn spare(&mut self) -> &mut [u8] {
        let published = self.published();
        // SAFETY: readers see only bytes before `published`, which only this writer moves; `&mut
        // self` keeps `all` and other spares away. `published` is at most the length (`publish`).
        unsafe {
            std::slice::from_raw_parts_mut(
                self.file.map.as_mut_ptr().add(published),
                self.file.length() - published,
            )
        }
    }

    /// Shows readers the bytes before `end`. It never takes bytes back, and never goes past the
    /// file's end.
    pub(crate) fn publish(&mut self, end: usize) {
        self.file.published.advance(end.min(self.file.length()));
    }

    /// Bytes from the start whose pages were brought in before they are needed.
    pub(crate) fn ready(&self) -> usize {
        self.ready
    }

    /// Notes that the pages of all bytes before `end` were brought in.
    pub(crate) fn set_ready(&mut self, end: usize) {
        self.ready = end;
    }
}

/// A mapped file as big-endian 32-bit words that anybody may read and change at any time.
pub(crate) struct MappedWords {
    map: Memory,
    file: DiskFile,
}

impl fmt::Debug for MappedWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MappedWords").field("path", &self.file.path()).finish_non_exhaustive()
    }
}

impl MappedWords {
    /// Maps the first `length` bytes of a file; what is left over after the last whole word is not
    /// seen.
    ///
    /// # Errors
    /// The file is shorter than `length`, or cannot be mapped.
    pub(crate) fn map(file: DiskFile, length: usize) -> io::Result<Self> {
        if file.file().metadata()?.len() < length as u64 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "shorter than its mapping"));
        }
        let map = map_file(&file, length)?;
        Ok(Self { map, file })
    }

    /// The file itself, for syncing and reserving.
    pub(crate) fn disk_file(&self) -> &DiskFile {
        &self.file
    }

    fn words(&self) -> &[AtomicU32] {
        // SAFETY: the mapping lives as long as `self`, begins at a page and so is aligned, and is
        // only ever accessed through these atomics.
        unsafe {
            std::slice::from_raw_parts(self.map.as_ptr().cast::<AtomicU32>(), self.map.len() / 4)
        }
    }

    /// A word; 0 beyond the end.
    pub(crate) fn get(&self, word: usize) -> u32 {
        self.words().get(word).map_or(0, |found| u32::from_be(found.load(Ordering::Acquire)))
    }

    /// Sets a word, whose block must have been reserved; nothing happens beyond the end. Who sees
    /// it sees what this thread set before, too.
    pub(crate) fn set(&self, word: usize, value: u32) {
        if let Some(found) = self.words().get(word) {
            found.store(value.to_be(), Ordering::Release);
        }
    }

    /// Two words that together are one number.
    pub(crate) fn get_long(&self, word: usize) -> i64 {
        (u64::from(self.get(word)) << 32 | u64::from(self.get(word + 1))).cast_signed()
    }

    /// Sets a number of two words, one after the other.
    pub(crate) fn set_long(&self, word: usize, value: i64) {
        let [high, low] = halves(value);
        self.set(word, high);
        self.set(word + 1, low);
    }
}

/// The upper and the lower 32 bits.
fn halves(value: i64) -> [u32; 2] {
    let [a, b, c, d, e, f, g, h] = value.to_be_bytes();
    [u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h])]
}

/// Published bytes of a mapped file, as the owner behind [`Bytes`].
struct Slice {
    file: Arc<MappedFile>,
    range: Range<usize>,
}

impl AsRef<[u8]> for Slice {
    fn as_ref(&self) -> &[u8] {
        self.file.bytes().get(self.range.clone()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::disk::{Disk, Open, RealDisk};

    fn writer(length: usize) -> (tempfile::TempDir, MappedWriter) {
        let folder = tempfile::tempdir().unwrap();
        let file = RealDisk.open(&folder.path().join("f"), Open::New).unwrap();
        RealDisk.set_length(&file, length as u64).unwrap();
        let writer = MappedFile::map(file, 0, length).unwrap();
        (folder, writer)
    }

    #[test]
    fn readers_see_what_is_published_and_no_more() {
        let (_folder, mut writer) = writer(100);
        let file = Arc::clone(writer.file());
        writer.spare()[..3].copy_from_slice(b"abc");
        assert_eq!(file.bytes(), b"");
        assert!(file.slice(0..3).is_none());
        writer.publish(3);
        assert_eq!(file.bytes(), b"abc");
        writer.publish(1);
        assert_eq!(writer.published(), 3);
        writer.publish(1_000);
        assert_eq!((file.published(), writer.spare().len()), (100, 0));
    }

    #[test]
    fn a_slice_outlives_the_writer_and_the_file() {
        let (folder, mut writer) = writer(10);
        writer.spare()[..2].copy_from_slice(b"ok");
        writer.publish(2);
        let bytes = writer.file().slice(0..2).unwrap();
        drop(writer);
        drop(folder);
        assert_eq!(&bytes[..], b"ok");
    }

    #[test]
    fn a_file_shorter_than_its_mapping_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = RealDisk.open(&folder.path().join("f"), Open::New).unwrap();
        assert!(MappedFile::map(file, 0, 1).is_err());
    }

    #[test]
    fn words_change_in_place_in_big_endian() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        let file = RealDisk.open(&path, Open::New).unwrap();
        RealDisk.set_length(&file, 22).unwrap();
        let words = MappedWords::map(file, 22).unwrap();
        words.set_long(1, -2);
        words.set(3, 0x0102_0304);
        words.set(5, 1);
        assert_eq!((words.get_long(1), words.get(3), words.get(5)), (-2, 0x0102_0304, 0));
        if cfg!(miri) {
            return; // What is written to its memory does not reach the file.
        }
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!((bytes[11], &bytes[12..16], bytes[21]), (0xFE, &[1, 2, 3, 4][..], 0));
    }

    /// Miri takes a thousand times as long.
    const COUNT: usize = if cfg!(miri) { 20 } else { 10_000 };

    #[test]
    fn concurrent_readers_only_see_whole_appends() {
        let (_folder, mut writer) = writer(8 * COUNT);
        let file = Arc::clone(writer.file());
        let reader = std::thread::spawn(move || {
            loop {
                let bytes = file.bytes();
                for (n, word) in bytes.chunks(8).enumerate() {
                    assert_eq!(word, (n as u64).to_be_bytes());
                }
                if bytes.len() == file.length() {
                    break;
                }
            }
        });
        for n in 0..COUNT {
            writer.spare()[..8].copy_from_slice(&(n as u64).to_be_bytes());
            writer.publish((n + 1) * 8);
        }
        reader.join().unwrap();
    }
}
