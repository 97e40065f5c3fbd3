//! Requests to the name server.

use super::header;

header! {
    /// Asks for a topic's route: code 105.
    GetRouteInfoRequestHeader {
        /// The topic.
        topic: String = "topic",
        /// Whether the body must be strict JSON, from 4.9.4 on.
        accept_standard_json_only: Option<bool> = "acceptStandardJsonOnly",
    }
}

header! {
    /// A broker makes itself known: code 103.
    RegisterBrokerRequestHeader {
        /// The broker's name.
        broker_name: String = "brokerName",
        /// Its address.
        broker_addr: String = "brokerAddr",
        /// Its cluster.
        cluster_name: String = "clusterName",
        /// Where replicas connect.
        ha_server_addr: Option<String> = "haServerAddr",
        /// 0 is the master.
        broker_id: i64 = "brokerId",
        /// After what silence it counts as gone, ms.
        heartbeat_timeout_millis: Option<i64> = "heartbeatTimeoutMillis",
        /// Whether a slave may act as master, from 5.0 on.
        enable_acting_master: Option<bool> = "enableActingMaster",
        /// Whether the body is compressed.
        compressed: Option<bool> = "compressed",
        /// CRC-32 of the body with the top bit cleared; 0: not to be checked.
        body_crc32: Option<i32> = "bodyCrc32",
        /// Where the broker stands, 5.x only.
        zone_name: Option<String> = "__ZONE_NAME",
    }
}

header! {
    /// Whom to follow: the response to code 103, for slaves.
    RegisterBrokerResponseHeader {
        /// Where the master serves replicas.
        ha_server_addr: Option<String> = "haServerAddr",
        /// The master's address.
        master_addr: Option<String> = "masterAddr",
    }
}

header! {
    /// Names one broker: codes 104 and 322.
    BrokerRequestHeader {
        /// The broker's name.
        broker_name: String = "brokerName",
        /// Its address.
        broker_addr: String = "brokerAddr",
        /// Its cluster.
        cluster_name: String = "clusterName",
        /// 0 is the master.
        broker_id: i64 = "brokerId",
    }
}

header! {
    /// Whether topics have changed since a registration: the response to code 322.
    QueryDataVersionResponseHeader {
        /// Whether they have, or none was known.
        changed: bool = "changed",
    }
}

header! {
    /// A broker is alive: code 904, from 5.0 on.
    BrokerHeartbeatRequestHeader {
        /// Its cluster.
        cluster_name: String = "clusterName",
        /// Its address.
        broker_addr: String = "brokerAddr",
        /// The broker's name.
        broker_name: String = "brokerName",
    }
}

header! {
    /// Names a broker group: code 901, from 5.0 on.
    GetBrokerMemberGroupRequestHeader {
        /// Its cluster.
        cluster_name: String = "clusterName",
        /// The name that master and slaves share.
        broker_name: String = "brokerName",
    }
}

header! {
    /// Who of a group has the smallest id now: code 905, to brokers, from 5.0 on.
    NotifyMinBrokerIdChangeRequestHeader {
        /// The smallest id.
        min_broker_id: Option<i64> = "minBrokerId",
        /// The group.
        broker_name: Option<String> = "brokerName",
        /// Whose it is.
        min_broker_addr: Option<String> = "minBrokerAddr",
        /// Who went away, if somebody did.
        offline_broker_addr: Option<String> = "offlineBrokerAddr",
        /// Where the newcomer serves replicas, if there is one.
        ha_broker_addr: Option<String> = "haBrokerAddr",
    }
}

header! {
    /// Names a broker: codes 205 and 327.
    BrokerNameRequestHeader {
        /// The broker's name.
        broker_name: String = "brokerName",
    }
}

header! {
    /// Removes a topic's route: code 216.
    DeleteTopicFromNamesrvRequestHeader {
        /// The topic.
        topic: String = "topic",
        /// Only on this cluster's brokers.
        cluster_name: Option<String> = "clusterName",
    }
}

header! {
    /// Names a cluster: code 224.
    GetTopicsByClusterRequestHeader {
        /// The cluster.
        cluster: String = "cluster",
    }
}

header! {
    /// Sets a value: code 100.
    PutKVConfigRequestHeader {
        /// The namespace.
        namespace: String = "namespace",
        /// The key.
        key: String = "key",
        /// The value.
        value: String = "value",
    }
}

header! {
    /// Names a value: codes 101 and 102.
    KVConfigRequestHeader {
        /// The namespace.
        namespace: String = "namespace",
        /// The key.
        key: String = "key",
    }
}

header! {
    /// A value: the response to code 101.
    GetKVConfigResponseHeader {
        /// The value.
        value: Option<String> = "value",
    }
}

header! {
    /// Names a namespace: code 219.
    GetKVListByNamespaceRequestHeader {
        /// The namespace.
        namespace: String = "namespace",
    }
}

header! {
    /// How many topics lost the permission to write: the response to code 205.
    WipeWritePermOfBrokerResponseHeader {
        /// So many.
        wipe_topic_count: i32 = "wipeTopicCount",
    }
}

header! {
    /// How many topics got the permission to write: the response to code 327.
    AddWritePermOfBrokerResponseHeader {
        /// So many.
        add_topic_count: i32 = "addTopicCount",
    }
}
