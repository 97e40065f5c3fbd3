//! Unpacking an archive that nobody trusts.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Component, Path, PathBuf};

use serde::Serialize;

use super::manifest::{self, Crc, Manifest, ManifestFile};
use crate::store::tools::error::{Context, ToolError};
use crate::store::tools::progress::Progress;

/// The longest manifest that is read.
const MOST_MANIFEST_BYTES: u64 = 64 << 20;
/// Bytes that are either written or left out as a hole.
const BLOCK: usize = 64 * 1024;

/// What [`restore`] unpacked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Restored {
    /// The folder.
    pub folder: PathBuf,
    /// Files in it.
    pub files: u64,
    /// Their lengths.
    pub bytes: u64,
    /// When the snapshot was taken, ms.
    pub created_ms: i64,
    /// The store had been cleanly closed; else it recovers at its next start.
    pub clean: bool,
}

/// Unpacks a snapshot into a folder that is empty or not there, and checks every file on the way.
/// The folder gets its name when everything is there and right.
///
/// # Errors
/// [`ToolError::NotEmpty`]; [`ToolError::BadSnapshot`] if the archive is damaged, incomplete, holds
/// what its manifest does not name, or a path that leaves the folder. Nothing is left behind then.
pub fn restore(
    snapshot: &Path,
    folder: &Path,
    progress: &dyn Progress,
) -> Result<Restored, ToolError> {
    match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        entries => {
            if entries.context(folder, "list")?.next().is_some() {
                return Err(ToolError::NotEmpty { folder: folder.to_path_buf() });
            }
        }
    }
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    fs::create_dir_all(parent).context(parent, "make")?;
    // Removed when it goes out of scope, unless it was kept.
    let building = tempfile::Builder::new().prefix(".restoring-").tempdir_in(parent);
    let building = building.context(parent, "make a folder in")?;
    let manifest = Unpacking { snapshot, into: building.path(), progress }.run()?;
    fs::set_permissions(building.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .context(building.path(), "set the permissions of")?;
    fs::rename(building.path(), folder).context(folder, "rename to")?;
    let _ = building.keep();
    File::open(parent).and_then(|dir| dir.sync_all()).context(parent, "sync")?;
    Ok(Restored {
        folder: folder.to_path_buf(),
        files: manifest.files.len() as u64,
        bytes: manifest.files.iter().map(|file| file.bytes).sum(),
        created_ms: manifest.created_ms,
        clean: manifest.clean,
    })
}

struct Unpacking<'a> {
    snapshot: &'a Path,
    into: &'a Path,
    progress: &'a dyn Progress,
}

impl Unpacking<'_> {
    fn bad(&self, reason: impl Into<String>) -> ToolError {
        ToolError::BadSnapshot { file: self.snapshot.to_path_buf(), reason: reason.into() }
    }

    fn run(&self) -> Result<Manifest, ToolError> {
        let file = File::open(self.snapshot).context(self.snapshot, "open")?;
        let decoder = zstd::Decoder::new(file).map_err(|error| self.bad(error.to_string()))?;
        let mut archive = tar::Archive::new(decoder);
        let damaged = |error: io::Error| self.bad(error.to_string());
        let mut entries = archive.entries().map_err(damaged)?;
        let first = entries.next().ok_or_else(|| self.bad("it is empty"))?.map_err(damaged)?;
        let manifest = self.manifest(first)?;
        self.progress.begin("unpack", manifest.files.iter().map(|file| file.bytes).sum());
        let mut missing: BTreeMap<&str, &ManifestFile> =
            manifest.files.iter().map(|file| (&*file.path, file)).collect();
        for entry in entries {
            let entry = entry.map_err(damaged)?;
            let path = entry.path().map_err(damaged)?.into_owned();
            let name = path.to_str().ok_or_else(|| self.bad("a name is not UTF-8"))?.to_owned();
            match entry.header().entry_type() {
                tar::EntryType::Directory => self.folder(&name)?,
                tar::EntryType::Regular | tar::EntryType::GNUSparse => {
                    let expected = missing.remove(&*name);
                    let expected = expected.ok_or_else(|| {
                        self.bad(format!("`{}` is not in its manifest", name.escape_debug()))
                    })?;
                    self.file(entry, expected)?;
                }
                other => {
                    let name = name.escape_debug();
                    return Err(
                        self.bad(format!("`{name}` is neither a file nor a folder: {other:?}"))
                    );
                }
            }
        }
        if let Some(name) = missing.keys().next() {
            return Err(self.bad(format!("`{}` is missing", name.escape_debug())));
        }
        Ok(manifest)
    }

    fn manifest(&self, entry: impl Read) -> Result<Manifest, ToolError> {
        let mut bytes = Vec::new();
        let mut limited = entry.take(MOST_MANIFEST_BYTES + 1);
        limited.read_to_end(&mut bytes).map_err(|error| self.bad(error.to_string()))?;
        if bytes.len() as u64 > MOST_MANIFEST_BYTES {
            return Err(self.bad("its manifest is too long"));
        }
        let name = manifest::NAME;
        Manifest::from_json(&bytes)
            .map_err(|reason| self.bad(format!("its first entry is no {name}: {reason}")))
    }

    /// A path inside the folder, whatever the archive calls it.
    fn inside(&self, name: &str) -> Result<PathBuf, ToolError> {
        let path = Path::new(name);
        let mut parts = path.components();
        if name.is_empty() || !parts.all(|part| matches!(part, Component::Normal(_))) {
            return Err(self.bad(format!("`{}` leaves the folder", name.escape_debug())));
        }
        Ok(self.into.join(path))
    }

    fn folder(&self, name: &str) -> Result<(), ToolError> {
        let path = self.inside(name)?;
        fs::create_dir_all(&path).context(&path, "make")
    }

    fn file(&self, mut entry: impl Read, expected: &ManifestFile) -> Result<(), ToolError> {
        let path = self.inside(&expected.path)?;
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).context(parent, "make")?;
        }
        let file = OpenOptions::new().write(true).create_new(true).open(&path);
        let mut file = file.context(&path, "make")?;
        let mut crc = Crc::default();
        let (mut block, mut length) = (vec![0; BLOCK], 0);
        loop {
            let count =
                read_full(&mut entry, &mut block).map_err(|error| self.bad(error.to_string()))?;
            let bytes = block.get(..count).unwrap_or_default();
            if bytes.is_empty() {
                break;
            }
            length += count as u64;
            if length > expected.bytes {
                break;
            }
            if bytes.iter().all(|byte| *byte == 0) {
                crc.zeros(count as u64);
                file.seek(SeekFrom::Start(length)).context(&path, "write")?;
            } else {
                crc.add(bytes);
                file.write_all(bytes).context(&path, "write")?;
            }
            self.progress.advance(count as u64);
        }
        if length != expected.bytes || crc.finish() != expected.crc32 {
            let name = expected.path.escape_debug();
            return Err(self.bad(format!("`{name}` is not what its manifest says")));
        }
        file.set_len(length).and_then(|()| file.sync_all()).context(&path, "write")
    }
}

fn read_full(from: &mut impl Read, into: &mut [u8]) -> io::Result<usize> {
    let mut read = 0;
    while let Some(rest) = into.get_mut(read..).filter(|rest| !rest.is_empty()) {
        match from.read(rest) {
            Ok(0) => break,
            Ok(some) => read += some,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}
