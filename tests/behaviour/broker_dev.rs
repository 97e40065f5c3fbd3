//! The promises, kept by `broker-dev`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

mod promises;

use oxmq_tests::broker_dev::BrokerDev;
use promises::Server;

#[expect(clippy::unnecessary_wraps, reason = "other servers may be missing")]
fn server() -> Option<Server> {
    let folder = tempfile::tempdir().unwrap();
    let running = BrokerDev::start(&folder.path().join("store"));
    let (name_server, broker) = (running.name_server, running.broker);
    let keep = Box::new((running, folder));
    Some(Server { name_server, broker, knows_new_groups: true, keep })
}

promises!(server);
