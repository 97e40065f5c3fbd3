//! What was asked of a store and what it promised, and the verdict on what it gives back.
//!
//! The model of a store is ten lines: each queue is a list, the log is one list, and what a crash
//! takes is the end of it ([`Journal::expected`]). All else here names what went wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// A queue: topic and id.
pub type Queue = (String, i32);

/// What a reader got: for each queue the offsets and bodies, in the order of reading.
pub type Reading = BTreeMap<Queue, Vec<(i64, Vec<u8>)>>;

/// A message that was handed to the store. Its number is its place in [`Journal::sent`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// Where to.
    pub queue: Queue,
    /// The offset that the store answered; `None` if it did not answer, or with an error.
    pub offset: Option<i64>,
    /// It was promised that this one outlives what then happened.
    pub is_promised: bool,
}

/// All that one writer did, in its order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Journal {
    /// The messages.
    pub sent: Vec<Sent>,
}

/// What a store may not do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// A promised message is gone.
    Lost {
        /// Its number.
        number: u64,
    },
    /// A message is gone and a later one of the same writer is there: a crash may take the end of
    /// what was not promised yet, never the middle.
    Hole {
        /// Its number.
        number: u64,
    },
    /// Something was read that nobody sent there.
    Phantom {
        /// Where it was read.
        queue: Queue,
        /// Its offset.
        offset: i64,
    },
    /// A message was read with other bytes than were sent.
    WrongBody {
        /// Its number.
        number: u64,
    },
    /// A message stands at another offset than the store answered.
    Moved {
        /// Its number.
        number: u64,
        /// Where it was read.
        offset: i64,
    },
    /// A message was read twice.
    Duplicate {
        /// Its number.
        number: u64,
    },
    /// A message was read after one that was sent to its queue after it.
    Reordered {
        /// Its number.
        number: u64,
    },
    /// A queue's offsets have a gap, begin elsewhere than at 0, or go back.
    Gap {
        /// The queue.
        queue: Queue,
        /// The offset that was read.
        offset: i64,
        /// The one that should have been.
        expected: i64,
    },
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// The body of a message: its number in eight bytes, then bytes that only this number has. Lengths
/// go from nothing to some sectors; now and then the body is zeros.
pub fn body(number: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(number);
    let length = match number % 8 {
        0 => random.usize(0..8),
        7 => random.usize(700..2_200),
        _ => random.usize(8..400),
    };
    let mut body = number.to_be_bytes().to_vec();
    match number % 16 {
        15 => body.resize(8 + length, 0),
        _ => body.extend(std::iter::repeat_with(|| random.u8(1..)).take(length)),
    }
    body
}

fn number_of(body: &[u8]) -> Option<u64> {
    body.first_chunk().map(|number| u64::from_be_bytes(*number))
}

impl Journal {
    /// Notes that a message is about to be handed over; gives its number.
    pub fn send(&mut self, topic: &str, queue_id: i32) -> u64 {
        let queue = (topic.to_owned(), queue_id);
        self.sent.push(Sent { queue, offset: None, is_promised: false });
        self.sent.len() as u64 - 1
    }

    /// Notes the store's answer to a message.
    pub fn answered(&mut self, number: u64, offset: i64) {
        if let Some(sent) = self.get_mut(number) {
            sent.offset = Some(offset);
        }
    }

    /// Notes that all messages answered so far are promised.
    pub fn promise_all(&mut self) {
        self.sent.iter_mut().for_each(|sent| sent.is_promised = sent.offset.is_some());
    }

    /// The message of a number.
    pub fn get(&self, number: u64) -> Option<&Sent> {
        self.sent.get(usize::try_from(number).ok()?)
    }

    fn get_mut(&mut self, number: u64) -> Option<&mut Sent> {
        self.sent.get_mut(usize::try_from(number).ok()?)
    }

    /// The model: the store after a crash that left the first `left` answered messages.
    pub fn expected(&self, left: usize) -> Reading {
        let mut reading = Reading::new();
        let numbered = self.sent.iter().zip(0..).filter(|(sent, _)| sent.offset.is_some());
        for (sent, number) in numbered.take(left) {
            let queue = reading.entry(sent.queue.clone()).or_default();
            queue.push((queue.len() as i64, body(number)));
        }
        reading
    }

    /// What is wrong with a reading; nothing if it is what one writer was promised.
    pub fn judge(&self, reading: &Reading) -> Vec<Verdict> {
        let mut verdicts = BTreeSet::new();
        let mut found = BTreeSet::new();
        for (queue, messages) in reading {
            self.judge_queue(queue, messages, &mut found, &mut verdicts);
        }
        let last = found.last().copied().unwrap_or(0);
        for (sent, number) in self.sent.iter().zip(0..) {
            match found.contains(&number) {
                false if sent.is_promised => verdicts.insert(Verdict::Lost { number }),
                false if sent.offset.is_some() && number < last => {
                    verdicts.insert(Verdict::Hole { number })
                }
                _ => false,
            };
        }
        verdicts.into_iter().collect()
    }

    fn judge_queue(
        &self,
        queue: &Queue,
        messages: &[(i64, Vec<u8>)],
        found: &mut BTreeSet<u64>,
        verdicts: &mut BTreeSet<Verdict>,
    ) {
        let mut before = None;
        for ((offset, bytes), expected) in messages.iter().zip(0..) {
            if *offset != expected {
                let (queue, offset) = (queue.clone(), *offset);
                verdicts.insert(Verdict::Gap { queue, offset, expected });
            }
            let number = number_of(bytes)
                .filter(|number| self.get(*number).is_some_and(|sent| sent.queue == *queue));
            // What cannot be a message of this queue may be the one whose place it has.
            let at_place = || {
                let is_here = |sent: &Sent| sent.queue == *queue && sent.offset == Some(*offset);
                self.sent.iter().zip(0..).find(|(sent, _)| is_here(sent)).map(|(_, at)| at)
            };
            let Some(number) = number else {
                verdicts.insert(match at_place() {
                    Some(number) => Verdict::WrongBody { number },
                    None => Verdict::Phantom { queue: queue.clone(), offset: *offset },
                });
                continue;
            };
            if *bytes != body(number) {
                verdicts.insert(Verdict::WrongBody { number });
            }
            let answered = self.get(number).and_then(|sent| sent.offset);
            if answered.is_some_and(|answered| answered != *offset) {
                verdicts.insert(Verdict::Moved { number, offset: *offset });
            }
            if !found.insert(number) {
                verdicts.insert(Verdict::Duplicate { number });
            } else if before.is_some_and(|before| before > number) {
                verdicts.insert(Verdict::Reordered { number });
            }
            before = before.max(Some(number));
        }
    }
}
