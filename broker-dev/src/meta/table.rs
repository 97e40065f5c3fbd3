//! Named configurations that change seldom, are read for every message, and are saved on change.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use oxmq::protocol::body::{Body, DataVersion};

use super::MetaFile;
use crate::store::StoreError;

/// A configuration with a name, and the file that holds all of its kind.
pub(crate) trait Config: Clone + PartialEq + Send + Sync {
    type File: Body + Default + Clone;

    fn name(&self) -> &str;
    /// Takes the configurations out of the file; what is left is kept for [`fill`](Self::fill).
    fn take(file: &mut Self::File) -> (DataVersion, Vec<Self>);
    /// Puts configurations into the file.
    fn fill<'a>(
        file: &mut Self::File,
        version: DataVersion,
        configs: impl Iterator<Item = &'a Self>,
    ) where
        Self: 'a;
}

/// All configurations of one kind.
#[derive(Debug)]
pub(crate) struct Table<C: Config> {
    file: MetaFile<C::File>,
    /// The file without its configurations.
    rest: C::File,
    entries: RwLock<Entries<C>>,
    /// Counts changes, so that a copy can be checked with one load.
    generation: AtomicU64,
    /// The version saved last; held while saving, so that saves follow each other.
    saved: Mutex<i64>,
}

#[derive(Debug)]
struct Entries<C> {
    version: DataVersion,
    by_name: HashMap<Box<str>, Arc<C>>,
}

impl<C: Config> Table<C> {
    /// Reads the file.
    pub(crate) fn open(file: MetaFile<C::File>) -> Result<Self, StoreError> {
        let mut rest = file.load()?.unwrap_or_default();
        let (version, configs) = C::take(&mut rest);
        let saved = Mutex::new(version.counter);
        let by_name =
            configs.into_iter().map(|config| (config.name().into(), Arc::new(config))).collect();
        let entries = RwLock::new(Entries { version, by_name });
        Ok(Self { file, rest, entries, generation: AtomicU64::new(0), saved })
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    pub(crate) fn get(&self, name: &str) -> Option<Arc<C>> {
        self.read(|entries| entries.by_name.get(name).cloned())
    }

    pub(crate) fn len(&self) -> usize {
        self.read(|entries| entries.by_name.len())
    }

    /// All of them, in the form of the file.
    pub(crate) fn to_file(&self) -> C::File {
        let mut file = self.rest.clone();
        self.read(|entries| {
            let configs = entries.by_name.values().map(Arc::as_ref);
            C::fill(&mut file, entries.version.clone(), configs);
        });
        file
    }

    pub(crate) fn version(&self) -> DataVersion {
        self.read(|entries| entries.version.clone())
    }

    /// Adds a configuration that need not be saved: it is made again at each start.
    pub(crate) fn put_unsaved(&self, config: C) {
        self.write(|entries| entries.by_name.insert(config.name().into(), Arc::new(config)));
    }

    /// Adds or replaces one and saves; tells whether that changed anything.
    ///
    /// # Errors
    /// It cannot be saved; then it is not changed either.
    pub(crate) fn put(&self, config: C, now_ms: i64) -> Result<bool, StoreError> {
        let name: Box<str> = config.name().into();
        let is_same = |known: Option<Arc<C>>| known.is_some_and(|known| *known == config);
        if is_same(self.get(&name)) {
            return Ok(false);
        }
        self.change(&name, Some(Arc::new(config)), now_ms)?;
        Ok(true)
    }

    /// Removes one and saves; tells whether it was there.
    ///
    /// # Errors
    /// It cannot be saved; then it is still there.
    pub(crate) fn remove(&self, name: &str, now_ms: i64) -> Result<bool, StoreError> {
        if self.get(name).is_none() {
            return Ok(false);
        }
        self.change(name, None, now_ms)?;
        Ok(true)
    }

    fn change(&self, name: &str, to: Option<Arc<C>>, now_ms: i64) -> Result<(), StoreError> {
        let (before, version) = self.write(|entries| {
            entries.version.advance(now_ms);
            let before = match to {
                Some(config) => entries.by_name.insert(name.into(), config),
                None => entries.by_name.remove(name),
            };
            (before, entries.version.counter)
        });
        self.save(version).inspect_err(|_| {
            self.write(|entries| match before {
                Some(config) => entries.by_name.insert(name.into(), config),
                None => entries.by_name.remove(name),
            });
        })
    }

    /// Saves, unless another thread has saved this version or a later one meanwhile.
    fn save(&self, version: i64) -> Result<(), StoreError> {
        let mut saved = self.saved.lock().unwrap_or_else(PoisonError::into_inner);
        if *saved < version {
            let saving = self.version().counter;
            self.file.save(&self.to_file())?;
            *saved = saving;
        }
        Ok(())
    }

    fn read<T>(&self, look: impl FnOnce(&Entries<C>) -> T) -> T {
        look(&self.entries.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<T>(&self, change: impl FnOnce(&mut Entries<C>) -> T) -> T {
        let changed = change(&mut self.entries.write().unwrap_or_else(PoisonError::into_inner));
        self.generation.fetch_add(1, Ordering::Release);
        changed
    }
}
