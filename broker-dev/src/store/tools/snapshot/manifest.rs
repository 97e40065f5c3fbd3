//! What an archive says of itself.

use serde::{Deserialize, Serialize};

/// The manifest's name in the archive: its first entry.
pub(super) const NAME: &str = "manifest.json";
/// What it calls itself.
const FORMAT: &str = "rocketmq-store-snapshot";
const VERSION: u32 = 1;

/// The first entry of an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Manifest {
    format: String,
    version: u32,
    pub(super) created_ms: i64,
    pub(super) clean: bool,
    pub(super) folders: Vec<String>,
    pub(super) files: Vec<ManifestFile>,
}

/// One file in the archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ManifestFile {
    pub(super) path: String,
    pub(super) bytes: u64,
    /// CRC-32 (IEEE) of all of its bytes.
    pub(super) crc32: u32,
}

impl Manifest {
    pub(super) fn new(
        created_ms: i64,
        clean: bool,
        folders: Vec<String>,
        files: Vec<ManifestFile>,
    ) -> Self {
        Self { format: FORMAT.into(), version: VERSION, created_ms, clean, folders, files }
    }

    pub(super) fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(self).unwrap_or_default()
    }

    /// Reads it; else tells why it is none.
    pub(super) fn from_json(bytes: &[u8]) -> Result<Self, String> {
        let manifest: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if manifest.format != FORMAT || manifest.version != VERSION {
            return Err(format!("it is a `{}` of version {}", manifest.format, manifest.version));
        }
        Ok(manifest)
    }
}

/// A CRC-32 that takes stretches of zeros without looking at them.
#[derive(Debug, Default)]
pub(super) struct Crc(crc32fast::Hasher);

impl Crc {
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Adds so many zeros.
    pub(super) fn zeros(&mut self, mut count: u64) {
        // The CRC of twice as many zeros is that of the half, joined with itself.
        let mut some = crc32fast::Hasher::new();
        some.update(&[0]);
        while count > 0 {
            if count & 1 == 1 {
                self.0.combine(&some);
            }
            let half = some.clone();
            some.combine(&half);
            count >>= 1;
        }
    }

    pub(super) fn finish(self) -> u32 {
        self.0.finalize()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_count_as_if_they_were_read() {
        for count in [0, 1, 2, 3, 1_000, 65_537] {
            let mut crc = Crc::default();
            crc.add(b"before");
            crc.zeros(count);
            crc.add(b"after");
            let mut bytes = b"before".to_vec();
            bytes.resize(6 + usize::try_from(count).unwrap(), 0);
            bytes.extend_from_slice(b"after");
            assert_eq!(crc.finish(), crc32fast::hash(&bytes), "{count}");
        }
    }
}
