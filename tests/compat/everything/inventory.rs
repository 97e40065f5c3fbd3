//! What is in a store, written out.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use oxmq::protocol::message::record::{self, Record};
use oxmq_tests::wire::{self, Connection};

use super::{ALARMS, TOPICS};

/// Topic, queue, offset in the queue.
pub(crate) type Place = (String, u32, i64);

/// One record of the log, found through its queue.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Stored {
    /// Where it lies in the log.
    pub(crate) physical_offset: i64,
    /// When it was stored.
    pub(crate) store_time: i64,
    /// Its length and a check sum over all of it, header, hosts and properties included.
    pub(crate) bytes: usize,
    pub(crate) sum: u32,
    pub(crate) body_sum: u32,
    pub(crate) keys: String,
    pub(crate) tag: String,
    pub(crate) unique_key: String,
    /// Messages in it: one, or those of a batch that stayed one.
    pub(crate) messages: i64,
}

impl Stored {
    fn new(record: &Record<'_>, raw: &[u8]) -> Self {
        record.verify_crc().unwrap();
        let text = |name| record.property(name).unwrap_or_default().to_owned();
        Self {
            physical_offset: record.physical_offset,
            store_time: record.store_timestamp,
            bytes: raw.len(),
            sum: record::body_crc(raw),
            body_sum: record::body_crc(record.body),
            keys: text("KEYS"),
            tag: text("TAGS"),
            unique_key: text("UNIQ_KEY"),
            messages: record.property("INNER_NUM").map_or(1, |count| count.parse().unwrap()),
        }
    }
}

/// A message that comes later.
#[derive(Debug, Clone)]
pub(crate) struct Waiting {
    pub(crate) key: String,
    /// Not before this moment, ms since the Unix epoch.
    pub(crate) due_ms: i64,
    pub(crate) body_sum: u32,
}

/// A message of a transaction that nobody has ended.
#[derive(Debug, Clone)]
pub(crate) struct Half {
    pub(crate) key: String,
    pub(crate) log_offset: i64,
    pub(crate) queue_offset: i64,
    pub(crate) message_id: String,
    pub(crate) transaction_id: String,
    pub(crate) body_sum: u32,
}

/// Everything that a store must give back.
#[derive(Debug, Default)]
pub(crate) struct Inventory {
    /// By topic, queue and offset.
    pub(crate) messages: BTreeMap<Place, Stored>,
    /// Smallest offsets of queues that lost their oldest messages; 0 for others.
    pub(crate) oldest: BTreeMap<(String, u32), i64>,
    /// Offsets committed, by topic and queue.
    pub(crate) committed: BTreeMap<(String, u32), i64>,
    /// Messages that are delivered within seconds.
    pub(crate) waiting: Vec<Waiting>,
    /// Transactions that wait for their end.
    pub(crate) halves: Vec<Half>,
    /// How often the store was filled.
    pub(crate) parts: usize,
    /// A broker was killed: how far it had got with delayed messages is saved now and then, and
    /// what it delivered since is delivered again.
    pub(crate) is_killed: bool,
}

impl Inventory {
    /// The messages of a queue, oldest first.
    pub(crate) fn queue(&self, topic: &str, queue: u32) -> Vec<(i64, &Stored)> {
        let from = (topic.to_owned(), queue, 0);
        let to = (topic.to_owned(), queue, i64::MAX);
        self.messages.range(from..to).map(|((_, _, offset), stored)| (*offset, stored)).collect()
    }

    /// The offset after a queue's last message.
    pub(crate) fn max(&self, topic: &str, queue: u32) -> i64 {
        self.queue(topic, queue).last().map_or(0, |(offset, stored)| offset + stored.messages)
    }

    /// Takes in alarms that came again.
    pub(crate) fn take_repeated(&mut self, found: &BTreeMap<Place, Stored>) {
        let is_known = |place: &Place| self.messages.contains_key(place);
        let is_again = |stored: &Stored| {
            self.queue(ALARMS, 0)
                .iter()
                .any(|(_, had)| (&had.keys, had.body_sum) == (&stored.keys, stored.body_sum))
        };
        let again = found.iter().filter(|(place, stored)| {
            self.is_killed && place.0 == ALARMS && !is_known(place) && is_again(stored)
        });
        let again: Vec<_> = again.map(|(place, stored)| (place.clone(), stored.clone())).collect();
        self.messages.extend(again);
    }

    /// Forgets what lay in the log before an offset.
    pub(crate) fn expire(&mut self, log_min: i64) {
        let before = std::mem::take(&mut self.messages);
        for (place, stored) in before {
            let (topic, queue, offset) = place.clone();
            if stored.physical_offset >= log_min {
                self.messages.insert(place, stored);
            } else {
                self.oldest.insert((topic, queue), offset + stored.messages);
            }
        }
    }
}

/// Everything in a broker's queues of the scenario, read through pulls.
pub(crate) fn read(broker: SocketAddr) -> BTreeMap<Place, Stored> {
    let mut connection = Connection::open(broker).unwrap();
    let mut found = BTreeMap::new();
    for (topic, queues) in TOPICS {
        for queue in 0..queues {
            read_queue(broker, &mut connection, topic, queue, &mut found);
        }
    }
    found
}

/// The same for one queue.
pub(crate) fn read_queue(
    broker: SocketAddr,
    connection: &mut Connection,
    topic: &str,
    queue: u32,
    found: &mut BTreeMap<Place, Stored>,
) {
    let max = wire::max_offset(broker, topic, queue);
    let mut offset = wire::min_offset(broker, topic, queue);
    while offset < max {
        let answer = wire::pull(connection, "readers", topic, queue, offset, "*").unwrap();
        assert_eq!(answer.code, 0, "{topic}:{queue} at {offset} of {max}: {}", answer.remark);
        for (record, raw) in records(&answer.body) {
            assert_eq!((record.topic, record.queue_id), (topic, i32::try_from(queue).unwrap()));
            let place = (topic.to_owned(), queue, record.queue_offset);
            found.insert(place, Stored::new(&record, raw));
        }
        let next = answer.fields["nextBeginOffset"].parse().unwrap();
        assert!(next > offset, "{topic}:{queue} stays at {offset}");
        offset = next;
    }
}

/// The records of an answer, each with its bytes.
pub(crate) fn records(mut bytes: &[u8]) -> Vec<(Record<'_>, &[u8])> {
    let mut records = Vec::new();
    while !bytes.is_empty() {
        let (record, length) = Record::decode(bytes).unwrap().expect("a whole record");
        let (raw, rest) = bytes.split_at(length);
        records.push((record, raw));
        bytes = rest;
    }
    records
}

/// What a record answered to a query is.
pub(crate) fn stored(bytes: &[u8]) -> Vec<Stored> {
    records(bytes).iter().map(|(record, raw)| Stored::new(record, raw)).collect()
}
