//! Starting, stopping, crashing, and disks that fail.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

mod support;

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use broker_dev::store::disk::{Call, FaultyDisk, RealDisk};
use broker_dev::{Broker, FlushMode, Options, Time};
use oxmq::clock::VirtualClock;
use oxmq::protocol::body::{Body, ClusterInfo, TopicRouteData};
use oxmq::protocol::code::{RequestCode, ResponseCode};
use oxmq::protocol::header::{SendMessageResponseHeader, UpdateConsumerOffsetRequestHeader};
use support::{Wire, broker, remark, request, send, with_header};

#[tokio::test]
async fn the_name_server_routes_to_the_broker_by_the_askers_address() {
    let broker = broker().await;
    let mut names = Wire::connect(broker.name_server_address()).await;
    let route =
        names.ok(request(RequestCode::GET_ROUTEINFO_BY_TOPIC, &[("topic", "TBW102")])).await;
    let route = TopicRouteData::decode(&route.body).unwrap();
    assert_eq!(route.broker_datas[0].broker_addrs[&0], broker.broker_address().to_string());
    assert_eq!((route.queue_datas[0].perm, route.queue_datas[0].write_queue_nums), (7, 8));

    let unknown = request(RequestCode::GET_ROUTEINFO_BY_TOPIC, &[("topic", "t")]);
    let missing = names.call(unknown.clone()).await;
    assert_eq!(missing.response_code(), ResponseCode::TOPIC_NOT_EXIST);
    Wire::connect(broker.broker_address()).await.store("t", 0, "x").await;
    names.ok(unknown).await;

    let cluster = names.ok(request(RequestCode::GET_BROKER_CLUSTER_INFO, &[])).await;
    let cluster = ClusterInfo::decode(&cluster.body).unwrap();
    assert_eq!(cluster.cluster_addr_table["DefaultCluster"], ["broker-a"]);
    broker.stop().await.unwrap();
}

#[tokio::test]
async fn a_broker_on_every_address_is_reached_by_the_one_asked() {
    let mut options = Options::for_tests();
    options.name_server_address = "0.0.0.0:0".to_owned();
    options.broker_address = "0.0.0.0:0".to_owned();
    let refused = Broker::start(options.clone()).await.unwrap_err().to_string();
    assert!(refused.contains("0.0.0.0:0 can be reached from other machines"), "{refused}");
    options.allow_public = true;
    let broker = Broker::start(options).await.unwrap();
    let port = broker.name_server_address().port();
    for host in ["127.0.0.1", "127.0.0.2"] {
        let mut names = Wire::connect(format!("{host}:{port}").parse().unwrap()).await;
        let ask = request(RequestCode::GET_ROUTEINFO_BY_TOPIC, &[("topic", "TBW102")]);
        let route = TopicRouteData::decode(&names.ok(ask).await.body).unwrap();
        let address = &route.broker_datas[0].broker_addrs[&0];
        assert_eq!(*address, format!("{host}:{}", broker.broker_address().port()));
    }
    broker.stop().await.unwrap();
}

#[tokio::test]
async fn a_broker_registers_with_a_name_server_of_another_process() {
    let names = broker().await;
    let mut options = Options::for_tests();
    options.settings.broker_name = "broker-b".to_owned();
    options.settings.name_servers = names.name_server_address().to_string();
    let other = Broker::start(options).await.unwrap();
    let mut asker = Wire::connect(names.name_server_address()).await;
    let brokers = async || {
        let ask = request(RequestCode::GET_BROKER_CLUSTER_INFO, &[]);
        ClusterInfo::decode(&asker.ok(ask).await.body).unwrap().broker_addr_table.len()
    };
    let mut brokers = brokers;
    while brokers().await < 2 {
        tokio::task::yield_now().await;
    }
    other.stop().await.unwrap();
    assert_eq!(brokers().await, 1);
    names.stop().await.unwrap();
}

#[tokio::test]
async fn messages_topics_and_offsets_outlive_a_stop_and_a_crash() {
    for is_clean in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let options = || Options::for_tests().store(folder.path());
        let broker = Broker::start(options()).await.unwrap();
        let mut wire = Wire::connect(broker.broker_address()).await;
        for n in 0..10 {
            wire.store("t", 0, &format!("message {n}")).await;
        }
        wire.heartbeat("c", "group", "t", "*").await;
        let commit = UpdateConsumerOffsetRequestHeader {
            consumer_group: "group".to_owned(),
            topic: "t".to_owned(),
            queue_id: 0,
            commit_offset: 4,
        };
        wire.ok(with_header(RequestCode::UPDATE_CONSUMER_OFFSET, &commit)).await;
        if is_clean {
            broker.stop().await.unwrap();
        } else {
            broker.kill().await;
        }

        let broker = Broker::start(options()).await.unwrap();
        let mut wire = Wire::connect(broker.broker_address()).await;
        let messages = wire.pull("t", 0, 0).await;
        assert_eq!(messages.len(), 10);
        assert_eq!(messages[9].body, b"message 9");
        assert_eq!(wire.store("t", 0, "next").await, 10);
        if is_clean {
            let fields = [("consumerGroup", "group"), ("topic", "t"), ("queueId", "0")];
            let offset = wire.ok(request(RequestCode::QUERY_CONSUMER_OFFSET, &fields)).await;
            assert_eq!(offset.ext_fields.get("offset"), Some("4"));
        }
        broker.stop().await.unwrap();
    }
}

#[tokio::test]
async fn a_deleted_topic_is_gone_also_after_a_stop_and_a_crash() {
    for is_clean in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let options = || Options::for_tests().store(folder.path());
        let broker = Broker::start(options()).await.unwrap();
        let mut wire = Wire::connect(broker.broker_address()).await;
        for n in 0..5 {
            wire.store("t", 0, &format!("old {n}")).await;
        }
        let delete = || request(RequestCode::DELETE_TOPIC_IN_BROKER, &[("topic", "t")]);
        wire.ok(delete()).await;
        wire.ok(delete()).await;
        if is_clean {
            broker.stop().await.unwrap();
        } else {
            broker.kill().await;
        }

        let broker = Broker::start(options()).await.unwrap();
        assert_eq!(broker.recovery().damaged_count, 0);
        let mut wire = Wire::connect(broker.broker_address()).await;
        let topic = request(RequestCode::GET_TOPIC_CONFIG, &[("topic", "t")]);
        assert_eq!(wire.call(topic).await.response_code(), ResponseCode::TOPIC_NOT_EXIST);
        assert_eq!(wire.store("t", 0, "new").await, 0);
        let messages = wire.pull("t", 0, 0).await;
        assert_eq!(messages.len(), 1);
        assert_eq!(messages[0].body, b"new");
        broker.stop().await.unwrap();
    }
}

#[tokio::test]
async fn delayed_messages_outlive_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let options = || Options::for_tests().store(folder.path());
    let broker = Broker::start(options()).await.unwrap();
    let mut wire = Wire::connect(broker.broker_address()).await;
    wire.ok(send("t", 0, "later", "DELAY\u{1}18\u{2}")).await;
    broker.kill().await;
    let broker = Broker::start(options()).await.unwrap();
    let mut wire = Wire::connect(broker.broker_address()).await;
    assert!(wire.pull("t", 0, 0).await.is_empty());
    broker.advance(Duration::from_secs(7_200)).await;
    assert_eq!(wire.pull("t", 0, 0).await.len(), 1);
    broker.stop().await.unwrap();
}

#[tokio::test]
async fn a_second_broker_on_the_same_folder_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let first = Broker::start(Options::for_tests().store(folder.path())).await.unwrap();
    let error = Broker::start(Options::for_tests().store(folder.path())).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("in use by another broker"), "{text}");
    assert!(text.contains(folder.path().to_str().unwrap()), "{text}");
    Wire::connect(first.broker_address()).await.store("t", 0, "still served").await;
    first.stop().await.unwrap();
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let first = broker().await;
    let mut options = Options::for_tests();
    options.broker_address = first.broker_address().to_string();
    let text = Broker::start(options).await.unwrap_err().to_string();
    let expected = format!(
        "cannot listen on {} for the broker: another program listens there already",
        first.broker_address()
    );
    assert_eq!(text, expected);
    first.stop().await.unwrap();
}

#[tokio::test]
async fn a_damaged_topics_file_is_named_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("config")).unwrap();
    let path = folder.path().join("config/topics.json");
    std::fs::write(&path, "{\"topicConfigTable\":{").unwrap();
    let error = Broker::start(Options::for_tests().store(folder.path())).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("config/topics.json cannot be read"), "{text}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"topicConfigTable\":{");
}

#[tokio::test]
async fn a_sync_flush_send_is_answered_once_the_disk_has_it() {
    let disk = Arc::new(FaultyDisk::new(Arc::new(RealDisk)));
    let options = Options::for_tests().flush(FlushMode::Sync).disk(disk.clone());
    let broker = Broker::start(options).await.unwrap();
    let mut wire = Wire::connect(broker.broker_address()).await;
    wire.store("t", 0, "topic made").await;
    let before = disk.calls(Call::SyncData);
    let sends = (0..100).map(|n| send("t", 0, &format!("{n}"), "")).collect();
    for opaque in wire.send_together(sends).await {
        let answer = wire.next().await.unwrap();
        assert_eq!(answer.opaque, opaque, "answers keep the order of the log");
        assert_eq!(answer.response_code(), ResponseCode::SUCCESS);
    }
    let syncs = disk.calls(Call::SyncData) - before;
    assert!((1..100).contains(&syncs), "{syncs} syncs served 100 sends");
    broker.stop().await.unwrap();
}

#[tokio::test]
async fn the_first_failed_sync_fails_every_waiting_send_and_all_later_ones() {
    let disk = Arc::new(FaultyDisk::new(Arc::new(RealDisk)));
    let options = Options::for_tests().flush(FlushMode::Sync).disk(disk.clone());
    let broker = Broker::start(options).await.unwrap();
    let mut wire = Wire::connect(broker.broker_address()).await;
    wire.store("t", 0, "safe").await;
    disk.fail_from(Call::SyncData, 1, ErrorKind::Other);
    let sends = (0..50).map(|n| send("t", 0, &format!("{n}"), "")).collect();
    for opaque in wire.send_together(sends).await {
        let answer = wire.response(opaque).await;
        assert_eq!(answer.response_code(), ResponseCode::SERVICE_NOT_AVAILABLE, "{answer:?}");
    }
    disk.heal();
    let later = wire.call(send("t", 0, "later", "")).await;
    assert_eq!(later.response_code(), ResponseCode::SERVICE_NOT_AVAILABLE);
    assert!(remark(&later).contains("sync failed"), "{}", remark(&later));
    assert!(!wire.pull("t", 0, 0).await.is_empty(), "reads go on");
    drop(wire);
    broker.kill().await;
}

/// Waits until the disk has so many calls waiting.
async fn until_held(disk: &Arc<FaultyDisk>) {
    let disk = Arc::clone(disk);
    tokio::task::spawn_blocking(move || disk.until_held(1)).await.unwrap();
}

#[tokio::test]
async fn a_send_that_does_not_wait_for_the_disk_is_answered_before_it() {
    let disk = Arc::new(FaultyDisk::new(Arc::new(RealDisk)));
    let options = Options::for_tests().flush(FlushMode::Sync).disk(disk.clone());
    let broker = Broker::start(options).await.unwrap();
    let mut wire = Wire::connect(broker.broker_address()).await;
    wire.store("t", 0, "topic made").await;
    disk.hold(Call::SyncData);
    let waits = wire.send(send("t", 0, "waits", "WAIT\u{1}true\u{2}")).await;
    until_held(&disk).await;
    for properties in ["WAIT\u{1}false\u{2}", "a\u{1}b\u{2}WAIT\u{1}FALSE\u{2}"] {
        wire.ok(send("t", 0, "does not wait", properties)).await;
    }
    disk.release(Call::SyncData);
    let answer = wire.response(waits).await;
    assert_eq!(answer.response_code(), ResponseCode::SUCCESS);
    broker.stop().await.unwrap();
}

#[tokio::test]
async fn a_send_that_waits_too_long_for_the_disk_is_told_so_and_is_stored() {
    let disk = Arc::new(FaultyDisk::new(Arc::new(RealDisk)));
    let time = Time::Virtual(Arc::new(VirtualClock::new(1_700_000_000_000)));
    let options = Options::for_tests().flush(FlushMode::Sync).disk(disk.clone()).time(time);
    let broker = Broker::start(options).await.unwrap();
    let mut wire = Wire::connect(broker.broker_address()).await;
    let mut other = Wire::connect(broker.broker_address()).await;
    wire.store("t", 0, "topic made").await;
    disk.hold(Call::SyncData);
    let early = wire.send(send("t", 0, "early", "")).await;
    until_held(&disk).await;
    // An answer that does not wait says that the broker has read what came before it.
    wire.ok(send("t", 0, "marker", "WAIT\u{1}false\u{2}")).await;
    broker.advance(Duration::from_secs(3)).await;
    let late = other.send(send("t", 1, "late", "")).await;
    other.ok(send("t", 1, "marker", "WAIT\u{1}false\u{2}")).await;
    broker.advance(Duration::from_secs(2)).await;
    let answer = wire.response(early).await;
    assert_eq!(answer.response_code(), ResponseCode::FLUSH_DISK_TIMEOUT);
    let stored: SendMessageResponseHeader = answer.header().unwrap();
    assert_eq!((stored.queue_id, stored.queue_offset), (0, 1), "told where it is, as a success is");
    disk.release(Call::SyncData);
    let answer = other.response(late).await;
    assert_eq!(answer.response_code(), ResponseCode::SUCCESS, "its five seconds were not over");
    broker.stop().await.unwrap();
}

#[tokio::test]
async fn every_connection_that_waits_hears_of_a_failed_sync() {
    let disk = Arc::new(FaultyDisk::new(Arc::new(RealDisk)));
    let options = Options::for_tests().flush(FlushMode::Sync).disk(disk.clone());
    let broker = Broker::start(options).await.unwrap();
    let mut wires = Vec::new();
    for _ in 0..4 {
        wires.push(Wire::connect(broker.broker_address()).await);
    }
    wires[0].store("t", 0, "topic made").await;
    disk.hold(Call::SyncData);
    let mut waiting = Vec::new();
    for wire in &mut wires {
        waiting.push(wire.send(send("t", 0, "lost", "")).await);
        wire.ok(send("t", 0, "marker", "WAIT\u{1}false\u{2}")).await;
    }
    until_held(&disk).await;
    disk.fail_from(Call::SyncData, 0, ErrorKind::Other);
    disk.release(Call::SyncData);
    for (wire, opaque) in wires.iter_mut().zip(waiting) {
        let answer = wire.response(opaque).await;
        assert_eq!(answer.response_code(), ResponseCode::SERVICE_NOT_AVAILABLE, "{answer:?}");
    }
    drop(wires);
    broker.kill().await;
}
