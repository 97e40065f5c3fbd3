//! What one process sends and receives through the clients, in Rust, Python and Node, each with a
//! fresh `broker-dev` in a process of its own.

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use oxmq::clock::{Clock, SystemClock};
use oxmq::{Client, ConsumeFrom, Message, Producer};
use oxmq_tests::broker_dev::BrokerDev;

use crate::latencies::median;
use crate::report::{Report, Row};
use crate::servers::{Servers, TOPIC};
use crate::{Effort, proc, scripts};

const RUST: &str = "Rust";
const BODY_BYTES: usize = 1024;
/// Sends that are awaited at once.
const AT_ONCE: usize = 1_000;
/// What Python and Node are to reach, messages a second.
const GOAL: f64 = 100_000.0;

/// Which way messages go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Direction {
    Send,
    Receive,
}

/// One measurement of one way to use a client.
#[derive(Debug)]
pub(crate) struct Sample {
    pub(crate) direction: Direction,
    /// How the client is used.
    pub(crate) how: String,
    pub(crate) per_second: f64,
    /// Processor time of the client's process.
    pub(crate) cpu_micros: f64,
}

type Measured = BTreeMap<(Direction, String), Vec<Sample>>;

pub(crate) fn measure(_: &mut Servers, effort: Effort, report: &mut Report) {
    let mut languages = vec![(RUST, Measured::new())];
    let is_built = |(name, check): (&'static str, Result<(), String>)| match check {
        Ok(()) => Some((name, Measured::new())),
        Err(reason) => {
            report.note(format!("SKIPPED: the {name} client: {reason}"));
            None
        }
    };
    let scripts = [("Python", scripts::check_python()), ("Node", scripts::check_node())];
    languages.extend(scripts.into_iter().filter_map(is_built));
    for _ in 0..effort.rounds {
        for (name, measured) in &mut languages {
            for sample in run(name, effort.messages) {
                measured.entry((sample.direction, sample.how.clone())).or_default().push(sample);
            }
        }
    }
    for direction in [Direction::Send, Direction::Receive] {
        present(direction, &languages, report);
    }
}

/// One language, with a broker of its own.
fn run(language: &str, messages: usize) -> Vec<Sample> {
    let folder = tempfile::tempdir().unwrap();
    let broker = BrokerDev::start(&folder.path().join("store"));
    proc::settle_disk();
    let samples = match language {
        "Python" => scripts::python(broker.name_server, messages),
        "Node" => scripts::node(broker.name_server, messages),
        _ => rust(broker.name_server, messages),
    };
    broker.kill();
    samples
}

fn present(direction: Direction, languages: &[(&str, Measured)], report: &mut Report) {
    let what = match direction {
        Direction::Send => "client, send, 1 KiB",
        Direction::Receive => "client, receive and ack, 1 KiB",
    };
    let mut rust = None;
    for (language, measured) in languages {
        let mut best: f64 = 0.0;
        for ((_, how), samples) in measured.iter().filter(|(key, _)| key.0 == direction) {
            let of = |field: fn(&Sample) -> f64| median(samples.iter().map(field).collect());
            let rate = of(|sample| sample.per_second);
            best = best.max(rate);
            let mut values =
                vec![("rate", rate, "msg/s"), ("CPU", of(|sample| sample.cpu_micros), "µs/msg")];
            values.extend(rust.map(|rust| ("beside Rust", rate / rust, "×")));
            report.add(Row { what: what.to_owned(), whose: format!("{language}: {how}"), values });
        }
        match rust {
            None => rust = Some(best),
            Some(_) => report.at_least(format!("{what}: {language}, messages/s"), best, GOAL),
        }
    }
}

fn rust(name_server: SocketAddr, messages: usize) -> Vec<Sample> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = Client::builder(name_server.to_string()).connect().await.unwrap();
        let producer = client.producer("bench").compress_above(1 << 30).start().await.unwrap();
        // Creates the topic and the connections.
        send(&producer, AT_ONCE).await;
        let sent = send(&producer, messages).await;
        vec![sent, receive(&client, AT_ONCE + messages).await]
    })
}

/// Time and processor time from here on.
struct Watch {
    clock: SystemClock,
    cpu: f64,
}

impl Watch {
    fn start() -> Self {
        Self { clock: SystemClock::new(), cpu: own_cpu() }
    }

    fn sample(&self, direction: Direction, how: &str, count: usize) -> Sample {
        Sample {
            direction,
            how: how.to_owned(),
            per_second: count as f64 / self.clock.monotonic().as_secs_f64(),
            cpu_micros: (own_cpu() - self.cpu) * 1e6 / count as f64,
        }
    }
}

fn own_cpu() -> f64 {
    proc::cpu_seconds(rustix::process::getpid().as_raw_nonzero().get())
}

async fn send(producer: &Producer, messages: usize) -> Sample {
    let watch = Watch::start();
    let begun = Arc::new(AtomicUsize::new(0));
    let tasks: Vec<_> = (0..AT_ONCE)
        .map(|_| {
            let (producer, begun) = (producer.clone(), Arc::clone(&begun));
            tokio::spawn(async move {
                let mut ids = Vec::new();
                while begun.fetch_add(1, Ordering::Relaxed) < messages {
                    let message = Message::new(TOPIC, vec![b'x'; BODY_BYTES]);
                    ids.push(producer.send(message).await.unwrap().message_id);
                }
                ids
            })
        })
        .collect();
    let mut ids = HashSet::new();
    for task in tasks {
        ids.extend(task.await.unwrap());
    }
    assert_eq!(ids.len(), messages, "every message has an id of its own");
    watch.sample(Direction::Send, "1,000 tasks", messages)
}

async fn receive(client: &Client, messages: usize) -> Sample {
    let consumer = client.push_consumer("bench-consumers").subscribe(TOPIC, "*");
    let consumer = consumer.consume_from(ConsumeFrom::First).stream().await.unwrap();
    let mut ids = HashSet::with_capacity(messages);
    // From the first message on: joining the group is not what is measured.
    let first = consumer.next().await.unwrap();
    let watch = Watch::start();
    first.ack().await.unwrap();
    ids.insert(first.message_id().into_owned());
    while ids.len() < messages {
        let delivery = consumer.next().await.unwrap();
        delivery.ack().await.unwrap();
        ids.insert(delivery.message_id().into_owned());
    }
    let sample = watch.sample(Direction::Receive, "stream", messages);
    consumer.commit().await.unwrap();
    sample
}
