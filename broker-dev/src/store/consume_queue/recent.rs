//! The queues that were used last: found by a few bytes of their name, without hashing all of it.

use std::sync::Arc;

use super::queue::ConsumeQueue;

/// Places; a name has one of them, which it may share.
const PLACES: usize = 256;

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct RecentQueues(Box<[Option<Arc<ConsumeQueue>>]>);

impl Default for RecentQueues {
    fn default() -> Self {
        Self(vec![None; PLACES].into_boxed_slice())
    }
}

impl RecentQueues {
    /// The queue, if it is among them.
    pub(crate) fn get(&self, topic: &str, queue_id: i32) -> Option<&Arc<ConsumeQueue>> {
        let queue = self.0.get(place(topic, queue_id))?.as_ref()?;
        (queue.queue_id() == queue_id && **queue.topic() == *topic).then_some(queue)
    }

    /// Puts a queue among them, in place of another one perhaps.
    pub(crate) fn remember(&mut self, queue: Arc<ConsumeQueue>) {
        if let Some(place) = self.0.get_mut(place(queue.topic(), queue.queue_id())) {
            *place = Some(queue);
        }
    }
}

fn place(topic: &str, queue_id: i32) -> usize {
    let of_topic = topic
        .bytes()
        .rev()
        .take(4)
        .fold(topic.len(), |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    let of_queue = usize::try_from(queue_id).unwrap_or(0);
    of_topic.wrapping_mul(17).wrapping_add(of_queue) % PLACES
}
