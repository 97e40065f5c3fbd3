//! The `checkpoint` file: up to when the store's files are known to be on the disk.
//!
//! | Offset | Size | Field | |
//! |---|---|---|---|
//! | 0 | 8 | `physicMsgTimestamp` | store time of the last record synced to the log, ms |
//! | 8 | 8 | `logicsMsgTimestamp` | store time of the last record whose queue unit is synced, ms |
//! | 16 | 8 | `indexMsgTimestamp` | the same for the index files |
//! | 24 | 16 | `masterFlushedOffset`, `confirmPhyOffset` | kept as found |
//! | 40 | 24 | | zeros |
//! | 64 | 8 | | ours: log offset before which the log was synced |
//! | 72 | 8 | | ours: `physicMsgTimestamp` again; other than that one, the offset is not believed |
//! | 80 | 4016 | | zeros |
//!
//! Times are too coarse to tell which records of one millisecond were synced; hence the offset.
//! Apache's broker passes it over, and leaves an old one there.
//!
//! Source: RocketMQ 5.3.3 `store/StoreCheckpoint`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::{Disk, DiskFile, Open};
use super::error::{Context, StoreError};

/// Bytes of the file.
const FILE_BYTES: u64 = 4096;
/// Records of the same few seconds may be on either side of a checkpoint.
const MARGIN_MS: i64 = 3_000;

/// Where our part begins.
const OURS: usize = 64;

/// The three times; 0 means that nothing is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    pub(crate) log_ms: i64,
    pub(crate) queues_ms: i64,
    pub(crate) index_ms: i64,
    /// Log offset before which everything is on the disk; 0 if the file does not tell.
    pub(crate) durable: i64,
}

impl Checkpoint {
    /// Store time before which log, queues and index are complete on the disk.
    pub(crate) fn safe_before_ms(&self) -> i64 {
        self.log_ms.min(self.queues_ms).min(self.index_ms).saturating_sub(MARGIN_MS).max(0)
    }

    /// What stands at the file's beginning, and what at [`OURS`].
    fn encode(&self) -> ([u8; 24], [u8; 16]) {
        let (mut times, mut ours) = ([0; 24], [0; 16]);
        let fill = |bytes: &mut [u8], numbers: &[i64]| {
            for (slot, number) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(numbers) {
                *slot = number.to_be_bytes();
            }
        };
        fill(&mut times, &[self.log_ms, self.queues_ms, self.index_ms]);
        fill(&mut ours, &[self.durable, self.log_ms]);
        (times, ours)
    }

    /// Times that are cut off or negative count as unknown: recovery then starts earlier.
    pub(crate) fn decode(bytes: &[u8]) -> Self {
        let number = |at: usize| {
            let bytes = bytes.get(at..).and_then(<[u8]>::first_chunk);
            bytes.map_or(0, |bytes| i64::from_be_bytes(*bytes).max(0))
        };
        let log_ms = number(0);
        let durable = if number(OURS + 8) == log_ms { number(OURS) } else { 0 };
        Self { log_ms, queues_ms: number(8), index_ms: number(16), durable }
    }
}

/// The open file.
#[derive(Debug)]
pub(crate) struct CheckpointFile {
    disk: Arc<dyn Disk>,
    file: DiskFile,
}

impl CheckpointFile {
    /// Opens or makes `checkpoint` in the store's root and reads it.
    pub(crate) fn open(disk: Arc<dyn Disk>, root: &Path) -> Result<(Self, Checkpoint), StoreError> {
        let path: PathBuf = root.join("checkpoint");
        let file = disk.open(&path, Open::Any).context(&path, "open")?;
        let bytes = disk.read(&path).context(&path, "read")?;
        let checkpoint = Checkpoint::decode(&bytes);
        if bytes.len() as u64 != FILE_BYTES {
            disk.set_length(&file, FILE_BYTES).context(&path, "set the length of")?;
            disk.reserve(&file, 0, FILE_BYTES).context(&path, "reserve blocks for")?;
        }
        Ok((Self { disk, file }, checkpoint))
    }

    /// Writes and syncs the times.
    pub(crate) fn write(&self, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        let path = self.file.path();
        let (times, ours) = checkpoint.encode();
        self.disk.write_at(&self.file, 0, &times).context(path, "write")?;
        self.disk.write_at(&self.file, OURS as u64, &ours).context(path, "write")?;
        self.disk.sync_data(&self.file).context(path, "sync")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::disk::RealDisk;
    use std::fs;

    #[test]
    fn keeps_the_times_and_the_fields_of_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checkpoint");
        let mut page = [0u8; 4096];
        page[24..32].copy_from_slice(&7i64.to_be_bytes());
        fs::write(&path, page).unwrap();
        let (file, found) = CheckpointFile::open(Arc::new(RealDisk), folder.path()).unwrap();
        assert_eq!(found, Checkpoint::default());
        let written =
            Checkpoint { log_ms: 10_000, queues_ms: 9_000, index_ms: 20_000, durable: 77 };
        file.write(&written).unwrap();
        let (_, found) = CheckpointFile::open(Arc::new(RealDisk), folder.path()).unwrap();
        assert_eq!((found, found.safe_before_ms()), (written, 6_000));
        let bytes = fs::read(&path).unwrap();
        assert_eq!((&bytes[..8], bytes[31], bytes.len()), (&10_000i64.to_be_bytes()[..], 7, 4096));
    }

    #[test]
    fn an_offset_counts_only_beside_its_own_time() {
        let folder = tempfile::tempdir().unwrap();
        let (file, _) = CheckpointFile::open(Arc::new(RealDisk), folder.path()).unwrap();
        let written = Checkpoint { log_ms: 9, durable: 77, ..Checkpoint::default() };
        file.write(&written).unwrap();
        // Another broker goes on with the times alone.
        file.disk.write_at(&file.file, 0, &10i64.to_be_bytes()).unwrap();
        let (_, found) = CheckpointFile::open(Arc::new(RealDisk), folder.path()).unwrap();
        assert_eq!((found.log_ms, found.durable), (10, 0));
    }

    #[test]
    fn a_cut_off_or_senseless_file_knows_nothing() {
        for bytes in [&b""[..], &[0xFF; 4096], &[1; 7]] {
            assert_eq!(Checkpoint::decode(bytes).safe_before_ms(), 0);
        }
    }
}
