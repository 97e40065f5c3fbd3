//! Holding a broker against an inventory.

use std::net::SocketAddr;

use oxmq_tests::wire::{self, Connection};

use super::inventory::{Inventory, read, stored};
use super::later::{end_transactions, wait_for_alarms};
use super::{Features, GROUP, LEDGER, TOPICS};

/// Everything is there, byte for byte and by every way that leads to it; and what was to come
/// later comes, and is in the inventory from now on.
pub(crate) fn check(broker: SocketAddr, features: Features, inventory: &mut Inventory) {
    messages_are_the_same(broker, inventory);
    offsets_are_the_same(broker, inventory);
    tags_filter(broker, inventory);
    if features.keys && (features.keys_after_kill || !inventory.is_killed) {
        keys_lead_to_messages(broker, inventory);
    }
    times_lead_to_offsets(broker, features, inventory);
    let is_punctual = features.delays_after_kill || !inventory.is_killed;
    wait_for_alarms(broker, is_punctual, inventory, "");
    end_transactions(broker, features, inventory);
    messages_are_the_same(broker, inventory);
}

/// Record for record.
fn messages_are_the_same(broker: SocketAddr, inventory: &mut Inventory) {
    let mut found = read(broker);
    inventory.take_repeated(&found);
    for (place, stored) in &inventory.messages {
        let here = found.remove(place);
        assert_eq!(here.as_ref(), Some(stored), "{place:?} on the left as it is here");
    }
    // Alarms may have come by now.
    found.retain(|_, here| !inventory.waiting.iter().any(|one| one.key == here.keys));
    assert!(found.is_empty(), "more than there was: {found:?}");
}

fn offsets_are_the_same(broker: SocketAddr, inventory: &Inventory) {
    for ((topic, queue), offset) in &inventory.committed {
        let committed = wire::committed(broker, GROUP, topic, *queue);
        assert_eq!(committed, Some(*offset), "committed of {topic}:{queue}");
    }
    for (topic, queues) in TOPICS {
        for queue in 0..queues {
            let oldest = inventory.oldest.get(&(topic.to_owned(), queue)).copied().unwrap_or(0);
            assert_eq!(wire::min_offset(broker, topic, queue), oldest, "min of {topic}:{queue}");
        }
    }
}

/// The consume queues carry the tags' hashes: a filter finds the same messages as before.
fn tags_filter(broker: SocketAddr, inventory: &Inventory) {
    let mut connection = Connection::open(broker).unwrap();
    for queue in 0..4 {
        let all = inventory.queue(LEDGER, queue);
        let first = all[0].0;
        let paid = all.iter().filter(|(_, stored)| stored.tag == "paid").map(|(at, _)| *at);
        let paid: Vec<_> = paid.collect();
        let answer = wire::pull(&mut connection, "readers", LEDGER, queue, first, "paid").unwrap();
        assert_eq!(answer.code, 0, "{}", answer.remark);
        let found = super::inventory::records(&answer.body);
        let found: Vec<_> = found.iter().map(|(record, _)| record.queue_offset).collect();
        assert!(!found.is_empty() && paid.starts_with(&found), "{found:?} of {paid:?}");
    }
}

/// Each key and each unique key, also the oldest ones.
fn keys_lead_to_messages(broker: SocketAddr, inventory: &Inventory) {
    let mut connection = Connection::open(broker).unwrap();
    for ((topic, queue, offset), message) in &inventory.messages {
        let keys = message.keys.split(' ').filter(|key| !key.is_empty()).map(|key| (key, false));
        let unique = Some((&*message.unique_key, true)).filter(|(key, _)| !key.is_empty());
        for (key, is_unique) in keys.chain(unique) {
            let found = wire::query(&mut connection, topic, key, is_unique).unwrap();
            let found = found.map_or_else(Vec::new, |bytes| stored(&bytes));
            assert!(
                found.contains(message),
                "`{key}` does not lead to {topic}:{queue}:{offset}, but to {found:?}"
            );
        }
    }
    assert_eq!(wire::query(&mut connection, LEDGER, "no such key", false).unwrap(), None);
}

/// The moment of each message, and those just before and after it.
fn times_lead_to_offsets(broker: SocketAddr, features: Features, inventory: &Inventory) {
    let mut connection = Connection::open(broker).unwrap();
    for queue in 0..4 {
        let all = inventory.queue(LEDGER, queue);
        for (_, message) in &all {
            for time in [message.store_time - 1, message.store_time, message.store_time + 1] {
                let found = wire::search_offset(&mut connection, LEDGER, queue, time);
                if features.exact_times {
                    let first = all.iter().find(|(_, one)| one.store_time >= time);
                    let wanted = first.map_or(inventory.max(LEDGER, queue), |(at, _)| *at);
                    assert_eq!(found, wanted, "{LEDGER}:{queue} at {time}");
                } else if time == message.store_time {
                    let here = all.iter().find(|(at, _)| *at == found).expect("an offset in use");
                    assert_eq!(here.1.store_time, time, "{LEDGER}:{queue}");
                }
            }
        }
    }
}
