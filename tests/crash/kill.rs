//! A broker that is killed under load loses no message that it acknowledged.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{self, SyncSender};
use std::thread;
use std::time::Duration;

use bytes::BytesMut;
use oxmq::protocol::code::{RequestCode, ResponseCode};
use oxmq::protocol::command::RemotingCommand;
use oxmq::protocol::frame::MAX_FRAME_BYTES;
use oxmq::protocol::header::{
    PullMessageRequestHeader, PullMessageResponseHeader, SendFields, SendMessageRequestHeader,
    SendMessageResponseHeader, pull_sys_flag,
};
use oxmq::protocol::message::record;
use oxmq_tests::broker_dev::BrokerDev;
use oxmq_tests::wire;

const ROUNDS: u64 = 20;
const TOPIC: &str = "journal";
const QUEUES: i32 = 4;
const CONNECTIONS: i32 = 2;
/// Small commit-log files, so that kills also come while the log goes on to its next file.
const SMALL_FILES: &[&str] = &["--set", "mappedFileSizeCommitLog=4194304"];
/// Sends on their way at one time on one connection.
const WINDOW: u64 = 128;

/// An acknowledged message: where the broker said it is, and what it is.
#[derive(Debug, Clone, Copy)]
struct Acknowledged {
    queue: i32,
    offset: i64,
    number: u64,
}

#[test]
fn twenty_kills_under_load_lose_no_acknowledged_message() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let mut journal = Vec::new();
    // Numbers read back so far, by queue, in the queue's order.
    let mut seen = vec![Vec::new(); usize::try_from(QUEUES).unwrap()];
    for round in 0..ROUNDS {
        let broker = BrokerDev::start_with(&store, SMALL_FILES);
        if round == 0 {
            wire::create_topic(broker.broker, TOPIC, QUEUES.unsigned_abs());
        }
        read_on(broker.broker, &mut seen);
        check(&journal, &seen);
        // Not the same moment of a round, nor of the log, twice.
        journal.extend(load_until_killed(broker, round, 300 + round * 171));
    }
    let broker = BrokerDev::start_with(&store, SMALL_FILES);
    let mut all = vec![Vec::new(); seen.len()];
    read_on(broker.broker, &mut all);
    check(&journal, &all);
    assert!(all.iter().zip(&seen).all(|(all, seen)| all.starts_with(seen)), "queues only grow");
    broker.stop();
}

/// Sends on several connections until so many are acknowledged, and kills the broker amid the rest.
fn load_until_killed(broker: BrokerDev, round: u64, enough: u64) -> Vec<Acknowledged> {
    let (tell, told) = mpsc::sync_channel(1_024);
    let threads: Vec<_> = (0..CONNECTIONS)
        .map(|connection| {
            let (tell, address) = (tell.clone(), broker.broker);
            thread::spawn(move || {
                let mut journal = Vec::new();
                let first = (round << 40) | (u64::from(connection.unsigned_abs()) << 32);
                let ended = send_on(address, connection, first, &mut journal, &tell);
                assert!(ended.is_err(), "the broker was killed, so the connection broke");
                journal
            })
        })
        .collect();
    drop(tell);
    let mut acknowledged = 0;
    while acknowledged < enough {
        acknowledged += told.recv().expect("the broker ended before it was killed");
    }
    broker.kill();
    // Nobody may wait for room to tell.
    drop(told);
    threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
}

/// Sends without end, a window at a time; journals each answer as it is read.
fn send_on(
    address: SocketAddr,
    connection: i32,
    first: u64,
    journal: &mut Vec<Acknowledged>,
    tell: &SyncSender<u64>,
) -> io::Result<()> {
    let mut stream = connect(address)?;
    let mut input = BytesMut::new();
    for window in 0.. {
        let numbers = first + window * WINDOW..first + (window + 1) * WINDOW;
        let mut frames = BytesMut::new();
        for (opaque, number) in (0..).zip(numbers.clone()) {
            let mut request = send(connection, number);
            request.opaque = opaque;
            request.encode(&mut frames).unwrap();
        }
        stream.write_all(&frames)?;
        for number in numbers {
            let answer = read(&mut stream, &mut input)?;
            assert_eq!(answer.response_code(), ResponseCode::SUCCESS, "{answer:?}");
            let header: SendMessageResponseHeader = answer.header().unwrap();
            let (queue, offset) = (header.queue_id, header.queue_offset);
            journal.push(Acknowledged { queue, offset, number });
            // After the kill nobody listens any more.
            let _ = tell.send(1);
        }
    }
    Ok(())
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    Ok(stream)
}

fn read(stream: &mut TcpStream, input: &mut BytesMut) -> io::Result<RemotingCommand> {
    loop {
        if let Some(command) = RemotingCommand::decode(input, MAX_FRAME_BYTES).unwrap() {
            return Ok(command);
        }
        let mut piece = [0; 64 * 1024];
        match stream.read(&mut piece)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            length => input.extend_from_slice(&piece[..length]),
        }
    }
}

/// Message `number`: its number, and after it as many bytes as make records of all lengths.
fn send(connection: i32, number: u64) -> RemotingCommand {
    let header = SendMessageRequestHeader {
        producer_group: "killers",
        topic: TOPIC,
        default_topic: "TBW102",
        default_topic_queue_nums: QUEUES,
        queue_id: (i32::try_from(number % 2).unwrap() * CONNECTIONS + connection) % QUEUES,
        sys_flag: 0,
        born_timestamp: 1,
        flag: 0,
        properties: "",
        reconsume_times: 0,
        unit_mode: false,
        max_reconsume_times: None,
        batch: false,
    };
    let mut request = RemotingCommand::request(RequestCode::SEND_MESSAGE_V2, &());
    header.write(&mut request.ext_fields, SendFields::Letters);
    let mut body = number.to_be_bytes().to_vec();
    body.resize(8 + usize::try_from(number % 2_000).unwrap(), b'x');
    request.with_body(body)
}

/// Reads what is new in each queue.
fn read_on(address: SocketAddr, seen: &mut [Vec<u64>]) {
    let mut stream = connect(address).unwrap();
    let mut input = BytesMut::new();
    for (queue, seen) in (0..).zip(seen) {
        loop {
            let offset = i64::try_from(seen.len()).unwrap();
            let mut frame = BytesMut::new();
            pull(queue, offset).encode(&mut frame).unwrap();
            stream.write_all(&frame).unwrap();
            let answer = read(&mut stream, &mut input).unwrap();
            if answer.response_code() != ResponseCode::SUCCESS {
                let header: PullMessageResponseHeader = answer.header().unwrap();
                assert_eq!(header.max_offset, offset, "{answer:?}");
                break;
            }
            for record in record::iter(&answer.body) {
                let record = record.unwrap();
                assert_eq!(record.queue_offset, i64::try_from(seen.len()).unwrap());
                record.verify_crc().unwrap();
                seen.push(u64::from_be_bytes(record.body[..8].try_into().unwrap()));
            }
        }
    }
}

fn pull(queue_id: i32, queue_offset: i64) -> RemotingCommand {
    let header = PullMessageRequestHeader {
        consumer_group: "auditors".to_owned(),
        topic: TOPIC.to_owned(),
        queue_id,
        queue_offset,
        max_msg_nums: 32,
        sys_flag: pull_sys_flag::SUBSCRIPTION,
        commit_offset: 0,
        suspend_timeout_millis: 0,
        subscription: Some("*".to_owned()),
        sub_version: 0,
        expression_type: None,
        max_msg_bytes: None,
    };
    RemotingCommand::request(RequestCode::PULL_MESSAGE, &header)
}

/// Every acknowledged message is where the broker said it is.
fn check(journal: &[Acknowledged], seen: &[Vec<u64>]) {
    for message in journal {
        let queue = &seen[usize::try_from(message.queue).unwrap()];
        let found = queue.get(usize::try_from(message.offset).unwrap());
        assert_eq!(found, Some(&message.number), "{message:?} of {} sent", journal.len());
    }
}
