//! The message record: what the commit log stores and what pull, query and check answers carry.
//!
//! | # | Size | Field | |
//! |---|---|---|---|
//! | 1 | 4 | `totalSize` | bytes, itself included |
//! | 2 | 4 | `magic` | [`MAGIC_V1`], [`MAGIC_V2`], or [`MAGIC_BLANK`] |
//! | 3 | 4 | `bodyCRC` | CRC-32 of the stored body, top bit cleared |
//! | 4 | 4 | `queueId` | |
//! | 5 | 4 | `flag` | the application's |
//! | 6 | 8 | `queueOffset` | place in the queue |
//! | 7 | 8 | `physicalOffset` | place in the commit log, bytes |
//! | 8 | 4 | `sysFlag` | see [`super::sys_flag`] |
//! | 9 | 8 | `bornTimestamp` | the producer's clock, ms |
//! | 10 | 8 or 20 | `bornHost` | address (4 or 16) and port (4) |
//! | 11 | 8 | `storeTimestamp` | the broker's clock, ms |
//! | 12 | 8 or 20 | `storeHost` | address (4 or 16) and port (4) |
//! | 13 | 4 | `reconsumeTimes` | |
//! | 14 | 8 | `preparedTransactionOffset` | |
//! | 15 | 4 + n | body length, body | |
//! | 16 | 1 or 2, + t | topic length (V2: two bytes), topic | |
//! | 17 | 2 + p | properties length, properties | ends at `totalSize` |
//!
//! Source: RocketMQ 5.3.3 `store/CommitLog`, `store/MessageExtEncoder`, `common/message/MessageDecoder`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{properties, record_crc, sys_flag};
use crate::protocol::{DecodeError, length};

/// Magic of a record whose topic length is one byte.
pub const MAGIC_V1: u32 = 0xDAA3_20A7;
/// Magic of a record whose topic length is two bytes (5.1 and later, topics over 127 bytes).
pub const MAGIC_V2: u32 = 0xDAA3_20AB;
/// Magic of the filler at the end of a commit-log file.
pub const MAGIC_BLANK: u32 = 0xCBD4_3194;
/// Bytes of a filler that are written: its length and its magic.
pub const BLANK_LENGTH: usize = 8;
/// The smallest record: V1, IPv4 hosts, all else empty.
pub const MIN_LENGTH: usize = 91;

/// Byte offsets of fields before the first that varies in size.
pub mod position {
    /// `magic`.
    pub const MAGIC: usize = 4;
    /// `bodyCRC`.
    pub const BODY_CRC: usize = MAGIC + 4;
    /// `queueId`.
    pub const QUEUE_ID: usize = BODY_CRC + 4;
    /// `flag`.
    pub const FLAG: usize = QUEUE_ID + 4;
    /// `queueOffset`.
    pub const QUEUE_OFFSET: usize = FLAG + 4;
    /// `physicalOffset`.
    pub const PHYSICAL_OFFSET: usize = QUEUE_OFFSET + 8;
    /// `sysFlag`.
    pub const SYS_FLAG: usize = PHYSICAL_OFFSET + 8;
    /// `bornTimestamp`.
    pub const BORN_TIMESTAMP: usize = SYS_FLAG + 4;
    /// `bornHost`.
    pub const BORN_HOST: usize = BORN_TIMESTAMP + 8;

    /// `storeTimestamp`: after the born host, whose size `sys_flag` tells.
    pub const fn store_timestamp(sys_flag: i32) -> usize {
        BORN_HOST + super::host_length(sys_flag & super::sys_flag::BORN_HOST_V6 != 0)
    }
}

/// Which of the two layouts a record has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordVersion {
    /// One byte of topic length.
    V1,
    /// Two bytes of topic length.
    V2,
}

impl RecordVersion {
    /// The layout that a topic needs: V2 from 128 bytes on.
    pub const fn for_topic(topic: &str) -> Self {
        if topic.len() > i8::MAX as usize { Self::V2 } else { Self::V1 }
    }

    const fn topic_length_bytes(self) -> usize {
        match self {
            Self::V1 => 1,
            Self::V2 => 2,
        }
    }

    const fn magic(self) -> u32 {
        match self {
            Self::V1 => MAGIC_V1,
            Self::V2 => MAGIC_V2,
        }
    }
}

/// One message record, borrowed from the bytes that hold it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// CRC-32 of the body with the top bit cleared, see [`body_crc`].
    pub body_crc: u32,
    /// Queue of the topic.
    pub queue_id: i32,
    /// The application's flag.
    pub flag: i32,
    /// Place in the queue, counted in messages.
    pub queue_offset: i64,
    /// Place in the commit log, bytes.
    pub physical_offset: i64,
    /// Bits of [`super::sys_flag`]; those of the two hosts follow the addresses when encoding.
    pub sys_flag: i32,
    /// When the producer made the message, ms since the Unix epoch.
    pub born_timestamp: i64,
    /// The producer's address.
    pub born_host: SocketAddr,
    /// When the broker stored it, ms since the Unix epoch.
    pub store_timestamp: i64,
    /// The broker's own address.
    pub store_host: SocketAddr,
    /// How often it was handed back.
    pub reconsume_times: i32,
    /// Commit-log offset of the half message that this one ends; 0 otherwise.
    pub prepared_transaction_offset: i64,
    /// The body as sent, perhaps compressed.
    pub body: &'a [u8],
    /// The topic.
    pub topic: &'a str,
    /// The encoded property string.
    pub properties: &'a str,
}

/// What a store adds to a record's properties while it appends it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Addition<'a> {
    /// Encoded properties that are known only then; each ends in `0x02`.
    pub properties: &'a str,
    /// Whether a CRC of the whole record comes last, see [`record_crc`].
    pub crc: bool,
}

impl Addition<'_> {
    /// Bytes added behind the given properties, their missing end included.
    fn length(&self, before: &str) -> usize {
        self.separator(before).len()
            + self.properties.len()
            + if self.crc { record_crc::LENGTH } else { 0 }
    }

    /// The end that the given properties lack.
    fn separator(&self, before: &str) -> &'static [u8] {
        let is_empty = self.properties.is_empty() && !self.crc;
        let is_ended = before.is_empty() || before.ends_with(char::from(properties::VALUE_END));
        if is_empty || is_ended { &[] } else { &[properties::VALUE_END] }
    }
}

/// CRC-32 (IEEE) with the top bit cleared, as RocketMQ keeps it.
pub fn body_crc(body: &[u8]) -> u32 {
    crc32fast::hash(body) & 0x7FFF_FFFF
}

const fn host_length(is_v6: bool) -> usize {
    if is_v6 { 20 } else { 8 }
}

impl<'a> Record<'a> {
    /// Bytes of the encoded record.
    pub fn encoded_length(&self) -> usize {
        self.encoded_length_with(&Addition::default())
    }

    /// Bytes of the encoded record with more properties.
    pub fn encoded_length_with(&self, added: &Addition<'_>) -> usize {
        MIN_LENGTH - 1
            + RecordVersion::for_topic(self.topic).topic_length_bytes()
            + if self.born_host.is_ipv6() { 12 } else { 0 }
            + if self.store_host.is_ipv6() { 12 } else { 0 }
            + self.body.len()
            + self.topic.len()
            + self.properties.len()
            + added.length(self.properties)
    }

    /// Writes the record into the first [`encoded_length`](Self::encoded_length) bytes of `out`
    /// and returns how many that were.
    ///
    /// # Errors
    /// [`DecodeError::TooLarge`] if the topic, the properties or the whole do not fit their length
    /// fields; [`DecodeError::BadLength`] if `out` is too short. `out` is then unchanged.
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, DecodeError> {
        self.encode_with(&Addition::default(), out)
    }

    /// Does the same with more properties: writes
    /// [`encoded_length_with`](Self::encoded_length_with) bytes.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    pub fn encode_with(&self, added: &Addition<'_>, out: &mut [u8]) -> Result<usize, DecodeError> {
        let length = self.encoded_length_with(added);
        let total = checked("a record", length, i32::MAX as usize)?;
        let body_length = checked("a body", self.body.len(), i32::MAX as usize)?;
        checked("a topic", self.topic.len(), properties::MAX_LENGTH)?;
        let properties_length = self.properties.len() + added.length(self.properties);
        checked("a property string", properties_length, properties::MAX_LENGTH)?;
        let available = out.len() as u64;
        let out = out.get_mut(..length).ok_or(DecodeError::BadLength {
            what: "room for a record",
            length: i64::from(total),
            available,
        })?;
        let version = RecordVersion::for_topic(self.topic);
        let mut writer = Writer(&mut *out);
        writer.put(&total.to_be_bytes());
        writer.put(&version.magic().to_be_bytes());
        writer.put(&self.body_crc.to_be_bytes());
        writer.put(&self.queue_id.to_be_bytes());
        writer.put(&self.flag.to_be_bytes());
        writer.put(&self.queue_offset.to_be_bytes());
        writer.put(&self.physical_offset.to_be_bytes());
        writer.put(&self.host_flags().to_be_bytes());
        writer.put(&self.born_timestamp.to_be_bytes());
        writer.put_host(self.born_host);
        writer.put(&self.store_timestamp.to_be_bytes());
        writer.put_host(self.store_host);
        writer.put(&self.reconsume_times.to_be_bytes());
        writer.put(&self.prepared_transaction_offset.to_be_bytes());
        writer.put(&body_length.to_be_bytes());
        writer.put(self.body);
        let topic_length = length::as_u16(self.topic.len()).to_be_bytes();
        writer.put(match version {
            RecordVersion::V1 => &topic_length[1..],
            RecordVersion::V2 => &topic_length,
        });
        writer.put(self.topic.as_bytes());
        writer.put(&length::as_u16(properties_length).to_be_bytes());
        writer.put(self.properties.as_bytes());
        writer.put(added.separator(self.properties));
        writer.put(added.properties.as_bytes());
        if added.crc {
            debug_assert!(
                writer.0.len() == record_crc::LENGTH,
                "the length and the fields disagree"
            );
            record_crc::seal(out);
        } else {
            debug_assert!(writer.0.is_empty(), "the length and the fields disagree");
        }
        Ok(length)
    }

    /// `sys_flag` with the bits that tell the hosts' address families.
    fn host_flags(&self) -> i32 {
        let mut flags = self.sys_flag & !(sys_flag::BORN_HOST_V6 | sys_flag::STORE_HOST_V6);
        if self.born_host.is_ipv6() {
            flags |= sys_flag::BORN_HOST_V6;
        }
        if self.store_host.is_ipv6() {
            flags |= sys_flag::STORE_HOST_V6;
        }
        flags
    }

    /// Reads the record at the start of `bytes`; `Ok(None)` if not all of it is there yet.
    ///
    /// The body's CRC is not checked here: see [`verify_crc`](Self::verify_crc).
    ///
    /// # Errors
    /// The bytes are no record: unknown magic (a blank is one too), or lengths that contradict.
    pub fn decode(bytes: &'a [u8]) -> Result<Option<(Self, usize)>, DecodeError> {
        let mut reader = Reader(bytes);
        let (Some(total), Some(magic)) = (reader.i32(), reader.u32()) else { return Ok(None) };
        let version = match magic {
            MAGIC_V1 => RecordVersion::V1,
            MAGIC_V2 => RecordVersion::V2,
            value => return Err(DecodeError::UnknownFormat { what: "a record's magic", value }),
        };
        let bad_length = DecodeError::BadLength {
            what: "a record",
            length: total.into(),
            available: bytes.len() as u64,
        };
        let total = usize::try_from(total).ok().filter(|total| *total >= MIN_LENGTH);
        let Some(total) = total else { return Err(bad_length) };
        let Some(record) = bytes.get(..total) else { return Ok(None) };
        let mut reader = Reader(record.get(position::BODY_CRC..).unwrap_or_default());
        let record = reader.record(version).ok_or(bad_length.clone())??;
        if reader.0.is_empty() { Ok(Some((record, total))) } else { Err(bad_length) }
    }

    /// Checks the body against its CRC.
    ///
    /// # Errors
    /// [`DecodeError::BadCrc`].
    pub fn verify_crc(&self) -> Result<(), DecodeError> {
        let found = body_crc(self.body);
        if found == self.body_crc {
            Ok(())
        } else {
            Err(DecodeError::BadCrc { what: "a body", expected: self.body_crc, found })
        }
    }

    /// The value of one property.
    pub fn property(&self, name: &str) -> Option<&'a str> {
        properties::find(self.properties, name)
    }
}

/// Walks the records of a pull answer's body, one after another.
///
/// Stops after the first bytes that are no whole record, having reported them.
pub fn iter(bytes: &[u8]) -> Records<'_> {
    Records(bytes)
}

/// See [`iter`].
#[derive(Debug)]
pub struct Records<'a>(&'a [u8]);

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let bytes = std::mem::take(&mut self.0);
        if bytes.is_empty() {
            return None;
        }
        Some(match Record::decode(bytes) {
            Ok(Some((record, length))) => {
                self.0 = bytes.get(length..).unwrap_or_default();
                Ok(record)
            }
            Ok(None) => Err(DecodeError::BadLength {
                what: "a record that is cut off",
                length: -1,
                available: bytes.len() as u64,
            }),
            Err(error) => Err(error),
        })
    }
}

fn checked(what: &'static str, length: usize, limit: usize) -> Result<i32, DecodeError> {
    i32::try_from(length).ok().filter(|_| length <= limit).ok_or(DecodeError::TooLarge {
        what,
        length: length as u64,
        limit: limit as u64,
    })
}

/// Fills a slice front to back; the caller has measured it.
struct Writer<'a>(&'a mut [u8]);

impl Writer<'_> {
    fn put(&mut self, bytes: &[u8]) {
        let (head, rest) = std::mem::take(&mut self.0).split_at_mut(bytes.len());
        head.copy_from_slice(bytes);
        self.0 = rest;
    }

    fn put_host(&mut self, host: SocketAddr) {
        match host.ip() {
            IpAddr::V4(ip) => self.put(&ip.octets()),
            IpAddr::V6(ip) => self.put(&ip.octets()),
        }
        self.put(&u32::from(host.port()).to_be_bytes());
    }
}

/// Takes fields off the front of a slice; `None` when it is too short.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(head)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*head)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    fn i32(&mut self) -> Option<i32> {
        self.array().map(i32::from_be_bytes)
    }

    fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_be_bytes)
    }

    /// Ports are stored in four bytes; Java keeps only what fits a port as well.
    fn host(&mut self, is_v6: bool) -> Option<SocketAddr> {
        let ip = if is_v6 {
            IpAddr::from(Ipv6Addr::from(self.array::<16>()?))
        } else {
            IpAddr::from(Ipv4Addr::from(self.array::<4>()?))
        };
        let port = u16::try_from(self.u32()?).unwrap_or_default();
        Some(SocketAddr::new(ip, port))
    }

    fn text(&mut self, what: &'static str, length: usize) -> Option<Result<&'a str, DecodeError>> {
        let bytes = self.take(length)?;
        Some(std::str::from_utf8(bytes).map_err(|_| DecodeError::NotUtf8 { what }))
    }

    /// Everything after the magic.
    fn record(&mut self, version: RecordVersion) -> Option<Result<Record<'a>, DecodeError>> {
        let body_crc = self.u32()?;
        let queue_id = self.i32()?;
        let flag = self.i32()?;
        let queue_offset = self.i64()?;
        let physical_offset = self.i64()?;
        let sys_flag = self.i32()?;
        let born_timestamp = self.i64()?;
        let born_host = self.host(sys_flag & sys_flag::BORN_HOST_V6 != 0)?;
        let store_timestamp = self.i64()?;
        let store_host = self.host(sys_flag & sys_flag::STORE_HOST_V6 != 0)?;
        let reconsume_times = self.i32()?;
        let prepared_transaction_offset = self.i64()?;
        let body_length = usize::try_from(self.i32()?).ok()?;
        let body = self.take(body_length)?;
        let topic_length = match version {
            RecordVersion::V1 => usize::from(self.array::<1>()?[0]),
            RecordVersion::V2 => usize::from(u16::from_be_bytes(self.array()?)),
        };
        let topic = match self.text("a record's topic", topic_length)? {
            Ok(topic) => topic,
            Err(error) => return Some(Err(error)),
        };
        let properties_length = usize::from(u16::from_be_bytes(self.array()?));
        let properties = match self.text("a record's property string", properties_length)? {
            Ok(properties) => properties,
            Err(error) => return Some(Err(error)),
        };
        Some(Ok(Record {
            body_crc,
            queue_id,
            flag,
            queue_offset,
            physical_offset,
            sys_flag,
            born_timestamp,
            born_host,
            store_timestamp,
            store_host,
            reconsume_times,
            prepared_transaction_offset,
            body,
            topic,
            properties,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample() -> Record<'static> {
        Record {
            body_crc: body_crc(b"hi"),
            queue_id: 1,
            flag: 0,
            queue_offset: 2,
            physical_offset: 3,
            sys_flag: 0,
            born_timestamp: 4,
            born_host: ([1, 2, 3, 4], 5).into(),
            store_timestamp: 6,
            store_host: ([7, 8, 9, 10], 10911).into(),
            reconsume_times: 0,
            prepared_transaction_offset: 0,
            body: b"hi",
            topic: "T",
            properties: "k\u{1}v\u{2}",
        }
    }

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
        let digit = |d: u8| u8::try_from((d as char).to_digit(16).unwrap()).unwrap();
        digits.chunks(2).map(|pair| digit(pair[0]) * 16 + digit(pair[1])).collect()
    }

    const SAMPLE: &str = "00000062 daa320a7 58932aac 00000001 00000000 0000000000000002 \
        0000000000000003 00000000 0000000000000004 01020304 00000005 0000000000000006 0708090a \
        00002a9f 00000000 0000000000000000 00000002 6869 01 54 0004 6b017602";

    #[test]
    fn encodes_the_bytes_that_apache_stores() {
        let mut out = vec![0; 200];
        let length = sample().encode(&mut out).unwrap();
        assert_eq!(out[..length], hex(SAMPLE));
        assert_eq!(sample().body_crc, 1_486_039_724);
    }

    #[test]
    fn what_a_store_adds_comes_behind_the_properties() {
        for (before, all) in [
            ("", "INNER_BASE\u{1}5\u{2}"),
            ("k\u{1}v", "k\u{1}v\u{2}INNER_BASE\u{1}5\u{2}"),
            ("k\u{1}v\u{2}", "k\u{1}v\u{2}INNER_BASE\u{1}5\u{2}"),
        ] {
            let record = Record { properties: before, ..sample() };
            let mut out = vec![0; 300];
            let added = Addition { properties: "INNER_BASE\u{1}5\u{2}", crc: false };
            let length = record.encode_with(&added, &mut out).unwrap();
            let (decoded, _) = Record::decode(&out[..length]).unwrap().unwrap();
            assert_eq!(decoded, Record { properties: all, ..sample() });
            let added = Addition { crc: true, ..added };
            let length = record.encode_with(&added, &mut out).unwrap();
            assert_eq!(length, record.encoded_length_with(&added));
            let (decoded, _) = Record::decode(&out[..length]).unwrap().unwrap();
            assert!(decoded.properties.starts_with(all) && decoded.properties.ends_with('\u{2}'));
            assert_eq!(record_crc::verify(&out[..length], decoded.properties), Ok(true));
        }
        let mut out = vec![0; 300];
        let unended = Record { properties: "k\u{1}v", ..sample() };
        let length = unended.encode(&mut out).unwrap();
        assert_eq!(Record::decode(&out[..length]).unwrap().unwrap().0, unended);
    }

    #[test]
    fn a_record_that_is_cut_off_is_incomplete_not_wrong() {
        let bytes = hex(SAMPLE);
        for length in 0..bytes.len() {
            assert_eq!(Record::decode(&bytes[..length]), Ok(None), "{length} bytes");
        }
        assert_eq!(Record::decode(&bytes), Ok(Some((sample(), bytes.len()))));
    }

    #[test]
    fn every_flipped_length_byte_is_refused() {
        let bytes = hex(SAMPLE);
        let topic_length = position::BORN_HOST + 8 + 8 + 8 + 4 + 8 + 4 + 2;
        for at in [3, 87, topic_length, topic_length + 2 + 1] {
            let mut bad = bytes.clone();
            bad[at] ^= 0x08;
            assert!(!matches!(Record::decode(&bad), Ok(Some(_))), "byte {at}");
        }
    }

    #[test]
    fn walks_several_records_and_reports_the_broken_end() {
        let mut bytes = hex(SAMPLE);
        bytes.extend(hex(SAMPLE));
        bytes.extend([0; 9]);
        let walked: Vec<_> = iter(&bytes).collect();
        assert_eq!(walked.len(), 3);
        assert!(walked[0].is_ok() && walked[1].is_ok() && walked[2].is_err());
    }

    proptest! {
        #[test]
        fn decoding_gives_back_what_was_encoded(
            body in proptest::collection::vec(any::<u8>(), 0..300),
            topic in "[a-zA-Z0-9_%|-]{1,255}",
            properties in "[a-z\u{1}\u{2}]{0,60}",
            v6 in any::<(bool, bool)>(),
            numbers in any::<(i32, i32, i64, i64, i32, i64, i64, i32, i64)>(),
        ) {
            let host = |v6, port| if v6 {
                SocketAddr::new(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, port).into(), port)
            } else {
                SocketAddr::new(Ipv4Addr::new(10, 0, 0, 1).into(), port)
            };
            let hosts = sys_flag::BORN_HOST_V6 | sys_flag::STORE_HOST_V6;
            let family = |bit, v6| if v6 { bit } else { 0 };
            let record = Record {
                body_crc: body_crc(&body),
                queue_id: numbers.0,
                flag: numbers.1,
                queue_offset: numbers.2,
                physical_offset: numbers.3,
                sys_flag: numbers.4 & !hosts
                    | family(sys_flag::BORN_HOST_V6, v6.0)
                    | family(sys_flag::STORE_HOST_V6, v6.1),
                born_timestamp: numbers.5,
                born_host: host(v6.0, 1),
                store_timestamp: numbers.6,
                store_host: host(v6.1, 2),
                reconsume_times: numbers.7,
                prepared_transaction_offset: numbers.8,
                body: &body,
                topic: &topic,
                properties: &properties,
            };
            let mut out = vec![0; record.encoded_length()];
            prop_assert_eq!(record.encode(&mut out).unwrap(), out.len());
            prop_assert_eq!(Record::decode(&out), Ok(Some((record, out.len()))));
            prop_assert_eq!(record.verify_crc(), Ok(()));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = Record::decode(&bytes);
            let mut framed = hex(SAMPLE);
            let at = bytes.len() % framed.len();
            for (slot, byte) in framed[at..].iter_mut().zip(&bytes) {
                *slot = *byte;
            }
            let _ = Record::decode(&framed);
        }
    }
}
