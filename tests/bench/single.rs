//! One send at a time, beside an echo of the same bytes.
//!
//! An echo whose two ends share a processor takes a third of the time of one across processors,
//! and the kernel changes its mind about which it is. So the client stays on one processor and the
//! echo that the broker is held against on another, since a broker is a process of its own and runs
//! where it wants. The echo on one processor is shown too.

use crate::latencies::{Latencies, median};
use crate::load::{self, Shape};
use crate::proc::Pinned;
use crate::report::{Report, Row};
use crate::servers::{OURS, Servers, TOPIC};
use crate::{Effort, echo};

const SHAPE: Shape = Shape { connections: 1, window: 1, body_bytes: 1024 };
/// Where the client's thread runs.
const CLIENT: usize = 0;
/// The echoes: what they are called and where they run.
const ECHOES: [(&str, usize); 2] =
    [("loopback echo, two processors", 1), ("loopback echo, one processor", CLIENT)];
const WHAT: &str = "single send, 1 KiB";

pub(crate) fn measure(servers: &mut Servers, effort: Effort, report: &mut Report) {
    let names = servers.names();
    let mut echoes: [Vec<Latencies>; 2] = Default::default();
    let mut brokers: Vec<Vec<Latencies>> = vec![Vec::new(); names.len()];
    for _ in 0..effort.rounds {
        for ((_, processor), rounds) in ECHOES.iter().zip(&mut echoes) {
            rounds.push(echo_round(effort, *processor));
        }
        for (name, rounds) in names.iter().zip(&mut brokers) {
            rounds.push(send_round(servers, name, effort));
        }
    }
    let echo_names = ECHOES.iter().map(|(name, _)| (*name).to_owned());
    for (whose, rounds) in echo_names.chain(names).zip(echoes.into_iter().chain(brokers)) {
        report.add(row(whose, rounds));
    }
    for name in ["p50", "p99"] {
        compare(servers, report, name);
    }
}

fn echo_round(effort: Effort, processor: usize) -> Latencies {
    let request = load::send_frame(TOPIC, 0, 100_000, SHAPE.body_bytes);
    let _pinned = Pinned::on(CLIENT);
    echo::run(&request, effort.samples * 10, processor)
}

fn send_round(servers: &mut Servers, name: &str, effort: Effort) -> Latencies {
    // The broker starts before the pin: what is pinned passes it on to what it starts.
    let target = servers.target(name);
    let _pinned = Pinned::on(CLIENT);
    load::run(target.broker, TOPIC, SHAPE, effort.run / 4);
    let outcome = load::run(target.broker, TOPIC, SHAPE, effort.run);
    assert_eq!(outcome.refused, 0, "{name} refused sends");
    outcome.latencies
}

fn row(whose: String, mut rounds: Vec<Latencies>) -> Row {
    let mut of = |share| median(rounds.iter_mut().map(|run| run.quantile(share)).collect());
    let values = vec![("p50", of(0.5), "µs"), ("p99", of(0.99), "µs"), ("p99.9", of(0.999), "µs")];
    Row { what: WHAT.to_owned(), whose, values }
}

fn compare(servers: &Servers, report: &mut Report, name: &str) {
    let Some(ours) = report.value(WHAT, OURS, name) else { return };
    if let Some(echo) = report.value(WHAT, ECHOES[0].0, name) {
        report.at_most(format!("single send {name} beside the echo"), ours / echo, 2.0);
    }
    let apache = servers.names().into_iter().skip(1);
    let best = apache.filter_map(|apache| report.value(WHAT, &apache, name));
    if let Some(best) = best.min_by(f64::total_cmp) {
        report.at_most(format!("single send {name} beside the better Apache"), ours / best, 0.25);
    }
}
