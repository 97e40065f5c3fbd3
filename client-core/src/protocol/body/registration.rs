//! A broker's registration, as JSON or in RocketMQ 4.9's compressed form.
//!
//! ```text
//! zlib stream of:
//! i32 length   DataVersion as JSON
//! i32 topics   i32 length, `name readQueues writeQueues perm filterType attributes` each
//! i32 length   filter servers, a JSON array
//! i32 mappings i32 length, JSON each                  only from 5.0 on
//! ```
//!
//! Source: RocketMQ 5.3.3 `remoting/protocol/body/RegisterBrokerBody`, `common/TopicConfig`.

use bytes::{Buf, Bytes};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Body, DataVersion, TopicConfig, TopicConfigSerializeWrapper};
use crate::protocol::message::CompressionType;
use crate::protocol::{DecodeError, json};

/// The first release that adds mappings.
const V5_0_0: i32 = 413;

/// A broker's topics, sent with its registration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RegisterBrokerBody {
    /// Obsolete.
    pub filter_server_list: Vec<String>,
    /// The topics.
    pub topic_config_serialize_wrapper: TopicConfigSerializeWrapper,
}

impl RegisterBrokerBody {
    /// Reads the compressed form of a sender of `version`; decompressed, it may be `limit` bytes
    /// long.
    ///
    /// # Errors
    /// It does not decompress within the limit, or a length or a part is bad.
    pub fn decode_compressed(
        bytes: &[u8],
        version: i32,
        limit: usize,
    ) -> Result<Self, DecodeError> {
        let mut parts = Parts(CompressionType::Zlib.decompress(bytes, limit)?);
        let mut wrapper = TopicConfigSerializeWrapper {
            data_version: DataVersion::decode(&parts.take()?)?,
            ..TopicConfigSerializeWrapper::default()
        };
        for _ in 0..parts.number()? {
            let topic = topic_of_line(&parts.take()?)?;
            wrapper.topic_config_table.insert(topic.topic_name.clone(), topic);
        }
        let filter_server_list =
            json::parse("a list of filter servers", &parts.take()?).unwrap_or_default();
        if version >= V5_0_0 {
            for _ in 0..parts.number()? {
                let info: Value = json::parse("a static topic's queues", &parts.take()?)?;
                if let Some(topic) = info.get("topic").and_then(Value::as_str) {
                    wrapper.topic_queue_mapping_info_map.insert(topic.to_owned(), info.clone());
                }
            }
        }
        Ok(Self { filter_server_list, topic_config_serialize_wrapper: wrapper })
    }
}

/// What is left of the decompressed body.
struct Parts(Bytes);

impl Parts {
    fn number(&mut self) -> Result<usize, DecodeError> {
        let available = self.0.len() as u64;
        let number = self.0.try_get_i32().map_err(|_| DecodeError::BadLength {
            what: "a compressed registration",
            length: 4,
            available,
        })?;
        // More parts than bytes there cannot be.
        usize::try_from(number).ok().filter(|number| *number <= self.0.len()).ok_or(
            DecodeError::BadLength {
                what: "a compressed registration",
                length: number.into(),
                available,
            },
        )
    }

    fn take(&mut self) -> Result<Bytes, DecodeError> {
        let length = self.number()?;
        Ok(self.0.split_to(length))
    }
}

fn topic_of_line(line: &[u8]) -> Result<TopicConfig, DecodeError> {
    const WHAT: &str = "a topic of a compressed registration";
    let text = std::str::from_utf8(line).map_err(|_| DecodeError::NotUtf8 { what: WHAT })?;
    let mut words = text.splitn(6, ' ');
    let mut word = |name: &'static str| words.next().ok_or(DecodeError::MissingField { name });
    let number = |name: &'static str, text: &str| {
        text.parse::<i32>().map_err(|_| DecodeError::BadField {
            name,
            expected: "a whole number",
            found: text.chars().take(40).collect(),
        })
    };
    let topic = word("topicName")?.to_owned();
    let read_queue_nums = number("readQueueNums", word("readQueueNums")?)?;
    let write_queue_nums = number("writeQueueNums", word("writeQueueNums")?)?;
    let perm = number("perm", word("perm")?)?;
    let topic_filter_type = word("topicFilterType")?.to_owned();
    // As Apache: attributes that cannot be read are none.
    let attributes = words.next().map(|text| json::parse("a topic's attributes", text.as_bytes()));
    Ok(TopicConfig {
        attributes: attributes.and_then(Result::ok).unwrap_or_default(),
        read_queue_nums,
        write_queue_nums,
        topic_filter_type,
        ..TopicConfig::new(topic, 0, perm)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(out: &mut Vec<u8>, bytes: &[u8]) {
        out.extend_from_slice(&i32::try_from(bytes.len()).unwrap().to_be_bytes());
        out.extend_from_slice(bytes);
    }

    fn plain(topics: &[&str], mappings: &[&str]) -> Vec<u8> {
        let mut out = Vec::new();
        part(&mut out, br#"{"counter":7,"timestamp":5}"#);
        out.extend_from_slice(&i32::try_from(topics.len()).unwrap().to_be_bytes());
        topics.iter().for_each(|topic| part(&mut out, topic.as_bytes()));
        part(&mut out, b"[]");
        out.extend_from_slice(&i32::try_from(mappings.len()).unwrap().to_be_bytes());
        mappings.iter().for_each(|mapping| part(&mut out, mapping.as_bytes()));
        out
    }

    fn read(plain: &[u8], version: i32) -> Result<RegisterBrokerBody, DecodeError> {
        let bytes = CompressionType::Zlib.compress(plain, 9).unwrap();
        RegisterBrokerBody::decode_compressed(&bytes, version, 1 << 20)
    }

    #[test]
    fn a_compressed_registration_is_read_in_both_forms() {
        // 4.9 writes a blank where attributes would begin; 5.x writes them.
        let topics = ["t 4 8 6 SINGLE_TAG ", r#"u 1 2 4 MULTI_TAG {"a":"b c"}"#];
        let old = read(&plain(&topics, &[]), 397).unwrap().topic_config_serialize_wrapper;
        assert_eq!(old.data_version.counter, 7);
        let (t, u) = (&old.topic_config_table["t"], &old.topic_config_table["u"]);
        assert_eq!((t.read_queue_nums, t.write_queue_nums, t.perm), (4, 8, 6));
        assert_eq!((&*u.topic_filter_type, &*u.attributes["a"]), ("MULTI_TAG", "b c"));
        assert!(t.attributes.is_empty());

        let new = plain(&topics, &[r#"{"topic":"s","bname":"b","currIdMap":{0:0}}"#]);
        let new = read(&new, 479).unwrap().topic_config_serialize_wrapper;
        assert_eq!(new.topic_queue_mapping_info_map["s"]["bname"], "b");
    }

    #[test]
    fn no_cut_and_no_lying_length_gets_through() {
        let whole = plain(&["t 4 8 6 SINGLE_TAG "], &[]);
        for length in 0..whole.len() {
            assert!(read(&whole[..length], 479).is_err(), "{length}");
        }
        for (at, byte) in [(0, 0x7f), (0, 0xff), (31, 0x7f), (31, 0x80)] {
            let mut lying = whole.clone();
            lying[at] = byte;
            assert!(read(&lying, 479).is_err(), "{at}");
        }
        assert!(read(&plain(&["t 4 x 6 SINGLE_TAG "], &[]), 479).is_err());
        assert!(RegisterBrokerBody::decode_compressed(&whole, 479, 1 << 20).is_err());
        let bomb = CompressionType::Zlib.compress(&vec![0; 1 << 22], 9).unwrap();
        let bomb = RegisterBrokerBody::decode_compressed(&bomb, 479, 1 << 20);
        assert!(matches!(bomb, Err(DecodeError::TooLarge { .. })));
    }
}
