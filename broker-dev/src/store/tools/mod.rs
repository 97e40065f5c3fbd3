//! Looking at a store's folder: any RocketMQ broker's, ours or Apache's, open or not.
//!
//! [`Folder::open`] takes no lock and writes nothing. What is found is judged with the same codecs
//! that the store itself uses, and by the same rules as its recovery. No byte is trusted; memory is
//! bounded by the number of queues and never by what a file says of itself.
//!
//! Differs from the rest of the store in one thing: files are read, not mapped. A disk's read error
//! is a finding then and not a signal, and a file may be shortened while it is read.

mod diff;
mod dry_disk;
mod dump;
mod error;
mod folder;
mod inspect;
mod inventory;
mod log_reader;
mod progress;
mod reader;
mod repair;
mod snapshot;
mod text;
mod units;
mod verify;
mod walk;

pub use diff::{
    ConfigDifference, DiffOptions, Difference, MessageDifference, QueueDifference, diff,
};
pub use dry_disk::{Change, FileChange};
pub use dump::{DumpFilter, Dumped, DumpedRecord, dump_records};
pub use error::ToolError;
pub use folder::Folder;
pub use inspect::{
    CheckpointSummary, CommittedSummary, DelaySummary, GroupSummary, Inspection, LogSummary,
    QueueSummary, TopicSummary, inspect,
};
pub use inventory::KindSummary;
pub use progress::Progress;
pub use repair::{Place, Repair, plan_repair, repair};
pub use snapshot::{Restored, Snapshot, restore, snapshot};
pub use text::{parse_time, time};
pub use verify::{Checked, FileKind, Finding, Lost, Severity, Verification, VerifyOptions, verify};
