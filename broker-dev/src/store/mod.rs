//! The storage engine: RocketMQ's files, byte for byte, behind a synchronous API.
//!
//! It knows nothing of requests and needs no runtime. The life of one write:
//!
//! ```text
//! Store::put ── checks, CRC, queue handles ──► commit_log::append      one lock, many records
//!                                                  │ publishes the new end
//!            ┌─────────────────────────────────────┤
//!            ▼                                     ▼
//!        dispatch ──► consume_queue, index     flush (one thread) ──► Disk::sync_data
//!            └─► StoreEvents::dispatched           └─► StoreEvents::durable
//! ```
//!
//! and of one read: `Store::get` ── consume_queue ──► commit_log::read ──► [`bytes::Bytes`] over
//! the mapped file, no copy.
//!
//! Opening: [`recovery`](RecoveryReport) finds the log's end, cuts what is torn, and makes the
//! consume queues agree with it.

#[doc(hidden)]
pub mod bare;
mod checkpoint;
mod commit_log;
pub mod config_file;
mod consume_queue;
mod delete;
pub mod disk;
mod dispatch;
mod engine;
mod error;
mod flush;
mod get;
mod group_commit;
mod hand_over;
mod housekeeping;
mod index;
mod layout;
mod local_time;
mod mapped_file;
mod mapped_file_queue;
mod options;
mod published;
mod put;
mod query;
mod recovery;
mod retention;
mod sync;
#[cfg(test)]
mod tests;
pub mod timer;
pub mod tools;

pub use commit_log::{Put, PutMessage};
pub use consume_queue::{Extension, QueueKind};
pub use dispatch::Arrived;
pub use engine::Store;
pub use error::StoreError;
pub use get::{GetLimits, GetResult, GetStatus, MessageFilter, TransferLimits};
pub use index::QueryResult;
pub use options::{FlushMode, StoreOptions};
pub use put::PutTurn;
pub use query::Boundary;
pub use recovery::{Damage, RecoveryReport};
pub use retention::{RetentionOptions, RetentionStep};

/// What the store tells its owner. Calls come from inside the store: they must be short and may
/// not wait for the store.
pub trait StoreEvents: Send + Sync + 'static {
    /// Messages became readable; once for each turn of the dispatch, in the log's order.
    fn dispatched(&self, arrived: &[Arrived]) {
        let _ = arrived;
    }

    /// Everything before `offset` in the commit log is on the disk.
    fn durable(&self, offset: i64) {
        let _ = offset;
    }

    /// A sync failed: what waits for durability waits in vain, and no more writes are taken.
    fn poisoned(&self, error: &StoreError) {
        let _ = error;
    }
}

/// Listens to nothing.
impl StoreEvents for () {}
