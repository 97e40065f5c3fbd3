//! Transactions: half messages, how they end, and what becomes of those that do not.
//!
//! A message of a transaction is stored in the half topic, where no consumer looks. When its
//! producer [ends](end) the transaction, a committed message is stored in its real topic, and either
//! way an [op message](op) says that the half message is settled. Producers that keep silent are
//! [asked](check).
//!
//! ```text
//! RMQ_SYS_TRANS_HALF_TOPIC     half │ half │ half │ …        group CID_RMQ_SYS_TRANS stands at the
//! RMQ_SYS_TRANS_OP_HALF_TOPIC    "0"  │ "2"  │ …             first one that is not settled
//! ```
//!
//! Source: RocketMQ 5.3.3 `broker/transaction/queue`, `broker/processor/EndTransactionProcessor`.

pub(crate) mod check;
pub(crate) mod end;
pub(crate) mod op;

use oxmq::protocol::message::Record;
use oxmq::protocol::message::properties::name;

use crate::core::Core;

/// The group whose offsets tell which half and op messages are settled.
pub(crate) const GROUP: &str = "CID_RMQ_SYS_TRANS";

/// How old a half message has to be, ms, before its producer is asked; `None` if it leaves that to
/// the broker.
fn immunity_ms(core: &Core, half: &Record<'_>) -> Option<i64> {
    let seconds = half.property(name::CHECK_IMMUNITY_TIME_IN_SECONDS)?;
    Some(match seconds.parse::<i64>() {
        Ok(-1) | Err(_) => timeout_ms(core),
        Ok(seconds) => seconds.saturating_mul(1_000),
    })
}

fn timeout_ms(core: &Core) -> i64 {
    i64::try_from(core.config.transaction_timeout.0).unwrap_or(i64::MAX)
}

/// The topic and the queue that a half message is for.
fn real_place<'a>(half: &Record<'a>) -> Option<(&'a str, i32)> {
    Some((half.property(name::REAL_TOPIC)?, half.property(name::REAL_QUEUE_ID)?.parse().ok()?))
}
