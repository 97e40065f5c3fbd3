//! What the name server knows, as a pure state machine: the time is passed in.
//!
//! Source: RocketMQ 5.3.3 `namesrv/routeinfo/RouteInfoManager`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use oxmq::protocol::body::{
    BrokerData, ClusterInfo, DataVersion, QueueData, TopicConfig, TopicConfigSerializeWrapper,
    TopicRouteData,
};

use crate::server::ConnectionId;

/// How long a broker lives without registering, unless it asks for another time.
const EXPIRY: Duration = Duration::from_secs(120);

/// The most brokers, and the most topics of one broker.
const MAX_BROKERS: usize = 10_000;
const MAX_TOPICS: usize = 1_000_000;

/// Everything a name server knows.
#[derive(Debug, Default)]
pub(crate) struct RouteTable {
    /// Broker groups by name.
    groups: BTreeMap<String, BrokerGroup>,
    /// Queues by topic, then by broker name.
    topics: BTreeMap<String, BTreeMap<String, QueueData>>,
}

#[derive(Debug)]
struct BrokerGroup {
    cluster: String,
    enable_acting_master: bool,
    members: BTreeMap<i64, Live>,
}

/// One live broker.
#[derive(Debug)]
struct Live {
    address: String,
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
    pub(crate) enable_acting_master: bool,
    pub(crate) topics: TopicConfigSerializeWrapper,
    pub(crate) connection: Option<ConnectionId>,
}

/// The master of a group, as its slaves are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Master {
    pub(crate) address: String,
    pub(crate) ha_address: Option<String>,
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

impl RouteTable {
    /// Takes a registration; tells a slave who its master is.
    ///
    /// # Errors
    /// [`RegisterError`]; nothing is changed then.
    pub(crate) fn register(
        &mut self,
        registration: Registration,
        now: Duration,
    ) -> Result<Option<Master>, RegisterError> {
        let Registration { cluster, broker_name, broker_id, address, topics, .. } = registration;
        let known = self.groups.get(&broker_name);
        let known = known.and_then(|group| group.members.get(&broker_id));
        let is_new = known.is_none();
        if is_new && topics.topic_config_table.len() == 1 {
            return Err(RegisterError::OneTopic(broker_name));
        }
        if (is_new && self.groups.len() >= MAX_BROKERS)
            || topics.topic_config_table.len() > MAX_TOPICS
        {
            return Err(RegisterError::Full);
        }
        let is_changed = known.is_none_or(|known| known.data_version != topics.data_version);
        let group = self.groups.entry(broker_name.clone()).or_insert_with(|| BrokerGroup {
            cluster: cluster.clone(),
            enable_acting_master: false,
            members: BTreeMap::new(),
        });
        group.cluster = cluster;
        group.enable_acting_master = registration.enable_acting_master;
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
        let is_master = broker_id == 0;
        if is_master && is_changed {
            self.set_topics(&broker_name, topics.topic_config_table);
        }
        Ok(if is_master { None } else { self.master(&broker_name) })
    }

    /// A topic of a known broker is new or has changed.
    pub(crate) fn put_topic(&mut self, broker_name: &str, topic: &TopicConfig) {
        if self.groups.contains_key(broker_name) {
            let queues = queues_of(broker_name, topic);
            let brokers = self.topics.entry(topic.topic_name.clone()).or_default();
            brokers.insert(broker_name.to_owned(), queues);
        }
    }

    /// A topic is gone, from one broker or from all.
    pub(crate) fn remove_topic(&mut self, topic: &str, broker_name: Option<&str>) {
        let Some(brokers) = self.topics.get_mut(topic) else { return };
        brokers.retain(|name, _| broker_name.is_some_and(|gone| gone != name));
        if brokers.is_empty() {
            self.topics.remove(topic);
        }
    }

    /// A broker says goodbye.
    pub(crate) fn unregister(&mut self, broker_name: &str, broker_id: i64) {
        self.remove(|name, id, _| name == broker_name && id == broker_id);
    }

    /// A connection is gone, and the brokers that registered over it.
    pub(crate) fn closed(&mut self, connection: ConnectionId) {
        self.remove(|_, _, live| live.connection == Some(connection));
    }

    /// Removes brokers that were silent for too long.
    pub(crate) fn expire(&mut self, now: Duration) {
        self.remove(|name, id, live| {
            let is_expired = now.saturating_sub(live.heard) > live.expiry;
            if is_expired {
                tracing::warn!(broker = name, id, "a broker has not registered for too long");
            }
            is_expired
        });
    }

    /// A broker asks whether it must send its topics; this counts as a sign of life.
    ///
    /// Returns the version known, if it is.
    pub(crate) fn data_version(
        &mut self,
        broker_name: &str,
        broker_id: i64,
        now: Duration,
    ) -> Option<DataVersion> {
        let live = self.groups.get_mut(broker_name)?.members.get_mut(&broker_id)?;
        live.heard = now;
        Some(live.data_version.clone())
    }

    /// Where a topic's queues are; `None` if no live broker has it.
    pub(crate) fn route(&self, topic: &str) -> Option<TopicRouteData> {
        let queues = self.topics.get(topic)?;
        let broker_datas: Vec<_> =
            queues.keys().filter_map(|name| self.broker_data(name)).collect();
        (!broker_datas.is_empty()).then(|| TopicRouteData {
            broker_datas,
            queue_datas: queues.values().cloned().collect(),
            ..TopicRouteData::default()
        })
    }

    /// All brokers by cluster.
    pub(crate) fn cluster_info(&self) -> ClusterInfo {
        let mut info = ClusterInfo::default();
        for (name, group) in &self.groups {
            info.cluster_addr_table.entry(group.cluster.clone()).or_default().push(name.clone());
            info.broker_addr_table.extend(self.broker_data(name).map(|data| (name.clone(), data)));
        }
        info
    }

    /// All topics.
    pub(crate) fn topics(&self) -> Vec<String> {
        self.topics.keys().cloned().collect()
    }

    /// The topics of a cluster.
    pub(crate) fn topics_of_cluster(&self, cluster: &str) -> Vec<String> {
        let is_member =
            |name: &String| self.groups.get(name).is_some_and(|group| group.cluster == cluster);
        let topics = self.topics.iter().filter(|(_, brokers)| brokers.keys().any(is_member));
        topics.map(|(topic, _)| topic.clone()).collect()
    }

    fn broker_data(&self, name: &str) -> Option<BrokerData> {
        let group = self.groups.get(name)?;
        let addresses = group.members.iter().map(|(id, live)| (*id, live.address.clone()));
        Some(BrokerData {
            broker_addrs: addresses.collect(),
            broker_name: name.to_owned(),
            cluster: group.cluster.clone(),
            enable_acting_master: group.enable_acting_master,
            zone_name: None,
        })
    }

    fn master(&self, broker_name: &str) -> Option<Master> {
        let live = self.groups.get(broker_name)?.members.get(&0)?;
        Some(Master { address: live.address.clone(), ha_address: live.ha_address.clone() })
    }

    fn set_topics(&mut self, broker_name: &str, configs: BTreeMap<String, TopicConfig>) {
        self.topics.retain(|topic, brokers| {
            if !configs.contains_key(topic) {
                brokers.remove(broker_name);
            }
            !brokers.is_empty()
        });
        for (topic, config) in configs {
            let queues = queues_of(broker_name, &config);
            self.topics.entry(topic).or_default().insert(broker_name.to_owned(), queues);
        }
    }

    fn remove(&mut self, gone: impl Fn(&str, i64, &Live) -> bool) {
        let mut empty = BTreeSet::new();
        self.groups.retain(|name, group| {
            group.members.retain(|id, live| !gone(name, *id, live));
            if group.members.is_empty() {
                empty.insert(name.clone());
            }
            !group.members.is_empty()
        });
        if !empty.is_empty() {
            self.topics.retain(|_, brokers| {
                brokers.retain(|name, _| !empty.contains(name));
                !brokers.is_empty()
            });
        }
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
mod tests {
    use super::*;

    const AT: fn(u64) -> Duration = Duration::from_secs;

    fn registration(name: &str, id: i64, topics: &[&str]) -> Registration {
        let table = topics.iter().map(|topic| (topic.to_string(), TopicConfig::new(*topic, 4, 6)));
        Registration {
            cluster: "c".to_owned(),
            broker_name: name.to_owned(),
            broker_id: id,
            address: format!("10.0.0.{id}:10911"),
            ha_address: Some("10.0.0.0:10912".to_owned()),
            expiry: None,
            enable_acting_master: false,
            topics: TopicConfigSerializeWrapper {
                data_version: DataVersion {
                    counter: topics.len().try_into().unwrap(),
                    ..DataVersion::default()
                },
                topic_config_table: table.collect(),
            },
            connection: Some(ConnectionId(id.try_into().unwrap())),
        }
    }

    #[test]
    fn a_topic_is_found_on_every_broker_that_has_it() {
        let mut table = RouteTable::default();
        table.register(registration("a", 0, &["t", "u"]), AT(0)).unwrap();
        table.register(registration("b", 0, &["t", "v"]), AT(0)).unwrap();
        let route = table.route("t").unwrap();
        let names: Vec<_> = route.queue_datas.iter().map(|data| &*data.broker_name).collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(route.broker_datas[0].broker_addrs[&0], "10.0.0.0:10911");
        assert_eq!(table.route("u").unwrap().broker_datas.len(), 1);
        assert!(table.route("x").is_none());
        assert_eq!(table.topics(), ["t", "u", "v"]);
        assert_eq!(table.topics_of_cluster("c").len(), 3);
        assert_eq!(table.cluster_info().cluster_addr_table["c"], ["a", "b"]);
    }

    #[test]
    fn silence_of_two_minutes_ends_a_broker() {
        let mut table = RouteTable::default();
        table.register(registration("a", 0, &["t", "u"]), AT(0)).unwrap();
        table.expire(AT(120));
        assert!(table.route("t").is_some());
        assert!(table.data_version("a", 0, AT(120)).is_some(), "a sign of life");
        table.expire(AT(240));
        assert!(table.route("t").is_some());
        table.expire(AT(241));
        assert!(table.route("t").is_none());
        assert!(table.topics().is_empty());
        assert!(table.data_version("a", 0, AT(241)).is_none());
    }

    #[test]
    fn a_closed_connection_ends_its_broker_at_once() {
        let mut table = RouteTable::default();
        table.register(registration("a", 0, &["t", "u"]), AT(0)).unwrap();
        table.register(registration("a", 1, &[]), AT(0)).unwrap();
        table.closed(ConnectionId(0));
        let route = table.route("t").unwrap();
        assert_eq!(route.broker_datas[0].broker_addrs.keys().collect::<Vec<_>>(), [&1]);
        table.unregister("a", 1);
        assert!(table.route("t").is_none());
    }

    #[test]
    fn a_slave_is_told_its_master_and_brings_no_topics() {
        let mut table = RouteTable::default();
        assert_eq!(table.register(registration("a", 0, &["t", "u"]), AT(0)), Ok(None));
        let master = table.register(registration("a", 1, &["x", "y"]), AT(0)).unwrap().unwrap();
        assert_eq!(master.address, "10.0.0.0:10911");
        assert!(table.route("x").is_none());
    }

    #[test]
    fn a_first_registration_with_one_topic_is_refused() {
        let mut table = RouteTable::default();
        assert!(table.register(registration("a", 0, &["t"]), AT(0)).is_err());
        assert!(table.register(registration("a", 0, &[]), AT(0)).is_ok());
        assert!(table.register(registration("a", 0, &["t"]), AT(0)).is_ok());
    }

    #[test]
    fn topics_follow_the_newest_registration() {
        let mut table = RouteTable::default();
        table.register(registration("a", 0, &["t", "u"]), AT(0)).unwrap();
        table.register(registration("a", 0, &["t", "u", "v"]), AT(1)).unwrap();
        assert_eq!(table.topics(), ["t", "u", "v"]);
        table.register(registration("a", 0, &["v"]), AT(2)).unwrap();
        assert_eq!(table.topics(), ["v"]);
        table.put_topic("a", &TopicConfig::new("w", 1, 6));
        table.put_topic("unknown", &TopicConfig::new("z", 1, 6));
        table.remove_topic("v", None);
        assert_eq!(table.topics(), ["w"]);
    }

    #[test]
    fn an_address_has_one_id() {
        let mut table = RouteTable::default();
        table.register(registration("a", 1, &[]), AT(0)).unwrap();
        let master =
            Registration { address: "10.0.0.1:10911".to_owned(), ..registration("a", 0, &[]) };
        table.register(master, AT(1)).unwrap();
        assert_eq!(table.cluster_info().broker_addr_table["a"].broker_addrs.len(), 1);
    }
}
