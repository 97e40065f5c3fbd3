//! Membership of groups: codes 35, 38 and 40.

use super::header;

header! {
    /// Leaves the groups named: code 35.
    UnregisterClientRequestHeader {
        /// The client's id.
        client_id: String = "clientID",
        /// The producer group to leave.
        producer_group: Option<String> = "producerGroup",
        /// The consumer group to leave.
        consumer_group: Option<String> = "consumerGroup",
    }
}

header! {
    /// Names a consumer group: code 38 asks for its members, code 40 tells that they changed.
    ConsumerGroupRequestHeader {
        /// The consumer group.
        consumer_group: String = "consumerGroup",
    }
}
