//! Messages for any time, over the broker's socket.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use broker_dev::store::FlushMode;
use broker_dev::{Broker, Options, Time};
use oxmq::clock::VirtualClock;
use oxmq::protocol::code::{RequestCode, ResponseCode};
use oxmq::protocol::header::{
    RecallMessageRequestHeader, RecallMessageResponseHeader, SendMessageResponseHeader,
};
use oxmq::protocol::message::recall::Handle;
use support::{Wire, broker_in_virtual_time, remark, send, with_header};

const NOW: i64 = 1_700_000_000_000;
const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

fn millis(ms: i64) -> Duration {
    Duration::from_millis(ms.try_into().unwrap())
}

fn at(deliver_ms: i64) -> String {
    format!("TIMER_DELIVER_MS\u{1}{deliver_ms}\u{2}")
}

/// A broker on a folder that stays, in a time of its own.
async fn start(folder: &Path, now: i64, settings: &[&str]) -> Broker {
    let clock = Arc::new(VirtualClock::new(now));
    let mut options = Options::for_tests().store(folder).time(Time::Virtual(clock));
    for setting in settings {
        options.settings.set_pair(setting).unwrap();
    }
    Broker::start(options).await.unwrap()
}

async fn bodies(wire: &mut Wire, topic: &str) -> Vec<String> {
    let mut bodies = Vec::new();
    loop {
        let pulled = wire.pull(topic, 0, bodies.len() as i64).await;
        if pulled.is_empty() {
            return bodies;
        }
        bodies.extend(pulled.into_iter().map(|message| String::from_utf8(message.body).unwrap()));
    }
}

#[tokio::test]
async fn a_message_comes_at_its_time_and_not_before() {
    let (broker, _clock) = broker_in_virtual_time().await;
    let mut wire = Wire::connect(broker.broker_address()).await;
    wire.heartbeat("c", "group", "t", "*").await;
    for (body, properties) in [
        ("at", at(NOW + 90_000)),
        ("seconds", "TIMER_DELAY_SEC\u{1}60\u{2}".to_owned()),
        ("millis", "TIMER_DELAY_MS\u{1}30500\u{2}".to_owned()),
        ("past", at(NOW - 1)),
    ] {
        wire.ok(send("t", 0, body, &properties)).await;
    }
    assert_eq!(bodies(&mut wire, "t").await, ["past"]);
    for (wait_ms, expected) in [
        (30_999, &["past"][..]),
        (1, &["past", "millis"]),
        (28_999, &["past", "millis"]),
        (1, &["past", "millis", "seconds"]),
        (30_000, &["past", "millis", "seconds", "at"]),
    ] {
        broker.advance(millis(wait_ms)).await;
        assert_eq!(bodies(&mut wire, "t").await, expected, "{wait_ms}");
    }
    let message = wire.pull("t", 0, 3).await.remove(0);
    assert_eq!(message.store_timestamp, NOW + 90_000);
    assert_eq!(message.property("TIMER_OUT_MS"), Some("1700000089000"));
    assert_eq!(message.property("TIMER_DEQUEUE_MS"), Some("1700000090000"));
    assert_eq!(message.property("TIMER_ENQUEUE_MS"), Some("1700000000000"));
    assert_eq!(
        (message.property("REAL_TOPIC"), message.property("REAL_QID")),
        (Some("t"), Some("0"))
    );
    broker.stop().await.unwrap();
}

#[tokio::test]
async fn hours_skipped_deliver_everything_in_the_order_of_its_time() {
    let (broker, _clock) = broker_in_virtual_time().await;
    let mut wire = Wire::connect(broker.broker_address()).await;
    wire.heartbeat("c", "group", "t", "*").await;
    let mut expected: Vec<(i64, String)> = Vec::new();
    for n in 0..200 {
        let due = NOW + (n * 7_919 % 200 + 1) * 60_000;
        let body = format!("{n}");
        wire.ok(send("t", 0, &body, &at(due))).await;
        expected.push((due, body));
    }
    expected.sort_by_key(|(due, _)| *due);
    broker.advance(millis(4 * HOUR)).await;
    let expected: Vec<_> = expected.into_iter().map(|(_, body)| body).collect();
    assert_eq!(bodies(&mut wire, "t").await, expected);
    broker.stop().await.unwrap();
}

#[tokio::test]
async fn days_are_gone_round() {
    for flush in [FlushMode::Async, FlushMode::Sync] {
        let mut options = Options::for_tests().flush(flush);
        options.settings.set_pair("timerMaxDelaySec=864000").unwrap();
        let broker = Broker::start(options).await.unwrap();
        let mut wire = Wire::connect(broker.broker_address()).await;
        wire.heartbeat("c", "group", "t", "*").await;
        let delay = |ms: i64| format!("TIMER_DELAY_MS\u{1}{ms}\u{2}");
        wire.ok(send("t", 0, "in days", &delay(9 * DAY))).await;
        wire.ok(send("t", 0, "in hours", &delay(2 * HOUR))).await;
        broker.advance(millis(2 * DAY)).await;
        assert_eq!(bodies(&mut wire, "t").await, ["in hours"]);
        broker.advance(millis(7 * DAY - HOUR)).await;
        assert_eq!(bodies(&mut wire, "t").await, ["in hours"]);
        broker.advance(millis(HOUR + 1_000)).await;
        assert_eq!(bodies(&mut wire, "t").await, ["in hours", "in days"], "{flush:?}");
        let message = wire.pull("t", 0, 1).await.remove(0);
        let rolls: i32 = message.property("TIMER_ROLL_TIMES").unwrap().parse().unwrap();
        assert!((1..=6).contains(&rolls), "{rolls}");
        broker.stop().await.unwrap();
    }
}

#[tokio::test]
async fn times_that_cannot_be_are_refused_with_words() {
    let folder = tempfile::tempdir().unwrap();
    let broker = start(folder.path(), NOW, &[]).await;
    let mut wire = Wire::connect(broker.broker_address()).await;
    for properties in [
        at(NOW + 3 * DAY + 1),
        "TIMER_DELAY_SEC\u{1}soon\u{2}".to_owned(),
        format!("{}TIMER_DEL_UNIQKEY\u{1}t+K\u{2}", at(NOW)),
        format!("{}TRAN_MSG\u{1}true\u{2}", at(NOW + 1_000)),
    ] {
        let answer = wire.call(send("t", 0, "x", &properties)).await;
        assert_eq!(answer.response_code(), ResponseCode::MESSAGE_ILLEGAL, "{properties:?}");
    }
    wire.ok(send("t", 0, "x", &at(NOW + 3 * DAY))).await;
    let answer = wire.call(send("rmq_sys_wheel_timer", 0, "x", &at(NOW))).await;
    assert_eq!(answer.response_code(), ResponseCode::NO_PERMISSION);
    broker.stop().await.unwrap();

    let broker = start(folder.path(), NOW, &["timerWheelEnable=false"]).await;
    let mut wire = Wire::connect(broker.broker_address()).await;
    let answer = wire.call(send("t", 0, "x", &at(NOW + 5_000))).await;
    assert_eq!(answer.response_code(), ResponseCode::SYSTEM_ERROR);
    assert!(remark(&answer).starts_with("WHEEL_TIMER_NOT_ENABLE"), "{}", remark(&answer));
    broker.stop().await.unwrap();

    let broker = start(folder.path(), NOW, &["timerCongestNumEachSlot=2"]).await;
    let mut wire = Wire::connect(broker.broker_address()).await;
    let mut refused = 0;
    for _ in 0..20 {
        broker.advance(Duration::ZERO).await;
        let answer = wire.call(send("t", 0, "x", &at(NOW + 60_000))).await;
        refused += i32::from(answer.response_code() != ResponseCode::SUCCESS);
    }
    assert!((16..=17).contains(&refused), "{refused}");
    broker.stop().await.unwrap();
}

#[tokio::test]
async fn a_message_that_was_taken_back_does_not_come() {
    let folder = tempfile::tempdir().unwrap();
    let broker =
        start(folder.path(), NOW, &["recallMessageEnable=true", "timerRollWindowSlot=1800"]).await;
    let mut wire = Wire::connect(broker.broker_address()).await;
    wire.heartbeat("c", "group", "t", "*").await;
    let mut handles = Vec::new();
    for body in ["kept", "taken back"] {
        let answer = wire.call(send("t", 0, body, &at(NOW + 2 * HOUR))).await;
        let header: SendMessageResponseHeader = answer.header().unwrap();
        handles.push((header.recall_handle.unwrap(), header.transaction_id.unwrap()));
    }
    let (handle, key) = handles.pop().unwrap();
    let read = Handle::decode(&handle).unwrap();
    assert_eq!((&*read.topic, &*read.broker_name), ("t", "broker-a"));
    assert_eq!((read.deliver_ms, &read.unique_key), (NOW + 2 * HOUR - 999, &key));

    let recall = |topic: &str, handle: &str| {
        let header = RecallMessageRequestHeader {
            producer_group: Some("producers".to_owned()),
            topic: topic.to_owned(),
            recall_handle: handle.to_owned(),
        };
        with_header(RequestCode::RECALL_MESSAGE, &header)
    };
    let answer = wire.call(recall("t", &handle)).await;
    assert_eq!(answer.response_code(), ResponseCode::SUCCESS, "{}", remark(&answer));
    assert_eq!(answer.header::<RecallMessageResponseHeader>().unwrap().msg_id, key);
    let other = Handle { broker_name: "other".to_owned(), ..read.clone() }.encode();
    let late = Handle { deliver_ms: NOW, ..read }.encode();
    for (topic, handle, code) in [
        ("u", &*handle, ResponseCode::TOPIC_NOT_EXIST),
        ("TBW102", &*handle, ResponseCode::ILLEGAL_OPERATION),
        ("t", "nonsense", ResponseCode::ILLEGAL_OPERATION),
        ("t", &*other, ResponseCode::ILLEGAL_OPERATION),
        ("t", &*late, ResponseCode::ILLEGAL_OPERATION),
    ] {
        assert_eq!(wire.call(recall(topic, handle)).await.response_code(), code, "{topic}");
    }
    // It goes round, and so does what takes it back.
    broker.advance(millis(3 * HOUR)).await;
    assert_eq!(bodies(&mut wire, "t").await, ["kept"]);
    broker.stop().await.unwrap();

    let broker = start(folder.path(), NOW + 3 * HOUR, &[]).await;
    let mut wire = Wire::connect(broker.broker_address()).await;
    let answer = wire.call(recall("t", &handle)).await;
    assert_eq!(answer.response_code(), ResponseCode::NO_PERMISSION);
    broker.stop().await.unwrap();
}

/// What a crash leaves: the deliveries are in the log, the timer's files are from before.
#[tokio::test]
async fn a_crash_between_delivery_and_checkpoint_loses_and_repeats_nothing() {
    const SETTINGS: &[&str] = &["timerRollWindowSlot=1800"];
    let folder = tempfile::tempdir().unwrap();
    let broker = start(folder.path(), NOW, SETTINGS).await;
    let mut wire = Wire::connect(broker.broker_address()).await;
    for n in 0..40 {
        let due = NOW + HOUR / 4 + n / 10 * 60_000;
        wire.ok(send("t", 0, &n.to_string(), &at(due))).await;
    }
    wire.ok(send("t", 0, "round", &at(NOW + 2 * HOUR))).await;
    broker.stop().await.unwrap();
    let old = tempfile::tempdir().unwrap();
    copy_timer_files(folder.path(), old.path());

    // How much of it came before the crash: half of it, the message that goes round, all.
    let mut now = NOW;
    for (advance, checkpoint, expected) in [
        (HOUR / 4 + 60_000, true, 20),
        (HOUR / 2, true, 40),
        (HOUR, true, 40),
        (HOUR, true, 41),
        (1_000, false, 41),
    ] {
        let broker = start(folder.path(), now, SETTINGS).await;
        let mut wire = Wire::connect(broker.broker_address()).await;
        wire.heartbeat("c", "group", "t", "*").await;
        broker.advance(millis(advance)).await;
        now += advance;
        let mut found = bodies(&mut wire, "t").await;
        assert_eq!(found.len(), expected, "{advance} {checkpoint}");
        found.sort_unstable();
        found.dedup();
        assert_eq!(found.len(), expected);
        broker.kill().await;
        copy_timer_files(old.path(), folder.path());
        if !checkpoint {
            std::fs::write(folder.path().join("config/timercheck"), [0; 4096]).unwrap();
        }
    }
    let broker = start(folder.path(), now, SETTINGS).await;
    broker.advance(millis(1_000)).await;
    let mut wire = Wire::connect(broker.broker_address()).await;
    wire.heartbeat("c", "group", "t", "*").await;
    assert_eq!(bodies(&mut wire, "t").await.len(), 41);
    broker.stop().await.unwrap();
}

fn copy_timer_files(from: &Path, to: &Path) {
    let _ = std::fs::remove_dir_all(to.join("timerlog"));
    for folder in ["config", "timerlog"] {
        std::fs::create_dir_all(to.join(folder)).unwrap();
    }
    for file in ["timerwheel", "config/timercheck", "timerlog/00000000000000000000"] {
        std::fs::copy(from.join(file), to.join(file)).unwrap();
    }
}

#[tokio::test]
async fn timed_messages_outlive_crashes_and_lost_files() {
    let folder = tempfile::tempdir().unwrap();
    let broker = start(folder.path(), NOW, &[]).await;
    assert!(!folder.path().join("timerwheel").exists(), "made before it is needed");
    let mut wire = Wire::connect(broker.broker_address()).await;
    for n in 0..5 {
        wire.ok(send("t", 0, &n.to_string(), &at(NOW + (n + 1) * HOUR))).await;
    }
    broker.kill().await;
    for hour in 1..=5 {
        let broker = start(folder.path(), NOW + (hour - 1) * HOUR, &[]).await;
        let mut wire = Wire::connect(broker.broker_address()).await;
        wire.heartbeat("c", "group", "t", "*").await;
        broker.advance(millis(HOUR)).await;
        let expected: Vec<_> = (0..hour).map(|n| n.to_string()).collect();
        assert_eq!(bodies(&mut wire, "t").await, expected);
        broker.kill().await;
        match hour {
            1 => std::fs::remove_file(folder.path().join("timerwheel")).unwrap(),
            2 => std::fs::remove_dir_all(folder.path().join("timerlog")).unwrap(),
            3 => std::fs::write(folder.path().join("timerwheel"), b"short").unwrap(),
            _ => {}
        }
    }
}
