//! What operators ask and change, in frames: offsets set anew, questions passed on to clients,
//! answers from one client to another.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

mod support;

use std::time::Duration;

use oxmq::protocol::body::{
    Body, ConsumeStatsList, GetConsumerStatusBody, GroupList, MessageQueue, ProducerTableInfo,
    QueryConsumeTimeSpanBody, QueryCorrectionOffsetBody, QuerySubscriptionResponseBody, QueueTable,
    ResetOffsetBody, TopicList,
};
use oxmq::protocol::code::{RequestCode, ResponseCode};
use oxmq::protocol::command::RemotingCommand;
use oxmq::protocol::header::{SendMessageResponseHeader, pull_sys_flag};
use support::{
    Wire, broker, broker_in_virtual_time, next_offset, pull_with, pulled, remark, request, send,
};

/// A message in queue 0 of `t`, and a group that has committed an offset there.
async fn committed(wire: &mut Wire, group: &str, offset: i64) {
    let offset = offset.to_string();
    let fields =
        [("consumerGroup", group), ("topic", "t"), ("queueId", "0"), ("commitOffset", &offset)];
    wire.ok(request(RequestCode::UPDATE_CONSUMER_OFFSET, &fields)).await;
}

async fn offset_of(wire: &mut Wire, group: &str) -> Option<String> {
    let fields = [
        ("consumerGroup", group),
        ("topic", "t"),
        ("queueId", "0"),
        ("setZeroIfNotFound", "false"),
    ];
    let answer = wire.call(request(RequestCode::QUERY_CONSUMER_OFFSET, &fields)).await;
    answer.ext_fields.get("offset").map(str::to_owned)
}

fn queue(queue_id: i32) -> MessageQueue {
    MessageQueue { broker_name: "broker-a".to_owned(), queue_id, topic: "t".to_owned() }
}

/// The next question that the broker asks this connection, notices left aside.
async fn next_question(wire: &mut Wire) -> RemotingCommand {
    loop {
        let command = wire.next().await.expect("the broker has closed the connection");
        if command.request_code() != RequestCode::NOTIFY_CONSUMER_IDS_CHANGED {
            return command;
        }
    }
}

/// Answers the next question that the broker asks this connection.
async fn answer_next(wire: &mut Wire, wanted: RequestCode, body: Vec<u8>) -> RemotingCommand {
    let question = next_question(wire).await;
    assert_eq!(question.request_code(), wanted);
    let answer = RemotingCommand::response(&question, ResponseCode::SUCCESS).with_body(body);
    let mut frame = bytes::BytesMut::new();
    answer.encode(&mut frame).unwrap();
    wire.write(&frame).await;
    question
}

#[tokio::test]
async fn a_reset_offset_reaches_a_pull_that_waits() {
    let broker = broker().await;
    let mut operator = Wire::connect(broker.broker_address()).await;
    for body in ["a", "b", "c"] {
        operator.store("t", 0, body).await;
    }
    let mut consumer = Wire::connect(broker.broker_address()).await;
    consumer.heartbeat("c", "group", "t", "*").await;
    committed(&mut consumer, "group", 3).await;
    let waiting = consumer.send(pull_with("t", 0, 3, pull_sys_flag::SUSPEND, 15_000)).await;

    let fields = [
        ("topic", "t"),
        ("group", "group"),
        ("queueId", "0"),
        ("offset", "1"),
        ("timestamp", "-1"),
        ("isForce", "true"),
    ];
    let answer = operator.ok(request(RequestCode::INVOKE_BROKER_TO_RESET_OFFSET, &fields)).await;
    let table = ResetOffsetBody::decode(&answer.body).unwrap().offset_table.0;
    assert_eq!(table[&queue(0)], 1);

    let told = consumer.response(waiting).await;
    assert_eq!(told.response_code(), ResponseCode::PULL_OFFSET_MOVED);
    assert_eq!((remark(&told), next_offset(&told)), ("OFFSET_RESET", 1));
    assert_eq!(offset_of(&mut operator, "group").await.as_deref(), Some("1"));
    // Told once, the group goes on by itself.
    let response = consumer.ok(pull_with("t", 0, 1, 0, 0)).await;
    assert_eq!(pulled(&response).len(), 2);
    broker.stop().await.unwrap();
}

#[tokio::test]
async fn a_commit_does_not_undo_a_reset_that_the_group_has_not_seen() {
    let broker = broker().await;
    let mut wire = Wire::connect(broker.broker_address()).await;
    for body in ["a", "b"] {
        wire.store("t", 0, body).await;
    }
    wire.heartbeat("c", "group", "t", "*").await;
    wire.ok(pull_with("t", 0, 0, 0, 0)).await;
    let reset = |time: &'static str| {
        let fields = [("topic", "t"), ("group", "group"), ("timestamp", time), ("isForce", "true")];
        request(RequestCode::INVOKE_BROKER_TO_RESET_OFFSET, &fields)
    };
    wire.ok(reset("0")).await;
    committed(&mut wire, "group", 2).await;
    assert_eq!(offset_of(&mut wire, "group").await.as_deref(), Some("0"));
    wire.call(pull_with("t", 0, 2, 0, 0)).await;
    committed(&mut wire, "group", 1).await;
    assert_eq!(offset_of(&mut wire, "group").await.as_deref(), Some("1"));
    // A negative time is the end.
    wire.ok(reset("-1")).await;
    assert_eq!(offset_of(&mut wire, "group").await.as_deref(), Some("2"));
    broker.stop().await.unwrap();
}

#[tokio::test]
async fn a_reset_that_cannot_be_is_refused() {
    let broker = broker().await;
    let mut wire = Wire::connect(broker.broker_address()).await;
    wire.store("t", 0, "a").await;
    wire.ok(pull_with("t", 0, 0, pull_sys_flag::SUBSCRIPTION, 0)).await;
    let mut refused = async |topic, group, offset| {
        let fields = [
            ("topic", topic),
            ("group", group),
            ("queueId", "0"),
            ("offset", offset),
            ("timestamp", "0"),
            ("isForce", "false"),
        ];
        let code = RequestCode::INVOKE_BROKER_TO_RESET_OFFSET;
        wire.call(request(code, &fields)).await.response_code()
    };
    assert_eq!(refused("unknown", "group", "0").await, ResponseCode::TOPIC_NOT_EXIST);
    assert_eq!(refused("t", "nobody", "0").await, ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST);
    assert_eq!(refused("t", "group", "7").await, ResponseCode::SYSTEM_ERROR);
    assert_eq!(refused("t", "group", "1").await, ResponseCode::SUCCESS);
    broker.stop().await.unwrap();
}

#[tokio::test]
async fn offsets_are_copied_and_compared() {
    let broker = broker().await;
    let mut wire = Wire::connect(broker.broker_address()).await;
    wire.store("t", 0, "a").await;
    for (group, offset) in [("fast", 9), ("slow", 4), ("group", 6)] {
        wire.heartbeat("c", group, "t", "*").await;
        committed(&mut wire, group, offset).await;
    }
    let fields = [("srcGroup", "fast"), ("destGroup", "twin"), ("topic", "t")];
    wire.ok(request(RequestCode::CLONE_GROUP_OFFSET, &fields)).await;
    assert_eq!(offset_of(&mut wire, "twin").await.as_deref(), Some("9"));

    let mut correction = async |left_out, compare| {
        let fields = [("topic", "t"), ("filterGroups", left_out), ("compareGroup", compare)];
        let answer = wire.ok(request(RequestCode::QUERY_CORRECTION_OFFSET, &fields)).await;
        QueryCorrectionOffsetBody::decode(&answer.body).unwrap().correction_offsets[&0]
    };
    assert_eq!(correction("", "fast").await, 4);
    assert_eq!(correction("slow", "fast").await, 6);
    // Nobody is behind the one who is last.
    assert_eq!(correction("slow,group", "slow").await, i64::MAX);
    assert_eq!(offset_of(&mut wire, "slow").await.as_deref(), Some("4"));
    broker.stop().await.unwrap();
}

#[tokio::test]
async fn topics_and_groups_can_be_asked_about() {
    let (broker, clock) = broker_in_virtual_time().await;
    let mut wire = Wire::connect(broker.broker_address()).await;
    wire.store("t", 0, "a").await;
    clock.advance(Duration::from_secs(5)).await;
    wire.store("t", 0, "b").await;
    wire.heartbeat("c", "group", "t", "x || y").await;
    committed(&mut wire, "group", 1).await;
    committed(&mut wire, "group", 1).await;

    let answer = wire.ok(request(RequestCode::QUERY_TOPIC_CONSUME_BY_WHO, &[("topic", "t")])).await;
    assert_eq!(GroupList::decode(&answer.body).unwrap().group_list, ["group"]);
    let answer = wire.ok(request(RequestCode::QUERY_TOPICS_BY_CONSUMER, &[("group", "group")]));
    assert_eq!(TopicList::decode(&answer.await.body).unwrap().topic_list, ["t"]);
    let fields = [("group", "group"), ("topic", "t")];
    let answer = wire.ok(request(RequestCode::QUERY_SUBSCRIPTION_BY_CONSUMER, &fields)).await;
    let known = QuerySubscriptionResponseBody::decode(&answer.body).unwrap().subscription_data;
    assert_eq!(known.unwrap().sub_string, "x || y");

    let answer = wire.ok(request(RequestCode::QUERY_CONSUME_TIME_SPAN, &fields)).await;
    let spans = QueryConsumeTimeSpanBody::decode(&answer.body).unwrap().consume_time_span_set;
    let (first, empty) = (&spans[0], &spans[1]);
    assert_eq!(first.max_time_stamp - first.min_time_stamp, 5_000);
    assert_eq!(first.consume_time_stamp, first.min_time_stamp);
    assert_eq!((empty.min_time_stamp, empty.max_time_stamp), (-1, -1));
    clock.advance(Duration::from_secs(7)).await;
    let answer = wire.ok(request(RequestCode::QUERY_CONSUME_TIME_SPAN, &fields)).await;
    let spans = QueryConsumeTimeSpanBody::decode(&answer.body).unwrap().consume_time_span_set;
    assert_eq!(spans[0].delay_time, 7_000);

    let answer = wire.ok(request(RequestCode::GET_BROKER_CONSUME_STATS, &[("isOrder", "false")]));
    let list = ConsumeStatsList::decode(&answer.await.body).unwrap();
    assert_eq!(list.total_diff, 1);
    let answer = wire.ok(request(RequestCode::GET_ALL_PRODUCER_INFO, &[])).await;
    let producers = ProducerTableInfo::decode(&answer.body).unwrap().data;
    assert_eq!(producers["producers"][0].client_id, "c");
    let answer = wire.ok(request(RequestCode::GET_SYSTEM_TOPIC_LIST_FROM_BROKER, &[])).await;
    let topics = TopicList::decode(&answer.body).unwrap().topic_list;
    assert!(topics.iter().any(|topic| topic == "TBW102"), "{topics:?}");
    broker.stop().await.unwrap();
}

#[tokio::test]
async fn a_question_about_a_client_is_answered_by_that_client() {
    let broker = broker().await;
    let mut consumer = Wire::connect(broker.broker_address()).await;
    consumer.heartbeat("c1", "group", "t", "*").await;
    let mut operator = Wire::connect(broker.broker_address()).await;
    let fields = [("consumerGroup", "group"), ("clientId", "c1"), ("jstackEnable", "true")];
    let asked = operator.send(request(RequestCode::GET_CONSUMER_RUNNING_INFO, &fields)).await;
    let info = br#"{"jstack":"none"}"#.to_vec();
    let question =
        answer_next(&mut consumer, RequestCode::GET_CONSUMER_RUNNING_INFO, info.clone()).await;
    assert_eq!(question.ext_fields.get("jstackEnable"), Some("true"));
    let answer = operator.response(asked).await;
    assert_eq!(answer.response_code(), ResponseCode::SUCCESS);
    assert_eq!(answer.body, info);

    // The message travels with the question.
    let response = operator.ok(send("t", 0, "look at me", "")).await;
    let id = response.header::<SendMessageResponseHeader>().unwrap().msg_id;
    let fields = [("consumerGroup", "group"), ("clientId", "c1"), ("msgId", &*id)];
    let asked = operator.send(request(RequestCode::CONSUME_MESSAGE_DIRECTLY, &fields)).await;
    let question =
        answer_next(&mut consumer, RequestCode::CONSUME_MESSAGE_DIRECTLY, b"{}".to_vec()).await;
    assert_eq!(pulled(&question)[0].body, b"look at me");
    assert_eq!(question.ext_fields.get("brokerName"), Some("broker-a"));
    assert_eq!(operator.response(asked).await.body, &b"{}"[..]);
    broker.stop().await.unwrap();
}

#[tokio::test]
async fn a_client_that_is_gone_or_silent_is_told_of() {
    let (broker, clock) = broker_in_virtual_time().await;
    let mut operator = Wire::connect(broker.broker_address()).await;
    let ask = |client: &'static str| {
        let fields = [("consumerGroup", "group"), ("clientId", client)];
        request(RequestCode::GET_CONSUMER_RUNNING_INFO, &fields)
    };
    let answer = operator.call(ask("nobody")).await;
    assert_eq!(answer.response_code(), ResponseCode::SYSTEM_ERROR);
    assert!(remark(&answer).contains("not connected"), "{}", remark(&answer));

    let mut silent = Wire::connect(broker.broker_address()).await;
    silent.heartbeat("silent", "group", "t", "*").await;
    let asked = operator.send(ask("silent")).await;
    let question = next_question(&mut silent).await;
    assert_eq!(question.request_code(), RequestCode::GET_CONSUMER_RUNNING_INFO);
    clock.advance(Duration::from_secs(10)).await;
    let answer = operator.response(asked).await;
    assert_eq!(answer.response_code(), ResponseCode::CONSUME_MSG_TIMEOUT);

    let asked = operator.send(ask("silent")).await;
    next_question(&mut silent).await;
    drop(silent);
    let answer = operator.response(asked).await;
    assert_eq!(answer.response_code(), ResponseCode::SYSTEM_ERROR);
    assert!(remark(&answer).contains("gone"), "{}", remark(&answer));
    broker.stop().await.unwrap();
}

#[tokio::test]
async fn the_places_of_all_members_are_collected() {
    let broker = broker().await;
    let mut members = Vec::new();
    for client in ["c1", "c2"] {
        let mut member = Wire::connect(broker.broker_address()).await;
        member.heartbeat(client, "group", "t", "*").await;
        members.push(member);
    }
    let mut operator = Wire::connect(broker.broker_address()).await;
    let fields = [("topic", "t"), ("group", "group")];
    let code = RequestCode::INVOKE_BROKER_TO_GET_CONSUMER_STATUS;
    let asked = operator.send(request(code, &fields)).await;
    for (number, member) in members.iter_mut().enumerate() {
        let queue_id = i32::try_from(number).unwrap();
        let status = GetConsumerStatusBody {
            message_queue_table: QueueTable([(queue(queue_id), 70)].into()),
            ..GetConsumerStatusBody::default()
        };
        answer_next(member, RequestCode::GET_CONSUMER_STATUS_FROM_CLIENT, status.encode()).await;
    }
    let answer = operator.response(asked).await;
    let table = GetConsumerStatusBody::decode(&answer.body).unwrap().consumer_table;
    assert_eq!(table.keys().collect::<Vec<_>>(), ["c1", "c2"]);
    assert_eq!(table["c2"].0[&queue(1)], 70);
    broker.stop().await.unwrap();
}

#[tokio::test]
async fn an_answer_is_pushed_to_the_client_that_asked_and_kept() {
    let broker = broker().await;
    let mut requester = Wire::connect(broker.broker_address()).await;
    requester.heartbeat("asker", "group", "t", "*").await;
    let mut replier = Wire::connect(broker.broker_address()).await;
    let topic = "DefaultCluster_REPLY_TOPIC";
    let reply = |client: &str| {
        let properties = format!(
            "CORRELATION_ID\u{1}7\u{2}REPLY_TO_CLIENT\u{1}{client}\u{2}MSG_TYPE\u{1}reply\u{2}"
        );
        let mut reply = send(topic, 0, "42", &properties);
        reply.code = RequestCode::SEND_REPLY_MESSAGE_V2.0;
        reply
    };
    let sent = replier.send(reply("asker")).await;
    let pushed =
        answer_next(&mut requester, RequestCode::PUSH_REPLY_MESSAGE_TO_CLIENT, Vec::new()).await;
    assert_eq!(&pushed.body[..], b"42");
    let properties = pushed.ext_fields.get("properties").unwrap();
    assert!(
        properties.contains("CORRELATION_ID\u{1}7\u{2}") && properties.contains("PUSH_REPLY_TIME")
    );
    assert_eq!(pushed.ext_fields.get("topic"), Some(topic));
    let answer = replier.response(sent).await;
    assert_eq!(answer.response_code(), ResponseCode::SUCCESS, "{}", remark(&answer));
    assert_eq!(replier.pull(topic, 0, 0).await[0].body, b"42");

    let answer = replier.call(reply("nobody")).await;
    assert_eq!(answer.response_code(), ResponseCode::SYSTEM_ERROR);
    assert!(remark(&answer).contains("`nobody`"), "{}", remark(&answer));
    let answer = replier.call({
        let mut reply = send(topic, 0, "42", "");
        reply.code = RequestCode::SEND_REPLY_MESSAGE_V2.0;
        reply
    });
    assert!(remark(&answer.await).contains("REPLY_TO_CLIENT"));
    broker.stop().await.unwrap();
}
