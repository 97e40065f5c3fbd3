//! Store folders change hands: what Apache wrote opens in `broker-dev`, what `broker-dev` wrote
//! opens in Apache, after a clean stop and after `kill -9`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use oxmq::protocol::message::record;
use oxmq_tests::apache::{Cluster, Options};
use oxmq_tests::broker_dev::BrokerDev;
use oxmq_tests::java::Release;
use oxmq_tests::process::Deadline;
use oxmq_tests::{release_or_skip, wire};

const TOPIC: &str = "ledger";
const GROUP: &str = "auditors";
const QUEUES: u32 = 4;
const MESSAGES: usize = 120;
/// Queues with a committed offset. Of others, 4.9 says 0.
const COMMITTED: [u32; 3] = [0, 1, 2];
/// Small, so that the messages fill several and their ends have blanks.
const COMMIT_LOG_FILE_BYTES: u64 = 1 << 20;

/// How a broker ends.
#[derive(Clone, Copy, PartialEq)]
enum Ending {
    Clean,
    Killed,
}

/// A message as a consumer sees it.
#[derive(Debug, Clone, PartialEq)]
struct Message {
    key: String,
    tag: String,
    body_bytes: usize,
    body_crc: u32,
}

/// What a store must give back: messages by queue and offset, and the offsets committed.
#[derive(Debug, PartialEq)]
struct Contents {
    messages: BTreeMap<(u32, i64), Message>,
    committed: Vec<Option<i64>>,
}

/// Fills a broker's store: bodies of 0 to 60 KB, three tags, offsets committed on three queues.
fn fill(broker: SocketAddr) -> Contents {
    wire::create_topic(broker, TOPIC, QUEUES);
    let mut connection = wire::Connection::open(broker).unwrap();
    let mut messages = BTreeMap::new();
    for number in 0..MESSAGES {
        let queue = u32::try_from(number).unwrap() % QUEUES;
        let body = vec![b'a' + u8::try_from(number % 26).unwrap(); 1 + number * 500];
        let message = Message {
            key: format!("entry-{number}"),
            tag: ["paid", "open", "refunded"][number % 3].to_owned(),
            body_bytes: body.len(),
            body_crc: record::body_crc(&body),
        };
        let Message { key, tag, .. } = &message;
        let offset = wire::send(&mut connection, TOPIC, queue, key, tag, &body);
        messages.insert((queue, offset), message);
    }
    // A group has offsets once it has a subscription; a pull makes it known.
    wire::pull(&mut connection, GROUP, TOPIC, 0, 0, "*").unwrap();
    for queue in COMMITTED {
        wire::commit(broker, GROUP, TOPIC, queue, i64::from(queue) * 10 + 5);
    }
    Contents { messages, committed: committed(broker) }
}

fn committed(broker: SocketAddr) -> Vec<Option<i64>> {
    COMMITTED.map(|queue| wire::committed(broker, GROUP, TOPIC, queue)).to_vec()
}

/// Everything that a broker has, read through pulls.
fn read(broker: SocketAddr) -> Contents {
    let mut connection = wire::Connection::open(broker).unwrap();
    let mut messages = BTreeMap::new();
    for queue in 0..QUEUES {
        let max = wire::max_offset(broker, TOPIC, queue);
        let mut offset = 0;
        while offset < max {
            let answer = wire::pull(&mut connection, "readers", TOPIC, queue, offset, "*").unwrap();
            assert_eq!(answer.code, 0, "queue {queue} at {offset}: {}", answer.remark);
            for record in record::iter(&answer.body) {
                let record = record.unwrap();
                record.verify_crc().unwrap();
                let text = |name| record.property(name).unwrap_or_default().to_owned();
                let message = Message {
                    key: text("KEYS"),
                    tag: text("TAGS"),
                    body_bytes: record.body.len(),
                    body_crc: record::body_crc(record.body),
                };
                messages.insert((queue, record.queue_offset), message);
            }
            offset = answer.fields["nextBeginOffset"].parse().unwrap();
        }
    }
    Contents { messages, committed: committed(broker) }
}

/// The consume queues carry the tags' hashes: a filter finds the same messages as before.
fn tags_still_filter(broker: SocketAddr, contents: &Contents) {
    let mut connection = wire::Connection::open(broker).unwrap();
    let answer = wire::pull(&mut connection, "readers", TOPIC, 0, 0, "paid").unwrap();
    assert_eq!(answer.code, 0, "{}", answer.remark);
    let found: Vec<_> = record::iter(&answer.body).map(|r| r.unwrap().queue_offset).collect();
    let of_queue = contents.messages.iter().filter(|((queue, _), _)| *queue == 0);
    let paid = of_queue.filter(|(_, message)| message.tag == "paid").map(|((_, at), _)| *at);
    let paid: Vec<_> = paid.collect();
    assert!(!found.is_empty() && paid.starts_with(&found), "{found:?} of {paid:?}");
}

/// A store goes on: its next message has the next offset.
fn takes_more(broker: SocketAddr, contents: &Contents) {
    let mut connection = wire::Connection::open(broker).unwrap();
    let offset = wire::send(&mut connection, TOPIC, 0, "one-more", "open", b"one more");
    let had = contents.messages.keys().filter(|(queue, _)| *queue == 0).count();
    assert_eq!(offset, i64::try_from(had).unwrap());
}

fn settings() -> Vec<String> {
    vec![
        format!("mappedFileSizeCommitLog={COMMIT_LOG_FILE_BYTES}"),
        "flushConsumerOffsetInterval=200".to_owned(),
    ]
}

/// Offsets reach the disk now and then, in both brokers; a killed one has those of the last time.
fn wait_for_saved_offsets(store: &Path) {
    let deadline = Deadline::after(Duration::from_secs(20));
    let path = store.join("config/consumerOffset.json");
    loop {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        if text.contains(&format!("{TOPIC}@{GROUP}")) && text.contains("25") {
            return;
        }
        assert!(!deadline.passed(), "offsets are not saved: {text}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

fn apache(release: &Release, store: &Path) -> Cluster {
    let options =
        Options { store: Some(store.to_owned()), settings: settings(), ..Options::default() };
    Cluster::start(release, &options)
}

fn ours(store: &Path) -> BrokerDev {
    let settings = settings();
    let arguments: Vec<_> = settings.iter().flat_map(|setting| ["--set", setting]).collect();
    BrokerDev::start_with(store, &arguments)
}

fn written_by_apache(release: &Release, store: &Path, ending: Ending) -> Contents {
    let cluster = apache(release, store);
    let written = fill(cluster.broker);
    match ending {
        Ending::Clean => cluster.stop(),
        Ending::Killed => {
            wait_for_saved_offsets(store);
            cluster.kill();
        }
    }
    assert_eq!(store.join("abort").exists(), ending == Ending::Killed);
    written
}

fn read_by_apache(release: &Release, store: &Path, written: &Contents) {
    let cluster = apache(release, store);
    assert_eq!(read(cluster.broker), *written, "{}", cluster.broker_log());
    tags_still_filter(cluster.broker, written);
    takes_more(cluster.broker, written);
    cluster.stop();
}

fn from_apache(release: &Release, ending: Ending) {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let written = written_by_apache(release, &store, ending);
    let broker = ours(&store);
    assert_eq!(read(broker.broker), written);
    tags_still_filter(broker.broker, &written);
    takes_more(broker.broker, &written);
    broker.stop();
}

fn to_apache(release: &Release, ending: Ending) {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let broker = ours(&store);
    let written = fill(broker.broker);
    match ending {
        Ending::Clean => broker.stop(),
        Ending::Killed => {
            wait_for_saved_offsets(&store);
            broker.kill();
        }
    }
    assert_eq!(store.join("abort").exists(), ending == Ending::Killed);
    read_by_apache(release, &store, &written);
}

/// The control: Apache reads its own store back as these tests expect of the others.
fn within_apache(release: &Release, ending: Ending) {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let written = written_by_apache(release, &store, ending);
    read_by_apache(release, &store, &written);
}

macro_rules! stores {
    ($($name:ident: $hand_over:ident($version:literal, $ending:ident);)+) => {
        $(
            #[test]
            fn $name() {
                let release = release_or_skip!($version);
                $hand_over(&release, Ending::$ending);
            }
        )+
    };
}

stores! {
    a_store_of_4_9_7_opens_here: from_apache("4.9.7", Clean);
    a_store_of_4_9_7_opens_here_after_kill_9: from_apache("4.9.7", Killed);
    a_store_of_5_3_3_opens_here: from_apache("5.3.3", Clean);
    a_store_of_5_3_3_opens_here_after_kill_9: from_apache("5.3.3", Killed);
    a_store_of_ours_opens_in_4_9_7: to_apache("4.9.7", Clean);
    a_store_of_ours_opens_in_4_9_7_after_kill_9: to_apache("4.9.7", Killed);
    a_store_of_ours_opens_in_5_3_3: to_apache("5.3.3", Clean);
    a_store_of_ours_opens_in_5_3_3_after_kill_9: to_apache("5.3.3", Killed);
    a_store_of_4_9_7_opens_in_4_9_7_after_kill_9: within_apache("4.9.7", Killed);
    a_store_of_5_3_3_opens_in_5_3_3_after_kill_9: within_apache("5.3.3", Killed);
}
