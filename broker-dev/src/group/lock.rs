//! Which client holds which queue, for consumers that take messages in order.
//!
//! A pure table: the time is passed in, and a lock that is not renewed for a minute is free.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use oxmq::protocol::body::MessageQueue;

/// How long a lock holds without being renewed.
const LEASE: Duration = Duration::from_secs(60);

/// The most locked queues of one group.
const MAX_LOCKS_PER_GROUP: usize = 65_536;

/// The locks of every consumer group.
#[derive(Debug, Default)]
pub(crate) struct QueueLocks {
    groups: Mutex<HashMap<String, HashMap<MessageQueue, Holder>>>,
}

#[derive(Debug)]
struct Holder {
    client_id: String,
    renewed: Duration,
}

impl QueueLocks {
    /// Locks or renews queues for a client; returns those that it now holds.
    pub(crate) fn lock(
        &self,
        group: &str,
        client_id: &str,
        queues: Vec<MessageQueue>,
        now: Duration,
    ) -> Vec<MessageQueue> {
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        let held = groups.entry(group.to_owned()).or_default();
        held.retain(|_, holder| now.saturating_sub(holder.renewed) < LEASE);
        let mut granted = Vec::new();
        for queue in queues {
            let has_room = held.len() < MAX_LOCKS_PER_GROUP;
            let is_ours = match held.get_mut(&queue) {
                Some(holder) if holder.client_id == client_id => {
                    holder.renewed = now;
                    true
                }
                Some(_) => false,
                None if has_room => {
                    let holder = Holder { client_id: client_id.to_owned(), renewed: now };
                    held.insert(queue.clone(), holder);
                    true
                }
                None => false,
            };
            if is_ours {
                granted.push(queue);
            }
        }
        if held.is_empty() {
            groups.remove(group);
        }
        granted
    }

    /// Gives up those of the queues that the client holds.
    pub(crate) fn unlock(&self, group: &str, client_id: &str, queues: &[MessageQueue]) {
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(held) = groups.get_mut(group) else { return };
        for queue in queues {
            if held.get(queue).is_some_and(|holder| holder.client_id == client_id) {
                held.remove(queue);
            }
        }
        if held.is_empty() {
            groups.remove(group);
        }
    }

    /// Whether anybody holds a queue of the group.
    pub(crate) fn any(&self, group: &str, now: Duration) -> bool {
        let groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        groups.get(group).is_some_and(|held| {
            held.values().any(|holder| now.saturating_sub(holder.renewed) < LEASE)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(queue_id: i32) -> MessageQueue {
        MessageQueue { topic: "t".into(), broker_name: "b".into(), queue_id }
    }

    #[test]
    fn a_queue_has_one_holder_until_it_is_given_up() {
        let locks = QueueLocks::default();
        let at = Duration::from_secs;
        assert_eq!(locks.lock("g", "one", vec![queue(0), queue(1)], at(0)).len(), 2);
        assert_eq!(locks.lock("g", "two", vec![queue(1), queue(2)], at(1)), [queue(2)]);
        locks.unlock("g", "two", &[queue(1)]);
        assert_eq!(locks.lock("g", "two", vec![queue(1)], at(2)), []);
        locks.unlock("g", "one", &[queue(1)]);
        assert_eq!(locks.lock("g", "two", vec![queue(1)], at(3)), [queue(1)]);
        assert_eq!(locks.lock("other group", "two", vec![queue(0)], at(3)), [queue(0)]);
    }

    #[test]
    fn a_lock_that_is_not_renewed_for_a_minute_is_free() {
        let locks = QueueLocks::default();
        let at = Duration::from_secs;
        locks.lock("g", "one", vec![queue(0)], at(0));
        locks.lock("g", "one", vec![queue(0)], at(50));
        assert!(locks.any("g", at(109)));
        assert_eq!(locks.lock("g", "two", vec![queue(0)], at(109)), []);
        assert_eq!(locks.lock("g", "two", vec![queue(0)], at(110)), [queue(0)]);
        assert!(!locks.any("g", at(170)));
    }
}
