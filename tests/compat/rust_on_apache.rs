//! The promises, kept by Apache's name server and broker, of three releases, with our Rust
//! client.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

#[path = "../behaviour/promises/mod.rs"]
mod promises;

use oxmq_tests::apache::Cluster;
use oxmq_tests::java::Release;
use promises::Server;

fn server(version: &str) -> Option<Server> {
    let release = match Release::prepare(version) {
        Ok(release) => release,
        Err(reason) => {
            eprintln!("SKIPPED: our Rust client on Apache {version}: {reason}");
            return None;
        }
    };
    let cluster = Cluster::shared(&release);
    let (name_server, broker) = (cluster.name_server, cluster.broker);
    let knows_new_groups = release.is_five();
    Some(Server { name_server, broker, knows_new_groups, keep: Box::new(cluster) })
}

mod apache_4_9_7 {
    crate::promises!(|| crate::server("4.9.7"));
}

mod apache_5_3_3 {
    crate::promises!(|| crate::server("5.3.3"));
}

mod apache_5_4_0 {
    crate::promises!(|| crate::server("5.4.0"));
}
