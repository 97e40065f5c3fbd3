//! A message's way through the broker, in frames: send, pull, wait, hand back.

mod support;

use std::time::Duration;

use broker_dev::{Broker, Options};
use oxmq::protocol::body::{Body, KVTable};
use oxmq::protocol::code::{RequestCode, ResponseCode};
use oxmq::protocol::command::HeaderEncoding;
use oxmq::protocol::header::{SendMessageResponseHeader, pull_sys_flag};
use oxmq::protocol::message::batch::{self, BatchItem};
use oxmq::protocol::message::{Record, inner_batch};
use support::{
    Wire, broker, broker_in_virtual_time, heartbeat, next_offset, pull, pull_with, pulled, remark,
    request, send, send_back,
};

#[tokio::test]
async fn what_is_sent_can_be_pulled() {
    let broker = broker().await;
    let mut wire = Wire::connect(broker.broker_address()).await;
    let response = wire.ok(send("t", 1, "hello", "TAGS\u{1}a\u{2}UNIQ_KEY\u{1}K\u{2}")).await;
    let header: SendMessageResponseHeader = response.header().unwrap();
    assert_eq!((header.queue_id, header.queue_offset), (1, 0));
    assert_eq!(header.transaction_id.as_deref(), Some("K"));
    assert_eq!(header.msg_id.len(), 32);

    let messages = wire.pull("t", 1, 0).await;
    assert_eq!(messages.len(), 1);
    let message = &messages[0];
    assert_eq!(message.body, b"hello");
    for (name, value) in
        [("TAGS", "a"), ("UNIQ_KEY", "K"), ("MSG_REGION", "DefaultRegion"), ("TRACE_ON", "true")]
    {
        assert_eq!(message.property(name), Some(value), "{name}");
    }
    broker.stop().await.unwrap();
}

#[tokio::test]
async fn pipelined_sends_are_stored_and_answered_in_their_order() {
    let broker = broker().await;
    let mut wire = Wire::connect(broker.broker_address()).await;
    wire.store("t", 0, "first").await;
    let bodies: Vec<String> = (0..500).map(|n| format!("message {n}")).collect();
    let requests = bodies.iter().map(|body| send("t", 0, body, "")).collect();
    for (opaque, expected) in wire.send_together(requests).await.into_iter().zip(1..) {
        let answer = wire.next().await.unwrap();
        assert_eq!(answer.opaque, opaque);
        let header: SendMessageResponseHeader = answer.header().unwrap();
        assert_eq!(header.queue_offset, expected);
    }
    let mut seen = Vec::new();
    while seen.len() < bodies.len() {
        let offset = 1 + i64::try_from(seen.len()).unwrap();
        seen.extend(wire.pull("t", 0, offset).await.into_iter().map(|message| message.body));
    }
    assert!(seen.iter().zip(&bodies).all(|(seen, sent)| seen == sent.as_bytes()));
    broker.stop().await.unwrap();
}

#[tokio::test]
async fn a_refused_send_among_others_is_answered_in_its_place() {
    let broker = broker().await;
    let mut wire = Wire::connect(broker.broker_address()).await;
    let sends = vec![send("t", 0, "a", ""), send("t", 99, "b", ""), send("t", 0, "c", "")];
    let opaques = wire.send_together(sends).await;
    let mut codes = Vec::new();
    for opaque in opaques {
        let answer = wire.next().await.unwrap();
        assert_eq!(answer.opaque, opaque);
        codes.push(answer.response_code());
    }
    let success = ResponseCode::SUCCESS;
    assert_eq!(codes, [success, ResponseCode::INVALID_PARAMETER, success]);
    assert_eq!(wire.pull("t", 0, 0).await.len(), 2);
    broker.stop().await.unwrap();
}

#[tokio::test]
async fn a_one_way_send_is_stored_and_not_answered() {
    let broker = broker().await;
    let mut wire = Wire::connect(broker.broker_address()).await;
    let mut one_way = send("t", 0, "quiet", "");
    one_way.flag = 2;
    wire.send(one_way).await;
    let mut refused = send("a/b", 0, "refused", "");
    refused.flag = 2;
    wire.send(refused).await;
    assert_eq!(wire.store("t", 0, "loud").await, 1);
    broker.stop().await.unwrap();
}

#[tokio::test]
async fn a_binary_request_gets_a_binary_answer() {
    let broker = broker().await;
    let mut wire = Wire::connect(broker.broker_address()).await;
    let mut request = send("t", 0, "x", "");
    request.header_encoding = HeaderEncoding::Binary;
    let response = wire.ok(request).await;
    assert_eq!(response.header_encoding, HeaderEncoding::Binary);
    assert_eq!(response.header::<SendMessageResponseHeader>().unwrap().queue_offset, 0);
    broker.stop().await.unwrap();
}

#[tokio::test]
async fn a_batch_is_stored_as_its_messages() {
    let broker = broker().await;
    let mut wire = Wire::connect(broker.broker_address()).await;
    let items: Vec<_> = (0..3)
        .map(|n| BatchItem {
            flag: n,
            body: format!("item {n}").into(),
            properties: format!("UNIQ_KEY\u{1}K{n}\u{2}"),
        })
        .collect();
    let mut request = send("t", 0, "", "").with_body(batch::encode(&items).unwrap());
    request.code = RequestCode::SEND_BATCH_MESSAGE.0;
    request.ext_fields.push("m", "true");
    let response = wire.ok(request).await;
    let header: SendMessageResponseHeader = response.header().unwrap();
    assert_eq!(header.msg_id.split(',').count(), 3);
    let messages = wire.pull("t", 0, 0).await;
    let bodies: Vec<_> = messages.iter().map(|message| &*message.body).collect();
    assert_eq!(bodies, [b"item 0", b"item 1", b"item 2"]);
    assert_eq!(messages[2].property("UNIQ_KEY"), Some("K2"));
    broker.stop().await.unwrap();
}

const BATCH_TOPIC: &str = r#"{"topicConfigTable":{"b":{"topicName":"b","readQueueNums":1,
    "writeQueueNums":1,"perm":6,"attributes":{"queue.type":"BatchCQ"}}}}"#;

#[tokio::test]
async fn a_batch_to_a_topic_for_batches_is_stored_as_one_record() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("config")).unwrap();
    std::fs::write(folder.path().join("config/topics.json"), BATCH_TOPIC).unwrap();
    let broker = Broker::start(Options::for_tests().store(folder.path())).await.unwrap();
    let mut wire = Wire::connect(broker.broker_address()).await;
    let item = |n: i32| BatchItem { flag: n, body: "x".into(), properties: String::new() };
    let body = batch::encode(&[item(0), item(1), item(2)]).unwrap();
    for offset in [0, 3] {
        let text = "UNIQ_KEY\u{1}K\u{2}INNER_NUM\u{1}9\u{2}__CRC32#\u{1}1\u{2}";
        let mut request = send("b", 0, "", text).with_body(body.clone());
        request.code = RequestCode::SEND_BATCH_MESSAGE.0;
        request.ext_fields.push("m", "true");
        let header: SendMessageResponseHeader = wire.ok(request).await.header().unwrap();
        assert_eq!((header.queue_offset, header.batch_uniq_id.as_deref()), (offset, Some("K")));
        let place = u64::from_str_radix(&header.msg_id[16..], 16).unwrap().to_string();
        let view = support::request(RequestCode::VIEW_MESSAGE_BY_ID, &[("offset", &place)]);
        let bytes = wire.ok(view).await.body;
        let (record, _) = Record::decode(&bytes).unwrap().unwrap();
        assert!(inner_batch::is_wrapped(record.sys_flag));
        assert_eq!((record.property("INNER_NUM"), record.body), (Some("3"), &body[..]));
        assert_eq!(record.property("INNER_BASE"), Some(&*offset.to_string()));
        assert_eq!(record.property("__CRC32#"), None);
    }
    let refused = wire.call(send("b", 0, "x", "INNER_NUM\u{1}2\u{2}")).await;
    assert_eq!(refused.response_code(), ResponseCode::MESSAGE_ILLEGAL);
    broker.stop().await.unwrap();
}

#[tokio::test]
async fn a_waiting_pull_is_answered_when_a_message_with_its_tag_comes() {
    let broker = broker().await;
    let mut producer = Wire::connect(broker.broker_address()).await;
    producer.store("t", 0, "old").await;
    let mut consumer = Wire::connect(broker.broker_address()).await;
    consumer.heartbeat("c", "group", "t", "wanted").await;
    let waiting = consumer.send(pull_with("t", 0, 1, pull_sys_flag::SUSPEND, 15_000)).await;

    producer.ok(send("t", 0, "other", "TAGS\u{1}other\u{2}")).await;
    // Answers come in order of what happens: the pull has not been answered so far.
    let count =
        consumer.ok(request(RequestCode::GET_MAX_OFFSET, &[("topic", "t"), ("queueId", "0")]));
    assert_eq!(count.await.ext_fields.get("offset"), Some("2"));
    producer.ok(send("t", 0, "mine", "TAGS\u{1}wanted\u{2}")).await;

    let response = consumer.response(waiting).await;
    assert_eq!(response.response_code(), ResponseCode::SUCCESS);
    let messages = pulled(&response);
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].body, b"mine");
    assert_eq!(next_offset(&response), 3);
    broker.stop().await.unwrap();
}

#[tokio::test]
async fn a_pull_that_waits_in_vain_is_answered_when_its_time_is_up() {
    let (broker, clock) = broker_in_virtual_time().await;
    let mut wire = Wire::connect(broker.broker_address()).await;
    wire.store("t", 0, "old").await;
    let flags = pull_sys_flag::SUSPEND | pull_sys_flag::SUBSCRIPTION;
    let waiting = wire.send(pull_with("t", 0, 1, flags, 15_000)).await;
    // Once this is answered the pull waits.
    wire.pull("t", 0, 0).await;
    clock.advance(Duration::from_secs(15)).await;
    let response = wire.response(waiting).await;
    assert_eq!(response.response_code(), ResponseCode::PULL_NOT_FOUND);
    assert_eq!(next_offset(&response), 1);
    broker.stop().await.unwrap();
}

#[tokio::test]
async fn pulls_of_a_closed_connection_do_not_wait_on() {
    let broker = broker().await;
    let mut producer = Wire::connect(broker.broker_address()).await;
    producer.store("t", 0, "old").await;
    let mut consumer = Wire::connect(broker.broker_address()).await;
    let flags = pull_sys_flag::SUSPEND | pull_sys_flag::SUBSCRIPTION;
    for _ in 0..100 {
        consumer.send(pull_with("t", 0, 1, flags, 15_000)).await;
    }
    consumer.pull("t", 0, 0).await;
    drop(consumer);
    producer.store("t", 0, "new").await;
    assert_eq!(producer.pull("t", 0, 0).await.len(), 2);
    broker.stop().await.unwrap();
}

#[tokio::test]
async fn every_status_of_a_pull_has_its_code_and_offsets() {
    let broker = broker().await;
    let mut wire = Wire::connect(broker.broker_address()).await;
    wire.store("t", 0, "only").await;
    let not_found = ResponseCode::PULL_NOT_FOUND;
    let moved = ResponseCode::PULL_OFFSET_MOVED;
    for (queue, offset, code, next) in [
        (0, 0, ResponseCode::SUCCESS, 1),
        (0, 1, not_found, 1),
        (0, 7, moved, 1),
        (0, -1, moved, 0),
        (1, 0, not_found, 0),
        (1, 5, moved, 0),
    ] {
        let response = wire.call(pull("t", queue, offset)).await;
        assert_eq!(response.response_code(), code, "queue {queue} from {offset}");
        assert_eq!(next_offset(&response), next, "queue {queue} from {offset}");
    }
    broker.stop().await.unwrap();
}

#[tokio::test]
async fn a_pull_without_a_subscription_says_what_is_missing() {
    let broker = broker().await;
    let mut wire = Wire::connect(broker.broker_address()).await;
    wire.store("t", 0, "x").await;
    let response = wire.call(pull_with("t", 0, 0, 0, 0)).await;
    assert_eq!(response.response_code(), ResponseCode::SUBSCRIPTION_NOT_EXIST);
    let response = wire.call(pull("unknown", 0, 0)).await;
    assert_eq!(response.response_code(), ResponseCode::TOPIC_NOT_EXIST);
    assert_eq!(remark(&response), "the topic `unknown` does not exist");
    broker.stop().await.unwrap();
}

#[tokio::test]
async fn a_delayed_message_comes_when_its_time_has_come() {
    let (broker, clock) = broker_in_virtual_time().await;
    let mut wire = Wire::connect(broker.broker_address()).await;
    wire.ok(send("t", 2, "later", "DELAY\u{1}18\u{2}")).await;
    assert!(wire.pull("t", 2, 0).await.is_empty());
    broker.advance(Duration::from_secs(7_199)).await;
    assert!(wire.pull("t", 2, 0).await.is_empty());
    broker.advance(Duration::from_secs(1)).await;
    let messages = wire.pull("t", 2, 0).await;
    assert_eq!(messages[0].body, b"later");
    assert_eq!(messages[0].store_timestamp, 1_700_000_000_000 + 7_200_000);
    assert_eq!(messages[0].property("REAL_TOPIC"), Some("t"));
    drop(clock);
    broker.stop().await.unwrap();
}

#[tokio::test]
async fn time_can_be_skipped_on_a_broker_in_real_time() {
    let broker = broker().await;
    let mut wire = Wire::connect(broker.broker_address()).await;
    wire.heartbeat("c", "group", "t", "*").await;
    wire.ok(send("t", 0, "later", "DELAY\u{1}18\u{2}")).await;
    broker.advance(Duration::from_secs(7_200)).await;
    assert_eq!(wire.pull("t", 0, 0).await.len(), 1);
    let members = wire
        .call(request(RequestCode::GET_CONSUMER_LIST_BY_GROUP, &[("consumerGroup", "group")]))
        .await;
    assert_eq!(members.response_code(), ResponseCode::SUCCESS, "clients live on");
    broker.stop().await.unwrap();
}

#[tokio::test]
async fn a_message_handed_back_comes_again_and_at_last_becomes_a_dead_letter() {
    let (broker, _clock) = broker_in_virtual_time().await;
    let mut wire = Wire::connect(broker.broker_address()).await;
    wire.ok(send("t", 0, "poison", "TAGS\u{1}a\u{2}")).await;
    wire.heartbeat("c", "group", "t", "*").await;
    let mut message = wire.pull("t", 0, 0).await.remove(0);
    for (round, delay_s) in [(0_i32, 10), (1, 30)] {
        wire.ok(send_back("group", &message, 0, Some(2))).await;
        let offset = i64::from(round);
        assert!(wire.pull("%RETRY%group", 0, offset).await.is_empty());
        broker.advance(Duration::from_secs(delay_s)).await;
        message = wire.pull("%RETRY%group", 0, offset).await.remove(0);
        assert_eq!(message.reconsume_times, round + 1);
        assert_eq!(message.property("RETRY_TOPIC"), Some("t"));
        assert_eq!(message.property("TAGS"), Some("a"));
    }
    wire.ok(send_back("group", &message, 0, Some(2))).await;
    let dead = wire.pull("%DLQ%group", 0, 0).await.remove(0);
    assert_eq!(dead.body, b"poison");
    assert_eq!(dead.property("DLQ_ORIGIN_TOPIC"), Some("t"));
    broker.advance(Duration::from_secs(7_200)).await;
    assert!(wire.pull("%RETRY%group", 0, 2).await.is_empty());
    broker.stop().await.unwrap();
}

#[tokio::test]
async fn a_message_can_be_rejected_at_once() {
    let broker = broker().await;
    let mut wire = Wire::connect(broker.broker_address()).await;
    wire.store("t", 0, "bad").await;
    wire.heartbeat("c", "group", "t", "*").await;
    let message = wire.pull("t", 0, 0).await.remove(0);
    wire.ok(send_back("group", &message, -1, None)).await;
    assert_eq!(wire.pull("%DLQ%group", 0, 0).await.len(), 1);

    let unknown = wire.call(send_back("nobody", &message, 0, None)).await;
    assert_eq!(unknown.response_code(), ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST);
    let gone = support::Pulled { physical_offset: 1 << 50, ..message };
    let gone = wire.call(send_back("group", &gone, 0, None)).await;
    assert_eq!(gone.response_code(), ResponseCode::SYSTEM_ERROR);
    broker.stop().await.unwrap();
}

#[tokio::test]
async fn members_are_told_when_their_group_changes() {
    let broker = broker().await;
    let mut first = Wire::connect(broker.broker_address()).await;
    first.heartbeat("a", "group", "t", "*").await;
    let mut second = Wire::connect(broker.broker_address()).await;
    second.heartbeat("b", "group", "t", "*").await;
    let members = request(RequestCode::GET_CONSUMER_LIST_BY_GROUP, &[("consumerGroup", "group")]);
    let list = first.ok(members).await;
    assert_eq!(&*list.body, br#"{"consumerIdList":["a","b"]}"#);
    drop(second);
    // One for its own coming (which may have been dropped into the same turn), one for the other's
    // coming, one for its going.
    while first.notices.len() < 3 {
        let notice = first.next().await.unwrap();
        assert_eq!(notice.request_code(), RequestCode::NOTIFY_CONSUMER_IDS_CHANGED);
        assert_eq!(notice.ext_fields.get("consumerGroup"), Some("group"));
        assert!(notice.is_one_way());
        first.notices.push(notice);
    }
    let again = first.ok(heartbeat("a", "group", "t", "*")).await;
    assert_eq!(again.ext_fields.get("IS_SUPPORT_HEART_BEAT_V2"), Some("false"));
    broker.stop().await.unwrap();
}

#[tokio::test]
async fn a_client_that_is_silent_for_two_minutes_is_gone() {
    let (broker, clock) = broker_in_virtual_time().await;
    let mut wire = Wire::connect(broker.broker_address()).await;
    wire.heartbeat("a", "group", "t", "*").await;
    clock.advance(Duration::from_secs(131)).await;
    while wire.next().await.is_some() {}
    let mut other = Wire::connect(broker.broker_address()).await;
    let list = other
        .call(request(RequestCode::GET_CONSUMER_LIST_BY_GROUP, &[("consumerGroup", "group")]))
        .await;
    assert_eq!(list.response_code(), ResponseCode::SYSTEM_ERROR);
    assert_eq!(remark(&list), "nobody of the consumer group `group` is connected");
    broker.stop().await.unwrap();
}

#[tokio::test]
async fn the_runtime_info_tells_what_was_counted() {
    let (broker, _) = broker_in_virtual_time().await;
    let mut wire = Wire::connect(broker.broker_address()).await;
    for body in ["a", "b", "c"] {
        wire.store("t", 0, body).await;
    }
    assert_eq!(wire.pull("t", 0, 1).await.len(), 2);
    wire.call(pull("t", 0, 3)).await;
    broker.advance(Duration::from_secs(2)).await;
    let info = wire.ok(request(RequestCode::GET_BROKER_RUNTIME_INFO, &[])).await;
    let info = KVTable::decode(&info.body).unwrap().table;
    for (key, expected) in [
        ("putTps", "1.5 1.5 1.5"),
        ("getTransferredTps", "1 1 1"),
        ("getFoundTps", "0.5 0.5 0.5"),
        ("getTotalTps", "1 1 1"),
        ("msgPutTotalTodayMorning", "0"),
        ("msgPutTotalTodayNow", "3"),
        ("msgGetTotalTodayNow", "2"),
    ] {
        assert_eq!(info[key], expected, "{key}");
    }
    let used: f64 = info["commitLogDiskRatio"].parse().unwrap();
    assert!(used > 0.0 && used <= 1.0, "{used}");
    broker.advance(Duration::from_secs(11)).await;
    let info = wire.ok(request(RequestCode::GET_BROKER_RUNTIME_INFO, &[])).await;
    let info = KVTable::decode(&info.body).unwrap().table;
    assert!(info["putTps"].starts_with("0 "), "{}", info["putTps"]);
    broker.stop().await.unwrap();
}
