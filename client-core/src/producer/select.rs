//! Which queue a message goes to. Pure: the counter and the brokers to avoid are handed in.

use crate::message::MessageQueue;
use crate::protocol::message::tags::java_hash;

/// The queue whose turn it is: round robin, passing over brokers that `avoid` names as long as any
/// other is left. `None` only if there are no queues.
pub(crate) fn round_robin(
    queues: &[MessageQueue],
    turn: usize,
    avoid: impl Fn(&str) -> bool,
) -> Option<&MessageQueue> {
    let start = turn.checked_rem(queues.len())?;
    let from_start = || queues.iter().cycle().skip(start).take(queues.len());
    from_start().find(|queue| !avoid(&queue.broker_name)).or_else(|| from_start().next())
}

/// The queue that belongs to a shard: as long as the topic's queues stay the same, equal shards go
/// to equal queues, whichever client sends.
///
/// Source: RocketMQ 5.3.3 `SelectMessageQueueByHash`, which takes Java's hash code of the argument.
pub(crate) fn by_shard<'a>(queues: &'a [MessageQueue], shard: &str) -> Option<&'a MessageQueue> {
    let count = i32::try_from(queues.len()).ok().filter(|count| *count > 0)?;
    let index = (java_hash(shard) % count).unsigned_abs() as usize;
    queues.get(index)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queues() -> Vec<MessageQueue> {
        [("a", 0), ("a", 1), ("b", 0), ("b", 1)]
            .map(|(broker, id)| MessageQueue::new("t", broker, id))
            .to_vec()
    }

    #[test]
    fn turns_go_round() {
        let queues = queues();
        let picked: Vec<_> =
            (0..5).map(|turn| round_robin(&queues, turn, |_| false).unwrap().clone()).collect();
        assert_eq!(picked[..4], queues);
        assert_eq!(picked[4], queues[0]);
        assert!(round_robin(&queues, usize::MAX, |_| false).is_some());
    }

    #[test]
    fn a_broker_in_trouble_is_passed_over_while_another_is_left() {
        let queues = queues();
        for turn in 0..4 {
            assert_eq!(&*round_robin(&queues, turn, |b| b == "a").unwrap().broker_name, "b");
            assert_eq!(round_robin(&queues, turn, |_| true), Some(&queues[turn]));
        }
        assert_eq!(round_robin(&[], 3, |_| false), None);
    }

    #[test]
    fn shards_go_where_java_sends_them() {
        let queues = queues();
        // "TagA".hashCode() = 2598919, and 2598919 % 4 = 3.
        assert_eq!(by_shard(&queues, "TagA"), Some(&queues[3]));
        assert_eq!(by_shard(&queues, "TagB"), Some(&queues[0]));
        // "order-9999999".hashCode() is negative: the remainder's sign is dropped as in Java.
        assert!(java_hash("order-9999999") < 0);
        assert!(by_shard(&queues, "order-9999999").is_some());
        assert_eq!(by_shard(&[], "TagA"), None);
    }
}
