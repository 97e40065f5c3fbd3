//! Looking at units: a few kilobytes of them at a time.

use super::queue::{ConsumeQueue, Entry, QueueKind};

/// Bytes of units that a search reads at once.
const WINDOW_BYTES: usize = 4096;
/// Bytes of units that a scan reads at first; each time it reads on, it reads more.
const FIRST_SCAN_BYTES: usize = 1024;
const MOST_SCAN_BYTES: usize = 16 * 1024;

/// Units of a queue by their number, the last ones looked at kept.
#[derive(Debug)]
pub(crate) struct Window<'q> {
    queue: &'q ConsumeQueue,
    start: i64,
    bytes: Vec<u8>,
}

impl<'q> Window<'q> {
    /// Nothing looked at yet.
    pub(crate) fn new(queue: &'q ConsumeQueue) -> Self {
        Self { queue, start: 0, bytes: Vec::new() }
    }

    /// The entry with a number, blank or not; `None` if there is none or it cannot be read.
    pub(crate) fn entry(&mut self, index: i64) -> Option<Entry> {
        let unit_bytes = self.queue.kind().unit_bytes();
        if let Some(entry) = self.kept(index, unit_bytes) {
            return Some(entry);
        }
        let per_file = self.queue.files.file_bytes() / unit_bytes as i64;
        let per_window = (WINDOW_BYTES / unit_bytes) as i64;
        self.start = index - index.rem_euclid(per_file) % per_window;
        self.bytes.clear();
        let offset = self.start.checked_mul(unit_bytes as i64)?;
        let most = WINDOW_BYTES / unit_bytes * unit_bytes;
        // The window may begin in a file and end in memory.
        while self.bytes.len() < most {
            let read = self.queue.files.read(
                offset + self.bytes.len() as i64,
                most - self.bytes.len(),
                &mut self.bytes,
            );
            match read {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%error, "units of a queue cannot be read");
                    break;
                }
            }
        }
        self.kept(index, unit_bytes)
    }

    fn kept(&self, index: i64, unit_bytes: usize) -> Option<Entry> {
        let at = usize::try_from(index - self.start).ok()?.checked_mul(unit_bytes)?;
        let bytes = self.bytes.get(at..at.checked_add(unit_bytes)?)?;
        self.queue.decode(index, bytes)
    }

    /// The entry with a number, if a record may stand behind it.
    pub(crate) fn record(&mut self, index: i64) -> Option<Entry> {
        self.entry(index).filter(|entry| entry.unit.is_record())
    }

    /// Number of the unit that holds the message with this offset, or the next one in a batch queue
    /// if none does.
    pub(crate) fn index_of(&mut self, offset: i64) -> Option<i64> {
        let (first, end) = (self.queue.first_index(), self.queue.end_index());
        let index = match self.queue.kind() {
            QueueKind::Simple => offset,
            QueueKind::Batch => {
                let ends_after = |entry: &Entry| entry.offset.saturating_add(entry.count) > offset;
                self.partition(first, end, |window, index| {
                    window.entry(index).is_none_or(|entry| ends_after(&entry))
                })
            }
        };
        (first..end).contains(&index).then_some(index)
    }

    /// The first number of `from..to` whose record fulfils a condition that, once fulfilled, all
    /// later ones fulfil; `to` if none does. A blank is as the next record is.
    pub(crate) fn first_where(
        &mut self,
        from: i64,
        to: i64,
        is_met: impl Fn(&Entry) -> bool,
    ) -> i64 {
        self.partition(from, to, |window, index| {
            let record = (index..to).find_map(|index| window.record(index));
            record.is_none_or(|entry| is_met(&entry))
        })
    }

    fn partition(&mut self, from: i64, to: i64, is_met: impl Fn(&mut Self, i64) -> bool) -> i64 {
        let (mut low, mut high) = (from, to);
        if low < high && is_met(self, low) {
            return low;
        }
        while low < high {
            let middle = low + (high - low) / 2;
            if is_met(self, middle) { high = middle } else { low = middle + 1 }
        }
        low
    }
}

/// Entries of a queue in their order.
#[derive(Debug)]
pub(crate) struct Scan<'q> {
    queue: &'q ConsumeQueue,
    /// Number of the unit at `at`.
    index: i64,
    bytes: Vec<u8>,
    at: usize,
    chunk: usize,
}

impl<'q> Scan<'q> {
    /// From the unit with this number on; `None` if it cannot be read.
    pub(super) fn new(queue: &'q ConsumeQueue, index: i64) -> Option<Self> {
        let chunk = FIRST_SCAN_BYTES;
        let mut scan = Self { queue, index, bytes: Vec::with_capacity(chunk), at: 0, chunk };
        scan.read_on().then_some(scan)
    }

    fn read_on(&mut self) -> bool {
        let unit_bytes = self.queue.kind().unit_bytes();
        self.bytes.clear();
        self.at = 0;
        let most = self.chunk / unit_bytes * unit_bytes;
        self.chunk = (self.chunk * 4).min(MOST_SCAN_BYTES);
        let offset = self.index.saturating_mul(unit_bytes as i64);
        match self.queue.files.read(offset, most, &mut self.bytes) {
            Ok(read) => read >= unit_bytes,
            Err(error) => {
                tracing::warn!(%error, "units of a queue cannot be read");
                false
            }
        }
    }
}

impl Iterator for Scan<'_> {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        let unit_bytes = self.queue.kind().unit_bytes();
        if self.at + unit_bytes > self.bytes.len() && !self.read_on() {
            return None;
        }
        let entry = self.queue.decode(self.index, self.bytes.get(self.at..)?)?;
        self.at += unit_bytes;
        self.index += 1;
        Some(entry)
    }
}
