//! What an application is promised, whatever server is behind: one function a promise, with the
//! Rust client. Python and Node repeat the names.

mod consume;
mod produce;
mod share;

pub(crate) use consume::*;
pub(crate) use produce::*;
pub(crate) use share::*;

use std::any::Any;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use oxmq::clock::{SystemClock, sleep, timeout};
use oxmq::{
    Client, ConsumeFrom, ConsumerStream, Delivery, Message, Producer, PushConsumerBuilder, Selector,
};
use oxmq_tests::wire;

/// Queues of the topics made here.
pub(crate) const QUEUES: u32 = 4;
/// Longer than anything takes here, delay levels and rebalances of Apache's included.
const PATIENCE: Duration = Duration::from_secs(40);

/// A name server and a broker, and whatever keeps them running.
pub(crate) struct Server {
    pub(crate) name_server: SocketAddr,
    pub(crate) broker: SocketAddr,
    /// Whether it tells a group that has committed nothing from one that has committed 0. Apache
    /// does so from 5.0 on; before, a new group begins at 0 whatever it asks for, as long as the
    /// queue still has its first message.
    pub(crate) knows_new_groups: bool,
    pub(crate) keep: Box<dyn Any>,
}

impl Server {
    async fn client(&self) -> Client {
        Client::builder(self.name_server.to_string()).connect().await.unwrap()
    }

    /// Makes the topic, and a client with a producer.
    async fn with_topic(&self, topic: &str) -> (Client, Producer) {
        wire::create_topic(self.broker, topic, QUEUES);
        let client = self.client().await;
        let producer = client.producer("promises").start().await.unwrap();
        (client, producer)
    }

    /// How many messages a topic has had in all its queues.
    fn stored(&self, topic: &str, queues: u32) -> i64 {
        (0..queues).map(|queue| wire::max_offset(self.broker, topic, queue)).sum()
    }
}

/// A consumer from the beginning on.
fn from_first(
    client: &Client,
    group: &str,
    topic: &str,
    wanted: impl Into<Selector>,
) -> PushConsumerBuilder {
    client.push_consumer(group).subscribe(topic, wanted).consume_from(ConsumeFrom::First)
}

/// Sends numbered messages: bodies and keys `PREFIX-0`, `PREFIX-1` …
async fn send(producer: &Producer, topic: &str, prefix: &str, count: usize) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    for number in 0..count {
        let key = format!("{prefix}-{number}");
        producer.send(Message::new(topic, key.clone()).key(&key)).await.unwrap();
        keys.insert(key);
    }
    keys
}

/// The next message, which must come.
async fn next(stream: &ConsumerStream) -> Delivery {
    let delivery = timeout(&SystemClock::new(), PATIENCE, stream.next()).await;
    delivery.expect("a message in time").expect("an open stream")
}

/// Takes and acknowledges so many: their keys.
async fn take(stream: &ConsumerStream, count: usize) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    for _ in 0..count {
        let delivery = next(stream).await;
        delivery.ack().await.unwrap();
        assert!(keys.insert(key(&delivery)), "{} came twice", key(&delivery));
    }
    keys
}

fn key(delivery: &Delivery) -> String {
    delivery.keys().collect()
}

/// Waits until something that no event tells of is so.
async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let clock = SystemClock::new();
    let waiting = async {
        while !is_so() {
            sleep(&clock, Duration::from_millis(20)).await;
        }
    };
    timeout(&clock, PATIENCE, waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
}

/// Ends a consumer that has settled all it got.
async fn close(stream: ConsumerStream) {
    let report = stream.drain(PATIENCE).await;
    assert_eq!(report.abandoned, 0, "{report:?}");
}

/// One test a promise, on servers from `$server`.
#[macro_export]
macro_rules! promises {
    ($server:expr) => {
        $crate::promises!(@each $server;
            a_message_comes_back_whole,
            a_topic_comes_to_be_with_its_first_message,
            sends_use_every_queue_in_order,
            a_queue_can_be_chosen,
            large_bodies_come_back_whole,
            a_oneway_send_arrives,
            delayed_messages_arrive_later,
            bad_names_are_refused_before_they_are_sent,
            tags_filter,
            conditions_filter,
            a_new_group_begins_at_the_end,
            a_handler_acknowledges,
            a_handlers_error_delivers_again,
            nack_delivers_again,
            reject_leads_to_the_dead_letters,
            acks_in_any_order_commit_only_what_is_whole,
            a_consumer_goes_on_where_it_stopped,
            two_groups_each_see_everything,
            two_members_share_the_queues,
            a_dead_members_queues_move,
        );
    };
    (@each $server:expr; $($promise:ident,)+) => {
        $(
            #[test]
            fn $promise() {
                let Some(server) = $server() else { return };
                let runtime = tokio::runtime::Runtime::new().unwrap();
                runtime.block_on($crate::promises::$promise(&server));
                drop(runtime);
                drop(server.keep);
            }
        )+
    };
}
