//! The consumer groups of this broker.
//!
//! Source: RocketMQ 5.3.3 `broker/subscription/SubscriptionGroupManager`.

use std::sync::Arc;

use oxmq::protocol::body::{DataVersion, SubscriptionGroupConfig, SubscriptionGroupWrapper};
use oxmq::protocol::code::ResponseCode;
use oxmq::protocol::names;

use super::MetaFile;
use super::table::{Config, Table};
use crate::config::BrokerConfig;
use crate::reply::Refusal;
use crate::store::StoreError;

/// The most groups.
const MAX_GROUPS: usize = 100_000;

/// Groups that every broker has.
const SYSTEM_GROUPS: [&str; 8] = [
    "TOOLS_CONSUMER",
    "FILTERSRV_CONSUMER",
    "SELF_TEST_C_GROUP",
    "CID_ONS-HTTP-PROXY",
    "CID_ONSAPI_PULL",
    "CID_ONSAPI_PERMISSION",
    "CID_ONSAPI_OWNER",
    "CID_RMQ_SYS_TRANS",
];

/// All consumer groups.
#[derive(Debug)]
pub(crate) struct Groups {
    table: Table<SubscriptionGroupConfig>,
    may_create: bool,
}

impl Config for SubscriptionGroupConfig {
    type File = SubscriptionGroupWrapper;

    fn name(&self) -> &str {
        &self.group_name
    }

    fn take(file: &mut Self::File) -> (DataVersion, Vec<Self>) {
        let configs = std::mem::take(&mut file.subscription_group_table).into_iter();
        let named = configs.map(|(group_name, config)| Self { group_name, ..config });
        let legal = named.filter(|config| names::check_group(&config.group_name).is_ok());
        (std::mem::take(&mut file.data_version), legal.collect())
    }

    fn fill<'a>(
        file: &mut Self::File,
        version: DataVersion,
        configs: impl Iterator<Item = &'a Self>,
    ) {
        file.data_version = version;
        file.subscription_group_table =
            configs.map(|config| (config.group_name.clone(), config.clone())).collect();
    }
}

impl Groups {
    /// Reads `subscriptionGroup.json` and adds the groups that every broker has.
    ///
    /// # Errors
    /// The file cannot be read, nor its previous generation.
    pub(crate) fn open(
        file: MetaFile<SubscriptionGroupWrapper>,
        config: &BrokerConfig,
    ) -> Result<Self, StoreError> {
        let groups = Self { table: Table::open(file)?, may_create: config.auto_create_group };
        for name in SYSTEM_GROUPS {
            if groups.get(name).is_none() {
                groups.table.put_unsaved(named(name));
            }
        }
        Ok(groups)
    }

    /// A group.
    pub(crate) fn get(&self, name: &str) -> Option<Arc<SubscriptionGroupConfig>> {
        self.table.get(name)
    }

    /// A group, which is made if it is unknown and that is allowed.
    ///
    /// # Errors
    /// SUBSCRIPTION_GROUP_NOT_EXIST, or why it cannot be made.
    pub(crate) fn get_or_create(
        &self,
        name: &str,
        now_ms: i64,
    ) -> Result<Arc<SubscriptionGroupConfig>, Refusal> {
        if let Some(group) = self.get(name) {
            return Ok(group);
        }
        names::check_group(name)?;
        if self.may_create {
            self.put(named(name), now_ms)?;
        }
        self.get(name).ok_or_else(|| no_group(name))
    }

    /// All groups, as they are sent and saved.
    pub(crate) fn all(&self) -> SubscriptionGroupWrapper {
        self.table.to_file()
    }

    /// Makes or changes a group.
    ///
    /// # Errors
    /// Its name is none, or it cannot be saved.
    pub(crate) fn put(&self, group: SubscriptionGroupConfig, now_ms: i64) -> Result<bool, Refusal> {
        names::check_group(&group.group_name)?;
        if self.table.len() >= MAX_GROUPS && self.get(&group.group_name).is_none() {
            return Err(Refusal::new(
                ResponseCode::SYSTEM_ERROR,
                format!("there are {MAX_GROUPS} consumer groups already"),
            ));
        }
        Ok(self.table.put(group, now_ms)?)
    }

    /// Removes a group; tells whether it was there.
    ///
    /// # Errors
    /// That cannot be saved.
    pub(crate) fn remove(&self, name: &str, now_ms: i64) -> Result<bool, StoreError> {
        self.table.remove(name, now_ms)
    }
}

/// SUBSCRIPTION_GROUP_NOT_EXIST, with words.
pub(crate) fn no_group(name: &str) -> Refusal {
    let name: String = name.chars().take(names::MAX_GROUP_BYTES).collect();
    Refusal::new(
        ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST,
        format!("the consumer group {name:?} does not exist"),
    )
}

fn named(name: &str) -> SubscriptionGroupConfig {
    SubscriptionGroupConfig { group_name: name.to_owned(), ..SubscriptionGroupConfig::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::disk::RealDisk;

    fn open(folder: &std::path::Path, config: &BrokerConfig) -> Groups {
        let file = MetaFile::new(Arc::new(RealDisk), folder, "subscriptionGroup.json");
        Groups::open(file, config).unwrap()
    }

    #[test]
    fn an_unknown_group_is_made_and_outlives_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let groups = open(folder.path(), &BrokerConfig::default());
        assert_eq!(groups.get_or_create("g", 1).unwrap().retry_max_times, 16);
        let refusal = groups.get_or_create("../g", 1).unwrap_err();
        assert_eq!(refusal.code, ResponseCode::INVALID_PARAMETER);
        let again = open(folder.path(), &BrokerConfig::default());
        assert!(again.get("g").is_some() && again.get("TOOLS_CONSUMER").is_some());
        assert!(again.remove("g", 2).unwrap());
        assert!(!again.remove("g", 2).unwrap());
    }

    #[test]
    fn without_auto_creation_an_unknown_group_does_not_exist() {
        let folder = tempfile::tempdir().unwrap();
        let config = BrokerConfig { auto_create_group: false, ..BrokerConfig::default() };
        let refusal = open(folder.path(), &config).get_or_create("g", 1).unwrap_err();
        assert_eq!(refusal.code, ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST);
    }

    #[test]
    fn what_a_newer_release_wrote_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("config")).unwrap();
        let path = folder.path().join("config/subscriptionGroup.json");
        let text = r#"{"forbiddenTable":{"g":{"t":4}},"subscriptionGroupTable":{"g":{"groupName":"g","groupRetryPolicy":{"type":"EXPONENTIAL"}}}}"#;
        std::fs::write(&path, text).unwrap();
        open(folder.path(), &BrokerConfig::default()).get_or_create("h", 1).unwrap();
        let written = std::fs::read_to_string(&path).unwrap();
        assert!(written.contains(r#""forbiddenTable":{"g":{"t":4}}"#), "{written}");
        assert!(written.contains("EXPONENTIAL"), "{written}");
    }
}
