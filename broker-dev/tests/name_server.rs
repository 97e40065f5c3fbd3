//! The name server's requests, on the wire.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

mod support;

use std::time::Duration;

use broker_dev::store::disk::{Call, FaultyDisk, RealDisk};
use broker_dev::{Broker, NameServer, NameServerOptions, Options, Time};
use bytes::BytesMut;
use oxmq::clock::VirtualClock;
use oxmq::protocol::body::{
    Body, ClusterInfo, DataVersion, GetBrokerMemberGroupResponseBody, KVTable, QueueData,
    RegisterBrokerBody, TopicConfig, TopicList, TopicRouteData,
};
use oxmq::protocol::code::{RequestCode, ResponseCode};
use oxmq::protocol::command::RemotingCommand;
use oxmq::protocol::frame::MAX_FRAME_BYTES;
use oxmq::protocol::header::{
    NotifyMinBrokerIdChangeRequestHeader, RegisterBrokerRequestHeader, RegisterBrokerResponseHeader,
};
use oxmq::protocol::message::CompressionType;
use oxmq::protocol::message::record::body_crc;
use std::sync::Arc;
use support::{Wire, broker, remark, request, with_header};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

async fn name_server() -> NameServer {
    NameServer::start(NameServerOptions::for_tests()).await.unwrap()
}

fn header(name: &str, id: i64, address: &str) -> RegisterBrokerRequestHeader {
    RegisterBrokerRequestHeader {
        broker_name: name.to_owned(),
        broker_addr: address.to_owned(),
        cluster_name: "c".to_owned(),
        ha_server_addr: Some(format!("ha-of-{address}")),
        broker_id: id,
        heartbeat_timeout_millis: None,
        enable_acting_master: None,
        compressed: Some(false),
        body_crc32: Some(0),
        zone_name: None,
    }
}

fn body(topics: &[&str]) -> RegisterBrokerBody {
    let mut body = RegisterBrokerBody::default();
    let wrapper = &mut body.topic_config_serialize_wrapper;
    wrapper.data_version.counter = topics.len().try_into().unwrap();
    for topic in topics {
        let config = TopicConfig::new(*topic, 4, 6);
        wrapper.topic_config_table.insert((*topic).to_owned(), config);
    }
    body
}

fn registration(header: &RegisterBrokerRequestHeader, topics: &[&str]) -> RemotingCommand {
    with_header(RequestCode::REGISTER_BROKER, header).with_body(body(topics).encode())
}

fn route_request(topic: &str) -> RemotingCommand {
    request(RequestCode::GET_ROUTEINFO_BY_TOPIC, &[("topic", topic)])
}

async fn route(wire: &mut Wire, topic: &str) -> TopicRouteData {
    TopicRouteData::decode(&wire.ok(route_request(topic)).await.body).unwrap()
}

async fn topics(wire: &mut Wire, code: RequestCode, fields: &[(&str, &str)]) -> Vec<String> {
    TopicList::decode(&wire.ok(request(code, fields)).await.body).unwrap().topic_list
}

fn text(response: &RemotingCommand) -> &str {
    std::str::from_utf8(&response.body).unwrap()
}

#[tokio::test]
async fn a_broker_registers_asks_for_its_version_and_takes_leave() {
    let server = name_server().await;
    let mut wire = Wire::connect(server.address()).await;
    let master = header("a", 0, "10.0.0.1:10911");
    let answer = wire.ok(registration(&master, &["t", "u"])).await;
    assert!(answer.body.is_empty(), "there are no ordered topics");
    let answer = wire.ok(registration(&header("a", 1, "10.0.0.2:10911"), &["x", "y"])).await;
    let told: RegisterBrokerResponseHeader = answer.header().unwrap();
    assert_eq!(told.master_addr.as_deref(), Some("10.0.0.1:10911"));
    assert_eq!(told.ha_server_addr.as_deref(), Some("ha-of-10.0.0.1:10911"));

    let found = route(&mut wire, "t").await;
    assert_eq!(found.broker_datas[0].broker_addrs.len(), 2);
    let me = [
        ("brokerName", "a"),
        ("brokerAddr", "10.0.0.1:10911"),
        ("clusterName", "c"),
        ("brokerId", "0"),
    ];
    for (counter, changed) in [(2, "false"), (3, "true")] {
        let version = DataVersion { counter, ..DataVersion::default() };
        let ask = request(RequestCode::QUERY_DATA_VERSION, &me).with_body(version.encode());
        let answer = wire.ok(ask).await;
        assert_eq!(answer.ext_fields.get("changed"), Some(changed));
        assert_eq!(DataVersion::decode(&answer.body).unwrap().counter, 2);
    }
    let stranger =
        [("brokerName", "z"), ("brokerAddr", "h:1"), ("clusterName", "c"), ("brokerId", "0")];
    let ask = request(RequestCode::QUERY_DATA_VERSION, &stranger)
        .with_body(DataVersion::default().encode());
    let answer = wire.ok(ask).await;
    assert_eq!(answer.ext_fields.get("changed"), Some("true"));
    assert!(answer.body.is_empty());

    wire.ok(request(RequestCode::UNREGISTER_BROKER, &me)).await;
    let group = [("clusterName", "c"), ("brokerName", "a")];
    let members = wire.ok(request(RequestCode::GET_BROKER_MEMBER_GROUP, &group)).await;
    assert!(text(&members).contains(r#""brokerAddrs":{1:"10.0.0.2:10911"}"#));
    let members = GetBrokerMemberGroupResponseBody::decode(&members.body).unwrap();
    assert_eq!(members.broker_member_group.broker_addrs.len(), 1);
    server.stop().await;
}

#[tokio::test]
async fn a_registration_may_be_compressed_and_its_checksum_counts() {
    let server = name_server().await;
    let mut wire = Wire::connect(server.address()).await;
    let mut plain = Vec::new();
    let mut part = |bytes: &[u8]| {
        plain.extend_from_slice(&i32::try_from(bytes.len()).unwrap().to_be_bytes());
        plain.extend_from_slice(bytes);
    };
    part(br#"{"counter":1,"timestamp":2}"#);
    plain.extend_from_slice(&2_i32.to_be_bytes());
    let mut part = |bytes: &[u8]| {
        plain.extend_from_slice(&i32::try_from(bytes.len()).unwrap().to_be_bytes());
        plain.extend_from_slice(bytes);
    };
    part(b"t 4 8 6 SINGLE_TAG ");
    part(b"u 4 8 6 SINGLE_TAG ");
    part(b"[]");
    let bytes = CompressionType::Zlib.compress(&plain, 9).unwrap();
    let mut header = header("a", 0, "10.0.0.1:10911");
    header.compressed = Some(true);
    header.body_crc32 = Some(body_crc(&bytes).cast_signed() ^ 1);
    let command = |header: &_| {
        let mut command = with_header(RequestCode::REGISTER_BROKER, header);
        command.version = 397;
        command.with_body(bytes.clone())
    };
    let refused = wire.call(command(&header)).await;
    assert_eq!(refused.response_code(), ResponseCode::SYSTEM_ERROR);
    assert!(remark(&refused).contains("checksum"), "{}", remark(&refused));
    header.body_crc32 = Some(body_crc(&bytes).cast_signed());
    wire.ok(command(&header)).await;
    let queues = &route(&mut wire, "u").await.queue_datas[0];
    assert_eq!((queues.read_queue_nums, queues.write_queue_nums), (4, 8));
    server.stop().await;
}

#[tokio::test]
async fn a_silent_broker_is_gone_after_its_time_and_a_sign_of_life_keeps_it() {
    let clock = Arc::new(VirtualClock::new(0));
    let mut options = NameServerOptions::for_tests();
    options.time = Time::Virtual(clock);
    let server = NameServer::start(options).await.unwrap();
    let mut brokers = Wire::connect(server.address()).await;
    let mut short = header("short", 0, "10.0.0.2:1");
    short.heartbeat_timeout_millis = Some(10_000);
    brokers.ok(registration(&short, &["s", "x"])).await;
    brokers.ok(registration(&header("a", 0, "10.0.0.1:1"), &["t", "u"])).await;
    server.advance(Duration::from_secs(11)).await;
    let me = [("clusterName", "c"), ("brokerName", "a"), ("brokerAddr", "10.0.0.1:1")];
    let mut asker = Wire::connect(server.address()).await;
    asker.ok(request(RequestCode::BROKER_HEARTBEAT, &me)).await;
    let missing = asker.call(route_request("s")).await;
    assert_eq!(missing.response_code(), ResponseCode::TOPIC_NOT_EXIST);
    assert!(brokers.next().await.is_none(), "its connection is closed");
    server.advance(Duration::from_secs(110)).await;
    let mut asker = Wire::connect(server.address()).await;
    let gone = asker.call(route_request("t")).await;
    assert_eq!(gone.response_code(), ResponseCode::TOPIC_NOT_EXIST, "it shared the connection");
    server.stop().await;
}

#[tokio::test]
async fn a_closed_connection_takes_its_broker_with_it() {
    let server = name_server().await;
    let mut asker = Wire::connect(server.address()).await;
    let mut broker = Wire::connect(server.address()).await;
    broker.ok(registration(&header("a", 0, "10.0.0.1:1"), &["t", "u"])).await;
    route(&mut asker, "t").await;
    drop(broker);
    while asker.call(route_request("t")).await.response_code() == ResponseCode::SUCCESS {
        tokio::task::yield_now().await;
    }
    server.stop().await;
}

#[tokio::test]
async fn each_reader_gets_the_json_that_it_reads() {
    let server = name_server().await;
    let mut wire = Wire::connect(server.address()).await;
    let mut zoned = header("ä", 0, "10.0.0.1:1");
    zoned.zone_name = Some("z".to_owned());
    wire.ok(registration(&zoned, &["t", "u"])).await;
    let bare = r#""brokerAddrs":{0:"10.0.0.1:1"},"brokerName":"ä","cluster":"c","enableActingMaster":false,"zoneName":"z""#;
    let strict = r#""brokerAddrs":{"0":"10.0.0.1:1"},"brokerName":"\u00E4""#;
    for (version, strict_only, expected) in
        [(400, None, bare), (400, Some("true"), strict), (401, None, strict), (479, None, strict)]
    {
        let mut fields = vec![("topic", "t")];
        fields.extend(strict_only.map(|value| ("acceptStandardJsonOnly", value)));
        let mut ask = request(RequestCode::GET_ROUTEINFO_BY_TOPIC, &fields);
        ask.version = version;
        let answer = wire.ok(ask).await;
        assert!(text(&answer).contains(expected), "{version}: {}", text(&answer));
    }
    let clusters = wire.ok(request(RequestCode::GET_BROKER_CLUSTER_INFO, &[])).await;
    assert!(text(&clusters).contains(bare), "{}", text(&clusters));
    assert_eq!(ClusterInfo::decode(&clusters.body).unwrap().cluster_addr_table["c"], ["ä"]);
    server.stop().await;
}

#[tokio::test]
async fn operators_change_routes_and_permissions() {
    let server = name_server().await;
    let mut wire = Wire::connect(server.address()).await;
    wire.ok(registration(&header("a", 0, "10.0.0.1:1"), &["t", "u"])).await;

    let told =
        wire.ok(request(RequestCode::WIPE_WRITE_PERM_OF_BROKER, &[("brokerName", "a")])).await;
    assert_eq!(told.ext_fields.get("wipeTopicCount"), Some("2"));
    assert_eq!(route(&mut wire, "t").await.queue_datas[0].perm, 4);
    let told =
        wire.ok(request(RequestCode::ADD_WRITE_PERM_OF_BROKER, &[("brokerName", "a")])).await;
    assert_eq!(told.ext_fields.get("addTopicCount"), Some("2"));
    assert_eq!(route(&mut wire, "t").await.queue_datas[0].perm, 6);

    let queues = QueueData { broker_name: "a".to_owned(), perm: 6, ..QueueData::default() };
    let told = TopicRouteData { queue_datas: vec![queues], ..TopicRouteData::default() };
    let put = request(RequestCode::REGISTER_TOPIC_IN_NAMESRV, &[("topic", "v")]);
    wire.ok(put.with_body(told.encode())).await;
    let all = topics(&mut wire, RequestCode::GET_ALL_TOPIC_LIST_FROM_NAMESERVER, &[]).await;
    assert_eq!(all, ["t", "u", "v"]);
    let delete = |fields: &[(&str, &str)]| request(RequestCode::DELETE_TOPIC_IN_NAMESRV, fields);
    wire.ok(delete(&[("topic", "v"), ("clusterName", "other")])).await;
    wire.ok(delete(&[("topic", "u")])).await;
    let cluster = [("cluster", "c")];
    let left = topics(&mut wire, RequestCode::GET_TOPICS_BY_CLUSTER, &cluster).await;
    assert_eq!(left, ["t", "v"]);
    let system = wire.ok(request(RequestCode::GET_SYSTEM_TOPIC_LIST_FROM_NS, &[])).await;
    let system = TopicList::decode(&system.body).unwrap();
    assert_eq!(system.topic_list, ["c", "a"]);
    assert_eq!(system.broker_addr.as_deref(), Some("10.0.0.1:1"));
    assert!(topics(&mut wire, RequestCode::GET_UNIT_TOPIC_LIST, &[]).await.is_empty());
    server.stop().await;
}

fn kv<'a>(namespace: &'a str, key: &'a str) -> [(&'a str, &'a str); 2] {
    [("namespace", namespace), ("key", key)]
}

#[tokio::test]
async fn kv_configurations_and_changed_settings_outlive_the_name_server() {
    let folder = tempfile::tempdir().unwrap();
    let options = || {
        let mut options = NameServerOptions::for_tests();
        options.store = Some(folder.path().to_owned());
        options
    };
    let server = NameServer::start(options()).await.unwrap();
    let mut wire = Wire::connect(server.address()).await;
    let list =
        |namespace| request(RequestCode::GET_KVLIST_BY_NAMESPACE, &[("namespace", namespace)]);
    let missing = wire.call(list("n")).await;
    assert_eq!(missing.response_code(), ResponseCode::QUERY_NOT_FOUND);
    for (key, value) in [("a", "1"), ("b", "2"), ("a", "3")] {
        let [namespace, key] = kv("n", key);
        wire.ok(request(RequestCode::PUT_KV_CONFIG, &[namespace, key, ("value", value)])).await;
    }
    wire.ok(request(RequestCode::DELETE_KV_CONFIG, &kv("n", "b"))).await;
    wire.ok(request(RequestCode::DELETE_KV_CONFIG, &kv("m", "b"))).await;
    let update = request(RequestCode::UPDATE_NAMESRV_CONFIG, &[]);
    wire.ok(update.with_body("enableTopicList=false\nproductEnvName = here")).await;
    server.stop().await;

    let file = std::fs::read_to_string(folder.path().join("config/kvConfig.json")).unwrap();
    assert_eq!(file, r#"{"configTable":{"n":{"a":"3"}}}"#);
    let mut again = options();
    again.settings.list_all_topics = false;
    let server = NameServer::start(again).await.unwrap();
    let mut wire = Wire::connect(server.address()).await;
    let value = wire.ok(request(RequestCode::GET_KV_CONFIG, &kv("n", "a"))).await;
    assert_eq!(value.ext_fields.get("value"), Some("3"));
    let gone = wire.call(request(RequestCode::GET_KV_CONFIG, &kv("n", "b"))).await;
    assert_eq!(gone.response_code(), ResponseCode::QUERY_NOT_FOUND);
    let table = KVTable::decode(&wire.ok(list("n")).await.body).unwrap().table;
    assert_eq!(table.len(), 1);
    let settings = wire.ok(request(RequestCode::GET_NAMESRV_CONFIG, &[])).await;
    for line in ["enableTopicList=false", "productEnvName=here", "enableAllTopicList=false"] {
        assert!(text(&settings).lines().any(|there| there == line), "{}", text(&settings));
    }
    for code in [RequestCode::GET_ALL_TOPIC_LIST_FROM_NAMESERVER, RequestCode::GET_UNIT_TOPIC_LIST]
    {
        let off = wire.call(request(code, &[])).await;
        assert_eq!(off.response_code(), ResponseCode::SYSTEM_ERROR);
        assert!(remark(&off).contains("switched off"), "{}", remark(&off));
    }
    server.stop().await;
}

#[tokio::test]
async fn settings_are_taken_all_or_none_and_no_path_is_moved() {
    let server = name_server().await;
    let mut wire = Wire::connect(server.address()).await;
    let mut update = async |text: &'static str| {
        wire.call(request(RequestCode::UPDATE_NAMESRV_CONFIG, &[]).with_body(text)).await
    };
    for (body, code, words) in [
        ("kvConfigPath=/tmp/x", ResponseCode::NO_PERMISSION, "kvConfigPath"),
        ("enableTopicList=false\nrocketmqHome=/", ResponseCode::NO_PERMISSION, "rocketmqHome"),
        ("enableTopicList=maybe", ResponseCode::SYSTEM_ERROR, "true or false"),
        (
            "enableTopicList=false\norderMessageEnabled=true",
            ResponseCode::SYSTEM_ERROR,
            "did you mean `orderMessageEnable`?",
        ),
        ("a=\\u12", ResponseCode::SYSTEM_ERROR, "line 1"),
    ] {
        let refused = update(body).await;
        assert_eq!(refused.response_code(), code, "{body}");
        assert!(remark(&refused).contains(words), "{}", remark(&refused));
    }
    let settings = wire.ok(request(RequestCode::GET_NAMESRV_CONFIG, &[])).await;
    assert!(text(&settings).contains("enableTopicList=true\n"));
    server.stop().await;
}

#[tokio::test]
async fn what_cannot_be_saved_is_not_set() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Arc::new(FaultyDisk::new(Arc::new(RealDisk)));
    let mut options = NameServerOptions::for_tests();
    options.store = Some(folder.path().to_owned());
    options.disk = disk.clone();
    let server = NameServer::start(options).await.unwrap();
    let mut wire = Wire::connect(server.address()).await;
    disk.fail_nth(Call::SyncData, 1, std::io::ErrorKind::Other);
    let [namespace, key] = kv("n", "k");
    let put = request(RequestCode::PUT_KV_CONFIG, &[namespace, key, ("value", "v")]);
    assert_ne!(wire.call(put).await.response_code(), ResponseCode::SUCCESS);
    let missing = wire.call(request(RequestCode::GET_KV_CONFIG, &kv("n", "k"))).await;
    assert_eq!(missing.response_code(), ResponseCode::QUERY_NOT_FOUND);
    server.stop().await;
}

#[tokio::test]
async fn kv_configurations_have_a_bound() {
    let server = name_server().await;
    let mut wire = Wire::connect(server.address()).await;
    let value = "v".repeat(1 << 20);
    let mut codes = Vec::new();
    for key in ["1", "2", "3", "4"] {
        let [namespace, key] = kv("n", key);
        let put = request(RequestCode::PUT_KV_CONFIG, &[namespace, key, ("value", &value)]);
        codes.push(wire.call(put).await.response_code());
    }
    assert_eq!(codes[2..], [ResponseCode::SUCCESS, ResponseCode::SYSTEM_ERROR]);
    server.stop().await;
}

#[tokio::test]
async fn the_order_of_topics_goes_to_brokers_and_into_routes() {
    let mut options = NameServerOptions::for_tests();
    options.settings.order_messages = true;
    let server = NameServer::start(options).await.unwrap();
    let mut wire = Wire::connect(server.address()).await;
    let [namespace, key] = kv("ORDER_TOPIC_CONFIG", "t");
    wire.ok(request(RequestCode::PUT_KV_CONFIG, &[namespace, key, ("value", "a:4")])).await;
    let answer = wire.ok(registration(&header("a", 0, "10.0.0.1:1"), &["t", "u"])).await;
    assert_eq!(text(&answer), r#"{"table":{"t":"a:4"}}"#);
    assert_eq!(route(&mut wire, "t").await.order_topic_conf.as_deref(), Some("a:4"));
    assert_eq!(route(&mut wire, "u").await.order_topic_conf, None);
    server.stop().await;
}

#[tokio::test]
async fn a_broker_marks_the_topics_that_its_name_servers_say_are_ordered() {
    let names = name_server().await;
    let mut options = Options::for_tests();
    options.settings.name_servers = names.address().to_string();
    let broker = Broker::start(options).await.unwrap();
    let mut wire = Wire::connect(broker.broker_address()).await;
    for topic in ["t", "u"] {
        wire.store(topic, 0, "made").await;
    }
    let put = |topic| {
        let [namespace, key] = kv("ORDER_TOPIC_CONFIG", topic);
        request(RequestCode::PUT_KV_CONFIG, &[namespace, key, ("value", "broker-a:4")])
    };
    Wire::connect(names.address()).await.ok(put("t")).await;
    Wire::connect(broker.name_server_address()).await.ok(put("u")).await;
    broker.advance(Duration::from_secs(31)).await;
    for topic in ["t", "u"] {
        let ask = request(RequestCode::GET_TOPIC_CONFIG, &[("topic", topic)]);
        while !text(&wire.ok(ask.clone()).await).contains(r#""order":true"#) {
            tokio::task::yield_now().await;
        }
    }
    broker.stop().await.unwrap();
    names.stop().await;
}

#[tokio::test]
async fn brokers_are_told_who_has_the_smallest_id() {
    let mut options = NameServerOptions::for_tests();
    options.settings.notify_min_broker_id = true;
    options.settings.acting_master = true;
    let server = NameServer::start(options).await.unwrap();
    let slave = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let slave_address = slave.local_addr().unwrap().to_string();
    let acting = |id, address: &str| {
        let mut header = header("a", id, address);
        header.enable_acting_master = Some(true);
        registration(&header, &["t", "u"])
    };
    let mut master = Wire::connect(server.address()).await;
    let mut wire = Wire::connect(server.address()).await;
    master.ok(acting(0, "127.0.0.1:1")).await;
    wire.ok(acting(1, &slave_address)).await;
    drop(master);

    let (mut told, _) = slave.accept().await.unwrap();
    let mut bytes = BytesMut::new();
    while told.read_buf(&mut bytes).await.unwrap() > 0 {}
    let notice = RemotingCommand::decode(&mut bytes, MAX_FRAME_BYTES).unwrap().unwrap();
    assert_eq!(notice.request_code(), RequestCode::NOTIFY_MIN_BROKER_ID_CHANGE);
    assert!(notice.is_one_way());
    let header: NotifyMinBrokerIdChangeRequestHeader = notice.header().unwrap();
    assert_eq!(header.min_broker_id, Some(1));
    assert_eq!(header.min_broker_addr.as_deref(), Some(&*slave_address));
    assert_eq!(header.offline_broker_addr.as_deref(), Some("127.0.0.1:1"));
    let found = route(&mut wire, "t").await;
    assert_eq!(found.broker_datas[0].broker_addrs[&0], slave_address, "it stands in");
    assert_eq!(found.queue_datas[0].perm, 4);
    server.stop().await;
}

#[tokio::test]
async fn no_route_is_told_before_brokers_had_the_time_to_register() {
    let mut options = NameServerOptions::for_tests();
    options.settings.wait_for_service = true;
    let server = NameServer::start(options).await.unwrap();
    let mut wire = Wire::connect(server.address()).await;
    wire.ok(registration(&header("a", 0, "10.0.0.1:1"), &["t", "u"])).await;
    let early = wire.call(route_request("t")).await;
    assert_eq!(early.response_code(), ResponseCode::SYSTEM_ERROR);
    server.advance(Duration::from_secs(45)).await;
    route(&mut wire, "t").await;
    server.stop().await;
}

#[tokio::test]
async fn what_is_not_served_is_named_with_the_reason() {
    let broker = broker().await;
    let mut wire = Wire::connect(broker.name_server_address()).await;
    for (code, words) in [
        (RequestCode::CONTROLLER_ELECT_MASTER, "no controller runs here"),
        (RequestCode::UPDATE_AND_CREATE_STATIC_TOPIC, "static topics"),
        (RequestCode::SEND_MESSAGE, "a request to a broker"),
        (RequestCode::AUTH_CREATE_USER, "keeps no users"),
        (RequestCode(77_777), "no request of this number"),
    ] {
        let refused = wire.call(request(code, &[])).await;
        assert_eq!(refused.response_code(), ResponseCode::REQUEST_CODE_NOT_SUPPORTED);
        assert!(remark(&refused).contains(&code.to_string()), "{}", remark(&refused));
        assert!(remark(&refused).contains(words), "{}", remark(&refused));
    }
    broker.stop().await.unwrap();
}
