//! Writing: one lock, many records a turn, each encoded straight into its place.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::{MutexGuard, PoisonError};

use oxmq::protocol::message::properties::name;
use oxmq::protocol::message::record::{Addition, BLANK_LENGTH, MAGIC_BLANK, Record, body_crc};
use oxmq::protocol::message::{Properties, sys_flag};

use super::CommitLog;
use crate::store::consume_queue::ConsumeQueue;
use crate::store::error::StoreError;
use crate::store::mapped_file::{MappedFile, MappedWriter};

/// Bytes ahead of the end whose pages are brought in before they are needed: at first, and when
/// the log goes on growing.
const TOUCH_AHEAD: Range<usize> = (1 << 20)..(32 << 20);

/// A message to store.
#[derive(Debug, Clone, Copy)]
pub struct PutMessage<'a> {
    /// The topic; a retry, delay or half topic where the broker decided so.
    pub topic: &'a str,
    /// Queue of that topic, 0 or more.
    pub queue_id: i32,
    /// The application's flag.
    pub flag: i32,
    /// Bits of [`sys_flag`]; those of the hosts' address families are set here.
    pub sys_flag: i32,
    /// When the producer made the message, ms since the Unix epoch.
    pub born_timestamp: i64,
    /// The producer's address.
    pub born_host: SocketAddr,
    /// The broker's own address.
    pub store_host: SocketAddr,
    /// How often the message was handed back.
    pub reconsume_times: i32,
    /// Commit-log offset of the half message that this one ends; 0 otherwise.
    pub prepared_transaction_offset: i64,
    /// The body as sent, perhaps compressed.
    pub body: &'a [u8],
    /// The encoded property string.
    pub properties: &'a str,
}

/// Where a message was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Put {
    /// Its place in its queue; 0 for half messages and roll-backs, which take none.
    pub queue_offset: i64,
    /// Its place in the commit log, bytes.
    pub physical_offset: i64,
    /// Bytes of its record.
    pub length: u32,
    /// When it was stored, ms since the Unix epoch.
    pub store_timestamp: i64,
}

/// What is known of a message before the lock is taken, and its place once it is.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) body_crc: u32,
    /// Bytes of the record; properties that come under the lock are added there.
    pub(crate) length: u32,
    /// Bytes that must fit into the file where the record begins: those of its whole run if it is
    /// the first of one, none if it is a later one.
    pub(crate) run_length: u32,
    /// The queue that it takes a place in.
    pub(crate) queue: Option<Arc<ConsumeQueue>>,
    /// Places that it takes there: more than one if it is an inner batch.
    pub(crate) places: i64,
    pub(crate) queue_offset: i64,
    /// What few messages have.
    pub(crate) special: Option<Box<Special>>,
}

/// What few messages have.
#[derive(Debug)]
pub(crate) struct Special {
    /// The properties to store instead of the message's own.
    pub(crate) properties: Properties,
    /// Whether `INNER_BASE` tells the first place that it took.
    pub(crate) tells_base: bool,
    /// Further queues that it takes a place in, and which; a gap for each name that is none.
    light: Vec<Option<(Arc<ConsumeQueue>, i64)>>,
    /// Encoded properties that were made under the lock.
    added: Properties,
}

impl Special {
    pub(crate) fn new(
        properties: Properties,
        tells_base: bool,
        light: impl IntoIterator<Item = Option<Arc<ConsumeQueue>>>,
    ) -> Self {
        let light = light.into_iter().map(|queue| Some((queue?, 0))).collect();
        Self { properties, tells_base, light, added: Properties::new() }
    }

    /// The most bytes of properties that are added under the lock.
    pub(crate) fn most_added(&self) -> usize {
        /// The digits of a place, a separator behind them.
        const DIGITS: usize = 20;
        let base = if self.tells_base { name::INNER_BASE.len() + 1 + DIGITS } else { 0 };
        let light = match self.light.len() {
            0 => 0,
            places => name::INNER_MULTI_QUEUE_OFFSET.len() + 1 + places * DIGITS,
        };
        base + light
    }

    /// Takes the places in the further queues.
    fn assign_light(&mut self) {
        let mut places = String::new();
        for (nth, place) in self.light.iter_mut().enumerate() {
            if nth > 0 {
                places.push(',');
            }
            if let Some((queue, offset)) = place {
                *offset = queue.assigned().fetch_add(1, Ordering::Relaxed);
                places.push_str(itoa::Buffer::new().format(*offset));
            }
        }
        if !self.light.is_empty() {
            self.added.append(name::INNER_MULTI_QUEUE_OFFSET, &places);
        }
    }
}

impl Prepared {
    /// Takes the places in the queue. Only under the lock.
    fn assign(&mut self) {
        let Some(queue) = &self.queue else { return };
        self.queue_offset = queue.assigned().load(Ordering::Relaxed);
        queue.assigned().store(self.queue_offset + self.places, Ordering::Relaxed);
        let Some(special) = &mut self.special else { return };
        if special.tells_base {
            let mut digits = itoa::Buffer::new();
            special.added.append(name::INNER_BASE, digits.format(self.queue_offset));
        }
        special.assign_light();
        let added = u32::try_from(special.added.as_encoded().len()).unwrap_or(u32::MAX);
        self.length = self.length.saturating_add(added);
        self.run_length = self.run_length.saturating_add(added);
    }

    /// Gives the places back, the last message's first. Only under the lock that took them.
    fn give_back(&self) {
        let light = self.special.iter().flat_map(|special| special.light.iter().rev().flatten());
        for (queue, offset) in light {
            queue.assigned().store(*offset, Ordering::Relaxed);
        }
        if let Some(queue) = &self.queue {
            queue.assigned().store(self.queue_offset, Ordering::Relaxed);
        }
    }

    fn added(&self) -> &str {
        self.special.as_ref().map_or("", |special| special.added.as_encoded())
    }
}

impl PutMessage<'_> {
    fn record(&self) -> Record<'_> {
        Record {
            body_crc: 0,
            queue_id: self.queue_id,
            flag: self.flag,
            queue_offset: 0,
            physical_offset: 0,
            sys_flag: self.sys_flag,
            born_timestamp: self.born_timestamp,
            born_host: self.born_host,
            store_timestamp: 0,
            store_host: self.store_host,
            reconsume_times: self.reconsume_times,
            prepared_transaction_offset: self.prepared_transaction_offset,
            body: self.body,
            topic: self.topic,
            properties: self.properties,
        }
    }

    /// Bytes of the message's record with these properties.
    pub(crate) fn encoded_length(&self, properties: &str, crc: bool) -> usize {
        let added = Addition { properties: "", crc };
        Record { properties, ..self.record() }.encoded_length_with(&added)
    }

    /// The CRC of the message's body.
    pub(crate) fn body_crc(&self) -> u32 {
        body_crc(self.body)
    }

    /// Whether the message takes a place in a queue.
    pub(crate) fn is_queued(&self) -> bool {
        sys_flag::is_queued(self.sys_flag)
    }
}

/// What the append lock guards.
#[derive(Debug)]
pub(crate) struct Appender {
    writer: MappedWriter,
    /// Bytes of the current file whose pages were asked for.
    touched: usize,
    /// How far ahead of the end pages are asked for.
    ahead: usize,
    next_asked_for: bool,
}

/// What should be made ready off the lock.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    /// Pages to bring in.
    pub(crate) pages: Option<(Arc<MappedFile>, Range<usize>)>,
    /// Start of the file to make.
    pub(crate) next_file: Option<i64>,
}

impl Wanted {
    /// Whether there is nothing to do.
    pub(crate) fn is_empty(&self) -> bool {
        self.pages.is_none() && self.next_file.is_none()
    }
}

impl Appender {
    pub(super) fn new(writer: MappedWriter, ahead: usize) -> Self {
        let touched = writer.published().max(writer.ready());
        Self { writer, touched, ahead, next_asked_for: false }
    }

    /// How far ahead a log looks that has not grown yet. One that is synced all the time has its
    /// pages brought in once and for all, since each sync writes what was brought in.
    pub(super) const fn first_ahead(whole: bool) -> usize {
        if whole { usize::MAX } else { TOUCH_AHEAD.start }
    }

    /// What to prepare now that the log has grown; asks for each thing once.
    fn wanted(&mut self) -> Wanted {
        let (published, length) = (self.writer.published(), self.writer.file().length());
        let mut wanted = Wanted::default();
        if self.touched < length && published.saturating_add(self.ahead / 2) > self.touched {
            self.ahead = self.ahead.max(self.ahead.saturating_mul(2).min(TOUCH_AHEAD.end));
            let end = published.saturating_add(self.ahead).min(length);
            let pages = self.touched.max(published)..end;
            wanted.pages = Some((Arc::clone(self.writer.file()), pages));
            self.touched = end;
        }
        if !self.next_asked_for && published > length / 2 {
            self.next_asked_for = true;
            wanted.next_file = Some(self.writer.file().start() + length as i64);
        }
        wanted
    }
}

impl CommitLog {
    /// Appends the messages in one turn and adds their places to `out`. All or none of them.
    ///
    /// Returns the log's end after them, and what to prepare before the next turn. The clock is
    /// read under the lock, so store times follow the log's order as far as the clock does.
    ///
    /// # Errors
    /// `gate`'s, asked under the lock; or a file could not be made.
    pub(crate) fn append(
        &self,
        messages: &[PutMessage<'_>],
        prepared: &mut [Prepared],
        now_ms: impl FnOnce() -> i64,
        gate: impl FnOnce() -> Result<(), StoreError>,
        out: &mut Vec<Put>,
    ) -> Result<(i64, Wanted), StoreError> {
        let mut appender = self.lock_appender();
        gate()?;
        prepared.iter_mut().for_each(Prepared::assign);
        let mut next_files = self
            .next_files(&appender.writer, prepared)
            .inspect_err(|_| prepared.iter().rev().for_each(Prepared::give_back))?;
        let store_timestamp = now_ms();
        let mut at = 0;
        for (message, known) in messages.iter().zip(&*prepared) {
            if !fits(appender.writer.spare().len() - at, known.run_length as usize) {
                let Some(next) = next_files.pop() else { break };
                self.roll(&mut appender, at, next);
                at = 0;
            }
            out.push(self.encode(&mut appender.writer, at, message, known, store_timestamp));
            at += known.length as usize;
        }
        let end = appender.writer.published() + at;
        appender.writer.publish(end);
        let end = appender.writer.file().start() + end as i64;
        self.last_store_ms.store(store_timestamp, Ordering::Release);
        self.end.store(end, Ordering::Release);
        let wanted = appender.wanted();
        Ok((end, wanted))
    }

    /// Does something while nobody appends; it is told the log's end.
    pub(crate) fn between_appends<T>(&self, work: impl FnOnce(i64) -> T) -> T {
        let _nobody_appends = self.lock_appender();
        work(self.end())
    }

    fn lock_appender(&self) -> MutexGuard<'_, Appender> {
        self.appender.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The files that these messages need besides the current one, the first one last. They are
    /// made before anything is written, so that a full disk leaves no half turn behind.
    fn next_files(
        &self,
        current: &MappedWriter,
        prepared: &[Prepared],
    ) -> Result<Vec<MappedWriter>, StoreError> {
        let mut room = current.file().length() - current.published();
        let mut rolls: Vec<MappedWriter> = Vec::new();
        let mut start = current.file().start();
        for known in prepared {
            if !fits(room, known.run_length as usize) {
                start += self.files.file_bytes() as i64;
                match self.take_spare(start) {
                    Ok(writer) => rolls.push(writer),
                    Err(error) => {
                        self.give_back(rolls);
                        return Err(error);
                    }
                }
                room = self.files.file_bytes();
            }
            room = room.saturating_sub(known.length as usize);
        }
        rolls.reverse();
        Ok(rolls)
    }

    /// Ends the current file, of which `at` more bytes are written, and goes on in the next.
    fn roll(&self, appender: &mut Appender, at: usize, next: MappedWriter) {
        let spare = appender.writer.spare();
        let rest = spare.get_mut(at..).unwrap_or_default();
        let remaining = u32::try_from(rest.len()).unwrap_or(u32::MAX);
        if let Some(blank) = rest.first_chunk_mut::<BLANK_LENGTH>() {
            let words = u64::from(remaining) << 32 | u64::from(MAGIC_BLANK);
            *blank = words.to_be_bytes();
        }
        let length = appender.writer.file().length();
        appender.writer.publish(length);
        self.files.push(Arc::clone(next.file()));
        *appender = Appender::new(next, appender.ahead);
    }

    fn encode(
        &self,
        writer: &mut MappedWriter,
        at: usize,
        message: &PutMessage<'_>,
        known: &Prepared,
        store_timestamp: i64,
    ) -> Put {
        let Prepared { queue_offset, length, .. } = *known;
        let physical_offset = writer.file().start() + (writer.published() + at) as i64;
        let own = known.special.as_ref().map(|special| &special.properties);
        let record = Record {
            body_crc: known.body_crc,
            queue_offset,
            physical_offset,
            store_timestamp,
            properties: own.map_or(message.properties, Properties::as_encoded),
            ..message.record()
        };
        let added = Addition { properties: known.added(), crc: self.seals };
        let encoded = record.encode_with(&added, writer.spare().get_mut(at..).unwrap_or_default());
        debug_assert_eq!(encoded, Ok(length as usize), "checked before the lock");
        Put { queue_offset, physical_offset, length, store_timestamp }
    }
}

/// A record must leave room for the blank that ends the file. Of a run, which stands in one file,
/// only the first record asks, for all.
fn fits(room: usize, run_length: usize) -> bool {
    run_length == 0 || run_length + BLANK_LENGTH <= room
}
