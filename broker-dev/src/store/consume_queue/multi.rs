//! Messages that stand in several queues: logical queues for light topics.
//!
//! A message names further queues in its property `INNER_MULTI_DISPATCH`, and the store writes its
//! offset in each of them into `INNER_MULTI_QUEUE_OFFSET`, both separated by commas. Only queues
//! whose names begin with `%LMQ%` are given offsets.
//!
//! Source: RocketMQ 5.3.3 `store/LmqDispatch`, `store/queue/MultiDispatchUtils`,
//! `store/ConsumeQueue.multiDispatchLmqQueue`.

use oxmq::protocol::message::properties::{self, name};
use oxmq::protocol::message::record::Record;
use oxmq::protocol::names::{RETRY_PREFIX, SCHEDULE_TOPIC, SYSTEM_PREFIX, is_light_topic};

use super::discover::is_safe_topic;

/// The only queue of a light topic.
pub(crate) const LIGHT_QUEUE: i32 = 0;

/// Whether messages of a topic may stand in further queues.
pub(crate) fn may_be_in_several(topic: &str) -> bool {
    !topic.starts_with(RETRY_PREFIX) && !topic.starts_with(SYSTEM_PREFIX) && topic != SCHEDULE_TOPIC
}

/// The further queues that a message names; those that cannot be are empty.
pub(crate) fn wanted(properties: &str) -> Option<impl Iterator<Item = &str>> {
    let names = properties::find(properties, name::INNER_MULTI_DISPATCH)?;
    (!names.trim().is_empty()).then(|| {
        names
            .split(',')
            .map(|name| if is_light_topic(name) && is_safe_topic(name) { name } else { "" })
    })
}

/// The further queues that a record stands in, and its offset in each.
pub(crate) fn places<'r>(record: &Record<'r>) -> impl Iterator<Item = (&'r str, i64)> {
    let properties = record.properties;
    let offsets = may_be_in_several(record.topic)
        .then(|| properties::find(properties, name::INNER_MULTI_QUEUE_OFFSET))
        .flatten();
    let pairs = offsets.and_then(|offsets| Some((wanted(properties)?, offsets.split(','))));
    let pairs = pairs.into_iter().flat_map(|(names, offsets)| names.zip(offsets));
    pairs.filter_map(|(name, offset)| {
        let offset = offset.parse().ok().filter(|offset: &i64| *offset >= 0)?;
        (!name.is_empty()).then_some((name, offset))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places_of(topic: &str, properties: &str) -> Vec<(String, i64)> {
        let host = ([127, 0, 0, 1], 1).into();
        let record = Record {
            body_crc: 0,
            queue_id: 0,
            flag: 0,
            queue_offset: 0,
            physical_offset: 0,
            sys_flag: 0,
            born_timestamp: 0,
            born_host: host,
            store_timestamp: 0,
            store_host: host,
            reconsume_times: 0,
            prepared_transaction_offset: 0,
            body: b"",
            topic,
            properties,
        };
        places(&record).map(|(name, offset)| (name.to_owned(), offset)).collect()
    }

    #[test]
    fn names_and_offsets_belong_together() {
        let text = "INNER_MULTI_DISPATCH\u{1}%LMQ%a,plain,%LMQ%b/c,%LMQ%d\u{2}\
            INNER_MULTI_QUEUE_OFFSET\u{1}3,,5,7\u{2}";
        assert_eq!(places_of("t", text), [("%LMQ%a".to_owned(), 3), ("%LMQ%d".to_owned(), 7)]);
        for topic in ["%RETRY%g", "rmq_sys_x", "SCHEDULE_TOPIC_XXXX"] {
            assert_eq!(places_of(topic, text), []);
        }
        for bad in
            ["", "INNER_MULTI_DISPATCH\u{1}%LMQ%a\u{2}", "INNER_MULTI_QUEUE_OFFSET\u{1}1\u{2}"]
        {
            assert_eq!(places_of("t", bad), []);
        }
        let negative = "INNER_MULTI_DISPATCH\u{1}%LMQ%a\u{2}INNER_MULTI_QUEUE_OFFSET\u{1}-1\u{2}";
        assert_eq!(places_of("t", negative), []);
    }
}
