//! What the store tells, and who is told.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use oxmq::protocol::names::{SCHEDULE_TOPIC, TIMER_TOPIC};
use tokio::sync::Notify;

use crate::alarm::Alarm;
use crate::long_poll::LongPoll;
use crate::server::{ConnectionId, Event, Handle};
use crate::store::{Arrived, StoreError, StoreEvents};

/// A connection, and what to tell it.
#[derive(Debug)]
pub(crate) struct Wake {
    pub(crate) handle: Arc<Handle>,
    pub(crate) event: Event,
}

impl Wake {
    pub(crate) fn wake(self) {
        self.handle.tell(self.event);
    }
}

/// Everybody who waits for the store.
#[derive(Debug, Default)]
pub(crate) struct Events {
    /// Pulls that wait for a message.
    pub(crate) long_poll: LongPoll<Wake>,
    /// When those pulls, and sends that wait for the disk, stop waiting.
    pub(crate) alarm: Alarm<Wake>,
    /// Rings when a delayed message was stored.
    pub(crate) delayed: Notify,
    /// Rings when a timed message was stored.
    pub(crate) timed: Notify,
    /// Rings when the timer's files are to be written.
    pub(crate) timer_changed: Notify,
    /// Connections with sends that wait for the disk.
    unflushed: Mutex<HashMap<ConnectionId, Arc<Handle>>>,
}

impl Events {
    /// A connection wants to know when the disk has more.
    pub(crate) fn watch_flush(&self, handle: &Arc<Handle>) {
        let mut waiting = self.unflushed.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.insert(handle.id(), Arc::clone(handle));
    }

    /// A connection does not want to know any more.
    pub(crate) fn ignore_flush(&self, handle: &Handle) {
        self.unflushed.lock().unwrap_or_else(PoisonError::into_inner).remove(&handle.id());
    }

    fn flushed(&self) {
        let waiting = self.unflushed.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.values().for_each(|handle| handle.tell(Event::Flushed));
    }
}

impl StoreEvents for Events {
    fn dispatched(&self, arrived: &[Arrived]) {
        for arrived in arrived {
            match &*arrived.topic {
                SCHEDULE_TOPIC => self.delayed.notify_one(),
                TIMER_TOPIC => self.timed.notify_one(),
                _ => {}
            }
            self.long_poll.arrived(
                &arrived.topic,
                arrived.queue_id,
                arrived.max_offset,
                arrived.tags_code,
                Wake::wake,
            );
        }
    }

    fn durable(&self, _offset: i64) {
        self.flushed();
    }

    fn poisoned(&self, error: &StoreError) {
        tracing::error!(%error, "the store takes no more writes");
        self.flushed();
    }
}
