//! Sends of one event loop that found no place among those under way.
//!
//! Each producer has its own line, so that one that waits for a dead broker holds up no other.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use oxmq::completions::Completions;
use oxmq::{Full, Message, SendOptions};

/// How many bytes of messages may wait.
const MAX_BYTES: usize = 256 * 1024 * 1024;
/// What a waiting message takes besides its body, about.
const OVERHEAD_BYTES: usize = 512;

/// A producer, and a number that names it.
#[derive(Clone)]
pub(crate) struct Numbered {
    pub(crate) number: u64,
    pub(crate) producer: oxmq::Producer,
}

/// The messages of one producer, in the order of their calls.
struct Line {
    producer: oxmq::Producer,
    waiting: BTreeMap<u64, (Message, SendOptions)>,
}

/// All lines, and the sends that left them.
#[derive(Default)]
pub(crate) struct Backlog {
    lines: HashMap<u64, Line>,
    bytes: usize,
    count: usize,
    under_way: usize,
}

fn weight(message: &Message) -> usize {
    message.body().len() + OVERHEAD_BYTES
}

impl Backlog {
    /// Sends a message now, or when its turn comes.
    ///
    /// # Errors
    /// Gives the message back if too much waits already.
    pub(crate) fn send(
        &mut self,
        producer: &Numbered,
        message: Message,
        options: SendOptions,
        tag: u64,
        to: &Arc<Completions>,
    ) -> Result<(), Message> {
        // First come, first served: nobody overtakes those who wait.
        let message = if self.lines.contains_key(&producer.number) {
            message
        } else {
            match producer.producer.submit_with(message, options.clone(), tag, to) {
                Ok(()) => {
                    self.under_way += 1;
                    return Ok(());
                }
                Err(Full(message)) => message,
            }
        };
        let bytes = weight(&message);
        if self.bytes + bytes > MAX_BYTES {
            return Err(message);
        }
        self.bytes += bytes;
        self.count += 1;
        let new_line = || Line { producer: producer.producer.clone(), waiting: BTreeMap::new() };
        let line = self.lines.entry(producer.number).or_insert_with(new_line);
        line.waiting.insert(tag, (message, options));
        Ok(())
    }

    /// So many sends have ended.
    pub(crate) fn ended(&mut self, count: usize) {
        self.under_way = self.under_way.saturating_sub(count);
    }

    /// Sends what there are places for now.
    pub(crate) fn advance(&mut self, to: &Arc<Completions>) {
        let (bytes, count, under_way) = (&mut self.bytes, &mut self.count, &mut self.under_way);
        self.lines.retain(|_, line| {
            while let Some((tag, (message, options))) = line.waiting.pop_first() {
                let taken = weight(&message);
                match line.producer.submit_with(message, options.clone(), tag, to) {
                    Ok(()) => {
                        *bytes = bytes.saturating_sub(taken);
                        *count = count.saturating_sub(1);
                        *under_way += 1;
                    }
                    Err(Full(message)) => {
                        line.waiting.insert(tag, (message, options));
                        return true;
                    }
                }
            }
            false
        });
    }

    /// Takes a message out; returns what it leaves to be dropped.
    pub(crate) fn cancel(&mut self, producer: u64, tag: u64) -> Option<Message> {
        let line = self.lines.get_mut(&producer)?;
        let (message, _) = line.waiting.remove(&tag)?;
        if line.waiting.is_empty() {
            self.lines.remove(&producer);
        }
        self.bytes = self.bytes.saturating_sub(weight(&message));
        self.count = self.count.saturating_sub(1);
        Some(message)
    }

    /// Whether messages wait, and no send of this loop is under way whose end would let them on:
    /// another loop has all the places.
    pub(crate) fn is_stuck(&self) -> bool {
        self.under_way == 0 && self.count > 0
    }
}
