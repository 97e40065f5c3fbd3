//! The name server's settings.
//!
//! Source: RocketMQ 5.3.3 `common/namesrv/NamesrvConfig`.

use crate::config::Millis;
use crate::settings::settings;

settings! {
    /// Every setting that the name server knows. All of them can also be changed while it runs, by
    /// UPDATE_NAMESRV_CONFIG.
    NameServerConfig

    /// Whether routes carry the order of ordered topics, from the KV configurations of
    /// `ORDER_TOPIC_CONFIG`.
    order_messages: bool = false, "orderMessageEnable";
    /// Whether brokers get all those with the answer to their registration.
    return_order_topics: bool = true, "returnOrderTopicConfigToBroker";
    /// Whether the slave with the smallest id stands in for a master that is gone.
    acting_master: bool = false, "supportActingMaster";
    /// Whether anybody may list all topics.
    list_all_topics: bool = true, "enableAllTopicList";
    /// Whether anybody may list the topics of a cluster, and unit topics.
    list_topics: bool = true, "enableTopicList";
    /// Whether brokers are told when the smallest id of their group changes.
    notify_min_broker_id: bool = false, "notifyMinBrokerIdChanged";
    /// Whether no route is told until brokers had `waitSecondsForService` to register.
    wait_for_service: bool = false, "needWaitForService";
    /// How long that is, in seconds.
    wait_seconds: u32 = 45, "waitSecondsForService";
    /// Whether topics that are not in a broker's registration any more are gone from it.
    drop_missing_topics: bool = false, "deleteTopicWithBrokerRegistration";
    /// How often silent brokers are looked for, in milliseconds.
    scan_interval: Millis = Millis(5_000), "scanNotActiveBrokerInterval";
    /// What the installation is called.
    environment: String = "center".to_owned(), "productEnvName";
}
