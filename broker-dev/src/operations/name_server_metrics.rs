//! What a name server tells operators. RocketMQ's has no metrics: the names are ours.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Operations;
use super::metrics::{Metrics, Out, Source};
use crate::name_server::Directory;

/// See the [module](self).
pub(crate) struct NameServerOperations {
    is_stopping: Arc<AtomicBool>,
    metrics: Metrics,
}

impl NameServerOperations {
    pub(crate) fn new(directory: Arc<Directory>, is_stopping: Arc<AtomicBool>) -> Self {
        let metrics =
            Metrics::new(Arc::new(NameServerSource(directory)), &[("node_type", "nameserver")]);
        Self { is_stopping, metrics }
    }
}

impl Operations for NameServerOperations {
    fn health(&self) -> Result<(), String> {
        Ok(())
    }

    fn readiness(&self) -> Result<(), String> {
        if self.is_stopping.load(Ordering::Relaxed) {
            return Err("the name server is stopping".to_owned());
        }
        Ok(())
    }

    fn metrics(&self) -> String {
        self.metrics.to_text()
    }
}

struct NameServerSource(Arc<Directory>);

impl Source for NameServerSource {
    fn tell(&self, out: &mut Out<'_>) -> fmt::Result {
        tell_directory(&self.0, out)
    }
}

/// What there is to tell of a name server, alone or beside a broker.
pub(super) fn tell_directory(directory: &Directory, out: &mut Out<'_>) -> fmt::Result {
    let (brokers, topics) = directory.table().counts();
    let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    out.gauge("oxmq_name_server_brokers", "Brokers that are registered", number(brokers))?;
    out.gauge("oxmq_name_server_topics", "Topics that have a route", number(topics))?;
    let connections = number(directory.connection_count());
    out.gauge("oxmq_name_server_connections", "Open connections", connections)
}
