//! RocketMQ's wire protocol, written a second time and as small as can be: blocking, JSON headers,
//! one request at a time. Tests judge servers with it without trusting the library under test.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};

/// Request codes that the helpers need.
pub mod code {
    /// `PULL_MESSAGE`
    pub const PULL_MESSAGE: i32 = 11;
    /// `UPDATE_CONSUMER_OFFSET`
    pub const UPDATE_CONSUMER_OFFSET: i32 = 15;
    /// `SEND_MESSAGE_V2`
    pub const SEND_MESSAGE_V2: i32 = 310;
    /// `UPDATE_AND_CREATE_TOPIC`
    pub const UPDATE_AND_CREATE_TOPIC: i32 = 17;
    /// `GET_MAX_OFFSET`
    pub const GET_MAX_OFFSET: i32 = 30;
    /// `QUERY_CONSUMER_OFFSET`
    pub const QUERY_CONSUMER_OFFSET: i32 = 14;
    /// `GET_CONSUMER_LIST_BY_GROUP`
    pub const GET_CONSUMER_LIST_BY_GROUP: i32 = 38;
    /// `QUERY_MESSAGE`
    pub const QUERY_MESSAGE: i32 = 12;
    /// `SEARCH_OFFSET_BY_TIMESTAMP`
    pub const SEARCH_OFFSET_BY_TIMESTAMP: i32 = 29;
    /// `GET_MIN_OFFSET`
    pub const GET_MIN_OFFSET: i32 = 31;
    /// `HEART_BEAT`
    pub const HEART_BEAT: i32 = 34;
    /// `END_TRANSACTION`
    pub const END_TRANSACTION: i32 = 37;
    /// `CHECK_TRANSACTION_STATE`
    pub const CHECK_TRANSACTION_STATE: i32 = 39;
    /// `SEND_BATCH_MESSAGE`
    pub const SEND_BATCH_MESSAGE: i32 = 320;
    /// `GET_ROUTEINFO_BY_TOPIC`
    pub const GET_ROUTEINFO_BY_TOPIC: i32 = 105;
}

/// A response.
#[derive(Debug, Clone)]
pub struct Answer {
    /// 0 is success; the request's code in one of the server's.
    pub code: i64,
    /// Bit 0: a response.
    pub flag: i64,
    /// What the server says about a failure.
    pub remark: String,
    /// The extension fields.
    pub fields: BTreeMap<String, String>,
    /// The body.
    pub body: Vec<u8>,
}

/// Builds a frame with a JSON header.
pub fn frame(code: i32, opaque: i32, fields: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let fields: BTreeMap<_, _> = fields.iter().copied().collect();
    let header = json!({"code": code, "extFields": fields, "flag": 0, "language": "JAVA",
        "opaque": opaque, "serializeTypeCurrentRPC": "JSON", "version": 407})
    .to_string();
    let word = |length: usize| u32::try_from(length).unwrap().to_be_bytes();
    [&word(4 + header.len() + body.len())[..], &word(header.len()), header.as_bytes(), body]
        .concat()
}

/// A connection that carries one request at a time.
#[derive(Debug)]
pub struct Connection(TcpStream);

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// The connection's.
    pub fn open(server: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&server, Duration::from_secs(3))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        Ok(Self(stream))
    }

    /// Sends a request and waits for the response.
    ///
    /// # Errors
    /// The connection's.
    pub fn call(&mut self, code: i32, fields: &[(&str, &str)], body: &[u8]) -> io::Result<Answer> {
        self.exchange(&frame(code, 1, fields, body))
    }

    /// The same with a request that is encoded already.
    ///
    /// # Errors
    /// The connection's.
    pub fn exchange(&mut self, request: &[u8]) -> io::Result<Answer> {
        self.0.write_all(request)?;
        loop {
            let command = self.next_command()?;
            // Requests of the server's may come in between.
            if command.flag & 1 == 1 {
                return Ok(command);
            }
        }
    }

    /// Waits for the next command, a response or a request of the server's.
    ///
    /// # Errors
    /// The connection's.
    pub fn next_command(&mut self) -> io::Result<Answer> {
        let mut word = [0; 4];
        self.0.read_exact(&mut word)?;
        let mut rest = vec![0; u32::from_be_bytes(word) as usize];
        self.0.read_exact(&mut rest)?;
        let header_length = u32::from_be_bytes([0, rest[1], rest[2], rest[3]]) as usize;
        let body = rest.split_off(4 + header_length);
        let header: Value = serde_json::from_slice(&rest[4..])?;
        let fields = header["extFields"].as_object().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Ok(Answer {
            code: header["code"].as_i64().unwrap(),
            flag: header["flag"].as_i64().unwrap_or_default(),
            remark: text(&header["remark"]),
            fields: fields.iter().map(|(name, value)| (name.clone(), text(value))).collect(),
            body,
        })
    }
}

/// Sends one request on a connection of its own.
///
/// # Errors
/// The connection's.
pub fn call(
    server: SocketAddr,
    code: i32,
    fields: &[(&str, &str)],
    body: &[u8],
) -> io::Result<Answer> {
    Connection::open(server)?.call(code, fields, body)
}

/// Whether the name server has a route for the topic.
pub fn has_route(name_server: SocketAddr, topic: &str) -> bool {
    call(name_server, code::GET_ROUTEINFO_BY_TOPIC, &[("topic", topic)], b"")
        .is_ok_and(|answer| answer.code == 0)
}

/// Creates a topic with as many queues as said, readable and writable.
///
/// # Panics
/// If the broker refuses.
pub fn create_topic(broker: SocketAddr, topic: &str, queues: u32) {
    create_topic_with(broker, topic, queues, "");
}

/// The same, with attributes such as `+queue.type=BatchCQ`.
///
/// # Panics
/// If the broker refuses.
pub fn create_topic_with(broker: SocketAddr, topic: &str, queues: u32, attributes: &str) {
    let queues = queues.to_string();
    let fields = [
        ("topic", topic),
        ("defaultTopic", "TBW102"),
        ("readQueueNums", &queues),
        ("writeQueueNums", &queues),
        ("perm", "6"),
        ("topicFilterType", "SINGLE_TAG"),
        ("topicSysFlag", "0"),
        ("order", "false"),
        // Older brokers do not know it.
        ("attributes", attributes),
    ];
    let known = if attributes.is_empty() { &fields[..8] } else { &fields[..] };
    let answer = call(broker, code::UPDATE_AND_CREATE_TOPIC, known, b"").unwrap();
    assert_eq!(answer.code, 0, "creating {topic}: {}", answer.remark);
}

/// The offset that a group has committed for a queue; `None` if it never did.
pub fn committed(broker: SocketAddr, group: &str, topic: &str, queue: u32) -> Option<i64> {
    let queue = queue.to_string();
    // Without this a broker answers 0 for a group it does not know, if the queue still begins at 0.
    let fields = [
        ("consumerGroup", group),
        ("topic", topic),
        ("queueId", &queue),
        ("setZeroIfNotFound", "false"),
    ];
    let answer = call(broker, code::QUERY_CONSUMER_OFFSET, &fields, b"").unwrap();
    (answer.code == 0).then(|| answer.fields["offset"].parse().unwrap())
}

/// Commits a group's offset for a queue.
///
/// # Panics
/// If the broker refuses.
pub fn commit(broker: SocketAddr, group: &str, topic: &str, queue: u32, offset: i64) {
    let (queue, offset) = (queue.to_string(), offset.to_string());
    let fields = [
        ("consumerGroup", group),
        ("topic", topic),
        ("queueId", queue.as_str()),
        ("commitOffset", offset.as_str()),
    ];
    let answer = call(broker, code::UPDATE_CONSUMER_OFFSET, &fields, b"").unwrap();
    assert_eq!(answer.code, 0, "committing: {}", answer.remark);
}

/// The fields of a send, by their short names.
pub fn send_fields<'a>(
    topic: &'a str,
    queue: &'a str,
    properties: &'a str,
) -> [(&'static str, &'a str); 12] {
    [
        ("a", "wire-producers"),
        ("b", topic),
        ("c", "TBW102"),
        ("d", "8"),
        ("e", queue),
        ("f", "0"),
        ("g", "1700000000000"),
        ("h", "0"),
        ("i", properties),
        ("j", "0"),
        ("k", "false"),
        ("m", "false"),
    ]
}

/// Sends a message with a key and a tag and gives its offset in the queue.
///
/// # Panics
/// If it was not stored.
pub fn send(
    connection: &mut Connection,
    topic: &str,
    queue: u32,
    key: &str,
    tag: &str,
    body: &[u8],
) -> i64 {
    let queue = queue.to_string();
    let properties = format!("KEYS\u{1}{key}\u{2}TAGS\u{1}{tag}\u{2}UNIQ_KEY\u{1}id-of-{key}\u{2}");
    let fields = send_fields(topic, &queue, &properties);
    let answer = connection.call(code::SEND_MESSAGE_V2, &fields, body).unwrap();
    assert_eq!(answer.code, 0, "sending {key}: {}", answer.remark);
    answer.fields["queueOffset"].parse().unwrap()
}

/// Pulls once, without waiting, with a filter on tags.
///
/// # Errors
/// The connection's.
pub fn pull(
    connection: &mut Connection,
    group: &str,
    topic: &str,
    queue: u32,
    offset: i64,
    tags: &str,
) -> io::Result<Answer> {
    let (queue, offset) = (queue.to_string(), offset.to_string());
    let fields = [
        ("consumerGroup", group),
        ("topic", topic),
        ("queueId", queue.as_str()),
        ("queueOffset", offset.as_str()),
        ("maxMsgNums", "32"),
        // The request brings its subscription along.
        ("sysFlag", "4"),
        ("commitOffset", "0"),
        ("suspendTimeoutMillis", "0"),
        ("subscription", tags),
        ("subVersion", "0"),
        ("expressionType", "TAG"),
    ];
    connection.call(code::PULL_MESSAGE, &fields, b"")
}

/// Messages that the index has for a key, as they lie in the log, one behind the other. `None` if
/// there are none.
///
/// # Errors
/// The connection's.
pub fn query(
    connection: &mut Connection,
    topic: &str,
    key: &str,
    is_unique: bool,
) -> io::Result<Option<Vec<u8>>> {
    let fields = [
        ("topic", topic),
        ("key", key),
        ("maxNum", "32"),
        ("beginTimestamp", "0"),
        ("endTimestamp", "9223372036854775807"),
        ("_UNIQUE_KEY_QUERY", "true"),
    ];
    let fields = if is_unique { &fields[..] } else { &fields[..5] };
    let answer = connection.call(code::QUERY_MESSAGE, fields, b"")?;
    Ok((answer.code == 0).then_some(answer.body))
}

/// The offset of a queue that belongs to a time.
///
/// # Panics
/// If the broker refuses.
pub fn search_offset(connection: &mut Connection, topic: &str, queue: u32, time_ms: i64) -> i64 {
    let (queue, time) = (queue.to_string(), time_ms.to_string());
    let fields = [("topic", topic), ("queueId", queue.as_str()), ("timestamp", time.as_str())];
    let answer = connection.call(code::SEARCH_OFFSET_BY_TIMESTAMP, &fields, b"").unwrap();
    assert_eq!(answer.code, 0, "searching {topic}:{queue} by time: {}", answer.remark);
    answer.fields["offset"].parse().unwrap()
}

/// The offset of a queue's oldest message.
pub fn min_offset(broker: SocketAddr, topic: &str, queue: u32) -> i64 {
    let queue = queue.to_string();
    let fields = [("topic", topic), ("queueId", queue.as_str())];
    let answer = call(broker, code::GET_MIN_OFFSET, &fields, b"").unwrap();
    assert_eq!(answer.code, 0, "min offset of {topic}:{queue}: {}", answer.remark);
    answer.fields["offset"].parse().unwrap()
}

/// How many messages a queue has had: the offset after its last one.
pub fn max_offset(broker: SocketAddr, topic: &str, queue: u32) -> i64 {
    let queue = queue.to_string();
    let fields = [("topic", topic), ("queueId", queue.as_str())];
    let answer = call(broker, code::GET_MAX_OFFSET, &fields, b"").unwrap();
    assert_eq!(answer.code, 0, "max offset of {topic}:{queue}: {}", answer.remark);
    answer.fields["offset"].parse().unwrap()
}
