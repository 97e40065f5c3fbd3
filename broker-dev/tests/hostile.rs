//! Bytes and names that nobody should send.

mod support;

use broker_dev::{Broker, Options};
use bytes::BytesMut;
use oxmq::protocol::code::{RequestCode, ResponseCode};
use oxmq::protocol::command::{HeaderEncoding, RemotingCommand};
use proptest::prelude::*;
use support::{Wire, broker, pull, remark, request, send};

const NAMES: [&str; 6] = ["../../evil", "a/b", "a\0b", "", ".", "主题"];

#[tokio::test]
async fn a_code_that_nothing_serves_is_named() {
    let broker = broker().await;
    let mut wire = Wire::connect(broker.broker_address()).await;
    for (code, name) in [
        (RequestCode::POP_MESSAGE, "POP_MESSAGE (200050)"),
        (RequestCode(12_345), "unknown code (12345)"),
    ] {
        let response = wire.call(request(code, &[])).await;
        assert_eq!(response.response_code(), ResponseCode::REQUEST_CODE_NOT_SUPPORTED);
        assert_eq!(remark(&response), format!("{name} is not served by this broker"));
    }
    let mut names = Wire::connect(broker.name_server_address()).await;
    let response = names.call(request(RequestCode::SEND_MESSAGE, &[])).await;
    let named = "SEND_MESSAGE (10) is not served by this name server: ";
    assert!(remark(&response).starts_with(named), "{}", remark(&response));
    broker.stop().await.unwrap();
}

#[tokio::test]
async fn names_that_are_no_names_are_refused_and_make_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("inner/store");
    let broker = Broker::start(Options::for_tests().store(&store)).await.unwrap();
    let mut wire = Wire::connect(broker.broker_address()).await;
    let long = "x".repeat(10_000);
    for name in NAMES.into_iter().chain([long.as_str()]) {
        let mut refused = vec![
            wire.call(send(name, 0, "x", "")).await,
            wire.call(pull(name, 0, 0)).await,
            wire.call(request(RequestCode::UPDATE_AND_CREATE_TOPIC, &topic_fields(name))).await,
            wire.call(request(RequestCode::DELETE_TOPIC_IN_BROKER, &[("topic", name)])).await,
        ];
        for code in [RequestCode::QUERY_CONSUMER_OFFSET, RequestCode::UPDATE_CONSUMER_OFFSET] {
            let fields = [
                ("consumerGroup", name),
                ("topic", name),
                ("queueId", "0"),
                ("commitOffset", "1"),
                ("setZeroIfNotFound", "false"),
            ];
            refused.push(wire.call(request(code, &fields)).await);
        }
        let group = format!(r#"{{"groupName":{}}}"#, serde_json::to_string(name).unwrap());
        let create = request(RequestCode::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP, &[]);
        refused.push(wire.call(create.with_body(group)).await);
        for response in refused {
            assert_ne!(response.response_code(), ResponseCode::SUCCESS, "{name:?} {response:?}");
            assert!(remark(&response).len() < 400, "{response:?}");
            assert!(!remark(&response).is_empty(), "{response:?}");
        }
    }
    wire.store("good", 0, "still served").await;
    broker.stop().await.unwrap();
    let outside: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(outside.len(), 1, "{outside:?}");
    let queues = std::fs::read_dir(store.join("consumequeue")).unwrap();
    let queues: Vec<_> = queues.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(queues, ["good"]);
}

fn topic_fields(name: &str) -> [(&str, &str); 4] {
    [("topic", name), ("readQueueNums", "4"), ("writeQueueNums", "4"), ("perm", "6")]
}

#[tokio::test]
async fn an_illegal_topic_is_an_invalid_parameter_with_words() {
    let broker = broker().await;
    let mut wire = Wire::connect(broker.broker_address()).await;
    let response = wire.call(send("a/b", 0, "x", "")).await;
    assert_eq!(response.response_code(), ResponseCode::INVALID_PARAMETER);
    assert!(remark(&response).contains("'/'"), "{}", remark(&response));
    let response = wire.call(send("SCHEDULE_TOPIC_XXXX", 0, "x", "")).await;
    assert_eq!(response.response_code(), ResponseCode::NO_PERMISSION);
    broker.stop().await.unwrap();
}

#[tokio::test]
async fn a_body_over_the_limit_is_illegal() {
    let mut options = Options::for_tests();
    options.settings.max_message_bytes = 1_000;
    let broker = Broker::start(options).await.unwrap();
    let mut wire = Wire::connect(broker.broker_address()).await;
    let response = wire.call(send("t", 0, &"x".repeat(1_001), "")).await;
    assert_eq!(response.response_code(), ResponseCode::MESSAGE_ILLEGAL);
    assert_eq!(remark(&response), "the message is 1001 bytes long; the limit is 1000");
    let properties = "p".repeat(32_768);
    let response = wire.call(send("t", 0, "x", &properties)).await;
    assert_eq!(response.response_code(), ResponseCode::MESSAGE_ILLEGAL);
    wire.ok(send("t", 0, &"x".repeat(1_000), "")).await;
    broker.stop().await.unwrap();
}

#[tokio::test]
async fn a_stream_that_is_no_protocol_is_closed_and_others_are_served_on() {
    let broker = broker().await;
    for address in [broker.broker_address(), broker.name_server_address()] {
        for bytes in [
            &b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..],
            b"\x7f\xff\xff\xff\0\0\0\0",
            b"\xff\xff\xff\xff\0\0\0\0",
            b"\0\0\0\x10\0\0\0\x0d",
            b"\0\0\0\x06\0\0\0\x02{]",
            b"\0\0\0\x08\x01\0\0\x04\0\0\0\0",
        ] {
            let mut wire = Wire::connect(address).await;
            wire.write(bytes).await;
            assert_eq!(wire.next().await, None, "{bytes:?}");
        }
    }
    Wire::connect(broker.broker_address()).await.store("t", 0, "x").await;
    broker.stop().await.unwrap();
}

#[tokio::test]
async fn a_client_that_takes_no_answers_is_read_no_further() {
    let broker = broker().await;
    let mut wire = Wire::connect(broker.broker_address()).await;
    wire.store("t", 0, &"x".repeat(200_000)).await;
    // 20,000 answers of 200 kB would be 4 GB: they are not made before they can be written.
    let mut frames = BytesMut::new();
    for opaque in 0..20_000 {
        let mut request = pull("t", 0, 0);
        request.opaque = opaque;
        request.encode(&mut frames).unwrap();
    }
    let before = resident_bytes();
    let mut reader = Wire::connect(broker.broker_address()).await;
    tokio::select! {
        () = reader.write(&frames) => {}
        () = async { for _ in 0..200 { wire.pull("t", 0, 0).await; } } => {}
    }
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 256 * 1024 * 1024, "{grown} bytes");
    drop((wire, reader));
    broker.stop().await.unwrap();
}

/// This process's own memory, without mapped files.
fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let mut pages =
        statm.split(' ').skip(1).map(|field| field.parse::<usize>().unwrap_or_default());
    (pages.next().unwrap_or_default() - pages.next().unwrap_or_default()) * 4096
}

/// A request whose parts are drawn: codes that are served, fields that they know, any values.
fn requests() -> impl Strategy<Value = RemotingCommand> {
    let codes = prop::sample::select(vec![
        10, 11, 14, 15, 17, 21, 26, 28, 29, 30, 31, 32, 33, 34, 35, 36, 38, 41, 42, 43, 45, 46,
        103, 104, 105, 106, 200, 201, 202, 203, 204, 206, 207, 208, 215, 216, 224, 310, 320, 322,
        351, 352, 361,
    ]);
    let names = prop::sample::select(vec![
        "topic",
        "queueId",
        "queueOffset",
        "offset",
        "group",
        "consumerGroup",
        "a",
        "b",
        "c",
        "d",
        "e",
        "f",
        "g",
        "h",
        "i",
        "j",
        "k",
        "l",
        "m",
        "sysFlag",
        "commitOffset",
        "maxMsgNums",
        "suspendTimeoutMillis",
        "subVersion",
        "subscription",
        "brokerName",
        "brokerAddr",
        "brokerId",
        "clusterName",
        "delayLevel",
        "perm",
        "readQueueNums",
        "writeQueueNums",
        "timestamp",
        "clientID",
        "attributes",
        "producerGroup",
        "cluster",
        "bodyCrc32",
    ]);
    let values = prop_oneof![
        Just("t".to_owned()),
        Just("0".to_owned()),
        Just("-1".to_owned()),
        Just(i64::MAX.to_string()),
        Just(i64::MIN.to_string()),
        Just(i32::MAX.to_string()),
        Just("DELAY\u{1}-5\u{2}".to_owned()),
        Just("%RETRY%g".to_owned()),
        ".{0,40}",
    ];
    let bodies = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        Just(br#"{"clientID":"c","consumerDataSet":[{"groupName":"g"}]}"#.to_vec()),
        Just(br#"{"brokerAddrs":{0:"x"},"offsetTable":{{"a":1}:2}}"#.to_vec()),
    ];
    let fields = prop::collection::vec((names, values), 0..16);
    (codes, fields, bodies, any::<bool>(), any::<i32>()).prop_map(
        |(code, fields, body, is_binary, version)| {
            let mut request = RemotingCommand::request(RequestCode(code), &()).with_body(body);
            request.ext_fields =
                fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
            request.version = version;
            if is_binary {
                request.header_encoding = HeaderEncoding::Binary;
            }
            request
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// Whatever comes, the broker answers or closes, and serves others on.
    #[test]
    fn no_input_harms_the_broker(
        noise in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..4),
        requests in prop::collection::vec(requests(), 1..40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let broker = broker().await;
            for address in [broker.broker_address(), broker.name_server_address()] {
                for noise in &noise {
                    Wire::connect(address).await.write(noise).await;
                }
                let mut wire = Wire::connect(address).await;
                for request in &requests {
                    let opaque = wire.send(request.clone()).await;
                    // A pull may wait, so an answer is not waited for: the next one is asked.
                    let _ = opaque;
                }
                let last = wire.call(request(RequestCode(-7), &[])).await;
                assert_eq!(last.response_code(), ResponseCode::REQUEST_CODE_NOT_SUPPORTED);
            }
            let mut wire = Wire::connect(broker.broker_address()).await;
            wire.store("afterwards", 0, "still served").await;
            broker.stop().await.unwrap();
        });
    }
}
