//! Pulls that found nothing and wait, by topic and queue.
//!
//! This table knows who waits for what; it holds no request and no answer. Whoever waits is told
//! (through [`LongPoll::arrived`]) that its queue has something for it, and pulls again itself.
//! Deadlines stay with the waiter too: when its time is up it takes itself out of the table.
//!
//! A waiter enters the table first and looks at the queue once more afterwards; so a message that
//! comes in between is not missed.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::filter::Filter;
use crate::store::MessageFilter;

/// The most pulls that wait at one time; one more is answered at once.
pub(crate) const MAX_WAITING: usize = 100_000;

/// The place of one waiting pull in the table; given back to leave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ticket {
    topic: Arc<str>,
    queue_id: i32,
    id: u64,
}

/// Who waits, and for what. `W` is how a waiter is told.
#[derive(Debug)]
pub(crate) struct LongPoll<W> {
    /// Waiting pulls; read without the lock, so that a send with nobody waiting costs one load.
    waiting: AtomicUsize,
    queues: Mutex<Queues<W>>,
}

#[derive(Debug)]
struct Queues<W> {
    next_id: u64,
    /// Topic, then queue, then who waits there.
    topics: HashMap<Arc<str>, HashMap<i32, Vec<Waiter<W>>>>,
}

#[derive(Debug)]
struct Waiter<W> {
    id: u64,
    offset: i64,
    filter: Filter,
    waker: W,
}

impl<W> Default for LongPoll<W> {
    fn default() -> Self {
        let queues = Queues { next_id: 0, topics: HashMap::new() };
        Self { waiting: AtomicUsize::new(0), queues: Mutex::new(queues) }
    }
}

impl<W> LongPoll<W> {
    /// Enters a pull that wants messages of `queue_id` from `offset` on.
    ///
    /// `None` if [`MAX_WAITING`] wait already.
    pub(crate) fn wait(
        &self,
        topic: &str,
        queue_id: i32,
        offset: i64,
        filter: Filter,
        waker: W,
    ) -> Option<Ticket> {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        if self.waiting.load(Ordering::Relaxed) >= MAX_WAITING {
            return None;
        }
        let id = queues.next_id;
        queues.next_id += 1;
        let topic: Arc<str> = match queues.topics.get_key_value(topic) {
            Some((known, _)) => Arc::clone(known),
            None => topic.into(),
        };
        let waiters =
            queues.topics.entry(Arc::clone(&topic)).or_default().entry(queue_id).or_default();
        waiters.push(Waiter { id, offset, filter, waker });
        // With the lock's release and acquire this is seen by an append that the waiter's second
        // look at the queue did not see.
        self.waiting.fetch_add(1, Ordering::SeqCst);
        Some(Ticket { topic, queue_id, id })
    }

    /// Takes a pull out, if it is still there.
    pub(crate) fn leave(&self, ticket: &Ticket) {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        let left = queues.take(&ticket.topic, ticket.queue_id, |waiter| waiter.id == ticket.id);
        self.waiting.fetch_sub(left.len(), Ordering::SeqCst);
    }

    /// A message came into a queue: takes out whoever it may interest and hands them to `wake`.
    ///
    /// `max_offset` is the queue's end after the message; a waiter further on is left waiting.
    pub(crate) fn arrived(
        &self,
        topic: &str,
        queue_id: i32,
        max_offset: i64,
        tags_code: i64,
        mut wake: impl FnMut(W),
    ) {
        if self.waiting.load(Ordering::SeqCst) == 0 {
            return;
        }
        let woken = {
            let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
            let woken = queues.take(topic, queue_id, |waiter| {
                waiter.offset < max_offset && waiter.filter.passes_code(tags_code)
            });
            self.waiting.fetch_sub(woken.len(), Ordering::SeqCst);
            woken
        };
        woken.into_iter().for_each(|waiter| wake(waiter.waker));
    }

    /// Takes out all who wait for a queue and hands them to `wake`.
    pub(crate) fn wake(&self, topic: &str, queue_id: i32, mut wake: impl FnMut(W)) {
        let woken = {
            let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
            let woken = queues.take(topic, queue_id, |_| true);
            self.waiting.fetch_sub(woken.len(), Ordering::SeqCst);
            woken
        };
        woken.into_iter().for_each(|waiter| wake(waiter.waker));
    }

    /// Takes out everybody and hands them to `wake`.
    pub(crate) fn wake_all(&self, mut wake: impl FnMut(W)) {
        let topics = {
            let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
            let topics = std::mem::take(&mut queues.topics);
            let woken = topics.values().flat_map(HashMap::values).map(Vec::len).sum();
            self.waiting.fetch_sub(woken, Ordering::SeqCst);
            topics
        };
        let waiters = topics.into_values().flat_map(HashMap::into_values).flatten();
        waiters.for_each(|waiter| wake(waiter.waker));
    }

    /// How many pulls wait.
    #[cfg(test)]
    fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }
}

impl<W> Queues<W> {
    fn take(
        &mut self,
        topic: &str,
        queue_id: i32,
        wanted: impl Fn(&Waiter<W>) -> bool,
    ) -> Vec<Waiter<W>> {
        let Some(queues) = self.topics.get_mut(topic) else { return Vec::new() };
        let Some(waiters) = queues.get_mut(&queue_id) else { return Vec::new() };
        let taken: Vec<_> = waiters.extract_if(.., |waiter| wanted(waiter)).collect();
        if waiters.is_empty() {
            queues.remove(&queue_id);
        }
        if queues.is_empty() {
            self.topics.remove(topic);
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrive(
        table: &LongPoll<&'static str>,
        queue: i32,
        end: i64,
        code: i64,
    ) -> Vec<&'static str> {
        let mut woken = Vec::new();
        table.arrived("t", queue, end, code, |waker| woken.push(waker));
        woken
    }

    #[test]
    fn a_message_wakes_who_waits_for_its_queue_and_tag() {
        let table = LongPoll::default();
        table.wait("t", 0, 5, Filter::All, "all").unwrap();
        table.wait("t", 0, 5, Filter::codes([7, 3]), "tagged").unwrap();
        table.wait("t", 1, 0, Filter::All, "other queue").unwrap();
        table.wait("u", 0, 0, Filter::All, "other topic").unwrap();

        assert_eq!(arrive(&table, 0, 6, 4), ["all"]);
        assert_eq!(arrive(&table, 0, 7, 3), ["tagged"]);
        assert_eq!(arrive(&table, 0, 8, 3), [""; 0]);
        assert_eq!(table.waiting(), 2);
    }

    #[test]
    fn a_waiter_ahead_of_the_queue_is_left_waiting() {
        let table = LongPoll::default();
        table.wait("t", 0, 9, Filter::All, "ahead").unwrap();
        assert_eq!(arrive(&table, 0, 9, 0), [""; 0]);
        assert_eq!(arrive(&table, 0, 10, 0), ["ahead"]);
    }

    #[test]
    fn who_left_is_not_woken_and_leaves_nothing_behind() {
        let table = LongPoll::default();
        let ticket = table.wait("t", 0, 0, Filter::All, "gone").unwrap();
        table.leave(&ticket);
        table.leave(&ticket);
        assert_eq!(table.waiting(), 0);
        assert!(table.queues.lock().unwrap().topics.is_empty());
        assert_eq!(arrive(&table, 0, 1, 0), [""; 0]);
    }
}
