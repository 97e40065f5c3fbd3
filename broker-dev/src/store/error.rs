//! What the store reports when it cannot do what it was asked.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why a store operation failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The operating system refused an operation on a file or folder.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was tried, a verb with its object's preposition ("open", "map").
        action: &'static str,
        /// The operating system's error.
        source: io::Error,
    },
    /// The disk, or the quota on it, has no room left. Nothing was written.
    #[error("cannot {action} {}: no space left on the disk", path.display())]
    Full {
        /// The file that needed room.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
    },
    /// The disk is fuller than [`RetentionOptions::warning`](super::RetentionOptions::warning)
    /// allows, so no messages are taken until something was deleted. Nothing was written.
    #[error("the disk of {} is so full that no more messages are taken", folder.display())]
    DiskFull {
        /// The store's root folder.
        folder: PathBuf,
    },
    /// A file's bytes are not what the store wrote.
    #[error("{} is damaged at byte {offset}: {reason}", file.display())]
    Corrupt {
        /// The damaged file.
        file: PathBuf,
        /// Byte offset in that file.
        offset: u64,
        /// What is wrong there.
        reason: String,
    },
    /// Another process, or another store of this process, works on the folder.
    #[error("the store folder {} is in use by another broker", folder.display())]
    Locked {
        /// The store's root folder.
        folder: PathBuf,
    },
    /// The message does not fit the record format or the store's limits.
    #[error("the message cannot be stored: {reason}")]
    IllegalMessage {
        /// What is wrong with it.
        reason: String,
    },
    /// A message would make one light topic more than there may be.
    #[error("there are {limit} light topics already")]
    TooManyQueues {
        /// The most that there may be.
        limit: usize,
    },
    /// A metadata file and its previous generation are both unreadable; neither was touched.
    #[error("{} cannot be read ({reason}), and neither can its previous generation", file.display())]
    Unreadable {
        /// The newer of the two files.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The options contradict each other or the files that are there.
    #[error("the store cannot be opened: {reason}")]
    BadOptions {
        /// Which option, and why.
        reason: String,
    },
    /// A sync failed earlier: what reached the disk is unknown, so nothing more is written until
    /// the store is opened again. Reads go on.
    #[error("the store takes no more writes since a sync failed: {reason}")]
    Poisoned {
        /// The first failure, in words.
        reason: Arc<str>,
    },
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    /// Wraps an error of the operating system; a lack of space is [`Full`](Self::Full).
    pub fn io(path: &Path, action: &'static str, source: io::Error) -> Self {
        let path = path.to_path_buf();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::Full { path, action }
            }
            _ => Self::Io { path, action, source },
        }
    }
}

/// Turns an [`io::Result`] into a store's, naming the file and what was tried.
pub(crate) trait Context<T> {
    /// Adds the path and the verb.
    fn context(self, path: &Path, action: &'static str) -> Result<T, StoreError>;
}

impl<T> Context<T> for io::Result<T> {
    fn context(self, path: &Path, action: &'static str) -> Result<T, StoreError> {
        self.map_err(|source| StoreError::io(path, action, source))
    }
}
