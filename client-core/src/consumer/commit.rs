//! Telling brokers how far the group has come.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::assigned::Assigned;
use super::core::Core;
use crate::clock;
use crate::error::{Error, ErrorKind};
use crate::protocol::code::RequestCode;
use crate::protocol::command::RemotingCommand;
use crate::protocol::header::UpdateConsumerOffsetRequestHeader;

const TIMEOUT: Duration = Duration::from_secs(3);

impl Core {
    /// Tells brokers of all progress since the last time, and waits until they know.
    ///
    /// Fails with the first failure; the others are told nevertheless.
    pub(super) async fn commit_all(&self, operation: &'static str) -> Result<(), Error> {
        let mut commits = JoinSet::new();
        for assigned in self.all_assigned() {
            if let Some(offset) = assigned.uncommitted() {
                commits.spawn(commit(assigned, offset, operation));
            }
        }
        commits.join_all().await.into_iter().collect()
    }
}

/// Tells the broker one offset.
///
/// Differs: Apache's client sends it one-way and so does not notice when it is lost.
pub(super) async fn commit(
    assigned: Arc<Assigned>,
    offset: i64,
    operation: &'static str,
) -> Result<(), Error> {
    let (shared, queue) = (&assigned.shared, &assigned.queue);
    let context = |error: Error| error.on_queue(queue).of_group(&shared.group);
    let route = shared.instance.routes.cached(&queue.topic);
    let address = route
        .as_ref()
        .and_then(|route| route.replica(&queue.broker_name, 0))
        .ok_or_else(|| {
            context(Error::new(ErrorKind::Unavailable, operation, "the broker has no address"))
        })?
        .0;
    let header = UpdateConsumerOffsetRequestHeader {
        consumer_group: shared.group.to_string(),
        topic: queue.topic.to_string(),
        queue_id: queue.queue_id,
        commit_offset: offset,
    };
    let request = RemotingCommand::request(RequestCode::UPDATE_CONSUMER_OFFSET, &header);
    shared.instance.ask(operation, address, request, TIMEOUT).await.map_err(context)?;
    assigned.note_committed(offset);
    Ok(())
}

/// Commits from time to time, until the consumer stops.
pub(super) async fn keep_committing(core: Arc<Core>) {
    let (instance, stop) = (&core.shared.instance, &core.shared.stop);
    loop {
        tokio::select! {
            () = clock::sleep(&*instance.clock, core.shared.options.commit_interval) => {}
            () = stop.cancelled() => return,
        }
        if let Err(error) = core.commit_all("commit").await {
            tracing::warn!(%error, "progress not committed, trying again later");
        }
    }
}
