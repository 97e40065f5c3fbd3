//! What operators watch: health, readiness and metrics, over HTTP on a port of their own.
//!
//! | Path | Answer |
//! |---|---|
//! | `/healthz` | 200, or 503 when only a new start helps: the store takes no more writes |
//! | `/readyz` | 200 while requests are served; 503 when a stop has begun |
//! | `/metrics` | Prometheus text, under RocketMQ 5's names where it has them |

mod broker_metrics;
mod http;
mod metrics;
mod name_server_metrics;

pub(crate) use broker_metrics::BrokerOperations;
pub(crate) use http::serve;
pub(crate) use name_server_metrics::NameServerOperations;

/// What is asked over HTTP. Answers may read files' metadata: they are given on a blocking thread.
pub(crate) trait Operations: Send + Sync + 'static {
    /// Nothing, or why only a new start helps.
    fn health(&self) -> Result<(), String>;

    /// Nothing, or why requests are not served.
    fn readiness(&self) -> Result<(), String>;

    /// Prometheus text.
    fn metrics(&self) -> String;
}
