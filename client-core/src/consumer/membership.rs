//! Which queues are mine, kept up to date.

use std::sync::Arc;
use std::time::Duration;

use super::assigned::Assigned;
use super::core::Core;
use super::process_queue::ProcessQueue;
use super::start_offset::{Start, start_offset};
use super::{assignment, commit, pull, rebalance};
use crate::clock;
use crate::error::{Error, ErrorKind};
use crate::instance::HOUSEKEEPING_TIMEOUT;
use crate::instance::route::{Purpose, TopicRoute};
use crate::message::MessageQueue;
use crate::protocol::body::{Body as _, GetConsumerListByGroupResponseBody};
use crate::protocol::code::RequestCode;
use crate::protocol::command::RemotingCommand;
use crate::protocol::header::ConsumerGroupRequestHeader;

/// How often shares are computed when nothing happens.
const INTERVAL: Duration = Duration::from_secs(20);
/// How soon they are computed again when something was missing.
const INTERVAL_WHEN_INCOMPLETE: Duration = Duration::from_secs(1);

/// Computes shares from time to time and whenever members or routes change, until the consumer or
/// its client stops; then nobody waits for deliveries any longer.
pub(super) async fn keep_balanced(core: Arc<Core>) {
    balance(&core).await;
    core.ready.close();
}

async fn balance(core: &Arc<Core>) {
    let (instance, stop) = (&core.shared.instance, &core.shared.stop);
    let mut interval = INTERVAL_WHEN_INCOMPLETE;
    loop {
        tokio::select! {
            () = clock::sleep(&*instance.clock, interval) => {}
            () = core.rebalance.notified() => {}
            () = stop.cancelled() => return,
        }
        let is_complete = tokio::select! {
            is_complete = core.rebalance_all() => is_complete,
            () = stop.cancelled() => return,
        };
        interval = if is_complete { INTERVAL } else { INTERVAL_WHEN_INCOMPLETE };
    }
}

impl Core {
    /// Brings the queues owned to what they should be; says whether that worked for every topic.
    pub(super) async fn rebalance_all(self: &Arc<Self>) -> bool {
        let mut is_complete = true;
        for subscription in &self.subscriptions {
            match self.rebalance_topic(&subscription.topic).await {
                Ok(()) => {}
                Err(error) => {
                    is_complete = false;
                    if error.kind() == ErrorKind::RouteNotFound {
                        tracing::debug!(%error, "the topic is not there yet");
                    } else {
                        tracing::warn!(%error, "shares not computed, trying again");
                    }
                }
            }
        }
        is_complete
    }

    async fn rebalance_topic(self: &Arc<Self>, topic: &Arc<str>) -> Result<(), Error> {
        const OPERATION: &str = "rebalance";
        let instance = &self.shared.instance;
        let deadline = instance.deadline(HOUSEKEEPING_TIMEOUT);
        let route = instance.route(OPERATION, topic, Purpose::Receive, deadline).await?;
        let members = self.members(&route).await?;
        let queues = route.read_queues.clone();
        let Some(wanted) = assignment::average(queues, members, &instance.client_id) else {
            // The broker does not know us yet: what we hold stays ours until it does.
            instance.send_heartbeats().await;
            let reason = "the broker does not list this member yet";
            return Err(Error::new(ErrorKind::Unavailable, OPERATION, reason)
                .on_topic(topic)
                .of_group(&self.shared.group));
        };
        let held = self.owned().of_topic(topic);
        let change = rebalance::change(&held, &wanted);
        if !change.close.is_empty() || !change.open.is_empty() {
            tracing::info!(
                group = %self.shared.group, %topic, given_up = change.close.len(),
                taken_on = change.open.len(), owned = wanted.len(), "queues reassigned"
            );
        }
        for queue in &change.close {
            self.give_up(queue).await;
        }
        for queue in change.open {
            self.take_on(queue, &route).await?;
        }
        Ok(())
    }

    /// The ids of the live members. Every member asks the same broker first, so that all see the
    /// same list.
    async fn members(&self, route: &TopicRoute) -> Result<Vec<String>, Error> {
        const OPERATION: &str = "list members";
        let header = ConsumerGroupRequestHeader { consumer_group: self.shared.group.to_string() };
        let request = RemotingCommand::request(RequestCode::GET_CONSUMER_LIST_BY_GROUP, &header);
        let mut failure = None;
        for address in route.one_of_each() {
            let instance = &self.shared.instance;
            let answer =
                instance.ask(OPERATION, address, request.clone(), HOUSEKEEPING_TIMEOUT).await;
            match answer {
                Ok(answer) => {
                    let body = GetConsumerListByGroupResponseBody::decode(&answer.body)?;
                    return Ok(body.consumer_id_list);
                }
                // It knows no member at all.
                Err(error) if error.code().is_some() => return Ok(Vec::new()),
                Err(error) => failure = Some(error),
            }
        }
        let none = || Error::new(ErrorKind::Unavailable, OPERATION, "the topic has no broker");
        Err(failure.unwrap_or_else(none).of_group(&self.shared.group))
    }

    /// Another member owns the queue now.
    async fn give_up(&self, queue: &MessageQueue) {
        let Some(assigned) = self.owned().remove(queue) else { return };
        assigned.revoked.cancel();
        if let Err(error) = commit::commit(assigned, "give up").await {
            tracing::warn!(%error, "progress not committed: the next owner repeats it");
        }
    }

    /// This member owns the queue now.
    async fn take_on(
        self: &Arc<Self>,
        queue: MessageQueue,
        route: &TopicRoute,
    ) -> Result<(), Error> {
        let appeared_later = self.owned().appeared_later(&queue);
        let start = start_offset(&self.shared, route, &queue, appeared_later).await?;
        let (offset, committed) = match start {
            Start::Committed(offset) => (offset, offset),
            Start::Fresh(offset) => (offset, -1),
        };
        let assigned = {
            let mut owned = self.owned();
            if self.shared.stop.is_cancelled() {
                return Ok(());
            }
            let Some(slot) = owned.free_slot() else {
                let reason = "this member owns 65,536 queues already";
                return Err(Error::new(ErrorKind::Busy, "rebalance", reason).on_queue(&queue));
            };
            let table = ProcessQueue::new(offset, self.shared.options.limits);
            let revoked = self.shared.stop.child_token();
            let shared = self.shared.clone();
            let assigned = Arc::new(Assigned::new(queue, slot, shared, table, revoked, committed));
            owned.insert(assigned.clone());
            assigned
        };
        self.shared.instance.runtime.spawn(pull::keep_pulling(self.clone(), assigned.clone()));
        if let Start::Fresh(_) = start {
            if let Err(error) = commit::commit(assigned, "take on").await {
                // The next commit tries again.
                tracing::debug!(%error, "the start is not committed yet");
            }
        }
        Ok(())
    }
}
