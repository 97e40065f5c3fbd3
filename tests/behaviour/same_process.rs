//! A client and a broker in one process, whose time the test moves and which it stops and starts.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

use std::collections::BTreeSet;
use std::time::Duration;

use broker_dev::{Broker, Options};
use oxmq::clock::{SystemClock, timeout};
use oxmq::{
    Client, ConsumeFrom, ConsumerStream, Credentials, Delivery, ErrorKind, Message, Stored,
};

const HOUR: Duration = Duration::from_secs(3_600);
/// Longer than anything takes here that no one moves the clock for.
const PATIENCE: Duration = Duration::from_secs(30);

async fn client_of(broker: &Broker) -> Client {
    Client::builder(broker.name_server_address().to_string()).connect().await.unwrap()
}

async fn stream(client: &Client, topic: &str) -> ConsumerStream {
    let builder = client.push_consumer("group").subscribe(topic, "*");
    builder.consume_from(ConsumeFrom::First).stream().await.unwrap()
}

async fn next(stream: &ConsumerStream) -> Delivery {
    let next = timeout(&SystemClock::new(), PATIENCE, stream.next()).await;
    next.expect("a message in time").expect("an open stream")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_comes_at_its_time_unless_it_was_taken_back() {
    let mut options = Options::for_tests();
    options.settings.set_pair("recallMessageEnable=true").unwrap();
    let broker = Broker::start(options).await.unwrap();
    let client = client_of(&broker).await;
    let producer = client.producer("p").start().await.unwrap();
    let stream = stream(&client, "timed").await;
    let message = |body: &'static str| Message::new("timed", body);
    let at = broker.clock().now_ms() + 7_200_000;
    producer.send(message("in a day").delay(24 * HOUR)).await.unwrap();
    producer.send(message("at").deliver_at(at)).await.unwrap();
    let receipt = producer.send(message("never").deliver_at(at)).await.unwrap();
    let handle = receipt.recall_handle.unwrap();
    assert_eq!(producer.recall(&handle).await.unwrap(), receipt.message_id);
    for (wait, body) in [(2 * HOUR + Duration::from_secs(1), "at"), (24 * HOUR, "in a day")] {
        broker.advance(wait).await;
        assert_eq!(&next(&stream).await.body[..], body.as_bytes());
    }
    let error = producer.recall("nonsense").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    let error = producer.recall(&handle).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Rejected(_)), "too late: {error}");
    let too_far = producer.send(message("x").delay(100 * 24 * HOUR)).await.unwrap_err();
    assert_eq!(too_far.stored(), Stored::No);
    broker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hours_until_redelivery_pass_when_the_test_says_so() {
    let broker = Broker::start(Options::for_tests()).await.unwrap();
    let client = client_of(&broker).await;
    let producer = client.producer("p").start().await.unwrap();
    let sent = producer.send(Message::new("orders", "not today")).await.unwrap();
    let stream = stream(&client, "orders").await;
    next(&stream).await.nack(2 * HOUR).await.unwrap();
    broker.advance(2 * HOUR).await;
    let again = next(&stream).await;
    assert_eq!((again.message_id(), again.reconsume_times), (sent.message_id.into(), 1));
    assert_eq!(&*again.topic, "orders");
    again.ack().await.unwrap();
    let report = stream.drain(PATIENCE).await;
    assert_eq!((report.abandoned, report.handed_back), (0, 0));
    broker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_signs_for_a_broker_that_asks_who_it_is() {
    let root = || Credentials::new("root", "secret");
    let broker = Broker::start(Options::for_tests().users(root())).await.unwrap();
    let builder = || Client::builder(broker.name_server_address().to_string());
    let client = builder().credentials(root()).connect().await.unwrap();
    let producer = client.producer("p").start().await.unwrap();
    producer.send(Message::new("orders", "signed")).await.unwrap();
    let stream = stream(&client, "orders").await;
    next(&stream).await.ack().await.unwrap();
    let report = stream.drain(PATIENCE).await;
    assert_eq!(report.abandoned, 0);

    for other in [builder(), builder().credentials(Credentials::new("root", "guessed"))] {
        let client = other.connect().await.unwrap();
        let producer = client.producer("p").start().await.unwrap();
        let error = producer.send(Message::new("orders", "x")).await.unwrap_err();
        assert_eq!((error.kind(), error.stored()), (ErrorKind::Denied, Stored::No), "{error}");
        assert!(!error.to_string().contains("guessed"), "{error}");
    }
    broker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_nobody_can_handle_ends_among_the_dead_letters() {
    let broker = Broker::start(Options::for_tests()).await.unwrap();
    let client = client_of(&broker).await;
    let producer = client.producer("p").start().await.unwrap();
    producer.send(Message::new("orders", "poison")).await.unwrap();
    let builder = client.push_consumer("group").subscribe("orders", "*");
    let builder = builder.consume_from(ConsumeFrom::First).max_reconsume_times(2);
    let stream = builder.stream().await.unwrap();
    for times in 0..=2 {
        let delivery = next(&stream).await;
        assert_eq!(delivery.reconsume_times, times);
        delivery.nack(Duration::ZERO).await.unwrap();
        broker.advance(HOUR).await;
    }
    let dead = client.push_consumer("undertaker").subscribe("%DLQ%group", "*");
    let dead = dead.consume_from(ConsumeFrom::First).stream().await.unwrap();
    assert_eq!(next(&dead).await.body, "poison");
    broker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_nobody_makes_is_an_error_that_says_what_to_do() {
    let mut options = Options::for_tests();
    options.settings.auto_create_topic = false;
    let broker = Broker::start(options).await.unwrap();
    let client = client_of(&broker).await;
    let producer = client.producer("p").start().await.unwrap();
    let error = producer.send(Message::new("orders", "x")).await.unwrap_err();
    assert_eq!((error.kind(), error.stored()), (ErrorKind::RouteNotFound, Stored::No));
    let text = error.to_string();
    for part in [
        "send `orders`",
        &broker.name_server_address().to_string(),
        "the topic does not exist",
        "autoCreateTopicEnable",
    ] {
        assert!(text.contains(part), "{text}");
    }
    broker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_find_a_broker_again_that_was_restarted() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::start(Options::for_tests().store(folder.path())).await.unwrap();
    let (name_server, address) = (broker.name_server_address(), broker.broker_address());
    let client = client_of(&broker).await;
    let producer = client.producer("p").retries(20).start().await.unwrap();
    let mut sent = BTreeSet::new();
    for n in 0..8 {
        sent.insert(
            producer.send(Message::new("orders", format!("before {n}"))).await.unwrap().message_id,
        );
    }
    let stream = stream(&client, "orders").await;
    let mut received = BTreeSet::new();
    for _ in 0..8 {
        let delivery = next(&stream).await;
        delivery.ack().await.unwrap();
        received.insert(delivery.message_id().into_owned());
    }
    stream.commit().await.unwrap();
    broker.stop().await.unwrap();

    let mut options = Options::for_tests().store(folder.path());
    options.name_server_address = name_server.to_string();
    options.broker_address = address.to_string();
    let broker = Broker::start(options).await.unwrap();
    for n in 0..8 {
        sent.insert(
            producer.send(Message::new("orders", format!("after {n}"))).await.unwrap().message_id,
        );
    }
    while received.len() < sent.len() {
        let delivery = next(&stream).await;
        delivery.ack().await.unwrap();
        received.insert(delivery.message_id().into_owned());
    }
    assert_eq!(received, sent);
    let report = stream.drain(PATIENCE).await;
    let committed: i64 = report
        .committed
        .iter()
        .filter(|(queue, _)| &*queue.topic == "orders")
        .map(|(_, offset)| offset)
        .sum();
    assert_eq!(committed, 16);
    broker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_sends_at_once_are_all_stored_and_all_received() {
    const COUNT: usize = 10_000;
    let broker = Broker::start(Options::for_tests()).await.unwrap();
    let client = client_of(&broker).await;
    let producer = client.producer("p").start().await.unwrap();
    let mut sends = tokio::task::JoinSet::new();
    for n in 0..COUNT {
        let producer = producer.clone();
        sends.spawn(async move { producer.send(Message::new("orders", n.to_string())).await });
    }
    let receipts: Vec<_> = sends.join_all().await.into_iter().map(Result::unwrap).collect();
    let sent: BTreeSet<_> = receipts.into_iter().map(|receipt| receipt.message_id).collect();
    assert_eq!(sent.len(), COUNT);
    let stream = stream(&client, "orders").await;
    let mut received = BTreeSet::new();
    for _ in 0..COUNT {
        let delivery = next(&stream).await;
        delivery.ack().await.unwrap();
        received.insert(delivery.message_id().into_owned());
    }
    assert_eq!(received, sent);
    broker.stop().await.unwrap();
}
