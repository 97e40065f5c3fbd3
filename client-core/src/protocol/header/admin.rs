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

header! {
    /// Sets a group's offsets anew: codes 220 and 222.
    ResetOffsetRequestHeader {
        /// The topic.
        topic: String = "topic",
        /// The consumer group.
        group: String = "group",
        /// One queue only; missing or negative: all of them. From 5.1 on.
        queue_id: Option<i32> = "queueId",
        /// The offset for that queue; missing or -1: the one of the time.
        offset: Option<i64> = "offset",
        /// Milliseconds since the Unix epoch; negative: the end.
        timestamp: i64 = "timestamp",
        /// Whether an offset may also grow.
        is_force: bool = "isForce",
    }
}

header! {
    /// Asks where the members of a group are: codes 221 and 223.
    GetConsumerStatusRequestHeader {
        /// The topic.
        topic: String = "topic",
        /// The consumer group.
        group: String = "group",
        /// One client id only.
        client_addr: Option<String> = "clientAddr",
    }
}

header! {
    /// Copies offsets from one group to another: code 314.
    CloneGroupOffsetRequestHeader {
        /// The group that has them.
        src_group: String = "srcGroup",
        /// The group that gets them.
        dest_group: String = "destGroup",
        /// One topic only.
        topic: Option<String> = "topic",
        /// Whether also topics that the group does not subscribe to now.
        offline: Option<bool> = "offline",
    }
}

header! {
    /// Asks for the smallest offsets of all groups: code 308.
    QueryCorrectionOffsetHeader {
        /// Groups to leave out, joined by `,`.
        filter_groups: Option<String> = "filterGroups",
        /// The group to compare with.
        compare_group: String = "compareGroup",
        /// The topic.
        topic: String = "topic",
    }
}

header! {
    /// Names a topic and a group: code 303, and 345 where the topic may be missing.
    TopicGroupRequestHeader {
        /// The topic.
        topic: Option<String> = "topic",
        /// The consumer group.
        group: String = "group",
    }
}

header! {
    /// Asks for the progress of all groups: code 317.
    GetConsumeStatsInBrokerHeader {
        /// Ordered topics only.
        is_order: bool = "isOrder",
    }
}

header! {
    /// Asks for units of a consume queue: code 321.
    QueryConsumeQueueRequestHeader {
        /// The topic.
        topic: String = "topic",
        /// The queue.
        queue_id: i32 = "queueId",
        /// The first offset.
        index: i64 = "index",
        /// How many.
        count: i32 = "count",
        /// The group whose filter to try.
        consumer_group: Option<String> = "consumerGroup",
    }
}

header! {
    /// Changes or asks whether a group may read a topic: code 353.
    UpdateGroupForbiddenRequestHeader {
        /// The consumer group.
        group: String = "group",
        /// The topic.
        topic: String = "topic",
        /// Whether it may; missing: only asks.
        readable: Option<bool> = "readable",
    }
}

header! {
    /// Asks one consumer about itself, through its broker: code 307.
    GetConsumerRunningInfoRequestHeader {
        /// The consumer group.
        consumer_group: String = "consumerGroup",
        /// The client's id.
        client_id: String = "clientId",
        /// Whether it is to list its threads.
        jstack_enable: Option<bool> = "jstackEnable",
    }
}

header! {
    /// Has one consumer consume one message, through its broker: code 309.
    ConsumeMessageDirectlyRequestHeader {
        /// The consumer group.
        consumer_group: String = "consumerGroup",
        /// The client's id.
        client_id: Option<String> = "clientId",
        /// The message's offset id.
        msg_id: Option<String> = "msgId",
        /// The message's broker, for the client.
        broker_name: Option<String> = "brokerName",
        /// The topic.
        topic: Option<String> = "topic",
        /// The topic's flags, for the client.
        topic_sys_flag: Option<i32> = "topicSysFlag",
        /// The group's flags, for the client.
        group_sys_flag: Option<i32> = "groupSysFlag",
    }
}

header! {
    /// Names a user, or a part of names: codes 3001 to 3005.
    UserRequestHeader {
        /// The user's name.
        username: Option<String> = "username",
        /// What listed names are to contain.
        filter: Option<String> = "filter",
    }
}

header! {
    /// Names a subject and a resource, or parts of them: codes 3006 to 3010.
    AclRequestHeader {
        /// `User:` and a name.
        subject: Option<String> = "subject",
        /// `Custom` or `Default`.
        policy_type: Option<String> = "policyType",
        /// The resource.
        resource: Option<String> = "resource",
        /// What listed subjects are to contain.
        subject_filter: Option<String> = "subjectFilter",
        /// What listed resources are to contain.
        resource_filter: Option<String> = "resourceFilter",
    }
}
