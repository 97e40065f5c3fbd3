//! The broker as a whole: codes 26, 28 and 45.
//!
//! Source: RocketMQ 5.3.3 `broker/processor/AdminBrokerProcessor`.

use std::fmt::Write as _;

use oxmq::protocol::body::{Body, DataVersion, KVTable};
use oxmq::protocol::command::BROKER_VERSION;
use oxmq::protocol::header::GetBrokerConfigResponseHeader;
use oxmq::protocol::message::Record;
use oxmq::protocol::names::TIMER_TOPIC;

use crate::core::Core;
use crate::reply::Reply;

/// Keys that operators' tools read without looking whether they are there, for what this broker has
/// not: thread pools in whose queues requests wait, and a timer wheel.
const NOT_THERE: [(&str, &str); 11] = [
    ("sendThreadPoolQueueSize", "0"),
    ("pullThreadPoolQueueSize", "0"),
    ("ackThreadPoolQueueSize", "0"),
    ("sendThreadPoolQueueHeadWaitTimeMills", "0"),
    ("pullThreadPoolQueueHeadWaitTimeMills", "0"),
    ("ackThreadPoolQueueHeadWaitTimeMills", "0"),
    ("timerReadBehind", "0"),
    ("timerOffsetBehind", "0"),
    ("timerCongestNum", "0"),
    ("timerEnqueueTps", "0.0"),
    ("timerDequeueTps", "0.0"),
];

/// Code 28: how the broker is.
pub(crate) fn runtime_info(core: &Core) -> Reply {
    let mut info = KVTable::default();
    let mut set = |key: &str, value: String| info.table.insert(key.to_owned(), value);
    for (key, value) in NOT_THERE {
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
    let (timer_offset, timer_waiting) = core.timer.progress();
    let timer_end = core.store.max_offset(TIMER_TOPIC, 0);
    set("timerOffsetBehind", (timer_end - timer_offset).to_string());
    set("timerCongestNum", timer_waiting.to_string());
    for (level, (offset, end)) in core.schedule.progress(&core.store) {
        set(&format!("scheduleMessageOffset_{level}"), format!("{offset},{end}"));
    }
    for (key, value) in counted(core).into_iter().chain(disk(core)) {
        info.table.insert(key.to_owned(), value);
    }
    Reply::body(info.encode())
}

/// What was counted since the start. Days are those of UTC.
fn counted(core: &Core) -> [(&'static str, String); 15] {
    let told = core.statistics.summary(core.clock.monotonic(), core.clock.now_ms());
    let (now, morning, yesterday) = (told.totals, told.this_morning, told.yesterday_morning);
    let handed_out = told.rates(|totals| totals.handed_out);
    let average = now.stored_bytes as f64 / now.stored.max(1) as f64;
    [
        ("putTps", told.rates(|totals| totals.stored)),
        // RocketMQ 4 spells it with one `r`.
        ("getTransferedTps", handed_out.clone()),
        ("getTransferredTps", handed_out),
        ("getTotalTps", told.rates(|totals| totals.found + totals.missed)),
        ("getFoundTps", told.rates(|totals| totals.found)),
        ("getMissTps", told.rates(|totals| totals.missed)),
        ("putMessageTimesTotal", now.stored.to_string()),
        ("putMessageSizeTotal", now.stored_bytes.to_string()),
        ("putMessageAverageSize", average.to_string()),
        ("msgPutTotalYesterdayMorning", yesterday.stored.to_string()),
        ("msgPutTotalTodayMorning", morning.stored.to_string()),
        ("msgPutTotalTodayNow", now.stored.to_string()),
        ("msgGetTotalYesterdayMorning", yesterday.handed_out.to_string()),
        ("msgGetTotalTodayMorning", morning.handed_out.to_string()),
        ("msgGetTotalTodayNow", now.handed_out.to_string()),
    ]
}

/// How the disk is, and what waits for it.
fn disk(core: &Core) -> [(&'static str, String); 4] {
    let (_, end) = core.store.commit_log_range();
    let waiting = (end - core.store.durable_offset()).max(0);
    // As Apache's broker tells what it cannot find out.
    let ratio = |used: Option<f64>| used.map_or_else(|| "-1.0".to_owned(), |used| used.to_string());
    let (log, queues) = core.store.disk_use();
    [
        ("pageCacheLockTimeMills", core.store.append_wait().as_millis().to_string()),
        ("commitLogDiskRatio", ratio(log)),
        ("consumeQueueDiskRatio", ratio(queues)),
        ("remainHowManyDataToFlush", format!("{waiting} B")),
    ]
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
