//! The log as it lies in its files before recovery's pass: nothing of it is trusted.

use oxmq::protocol::message::record::Record;

use crate::store::commit_log::{Found, check};
use crate::store::mapped_file::MappedWriter;

/// See the [module](self).
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogView<'a> {
    files: &'a [MappedWriter],
}

impl<'a> LogView<'a> {
    pub(super) fn new(files: &'a [MappedWriter]) -> Self {
        Self { files }
    }

    /// Offset of the first byte there is.
    pub(crate) fn min(&self) -> i64 {
        self.files.first().map_or(0, |file| file.file().start())
    }

    /// Number of the file that holds an offset, or of the one that would follow.
    pub(super) fn file_of(&self, offset: i64) -> usize {
        self.files.partition_point(|file| file.file().start() <= offset).saturating_sub(1)
    }

    /// The sound record that begins at an offset, and its length.
    pub(crate) fn record(&self, offset: i64) -> Option<(Record<'a>, usize)> {
        match self.found(offset)? {
            Found::Record(record, length) => Some((record, length)),
            _ => None,
        }
    }

    /// The records from the one that begins at `offset` on, each with its length, up to the first
    /// place that holds none.
    pub(crate) fn records_from(
        &self,
        mut offset: i64,
    ) -> impl Iterator<Item = (Record<'a>, usize)> {
        let view = *self;
        std::iter::from_fn(move || {
            loop {
                match view.found(offset)? {
                    Found::Record(record, length) => {
                        offset += length as i64;
                        return Some((record, length));
                    }
                    Found::Blank => {
                        let next = view.files.get(view.file_of(offset) + 1)?.file().start();
                        offset = next;
                    }
                    Found::Unwritten | Found::Damaged(_) => return None,
                }
            }
        })
    }

    fn found(&self, offset: i64) -> Option<Found<'a>> {
        let file = self.files.get(self.file_of(offset))?;
        let at = usize::try_from(offset.checked_sub(file.file().start())?).ok()?;
        (at <= file.all().len()).then(|| check(file.all(), at, file.file().start()))
    }
}
