//! Many sends in flight.

use crate::latencies::median;
use crate::load::{self, Shape};
use crate::report::{Report, Row};
use crate::servers::{OURS, Servers, TOPIC};
use crate::{Effort, proc};

/// Requests in flight in all, over how many connections.
const SHAPES: [(usize, usize); 3] = [(1, 1), (64, 4), (1024, 4)];

/// One run of one broker.
struct Run {
    per_second: f64,
    p50: f64,
    p99: f64,
    p999: f64,
    cpu_micros: f64,
}

pub(crate) fn measure(servers: &mut Servers, effort: Effort, report: &mut Report) {
    for (in_flight, connections) in SHAPES {
        let what = format!("sends, 1 KiB, {in_flight} in flight");
        let shape = Shape { connections, window: in_flight / connections, body_bytes: 1024 };
        let names = servers.names();
        let mut runs: Vec<Vec<Run>> = names.iter().map(|_| Vec::new()).collect();
        for _ in 0..effort.rounds {
            for (name, runs) in names.iter().zip(&mut runs) {
                runs.push(one_run(servers, name, shape, effort));
            }
        }
        for (whose, runs) in names.iter().zip(runs) {
            report.add(row(&what, whose, &runs));
        }
        if in_flight > 1 {
            compare(servers, report, &what);
        }
    }
}

fn one_run(servers: &mut Servers, name: &str, shape: Shape, effort: Effort) -> Run {
    let target = servers.target(name);
    load::run(target.broker, TOPIC, shape, effort.run / 5);
    proc::settle_disk();
    let before = proc::cpu_seconds(target.pid);
    let mut outcome = load::run(target.broker, TOPIC, shape, effort.run);
    let cpu = proc::cpu_seconds(target.pid) - before;
    if outcome.refused > 0 {
        eprintln!("   NOTE: {} refused {} sends", target.name, outcome.refused);
    }
    Run {
        per_second: outcome.per_second(),
        cpu_micros: cpu * 1e6 / outcome.latencies.len() as f64,
        p50: outcome.latencies.quantile(0.5),
        p99: outcome.latencies.quantile(0.99),
        p999: outcome.latencies.quantile(0.999),
    }
}

fn row(what: &str, whose: &str, runs: &[Run]) -> Row {
    let of = |field: fn(&Run) -> f64| median(runs.iter().map(field).collect());
    let values = vec![
        ("rate", of(|run| run.per_second), "msg/s"),
        ("p50", of(|run| run.p50), "µs"),
        ("p99", of(|run| run.p99), "µs"),
        ("p99.9", of(|run| run.p999), "µs"),
        ("broker CPU", of(|run| run.cpu_micros), "µs/msg"),
    ];
    Row { what: what.to_owned(), whose: whose.to_owned(), values }
}

fn compare(servers: &Servers, report: &mut Report, what: &str) {
    let apache: Vec<_> = servers.names().into_iter().skip(1).collect();
    let all = |report: &Report, name| -> Vec<f64> {
        apache.iter().filter_map(|whose| report.value(what, whose, name)).collect()
    };
    let Some(fastest) = all(report, "rate").into_iter().max_by(f64::total_cmp) else { return };
    let Some(leanest) = all(report, "broker CPU").into_iter().min_by(f64::total_cmp) else {
        return;
    };
    if let Some(rate) = report.value(what, OURS, "rate") {
        report.at_least(format!("{what}: rate beside the better Apache"), rate / fastest, 4.0);
    }
    if let Some(cpu) = report.value(what, OURS, "broker CPU") {
        let what = format!("{what}: broker CPU a message beside the better Apache");
        report.at_most(what, cpu / leanest, 1.0 / 6.0);
    }
}
