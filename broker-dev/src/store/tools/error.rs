//! Why a tool cannot do its work. Damage is no error: it is what the tools report.

use std::io;
use std::path::{Path, PathBuf};

use crate::store::StoreError;

/// Why a tool could not do what it was asked to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ToolError {
    /// The operating system refused something.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// The operating system's error.
        source: io::Error,
    },
    /// The folder holds nothing that a RocketMQ broker leaves behind.
    #[error(
        "{} is no RocketMQ store: it has neither `commitlog` nor `consumequeue` nor `config` nor `checkpoint`",
        folder.display()
    )]
    NoStore {
        /// The folder.
        folder: PathBuf,
    },
    /// A broker works on the folder, and the tool needs it to stand still.
    #[error("a broker works on {}: stop it first", folder.display())]
    InUse {
        /// The folder.
        folder: PathBuf,
    },
    /// The folder has something in it, and nothing is ever written over.
    #[error("{} is not empty: nothing is written over", folder.display())]
    NotEmpty {
        /// The folder.
        folder: PathBuf,
    },
    /// The snapshot is not one, is damaged, or wants to be written where it must not.
    #[error("the snapshot {} cannot be used: {reason}", file.display())]
    BadSnapshot {
        /// The snapshot.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The folder holds something that a copy would not hold.
    #[error("{} cannot be copied: {reason}", path.display())]
    NotCopied {
        /// What it is about.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// What is asked for contradicts itself.
    #[error("{reason}")]
    BadRequest {
        /// What is wrong.
        reason: String,
    },
    /// Opening the store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The result cannot be written.
    #[error("the output cannot be written: {0}")]
    Output(io::Error),
}

/// Adds path and verb to the operating system's error.
pub(super) trait Context<T> {
    fn context(self, path: &Path, action: &'static str) -> Result<T, ToolError>;
}

impl<T> Context<T> for io::Result<T> {
    fn context(self, path: &Path, action: &'static str) -> Result<T, ToolError> {
        self.map_err(|source| ToolError::Io { path: path.to_path_buf(), action, source })
    }
}
