//! Users, signatures and policies, in frames.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

mod support;

use broker_dev::{Broker, Options};
use oxmq::protocol::body::{
    AclInfo, Body, ConsumerData, HeartbeatData, PolicyEntryInfo, PolicyInfo, SubscriptionData,
    UserInfo,
};
use oxmq::protocol::code::{RequestCode, ResponseCode};
use oxmq::protocol::command::RemotingCommand;
use oxmq::protocol::signature::{Credentials, sign};
use support::{Wire, pull, remark, request, send};

fn root() -> Credentials {
    Credentials::new("root", "root-secret")
}

fn anna() -> Credentials {
    Credentials::new("anna", "anna-secret")
}

fn signed(mut request: RemotingCommand, by: &Credentials) -> RemotingCommand {
    sign(&mut request, by);
    request
}

fn user(code: RequestCode, name: &str, password: &str, user_type: &str) -> RemotingCommand {
    let info = UserInfo {
        password: (!password.is_empty()).then(|| password.to_owned()),
        user_type: Some(user_type.to_owned()),
        ..UserInfo::default()
    };
    request(code, &[("username", name)]).with_body(info.encode())
}

fn policy(resource: &str, actions: &[&str]) -> PolicyEntryInfo {
    PolicyEntryInfo {
        resource: Some(resource.to_owned()),
        actions: actions.iter().map(|&action| action.to_owned()).collect(),
        source_ips: vec!["127.0.0.0/8".to_owned()],
        decision: Some("Allow".to_owned()),
    }
}

fn acl(code: RequestCode, name: &str, entries: Vec<PolicyEntryInfo>) -> RemotingCommand {
    let policies = vec![PolicyInfo { policy_type: None, entries }];
    let info = AclInfo { subject: None, policies };
    request(code, &[("subject", &format!("User:{name}"))]).with_body(info.encode())
}

/// A broker where `anna` may publish and read `orders*`, as the group `g`.
async fn guarded() -> (Broker, Wire) {
    let broker = Broker::start(Options::for_tests().users(root())).await.unwrap();
    let mut wire = Wire::connect(broker.broker_address()).await;
    for topic in ["orders", "secrets"] {
        let fields =
            [("topic", topic), ("readQueueNums", "2"), ("writeQueueNums", "2"), ("perm", "6")];
        let create = request(RequestCode::UPDATE_AND_CREATE_TOPIC, &fields);
        wire.ok(signed(create, &root())).await;
    }
    let create = user(RequestCode::AUTH_CREATE_USER, "anna", "anna-secret", "Normal");
    wire.ok(signed(create, &root())).await;
    let entries = vec![policy("Topic:orders*", &["Pub", "Sub"]), policy("Group:g", &["Sub"])];
    wire.ok(signed(acl(RequestCode::AUTH_CREATE_ACL, "anna", entries), &root())).await;
    (broker, wire)
}

#[tokio::test]
async fn a_request_needs_the_signature_of_a_user() {
    let (broker, mut wire) = guarded().await;
    let refused = wire.call(send("orders", 0, "x", "")).await;
    assert_eq!(refused.response_code(), ResponseCode::NO_PERMISSION);
    for by in [Credentials::new("nobody", "x"), Credentials::new("anna", "wrong")] {
        let refused = wire.call(signed(send("orders", 0, "x", ""), &by)).await;
        assert_eq!(refused.response_code(), ResponseCode::NO_PERMISSION);
    }
    let mut tampered = signed(send("orders", 0, "x", ""), &anna());
    tampered = tampered.with_body(&b"y"[..]);
    let refused = wire.call(tampered).await;
    assert_eq!(remark(&refused), "the signature is wrong");
    wire.ok(signed(send("orders", 0, "x", ""), &anna())).await;
    broker.stop().await.unwrap();
}

#[tokio::test]
async fn a_refused_send_among_others_is_refused_alone_and_in_its_place() {
    let (broker, mut wire) = guarded().await;
    let requests = vec![
        signed(send("orders", 0, "first", ""), &anna()),
        signed(send("secrets", 0, "second", ""), &anna()),
        signed(send("orders", 0, "third", ""), &anna()),
    ];
    let opaques = wire.send_together(requests).await;
    let mut codes = Vec::new();
    for opaque in opaques {
        let answer = wire.next().await.unwrap();
        assert_eq!(answer.opaque, opaque);
        codes.push(answer.response_code());
    }
    let (ok, no) = (ResponseCode::SUCCESS, ResponseCode::NO_PERMISSION);
    assert_eq!(codes, [ok, no, ok]);
    broker.stop().await.unwrap();
}

#[tokio::test]
async fn a_user_may_do_what_its_policies_allow() {
    let (broker, mut wire) = guarded().await;
    let refused = wire.call(signed(send("secrets", 0, "x", ""), &anna())).await;
    assert_eq!(
        remark(&refused),
        "User:anna has no permission to access Topic:secrets from 127.0.0.1"
    );
    // The group of these pulls is `group`.
    let refused = wire.call(signed(pull("orders", 0, 0), &anna())).await;
    assert!(remark(&refused).contains("Group:group"), "{}", remark(&refused));
    let heartbeat = |topic: &str| {
        let data = HeartbeatData {
            client_id: "c".to_owned(),
            consumer_data_set: vec![ConsumerData {
                group_name: "g".to_owned(),
                subscription_data_set: vec![
                    SubscriptionData::by_tags(topic, "*", 1),
                    SubscriptionData::by_tags("%RETRY%g", "*", 1),
                ],
                ..ConsumerData::default()
            }],
            ..HeartbeatData::default()
        };
        RemotingCommand::request(RequestCode::HEART_BEAT, &()).with_body(data.encode())
    };
    wire.ok(signed(heartbeat("orders"), &anna())).await;
    let refused = wire.call(signed(heartbeat("secrets"), &anna())).await;
    assert!(remark(&refused).contains("Topic:secrets"), "{}", remark(&refused));

    // More is allowed, and then less.
    let more = vec![policy("Group:g", &["Sub", "Delete"]), policy("Group:group", &["Sub"])];
    wire.ok(signed(acl(RequestCode::AUTH_UPDATE_ACL, "anna", more), &root())).await;
    let answer = wire.call(signed(pull("orders", 0, 0), &anna())).await;
    assert_eq!(answer.response_code(), ResponseCode::PULL_NOT_FOUND);
    let fields = [("subject", "User:anna"), ("resource", "Group:group")];
    wire.ok(signed(request(RequestCode::AUTH_DELETE_ACL, &fields), &root())).await;
    let refused = wire.call(signed(pull("orders", 0, 0), &anna())).await;
    assert_eq!(refused.response_code(), ResponseCode::NO_PERMISSION);
    broker.stop().await.unwrap();
}

/// Every code that exists, as nobody, with a wrong signature, as a user without rights, and as a
/// super user.
#[tokio::test]
async fn no_code_is_served_to_who_may_not() {
    let (broker, mut wire) = guarded().await;
    let create = user(RequestCode::AUTH_CREATE_USER, "bob", "bob-secret", "Normal");
    wire.ok(signed(create, &root())).await;
    let bob = Credentials::new("bob", "bob-secret");
    // What is about nobody and nothing, every user may ask.
    let open = [RequestCode::HEART_BEAT, RequestCode::CHECK_CLIENT_CONFIG];
    let may_lack_fields = [RequestCode::UNREGISTER_CLIENT, RequestCode::END_TRANSACTION];
    let mut refused_to_bob = 0;
    for code in (0..4_000).map(RequestCode) {
        let ask = || {
            let fields = [
                ("topic", "secrets"),
                ("b", "secrets"),
                ("group", "other"),
                ("consumerGroup", "other"),
                ("producerGroup", "p"),
                ("queueId", "0"),
                ("subject", "User:anna"),
                ("username", "anna"),
            ];
            request(code, &fields)
        };
        for by in [None, Some(Credentials::new("anna", "wrong"))] {
            let request = by.map_or_else(ask, |by| signed(ask(), &by));
            let answer = wire.call(request).await;
            assert_eq!(answer.response_code(), ResponseCode::NO_PERMISSION, "{code}");
        }
        let answer = wire.call(signed(ask(), &bob)).await;
        let is_refused = answer.response_code() == ResponseCode::NO_PERMISSION;
        if open.contains(&code) || may_lack_fields.contains(&code) {
            continue;
        }
        // A body that is not there is found before it is known whom it is about.
        let is_unreadable = remark(&answer).contains("cannot be read");
        assert!(is_refused || is_unreadable, "{code}: {answer:?}");
        refused_to_bob += 1;
    }
    assert!(refused_to_bob > 3_900);
    // None of it did anything: the user and the topic are still there.
    let answer =
        wire.ok(signed(request(RequestCode::AUTH_GET_USER, &[("username", "anna")]), &root()));
    assert!(!answer.await.body.is_empty());
    let stats = request(RequestCode::GET_TOPIC_STATS_INFO, &[("topic", "secrets")]);
    wire.ok(signed(stats, &root())).await;
    broker.stop().await.unwrap();
}

#[tokio::test]
async fn users_are_made_changed_listed_and_removed() {
    let (broker, mut wire) = guarded().await;
    let twice = user(RequestCode::AUTH_CREATE_USER, "anna", "x", "Normal");
    let refused = wire.call(signed(twice, &root())).await;
    assert!(remark(&refused).contains("there already"), "{}", remark(&refused));
    let change = user(RequestCode::AUTH_UPDATE_USER, "anna", "new-secret", "Normal");
    wire.ok(signed(change, &root())).await;
    let refused = wire.call(signed(send("orders", 0, "x", ""), &anna())).await;
    assert_eq!(refused.response_code(), ResponseCode::NO_PERMISSION);
    let renewed = Credentials::new("anna", "new-secret");
    wire.ok(signed(send("orders", 0, "x", ""), &renewed)).await;

    let info = UserInfo { user_status: Some("disable".to_owned()), ..UserInfo::default() };
    let disable = request(RequestCode::AUTH_UPDATE_USER, &[("username", "anna")]);
    wire.ok(signed(disable.with_body(info.encode()), &root())).await;
    let refused = wire.call(signed(send("orders", 0, "x", ""), &renewed)).await;
    assert!(remark(&refused).contains("disabled"), "{}", remark(&refused));

    let listed = wire.ok(signed(request(RequestCode::AUTH_LIST_USER, &[("filter", "")]), &root()));
    let listed = String::from_utf8(listed.await.body.to_vec()).unwrap();
    assert!(listed.contains("\"anna\"") && listed.contains("disable"), "{listed}");
    assert!(!listed.contains("secret"), "{listed}");
    let all = request(RequestCode::AUTH_LIST_ACL, &[("subjectFilter", "ann")]);
    let all = wire.ok(signed(all, &root())).await;
    assert!(String::from_utf8_lossy(&all.body).contains("Topic:orders*"));
    let delete = request(RequestCode::AUTH_DELETE_USER, &[("username", "anna")]);
    wire.ok(signed(delete, &root())).await;
    let gone =
        wire.ok(signed(request(RequestCode::AUTH_GET_ACL, &[("subject", "User:anna")]), &root()));
    assert!(gone.await.body.is_empty());
    broker.stop().await.unwrap();
}

#[tokio::test]
async fn only_a_super_user_makes_another() {
    let (broker, mut wire) = guarded().await;
    let all = vec![policy("Cluster:*", &["All"])];
    wire.ok(signed(acl(RequestCode::AUTH_UPDATE_ACL, "anna", all), &root())).await;
    let normal = user(RequestCode::AUTH_CREATE_USER, "carl", "x", "Normal");
    wire.ok(signed(normal, &anna())).await;
    for request in [
        user(RequestCode::AUTH_CREATE_USER, "eve", "x", "Super"),
        user(RequestCode::AUTH_UPDATE_USER, "carl", "", "Super"),
        user(RequestCode::AUTH_UPDATE_USER, "root", "x", "Normal"),
        request(RequestCode::AUTH_DELETE_USER, &[("username", "root")]),
    ] {
        let refused = wire.call(signed(request, &anna())).await;
        assert_eq!(refused.response_code(), ResponseCode::NO_PERMISSION, "{}", remark(&refused));
    }
    broker.stop().await.unwrap();
}

#[tokio::test]
async fn users_outlive_a_restart_and_the_first_is_made_once() {
    let folder = tempfile::tempdir().unwrap();
    let options = |secret: &str| {
        Options::for_tests().store(folder.path()).users(Credentials::new("root", secret))
    };
    let broker = Broker::start(options("first")).await.unwrap();
    broker.stop().await.unwrap();
    let broker = Broker::start(options("second")).await.unwrap();
    let mut wire = Wire::connect(broker.broker_address()).await;
    let ask = || request(RequestCode::GET_BROKER_RUNTIME_INFO, &[("x", "y")]);
    wire.ok(signed(ask(), &Credentials::new("root", "first"))).await;
    let refused = wire.call(signed(ask(), &Credentials::new("root", "second"))).await;
    assert_eq!(refused.response_code(), ResponseCode::NO_PERMISSION);
    broker.stop().await.unwrap();
}
