//! Receiving, acknowledging, handing back.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use oxmq::{Ack, ConsumeFrom, ErrorKind, Message, Selector};
use oxmq_tests::wire;

use super::{PATIENCE, QUEUES, Server, close, from_first, key, next, send, take, until};

pub(crate) async fn tags_filter(server: &Server) {
    let (client, producer) = server.with_topic("tagged").await;
    let mut wanted = BTreeSet::new();
    for number in 0..18 {
        let tag = ["paid", "open", "refunded"][number % 3];
        let key = format!("{tag}-{number}");
        producer.send(Message::new("tagged", "x").tag(tag).key(&key)).await.unwrap();
        if tag != "open" {
            wanted.insert(key);
        }
    }
    let tags = "paid || refunded";
    let stream = from_first(&client, "tagged-some", "tagged", tags).stream().await.unwrap();
    assert_eq!(take(&stream, 12).await, wanted);
    close(stream).await;
}

pub(crate) async fn conditions_filter(server: &Server) {
    let (client, producer) = server.with_topic("priced").await;
    let mut wanted = BTreeSet::new();
    for price in 0..18 {
        let key = format!("price-{price}");
        let color = ["red", "green", "blue"][price % 3];
        let message = Message::new("priced", "x").key(&key).tag(color);
        producer.send(message.property("price", price.to_string())).await.unwrap();
        if price > 9 && color != "green" {
            wanted.insert(key);
        }
    }
    let condition = Selector::sql("price > 9 AND TAGS IN ('red', 'blue')");
    let stream = from_first(&client, "priced-some", "priced", condition).stream().await.unwrap();
    assert_eq!(take(&stream, wanted.len()).await, wanted);
    close(stream).await;

    let unreadable = client.push_consumer("bad").subscribe("priced", Selector::sql("price >"));
    let error = unreadable.stream().await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Rejected(_)), "{error}");
}

pub(crate) async fn a_new_group_begins_at_the_end(server: &Server) {
    if !server.knows_new_groups {
        eprintln!("SKIPPED: this server takes every new group for one that has committed 0");
        return;
    }
    let (client, producer) = server.with_topic("news").await;
    send(&producer, "news", "old", 8).await;
    let builder = client.push_consumer("news-late").subscribe("news", "*");
    let stream = builder.consume_from(ConsumeFrom::Last).stream().await.unwrap();
    until("all queues are assigned", || stream.assignment().len() == QUEUES as usize).await;
    // Where a queue begins is decided with its first pull.
    for queue in 0..QUEUES {
        let group = "news-late";
        until("a place to begin", || {
            wire::committed(server.broker, group, "news", queue).is_some()
        })
        .await;
    }
    let fresh = send(&producer, "news", "fresh", 8).await;
    assert_eq!(take(&stream, 8).await, fresh);
    close(stream).await;
}

pub(crate) async fn a_handler_acknowledges(server: &Server) {
    let (client, producer) = server.with_topic("handled").await;
    let sent = send(&producer, "handled", "h", 10).await;
    let seen = std::sync::Arc::new(Mutex::new(BTreeSet::new()));
    let seen_by_handler = seen.clone();
    let consumer = from_first(&client, "handlers", "handled", "*")
        .start(move |delivery| {
            seen_by_handler.lock().unwrap().insert(key(&delivery));
            async { Ok(Ack) }
        })
        .await
        .unwrap();
    until("all are handled", || seen.lock().unwrap().len() == 10).await;
    assert_eq!(*seen.lock().unwrap(), sent);
    let report = consumer.drain(PATIENCE).await;
    assert_eq!(report.abandoned, 0);
    assert_eq!(committed(server, "handlers", "handled"), 10);
}

pub(crate) async fn a_handlers_error_delivers_again(server: &Server) {
    let (client, producer) = server.with_topic("failing").await;
    let attempts = std::sync::Arc::new(AtomicU32::new(0));
    let of_handler = attempts.clone();
    let consumer = from_first(&client, "failers", "failing", "*")
        .start(move |delivery| {
            let attempt = of_handler.fetch_add(1, Ordering::SeqCst);
            async move {
                assert_eq!(delivery.reconsume_times, i32::try_from(attempt).unwrap());
                if attempt == 0 { Err("not this time".into()) } else { Ok(Ack) }
            }
        })
        .await
        .unwrap();
    producer.send(Message::new("failing", "try me")).await.unwrap();
    until("it is tried again", || attempts.load(Ordering::SeqCst) == 2).await;
    consumer.drain(PATIENCE).await;
}

pub(crate) async fn nack_delivers_again(server: &Server) {
    let (client, producer) = server.with_topic("again").await;
    let stream = from_first(&client, "again-all", "again", "*").stream().await.unwrap();
    let sent = send(&producer, "again", "n", 6).await;
    for _ in 0..6 {
        let delivery = next(&stream).await;
        assert_eq!(delivery.reconsume_times, 0);
        delivery.nack(Duration::from_secs(1)).await.unwrap();
    }
    let mut again = BTreeSet::new();
    for _ in 0..6 {
        let delivery = next(&stream).await;
        assert_eq!(delivery.reconsume_times, 1);
        assert_eq!(&*delivery.topic, "again", "the retry topic is not shown");
        delivery.ack().await.unwrap();
        again.insert(key(&delivery));
    }
    assert_eq!(again, sent);
    close(stream).await;
}

pub(crate) async fn reject_leads_to_the_dead_letters(server: &Server) {
    let (client, producer) = server.with_topic("refused").await;
    let stream = from_first(&client, "refusers", "refused", "*").stream().await.unwrap();
    send(&producer, "refused", "r", 2).await;
    next(&stream).await.reject("cannot be read").await.unwrap();
    next(&stream).await.ack().await.unwrap();
    until("a dead letter", || server.stored("%DLQ%refusers", 1) == 1).await;
    close(stream).await;
    assert_eq!(committed(server, "refusers", "refused"), 2, "a rejected message is done with");
}

pub(crate) async fn acks_in_any_order_commit_only_what_is_whole(server: &Server) {
    wire::create_topic(server.broker, "gaps", 1);
    let client = server.client().await;
    let producer = client.producer("promises").start().await.unwrap();
    send(&producer, "gaps", "g", 6).await;
    let stream = from_first(&client, "gap-makers", "gaps", "*").stream().await.unwrap();
    let mut deliveries = Vec::new();
    for _ in 0..6 {
        deliveries.push(next(&stream).await);
    }
    for index in [5, 1, 3, 0] {
        deliveries[index].ack().await.unwrap();
    }
    stream.commit().await.unwrap();
    assert_eq!(wire::committed(server.broker, "gap-makers", "gaps", 0), Some(2));
    // Not drained: a process that dies.
    drop((deliveries, stream, producer));
    client.close();

    let client = server.client().await;
    let stream = from_first(&client, "gap-makers", "gaps", "*").stream().await.unwrap();
    let expected = (2..6).map(|number| format!("g-{number}")).collect();
    assert_eq!(take(&stream, 4).await, expected);
    close(stream).await;
    assert_eq!(wire::committed(server.broker, "gap-makers", "gaps", 0), Some(6));
}

pub(crate) async fn a_consumer_goes_on_where_it_stopped(server: &Server) {
    let (client, producer) = server.with_topic("resumed").await;
    let before = send(&producer, "resumed", "before", 8).await;
    let stream = from_first(&client, "resumers", "resumed", "*").stream().await.unwrap();
    assert_eq!(take(&stream, 8).await, before);
    let report = stream.drain(PATIENCE).await;
    assert_eq!(report.abandoned, 0);
    assert_eq!(committed(server, "resumers", "resumed"), 8);

    let after = send(&producer, "resumed", "after", 8).await;
    let client = server.client().await;
    let stream = from_first(&client, "resumers", "resumed", "*").stream().await.unwrap();
    assert_eq!(take(&stream, 8).await, after);
    close(stream).await;
}

/// The sum of a group's committed offsets.
fn committed(server: &Server, group: &str, topic: &str) -> i64 {
    (0..QUEUES).filter_map(|queue| wire::committed(server.broker, group, topic, queue)).sum()
}
