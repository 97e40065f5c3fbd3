//! Apache's `mqadmin`, of 4.9.7 and of 5.3.3, on our name server and on Apache's own: one broker of
//! ours registers with both, so both must be told and tell the same.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use oxmq_tests::apache::{NameServer, mqadmin_all};
use oxmq_tests::broker_dev::BrokerDev;
use oxmq_tests::java::Release;
use oxmq_tests::process::Deadline;
use oxmq_tests::{release_or_skip, wire};

/// What both print the same, word for word but for their own address.
const SAME: [&str; 16] = [
    "topicRoute -t made",
    "topicClusterList -t made",
    "topicRoute -t TBW102",
    "updateKvConfig -s names -k key -v value",
    "deleteKvConfig -s names -k key",
    "deleteKvConfig -s nothing -k key",
    "updateOrderConf -t made -m put -v broker-a:4",
    "updateOrderConf -t made -m get",
    "updateOrderConf -t made -m delete",
    "updateNamesrvConfig -k orderMessageEnable -v true",
    "wipeWritePerm -b broker-a",
    "topicRoute -t made",
    "addWritePerm -b broker-a",
    "topicRoute -t TBW102",
    "topicList",
    "wipeWritePerm -b nobody",
];

/// What both refuse; each in its own words, with the same code.
const REFUSED: [(&str, &str); 3] = [
    ("topicRoute -t nothing", "CODE: 17"),
    ("updateOrderConf -t nothing -m get", "CODE: 22"),
    ("updateNamesrvConfig -k kvConfigPath -v /tmp/elsewhere", "CODE: 16"),
];

/// What both show of themselves.
const SHOWN: [&str; 2] = ["getNamesrvConfig", "clusterList"];

/// The columns of `clusterList` that do not change with time: cluster, broker, id, address.
fn cluster_columns(printed: &str) -> Vec<Vec<&str>> {
    let lines = printed.lines().filter(|line| line.contains("broker-a"));
    lines.map(|line| line.split_whitespace().take(4).collect()).collect()
}

fn settings(printed: &str) -> BTreeMap<&str, &str> {
    let pairs = printed.lines().filter_map(|line| line.split_once('='));
    pairs.map(|(key, value)| (key.trim(), value.trim())).collect()
}

fn wait_for_route(name_server: SocketAddr, topic: &str) {
    let deadline = Deadline::after(Duration::from_secs(30));
    while !wire::has_route(name_server, topic) {
        assert!(!deadline.passed(), "{topic} has no route at {name_server}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// All answers of a name server, which is called HERE in them, and both topics that are
/// deleted GONE; in the end it deletes `topic`.
fn answers(release: &Release, name_server: SocketAddr, topic: &str) -> Vec<String> {
    let delete = format!("deleteTopic -t {topic} -c DefaultCluster");
    let gone = format!("topicRoute -t {topic}");
    let refused = REFUSED.map(|(command, _)| command);
    let all = SAME.iter().chain(&refused).chain(&SHOWN).copied();
    let commands: Vec<_> = all.chain([&*delete, &*gone]).collect();
    let printed = mqadmin_all(release, name_server, &commands).into_iter();
    let here = name_server.to_string();
    printed
        .map(|text| text.replace(&here, "HERE").replace("gone-0", "GONE").replace("gone-1", "GONE"))
        .collect()
}

fn both_name_servers_answer_alike(release: &Release) {
    let apache = NameServer::start(release);
    let folder = tempfile::tempdir().unwrap();
    let register = format!("namesrvAddr={}", apache.address);
    let ours = BrokerDev::start_with(folder.path(), &["--set", &register]);
    // One that stays, and one for each name server to delete.
    let topics = ["made", "gone-0", "gone-1"];
    let make = topics.map(|topic| format!("updateTopic -c DefaultCluster -t {topic} -r 4 -w 4"));
    mqadmin_all(release, ours.name_server, &make.each_ref().map(String::as_str));
    for topic in topics {
        wait_for_route(apache.address, topic);
        wait_for_route(ours.name_server, topic);
    }

    // Ours first: Apache's goes on telling a topic that was deleted in another name server.
    let ours = answers(release, ours.name_server, "gone-0");
    let theirs = answers(release, apache.address, "gone-1");
    for ((command, theirs), ours) in SAME.iter().zip(&theirs).zip(&ours) {
        assert_eq!(theirs, ours, "`{command}` of {}: Apache's answer on the left", release.version);
    }
    let after = |printed: &[String]| -> Vec<String> { printed[SAME.len()..].to_vec() };
    let (theirs, ours) = (after(&theirs), after(&ours));
    for ((command, code), (theirs, ours)) in REFUSED.iter().zip(theirs.iter().zip(&ours)) {
        assert!(theirs.contains(code), "`{command}` on Apache: {theirs}");
        assert!(ours.contains(code), "`{command}` on ours: {ours}");
    }

    let (theirs, ours) = (&theirs[REFUSED.len()..], &ours[REFUSED.len()..]);
    let (apaches, own) = (settings(&theirs[0]), settings(&ours[0]));
    for (key, value) in &own {
        let is_of_the_place = ["Path", "listenPort", "bindAddress", "configBlackList"];
        if !is_of_the_place.iter().any(|part| key.contains(part)) {
            // 4.9 does not know all of them.
            assert!(apaches.get(key).is_none_or(|there| there == value), "{key}");
        }
    }
    assert_eq!(own["orderMessageEnable"], "true");
    assert!(own.len() > 10, "{own:?}");
    assert!(!cluster_columns(&ours[1]).is_empty(), "{}", ours[1]);
    assert_eq!(cluster_columns(&theirs[1]), cluster_columns(&ours[1]));
    assert_eq!(theirs[2], ours[2], "deleteTopic");
    assert!(theirs[3].contains("CODE: 17") && ours[3].contains("CODE: 17"), "{}", ours[3]);
}

#[test]
fn operators_of_4_9_7_see_the_same_on_ours_and_on_apaches() {
    both_name_servers_answer_alike(&release_or_skip!("4.9.7"));
}

#[test]
fn operators_of_5_3_3_see_the_same_on_ours_and_on_apaches() {
    both_name_servers_answer_alike(&release_or_skip!("5.3.3"));
}
