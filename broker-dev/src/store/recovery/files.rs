//! The commit log's files, before and after the pass over them.

use std::sync::Arc;

use crate::store::disk::{Disk, Open};
use crate::store::error::{Context, StoreError};
use crate::store::layout;
use crate::store::mapped_file::MappedWriter;
use crate::store::mapped_file_queue::{self, MappedFileQueue};
use crate::store::options::StoreOptions;

/// The commit log's files, none shown yet; their size is that of those there are.
pub(super) fn open_log_queue(
    options: &mut StoreOptions,
    disk: &Arc<dyn Disk>,
) -> Result<MappedFileQueue, StoreError> {
    let dir = options.commit_log_dir();
    let found = mapped_file_queue::list(&**disk, &dir)?;
    let lengths = found.iter().map(|file| file.length);
    options.commit_log_file_bytes =
        layout::commit_log_file_bytes(lengths, options.commit_log_file_bytes);
    let file_bytes = usize::try_from(options.commit_log_file_bytes).unwrap_or(usize::MAX);
    Ok(MappedFileQueue::new(dir, file_bytes, Arc::clone(disk)))
}

/// Maps the log's files. An empty last one is removed, one that was cut short gets its length back.
pub(super) fn open_log_files(
    queue: &MappedFileQueue,
    disk: &dyn Disk,
) -> Result<Vec<MappedWriter>, StoreError> {
    let mut found = mapped_file_queue::list(disk, queue.dir())?;
    while let Some(empty) = found.pop_if(|last| last.length == 0) {
        queue.remove(&empty.path)?;
    }
    let full = queue.file_bytes() as u64;
    let mut files = Vec::with_capacity(found.len());
    for file in &found {
        if file.length > full {
            let reason = format!(
                "{} has {} bytes, the other commit-log files {full}",
                file.path.display(),
                file.length
            );
            return Err(StoreError::BadOptions { reason });
        }
        if file.length < full {
            let open = disk.open(&file.path, Open::Existing).context(&file.path, "open")?;
            disk.set_length(&open, full).context(&file.path, "set the length of")?;
        }
        files.push(queue.open(file)?);
    }
    Ok(files)
}

/// Makes sure that behind the log's end nothing is left that a later recovery could take for
/// a record, and that there is room on the disk.
pub(super) fn clear_rest(disk: &dyn Disk, writer: &mut MappedWriter) -> Result<(), StoreError> {
    let (end, length) = (writer.published(), writer.file().length());
    let file = Arc::clone(writer.file());
    let file = file.disk_file();
    if has_data(disk, writer, end)? {
        disk.zero(file, end as u64, length as u64).context(file.path(), "clear")?;
        disk.sync_data(file).context(file.path(), "sync")?;
    }
    disk.reserve(file, end as u64, length as u64).context(file.path(), "reserve blocks for")?;
    Ok(())
}

/// Whether a byte other than zero stands at or after `from`.
fn has_data(disk: &dyn Disk, writer: &MappedWriter, from: usize) -> Result<bool, StoreError> {
    const WINDOW: usize = 1 << 20;
    let file = writer.file().disk_file();
    let mut at = from;
    while at < writer.all().len() {
        let data = disk.next_data(file, at as u64).context(file.path(), "read")?;
        let Some(data) = data.and_then(|data| usize::try_from(data).ok()) else { return Ok(false) };
        let end = data.saturating_add(WINDOW).min(writer.all().len());
        let window = writer.all().get(data.max(at)..end).unwrap_or_default();
        if window.iter().any(|byte| *byte != 0) {
            return Ok(true);
        }
        at = end;
    }
    Ok(false)
}
