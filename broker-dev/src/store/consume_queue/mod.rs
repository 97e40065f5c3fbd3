//! Consume queues: for each queue of a topic, where in the commit log its messages are.
//!
//! They hold nothing that the log does not: what is missing or doubtful is written again from it.

mod deleted;
mod queue;
mod recent;
mod table;
mod unit;

pub(crate) use deleted::DeletedTopics;
pub(crate) use queue::{Appended, ConsumeQueue};
pub(crate) use table::{FoundQueue, QueueTable, find_queues, is_safe_topic};
pub(crate) use unit::{UNIT_BYTES, Unit};
