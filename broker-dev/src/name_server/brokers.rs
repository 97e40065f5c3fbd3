//! Requests of brokers.
//!
//! Source: RocketMQ 5.3.3 `namesrv/processor/DefaultRequestProcessor`.

use std::net::SocketAddr;
use std::time::Duration;

use oxmq::protocol::body::{
    Body, DataVersion, GetBrokerMemberGroupResponseBody, RegisterBrokerBody,
};
use oxmq::protocol::code::ResponseCode;
use oxmq::protocol::command::RemotingCommand;
use oxmq::protocol::frame::MAX_FRAME_BYTES;
use oxmq::protocol::header::{
    BrokerHeartbeatRequestHeader, BrokerRequestHeader, GetBrokerMemberGroupRequestHeader,
    QueryDataVersionResponseHeader, RegisterBrokerRequestHeader, RegisterBrokerResponseHeader,
};
use oxmq::protocol::message::record::body_crc;

use super::session::Asker;
use super::{BrokerKey, Directory, Registration};
use crate::reply::{Refusal, Reply, Served};

/// Code 103.
pub(super) fn register(directory: &Directory, asker: &Asker, request: &RemotingCommand) -> Served {
    let header: RegisterBrokerRequestHeader = request.header()?;
    check_crc(&request.body, header.body_crc32)?;
    let body = if request.body.is_empty() {
        RegisterBrokerBody::default()
    } else if header.compressed == Some(true) {
        let (body, version) = (&request.body, request.version);
        RegisterBrokerBody::decode_compressed(body, version, MAX_FRAME_BYTES)?
    } else {
        RegisterBrokerBody::decode(&request.body)?
    };
    let config = directory.config();
    let millis = header.heartbeat_timeout_millis.and_then(|millis| u64::try_from(millis).ok());
    let registration = Registration {
        cluster: header.cluster_name,
        broker_name: header.broker_name,
        broker_id: header.broker_id,
        address: from_where_it_came(header.broker_addr, asker.peer.remote),
        ha_address: header.ha_server_addr,
        expiry: millis.map(Duration::from_millis),
        enable_acting_master: header.enable_acting_master,
        zone_name: header.zone_name,
        topics: body.topic_config_serialize_wrapper,
        is_complete: config.drop_missing_topics,
        connection: Some(asker.connection),
    };
    let registered = directory
        .register(registration)
        .map_err(|error| Refusal::new(ResponseCode::SYSTEM_ERROR, error.to_string()))?;
    let (master_addr, ha_server_addr) = registered
        .master
        .map(|master| (Some(master.address), master.ha_address))
        .unwrap_or_default();
    let master_addr = master_addr.map(|address| reachable(directory, asker, address));
    let reply = Reply::fields(&RegisterBrokerResponseHeader { ha_server_addr, master_addr });
    Ok(match directory.ordered_topics() {
        Some(orders) => reply.with_body(orders.encode()),
        None => reply,
    })
}

/// Code 104.
pub(super) fn unregister(directory: &Directory, request: &RemotingCommand) -> Served {
    let header: BrokerRequestHeader = request.header()?;
    let gone = directory.table().unregister(key(&header));
    directory.left(&gone);
    Ok(Reply::done())
}

/// Code 322. It counts as a sign of life.
pub(super) fn data_version(directory: &Directory, request: &RemotingCommand) -> Served {
    let header: BrokerRequestHeader = request.header()?;
    let theirs = DataVersion::decode(&request.body)?;
    let now = directory.now();
    let mut table = directory.table();
    let known = table.alive(key(&header), now);
    let changed = known != Some(&theirs);
    let reply = Reply::fields(&QueryDataVersionResponseHeader { changed });
    Ok(match known {
        Some(known) => reply.with_body(known.encode()),
        None => reply,
    })
}

/// Code 904.
pub(super) fn heartbeat(directory: &Directory, request: &RemotingCommand) -> Served {
    let header: BrokerHeartbeatRequestHeader = request.header()?;
    let key = BrokerKey {
        cluster: &header.cluster_name,
        broker_name: &header.broker_name,
        address: &header.broker_addr,
    };
    let now = directory.now();
    directory.table().alive(key, now);
    Ok(Reply::done())
}

/// Code 901.
pub(super) fn members(directory: &Directory, asker: &Asker, request: &RemotingCommand) -> Served {
    let header: GetBrokerMemberGroupRequestHeader = request.header()?;
    let mut group = directory.table().members_of(header.cluster_name, header.broker_name);
    for address in group.broker_addrs.values_mut() {
        *address = reachable(directory, asker, std::mem::take(address));
    }
    let body = GetBrokerMemberGroupResponseBody { broker_member_group: group };
    Ok(Reply::body(body.encode_with_bare_keys()))
}

fn key(header: &BrokerRequestHeader) -> BrokerKey<'_> {
    BrokerKey {
        cluster: &header.cluster_name,
        broker_name: &header.broker_name,
        address: &header.broker_addr,
    }
}

fn reachable(directory: &Directory, asker: &Asker, mut address: String) -> String {
    if let Some(here) = directory.here.get() {
        here.reach(&mut address, asker.listener, asker.peer.local);
    }
    address
}

/// A broker that says that it listens on every address is known by the one it came from.
fn from_where_it_came(address: String, remote: SocketAddr) -> String {
    match address.parse::<SocketAddr>() {
        Ok(told) if told.ip().is_unspecified() => {
            SocketAddr::new(remote.ip().to_canonical(), told.port()).to_string()
        }
        _ => address,
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_on_every_address_is_known_by_the_one_it_came_from() {
        let remote = "[::ffff:172.17.0.2]:50000".parse().unwrap();
        for (told, known) in [
            ("0.0.0.0:10911", "172.17.0.2:10911"),
            ("10.0.0.7:10911", "10.0.0.7:10911"),
            ("[::]:9", "172.17.0.2:9"),
            ("some-host:1", "some-host:1"),
        ] {
            assert_eq!(from_where_it_came(told.to_owned(), remote), known);
        }
    }
}
