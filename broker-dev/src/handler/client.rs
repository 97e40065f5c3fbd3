//! Clients make themselves known: codes 34, 35, 38, 46, 203 and 204.
//!
//! Source: RocketMQ 5.3.3 `broker/processor/{ClientManageProcessor, ConsumerManageProcessor}`.

use oxmq::protocol::body::{
    Body, CheckClientRequestBody, Connection, ConsumerConnection, ConsumerData,
    GetConsumerListByGroupResponseBody, HeartbeatData, MessageModel, ProducerConnection, perm,
};
use oxmq::protocol::code::ResponseCode;
use oxmq::protocol::command::RemotingCommand;
use oxmq::protocol::ext_fields::ExtFields;
use oxmq::protocol::header::{
    ConsumerGroupRequestHeader, Header, ProducerGroupRequestHeader, UnregisterClientRequestHeader,
};
use oxmq::protocol::{DecodeError, names};

use super::{Caller, pull, shown};
use crate::core::Core;
use crate::filter::Filter;
use crate::group::Member;
use crate::reply::{Refusal, Reply, Served};

/// The longest client id, bytes.
const MAX_CLIENT_ID_BYTES: usize = 1_024;

/// Code 34: a client tells its groups and subscriptions.
pub(crate) fn heartbeat(core: &Core, caller: &Caller, request: &RemotingCommand) -> Served {
    let heartbeat = HeartbeatData::decode(&request.body)?;
    check_client_id(&heartbeat.client_id)?;
    let member = Member {
        connection: caller.handle.id(),
        address: caller.peer.remote,
        language: request.language,
        version: request.version,
    };
    let now = core.liveness.now();
    for producer in &heartbeat.producer_data_set {
        if names::check_group(&producer.group_name).is_ok() {
            let id = &heartbeat.client_id;
            core.producers.heartbeat(&producer.group_name, id, member.clone(), now);
        }
    }
    for consumer in heartbeat.consumer_data_set {
        let group = consumer.group_name.clone();
        if let Err(refusal) = prepare_group(core, &consumer) {
            tracing::warn!(group = shown(&group), remark = %refusal.remark, "heartbeat ignored");
            continue;
        }
        let id = &heartbeat.client_id;
        if let Some(changed) = core.consumers.heartbeat(id, member.clone(), consumer, now) {
            core.notify(&changed);
        }
    }
    Ok(Reply::fields(&HeartbeatSupport))
}

/// Makes the group and its retry topic, if they are not there yet.
fn prepare_group(core: &Core, consumer: &ConsumerData) -> Result<(), Refusal> {
    let group = core.groups.get_or_create(&consumer.group_name, core.clock.now_ms())?;
    if consumer.message_model == MessageModel::Broadcasting || group.retry_queue_nums <= 0 {
        return Ok(());
    }
    let topic = names::retry_topic(&consumer.group_name);
    core.ensure_topic(&topic, group.retry_queue_nums, perm::READ | perm::WRITE)
}

fn check_client_id(id: &str) -> Result<(), Refusal> {
    if id.is_empty() || id.len() > MAX_CLIENT_ID_BYTES {
        let remark =
            format!("the client id is {} bytes long: 1 to {MAX_CLIENT_ID_BYTES} are", id.len());
        return Err(Refusal::new(ResponseCode::INVALID_PARAMETER, format!("{remark} possible")));
    }
    Ok(())
}

/// What the response to a heartbeat tells: heartbeats of the second kind are not understood, so
/// each one says everything.
struct HeartbeatSupport;

impl Header for HeartbeatSupport {
    fn read(_: &ExtFields) -> Result<Self, DecodeError> {
        Ok(Self)
    }

    fn write(&self, fields: &mut ExtFields) {
        fields.push("IS_SUPPORT_HEART_BEAT_V2", "false");
        fields.push("IS_SUB_CHANGE", "true");
    }
}

/// Code 35: a client takes leave.
pub(crate) fn unregister(core: &Core, request: &RemotingCommand) -> Served {
    let header: UnregisterClientRequestHeader = request.header()?;
    if let Some(group) = &header.producer_group {
        core.producers.leave(group, &header.client_id);
    }
    if let Some(group) = &header.consumer_group
        && let Some(changed) = core.consumers.leave(group, &header.client_id)
    {
        core.notify(&changed);
    }
    Ok(Reply::done())
}

/// Code 38: who is in a group.
pub(crate) fn consumer_list(core: &Core, request: &RemotingCommand) -> Served {
    let header: ConsumerGroupRequestHeader = request.header()?;
    let ids = core.consumers.client_ids(&header.consumer_group).ok_or_else(|| {
        let group = shown(&header.consumer_group);
        let remark = format!("nobody of the consumer group `{group}` is connected");
        Refusal::new(ResponseCode::SYSTEM_ERROR, remark)
    })?;
    Ok(Reply::body(GetConsumerListByGroupResponseBody { consumer_id_list: ids }.encode()))
}

/// Code 46: whether a subscription could be served.
pub(crate) fn check_client(core: &Core, request: &RemotingCommand) -> Served {
    let body = CheckClientRequestBody::decode(&request.body)?;
    pull::checked_filter(core, Filter::of(&body.subscription_data))?;
    Ok(Reply::done())
}

/// Code 203: the connections of a consumer group.
pub(crate) fn consumer_connections(core: &Core, request: &RemotingCommand) -> Served {
    let header: ConsumerGroupRequestHeader = request.header()?;
    let view = core.consumers.view(&header.consumer_group).ok_or_else(|| {
        let group = shown(&header.consumer_group);
        let remark = format!("nobody of the consumer group `{group}` is connected");
        Refusal::new(ResponseCode::CONSUMER_NOT_ONLINE, remark)
    })?;
    let subscriptions = view.subscriptions.into_iter();
    let body = ConsumerConnection {
        connection_set: connections(view.members),
        consume_from_where: view.data.consume_from_where,
        consume_type: view.data.consume_type,
        message_model: view.data.message_model,
        subscription_table: subscriptions.map(|data| (data.topic.clone(), data)).collect(),
    };
    Ok(Reply::body(body.encode()))
}

/// Code 204: the connections of a producer group.
pub(crate) fn producer_connections(core: &Core, request: &RemotingCommand) -> Served {
    let header: ProducerGroupRequestHeader = request.header()?;
    let members = core.producers.members(&header.producer_group).ok_or_else(|| {
        let group = shown(&header.producer_group);
        let remark = format!("nobody of the producer group `{group}` is connected");
        Refusal::new(ResponseCode::SYSTEM_ERROR, remark)
    })?;
    Ok(Reply::body(ProducerConnection { connection_set: connections(members) }.encode()))
}

fn connections(members: Vec<(String, Member)>) -> Vec<Connection> {
    let connection = |(client_id, member): (String, Member)| Connection {
        client_addr: member.address.to_string(),
        client_id,
        language: member.language.name().to_owned(),
        version: member.version,
    };
    members.into_iter().map(connection).collect()
}
