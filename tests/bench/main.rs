//! `make bench`: our broker beside Apache's, in turn, in the same minutes, under the same load.
//!
//! Each figure stands beside its limit or its peer as a ratio, since one machine's absolute figures
//! mean nothing on another, nor on the same one an hour later.
//!
//! ```text
//! cargo run --release -p oxmq-tests --bin bench -- [--quick] [--only A,B] [--json FILE]
//! ```
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a program of the tests: what is not as expected ends it, with a message"
)]

mod append;
#[path = "../../broker-dev/benches/append/work.rs"]
mod append_work;
mod backlog;
mod clients;
mod delivery;
mod echo;
mod index;
mod latencies;
mod load;
mod long_append;
mod many_queues;
mod pipelined;
mod proc;
mod recovery;
mod report;
mod scripts;
mod servers;
mod single;
mod startup;
mod sync;

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

use crate::report::Report;
use crate::servers::Servers;

/// Measures broker-dev and the clients beside Apache RocketMQ and the machine's limits.
#[derive(Debug, Parser)]
struct Arguments {
    /// Short runs and a short warm-up: to see that it works, not to quote.
    #[arg(long)]
    quick: bool,
    /// How often each figure is taken; the median counts. Otherwise 3, or 1 if quick.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..))]
    rounds: Option<u8>,
    /// Only these: start, append, sync, long-append, index, recovery, backlog, queues, single,
    /// pipelined, delivery, clients.
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    only: Vec<String>,
    /// Apache releases to compare with; none with an empty text.
    #[arg(long, value_name = "A,B", default_value = "4.9.7,5.3.3", value_delimiter = ',')]
    apache: Vec<String>,
    /// Write all figures to this file as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the table to this file.
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
}

/// How long and how often things are measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effort {
    /// Load before the first measurement: a JVM is twenty times slower in its first seconds.
    pub(crate) warm_up: Duration,
    /// One measurement of a rate.
    pub(crate) run: Duration,
    /// Measurements of each kind; the median counts.
    pub(crate) rounds: usize,
    /// Messages of a latency measurement.
    pub(crate) samples: usize,
    /// Messages that a client sends.
    pub(crate) messages: usize,
}

impl Effort {
    fn new(quick: bool) -> Self {
        if quick {
            let run = Duration::from_secs(2);
            Self {
                warm_up: Duration::from_secs(5),
                run,
                rounds: 1,
                samples: 1_000,
                messages: 50_000,
            }
        } else {
            let run = Duration::from_secs(5);
            Self {
                warm_up: Duration::from_secs(30),
                run,
                rounds: 3,
                samples: 5_000,
                messages: 200_000,
            }
        }
    }
}

type Figure = (&'static str, fn(&mut Servers, Effort, &mut Report));

/// In this order: what starts its own servers comes before the long-running ones are up.
const FIGURES: [Figure; 12] = [
    ("start", startup::measure),
    ("append", append::measure),
    ("sync", sync::measure),
    ("long-append", long_append::measure),
    ("index", index::measure),
    ("recovery", recovery::measure),
    ("backlog", backlog::measure),
    ("queues", many_queues::measure),
    ("clients", clients::measure),
    ("single", single::measure),
    ("pipelined", pipelined::measure),
    ("delivery", delivery::measure),
];

fn main() {
    let arguments = Arguments::parse();
    if cfg!(debug_assertions) {
        eprintln!("NOTE: a debug build; add --release before quoting anything");
    }
    let mut effort = Effort::new(arguments.quick);
    effort.rounds = arguments.rounds.map_or(effort.rounds, usize::from);
    let mut report = Report::new(arguments.quick);
    let mut servers = Servers::new(&arguments.apache, effort);
    for (name, measure) in FIGURES {
        if arguments.only.is_empty() || arguments.only.iter().any(|only| only == name) {
            eprintln!("== {name}");
            measure(&mut servers, effort, &mut report);
        }
    }
    drop(servers);
    report.publish(arguments.json.as_deref(), arguments.markdown.as_deref());
}
