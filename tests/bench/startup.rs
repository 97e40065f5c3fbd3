//! From nothing to the first stored message, and the memory of a broker that does nothing.

use std::net::SocketAddr;
use std::time::Duration;

use oxmq::clock::{Clock, SystemClock};
use oxmq_tests::apache::{Cluster, Options};
use oxmq_tests::broker_dev::{self, BrokerDev};

use crate::latencies::median;
use crate::load::{self, Shape};
use crate::report::{Report, Row};
use crate::servers::{OURS, Servers};
use crate::{Effort, proc};

const START: &str = "start to first stored message";
const MEMORY: &str = "idle, anonymous memory";

pub(crate) fn measure(servers: &mut Servers, effort: Effort, report: &mut Report) {
    broker_dev::binary();
    let (starts, memory): (Vec<_>, Vec<_>) = (0..effort.rounds * 5).map(|_| start_ours()).unzip();
    add(report, OURS, median(starts), median(memory));
    let mut apache: Vec<(f64, f64)> = Vec::new();
    for release in servers.releases() {
        let clock = SystemClock::new();
        let options = Options { for_benchmark: true, ..Options::default() };
        let cluster = Cluster::start(release, &options);
        first_message(cluster.broker);
        let milliseconds = clock.monotonic().as_secs_f64() * 1e3;
        let memory = proc::anonymous_mib(cluster.broker_pid());
        apache.push((milliseconds, memory));
        add(report, &format!("Apache {}", release.version), milliseconds, memory);
        cluster.kill();
    }
    let Some(ours) = report.value(START, OURS, "time") else { return };
    report.at_most("start to first stored message, ms".to_owned(), ours, 30.0);
    let quickest = apache.iter().map(|(time, _)| *time).min_by(f64::total_cmp);
    if let Some(quickest) = quickest {
        let what = "start to first stored message beside the better Apache";
        report.at_most(what.to_owned(), ours / quickest, 0.01);
    }
    if let Some(memory) = report.value(MEMORY, OURS, "resident") {
        report.at_most("idle memory besides mapped files, MiB".to_owned(), memory, 20.0);
    }
}

/// Milliseconds and MiB.
fn start_ours() -> (f64, f64) {
    let folder = tempfile::tempdir().unwrap();
    let clock = SystemClock::new();
    let broker = BrokerDev::start(&folder.path().join("store"));
    first_message(broker.broker);
    let milliseconds = clock.monotonic().as_secs_f64() * 1e3;
    let memory = proc::anonymous_mib(broker.pid());
    broker.kill();
    (milliseconds, memory)
}

/// To a topic that comes to be with it.
fn first_message(broker: SocketAddr) {
    let shape = Shape { connections: 1, window: 1, body_bytes: 128 };
    loop {
        let outcome = load::run(broker, "first", shape, Duration::ZERO);
        if outcome.refused == 0 {
            return;
        }
    }
}

fn add(report: &mut Report, whose: &str, milliseconds: f64, mib: f64) {
    let whose = whose.to_owned();
    let values = vec![("time", milliseconds, "ms")];
    report.add(Row { what: START.to_owned(), whose: whose.clone(), values });
    report.add(Row { what: MEMORY.to_owned(), whose, values: vec![("resident", mib, "MiB")] });
}
