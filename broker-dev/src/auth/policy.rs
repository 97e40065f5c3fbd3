//! What a user may do to which resource. Pure.
//!
//! Source: RocketMQ 5.3.3 `auth/authorization/{model, chain/AclAuthorizationHandler}`. Differs: of
//! two policies that fit equally well, the one that denies wins, as Apache's comment says and its
//! comparison does not.

use std::cmp::Reverse;
use std::net::IpAddr;

use oxmq::protocol::body::{AclInfo, PolicyEntryInfo};

/// What a request is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Resource {
    pub(super) kind: Kind,
    pub(super) name: String,
}

/// A kind of resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Cluster,
    Namespace,
    Topic,
    Group,
}

/// What a request does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    All,
    Any,
    Pub,
    Sub,
    Create,
    Update,
    Delete,
    Get,
    List,
}

/// Something that a request needs to be allowed: one of the actions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Demand {
    pub(super) resource: Resource,
    pub(super) actions: &'static [Action],
}

/// The resources that a policy is about.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Pattern {
    Everything,
    Of(Kind, Name),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Name {
    Literal(String),
    Prefix(String),
    Any,
}

/// One policy.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    pattern: Pattern,
    actions: Vec<Action>,
    sources: Vec<Source>,
    allows: bool,
}

/// Where requests come from.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    Everywhere,
    Range(IpAddr, u8),
}

/// A user's policies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Policies {
    custom: Vec<Entry>,
    default: Vec<Entry>,
}

impl Kind {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "Cluster" => Self::Cluster,
            "Namespace" => Self::Namespace,
            "Topic" => Self::Topic,
            "Group" => Self::Group,
            _ => return None,
        })
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Cluster => "Cluster",
            Self::Namespace => "Namespace",
            Self::Topic => "Topic",
            Self::Group => "Group",
        }
    }
}

impl std::fmt::Display for Resource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.kind.name(), self.name.escape_debug())
    }
}

impl Action {
    fn parse(text: &str) -> Option<Self> {
        const NAMES: [(&str, Action); 9] = [
            ("All", Action::All),
            ("Any", Action::Any),
            ("Pub", Action::Pub),
            ("Sub", Action::Sub),
            ("Create", Action::Create),
            ("Update", Action::Update),
            ("Delete", Action::Delete),
            ("Get", Action::Get),
            ("List", Action::List),
        ];
        let known = NAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
        known.map(|(_, action)| *action)
    }
}

impl Pattern {
    fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::Everything);
        }
        let (kind, name) = text.split_once(':')?;
        if kind == "Any" {
            return Some(Self::Everything);
        }
        let name = match name.split_once('*') {
            Some(("", "")) => Name::Any,
            Some((prefix, "")) => Name::Prefix(prefix.to_owned()),
            Some(_) => return None,
            None if name.is_empty() => return None,
            None => Name::Literal(name.to_owned()),
        };
        Some(Self::Of(Kind::parse(kind)?, name))
    }

    fn fits(&self, resource: &Resource) -> bool {
        match self {
            Self::Everything => true,
            Self::Of(kind, name) => {
                *kind == resource.kind
                    && match name {
                        Name::Any => true,
                        Name::Prefix(prefix) => resource.name.starts_with(prefix.as_str()),
                        Name::Literal(name) => resource.name == *name,
                    }
            }
        }
    }

    /// How closely it says what it is about: the greater, the closer.
    fn closeness(&self) -> (u8, usize) {
        match self {
            Self::Everything => (0, 0),
            Self::Of(_, Name::Any) => (1, 0),
            Self::Of(_, Name::Prefix(prefix)) => (2, prefix.len()),
            Self::Of(_, Name::Literal(_)) => (3, 0),
        }
    }
}

impl Source {
    fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::Everywhere);
        }
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse().ok()?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(most);
        (bits <= most).then_some(Self::Range(address, bits))
    }

    fn holds(&self, address: IpAddr) -> bool {
        match (self, address.to_canonical()) {
            (Self::Everywhere, _) => true,
            (Self::Range(IpAddr::V4(range), bits), IpAddr::V4(address)) => {
                let differ = range.to_bits() ^ address.to_bits();
                differ.leading_zeros() >= u32::from(*bits)
            }
            (Self::Range(IpAddr::V6(range), bits), IpAddr::V6(address)) => {
                let differ = range.to_bits() ^ address.to_bits();
                differ.leading_zeros() >= u32::from(*bits)
            }
            _ => false,
        }
    }
}

impl Entry {
    fn parse(info: &PolicyEntryInfo) -> Result<Self, String> {
        let text = info.resource.as_deref().unwrap_or_default();
        let pattern = Pattern::parse(text).ok_or_else(|| {
            format!(
                "`{}` is no resource, such as Topic:orders or Group:billing*",
                text.escape_debug()
            )
        })?;
        let actions: Option<Vec<Action>> =
            info.actions.iter().map(|action| Action::parse(action)).collect();
        let actions = actions.filter(|actions| !actions.is_empty()).ok_or_else(|| {
            "the actions are All, Any, Pub, Sub, Create, Update, Delete, Get, List".to_owned()
        })?;
        let sources: Option<Vec<Source>> =
            info.source_ips.iter().map(|source| Source::parse(source)).collect();
        let sources = sources
            .ok_or_else(|| "a source is an address, or a range such as 10.0.0.0/8".to_owned())?;
        let allows = match info.decision.as_deref() {
            Some(decision) if decision.eq_ignore_ascii_case("allow") => true,
            Some(decision) if decision.eq_ignore_ascii_case("deny") => false,
            _ => return Err("the decision is Allow or Deny".to_owned()),
        };
        Ok(Self { pattern, actions, sources, allows })
    }

    fn fits(&self, demand: &Demand, source: IpAddr) -> bool {
        let does = |wanted: &Action| {
            *wanted == Action::Any
                || self.actions.iter().any(|action| action == wanted || *action == Action::All)
        };
        self.pattern.fits(&demand.resource)
            && demand.actions.iter().any(does)
            && (self.sources.is_empty() || self.sources.iter().any(|it| it.holds(source)))
    }
}

impl Policies {
    /// Reads policies as they are sent and saved.
    ///
    /// # Errors
    /// What is wrong with the first bad one.
    pub(super) fn parse(info: &AclInfo) -> Result<Self, String> {
        let mut policies = Self::default();
        for policy in &info.policies {
            let entries = match policy.policy_type.as_deref() {
                None | Some("" | "Custom" | "CUSTOM") => &mut policies.custom,
                Some("Default" | "DEFAULT") => &mut policies.default,
                Some(other) => {
                    return Err(format!(
                        "`{}` is neither Custom nor Default",
                        other.escape_debug()
                    ));
                }
            };
            for entry in &policy.entries {
                entries.push(Entry::parse(entry)?);
            }
        }
        Ok(policies)
    }

    /// Whether a demand from an address is allowed: by the policy that says most closely what it is
    /// about; without one, not.
    pub(super) fn allow(&self, demand: &Demand, source: IpAddr) -> bool {
        let closest = |entries: &[Entry]| {
            let fitting = entries.iter().filter(|entry| entry.fits(demand, source));
            fitting
                .map(|entry| (entry.pattern.closeness(), Reverse(entry.allows)))
                .max()
                .map(|(_, Reverse(allows))| allows)
        };
        closest(&self.custom).or_else(|| closest(&self.default)).unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use oxmq::protocol::body::PolicyInfo;

    use super::*;

    fn entry(resource: &str, actions: &[&str], decision: &str) -> PolicyEntryInfo {
        PolicyEntryInfo {
            resource: Some(resource.to_owned()),
            actions: actions.iter().map(|&action| action.to_owned()).collect(),
            source_ips: Vec::new(),
            decision: Some(decision.to_owned()),
        }
    }

    fn policies(entries: Vec<PolicyEntryInfo>) -> Policies {
        let policies = vec![PolicyInfo { policy_type: None, entries }];
        Policies::parse(&AclInfo { subject: None, policies }).unwrap()
    }

    fn may(policies: &Policies, kind: Kind, name: &str, actions: &'static [Action]) -> bool {
        let resource = Resource { kind, name: name.to_owned() };
        policies.allow(&Demand { resource, actions }, [10, 0, 0, 7].into())
    }

    #[test]
    fn the_closest_policy_decides_and_none_denies() {
        let policies = policies(vec![
            entry("*", &["Get"], "Allow"),
            entry("Topic:*", &["Pub"], "Deny"),
            entry("Topic:order*", &["Pub"], "Allow"),
            entry("Topic:orders-old*", &["Pub"], "Deny"),
            entry("Topic:orders-old-but-used", &["All"], "Allow"),
        ]);
        let publishes = |topic| may(&policies, Kind::Topic, topic, &[Action::Pub]);
        assert!(publishes("orders") && publishes("orders-old-but-used"));
        assert!(!publishes("orders-old") && !publishes("other"));
        assert!(!may(&policies, Kind::Topic, "orders", &[Action::Sub]));
        assert!(may(&policies, Kind::Topic, "orders", &[Action::Sub, Action::Get]));
        assert!(may(&policies, Kind::Group, "g", &[Action::Get]));
        assert!(!may(&policies, Kind::Group, "orders", &[Action::Pub]));
        assert!(!may(&Policies::default(), Kind::Topic, "t", &[Action::Get]));
    }

    #[test]
    fn of_two_that_fit_alike_the_denial_wins() {
        let (allow, deny) =
            (entry("Topic:t", &["Pub"], "Allow"), entry("Topic:t", &["Pub"], "Deny"));
        for entries in [vec![allow.clone(), deny.clone()], vec![deny, allow]] {
            assert!(!may(&policies(entries), Kind::Topic, "t", &[Action::Pub]));
        }
    }

    #[test]
    fn default_policies_count_where_no_custom_one_fits() {
        let info = AclInfo {
            subject: None,
            policies: vec![
                PolicyInfo {
                    policy_type: Some("Default".to_owned()),
                    entries: vec![entry("Topic:*", &["All"], "Allow")],
                },
                PolicyInfo {
                    policy_type: Some("Custom".to_owned()),
                    entries: vec![entry("Topic:a*", &["Pub"], "Deny")],
                },
            ],
        };
        let policies = Policies::parse(&info).unwrap();
        assert!(!may(&policies, Kind::Topic, "abc", &[Action::Pub]));
        assert!(may(&policies, Kind::Topic, "xyz", &[Action::Pub]));
        assert!(may(&policies, Kind::Topic, "abc", &[Action::Sub]));
    }

    #[test]
    fn a_policy_can_be_for_some_addresses_only() {
        for (source, holds) in [
            ("10.0.0.7", true),
            ("10.0.0.8", false),
            ("10.0.0.0/24", true),
            ("10.1.0.0/16", false),
            ("0.0.0.0/0", true),
            ("::ffff:a00:7", false),
            ("*", true),
        ] {
            let mut only = entry("*", &["All"], "Allow");
            only.source_ips = vec![source.to_owned()];
            let policies = policies(vec![only]);
            assert_eq!(may(&policies, Kind::Topic, "t", &[Action::Pub]), holds, "{source}");
        }
    }

    #[test]
    fn what_is_no_policy_is_refused_with_words() {
        let bad = |change: fn(&mut PolicyEntryInfo)| {
            let mut entry = entry("Topic:t", &["Pub"], "Allow");
            change(&mut entry);
            let policies = vec![PolicyInfo { policy_type: None, entries: vec![entry] }];
            Policies::parse(&AclInfo { subject: None, policies }).unwrap_err()
        };
        assert!(bad(|entry| entry.resource = Some("Topic:".to_owned())).contains("no resource"));
        assert!(bad(|entry| entry.resource = Some("Queue:x".to_owned())).contains("no resource"));
        assert!(bad(|entry| entry.resource = Some("Topic:a*b".to_owned())).contains("no resource"));
        assert!(bad(|entry| entry.resource = None).contains("no resource"));
        assert!(bad(|entry| entry.actions.clear()).contains("actions"));
        assert!(bad(|entry| entry.actions.push("Fly".to_owned())).contains("actions"));
        assert!(bad(|entry| entry.decision = None).contains("decision"));
        assert!(bad(|entry| entry.source_ips.push("10.0.0.0/33".to_owned())).contains("source"));
    }
}
