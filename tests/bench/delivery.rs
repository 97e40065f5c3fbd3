//! From an idle producer to a consumer that waits in a long poll.

use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use oxmq::clock::{Clock, SystemClock};
use oxmq_tests::wire;

use crate::Effort;
use crate::latencies::{Latencies, median};
use crate::load;
use crate::report::{Report, Row};
use crate::servers::{OURS, Servers, TOPIC};

const WHAT: &str = "send to delivery, 1 KiB, long poll";
/// Between two messages: the consumer is back in its long poll by then.
const PAUSE: Duration = Duration::from_millis(5);

pub(crate) fn measure(servers: &mut Servers, effort: Effort, report: &mut Report) {
    let names = servers.names();
    let mut rounds: Vec<Vec<Latencies>> = vec![Vec::new(); names.len()];
    for _ in 0..effort.rounds {
        for (name, rounds) in names.iter().zip(&mut rounds) {
            let target = servers.target(name);
            deliveries(target.broker, 100);
            rounds.push(deliveries(target.broker, effort.samples / 5));
        }
    }
    for (whose, mut rounds) in names.iter().zip(rounds) {
        let mut of = |share| median(rounds.iter_mut().map(|run| run.quantile(share)).collect());
        let values = vec![("p50", of(0.5), "µs"), ("p99", of(0.99), "µs")];
        report.add(Row { what: WHAT.to_owned(), whose: whose.clone(), values });
    }
    let apache = names.iter().skip(1).filter_map(|name| report.value(WHAT, name, "p50"));
    if let (Some(ours), Some(best)) =
        (report.value(WHAT, OURS, "p50"), apache.min_by(f64::total_cmp))
    {
        let what = "send to delivery p50 beside the better Apache".to_owned();
        report.at_most(what, ours / best, 1.0 / 8.0);
    }
}

/// Sends one message at a time to queue 0 and measures until the puller has it.
fn deliveries(broker: SocketAddr, count: usize) -> Latencies {
    let clock = SystemClock::new();
    let offset = wire::max_offset(broker, TOPIC, 0);
    let request = load::send_frame(TOPIC, 0, 1, 1024);
    let mut producer = wire::Connection::open(broker).unwrap();
    let (sender, arrivals) = sync_channel(count);
    let mut latencies = Latencies::default();
    thread::scope(|scope| {
        let clock = &clock;
        scope.spawn(move || pull(broker, offset, count, clock, &sender));
        for _ in 0..count {
            thread::park_timeout(PAUSE);
            let begin = clock.monotonic();
            let answer = producer.exchange(&request).unwrap();
            assert_eq!(answer.code, 0, "a refused send: {}", answer.remark);
            latencies.record(arrival(&arrivals) - begin);
        }
    });
    latencies
}

fn arrival(arrivals: &Receiver<Duration>) -> Duration {
    arrivals.recv_timeout(Duration::from_secs(20)).expect("a delivery")
}

fn pull(
    broker: SocketAddr,
    mut offset: i64,
    count: usize,
    clock: &SystemClock,
    arrivals: &SyncSender<Duration>,
) {
    let mut connection = wire::Connection::open(broker).unwrap();
    let mut left = count;
    while left > 0 {
        let from = offset.to_string();
        // Flags: may wait (2), brings its subscription along (4).
        let fields = [
            ("consumerGroup", "bench-consumers"),
            ("topic", TOPIC),
            ("queueId", "0"),
            ("queueOffset", &from),
            ("maxMsgNums", "32"),
            ("sysFlag", "6"),
            ("commitOffset", "0"),
            ("suspendTimeoutMillis", "15000"),
            ("subscription", "*"),
            ("subVersion", "0"),
            ("expressionType", "TAG"),
        ];
        let answer = connection.call(wire::code::PULL_MESSAGE, &fields, b"").unwrap();
        let now = clock.monotonic();
        if answer.code == 0 {
            let next: i64 = answer.fields["nextBeginOffset"].parse().unwrap();
            for _ in offset..next {
                arrivals.send(now).unwrap();
                left -= 1;
            }
            offset = next;
        }
    }
}
