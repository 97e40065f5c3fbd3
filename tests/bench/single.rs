//! One send at a time, beside an echo of the same bytes.

use crate::latencies::{Latencies, median};
use crate::load::{self, Shape};
use crate::report::{Report, Row};
use crate::servers::{OURS, Servers, TOPIC};
use crate::{Effort, echo};

const SHAPE: Shape = Shape { connections: 1, window: 1, body_bytes: 1024 };
const ECHO: &str = "loopback echo";
const WHAT: &str = "single send, 1 KiB";

pub(crate) fn measure(servers: &mut Servers, effort: Effort, report: &mut Report) {
    let names = servers.names();
    let mut rounds: Vec<Vec<Latencies>> = vec![Vec::new(); names.len() + 1];
    let request = load::send_frame(TOPIC, 0, 100_000, SHAPE.body_bytes);
    for _ in 0..effort.rounds {
        rounds[0].push(echo::run(&request, effort.samples * 10));
        for (name, rounds) in names.iter().zip(&mut rounds[1..]) {
            let target = servers.target(name);
            load::run(target.broker, TOPIC, SHAPE, effort.run / 4);
            let outcome = load::run(target.broker, TOPIC, SHAPE, effort.run);
            assert_eq!(outcome.refused, 0, "{name} refused sends");
            rounds.push(outcome.latencies);
        }
    }
    let whose = std::iter::once(ECHO.to_owned()).chain(names);
    for (whose, mut rounds) in whose.zip(rounds) {
        let mut of = |share| median(rounds.iter_mut().map(|run| run.quantile(share)).collect());
        let values =
            vec![("p50", of(0.5), "µs"), ("p99", of(0.99), "µs"), ("p99.9", of(0.999), "µs")];
        report.add(Row { what: WHAT.to_owned(), whose, values });
    }
    for name in ["p50", "p99"] {
        let Some(ours) = report.value(WHAT, OURS, name) else { return };
        if let Some(echo) = report.value(WHAT, ECHO, name) {
            report.at_most(format!("single send {name} beside the echo"), ours / echo, 2.0);
        }
        let apache = servers.names().into_iter().skip(1);
        let best = apache.filter_map(|apache| report.value(WHAT, &apache, name));
        if let Some(best) = best.min_by(f64::total_cmp) {
            let what = format!("single send {name} beside the better Apache");
            report.at_most(what, ours / best, 0.25);
        }
    }
}
