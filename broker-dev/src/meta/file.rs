//! One file under `config/`.

use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use oxmq::protocol::body::Body;

use crate::store::disk::Disk;
use crate::store::{StoreError, config_file};

/// A JSON file that holds one `T`.
#[derive(Debug)]
pub(crate) struct MetaFile<T> {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    content: PhantomData<fn() -> T>,
}

impl<T: Body> MetaFile<T> {
    /// `config/<name>` of the store at `root`.
    pub(crate) fn new(disk: Arc<dyn Disk>, root: &Path, name: &str) -> Self {
        Self { disk, path: root.join("config").join(name), content: PhantomData }
    }

    /// Reads it; `None` if it was never written.
    ///
    /// # Errors
    /// Neither it nor its previous generation can be read.
    pub(crate) fn load(&self) -> Result<Option<T>, StoreError> {
        let parse = |bytes: &[u8]| T::decode(bytes).map_err(|error| error.to_string());
        config_file::load(&*self.disk, &self.path, parse)
    }

    /// Replaces it.
    ///
    /// # Errors
    /// The disk refuses; the old content is still there.
    pub(crate) fn save(&self, content: &T) -> Result<(), StoreError> {
        config_file::save(&*self.disk, &self.path, &content.encode())
    }
}
