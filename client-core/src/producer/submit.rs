//! Sends for callers that cannot await: a message goes in from any thread, its outcome comes out
//! of a [`Completions`].
//!
//! Submitted messages go into one list; a task takes what has gathered and starts a send for each.
//! So a burst of submissions wakes the runtime once.

use std::collections::HashSet;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::Notify;

use super::{Inner, Producer, SendOptions};
use crate::completions::{Completion, Completions, Outcome};
use crate::error::Error;
use crate::message::Message;

/// As many sends are under way as the producer allows: take what is given back, and submit it
/// again after a completion.
pub struct Full<T>(pub T);

impl<T> fmt::Debug for Full<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Full")
    }
}

impl<T> fmt::Display for Full<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("as many sends are under way as the producer allows")
    }
}

impl<T> std::error::Error for Full<T> {}

/// Cancelled tags that are kept at most; sends that have ended leave theirs behind.
const MAX_CANCELLED: usize = 65_536;

pub(super) struct Submits {
    max_pending: usize,
    pending: AtomicUsize,
    waiting: Mutex<Vec<Submitted>>,
    arrived: Arc<Notify>,
    cancelled: Mutex<HashSet<u64>>,
    has_cancelled: AtomicBool,
}

struct Submitted {
    message: Message,
    options: SendOptions,
    tag: u64,
    to: Arc<Completions>,
}

impl Submits {
    pub(super) fn new(max_pending: usize) -> Self {
        Self {
            max_pending,
            pending: AtomicUsize::new(0),
            waiting: Mutex::default(),
            arrived: Arc::default(),
            cancelled: Mutex::default(),
            has_cancelled: AtomicBool::new(false),
        }
    }

    /// Takes places for so many sends, all or none.
    fn reserve(&self, count: usize) -> bool {
        self.pending
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |pending| {
                pending.checked_add(count).filter(|after| *after <= self.max_pending)
            })
            .is_ok()
    }

    fn put(&self, submitted: impl Iterator<Item = Submitted>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let was_empty = waiting.is_empty();
        waiting.extend(submitted);
        drop(waiting);
        if was_empty {
            self.arrived.notify_one();
        }
    }

    /// Ends what nobody will send any more: the client was closed, or the producer dropped.
    pub(super) fn fail_waiting(&self) {
        let waiting =
            std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        for Submitted { tag, to, .. } in waiting {
            self.end(tag);
            to.push(Completion { tag, outcome: Err(Error::closed("send")) });
        }
        self.arrived.notify_one();
    }

    fn cancelled(&self) -> std::sync::MutexGuard<'_, HashSet<u64>> {
        self.cancelled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_cancelled(&self, tag: u64) -> bool {
        self.has_cancelled.load(Ordering::Acquire) && self.cancelled().contains(&tag)
    }

    /// A send has ended: its place is free.
    fn end(&self, tag: u64) {
        let is_last = self.pending.fetch_sub(1, Ordering::AcqRel) == 1;
        if !self.has_cancelled.load(Ordering::Acquire) {
            return;
        }
        let mut cancelled = self.cancelled();
        cancelled.remove(&tag);
        if is_last {
            cancelled.clear();
        }
        if cancelled.is_empty() {
            self.has_cancelled.store(false, Ordering::Release);
        }
    }
}

impl Producer {
    /// Sends a message; its outcome comes out of `to` with this `tag`. Never waits, and may be
    /// called from any thread.
    ///
    /// # Errors
    /// [`Full`] gives the message back.
    pub fn submit(
        &self,
        message: Message,
        tag: u64,
        to: &Arc<Completions>,
    ) -> Result<(), Full<Message>> {
        self.submit_with(message, SendOptions::default(), tag, to)
    }

    /// The same, in a way of its own.
    ///
    /// # Errors
    /// [`Full`] gives the message back.
    pub fn submit_with(
        &self,
        message: Message,
        options: SendOptions,
        tag: u64,
        to: &Arc<Completions>,
    ) -> Result<(), Full<Message>> {
        if !self.inner.submits.reserve(1) {
            return Err(Full(message));
        }
        let to = to.clone();
        self.put(std::iter::once(Submitted { message, options, tag, to }));
        Ok(())
    }

    /// Sends several messages, each by itself; their tags count up from `first_tag`.
    ///
    /// # Errors
    /// [`Full`] gives all of them back if they do not all fit.
    pub fn submit_many(
        &self,
        messages: Vec<Message>,
        first_tag: u64,
        to: &Arc<Completions>,
    ) -> Result<(), Full<Vec<Message>>> {
        if !self.inner.submits.reserve(messages.len()) {
            return Err(Full(messages));
        }
        let numbered = messages.into_iter().zip(first_tag..);
        self.put(numbered.map(|(message, tag)| Submitted {
            message,
            options: SendOptions::default(),
            tag,
            to: to.clone(),
        }));
        Ok(())
    }

    fn put(&self, submitted: impl Iterator<Item = Submitted>) {
        self.inner.submits.put(submitted);
        if self.inner.instance.is_closed() {
            self.inner.submits.fail_waiting();
        }
    }

    /// Stops the retries of a submitted send. A request that has left cannot be called back: its
    /// outcome still comes.
    pub fn cancel(&self, tag: u64) {
        let submits = &self.inner.submits;
        let mut cancelled = submits.cancelled();
        if cancelled.len() >= MAX_CANCELLED {
            cancelled.clear();
        }
        cancelled.insert(tag);
        submits.has_cancelled.store(true, Ordering::Release);
    }

    /// How many submitted sends are under way.
    pub fn pending(&self) -> usize {
        self.inner.submits.pending.load(Ordering::Acquire)
    }
}

/// Starts the task that starts submitted sends. It ends with the producer.
pub(super) fn start_pump(inner: &Arc<Inner>) {
    let (arrived, stop) = (inner.submits.arrived.clone(), inner.instance.stop.clone());
    let producer = Arc::downgrade(inner);
    inner.instance.runtime.spawn(async move {
        loop {
            tokio::select! {
                () = arrived.notified() => {}
                () = stop.cancelled() => {}
            }
            let Some(alive) = Weak::upgrade(&producer) else { return };
            if stop.is_cancelled() {
                return alive.submits.fail_waiting();
            }
            let waiting = std::mem::take(
                &mut *alive.submits.waiting.lock().unwrap_or_else(PoisonError::into_inner),
            );
            for submitted in waiting {
                tokio::spawn(run(alive.clone(), submitted));
            }
        }
    });
}

async fn run(producer: Arc<Inner>, submitted: Submitted) {
    let Submitted { message, options, tag, to } = submitted;
    let is_cancelled = || producer.submits.is_cancelled(tag);
    let outcome = if is_cancelled() {
        Err(Error::new(crate::error::ErrorKind::Closed, "send", "it was cancelled")
            .on_topic(&message.topic))
    } else {
        producer.send(message, &options, &is_cancelled).await
    };
    producer.submits.end(tag);
    to.push(Completion { tag, outcome: outcome.map(Outcome::Receipt) });
}
