//! A consumer's state, and the tasks that belong to it.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::assigned::Assigned;
use super::builder::Options;
use super::ready::Ready;
use super::subscription::Subscription;
use super::{commit, membership};
use crate::error::{Error, ErrorKind};
use crate::instance::route::Purpose;
use crate::instance::{HOUSEKEEPING_TIMEOUT, Instance};
use crate::message::MessageQueue;
use crate::protocol::body::{
    Body, CheckClientRequestBody, ConsumeType, ConsumerData, MessageModel,
};
use crate::protocol::code::RequestCode;
use crate::protocol::command::RemotingCommand;
use crate::protocol::header::UnregisterClientRequestHeader;
use crate::protocol::names::RETRY_PREFIX;

/// What deliveries need of their consumer, too.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) instance: Arc<Instance>,
    pub(super) group: Arc<str>,
    pub(super) options: Options,
    /// Ends pulling, rebalancing and committing.
    pub(super) stop: CancellationToken,
    /// Somebody waits for messages to be settled.
    is_draining: AtomicBool,
    pub(super) settled: Notify,
}

impl Shared {
    /// A message was settled.
    pub(super) fn note_settled(&self) {
        if self.is_draining.load(Ordering::Acquire) {
            self.settled.notify_one();
        }
    }

    /// Whether it is the topic through which this group's messages come back.
    pub(super) fn is_retry_topic(&self, topic: &str) -> bool {
        topic.strip_prefix(RETRY_PREFIX) == Some(&*self.group)
    }

    pub(super) fn begin_drain(&self) {
        self.is_draining.store(true, Ordering::Release);
    }
}

/// A consumer.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) shared: Arc<Shared>,
    pub(super) subscriptions: Vec<Subscription>,
    /// The subscriptions' version, as told in heartbeats.
    pub(super) version: i64,
    pub(super) ready: Ready,
    /// Wakes the rebalance task.
    pub(super) rebalance: Arc<Notify>,
    owned: Mutex<Owned>,
    is_closed: AtomicBool,
}

/// The queues owned, by name and by slot.
#[derive(Debug, Default)]
pub(super) struct Owned {
    by_queue: HashMap<MessageQueue, Arc<Assigned>>,
    by_slot: HashMap<u16, Arc<Assigned>>,
    next_slot: u16,
    /// For each topic, the queues that were there when this consumer first looked.
    first_seen: HashMap<Arc<str>, HashSet<MessageQueue>>,
}

impl Owned {
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Assigned>> {
        self.by_queue.values()
    }

    pub(super) fn by_slot(&self, slot: u16) -> Option<&Arc<Assigned>> {
        self.by_slot.get(&slot)
    }

    pub(super) fn of_topic(&self, topic: &str) -> Vec<MessageQueue> {
        self.by_queue.keys().filter(|queue| &*queue.topic == topic).cloned().collect()
    }

    /// A slot that no owned queue has; `None` if all are taken.
    pub(super) fn free_slot(&mut self) -> Option<u16> {
        let slots = (0..=u16::MAX).map(|step| self.next_slot.wrapping_add(step));
        let free = slots.into_iter().find(|slot| !self.by_slot.contains_key(slot))?;
        self.next_slot = free.wrapping_add(1);
        Some(free)
    }

    pub(super) fn insert(&mut self, assigned: Arc<Assigned>) {
        self.by_slot.insert(assigned.slot, assigned.clone());
        self.by_queue.insert(assigned.queue.clone(), assigned);
    }

    pub(super) fn remove(&mut self, queue: &MessageQueue) -> Option<Arc<Assigned>> {
        let removed = self.by_queue.remove(queue)?;
        self.by_slot.remove(&removed.slot);
        Some(removed)
    }

    /// Remembers the queues that a topic had when it was first looked at.
    pub(super) fn note_first_seen(&mut self, topic: &Arc<str>, queues: &[MessageQueue]) {
        self.first_seen.entry(topic.clone()).or_insert_with(|| queues.iter().cloned().collect());
    }

    /// Whether a queue appeared after this consumer had joined.
    pub(super) fn appeared_later(&self, queue: &MessageQueue) -> bool {
        self.first_seen.get(&queue.topic).is_some_and(|queues| !queues.contains(queue))
    }
}

impl Core {
    /// Joins the group and takes the first share of the queues.
    pub(super) async fn join(
        instance: Arc<Instance>,
        group: Arc<str>,
        subscriptions: Vec<Subscription>,
        options: Options,
    ) -> Result<Arc<Self>, Error> {
        if instance.is_closed() {
            return Err(Error::closed("start consumer").of_group(&group));
        }
        let version = instance.clock.now_ms();
        let rebalance = Arc::new(Notify::new());
        let shared = Arc::new(Shared {
            stop: instance.stop.child_token(),
            instance: instance.clone(),
            group: group.clone(),
            options,
            is_draining: AtomicBool::new(false),
            settled: Notify::new(),
        });
        let core = Arc::new(Self {
            shared,
            subscriptions,
            version,
            ready: Ready::default(),
            rebalance: rebalance.clone(),
            owned: Mutex::default(),
            is_closed: AtomicBool::new(false),
        });
        core.look_topics_up().await.map_err(|error| error.of_group(&group))?;
        core.check_conditions().await.map_err(|error| error.of_group(&group))?;
        instance.groups.join_consumer(core.heartbeat_data(), rebalance)?;
        instance.send_heartbeats().await;
        core.rebalance_all().await;
        instance.runtime.spawn(membership::keep_balanced(core.clone()));
        instance.runtime.spawn(commit::keep_committing(core.clone()));
        Ok(core)
    }

    /// Learns the routes. A topic that does not exist yet has no queues.
    async fn look_topics_up(&self) -> Result<(), Error> {
        let instance = &self.shared.instance;
        for subscription in &self.subscriptions {
            let topic = &subscription.topic;
            let deadline = instance.deadline(HOUSEKEEPING_TIMEOUT);
            match instance.route("start consumer", topic, Purpose::Receive, deadline).await {
                Ok(route) => self.owned().note_first_seen(topic, &route.read_queues),
                Err(error) if error.kind() == ErrorKind::RouteNotFound => {
                    tracing::info!(%topic, group = %self.shared.group, "topic not there yet");
                    self.owned().note_first_seen(topic, &[]);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Asks one broker of each topic whether it can read the condition on it: a heartbeat has no
    /// answer to refuse it with.
    async fn check_conditions(&self) -> Result<(), Error> {
        let instance = &self.shared.instance;
        for subscription in self.subscriptions.iter().filter(|one| one.is_sql) {
            let Some(route) = instance.routes.cached(&subscription.topic) else { continue };
            let Some(address) = route.one_of_each().next() else { continue };
            let body = CheckClientRequestBody {
                client_id: instance.client_id.clone(),
                group: self.shared.group.to_string(),
                subscription_data: subscription.data(self.version),
            };
            let request = RemotingCommand::request(RequestCode::CHECK_CLIENT_CONFIG, &())
                .with_body(body.encode());
            instance
                .ask("start consumer", address, request, HOUSEKEEPING_TIMEOUT)
                .await
                .map_err(|error| error.on_topic(&subscription.topic))?;
        }
        Ok(())
    }

    fn heartbeat_data(&self) -> ConsumerData {
        let subscription = |subscription: &Subscription| subscription.data(self.version);
        ConsumerData {
            consume_from_where: self.shared.options.consume_from.on_the_wire(),
            consume_type: ConsumeType::ConsumePassively,
            group_name: self.shared.group.to_string(),
            message_model: MessageModel::Clustering,
            subscription_data_set: self.subscriptions.iter().map(subscription).collect(),
            unit_mode: false,
        }
    }

    pub(super) fn owned(&self) -> MutexGuard<'_, Owned> {
        self.owned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn all_assigned(&self) -> Vec<Arc<Assigned>> {
        self.owned().all().cloned().collect()
    }

    /// The queues that this member owns.
    pub(super) fn assignment(&self) -> Vec<MessageQueue> {
        let mut queues: Vec<_> = self
            .owned()
            .by_queue
            .keys()
            .filter(|queue| !self.shared.is_retry_topic(&queue.topic))
            .cloned()
            .collect();
        queues.sort();
        queues
    }

    pub(super) fn subscription(&self, topic: &str) -> Option<&Subscription> {
        self.subscriptions.iter().find(|subscription| &*subscription.topic == topic)
    }

    /// Leaves the group, having told brokers how far it came. Does nothing the second time.
    pub(super) async fn leave(&self) {
        if self.is_closed.swap(true, Ordering::AcqRel) {
            return;
        }
        self.shared.stop.cancel();
        self.ready.close();
        let Shared { instance, group, .. } = &*self.shared;
        instance.groups.leave_consumer(group);
        if instance.is_closed() {
            return;
        }
        if let Err(error) = self.commit_all("close consumer").await {
            tracing::warn!(%error, "progress not committed: it will be repeated");
        }
        let header = UnregisterClientRequestHeader {
            client_id: instance.client_id.clone(),
            producer_group: None,
            consumer_group: Some(group.to_string()),
        };
        instance.unregister(header).await;
    }
}

/// The application's hold on a consumer: the consumer ends with it.
#[derive(Debug)]
pub(super) struct Owner(pub(super) Arc<Core>);

impl Drop for Owner {
    fn drop(&mut self) {
        let core = self.0.clone();
        core.shared.stop.cancel();
        core.ready.close();
        let runtime = core.shared.instance.runtime.clone();
        runtime.spawn(async move { core.leave().await });
    }
}
