//! Administration of topics and groups.

use super::header;

header! {
    /// Makes or changes a topic: code 17.
    CreateTopicRequestHeader {
        /// The topic.
        topic: String = "topic",
        /// Ignored by brokers, wanted by old ones.
        default_topic: Option<String> = "defaultTopic",
        /// Queues that consumers read.
        read_queue_nums: i32 = "readQueueNums",
        /// Queues that producers write.
        write_queue_nums: i32 = "writeQueueNums",
        /// Bits: 4 read, 2 write, 1 inherit.
        perm: i32 = "perm",
        /// `SINGLE_TAG` or `MULTI_TAG`.
        topic_filter_type: Option<String> = "topicFilterType",
        /// Bits: 1 unit, 2 unit subscription.
        topic_sys_flag: Option<i32> = "topicSysFlag",
        /// Whether the topic is ordered.
        order: Option<bool> = "order",
        /// Changes of attributes, `+key=value,-key`, from 5.0 on.
        attributes: Option<String> = "attributes",
    }
}

header! {
    /// Names a topic: codes 202, 215, 300, 351.
    TopicRequestHeader {
        /// The topic.
        topic: String = "topic",
    }
}

header! {
    /// Names a group: codes 343, 352.
    GroupRequestHeader {
        /// The group.
        group: String = "group",
    }
}

header! {
    /// Names a producer group: code 204.
    ProducerGroupRequestHeader {
        /// The producer group.
        producer_group: String = "producerGroup",
    }
}

header! {
    /// Removes a group: code 207.
    DeleteSubscriptionGroupRequestHeader {
        /// The group.
        group_name: String = "groupName",
        /// Whether its offsets go too, 5.x.
        clean_offset: Option<bool> = "cleanOffset",
        /// The same in 4.9.
        remove_offset: Option<bool> = "removeOffset",
    }
}

header! {
    /// Asks how far a group is: code 208.
    GetConsumeStatsRequestHeader {
        /// The consumer group.
        consumer_group: String = "consumerGroup",
        /// One topic only.
        topic: Option<String> = "topic",
    }
}

header! {
    /// The version of a configuration: the response to code 26.
    GetBrokerConfigResponseHeader {
        /// A `DataVersion` as JSON.
        version: String = "version",
    }
}
