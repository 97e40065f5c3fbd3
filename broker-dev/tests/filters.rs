//! Filters by SQL92, in frames.

mod support;

use broker_dev::{Broker, Options};
use oxmq::protocol::body::{
    Body, CheckClientRequestBody, ConsumerData, HeartbeatData, SubscriptionData,
};
use oxmq::protocol::code::{RequestCode, ResponseCode};
use oxmq::protocol::command::RemotingCommand;
use oxmq::protocol::header::{PullMessageRequestHeader, pull_sys_flag};
use support::{Wire, broker, next_offset, pull_with, pulled, remark, send};

/// A pull that carries a condition.
fn pull_where(topic: &str, offset: i64, condition: &str) -> RemotingCommand {
    let header = PullMessageRequestHeader {
        subscription: Some(condition.to_owned()),
        expression_type: Some("SQL92".to_owned()),
        ..pull_with(topic, 0, offset, pull_sys_flag::SUBSCRIPTION, 0).header().expect("a header")
    };
    RemotingCommand::request(RequestCode::PULL_MESSAGE, &header)
}

fn heartbeat(data: SubscriptionData) -> RemotingCommand {
    let data = HeartbeatData {
        client_id: "c".to_owned(),
        consumer_data_set: vec![ConsumerData {
            group_name: "group".to_owned(),
            subscription_data_set: vec![data],
            ..ConsumerData::default()
        }],
        ..HeartbeatData::default()
    };
    RemotingCommand::request(RequestCode::HEART_BEAT, &()).with_body(data.encode())
}

fn check(data: SubscriptionData) -> RemotingCommand {
    let body = CheckClientRequestBody {
        client_id: "c".to_owned(),
        group: "group".to_owned(),
        subscription_data: data,
    };
    RemotingCommand::request(RequestCode::CHECK_CLIENT_CONFIG, &()).with_body(body.encode())
}

fn bodies(response: &RemotingCommand) -> Vec<String> {
    let messages = pulled(response).into_iter();
    messages.map(|message| String::from_utf8_lossy(&message.body).into_owned()).collect()
}

#[tokio::test]
async fn a_pull_gets_the_messages_that_meet_its_condition() {
    let broker = broker().await;
    let mut wire = Wire::connect(broker.broker_address()).await;
    for price in 0..10 {
        let properties = format!("price\u{1}{price}\u{2}TAGS\u{1}t\u{2}");
        wire.ok(send("t", 0, &format!("costs {price}"), &properties)).await;
    }
    wire.ok(send("t", 0, "for free", "")).await;

    let response = wire.ok(pull_where("t", 0, "price BETWEEN 3 AND 4 OR price IS NULL")).await;
    assert_eq!(bodies(&response), ["costs 3", "costs 4", "for free"]);
    assert_eq!(next_offset(&response), 11);
    let response = wire.ok(pull_where("t", 5, "TAGS = 't' AND price < 6")).await;
    assert_eq!(bodies(&response), ["costs 5"]);

    let nothing = wire.call(pull_where("t", 0, "price > 100")).await;
    assert_eq!(nothing.response_code(), ResponseCode::PULL_RETRY_IMMEDIATELY);
    assert_eq!((remark(&nothing), next_offset(&nothing)), ("NO_MATCHED_MESSAGE", 11));
    broker.stop().await.unwrap();
}

#[tokio::test]
async fn a_group_that_subscribes_by_sql_waits_for_what_it_wants() {
    let broker = broker().await;
    let mut producer = Wire::connect(broker.broker_address()).await;
    producer.store("t", 0, "old").await;
    let mut consumer = Wire::connect(broker.broker_address()).await;
    let subscription = SubscriptionData::by_sql("t", "color IN ('red', 'blue')", 1);
    consumer.ok(check(subscription.clone())).await;
    consumer.ok(heartbeat(subscription)).await;

    let waiting = consumer.send(pull_with("t", 0, 1, pull_sys_flag::SUSPEND, 15_000)).await;
    producer.ok(send("t", 0, "red one", "color\u{1}red\u{2}")).await;
    assert_eq!(bodies(&consumer.response(waiting).await), ["red one"]);

    // One that does not fit ends the wait: the consumer goes on behind it.
    let waiting = consumer.send(pull_with("t", 0, 2, pull_sys_flag::SUSPEND, 15_000)).await;
    producer.ok(send("t", 0, "green one", "color\u{1}green\u{2}")).await;
    let response = consumer.response(waiting).await;
    assert_eq!(response.response_code(), ResponseCode::PULL_RETRY_IMMEDIATELY);
    assert_eq!(next_offset(&response), 3);
    broker.stop().await.unwrap();
}

#[tokio::test]
async fn a_condition_that_cannot_be_read_is_refused_where_it_is_told() {
    let broker = broker().await;
    let mut wire = Wire::connect(broker.broker_address()).await;
    wire.store("t", 0, "x").await;
    let bad = SubscriptionData::by_sql("t", "price >", 1);

    let refused = wire.call(check(bad.clone())).await;
    assert_eq!(refused.response_code(), ResponseCode::SUBSCRIPTION_PARSE_FAILED);
    assert!(remark(&refused).contains("at character 7"), "{}", remark(&refused));
    let refused = wire.call(pull_where("t", 0, "price >")).await;
    assert_eq!(refused.response_code(), ResponseCode::SUBSCRIPTION_PARSE_FAILED);
    // A heartbeat has no room for an error; the pull tells.
    wire.ok(heartbeat(bad)).await;
    let refused = wire.call(pull_with("t", 0, 0, 0, 0)).await;
    assert_eq!(refused.response_code(), ResponseCode::FILTER_DATA_NOT_EXIST);

    let unknown = SubscriptionData {
        expression_type: "REGEX".to_owned(),
        ..SubscriptionData::by_sql("t", ".*", 1)
    };
    let refused = wire.call(check(unknown)).await;
    assert_eq!(refused.response_code(), ResponseCode::SYSTEM_ERROR);
    broker.stop().await.unwrap();
}

#[tokio::test]
async fn sql_can_be_switched_off() {
    let mut options = Options::for_tests();
    options.settings.set("enablePropertyFilter", "false").unwrap();
    let broker = Broker::start(options).await.unwrap();
    let mut wire = Wire::connect(broker.broker_address()).await;
    wire.store("t", 0, "x").await;
    let refused = wire.call(pull_where("t", 0, "a = 1")).await;
    assert_eq!(refused.response_code(), ResponseCode::SYSTEM_ERROR);
    assert!(remark(&refused).contains("enablePropertyFilter"), "{}", remark(&refused));
    broker.stop().await.unwrap();
}
