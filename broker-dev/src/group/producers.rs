//! Live producers by group.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::{MAX_GROUPS, MAX_MEMBERS, Member, Seen};
use crate::server::ConnectionId;

/// The producers of every group.
#[derive(Debug, Default)]
pub(crate) struct Producers {
    groups: Mutex<HashMap<String, BTreeMap<String, Seen>>>,
}

impl Producers {
    /// A heartbeat: enters or refreshes a member.
    pub(crate) fn heartbeat(&self, group: &str, client_id: &str, member: Member, now: Duration) {
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        if !groups.contains_key(group) && groups.len() >= MAX_GROUPS {
            tracing::warn!(group, "too many producer groups: heartbeat ignored");
            return;
        }
        let members = groups.entry(group.to_owned()).or_default();
        if members.len() < MAX_MEMBERS || members.contains_key(client_id) {
            members.insert(client_id.to_owned(), Seen { member, at: now });
        }
    }

    /// A goodbye.
    pub(crate) fn leave(&self, group: &str, client_id: &str) {
        self.remove(|name, id, _| name == group && id == client_id);
    }

    /// A connection is gone, and its members with it.
    pub(crate) fn closed(&self, connection: ConnectionId) {
        self.remove(|_, _, seen| seen.member.connection == connection);
    }

    /// Removes who was not heard of for too long; returns the connections that were silent.
    pub(crate) fn expire(&self, now: Duration) -> Vec<ConnectionId> {
        let mut silent = Vec::new();
        self.remove(|_, _, seen| {
            let is_expired = seen.is_expired(now);
            if is_expired {
                silent.push(seen.member.connection);
            }
            is_expired
        });
        silent
    }

    /// A group's members by client id; `None` if there are none.
    pub(crate) fn members(&self, group: &str) -> Option<Vec<(String, Member)>> {
        let groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        let members = groups.get(group)?.iter();
        Some(members.map(|(id, seen)| (id.clone(), seen.member.clone())).collect())
    }

    /// A client's connection, whatever its group.
    pub(crate) fn connection(&self, client_id: &str) -> Option<ConnectionId> {
        let groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        groups.values().find_map(|members| members.get(client_id)).map(|it| it.member.connection)
    }

    /// All of them: group, client id, member, and when it was last heard of.
    pub(crate) fn all(&self) -> Vec<(String, String, Member, Duration)> {
        let groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        let members = groups.iter().flat_map(|(group, members)| {
            members
                .iter()
                .map(|(id, seen)| (group.clone(), id.clone(), seen.member.clone(), seen.at))
        });
        members.collect()
    }

    fn remove(&self, mut gone: impl FnMut(&str, &str, &Seen) -> bool) {
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        groups.retain(|name, members| {
            members.retain(|id, seen| !gone(name, id, seen));
            !members.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_producer_is_known_until_it_leaves_closes_or_is_silent() {
        let member = |connection| Member {
            connection: ConnectionId(connection),
            address: ([127, 0, 0, 1], 1).into(),
            language: oxmq::protocol::code::LanguageCode::RUST,
            version: 0,
        };
        let producers = Producers::default();
        let at = Duration::from_secs;
        for (client, connection) in [("a", 1), ("b", 2), ("c", 3)] {
            producers.heartbeat("g", client, member(connection), at(0));
        }
        producers.leave("g", "a");
        producers.closed(ConnectionId(2));
        assert_eq!(producers.members("g").unwrap(), [("c".to_owned(), member(3))]);
        assert_eq!(producers.expire(at(120)), []);
        assert_eq!(producers.expire(at(121)), [ConnectionId(3)]);
        assert!(producers.members("g").is_none());
    }
}
