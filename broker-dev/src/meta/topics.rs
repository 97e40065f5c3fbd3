//! The topics of this broker.
//!
//! Source: RocketMQ 5.3.3 `broker/topic/TopicConfigManager`.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use oxmq::protocol::body::{Body, DataVersion, TopicConfig, TopicConfigSerializeWrapper, perm};
use oxmq::protocol::code::ResponseCode;
use oxmq::protocol::names;

use super::MetaFile;
use super::table::{Config, Table};
use crate::config::BrokerConfig;
use crate::reply::Refusal;
use crate::store::disk::Disk;
use crate::store::{QueueKind, StoreError};

/// The most topics; a client that makes one name after another up is stopped here.
const MAX_TOPICS: usize = 100_000;

/// The most queues of one topic.
pub(crate) const MAX_QUEUES: i32 = 65_536;

/// All topics.
#[derive(Debug)]
pub(crate) struct Topics {
    table: Table<TopicConfig>,
    may_create: bool,
    /// Whether light topics are there without having been made.
    has_light: bool,
}

/// The attribute that says what a topic's queues are like.
const QUEUE_TYPE: &str = "queue.type";
const SIMPLE: &str = "SimpleCQ";
const BATCH: &str = "BatchCQ";

/// What a topic's queues are to be like; `None` if its attribute names nothing known.
pub(crate) fn queue_kind(topic: &TopicConfig) -> Option<QueueKind> {
    match topic.attributes.get(QUEUE_TYPE).map(String::as_str) {
        None | Some(SIMPLE) => Some(QueueKind::Simple),
        Some(BATCH) => Some(QueueKind::Batch),
        Some(_) => None,
    }
}

/// Notes what a topic's queues are like.
pub(crate) fn set_queue_kind(topic: &mut TopicConfig, kind: QueueKind) {
    if kind == QueueKind::Batch {
        topic.attributes.insert(QUEUE_TYPE.to_owned(), BATCH.to_owned());
    }
}

/// What the queues of all topics in `topics.json` are like, read without changing anything: the
/// store, which needs it, has the folder's lock not yet. None if the file cannot be read now.
pub(crate) fn saved_queue_kinds(disk: &dyn Disk, root: &Path) -> BTreeMap<String, QueueKind> {
    let path = root.join("config").join("topics.json");
    let file = disk.read(&path).ok().and_then(|bytes| {
        let file = TopicConfigSerializeWrapper::decode(&bytes);
        file.ok()
    });
    let topics = file.map(|file| file.topic_config_table).unwrap_or_default();
    topics.into_iter().filter_map(|(name, topic)| Some((name, queue_kind(&topic)?))).collect()
}

impl Config for TopicConfig {
    type File = TopicConfigSerializeWrapper;

    fn name(&self) -> &str {
        &self.topic_name
    }

    fn take(file: &mut Self::File) -> (DataVersion, Vec<Self>) {
        let configs = std::mem::take(&mut file.topic_config_table).into_iter();
        // The key is the name; what could not be a folder's name is left out.
        let named = configs.map(|(topic_name, config)| Self { topic_name, ..config });
        let legal = named.filter(|config| names::check_topic(&config.topic_name).is_ok());
        (std::mem::take(&mut file.data_version), legal.collect())
    }

    fn fill<'a>(
        file: &mut Self::File,
        version: DataVersion,
        configs: impl Iterator<Item = &'a Self>,
    ) {
        file.data_version = version;
        file.topic_config_table =
            configs.map(|config| (config.topic_name.clone(), config.clone())).collect();
    }
}

impl Topics {
    /// Reads `topics.json` and adds the topics that every broker has.
    ///
    /// # Errors
    /// The file cannot be read, nor its previous generation.
    pub(crate) fn open(
        file: MetaFile<TopicConfigSerializeWrapper>,
        config: &BrokerConfig,
    ) -> Result<Self, StoreError> {
        let topics = Self {
            table: Table::open(file)?,
            may_create: config.auto_create_topic,
            has_light: config.light_topics,
        };
        for topic in system_topics(config) {
            if topics.get(&topic.topic_name).is_none() {
                topics.table.put_unsaved(topic);
            }
        }
        Ok(topics)
    }

    /// A topic.
    pub(crate) fn get(&self, name: &str) -> Option<Arc<TopicConfig>> {
        let is_light = || self.has_light && names::is_light_topic(name);
        let light = || Arc::new(TopicConfig::new(name, 1, perm::READ | perm::WRITE));
        self.table.get(name).or_else(|| is_light().then(light))
    }

    /// Changes with every change.
    pub(crate) fn generation(&self) -> u64 {
        self.table.generation()
    }

    /// All topics, as they are registered and saved.
    pub(crate) fn all(&self) -> TopicConfigSerializeWrapper {
        self.table.to_file()
    }

    /// Makes or changes a topic; tells whether that changed anything.
    ///
    /// # Errors
    /// Its name or numbers are none, or it cannot be saved.
    pub(crate) fn put(&self, topic: TopicConfig, now_ms: i64) -> Result<bool, Refusal> {
        names::check_topic(&topic.topic_name)?;
        let queues = [topic.read_queue_nums, topic.write_queue_nums];
        if queues.iter().any(|queues| !(0..=MAX_QUEUES).contains(queues)) {
            return Err(Refusal::new(
                ResponseCode::INVALID_PARAMETER,
                format!("a topic has 0 to {MAX_QUEUES} queues, not {queues:?}"),
            ));
        }
        if self.table.len() >= MAX_TOPICS && self.get(&topic.topic_name).is_none() {
            return Err(Refusal::new(
                ResponseCode::SYSTEM_ERROR,
                format!("there are {MAX_TOPICS} topics already"),
            ));
        }
        Ok(self.table.put(topic, now_ms)?)
    }

    /// Adds a topic of which only messages were found, without saving it.
    pub(crate) fn recover(&self, topic: TopicConfig) {
        self.table.put_unsaved(topic);
    }

    /// Removes a topic; tells whether it was there.
    ///
    /// # Errors
    /// That cannot be saved.
    pub(crate) fn remove(&self, name: &str, now_ms: i64) -> Result<bool, StoreError> {
        self.table.remove(name, now_ms)
    }

    /// The topic that a send to an unknown one makes, after the default topic it names.
    ///
    /// # Errors
    /// There is no such default topic, or it may not be copied.
    pub(crate) fn after_default(
        &self,
        name: &str,
        default_topic: &str,
        queues: i32,
    ) -> Result<TopicConfig, Refusal> {
        if name.starts_with(names::RETRY_PREFIX) {
            return Ok(TopicConfig::new(name, 1, perm::READ | perm::WRITE));
        }
        let may_copy = |default: &Arc<TopicConfig>| {
            let is_switched_off = default_topic == names::DEFAULT_TOPIC && !self.may_create;
            default.perm & perm::INHERIT != 0 && !is_switched_off
        };
        let default = self.get(default_topic).filter(may_copy).ok_or_else(|| {
            let why = if self.may_create {
                ", and the default topic that the send names cannot be copied"
            } else {
                ", and topics are not created by sending (autoCreateTopicEnable=false)"
            };
            no_topic(name, why)
        })?;
        let queues = queues.min(default.write_queue_nums).max(1);
        Ok(TopicConfig {
            topic_filter_type: default.topic_filter_type.clone(),
            topic_sys_flag: default.topic_sys_flag,
            ..TopicConfig::new(name, queues, default.perm & !perm::INHERIT)
        })
    }
}

/// TOPIC_NOT_EXIST, with words.
pub(crate) fn no_topic(name: &str, why: &str) -> Refusal {
    let name: String = name.chars().take(names::MAX_RETRY_TOPIC_BYTES).collect();
    let remark = format!("the topic `{name}` does not exist{why}");
    Refusal::new(ResponseCode::TOPIC_NOT_EXIST, remark)
}

fn system_topics(config: &BrokerConfig) -> Vec<TopicConfig> {
    let both = perm::READ | perm::WRITE;
    let open = |is_open: bool| perm::INHERIT | if is_open { both } else { 0 };
    let levels = config.delay_levels.max();
    let default_queues = i32::try_from(config.default_topic_queues).unwrap_or(MAX_QUEUES);
    let cluster = &config.cluster;
    let broker = &config.broker_name;
    let mut topics = vec![
        TopicConfig::new(names::SELF_TEST_TOPIC, 1, both),
        TopicConfig::new(names::BENCHMARK_TOPIC, 1024, both),
        TopicConfig::new(cluster, 16, open(config.cluster_topic)),
        TopicConfig::new(broker, 1, open(config.broker_topic)),
        TopicConfig::new(names::OFFSET_MOVED_EVENT, 1, both),
        TopicConfig::new(names::SCHEDULE_TOPIC, levels, both),
        TopicConfig::new(format!("{cluster}_REPLY_TOPIC"), 1, both),
        TopicConfig::new(format!("rmq_sys_REVIVE_LOG_{cluster}"), 8, both),
        TopicConfig::new(format!("rmq_sys_SYNC_BROKER_MEMBER_{broker}"), 1, perm::INHERIT),
        TopicConfig::new(names::HALF_TOPIC, 1, both),
        TopicConfig::new(names::OP_HALF_TOPIC, 1, both),
        TopicConfig::new(names::TIMER_TOPIC, 1, both),
    ];
    if config.auto_create_topic {
        let perm = both | perm::INHERIT;
        topics.push(TopicConfig::new(names::DEFAULT_TOPIC, default_queues, perm));
    }
    if config.trace_topic {
        topics.push(TopicConfig::new(names::TRACE_TOPIC, 1, both));
    }
    topics
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::disk::{Call, FaultyDisk, RealDisk};

    fn open(folder: &Path, config: &BrokerConfig) -> Topics {
        Topics::open(MetaFile::new(Arc::new(RealDisk), folder, "topics.json"), config).unwrap()
    }

    #[test]
    fn every_broker_has_the_system_topics_and_they_are_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let topics = open(folder.path(), &BrokerConfig::default());
        let default = topics.get(names::DEFAULT_TOPIC).unwrap();
        assert_eq!((default.perm, default.write_queue_nums), (7, 8));
        assert_eq!(topics.get(names::SCHEDULE_TOPIC).unwrap().write_queue_nums, 18);
        assert_eq!(topics.get("DefaultCluster").unwrap().perm, 7);
        assert!(!folder.path().join("config").exists());
    }

    #[test]
    fn topics_outlive_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let config = BrokerConfig::default();
        let topics = open(folder.path(), &config);
        let before = topics.generation();
        assert!(topics.put(TopicConfig::new("t", 3, 6), 7).unwrap());
        assert!(!topics.put(TopicConfig::new("t", 3, 6), 8).unwrap());
        assert!(topics.generation() > before);
        let again = open(folder.path(), &config);
        assert_eq!(again.get("t").unwrap().read_queue_nums, 3);
        assert_eq!(again.all().data_version.timestamp, 7);
        assert!(again.remove("t", 9).unwrap());
        assert!(open(folder.path(), &config).get("t").is_none());
    }

    #[test]
    fn a_topic_that_cannot_be_saved_does_not_exist() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Arc::new(FaultyDisk::new(Arc::new(RealDisk)));
        let file = MetaFile::new(disk.clone(), folder.path(), "topics.json");
        let topics = Topics::open(file, &BrokerConfig::default()).unwrap();
        disk.fail_nth(Call::SyncData, 1, std::io::ErrorKind::Other);
        assert!(topics.put(TopicConfig::new("t", 3, 6), 7).is_err());
        assert!(topics.get("t").is_none());
        assert!(topics.put(TopicConfig::new("t", 3, 6), 8).unwrap());
    }

    #[test]
    fn a_new_topic_is_made_after_the_default_one() {
        let folder = tempfile::tempdir().unwrap();
        let topics = open(folder.path(), &BrokerConfig::default());
        let made = topics.after_default("t", names::DEFAULT_TOPIC, 4).unwrap();
        assert_eq!((made.perm, made.write_queue_nums), (6, 4));
        assert_eq!(
            topics.after_default("t", names::DEFAULT_TOPIC, 99).unwrap().write_queue_nums,
            8
        );
        assert_eq!(topics.after_default("%RETRY%g", "", 9).unwrap().write_queue_nums, 1);
        let refusal = topics.after_default("t", "SELF_TEST_TOPIC", 4).unwrap_err();
        assert_eq!(refusal.code, ResponseCode::TOPIC_NOT_EXIST);
    }

    #[test]
    fn without_auto_creation_a_known_default_topic_is_not_copied() {
        let folder = tempfile::tempdir().unwrap();
        let config = BrokerConfig { auto_create_topic: false, ..BrokerConfig::default() };
        let topics = open(folder.path(), &config);
        topics.put(TopicConfig::new(names::DEFAULT_TOPIC, 8, 7), 0).unwrap();
        let refusal = topics.after_default("t", names::DEFAULT_TOPIC, 4).unwrap_err();
        assert!(refusal.remark.contains("autoCreateTopicEnable"), "{}", refusal.remark);
    }

    #[test]
    fn names_that_are_no_folders_never_get_in() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("config")).unwrap();
        let text = r#"{"topicConfigTable":{"../evil":{"perm":6},"good":{"perm":6}}}"#;
        std::fs::write(folder.path().join("config/topics.json"), text).unwrap();
        let topics = open(folder.path(), &BrokerConfig::default());
        assert!(topics.get("../evil").is_none());
        assert!(topics.get("good").is_some());
        let refusal = topics.put(TopicConfig::new("a/b", 1, 6), 0).unwrap_err();
        assert_eq!(refusal.code, ResponseCode::INVALID_PARAMETER);
        assert!(topics.put(TopicConfig::new("t", i32::MAX, 6), 0).is_err());
    }
}
