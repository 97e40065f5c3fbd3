//! Live consumers by group, and what each group subscribes to.
//!
//! All members of a group should subscribe alike; where they do not, the last heartbeat wins, as
//! with RocketMQ.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use oxmq::protocol::body::{ConsumerData, MessageModel, SubscriptionData};

use super::{Changed, MAX_GROUPS, MAX_MEMBERS, Member, Seen};
use crate::filter::{BadFilter, Filter};
use crate::server::ConnectionId;

/// The consumers of every group.
#[derive(Debug, Default)]
pub(crate) struct Consumers {
    groups: Mutex<HashMap<String, Group>>,
}

#[derive(Debug)]
struct Group {
    data: ConsumerData,
    subscriptions: HashMap<String, Arc<Subscription>>,
    /// By client id, so that every member sees the same order.
    members: BTreeMap<String, Seen>,
}

/// What a group wants of a topic.
#[derive(Debug)]
pub(crate) struct Subscription {
    /// As the heartbeat told it.
    pub(crate) data: SubscriptionData,
    /// The same as a filter.
    pub(crate) filter: Result<Filter, BadFilter>,
}

/// A group as operators see it.
#[derive(Debug)]
pub(crate) struct GroupView {
    /// What its last heartbeat told, without subscriptions.
    pub(crate) data: ConsumerData,
    /// What it subscribes to.
    pub(crate) subscriptions: Vec<SubscriptionData>,
    /// Its members by client id.
    pub(crate) members: Vec<(String, Member)>,
}

impl Consumers {
    /// A heartbeat: enters or refreshes a member, and takes over its subscriptions.
    ///
    /// Tells who must learn of it, if that changed the group.
    pub(crate) fn heartbeat(
        &self,
        client_id: &str,
        member: Member,
        mut data: ConsumerData,
        now: Duration,
    ) -> Option<Changed> {
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        if !groups.contains_key(&data.group_name) && groups.len() >= MAX_GROUPS {
            tracing::warn!(group = data.group_name, "too many consumer groups: heartbeat ignored");
            return None;
        }
        let subscriptions = std::mem::take(&mut data.subscription_data_set);
        let name = data.group_name.clone();
        let group = groups.entry(name.clone()).or_insert_with(|| Group {
            data: data.clone(),
            subscriptions: HashMap::new(),
            members: BTreeMap::new(),
        });
        group.data = data;
        let subscribed = group.subscribe(subscriptions);
        let joined = group.join(client_id, member, now);
        (subscribed || joined).then(|| group.changed(name)).flatten()
    }

    /// A goodbye.
    pub(crate) fn leave(&self, group: &str, client_id: &str) -> Option<Changed> {
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        let left = groups.get_mut(group)?;
        left.members.remove(client_id)?;
        let changed = left.changed(group.to_owned());
        if left.members.is_empty() {
            groups.remove(group);
        }
        changed
    }

    /// A connection is gone, and its members with it.
    pub(crate) fn closed(&self, connection: ConnectionId) -> Vec<Changed> {
        self.remove(|seen| seen.member.connection == connection)
    }

    /// Removes who was not heard of for too long; returns what changed, and the connections that
    /// were silent.
    pub(crate) fn expire(&self, now: Duration) -> (Vec<Changed>, Vec<ConnectionId>) {
        let mut silent = Vec::new();
        let changed = self.remove(|seen| {
            let is_expired = seen.is_expired(now);
            if is_expired {
                silent.push(seen.member.connection);
            }
            is_expired
        });
        (changed, silent)
    }

    /// How many members each group has.
    pub(crate) fn sizes(&self) -> Vec<(String, usize)> {
        let groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        groups.iter().map(|(name, group)| (name.clone(), group.members.len())).collect()
    }

    /// The client ids of a group's members, in order; `None` if there are none.
    pub(crate) fn client_ids(&self, group: &str) -> Option<Vec<String>> {
        let groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        Some(groups.get(group)?.members.keys().cloned().collect())
    }

    /// What a group wants of a topic, and how it shares messages.
    pub(crate) fn subscription(
        &self,
        group: &str,
        topic: &str,
    ) -> Option<(Option<Arc<Subscription>>, MessageModel)> {
        let groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        let group = groups.get(group)?;
        Some((group.subscriptions.get(topic).cloned(), group.data.message_model))
    }

    /// The groups with a member that subscribe to a topic.
    pub(crate) fn subscribed_to(&self, topic: &str) -> BTreeSet<String> {
        let groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        let subscribed = groups.iter().filter(|(_, group)| group.subscriptions.contains_key(topic));
        subscribed.map(|(name, _)| name.clone()).collect()
    }

    /// A group as operators see it.
    pub(crate) fn view(&self, group: &str) -> Option<GroupView> {
        let groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        let group = groups.get(group)?;
        let members = group.members.iter();
        Some(GroupView {
            data: group.data.clone(),
            subscriptions: group.subscriptions.values().map(|known| known.data.clone()).collect(),
            members: members.map(|(id, seen)| (id.clone(), seen.member.clone())).collect(),
        })
    }

    fn remove(&self, mut gone: impl FnMut(&Seen) -> bool) -> Vec<Changed> {
        let mut changed = Vec::new();
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        groups.retain(|name, group| {
            let before = group.members.len();
            group.members.retain(|_, seen| !gone(seen));
            if group.members.len() < before {
                changed.extend(group.changed(name.clone()));
            }
            !group.members.is_empty()
        });
        changed
    }
}

impl Group {
    /// Takes over a set of subscriptions; tells whether that changed anything.
    fn subscribe(&mut self, wanted: Vec<SubscriptionData>) -> bool {
        let before = self.subscriptions.len();
        self.subscriptions.retain(|topic, _| wanted.iter().any(|data| data.topic == *topic));
        let mut changed = self.subscriptions.len() < before;
        for data in wanted {
            match self.subscriptions.get(&data.topic) {
                Some(known) if known.data.sub_version >= data.sub_version => {}
                known => {
                    changed |= known.is_none_or(|known| known.data.sub_string != data.sub_string);
                    let subscription = Subscription { filter: Filter::of(&data), data };
                    self.subscriptions
                        .insert(subscription.data.topic.clone(), Arc::new(subscription));
                }
            }
        }
        changed
    }

    fn join(&mut self, client_id: &str, member: Member, now: Duration) -> bool {
        if let Some(seen) = self.members.get_mut(client_id) {
            seen.at = now;
            // A client that connected anew is the same member.
            seen.member = member;
            return false;
        }
        if self.members.len() >= MAX_MEMBERS {
            tracing::warn!(client_id, "too many members of a consumer group: heartbeat ignored");
            return false;
        }
        self.members.insert(client_id.to_owned(), Seen { member, at: now });
        true
    }

    /// Members of a broadcasting group do not share queues, so they need not know of each other.
    fn changed(&self, group: String) -> Option<Changed> {
        (self.data.message_model != MessageModel::Broadcasting).then(|| Changed {
            group,
            members: self.members.values().map(|seen| seen.member.connection).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: fn(u64) -> Duration = Duration::from_secs;

    fn member(connection: u64) -> Member {
        Member {
            connection: ConnectionId(connection),
            address: ([127, 0, 0, 1], 1).into(),
            language: oxmq::protocol::code::LanguageCode::RUST,
            version: 0,
        }
    }

    fn data(topics: &[(&str, &str, i64)]) -> ConsumerData {
        let subscription = |(topic, expression, version): &(&str, &str, i64)| SubscriptionData {
            topic: (*topic).to_owned(),
            sub_string: (*expression).to_owned(),
            sub_version: *version,
            ..SubscriptionData::default()
        };
        ConsumerData {
            group_name: "g".to_owned(),
            subscription_data_set: topics.iter().map(subscription).collect(),
            ..ConsumerData::default()
        }
    }

    fn told(changed: Option<Changed>) -> Vec<u64> {
        changed.map(|changed| changed.members.iter().map(|id| id.0).collect()).unwrap_or_default()
    }

    #[test]
    fn all_members_are_told_of_who_comes_and_goes() {
        let consumers = Consumers::default();
        let all = data(&[("t", "*", 1)]);
        assert_eq!(told(consumers.heartbeat("b", member(1), all.clone(), AT(0))), [1]);
        assert_eq!(told(consumers.heartbeat("a", member(2), all.clone(), AT(1))), [2, 1]);
        assert_eq!(consumers.heartbeat("a", member(2), all.clone(), AT(2)), None);
        assert_eq!(consumers.client_ids("g").unwrap(), ["a", "b"]);
        assert_eq!(told(consumers.leave("g", "b")), [2]);
        let changed = consumers.closed(ConnectionId(2));
        assert_eq!(changed.len(), 1);
        assert!(consumers.client_ids("g").is_none());
    }

    #[test]
    fn silence_of_two_minutes_ends_a_membership() {
        let consumers = Consumers::default();
        consumers.heartbeat("a", member(1), data(&[]), AT(0));
        consumers.heartbeat("b", member(2), data(&[]), AT(60));
        assert_eq!(consumers.expire(AT(120)), (vec![], vec![]));
        let (changed, silent) = consumers.expire(AT(121));
        assert_eq!(silent, [ConnectionId(1)]);
        assert_eq!(told(changed.into_iter().next()), [2]);
    }

    #[test]
    fn a_newer_subscription_replaces_an_older_and_missing_topics_go() {
        let consumers = Consumers::default();
        let expression = |topic| {
            let (known, _) = consumers.subscription("g", topic)?;
            Some(known?.data.sub_string.clone())
        };
        consumers.heartbeat("a", member(1), data(&[("t", "x", 5), ("u", "*", 5)]), AT(0));
        assert_eq!(expression("t").unwrap(), "x");
        assert!(consumers.heartbeat("a", member(1), data(&[("t", "y", 6)]), AT(0)).is_some());
        assert_eq!(expression("t").unwrap(), "y");
        assert_eq!(expression("u"), None);
        assert!(consumers.heartbeat("a", member(1), data(&[("t", "z", 4)]), AT(0)).is_none());
        assert_eq!(expression("t").unwrap(), "y");
    }

    #[test]
    fn a_client_that_connects_anew_keeps_its_place() {
        let consumers = Consumers::default();
        consumers.heartbeat("a", member(1), data(&[]), AT(0));
        assert_eq!(consumers.heartbeat("a", member(2), data(&[]), AT(1)), None);
        assert_eq!(consumers.closed(ConnectionId(1)), []);
        assert_eq!(consumers.client_ids("g").unwrap(), ["a"]);
    }

    #[test]
    fn members_of_a_broadcasting_group_are_not_told() {
        let consumers = Consumers::default();
        let broadcast = ConsumerData { message_model: MessageModel::Broadcasting, ..data(&[]) };
        assert_eq!(consumers.heartbeat("a", member(1), broadcast, AT(0)), None);
    }
}
