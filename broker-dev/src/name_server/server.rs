//! The name server's requests.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use oxmq::protocol::body::{
    Body, BrokerData, DataVersion, RegisterBrokerBody, TopicList, TopicRouteData,
};
use oxmq::protocol::code::{RequestCode, ResponseCode};
use oxmq::protocol::command::RemotingCommand;
use oxmq::protocol::header::{
    BrokerRequestHeader, GetRouteInfoRequestHeader, RegisterBrokerRequestHeader,
    RegisterBrokerResponseHeader, TopicRequestHeader,
};
use oxmq::protocol::message::record::body_crc;

use super::{Registration, RouteTable};
use crate::liveness::Liveness;
use crate::reply::{Refusal, Reply, ReplyTo, Served, not_supported};
use crate::server::{ConnectionId, Handle, Outgoing, Peer, Session};

/// A name server, shared by its connections and by a broker in the same process.
#[derive(Debug)]
pub(crate) struct NameServer {
    table: Mutex<RouteTable>,
    liveness: Liveness,
}

impl NameServer {
    pub(crate) fn new(liveness: Liveness) -> Self {
        Self { table: Mutex::default(), liveness }
    }

    /// The table, for a broker in the same process.
    pub(crate) fn table(&self) -> MutexGuard<'_, RouteTable> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes brokers that were silent for too long.
    pub(crate) fn expire(&self) {
        self.table().expire(self.liveness.now());
    }

    /// The time by which brokers are thought alive.
    pub(crate) fn now(&self) -> Duration {
        self.liveness.now()
    }
}

/// One connection to the name server.
#[derive(Debug)]
pub(crate) struct NameServerSession {
    server: Arc<NameServer>,
    peer: Peer,
    connection: ConnectionId,
}

impl NameServerSession {
    pub(crate) fn new(server: Arc<NameServer>, peer: Peer, handle: &Handle) -> Self {
        Self { server, peer, connection: handle.id() }
    }

    fn answer(&self, request: &RemotingCommand) -> Served {
        match request.request_code() {
            RequestCode::GET_ROUTEINFO_BY_TOPIC => self.route(request),
            RequestCode::GET_BROKER_CLUSTER_INFO => Ok(self.cluster_info()),
            RequestCode::REGISTER_BROKER => self.register(request),
            RequestCode::UNREGISTER_BROKER => self.unregister(request),
            RequestCode::QUERY_DATA_VERSION => self.data_version(request),
            RequestCode::GET_ALL_TOPIC_LIST_FROM_NAMESERVER => {
                Ok(topic_list(self.server.table().topics()))
            }
            RequestCode::GET_TOPICS_BY_CLUSTER => {
                let cluster: &str = request.ext_fields.required("cluster")?;
                Ok(topic_list(self.server.table().topics_of_cluster(cluster)))
            }
            RequestCode::DELETE_TOPIC_IN_NAMESRV => {
                let header: TopicRequestHeader = request.header()?;
                self.server.table().remove_topic(&header.topic, None);
                Ok(Reply::done())
            }
            _ => Err(not_supported(request, "name server")),
        }
    }

    fn route(&self, request: &RemotingCommand) -> Served {
        let header: GetRouteInfoRequestHeader = request.header()?;
        let route = self.server.table().route(&header.topic);
        let mut route = route.ok_or_else(|| {
            let topic: String = header.topic.chars().take(127).collect();
            let remark = format!("no broker has the topic {topic:?}");
            Refusal::new(ResponseCode::TOPIC_NOT_EXIST, remark)
        })?;
        self.make_reachable(&mut route);
        Ok(Reply::body(route.encode()))
    }

    fn make_reachable(&self, route: &mut TopicRouteData) {
        route.broker_datas.iter_mut().for_each(|broker| reach(broker, self.peer.local.ip()));
    }

    fn cluster_info(&self) -> Reply {
        let mut info = self.server.table().cluster_info();
        let local = self.peer.local.ip();
        info.broker_addr_table.values_mut().for_each(|broker| reach(broker, local));
        Reply::body(info.encode())
    }

    fn register(&self, request: &RemotingCommand) -> Served {
        let header: RegisterBrokerRequestHeader = request.header()?;
        if header.compressed == Some(true) {
            return Err(Refusal::new(
                ResponseCode::SYSTEM_ERROR,
                "a compressed registration is not served: set compressedRegister=false",
            ));
        }
        check_crc(&request.body, header.body_crc32)?;
        let body = if request.body.is_empty() {
            RegisterBrokerBody::default()
        } else {
            RegisterBrokerBody::decode(&request.body)?
        };
        let millis = header.heartbeat_timeout_millis.and_then(|millis| u64::try_from(millis).ok());
        let registration = Registration {
            cluster: header.cluster_name,
            broker_name: header.broker_name,
            broker_id: header.broker_id,
            address: header.broker_addr,
            ha_address: header.ha_server_addr,
            expiry: millis.map(Duration::from_millis),
            enable_acting_master: header.enable_acting_master.unwrap_or_default(),
            topics: body.topic_config_serialize_wrapper,
            connection: Some(self.connection),
        };
        let registered = self.server.table().register(registration, self.server.now());
        let master = registered
            .map_err(|error| Refusal::new(ResponseCode::SYSTEM_ERROR, error.to_string()))?;
        let (master_addr, ha_server_addr) =
            master.map(|master| (Some(master.address), master.ha_address)).unwrap_or_default();
        Ok(Reply::fields(&RegisterBrokerResponseHeader { ha_server_addr, master_addr })
            .with_body(r#"{"table":{}}"#))
    }

    fn unregister(&self, request: &RemotingCommand) -> Served {
        let header: BrokerRequestHeader = request.header()?;
        self.server.table().unregister(&header.broker_name, header.broker_id);
        Ok(Reply::done())
    }

    fn data_version(&self, request: &RemotingCommand) -> Served {
        let header: BrokerRequestHeader = request.header()?;
        let theirs = DataVersion::decode(&request.body)?;
        let now = self.server.now();
        let known = self.server.table().data_version(&header.broker_name, header.broker_id, now);
        let is_changed = known.as_ref() != Some(&theirs);
        let reply = Reply::fields(&Changed(is_changed));
        Ok(match known {
            Some(known) => reply.with_body(known.encode()),
            None => reply,
        })
    }
}

impl Session for NameServerSession {
    fn serve(&mut self, command: RemotingCommand, out: &mut Outgoing) {
        if command.is_response() {
            return;
        }
        let served = self.answer(&command);
        if !command.is_one_way() {
            out.command(&ReplyTo::new(&command).served(served));
        }
    }

    fn closed(&mut self) {
        self.server.table().closed(self.connection);
    }
}

/// The response header of QUERY_DATA_VERSION.
struct Changed(bool);

impl oxmq::protocol::header::Header for Changed {
    fn read(
        fields: &oxmq::protocol::ext_fields::ExtFields,
    ) -> Result<Self, oxmq::protocol::DecodeError> {
        fields.required("changed").map(Self)
    }

    fn write(&self, fields: &mut oxmq::protocol::ext_fields::ExtFields) {
        fields.push("changed", if self.0 { "true" } else { "false" });
    }
}

fn topic_list(topic_list: Vec<String>) -> Reply {
    Reply::body(TopicList { topic_list, ..TopicList::default() }.encode())
}

fn check_crc(body: &[u8], expected: Option<i32>) -> Result<(), Refusal> {
    let expected = expected.and_then(|crc| u32::try_from(crc).ok()).filter(|crc| *crc != 0);
    match expected {
        Some(expected) if expected != body_crc(body) => Err(Refusal::new(
            ResponseCode::SYSTEM_ERROR,
            "the registration's checksum does not match its body",
        )),
        _ => Ok(()),
    }
}

/// A broker that listens on every address is told under the one by which the asker reached us.
fn reach(broker: &mut BrokerData, local: IpAddr) {
    for address in broker.broker_addrs.values_mut() {
        if let Ok(socket) = address.parse::<SocketAddr>()
            && socket.ip().is_unspecified()
        {
            *address = SocketAddr::new(local.to_canonical(), socket.port()).to_string();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_on_every_address_is_told_under_the_askers() {
        let mut broker = BrokerData::default();
        for (id, address) in
            [(0, "0.0.0.0:10911"), (1, "10.0.0.7:10911"), (2, "[::]:9"), (3, "some-host:1")]
        {
            broker.broker_addrs.insert(id, address.to_owned());
        }
        reach(&mut broker, "172.17.0.2".parse().unwrap());
        let addresses: Vec<_> = broker.broker_addrs.values().map(String::as_str).collect();
        assert_eq!(
            addresses,
            ["172.17.0.2:10911", "10.0.0.7:10911", "172.17.0.2:9", "some-host:1"]
        );
    }
}
