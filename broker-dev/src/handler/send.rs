//! Sends: codes 10, 310 and 320.
//!
//! All sends that arrived in one read are stored in one turn of the log's lock, in their order, and
//! answered in one write.

use std::ops::Range;

use oxmq::protocol::code::ResponseCode;
use oxmq::protocol::command::RemotingCommand;

use super::Caller;
use super::flush_wait::{FlushWait, Waiting};
pub(crate) use super::send_check::TopicCache;
use super::send_check::{Accepted, Admitted, Check};
pub(crate) use super::send_reply::SendReplies;
use super::send_reply::Stored;
use crate::core::Core;
use crate::reply::{Refusal, ReplyTo};
use crate::server::Outgoing;
use crate::store::{FlushMode, Put, StoreError};

/// Room for property strings that is kept between turns.
const KEEP_TEXT_BYTES: usize = 256 * 1024;

/// The sends of one read, and what is reused from one turn to the next.
#[derive(Debug, Default)]
pub(crate) struct SendTurn {
    requests: Vec<RemotingCommand>,
    texts: String,
    puts: Vec<Put>,
    cache: TopicCache,
}

impl SendTurn {
    /// Adds a send to the turn.
    pub(crate) fn push(&mut self, request: RemotingCommand) {
        self.requests.push(request);
    }

    /// Stores all sends of the turn and answers them, or has their answers wait for the disk.
    pub(crate) fn store(
        &mut self,
        core: &Core,
        caller: &Caller,
        flush_wait: &mut FlushWait,
        out: &mut Outgoing,
    ) {
        if self.requests.is_empty() {
            return;
        }
        let mut requests = std::mem::take(&mut self.requests);
        self.texts.clear();
        self.texts.shrink_to(KEEP_TEXT_BYTES);
        self.puts.clear();
        let mut check = Check {
            core,
            cache: &mut self.cache,
            texts: &mut self.texts,
            messages: Vec::with_capacity(requests.len()),
        };
        let admitted: Vec<_> = requests.iter().map(|request| check.admit(request)).collect();
        let messages = check.messages;
        let batches: Vec<_> = admitted
            .iter()
            .filter_map(|admitted| admitted.as_ref().ok())
            .filter(|admitted| admitted.messages.len() > 1)
            .map(|admitted| admitted.messages.clone())
            .collect();
        let stored = put(core, caller, &messages, &batches, &self.texts, &mut self.puts);
        let turn = Turn { core, texts: &self.texts, puts: &self.puts, end_offset: stored };
        for (request, admitted) in requests.iter().zip(admitted) {
            let outcome = admitted.and_then(|admitted| turn.outcome(request, &admitted));
            if !request.is_one_way() {
                turn.answer(request, outcome, flush_wait, out);
            }
        }
        drop(messages);
        requests.clear();
        self.requests = requests;
        flush_wait.watch(core, caller);
    }
}

/// Puts the messages; returns the end of the log after them.
fn put(
    core: &Core,
    caller: &Caller,
    messages: &[Accepted<'_>],
    batches: &[Range<usize>],
    texts: &str,
    puts: &mut Vec<Put>,
) -> Result<i64, StoreError> {
    if messages.is_empty() {
        return Ok(0);
    }
    let messages: Vec<_> =
        messages.iter().map(|message| message.to_put(core, caller, texts)).collect();
    let turn = core.store.put_runs(&messages, batches, puts)?;
    let bytes = puts.iter().map(|put| u64::from(put.length)).sum();
    core.statistics.stored(puts.len(), bytes);
    Ok(turn.end_offset)
}

/// What became of the messages of one turn.
struct Turn<'t> {
    core: &'t Core,
    texts: &'t str,
    puts: &'t [Put],
    end_offset: Result<i64, StoreError>,
}

impl Turn<'_> {
    fn outcome(
        &self,
        request: &RemotingCommand,
        admitted: &Admitted,
    ) -> Result<(Stored<&str>, bool), Refusal> {
        if let Err(error) = &self.end_offset {
            return Err(error.into());
        }
        let mut puts = self.puts.get(admitted.messages.clone()).unwrap_or_default().iter();
        let first = puts.next().ok_or_else(|| {
            Refusal::new(ResponseCode::SYSTEM_ERROR, "the store did not say where the message is")
        })?;
        let stored = Stored {
            to: ReplyTo::new(request),
            queue_id: admitted.queue_id,
            queue_offset: first.queue_offset,
            first_physical: first.physical_offset,
            more_physical: puts.map(|put| put.physical_offset).collect(),
            unique_key: self.texts.get(admitted.unique_key.clone()).unwrap_or_default(),
            is_inner_batch: admitted.is_inner_batch,
            recall_handle: admitted.recall_handle.as_deref().map(Into::into),
        };
        let waits = admitted.waits_for_disk && self.core.config.flush == FlushMode::Sync;
        Ok((stored, waits))
    }

    fn answer(
        &self,
        request: &RemotingCommand,
        outcome: Result<(Stored<&str>, bool), Refusal>,
        flush_wait: &mut FlushWait,
        out: &mut Outgoing,
    ) {
        match outcome {
            Ok((stored, true)) => {
                let end_offset = self.end_offset.as_ref().copied().unwrap_or_default();
                flush_wait.push(self.core, end_offset, Waiting::Send(stored.into_owned()));
            }
            Ok((stored, false)) => {
                self.core.send_replies.write(ResponseCode::SUCCESS, &stored, out);
            }
            Err(refusal) => out.command(&ReplyTo::new(request).served(Err(refusal))),
        }
    }
}
