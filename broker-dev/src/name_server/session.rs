//! One connection to the name server: from request code to handler.

use std::sync::Arc;

use oxmq::protocol::code::{RequestCode, ResponseCode};
use oxmq::protocol::command::RemotingCommand;

use super::look_up::UnitTopics;
use super::{Directory, ListenerId, brokers, operators, routes};
use crate::reply::{Refusal, ReplyTo, Served};
use crate::server::{ConnectionId, Handle, Outgoing, Peer, Session};

/// One connection to the name server.
#[derive(Debug)]
pub(crate) struct NameServerSession {
    directory: Arc<Directory>,
    asker: Asker,
}

/// Who asks, and how it came here.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asker {
    pub(super) peer: Peer,
    pub(super) connection: ConnectionId,
    pub(super) listener: ListenerId,
}

impl NameServerSession {
    pub(crate) fn new(
        directory: Arc<Directory>,
        peer: Peer,
        handle: &Handle,
        listener: ListenerId,
    ) -> Self {
        Self { directory, asker: Asker { peer, connection: handle.id(), listener } }
    }
}

impl Session for NameServerSession {
    fn serve(&mut self, command: RemotingCommand, out: &mut Outgoing) {
        if command.is_response() {
            return;
        }
        let served = answer(&self.directory, &self.asker, &command);
        if !command.is_one_way() {
            out.command(&ReplyTo::new(&command).served(served));
        }
    }

    fn closed(&mut self) {
        let gone = self.directory.table().closed(self.asker.connection);
        self.directory.left(&gone);
    }
}

fn answer(directory: &Directory, asker: &Asker, request: &RemotingCommand) -> Served {
    match request.request_code() {
        RequestCode::GET_ROUTEINFO_BY_TOPIC => routes::route(directory, asker, request),
        RequestCode::GET_BROKER_CLUSTER_INFO => Ok(routes::cluster_info(directory, asker)),
        RequestCode::GET_ALL_TOPIC_LIST_FROM_NAMESERVER => routes::all_topics(directory),
        RequestCode::GET_TOPICS_BY_CLUSTER => routes::topics_of_cluster(directory, request),
        RequestCode::GET_SYSTEM_TOPIC_LIST_FROM_NS => Ok(routes::system_topics(directory, asker)),
        RequestCode::GET_UNIT_TOPIC_LIST => routes::unit_topics(directory, UnitTopics::Unit),
        RequestCode::GET_HAS_UNIT_SUB_TOPIC_LIST => {
            routes::unit_topics(directory, UnitTopics::UnitSub)
        }
        RequestCode::GET_HAS_UNIT_SUB_UNUNIT_TOPIC_LIST => {
            routes::unit_topics(directory, UnitTopics::UnitSubOnly)
        }

        RequestCode::REGISTER_BROKER => brokers::register(directory, asker, request),
        RequestCode::UNREGISTER_BROKER => brokers::unregister(directory, request),
        RequestCode::QUERY_DATA_VERSION => brokers::data_version(directory, request),
        RequestCode::BROKER_HEARTBEAT => brokers::heartbeat(directory, request),
        RequestCode::GET_BROKER_MEMBER_GROUP => brokers::members(directory, asker, request),

        RequestCode::REGISTER_TOPIC_IN_NAMESRV => operators::put_route(directory, request),
        RequestCode::DELETE_TOPIC_IN_NAMESRV => operators::delete_topic(directory, request),
        RequestCode::WIPE_WRITE_PERM_OF_BROKER => operators::wipe_write_perm(directory, request),
        RequestCode::ADD_WRITE_PERM_OF_BROKER => operators::add_write_perm(directory, request),
        RequestCode::PUT_KV_CONFIG => operators::put_kv(directory, request),
        RequestCode::GET_KV_CONFIG => operators::get_kv(directory, request),
        RequestCode::DELETE_KV_CONFIG => operators::delete_kv(directory, request),
        RequestCode::GET_KVLIST_BY_NAMESPACE => operators::list_kv(directory, request),
        RequestCode::GET_NAMESRV_CONFIG => Ok(operators::config(directory, asker)),
        RequestCode::UPDATE_NAMESRV_CONFIG => operators::update_config(directory, request),
        code => Err(not_served(code)),
    }
}

/// A code that the name server does not serve, and why.
fn not_served(code: RequestCode) -> Refusal {
    let why = match code.0 {
        902 | 903 | 906 | 1001..=1018 => "no controller runs here, so replicas do not elect",
        513 => "static topics are made on brokers, and this one has none of them",
        905 => "a name server sends this notice and takes none",
        3001..=3010 | 50..=54 => "a name server keeps no users and no permissions: ask a broker",
        _ if code.name().is_some() => "that is a request to a broker, and this is a name server",
        _ => "RocketMQ has no request of this number",
    };
    let remark = format!("{code} is not served by this name server: {why}");
    Refusal::new(ResponseCode::REQUEST_CODE_NOT_SUPPORTED, remark)
}
