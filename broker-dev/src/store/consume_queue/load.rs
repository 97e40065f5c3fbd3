//! Opening the files of a queue: which of its units count.

use std::sync::atomic::Ordering;

use super::ext::is_address;
use super::queue::{ConsumeQueue, Entry, QueueKind};
use super::window::Window;
use crate::store::error::StoreError;
use crate::store::mapped_file_queue::Found;

/// What decides which units of a queue's files count.
pub(crate) struct Rules<'a> {
    /// Log offset at which the topic was deleted last: if the first record is from before, none
    /// counts.
    pub(crate) born: i64,
    /// Units of records from this log offset on do not count: they are put back, if there are any.
    pub(crate) cut: i64,
    /// Whether the record of an entry is the one that it stands for.
    pub(crate) is_right: &'a dyn Fn(&ConsumeQueue, &Entry) -> bool,
}

impl ConsumeQueue {
    /// Opens the files of a queue, keeping the units that count.
    ///
    /// Units after those are left to be overwritten by [`append`](Self::append), which for a good
    /// file puts the same bytes there. Files that are no part of a row, or have a wrong length, are
    /// removed: what they held is in the log.
    ///
    /// Tells whether there was something behind those: units that are put back by recovery, remains
    /// of an earlier life, or damaged ones.
    ///
    /// # Errors
    /// A file cannot be read or removed.
    pub(crate) fn load(
        &self,
        found: &[Found],
        ext_found: &[Found],
        rules: &Rules<'_>,
    ) -> Result<bool, StoreError> {
        let unit_bytes = self.kind().unit_bytes() as i64;
        let count = self.files.take_over(found);
        let first = self.first_index();
        let mut window = Window::new(self);
        let is_gone = count == 0 || is_from_before(&mut window, first, rules.born);
        let (end, is_doubtful) =
            if is_gone { (first, false) } else { kept_end(self, &mut window, first, rules) };
        let last = (first..end).next_back().and_then(|index| window.entry(index));
        let base = window.entry(first).map(|entry| entry.offset);
        // The file that the next unit comes into stays too: most often it gets the same ones again.
        let files = found.iter().take(if is_gone { 0 } else { count });
        let keep = files.take_while(|file| file.start <= end * unit_bytes).count();
        self.files.cut(found, keep, end * unit_bytes)?;
        if let Some(ext) = &self.ext {
            let last =
                if ext_found.is_empty() { None } else { last_address(&mut window, first, end) };
            ext.load(ext_found, last)?;
        }
        let Some(last) = last else { return Ok(is_doubtful) };
        self.min.store(base.unwrap_or(last.offset), Ordering::Release);
        self.max.store(last.offset + last.count, Ordering::Release);
        self.is_fresh.store(false, Ordering::Release);
        Ok(is_doubtful)
    }

    /// Ends loading: the next message follows the last unit, and the first readable one is the
    /// first whose record is at or after `log_min`.
    pub(crate) fn finish_loading(&self, log_min: i64) {
        self.assigned().store(self.max(), Ordering::Release);
        if self.max() > 0 {
            self.correct_min(log_min);
        }
    }
}

/// Whether the first record lies before a log offset.
fn is_from_before(window: &mut Window<'_>, first: i64, born: i64) -> bool {
    if born <= 0 {
        return false;
    }
    let mut entries = (first..).map_while(|index| window.entry(index));
    entries
        .find(|entry| entry.unit.is_record())
        .is_some_and(|entry| entry.unit.physical_offset < born)
}

/// Number of the unit after the last one whose record starts before the cut and is the right one;
/// and whether there was something behind it.
fn kept_end(
    queue: &ConsumeQueue,
    window: &mut Window<'_>,
    first: i64,
    rules: &Rules<'_>,
) -> (i64, bool) {
    let per_file = queue.files.file_bytes() / queue.kind().unit_bytes() as i64;
    let end = queue.end_index();
    let mut is_kept = |index: i64| {
        window.entry(index).is_some_and(|entry| {
            let is_placed =
                queue.kind() == QueueKind::Simple || entry.offset >= 0 && entry.count > 0;
            is_placed
                && entry.unit.length > 0
                && (0..rules.cut).contains(&entry.unit.physical_offset)
        })
    };
    if !is_kept(first) {
        return (first, is_doubtful(window, first));
    }
    // The last file that begins with such a unit; in it, ever longer steps from its start, so that
    // a short queue costs one read.
    let (mut low, mut high) = (first, end);
    while low + per_file < high {
        let middle = low + (high - low) / per_file / 2 * per_file;
        if middle == low {
            break;
        }
        if is_kept(middle) { low = middle } else { high = middle }
    }
    let mut step = 1;
    while low + step < high && is_kept(low + step) {
        low += step;
        step *= 2;
    }
    high = high.min(low + step);
    while low + 1 < high {
        let middle = low + (high - low) / 2;
        if is_kept(middle) { low = middle } else { high = middle }
    }
    // What an earlier life of the file left behind may look like units; their records do not.
    let mut kept = low + 1;
    while kept > first
        && !window.entry(kept - 1).is_some_and(|entry| (rules.is_right)(queue, &entry))
    {
        kept -= 1;
    }
    (kept, is_doubtful(window, kept))
}

/// Whether something was written behind the last unit that counts.
fn is_doubtful(window: &mut Window<'_>, end: i64) -> bool {
    let unit = window.entry(end).map(|entry| entry.unit);
    unit.is_some_and(|unit| unit.physical_offset != 0 || unit.length != 0)
}

/// The address of the last extension that a unit points at.
fn last_address(window: &mut Window<'_>, first: i64, end: i64) -> Option<i64> {
    let mut codes =
        (first..end).rev().map_while(|index| window.entry(index)).map(|entry| entry.unit.tags_code);
    codes.find(|code| is_address(*code))
}
