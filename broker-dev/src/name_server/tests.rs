use super::*;
use crate::name_server::look_up::UnitTopics;

const AT: fn(u64) -> Duration = Duration::from_secs;

fn registration(name: &str, id: i64, topics: &[&str]) -> Registration {
    let table = topics.iter().map(|topic| (topic.to_string(), TopicConfig::new(*topic, 4, 6)));
    Registration {
        cluster: "c".to_owned(),
        broker_name: name.to_owned(),
        broker_id: id,
        address: format!("10.0.0.{id}:10911"),
        ha_address: Some(format!("10.0.0.{id}:10912")),
        expiry: None,
        enable_acting_master: Some(false),
        zone_name: None,
        topics: TopicConfigSerializeWrapper {
            data_version: DataVersion {
                counter: topics.len().try_into().unwrap(),
                ..DataVersion::default()
            },
            topic_config_table: table.collect(),
            ..TopicConfigSerializeWrapper::default()
        },
        is_complete: false,
        connection: Some(ConnectionId(id.try_into().unwrap())),
    }
}

fn acting(name: &str, id: i64, topics: &[&str]) -> Registration {
    Registration { enable_acting_master: Some(true), ..registration(name, id, topics) }
}

fn key<'a>(name: &'a str, address: &'a str) -> BrokerKey<'a> {
    BrokerKey { cluster: "c", broker_name: name, address }
}

fn addresses(table: &RouteTable, topic: &str) -> Vec<(i64, String)> {
    let route = table.route(topic, true).unwrap();
    route.broker_datas[0].broker_addrs.clone().into_iter().collect()
}

fn perm_of(table: &RouteTable, topic: &str) -> i32 {
    table.route(topic, false).unwrap().queue_datas[0].perm
}

#[test]
fn a_topic_is_found_on_every_broker_that_has_it() {
    let mut table = RouteTable::default();
    table.register(registration("a", 0, &["t", "u"]), AT(0)).unwrap();
    table.register(registration("b", 0, &["t", "v"]), AT(0)).unwrap();
    let route = table.route("t", false).unwrap();
    let names: Vec<_> = route.queue_datas.iter().map(|data| &*data.broker_name).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(route.broker_datas[0].broker_addrs[&0], "10.0.0.0:10911");
    assert_eq!(table.route("u", false).unwrap().broker_datas.len(), 1);
    assert!(table.route("x", false).is_none());
    assert_eq!(table.all_topics(), ["t", "u", "v"]);
    assert_eq!(table.topics_of_cluster("c").len(), 3);
    assert!(table.topics_of_cluster("other").is_empty());
    assert_eq!(table.cluster_info().cluster_addr_table["c"], ["a", "b"]);
    let system = table.system_topics();
    assert_eq!(system.topic_list, ["c", "a", "b"]);
    assert_eq!(system.broker_addr.as_deref(), Some("10.0.0.0:10911"));
}

#[test]
fn silence_of_two_minutes_ends_a_broker() {
    let mut table = RouteTable::default();
    table.register(registration("a", 0, &["t", "u"]), AT(0)).unwrap();
    assert_eq!(table.expire(AT(120)), Gone::default());
    let broker = key("a", "10.0.0.0:10911");
    assert!(table.alive(broker, AT(120)).is_some(), "a sign of life");
    assert!(table.alive(key("a", "10.0.0.9:10911"), AT(230)).is_none(), "another one's");
    table.expire(AT(240));
    assert!(table.route("t", false).is_some());
    assert_eq!(table.expire(AT(241)).connections, [ConnectionId(0)]);
    assert!(table.route("t", false).is_none());
    assert!(table.all_topics().is_empty());
    assert!(table.alive(broker, AT(241)).is_none());
}

#[test]
fn a_broker_may_ask_for_a_shorter_silence() {
    let mut table = RouteTable::default();
    let short = Registration { expiry: Some(AT(10)), ..registration("a", 0, &[]) };
    table.register(short, AT(0)).unwrap();
    table.expire(AT(10));
    assert_eq!(table.counts(), (1, 0));
    table.expire(AT(11));
    assert_eq!(table.counts(), (0, 0));
}

#[test]
fn a_closed_connection_ends_its_broker_at_once() {
    let mut table = RouteTable::default();
    table.register(registration("a", 0, &["t", "u"]), AT(0)).unwrap();
    table.register(registration("a", 1, &[]), AT(0)).unwrap();
    table.closed(ConnectionId(0));
    assert_eq!(addresses(&table, "t"), [(1, "10.0.0.1:10911".to_owned())]);
    assert_eq!(perm_of(&table, "t"), 6, "it does not stand in");
    table.unregister(key("a", "10.0.0.1:10911"));
    assert!(table.route("t", false).is_none());
}

#[test]
fn a_slave_is_told_its_master_and_brings_no_topics() {
    let mut table = RouteTable::default();
    let first = table.register(registration("a", 0, &["t", "u"]), AT(0)).unwrap();
    assert_eq!(first.master, None);
    let slave = table.register(registration("a", 1, &["x", "y"]), AT(0)).unwrap();
    let master = slave.master.unwrap();
    assert_eq!(master.address, "10.0.0.0:10911");
    assert_eq!(master.ha_address.as_deref(), Some("10.0.0.0:10912"));
    assert!(table.route("x", false).is_none());
    let members = table.members_of("c".to_owned(), "a".to_owned());
    assert_eq!(members.broker_addrs.len(), 2);
}

#[test]
fn a_first_registration_with_one_topic_is_refused() {
    let mut table = RouteTable::default();
    assert!(table.register(registration("a", 0, &["t"]), AT(0)).is_err());
    assert!(table.register(registration("a", 0, &[]), AT(0)).is_ok());
    assert!(table.register(registration("a", 0, &["t"]), AT(0)).is_ok());
}

#[test]
fn topics_stay_unless_a_registration_is_said_to_be_complete() {
    let mut table = RouteTable::default();
    table.register(registration("a", 0, &["t", "u"]), AT(0)).unwrap();
    table.register(registration("a", 0, &["t", "u", "v"]), AT(1)).unwrap();
    assert_eq!(table.all_topics(), ["t", "u", "v"]);
    table.register(registration("a", 0, &["v"]), AT(2)).unwrap();
    assert_eq!(table.all_topics(), ["t", "u", "v"]);
    let complete = Registration { is_complete: true, ..registration("a", 0, &["v"]) };
    table.register(complete, AT(3)).unwrap();
    assert_eq!(table.all_topics(), ["v"]);
    table.put_topic("a", &TopicConfig::new("w", 1, 6));
    table.put_topic("unknown", &TopicConfig::new("z", 1, 6));
    table.remove_topic("v", &RemoveFrom::All);
    assert_eq!(table.all_topics(), ["w"]);
}

#[test]
fn an_unchanged_version_brings_back_what_an_operator_deleted_but_changes_nothing() {
    let mut table = RouteTable::default();
    table.register(registration("a", 0, &["t", "u"]), AT(0)).unwrap();
    table.remove_topic("t", &RemoveFrom::All);
    assert_eq!(table.set_writable("a", false), 1);
    table.register(registration("a", 0, &["t", "u"]), AT(1)).unwrap();
    assert_eq!((perm_of(&table, "t"), perm_of(&table, "u")), (6, 4));
    assert_eq!(table.set_writable("a", true), 2);
    assert_eq!(perm_of(&table, "u"), 6);
    assert_eq!(table.set_writable("b", true), 0);
}

#[test]
fn a_topic_is_removed_from_one_cluster_only() {
    let mut table = RouteTable::default();
    table.register(registration("a", 0, &["t", "u"]), AT(0)).unwrap();
    let other = Registration { cluster: "d".to_owned(), ..registration("b", 0, &["t", "u"]) };
    table.register(other, AT(0)).unwrap();
    table.remove_topic("t", &RemoveFrom::Cluster("d"));
    assert_eq!(table.route("t", false).unwrap().queue_datas.len(), 1);
    table.remove_topic("t", &RemoveFrom::Broker("a"));
    assert!(table.route("t", false).is_none());
}

#[test]
fn an_operators_route_is_taken_if_all_its_brokers_are_known() {
    let mut table = RouteTable::default();
    table.register(registration("a", 0, &[]), AT(0)).unwrap();
    let queues = |name: &str| QueueData { broker_name: name.to_owned(), ..QueueData::default() };
    table.put_route("t", vec![queues("a"), queues("unknown")]);
    assert!(table.route("t", false).is_none());
    table.put_route("t", vec![queues("a")]);
    assert!(table.route("t", false).is_some());
}

#[test]
fn an_address_has_one_id() {
    let mut table = RouteTable::default();
    table.register(registration("a", 1, &[]), AT(0)).unwrap();
    let master = Registration { address: "10.0.0.1:10911".to_owned(), ..registration("a", 0, &[]) };
    table.register(master, AT(1)).unwrap();
    assert_eq!(table.cluster_info().broker_addr_table["a"].broker_addrs.len(), 1);
}

#[test]
fn an_id_stays_with_the_newer_state() {
    let with_state = |address: &str, state| {
        let mut registration = registration("a", 0, &["t", "u"]);
        registration.address = address.to_owned();
        registration.topics.data_version.state_version = state;
        registration
    };
    let mut table = RouteTable::default();
    table.register(with_state("10.0.0.1:1", 2), AT(0)).unwrap();
    table.register(with_state("10.0.0.2:1", 1), AT(0)).unwrap();
    assert_eq!(addresses(&table, "t")[0].1, "10.0.0.1:1");
    table.register(with_state("10.0.0.2:1", 2), AT(0)).unwrap();
    assert_eq!(addresses(&table, "t")[0].1, "10.0.0.2:1");
}

#[test]
fn the_slave_with_the_smallest_id_stands_in_for_a_master_that_is_gone() {
    let mut table = RouteTable::default();
    table.register(acting("a", 0, &["t", "u"]), AT(0)).unwrap();
    table.register(acting("a", 2, &["t", "u"]), AT(0)).unwrap();
    table.register(acting("a", 3, &["t", "u"]), AT(0)).unwrap();
    let gone = table.unregister(key("a", "10.0.0.0:10911"));
    assert_eq!(perm_of(&table, "t"), 4, "nobody writes to it");
    let standing_in = [(0, "10.0.0.2:10911".to_owned()), (3, "10.0.0.3:10911".to_owned())];
    assert_eq!(addresses(&table, "t"), standing_in);
    let plain = table.route("t", false).unwrap();
    assert!(!plain.broker_datas[0].broker_addrs.contains_key(&0), "only if it is switched on");
    let expected = MinIdChange {
        id: 2,
        address: "10.0.0.2:10911".to_owned(),
        offline: Some("10.0.0.0:10911".to_owned()),
        ha_address: None,
        tell: vec!["10.0.0.2:10911".to_owned(), "10.0.0.3:10911".to_owned()],
    };
    assert_eq!(gone.changes, [expected]);

    let back = table.register(acting("a", 0, &["t", "u"]), AT(1)).unwrap();
    let expected = MinIdChange {
        id: 0,
        address: "10.0.0.0:10911".to_owned(),
        offline: None,
        ha_address: Some("10.0.0.0:10912".to_owned()),
        tell: vec!["10.0.0.2:10911".to_owned(), "10.0.0.3:10911".to_owned()],
    };
    assert_eq!(back.change, Some(expected));
    assert_eq!(perm_of(&table, "t"), 6);
}

#[test]
fn a_slave_that_comes_first_registers_topics_that_nobody_writes_to() {
    let mut table = RouteTable::default();
    table.register(acting("a", 1, &["t", "u"]), AT(0)).unwrap();
    assert_eq!(perm_of(&table, "t"), 4);
    assert_eq!(addresses(&table, "t"), [(0, "10.0.0.1:10911".to_owned())]);
    let of_4_9 = Registration { enable_acting_master: None, ..registration("b", 1, &["x", "y"]) };
    table.register(of_4_9, AT(0)).unwrap();
    assert!(table.route("x", true).is_none());
}

#[test]
fn unit_topics_are_told_by_their_flags() {
    let mut table = RouteTable::default();
    let mut units = registration("a", 0, &["none", "unit", "sub", "both"]);
    for (topic, flag) in [("unit", 1), ("sub", 2), ("both", 3)] {
        units.topics.topic_config_table.get_mut(topic).unwrap().topic_sys_flag = flag;
    }
    table.register(units, AT(0)).unwrap();
    assert_eq!(table.unit_topics(UnitTopics::Unit), ["both", "unit"]);
    assert_eq!(table.unit_topics(UnitTopics::UnitSub), ["both", "sub"]);
    assert_eq!(table.unit_topics(UnitTopics::UnitSubOnly), ["sub"]);
}

#[test]
fn static_topics_places_are_told_as_they_came() {
    let mut table = RouteTable::default();
    let mut with_static = registration("a", 0, &["s", "t"]);
    let mapping = serde_json::json!({"bname": "a", "topic": "s"});
    let mappings = &mut with_static.topics.topic_queue_mapping_info_map;
    mappings.insert("s".to_owned(), mapping.clone());
    table.register(with_static, AT(0)).unwrap();
    let told = table.route("s", false).unwrap().topic_queue_mapping_by_broker.unwrap();
    assert_eq!(told["a"], mapping);
    assert!(table.route("t", false).unwrap().topic_queue_mapping_by_broker.is_none());
    table.closed(ConnectionId(0));
    assert!(table.mappings.is_empty());
}
