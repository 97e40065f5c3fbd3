//! What each request needs to be allowed.
//!
//! Source: RocketMQ 5.3.3 `auth/authorization/builder/DefaultAuthorizationContextBuilder` and the
//! annotations of the request headers. Differs: a request that Apache has no rule for, or whose
//! resource is missing, goes through there; here it takes a super user.

use oxmq::protocol::DecodeError;
use oxmq::protocol::body::{Body, HeartbeatData, LockBatchRequestBody, SubscriptionGroupConfig};
use oxmq::protocol::code::RequestCode;
use oxmq::protocol::command::RemotingCommand;
use oxmq::protocol::names;

use super::policy::{Action, Demand, Kind, Resource};

use Action::{Create, Delete, Get, List, Pub, Sub, Update};

/// Who may make a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Demands {
    /// Whoever is allowed all of these; every user, if there are none.
    All(Vec<Demand>),
    /// Super users only.
    Super,
}

/// One thing that a rule asks for: a field with the name of a resource, and what is done to it.
type Field = (Kind, &'static str, &'static [Action]);

/// How a request's demands are found.
enum Rule {
    Fields(&'static [Field]),
    /// About the cluster.
    Cluster(&'static [Action]),
    /// About all resources of a kind.
    Every(Kind, &'static [Action]),
    Send {
        topic: &'static str,
        group: &'static str,
    },
    Heartbeat,
    Lock,
    /// The group in the body.
    MakeGroup,
    Super,
}

const fn rule(code: RequestCode) -> Rule {
    use Kind::{Group, Topic};
    use Rule::{Cluster, Every, Fields, Heartbeat, Lock, MakeGroup, Send, Super};
    match code {
        RequestCode::SEND_MESSAGE | RequestCode::SEND_REPLY_MESSAGE => {
            Send { topic: "topic", group: "producerGroup" }
        }
        RequestCode::SEND_MESSAGE_V2
        | RequestCode::SEND_BATCH_MESSAGE
        | RequestCode::SEND_REPLY_MESSAGE_V2 => Send { topic: "b", group: "a" },
        RequestCode::RECALL_MESSAGE => Fields(&[(Topic, "topic", &[Pub])]),
        // Clients before 5.3 name no topic.
        RequestCode::END_TRANSACTION => Fields(&[(Topic, "topic?", &[Pub])]),
        RequestCode::CONSUMER_SEND_MSG_BACK => Fields(&[(Group, "group", &[Sub])]),
        RequestCode::PULL_MESSAGE | RequestCode::LITE_PULL_MESSAGE => {
            Fields(&[(Topic, "topic", &[Sub]), (Group, "consumerGroup", &[Sub])])
        }
        RequestCode::QUERY_MESSAGE => Fields(&[(Topic, "topic", &[Sub, Get])]),
        RequestCode::HEART_BEAT => Heartbeat,
        RequestCode::UNREGISTER_CLIENT => Fields(&[(Group, "consumerGroup?", &[Sub])]),
        RequestCode::GET_CONSUMER_LIST_BY_GROUP => Fields(&[(Group, "consumerGroup", &[Sub, Get])]),
        RequestCode::QUERY_CONSUMER_OFFSET => {
            Fields(&[(Topic, "topic", &[Sub, Get]), (Group, "consumerGroup", &[Sub, Get])])
        }
        RequestCode::UPDATE_CONSUMER_OFFSET => {
            Fields(&[(Topic, "topic", &[Sub, Update]), (Group, "consumerGroup", &[Sub, Update])])
        }
        RequestCode::LOCK_BATCH_MQ | RequestCode::UNLOCK_BATCH_MQ => Lock,
        // What a consumer asks about itself: any user may.
        RequestCode::CHECK_CLIENT_CONFIG => Fields(&[]),
        RequestCode::GET_ROUTEINFO_BY_TOPIC => Fields(&[(Topic, "topic", &[Pub, Sub, Get])]),

        RequestCode::GET_MAX_OFFSET
        | RequestCode::GET_MIN_OFFSET
        | RequestCode::GET_EARLIEST_MSG_STORETIME
        | RequestCode::SEARCH_OFFSET_BY_TIMESTAMP
        | RequestCode::GET_TOPIC_CONFIG
        | RequestCode::GET_TOPIC_STATS_INFO
        | RequestCode::QUERY_TOPIC_CONSUME_BY_WHO => Fields(&[(Topic, "topic", &[Get])]),
        // Clients before 5.3 name no topic; the record could be of any.
        RequestCode::VIEW_MESSAGE_BY_ID => Fields(&[(Topic, "topic", &[Get])]),
        RequestCode::UPDATE_AND_CREATE_TOPIC => Fields(&[(Topic, "topic", &[Create])]),
        RequestCode::DELETE_TOPIC_IN_BROKER => Fields(&[(Topic, "topic", &[Delete])]),
        RequestCode::GET_ALL_TOPIC_CONFIG => Every(Topic, &[List]),

        RequestCode::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP => MakeGroup,
        RequestCode::DELETE_SUBSCRIPTIONGROUP => Fields(&[(Group, "groupName", &[Delete])]),
        RequestCode::GET_SUBSCRIPTIONGROUP_CONFIG | RequestCode::QUERY_TOPICS_BY_CONSUMER => {
            Fields(&[(Group, "group", &[Get])])
        }
        RequestCode::GET_ALL_SUBSCRIPTIONGROUP_CONFIG => Every(Group, &[List]),
        RequestCode::GET_CONSUMER_CONNECTION_LIST | RequestCode::GET_CONSUMER_RUNNING_INFO => {
            Fields(&[(Group, "consumerGroup", &[Get])])
        }
        RequestCode::GET_CONSUME_STATS => {
            Fields(&[(Group, "consumerGroup", &[Get]), (Topic, "topic?", &[Get])])
        }
        RequestCode::QUERY_CONSUME_TIME_SPAN
        | RequestCode::INVOKE_BROKER_TO_GET_CONSUMER_STATUS => {
            Fields(&[(Topic, "topic", &[Get]), (Group, "group", &[Get])])
        }
        RequestCode::QUERY_SUBSCRIPTION_BY_CONSUMER => {
            Fields(&[(Group, "group", &[Get]), (Topic, "topic?", &[Get])])
        }
        RequestCode::QUERY_CORRECTION_OFFSET => {
            Fields(&[(Group, "compareGroup", &[Get]), (Topic, "topic", &[Get])])
        }
        RequestCode::INVOKE_BROKER_TO_RESET_OFFSET => {
            Fields(&[(Group, "group", &[Update]), (Topic, "topic", &[Update])])
        }
        RequestCode::CLONE_GROUP_OFFSET => Fields(&[
            (Group, "srcGroup", &[Get, Update]),
            (Group, "destGroup", &[Update]),
            (Topic, "topic?", &[Update]),
        ]),
        RequestCode::CONSUME_MESSAGE_DIRECTLY => {
            Fields(&[(Group, "consumerGroup", &[Sub]), (Topic, "topic", &[Sub])])
        }

        RequestCode::GET_PRODUCER_CONNECTION_LIST
        | RequestCode::GET_ALL_PRODUCER_INFO
        | RequestCode::GET_BROKER_CONSUME_STATS
        | RequestCode::GET_BROKER_RUNTIME_INFO
        | RequestCode::GET_BROKER_CONFIG
        | RequestCode::GET_SYSTEM_TOPIC_LIST_FROM_BROKER
        | RequestCode::AUTH_GET_USER
        | RequestCode::AUTH_LIST_USER
        | RequestCode::AUTH_GET_ACL
        | RequestCode::AUTH_LIST_ACL => Cluster(&[Get]),
        RequestCode::AUTH_CREATE_USER
        | RequestCode::AUTH_UPDATE_USER
        | RequestCode::AUTH_DELETE_USER
        | RequestCode::AUTH_CREATE_ACL
        | RequestCode::AUTH_UPDATE_ACL
        | RequestCode::AUTH_DELETE_ACL => Cluster(&[Update]),
        _ => Super,
    }
}

impl Demands {
    /// What a request needs.
    ///
    /// # Errors
    /// Its body cannot be read.
    pub(super) fn of(request: &RemotingCommand, cluster: &str) -> Result<Self, DecodeError> {
        let of_cluster = |actions| Demand {
            resource: Resource { kind: Kind::Cluster, name: cluster.to_owned() },
            actions,
        };
        Ok(match rule(request.request_code()) {
            Rule::Super => Self::Super,
            Rule::Cluster(actions) => Self::All(vec![of_cluster(actions)]),
            Rule::Every(kind, actions) => {
                let resource = Resource { kind, name: "*".to_owned() };
                Self::All(vec![Demand { resource, actions }])
            }
            Rule::Fields(fields) => fields_of(request, fields),
            Rule::Send { topic, group } => {
                let topic = request.ext_fields.get(topic).unwrap_or_default();
                let sender = request.ext_fields.get(group).filter(|group| !group.is_empty());
                Self::All(vec![match topic.starts_with(names::RETRY_PREFIX) {
                    true => on_group(sender.unwrap_or(topic), &[Sub]),
                    false => on_topic(topic, &[Pub]),
                }])
            }
            Rule::MakeGroup => {
                let group = SubscriptionGroupConfig::decode(&request.body)?;
                Self::All(vec![on_group(&group.group_name, &[Create, Update])])
            }
            Rule::Heartbeat => Self::All(of_heartbeat(&HeartbeatData::decode(&request.body)?)),
            Rule::Lock => {
                let body = LockBatchRequestBody::decode(&request.body)?;
                let queues = body.mq_set.iter().map(|queue| on_topic(&queue.topic, &[Sub]));
                let queues = queues.filter(|demand| demand.resource.kind == Kind::Topic);
                let group = on_group(&body.consumer_group, &[Sub]);
                Self::All(queues.chain([group]).collect())
            }
        })
    }
}

/// A field whose name ends in `?` may be missing.
fn fields_of(request: &RemotingCommand, fields: &'static [Field]) -> Demands {
    let mut demands = Vec::with_capacity(fields.len());
    for (kind, field, actions) in fields {
        let name = field.trim_end_matches('?');
        match request.ext_fields.get(name).filter(|value| !value.trim().is_empty()) {
            Some(value) if *kind == Kind::Topic => demands.push(on_topic(value, actions)),
            Some(value) => demands.push(on_group(value, actions)),
            None if name == *field => return Demands::Super,
            None => {}
        }
    }
    Demands::All(demands)
}

fn of_heartbeat(data: &HeartbeatData) -> Vec<Demand> {
    let mut demands = Vec::new();
    for consumer in &data.consumer_data_set {
        demands.push(on_group(&consumer.group_name, &[Sub]));
        let topics =
            consumer.subscription_data_set.iter().map(|data| on_topic(&data.topic, &[Sub]));
        demands.extend(topics.filter(|demand| demand.resource.kind == Kind::Topic));
    }
    demands
}

/// A retry topic is its group's.
fn on_topic(name: &str, actions: &'static [Action]) -> Demand {
    match name.starts_with(names::RETRY_PREFIX) {
        true => on_group(name, actions),
        false => {
            Demand { resource: Resource { kind: Kind::Topic, name: name.to_owned() }, actions }
        }
    }
}

fn on_group(name: &str, actions: &'static [Action]) -> Demand {
    let name = name.strip_prefix(names::RETRY_PREFIX).unwrap_or(name);
    Demand { resource: Resource { kind: Kind::Group, name: name.to_owned() }, actions }
}
