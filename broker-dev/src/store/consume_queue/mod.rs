//! Consume queues: for each queue of a topic, where in the commit log its messages are.
//!
//! They hold nothing that the log does not: what is missing or doubtful is written again from it.

mod batch;
mod deleted;
mod discover;
mod ext;
mod files;
mod load;
mod multi;
mod open_files;
mod queue;
mod recent;
mod sink;
mod table;
mod unit;
mod window;

pub(crate) use batch::{BATCH_UNIT_BYTES, BatchUnit};
pub(crate) use deleted::DeletedTopics;
pub(crate) use discover::{is_safe_topic, sample_lengths};
pub use ext::Extension;
pub(crate) use multi::places as light_places;
pub(crate) use multi::{LIGHT_QUEUE, may_be_in_several, wanted};
pub use queue::QueueKind;
pub(crate) use queue::{Appended, ConsumeQueue, Entry};
pub(crate) use sink::is_inner_batch;
pub(crate) use table::{QueueTable, stands_for};
pub(crate) use unit::{UNIT_BYTES, Unit, tags_code};
