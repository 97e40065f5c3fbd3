//! The harness works: Apache's client on Apache's broker, through everything the other tests use.

use oxmq_tests::apache::{Cluster, Options};
use oxmq_tests::{java_client, release_or_skip, wire};

fn round_trip(version: &str) {
    let release = release_or_skip!(version);
    let cluster = Cluster::start(&release, &Options::default());
    wire::create_topic(cluster.broker, "orders", 4);
    let options = ["topic=orders", "count=8", "tags=paid,open"];
    let sent = java_client::produce(&release, cluster.name_server, &options);
    assert_eq!(sent.len(), 8);
    let options = ["topic=orders", "group=billing", "tags=paid", "expect=4", "fail-first=true"];
    let received = java_client::consume(&release, cluster.name_server, &options);
    assert_eq!(received.len(), 8, "each once to fail and once to be acknowledged: {received:?}");
    assert!(received.iter().all(|event| event.text("tag") == "paid"));
    let in_all: i64 = (0..4).map(|queue| wire::max_offset(cluster.broker, "orders", queue)).sum();
    assert_eq!(in_all, 8);
    let committed = (0..4).filter_map(|q| wire::committed(cluster.broker, "billing", "orders", q));
    assert!(committed.sum::<i64>() >= 4);
    assert!(cluster.mqadmin(&["clusterList"]).contains("broker-a"));
    let store = cluster.store.clone();
    cluster.stop();
    assert!(!store.join("abort").exists(), "a clean stop leaves no mark");
}

#[test]
fn a_4_9_7_cluster_serves_its_own_client() {
    round_trip("4.9.7");
}

#[test]
fn a_5_3_3_cluster_serves_its_own_client() {
    round_trip("5.3.3");
}
