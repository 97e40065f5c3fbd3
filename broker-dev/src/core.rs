//! What all parts of a running broker share.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use bytes::BytesMut;
use oxmq::clock::SharedClock;
use oxmq::protocol::body::{KVTable, TopicConfig};
use oxmq::protocol::code::{RequestCode, ResponseCode};
use oxmq::protocol::command::RemotingCommand;
use oxmq::protocol::header::ConsumerGroupRequestHeader;
use oxmq::protocol::message::id::UniqueKeys;

use crate::auth::Auth;
use crate::calls::Calls;
use crate::config::BrokerConfig;
use crate::events::Events;
use crate::group::Changed;
use crate::group::consumers::Consumers;
use crate::group::lock::QueueLocks;
use crate::group::producers::Producers;
use crate::handler::send::SendReplies;
use crate::liveness::Liveness;
use crate::meta::topics::queue_kind;
use crate::meta::{Groups, Offsets, Topics};
use crate::registration::Registrar;
use crate::reply::Refusal;
use crate::schedule::Schedule;
use crate::schedule::timer::Timer;
use crate::server::{Connections, Event};
use crate::statistics::Statistics;
use crate::store::{Put, PutMessage, Store, StoreError};
use crate::transaction::check::Checks;

/// A broker's parts, for its handlers and background tasks.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) config: BrokerConfig,
    pub(crate) clock: SharedClock,
    pub(crate) liveness: Liveness,
    pub(crate) store: Arc<Store>,
    pub(crate) events: Arc<Events>,
    pub(crate) topics: Topics,
    pub(crate) groups: Groups,
    pub(crate) offsets: Offsets,
    pub(crate) consumers: Consumers,
    pub(crate) producers: Producers,
    pub(crate) locks: QueueLocks,
    pub(crate) schedule: Schedule,
    pub(crate) timer: Timer,
    pub(crate) checks: Checks,
    pub(crate) registrar: Registrar,
    pub(crate) statistics: Statistics,
    pub(crate) connections: Arc<Connections>,
    /// Users, and what they may do.
    pub(crate) auth: Auth,
    /// Questions to clients.
    pub(crate) calls: Calls,
    /// The address that goes into records and message ids.
    pub(crate) store_host: SocketAddr,
    /// Makes the `UNIQ_KEY` of messages that come without one.
    pub(crate) unique_keys: UniqueKeys,
    /// The properties that every stored message gets, encoded.
    pub(crate) own_properties: String,
    /// Writes answers to sends.
    pub(crate) send_replies: SendReplies,
    /// When the broker was started, ms since the Unix epoch.
    pub(crate) started_ms: i64,
    /// Chooses queues in turn for sends that leave the choice to the broker.
    next_queue: AtomicU32,
    /// Where a topic's changes are made, so that its name server hears of them in order.
    topic_changes: RwLock<()>,
    /// A clean stop has begun.
    is_stopping: AtomicBool,
}

/// What [`Core`] is made of.
pub(crate) struct Parts {
    pub(crate) config: BrokerConfig,
    pub(crate) clock: SharedClock,
    pub(crate) liveness: Liveness,
    pub(crate) store: Arc<Store>,
    pub(crate) events: Arc<Events>,
    pub(crate) topics: Topics,
    pub(crate) groups: Groups,
    pub(crate) offsets: Offsets,
    pub(crate) auth: Auth,
    pub(crate) schedule: Schedule,
    pub(crate) timer: Timer,
    pub(crate) registrar: Registrar,
    pub(crate) store_host: SocketAddr,
    pub(crate) entropy: [u32; 3],
}

impl Core {
    pub(crate) fn new(parts: Parts) -> Self {
        let BrokerConfig { region, trace_on, cluster, .. } = &parts.config;
        Self {
            own_properties: format!(
                "MSG_REGION\u{1}{region}\u{2}TRACE_ON\u{1}{trace_on}\u{2}CLUSTER\u{1}{cluster}\u{2}"
            ),
            send_replies: SendReplies::new(region, *trace_on, parts.store_host),
            started_ms: parts.clock.now_ms(),
            statistics: Statistics::new(parts.clock.monotonic(), parts.clock.now_ms()),
            config: parts.config,
            checks: Checks::starting_at(parts.clock.monotonic()),
            clock: parts.clock,
            liveness: parts.liveness,
            store: parts.store,
            events: parts.events,
            topics: parts.topics,
            groups: parts.groups,
            offsets: parts.offsets,
            consumers: Consumers::default(),
            producers: Producers::default(),
            locks: QueueLocks::default(),
            schedule: parts.schedule,
            timer: parts.timer,
            registrar: parts.registrar,
            connections: Arc::default(),
            auth: parts.auth,
            calls: Calls::default(),
            store_host: parts.store_host,
            unique_keys: UniqueKeys::new(parts.entropy, 0),
            next_queue: AtomicU32::new(0),
            topic_changes: RwLock::new(()),
            is_stopping: AtomicBool::new(false),
        }
    }

    /// Whether a clean stop has begun: sends are refused then, and pulls do not wait.
    pub(crate) fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Relaxed)
    }

    /// Begins a clean stop.
    pub(crate) fn set_stopping(&self) {
        self.is_stopping.store(true, Ordering::SeqCst);
    }

    /// One of `queues` queues, each in its turn.
    pub(crate) fn next_queue(&self, queues: i32) -> i32 {
        let turn = self.next_queue.fetch_add(1, Ordering::Relaxed);
        let queues = u32::try_from(queues).unwrap_or_default().max(1);
        i32::try_from(turn % queues).unwrap_or_default()
    }

    /// Makes or changes a topic, and tells the name servers.
    ///
    /// # Errors
    /// As [`Topics::put`].
    pub(crate) fn put_topic(&self, topic: TopicConfig) -> Result<(), Refusal> {
        let _in_order = self.topic_changes.write().unwrap_or_else(PoisonError::into_inner);
        let kind = queue_kind(&topic).ok_or_else(|| {
            let remark = format!("the topic `{}` can have no such queues", topic.topic_name);
            Refusal::new(ResponseCode::INVALID_PARAMETER, remark)
        })?;
        if self.topics.get(&topic.topic_name).is_none_or(|known| queue_kind(&known) != Some(kind)) {
            self.store.set_queue_kind(&topic.topic_name, kind)?;
        }
        if self.topics.put(topic.clone(), self.clock.now_ms())? {
            self.registrar.topic_changed(&topic);
        }
        Ok(())
    }

    /// Registers with the name server in this process.
    pub(crate) fn register_here(&self) {
        let ordered = self.registrar.register_here(self.topics.all());
        self.mark_ordered(&ordered);
    }

    /// A name server says that these topics are ordered; those that are not here are passed over.
    pub(crate) fn mark_ordered(&self, topics: &KVTable) {
        for name in topics.table.keys() {
            let Some(topic) = self.topics.get(name).filter(|topic| !topic.order) else { continue };
            let ordered = TopicConfig { order: true, ..TopicConfig::clone(&topic) };
            if let Err(refusal) = self.put_topic(ordered) {
                tracing::warn!(
                    topic = name,
                    remark = refusal.remark,
                    "cannot be marked as ordered"
                );
            }
        }
    }

    /// Makes a topic unless it is there.
    ///
    /// # Errors
    /// As [`Topics::put`].
    pub(crate) fn ensure_topic(&self, name: &str, queues: i32, perm: i32) -> Result<(), Refusal> {
        match self.topics.get(name) {
            Some(_) => Ok(()),
            None => self.put_topic(TopicConfig::new(name, queues, perm)),
        }
    }

    /// Removes a topic with its offsets and messages, and tells the name servers.
    ///
    /// # Errors
    /// That cannot be saved.
    pub(crate) fn remove_topic(&self, name: &str) -> Result<(), StoreError> {
        let _in_order = self.topic_changes.write().unwrap_or_else(PoisonError::into_inner);
        if self.topics.remove(name, self.clock.now_ms())? {
            self.offsets.remove_topic(name);
            self.registrar.topic_removed(name);
        }
        // Also after an attempt that ended halfway.
        self.store.delete_topic(name)
    }

    /// Stores one message of the broker's own making; returns the end of the log after it.
    ///
    /// # Errors
    /// As [`Store::put`].
    pub(crate) fn put_one(&self, message: PutMessage<'_>) -> Result<(Put, i64), StoreError> {
        let mut puts = Vec::with_capacity(1);
        let turn = self.store.put(&[message], &mut puts)?;
        let put = puts.pop().ok_or(StoreError::Closed)?;
        self.statistics.stored(1, put.length.into());
        Ok((put, turn.end_offset))
    }

    /// Tells the members of a group that it has changed.
    pub(crate) fn notify(&self, changed: &Changed) {
        let is_wanted = self
            .groups
            .get(&changed.group)
            .is_none_or(|group| group.notify_consumer_ids_changed_enable);
        if !is_wanted {
            return;
        }
        let header = ConsumerGroupRequestHeader { consumer_group: changed.group.clone() };
        let notice = RemotingCommand::one_way(RequestCode::NOTIFY_CONSUMER_IDS_CHANGED, &header);
        let mut frame = BytesMut::new();
        if notice.encode(&mut frame).is_ok() {
            let frame = frame.freeze();
            for member in &changed.members {
                self.connections.tell(*member, Event::Push(frame.clone()));
            }
        }
    }

    /// Drops clients that were silent for too long, and connections that stand still.
    pub(crate) fn expire_clients(&self) {
        let now = self.liveness.now();
        let (changed, silent) = self.consumers.expire(now);
        for connection in silent.into_iter().chain(self.producers.expire(now)) {
            self.connections.tell(connection, Event::Close);
        }
        changed.iter().for_each(|changed| self.notify(changed));
        self.connections.close_idle(now);
    }
}
