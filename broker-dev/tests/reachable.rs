//! Whoever reaches the name server is told an address at which the broker can be reached.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

mod support;

use std::net::SocketAddr;

use broker_dev::{Broker, NamedListener, Options};
use oxmq::protocol::body::{Body, ClusterInfo, TopicList, TopicRouteData};
use oxmq::protocol::code::RequestCode;
use support::{Wire, request};
use tokio::net::{TcpListener, TcpStream};

async fn told_at(wire: &mut Wire) -> String {
    let ask = request(RequestCode::GET_ROUTEINFO_BY_TOPIC, &[("topic", "TBW102")]);
    let mut route = TopicRouteData::decode(&wire.ok(ask).await.body).unwrap();
    route.broker_datas[0].broker_addrs.remove(&0).unwrap()
}

/// What a route says to someone who reaches the name server at `address`. The broker answers there.
async fn told(address: SocketAddr) -> String {
    let mut wire = Wire::connect(address).await;
    let told = told_at(&mut wire).await;
    let ask = request(RequestCode::GET_BROKER_CLUSTER_INFO, &[]);
    let info = ClusterInfo::decode(&wire.ok(ask).await.body).unwrap();
    assert_eq!(info.broker_addr_table["broker-a"].broker_addrs[&0], told);
    let ask = request(RequestCode::GET_SYSTEM_TOPIC_LIST_FROM_NS, &[]);
    let system = TopicList::decode(&wire.ok(ask).await.body).unwrap();
    assert_eq!(system.broker_addr.as_deref(), Some(&*told));
    let stream = TcpStream::connect(&told).await.unwrap();
    let mut broker = Wire::connect(stream.peer_addr().unwrap()).await;
    broker.ok(request(RequestCode::GET_BROKER_RUNTIME_INFO, &[])).await;
    told
}

/// Hands connections on to `target`, as a container's published port does.
async fn port_mapping(socket: TcpListener, target: SocketAddr) {
    while let Ok((mut from, _)) = socket.accept().await {
        tokio::spawn(async move {
            let mut to = TcpStream::connect(target).await.unwrap();
            // Ends when either side does.
            let _ = tokio::io::copy_bidirectional(&mut from, &mut to).await;
        });
    }
}

fn on(address: &str) -> Options {
    let mut options = Options::for_tests();
    options.name_server_address = address.to_owned();
    options.broker_address = address.to_owned();
    options.allow_public = true;
    options
}

fn has_ipv6() -> bool {
    let there = std::net::TcpListener::bind("[::1]:0").is_ok();
    if !there {
        eprintln!("SKIPPED: IPv6 addresses: this machine has none");
    }
    there
}

#[tokio::test]
async fn by_whatever_interface_an_asker_comes_it_is_told_that_one() {
    let is_v6 = has_ipv6();
    let broker = Broker::start(on(if is_v6 { "[::]:0" } else { "0.0.0.0:0" })).await.unwrap();
    let (names, port) = (broker.name_server_address().port(), broker.broker_address().port());
    let hosts = ["127.0.0.1", "127.0.0.2", "[::1]"];
    for host in hosts.iter().filter(|host| is_v6 || !host.starts_with('[')) {
        let asked = format!("{host}:{names}").parse().unwrap();
        assert_eq!(told(asked).await, format!("{host}:{port}"));
    }
    broker.stop().await.unwrap();
}

#[tokio::test]
async fn a_broker_on_one_interface_is_told_as_it_is() {
    let mut options = on("0.0.0.0:0");
    options.broker_address = "127.0.0.2:0".to_owned();
    let broker = Broker::start(options).await.unwrap();
    let names = broker.name_server_address().port();
    let asked = SocketAddr::from(([127, 0, 0, 1], names));
    assert_eq!(told(asked).await, broker.broker_address().to_string());
    broker.stop().await.unwrap();
}

#[tokio::test]
async fn a_name_is_kept_and_answers_at_all_its_addresses() {
    let mut options = on("localhost:0");
    options.allow_public = false;
    let broker = Broker::start(options).await.unwrap();
    let (names, port) = (broker.name_server_address().port(), broker.broker_address().port());
    let expected = format!("localhost:{port}");
    for address in tokio::net::lookup_host(("localhost", names)).await.unwrap() {
        match std::net::TcpListener::bind((address.ip(), 0)) {
            Ok(_) => assert_eq!(told(address).await, expected),
            Err(error) => eprintln!("SKIPPED: {address}: {error}"),
        }
    }
    broker.stop().await.unwrap();
}

#[tokio::test]
async fn an_explicit_address_is_told_to_everybody() {
    let mut options = on("0.0.0.0:0");
    options.settings.advertised_ip = "127.0.0.3".to_owned();
    let broker = Broker::start(options).await.unwrap();
    let (names, port) = (broker.name_server_address().port(), broker.broker_address().port());
    for host in ["127.0.0.1", "127.0.0.2"] {
        let asked = format!("{host}:{names}").parse().unwrap();
        assert_eq!(told(asked).await, format!("127.0.0.3:{port}"));
    }
    broker.stop().await.unwrap();
}

#[tokio::test]
async fn who_comes_through_mapped_ports_is_told_the_mapped_one() {
    let mapped_names = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mapped_broker = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let outside = mapped_names.local_addr().unwrap();
    let advertised = format!("localhost:{}", mapped_broker.local_addr().unwrap().port());
    let mut options = on("127.0.0.2:0");
    options.settings.advertised_ip = "127.0.0.2".to_owned();
    options.listeners = vec![NamedListener {
        name: "host".to_owned(),
        name_server_address: "127.0.0.4:0".to_owned(),
        broker_address: "127.0.0.4:0".to_owned(),
        advertised: Some(advertised.clone()),
    }];
    let broker = Broker::start(options).await.unwrap();
    let host = broker.listener("host").unwrap().clone();
    tokio::spawn(port_mapping(mapped_names, host.name_server));
    tokio::spawn(port_mapping(mapped_broker, host.broker));

    assert_eq!(told(outside).await, advertised, "this goes before brokerIP1");
    let inside = broker.name_server_address();
    assert_eq!(told(inside).await, broker.broker_address().to_string());
    assert!(broker.listener("other").is_none());
    broker.stop().await.unwrap();
}
