//! Answers that wait for the disk, of one connection, under SYNC_FLUSH.
//!
//! The connection goes on reading meanwhile. Answers leave in the order of their messages in the
//! log, as soon as the disk has them; or with FLUSH_DISK_TIMEOUT when that takes too long (the
//! message is stored, but may be lost in a power cut); or as an error when the disk fails.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use oxmq::protocol::code::ResponseCode;

use super::Caller;
use super::send_reply::Stored;
use crate::alarm::Deadline;
use crate::core::Core;
use crate::events::Wake;
use crate::reply::{Refusal, Reply, ReplyTo};
use crate::server::{Event, Outgoing};
use crate::store::FlushMode;

/// With so many answers waiting, the connection reads no further.
const MAX_WAITING: usize = 65_536;

/// An answer that waits.
#[derive(Debug)]
pub(super) enum Waiting {
    /// To a send.
    Send(Stored<Box<str>>),
    /// To anything else that was stored.
    Other(ReplyTo, Reply),
}

/// The answers of one connection that wait for the disk.
#[derive(Debug, Default)]
pub(crate) struct FlushWait {
    queue: VecDeque<Entry>,
    is_watching: bool,
    alarm: Option<Deadline>,
}

#[derive(Debug)]
struct Entry {
    end_offset: i64,
    until: Duration,
    answer: Waiting,
}

/// How an answer's wait ended.
#[derive(Debug, Clone, Copy)]
enum Ending {
    Durable,
    TimedOut,
    Failed,
}

impl FlushWait {
    /// Whether more requests may be read.
    pub(crate) fn has_room(&self) -> bool {
        self.queue.len() < MAX_WAITING
    }

    /// Adds an answer that waits until everything before `end_offset` is on the disk.
    pub(super) fn push(&mut self, core: &Core, end_offset: i64, answer: Waiting) {
        let until = core.clock.monotonic() + Duration::from(core.config.sync_flush_timeout);
        self.queue.push_back(Entry { end_offset, until, answer });
    }

    /// Answers a request once what it stored, which ends at `end_offset`, is as safe as it has to
    /// be; at once if nothing was stored.
    pub(super) fn answer(
        &mut self,
        core: &Core,
        caller: &Caller,
        (to, end_offset): (ReplyTo, Option<i64>),
        reply: Reply,
        out: &mut Outgoing,
    ) {
        match end_offset {
            Some(end_offset) if core.config.flush == FlushMode::Sync => {
                self.push(core, end_offset, Waiting::Other(to, reply));
                self.watch(core, caller);
            }
            _ => out.command(&to.served(Ok(reply))),
        }
    }

    /// Asks the store for a sync of what waits, and to be told of it.
    pub(crate) fn watch(&mut self, core: &Core, caller: &Caller) {
        let (Some(first), Some(last)) = (self.queue.front(), self.queue.back()) else { return };
        if !self.is_watching {
            self.is_watching = true;
            core.events.watch_flush(&caller.handle);
        }
        if self.alarm.is_none() {
            let wake = Wake { handle: Arc::clone(&caller.handle), event: Event::Flushed };
            self.alarm = Some(core.events.alarm.set(first.until, wake));
        }
        core.store.request_sync(last.end_offset);
        // The store may have synced, or failed, before we were on its list.
        if core.store.durable_offset() >= first.end_offset || core.store.is_poisoned().is_some() {
            caller.handle.tell(Event::Flushed);
        }
    }

    /// Writes the answers whose wait is over.
    pub(crate) fn release(&mut self, core: &Core, caller: &Caller, out: &mut Outgoing) {
        let durable = core.store.durable_offset();
        let failed = core.store.is_poisoned().map(Refusal::from);
        let now = core.clock.monotonic();
        while let Some(first) = self.queue.front() {
            let ending = if first.end_offset <= durable {
                Ending::Durable
            } else if failed.is_some() {
                Ending::Failed
            } else if first.until <= now {
                Ending::TimedOut
            } else {
                break;
            };
            if let Some(entry) = self.queue.pop_front() {
                answer(core, entry.answer, ending, failed.as_ref(), out);
            }
        }
        if let Some(alarm) = self.alarm.take() {
            core.events.alarm.cancel(alarm);
        }
        if self.queue.is_empty() {
            self.is_watching = false;
            core.events.ignore_flush(&caller.handle);
        } else {
            self.watch(core, caller);
        }
    }

    /// The connection is gone.
    pub(crate) fn closed(&mut self, core: &Core, caller: &Caller) {
        if let Some(alarm) = self.alarm.take() {
            core.events.alarm.cancel(alarm);
        }
        core.events.ignore_flush(&caller.handle);
    }
}

fn answer(
    core: &Core,
    waiting: Waiting,
    ending: Ending,
    failed: Option<&Refusal>,
    out: &mut Outgoing,
) {
    let refusal = failed.cloned();
    match (waiting, ending) {
        (Waiting::Send(stored), Ending::Durable) => {
            core.send_replies.write(ResponseCode::SUCCESS, &stored, out);
        }
        (Waiting::Send(stored), Ending::TimedOut) => {
            core.send_replies.write(ResponseCode::FLUSH_DISK_TIMEOUT, &stored, out);
        }
        (Waiting::Other(to, reply), Ending::Durable) => out.command(&to.served(Ok(reply))),
        (Waiting::Other(to, _), Ending::TimedOut) => {
            let refusal = Refusal::new(ResponseCode::SYSTEM_ERROR, "FLUSH_DISK_TIMEOUT");
            out.command(&to.served(Err(refusal)));
        }
        (Waiting::Send(Stored { to, .. }) | Waiting::Other(to, _), Ending::Failed) => {
            out.command(&to.served(refusal.map_or_else(|| Ok(Reply::done()), Err)));
        }
    }
}
