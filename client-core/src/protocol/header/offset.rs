//! Offsets: codes 14, 15, 29 to 32.

use super::header;

header! {
    /// Asks for a group's committed offset: code 14.
    QueryConsumerOffsetRequestHeader {
        /// The consumer group.
        consumer_group: String = "consumerGroup",
        /// The topic.
        topic: String = "topic",
        /// The queue.
        queue_id: i32 = "queueId",
        /// `false`: QUERY_NOT_FOUND whenever none is stored, from 5.0 on.
        set_zero_if_not_found: Option<bool> = "setZeroIfNotFound",
    }
}

header! {
    /// Stores a group's offset: code 15.
    UpdateConsumerOffsetRequestHeader {
        /// The consumer group.
        consumer_group: String = "consumerGroup",
        /// The topic.
        topic: String = "topic",
        /// The queue.
        queue_id: i32 = "queueId",
        /// The next offset to consume.
        commit_offset: i64 = "commitOffset",
    }
}

header! {
    /// Asks for the offset at a time: code 29.
    SearchOffsetRequestHeader {
        /// The topic.
        topic: String = "topic",
        /// The queue.
        queue_id: i32 = "queueId",
        /// Store time, ms since the Unix epoch.
        timestamp: i64 = "timestamp",
        /// `lower` (when missing): the first message at or after the time; `upper`: the last at
        /// or before it. In any case, from 5.1 on.
        boundary_type: Option<String> = "boundaryType",
    }
}

header! {
    /// Names one queue: codes 30, 31 and 32.
    QueueRequestHeader {
        /// The topic.
        topic: String = "topic",
        /// The queue.
        queue_id: i32 = "queueId",
        /// Code 30: `false` counts messages that are not dispatched yet, from 5.0 on.
        committed: Option<bool> = "committed",
    }
}

header! {
    /// An offset: the response to codes 14, 29, 30 and 31.
    OffsetResponseHeader {
        /// The queue offset.
        offset: i64 = "offset",
    }
}

header! {
    /// A time: the response to code 32.
    GetEarliestMsgStoretimeResponseHeader {
        /// Store time of the first message, ms since the Unix epoch; -1 if there is none.
        timestamp: i64 = "timestamp",
    }
}
