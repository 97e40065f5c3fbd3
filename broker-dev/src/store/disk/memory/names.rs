//! Names of files and folders: as they are, as they are on the disk, and what lies between.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::MemoryFile;
use crate::store::disk::Entry;

/// What a name stands for.
#[derive(Debug, Clone)]
pub(super) enum Node {
    Folder,
    File(Arc<MemoryFile>),
}

pub(super) type Tree = BTreeMap<PathBuf, Node>;

/// A change of names that may or may not be on the disk.
#[derive(Debug, Clone)]
enum Change {
    Make { path: PathBuf, node: Node },
    Remove { path: PathBuf },
    Rename { from: PathBuf, to: PathBuf, node: Node },
}

impl Change {
    /// The folder whose sync makes it durable.
    fn folder(&self) -> Option<&Path> {
        match self {
            Self::Make { path, .. } | Self::Remove { path } => path.parent(),
            Self::Rename { to, .. } => to.parent(),
        }
    }

    fn apply(self, tree: &mut Tree) {
        match self {
            Self::Make { path, node } => {
                tree.insert(path, node);
            }
            Self::Remove { path } => {
                tree.remove(&path);
            }
            Self::Rename { from, to, node } => {
                tree.remove(&from);
                tree.insert(to, node);
            }
        }
    }
}

/// See the [module](self).
#[derive(Debug, Default, Clone)]
pub(super) struct Names {
    now: Tree,
    durable: Tree,
    pending: Vec<Change>,
}

impl Names {
    /// Names that are all on the disk.
    pub(super) fn settled(tree: Tree) -> Self {
        Self { now: tree.clone(), durable: tree, pending: Vec::new() }
    }

    pub(super) fn get(&self, path: &Path) -> Option<&Node> {
        self.now.get(path)
    }

    /// The file of this number that has a name.
    pub(super) fn file(&self, number: u64) -> Option<&Arc<MemoryFile>> {
        files(&self.now).find(|file| file.number == number)
    }

    /// Every file that has a name, had one, or may have it after a power cut.
    pub(super) fn all_files(&self) -> impl Iterator<Item = &Arc<MemoryFile>> {
        let pending = self.pending.iter().filter_map(|change| match change {
            Change::Make { node: Node::File(file), .. }
            | Change::Rename { node: Node::File(file), .. } => Some(file),
            _ => None,
        });
        files(&self.now).chain(files(&self.durable)).chain(pending)
    }

    fn do_now(&mut self, change: Change) {
        change.clone().apply(&mut self.now);
        self.pending.push(change);
    }

    pub(super) fn make_folders(&mut self, path: &Path) {
        let mut missing: Vec<&Path> =
            path.ancestors().filter(|folder| !self.now.contains_key(*folder)).collect();
        while let Some(folder) = missing.pop() {
            self.do_now(Change::Make { path: folder.to_path_buf(), node: Node::Folder });
        }
    }

    pub(super) fn make(&mut self, path: &Path, node: Node) -> io::Result<()> {
        match path.parent().and_then(|folder| self.now.get(folder)) {
            Some(Node::Folder) => {}
            _ => return Err(ErrorKind::NotFound.into()),
        }
        self.do_now(Change::Make { path: path.to_path_buf(), node });
        Ok(())
    }

    pub(super) fn remove(&mut self, path: &Path) -> io::Result<()> {
        match self.now.get(path) {
            Some(Node::File(_)) => self.do_now(Change::Remove { path: path.to_path_buf() }),
            Some(Node::Folder) => return Err(ErrorKind::IsADirectory.into()),
            None => return Err(ErrorKind::NotFound.into()),
        }
        Ok(())
    }

    /// Renames a file; one that is `forgotten` by the next power cut, however much is synced.
    pub(super) fn rename(&mut self, from: &Path, to: &Path, forgotten: bool) -> io::Result<()> {
        let node = match self.now.get(from) {
            Some(node @ Node::File(_)) => node.clone(),
            Some(Node::Folder) => return Err(ErrorKind::IsADirectory.into()),
            None => return Err(ErrorKind::NotFound.into()),
        };
        let change = Change::Rename { from: from.to_path_buf(), to: to.to_path_buf(), node };
        if forgotten {
            change.apply(&mut self.now);
        } else {
            self.do_now(change);
        }
        Ok(())
    }

    pub(super) fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        match self.now.get(path) {
            Some(Node::Folder) => {}
            Some(Node::File(_)) => return Err(ErrorKind::NotADirectory.into()),
            None => return Err(ErrorKind::NotFound.into()),
        }
        let inside = self.now.range(path.to_path_buf()..).skip(1);
        inside
            .take_while(|(name, _)| name.starts_with(path))
            .filter(|(name, _)| name.parent() == Some(path))
            .filter_map(|(name, node)| Some((name.file_name()?.to_str()?.to_owned(), node)))
            .map(|(name, node)| {
                Ok(match node {
                    Node::Folder => Entry { name, is_dir: true, length: 0 },
                    Node::File(file) => {
                        Entry { name, is_dir: false, length: file.file.metadata()?.len() }
                    }
                })
            })
            .collect()
    }

    /// Makes the entries of a folder durable, but for removals if `keeps_removed`.
    pub(super) fn sync(&mut self, folder: &Path, keeps_removed: bool) {
        let (mut settled, pending) = std::mem::take(&mut self.pending)
            .into_iter()
            .partition::<Vec<_>, _>(|change| change.folder() == Some(folder));
        self.pending = pending;
        settled.retain(|change| !(keeps_removed && matches!(change, Change::Remove { .. })));
        settled.into_iter().for_each(|change| change.apply(&mut self.durable));
    }

    /// Makes all names durable.
    pub(super) fn settle(&mut self) {
        self.pending.clear();
        self.durable = self.now.clone();
    }

    /// All names as they are.
    pub(super) fn now(&self) -> Tree {
        self.now.clone()
    }

    /// The durable names, with those unsynced changes that `survives` takes. What lies in a folder
    /// that is not there is not there either.
    pub(super) fn cut(&self, mut survives: impl FnMut() -> bool) -> Tree {
        let mut tree = self.durable.clone();
        for change in &self.pending {
            if survives() {
                change.clone().apply(&mut tree);
            }
        }
        let mut whole = Tree::new();
        for (path, node) in tree {
            // Parents come before what they hold.
            if path.parent().is_none_or(|folder| whole.contains_key(folder)) {
                whole.insert(path, node);
            }
        }
        whole
    }
}

fn files(tree: &Tree) -> impl Iterator<Item = &Arc<MemoryFile>> {
    tree.values().filter_map(|node| match node {
        Node::File(file) => Some(file),
        Node::Folder => None,
    })
}
