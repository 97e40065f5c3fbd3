//! Looking messages up by key and by offset, in frames.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

mod support;

use broker_dev::{Broker, Options};
use oxmq::protocol::code::{RequestCode, ResponseCode};
use oxmq::protocol::command::RemotingCommand;
use oxmq::protocol::header::{QueryMessageRequestHeader, QueryMessageResponseHeader};
use support::{Wire, broker, pulled, remark, request, send, with_header};

fn query(topic: &str, key: &str, max: i32, is_unique_key: Option<bool>) -> RemotingCommand {
    let header = QueryMessageRequestHeader {
        topic: topic.to_owned(),
        key: key.to_owned(),
        max_num: max,
        begin_timestamp: 0,
        end_timestamp: i64::MAX,
        is_unique_key,
    };
    with_header(RequestCode::QUERY_MESSAGE, &header)
}

fn bodies(answer: &RemotingCommand) -> Vec<String> {
    pulled(answer).into_iter().map(|found| String::from_utf8(found.body).unwrap()).collect()
}

#[tokio::test]
async fn messages_are_found_by_key_and_by_unique_key() {
    let broker = broker().await;
    let mut wire = Wire::connect(broker.broker_address()).await;
    for n in 0..50 {
        let keys = format!("KEYS\u{1}order-{} all\u{2}UNIQ_KEY\u{1}U{n}\u{2}", n % 5);
        wire.ok(send("t", n % 3, &format!("body {n}"), &keys)).await;
    }
    let answer = wire.ok(query("t", "order-3", 4, None)).await;
    assert_eq!(bodies(&answer), ["body 33", "body 38", "body 43", "body 48"]);
    let header: QueryMessageResponseHeader = answer.header().unwrap();
    let last = wire.ok(query("t", "U49", 1, None)).await;
    assert_eq!(header.index_last_update_phyoffset, pulled(&last)[0].physical_offset);
    assert_eq!(header.index_last_update_timestamp, pulled(&last)[0].store_timestamp);
    // The broker decides how many for a unique key, the client up to 64 for others.
    assert_eq!(bodies(&wire.ok(query("t", "all", 1, Some(true))).await).len(), 32);
    assert_eq!(bodies(&wire.ok(query("t", "all", 1_000, Some(false))).await).len(), 50);
    assert_eq!(bodies(&wire.ok(query("t", "U7", 0, Some(true))).await), ["body 7"]);
    for (topic, key, max) in [("t", "U50", 9), ("other", "U7", 9), ("t", "U7", 0), ("t", "U7", -1)]
    {
        let answer = wire.call(query(topic, key, max, None)).await;
        assert_eq!(answer.response_code(), ResponseCode::QUERY_NOT_FOUND, "{topic} {key} {max}");
        assert!(!remark(&answer).is_empty());
    }
    broker.stop().await.unwrap();
}

#[tokio::test]
async fn a_message_is_found_by_its_offset_in_the_log() {
    let broker = broker().await;
    let mut wire = Wire::connect(broker.broker_address()).await;
    wire.store("t", 0, "first").await;
    wire.store("t", 0, "second").await;
    let offset = wire.pull("t", 0, 1).await[0].physical_offset.to_string();
    let view = |offset: &str| request(RequestCode::VIEW_MESSAGE_BY_ID, &[("offset", offset)]);
    assert_eq!(bodies(&wire.ok(view(&offset)).await), ["second"]);
    let answer = wire.call(view("1")).await;
    assert_eq!(answer.response_code(), ResponseCode::SYSTEM_ERROR);
    broker.stop().await.unwrap();
}

#[tokio::test]
async fn without_an_index_nothing_is_found_by_key() {
    let mut options = Options::for_tests();
    options.settings.set("messageIndexEnable", "false").unwrap();
    let broker = Broker::start(options).await.unwrap();
    let mut wire = Wire::connect(broker.broker_address()).await;
    wire.ok(send("t", 0, "body", "UNIQ_KEY\u{1}U\u{2}")).await;
    let answer = wire.call(query("t", "U", 9, Some(true))).await;
    assert_eq!(answer.response_code(), ResponseCode::QUERY_NOT_FOUND);
    broker.stop().await.unwrap();
}
