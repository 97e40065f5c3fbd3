//! Opening a store of 1 GiB after `kill -9`.

use std::fs;

use oxmq::clock::{Clock, SystemClock};
use oxmq_tests::broker_dev::BrokerDev;
use oxmq_tests::wire;

use crate::Effort;
use crate::latencies::median;
use crate::load::{self, QUEUES, Shape};
use crate::report::{Report, Row};
use crate::servers::{OURS, Servers, TOPIC};

const SHAPE: Shape = Shape { connections: 4, window: 256, body_bytes: 1024 };
/// 1 GiB of bodies.
const MESSAGES: usize = 1 << 20;
const WHAT: &str = "a store of 1 GiB after kill -9";

pub(crate) fn measure(_: &mut Servers, effort: Effort, report: &mut Report) {
    let (killed, whole): (Vec<_>, Vec<_>) = (0..effort.rounds).map(|_| round()).unzip();
    let values =
        vec![("as killed", median(killed), "ms"), ("without its checkpoint", median(whole), "ms")];
    report.add(Row { what: WHAT.to_owned(), whose: OURS.to_owned(), values });
    for (name, what) in [("as killed", ""), ("without its checkpoint", ", without its checkpoint")]
    {
        if let Some(time) = report.value(WHAT, OURS, name) {
            report.at_most(format!("{WHAT}{what}: seconds to open"), time / 1e3, 2.0);
        }
    }
}

/// Milliseconds to open what a killed broker left; and once more with no checkpoint, so that all
/// of it has to be looked at.
fn round() -> (f64, f64) {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let broker = BrokerDev::start(&store);
    wire::create_topic(broker.broker, TOPIC, QUEUES);
    let outcome = load::store(broker.broker, TOPIC, SHAPE, MESSAGES);
    let stored = outcome.latencies.len() - outcome.refused;
    broker.kill();
    let open = || {
        let clock = SystemClock::new();
        let broker = BrokerDev::start(&store);
        let milliseconds = clock.monotonic().as_secs_f64() * 1e3;
        let found: i64 =
            (0..QUEUES).map(|queue| wire::max_offset(broker.broker, TOPIC, queue)).sum();
        assert_eq!(usize::try_from(found), Ok(stored), "everything acknowledged is there");
        broker.kill();
        milliseconds
    };
    let killed = open();
    fs::remove_file(store.join("checkpoint")).unwrap();
    (killed, open())
}
