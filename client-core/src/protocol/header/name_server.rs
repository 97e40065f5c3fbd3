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
