//! Where the queues of a topic are.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use super::{HOUSEKEEPING_TIMEOUT, Instance};
use crate::error::{Error, ErrorKind};
use crate::message::MessageQueue;
use crate::protocol::body::{Body as _, TopicRouteData};
use crate::protocol::code::{RequestCode, ResponseCode};
use crate::protocol::command::RemotingCommand;
use crate::protocol::header::GetRouteInfoRequestHeader;
use crate::protocol::names::DEFAULT_TOPIC;

/// Queues for a topic that the broker makes when its first message arrives.
pub(crate) const DEFAULT_TOPIC_QUEUES: i32 = 4;

const READABLE: i32 = 4;
const WRITABLE: i32 = 2;
/// The broker id of a master.
const MASTER: i64 = 0;

/// The queues of one topic and the addresses of its brokers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TopicRoute {
    /// Where messages can be sent: queues of brokers that have a master.
    pub(crate) write_queues: Vec<MessageQueue>,
    /// Where messages can be read.
    pub(crate) read_queues: Vec<MessageQueue>,
    brokers: BTreeMap<Arc<str>, BTreeMap<i64, Arc<str>>>,
    /// The topic does not exist yet: this is where the broker would make it.
    is_borrowed: bool,
}

impl TopicRoute {
    /// Reads a name server's answer.
    ///
    /// Source: RocketMQ 5.3.3 `MQClientInstance.topicRouteData2TopicPublishInfo` and
    /// `topicRouteData2TopicSubscribeInfo`.
    fn new(topic: &Arc<str>, data: &TopicRouteData) -> Self {
        let brokers: BTreeMap<Arc<str>, BTreeMap<i64, Arc<str>>> = data
            .broker_datas
            .iter()
            .map(|broker| {
                let addresses = broker.broker_addrs.iter();
                let addresses = addresses.map(|(id, address)| (*id, Arc::from(address.as_str())));
                (Arc::from(broker.broker_name.as_str()), addresses.collect())
            })
            .collect();
        let mut queue_datas: Vec<_> = data.queue_datas.iter().collect();
        queue_datas.sort_by(|a, b| a.broker_name.cmp(&b.broker_name));
        let (mut write_queues, mut read_queues) = (Vec::new(), Vec::new());
        for queues in queue_datas {
            let Some((name, addresses)) = brokers.get_key_value(queues.broker_name.as_str()) else {
                continue;
            };
            let queue = |id| MessageQueue::new(topic.clone(), name.clone(), id);
            if queues.perm & WRITABLE != 0 && addresses.contains_key(&MASTER) {
                write_queues.extend((0..queues.write_queue_nums).map(queue));
            }
            if queues.perm & READABLE != 0 {
                read_queues.extend((0..queues.read_queue_nums).map(queue));
            }
        }
        Self { write_queues, read_queues, brokers, is_borrowed: false }
    }

    /// The route that a new topic would get, made from the default topic's.
    fn borrowed(topic: &Arc<str>, default_topic: &TopicRouteData) -> Self {
        let mut data = default_topic.clone();
        for queues in &mut data.queue_datas {
            queues.write_queue_nums = queues.read_queue_nums.min(DEFAULT_TOPIC_QUEUES);
        }
        Self { read_queues: Vec::new(), is_borrowed: true, ..Self::new(topic, &data) }
    }

    /// The address of a broker's master.
    pub(crate) fn master(&self, broker_name: &str) -> Option<&Arc<str>> {
        self.brokers.get(broker_name)?.get(&MASTER)
    }

    /// Where to read from: the replica asked for, or else the master, or else any. Says whether it
    /// is the master.
    pub(crate) fn replica(&self, broker_name: &str, id: i64) -> Option<(&Arc<str>, bool)> {
        let addresses = self.brokers.get(broker_name)?;
        let exact = addresses.get_key_value(&id);
        let found = exact.or_else(|| addresses.first_key_value());
        found.map(|(id, address)| (address, *id == MASTER))
    }

    /// One address for each broker, masters where there are: whom to ask about a group.
    pub(crate) fn one_of_each(&self) -> impl Iterator<Item = &Arc<str>> {
        self.brokers.values().filter_map(|addresses| addresses.values().next())
    }

    fn addresses(&self) -> impl Iterator<Item = (&i64, &Arc<str>)> {
        self.brokers.values().flatten()
    }
}

/// What is known of topics.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    cache: ArcSwap<HashMap<Arc<str>, Arc<TopicRoute>>>,
    /// Held while a route is fetched, so that one answer serves all who wait.
    fetching: tokio::sync::Mutex<()>,
}

impl Routes {
    /// The last known route.
    pub(crate) fn cached(&self, topic: &str) -> Option<Arc<TopicRoute>> {
        self.cache.load().get(topic).cloned()
    }

    /// The topics that routes are known of.
    pub(crate) fn topics(&self) -> Vec<Arc<str>> {
        self.cache.load().keys().cloned().collect()
    }

    /// Every broker's address; masters only, unless replicas are wanted too.
    pub(crate) fn addresses(&self, with_replicas: bool) -> HashSet<Arc<str>> {
        let cache = self.cache.load();
        let all = cache.values().flat_map(|route| route.addresses());
        all.filter(|(id, _)| with_replicas || **id == MASTER)
            .map(|(_, address)| address.clone())
            .collect()
    }

    /// Keeps a route; says whether it differs from the one before.
    fn put(&self, topic: &Arc<str>, route: Option<Arc<TopicRoute>>) -> bool {
        let before = self.cached(topic);
        if before == route {
            return false;
        }
        self.cache.rcu(|cache| {
            let mut cache = HashMap::clone(cache);
            match &route {
                Some(route) => cache.insert(topic.clone(), route.clone()),
                None => cache.remove(topic),
            };
            cache
        });
        true
    }
}

/// What a route is wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A topic that does not exist may be made by sending to it.
    Send,
    /// The topic must exist.
    Receive,
}

impl Instance {
    /// The route of a topic, from the cache or from a name server.
    pub(crate) async fn route(
        &self,
        operation: &'static str,
        topic: &Arc<str>,
        purpose: Purpose,
        deadline: Duration,
    ) -> Result<Arc<TopicRoute>, Error> {
        let usable = |route: &Arc<TopicRoute>| purpose == Purpose::Send || !route.is_borrowed;
        if let Some(route) = self.routes.cached(topic).filter(usable) {
            return Ok(route);
        }
        let fetching =
            crate::clock::timeout_at(&*self.clock, deadline, self.routes.fetching.lock());
        let Ok(_one_at_a_time) = fetching.await else {
            return Err(Error::new(
                ErrorKind::Timeout,
                operation,
                "no time was left to look the route up",
            )
            .on_topic(topic));
        };
        match self.routes.cached(topic).filter(usable) {
            Some(route) => Ok(route),
            None => self.fetch_route(operation, topic, purpose, deadline).await,
        }
    }

    /// Asks a name server for a route and keeps it.
    pub(crate) async fn fetch_route(
        &self,
        operation: &'static str,
        topic: &Arc<str>,
        purpose: Purpose,
        deadline: Duration,
    ) -> Result<Arc<TopicRoute>, Error> {
        let found = match self.query_route(operation, topic, deadline).await? {
            Some(data) => Some(TopicRoute::new(topic, &data)),
            None if purpose == Purpose::Send => self
                .query_route(operation, &Arc::from(DEFAULT_TOPIC), deadline)
                .await?
                .map(|default_topic| TopicRoute::borrowed(topic, &default_topic)),
            None => None,
        };
        let found = found.map(Arc::new);
        let is_new = self.routes.put(topic, found.clone());
        if is_new {
            self.groups.route_changed();
        }
        found.ok_or_else(|| self.no_route(operation, topic))
    }

    async fn query_route(
        &self,
        operation: &'static str,
        topic: &Arc<str>,
        deadline: Duration,
    ) -> Result<Option<TopicRouteData>, Error> {
        let header = GetRouteInfoRequestHeader {
            topic: topic.to_string(),
            accept_standard_json_only: Some(true),
        };
        let request = RemotingCommand::request(RequestCode::GET_ROUTEINFO_BY_TOPIC, &header);
        let answer = self
            .name_servers
            .ask(operation, &self.connections, &*self.clock, &request, deadline)
            .await
            .map_err(|error| error.on_topic(topic))?;
        match answer.response_code() {
            ResponseCode::SUCCESS => Ok(Some(TopicRouteData::decode(&answer.body)?)),
            ResponseCode::TOPIC_NOT_EXIST => Ok(None),
            code => Err(Error::from_response(operation, code, answer.remark.as_deref())
                .on_topic(topic)
                .at(self.name_servers.shown())),
        }
    }

    fn no_route(&self, operation: &'static str, topic: &Arc<str>) -> Error {
        Error::new(
            ErrorKind::RouteNotFound,
            operation,
            "no route: the topic does not exist, and no broker makes it by itself",
        )
        .on_topic(topic)
        .at(self.name_servers.shown())
        .hinting("create the topic, or turn the broker's autoCreateTopicEnable on")
    }

    /// Asks again for every route in use. One that fails keeps its last route.
    pub(crate) async fn refresh_routes(&self) {
        for topic in self.routes.topics() {
            let purpose = match self.routes.cached(&topic) {
                Some(route) if route.is_borrowed => Purpose::Send,
                _ => Purpose::Receive,
            };
            let deadline = self.deadline(HOUSEKEEPING_TIMEOUT);
            if let Err(error) = self.fetch_route("refresh", &topic, purpose, deadline).await {
                tracing::warn!(%error, "route not refreshed");
            }
        }
        let known = self.routes.addresses(true);
        self.connections
            .retain(|address| known.contains(address) || self.name_servers.contains(address));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::body::{BrokerData, QueueData};

    fn data() -> TopicRouteData {
        let broker = |name: &str, ids: &[i64]| BrokerData {
            broker_name: name.into(),
            broker_addrs: ids.iter().map(|id| (*id, format!("{name}{id}:1"))).collect(),
            ..BrokerData::default()
        };
        let queues = |name: &str, perm| QueueData {
            broker_name: name.into(),
            perm,
            read_queue_nums: 3,
            write_queue_nums: 2,
            ..QueueData::default()
        };
        TopicRouteData {
            broker_datas: vec![broker("b", &[0]), broker("a", &[0, 1]), broker("c", &[1, 2])],
            queue_datas: vec![queues("b", 4), queues("a", 6), queues("c", 6), queues("x", 6)],
            ..TopicRouteData::default()
        }
    }

    #[test]
    fn only_writable_queues_of_brokers_with_a_master_are_sent_to() {
        let route = TopicRoute::new(&"t".into(), &data());
        let expected = [0, 1].map(|id| MessageQueue::new("t", "a", id));
        assert_eq!(route.write_queues, expected);
    }

    #[test]
    fn readable_queues_are_read_from_any_replica() {
        let route = TopicRoute::new(&"t".into(), &data());
        let brokers: Vec<_> = route.read_queues.iter().map(|queue| &*queue.broker_name).collect();
        assert_eq!(brokers, ["a", "a", "a", "b", "b", "b", "c", "c", "c"]);
        assert_eq!(route.replica("a", 1), Some((&"a1:1".into(), false)));
        assert_eq!(route.replica("a", 7), Some((&"a0:1".into(), true)));
        assert_eq!(route.replica("c", 0), Some((&"c1:1".into(), false)));
        assert_eq!(route.master("c"), None);
        assert_eq!(route.replica("x", 0), None);
    }

    #[test]
    fn a_borrowed_route_is_for_sending_only() {
        let mut default_topic = data();
        for queues in &mut default_topic.queue_datas {
            queues.perm = 7;
            queues.read_queue_nums = 8;
        }
        let route = TopicRoute::borrowed(&"new".into(), &default_topic);
        assert_eq!(route.write_queues.len(), 8, "four on each broker with a master");
        assert!(route.read_queues.is_empty() && route.is_borrowed);
    }
}
