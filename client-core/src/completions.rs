//! Results for callers that cannot await: other languages' event loops and blocking threads.
//!
//! The client puts [`Completion`]s into a queue and rings a bell once; the caller's thread drains
//! the queue when it likes. However many results come before it does, the bell rings once, so a
//! burst costs one wake-up.
//!
//! ```text
//! client tasks ── push ──► Completions ── ring (only if it was quiet) ──► Bell
//!                              ▲                                           │
//!                              └────────────── drain ◄── caller's thread ◄─┘
//! ```
//!
//! Make one queue for each event loop or blocking caller, never one for a whole process: results
//! would wait for a loop that sleeps.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::consumer::DrainReport;
use crate::error::Error;
use crate::producer::Receipt;

/// Wakes the thread that drains a queue. Called from the client's tasks: it must not wait.
pub trait Bell: Send + Sync {
    /// Something is there.
    fn ring(&self);
}

/// The result of one call.
#[derive(Debug)]
pub struct Completion {
    /// The number that the caller gave to the call.
    pub tag: u64,
    /// What came of it.
    pub outcome: Result<Outcome, Error>,
}

/// What came of a call that went well.
#[derive(Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// A send.
    Receipt(Receipt),
    /// A call without a result.
    Done,
    /// A consumer was drained.
    Drained(DrainReport),
}

/// A queue of results, and the bell that tells of them.
///
/// It holds at most what its callers have under way: each submitted call puts in one completion.
pub struct Completions {
    queue: Mutex<Vec<Completion>>,
    bell: BellRope,
}

impl Completions {
    /// An empty queue.
    pub fn new(bell: Box<dyn Bell>) -> Self {
        Self { queue: Mutex::default(), bell: BellRope::new(bell) }
    }

    /// Puts one result in.
    pub fn push(&self, completion: Completion) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).push(completion);
        self.bell.pull();
    }

    /// Moves up to `max` results into `out`, oldest first. Returns whether there are more: call
    /// again then, since the bell does not ring for those that were there already.
    pub fn drain(&self, out: &mut Vec<Completion>, max: usize) -> bool {
        // Before taking: what is put in after this moment rings again.
        self.bell.listen();
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let count = queue.len().min(max);
        out.extend(queue.drain(..count));
        !queue.is_empty()
    }
}

impl fmt::Debug for Completions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Completions").finish_non_exhaustive()
    }
}

/// A bell that rings once until somebody listens again.
pub(crate) struct BellRope {
    has_rung: AtomicBool,
    bell: Box<dyn Bell>,
}

impl BellRope {
    pub(crate) fn new(bell: Box<dyn Bell>) -> Self {
        Self { has_rung: AtomicBool::new(false), bell }
    }

    /// Rings, unless it has rung since [`listen`](Self::listen). Call it after the thing that it
    /// tells of can be seen.
    pub(crate) fn pull(&self) {
        if !self.has_rung.swap(true, Ordering::AcqRel) {
            self.bell.ring();
        }
    }

    /// The listener is about to look: anything put in later rings again. Call it before looking.
    pub(crate) fn listen(&self) {
        self.has_rung.store(false, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;
    use std::sync::mpsc::{SyncSender, sync_channel};

    use super::*;

    struct Count(Arc<AtomicUsize>);
    impl Bell for Count {
        fn ring(&self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn done(tag: u64) -> Completion {
        Completion { tag, outcome: Ok(Outcome::Done) }
    }

    #[test]
    fn a_burst_rings_once_and_a_drained_queue_rings_again() {
        let rings = Arc::new(AtomicUsize::new(0));
        let completions = Completions::new(Box::new(Count(rings.clone())));
        (0..5).for_each(|tag| completions.push(done(tag)));
        assert_eq!(rings.load(Ordering::SeqCst), 1);
        let mut out = Vec::new();
        assert!(completions.drain(&mut out, 3), "there are more");
        assert!(!completions.drain(&mut out, 3));
        assert_eq!(out.iter().map(|one| one.tag).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
        completions.push(done(5));
        assert_eq!(rings.load(Ordering::SeqCst), 2);
    }

    struct Wake(SyncSender<()>);
    impl Bell for Wake {
        fn ring(&self) {
            let _ = self.0.try_send(());
        }
    }

    /// A thread that sleeps until the bell rings, and drains then, misses nothing.
    #[test]
    fn no_result_is_left_behind_by_a_sleeping_listener() {
        const EACH: u64 = 20_000;
        let (wake, woken) = sync_channel(1);
        let completions = Arc::new(Completions::new(Box::new(Wake(wake))));
        let pushers: Vec<_> = (0..2)
            .map(|pusher| {
                let completions = completions.clone();
                std::thread::spawn(move || {
                    (0..EACH).for_each(|tag| completions.push(done(pusher * EACH + tag)));
                })
            })
            .collect();
        let mut out = Vec::new();
        while (out.len() as u64) < 2 * EACH {
            woken.recv().unwrap();
            while completions.drain(&mut out, 64) {}
        }
        pushers.into_iter().for_each(|pusher| pusher.join().unwrap());
        assert_eq!(out.len() as u64, 2 * EACH);
    }
}
