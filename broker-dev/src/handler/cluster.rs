//! The broker as a whole: codes 26, 28 and 45.
//!
//! Source: RocketMQ 5.3.3 `broker/processor/AdminBrokerProcessor`.

use std::fmt::Write as _;

use oxmq::protocol::body::{Body, DataVersion, KVTable};
use oxmq::protocol::command::BROKER_VERSION;
use oxmq::protocol::header::GetBrokerConfigResponseHeader;
use oxmq::protocol::message::Record;

use crate::core::Core;
use crate::reply::Reply;

/// Keys that operators' tools read without looking whether they are there, and what they are when
/// nothing is counted.
const NOT_COUNTED: [(&str, &str); 26] = [
    ("putTps", "0.0 0.0 0.0"),
    ("getTransferredTps", "0.0 0.0 0.0"),
    ("getTotalTps", "0.0 0.0 0.0"),
    ("getFoundTps", "0.0 0.0 0.0"),
    ("getMissTps", "0.0 0.0 0.0"),
    ("sendThreadPoolQueueSize", "0"),
    ("pullThreadPoolQueueSize", "0"),
    ("ackThreadPoolQueueSize", "0"),
    ("sendThreadPoolQueueHeadWaitTimeMills", "0"),
    ("pullThreadPoolQueueHeadWaitTimeMills", "0"),
    ("ackThreadPoolQueueHeadWaitTimeMills", "0"),
    ("pageCacheLockTimeMills", "0"),
    ("commitLogDiskRatio", "0.0"),
    ("consumeQueueDiskRatio", "0.0"),
    ("timerReadBehind", "0"),
    ("timerOffsetBehind", "0"),
    ("timerCongestNum", "0"),
    ("timerEnqueueTps", "0.0"),
    ("timerDequeueTps", "0.0"),
    ("msgPutTotalYesterdayMorning", "0"),
    ("msgPutTotalTodayMorning", "0"),
    ("msgPutTotalTodayNow", "0"),
    ("msgGetTotalYesterdayMorning", "0"),
    ("msgGetTotalTodayMorning", "0"),
    ("msgGetTotalTodayNow", "0"),
    ("remainHowManyDataToFlush", "0 B"),
];

/// Code 28: how the broker is.
pub(crate) fn runtime_info(core: &Core) -> Reply {
    let mut info = KVTable::default();
    let mut set = |key: &str, value: String| info.table.insert(key.to_owned(), value);
    for (key, value) in NOT_COUNTED {
        set(key, value.to_owned());
    }
    let (min, max) = core.store.commit_log_range();
    set("brokerVersionDesc", format!("oxmq-{}", env!("CARGO_PKG_VERSION")));
    set("brokerVersion", BROKER_VERSION.to_string());
    set("brokerActive", "true".to_owned());
    set("bootTimestamp", core.started_ms.to_string());
    set("startAcceptSendRequestTimeStamp", core.started_ms.to_string());
    set("runtime", uptime(core.clock.now_ms() - core.started_ms));
    set("commitLogMinOffset", min.to_string());
    set("commitLogMaxOffset", max.to_string());
    set("dispatchBehindBytes", core.store.dispatch_behind_bytes().to_string());
    let earliest = core.store.record_at(min);
    let earliest = earliest.as_deref().map(Record::decode).and_then(|read| read.ok().flatten());
    let earliest = earliest.map_or(-1, |(record, _)| record.store_timestamp);
    set("earliestMessageTimeStamp", earliest.to_string());
    for (level, (offset, end)) in core.schedule.progress(&core.store) {
        set(&format!("scheduleMessageOffset_{level}"), format!("{offset},{end}"));
    }
    Reply::body(info.encode())
}

/// Code 26: the settings, one `name=value` a line.
pub(crate) fn config(core: &Core) -> Reply {
    let mut lines = String::new();
    for (key, value) in core.config.entries() {
        // Writing to a String does not fail.
        let _ = writeln!(lines, "{key}={value}");
    }
    let version = String::from_utf8_lossy(&DataVersion::default().encode()).into_owned();
    Reply::fields(&GetBrokerConfigResponseHeader { version }).with_body(lines)
}

/// Code 45: how far each delay level is.
pub(crate) fn delay_offsets(core: &Core) -> Reply {
    Reply::body(core.schedule.all().encode())
}

fn uptime(millis: i64) -> String {
    let seconds = millis.max(0) / 1_000;
    let (minutes, hours) = (seconds / 60, seconds / 3_600);
    format!(
        "[ {} days, {} hours, {} minutes, {} seconds ]",
        hours / 24,
        hours % 24,
        minutes % 60,
        seconds % 60
    )
}
