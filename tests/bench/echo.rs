//! The limit for one request at a time: as many bytes there and back over loopback, with nothing
//! done in between.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use oxmq::clock::{Clock, SystemClock};

use crate::latencies::Latencies;
use crate::proc::Pinned;

/// Bytes of an answer to a send.
const ANSWER_BYTES: usize = 190;

/// Sends `request` and reads an answer, so often. The answering thread stays on that processor, the
/// caller where its caller put it: where the two run makes a difference of two to four times.
pub(crate) fn run(request: &[u8], times: usize, processor: usize) -> Latencies {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let length = request.len();
    let server = thread::spawn(move || {
        let _pinned = Pinned::on(processor);
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_nodelay(true).unwrap();
        let mut request = vec![0; length];
        while stream.read_exact(&mut request).is_ok() {
            stream.write_all(&[0; ANSWER_BYTES]).unwrap();
        }
    });
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    let clock = SystemClock::new();
    let mut latencies = Latencies::default();
    for _ in 0..times {
        let begin = clock.monotonic();
        stream.write_all(request).unwrap();
        stream.read_exact(&mut [0; ANSWER_BYTES]).unwrap();
        latencies.record(clock.monotonic() - begin);
    }
    drop(stream);
    server.join().unwrap();
    latencies
}
