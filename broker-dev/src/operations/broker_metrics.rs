//! What a broker tells operators, under the names of RocketMQ 5's metrics where it has them.
//!
//! Differs: messages of a topic are counted by the ends of its queues, so the numbers go on where
//! they were after a new start. What was handed out is told for the broker as a whole.
//!
//! Source: RocketMQ 5.3.3 `broker/metrics/BrokerMetricsConstant`,
//! `store/metrics/DefaultStoreMetricsConstant`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use oxmq::protocol::message::Record;
use oxmq::protocol::names::{self, DLQ_PREFIX, RETRY_PREFIX};

use super::Operations;
use super::metrics::{Labels, Metrics, Out, Source};
use super::name_server_metrics::tell_directory;
use crate::core::Core;
use crate::name_server::Directory;

/// The most samples of one metric.
const MAX_SAMPLES: usize = 20_000;

/// See the [module](self).
pub(crate) struct BrokerOperations {
    core: Arc<Core>,
    metrics: Metrics,
}

impl BrokerOperations {
    pub(crate) fn new(core: Arc<Core>, directory: Arc<Directory>) -> Self {
        let source = BrokerSource { core: Arc::clone(&core), directory };
        let config = &core.config;
        let labels = [
            ("cluster", &*config.cluster),
            ("node_type", "broker"),
            ("node_id", &*config.broker_name),
        ];
        let metrics = Metrics::new(Arc::new(source), &labels);
        Self { core, metrics }
    }
}

impl Operations for BrokerOperations {
    fn health(&self) -> Result<(), String> {
        self.core.store.is_poisoned().map_or(Ok(()), |error| Err(error.to_string()))
    }

    fn readiness(&self) -> Result<(), String> {
        if self.core.is_stopping() {
            return Err("the broker is stopping".to_owned());
        }
        self.health()
    }

    fn metrics(&self) -> String {
        self.metrics.to_text()
    }
}

struct BrokerSource {
    core: Arc<Core>,
    directory: Arc<Directory>,
}

impl Source for BrokerSource {
    fn tell(&self, out: &mut Out<'_>) -> fmt::Result {
        self.tell_messages(out)?;
        self.tell_progress(out)?;
        self.tell_store(out)?;
        self.tell_timer(out)?;
        self.tell_clients(out)?;
        tell_directory(&self.directory, out)
    }
}

impl BrokerSource {
    fn tell_messages(&self, out: &mut Out<'_>) -> fmt::Result {
        let core = &*self.core;
        let topics = core.topics.all().topic_config_table;
        out.gauge("rocketmq_topic_number", "Topics", count(topics.len()))?;
        let counted: Vec<_> = topics
            .keys()
            .map(|topic| {
                let queues = core.store.queues_of(topic).into_iter();
                let ends = queues.map(|queue| core.store.max_offset(topic, queue));
                (topic.as_str(), u64::try_from(ends.sum::<i64>()).unwrap_or_default())
            })
            .take(MAX_SAMPLES)
            .collect();
        let samples = counted.iter().map(|(topic, messages)| {
            let labels =
                vec![("topic", *topic), ("is_system", truth(names::is_system_topic(topic)))];
            (labels, *messages)
        });
        out.counters("rocketmq_messages_in", "Messages stored, by topic", samples)?;
        let dead = counted.iter().filter_map(|(topic, messages)| {
            Some((vec![("consumer_group", topic.strip_prefix(DLQ_PREFIX)?)], *messages))
        });
        let help = "Messages that became dead letters, by consumer group";
        out.counters("rocketmq_send_to_dlq_messages", help, dead)?;

        let totals = core.statistics.totals();
        let help = "Bytes of the records stored since the start";
        out.counter("rocketmq_throughput_in", help, totals.stored_bytes)?;
        let help = "Messages handed out to pulls since the start";
        out.counter("rocketmq_messages_out", help, totals.handed_out)
    }

    fn tell_progress(&self, out: &mut Out<'_>) -> fmt::Result {
        let core = &*self.core;
        let groups = core.groups.all().subscription_group_table.len();
        out.gauge("rocketmq_consumer_group_number", "Consumer groups", count(groups))?;
        let offsets = core.offsets.all().offset_table;
        let lags: Vec<_> = offsets
            .iter()
            .filter_map(|(key, queues)| {
                let (topic, group) = key.split_once('@')?;
                let behind = queues.iter().map(|(queue, committed)| {
                    (core.store.max_offset(topic, *queue) - committed).max(0)
                });
                Some((topic, group, behind.sum::<i64>()))
            })
            .take(MAX_SAMPLES)
            .collect();
        let samples = lags.iter().map(|(topic, group, behind)| {
            let labels = vec![
                ("consumer_group", *group),
                ("topic", *topic),
                ("is_retry", truth(topic.starts_with(RETRY_PREFIX))),
                ("is_system", truth(names::is_system_topic(topic))),
            ];
            (labels, *behind)
        });
        let help = "Messages that a group has not committed yet, by topic";
        out.gauges("rocketmq_consumer_lag_messages", help, samples)
    }

    fn tell_store(&self, out: &mut Out<'_>) -> fmt::Result {
        let store = &self.core.store;
        let (min, max) = store.commit_log_range();
        let local =
            || -> Labels<'_> { vec![("storage_type", "local"), ("storage_medium", "disk")] };
        let mut gauge = |name, help, value: i64| out.gauges(name, help, [(local(), value)]);
        gauge("rocketmq_storage_size", "Bytes of the commit log that hold records", max - min)?;
        let help = "Bytes that are not on the disk yet";
        let behind = (max - store.durable_offset()).max(0);
        gauge("rocketmq_storage_flush_behind_bytes", help, behind)?;
        let help = "Bytes that are not in the queues yet";
        let behind = store.dispatch_behind_bytes();
        gauge("rocketmq_storage_dispatch_behind_bytes", help, behind)?;
        let earliest = store.record_at(min);
        let earliest = earliest.as_deref().and_then(|bytes| Record::decode(bytes).ok().flatten());
        if let Some((record, _)) = earliest {
            let help = "Age of the oldest message, in milliseconds";
            let age = (self.core.clock.now_ms() - record.store_timestamp).max(0);
            gauge("rocketmq_storage_message_reserve_time", help, age)?;
        }
        let poisoned = i64::from(store.is_poisoned().is_some());
        out.gauge("oxmq_store_poisoned", "1 if the store takes no more writes", poisoned)
    }

    fn tell_timer(&self, out: &mut Out<'_>) -> fmt::Result {
        let (next, waiting) = self.core.timer.progress();
        let help = "Messages that wait for a time of their own";
        out.gauge("rocketmq_timing_messages", help, waiting)?;
        let behind = (self.core.store.max_offset(names::TIMER_TOPIC, 0) - next).max(0);
        let help = "Messages with a time of their own that are not taken in yet";
        out.gauge("rocketmq_timer_enqueue_lag", help, behind)
    }

    fn tell_clients(&self, out: &mut Out<'_>) -> fmt::Result {
        let core = &*self.core;
        let mut by_kind: BTreeMap<(&str, String), i64> = BTreeMap::new();
        for (_, _, member, _) in core.producers.all() {
            *by_kind.entry((member.language.name(), member.version.to_string())).or_default() += 1;
        }
        let samples = by_kind.iter().map(|((language, version), connections)| {
            (vec![("language", *language), ("version", version.as_str())], *connections)
        });
        out.gauges("rocketmq_producer_connections", "Producers that are connected", samples)?;
        let groups = core.consumers.sizes();
        let samples = groups.iter().take(MAX_SAMPLES);
        let samples = samples
            .map(|(group, members)| (vec![("consumer_group", group.as_str())], count(*members)));
        let help = "Consumers that are connected, by group";
        out.gauges("rocketmq_consumer_connections", help, samples)?;
        let permission = i64::from(core.config.broker_permission);
        out.gauge("rocketmq_broker_permission", "4 read, 2 write", permission)?;
        let connections = count(core.connections.count());
        out.gauge("oxmq_broker_connections", "Open connections", connections)
    }
}

fn count(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn truth(is_so: bool) -> &'static str {
    if is_so { "true" } else { "false" }
}
