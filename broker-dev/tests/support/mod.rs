//! A client that speaks in frames, and brokers for tests.
#![allow(dead_code, reason = "each test file uses its part of this")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use broker_dev::{Broker, Options, Time};
use bytes::{Bytes, BytesMut};
use oxmq::clock::{SystemClock, VirtualClock, timeout};
use oxmq::protocol::body::{Body, ConsumerData, HeartbeatData, ProducerData, SubscriptionData};
use oxmq::protocol::code::{RequestCode, ResponseCode};
use oxmq::protocol::command::RemotingCommand;
use oxmq::protocol::ext_fields::ExtFields;
use oxmq::protocol::frame::MAX_FRAME_BYTES;
use oxmq::protocol::header::{
    ConsumerSendMsgBackRequestHeader, Header, PullMessageRequestHeader, PullMessageResponseHeader,
    SendFields, SendMessageRequestHeader, SendMessageResponseHeader, pull_sys_flag,
};
use oxmq::protocol::message::record;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longer than any answer takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// One connection.
pub(crate) struct Wire {
    stream: TcpStream,
    input: BytesMut,
    next_opaque: i32,
    /// Responses that came while another was waited for.
    early: Vec<RemotingCommand>,
    /// Requests of the broker's.
    pub(crate) notices: Vec<RemotingCommand>,
}

/// A message as pulled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pulled {
    pub(crate) body: Vec<u8>,
    pub(crate) topic: String,
    pub(crate) queue_offset: i64,
    pub(crate) physical_offset: i64,
    pub(crate) reconsume_times: i32,
    pub(crate) store_timestamp: i64,
    pub(crate) properties: String,
}

impl Pulled {
    pub(crate) fn property(&self, name: &str) -> Option<&str> {
        oxmq::protocol::message::properties::find(&self.properties, name)
    }
}

impl Wire {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            input: BytesMut::new(),
            next_opaque: 1,
            early: Vec::new(),
            notices: Vec::new(),
        }
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Sends a request; its number is returned.
    pub(crate) async fn send(&mut self, mut request: RemotingCommand) -> i32 {
        request.opaque = self.next_opaque;
        self.next_opaque += 1;
        let mut frame = BytesMut::new();
        request.encode(&mut frame).unwrap();
        self.write(&frame).await;
        request.opaque
    }

    /// Sends requests in one write; their numbers are returned.
    pub(crate) async fn send_together(&mut self, requests: Vec<RemotingCommand>) -> Vec<i32> {
        let mut frames = BytesMut::new();
        let mut opaques = Vec::new();
        for mut request in requests {
            request.opaque = self.next_opaque;
            self.next_opaque += 1;
            request.encode(&mut frames).unwrap();
            opaques.push(request.opaque);
        }
        self.write(&frames).await;
        opaques
    }

    /// The next command, whatever it is; `None` when the broker has closed the connection.
    pub(crate) async fn next(&mut self) -> Option<RemotingCommand> {
        let clock = SystemClock::new();
        timeout(&clock, PATIENCE, self.read()).await.expect("no answer")
    }

    async fn read(&mut self) -> Option<RemotingCommand> {
        loop {
            let command = RemotingCommand::decode(&mut self.input, MAX_FRAME_BYTES).unwrap();
            if command.is_some() {
                return command;
            }
            match self.stream.read_buf(&mut self.input).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// The response to a request.
    pub(crate) async fn response(&mut self, opaque: i32) -> RemotingCommand {
        if let Some(at) = self.early.iter().position(|early| early.opaque == opaque) {
            return self.early.remove(at);
        }
        loop {
            let command = self.next().await.expect("the broker has closed the connection");
            if !command.is_response() {
                self.notices.push(command);
            } else if command.opaque == opaque {
                return command;
            } else {
                self.early.push(command);
            }
        }
    }

    /// Whether a response came while another was waited for.
    pub(crate) fn has_answer(&self, opaque: i32) -> bool {
        self.early.iter().any(|early| early.opaque == opaque)
    }

    pub(crate) async fn call(&mut self, request: RemotingCommand) -> RemotingCommand {
        let opaque = self.send(request).await;
        self.response(opaque).await
    }

    /// A call that must succeed.
    pub(crate) async fn ok(&mut self, request: RemotingCommand) -> RemotingCommand {
        let response = self.call(request).await;
        assert_eq!(response.response_code(), ResponseCode::SUCCESS, "{response:?}");
        response
    }

    /// Stores a message; returns its place in its queue.
    pub(crate) async fn store(&mut self, topic: &str, queue_id: i32, body: &str) -> i64 {
        let response = self.ok(send(topic, queue_id, body, "")).await;
        response.header::<SendMessageResponseHeader>().unwrap().queue_offset
    }

    /// Pulls without waiting, for everything.
    pub(crate) async fn pull(&mut self, topic: &str, queue_id: i32, offset: i64) -> Vec<Pulled> {
        pulled(&self.call(pull(topic, queue_id, offset)).await)
    }

    /// Tells the broker of a consumer with one subscription.
    pub(crate) async fn heartbeat(&mut self, client: &str, group: &str, topic: &str, tags: &str) {
        self.ok(heartbeat(client, group, topic, tags)).await;
    }
}

/// A send to one queue.
pub(crate) fn send(topic: &str, queue_id: i32, body: &str, properties: &str) -> RemotingCommand {
    let header = SendMessageRequestHeader {
        producer_group: "producers",
        topic,
        default_topic: "TBW102",
        default_topic_queue_nums: 4,
        queue_id,
        sys_flag: 0,
        born_timestamp: 1,
        flag: 0,
        properties,
        reconsume_times: 0,
        unit_mode: false,
        max_reconsume_times: None,
        batch: false,
    };
    let mut request = RemotingCommand::request(RequestCode::SEND_MESSAGE_V2, &());
    header.write(&mut request.ext_fields, SendFields::Letters);
    request.with_body(Bytes::copy_from_slice(body.as_bytes()))
}

/// A pull that carries its own filter (everything) and does not wait.
pub(crate) fn pull(topic: &str, queue_id: i32, offset: i64) -> RemotingCommand {
    pull_with(topic, queue_id, offset, pull_sys_flag::SUBSCRIPTION, 0)
}

pub(crate) fn pull_with(
    topic: &str,
    queue_id: i32,
    offset: i64,
    sys_flag: i32,
    suspend_ms: i64,
) -> RemotingCommand {
    let header = PullMessageRequestHeader {
        consumer_group: "group".to_owned(),
        topic: topic.to_owned(),
        queue_id,
        queue_offset: offset,
        max_msg_nums: 32,
        sys_flag,
        commit_offset: 0,
        suspend_timeout_millis: suspend_ms,
        subscription: Some("*".to_owned()),
        sub_version: 1,
        expression_type: None,
        max_msg_bytes: None,
    };
    RemotingCommand::request(RequestCode::PULL_MESSAGE, &header)
}

pub(crate) fn pulled(response: &RemotingCommand) -> Vec<Pulled> {
    let records = record::iter(&response.body).map(|record| {
        let record = record.unwrap();
        Pulled {
            body: record.body.to_vec(),
            topic: record.topic.to_owned(),
            queue_offset: record.queue_offset,
            physical_offset: record.physical_offset,
            reconsume_times: record.reconsume_times,
            store_timestamp: record.store_timestamp,
            properties: record.properties.to_owned(),
        }
    });
    records.collect()
}

pub(crate) fn next_offset(response: &RemotingCommand) -> i64 {
    response.header::<PullMessageResponseHeader>().unwrap().next_begin_offset
}

pub(crate) fn heartbeat(client: &str, group: &str, topic: &str, tags: &str) -> RemotingCommand {
    let data = HeartbeatData {
        client_id: client.to_owned(),
        consumer_data_set: vec![ConsumerData {
            group_name: group.to_owned(),
            subscription_data_set: vec![SubscriptionData::by_tags(topic, tags, 1)],
            ..ConsumerData::default()
        }],
        producer_data_set: vec![ProducerData { group_name: "producers".to_owned() }],
        ..HeartbeatData::default()
    };
    RemotingCommand::request(RequestCode::HEART_BEAT, &()).with_body(data.encode())
}

pub(crate) fn send_back(
    group: &str,
    message: &Pulled,
    delay_level: i32,
    limit: Option<i32>,
) -> RemotingCommand {
    let header = ConsumerSendMsgBackRequestHeader {
        offset: message.physical_offset,
        group: group.to_owned(),
        delay_level,
        origin_msg_id: None,
        origin_topic: Some(message.topic.clone()),
        unit_mode: Some(false),
        max_reconsume_times: limit,
    };
    RemotingCommand::request(RequestCode::CONSUMER_SEND_MSG_BACK, &header)
}

/// A request with fields of any names.
pub(crate) fn request(code: RequestCode, fields: &[(&str, &str)]) -> RemotingCommand {
    let mut request = RemotingCommand::request(code, &());
    request.ext_fields = fields.iter().copied().collect::<ExtFields>();
    request
}

pub(crate) fn with_header(code: RequestCode, header: &impl Header) -> RemotingCommand {
    RemotingCommand::request(code, header)
}

/// A broker in real time, on free ports and a temporary store.
pub(crate) async fn broker() -> Broker {
    Broker::start(Options::for_tests()).await.unwrap()
}

/// A broker in a time that only the test moves.
pub(crate) async fn broker_in_virtual_time() -> (Broker, Arc<VirtualClock>) {
    let clock = Arc::new(VirtualClock::new(1_700_000_000_000));
    let options = Options::for_tests().time(Time::Virtual(clock.clone()));
    (Broker::start(options).await.unwrap(), clock)
}

pub(crate) fn remark(response: &RemotingCommand) -> &str {
    response.remark.as_deref().unwrap_or_default()
}
