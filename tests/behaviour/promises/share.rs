//! Groups and their members.

use std::collections::BTreeSet;

use oxmq::{ConsumerStream, MessageQueue};

use super::{QUEUES, Server, close, from_first, send, take, until};

pub(crate) async fn two_groups_each_see_everything(server: &Server) {
    let (client, producer) = server.with_topic("both").await;
    let sent = send(&producer, "both", "b", 8).await;
    for group in ["both-one", "both-two"] {
        let stream = from_first(&client, group, "both", "*").stream().await.unwrap();
        assert_eq!(take(&stream, 8).await, sent, "{group}");
        close(stream).await;
    }
}

pub(crate) async fn two_members_share_the_queues(server: &Server) {
    let (client, producer) = server.with_topic("shared").await;
    let other_client = server.client().await;
    let one = from_first(&client, "sharers", "shared", "*").stream().await.unwrap();
    holds(&one, 4).await;
    let other = from_first(&other_client, "sharers", "shared", "*").stream().await.unwrap();
    holds(&one, 2).await;
    holds(&other, 2).await;
    let all: BTreeSet<_> = queues(&one).into_iter().chain(queues(&other)).collect();
    assert_eq!(all.len(), 4, "no queue has two members");

    let sent = send(&producer, "shared", "s", 12).await;
    let mut received = take(&one, 6).await;
    received.extend(take(&other, 6).await);
    assert_eq!(received, sent);

    close(other).await;
    holds(&one, 4).await;
    let sent = send(&producer, "shared", "alone", 8).await;
    assert_eq!(take(&one, 8).await, sent);
    close(one).await;
}

pub(crate) async fn a_dead_members_queues_move(server: &Server) {
    let (client, producer) = server.with_topic("moved").await;
    let other_client = server.client().await;
    let one = from_first(&client, "movers", "moved", "*").stream().await.unwrap();
    let other = from_first(&other_client, "movers", "moved", "*").stream().await.unwrap();
    holds(&one, 2).await;
    holds(&other, 2).await;
    // Its connections break without a word, as when its process is killed.
    other_client.close();
    drop(other);
    holds(&one, 4).await;
    let sent = send(&producer, "moved", "m", 8).await;
    assert_eq!(take(&one, 8).await, sent);
    close(one).await;
}

async fn holds(member: &ConsumerStream, count: usize) {
    let what = format!("a member holds {count} of {QUEUES} queues");
    until(&what, || queues(member).len() == count).await;
}

fn queues(member: &ConsumerStream) -> Vec<(String, i32)> {
    let name = |queue: MessageQueue| (queue.topic.to_string(), queue.queue_id);
    member.assignment().into_iter().map(name).collect()
}
