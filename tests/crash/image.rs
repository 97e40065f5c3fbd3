//! A small store as the bytes of its files, which can be damaged and opened.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use broker_dev::store::disk::{Disk, MemoryDisk, Open};
use broker_dev::store::{FlushMode, Put, Store, StoreError};
use oxmq_tests::small_store::{StillClock, options, put, queue_of};

use crate::readings::open_store;

const ROOT: &str = "/store";

/// How the store was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Left {
    /// Killed before anything but the log was written out.
    Killed,
    /// Killed, with a checkpoint that vouches for everything.
    Vouched,
    /// Killed, with all files and no checkpoint.
    Doubted,
    /// Closed in order.
    Closed,
}

/// One way to damage a file. Pages have 512 bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Damage {
    Cut(usize),
    Flip(usize, u8),
    ZeroPage(usize),
    DuplicatePage(usize, usize),
    SwapPages(usize, usize),
}

const PAGE: usize = 512;

impl Damage {
    pub(crate) fn apply(self, bytes: &mut Vec<u8>) {
        let page = |number: usize| number * PAGE..(number + 1) * PAGE;
        match self {
            Self::Cut(length) => bytes.truncate(length),
            Self::Flip(at, bit) => bytes[at] ^= 1 << bit,
            Self::ZeroPage(number) => bytes[page(number)].fill(0),
            Self::DuplicatePage(from, to) => bytes.copy_within(page(from), to * PAGE),
            Self::SwapPages(one, other) => {
                let kept = bytes[page(one)].to_vec();
                bytes.copy_within(page(other), one * PAGE);
                bytes[page(other)].copy_from_slice(&kept);
            }
        }
    }

    /// Damages of every kind to a file of so many bytes: cut at every byte, one bit of every byte
    /// flipped, every page zeroed, copied over and swapped with its neighbour.
    pub(crate) fn all(length: usize) -> impl Iterator<Item = Self> {
        let pages = length / PAGE;
        let next = move |number: usize| (number + 1) % pages.max(1);
        (0..length)
            .map(Self::Cut)
            .chain((0..length).map(|at| Self::Flip(at, (at % 8) as u8)))
            .chain((0..pages).map(Self::ZeroPage))
            .chain((0..pages).map(move |number| Self::DuplicatePage(number, next(number))))
            .chain((0..pages).map(move |number| Self::SwapPages(number, next(number))))
    }
}

/// See the [module](self).
#[derive(Debug, Clone)]
pub(crate) struct Image {
    pub(crate) files: BTreeMap<PathBuf, Vec<u8>>,
    folders: Vec<PathBuf>,
}

impl Image {
    /// A store with so many messages, and their places.
    pub(crate) fn of(left: Left, messages: u64) -> (Self, Vec<Put>) {
        Self::make(left, messages, false)
    }

    /// The same, each record with a sum over all of it.
    pub(crate) fn with_record_sums(left: Left, messages: u64) -> (Self, Vec<Put>) {
        Self::make(left, messages, true)
    }

    fn make(left: Left, messages: u64, has_record_sums: bool) -> (Self, Vec<Put>) {
        let disk = Arc::new(MemoryDisk::with_folder(Path::new("/")).unwrap());
        let mut own = options(Path::new(ROOT), FlushMode::Async, false);
        own.append_record_crc = has_record_sums;
        let store = open_store(own, disk.clone(), StillClock::at(0)).unwrap();
        let puts = (0..messages)
            .flat_map(|number| {
                put(&store, &[(number, queue_of(number).0, queue_of(number).1)]).unwrap()
            })
            .collect();
        if left != Left::Killed {
            store.close().unwrap();
        }
        drop(store);
        let mut image = Self { files: BTreeMap::new(), folders: Vec::new() };
        image.collect(&disk, Path::new(ROOT));
        if left != Left::Closed {
            image.files.insert(Path::new(ROOT).join("abort"), b"1".to_vec());
        }
        if left == Left::Doubted {
            image.files.remove(&Path::new(ROOT).join("checkpoint"));
        }
        (image, puts)
    }

    fn collect(&mut self, disk: &MemoryDisk, folder: &Path) {
        self.folders.push(folder.to_path_buf());
        for entry in disk.read_dir(folder).unwrap() {
            let path = folder.join(&entry.name);
            if entry.is_dir {
                self.collect(disk, &path);
            } else {
                self.files.insert(path.clone(), disk.read(&path).unwrap());
            }
        }
    }

    /// The files below a folder of the store, or the one file of that name.
    pub(crate) fn of_kind(&self, kind: &str) -> Vec<PathBuf> {
        let under = Path::new(ROOT).join(kind);
        self.files.keys().filter(|path| path.starts_with(&under)).cloned().collect()
    }

    /// The file of a log offset, and the byte in it.
    pub(crate) fn log_place(offset: i64) -> (PathBuf, usize) {
        let (start, at) = (offset - offset % 4_096, (offset % 4_096) as usize);
        (Path::new(ROOT).join("commitlog").join(format!("{start:020}")), at)
    }

    /// The same with one file damaged.
    pub(crate) fn damaged(&self, file: &Path, damage: Damage) -> Self {
        let mut image = self.clone();
        damage.apply(image.files.get_mut(file).unwrap());
        image
    }

    /// Opens it, on a disk of its own.
    pub(crate) fn open(&self, checks_whole_records: bool) -> Result<Arc<Store>, StoreError> {
        let disk = Arc::new(MemoryDisk::with_folder(Path::new("/")).unwrap());
        self.folders.iter().for_each(|folder| disk.create_dir_all(folder).unwrap());
        for (path, bytes) in &self.files {
            let file = disk.open(path, Open::New).unwrap();
            disk.set_length(&file, bytes.len() as u64).unwrap();
            disk.write_at(&file, 0, bytes).unwrap();
        }
        let mut own = options(Path::new(ROOT), FlushMode::Async, false);
        own.verify_record_crc = checks_whole_records;
        open_store(own, disk, StillClock::at(1_000_000))
    }
}
