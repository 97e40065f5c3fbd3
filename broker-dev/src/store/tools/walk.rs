//! Walking over the commit log without trusting a byte of it.
//!
//! The rules are those of the recovery: what is a record, where a damaged place ends, and where the
//! log does.

use std::io;
use std::ops::ControlFlow;

use oxmq::protocol::message::properties::name;
use oxmq::protocol::message::record::{MAGIC_V1, MAGIC_V2, Record, position};

use super::error::ToolError;
use super::folder::{Folder, StoreFile};
use super::progress::Progress;
use super::reader::{MOST_BYTES, Reader};
use super::verify::Lost;
use crate::store::commit_log::{Found, candidates, check_here};
use crate::store::layout;
use crate::store::recovery::implausible;

/// Bytes read at a time.
const CHUNK: usize = 4 << 20;
/// Bytes searched at a time for a sound place.
const WINDOW: usize = 1 << 20;
/// Bytes of a record before its magic.
const MAGIC_AT: u64 = 4;
/// Bytes after which the progress is told.
const STRIDE: u64 = 16 << 20;

/// A sound record and where it stands.
#[derive(Debug)]
pub(super) struct RecordAt<'a> {
    pub(super) record: Record<'a>,
    pub(super) bytes: &'a [u8],
    pub(super) file: &'a StoreFile,
    /// Byte in the file.
    pub(super) at: u64,
}

/// A stretch of a file that holds no sound record.
#[derive(Debug)]
pub(super) struct DamageAt<'a> {
    pub(super) file: &'a StoreFile,
    pub(super) at: u64,
    /// Bytes up to where sound ones go on.
    pub(super) length: u64,
    pub(super) reason: String,
    /// What the bytes tell about the record that stood here.
    pub(super) remains: Option<Lost>,
}

/// What is met on the way.
#[derive(Debug)]
pub(super) enum Event<'a> {
    Record(RecordAt<'a>),
    /// Sound records follow behind it.
    Damage(DamageAt<'a>),
    /// No sound record follows: the log ends here, but not with bytes that were never written.
    TornEnd(DamageAt<'a>),
    /// A file that should follow is missing; the offsets are those of its bytes.
    Gap(i64, i64),
    /// A file cannot be read (on).
    Unreadable(&'a StoreFile, u64, String),
}

/// Where a walk ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Walked {
    /// Offset after the last sound byte.
    pub(super) end: i64,
    pub(super) last_store_ms: i64,
}

/// The files of a log that is walked over.
#[derive(Debug)]
pub(super) struct LogWalk<'a> {
    folder: &'a Folder,
    files: &'a [StoreFile],
    file_bytes: u64,
}

/// Number of a file, and byte in it.
type Place = (usize, u64);
/// Number of a file, and why it cannot be read.
type Unreadable = (usize, io::Error);

/// Bytes of a log file, given the files.
pub(super) fn file_bytes(files: &[StoreFile]) -> u64 {
    let longest = files.iter().map(|file| file.length).max().unwrap_or(0);
    layout::commit_log_file_bytes(files.iter().map(|file| file.length), longest)
}

impl<'a> LogWalk<'a> {
    pub(super) fn new(folder: &'a Folder, files: &'a [StoreFile]) -> Self {
        Self { folder, files, file_bytes: file_bytes(files) }
    }

    /// Visits everything from a log offset on, in order; the visitor may end it.
    pub(super) fn run(
        &self,
        from: i64,
        progress: &dyn Progress,
        visit: &mut dyn FnMut(Event<'_>) -> Result<ControlFlow<()>, ToolError>,
    ) -> Result<Walked, ToolError> {
        let first = self.files.partition_point(|file| file.end() <= from);
        let Some(file) = self.files.get(first) else { return Ok(Walked::default()) };
        let mut place = (first, u64::try_from(from - file.start).unwrap_or(0));
        let mut walked = Walked::default();
        while let Some(file) = self.files.get(place.0) {
            if place.1 == 0 && place.0 > first {
                let before = self.files.get(place.0 - 1).map_or(file.start, |before| {
                    before.start.saturating_add(i64::try_from(self.file_bytes).unwrap_or(i64::MAX))
                });
                if before != file.start && visit(Event::Gap(before, file.start))?.is_break() {
                    return Ok(walked);
                }
            }
            walked.end = file.start.saturating_add(i64::try_from(place.1).unwrap_or(i64::MAX));
            match self.file(place, &mut walked, progress, visit)? {
                ControlFlow::Continue(next) => place = next,
                ControlFlow::Break(()) => return Ok(walked),
            }
        }
        Ok(walked)
    }

    /// Walks through one file; returns where to go on.
    fn file(
        &self,
        (number, mut at): Place,
        walked: &mut Walked,
        progress: &dyn Progress,
        visit: &mut dyn FnMut(Event<'_>) -> Result<ControlFlow<()>, ToolError>,
    ) -> Result<ControlFlow<(), Place>, ToolError> {
        let Some(file) = self.files.get(number) else { return Ok(ControlFlow::Break(())) };
        let next_file = Ok(ControlFlow::Continue((number + 1, 0)));
        let mut reader = match Reader::open(self.folder.disk(), &file.path, CHUNK) {
            Ok(reader) => reader,
            Err(error) => {
                let event = Event::Unreadable(file, 0, error.to_string());
                return if visit(event)?.is_break() {
                    Ok(ControlFlow::Break(()))
                } else {
                    next_file
                };
            }
        };
        let mut told = at;
        loop {
            if at - told >= STRIDE {
                progress.advance(at - told);
                told = at;
            }
            let offset = file.start.saturating_add(i64::try_from(at).unwrap_or(i64::MAX));
            walked.end = offset;
            let found = judge(&mut reader, at, self.file_bytes, offset);
            let (reason, remains) = match found {
                Err(error) => {
                    let event = Event::Unreadable(file, at, error.to_string());
                    let is_over = visit(event)?.is_break();
                    return if is_over { Ok(ControlFlow::Break(())) } else { next_file };
                }
                Ok(Judged::Blank) => {
                    progress.advance(file.length.saturating_sub(told));
                    walked.end =
                        file.start.saturating_add(i64::try_from(self.file_bytes).unwrap_or(0));
                    return next_file;
                }
                Ok(Judged::Record(record, bytes)) => {
                    walked.last_store_ms = record.store_timestamp;
                    let length = bytes.len() as u64;
                    let flow = visit(Event::Record(RecordAt { record, bytes, file, at }))?;
                    at += length;
                    walked.end = offset.saturating_add(i64::try_from(length).unwrap_or(0));
                    if flow.is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                    continue;
                }
                Ok(Judged::Unwritten) => (None, None),
                Ok(Judged::Damaged(reason, remains)) => (Some(reason), remains),
            };
            let next = match self.next_sound((number, at + 1), walked.last_store_ms) {
                Ok(next) => next,
                Err((unreadable, error)) => {
                    // What follows cannot be looked for: the log may end here or not.
                    let unreadable = self.files.get(unreadable).unwrap_or(file);
                    let begin = if unreadable.start == file.start { at } else { 0 };
                    let _ = visit(Event::Unreadable(unreadable, begin, error.to_string()))?;
                    return Ok(ControlFlow::Break(()));
                }
            };
            let until = match next {
                Some((same, to)) if same == number => to,
                _ => self.file_bytes.max(file.length),
            };
            let length = until.saturating_sub(at);
            let damage = |reason| DamageAt { file, at, length, reason, remains };
            let Some(next) = next else {
                if let Some(reason) = reason {
                    let _ = visit(Event::TornEnd(damage(reason)))?;
                }
                return Ok(ControlFlow::Break(()));
            };
            let reason = reason.unwrap_or_else(|| "nothing was written here".into());
            if visit(Event::Damage(damage(reason)))?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
            if next.0 == number {
                at = next.1;
            } else {
                return self.skip_files(number + 1, next, visit);
            }
        }
    }

    /// Reports files without any sound record, up to a place where one is.
    fn skip_files(
        &self,
        from: usize,
        to: Place,
        visit: &mut dyn FnMut(Event<'_>) -> Result<ControlFlow<()>, ToolError>,
    ) -> Result<ControlFlow<(), Place>, ToolError> {
        for (number, file) in self.files.iter().enumerate().take(to.0 + 1).skip(from) {
            let length = if number == to.0 { to.1 } else { file.length };
            if length > 0 {
                let reason = "no sound record begins here".to_owned();
                let damage = DamageAt { file, at: 0, length, reason, remains: None };
                if visit(Event::Damage(damage))?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
        Ok(ControlFlow::Continue(to))
    }

    /// The next place where the log goes on; `None` if it does not: nothing sound is left, or only
    /// what an earlier cut of the log left behind (Apache's broker does not clear what it cuts).
    fn next_sound(&self, from: Place, last_store_ms: i64) -> Result<Option<Place>, Unreadable> {
        let Some(place) = self.next_place(from)? else { return Ok(None) };
        let mut at = place;
        // A blank tells no time: the first record behind it does.
        loop {
            let store_ms = self.store_ms(at).map_err(|error| (at.0, error))?;
            if let Some(store_ms) = store_ms {
                return Ok((store_ms >= last_store_ms).then_some(place));
            }
            match self.next_place((at.0, at.1 + 1))? {
                Some(next) => at = next,
                None => return Ok(None),
            }
        }
    }

    fn store_ms(&self, (number, at): Place) -> io::Result<Option<i64>> {
        let Some(file) = self.files.get(number) else { return Ok(None) };
        let mut reader = Reader::open(self.folder.disk(), &file.path, 64 * 1024)?;
        let offset = file.start.saturating_add(i64::try_from(at).unwrap_or(i64::MAX));
        Ok(match judge(&mut reader, at, self.file_bytes, offset)? {
            Judged::Record(record, _) => Some(record.store_timestamp),
            _ => None,
        })
    }

    fn next_place(&self, (number, at): Place) -> Result<Option<Place>, Unreadable> {
        let mut from = at;
        for (number, file) in self.files.iter().enumerate().skip(number) {
            let found = self.next_in_file(file, from).map_err(|error| (number, error))?;
            if let Some(at) = found {
                return Ok(Some((number, at)));
            }
            from = 0;
        }
        Ok(None)
    }

    fn next_in_file(&self, file: &StoreFile, from: u64) -> io::Result<Option<u64>> {
        let disk = self.folder.disk();
        let mut search = Reader::open(disk, &file.path, WINDOW)?;
        let mut probe = Reader::open(disk, &file.path, 64 * 1024)?;
        let mut at = from;
        while let Some(data) = search.next_data(at)? {
            // A record may begin in the last zero bytes before.
            let begin = data.saturating_sub(MAGIC_AT).max(at);
            let window = search.at(begin.saturating_add(MAGIC_AT), WINDOW)?;
            for candidate in candidates(window.get(..WINDOW).unwrap_or(window)) {
                let place = begin + candidate as u64;
                let offset = file.start.saturating_add(i64::try_from(place).unwrap_or(i64::MAX));
                let found = judge(&mut probe, place, self.file_bytes, offset)?;
                if matches!(found, Judged::Record(..) | Judged::Blank) {
                    return Ok(Some(place));
                }
            }
            at = begin + WINDOW as u64;
        }
        Ok(None)
    }
}

/// What stands at a place.
enum Judged<'a> {
    Record(Record<'a>, &'a [u8]),
    Blank,
    Unwritten,
    Damaged(String, Option<Lost>),
}

/// Judges the bytes at `at` of a file that should have `file_bytes`.
fn judge<'r>(
    reader: &'r mut Reader<'_>,
    at: u64,
    file_bytes: u64,
    offset: i64,
) -> io::Result<Judged<'r>> {
    let left = file_bytes.saturating_sub(at);
    let wanted = wanted_length(reader.at(at, position::SYS_FLAG)?, left, offset);
    let rest = reader.at(at, wanted)?;
    if left >= 8 && rest.len() < 8 {
        let is_empty = rest.iter().all(|byte| *byte == 0);
        let reason = || Judged::Damaged("the file ends here".into(), None);
        return Ok(if is_empty { Judged::Unwritten } else { reason() });
    }
    Ok(match check_here(rest, left, offset) {
        Found::Blank => Judged::Blank,
        Found::Unwritten => Judged::Unwritten,
        Found::Record(record, length) => match implausible(&record) {
            None => Judged::Record(record, rest.get(..length).unwrap_or_default()),
            Some(reason) => Judged::Damaged(reason, Some(Lost::of(&record, length))),
        },
        Found::Damaged(reason) => {
            let readable = Record::decode(rest).ok().flatten();
            let readable = readable.filter(|(record, _)| record.physical_offset == offset);
            Judged::Damaged(reason, readable.map(|(record, length)| Lost::of(&record, length)))
        }
    })
}

/// Bytes that must be seen to judge what begins with `head`: a whole record where one may begin.
fn wanted_length(head: &[u8], left: u64, offset: i64) -> usize {
    let word = |at: usize| head.get(at..).and_then(<[u8]>::first_chunk).copied();
    let total = word(0).map_or(0, u32::from_be_bytes);
    let magic = word(position::MAGIC).map_or(0, u32::from_be_bytes);
    let stands = head.get(position::PHYSICAL_OFFSET..).and_then(<[u8]>::first_chunk).copied();
    let may_be = matches!(magic, MAGIC_V1 | MAGIC_V2)
        && u64::from(total) <= left
        && stands.map(i64::from_be_bytes) == Some(offset);
    let total = usize::try_from(total).unwrap_or(usize::MAX);
    if may_be && total <= MOST_BYTES { total } else { position::SYS_FLAG }
}

impl Lost {
    /// A message by its record, damaged or not.
    pub(super) fn of(record: &Record<'_>, length: usize) -> Self {
        let text = |name| record.property(name).map(str::to_owned);
        Self {
            topic: record.topic.to_owned(),
            queue_id: record.queue_id,
            queue_offset: record.queue_offset,
            physical_offset: record.physical_offset,
            length: u64::try_from(length).unwrap_or(0),
            keys: text(name::KEYS),
            unique_key: text(name::UNIQ_KEY),
        }
    }
}

/// The sound record at a place, and its bytes.
pub(super) fn record_here<'r>(
    reader: &'r mut Reader<'_>,
    at: u64,
    file_bytes: u64,
    offset: i64,
) -> Option<(Record<'r>, &'r [u8])> {
    match judge(reader, at, file_bytes, offset).ok()? {
        Judged::Record(record, bytes) => Some((record, bytes)),
        _ => None,
    }
}
