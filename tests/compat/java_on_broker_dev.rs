//! Apache's Java client, of three releases, on `broker-dev`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

mod scenarios;

use oxmq_tests::broker_dev::BrokerDev;
use oxmq_tests::java::Release;
use scenarios::Server;

fn server(_: &Release) -> Server {
    let folder = tempfile::tempdir().unwrap();
    let running = BrokerDev::start(&folder.path().join("store"));
    let (name_server, broker) = (running.name_server, running.broker);
    Server { name_server, broker, keep: Box::new((running, folder)) }
}

scenarios! {
    crate::server:
    messages_are_stored_in_order,
    a_topic_comes_to_be_with_its_first_message,
    large_bodies_come_back_whole,
    tags_filter,
    reconsume_later_delivers_again,
    delayed_messages_arrive,
    two_members_share_the_queues,
    a_consumer_goes_on_where_it_stopped,
    mqadmin_finds_messages_by_key,
}
