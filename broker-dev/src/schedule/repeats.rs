//! What was delivered before the broker started, told from the commit log.
//!
//! The timer's checkpoint is behind the deliveries by up to a second. After a crash, what came due
//! meanwhile is due again. But each delivery left a record that says when its message was due: so
//! those of the time since the checkpoint are counted, and as many deliveries left out.

use std::collections::HashMap;

use oxmq::protocol::message::Record;
use oxmq::protocol::message::properties;
use oxmq::protocol::message::record;
use oxmq::protocol::names::TIMER_TOPIC;

use crate::store::{Boundary, GetLimits, GetStatus, Store};

const LIMITS: GetLimits = GetLimits { max_messages: 256, max_bytes: 4 << 20 };

/// What tells one delivery from another.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Delivery {
    unique_key: String,
    out_ms: String,
    roll_times: i32,
    born_timestamp: i64,
    reconsume_times: i32,
}

/// A queue that deliveries went to.
type Queue = (String, i32);

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Repeats {
    /// When the checkpoint was made: from then on deliveries are not in it.
    since_ms: i64,
    /// When the log's last record was stored, before the start.
    until_ms: i64,
    /// The log's end at the start.
    end: i64,
    found: HashMap<Queue, HashMap<Delivery, u32>>,
}

impl Delivery {
    /// A delivery of the message in a record, which then has gone round so often.
    pub(super) fn new(record: &Record<'_>, roll_times: i32) -> Self {
        let text = |name| properties::find(record.properties, name).unwrap_or_default().to_owned();
        Self {
            unique_key: text("UNIQ_KEY"),
            out_ms: text("TIMER_OUT_MS"),
            roll_times,
            born_timestamp: record.born_timestamp,
            reconsume_times: record.reconsume_times,
        }
    }
}

/// How often the message in a record went round.
pub(super) fn roll_times(record: &Record<'_>) -> i32 {
    let times = properties::find(record.properties, "TIMER_ROLL_TIMES");
    times.and_then(|times| times.parse().ok()).unwrap_or_default()
}

impl Repeats {
    /// Deliveries between a checkpoint's time and the present end of the log.
    pub(super) fn since(since_ms: i64, store: &Store) -> Self {
        let (end, until_ms) = (store.commit_log_range().1, store.last_store_timestamp());
        Self { since_ms, until_ms, end, found: HashMap::new() }
    }

    /// Whether a message that was due at `due_ms` was delivered to this queue; each delivery
    /// answers for one message.
    pub(super) fn take(
        &mut self,
        store: &Store,
        due_ms: i64,
        queue: (&str, i32),
        delivery: impl FnOnce() -> Delivery,
    ) -> bool {
        if due_ms > self.until_ms {
            return false;
        }
        let queue = (queue.0.to_owned(), queue.1);
        let found = self
            .found
            .entry(queue)
            .or_insert_with_key(|queue| count(store, queue, self.since_ms, self.end));
        match found.get_mut(&delivery()) {
            Some(count) if *count > 0 => {
                *count -= 1;
                true
            }
            _ => false,
        }
    }
}

/// The deliveries that stand in a queue.
fn count(
    store: &Store,
    (topic, queue_id): &Queue,
    since_ms: i64,
    end: i64,
) -> HashMap<Delivery, u32> {
    let mut counts = HashMap::new();
    let mut offset = store.offset_by_time(topic, *queue_id, since_ms, Boundary::Lower);
    loop {
        let found = store.get(topic, *queue_id, offset, LIMITS, &|_| true);
        for record in found.segments.iter().flat_map(|segment| record::iter(segment)).flatten() {
            if record.physical_offset >= end {
                return counts;
            }
            // What an application only copied says that it is another topic's.
            let is_delivery = properties::find(record.properties, "TIMER_DEQUEUE_MS").is_some()
                && (topic == TIMER_TOPIC
                    || properties::find(record.properties, "REAL_TOPIC") == Some(topic));
            if is_delivery {
                let delivery = Delivery::new(&record, roll_times(&record));
                *counts.entry(delivery).or_default() += 1;
            }
        }
        let is_more = matches!(
            found.status,
            GetStatus::Found | GetStatus::NoMatchedMessage | GetStatus::MessageWasRemoving
        );
        if !is_more || found.next_begin_offset <= offset {
            return counts;
        }
        offset = found.next_begin_offset;
    }
}
