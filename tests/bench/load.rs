//! The load generator: raw frames encoded beforehand, no client library, standard threads.
//!
//! Each connection keeps `window` requests in flight. A request's number is its slot in the window,
//! so the answer leads to the time the request left and to the frame that goes out next.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use memchr::memmem;
use oxmq::clock::{Clock, SystemClock};
use oxmq_tests::wire;

use crate::latencies::Latencies;

/// Queues of the topic that is sent to.
pub(crate) const QUEUES: u32 = 8;
/// Added to slots, so that all request numbers are written with equally many digits.
const FIRST_OPAQUE: usize = 100_000;
/// No run stores more than this, whatever its time: the disk is not endless.
const MOST_BYTES: usize = 3 << 30;

/// How to load a broker.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) connections: usize,
    /// Requests in flight on each.
    pub(crate) window: usize,
    pub(crate) body_bytes: usize,
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) latencies: Latencies,
    pub(crate) seconds: f64,
    /// Answers that did not say "stored".
    pub(crate) refused: usize,
}

impl Outcome {
    pub(crate) fn per_second(&self) -> f64 {
        self.latencies.len() as f64 / self.seconds
    }
}

/// A send's frame.
pub(crate) fn send_frame(topic: &str, queue: u32, opaque: i32, body_bytes: usize) -> Vec<u8> {
    let queue = queue.to_string();
    let properties = format!("UNIQ_KEY\u{1}7F0000010000{opaque:020}\u{2}WAIT\u{1}true\u{2}");
    let fields = wire::send_fields(topic, &queue, &properties);
    wire::frame(wire::code::SEND_MESSAGE_V2, opaque, &fields, &vec![b'x'; body_bytes])
}

/// Sends for `time` and waits for the last answers.
pub(crate) fn run(broker: SocketAddr, topic: &str, shape: Shape, time: Duration) -> Outcome {
    run_to(broker, topic, shape, time, MOST_BYTES / (shape.body_bytes + 300))
}

/// Sends at least so many messages, as fast as it goes.
pub(crate) fn store(broker: SocketAddr, topic: &str, shape: Shape, messages: usize) -> Outcome {
    run_to(broker, topic, shape, Duration::from_secs(600), messages)
}

/// Sends until the time is over or `most` messages are stored.
fn run_to(broker: SocketAddr, topic: &str, shape: Shape, time: Duration, most: usize) -> Outcome {
    let clock = SystemClock::new();
    let most = most.div_ceil(shape.connections);
    let connections: Vec<_> =
        (0..shape.connections).map(|_| Connection::open(broker, topic, shape, most)).collect();
    let begin = clock.monotonic();
    let parts: Vec<Outcome> = thread::scope(|scope| {
        let clock = &clock;
        let threads: Vec<_> = connections
            .into_iter()
            .map(|connection| scope.spawn(move || connection.run(clock, begin + time)))
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let seconds = (clock.monotonic() - begin).as_secs_f64();
    let mut whole = Outcome { seconds, ..Outcome::default() };
    for part in parts {
        whole.refused += part.refused;
        whole.latencies.merge(part.latencies);
    }
    whole
}

struct Connection {
    stream: TcpStream,
    frames: Vec<Vec<u8>>,
    left: Vec<Duration>,
    most: usize,
}

impl Connection {
    fn open(broker: SocketAddr, topic: &str, shape: Shape, most: usize) -> Self {
        let stream = TcpStream::connect(broker).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let frame = |slot: usize| {
            let queue = u32::try_from(slot).unwrap() % QUEUES;
            send_frame(topic, queue, i32::try_from(FIRST_OPAQUE + slot).unwrap(), shape.body_bytes)
        };
        Self {
            stream,
            frames: (0..shape.window).map(frame).collect(),
            left: vec![Duration::ZERO; shape.window],
            most,
        }
    }

    fn run(mut self, clock: &SystemClock, end: Duration) -> Outcome {
        let mut outcome = Outcome::default();
        let mut out: Vec<u8> = self.frames.concat();
        let mut in_flight = self.frames.len();
        self.left.fill(clock.monotonic());
        self.stream.write_all(&out).unwrap();
        let mut answers = Answers::default();
        while in_flight > 0 {
            answers.fill(&mut self.stream);
            let now = clock.monotonic();
            let go_on = now < end && outcome.latencies.len() < self.most;
            out.clear();
            while let Some((slot, is_stored)) = answers.next() {
                outcome.latencies.record(now - self.left[slot]);
                outcome.refused += usize::from(!is_stored);
                if go_on {
                    out.extend_from_slice(&self.frames[slot]);
                    self.left[slot] = now;
                } else {
                    in_flight -= 1;
                }
            }
            if !out.is_empty() {
                self.stream.write_all(&out).unwrap();
            }
        }
        outcome
    }
}

/// Cuts answers out of what was read.
struct Answers {
    buffer: Vec<u8>,
    begin: usize,
    end: usize,
    opaque: memmem::Finder<'static>,
    code: memmem::Finder<'static>,
}

impl Default for Answers {
    fn default() -> Self {
        Self {
            buffer: vec![0; 1 << 18],
            begin: 0,
            end: 0,
            opaque: memmem::Finder::new(b"\"opaque\":"),
            code: memmem::Finder::new(b"\"code\":0,"),
        }
    }
}

impl Answers {
    fn fill(&mut self, stream: &mut TcpStream) {
        self.buffer.copy_within(self.begin..self.end, 0);
        self.end -= self.begin;
        self.begin = 0;
        let read = stream.read(&mut self.buffer[self.end..]).expect("the broker answers in time");
        assert!(read > 0, "the broker closed the connection");
        self.end += read;
    }

    /// The slot, and whether the message was stored.
    fn next(&mut self) -> Option<(usize, bool)> {
        let bytes = &self.buffer[self.begin..self.end];
        let total = u32::from_be_bytes(bytes.get(..4)?.try_into().unwrap()) as usize;
        let answer = bytes.get(8..4 + total)?;
        self.begin += 4 + total;
        let digits = &answer[self.opaque.find(answer).expect("an opaque") + 9..];
        let digits = digits.iter().take_while(|byte| byte.is_ascii_digit());
        let opaque = digits.fold(0, |number, digit| number * 10 + usize::from(digit - b'0'));
        Some((opaque - FIRST_OPAQUE, self.code.find(answer).is_some()))
    }
}
