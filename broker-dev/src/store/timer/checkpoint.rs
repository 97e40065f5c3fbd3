//! `config/timercheck`: how far the timer has come. 4096 bytes, big-endian.
//!
//! | Offset | Size | Field | |
//! |---|---|---|---|
//! | 0 | 8 | `lastReadTimeMs` | slots before this time are done |
//! | 8 | 8 | `lastTimerLogFlushPos` | position before which the timer log is on the disk |
//! | 16 | 8 | `lastTimerQueueOffset` | next message of the timer topic's queue to take in |
//! | 24 | 8 | `masterTimerQueueOffset` | the same on a master |
//! | 32 | 24 | `stateVersion`, `timestamp`, `counter` | version of the two above |
//! | 56 | 4040 | | zeros |
//!
//! Source: RocketMQ 5.3.3 `store/timer/TimerCheckpoint`.

use std::path::PathBuf;
use std::sync::Arc;

use super::unit::next_i64;
use crate::store::disk::{Disk, DiskFile, Open};
use crate::store::error::{Context, StoreError};

/// Bytes of the file.
const FILE_BYTES: u64 = 4096;
/// Bytes in use.
const USED_BYTES: usize = 56;

/// What the file says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct TimerCheckpoint {
    pub(crate) read_ms: i64,
    pub(crate) log_flushed: i64,
    pub(crate) queue_offset: i64,
    pub(crate) state_version: i64,
    pub(crate) timestamp: i64,
    pub(crate) counter: i64,
}

impl TimerCheckpoint {
    fn encode(&self) -> [u8; USED_BYTES] {
        let mut bytes = [0; USED_BYTES];
        for (slot, field) in bytes.as_chunks_mut::<8>().0.iter_mut().zip([
            self.read_ms,
            self.log_flushed,
            self.queue_offset,
            self.queue_offset,
            self.state_version,
            self.timestamp,
            self.counter,
        ]) {
            *slot = field.to_be_bytes();
        }
        bytes
    }

    /// Reads the fields. Of the two queue offsets the smaller one counts, as with Apache's broker.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes;
        let mut next = || next_i64(&mut rest);
        Some(Self {
            read_ms: next()?,
            log_flushed: next()?,
            queue_offset: next()?.min(next()?),
            state_version: next()?,
            timestamp: next()?,
            counter: next()?,
        })
    }

    /// Whether it can be believed: the time is a slot's, as every one that was written is. One
    /// flipped bit makes it none.
    pub(crate) fn is_sound(&self, precision_ms: i64) -> bool {
        self.read_ms > 0 && self.read_ms % precision_ms == 0 && self.queue_offset >= 0
    }
}

/// The open file.
#[derive(Debug)]
pub(crate) struct CheckpointFile {
    disk: Arc<dyn Disk>,
    file: DiskFile,
}

impl CheckpointFile {
    /// Opens the file, or makes it, and reads it; `None` if it says nothing.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        path: PathBuf,
    ) -> Result<(Self, Option<TimerCheckpoint>), StoreError> {
        let folder = path.parent().map(PathBuf::from).unwrap_or_default();
        disk.create_dir_all(&folder).context(&folder, "create")?;
        let file = disk.open(&path, Open::Any).context(&path, "open")?;
        let bytes = disk.read(&path).context(&path, "read")?;
        if bytes.len() as u64 != FILE_BYTES {
            disk.set_length(&file, FILE_BYTES).context(&path, "set the length of")?;
            disk.sync_dir(&folder).context(&folder, "sync")?;
        }
        Ok((Self { disk, file }, TimerCheckpoint::decode(&bytes)))
    }

    /// Writes and syncs it.
    pub(crate) fn write(&self, checkpoint: &TimerCheckpoint) -> Result<(), StoreError> {
        let path = self.file.path();
        self.disk.write_at(&self.file, 0, &checkpoint.encode()).context(path, "write")?;
        self.disk.sync_data(&self.file).context(path, "sync")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::disk::RealDisk;

    #[test]
    fn gives_back_what_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config/timercheck");
        let open = || CheckpointFile::open(Arc::new(RealDisk), path.clone()).unwrap();
        let (file, found) = open();
        assert_eq!(found, None);
        assert_eq!(open().1, Some(TimerCheckpoint::default()));
        let written = TimerCheckpoint {
            read_ms: 1_700_000_000_000,
            log_flushed: 104,
            queue_offset: 2,
            state_version: 0,
            timestamp: 9,
            counter: 3,
        };
        file.write(&written).unwrap();
        assert_eq!(open().1, Some(written));
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 4096);
    }

    #[test]
    fn no_flipped_bit_of_the_time_is_believed() {
        let sound = TimerCheckpoint { read_ms: 1_700_000_000_000, ..Default::default() };
        assert!(sound.is_sound(1_000) && !TimerCheckpoint::default().is_sound(1_000));
        for bit in 0..64 {
            let flipped = TimerCheckpoint { read_ms: sound.read_ms ^ (1 << bit), ..sound };
            assert!(!flipped.is_sound(1_000), "{bit}");
        }
    }
}
