//! What Apache's Java client must see, on whatever server.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use oxmq_tests::java::Release;
use oxmq_tests::java_client::{self, Event, Member};
use oxmq_tests::{apache, wire};

/// Queues of the topics made here.
const QUEUES: u32 = 4;

/// A name server and a broker, and whatever keeps them running.
pub(crate) struct Server {
    pub(crate) name_server: SocketAddr,
    pub(crate) broker: SocketAddr,
    pub(crate) keep: Box<dyn Any>,
}

fn keys(events: &[Event]) -> BTreeSet<String> {
    events.iter().map(|event| event.text("key").to_owned()).collect()
}

/// Runs a scenario's consumer until it has acknowledged `expected` messages.
fn consume(release: &Release, server: &Server, expected: usize, options: &[&str]) -> Vec<Event> {
    let expect = format!("expect={expected}");
    java_client::consume(release, server.name_server, &[options, &[&expect]].concat())
}

pub(crate) fn messages_are_stored_in_order(release: &Release, server: &Server) {
    wire::create_topic(server.broker, "sends", QUEUES);
    let sent = java_client::produce(release, server.name_server, &["topic=sends", "count=20"]);
    let mut offsets: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    for event in &sent {
        assert_eq!(event.text("status"), "SEND_OK");
        offsets.entry(event.number("queue")).or_default().push(event.number("offset"));
    }
    assert_eq!(offsets.len(), QUEUES as usize, "every queue is used");
    for (queue, offsets) in offsets {
        assert!(offsets.iter().copied().eq(0..5), "queue {queue}: {offsets:?}");
    }
    let received = consume(release, server, 20, &["topic=sends", "group=sends-all"]);
    assert_eq!(keys(&received), keys(&sent));
    let ids = |events: &[Event]| -> BTreeSet<String> {
        events.iter().map(|event| event.text("id").to_owned()).collect()
    };
    assert_eq!(ids(&received), ids(&sent), "ids stay");
    assert!(received.iter().all(|event| event.text("body") == event.text("key")));
}

pub(crate) fn a_topic_comes_to_be_with_its_first_message(release: &Release, server: &Server) {
    let sent = java_client::produce(release, server.name_server, &["topic=created", "count=3"]);
    let received = consume(release, server, 3, &["topic=created", "group=created-all"]);
    assert_eq!(keys(&received), keys(&sent));
}

pub(crate) fn large_bodies_come_back_whole(release: &Release, server: &Server) {
    wire::create_topic(server.broker, "large", QUEUES);
    // Above 4 KiB Java compresses.
    let options = ["topic=large", "count=4", "size=200000"];
    java_client::produce(release, server.name_server, &options);
    let received = consume(release, server, 4, &["topic=large", "group=large-all"]);
    for event in received {
        assert_eq!(event.text("body").len(), 200_000 + event.text("key").len());
    }
}

pub(crate) fn tags_filter(release: &Release, server: &Server) {
    wire::create_topic(server.broker, "tagged", QUEUES);
    let options = ["topic=tagged", "count=18", "tags=paid,open,refunded"];
    let sent = java_client::produce(release, server.name_server, &options);
    let options = ["topic=tagged", "group=tagged-some", "tags=paid || refunded"];
    let received = consume(release, server, 12, &options);
    let wanted = sent.into_iter().filter(|event| event.text("tag") != "open").collect::<Vec<_>>();
    assert_eq!(keys(&received), keys(&wanted));
}

pub(crate) fn reconsume_later_delivers_again(release: &Release, server: &Server) {
    wire::create_topic(server.broker, "again", QUEUES);
    let options = ["topic=again", "count=6"];
    let sent = java_client::produce(release, server.name_server, &options);
    let options = ["topic=again", "group=again-all", "fail-first=true"];
    let received = consume(release, server, 6, &options);
    let (later, acknowledged): (Vec<_>, Vec<_>) =
        received.into_iter().partition(|event| event.text("verdict") == "later");
    assert_eq!(keys(&later), keys(&sent));
    assert_eq!(keys(&acknowledged), keys(&sent));
    for event in acknowledged {
        assert_eq!(event.number("reconsume_times"), 1);
        assert_eq!(event.text("topic"), "again", "the retry topic is not shown");
    }
}

pub(crate) fn delayed_messages_arrive(release: &Release, server: &Server) {
    wire::create_topic(server.broker, "delayed", QUEUES);
    let options = ["topic=delayed", "count=3", "delay-level=1"];
    let sent = java_client::produce(release, server.name_server, &options);
    let received = consume(release, server, 3, &["topic=delayed", "group=delayed-all"]);
    assert_eq!(keys(&received), keys(&sent));
}

pub(crate) fn two_members_share_the_queues(release: &Release, server: &Server) {
    wire::create_topic(server.broker, "shared", QUEUES);
    let options = ["topic=shared", "group=shared-group"];
    let holds = |count: usize| {
        move |event: &Event| event.kind() == "assigned" && event.queues("shared").len() == count
    };
    let first = Member::start(release, server.name_server, &options);
    first.wait_for("all queues", holds(4));
    let second = Member::start(release, server.name_server, &options);
    let half = second.wait_for("half of the queues", holds(2)).queues("shared");
    let other_half = first.wait_for("the other half", holds(2)).queues("shared");
    let both: BTreeSet<_> = half.iter().chain(&other_half).collect();
    assert_eq!(both.len(), 4, "no queue has two members");

    let sent = java_client::produce(release, server.name_server, &["topic=shared", "count=12"]);
    let mut received = Vec::new();
    let is_received = |event: &Event| event.kind() == "received";
    for member in [&first, &second] {
        for _ in 0..6 {
            received.push(member.wait_for("its half of the messages", is_received));
        }
    }
    assert_eq!(keys(&received), keys(&sent));
    assert!(second.close().iter().all(|event| !is_received(event)), "none came twice");
    first.wait_for("all queues again", holds(4));
    assert!(first.close().iter().all(|event| !is_received(event)), "none came twice");
}

pub(crate) fn a_consumer_goes_on_where_it_stopped(release: &Release, server: &Server) {
    wire::create_topic(server.broker, "resumed", QUEUES);
    let options = ["topic=resumed", "group=resumed-group"];
    let produce = |prefix| {
        java_client::produce(release, server.name_server, &["topic=resumed", "count=8", prefix])
    };
    let before = produce("prefix=before");
    assert_eq!(keys(&consume(release, server, 8, &options)), keys(&before));
    for queue in 0..QUEUES {
        let committed = wire::committed(server.broker, "resumed-group", "resumed", queue);
        assert_eq!(committed, Some(2), "queue {queue}");
    }
    let after = produce("prefix=after");
    assert_eq!(keys(&consume(release, server, 8, &options)), keys(&after));
}

pub(crate) fn mqadmin_finds_messages_by_key(release: &Release, server: &Server) {
    wire::create_topic(server.broker, "found", QUEUES);
    let sent = java_client::produce(release, server.name_server, &["topic=found", "count=3"]);
    let mqadmin = |arguments: &[&str]| apache::mqadmin(release, server.name_server, arguments);
    for event in &sent {
        let (key, id) = (event.text("key"), event.text("id"));
        let found = mqadmin(&["queryMsgByKey", "-t", "found", "-k", key]);
        assert!(found.contains(id), "{key} {id}\n{found}");
        let others = sent.iter().filter(|other| other.text("id") != id);
        assert!(others.clone().all(|other| !found.contains(other.text("id"))), "{found}");
    }
    let (key, id) = (sent[1].text("key"), sent[1].text("id"));
    let found = mqadmin(&["queryMsgByUniqueKey", "-t", "found", "-i", id]);
    assert!(found.contains(key) && found.contains(id), "{key} {id}\n{found}");
    let missing = mqadmin(&["queryMsgByKey", "-t", "found", "-k", "nobody-has-this"]);
    assert!(!sent.iter().any(|event| missing.contains(event.text("id"))), "{missing}");
}

/// One test for each scenario and each release of the client, on servers from `$server`.
#[macro_export]
macro_rules! scenarios {
    ($server:path: $($scenario:ident,)+) => {
        $crate::scenarios!(@release client_4_9_7, "4.9.7", $server: $($scenario,)+);
        $crate::scenarios!(@release client_5_3_3, "5.3.3", $server: $($scenario,)+);
        // In the whole matrix only.
        $crate::scenarios!(@release client_5_4_0, "5.4.0", $server: $($scenario,)+);
    };
    (@release $module:ident, $version:literal, $server:path: $($scenario:ident,)+) => {
        mod $module {
            $(
                #[test]
                fn $scenario() {
                    if $version == "5.4.0" && !oxmq_tests::is_full_matrix() {
                        return;
                    }
                    let release = oxmq_tests::release_or_skip!($version);
                    let server = $server(&release);
                    $crate::scenarios::$scenario(&release, &server);
                    drop(server.keep);
                }
            )+
        }
    };
}
