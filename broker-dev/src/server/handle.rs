//! How the rest of the broker reaches the task that owns a socket.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;

/// The most events that wait for one connection. Its own waiting pulls are bounded below this; only
/// notices can go over it, and a notice that is dropped is made up for by the client's next look.
const MAX_EVENTS: usize = 65_536;

/// How long a connection may stand still, in both directions, before it is closed.
const IDLE: Duration = Duration::from_secs(120);

/// The number of a connection, never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ConnectionId(pub(crate) u64);

/// Something that a connection's task should know.
#[derive(Debug)]
pub(crate) enum Event {
    /// A pull that waits should be looked at again.
    Pull(u64),
    /// The disk has more than before, or failed, or time is up: look at what waits for it.
    Flushed,
    /// A question to this client may have waited too long for its answer.
    Overdue(i32),
    /// Write this frame.
    Push(Bytes),
    /// Write what is left to write and close; a second one closes at once.
    Close,
}

/// The way to one connection.
#[derive(Debug)]
pub(crate) struct Handle {
    id: ConnectionId,
    events: Mutex<Vec<Event>>,
    bell: Notify,
    /// Something was read or written since the last look.
    was_active: AtomicBool,
}

impl Handle {
    /// The connection's number.
    pub(crate) fn id(&self) -> ConnectionId {
        self.id
    }

    /// Tells the connection's task.
    pub(crate) fn tell(&self, event: Event) {
        {
            let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
            if events.len() >= MAX_EVENTS && !matches!(event, Event::Close) {
                return;
            }
            events.push(event);
        }
        self.bell.notify_one();
    }

    /// Waits until there is something to [`take`](Self::take). Cancel safe.
    pub(super) async fn rung(&self) {
        self.bell.notified().await;
    }

    /// Moves what was told into `events`.
    pub(super) fn take(&self, events: &mut Vec<Event>) {
        events.append(&mut self.events.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(super) fn set_active(&self) {
        self.was_active.store(true, Ordering::Relaxed);
    }
}

/// All connections of one server.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    next_id: AtomicU64,
    open: Mutex<HashMap<ConnectionId, Open>>,
}

#[derive(Debug)]
struct Open {
    handle: Arc<Handle>,
    active_at: Duration,
}

impl Connections {
    /// Enters a new connection, unless there are `limit` already.
    pub(crate) fn open(&self, limit: usize, now: Duration) -> Option<Arc<Handle>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= limit {
            return None;
        }
        let id = ConnectionId(self.next_id.fetch_add(1, Ordering::Relaxed));
        let handle = Arc::new(Handle {
            id,
            events: Mutex::new(Vec::new()),
            bell: Notify::new(),
            was_active: AtomicBool::new(true),
        });
        open.insert(id, Open { handle: Arc::clone(&handle), active_at: now });
        Some(handle)
    }

    /// Forgets a connection.
    pub(crate) fn closed(&self, id: ConnectionId) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }

    /// The way to a connection, if it is still open.
    pub(crate) fn handle(&self, id: ConnectionId) -> Option<Arc<Handle>> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.get(&id).map(|open| Arc::clone(&open.handle))
    }

    /// Tells one connection, if it is still open.
    pub(crate) fn tell(&self, id: ConnectionId, event: Event) {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = open.get(&id) {
            open.handle.tell(event);
        }
    }

    /// Tells all of them to close.
    pub(crate) fn close_all(&self) {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.values().for_each(|open| open.handle.tell(Event::Close));
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Closes those that stood still for two minutes.
    pub(crate) fn close_idle(&self, now: Duration) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        for open in open.values_mut() {
            if open.handle.was_active.swap(false, Ordering::Relaxed) {
                open.active_at = now;
            } else if now.saturating_sub(open.active_at) > IDLE {
                tracing::info!(connection = open.handle.id.0, "closing an idle connection");
                open.handle.tell(Event::Close);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(handle: &Handle) -> usize {
        let mut events = Vec::new();
        handle.take(&mut events);
        events.len()
    }

    #[test]
    fn a_connection_that_stands_still_is_told_to_close() {
        let connections = Connections::default();
        let at = Duration::from_secs;
        let still = connections.open(2, at(0)).unwrap();
        let busy = connections.open(2, at(0)).unwrap();
        assert!(connections.open(2, at(0)).is_none(), "there is a limit");
        connections.close_idle(at(10));
        for second in (20..=140).step_by(10) {
            busy.set_active();
            connections.close_idle(at(second));
        }
        assert_eq!((told(&still), told(&busy)), (1, 0));
    }

    #[test]
    fn events_wait_in_order_and_have_a_bound() {
        let connections = Connections::default();
        let handle = connections.open(1, Duration::ZERO).unwrap();
        for pull in 0..70_000 {
            connections.tell(handle.id(), Event::Pull(pull));
        }
        handle.tell(Event::Close);
        let mut events = Vec::new();
        handle.take(&mut events);
        assert_eq!(events.len(), MAX_EVENTS + 1);
        assert!(matches!(events.first(), Some(Event::Pull(0))));
        assert!(matches!(events.last(), Some(Event::Close)));
        connections.closed(handle.id());
        connections.tell(handle.id(), Event::Flushed);
        assert_eq!(told(&handle), 0);
    }
}
