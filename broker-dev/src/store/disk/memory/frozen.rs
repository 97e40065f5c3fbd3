//! A disk at one moment, and what may be left of it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io;
use std::sync::Mutex;

use super::names::{Names, Node, Tree};
use super::{MemoryDisk, MemoryFile, SECTOR, State};

/// A file's bytes.
#[derive(Debug, Clone)]
struct Contents {
    now: Vec<u8>,
    durable: Vec<u8>,
}

/// The state of a [`MemoryDisk`] at one moment.
#[derive(Debug, Clone)]
pub struct Frozen {
    names: Names,
    contents: BTreeMap<u64, Contents>,
}

impl Frozen {
    pub(super) fn of(names: &Names) -> io::Result<Self> {
        let mut contents = BTreeMap::new();
        for file in names.all_files() {
            if let Entry::Vacant(place) = contents.entry(file.number) {
                place.insert(Contents { durable: file.durable().clone(), now: file.now()? });
            }
        }
        Ok(Self { names: names.clone(), contents })
    }

    /// What a killed process leaves: all that it wrote.
    ///
    /// # Errors
    /// None but those of the operating system's memory files.
    pub fn killed(&self) -> io::Result<MemoryDisk> {
        self.disk(self.names.now(), |contents| contents.now.clone())
    }

    /// What a power cut may leave: all that is durable, and by chance anything of the rest, sector
    /// by sector and name by name. Seed 0 keeps none of the rest.
    ///
    /// # Errors
    /// None but those of the operating system's memory files.
    pub fn after_power_cut(&self, seed: u64) -> io::Result<MemoryDisk> {
        let mut chance = fastrand::Rng::with_seed(seed);
        // Not every cut takes one half: some nearly all, some nearly nothing.
        let part = if seed == 0 { 0.0 } else { chance.f64() };
        let names = self.names.cut(|| chance.f64() < part);
        self.disk(names, |contents| contents.cut(part, &mut chance))
    }

    fn disk(
        &self,
        names: Tree,
        mut left: impl FnMut(&Contents) -> Vec<u8>,
    ) -> io::Result<MemoryDisk> {
        let mut tree = Tree::new();
        for (path, node) in names {
            let node = match node {
                Node::Folder => Node::Folder,
                Node::File(file) => {
                    let bytes = self.contents.get(&file.number).map(&mut left);
                    Node::File(MemoryFile::with(&bytes.unwrap_or_default())?)
                }
            };
            tree.insert(path, node);
        }
        let state = State { names: Names::settled(tree), ..State::default() };
        Ok(MemoryDisk { state: Mutex::new(state), ..MemoryDisk::default() })
    }
}

impl Contents {
    /// The durable bytes, and of the others each sector with the probability `part`.
    fn cut(&self, part: f64, chance: &mut fastrand::Rng) -> Vec<u8> {
        let mut left = self.durable.clone();
        let (old, new) = (self.durable.len(), self.now.len());
        if chance.f64() < part {
            // A length goes to the disk on its own, perhaps in steps.
            let between = chance.usize(old.min(new)..=old.max(new));
            left.resize(if chance.bool() { new } else { between }, 0);
        }
        for (old, new) in left.chunks_mut(SECTOR).zip(self.now.chunks(SECTOR)) {
            if chance.f64() < part {
                let both = old.len().min(new.len());
                if let (Some(old), Some(new)) = (old.get_mut(..both), new.get(..both)) {
                    old.copy_from_slice(new);
                }
            }
        }
        left
    }
}
