//! Folders that last.

use std::io::{self, ErrorKind};
use std::path::Path;

use super::Disk;

/// The folder that a path lies in.
fn parent(path: &Path) -> Option<&Path> {
    match path.parent() {
        Some(here) if here.as_os_str().is_empty() => Some(Path::new(".")),
        parent => parent,
    }
}

/// Makes a folder and those above it, so that they outlive a power cut: a folder is gone with all
/// that is in it as long as the one above it was not synced.
///
/// # Errors
/// The disk's, but for a folder above that may not be read: it was there before.
pub fn make_lasting(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    let is_missing = |folder: &&Path| matches!(disk.read_dir(folder), Err(error) if error.kind() == ErrorKind::NotFound);
    // A folder that is there may have been made just before a crash: the one above it is synced
    // in any case.
    let missing = path.ancestors().take_while(is_missing).count();
    disk.create_dir_all(path)?;
    for folder in path.ancestors().take(missing.max(1)).filter_map(parent) {
        match disk.sync_dir(folder) {
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {}
            synced => synced?,
        }
    }
    Ok(())
}
