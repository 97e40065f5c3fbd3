//! Telling brokers how far the group has come.

use std::collections::BTreeMap;
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
    /// Topics go side by side, the queues of one topic one after another: a broker of 4.9 that is
    /// told of two queues at once, the first that it hears of a group and topic, keeps only one.
    ///
    /// Fails with the first failure; the others are told nevertheless.
    pub(super) async fn commit_all(&self, operation: &'static str) -> Result<(), Error> {
        let mut topics: BTreeMap<Arc<str>, Vec<Arc<Assigned>>> = BTreeMap::new();
        for assigned in self.all_assigned() {
            topics.entry(assigned.queue.topic.clone()).or_default().push(assigned);
        }
        let mut commits = JoinSet::new();
        for queues in topics.into_values() {
            commits.spawn(commit_in_turn(queues, operation));
        }
        let mut all = Ok(());
        while let Some(ended) = commits.join_next().await {
            // A commit without an outcome was cancelled with its runtime: nobody asks any more.
            all = all.and(ended.unwrap_or(Ok(())));
        }
        all
    }
}

async fn commit_in_turn(queues: Vec<Arc<Assigned>>, operation: &'static str) -> Result<(), Error> {
    let mut all = Ok(());
    for assigned in queues {
        all = all.and(commit(assigned, operation).await);
    }
    all
}

/// Tells the broker how far the group has come in one queue, unless it knows.
///
/// A queue's commits go one after another: brokers work on requests side by side, and an older
/// offset that overtakes a newer one hands the next owner messages that were acknowledged. For the
/// same reason pulls carry no offsets, as they may.
///
/// Differs: Apache's client sends it one-way and so does not notice when it is lost.
pub(super) async fn commit(assigned: Arc<Assigned>, operation: &'static str) -> Result<(), Error> {
    let _turn = assigned.commits.lock().await;
    let Some(offset) = assigned.uncommitted() else { return Ok(()) };
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
