//! Requests of operators: topics, permissions, KV configurations, settings.
//!
//! Source: RocketMQ 5.3.3 `namesrv/processor/DefaultRequestProcessor`.

use std::fmt::Write as _;

use oxmq::protocol::body::{Body, TopicRouteData};
use oxmq::protocol::code::ResponseCode;
use oxmq::protocol::command::RemotingCommand;
use oxmq::protocol::header::{
    AddWritePermOfBrokerResponseHeader, BrokerNameRequestHeader,
    DeleteTopicFromNamesrvRequestHeader, GetKVConfigResponseHeader,
    GetKVListByNamespaceRequestHeader, KVConfigRequestHeader, PutKVConfigRequestHeader,
    TopicRequestHeader, WipeWritePermOfBrokerResponseHeader,
};

use super::session::Asker;
use super::{Directory, RemoveFrom};
use crate::properties;
use crate::reply::{Refusal, Reply, Served};

/// Settings that say where things are or what may be changed: nobody changes them from afar.
const FIXED: [&str; 6] = [
    "configBlackList",
    "configStorePath",
    "kvConfigPath",
    "rocketmqHome",
    "listenPort",
    "bindAddress",
];

/// Code 217.
pub(super) fn put_route(directory: &Directory, request: &RemotingCommand) -> Served {
    let header: TopicRequestHeader = request.header()?;
    let route = TopicRouteData::decode(&request.body)?;
    directory.table().put_route(&header.topic, route.queue_datas);
    Ok(Reply::done())
}

/// Code 216.
pub(super) fn delete_topic(directory: &Directory, request: &RemotingCommand) -> Served {
    let header: DeleteTopicFromNamesrvRequestHeader = request.header()?;
    let cluster = header.cluster_name.as_deref().filter(|cluster| !cluster.is_empty());
    let from = cluster.map_or(RemoveFrom::All, RemoveFrom::Cluster);
    directory.table().remove_topic(&header.topic, &from);
    Ok(Reply::done())
}

/// Code 205.
pub(super) fn wipe_write_perm(directory: &Directory, request: &RemotingCommand) -> Served {
    let wipe_topic_count = set_writable(directory, request, false)?;
    Ok(Reply::fields(&WipeWritePermOfBrokerResponseHeader { wipe_topic_count }))
}

/// Code 327.
pub(super) fn add_write_perm(directory: &Directory, request: &RemotingCommand) -> Served {
    let add_topic_count = set_writable(directory, request, true)?;
    Ok(Reply::fields(&AddWritePermOfBrokerResponseHeader { add_topic_count }))
}

fn set_writable(
    directory: &Directory,
    request: &RemotingCommand,
    is_writable: bool,
) -> Result<i32, Refusal> {
    let header: BrokerNameRequestHeader = request.header()?;
    let topics = directory.table().set_writable(&header.broker_name, is_writable);
    tracing::info!(
        broker = header.broker_name,
        topics,
        is_writable,
        "an operator changed whether a broker's topics may be written"
    );
    Ok(i32::try_from(topics).unwrap_or(i32::MAX))
}

/// Code 100.
pub(super) fn put_kv(directory: &Directory, request: &RemotingCommand) -> Served {
    let header: PutKVConfigRequestHeader = request.header()?;
    directory.kv.put(&header.namespace, &header.key, &header.value)?;
    Ok(Reply::done())
}

/// Code 101.
pub(super) fn get_kv(directory: &Directory, request: &RemotingCommand) -> Served {
    let header: KVConfigRequestHeader = request.header()?;
    let value = directory.kv.get(&header.namespace, &header.key).ok_or_else(|| {
        let (key, namespace) = (shown(&header.key), shown(&header.namespace));
        nothing(format!("there is no KV configuration {key} in the namespace {namespace}"))
    })?;
    Ok(Reply::fields(&GetKVConfigResponseHeader { value: Some(value) }))
}

/// Code 102.
pub(super) fn delete_kv(directory: &Directory, request: &RemotingCommand) -> Served {
    let header: KVConfigRequestHeader = request.header()?;
    directory.kv.delete(&header.namespace, &header.key)?;
    Ok(Reply::done())
}

/// Code 219.
pub(super) fn list_kv(directory: &Directory, request: &RemotingCommand) -> Served {
    let header: GetKVListByNamespaceRequestHeader = request.header()?;
    let table = directory.kv.list(&header.namespace).ok_or_else(|| {
        let namespace = shown(&header.namespace);
        nothing(format!("there are no KV configurations in the namespace {namespace}"))
    })?;
    Ok(Reply::body(table.encode()))
}

/// Code 319: settings, one `name=value` a line, in the order of the names.
pub(super) fn config(directory: &Directory, asker: &Asker) -> Reply {
    let local = asker.peer.local;
    let mut entries = directory.config().entries();
    entries.extend(directory.paths());
    entries.push(("configBlackList", FIXED.join(";")));
    entries.push(("bindAddress", local.ip().to_canonical().to_string()));
    entries.push(("listenPort", local.port().to_string()));
    entries.sort_unstable_by_key(|(key, _)| *key);
    let mut lines = String::new();
    for (key, value) in entries {
        // Writing to a String does not fail.
        let _ = writeln!(lines, "{key}={value}");
    }
    Reply::body(lines)
}

/// Code 318. All settings are taken, or none.
pub(super) fn update_config(directory: &Directory, request: &RemotingCommand) -> Served {
    let invalid = |remark: String| Refusal::new(ResponseCode::SYSTEM_ERROR, remark);
    let text = std::str::from_utf8(&request.body)
        .map_err(|_| invalid("the settings are not UTF-8".to_owned()))?;
    let pairs = properties::parse(text)
        .map_err(|line| invalid(format!("line {line} of the settings cannot be read")))?;
    if let Some((key, _)) = pairs.iter().find(|(key, _)| FIXED.contains(&key.as_str())) {
        let remark = format!("{key} cannot be changed over the network");
        return Err(Refusal::new(ResponseCode::NO_PERMISSION, remark));
    }
    directory.configure(&pairs).map_err(|error| invalid(error.to_string()))?;
    directory.save_settings()?;
    for (key, value) in pairs {
        tracing::info!(key, value, "an operator changed a setting");
    }
    Ok(Reply::done())
}

fn nothing(remark: String) -> Refusal {
    Refusal::new(ResponseCode::QUERY_NOT_FOUND, remark)
}

/// A name as it may stand in a remark.
fn shown(name: &str) -> String {
    format!("{:?}", name.chars().take(127).collect::<String>())
}
