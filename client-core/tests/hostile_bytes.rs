//! Bytes that nobody should send: the decoders answer with an error or with nothing, and never
//! panic or allocate for a length that has not arrived.

use bytes::{Bytes, BytesMut};
use oxmq::protocol::body::{Body, HeartbeatData, RegisterBrokerBody, TopicRouteData};
use oxmq::protocol::code::RequestCode;
use oxmq::protocol::command::{HeaderEncoding, RemotingCommand};
use oxmq::protocol::ext_fields::ExtFields;
use oxmq::protocol::frame::MAX_FRAME_BYTES;
use oxmq::protocol::header::{
    Header, PullMessageRequestHeader, SendFields, SendMessageRequestHeader,
};
use oxmq::protocol::message::{CompressionType, batch, record};
use proptest::prelude::*;

fn decode(bytes: &[u8]) -> Option<RemotingCommand> {
    RemotingCommand::decode(&mut BytesMut::from(bytes), MAX_FRAME_BYTES).ok().flatten()
}

fn frame(encoding: HeaderEncoding, fields: &[(String, String)], remark: &str) -> Vec<u8> {
    let mut command = RemotingCommand::request(RequestCode::SEND_MESSAGE_V2, &());
    command.header_encoding = encoding;
    command.remark = Some(remark.into());
    command.ext_fields = fields.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    let mut out = BytesMut::new();
    command.with_body(&b"body"[..]).encode(&mut out).expect("a small frame");
    out.to_vec()
}

/// Everything that reads a command's parts.
fn read_all(command: &RemotingCommand) {
    let _ = command.header::<PullMessageRequestHeader>();
    let _ = SendMessageRequestHeader::read(&command.ext_fields, SendFields::Letters);
    let _ = HeartbeatData::decode(&command.body);
    let _ = TopicRouteData::decode(&command.body);
    let _ = RegisterBrokerBody::decode(&command.body);
    let _ = batch::decode(command.body.clone());
    for record in record::iter(&command.body).take(100) {
        let _ = record.map(|record| record.verify_crc());
    }
}

fn encodings() -> impl Strategy<Value = HeaderEncoding> {
    prop_oneof![Just(HeaderEncoding::Json), Just(HeaderEncoding::Binary)]
}

proptest! {
    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        if let Some(command) = decode(&bytes) {
            read_all(&command);
        }
    }

    #[test]
    fn any_header_of_a_good_frame_is_survived(
        encoding in 0u8..2,
        header in proptest::collection::vec(any::<u8>(), 0..256),
        body in proptest::collection::vec(any::<u8>(), 0..256),
    ) {
        let total = u32::try_from(4 + header.len() + body.len()).unwrap();
        let mut bytes = total.to_be_bytes().to_vec();
        bytes.extend((u32::from(encoding) << 24 | u32::try_from(header.len()).unwrap()).to_be_bytes());
        bytes.extend(header);
        bytes.extend(body);
        if let Some(command) = decode(&bytes) {
            read_all(&command);
        }
    }

    #[test]
    fn one_changed_byte_is_survived(
        encoding in encodings(),
        at in any::<prop::sample::Index>(),
        value in any::<u8>(),
    ) {
        let fields = [("topic".to_owned(), "t".to_owned()), ("queueId".to_owned(), "3".to_owned())];
        let mut bytes = frame(encoding, &fields, "a \"remark\"");
        let at = at.index(bytes.len());
        bytes[at] = value;
        if let Some(command) = decode(&bytes) {
            read_all(&command);
        }
    }

    #[test]
    fn any_texts_come_back(
        encoding in encodings(),
        fields in proptest::collection::vec((".{1,20}", ".{1,40}"), 0..8),
        remark in ".{0,40}",
    ) {
        let command = decode(&frame(encoding, &fields, &remark)).expect("a frame of our own");
        let expected: ExtFields = fields.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        prop_assert_eq!(&command.ext_fields, &expected);
        let has_remark = encoding == HeaderEncoding::Json || !remark.is_empty();
        prop_assert_eq!(command.remark.as_deref(), has_remark.then_some(remark.as_str()));
        prop_assert_eq!(command.body, Bytes::from_static(b"body"));
    }

    #[test]
    fn any_compressed_registration_is_survived(
        parts in proptest::collection::vec(
            (-3_i32..40, "[tA {}:,\"0-9_]{0,30}"),
            0..8,
        ),
        version in prop::sample::select(vec![397, 479]),
    ) {
        let mut plain = Vec::new();
        for (length, text) in parts {
            plain.extend(length.to_be_bytes());
            plain.extend(text.as_bytes());
        }
        let bytes = CompressionType::Zlib.compress(&plain, 5).unwrap();
        let _ = RegisterBrokerBody::decode_compressed(&bytes, version, 4096);
        let _ = RegisterBrokerBody::decode_compressed(&plain, version, 4096);
    }

    #[test]
    fn any_json_is_survived(text in "[\\[\\]{}:,'\"\\\\a0-9 /*$.-]{0,200}") {
        let _ = HeartbeatData::decode(text.as_bytes());
        let _ = TopicRouteData::decode(text.as_bytes());
    }
}

/// A typed header reads back what it wrote, whatever the texts in it.
#[test]
fn headers_come_back_with_odd_texts() {
    let header = PullMessageRequestHeader {
        consumer_group: "g\"\\\u{1}".into(),
        topic: "中文".into(),
        queue_id: -1,
        queue_offset: i64::MAX,
        max_msg_nums: 32,
        sys_flag: 7,
        commit_offset: i64::MIN,
        suspend_timeout_millis: 15_000,
        subscription: Some("a || b".into()),
        sub_version: 1,
        expression_type: None,
        max_msg_bytes: Some(1),
    };
    let mut out = BytesMut::new();
    RemotingCommand::request(RequestCode::PULL_MESSAGE, &header).encode(&mut out).unwrap();
    let command = decode(&out).unwrap();
    assert_eq!(PullMessageRequestHeader::read(&command.ext_fields), Ok(header));
}
