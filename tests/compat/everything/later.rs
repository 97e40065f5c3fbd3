//! What comes later: delayed and timed messages, and the ends of transactions.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use oxmq_tests::process::Deadline;
use oxmq_tests::wire::{self, Connection, code};
use serde_json::json;

use super::inventory::{Half, Inventory, Place, Stored, read_queue};
use super::{ALARMS, DEEDS, Features, NOTARIES};

/// How a transaction ends.
pub(crate) const COMMIT: &str = "8";
/// The other way.
pub(crate) const ROLL_BACK: &str = "12";

const PATIENCE: Duration = Duration::from_secs(40);

/// Waits for the waiting messages whose key begins as given: each comes once (after a kill, at
/// least once), not early, as it was sent.
pub(crate) fn wait_for_alarms(
    broker: SocketAddr,
    is_punctual: bool,
    inventory: &mut Inventory,
    prefix: &str,
) {
    let is_due = |key: &str| key.starts_with(prefix);
    let due: Vec<_> = inventory.waiting.iter().filter(|one| is_due(&one.key)).cloned().collect();
    let mut connection = Connection::open(broker).unwrap();
    let deadline = Deadline::after(PATIENCE);
    let mut news = BTreeMap::new();
    let has_come =
        |news: &BTreeMap<Place, Stored>, key: &str| news.values().any(|stored| stored.keys == key);
    while !due.iter().all(|one| has_come(&news, &one.key)) {
        assert!(!deadline.passed(), "{due:?} have not all come; only {news:?}");
        std::thread::park_timeout(Duration::from_millis(50));
        read_queue(broker, &mut connection, ALARMS, 0, &mut news);
        inventory.take_repeated(&news);
        news.retain(|place, _| !inventory.messages.contains_key(place));
    }
    for one in due {
        let came: Vec<_> = news.values().filter(|stored| stored.keys == one.key).collect();
        let is_once = came.len() == 1 || inventory.is_killed;
        assert!(is_once, "{} came {} times; news: {news:?}", one.key, came.len());
        for stored in came {
            assert_eq!(stored.body_sum, one.body_sum, "{}", one.key);
            let at = stored.store_time;
            let is_early = is_punctual && at < one.due_ms;
            assert!(!is_early, "{} came at {at}, due at {}", one.key, one.due_ms);
        }
    }
    inventory.messages.extend(news);
    inventory.waiting.retain(|one| !is_due(&one.key));
}

/// Ends the transactions that were left open: one by its producer, the others (as far as the
/// broker does that) when it asks.
pub(crate) fn end_transactions(broker: SocketAddr, features: Features, inventory: &mut Inventory) {
    for half in std::mem::take(&mut inventory.halves) {
        if half.key.starts_with("open") {
            end(broker, &half, COMMIT, false);
        } else if features.asks_producers {
            end(broker, &asked(broker, &half), COMMIT, true);
        } else {
            inventory.halves.push(half);
            continue;
        }
        let news = wait_for_news(broker, inventory, DEEDS, 1);
        let came = news.values().next().unwrap();
        assert_eq!((&came.keys, came.body_sum), (&half.key, half.body_sum));
        inventory.messages.extend(news);
    }
}

/// Ends a transaction.
pub(crate) fn end(broker: SocketAddr, half: &Half, how: &str, is_asked: bool) {
    let (log_offset, queue_offset) = (half.log_offset.to_string(), half.queue_offset.to_string());
    let fields = [
        ("topic", DEEDS),
        ("producerGroup", NOTARIES),
        ("tranStateTableOffset", &queue_offset),
        ("commitLogOffset", &log_offset),
        ("commitOrRollback", how),
        ("fromTransactionCheck", if is_asked { "true" } else { "false" }),
        ("msgId", &half.message_id),
        ("transactionId", &half.transaction_id),
    ];
    let answer = wire::call(broker, code::END_TRANSACTION, &fields, b"").unwrap();
    assert_eq!(answer.code, 0, "ending {}: {}", half.key, answer.remark);
}

/// Waits until the broker asks a producer about a transaction: the half message as it is now.
fn asked(broker: SocketAddr, half: &Half) -> Half {
    let mut connection = Connection::open(broker).unwrap();
    let heartbeat = json!({"clientID": "notary@1", "consumerDataSet": [],
        "producerDataSet": [{"groupName": NOTARIES}]});
    let deadline = Deadline::after(PATIENCE);
    let answer = connection.call(code::HEART_BEAT, &[], heartbeat.to_string().as_bytes()).unwrap();
    assert_eq!(answer.code, 0, "{}", answer.remark);
    while !deadline.passed() {
        let question = connection.next_command().unwrap();
        let is_about = question.fields.get("transactionId") == Some(&half.transaction_id);
        if question.code == i64::from(code::CHECK_TRANSACTION_STATE) && is_about {
            let number = |name: &str| question.fields[name].parse().unwrap();
            return Half {
                log_offset: number("commitLogOffset"),
                queue_offset: number("tranStateTableOffset"),
                ..half.clone()
            };
        }
    }
    panic!("nobody asked about {}", half.key);
}

/// Waits until a topic's first queue has so many messages more than the inventory says.
fn wait_for_news(
    broker: SocketAddr,
    inventory: &Inventory,
    topic: &str,
    count: usize,
) -> BTreeMap<Place, Stored> {
    let deadline = Deadline::after(PATIENCE);
    let mut connection = Connection::open(broker).unwrap();
    let wanted = inventory.max(topic, 0) + i64::try_from(count).unwrap();
    while wire::max_offset(broker, topic, 0) < wanted {
        assert!(!deadline.passed(), "{topic} has no {count} messages more; {inventory:?}");
        std::thread::park_timeout(Duration::from_millis(50));
    }
    let mut found = BTreeMap::new();
    read_queue(broker, &mut connection, topic, 0, &mut found);
    found.retain(|place, _| !inventory.messages.contains_key(place));
    found
}
