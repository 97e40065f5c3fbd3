//! The protocol module against bytes that Apache's own classes wrote, for each release.
//!
//! The files say which release made them; `tests/compat/golden.rs` compares them with what Apache's
//! jars write today.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use oxmq::protocol::body::{
    Body, ConsumeFromWhere, GetConsumerListByGroupResponseBody, HeartbeatData,
    LockBatchRequestBody, SubscriptionData, TopicRouteData,
};
use oxmq::protocol::command::{HeaderEncoding, RemotingCommand};
use oxmq::protocol::ext_fields::ExtFields;
use oxmq::protocol::frame;
use oxmq::protocol::header::{
    ConsumerGroupRequestHeader, ConsumerSendMsgBackRequestHeader, GetRouteInfoRequestHeader,
    Header, OffsetResponseHeader, PullMessageRequestHeader, PullMessageResponseHeader,
    QueryConsumerOffsetRequestHeader, QueueRequestHeader, SearchOffsetRequestHeader, SendFields,
    SendMessageRequestHeader, SendMessageResponseHeader, UnregisterClientRequestHeader,
    UpdateConsumerOffsetRequestHeader,
};
use oxmq::protocol::message::record::{self, Record};
use oxmq::protocol::message::{CompressionType, batch, id, properties, tags};
use serde_json::Value;

const RELEASES: [&str; 2] =
    [include_str!("golden/apache-4.9.7.json"), include_str!("golden/apache-5.3.3.json")];

fn releases() -> impl Iterator<Item = Value> {
    RELEASES.iter().map(|text| serde_json::from_str(text).unwrap())
}

fn bytes(hex: &Value) -> Vec<u8> {
    let hex = hex.as_str().unwrap();
    assert!(hex.len() % 2 == 0);
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}

fn map(value: &Value) -> BTreeMap<&str, &str> {
    let entries = value.as_object().unwrap().iter();
    entries.map(|(name, value)| (name.as_str(), value.as_str().unwrap())).collect()
}

/// Every frame in both header encodings, with the release's version number.
fn frames(release: &Value) -> impl Iterator<Item = (&Value, HeaderEncoding, Vec<u8>)> {
    release["frames"].as_array().unwrap().iter().flat_map(|frame| {
        [("json", HeaderEncoding::Json), ("rocketmq", HeaderEncoding::Binary)]
            .map(|(key, encoding)| (frame, encoding, bytes(&frame[key])))
    })
}

fn decode(bytes: &[u8]) -> RemotingCommand {
    let mut buffer = BytesMut::from(bytes);
    let command = RemotingCommand::decode(&mut buffer, frame::MAX_FRAME_BYTES).unwrap().unwrap();
    assert!(buffer.is_empty());
    command
}

#[test]
fn every_frame_of_apache_reads_as_what_java_meant() {
    for release in releases() {
        for (frame, encoding, bytes_of_java) in frames(&release) {
            let command = decode(&bytes_of_java);
            let name = &frame["name"];
            assert_eq!(command.header_encoding, encoding, "{name}");
            assert_eq!(i64::from(command.code), frame["code"].as_i64().unwrap(), "{name}");
            assert_eq!(i64::from(command.flag), frame["flag"].as_i64().unwrap(), "{name}");
            assert_eq!(i64::from(command.version), release["version"].as_i64().unwrap(), "{name}");
            assert_eq!(command.opaque, 7, "{name}");
            assert_eq!(command.remark.as_deref(), frame["remark"].as_str(), "{name}");
            let fields: BTreeMap<_, _> = command.ext_fields.iter().collect();
            assert_eq!(fields, map(&frame["fields"]), "{name}");
            assert_eq!(command.body, bytes(&frame["body"]), "{name}");
        }
    }
}

#[test]
fn every_frame_of_apache_is_written_as_java_writes_it() {
    for release in releases() {
        for (frame, _, bytes_of_java) in frames(&release) {
            // A line break may be `\n` or `\u000a`; Java's readers take both.
            if frame["name"] == "send_message_error_escaped" {
                continue;
            }
            let mut out = BytesMut::new();
            decode(&bytes_of_java).encode(&mut out).unwrap();
            assert_eq!(out, bytes_of_java, "{}", frame["name"]);
        }
    }
}

/// Reads the frame's fields as a typed header and writes them back.
fn through<H: Header>(fields: &ExtFields) -> ExtFields {
    let mut out = ExtFields::new();
    H::read(fields).unwrap().write(&mut out);
    out
}

fn through_send(fields: &ExtFields, names: SendFields) -> ExtFields {
    let mut out = ExtFields::new();
    SendMessageRequestHeader::read(fields, names).unwrap().write(&mut out, names);
    out
}

#[test]
fn typed_headers_carry_the_fields_of_javas() {
    for release in releases() {
        for (frame, _, bytes_of_java) in frames(&release) {
            let fields = decode(&bytes_of_java).ext_fields;
            let written = match frame["class"].as_str().unwrap() {
                "RemotingCommand" => through::<()>(&fields),
                "SendMessageRequestHeader" => through_send(&fields, SendFields::Full),
                "SendMessageRequestHeaderV2" => through_send(&fields, SendFields::Letters),
                "SendMessageResponseHeader" => through::<SendMessageResponseHeader>(&fields),
                "ConsumerSendMsgBackRequestHeader" => {
                    through::<ConsumerSendMsgBackRequestHeader>(&fields)
                }
                "PullMessageRequestHeader" => through::<PullMessageRequestHeader>(&fields),
                "PullMessageResponseHeader" => through::<PullMessageResponseHeader>(&fields),
                "QueryConsumerOffsetRequestHeader" => {
                    through::<QueryConsumerOffsetRequestHeader>(&fields)
                }
                "UpdateConsumerOffsetRequestHeader" => {
                    through::<UpdateConsumerOffsetRequestHeader>(&fields)
                }
                "QueryConsumerOffsetResponseHeader" | "GetMaxOffsetResponseHeader" => {
                    through::<OffsetResponseHeader>(&fields)
                }
                "GetMaxOffsetRequestHeader" => through::<QueueRequestHeader>(&fields),
                "SearchOffsetRequestHeader" => through::<SearchOffsetRequestHeader>(&fields),
                "UnregisterClientRequestHeader" => {
                    through::<UnregisterClientRequestHeader>(&fields)
                }
                "GetConsumerListByGroupRequestHeader" | "NotifyConsumerIdsChangedRequestHeader" => {
                    through::<ConsumerGroupRequestHeader>(&fields)
                }
                "GetRouteInfoRequestHeader" => through::<GetRouteInfoRequestHeader>(&fields),
                other => panic!("no typed header for {other}"),
            };
            assert_eq!(written, fields, "{}", frame["name"]);
        }
    }
}

/// The body of a frame, by the frame's name.
fn body<B: Body>(release: &Value, name: &str) -> B {
    let (frame, ..) = frames(release).find(|(frame, ..)| frame["name"] == name).unwrap();
    B::decode(&bytes(&frame["body"])).unwrap()
}

#[test]
fn a_route_of_apache_reads_alike_with_bare_and_with_quoted_keys() {
    for release in releases() {
        let bare: TopicRouteData = body(&release, "get_routeinfo_by_topic_answer_bare_keys");
        let standard: TopicRouteData = body(&release, "get_routeinfo_by_topic_answer_standard");
        assert_eq!(bare, standard);
        let addresses = &bare.broker_datas[0].broker_addrs;
        assert_eq!(addresses[&0], "10.0.0.1:10911");
        assert_eq!(addresses[&1], "10.0.0.2:10911");
        let queues = &bare.queue_datas[0];
        assert_eq!((queues.read_queue_nums, queues.write_queue_nums, queues.perm), (8, 4, 6));
    }
}

#[test]
fn group_bodies_of_apache_read_as_what_java_meant() {
    for release in releases() {
        let heartbeat: HeartbeatData = body(&release, "heart_beat");
        assert_eq!(heartbeat.client_id, "10.0.0.1@billing-1");
        assert_eq!(heartbeat.producer_data_set[0].group_name, "orders-service");
        let consumer = &heartbeat.consumer_data_set[0];
        assert_eq!(consumer.consume_from_where, ConsumeFromWhere::ConsumeFromFirstOffset);
        let subscription = &consumer.subscription_data_set[0];
        let ours = SubscriptionData::by_tags("orders", "paid || refunded", 1_700_000_000_000);
        assert_eq!(sorted(subscription.clone()), sorted(ours));
        let members: GetConsumerListByGroupResponseBody =
            body(&release, "get_consumer_list_by_group_answer");
        assert_eq!(members.consumer_id_list, ["10.0.0.1@billing-1", "10.0.0.2@billing-2"]);
        let lock: LockBatchRequestBody = body(&release, "lock_batch_mq");
        assert_eq!(lock.consumer_group, "billing");
        assert_eq!(lock.mq_set[0].queue_id, 1);
    }
}

/// Java's sets have no order.
fn sorted(mut subscription: SubscriptionData) -> SubscriptionData {
    subscription.code_set.sort_unstable();
    subscription.tags_set.sort_unstable();
    subscription
}

#[test]
fn every_record_of_apache_reads_and_is_written_alike() {
    for release in releases() {
        for golden in release["records"].as_array().unwrap() {
            let name = &golden["name"];
            let bytes_of_java = bytes(&golden["hex"]);
            let (record, length) = Record::decode(&bytes_of_java).unwrap().unwrap();
            assert_eq!(length, bytes_of_java.len(), "{name}");
            record.verify_crc().unwrap();
            assert_eq!(record.topic, "orders");
            assert_eq!((record.queue_id, record.queue_offset, record.flag), (2, 41, 9));
            assert_eq!(record.born_timestamp + 5, record.store_timestamp);
            let properties: BTreeMap<_, _> = properties::iter(record.properties).collect();
            assert_eq!(properties, map(&golden["properties"]), "{name}");
            let body = match CompressionType::from_sys_flag(record.sys_flag).unwrap() {
                Some(compression) => compression.decompress(record.body, 1 << 20).unwrap(),
                None => Bytes::copy_from_slice(record.body),
            };
            assert_eq!(body, bytes(&golden["body"]), "{name}");
            let offset_id = id::offset_message_id(record.store_host, record.physical_offset);
            assert_eq!(offset_id, golden["offset_id"].as_str().unwrap(), "{name}");

            let mut out = vec![0; record.encoded_length()];
            record.encode(&mut out).unwrap();
            assert_eq!(out, bytes_of_java, "{name}");
        }
    }
}

#[test]
fn a_pull_answer_of_apache_holds_its_record() {
    for release in releases() {
        let answer = frames(&release).find(|(frame, ..)| frame["name"] == "pull_message_answer");
        let command = decode(&answer.unwrap().2);
        let records: Vec<_> = record::iter(&command.body).map(Result::unwrap).collect();
        assert_eq!(records.len(), 1);
        assert_eq!(records[0].body, "hello, 世界".as_bytes());
    }
}

#[test]
fn a_batch_of_apache_reads_and_is_written_alike() {
    for release in releases() {
        let bytes_of_java = bytes(&release["batch"]["hex"]);
        let items = batch::decode(bytes_of_java.clone().into()).unwrap();
        assert_eq!(items.len(), 3);
        assert_eq!(items[1].body, "item-1");
        assert_eq!(properties::find(&items[1].properties, "TAGS"), Some("tag-1"));
        assert_eq!(batch::encode(&items).unwrap(), bytes_of_java);
    }
}

#[test]
fn a_property_string_of_apache_reads_as_its_fields() {
    for release in releases() {
        let text = String::from_utf8(bytes(&release["properties"]["hex"])).unwrap();
        let fields: BTreeMap<_, _> = properties::iter(&text).collect();
        assert_eq!(fields, map(&release["properties"]["fields"]));
    }
}

#[test]
fn tags_hash_as_java_strings_do() {
    for release in releases() {
        for (tag, hash) in release["tag_hashes"].as_object().unwrap() {
            assert_eq!(Value::from(tags::java_hash(tag)), *hash, "{tag}");
        }
    }
}
