//! Writing metrics that are read off the server's own tables when they are asked for: nothing is
//! counted twice, and nobody pays who does not ask.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet, prometheus_text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

/// Labels of one sample.
pub(super) type Labels<'a> = Vec<(&'static str, &'a str)>;

/// Something with numbers to tell.
pub(super) trait Source: Send + Sync + 'static {
    /// Tells them.
    fn tell(&self, out: &mut Out<'_>) -> fmt::Result;
}

/// Where the numbers go.
pub(super) struct Out<'a> {
    encoder: DescriptorEncoder<'a>,
}

impl Out<'_> {
    /// A number that only grows. The name is told with `_total` behind it.
    pub(super) fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.counters(name, help, [(Labels::new(), value)])
    }

    /// The same for each of several things.
    pub(super) fn counters<'l>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels<'l>, u64)>,
    ) -> fmt::Result {
        let mut metric = self.encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, value) in samples {
            let mut sample = metric.encode_family(&labels)?;
            sample.encode_counter::<NoLabelSet, u64, f64>(&value, None)?;
        }
        Ok(())
    }

    /// A number that goes up and down.
    pub(super) fn gauge(&mut self, name: &str, help: &str, value: i64) -> fmt::Result {
        self.gauges(name, help, [(Labels::new(), value)])
    }

    /// The same for each of several things.
    pub(super) fn gauges<'l>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels<'l>, i64)>,
    ) -> fmt::Result {
        let mut metric = self.encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, value) in samples {
            metric.encode_family(&labels)?.encode_gauge(&value)?;
        }
        Ok(())
    }
}

/// All numbers of a source, with `labels` on each, as Prometheus text.
pub(super) struct Metrics {
    registry: Registry,
}

impl Metrics {
    pub(super) fn new(source: Arc<dyn Source>, labels: &[(&'static str, &str)]) -> Self {
        let labels =
            labels.iter().map(|(name, value)| ((*name).into(), (*value).to_owned().into()));
        let mut registry = Registry::with_labels(labels);
        registry.register_collector(Box::new(Told(source)));
        Self { registry }
    }

    pub(super) fn to_text(&self) -> String {
        let mut text = String::new();
        if let Err(error) = prometheus_text::encode(&mut text, &self.registry) {
            tracing::error!(%error, "metrics cannot be written");
        }
        text
    }
}

struct Told(Arc<dyn Source>);

impl fmt::Debug for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Told")
    }
}

impl Collector for Told {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.0.tell(&mut Out { encoder })
    }
}
