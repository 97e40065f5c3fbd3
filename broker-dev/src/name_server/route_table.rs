//! Which brokers there are and which queues each has, as a pure state machine: the time is passed
//! in.
//!
//! Source: RocketMQ 5.3.3 `namesrv/routeinfo/RouteInfoManager`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use oxmq::protocol::body::{
    DataVersion, QueueData, TopicConfig, TopicConfigSerializeWrapper, perm,
};
use serde_json::Value;

use crate::server::ConnectionId;

/// How long a broker lives without registering, unless it asks for another time.
const EXPIRY: Duration = Duration::from_secs(120);

/// The most brokers, and the most topics, counted once for each broker that has them.
const MAX_BROKERS: usize = 10_000;
const MAX_TOPICS: usize = 2_000_000;

/// Everything a name server knows of brokers.
#[derive(Debug, Default)]
pub(crate) struct RouteTable {
    /// Broker groups by name.
    pub(super) groups: BTreeMap<String, BrokerGroup>,
    /// Queues by topic, then by broker name.
    pub(super) topics: BTreeMap<String, BTreeMap<String, QueueData>>,
    /// Where the queues of static topics are, by topic, then by broker name.
    pub(super) mappings: BTreeMap<String, BTreeMap<String, Value>>,
}

/// Brokers that share a name.
#[derive(Debug)]
pub(super) struct BrokerGroup {
    pub(super) cluster: String,
    pub(super) enable_acting_master: bool,
    pub(super) zone_name: Option<String>,
    pub(super) members: BTreeMap<i64, Live>,
}

/// One live broker.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) address: String,
    ha_address: Option<String>,
    data_version: DataVersion,
    heard: Duration,
    expiry: Duration,
    /// The connection it registered over; none for a broker of this process.
    connection: Option<ConnectionId>,
}

/// A broker makes itself known.
#[derive(Debug, Clone)]
pub(crate) struct Registration {
    pub(crate) cluster: String,
    pub(crate) broker_name: String,
    pub(crate) broker_id: i64,
    pub(crate) address: String,
    pub(crate) ha_address: Option<String>,
    /// After what silence it counts as gone; `None`: two minutes.
    pub(crate) expiry: Option<Duration>,
    /// `None`: a broker of 4.9, which knows nothing of it.
    pub(crate) enable_acting_master: Option<bool>,
    pub(crate) zone_name: Option<String>,
    pub(crate) topics: TopicConfigSerializeWrapper,
    /// Whether the broker has no other topics than these.
    pub(crate) is_complete: bool,
    pub(crate) connection: Option<ConnectionId>,
}

/// What a registration comes to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Registered {
    /// For slaves: whom to follow.
    pub(crate) master: Option<Master>,
    pub(crate) change: Option<MinIdChange>,
}

/// The master of a group, as its slaves are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Master {
    pub(crate) address: String,
    pub(crate) ha_address: Option<String>,
}

/// Another broker of a group has the smallest id now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MinIdChange {
    pub(crate) id: i64,
    pub(crate) address: String,
    /// Who had it, if it went away.
    pub(crate) offline: Option<String>,
    /// Where the newcomer serves replicas, if it is one.
    pub(crate) ha_address: Option<String>,
    /// Who is to be told.
    pub(crate) tell: Vec<String>,
}

/// Why a registration was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RegisterError {
    /// Source: `RouteInfoManager.registerBroker`, since 5.0.
    #[error("the first registration of {0} names exactly one topic: name none, or at least two")]
    OneTopic(String),
    #[error("the name server holds as many brokers or topics as it can")]
    Full,
}

/// One broker of a group, as it names itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BrokerKey<'a> {
    pub(crate) cluster: &'a str,
    pub(crate) broker_name: &'a str,
    pub(crate) address: &'a str,
}

/// Brokers that are gone.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Gone {
    pub(crate) changes: Vec<MinIdChange>,
    /// The connections over which they had registered.
    pub(crate) connections: Vec<ConnectionId>,
}

impl RouteTable {
    /// Takes a registration; tells a slave who its master is.
    ///
    /// # Errors
    /// [`RegisterError`]; nothing is changed then.
    pub(crate) fn register(
        &mut self,
        registration: Registration,
        now: Duration,
    ) -> Result<Registered, RegisterError> {
        let Registration { cluster, broker_name, broker_id, address, topics, .. } = registration;
        let known = self.groups.get(&broker_name);
        let known = known.and_then(|group| group.members.get(&broker_id));
        let is_new = known.is_none();
        let table = &topics.topic_config_table;
        if is_new && table.len() == 1 {
            return Err(RegisterError::OneTopic(broker_name));
        }
        if let Some(known) = known
            && known.address != address
            && known.data_version.state_version > topics.data_version.state_version
        {
            let (now, before) = (&address, &known.address);
            tracing::warn!(broker = broker_name, id = broker_id, %now, %before, "the same id with an older state registers from another address: passed over");
            return Ok(Registered::default());
        }
        let version = known.filter(|known| known.address == address);
        let is_changed = version.is_none_or(|known| known.data_version != topics.data_version);
        if (is_new && self.members() >= MAX_BROKERS)
            || (is_changed && self.entries() + table.len() > MAX_TOPICS)
        {
            return Err(RegisterError::Full);
        }

        let group = self.groups.entry(broker_name.clone()).or_insert_with(|| BrokerGroup {
            cluster: cluster.clone(),
            enable_acting_master: false,
            zone_name: None,
            members: BTreeMap::new(),
        });
        group.cluster = cluster;
        group.zone_name = registration.zone_name;
        group.enable_acting_master = registration.enable_acting_master.unwrap_or_default();
        let smallest = group.members.keys().next().copied().unwrap_or_default();
        // The same address under another id: a slave became master, or the other way round.
        group.members.retain(|id, live| *id == broker_id || live.address != address);
        let live = Live {
            address,
            ha_address: registration.ha_address,
            data_version: topics.data_version.clone(),
            heard: now,
            expiry: registration.expiry.unwrap_or(EXPIRY),
            connection: registration.connection,
        };
        group.members.insert(broker_id, live);

        let is_smallest = group.members.keys().next() == Some(&broker_id);
        let is_master = broker_id == 0;
        let is_first_slave =
            !is_master && is_smallest && registration.enable_acting_master.is_some();
        let change = (broker_id < smallest).then(|| group.newcomer(broker_id)).flatten();
        let wipe = is_first_slave && group.enable_acting_master;
        if is_master || is_first_slave {
            let is_complete = registration.is_complete;
            self.set_topics(&broker_name, topics, is_changed, is_complete, wipe);
        }
        let master = if is_master { None } else { self.master(&broker_name) };
        Ok(Registered { master, change })
    }

    /// A topic of a known broker is new or has changed.
    pub(crate) fn put_topic(&mut self, broker_name: &str, topic: &TopicConfig) {
        if self.groups.contains_key(broker_name) {
            let queues = queues_of(broker_name, topic);
            self.put_queues(topic.topic_name.clone(), queues);
        }
    }

    /// An operator tells which queues a topic has; not taken if one of the brokers is unknown.
    pub(crate) fn put_route(&mut self, topic: &str, queues: Vec<QueueData>) {
        let is_known = queues.iter().all(|queues| self.groups.contains_key(&queues.broker_name));
        if !is_known || self.entries() + queues.len() > MAX_TOPICS {
            tracing::warn!(topic, "a route that names unknown brokers is passed over");
            return;
        }
        queues.into_iter().for_each(|queues| self.put_queues(topic.to_owned(), queues));
    }

    /// A topic is gone: from one broker, from those of a cluster, or from all.
    pub(crate) fn remove_topic(&mut self, topic: &str, from: &RemoveFrom<'_>) {
        let Some(brokers) = self.topics.get_mut(topic) else { return };
        let groups = &self.groups;
        brokers.retain(|name, _| match from {
            RemoveFrom::All => false,
            RemoveFrom::Broker(gone) => name != gone,
            RemoveFrom::Cluster(gone) => {
                groups.get(name).is_none_or(|group| group.cluster != *gone)
            }
        });
        if brokers.is_empty() {
            self.topics.remove(topic);
        }
    }

    /// Takes the permission to write from a broker's topics, or gives it; how many it has.
    pub(crate) fn set_writable(&mut self, broker_name: &str, is_writable: bool) -> usize {
        let queues = self.topics.values_mut().filter_map(|brokers| brokers.get_mut(broker_name));
        queues
            .map(|queues| {
                // As Apache: what else a topic was allowed is not remembered.
                queues.perm =
                    if is_writable { perm::READ | perm::WRITE } else { queues.perm & !perm::WRITE };
            })
            .count()
    }

    /// Brokers say goodbye.
    pub(crate) fn unregister(&mut self, broker: BrokerKey<'_>) -> Gone {
        self.remove(|name, _, live| name == broker.broker_name && live.address == broker.address)
    }

    /// A connection is gone, and the brokers that registered over it.
    pub(crate) fn closed(&mut self, connection: ConnectionId) -> Gone {
        self.remove(|_, _, live| live.connection == Some(connection))
    }

    /// Removes brokers that were silent for too long.
    pub(crate) fn expire(&mut self, now: Duration) -> Gone {
        self.remove(|name, id, live| {
            let is_expired = now.saturating_sub(live.heard) > live.expiry;
            if is_expired {
                tracing::warn!(broker = name, id, "a broker has not registered for too long");
            }
            is_expired
        })
    }

    /// A sign of life; the version of the broker's topics that is known, if it is.
    pub(crate) fn alive(&mut self, broker: BrokerKey<'_>, now: Duration) -> Option<&DataVersion> {
        let group = self.groups.get_mut(broker.broker_name)?;
        if group.cluster != broker.cluster {
            return None;
        }
        let live = group.members.values_mut().find(|live| live.address == broker.address)?;
        live.heard = now;
        Some(&live.data_version)
    }

    fn master(&self, broker_name: &str) -> Option<Master> {
        let live = self.groups.get(broker_name)?.members.get(&0)?;
        Some(Master { address: live.address.clone(), ha_address: live.ha_address.clone() })
    }

    fn members(&self) -> usize {
        self.groups.values().map(|group| group.members.len()).sum()
    }

    fn entries(&self) -> usize {
        self.topics.values().map(BTreeMap::len).sum()
    }

    fn put_queues(&mut self, topic: String, queues: QueueData) {
        let brokers = self.topics.entry(topic).or_default();
        brokers.insert(queues.broker_name.clone(), queues);
    }

    fn set_topics(
        &mut self,
        broker_name: &str,
        told: TopicConfigSerializeWrapper,
        is_changed: bool,
        is_complete: bool,
        wipe: bool,
    ) {
        let configs = told.topic_config_table;
        if is_complete && told.topic_queue_mapping_info_map.is_empty() {
            self.topics.retain(|topic, brokers| {
                if !configs.contains_key(topic) {
                    brokers.remove(broker_name);
                }
                !brokers.is_empty()
            });
        }
        for (topic, config) in configs {
            let brokers = self.topics.entry(topic).or_default();
            if is_changed || !brokers.contains_key(broker_name) {
                let mut queues = queues_of(broker_name, &config);
                if wipe {
                    queues.perm &= !perm::WRITE;
                }
                brokers.insert(broker_name.to_owned(), queues);
            }
        }
        if is_changed {
            for (topic, mapping) in told.topic_queue_mapping_info_map {
                let brokers = self.mappings.entry(topic).or_default();
                brokers.insert(broker_name.to_owned(), mapping);
            }
        }
    }

    fn remove(&mut self, gone: impl Fn(&str, i64, &Live) -> bool) -> Gone {
        let mut outcome = Gone::default();
        let (mut empty, mut without_master) = (BTreeSet::new(), BTreeSet::new());
        self.groups.retain(|name, group| {
            let smallest = group.members.keys().next().copied();
            let mut offline = None;
            let before = group.members.len();
            group.members.retain(|id, live| {
                let is_gone = gone(name, *id, live);
                if is_gone {
                    outcome.connections.extend(live.connection);
                    if Some(*id) == smallest {
                        offline = Some(live.address.clone());
                    }
                }
                !is_gone
            });
            if group.members.len() == before {
                return true;
            }
            if group.members.is_empty() {
                empty.insert(name.clone());
                return false;
            }
            if group.enable_acting_master {
                if !group.members.contains_key(&0) {
                    without_master.insert(name.clone());
                }
                outcome.changes.extend(offline.and_then(|offline| group.stands_in(offline)));
            }
            true
        });
        if !empty.is_empty() || !without_master.is_empty() {
            self.leave_topics(&empty, &without_master);
        }
        outcome
    }

    /// Takes the topics from brokers of which nobody is left, and the permission to write where no
    /// master is left.
    fn leave_topics(&mut self, empty: &BTreeSet<String>, without_master: &BTreeSet<String>) {
        self.topics.retain(|_, brokers| {
            brokers.retain(|name, _| !empty.contains(name));
            for (name, queues) in brokers.iter_mut() {
                if without_master.contains(name) {
                    queues.perm &= !perm::WRITE;
                }
            }
            !brokers.is_empty()
        });
        self.mappings.retain(|_, brokers| {
            brokers.retain(|name, _| !empty.contains(name));
            !brokers.is_empty()
        });
    }
}

/// From which brokers a topic is removed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum RemoveFrom<'a> {
    All,
    Broker(&'a str),
    Cluster(&'a str),
}

impl BrokerGroup {
    /// What the others are told when `id` has come, with the smallest id.
    fn newcomer(&self, id: i64) -> Option<MinIdChange> {
        let live = self.members.get(&id)?;
        let is_alone = self.members.len() == 1;
        let others = self.members.iter().filter(|(other, _)| is_alone || **other != id);
        Some(MinIdChange {
            id,
            address: live.address.clone(),
            offline: None,
            ha_address: live.ha_address.clone(),
            tell: others.map(|(_, live)| live.address.clone()).collect(),
        })
    }

    /// What those who are left are told when the one with the smallest id has gone.
    fn stands_in(&self, offline: String) -> Option<MinIdChange> {
        let (id, live) = self.members.first_key_value()?;
        Some(MinIdChange {
            id: *id,
            address: live.address.clone(),
            offline: Some(offline),
            ha_address: None,
            tell: self.members.values().map(|live| live.address.clone()).collect(),
        })
    }
}

fn queues_of(broker_name: &str, topic: &TopicConfig) -> QueueData {
    QueueData {
        broker_name: broker_name.to_owned(),
        perm: topic.perm,
        read_queue_nums: topic.read_queue_nums,
        topic_sys_flag: topic.topic_sys_flag,
        write_queue_nums: topic.write_queue_nums,
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
