//! Sending.

use std::collections::BTreeMap;
use std::time::Duration;

use oxmq::clock::{Clock, SystemClock};
use oxmq::{ErrorKind, Message, MessageQueue, SendOptions, Stored, StoredStatus};
use oxmq_tests::wire;

use super::{QUEUES, Server, close, from_first, key, next, send, take, until};

pub(crate) async fn a_message_comes_back_whole(server: &Server) {
    let (client, producer) = server.with_topic("whole").await;
    let message = Message::new("whole", "été 中文 🚀")
        .tag("paid")
        .keys(["order-42", "invoice-7"])
        .property("region", "île-de-france")
        .flag(9);
    let receipt = producer.send(message).await.unwrap();
    assert_eq!(receipt.status, StoredStatus::Stored);
    assert_eq!(receipt.queue_offset, 0);
    assert_eq!(receipt.attempts, 1);

    let stream = from_first(&client, "whole-all", "whole", "*").stream().await.unwrap();
    let delivery = next(&stream).await;
    assert_eq!(&*delivery.topic, "whole");
    assert_eq!(delivery.body, "été 中文 🚀".as_bytes());
    assert_eq!(delivery.tag(), Some("paid"));
    assert!(delivery.keys().eq(["order-42", "invoice-7"]));
    assert_eq!(delivery.property("region"), Some("île-de-france"));
    assert_eq!(delivery.flag, 9);
    assert_eq!(delivery.message_id(), receipt.message_id);
    assert_eq!(delivery.offset_message_id(), receipt.offset_message_id);
    assert_eq!(*delivery.queue(), receipt.queue);
    assert_eq!(delivery.queue_offset, receipt.queue_offset);
    assert_eq!(delivery.reconsume_times, 0);
    assert!(delivery.born_host.ip().is_loopback());
    delivery.ack().await.unwrap();
    close(stream).await;
}

pub(crate) async fn a_topic_comes_to_be_with_its_first_message(server: &Server) {
    let client = server.client().await;
    let producer = client.producer("promises").start().await.unwrap();
    let sent = send(&producer, "comes-to-be", "new", 3).await;
    let stream = from_first(&client, "new-all", "comes-to-be", "*").stream().await.unwrap();
    assert_eq!(take(&stream, 3).await, sent);
    close(stream).await;
}

pub(crate) async fn sends_use_every_queue_in_order(server: &Server) {
    let (_client, producer) = server.with_topic("spread").await;
    let mut offsets: BTreeMap<i32, Vec<i64>> = BTreeMap::new();
    for number in 0..5 * QUEUES {
        let receipt = producer.send(Message::new("spread", number.to_string())).await.unwrap();
        offsets.entry(receipt.queue.queue_id).or_default().push(receipt.queue_offset);
    }
    assert_eq!(offsets.len(), QUEUES as usize);
    for (queue, offsets) in offsets {
        assert!(offsets.iter().copied().eq(0..5), "queue {queue}: {offsets:?}");
    }
}

pub(crate) async fn a_queue_can_be_chosen(server: &Server) {
    let (_client, producer) = server.with_topic("chosen").await;
    let first = producer.send(Message::new("chosen", "where?")).await.unwrap();
    let queue = MessageQueue { queue_id: 2, ..first.queue };
    for _ in 0..3 {
        let options = SendOptions { queue: Some(queue.clone()), ..SendOptions::default() };
        let receipt = producer.send_with(Message::new("chosen", "here"), options).await.unwrap();
        assert_eq!(receipt.queue, queue);
    }
    let stored = || wire::max_offset(server.broker, "chosen", 2);
    until("all are stored there", || stored() >= 3).await;
}

pub(crate) async fn large_bodies_come_back_whole(server: &Server) {
    let (client, producer) = server.with_topic("bulk").await;
    let body: Vec<u8> = (0..300_000_u32).map(|number| (number / 7).to_be_bytes()[3]).collect();
    producer.send(Message::new("bulk", body.clone())).await.unwrap();
    let stream = from_first(&client, "bulk-all", "bulk", "*").stream().await.unwrap();
    let delivery = next(&stream).await;
    assert!(delivery.body == body, "other bytes came back");
    delivery.ack().await.unwrap();
    close(stream).await;
}

pub(crate) async fn a_oneway_send_arrives(server: &Server) {
    let (_client, producer) = server.with_topic("oneway").await;
    producer.send_oneway(Message::new("oneway", "no answer wanted")).await.unwrap();
    until("the message is stored", || server.stored("oneway", QUEUES) == 1).await;
}

pub(crate) async fn delayed_messages_arrive_later(server: &Server) {
    let (client, producer) = server.with_topic("later").await;
    let stream = from_first(&client, "later-all", "later", "*").stream().await.unwrap();
    let clock = SystemClock::new();
    producer.send(Message::new("later", "in a second").key("k").delay_level(1)).await.unwrap();
    let delivery = next(&stream).await;
    assert_eq!(key(&delivery), "k");
    assert_eq!(&*delivery.topic, "later");
    // The broker's clock decides, to its own precision.
    assert!(clock.monotonic() > Duration::from_millis(800), "after {:?}", clock.monotonic());
    delivery.ack().await.unwrap();
    close(stream).await;
}

pub(crate) async fn bad_names_are_refused_before_they_are_sent(server: &Server) {
    let client = server.client().await;
    let producer = client.producer("promises").start().await.unwrap();
    for topic in ["", "../up", "a b", "SCHEDULE_TOPIC_XXXX"] {
        let error = producer.send(Message::new(topic, "x")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{topic}: {error}");
        assert_eq!(error.stored(), Stored::No);
        assert!(!error.retryable());
    }
}
