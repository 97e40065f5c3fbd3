//! The control group: Apache's Java client on Apache's own servers sees what
//! `java_on_broker_dev` expects of ours.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

mod scenarios;

use oxmq_tests::apache::Cluster;
use oxmq_tests::java::Release;
use scenarios::Server;

fn server(release: &Release) -> Server {
    let cluster = Cluster::shared(release);
    let (name_server, broker) = (cluster.name_server, cluster.broker);
    Server { name_server, broker, keep: Box::new(cluster) }
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
