//! The timer, when the log that it points into was cut.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use broker_dev::{Broker, Options, Time};
use oxmq::clock::VirtualClock;

use crate::support::{Wire, send};
use crate::world::{NOW_MS, edit};

/// A broker in a time of its own, which goes on from life to life.
async fn start(store: &Path, clock: &Arc<VirtualClock>) -> Broker {
    let options = Options::for_tests().store(store).time(Time::Virtual(clock.clone()));
    Broker::start(options).await.unwrap()
}

/// Sends a message that is due so many seconds from now, and gives the place of the log's end
/// before it.
async fn send_timed(wire: &mut Wire, name: &str, seconds: i64) {
    let delay_ms = seconds * 1_000;
    let properties = format!("UNIQ_KEY\u{1}{name}\u{2}TIMER_DELAY_MS\u{1}{delay_ms}\u{2}");
    wire.ok(send("alarms", 0, name, &properties)).await;
}

async fn delivered(broker: &Broker, wire: &mut Wire, seconds: u64) -> Vec<String> {
    for _ in 0..seconds {
        broker.advance(Duration::from_secs(1)).await;
    }
    let pulled = wire.pull("alarms", 0, 0).await;
    pulled.iter().map(|message| String::from_utf8(message.body.clone()).unwrap()).collect()
}

/// Where a message lies in the first file of the log.
fn place(store: &Path, name: &str) -> usize {
    let log = fs::read(store.join("commitlog/00000000000000000000")).unwrap();
    let wanted = name.as_bytes();
    let body = log.windows(wanted.len()).position(|window| window == wanted).unwrap();
    // The head of a record with IPv4 hosts, up to its body.
    body - 88
}

/// Cuts the log before a message, as a power cut does that took its end.
fn cut_before(store: &Path, name: &str) {
    let at = place(store, name);
    edit(&store.join("commitlog/00000000000000000000"), |log| log[at..].fill(0));
}

/// Log and timer queue were cut, the timer's checkpoint was not: Apache's timer waited at a place
/// of the queue that did not exist yet, and passed over every message until the queue had grown
/// there again.
#[tokio::test]
async fn rmq_7480_the_timers_checkpoint_is_beyond_the_end_of_its_queue() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(VirtualClock::new(NOW_MS));
    let broker = start(folder.path(), &clock).await;
    let mut wire = Wire::connect(broker.broker_address()).await;
    for number in 0..8 {
        send_timed(&mut wire, &format!("first-{number}"), 600).await;
    }
    delivered(&broker, &mut wire, 3).await;
    // A clean stop: the checkpoint says that all eight were taken in.
    broker.stop().await.unwrap();
    cut_before(folder.path(), "first-2");
    fs::write(folder.path().join("abort"), b"1").unwrap();

    let broker = start(folder.path(), &clock).await;
    let mut wire = Wire::connect(broker.broker_address()).await;
    for number in 0..4 {
        send_timed(&mut wire, &format!("second-{number}"), 10).await;
    }
    let soon = delivered(&broker, &mut wire, 12).await;
    assert_eq!(soon, ["second-0", "second-1", "second-2", "second-3"]);
    let all = delivered(&broker, &mut wire, 600).await;
    assert_eq!(all[4..], ["first-0", "first-1"], "what was kept, once, and nothing that was lost");
    broker.stop().await.unwrap();
}

/// The same cut, seen from the timer log: its entries point beyond the cut, where other messages
/// lie by now. Apache's timer read such a message, could do nothing with it, and tried again for
/// ever; nothing behind it was delivered.
#[tokio::test]
async fn rmq_10668_the_timer_log_points_at_messages_that_were_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(VirtualClock::new(NOW_MS));
    let broker = start(folder.path(), &clock).await;
    let mut wire = Wire::connect(broker.broker_address()).await;
    send_timed(&mut wire, "kept", 20).await;
    for number in 0..6 {
        send_timed(&mut wire, &format!("lost-{number}"), 20).await;
    }
    delivered(&broker, &mut wire, 3).await;
    broker.stop().await.unwrap();
    cut_before(folder.path(), "lost-0");
    fs::write(folder.path().join("abort"), b"1").unwrap();

    // Other messages take their places in the log: an ordinary one, one of the same length for
    // another time, and one that is no message of the timer's at all.
    let broker = start(folder.path(), &clock).await;
    let mut wire = Wire::connect(broker.broker_address()).await;
    send_timed(&mut wire, "else-0", 40).await;
    for number in 0..20 {
        wire.store("ordinary", 0, &format!("ordinary {number}")).await;
    }
    let soon = delivered(&broker, &mut wire, 30).await;
    assert_eq!(soon, ["kept"]);
    // The timer goes on: what is due later comes, also through another start.
    broker.kill().await;
    let broker = start(folder.path(), &clock).await;
    let mut wire = Wire::connect(broker.broker_address()).await;
    send_timed(&mut wire, "last", 30).await;
    let all = delivered(&broker, &mut wire, 60).await;
    let mut once = all.clone();
    once.dedup();
    assert_eq!(once.iter().filter(|name| *name == "kept").count(), 1, "{all:?}");
    assert!(once.ends_with(&["else-0".to_owned(), "last".to_owned()]), "{all:?}");
    broker.stop().await.unwrap();
}
