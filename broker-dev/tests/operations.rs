//! Health, readiness, metrics, and stopping.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

mod support;

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use broker_dev::store::disk::{Call, FaultyDisk, RealDisk};
use broker_dev::{Broker, FlushMode, NameServer, NameServerOptions, Options};
use oxmq::protocol::code::{RequestCode, ResponseCode};
use oxmq::protocol::header::pull_sys_flag;
use support::{Wire, pull, pull_with, request, send};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// One HTTP request: the status and the body.
async fn http(address: SocketAddr, method: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    http(address, "GET", path).await
}

/// The value of a sample whose labels hold all of `labels`.
fn value(metrics: &str, name: &str, labels: &[&str]) -> f64 {
    let line = metrics.lines().find(|line| {
        let rest = line.strip_prefix(name);
        rest.is_some_and(|rest| rest.starts_with(['{', ' ']))
            && labels.iter().all(|label| line.contains(label))
    });
    let line = line.unwrap_or_else(|| panic!("no {name} with {labels:?} in {metrics}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

fn watched() -> Options {
    let mut options = Options::for_tests();
    options.http_address = Some("127.0.0.1:0".to_owned());
    options
}

#[tokio::test]
async fn metrics_tell_what_went_in_and_out_under_rocketmqs_names() {
    let broker = Broker::start(watched()).await.unwrap();
    let http_address = broker.http_address().unwrap();
    let mut wire = Wire::connect(broker.broker_address()).await;
    wire.heartbeat("client", "group", "t", "*").await;
    for n in 0..3 {
        wire.store("t", 0, &format!("{n}")).await;
    }
    let commit =
        [("consumerGroup", "group"), ("topic", "t"), ("queueId", "0"), ("commitOffset", "1")];
    wire.ok(request(RequestCode::UPDATE_CONSUMER_OFFSET, &commit)).await;
    assert_eq!(wire.pull("t", 0, 0).await.len(), 3);

    let (status, metrics) = get(http_address, "/metrics").await;
    assert_eq!(status, 200);
    let node = r#"cluster="DefaultCluster",node_type="broker",node_id="broker-a""#;
    let of_topic = [node, r#"topic="t""#, r#"is_system="false""#];
    assert_eq!(value(&metrics, "rocketmq_messages_in_total", &of_topic), 3.0);
    assert_eq!(value(&metrics, "rocketmq_messages_out_total", &[node]), 3.0);
    assert!(value(&metrics, "rocketmq_throughput_in_total", &[node]) > 300.0);
    let lag = [r#"consumer_group="group""#, r#"topic="t""#, r#"is_retry="false""#];
    assert_eq!(value(&metrics, "rocketmq_consumer_lag_messages", &lag), 2.0);
    assert!(value(&metrics, "rocketmq_storage_size", &[r#"storage_type="local""#]) > 300.0);
    assert_eq!(
        value(&metrics, "rocketmq_consumer_connections", &[r#"consumer_group="group""#]),
        1.0
    );
    assert_eq!(value(&metrics, "rocketmq_producer_connections", &[]), 1.0);
    assert_eq!(value(&metrics, "rocketmq_timing_messages", &[]), 0.0);
    assert_eq!(value(&metrics, "rocketmq_broker_permission", &[]), 6.0);
    assert_eq!(value(&metrics, "oxmq_broker_connections", &[]), 1.0);
    assert_eq!(value(&metrics, "oxmq_name_server_brokers", &[]), 1.0);
    assert!(metrics.contains("# TYPE rocketmq_messages_in_total counter"), "{metrics}");
    broker.stop().await.unwrap();
}

#[tokio::test]
async fn only_three_paths_are_served_and_only_read() {
    let broker = Broker::start(watched()).await.unwrap();
    let address = broker.http_address().unwrap();
    assert_eq!(get(address, "/healthz").await, (200, "ok\n".to_owned()));
    assert_eq!(get(address, "/readyz").await, (200, "ok\n".to_owned()));
    assert_eq!(get(address, "/").await.0, 404);
    assert_eq!(get(address, "/metrics/../etc/passwd").await.0, 404);
    assert_eq!(http(address, "POST", "/metrics").await.0, 405);
    assert_eq!(http(address, "HEAD", "/metrics").await, (200, String::new()));
    let mut garbage = TcpStream::connect(address).await.unwrap();
    garbage.write_all(b"\0\0\0\x10 this is no HTTP\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    garbage.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    broker.stop().await.unwrap();
}

#[tokio::test]
async fn a_store_that_takes_no_more_writes_is_neither_healthy_nor_ready() {
    let disk = Arc::new(FaultyDisk::new(Arc::new(RealDisk)));
    let broker = Broker::start(watched().flush(FlushMode::Sync).disk(disk.clone())).await.unwrap();
    let address = broker.http_address().unwrap();
    let mut wire = Wire::connect(broker.broker_address()).await;
    wire.store("t", 0, "safe").await;
    disk.fail_from(Call::SyncData, 1, ErrorKind::Other);
    wire.call(send("t", 0, "lost", "")).await;
    for path in ["/healthz", "/readyz"] {
        let (status, reason) = get(address, path).await;
        assert_eq!(status, 503);
        assert!(reason.contains("sync failed"), "{reason}");
    }
    assert_eq!(value(&get(address, "/metrics").await.1, "oxmq_store_poisoned", &[]), 1.0);
    broker.kill().await;
}

#[tokio::test]
async fn a_name_server_alone_is_watched_too() {
    let mut options = NameServerOptions::for_tests();
    options.http_address = Some("127.0.0.1:0".to_owned());
    let server = NameServer::start(options).await.unwrap();
    let address = server.http_address().unwrap();
    assert_eq!(get(address, "/readyz").await.0, 200);
    let metrics = get(address, "/metrics").await.1;
    assert_eq!(value(&metrics, "oxmq_name_server_brokers", &[r#"node_type="nameserver""#]), 0.0);
    server.stop().await;
}

#[tokio::test]
async fn a_public_port_for_metrics_must_be_allowed() {
    let mut options = Options::for_tests();
    options.http_address = Some("0.0.0.0:0".to_owned());
    let refused = Broker::start(options).await.unwrap_err().to_string();
    assert!(refused.contains("can be reached from other machines"), "{refused}");
}

#[tokio::test]
async fn a_stop_answers_the_pulls_that_wait_and_then_closes() {
    let broker = Broker::start(Options::for_tests()).await.unwrap();
    let mut wire = Wire::connect(broker.broker_address()).await;
    wire.store("t", 0, "one").await;
    let suspended = pull_sys_flag::SUBSCRIPTION | pull_sys_flag::SUSPEND;
    let waiting = wire.send(pull_with("t", 0, 1, suspended, 60_000)).await;
    // Answered after the pull was taken in: requests of a connection keep their order.
    wire.ok(request(RequestCode::GET_BROKER_RUNTIME_INFO, &[])).await;
    broker.stop_within(Duration::from_secs(20)).await.unwrap();
    let answer = wire.response(waiting).await;
    assert_eq!(answer.response_code(), ResponseCode::PULL_NOT_FOUND);
    assert!(wire.next().await.is_none(), "the connection is closed");
}

#[tokio::test]
async fn answers_under_way_are_written_before_a_stop_closes_and_who_does_not_take_them_is_cut_off()
{
    let broker = Broker::start(Options::for_tests()).await.unwrap();
    let mut wire = Wire::connect(broker.broker_address()).await;
    let body = "x".repeat(200_000);
    for _ in 0..4 {
        wire.store("t", 0, &body).await;
    }
    // More than the sockets' buffers hold: the connection still has answers to write.
    let mut greedy = Wire::connect(broker.broker_address()).await;
    greedy.send_together((0..64).map(|_| pull("t", 0, 0)).collect()).await;
    let first = greedy.next().await.unwrap();
    assert_eq!(first.response_code(), ResponseCode::SUCCESS);
    broker.stop_within(Duration::from_millis(300)).await.unwrap();

    let broker = Broker::start(Options::for_tests()).await.unwrap();
    let mut wire = Wire::connect(broker.broker_address()).await;
    for _ in 0..4 {
        wire.store("t", 0, &body).await;
    }
    let opaques = wire.send_together((0..16).map(|_| pull("t", 0, 0)).collect()).await;
    let first = wire.next().await.unwrap();
    let stopping = tokio::spawn(broker.stop_within(Duration::from_secs(20)));
    let mut answers = vec![first];
    while let Some(answer) = wire.next().await {
        answers.push(answer);
    }
    assert!(answers.iter().all(|answer| opaques.contains(&answer.opaque)));
    assert!(answers.iter().all(|answer| answer.body.len() > 200_000), "each whole");
    stopping.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_stopped_broker_is_gone_from_its_name_servers_at_once() {
    let names = NameServer::start(NameServerOptions::for_tests()).await.unwrap();
    let mut options = Options::for_tests();
    options.settings.name_servers = names.address().to_string();
    let broker = Broker::start(options).await.unwrap();
    let mut asker = Wire::connect(names.address()).await;
    let route = || request(RequestCode::GET_ROUTEINFO_BY_TOPIC, &[("topic", "TBW102")]);
    while asker.call(route()).await.response_code() != ResponseCode::SUCCESS {
        tokio::task::yield_now().await;
    }
    broker.stop_within(Duration::from_secs(5)).await.unwrap();
    let gone = asker.call(route()).await;
    assert_eq!(gone.response_code(), ResponseCode::TOPIC_NOT_EXIST);
    names.stop().await;
}
