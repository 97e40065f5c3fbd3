//! Small metadata files (topics, groups, offsets), replaced as a whole and never lost.
//!
//! A save writes `X.tmp`, syncs it, keeps the old `X` as `X.bak`, renames, and syncs the folder. A
//! load that cannot use `X` takes `X.bak`, and moves the unusable `X` aside as `X.damaged`, so that
//! the next save does not push it over the good generation.
//!
//! Source: RocketMQ 5.3.3 `common/ConfigManager`, `MixAll.string2File`; same file names.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::disk::{Disk, Open, make_lasting};
use super::error::{Context, StoreError};

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

/// Replaces the file's content; after success it outlives a power cut.
///
/// # Errors
/// [`StoreError::Io`] or [`StoreError::Full`]; the old content is then still what a load returns.
pub fn save(disk: &dyn Disk, path: &Path, content: &[u8]) -> Result<(), StoreError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let temporary = with_suffix(path, ".tmp");
    disk.create_dir_all(folder).context(folder, "create")?;
    let file = disk.open(&temporary, Open::Any).context(&temporary, "create")?;
    disk.set_length(&file, content.len() as u64).context(&temporary, "set the length of")?;
    disk.write_at(&file, 0, content).context(&temporary, "write")?;
    disk.sync_data(&file).context(&temporary, "sync")?;
    drop(file);
    match disk.rename(path, &with_suffix(path, ".bak")) {
        // The first save: the folder may be new too.
        Err(error) if error.kind() == ErrorKind::NotFound => {
            make_lasting(disk, folder).context(folder, "create")?;
        }
        renamed => renamed.context(path, "rename")?,
    }
    disk.rename(&temporary, path).context(&temporary, "rename")?;
    disk.sync_dir(folder).context(folder, "sync")
}

/// Reads the file through `parse`, or else its previous generation; `None` if there is neither.
///
/// # Errors
/// [`StoreError::Unreadable`] if there is something, but nothing that `parse` takes: no file is
/// touched then. [`StoreError::Io`] if reading failed for another reason than a missing file.
pub fn load<T>(
    disk: &dyn Disk,
    path: &Path,
    parse: impl Fn(&[u8]) -> Result<T, String>,
) -> Result<Option<T>, StoreError> {
    let reason = match read(disk, path)?.as_deref().map(&parse) {
        Some(Ok(value)) => return Ok(Some(value)),
        Some(Err(reason)) => Some(reason),
        None => None,
    };
    let previous = with_suffix(path, ".bak");
    let value = match (read(disk, &previous)?.as_deref().map(&parse), reason) {
        (None, None) => return Ok(None),
        (Some(Ok(value)), reason) => {
            if let Some(reason) = reason {
                tracing::warn!(file = %path.display(), %reason, "unreadable: its previous generation is used");
                disk.rename(path, &with_suffix(path, ".damaged")).context(path, "move aside")?;
            }
            value
        }
        (None, Some(reason)) => {
            return Err(StoreError::Unreadable { file: path.to_path_buf(), reason });
        }
        (Some(Err(bak)), reason) => {
            let reason = reason.unwrap_or_else(|| format!("missing, and the previous one: {bak}"));
            return Err(StoreError::Unreadable { file: path.to_path_buf(), reason });
        }
    };
    Ok(Some(value))
}

fn read(disk: &dyn Disk, path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    match disk.read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StoreError::io(path, "read", error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::disk::{Call, FaultyDisk, RealDisk};
    use std::fs;
    use std::sync::Arc;

    fn parse(bytes: &[u8]) -> Result<u32, String> {
        let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
        text.parse().map_err(|_| format!("`{text}` is no number"))
    }

    #[test]
    fn gives_back_what_was_saved_last() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config/n.json");
        assert_eq!(load(&RealDisk, &path, parse).unwrap(), None);
        for n in ["1", "23", "4"] {
            save(&RealDisk, &path, n.as_bytes()).unwrap();
            assert_eq!(load(&RealDisk, &path, parse).unwrap(), Some(n.parse().unwrap()));
        }
        assert_eq!(fs::read(folder.path().join("config/n.json.bak")).unwrap(), b"23");
    }

    #[test]
    fn a_damaged_file_means_the_previous_generation_also_after_more_saves() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("n");
        save(&RealDisk, &path, b"1").unwrap();
        save(&RealDisk, &path, b"2").unwrap();
        fs::write(&path, b"2x").unwrap();
        assert_eq!(load(&RealDisk, &path, parse).unwrap(), Some(1));
        assert_eq!(load(&RealDisk, &path, parse).unwrap(), Some(1));
        save(&RealDisk, &path, b"3").unwrap();
        assert_eq!(load(&RealDisk, &path, parse).unwrap(), Some(3));
        assert_eq!(fs::read(folder.path().join("n.damaged")).unwrap(), b"2x");
    }

    #[test]
    fn two_damaged_generations_are_an_error_and_stay_as_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("n");
        fs::write(&path, b"x").unwrap();
        let error = load(&RealDisk, &path, parse).unwrap_err();
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
        fs::write(with_suffix(&path, ".bak"), b"").unwrap();
        assert!(load(&RealDisk, &path, parse).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"x");
    }

    #[test]
    fn whichever_step_of_a_save_fails_the_old_or_the_new_is_there() {
        for call in
            [Call::Open, Call::SetLength, Call::Write, Call::SyncData, Call::Rename, Call::SyncDir]
        {
            for nth in 1..=2 {
                let folder = tempfile::tempdir().unwrap();
                let path = folder.path().join("n");
                save(&RealDisk, &path, b"1").unwrap();
                let disk = FaultyDisk::new(Arc::new(RealDisk));
                disk.fail_nth(call, nth, ErrorKind::Other);
                let saved = save(&disk, &path, b"2").is_ok();
                let read = load(&RealDisk, &path, parse).unwrap();
                assert!(read == Some(2) || !saved && read == Some(1), "{call:?} {nth}: {read:?}");
            }
        }
    }
}
