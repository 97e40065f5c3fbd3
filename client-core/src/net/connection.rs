//! One task owns one socket.
//!
//! Callers put requests into a bounded queue. The task gathers what is queued, writes it in one
//! system call, and hands each answer to who waits for it. It stops reading the queue while the
//! other side takes nothing, so memory stays bounded.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::AsyncReadExt;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::CallError;
use super::inbound::Inbound;
use super::out_buffer::OutBuffer;
use super::transport::Wire;
use super::waiters::{ONE_WAY_OPAQUE, Waiter, Waiters};
use crate::clock::{self, SharedClock, Sleep};
use crate::protocol::DecodeError;
use crate::protocol::command::RemotingCommand;
use crate::protocol::frame::MAX_FRAME_BYTES;

/// Requests that wait for their turn to be written.
const QUEUE_LENGTH: usize = 4_096;
/// Requests gathered in one turn.
const GATHER: usize = 1_024;
/// No more is gathered while so much is unwritten.
const HIGH_WATER_BYTES: usize = 4 * 1024 * 1024;
/// Room made for each read.
const READ_BYTES: usize = 128 * 1024;
/// A connection without traffic is closed after this time, as Apache's peers do.
const IDLE: Duration = Duration::from_secs(120);
/// A peer that takes nothing for so long, though there is something to write, is gone.
const WRITE_STALL: Duration = Duration::from_secs(10);

/// A handle to the task that owns a socket. When the last one is dropped and everything is
/// answered, the task ends.
#[derive(Debug)]
pub(crate) struct Connection {
    queue: mpsc::Sender<Outgoing>,
    clock: SharedClock,
}

#[derive(Debug)]
struct Outgoing {
    command: RemotingCommand,
    /// `None` for a one-way request.
    waiter: Option<Waiter>,
}

impl Connection {
    /// Starts the task. It ends when `stop` says so.
    pub(crate) fn start(
        wire: Wire,
        address: Arc<str>,
        clock: SharedClock,
        inbound: Arc<dyn Inbound>,
        stop: CancellationToken,
    ) -> Self {
        let (queue, outgoing) = mpsc::channel(QUEUE_LENGTH);
        let now = clock.monotonic();
        let task = Task {
            wire,
            address,
            clock: clock.clone(),
            inbound,
            queue: outgoing,
            waiters: Waiters::default(),
            out: OutBuffer::default(),
            input: BytesMut::new(),
            last_activity: now,
            last_write: now,
        };
        tokio::spawn(task.run(stop));
        Self { queue, clock }
    }

    /// Whether the task still runs.
    pub(crate) fn is_open(&self) -> bool {
        !self.queue.is_closed()
    }

    /// Sends a request and waits for its answer until `deadline`.
    ///
    /// Dropping the future does not take a queued request back.
    pub(crate) async fn call(
        &self,
        command: RemotingCommand,
        deadline: Duration,
    ) -> Result<RemotingCommand, CallError> {
        let (reply, answer) = oneshot::channel();
        let waiter = Some(Waiter { reply, deadline });
        self.enqueue(Outgoing { command, waiter }, deadline).await?;
        answer.await.unwrap_or_else(|_| Err(CallError::Lost("the client is closed".into())))
    }

    /// Queues a request that wants no answer.
    pub(crate) async fn send(
        &self,
        command: RemotingCommand,
        deadline: Duration,
    ) -> Result<(), CallError> {
        self.enqueue(Outgoing { command, waiter: None }, deadline).await
    }

    async fn enqueue(&self, outgoing: Outgoing, deadline: Duration) -> Result<(), CallError> {
        let outgoing = match self.queue.try_send(outgoing) {
            Ok(()) => return Ok(()),
            Err(mpsc::error::TrySendError::Full(outgoing)) => outgoing,
            Err(mpsc::error::TrySendError::Closed(_)) => return Err(closed()),
        };
        match clock::timeout_at(&*self.clock, deadline, self.queue.send(outgoing)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(closed()),
            Err(_) => Err(CallError::TooLate),
        }
    }
}

fn closed() -> CallError {
    CallError::NotSent("the connection was closed".to_owned())
}

struct Task {
    wire: Wire,
    address: Arc<str>,
    clock: SharedClock,
    inbound: Arc<dyn Inbound>,
    queue: mpsc::Receiver<Outgoing>,
    waiters: Waiters,
    out: OutBuffer,
    input: BytesMut,
    last_activity: Duration,
    last_write: Duration,
}

impl Task {
    async fn run(mut self, stop: CancellationToken) {
        let reason = self.serve(stop).await;
        tracing::debug!(address = %self.address, reason, "connection ended");
        self.queue.close();
        while let Ok(outgoing) = self.queue.try_recv() {
            if let Some(waiter) = outgoing.waiter {
                waiter.end(Err(closed()));
            }
        }
        self.waiters.fail_all(&reason);
    }

    /// Reads and writes until something ends it; says what.
    async fn serve(&mut self, stop: CancellationToken) -> String {
        let mut batch = Vec::with_capacity(GATHER);
        let mut timer: Option<(Duration, Sleep)> = None;
        let mut is_orphaned = false;
        loop {
            if is_orphaned && self.waiters.is_empty() && self.out.is_empty() {
                return "nobody uses it".to_owned();
            }
            self.arm(&mut timer);
            self.input.reserve(self.wanted());
            let may_gather =
                !is_orphaned && self.out.len() < HIGH_WATER_BYTES && self.waiters.room() > GATHER;
            let Self { wire, queue, out, input, .. } = self;
            let has_output = !out.is_empty();
            tokio::select! {
                read = wire.reader.read_buf(input) => match read {
                    Ok(0) => return "the other side closed it".to_owned(),
                    Ok(_) => if let Err(reason) = self.take_in() { return reason },
                    Err(error) => return error.to_string(),
                },
                written = out.write_to(&mut *wire.writer), if has_output => match written {
                    Ok(()) => {
                        self.last_activity = self.clock.monotonic();
                        self.last_write = self.last_activity;
                    }
                    Err(error) => return error.to_string(),
                },
                count = queue.recv_many(&mut batch, GATHER), if may_gather => {
                    if count == 0 {
                        is_orphaned = true;
                    } else {
                        self.gather(&mut batch).await;
                    }
                },
                () = wait(&mut timer) => {
                    timer = None;
                    if let Err(reason) = self.check_time() { return reason }
                },
                () = stop.cancelled() => return "the client was closed".to_owned(),
            }
        }
    }

    /// Room for the next read: all that is missing of a frame whose length is known.
    fn wanted(&self) -> usize {
        match self.input.first_chunk() {
            Some(length) => {
                let length = u32::from_be_bytes(*length) as usize;
                length.saturating_sub(self.input.len()).clamp(READ_BYTES, MAX_FRAME_BYTES)
            }
            None => READ_BYTES,
        }
    }

    /// Lets other tasks queue what they have, once, and then takes all of it: one write for many.
    async fn gather(&mut self, batch: &mut Vec<Outgoing>) {
        tokio::task::yield_now().await;
        while batch.len() < GATHER {
            match self.queue.try_recv() {
                Ok(outgoing) => batch.push(outgoing),
                Err(_) => break,
            }
        }
        let now = self.clock.monotonic();
        for outgoing in batch.drain(..) {
            self.put_out(outgoing, now);
        }
    }

    fn put_out(&mut self, outgoing: Outgoing, now: Duration) {
        let Outgoing { mut command, waiter } = outgoing;
        let Some(waiter) = waiter else {
            command.opaque = ONE_WAY_OPAQUE;
            if let Err(error) = self.push(&command, now) {
                tracing::warn!(address = %self.address, %error, "one-way request dropped");
            }
            return;
        };
        if waiter.reply.is_closed() {
            return;
        }
        if waiter.deadline <= now {
            return waiter.end(Err(CallError::TooLate));
        }
        command.opaque = match self.waiters.add(waiter) {
            Ok(opaque) => opaque,
            Err(waiter) => {
                return waiter.end(Err(CallError::NotSent("too much is in flight".into())));
            }
        };
        if let Err(error) = self.push(&command, now) {
            if let Some(waiter) = self.waiters.take(command.opaque) {
                waiter.end(Err(CallError::Unsendable(error)));
            }
        }
    }

    fn push(&mut self, command: &RemotingCommand, now: Duration) -> Result<(), DecodeError> {
        if self.out.is_empty() {
            self.last_write = now;
        }
        self.out.push(command)
    }

    /// Takes every whole frame out of the input.
    fn take_in(&mut self) -> Result<(), String> {
        self.last_activity = self.clock.monotonic();
        loop {
            match RemotingCommand::decode(&mut self.input, MAX_FRAME_BYTES) {
                Ok(Some(command)) if command.is_response() => {
                    match self.waiters.take(command.opaque) {
                        Some(waiter) => waiter.end(Ok(command)),
                        None => tracing::debug!(
                            address = %self.address, opaque = command.opaque,
                            "an answer that nobody waits for"
                        ),
                    }
                }
                Ok(Some(request)) => self.answer(&request),
                Ok(None) => return Ok(()),
                Err(error) => {
                    tracing::warn!(address = %self.address, %error, "not RocketMQ's protocol");
                    return Err(format!("what came in is not RocketMQ's protocol: {error}"));
                }
            }
        }
    }

    fn answer(&mut self, request: &RemotingCommand) {
        let Some(answer) = self.inbound.request(&self.address, request) else { return };
        if request.is_one_way() {
            return;
        }
        if let Err(error) = self.push(&answer, self.last_activity) {
            tracing::warn!(address = %self.address, %error, "answer dropped");
        }
    }

    /// Ends what is overdue.
    fn check_time(&mut self) -> Result<(), String> {
        let now = self.clock.monotonic();
        self.waiters.expire(now);
        if !self.out.is_empty() && now >= self.last_write.saturating_add(WRITE_STALL) {
            return Err(format!("the other side took nothing for {} s", WRITE_STALL.as_secs()));
        }
        if self.waiters.is_empty() && now >= self.last_activity.saturating_add(IDLE) {
            return Err(format!("idle for {} s", IDLE.as_secs()));
        }
        Ok(())
    }

    /// Sets the timer to the next moment that something can be overdue.
    fn arm(&self, timer: &mut Option<(Duration, Sleep)>) {
        let idle = self.waiters.is_empty().then(|| self.last_activity.saturating_add(IDLE));
        let stall = (!self.out.is_empty()).then(|| self.last_write.saturating_add(WRITE_STALL));
        let Some(next) =
            [self.waiters.earliest_deadline(), stall, idle].into_iter().flatten().min()
        else {
            return;
        };
        if timer.as_ref().is_none_or(|(at, _)| next < *at) {
            *timer = Some((next, self.clock.sleep_until(next)));
        }
    }
}

async fn wait(timer: &mut Option<(Duration, Sleep)>) {
    match timer {
        Some((_, sleep)) => sleep.await,
        None => pending().await,
    }
}
