//! Sending, against peers that do what a real broker will not do on demand.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

mod support;

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use oxmq::clock::{Clock, VirtualClock};
use oxmq::completions::{Bell, Completion, Completions, Outcome};
use oxmq::protocol::code::{RequestCode, ResponseCode};
use oxmq::protocol::command::RemotingCommand;
use oxmq::protocol::message::compression::CompressionType;
use oxmq::protocol::message::properties;
use oxmq::{
    Error, ErrorKind, Full, Message, MessageQueue, Producer, Receipt, SendOptions, Stored,
    StoredStatus,
};
use support::{Network, React, advance_until, broker, frame, refusal, settle, stored};

const STEP: Duration = Duration::from_millis(50);

struct Setting {
    network: Arc<Network>,
    clock: Arc<VirtualClock>,
    producer: Producer,
}

impl Setting {
    async fn new(network: Arc<Network>) -> Self {
        let clock = Arc::new(VirtualClock::new(1_700_000_000_000));
        let client = network.client(&clock).connect().await.unwrap();
        let producer = client.producer("service").start().await.unwrap();
        Self { network, clock, producer }
    }

    /// Sends one message, moving the clock as far as it takes.
    async fn send(&self, message: Message) -> Result<Receipt, Error> {
        let producer = self.producer.clone();
        let sending = tokio::spawn(async move { producer.send(message).await });
        advance_until(&self.clock, STEP, sending).await
    }

    fn sends(&self) -> Vec<(String, RemotingCommand)> {
        self.network.asked(RequestCode::SEND_MESSAGE_V2)
    }
}

/// The n-th answer of a script; the last one repeats.
fn in_turn<T: Clone + Send + 'static>(turns: Vec<T>) -> impl Fn() -> T + Send + Sync + use<T> {
    let turns = Mutex::new(turns);
    move || {
        let mut turns = turns.lock().unwrap();
        if turns.len() > 1 { turns.remove(0) } else { turns[0].clone() }
    }
}

fn unique_key(request: &RemotingCommand) -> String {
    properties::find(request.ext_fields.get("i").unwrap(), "UNIQ_KEY").unwrap().to_owned()
}

#[tokio::test]
async fn a_stored_message_is_told_where_it_is() {
    let network = Network::cluster(&["orders"], 1, 4);
    network.storing_broker(0);
    let setting = Setting::new(network).await;
    let receipt = setting.send(Message::new("orders", "body").tag("paid").key("k1")).await.unwrap();
    assert_eq!(receipt.status, StoredStatus::Stored);
    assert_eq!(receipt.offset_message_id, "0A00000100002A9F00000000000004D2");
    assert_eq!((receipt.queue_offset, receipt.attempts), (7, 1));
    assert_eq!(&*receipt.queue.broker_name, "broker-0");
    let (_, request) = setting.sends().remove(0);
    assert_eq!(receipt.message_id, unique_key(&request));
    assert_eq!(request.body, "body");
    let sent: Vec<_> = properties::iter(request.ext_fields.get("i").unwrap()).collect();
    assert_eq!(sent[..2], [("TAGS", "paid"), ("KEYS", "k1")]);
    assert_eq!(request.ext_fields.get("g"), Some("1700000000000"), "the clock is the client's");
}

#[tokio::test]
async fn statuses_short_of_durable_are_successes_that_say_so() {
    for (code, status) in [
        (ResponseCode::FLUSH_DISK_TIMEOUT, StoredStatus::FlushDiskTimeout),
        (ResponseCode::FLUSH_SLAVE_TIMEOUT, StoredStatus::FlushSlaveTimeout),
        (ResponseCode::SLAVE_NOT_AVAILABLE, StoredStatus::SlaveNotAvailable),
    ] {
        let network = Network::cluster(&["t"], 1, 1);
        network.script(&broker(0), move |request| {
            vec![React::Answer(RemotingCommand { code: code.0, ..stored(request) })]
        });
        let receipt = Setting::new(network).await.send(Message::new("t", "b")).await.unwrap();
        assert_eq!((receipt.status, receipt.attempts), (status, 1));
    }
}

#[tokio::test]
async fn an_answer_that_comes_byte_by_byte_is_put_together() {
    let network = Network::cluster(&["t"], 1, 1);
    network.script(&broker(0), |request| vec![React::Bytes(frame(&stored(request)))]);
    assert!(Setting::new(network).await.send(Message::new("t", "b")).await.is_ok());
}

#[tokio::test]
async fn an_answer_to_nobody_is_passed_over() {
    let network = Network::cluster(&["t"], 1, 1);
    network.script(&broker(0), |request| {
        let mut stray = refusal(request, ResponseCode::SYSTEM_ERROR, "for somebody else");
        stray.opaque ^= 0x55;
        vec![React::Answer(stray), React::Answer(stored(request))]
    });
    assert_eq!(Setting::new(network).await.send(Message::new("t", "b")).await.unwrap().attempts, 1);
}

#[tokio::test]
async fn a_silent_broker_leaves_it_unknown_whether_the_message_was_stored() {
    let network = Network::cluster(&["t"], 1, 1);
    network.script(&broker(0), |_| vec![]);
    let setting = Setting::new(network).await;
    let error = setting.send(Message::new("t", "b")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(error.stored(), Stored::Unknown);
    assert!(error.retryable());
    assert_eq!(error.attempts(), 3);
    assert!(error.to_string().contains("may have been stored"), "{error}");
    let keys: HashSet<_> = setting.sends().iter().map(|(_, sent)| unique_key(sent)).collect();
    assert_eq!((setting.sends().len(), keys.len()), (3, 1), "every attempt has the same id");
}

#[tokio::test]
async fn a_busy_broker_is_asked_again_after_a_pause() {
    let network = Network::cluster(&["t"], 1, 1);
    let busy = in_turn(vec![true, true, false]);
    network.script(&broker(0), move |request| {
        vec![React::Answer(if busy() {
            refusal(request, ResponseCode::SYSTEM_BUSY, "[OVERLOAD] later please")
        } else {
            stored(request)
        })]
    });
    let setting = Setting::new(network).await;
    let receipt = setting.send(Message::new("t", "b")).await.unwrap();
    assert_eq!(receipt.attempts, 3);
    let waited = setting.clock.monotonic();
    assert!((150..=450).contains(&waited.as_millis()), "50 ms and 100 ms, with jitter: {waited:?}");
}

#[tokio::test]
async fn two_hours_of_busy_pass_in_no_time() {
    let network = Network::cluster(&["t"], 1, 1);
    let clock = Arc::new(VirtualClock::new(0));
    network.script(&broker(0), {
        let clock = clock.clone();
        move |request| {
            let is_over = clock.monotonic() >= Duration::from_secs(2 * 60 * 60);
            vec![React::Answer(if is_over {
                stored(request)
            } else {
                refusal(request, ResponseCode::SYSTEM_BUSY, "come back in two hours")
            })]
        }
    });
    let client = network.client(&clock).connect().await.unwrap();
    let day = Duration::from_secs(24 * 60 * 60);
    let producer = client.producer("p").timeout(day).retries(100_000).start().await.unwrap();
    let sending = tokio::spawn(async move { producer.send(Message::new("t", "b")).await });
    let receipt = advance_until(&clock, Duration::from_secs(2), sending).await.unwrap();
    assert!(receipt.attempts > 1_800, "{}", receipt.attempts);
}

#[tokio::test]
async fn a_refusal_is_final_and_tells_why() {
    let network = Network::cluster(&["t"], 1, 1);
    network.script(&broker(0), |request| {
        vec![React::Answer(refusal(request, ResponseCode::MESSAGE_ILLEGAL, "body is too long"))]
    });
    let setting = Setting::new(network).await;
    let error = setting.send(Message::new("t", "b")).await.unwrap_err();
    assert_eq!((error.kind(), error.stored()), (ErrorKind::InvalidArgument, Stored::No));
    assert_eq!(setting.sends().len(), 1);
    assert_eq!(
        error.to_string(),
        "send `t` on queue 0 of broker-0 at broker-0:10911: MESSAGE_ILLEGAL (13): body is too long"
    );
}

#[tokio::test]
async fn a_connection_that_breaks_after_the_write_leaves_it_unknown() {
    let network = Network::cluster(&["t"], 1, 1);
    network.script(&broker(0), |_| vec![React::Close]);
    let error = Setting::new(network).await.send(Message::new("t", "b")).await.unwrap_err();
    assert_eq!((error.kind(), error.stored()), (ErrorKind::Unavailable, Stored::Unknown));
}

#[tokio::test]
async fn a_broker_that_cannot_be_reached_has_stored_nothing() {
    let network = Network::cluster(&["t"], 1, 1);
    let setting = Setting::new(network).await;
    let error = setting.send(Message::new("t", "b")).await.unwrap_err();
    assert_eq!((error.kind(), error.stored()), (ErrorKind::Unavailable, Stored::No));
    assert!(error.to_string().contains("cannot connect to broker-0:10911"), "{error}");
    assert!(error.hint().unwrap().contains("address_map"));
}

#[tokio::test]
async fn what_is_no_rocketmq_is_an_error_and_no_panic() {
    let network = Network::cluster(&["t"], 1, 1);
    network.script(&broker(0), |_| vec![React::Bytes(b"HTTP/1.1 400 Bad Request\r\n\r\n".into())]);
    let error = Setting::new(network).await.send(Message::new("t", "b")).await.unwrap_err();
    assert!(error.to_string().contains("not RocketMQ's protocol"), "{error}");
}

#[tokio::test]
async fn the_next_attempt_goes_to_another_broker_and_so_do_the_next_messages() {
    let network = Network::cluster(&["t"], 2, 4);
    network.script(&broker(0), |request| {
        vec![React::Answer(refusal(request, ResponseCode::SERVICE_NOT_AVAILABLE, "disk full"))]
    });
    network.storing_broker(1);
    let setting = Setting::new(network).await;
    for _ in 0..8 {
        let receipt = setting.send(Message::new("t", "b")).await.unwrap();
        assert_eq!(&*receipt.queue.broker_name, "broker-1");
        assert!(receipt.attempts <= 2);
    }
    let failed = setting.sends().iter().filter(|(address, _)| *address == broker(0)).count();
    assert!(failed <= 2, "a broker that failed is left alone for a while: {failed}");
}

#[tokio::test]
async fn queues_take_turns_and_shards_stay() {
    let network = Network::cluster(&["t"], 2, 2);
    (0..2).for_each(|n| network.storing_broker(n));
    let setting = Setting::new(network).await;
    let mut queues = HashSet::new();
    for _ in 0..4 {
        queues.insert(setting.send(Message::new("t", "b")).await.unwrap().queue);
    }
    assert_eq!(queues.len(), 4);
    let mut sharded = HashSet::new();
    for _ in 0..4 {
        let options = SendOptions { shard: Some("TagA".into()), ..SendOptions::default() };
        let receipt = setting.producer.send_with(Message::new("t", "b"), options).await.unwrap();
        sharded.insert(receipt.queue);
    }
    // Java's hash of it is 2598919, and 2598919 % 4 = 3.
    assert_eq!(sharded, [MessageQueue::new("t", "broker-1", 1)].into());
    let options = SendOptions {
        queue: Some(MessageQueue::new("t", "broker-0", 1)),
        ..SendOptions::default()
    };
    let chosen = setting.producer.send_with(Message::new("t", "b"), options).await.unwrap();
    assert_eq!(chosen.queue, MessageQueue::new("t", "broker-0", 1));
}

#[tokio::test]
async fn a_topic_that_nobody_makes_is_told_with_what_to_do() {
    let setting = Setting::new(Network::cluster(&[], 1, 1)).await;
    let error = setting.send(Message::new("orders", "b")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RouteNotFound);
    assert_eq!(
        error.to_string(),
        "send `orders` at name-server:9876: no route: the topic does not exist, and no broker \
         makes it by itself; create the topic, or turn the broker's autoCreateTopicEnable on"
    );
}

#[tokio::test]
async fn a_new_topic_is_sent_to_where_the_broker_will_make_it() {
    let network = Network::cluster(&["TBW102"], 1, 8);
    network.storing_broker(0);
    let setting = Setting::new(network).await;
    setting.send(Message::new("brand-new", "b")).await.unwrap();
    let (_, request) = setting.sends().remove(0);
    let fields = ["b", "c", "d"].map(|name| request.ext_fields.get(name).unwrap().to_owned());
    assert_eq!(fields, ["brand-new", "TBW102", "4"]);
}

#[tokio::test]
async fn long_bodies_travel_compressed() {
    let network = Network::cluster(&["t"], 1, 1);
    network.storing_broker(0);
    let setting = Setting::new(network).await;
    let body = "RocketMQ ".repeat(1_000);
    setting.send(Message::new("t", body.clone())).await.unwrap();
    setting.send(Message::new("t", vec![7; 4_096])).await.unwrap();
    let sent = setting.sends();
    let flags: i32 = sent[0].1.ext_fields.get("f").unwrap().parse().unwrap();
    let kind = CompressionType::from_sys_flag(flags).unwrap().unwrap();
    assert!(sent[0].1.body.len() < body.len() / 10);
    assert_eq!(kind.decompress(&sent[0].1.body, body.len()).unwrap(), body);
    assert_eq!(sent[1].1.ext_fields.get("f"), Some("0"), "not above the limit");
}

#[tokio::test]
async fn one_way_asks_for_no_answer() {
    let network = Network::cluster(&["t"], 1, 1);
    network.script(&broker(0), |_| vec![]);
    let setting = Setting::new(network).await;
    setting.producer.send_oneway(Message::new("t", "b")).await.unwrap();
    settle().await;
    assert!(setting.sends()[0].1.is_one_way());
}

#[tokio::test]
async fn wrong_messages_go_nowhere() {
    let network = Network::cluster(&["t"], 1, 1);
    let setting = Setting::new(network).await;
    for message in [
        Message::new("a/b", "x"),
        Message::new("t", ""),
        Message::new("t", vec![0; 4 * 1024 * 1024 + 1]),
        Message::new("t", "x").tag("a\u{1}b"),
    ] {
        let error = setting.producer.send(message).await.unwrap_err();
        assert_eq!((error.kind(), error.stored()), (ErrorKind::InvalidArgument, Stored::No));
    }
    assert!(setting.sends().is_empty());
}

#[tokio::test]
async fn a_second_name_server_answers_for_a_dead_first() {
    let network = Network::cluster(&["t"], 1, 1);
    network.storing_broker(0);
    let clock = Arc::new(VirtualClock::new(0));
    for seed in 0..4 {
        let client = oxmq::Client::builder(format!("dead:1;{}", support::NAME_SERVER))
            .transport(Arc::new(support::InMemory(network.clone())))
            .clock(clock.clone())
            .seed(seed)
            .connect()
            .await
            .unwrap();
        let producer = client.producer("p").start().await.unwrap();
        assert!(producer.send(Message::new("t", "b")).await.is_ok());
    }
    assert!(network.dials("dead:1") > 0);
}

#[tokio::test]
async fn advertised_addresses_can_be_translated() {
    let network = Network::cluster(&["t"], 1, 1);
    network.script("localhost:32771", |request| vec![React::Answer(stored(request))]);
    let clock = Arc::new(VirtualClock::new(0));
    let map = [(broker(0), "localhost:32771")];
    let client = network.client(&clock).address_map(map).connect().await.unwrap();
    let producer = client.producer("p").start().await.unwrap();
    assert!(producer.send(Message::new("t", "b")).await.is_ok());
    assert_eq!(network.dials("localhost:32771"), 1);
}

#[tokio::test]
async fn nobody_listening_is_told_at_connect() {
    let network = Arc::new(Network::default());
    let clock = Arc::new(VirtualClock::new(0));
    let error = network.client(&clock).connect().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("broker-dev"), "{error}");
}

#[tokio::test]
async fn a_closed_client_sends_nothing() {
    let network = Network::cluster(&["t"], 1, 1);
    network.storing_broker(0);
    let clock = Arc::new(VirtualClock::new(0));
    let client = network.client(&clock).connect().await.unwrap();
    let producer = client.producer("p").start().await.unwrap();
    client.close();
    let error = producer.send(Message::new("t", "b")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
    assert_eq!(client.producer("p").start().await.unwrap_err().kind(), ErrorKind::Closed);
}

struct Rings(AtomicUsize);
struct RingCounter(Arc<Rings>);
impl Bell for RingCounter {
    fn ring(&self) {
        self.0.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn drain(completions: &Completions) -> Vec<Completion> {
    let mut out = Vec::new();
    while completions.drain(&mut out, 100) {}
    out
}

#[tokio::test]
async fn submitted_sends_come_out_of_the_queue_and_ring_once() {
    let network = Network::cluster(&["t"], 1, 4);
    network.storing_broker(0);
    let setting = Setting::new(network).await;
    let rings = Arc::new(Rings(AtomicUsize::new(0)));
    let completions = Arc::new(Completions::new(Box::new(RingCounter(rings.clone()))));
    let messages = (0..50).map(|n| Message::new("t", format!("{n}"))).collect();
    setting.producer.submit_many(messages, 100, &completions).unwrap();
    setting.producer.submit(Message::new("t", "x"), 7, &completions).unwrap();
    setting.producer.submit(Message::new("t", ""), 8, &completions).unwrap();
    assert_eq!(setting.producer.pending(), 52);
    settle().await;
    assert_eq!(rings.0.load(Ordering::SeqCst), 1);
    let outcomes = drain(&completions);
    let tags: HashSet<_> = outcomes.iter().map(|one| one.tag).collect();
    assert_eq!(tags, (100..150).chain([7, 8]).collect());
    for completion in outcomes {
        match completion.outcome {
            Ok(Outcome::Receipt(receipt)) => assert_eq!(receipt.attempts, 1),
            Err(error) => {
                assert_eq!((completion.tag, error.kind()), (8, ErrorKind::InvalidArgument))
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(setting.producer.pending(), 0);
}

#[tokio::test]
async fn more_submissions_than_allowed_are_given_back() {
    let network = Network::cluster(&["t"], 1, 1);
    network.script(&broker(0), |_| vec![]);
    let clock = Arc::new(VirtualClock::new(0));
    let client = network.client(&clock).connect().await.unwrap();
    let producer = client.producer("p").max_pending(2).start().await.unwrap();
    let rings = Arc::new(Rings(AtomicUsize::new(0)));
    let completions = Arc::new(Completions::new(Box::new(RingCounter(rings))));
    producer.submit(Message::new("t", "1"), 1, &completions).unwrap();
    let many = vec![Message::new("t", "2"), Message::new("t", "3")];
    let Err(Full(many)) = producer.submit_many(many, 2, &completions) else { panic!("full") };
    assert_eq!(many.len(), 2);
    producer.submit(Message::new("t", "2"), 2, &completions).unwrap();
    assert!(producer.submit(Message::new("t", "3"), 3, &completions).is_err());
}

#[tokio::test]
async fn a_cancelled_submission_is_not_tried_again() {
    let network = Network::cluster(&["t"], 1, 1);
    network.script(&broker(0), |request| {
        vec![React::Answer(refusal(request, ResponseCode::SYSTEM_BUSY, "later"))]
    });
    let setting = Setting::new(network).await;
    let rings = Arc::new(Rings(AtomicUsize::new(0)));
    let completions = Arc::new(Completions::new(Box::new(RingCounter(rings))));
    setting.producer.submit(Message::new("t", "b"), 1, &completions).unwrap();
    settle().await;
    setting.producer.cancel(1);
    setting.clock.advance(Duration::from_secs(1)).await;
    settle().await;
    let outcome = drain(&completions).remove(0).outcome.unwrap_err();
    assert_eq!((outcome.kind(), outcome.attempts()), (ErrorKind::Closed, 1));
    assert_eq!(setting.sends().len(), 1);
}

#[tokio::test]
async fn submissions_of_a_producer_that_goes_away_end() {
    let network = Network::cluster(&["t"], 1, 1);
    network.storing_broker(0);
    let setting = Setting::new(network).await;
    let rings = Arc::new(Rings(AtomicUsize::new(0)));
    let completions = Arc::new(Completions::new(Box::new(RingCounter(rings))));
    setting.producer.submit(Message::new("t", "b"), 1, &completions).unwrap();
    drop(setting.producer);
    settle().await;
    assert_eq!(drain(&completions).len(), 1, "stored or not, it is told");
}
