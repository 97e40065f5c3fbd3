//! Receiving, against a broker in memory that can be told to be odd.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]
#![allow(clippy::cast_possible_truncation, reason = "small numbers of tests")]

mod support;

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use oxmq::clock::VirtualClock;
use oxmq::completions::{Bell, Completions};
use oxmq::protocol::body::{Body, GetConsumerListByGroupResponseBody, HeartbeatData};
use oxmq::protocol::code::{RequestCode, ResponseCode};
use oxmq::protocol::command::RemotingCommand;
use oxmq::protocol::header::{
    ConsumerGroupRequestHeader, ConsumerSendMsgBackRequestHeader, OffsetResponseHeader,
    PullMessageRequestHeader, PullMessageResponseHeader, UpdateConsumerOffsetRequestHeader,
};
use oxmq::protocol::message::batch::{self, BatchItem};
use oxmq::protocol::message::compression::CompressionType;
use oxmq::protocol::message::record::{Record, body_crc};
use oxmq::protocol::message::sys_flag;
use oxmq::{
    Ack, Client, ConsumeFrom, ConsumerStream, Delivery, ErrorKind, MessageQueue,
    PushConsumerBuilder, Taken, Verdict,
};
use support::{NAME_SERVER, Network, React, broker, ok, refusal, route, settle};

const TOPIC: &str = "orders";
const GROUP: &str = "billing";
const RETRY: &str = "%RETRY%billing";
const SECOND: Duration = Duration::from_secs(1);

/// What the broker holds, and how it behaves.
#[derive(Default)]
struct State {
    /// Messages by topic and queue, from offset 0.
    queues: HashMap<(String, i32), Vec<Stored>>,
    committed: HashMap<(String, i32), i64>,
    members: Vec<String>,
    /// Whether a heartbeat makes a member.
    lists_members: bool,
    handed_back: Vec<ConsumerSendMsgBackRequestHeader>,
    refuses_hand_back: bool,
    /// Offsets below this one are gone.
    min_offset: i64,
    /// Pulls that wait; each is answered when asked again.
    pulls: VecDeque<PullMessageRequestHeader>,
}

#[derive(Clone, Default)]
struct Stored {
    body: Vec<u8>,
    properties: String,
    sys_flag: i32,
    reconsume_times: i32,
}

fn message(body: &str) -> Stored {
    Stored { body: body.into(), ..Stored::default() }
}

fn tagged(body: &str, tag: &str) -> Stored {
    Stored { properties: format!("TAGS\u{1}{tag}\u{2}"), ..message(body) }
}

struct Setting {
    network: Arc<Network>,
    clock: Arc<VirtualClock>,
    state: Arc<Mutex<State>>,
    client: Client,
}

impl Setting {
    /// A broker whose topic has so many queues.
    async fn new(queues: i32) -> Self {
        let network = Network::cluster(&[TOPIC, RETRY], 1, queues);
        let state = Arc::new(Mutex::new(State { lists_members: true, ..State::default() }));
        let heard = state.clone();
        network.script_all(&broker(0), move |request| react(&mut heard.lock().unwrap(), request));
        let clock = Arc::new(VirtualClock::new(1_700_000_000_000));
        let client = network.client(&clock).connect().await.unwrap();
        Self { network, clock, state, client }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn put(&self, queue: i32, messages: impl IntoIterator<Item = Stored>) {
        self.put_into(TOPIC, queue, messages);
    }

    fn put_into(&self, topic: &str, queue: i32, messages: impl IntoIterator<Item = Stored>) {
        self.state().queues.entry((topic.into(), queue)).or_default().extend(messages);
    }

    fn consumer(&self) -> PushConsumerBuilder {
        self.client.push_consumer(GROUP).subscribe(TOPIC, "*").consume_from(ConsumeFrom::First)
    }

    /// Lets time pass: pulls that found nothing are asked again.
    async fn pass(&self, time: Duration) {
        settle().await;
        self.clock.advance(time).await;
        settle().await;
    }

    fn committed(&self, queue: i32) -> Option<i64> {
        self.state().committed.get(&(TOPIC.to_owned(), queue)).copied()
    }

    async fn deliveries(&self, stream: &ConsumerStream, count: usize) -> Vec<Delivery> {
        let mut out = Vec::new();
        for _ in 0..100 {
            settle().await;
            stream.take(1_000, usize::MAX, &mut out);
            if out.len() >= count {
                break;
            }
            self.clock.advance(SECOND).await;
        }
        assert_eq!(out.len(), count, "{out:?}");
        out
    }
}

fn bodies(deliveries: &[Delivery]) -> Vec<&str> {
    let mut bodies: Vec<_> =
        deliveries.iter().map(|one| std::str::from_utf8(&one.body).unwrap()).collect();
    bodies.sort_unstable();
    bodies
}

fn react(state: &mut State, request: &RemotingCommand) -> Vec<React> {
    let queue = || {
        let topic = request.ext_fields.get("topic").unwrap().to_owned();
        (topic, request.ext_fields.required("queueId").unwrap())
    };
    let offset = |offset| ok(request).with_header(&OffsetResponseHeader { offset });
    let answer = match request.request_code() {
        RequestCode::HEART_BEAT => {
            let id = HeartbeatData::decode(&request.body).unwrap().client_id;
            if state.lists_members && !state.members.contains(&id) {
                state.members.push(id);
            }
            ok(request)
        }
        RequestCode::UNREGISTER_CLIENT => {
            let id = request.ext_fields.get("clientID").unwrap();
            state.members.retain(|member| member != id);
            ok(request)
        }
        RequestCode::GET_CONSUMER_LIST_BY_GROUP => {
            let consumer_id_list = state.members.clone();
            let body = GetConsumerListByGroupResponseBody { consumer_id_list };
            ok(request).with_body(body.encode())
        }
        RequestCode::QUERY_CONSUMER_OFFSET => match state.committed.get(&queue()) {
            Some(committed) => offset(*committed),
            None => refusal(request, ResponseCode::QUERY_NOT_FOUND, "no offset"),
        },
        RequestCode::GET_MIN_OFFSET => offset(state.min_offset),
        RequestCode::GET_MAX_OFFSET => {
            offset(state.queues.get(&queue()).map_or(0, Vec::len) as i64)
        }
        RequestCode::SEARCH_OFFSET_BY_TIMESTAMP => {
            offset(request.ext_fields.required("timestamp").unwrap())
        }
        RequestCode::UPDATE_CONSUMER_OFFSET => {
            let header: UpdateConsumerOffsetRequestHeader = request.header().unwrap();
            state.committed.insert((header.topic, header.queue_id), header.commit_offset);
            ok(request)
        }
        RequestCode::CONSUMER_SEND_MSG_BACK if state.refuses_hand_back => {
            refusal(request, ResponseCode::SYSTEM_ERROR, "not now")
        }
        RequestCode::CONSUMER_SEND_MSG_BACK => {
            state.handed_back.push(request.header().unwrap());
            ok(request)
        }
        RequestCode::PULL_MESSAGE => return pull(state, request),
        code => panic!("nobody asked for {code}"),
    };
    vec![React::Answer(answer)]
}

/// Answers at once when there is something; else the request stays unanswered until its timeout,
/// which a virtual clock makes short.
fn pull(state: &mut State, request: &RemotingCommand) -> Vec<React> {
    let header: PullMessageRequestHeader = request.header().unwrap();
    state.pulls.push_back(header.clone());
    let key = (header.topic.clone(), header.queue_id);
    if header.sys_flag & 1 != 0 {
        state.committed.insert(key.clone(), header.commit_offset);
    }
    let stored = state.queues.get(&key).cloned().unwrap_or_default();
    let place = |next: i64| PullMessageResponseHeader {
        suggest_which_broker_id: 0,
        next_begin_offset: next,
        min_offset: state.min_offset,
        max_offset: stored.len() as i64,
        offset_delta: None,
        topic_sys_flag: None,
        group_sys_flag: None,
        forbidden_type: None,
    };
    if header.queue_offset < state.min_offset {
        let moved = refusal(request, ResponseCode::PULL_OFFSET_MOVED, "too small");
        return vec![React::Answer(moved.with_header(&place(state.min_offset)))];
    }
    let from = header.queue_offset as usize;
    let count = (header.max_msg_nums as usize).min(stored.len().saturating_sub(from));
    if count == 0 {
        return vec![];
    }
    let mut body = Vec::new();
    for (offset, one) in (from..).zip(&stored[from..from + count]) {
        let record = Record {
            body_crc: body_crc(&one.body),
            queue_id: header.queue_id,
            flag: 0,
            queue_offset: offset as i64,
            physical_offset: 1_000 + offset as i64,
            sys_flag: one.sys_flag,
            born_timestamp: 1,
            born_host: ([10, 0, 0, 9], 5).into(),
            store_timestamp: 2,
            store_host: ([10, 0, 0, 1], 10911).into(),
            reconsume_times: one.reconsume_times,
            prepared_transaction_offset: 0,
            body: &one.body,
            topic: &header.topic,
            properties: &one.properties,
        };
        let start = body.len();
        body.resize(start + record.encoded_length(), 0);
        record.encode(&mut body[start..]).unwrap();
    }
    let next = header.queue_offset + count as i64;
    vec![React::Answer(ok(request).with_header(&place(next)).with_body(body))]
}

#[tokio::test]
async fn acks_in_any_order_commit_the_contiguous_prefix() {
    let setting = Setting::new(1).await;
    setting.put(0, (0..4).map(|n| message(&n.to_string())));
    let stream = setting.consumer().stream().await.unwrap();
    let deliveries = setting.deliveries(&stream, 4).await;
    for acked in [2, 1] {
        deliveries[acked].ack().await.unwrap();
    }
    stream.commit().await.unwrap();
    assert_eq!(setting.committed(0), Some(0), "the first is still in flight");
    deliveries[0].ack().await.unwrap();
    setting.pass(5 * SECOND).await;
    assert_eq!(setting.committed(0), Some(3), "told by itself every 5 s");
}

#[tokio::test]
async fn a_delivery_tells_what_was_sent() {
    let setting = Setting::new(1).await;
    let properties = "TAGS\u{1}paid\u{2}KEYS\u{1}a b\u{2}UNIQ_KEY\u{1}ID7\u{2}mine\u{1}x\u{2}";
    setting.put(0, [Stored { properties: properties.into(), ..message("body") }]);
    let stream = setting.consumer().stream().await.unwrap();
    let delivery = setting.deliveries(&stream, 1).await.remove(0);
    assert_eq!((&*delivery.topic, &delivery.body[..]), (TOPIC, &b"body"[..]));
    assert_eq!(delivery.tag(), Some("paid"));
    assert_eq!(delivery.keys().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(delivery.message_id(), "ID7");
    assert_eq!(delivery.offset_message_id(), "0A00000100002A9F00000000000003E8");
    assert_eq!(delivery.property("mine"), Some("x"));
    assert_eq!(delivery.queue(), &MessageQueue::new(TOPIC, "broker-0", 0));
    assert_eq!((delivery.queue_offset, delivery.reconsume_times), (0, 0));
    assert_eq!((delivery.born_timestamp, delivery.store_timestamp), (1, 2));
}

#[tokio::test]
async fn tags_with_equal_hashes_are_told_apart() {
    let setting = Setting::new(1).await;
    setting.put(0, [tagged("yes", "Aa"), tagged("no", "BB"), message("no tag")]);
    let stream = setting.client.push_consumer(GROUP).subscribe(TOPIC, "Aa || C");
    let stream = stream.consume_from(ConsumeFrom::First).stream().await.unwrap();
    let deliveries = setting.deliveries(&stream, 1).await;
    assert_eq!(bodies(&deliveries), ["yes"]);
    deliveries[0].ack().await.unwrap();
    stream.commit().await.unwrap();
    assert_eq!(setting.committed(0), Some(3), "what is filtered out is passed");
    let pull = setting.state().pulls[0].clone();
    assert_eq!(pull.subscription.as_deref(), Some("Aa || C"));
}

#[tokio::test]
async fn compressed_bodies_arrive_as_they_were_sent() {
    let setting = Setting::new(1).await;
    for kind in [CompressionType::Zlib, CompressionType::Lz4, CompressionType::Zstd] {
        let body = kind.compress(b"plain", 1).unwrap().to_vec();
        setting.put(0, [Stored { body, sys_flag: kind.to_sys_flag(), ..Stored::default() }]);
    }
    let stream = setting.consumer().stream().await.unwrap();
    assert_eq!(bodies(&setting.deliveries(&stream, 3).await), ["plain"; 3]);
}

/// An inner batch: one record that takes as many places as it has messages.
fn batch_of(items: &[(&str, &str)]) -> Vec<Stored> {
    let encoded: Vec<_> = items
        .iter()
        .map(|(body, tag)| BatchItem {
            flag: 7,
            body: body.as_bytes().to_vec().into(),
            properties: format!("TAGS\u{1}{tag}\u{2}"),
        })
        .collect();
    let first = Stored {
        body: batch::encode(&encoded).unwrap().to_vec(),
        properties: format!("INNER_NUM\u{1}{}\u{2}INNER_BASE\u{1}0\u{2}", items.len()),
        sys_flag: sys_flag::INNER_BATCH | sys_flag::NEED_UNWRAP,
        ..Stored::default()
    };
    let places = std::iter::repeat_n(message("inside the batch"), items.len() - 1);
    std::iter::once(first).chain(places).collect()
}

#[tokio::test]
async fn the_messages_of_an_inner_batch_arrive_one_by_one() {
    let setting = Setting::new(1).await;
    setting.put(0, batch_of(&[("a", "x"), ("b", "y"), ("c", "x")]));
    setting.put(0, [tagged("d", "x")]);
    let stream = setting.consumer().stream().await.unwrap();
    let deliveries = setting.deliveries(&stream, 4).await;
    assert_eq!(bodies(&deliveries), ["a", "b", "c", "d"]);
    let places: Vec<_> = deliveries.iter().map(|d| (d.queue_offset, d.flag)).collect();
    assert_eq!(places, [(0, 7), (1, 7), (2, 7), (3, 0)]);
    assert_eq!(deliveries[1].tag(), Some("y"));
    for delivery in &deliveries[..2] {
        delivery.ack().await.unwrap();
    }
    stream.commit().await.unwrap();
    assert_eq!(setting.committed(0), Some(2), "the third is still in flight");
}

#[tokio::test]
async fn an_inner_batch_that_cannot_be_read_goes_to_the_dead_letters() {
    let setting = Setting::new(1).await;
    let mut broken = batch_of(&[("a", "x")]);
    broken[0].body.truncate(9);
    setting.put(0, broken);
    setting.put(0, [message("after")]);
    let stream = setting.consumer().stream().await.unwrap();
    assert_eq!(bodies(&setting.deliveries(&stream, 1).await), ["after"]);
    settle().await;
    assert_eq!(setting.state().handed_back.len(), 1);
}

#[tokio::test]
async fn a_body_that_cannot_be_read_goes_to_the_dead_letters_and_holds_nothing_up() {
    let setting = Setting::new(1).await;
    setting.put(0, [Stored { sys_flag: 1, ..message("no zlib") }, message("fine")]);
    let stream = setting.consumer().stream().await.unwrap();
    let deliveries = setting.deliveries(&stream, 1).await;
    assert_eq!(bodies(&deliveries), ["fine"]);
    assert_eq!(setting.state().handed_back[0].delay_level, -1);
}

#[tokio::test]
async fn a_new_group_starts_where_it_was_told_to() {
    for (from, start) in
        [(ConsumeFrom::First, 0), (ConsumeFrom::Last, 5), (ConsumeFrom::Timestamp(3), 3)]
    {
        let setting = Setting::new(1).await;
        setting.put(0, (0..5).map(|n| message(&n.to_string())));
        let builder = setting.client.push_consumer(GROUP).subscribe(TOPIC, "*");
        let _stream = builder.consume_from(from).stream().await.unwrap();
        assert_eq!(setting.state().pulls[0].queue_offset, start, "{from:?}");
        assert_eq!(setting.committed(0), Some(start), "and the broker knows at once");
    }
}

#[tokio::test]
async fn a_group_goes_on_at_its_committed_offset() {
    let setting = Setting::new(1).await;
    setting.put(0, (0..5).map(|n| message(&n.to_string())));
    setting.state().committed.insert((TOPIC.into(), 0), 4);
    let stream = setting.consumer().stream().await.unwrap();
    assert_eq!(bodies(&setting.deliveries(&stream, 1).await), ["4"]);
}

#[tokio::test]
async fn a_topic_that_appears_later_is_read_from_its_beginning() {
    let setting = Setting::new(1).await;
    let network = setting.network.clone();
    let known = route(1, 1);
    network.script(NAME_SERVER, |request| {
        vec![React::Answer(refusal(request, ResponseCode::TOPIC_NOT_EXIST, "not yet"))]
    });
    let builder = setting.client.push_consumer(GROUP).subscribe(TOPIC, "*");
    let stream = builder.consume_from(ConsumeFrom::Last).stream().await.unwrap();
    assert!(stream.assignment().is_empty());
    setting.put(0, [message("sent before the consumer noticed")]);
    network.script(NAME_SERVER, move |request| {
        vec![React::Answer(ok(request).with_body(known.encode()))]
    });
    assert_eq!(setting.deliveries(&stream, 1).await.len(), 1);
}

#[tokio::test]
async fn a_notice_of_new_members_hands_queues_over_with_their_offsets() {
    let setting = Setting::new(4).await;
    (0..4).for_each(|queue| setting.put(queue, [message("m")]));
    let stream = setting.consumer().stream().await.unwrap();
    assert_eq!(stream.assignment().len(), 4);
    for delivery in setting.deliveries(&stream, 4).await {
        delivery.ack().await.unwrap();
    }
    setting.state().members.push("~ the last in order".into());
    let header = ConsumerGroupRequestHeader { consumer_group: GROUP.into() };
    let code = RequestCode::NOTIFY_CONSUMER_IDS_CHANGED;
    setting.network.push(&broker(0), RemotingCommand::one_way(code, &header)).await;
    settle().await;
    let ids: Vec<_> = stream.assignment().iter().map(|queue| queue.queue_id).collect();
    assert_eq!(ids, [0, 1]);
    assert_eq!((setting.committed(2), setting.committed(3)), (Some(1), Some(1)));
}

#[tokio::test]
async fn a_broker_that_forgot_this_member_takes_no_queues_away() {
    let setting = Setting::new(2).await;
    let stream = setting.consumer().stream().await.unwrap();
    assert_eq!(stream.assignment().len(), 2);
    {
        let mut state = setting.state();
        state.lists_members = false;
        state.members = vec!["somebody else".into()];
    }
    setting.pass(25 * SECOND).await;
    assert_eq!(stream.assignment().len(), 2);
}

#[tokio::test]
async fn a_broker_that_was_restarted_is_told_who_we_are_at_once() {
    let setting = Setting::new(2).await;
    let stream = setting.consumer().stream().await.unwrap();
    assert_eq!(setting.state().members.len(), 1);
    setting.state().members.clear();
    setting.network.disconnect(&broker(0));
    setting.pass(2 * SECOND).await;
    assert_eq!(setting.state().members.len(), 1, "long before the next heartbeat is due");
    assert_eq!(stream.assignment().len(), 2);
}

#[tokio::test]
async fn an_offset_that_is_gone_moves_on() {
    let setting = Setting::new(1).await;
    setting.put(0, (0..5).map(|n| message(&n.to_string())));
    setting.state().committed.insert((TOPIC.into(), 0), 1);
    setting.state().min_offset = 3;
    let stream = setting.consumer().stream().await.unwrap();
    assert_eq!(bodies(&setting.deliveries(&stream, 2).await), ["3", "4"]);
    assert_eq!(setting.committed(0), Some(3));
}

#[tokio::test]
async fn no_more_is_pulled_than_may_be_in_flight() {
    let setting = Setting::new(1).await;
    setting.put(0, (0..20).map(|n| message(&n.to_string())));
    let stream = setting.consumer().max_in_flight(8).stream().await.unwrap();
    let first = setting.deliveries(&stream, 8).await;
    let pulls = |state: &State| state.pulls.iter().filter(|pull| pull.topic == TOPIC).count();
    assert_eq!(pulls(&setting.state()), 1);
    setting.pass(60 * SECOND).await;
    assert_eq!(pulls(&setting.state()), 1, "no polling while there is no room");
    first[0].ack().await.unwrap();
    settle().await;
    assert_eq!(pulls(&setting.state()), 1, "one place is not worth a request");
    first[1].ack().await.unwrap();
    let next = setting.deliveries(&stream, 2).await;
    assert_eq!(bodies(&next), ["8", "9"]);
}

#[tokio::test]
async fn a_nack_goes_to_the_broker_with_the_level_of_its_delay() {
    let setting = Setting::new(1).await;
    setting.put(0, (0..3).map(|n| message(&n.to_string())));
    let consumer = setting.consumer().max_reconsume_times(3);
    let stream = consumer.stream().await.unwrap();
    let deliveries = setting.deliveries(&stream, 3).await;
    deliveries[0].nack(Duration::from_secs(10)).await.unwrap();
    deliveries[1].nack(Duration::ZERO).await.unwrap();
    deliveries[2].reject("cannot be read").await.unwrap();
    let levels: Vec<_> = {
        let state = setting.state();
        let header = &state.handed_back[0];
        assert_eq!((header.offset, header.max_reconsume_times), (1_000, Some(3)));
        assert_eq!(header.origin_topic.as_deref(), Some(TOPIC));
        state.handed_back.iter().map(|header| header.delay_level).collect()
    };
    assert_eq!(levels, [3, 0, -1]);
    deliveries[0].nack(Duration::ZERO).await.unwrap();
    assert_eq!(setting.state().handed_back.len(), 3, "settled once");
    stream.commit().await.unwrap();
    assert_eq!(setting.committed(0), Some(3));
}

#[tokio::test]
async fn a_nack_that_does_not_arrive_is_an_error_and_the_message_stays_in_flight() {
    let setting = Setting::new(1).await;
    setting.put(0, [message("m")]);
    setting.state().refuses_hand_back = true;
    let stream = setting.consumer().stream().await.unwrap();
    let delivery = setting.deliveries(&stream, 1).await.remove(0);
    let error = delivery.nack(Duration::ZERO).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected(ResponseCode::SYSTEM_ERROR));
    assert!(error.to_string().contains("hand back `orders`"), "{error}");
    stream.commit().await.unwrap();
    assert_eq!(setting.committed(0), Some(0));
    setting.state().refuses_hand_back = false;
    delivery.nack(Duration::ZERO).await.unwrap();
}

#[tokio::test]
async fn a_message_that_comes_back_has_its_own_topic_again() {
    let setting = Setting::new(1).await;
    let properties = "RETRY_TOPIC\u{1}orders\u{2}".to_owned();
    let again = Stored { properties, reconsume_times: 2, ..message("again") };
    setting.put_into(RETRY, 0, [again]);
    let stream = setting.consumer().stream().await.unwrap();
    let delivery = setting.deliveries(&stream, 1).await.remove(0);
    assert_eq!((&*delivery.topic, delivery.reconsume_times), (TOPIC, 2));
    assert_eq!(&*delivery.queue().topic, RETRY);
}

#[tokio::test]
async fn handlers_that_fail_or_panic_hand_the_message_back() {
    let setting = Setting::new(1).await;
    setting.put(0, ["fine", "fails", "panics"].map(message));
    let consumer = setting
        .consumer()
        .start(|delivery| async move {
            match &delivery.body[..] {
                b"fails" => Err("no luck")?,
                b"panics" => panic!("oh no"),
                _ => Ok(Ack),
            }
        })
        .await
        .unwrap();
    setting.pass(SECOND).await;
    let mut offsets: Vec<_> =
        setting.state().handed_back.iter().map(|header| header.offset).collect();
    offsets.sort_unstable();
    assert_eq!(offsets, [1_001, 1_002]);
    consumer.commit().await.unwrap();
    assert_eq!(setting.committed(0), Some(3));
}

#[tokio::test]
async fn no_more_handlers_run_at_once_than_allowed() {
    let setting = Setting::new(1).await;
    setting.put(0, (0..10).map(|n| message(&n.to_string())));
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let consumer = setting.consumer().concurrency(3);
    let seen = most.clone();
    let consumer = consumer.start(move |_| {
        let (running, most) = (running.clone(), seen.clone());
        async move {
            most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            running.fetch_sub(1, Ordering::SeqCst);
            Ok(Ack)
        }
    });
    let consumer = consumer.await.unwrap();
    setting.pass(SECOND).await;
    consumer.commit().await.unwrap();
    assert_eq!(setting.committed(0), Some(10));
    assert_eq!(most.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_drain_reports_what_became_of_everything() {
    let setting = Setting::new(1).await;
    setting.put(0, (0..6).map(|n| message(&n.to_string())));
    let stream = setting.consumer().stream().await.unwrap();
    settle().await;
    let mut taken = Vec::new();
    for _ in 0..4 {
        taken.push(stream.next().await.unwrap());
    }
    taken[0].ack().await.unwrap();
    let draining = tokio::spawn(async move { (stream.drain(SECOND * 20).await, stream) });
    settle().await;
    taken[1].ack().await.unwrap();
    taken[2].nack(Duration::ZERO).await.unwrap();
    let (report, stream) = support::advance_until(&setting.clock, SECOND, draining).await;
    assert_eq!((report.finished, report.handed_back, report.abandoned), (2, 2, 1));
    let mine = MessageQueue::new(TOPIC, "broker-0", 0);
    assert!(report.committed.contains(&(mine, 3)), "{report:?}");
    assert!(stream.next().await.is_none());
    assert_eq!(stream.take(1, 1, &mut taken), Taken::Closed);
    assert!(setting.state().members.is_empty(), "it has left the group");
    assert_eq!(setting.committed(0), Some(3));
}

#[tokio::test]
async fn a_drain_with_nothing_in_flight_takes_no_time() {
    let setting = Setting::new(2).await;
    let consumer = setting.consumer().start(|_| async { Ok(Ack) }).await.unwrap();
    let report = consumer.drain(Duration::from_secs(3_600)).await;
    assert_eq!((report.finished, report.handed_back, report.abandoned), (0, 0, 0));
}

#[tokio::test]
async fn the_streams_of_a_closed_client_end() {
    let setting = Setting::new(1).await;
    let stream = Arc::new(setting.consumer().stream().await.unwrap());
    let waiting = tokio::spawn({
        let stream = stream.clone();
        async move { stream.next().await.is_none() }
    });
    settle().await;
    setting.client.close();
    assert!(waiting.await.unwrap());
    assert_eq!(stream.take(1, 1, &mut Vec::new()), Taken::Closed);
}

#[tokio::test]
async fn a_dropped_consumer_commits_and_leaves() {
    let setting = Setting::new(1).await;
    setting.put(0, [message("m")]);
    let stream = setting.consumer().stream().await.unwrap();
    setting.deliveries(&stream, 1).await[0].ack().await.unwrap();
    drop(stream);
    settle().await;
    assert_eq!(setting.committed(0), Some(1));
    assert!(setting.state().members.is_empty());
}

struct Count(AtomicUsize);
impl Bell for Count {
    fn ring(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}
struct Shared(Arc<Count>);
impl Bell for Shared {
    fn ring(&self) {
        self.0.ring();
    }
}

#[tokio::test]
async fn batches_are_taken_and_settled_without_waiting() {
    let setting = Setting::new(2).await;
    let stream = setting.consumer().stream().await.unwrap();
    let bell = Arc::new(Count(AtomicUsize::new(0)));
    stream.on_ready(bell.clone());
    (0..2).for_each(|queue| setting.put(queue, (0..5).map(|n| message(&n.to_string()))));
    setting.pass(31 * SECOND).await;
    assert_eq!(bell.0.load(Ordering::SeqCst), 1, "one ring for two queues");
    let mut out = Vec::new();
    assert_eq!(stream.take(3, usize::MAX, &mut out), Taken::More);
    assert_eq!(stream.take(100, 2, &mut out), Taken::More, "two bytes are two bodies");
    assert_eq!(stream.take(100, usize::MAX, &mut out), Taken::Empty);
    assert_eq!(out.len(), 10);
    let verdicts: Vec<_> = out
        .iter()
        .map(|delivery| match &delivery.body[..] {
            b"0" => (delivery.handle(), Verdict::Nack(SECOND)),
            b"1" => (delivery.handle(), Verdict::Reject),
            _ => (delivery.handle(), Verdict::Ack),
        })
        .collect();
    let completions = Arc::new(Completions::new(Box::new(Shared(bell.clone()))));
    stream.settle(&verdicts, 42, &completions);
    settle().await;
    let mut done = Vec::new();
    completions.drain(&mut done, 10);
    assert_eq!((done.len(), done[0].tag, done[0].outcome.is_ok()), (1, 42, true));
    assert_eq!(setting.state().handed_back.len(), 4);
    stream.commit().await.unwrap();
    assert_eq!((setting.committed(0), setting.committed(1)), (Some(5), Some(5)));
}

#[tokio::test]
async fn wrong_subscriptions_are_refused() {
    let setting = Setting::new(1).await;
    let client = &setting.client;
    for builder in [
        client.push_consumer(GROUP),
        client.push_consumer("a/b").subscribe(TOPIC, "*"),
        client.push_consumer(GROUP).subscribe("a/b", "*"),
        client.push_consumer(GROUP).subscribe(TOPIC, "||"),
    ] {
        assert_eq!(builder.stream().await.unwrap_err().kind(), ErrorKind::InvalidArgument);
    }
    let _first = setting.consumer().stream().await.unwrap();
    let second = setting.consumer().stream().await.unwrap_err();
    assert!(second.to_string().contains("already has a consumer"), "{second}");
}
