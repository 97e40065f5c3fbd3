//! One scenario with everything that a store can hold, and the inventory of it.
//!
//! [`fill`] puts it into a broker through its socket and gives the [`Inventory`]; [`check`] holds a
//! broker against an inventory, and waits for what was to come later. Neither knows whose broker
//! it is: Apache's and ours fill and are checked alike, so that each proves the other, and the run
//! of Apache against itself proves the scenario.

mod check;
pub(crate) mod derived;
mod fill;
mod inventory;
mod later;

use oxmq_tests::java::Release;

pub(crate) use check::check;
pub(crate) use fill::fill;
pub(crate) use inventory::Inventory;

/// Ordinary messages: bodies of all sizes, keys, tags, properties.
pub(crate) const LEDGER: &str = "ledger";
/// Messages sent as batches.
pub(crate) const PARCELS: &str = "parcels";
/// Delayed and timed messages arrive here.
pub(crate) const ALARMS: &str = "alarms";
/// Messages of transactions.
pub(crate) const DEEDS: &str = "deeds";
/// Batches that stay batches.
pub(crate) const CRATES: &str = "crates";
/// All of them, with the number of their queues.
pub(crate) const TOPICS: [(&str, u32); 5] =
    [(LEDGER, 4), (PARCELS, 2), (ALARMS, 1), (DEEDS, 1), (CRATES, 1)];

/// The group that commits offsets.
pub(crate) const GROUP: &str = "auditors";
/// The group that sends transactions.
pub(crate) const NOTARIES: &str = "notaries";

/// What a broker can do with a store, as far as the scenario cares.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Features {
    /// Messages for any moment: RocketMQ 5.
    pub(crate) timers: bool,
    /// Batches that stay batches: RocketMQ 5.
    pub(crate) batch_queues: bool,
    /// It makes such topics, and takes such batches from producers.
    pub(crate) takes_batches: bool,
    /// Half messages and their ends.
    pub(crate) transactions: bool,
    /// Messages are found by their keys.
    pub(crate) keys: bool,
    /// So is each of them after a kill. Apache's broker throws its last index file away then, and
    /// indexes what recovery happens to pass over.
    pub(crate) keys_after_kill: bool,
    /// Offsets by time are those of the first message at or after it; 4.9 gives a near one.
    pub(crate) exact_times: bool,
    /// Delayed messages that recovery puts back into their queue keep their time. 4.9 reads the
    /// levels after it has recovered, and gives such messages one second.
    pub(crate) delays_after_kill: bool,
    /// It asks producers about transactions that nobody ended.
    pub(crate) asks_producers: bool,
}

impl Features {
    /// Those of a release of Apache's.
    pub(crate) fn apache(release: &Release) -> Self {
        Self {
            timers: release.is_five(),
            batch_queues: release.is_five(),
            takes_batches: release.is_five(),
            transactions: true,
            keys: true,
            keys_after_kill: false,
            exact_times: release.is_five(),
            delays_after_kill: release.is_five(),
            asks_producers: true,
        }
    }

    /// Ours.
    pub(crate) fn ours() -> Self {
        Self {
            timers: true,
            batch_queues: true,
            takes_batches: true,
            transactions: true,
            keys: true,
            keys_after_kill: true,
            exact_times: true,
            delays_after_kill: true,
            asks_producers: true,
        }
    }

    /// What both can take from each other's store.
    pub(crate) fn common(self, other: Self) -> Self {
        Self {
            timers: self.timers && other.timers,
            batch_queues: self.batch_queues && other.batch_queues,
            transactions: self.transactions && other.transactions,
            ..self
        }
    }
}
