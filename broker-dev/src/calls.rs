//! Questions of the broker to its clients, and who waits for the answers.
//!
//! A client answers on the connection that the question came by. Whoever asked is called back with
//! the answer, or with why there is none: its time was up, or the connection is gone.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::BytesMut;
use oxmq::protocol::command::RemotingCommand;

use crate::alarm::Deadline;
use crate::core::Core;
use crate::events::Wake;
use crate::server::{ConnectionId, Event};

/// How long a client may take.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);

/// The most questions that wait for an answer; one more is not asked.
const MAX_OPEN: usize = 10_000;

/// Why a question has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unanswered {
    /// The client took too long.
    #[error("the client did not answer within {} s", TIMEOUT.as_secs())]
    TimedOut,
    /// The client's connection is gone.
    #[error("the client's connection is gone")]
    Gone,
    /// The broker waits for too many answers already.
    #[error("this broker waits for too many answers of clients")]
    TooMany,
}

/// What a client answered.
pub(crate) type Answer = Result<RemotingCommand, Unanswered>;

type Then = Box<dyn FnOnce(&Core, Answer) + Send>;

struct Open {
    then: Then,
    deadline: Deadline,
}

/// See the [module](self).
#[derive(Default)]
pub(crate) struct Calls {
    next: AtomicI32,
    open: Mutex<HashMap<(ConnectionId, i32), Open>>,
}

impl std::fmt::Debug for Calls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Calls").finish_non_exhaustive()
    }
}

impl Calls {
    fn take(&self, client: ConnectionId, opaque: i32) -> Option<Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&(client, opaque))
    }
}

impl Core {
    /// Asks a client, and calls back once, perhaps before this returns.
    pub(crate) fn call(
        &self,
        client: ConnectionId,
        mut question: RemotingCommand,
        then: impl FnOnce(&Core, Answer) + Send + 'static,
    ) {
        question.opaque = self.calls.next.fetch_add(1, Ordering::Relaxed);
        let mut frame = BytesMut::new();
        let handle = match self.connections.handle(client) {
            Some(handle) if question.encode(&mut frame).is_ok() => handle,
            _ => return then(self, Err(Unanswered::Gone)),
        };
        {
            let mut open = self.calls.open.lock().unwrap_or_else(PoisonError::into_inner);
            if open.len() >= MAX_OPEN {
                drop(open);
                return then(self, Err(Unanswered::TooMany));
            }
            let until = self.clock.monotonic() + TIMEOUT;
            let event = Event::Overdue(question.opaque);
            let wake = Wake { handle: Arc::clone(&handle), event };
            let deadline = self.events.alarm.set(until, wake);
            open.insert((client, question.opaque), Open { then: Box::new(then), deadline });
        }
        handle.tell(Event::Push(frame.freeze()));
        // Who closed before the question was in the table did not see it there.
        if self.connections.handle(client).is_none() {
            self.unanswered(client, question.opaque, Unanswered::Gone);
        }
    }

    /// A client answered.
    pub(crate) fn answered(&self, client: ConnectionId, answer: RemotingCommand) {
        if let Some(open) = self.calls.take(client, answer.opaque) {
            self.events.alarm.cancel(open.deadline);
            (open.then)(self, Ok(answer));
        }
    }

    /// A client will not answer any more.
    pub(crate) fn unanswered(&self, client: ConnectionId, opaque: i32, why: Unanswered) {
        if let Some(open) = self.calls.take(client, opaque) {
            self.events.alarm.cancel(open.deadline);
            (open.then)(self, Err(why));
        }
    }

    /// A connection is gone, and with it whatever it was asked.
    pub(crate) fn nobody_answers(&self, client: ConnectionId) {
        let asked: Vec<i32> = {
            let open = self.calls.open.lock().unwrap_or_else(PoisonError::into_inner);
            open.keys().filter(|(of, _)| *of == client).map(|(_, opaque)| *opaque).collect()
        };
        asked.into_iter().for_each(|opaque| self.unanswered(client, opaque, Unanswered::Gone));
    }
}
