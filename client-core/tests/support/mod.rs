//! A network in memory, with peers that follow a script: they do what a real broker will not do
//! on demand.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::BytesMut;
use oxmq::clock::VirtualClock;
use oxmq::protocol::body::{Body, BrokerData, QueueData, TopicRouteData};
use oxmq::protocol::code::{RequestCode, ResponseCode};
use oxmq::protocol::command::RemotingCommand;
use oxmq::protocol::frame::MAX_FRAME_BYTES;
use oxmq::protocol::header::SendMessageResponseHeader;
use oxmq::{Client, ClientBuilder, Dialing, Transport, Wire};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

/// The name server of [`Network::cluster`].
pub const NAME_SERVER: &str = "name-server:9876";

/// What a peer does about a request.
pub enum React {
    /// Answers it.
    Answer(RemotingCommand),
    /// Sends these bytes.
    Bytes(Vec<u8>),
    /// Closes the connection.
    Close,
}

type Script = Arc<dyn Fn(&RemotingCommand) -> Vec<React> + Send + Sync>;

/// The network: peers by address, and what they were asked.
#[derive(Default)]
pub struct Network {
    peers: Mutex<HashMap<String, Script>>,
    asked: Mutex<Vec<(String, RemotingCommand)>>,
    dials: Mutex<Vec<String>>,
    /// To the peers of open connections: what they send by themselves.
    pushes: Mutex<HashMap<String, mpsc::Sender<RemotingCommand>>>,
}

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Network")
    }
}

/// The network as a client's transport.
#[derive(Debug)]
pub struct InMemory(pub Arc<Network>);

impl Transport for InMemory {
    fn dial<'a>(&'a self, address: &'a str) -> Dialing<'a> {
        Box::pin(async move {
            self.0.dials.lock().unwrap().push(address.to_owned());
            if !self.0.peers.lock().unwrap().contains_key(address) {
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            let (ours, theirs) = tokio::io::duplex(256 * 1024);
            let (push, pushed) = mpsc::channel(16);
            self.0.pushes.lock().unwrap().insert(address.to_owned(), push);
            tokio::spawn(serve(self.0.clone(), address.to_owned(), theirs, pushed));
            let (reader, writer) = tokio::io::split(ours);
            Ok(Wire { reader: Box::new(reader), writer: Box::new(writer) })
        })
    }
}

async fn serve(
    network: Arc<Network>,
    address: String,
    mut stream: tokio::io::DuplexStream,
    mut pushed: mpsc::Receiver<RemotingCommand>,
) {
    let mut input = BytesMut::new();
    loop {
        while let Some(request) = RemotingCommand::decode(&mut input, MAX_FRAME_BYTES).unwrap() {
            network.asked.lock().unwrap().push((address.clone(), request.clone()));
            let Some(script) = network.peers.lock().unwrap().get(&address).cloned() else {
                return;
            };
            for react in script(&request) {
                match react {
                    React::Answer(answer) => write(&mut stream, &answer).await,
                    React::Bytes(bytes) => {
                        for byte in bytes {
                            let _ = stream.write_all(&[byte]).await;
                            tokio::task::yield_now().await;
                        }
                    }
                    React::Close => return,
                }
            }
        }
        tokio::select! {
            read = stream.read_buf(&mut input) => if read.unwrap_or(0) == 0 { return },
            command = pushed.recv() => match command {
                Some(command) => write(&mut stream, &command).await,
                None => return,
            },
        }
    }
}

async fn write(stream: &mut tokio::io::DuplexStream, command: &RemotingCommand) {
    let mut out = BytesMut::new();
    command.encode(&mut out).unwrap();
    let _ = stream.write_all(&out).await;
}

/// The bytes of a command's frame.
pub fn frame(command: &RemotingCommand) -> Vec<u8> {
    let mut out = BytesMut::new();
    command.encode(&mut out).unwrap();
    out.to_vec()
}

/// The address of the n-th broker of [`Network::cluster`].
pub fn broker(n: usize) -> String {
    format!("broker-{n}:10911")
}

impl Network {
    /// A name server that knows these topics on so many brokers with `queues` queues each; the
    /// brokers answer nothing until they get a script.
    pub fn cluster(topics: &[&str], brokers: usize, queues: i32) -> Arc<Self> {
        let network = Arc::new(Self::default());
        let topics: Vec<String> = topics.iter().map(|topic| (*topic).to_owned()).collect();
        let route = route(brokers, queues);
        network.script(NAME_SERVER, move |request| {
            let topic = request.ext_fields.get("topic").unwrap_or_default();
            if topics.iter().any(|known| known == topic) {
                vec![React::Answer(ok(request).with_body(route.encode()))]
            } else {
                vec![React::Answer(refusal(request, ResponseCode::TOPIC_NOT_EXIST, "no route"))]
            }
        });
        network
    }

    /// Gives the peer at `address` a script. Housekeeping is answered for it.
    pub fn script(
        self: &Arc<Self>,
        address: &str,
        script: impl Fn(&RemotingCommand) -> Vec<React> + Send + Sync + 'static,
    ) {
        let script = move |request: &RemotingCommand| match request.request_code() {
            RequestCode::HEART_BEAT | RequestCode::UNREGISTER_CLIENT => {
                vec![React::Answer(ok(request))]
            }
            _ => script(request),
        };
        self.script_all(address, script);
    }

    /// Gives the peer at `address` a script for everything.
    pub fn script_all(
        &self,
        address: &str,
        script: impl Fn(&RemotingCommand) -> Vec<React> + Send + Sync + 'static,
    ) {
        self.peers.lock().unwrap().insert(address.to_owned(), Arc::new(script));
    }

    /// The n-th broker stores every message.
    pub fn storing_broker(self: &Arc<Self>, n: usize) {
        self.script(&broker(n), |request| vec![React::Answer(stored(request))]);
    }

    /// Nobody listens there any more; connections that are open stay.
    pub fn remove(&self, address: &str) {
        self.peers.lock().unwrap().remove(address);
    }

    /// The requests of this code that arrived, with the addresses they went to.
    pub fn asked(&self, code: RequestCode) -> Vec<(String, RemotingCommand)> {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|(_, request)| request.request_code() == code).cloned().collect()
    }

    /// How often this address was dialed.
    pub fn dials(&self, address: &str) -> usize {
        self.dials.lock().unwrap().iter().filter(|dialed| *dialed == address).count()
    }

    /// The peer at `address` closes its last connection.
    pub fn disconnect(&self, address: &str) {
        self.pushes.lock().unwrap().remove(address);
    }

    /// The peer at `address` sends something by itself.
    pub async fn push(&self, address: &str, command: RemotingCommand) {
        let push = self.pushes.lock().unwrap()[address].clone();
        push.send(command).await.unwrap();
    }

    /// A client on this network and this clock, with a fixed seed.
    pub fn client(self: &Arc<Self>, clock: &Arc<VirtualClock>) -> ClientBuilder {
        Client::builder(NAME_SERVER)
            .transport(Arc::new(InMemory(self.clone())))
            .clock(clock.clone())
            .seed(1)
    }
}

/// A route over so many brokers.
pub fn route(brokers: usize, queues: i32) -> TopicRouteData {
    let name = |n: usize| format!("broker-{n}");
    TopicRouteData {
        broker_datas: (0..brokers)
            .map(|n| BrokerData {
                broker_name: name(n),
                broker_addrs: [(0, broker(n))].into(),
                ..BrokerData::default()
            })
            .collect(),
        queue_datas: (0..brokers)
            .map(|n| QueueData {
                broker_name: name(n),
                perm: 6,
                read_queue_nums: queues,
                write_queue_nums: queues,
                ..QueueData::default()
            })
            .collect(),
        ..TopicRouteData::default()
    }
}

/// An answer that says nothing but yes.
pub fn ok(request: &RemotingCommand) -> RemotingCommand {
    RemotingCommand::response(request, ResponseCode::SUCCESS)
}

/// An answer that says no.
pub fn refusal(request: &RemotingCommand, code: ResponseCode, remark: &str) -> RemotingCommand {
    RemotingCommand::response(request, code).with_remark(remark)
}

/// The answer to a send that was stored.
pub fn stored(request: &RemotingCommand) -> RemotingCommand {
    ok(request).with_header(&SendMessageResponseHeader {
        msg_id: "0A00000100002A9F00000000000004D2".into(),
        queue_id: request.ext_fields.get("e").unwrap().parse().unwrap(),
        queue_offset: 7,
        transaction_id: None,
        batch_uniq_id: None,
        recall_handle: None,
    })
}

/// Lets every task run until it waits.
pub async fn settle() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

/// Moves the clock in small steps, letting tasks run between them, until `done`.
pub async fn advance_until<T>(
    clock: &VirtualClock,
    step: Duration,
    task: tokio::task::JoinHandle<T>,
) -> T {
    settle().await;
    for _ in 0..10_000 {
        if task.is_finished() {
            return task.await.unwrap();
        }
        clock.advance(step).await;
        settle().await;
    }
    panic!("not done after 10,000 steps of {step:?}");
}
