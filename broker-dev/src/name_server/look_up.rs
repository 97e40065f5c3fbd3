//! What is asked of the route table.
//!
//! Source: RocketMQ 5.3.3 `namesrv/routeinfo/RouteInfoManager`.

use std::collections::BTreeMap;

use oxmq::protocol::body::{
    BrokerData, BrokerMemberGroup, ClusterInfo, QueueData, TopicList, TopicRouteData, perm,
};

use super::RouteTable;

/// Begins the topics by which a group's brokers find each other: nobody stands in for their master.
const MEMBERS_PREFIX: &str = "rmq_sys_SYNC_BROKER_MEMBER_";

/// A topic that lives in units, and one that is subscribed to across units.
const UNIT: i32 = 1;
const UNIT_SUB: i32 = 2;

/// Which topics a list is to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UnitTopics {
    /// Those that live in units.
    Unit,
    /// Those subscribed to across units.
    UnitSub,
    /// Those subscribed to across units that do not live in units.
    UnitSubOnly,
}

impl UnitTopics {
    fn takes(self, flag: i32) -> bool {
        match self {
            Self::Unit => flag & UNIT != 0,
            Self::UnitSub => flag & UNIT_SUB != 0,
            Self::UnitSubOnly => flag & UNIT_SUB != 0 && flag & UNIT == 0,
        }
    }
}

impl RouteTable {
    /// Where a topic's queues are; `None` if no live broker has it.
    pub(crate) fn route(&self, topic: &str, acting_master: bool) -> Option<TopicRouteData> {
        let queues = self.topics.get(topic)?;
        let broker_datas: Vec<_> =
            queues.keys().filter_map(|name| self.broker_data(name)).collect();
        let mut route = (!broker_datas.is_empty()).then(|| TopicRouteData {
            broker_datas,
            queue_datas: queues.values().cloned().collect(),
            topic_queue_mapping_by_broker: self.mappings.get(topic).cloned(),
            ..TopicRouteData::default()
        })?;
        if acting_master && !topic.starts_with(MEMBERS_PREFIX) {
            route.broker_datas.iter_mut().for_each(|broker| stand_in(broker, queues));
        }
        Some(route)
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

    /// The brokers of a group.
    pub(crate) fn members_of(&self, cluster: String, broker_name: String) -> BrokerMemberGroup {
        let data = self.broker_data(&broker_name);
        let broker_addrs = data.map(|data| data.broker_addrs).unwrap_or_default();
        BrokerMemberGroup { broker_addrs, broker_name, cluster }
    }

    /// All topics.
    pub(crate) fn all_topics(&self) -> Vec<String> {
        self.topics.keys().cloned().collect()
    }

    /// The topics of a cluster.
    pub(crate) fn topics_of_cluster(&self, cluster: &str) -> Vec<String> {
        let is_member =
            |name: &String| self.groups.get(name).is_some_and(|group| group.cluster == cluster);
        self.topics_where(|brokers| brokers.keys().any(is_member))
    }

    /// Topics that have to do with units.
    pub(crate) fn unit_topics(&self, which: UnitTopics) -> Vec<String> {
        self.topics_where(|brokers| {
            brokers.values().next().is_some_and(|queues| which.takes(queues.topic_sys_flag))
        })
    }

    /// The topics named after clusters and brokers, and a broker that knows the other ones.
    pub(crate) fn system_topics(&self) -> TopicList {
        let mut topic_list = Vec::new();
        for (cluster, brokers) in self.cluster_info().cluster_addr_table {
            topic_list.push(cluster);
            topic_list.extend(brokers);
        }
        let first = self.groups.values().find_map(|group| group.members.values().next());
        TopicList { topic_list, broker_addr: first.map(|live| live.address.clone()) }
    }

    /// How many brokers and topics there are.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.groups.values().map(|group| group.members.len()).sum(), self.topics.len())
    }

    fn topics_where(
        &self,
        is_wanted: impl Fn(&BTreeMap<String, QueueData>) -> bool,
    ) -> Vec<String> {
        let wanted = self.topics.iter().filter(|(_, brokers)| is_wanted(brokers));
        wanted.map(|(topic, _)| topic.clone()).collect()
    }

    fn broker_data(&self, name: &str) -> Option<BrokerData> {
        let group = self.groups.get(name)?;
        let addresses = group.members.iter().map(|(id, live)| (*id, live.address.clone()));
        Some(BrokerData {
            broker_addrs: addresses.collect(),
            broker_name: name.to_owned(),
            cluster: group.cluster.clone(),
            enable_acting_master: group.enable_acting_master,
            zone_name: group.zone_name.clone(),
        })
    }
}

/// Shows the smallest id as the master, where the group allows it, has none, and the topic can not
/// be written there.
fn stand_in(broker: &mut BrokerData, queues: &BTreeMap<String, QueueData>) {
    let is_writable =
        queues.get(&broker.broker_name).is_none_or(|queues| queues.perm & perm::WRITE != 0);
    if !broker.enable_acting_master || is_writable || broker.broker_addrs.contains_key(&0) {
        return;
    }
    if let Some((_, address)) = broker.broker_addrs.pop_first() {
        broker.broker_addrs.insert(0, address);
    }
}
