//! The brokers that are measured: ours and Apache's, one of each kept running.

use std::net::SocketAddr;

use oxmq_tests::apache::{Cluster, Options};
use oxmq_tests::broker_dev::BrokerDev;
use oxmq_tests::java::Release;
use oxmq_tests::wire;
use tempfile::TempDir;

use crate::load::{self, QUEUES, Shape};
use crate::{Effort, proc};

/// The topic that the load goes to.
pub(crate) const TOPIC: &str = "bench";
/// Ours.
pub(crate) const OURS: &str = "broker-dev";

/// A broker to measure.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// `broker-dev` or `Apache 5.3.3`.
    pub(crate) name: String,
    pub(crate) broker: SocketAddr,
    pub(crate) pid: i32,
}

/// The brokers.
#[derive(Debug)]
pub(crate) struct Servers {
    releases: Vec<Release>,
    effort: Effort,
    ours: Option<(BrokerDev, TempDir)>,
    apache: Vec<Cluster>,
}

impl Servers {
    pub(crate) fn new(versions: &[String], effort: Effort) -> Self {
        let mut releases = Vec::new();
        for version in versions.iter().filter(|version| !version.is_empty()) {
            match Release::prepare(version) {
                Ok(release) => releases.push(release),
                Err(reason) => eprintln!("SKIPPED: Apache {version}: {reason}"),
            }
        }
        Self { releases, effort, ours: None, apache: Vec::new() }
    }

    pub(crate) fn releases(&self) -> &[Release] {
        &self.releases
    }

    /// The names, ours first.
    pub(crate) fn names(&self) -> Vec<String> {
        let apache = self.releases.iter().map(|release| format!("Apache {}", release.version));
        std::iter::once(OURS.to_owned()).chain(apache).collect()
    }

    /// A running broker with the topic. Ours gets a fresh store each time, since it fills a disk
    /// in minutes; Apache's keeps running, since it takes half a minute to warm up.
    pub(crate) fn target(&mut self, name: &str) -> Target {
        proc::settle_disk();
        if name == OURS {
            self.start_ours();
            let (ours, _) = self.ours.as_ref().unwrap();
            return Target { name: OURS.to_owned(), broker: ours.broker, pid: ours.pid() };
        }
        self.start_apache();
        let cluster = self
            .apache
            .iter()
            .find(|cluster| name.ends_with(&cluster.release.version))
            .expect("a release that was prepared");
        Target { name: name.to_owned(), broker: cluster.broker, pid: cluster.broker_pid() }
    }

    fn start_ours(&mut self) {
        if let Some((ours, folder)) = self.ours.take() {
            ours.kill();
            drop(folder);
        }
        let folder = tempfile::tempdir().unwrap();
        let ours = BrokerDev::start(&folder.path().join("store"));
        wire::create_topic(ours.broker, TOPIC, QUEUES);
        self.ours = Some((ours, folder));
    }

    fn start_apache(&mut self) {
        if !self.apache.is_empty() {
            return;
        }
        for release in self.releases.clone() {
            eprintln!("   starting and warming up Apache {}", release.version);
            let options = Options { for_benchmark: true, ..Options::default() };
            let cluster = Cluster::start(&release, &options);
            wire::create_topic(cluster.broker, TOPIC, QUEUES);
            for (connections, window) in [(4, 16), (1, 1)] {
                let shape = Shape { connections, window, body_bytes: 1024 };
                load::run(cluster.broker, TOPIC, shape, self.effort.warm_up / 2);
            }
            self.apache.push(cluster);
        }
    }
}
