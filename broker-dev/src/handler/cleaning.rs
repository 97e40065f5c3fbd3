//! Deleting what is old or of no use, when asked to: codes 306, 316 and 329.
//!
//! Source: RocketMQ 5.3.3 `broker/processor/AdminBrokerProcessor`.

use oxmq::protocol::names;

use crate::core::Core;
use crate::reply::{Reply, Served};

/// Code 329: files of the commit log that are expired go in the next rounds, whatever the hour.
pub(crate) fn expired_log_files(core: &Core) -> Reply {
    core.store.ask_for_cleaning();
    Reply::done()
}

/// Code 306: queues whose messages are all gone are forgotten.
pub(crate) fn expired_queues(core: &Core) -> Served {
    let deleted = core.store.delete_expired_queues(|topic| !names::is_system_topic(topic))?;
    tracing::info!(deleted, "expired queues are deleted");
    Ok(Reply::done())
}

/// Code 316: messages of topics that nobody has made, or that were deleted, go.
pub(crate) fn unused_topics(core: &Core) -> Served {
    for (topic, _) in core.store.queues() {
        let is_used = core.topics.get(&topic).is_some()
            || names::is_system_topic(&topic)
            || topic.starts_with(LMQ_PREFIX);
        if !is_used {
            core.store.delete_topic(&topic)?;
            tracing::info!(%topic, "a topic without configuration is deleted");
        }
    }
    Ok(Reply::done())
}

/// Queues of light topics, which have no configuration of their own.
const LMQ_PREFIX: &str = "%LMQ%";
