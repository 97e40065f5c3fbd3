//! A name server, shared by its connections and by a broker in the same process.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use oxmq::protocol::body::{Body, KVTable};

use super::kv::{KvConfigs, ORDER_TOPICS};
use super::notice::Notices;
use super::reach::Here;
use super::{Gone, NameServerConfig, RegisterError, Registered, Registration, RouteTable};
use crate::liveness::Liveness;
use crate::meta::MetaFile;
use crate::properties;
use crate::server::{Connections, Event};
use crate::settings::ConfigError;
use crate::store::disk::Disk;
use crate::store::{StoreError, config_file};

/// What the file of changed settings is called.
const SETTINGS: &str = "namesrv.properties";

/// Where a name server keeps what outlives it.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) root: PathBuf,
}

impl Place {
    pub(super) fn file<T: Body>(&self, name: &str) -> MetaFile<T> {
        MetaFile::new(Arc::clone(&self.disk), &self.root, name)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.root.join("config").join(name)
    }
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Directory {
    table: Mutex<RouteTable>,
    pub(super) kv: KvConfigs,
    config: Mutex<NameServerConfig>,
    place: Option<Place>,
    liveness: Liveness,
    started: Duration,
    pub(super) connections: Arc<Connections>,
    /// The broker of this process.
    pub(super) here: OnceLock<Here>,
    notices: Notices,
}

impl Directory {
    /// Reads what was kept. Settings that were changed while an earlier one ran count where
    /// `config` has the default.
    ///
    /// # Errors
    /// There is something that cannot be read.
    pub(crate) fn open(
        liveness: Liveness,
        mut config: NameServerConfig,
        place: Option<Place>,
    ) -> Result<Self, StoreError> {
        if let Some(kept) = place.as_ref().map(load_settings).transpose()?.flatten() {
            config = merge(kept, &config);
        }
        Ok(Self {
            table: Mutex::default(),
            kv: KvConfigs::open(place.as_ref())?,
            config: Mutex::new(config),
            place,
            started: liveness.now(),
            liveness,
            connections: Arc::default(),
            here: OnceLock::new(),
            notices: Notices::default(),
        })
    }

    /// The table.
    pub(crate) fn table(&self) -> MutexGuard<'_, RouteTable> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The settings as they are now.
    pub(crate) fn config(&self) -> NameServerConfig {
        self.config.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes settings, all or none of them.
    ///
    /// # Errors
    /// The first that cannot be taken.
    pub(super) fn configure(&self, pairs: &[(String, String)]) -> Result<(), ConfigError> {
        let mut config = self.config.lock().unwrap_or_else(PoisonError::into_inner);
        let mut changed = config.clone();
        for (key, value) in pairs {
            changed.set(key, value)?;
        }
        *config = changed;
        Ok(())
    }

    /// Keeps the settings for the next start.
    ///
    /// # Errors
    /// The disk refuses.
    pub(super) fn save_settings(&self) -> Result<(), StoreError> {
        let Some(place) = &self.place else { return Ok(()) };
        let entries = self.config().entries().into_iter();
        let text: String = entries.map(|(key, value)| format!("{key}={value}\n")).collect();
        config_file::save(&*place.disk, &place.path(SETTINGS), text.as_bytes())
    }

    /// Where files are, as `key, path` under Apache's names.
    pub(super) fn paths(&self) -> Vec<(&'static str, String)> {
        let Some(place) = &self.place else { return Vec::new() };
        let text = |path: &Path| path.display().to_string();
        vec![
            ("kvConfigPath", text(&place.path("kvConfig.json"))),
            ("configStorePath", text(&place.path(SETTINGS))),
        ]
    }

    /// Takes a registration.
    ///
    /// # Errors
    /// As [`RouteTable::register`].
    pub(crate) fn register(&self, registration: Registration) -> Result<Registered, RegisterError> {
        let registered = self.table().register(registration, self.now())?;
        if let Some(change) = &registered.change {
            self.notify(std::slice::from_ref(change));
        }
        Ok(registered)
    }

    /// Which topics are ordered, as brokers are told; `None` if they are not, or there are none.
    pub(crate) fn ordered_topics(&self) -> Option<KVTable> {
        self.config().return_order_topics.then(|| self.kv.list(ORDER_TOPICS)).flatten()
    }

    /// Removes brokers that were silent for too long, and closes their connections and those that
    /// stand still.
    pub(crate) fn expire(&self) {
        let now = self.liveness.now();
        let gone = self.table().expire(now);
        for connection in &gone.connections {
            self.connections.tell(*connection, Event::Close);
        }
        self.left(&gone);
        self.connections.close_idle(now);
    }

    /// Tells those that are left of brokers that are gone.
    pub(crate) fn left(&self, gone: &Gone) {
        self.notify(&gone.changes);
    }

    /// Tells all connections to close.
    pub(crate) fn close_all(&self) {
        self.connections.close_all();
    }

    /// How many connections are open.
    pub(crate) fn connection_count(&self) -> usize {
        self.connections.count()
    }

    /// The time by which brokers are thought alive.
    pub(crate) fn now(&self) -> Duration {
        self.liveness.now()
    }

    /// Whether brokers had the time to register since the start.
    pub(super) fn has_waited(&self, config: &NameServerConfig) -> bool {
        let wait = Duration::from_secs(config.wait_seconds.into());
        !config.wait_for_service || self.now().saturating_sub(self.started) >= wait
    }

    /// Tells where the broker of this process can be reached; once.
    pub(crate) fn set_here(&self, here: Here) {
        if self.here.set(here).is_err() {
            tracing::error!("a second broker in the process of one name server");
        }
    }

    fn notify(&self, changes: &[super::MinIdChange]) {
        if !changes.is_empty() && self.config().notify_min_broker_id {
            changes.iter().for_each(|change| self.notices.send(change));
        }
    }
}

fn load_settings(place: &Place) -> Result<Option<NameServerConfig>, StoreError> {
    let parse = |bytes: &[u8]| {
        let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
        let pairs = properties::parse(text).map_err(|line| format!("line {line} is broken"))?;
        let mut config = NameServerConfig::default();
        for (key, value) in pairs {
            config.set(&key, &value).map_err(|error| error.to_string())?;
        }
        Ok(config)
    };
    config_file::load(&*place.disk, &place.path(SETTINGS), parse)
}

/// `over`, and `under` where `over` says nothing that is not the default.
fn merge(mut under: NameServerConfig, over: &NameServerConfig) -> NameServerConfig {
    let defaults = NameServerConfig::default().entries();
    for ((key, value), (_, default)) in over.entries().into_iter().zip(defaults) {
        if value != default {
            // What was printed can be read.
            let _ = under.set(key, &value);
        }
    }
    under
}
