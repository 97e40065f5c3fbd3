//! Finding messages by key.

use std::ops::ControlFlow;

use bytes::Bytes;
use oxmq::protocol::message::record::Record;

use super::Index;
use super::keys::{TopicHash, keys};
use crate::store::engine::Store;
use crate::store::error::StoreError;

/// Bytes of records that one query answers with at most; the first one comes whatever its size.
const MOST_BYTES: usize = 12 << 20;

/// What a [`Store::query`] found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QueryResult {
    /// The records, in the log's order. They keep the mapped file alive, so they are to be sent,
    /// not kept.
    pub records: Vec<Bytes>,
    /// Older messages than these may have the key too.
    pub more: bool,
    /// Store time of the last record indexed, ms; 0 if nothing was found.
    pub index_last_update_timestamp: i64,
    /// Log offset of the last record indexed; 0 if nothing was found.
    pub index_last_update_offset: i64,
}

/// Whether a record has this topic and key.
fn is_match(record: &Record<'_>, topic: &str, key: &str) -> bool {
    record.topic == topic && keys(record).any(|found| found == key)
}

impl Index {
    /// Shows the log offsets of records that may have a key, the newest first, until told to stop.
    /// The same one may come several times in a row.
    pub(super) fn offsets(
        &self,
        topic: &str,
        key: &str,
        (begin_ms, end_ms): (i64, i64),
        mut take: impl FnMut(i64) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let hash = TopicHash::new(topic).key(key);
        let files = self.files.load_full();
        for (nth, file) in files.iter().enumerate().rev() {
            let header = file.header();
            if header.begin_ms <= end_ms && header.end_ms >= begin_ms {
                let (words, is_new) = file.words(&*self.disk)?;
                if is_new && nth + 1 < files.len() {
                    self.was_mapped(file.clone());
                }
                if file.walk(&words, hash, begin_ms, &mut take).is_break() {
                    break;
                }
            }
            if header.begin_ms < begin_ms {
                break;
            }
        }
        Ok(())
    }

    /// Store time and log offset of the last record with an entry.
    fn last_update(&self) -> (i64, i64) {
        self.files.load().last().map_or((0, 0), |file| {
            let header = file.header();
            (header.end_ms, header.end_offset)
        })
    }
}

impl Store {
    /// The newest messages of a topic with this key (or unique key) that were stored from `begin_ms`
    /// to `end_ms`, both included: at most `max` of them, at most
    /// [`StoreOptions::max_query_messages`](super::super::StoreOptions::max_query_messages), and
    /// at most 12 MiB of records.
    ///
    /// Source: RocketMQ 5.3.3 `DefaultMessageStore.queryMessage`. Differs: Apache answers with all
    /// messages whose keys have the same hash, compares times by the second, and gives a message
    /// with the same key twice two times.
    ///
    /// # Errors
    /// An index file cannot be mapped.
    pub fn query(
        &self,
        topic: &str,
        key: &str,
        max: usize,
        begin_ms: i64,
        end_ms: i64,
    ) -> Result<QueryResult, StoreError> {
        let shared = self.shared();
        let max = max.min(shared.options.max_query_messages);
        let Some(index) = shared.index.as_ref().filter(|_| max > 0) else {
            return Ok(QueryResult::default());
        };
        if let Some(Err(error)) = shared.index_line.as_ref().map(|line| line.catch_up(shared)) {
            tracing::warn!(%error, "the newest messages are not found by key yet");
        }
        let mut result = QueryResult::default();
        let mut found: Vec<(i64, Bytes)> = Vec::new();
        let mut bytes = 0usize;
        index.offsets(topic, key, (begin_ms, end_ms), |offset| {
            let is_repeated = found.last().is_some_and(|(last, _)| *last == offset);
            if is_repeated || shared.table.deleted().is_over(topic, offset) {
                return ControlFlow::Continue(());
            }
            let Some(record) = shared.log.record(offset) else { return ControlFlow::Continue(()) };
            let Ok(Some((decoded, length))) = Record::decode(&record) else {
                return ControlFlow::Continue(());
            };
            let is_in_time = (begin_ms..=end_ms).contains(&decoded.store_timestamp);
            if !is_in_time || !is_match(&decoded, topic, key) {
                return ControlFlow::Continue(());
            }
            let is_full = found.len() >= max || bytes.saturating_add(length) > MOST_BYTES;
            if !found.is_empty() && is_full {
                result.more = true;
                return ControlFlow::Break(());
            }
            bytes = bytes.saturating_add(length);
            found.push((offset, record));
            ControlFlow::Continue(())
        })?;
        found.sort_by_key(|(offset, _)| *offset);
        found.dedup_by_key(|(offset, _)| *offset);
        if !found.is_empty() {
            (result.index_last_update_timestamp, result.index_last_update_offset) =
                index.last_update();
        }
        result.records = found.into_iter().map(|(_, record)| record).collect();
        Ok(result)
    }
}
