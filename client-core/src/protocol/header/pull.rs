//! Pulling: codes 11 and 361, and their response.

use super::header;

/// Bits of a pull's `sysFlag`.
///
/// Source: RocketMQ 5.3.3 `common/sysflag/PullSysFlag`.
pub mod pull_sys_flag {
    /// `commitOffset` is to be stored as the group's offset.
    pub const COMMIT_OFFSET: i32 = 1;
    /// The broker may hold the request until a message comes.
    pub const SUSPEND: i32 = 2;
    /// `subscription` is the filter, not the one in the heartbeat.
    pub const SUBSCRIPTION: i32 = 4;
    /// A class filter, which no broker runs any more.
    pub const CLASS_FILTER: i32 = 8;
    /// A lite-pull consumer.
    pub const LITE_PULL: i32 = 16;
}

header! {
    /// Asks for messages of one queue.
    PullMessageRequestHeader {
        /// The consumer group.
        consumer_group: String = "consumerGroup",
        /// The topic.
        topic: String = "topic",
        /// The queue.
        queue_id: i32 = "queueId",
        /// The first queue offset wanted.
        queue_offset: i64 = "queueOffset",
        /// How many messages at most.
        max_msg_nums: i32 = "maxMsgNums",
        /// Bits of [`pull_sys_flag`].
        sys_flag: i32 = "sysFlag",
        /// The offset to store for the group, with [`pull_sys_flag::COMMIT_OFFSET`].
        commit_offset: i64 = "commitOffset",
        /// How long the broker may hold the request, ms.
        suspend_timeout_millis: i64 = "suspendTimeoutMillis",
        /// The filter's text.
        subscription: Option<String> = "subscription",
        /// The subscription's version.
        sub_version: i64 = "subVersion",
        /// `TAG` (when missing) or `SQL92`.
        expression_type: Option<String> = "expressionType",
        /// How many bytes at most, from 5.0 on.
        max_msg_bytes: Option<i32> = "maxMsgBytes",
    }
}

header! {
    /// Where a pull has come to.
    ///
    /// All four stand in the response whatever its code: a Java client fails without them.
    PullMessageResponseHeader {
        /// Which broker of the group to ask next; 0 is the master.
        suggest_which_broker_id: i64 = "suggestWhichBrokerId",
        /// The queue offset to ask for next.
        next_begin_offset: i64 = "nextBeginOffset",
        /// The queue's first offset.
        min_offset: i64 = "minOffset",
        /// The queue's end: the offset of its next message.
        max_offset: i64 = "maxOffset",
        /// To be added to the queue offsets of the records, for static topics.
        offset_delta: Option<i64> = "offsetDelta",
        /// The topic's `topicSysFlag`.
        topic_sys_flag: Option<i32> = "topicSysFlag",
        /// The group's `groupSysFlag`.
        group_sys_flag: Option<i32> = "groupSysFlag",
        /// With NO_PERMISSION, who forbids it: 1 broker, 2 group, 3 topic, 4 broadcasting,
        /// 5 subscription.
        forbidden_type: Option<i32> = "forbiddenType",
    }
}
