//! The broker's settings, under RocketMQ's names and with its defaults, as typed values.
//!
//! One table below gives each setting its field, type, default, name and meaning; reading,
//! printing and the hint for a misspelt name all come from it. A name that is not in the table is
//! refused rather than ignored: a setting that does nothing is worse than an error.

use std::fmt;
use std::time::Duration;

use crate::schedule::DelayLevels;
use crate::settings::{Value, settings};
use crate::store::FlushMode;

settings! {
    /// Every setting that the broker knows.
    BrokerConfig

    /// Name of the broker group.
    broker_name: String = "broker-a".to_owned(), "brokerName";
    /// Name of the cluster.
    cluster: String = "DefaultCluster".to_owned(), "brokerClusterName";
    /// Id within the group; 0 is the master.
    broker_id: u64 = 0, "brokerId";
    /// The address that clients are told, where it differs from the one listened on. Empty: the
    /// address listened on.
    advertised_ip: String = String::new(), "brokerIP1";
    /// Name servers of another process to register with, `host:port;host:port`, beside the one in
    /// this process.
    name_servers: String = String::new(), "namesrvAddr";
    /// How often the broker registers, in milliseconds; 10,000 to 60,000.
    register_period: Millis = Millis(30_000), "registerNameServerPeriod";
    /// What the broker allows as a whole: 4 read, 2 write.
    broker_permission: i32 = 6, "brokerPermission";
    /// Whether a send to an unknown topic creates it.
    auto_create_topic: bool = true, "autoCreateTopicEnable";
    /// Whether an unknown consumer group is created by its first heartbeat.
    auto_create_group: bool = true, "autoCreateSubscriptionGroup";
    /// Queues of the topic that new topics are copied from.
    default_topic_queues: u32 = 8, "defaultTopicQueueNums";
    /// Whether the topic named after the cluster may be read and written.
    cluster_topic: bool = true, "clusterTopicEnable";
    /// Whether the topic named after the broker may be read and written.
    broker_topic: bool = true, "brokerTopicEnable";
    /// Whether the topic for message traces is created.
    trace_topic: bool = false, "traceTopicEnable";
    /// The region written into each message.
    region: String = "DefaultRegion".to_owned(), "regionId";
    /// Whether clients are told to trace.
    trace_on: bool = true, "traceOn";
    /// When a send is answered: after the append, or after the disk has it.
    flush: FlushMode = FlushMode::Async, "flushDiskType";
    /// How long a send waits for the disk under SYNC_FLUSH, in milliseconds.
    sync_flush_timeout: Millis = Millis(5_000), "syncFlushTimeout";
    /// How often the commit log goes to the disk under ASYNC_FLUSH, in milliseconds.
    flush_interval: Millis = Millis(500), "flushIntervalCommitLog";
    /// Under ASYNC_FLUSH a log that grew by fewer pages of 4 KiB waits for more of them.
    flush_least_pages: u32 = 4, "flushCommitLogLeastPages";
    /// How long such a log waits at most, in milliseconds.
    flush_thorough_interval: Millis = Millis(10_000), "flushCommitLogThoroughInterval";
    /// Whether each record ends in a CRC of all of it.
    append_record_crc: bool = false, "enabledAppendPropCRC";
    /// Whether that CRC is checked when the broker starts, where a record has one.
    verify_record_crc: bool = false, "forceVerifyPropCRC";
    /// Size of a commit-log file, bytes. A store that exists keeps the size it has.
    commit_log_file_bytes: u64 = 128 * 1024 * 1024, "mappedFileSizeCommitLog";
    /// Size of a consume-queue file, bytes. A store that exists keeps the size it has.
    consume_queue_file_bytes: u64 = 6_000_000, "mappedFileSizeConsumeQueue";
    /// Whether messages can be looked up by key.
    message_index: bool = true, "messageIndexEnable";
    /// Hash slots of an index file. A store that exists keeps the number it has.
    index_slots: u32 = 5_000_000, "maxHashSlotNum";
    /// Entries of an index file. A store that exists keeps the number it has.
    index_entries: u32 = 20_000_000, "maxIndexNum";
    /// The most messages that a query by key answers with.
    max_query_messages: u32 = 64, "maxMsgsNumBatch";
    /// The most messages that a query by unique key answers with.
    default_query_max: u32 = 32, "defaultQueryMaxNum";
    /// Size of a batch-queue file, bytes. A store that exists keeps the size it has.
    batch_queue_file_bytes: u64 = 13_800_000, "mapperFileSizeBatchConsumeQueue";
    /// Whether consume queues are extended by what their units have no room for.
    queue_extensions: bool = false, "enableConsumeQueueExt";
    /// Size of an extension file, bytes. A store that exists keeps the size it has.
    extension_file_bytes: u64 = 48 * 1024 * 1024, "mappedFileSizeConsumeQueueExt";
    /// The most consume-queue files that are open at the same time; RocketMQ keeps all open.
    max_open_queue_files: u32 = 512, "maxOpenConsumeQueueFiles";
    /// Whether there are light topics, `%LMQ%…`: logical queues of messages of other topics.
    light_topics: bool = false, "enableLmq";
    /// Whether messages may name the light topics that they belong to.
    multi_dispatch: bool = false, "enableMultiDispatch";
    /// The most light topics.
    max_light_topics: u32 = 20_000, "maxLmqConsumeQueueNum";
    /// How long messages are kept at least, hours. Then the file that they are in goes.
    reserved_hours: u32 = 72, "fileReservedTime";
    /// Hours of the day, local time, in which old files go.
    delete_hours: DeleteHours = DeleteHours(vec![4]), "deleteWhen";
    /// Used part of the disk, percent, over which old files go at any hour.
    disk_max_used: u32 = 75, "diskMaxUsedSpaceRatio";
    /// Used part of the disk, percent, over which files go before they are old. 100: never.
    disk_clean_forcibly: u32 = 85, "diskSpaceCleanForciblyRatio";
    /// Used part of the disk, percent, over which no messages are taken. 100: never.
    disk_warning: u32 = 90, "diskSpaceWarningLevelRatio";
    /// Whether files may go before they are old.
    clean_forcibly: bool = true, "cleanFileForciblyEnable";
    /// How often to look for files that can go, in milliseconds.
    clean_interval: Millis = Millis(10_000), "cleanResourceInterval";
    /// The pause after each file that goes, in milliseconds.
    delete_file_interval: Millis = Millis(100), "deleteCommitLogFilesInterval";
    /// The most files that go at once.
    delete_file_batch: u32 = 10, "deleteFileBatchMax";
    /// How long a file that somebody reads is waited for before it goes, in milliseconds.
    delete_file_forcibly_after: Millis = Millis(120_000), "destroyMapedFileIntervalForcibly";
    /// The largest message body, bytes.
    max_message_bytes: u32 = 4 * 1024 * 1024, "maxMessageSize";
    /// The most messages that one pull answers with.
    max_pull_messages: u32 = 32, "maxTransferCountOnMessageInMemory";
    /// The most bytes that one pull answers with (one message always goes).
    max_pull_bytes: u32 = 256 * 1024, "maxTransferBytesOnMessageInMemory";
    /// The most messages that one pull answers with once they are old.
    max_old_pull_messages: u32 = 8, "maxTransferCountOnMessageInDisk";
    /// The most bytes that one pull answers with once messages are old.
    max_old_pull_bytes: u32 = 64 * 1024, "maxTransferBytesOnMessageInDisk";
    /// How much of the machine's memory newer messages may take before a message is old, in per
    /// cent.
    in_memory_percent: u32 = 40, "accessMessageInMemoryMaxRatio";
    /// Whether a pull that finds nothing waits for as long as it asks to; else for one second.
    long_polling: bool = true, "longPollingEnable";
    /// Whether requests must be signed by a user.
    authentication: bool = false, "authenticationEnabled";
    /// Whether users may do only what their policies allow.
    authorization: bool = false, "authorizationEnabled";
    /// Whether answers to requests of other clients are stored, besides being passed on.
    store_replies: bool = true, "storeReplyMessageEnable";
    /// Whether consumers may filter by SQL92. Apache's default is false.
    sql_filter: bool = true, "enablePropertyFilter";
    /// The delays of levels 1, 2, 3 …: numbers with s, m, h or d.
    delay_levels: DelayLevels = DelayLevels::default(), "messageDelayLevel";
    /// How often consumer offsets are saved, in milliseconds.
    save_offsets_interval: Millis = Millis(5_000), "flushConsumerOffsetInterval";
    /// How often the progress of delay levels is saved, in milliseconds.
    save_delay_interval: Millis = Millis(10_000), "flushDelayOffsetInterval";
    /// Whether messages can be sent for delivery at any time.
    timer: bool = true, "timerWheelEnable";
    /// How finely delivery times are told apart, in milliseconds: 100, 200, 500 or 1,000, the next
    /// smaller one of them counts.
    timer_precision: Millis = Millis(1_000), "timerPrecisionMs";
    /// A message further off than so many times the precision goes round the timer's topic
    /// meanwhile; 2 to 604,740.
    timer_roll_window_slots: u32 = 172_800, "timerRollWindowSlot";
    /// The furthest delivery time, in seconds from now. Messages have to stay in the store for as
    /// long.
    timer_max_delay_seconds: u32 = 259_200, "timerMaxDelaySec";
    /// Size of a timer-log file, bytes. A store that exists keeps the size it has.
    timer_log_file_bytes: u64 = 100 * 1024 * 1024, "mappedFileSizeTimerLog";
    /// How often the timer's files go to the disk, in milliseconds.
    timer_flush_interval: Millis = Millis(1_000), "timerFlushIntervalMs";
    /// From so many messages due at the same time on, further ones are refused by chance, and all
    /// from twice as many on. The default is no limit.
    timer_slot_limit: u32 = i32::MAX as u32, "timerCongestNumEachSlot";
    /// Whether a message sent for later can be taken back.
    recall: bool = false, "recallMessageEnable";
    /// Whether messages of transactions are refused.
    reject_transactions: bool = false, "rejectTransactionMessage";
    /// How often producers are asked about transactions that have not ended, in milliseconds.
    transaction_check_interval: Millis = Millis(30_000), "transactionCheckInterval";
    /// How old such a transaction is at least, in milliseconds, unless its message says so itself.
    transaction_timeout: Millis = Millis(6_000), "transactionTimeOut";
    /// How often its producer is asked; then the message is put aside.
    transaction_check_max: u32 = 15, "transactionCheckMax";
}

/// Settings of RocketMQ's that are arguments of their own here, and which.
pub(crate) const ELSEWHERE: &[(&str, &str)] = &[
    ("listenPort", "--broker-address (`Options::broker_address`)"),
    ("bindAddress", "--broker-address (`Options::broker_address`)"),
    ("storePathRootDir", "--store (`Options::store`)"),
    ("storePathCommitLog", "--store (`Options::store`)"),
];

/// A duration that is written as whole milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Millis(pub u64);

impl From<Millis> for Duration {
    fn from(millis: Millis) -> Self {
        Self::from_millis(millis.0)
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

macro_rules! value_by_from_str {
    ($($type:ty: $expected:literal;)+) => {
        $(impl Value for $type {
            const EXPECTED: &'static str = $expected;
            fn parse(text: &str) -> Option<Self> {
                text.parse().ok()
            }
            fn print(&self) -> String {
                self.to_string()
            }
        })+
    };
}

value_by_from_str! {
    String: "text";
    bool: "true or false";
    u32: "a whole number";
    u64: "a whole number";
    i32: "a whole number";
    DelayLevels: "delays like `1s 5s 1m 2h`, separated by spaces";
}

impl Value for Millis {
    const EXPECTED: &'static str = "a whole number of milliseconds";

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok().map(Self)
    }

    fn print(&self) -> String {
        self.to_string()
    }
}

/// Hours of the day, written as Apache does it: `04` or `04;16`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteHours(pub Vec<u8>);

impl Value for DeleteHours {
    const EXPECTED: &'static str = "hours from 00 to 23, separated by semicolons";

    fn parse(text: &str) -> Option<Self> {
        let hours = text.split(';').map(str::trim).filter(|hour| !hour.is_empty());
        let hours = hours.map(|hour| hour.parse().ok().filter(|hour| *hour < 24));
        hours.collect::<Option<_>>().map(Self)
    }

    fn print(&self) -> String {
        self.0.iter().map(|hour| format!("{hour:02}")).collect::<Vec<_>>().join(";")
    }
}

impl Value for FlushMode {
    const EXPECTED: &'static str = "ASYNC_FLUSH or SYNC_FLUSH";

    fn parse(text: &str) -> Option<Self> {
        match text.to_ascii_uppercase().as_str() {
            "ASYNC_FLUSH" => Some(Self::Async),
            "SYNC_FLUSH" => Some(Self::Sync),
            _ => None,
        }
    }

    fn print(&self) -> String {
        match self {
            Self::Async => "ASYNC_FLUSH",
            Self::Sync => "SYNC_FLUSH",
        }
        .to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_printed_value_can_be_read_back() {
        let printed = BrokerConfig::default();
        let mut read = BrokerConfig {
            broker_name: "other".to_owned(),
            flush: FlushMode::Sync,
            ..BrokerConfig::default()
        };
        for (key, value) in printed.entries() {
            read.set(key, &value).unwrap();
        }
        assert_eq!(read, printed);
    }

    #[test]
    fn a_misspelt_name_gets_the_nearest_known_one() {
        let mut config = BrokerConfig::default();
        let error = config.set_pair("autoCreateTopicEnabled=false").unwrap_err();
        assert_eq!(
            error.to_string(),
            "there is no setting `autoCreateTopicEnabled`: did you mean `autoCreateTopicEnable`?"
        );
        let error = config.set_pair("zzzzzzzzzzzzzzzzzzzzzzzzz=1").unwrap_err();
        assert_eq!(error.to_string(), "there is no setting `zzzzzzzzzzzzzzzzzzzzzzzzz`");
    }

    #[test]
    fn a_bad_value_says_what_it_should_be() {
        let mut config = BrokerConfig::default();
        assert_eq!(
            config.set_pair("flushDiskType=sometimes").unwrap_err().to_string(),
            "`flushDiskType` should be ASYNC_FLUSH or SYNC_FLUSH, but is `sometimes`"
        );
        assert_eq!(
            config.set_pair("listenPort=1").unwrap_err().to_string(),
            "`listenPort` is set by --broker-address (`Options::broker_address`)"
        );
        assert!(config.set_pair("nothing").is_err());
        assert_eq!(config, BrokerConfig::default());
    }

    #[test]
    fn hours_are_written_as_apache_writes_them() {
        let mut config = BrokerConfig::default();
        config.set("deleteWhen", "4; 16;").unwrap();
        assert_eq!(config.delete_hours, DeleteHours(vec![4, 16]));
        assert_eq!(config.delete_hours.print(), "04;16");
        for bad in ["24", "4,5", "-1", "four"] {
            config.set("deleteWhen", bad).unwrap_err();
        }
    }
}
