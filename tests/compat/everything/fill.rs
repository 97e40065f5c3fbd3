//! Putting everything into a store, through a broker's socket.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use oxmq::clock::{Clock, SystemClock};
use oxmq::protocol::message::batch::{self, BatchItem};
use oxmq::protocol::message::record;
use oxmq_tests::process::Deadline;
use oxmq_tests::wire::{self, Answer, Connection, code};

use super::inventory::{Half, Inventory, Place, Waiting, read};
use super::{ALARMS, CRATES, DEEDS, Features, GROUP, LEDGER, NOTARIES, PARCELS, TOPICS};

const LEDGER_MESSAGES: usize = 48;
/// Nearly a whole file of the log.
const BIG_BODY_BYTES: usize = 900_000;
/// Level 1 is one second, 3 ten, 18 two hours.
const DELAY_LEVELS: [(&str, i64); 3] = [("1", 1_000), ("3", 10_000), ("18", 7_200_000)];

/// What was sent, to be found again: keys, tag and body of each place.
struct Filling<'a> {
    broker: SocketAddr,
    connection: Connection,
    part: usize,
    sent: BTreeMap<Place, (String, String, u32)>,
    inventory: &'a mut Inventory,
}

/// Fills a broker's store with one more part of the scenario; what was in it stays.
pub(crate) fn fill(broker: SocketAddr, features: Features, inventory: &mut Inventory) {
    inventory.parts += 1;
    let mut filling = Filling {
        broker,
        connection: Connection::open(broker).unwrap(),
        part: inventory.parts,
        sent: BTreeMap::new(),
        inventory,
    };
    if filling.part == 1 {
        create_topics(broker, features);
    }
    filling.ledger();
    filling.parcels();
    if features.batch_queues && features.takes_batches {
        filling.crates();
    }
    filling.alarm("early", DELAY_LEVELS[0]);
    if features.transactions {
        filling.deeds();
    }
    filling.commit();
    filling.early_alarm_has_come();
    filling.alarm("soon", DELAY_LEVELS[1]);
    filling.alarm("far", DELAY_LEVELS[2]);
    if features.timers {
        filling.timer("timed-soon", 9_000);
        filling.timer("timed-far", 3_600_000);
    }
    filling.take_stock();
}

fn create_topics(broker: SocketAddr, features: Features) {
    for (topic, queues) in TOPICS {
        let stays_batch = topic == CRATES && features.batch_queues && features.takes_batches;
        let attributes = if stays_batch { "+queue.type=BatchCQ" } else { "" };
        wire::create_topic_with(broker, topic, queues, attributes);
    }
}

impl Filling<'_> {
    fn key(&self, what: &str) -> String {
        format!("{what}-{}", self.part)
    }

    /// Sends one message and gives the broker's answer.
    fn send(
        &mut self,
        topic: &str,
        queue: u32,
        sys_flag: &str,
        properties: &str,
        body: &[u8],
    ) -> Answer {
        // A transaction that is old when it arrives is one that Apache's broker gives up.
        let (queue, born) = (queue.to_string(), SystemClock::new().now_ms().to_string());
        let mut fields = wire::send_fields(topic, &queue, properties);
        for (name, value) in [("a", NOTARIES), ("f", sys_flag), ("g", &*born), ("h", "7")] {
            fields.iter_mut().find(|(known, _)| *known == name).unwrap().1 = value;
        }
        let answer = self.connection.call(code::SEND_MESSAGE_V2, &fields, body).unwrap();
        assert_eq!(answer.code, 0, "sending to {topic}: {}", answer.remark);
        answer
    }

    fn note(&mut self, topic: &str, queue: u32, offset: i64, keys: &str, tag: &str, body: &[u8]) {
        let what = (keys.to_owned(), tag.to_owned(), record::body_crc(body));
        let before = self.sent.insert((topic.to_owned(), queue, offset), what);
        assert!(before.is_none(), "{topic}:{queue} gave offset {offset} twice");
    }

    /// Tags, several keys, properties in any script, bodies from one byte to nearly a file.
    fn ledger(&mut self) {
        for number in 0..LEDGER_MESSAGES {
            let queue = u32::try_from(number % 4).unwrap();
            let bytes = if number % 16 == 9 { BIG_BODY_BYTES } else { 1 + number * 600 };
            let body = vec![b'a' + u8::try_from(number % 26).unwrap(); bytes];
            let keys = format!("entry-{}-{number} half-{}-{}", self.part, self.part, number / 2);
            let tag = ["paid", "open", "refunded"][number % 3];
            let properties = format!(
                "{}Straße\u{1}№ {number} 订单 🧾\u{2}empty-looking\u{1} \u{2}",
                properties(&keys, tag)
            );
            let answer = self.send(LEDGER, queue, "0", &properties, &body);
            let offset = answer.fields["queueOffset"].parse().unwrap();
            self.note(LEDGER, queue, offset, &keys, tag, &body);
        }
    }

    /// A batch that becomes ordinary messages, one behind the other.
    fn parcels(&mut self) {
        for queue in 0..2 {
            let items = self.items("parcel", queue, 10);
            let body = batch::encode(&items).unwrap();
            let answer = self.send_batch(PARCELS, queue, "", &body);
            let first: i64 = answer.fields["queueOffset"].parse().unwrap();
            for (at, item) in (first..).zip(&items) {
                let keys = property(&item.properties, "KEYS");
                self.note(PARCELS, queue, at, &keys, "parcel", &item.body);
            }
        }
    }

    /// Batches that stay one record each.
    fn crates(&mut self) {
        for (number, size) in [(0, 5), (1, 1), (2, 9)] {
            let items = self.items("crate", number, size);
            let body = batch::encode(&items).unwrap();
            let keys = self.key(&format!("crate-{number}"));
            let answer = self.send_batch(CRATES, 0, &properties(&keys, "crate"), &body);
            let base = answer.fields["queueOffset"].parse().unwrap();
            self.note(CRATES, 0, base, &keys, "crate", &body);
        }
    }

    fn items(&self, what: &str, number: u32, count: usize) -> Vec<BatchItem> {
        let item = |at: usize| BatchItem {
            flag: 3,
            body: format!("{what} {number} {at} of part {}", self.part).into_bytes().into(),
            properties: properties(&self.key(&format!("{what}-{number}-{at}")), what),
        };
        (0..count).map(item).collect()
    }

    fn send_batch(&mut self, topic: &str, queue: u32, properties: &str, body: &[u8]) -> Answer {
        let queue = queue.to_string();
        let mut fields = wire::send_fields(topic, &queue, properties);
        fields.iter_mut().find(|(name, _)| *name == "m").unwrap().1 = "true";
        let answer = self.connection.call(code::SEND_BATCH_MESSAGE, &fields, body).unwrap();
        assert_eq!(answer.code, 0, "a batch to {topic}: {}", answer.remark);
        answer
    }

    /// A delayed message. Those of hours shall not come.
    fn alarm(&mut self, what: &str, (level, delay_ms): (&str, i64)) {
        let properties = format!("{}DELAY\u{1}{level}\u{2}", properties(&self.key(what), "alarm"));
        self.later(what, &properties, delay_ms);
    }

    /// A message for a moment of its own.
    fn timer(&mut self, what: &str, delay_ms: i64) {
        let key = self.key(what);
        let properties = format!("{}TIMER_DELAY_MS\u{1}{delay_ms}\u{2}", properties(&key, "alarm"));
        // A timer's moments are whole seconds; a message may come up to one early.
        self.later(what, &properties, delay_ms - 1_000);
    }

    fn later(&mut self, what: &str, properties: &str, delay_ms: i64) {
        let (key, now_ms) = (self.key(what), SystemClock::new().now_ms());
        let body = format!("{what} of part {}", self.part).into_bytes();
        self.send(ALARMS, 0, "0", properties, &body);
        if delay_ms < 60_000 {
            let body_sum = record::body_crc(&body);
            self.inventory.waiting.push(Waiting { key, due_ms: now_ms + delay_ms, body_sum });
        }
    }

    /// One is delivered in this life already.
    fn early_alarm_has_come(&mut self) {
        super::later::wait_for_alarms(self.broker, true, self.inventory, &self.key("early"));
    }

    /// Transactions: committed, rolled back, and without an end.
    fn deeds(&mut self) {
        for what in ["committed", "rolled-back", "open", "asked"] {
            let key = self.key(what);
            let properties = format!(
                "{}TRAN_MSG\u{1}true\u{2}PGROUP\u{1}{NOTARIES}\u{2}",
                properties(&key, "deed")
            );
            let body = format!("the deed {key}").into_bytes();
            let answer = self.send(DEEDS, 0, "4", &properties, &body);
            let message_id = answer.fields["msgId"].clone();
            let half = Half {
                key: key.clone(),
                log_offset: i64::from_str_radix(&message_id[message_id.len() - 16..], 16).unwrap(),
                queue_offset: answer.fields["queueOffset"].parse().unwrap(),
                message_id,
                transaction_id: format!("id-of-{key}"),
                body_sum: record::body_crc(&body),
            };
            match what {
                "committed" => {
                    super::later::end(self.broker, &half, super::later::COMMIT, false);
                    let offset = self.inventory.max(DEEDS, 0);
                    self.note(DEEDS, 0, offset, &half.key, "deed", &body);
                }
                "rolled-back" => {
                    super::later::end(self.broker, &half, super::later::ROLL_BACK, false)
                }
                _ => self.inventory.halves.push(half),
            }
        }
    }

    fn commit(&mut self) {
        // A group has offsets once it has a subscription; a pull makes it known.
        wire::pull(&mut self.connection, GROUP, LEDGER, 0, 0, "*").unwrap();
        // Not of all queues: of others, 4.9 says 0.
        for queue in 0..3 {
            let offset = i64::from(queue) * 2 + 5 + i64::try_from(self.part).unwrap();
            wire::commit(self.broker, GROUP, LEDGER, queue, offset);
            self.inventory.committed.insert((LEDGER.to_owned(), queue), offset);
        }
    }

    /// Reads everything back; what was sent must be there, what was there must be as it was.
    fn take_stock(self) {
        let deadline = Deadline::after(Duration::from_secs(20));
        let mut found = read(self.broker);
        // Apache's queues follow its log a little later.
        while !self.sent.keys().all(|place| found.contains_key(place)) && !deadline.passed() {
            std::thread::park_timeout(Duration::from_millis(20));
            found = read(self.broker);
        }
        self.inventory.take_repeated(&found);
        let expected = self.inventory.messages.len() + self.sent.len();
        for (place, (keys, tag, body_sum)) in &self.sent {
            let stored = found.get(place).unwrap_or_else(|| panic!("{place:?} is not there"));
            assert_eq!((&stored.keys, &stored.tag), (keys, tag), "{place:?}");
            assert_eq!(stored.body_sum, *body_sum, "{place:?}");
        }
        for (place, stored) in &self.inventory.messages {
            assert_eq!(found.get(place), Some(stored), "{place:?} has changed");
        }
        assert_eq!(found.len(), expected, "more than was sent");
        self.inventory.messages = found;
    }
}

/// Keys, tag and the unique key that a client would give.
fn properties(keys: &str, tag: &str) -> String {
    let id = keys.split(' ').next().unwrap();
    format!("KEYS\u{1}{keys}\u{2}TAGS\u{1}{tag}\u{2}UNIQ_KEY\u{1}id-of-{id}\u{2}")
}

fn property(text: &str, name: &str) -> String {
    oxmq::protocol::message::properties::find(text, name).unwrap().to_owned()
}
