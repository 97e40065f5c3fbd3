//! KV configurations: values by namespace and key, kept in `config/kvConfig.json`.
//!
//! Source: RocketMQ 5.3.3 `namesrv/kvconfig/KVConfigManager`.

use std::sync::{Mutex, MutexGuard, PoisonError};

use oxmq::protocol::body::{KVConfigSerializeWrapper, KVTable};
use oxmq::protocol::code::ResponseCode;

use crate::meta::MetaFile;
use crate::reply::Refusal;
use crate::store::StoreError;

/// The namespace of the orders of ordered topics.
pub(super) const ORDER_TOPICS: &str = "ORDER_TOPIC_CONFIG";

/// How many bytes all names and values may have together.
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// What the file is called.
const FILE: &str = "kvConfig.json";

/// See the [module](self).
#[derive(Debug)]
pub(super) struct KvConfigs {
    /// None: kept in memory only.
    file: Option<MetaFile<KVConfigSerializeWrapper>>,
    configs: Mutex<KVConfigSerializeWrapper>,
}

impl KvConfigs {
    /// Reads what was kept.
    ///
    /// # Errors
    /// There is something that cannot be read.
    pub(super) fn open(place: Option<&super::Place>) -> Result<Self, StoreError> {
        let file = place.map(|place| place.file(FILE));
        let configs = file.as_ref().map(MetaFile::load).transpose()?.flatten().unwrap_or_default();
        Ok(Self { file, configs: Mutex::new(configs) })
    }

    /// Sets a value.
    ///
    /// # Errors
    /// There is no room for it, or it cannot be saved: then it is not set.
    pub(super) fn put(&self, namespace: &str, key: &str, value: &str) -> Result<(), Refusal> {
        let mut configs = self.lock();
        let mut changed = configs.clone();
        let table = changed.config_table.entry(namespace.to_owned()).or_default();
        table.insert(key.to_owned(), value.to_owned());
        if bytes(&changed) > MAX_BYTES {
            let remark = format!("all KV configurations together may have {MAX_BYTES} bytes");
            return Err(Refusal::new(ResponseCode::SYSTEM_ERROR, remark));
        }
        self.save(&changed)?;
        *configs = changed;
        Ok(())
    }

    /// Removes a value. Its namespace stays.
    ///
    /// # Errors
    /// That cannot be saved: then it is still there.
    pub(super) fn delete(&self, namespace: &str, key: &str) -> Result<(), Refusal> {
        let mut configs = self.lock();
        let mut changed = configs.clone();
        let removed = changed.config_table.get_mut(namespace).and_then(|table| table.remove(key));
        if removed.is_some() {
            self.save(&changed)?;
            *configs = changed;
        }
        Ok(())
    }

    /// A value.
    pub(super) fn get(&self, namespace: &str, key: &str) -> Option<String> {
        self.lock().config_table.get(namespace)?.get(key).cloned()
    }

    /// All values of a namespace.
    pub(super) fn list(&self, namespace: &str) -> Option<KVTable> {
        self.lock().config_table.get(namespace).map(|table| KVTable { table: table.clone() })
    }

    fn save(&self, configs: &KVConfigSerializeWrapper) -> Result<(), Refusal> {
        self.file.as_ref().map_or(Ok(()), |file| file.save(configs)).map_err(Refusal::from)
    }

    fn lock(&self) -> MutexGuard<'_, KVConfigSerializeWrapper> {
        self.configs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn bytes(configs: &KVConfigSerializeWrapper) -> usize {
    let tables = configs.config_table.iter().map(|(namespace, table)| {
        let values: usize = table.iter().map(|(key, value)| key.len() + value.len()).sum();
        namespace.len() + values
    });
    tables.sum()
}
