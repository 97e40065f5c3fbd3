//! The embedded broker of `oxmq/testing`.

use std::sync::Arc;

use broker_dev::{Broker, ConfigError, Options};
use napi::Result;
use napi_derive::napi;
use oxmq::completions::Outcome;
use tokio::sync::RwLock;

use crate::error::ErrorFields;
use crate::runtime::{Hub, Made, Shared, millis, offset_number, tag};

/// How a broker is started.
#[napi(object)]
#[derive(Debug)]
pub struct BrokerOptions {
    /// Folder of its store; without it, a temporary one.
    pub store: Option<String>,
    /// Where its name server listens.
    pub name_server_address: Option<String>,
    /// Where it listens itself.
    pub broker_address: Option<String>,
    /// RocketMQ's settings, names and values in turn.
    pub settings: Option<Vec<String>>,
}

impl BrokerOptions {
    fn into_options(self) -> std::result::Result<Options, ConfigError> {
        let mut options = Options::for_tests();
        options.store = self.store.map(Into::into);
        if let Some(address) = self.name_server_address {
            options.name_server_address = address;
        }
        if let Some(address) = self.broker_address {
            options.broker_address = address;
        }
        for pair in self.settings.unwrap_or_default().chunks_exact(2) {
            if let [key, value] = pair {
                options.settings.set(key, value)?;
            }
        }
        Ok(options)
    }
}

async fn start(options: BrokerOptions, shared: Arc<Shared>) -> Made {
    let failed = |message| Made::Failed(ErrorFields::of_broker("start broker", message));
    let options = match options.into_options() {
        Ok(options) => options,
        Err(error) => return failed(error.to_string()),
    };
    match Broker::start(options).await {
        Ok(broker) => Made::Broker(NativeBroker {
            name_server: broker.name_server_address().to_string(),
            broker_address: broker.broker_address().to_string(),
            store: broker.store_path().display().to_string(),
            broker: Arc::new(RwLock::new(Some(broker))),
            shared,
        }),
        Err(error) => failed(error.to_string()),
    }
}

#[napi]
impl Hub {
    /// Begins to start a broker.
    #[napi]
    pub fn start_broker(&self, number: f64, options: BrokerOptions) -> Result<()> {
        let shared = self.shared().clone();
        self.shared().make(tag(number), async { Ok(start(options, shared).await) })
    }
}

/// A running broker, as JavaScript holds it.
#[napi]
pub struct NativeBroker {
    name_server: String,
    broker_address: String,
    store: String,
    /// `None` once stopped.
    broker: Arc<RwLock<Option<Broker>>>,
    shared: Arc<Shared>,
}

#[napi]
impl NativeBroker {
    /// Where its name server listens.
    #[napi(getter)]
    pub fn name_server(&self) -> String {
        self.name_server.clone()
    }

    /// Where it listens itself.
    #[napi(getter)]
    pub fn broker_address(&self) -> String {
        self.broker_address.clone()
    }

    /// The folder of its store.
    #[napi(getter)]
    pub fn store(&self) -> String {
        self.store.clone()
    }

    /// Its time, milliseconds since the Unix epoch; `None` once stopped.
    #[napi]
    pub fn now_ms(&self) -> Option<f64> {
        let broker = self.broker.try_read().ok()?;
        broker.as_ref().map(|broker| offset_number(broker.clock().now_ms()))
    }

    /// Begins to move its time ahead.
    #[napi]
    pub fn advance(&self, number: f64, ms: f64) -> Result<()> {
        let broker = self.broker.clone();
        self.shared.run(tag(number), async move {
            if let Some(broker) = &*broker.read().await {
                broker.advance(millis(ms)).await;
            }
            Ok(Outcome::Done)
        })
    }

    /// Begins to stop it: cleanly, or as a crash would.
    #[napi]
    pub fn stop(&self, number: f64, is_crash: bool) -> Result<()> {
        let holder = self.broker.clone();
        let shared = self.shared.clone();
        let call = async move {
            let Some(broker) = holder.write().await.take() else { return Ok(Made::Nothing) };
            if is_crash {
                broker.kill().await;
                return Ok(Made::Nothing);
            }
            Ok(match broker.stop().await {
                Ok(()) => Made::Nothing,
                Err(error) => {
                    Made::Failed(ErrorFields::of_broker("stop broker", error.to_string()))
                }
            })
        };
        shared.make(tag(number), call)
    }
}
