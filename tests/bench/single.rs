//! One send at a time, beside an echo of the same bytes.
//!
//! An answer from the same processor takes a third of the time of one from another, which has to
//! be woken; left alone, the kernel picks the one or the other for a whole run. So the broker is
//! held against an echo in the same place, once on the client's processor and once on another.
//! Beside Apache's brokers all run where the kernel puts them, as their users' do.

use std::net::SocketAddr;

use crate::latencies::{Latencies, median};
use crate::load::{self, Shape};
use crate::proc::{self, Pinned};
use crate::report::{Report, Row};
use crate::servers::{OURS, Servers, TOPIC};
use crate::{Effort, echo};

const SHAPE: Shape = Shape { connections: 1, window: 1, body_bytes: 1024 };
/// Where the client's thread runs.
const CLIENT: usize = 0;
/// The places of the other end: what they are called and which processor it is.
const PLACES: [(&str, usize); 2] = [("one processor", CLIENT), ("two processors", CLIENT + 1)];
const QUANTILES: [&str; 2] = ["p50", "p99"];
const WHAT: &str = "single send, 1 KiB";

pub(crate) fn measure(servers: &mut Servers, effort: Effort, report: &mut Report) {
    beside_echo(servers, effort, report);
    beside_apache(servers, effort, report);
}

fn beside_echo(servers: &mut Servers, effort: Effort, report: &mut Report) {
    let request = load::send_frame(TOPIC, 0, 100_000, SHAPE.body_bytes);
    for (place, processor) in PLACES {
        let what = format!("{WHAT}, {place}");
        let (mut echoes, mut ours) = (Vec::new(), Vec::new());
        for _ in 0..effort.rounds {
            let target = servers.target(OURS);
            proc::pin_process(target.pid, processor);
            let _pinned = Pinned::on(CLIENT);
            echoes.push(echo::run(&request, effort.samples * 10, processor));
            ours.push(sends(target.broker, effort));
        }
        report.add(row(&what, "loopback echo", echoes));
        report.add(row(&what, OURS, ours));
        for name in QUANTILES {
            let of = |whose| report.value(&what, whose, name);
            if let (Some(ours), Some(echo)) = (of(OURS), of("loopback echo")) {
                report.at_most(format!("{what}: {name} beside the echo"), ours / echo, 2.0);
            }
        }
    }
}

fn beside_apache(servers: &mut Servers, effort: Effort, report: &mut Report) {
    let names = servers.names();
    let mut rounds: Vec<Vec<Latencies>> = vec![Vec::new(); names.len()];
    for _ in 0..effort.rounds {
        for (name, rounds) in names.iter().zip(&mut rounds) {
            rounds.push(sends(servers.target(name).broker, effort));
        }
    }
    for (whose, rounds) in names.iter().zip(rounds) {
        report.add(row(WHAT, whose, rounds));
    }
    for name in QUANTILES {
        let apache = names.iter().skip(1).filter_map(|apache| report.value(WHAT, apache, name));
        let best = apache.min_by(f64::total_cmp);
        if let (Some(ours), Some(best)) = (report.value(WHAT, OURS, name), best) {
            let what = format!("{WHAT}: {name} beside the better Apache");
            report.at_most(what, ours / best, 0.25);
        }
    }
}

fn sends(broker: SocketAddr, effort: Effort) -> Latencies {
    load::run(broker, TOPIC, SHAPE, effort.run / 4);
    let outcome = load::run(broker, TOPIC, SHAPE, effort.run);
    assert_eq!(outcome.refused, 0, "{broker} refused sends");
    outcome.latencies
}

fn row(what: &str, whose: &str, mut rounds: Vec<Latencies>) -> Row {
    let mut of = |share| median(rounds.iter_mut().map(|run| run.quantile(share)).collect());
    let values = vec![("p50", of(0.5), "µs"), ("p99", of(0.99), "µs"), ("p99.9", of(0.999), "µs")];
    Row { what: what.to_owned(), whose: whose.to_owned(), values }
}
