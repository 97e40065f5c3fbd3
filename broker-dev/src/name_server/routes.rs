//! Where topics are: requests of clients and operators.
//!
//! Source: RocketMQ 5.3.3 `namesrv/processor/{ClientRequestProcessor, DefaultRequestProcessor}`.

use oxmq::protocol::body::{Body, TopicList};
use oxmq::protocol::code::ResponseCode;
use oxmq::protocol::command::RemotingCommand;
use oxmq::protocol::header::{GetRouteInfoRequestHeader, GetTopicsByClusterRequestHeader};

use super::Directory;
use super::kv::ORDER_TOPICS;
use super::look_up::UnitTopics;
use super::session::Asker;
use crate::reply::{Refusal, Reply, Served};

/// Code 105.
pub(super) fn route(directory: &Directory, asker: &Asker, request: &RemotingCommand) -> Served {
    let header: GetRouteInfoRequestHeader = request.header()?;
    let config = directory.config();
    if !directory.has_waited(&config) {
        let remark = "brokers have not had the time to register yet (needWaitForService)";
        return Err(Refusal::new(ResponseCode::SYSTEM_ERROR, remark));
    }
    let route = directory.table().route(&header.topic, config.acting_master);
    let mut route = route.ok_or_else(|| {
        let topic: String = header.topic.chars().take(127).collect();
        let remark = format!("no broker has the topic {topic:?}");
        Refusal::new(ResponseCode::TOPIC_NOT_EXIST, remark)
    })?;
    if config.order_messages {
        route.order_topic_conf = directory.kv.get(ORDER_TOPICS, &header.topic);
    }
    if let Some(here) = directory.here.get() {
        let brokers = route.broker_datas.iter_mut();
        brokers.for_each(|broker| here.make_reachable(broker, asker.listener, asker.peer.local));
    }
    let wants_strict_json = header.accept_standard_json_only == Some(true);
    Ok(Reply::body(route.encode_for(request.version, wants_strict_json)))
}

/// Code 106.
pub(super) fn cluster_info(directory: &Directory, asker: &Asker) -> Reply {
    let mut info = directory.table().cluster_info();
    if let Some(here) = directory.here.get() {
        let brokers = info.broker_addr_table.values_mut();
        brokers.for_each(|broker| here.make_reachable(broker, asker.listener, asker.peer.local));
    }
    Reply::body(info.encode_with_bare_keys())
}

/// Code 206.
pub(super) fn all_topics(directory: &Directory) -> Served {
    if !directory.config().list_all_topics {
        return Err(switched_off("enableAllTopicList"));
    }
    Ok(list(directory.table().all_topics()))
}

/// Code 224.
pub(super) fn topics_of_cluster(directory: &Directory, request: &RemotingCommand) -> Served {
    if !directory.config().list_topics {
        return Err(switched_off("enableTopicList"));
    }
    let header: GetTopicsByClusterRequestHeader = request.header()?;
    Ok(list(directory.table().topics_of_cluster(&header.cluster)))
}

/// Code 304.
pub(super) fn system_topics(directory: &Directory, asker: &Asker) -> Reply {
    let mut topics = directory.table().system_topics();
    if let (Some(here), Some(address)) = (directory.here.get(), &mut topics.broker_addr) {
        here.reach(address, asker.listener, asker.peer.local);
    }
    Reply::body(topics.encode())
}

/// Codes 311 to 313.
pub(super) fn unit_topics(directory: &Directory, which: UnitTopics) -> Served {
    if !directory.config().list_topics {
        return Err(switched_off("enableTopicList"));
    }
    Ok(list(directory.table().unit_topics(which)))
}

fn list(topic_list: Vec<String>) -> Reply {
    Reply::body(TopicList { topic_list, ..TopicList::default() }.encode())
}

fn switched_off(key: &str) -> Refusal {
    Refusal::new(ResponseCode::SYSTEM_ERROR, format!("switched off by {key}=false"))
}
