//! Looking messages up: codes 12 and 33.

use super::header;

header! {
    /// Asks for the message at a commit-log offset: code 33.
    ViewMessageRequestHeader {
        /// The topic, from 5.3 on.
        topic: Option<String> = "topic",
        /// Commit-log offset.
        offset: i64 = "offset",
    }
}

header! {
    /// Asks for messages by key: code 12.
    QueryMessageRequestHeader {
        /// The topic.
        topic: String = "topic",
        /// The key.
        key: String = "key",
        /// How many at most.
        max_num: i32 = "maxNum",
        /// Earliest store time, ms since the Unix epoch.
        begin_timestamp: i64 = "beginTimestamp",
        /// Latest store time, ms since the Unix epoch.
        end_timestamp: i64 = "endTimestamp",
        /// `true`: the key is a `UNIQ_KEY`.
        is_unique_key: Option<bool> = "_UNIQUE_KEY_QUERY",
    }
}

header! {
    /// Answers a query by key: how far the broker's index is.
    QueryMessageResponseHeader {
        /// Store time of the last message indexed, ms since the Unix epoch.
        index_last_update_timestamp: i64 = "indexLastUpdateTimestamp",
        /// Commit-log offset of the last message indexed.
        index_last_update_phyoffset: i64 = "indexLastUpdatePhyoffset",
    }
}
