//! A whole store in one file: a tar archive, compressed with zstd, of the folder's files as they
//! are, with a manifest in front.
//!
//! Files are archived as sparse ones, so that room which was made ahead of need costs nothing. The
//! archive can be unpacked without this tool (`tar --zstd -x`); what only the tool does is to check
//! every file against the manifest, and to put nothing anywhere else than asked.

mod manifest;
mod restore;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use oxmq::clock::Clock;
use serde::Serialize;

pub use restore::{Restored, restore};

use super::error::{Context, ToolError};
use super::folder::Folder;
use super::inventory::Inventory;
use super::progress::Progress;
use super::reader::Reader;
use manifest::{Crc, Manifest, ManifestFile};

/// Bytes read at a time.
const CHUNK: usize = 1 << 20;
/// The compression's level: zstd's own default.
const LEVEL: i32 = 3;

/// What [`snapshot`] wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Snapshot {
    /// The archive.
    pub file: PathBuf,
    /// Files in it.
    pub files: u64,
    /// Their lengths.
    pub bytes: u64,
    /// Length of the archive.
    pub archive_bytes: u64,
    /// The store was cleanly closed; else a restored one recovers at its next start.
    pub clean: bool,
}

/// Copies a folder at which no broker works into one file, which must not exist yet.
///
/// # Errors
/// [`ToolError::InUse`]; [`ToolError::NotCopied`] if something in the folder is no plain file or
/// cannot be read; the archive cannot be written. Nothing is left behind then.
pub fn snapshot(
    folder: &Folder,
    into: &Path,
    clock: &dyn Clock,
    progress: &dyn Progress,
) -> Result<Snapshot, ToolError> {
    let in_use = || ToolError::InUse { folder: folder.root().to_path_buf() };
    if folder.is_in_use()? {
        return Err(in_use());
    }
    // No broker starts meanwhile. In a folder that may not be written none can.
    let lock = folder.root().join("lock");
    let _held = match folder.disk().open_read(&lock) {
        Ok(_) => match folder.disk().lock(&lock) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(in_use()),
            held => held.ok(),
        },
        Err(_) => None,
    };
    let manifest = take_stock(folder, clock, progress)?;
    refuse_inside(folder, into)?;
    let partial = with_suffix(into, ".partial");
    let written = write(folder, &manifest, &partial, progress).and_then(|()| {
        // A link fails if the name is taken; a rename would take its place.
        fs::hard_link(&partial, into).context(into, "make")
    });
    let _ = fs::remove_file(&partial);
    written?;
    Ok(Snapshot {
        file: into.to_path_buf(),
        files: manifest.files.len() as u64,
        bytes: manifest.files.iter().map(|file| file.bytes).sum(),
        archive_bytes: fs::metadata(into).context(into, "ask the length of")?.len(),
        clean: manifest.clean,
    })
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_os_string();
    name.push(suffix);
    name.into()
}

fn refuse_inside(folder: &Folder, into: &Path) -> Result<(), ToolError> {
    let parent = into.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    let parent = fs::canonicalize(parent).context(parent, "find")?;
    let root = fs::canonicalize(folder.root()).context(folder.root(), "find")?;
    if parent.starts_with(&root) {
        let reason = "a snapshot inside the store would be part of the next one".into();
        return Err(ToolError::BadRequest { reason });
    }
    if into.symlink_metadata().is_ok() {
        let reason = format!("{} is there already", into.display());
        return Err(ToolError::BadRequest { reason });
    }
    Ok(())
}

/// Lists and reads everything.
fn take_stock(
    folder: &Folder,
    clock: &dyn Clock,
    progress: &dyn Progress,
) -> Result<Manifest, ToolError> {
    let inventory = Inventory::of(folder)?;
    if let Some(reason) = inventory.unusable.first() {
        let (path, reason) = (folder.root().to_path_buf(), reason.clone());
        return Err(ToolError::NotCopied { path, reason });
    }
    progress.begin("checksums", inventory.files.iter().map(|file| file.length).sum());
    let mut files = Vec::new();
    for file in &inventory.files {
        let path = archived_name(folder, &file.path)?;
        if path == "lock" {
            continue;
        }
        let (bytes, crc32) = checksum(folder, &file.path, progress)?;
        files.push(ManifestFile { path, bytes, crc32 });
    }
    let mut folders = Vec::new();
    for dir in &inventory.folders {
        folders.push(archived_name(folder, dir)?);
    }
    Ok(Manifest::new(clock.now_ms(), folder.is_clean()?, folders, files))
}

/// The name in the archive; a commit log elsewhere comes into `commitlog`.
fn archived_name(folder: &Folder, path: &Path) -> Result<String, ToolError> {
    let inside = match path.strip_prefix(folder.root()) {
        Ok(inside) => inside.to_path_buf(),
        Err(_) => Path::new("commitlog").join(path.file_name().unwrap_or_default()),
    };
    inside.to_str().map(str::to_owned).ok_or_else(|| ToolError::NotCopied {
        path: path.to_path_buf(),
        reason: "its name is not UTF-8".into(),
    })
}

/// Length and CRC of a file; holes are not read.
fn checksum(
    folder: &Folder,
    path: &Path,
    progress: &dyn Progress,
) -> Result<(u64, u32), ToolError> {
    let read = |path: &Path| -> io::Result<(u64, u32)> {
        let mut reader = Reader::open(folder.disk(), path, CHUNK)?;
        let mut crc = Crc::default();
        let mut at = 0;
        while let Some(data) = reader.next_data(at)? {
            crc.zeros(data - at);
            let bytes = reader.at(data, CHUNK)?;
            let bytes = bytes.get(..CHUNK).unwrap_or(bytes);
            if bytes.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            crc.add(bytes);
            let to = data + bytes.len() as u64;
            progress.advance(to - at);
            at = to;
        }
        let length = reader.length();
        crc.zeros(length.saturating_sub(at));
        progress.advance(length.saturating_sub(at));
        Ok((length, crc.finish()))
    };
    read(path).context(path, "read")
}

fn write(
    folder: &Folder,
    manifest: &Manifest,
    into: &Path,
    progress: &dyn Progress,
) -> Result<(), ToolError> {
    let file = OpenOptions::new().write(true).create_new(true).open(into);
    let file = file.context(into, "make")?;
    progress.begin("archive", manifest.files.iter().map(|file| file.bytes).sum());
    let mut encoder = zstd::Encoder::new(file, LEVEL).context(into, "compress")?;
    encoder.include_checksum(true).context(into, "compress")?;
    let mut archive = tar::Builder::new(encoder);
    let json = manifest.to_json();
    let mut header = tar::Header::new_gnu();
    header.set_size(json.len() as u64);
    header.set_mode(0o644);
    archive.append_data(&mut header, manifest::NAME, &*json).context(into, "write")?;
    for dir in &manifest.folders {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Directory);
        header.set_size(0);
        header.set_mode(0o755);
        archive.append_data(&mut header, dir, io::empty()).context(into, "write")?;
    }
    for entry in &manifest.files {
        let path = path_of(folder, &entry.path);
        let file = folder.disk().open_read(&path).context(&path, "open")?;
        let mut file: File = file.file().try_clone().context(&path, "open")?;
        archive.append_file(&entry.path, &mut file).context(&path, "copy")?;
        progress.advance(entry.bytes);
    }
    let encoder = archive.into_inner().context(into, "write")?;
    let mut file = encoder.finish().context(into, "write")?;
    file.flush().and_then(|()| file.sync_all()).context(into, "sync")
}

fn path_of(folder: &Folder, name: &str) -> PathBuf {
    match (name.strip_prefix("commitlog/"), folder.logs()) {
        (Some(file), logs) => logs
            .iter()
            .map(|log| log.join(file))
            .find(|path| path.is_file())
            .unwrap_or_else(|| folder.root().join(name)),
        _ => folder.root().join(name),
    }
}
