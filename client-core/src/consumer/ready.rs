//! Deliveries that wait for the application.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::Notify;

use super::Delivery;
use crate::completions::{Bell, BellRope};

/// What taking left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// There are more: take again.
    More,
    /// That was all. The bell rings when there are more.
    Empty,
    /// There will be no more.
    Closed,
}

/// The list, bounded by what the queues allow in flight.
#[derive(Default)]
pub(super) struct Ready {
    list: Mutex<List>,
    arrived: Notify,
    bell: OnceLock<BellRope>,
}

#[derive(Default)]
struct List {
    deliveries: VecDeque<Delivery>,
    is_closed: bool,
}

impl List {
    /// The next delivery of a queue that is still ours; others belong to their new owners.
    fn pop(&mut self) -> Option<Delivery> {
        loop {
            let delivery = self.deliveries.pop_front()?;
            if !delivery.is_revoked() {
                return Some(delivery);
            }
        }
    }
}

impl Ready {
    fn list(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds deliveries and tells of them.
    pub(super) fn push(&self, deliveries: impl IntoIterator<Item = Delivery>) {
        let mut list = self.list();
        if list.is_closed {
            return;
        }
        list.deliveries.extend(deliveries);
        drop(list);
        self.tell();
    }

    fn tell(&self) {
        self.arrived.notify_one();
        if let Some(bell) = self.bell.get() {
            bell.pull();
        }
    }

    /// Waits for the next delivery; `None` once closed.
    pub(super) async fn next(&self) -> Option<Delivery> {
        loop {
            {
                let mut list = self.list();
                if list.is_closed {
                    drop(list);
                    self.arrived.notify_one();
                    return None;
                }
                if let Some(delivery) = list.pop() {
                    let has_more = !list.deliveries.is_empty();
                    drop(list);
                    if has_more {
                        // Somebody else may wait as well.
                        self.arrived.notify_one();
                    }
                    return Some(delivery);
                }
            }
            self.arrived.notified().await;
        }
    }

    /// Takes what is there, up to so many messages and so many bytes of bodies, but at least one.
    pub(super) fn take(&self, max: usize, max_bytes: usize, out: &mut Vec<Delivery>) -> Taken {
        if let Some(bell) = self.bell.get() {
            bell.listen();
        }
        let mut list = self.list();
        let (mut count, mut bytes) = (0, 0);
        while count < max && bytes < max_bytes {
            let Some(delivery) = list.pop() else { break };
            count += 1;
            bytes += delivery.body.len();
            out.push(delivery);
        }
        match (list.is_closed, list.deliveries.is_empty()) {
            (true, _) => Taken::Closed,
            (false, true) => Taken::Empty,
            (false, false) => Taken::More,
        }
    }

    /// Puts deliveries back to the front, in their order.
    pub(super) fn give_back(&self, deliveries: impl DoubleEndedIterator<Item = Delivery>) {
        let mut list = self.list();
        if list.is_closed {
            return;
        }
        deliveries.rev().for_each(|delivery| list.deliveries.push_front(delivery));
        drop(list);
        self.tell();
    }

    /// Rings `bell` when deliveries arrive; at once, if some are there. The first bell stays.
    pub(super) fn on_ready(&self, bell: Arc<dyn Bell>) {
        struct Shared(Arc<dyn Bell>);
        impl Bell for Shared {
            fn ring(&self) {
                self.0.ring();
            }
        }
        let rope = self.bell.get_or_init(|| BellRope::new(Box::new(Shared(bell))));
        let list = self.list();
        let has_news = list.is_closed || !list.deliveries.is_empty();
        drop(list);
        if has_news {
            rope.pull();
        }
    }

    /// Ends the list; returns what nobody took.
    pub(super) fn close(&self) -> Vec<Delivery> {
        let mut list = self.list();
        list.is_closed = true;
        let untaken = std::mem::take(&mut list.deliveries).into();
        drop(list);
        self.tell();
        untaken
    }
}

impl fmt::Debug for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ready").field("waiting", &self.list().deliveries.len()).finish()
    }
}
