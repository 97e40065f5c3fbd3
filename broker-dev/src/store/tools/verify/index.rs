//! Index files: header, entries against their records, and the chains made again from the entries.

use std::io;

use super::log::{LogFacts, unusable_files};
use super::{Checked, Context, FileKind, Finding, Findings, Severity};
use crate::store::disk::EntryKind;
use crate::store::index::{Entry, Geometry, Header, TopicHash, keys_of};
use crate::store::tools::folder::{StoreFile, Unusable};
use crate::store::tools::log_reader::LogReader;
use crate::store::tools::reader::Reader;

/// Bytes read at a time.
const CHUNK: usize = 1 << 20;
/// Hash slots that are followed; their heads take four bytes each.
const MOST_SLOTS: u32 = 1 << 26;

/// Checks every file of `index`.
pub(super) fn check(
    context: &Context<'_>,
    log: &LogFacts,
    log_files: &[StoreFile],
    findings: &mut Findings,
    checked: &mut Checked,
) {
    let dir = context.folder.root().join("index");
    let entries = match context.folder.look(&dir) {
        Ok(entries) => entries,
        Err(error) => {
            let unusable = Unusable { path: dir, reason: error.to_string() };
            return unusable_files(context, FileKind::Index, vec![unusable], findings);
        }
    };
    let mut records = LogReader::new(context.folder, log_files);
    for entry in entries {
        let path = dir.join(&entry.name);
        if entry.kind != EntryKind::File {
            let unusable = Unusable { path, reason: "no plain file".into() };
            unusable_files(context, FileKind::Index, vec![unusable], findings);
            continue;
        }
        checked.files += 1;
        let shown = context.folder.shown(&path);
        let mut add = |severity, at: u64, what: String| {
            findings.add(Finding::new(severity, FileKind::Index, shown.clone(), at, what));
        };
        let read = Reader::open(context.folder.disk(), &path, CHUNK).and_then(|mut reader| {
            let mut file = File { context, log, reader: &mut reader, records: &mut records };
            file.check(&mut add, checked)
        });
        if let Err(error) = read {
            add(Severity::Damage, 0, format!("cannot be read: {error}"));
        }
    }
}

struct File<'f, 'a> {
    context: &'f Context<'f>,
    log: &'f LogFacts,
    reader: &'f mut Reader<'a>,
    records: &'f mut LogReader<'a>,
}

impl File<'_, '_> {
    fn entry(&mut self, geometry: Geometry, number: u32) -> io::Result<Option<Entry>> {
        Ok(self.reader.array(geometry.entry_at(number))?.map(|bytes| Entry::decode(&bytes)))
    }

    /// The geometry whose last entry is where the header says that it is.
    fn geometry(&mut self, header: &Header) -> io::Result<Option<Geometry>> {
        let candidates = Geometry::candidates(self.reader.length(), Geometry::APACHE);
        for geometry in &candidates {
            let last = self.entry(*geometry, header.count.saturating_sub(1))?;
            if header.count > 1 && last.is_some_and(|last| last.offset == header.end_offset) {
                return Ok(Some(*geometry));
            }
        }
        Ok(candidates.first().copied())
    }

    fn check(
        &mut self,
        add: &mut dyn FnMut(Severity, u64, String),
        checked: &mut Checked,
    ) -> io::Result<()> {
        let Some(header) = self.reader.array(0)?.map(|bytes| Header::decode(&bytes)) else {
            add(self.context.unsettled(), 0, "shorter than a header".into());
            return Ok(());
        };
        let Some(geometry) = self.geometry(&header)? else {
            let what = format!("{} bytes, which no index file has", self.reader.length());
            add(self.context.unsettled(), 0, what);
            return Ok(());
        };
        if header.count > geometry.entries || geometry.slots > MOST_SLOTS {
            let what = format!("says that entry {} is next, of {}", header.count, geometry.entries);
            add(Severity::Damage, 36, what);
            return Ok(());
        }
        let mut heads = vec![0; geometry.slots as usize];
        for number in 1..header.count {
            let Some(entry) = self.entry(geometry, number)? else { break };
            let at = geometry.entry_at(number);
            checked.index_entries += 1;
            if let Some(head) = heads.get_mut(geometry.slot_of(entry.hash & 0x7FFF_FFFF) as usize) {
                if *head != entry.previous {
                    let what = format!(
                        "entry {number} follows entry {}, its slot's last one is {head}",
                        entry.previous
                    );
                    add(Severity::Damage, at + 16, what);
                }
                *head = number;
            }
            if let Some(what) = self.against_record(&header, number, &entry) {
                add(Severity::Damage, at, what);
            }
        }
        checked.bytes += u64::from(header.count) * 20;
        self.ends(&header, geometry, add)?;
        self.slots(geometry, &heads, add)
    }

    /// What is wrong between an entry and its record; records that are gone are not asked.
    fn against_record(&mut self, header: &Header, number: u32, entry: &Entry) -> Option<String> {
        let offset = entry.offset;
        if (0..self.log.first).contains(&offset) || self.log.is_damaged(offset) {
            return None;
        }
        if offset >= self.log.end && !self.context.is_settled {
            return None;
        }
        let Some((record, _)) = self.records.record(offset) else {
            return Some(format!(
                "entry {number} points to {offset} in the log: no record is there"
            ));
        };
        let topic = TopicHash::new(record.topic);
        if !keys_of(&record).any(|key| topic.key(key) == entry.hash) {
            return Some(format!("entry {number} has a hash that no key of its record has"));
        }
        let since = record.store_timestamp.saturating_sub(header.begin_ms);
        let seconds = i32::try_from((since / 1_000).max(0)).unwrap_or(i32::MAX);
        // The first entry's time counts from the end of the file before.
        let is_right = number == 1 || header.begin_ms <= 0 || entry.seconds == seconds;
        (!is_right)
            .then(|| format!("entry {number} says {} s, its record {seconds} s", entry.seconds))
    }

    /// Holds the header against the first and the last entry.
    fn ends(
        &mut self,
        header: &Header,
        geometry: Geometry,
        add: &mut dyn FnMut(Severity, u64, String),
    ) -> io::Result<()> {
        if header.count <= 1 {
            return Ok(());
        }
        for (number, offset, ms, at) in [
            (1, header.begin_offset, header.begin_ms, 16),
            (header.count - 1, header.end_offset, header.end_ms, 24),
        ] {
            let Some(entry) = self.entry(geometry, number)? else { continue };
            if entry.offset != offset {
                let what =
                    format!("the header says {offset}, entry {number} says {}", entry.offset);
                add(Severity::Damage, at, what);
            }
            let store_ms = self.records.record(offset).map(|(record, _)| record.store_timestamp);
            if let Some(store_ms) = store_ms.filter(|store_ms| *store_ms != ms) {
                let what = format!("the header says {ms}, the record's store time is {store_ms}");
                add(Severity::Damage, at - 16, what);
            }
        }
        Ok(())
    }

    /// Holds the slots against the chains' newest entries.
    fn slots(
        &mut self,
        geometry: Geometry,
        heads: &[u32],
        add: &mut dyn FnMut(Severity, u64, String),
    ) -> io::Result<()> {
        for (slot, head) in (0..geometry.slots).zip(heads) {
            let at = geometry.slot_at(slot);
            let Some(stands) = self.reader.array(at)?.map(u32::from_be_bytes) else { break };
            if stands != *head {
                let what = format!("slot {slot} begins at entry {stands}, its newest is {head}");
                add(Severity::Damage, at, what);
            }
        }
        Ok(())
    }
}
