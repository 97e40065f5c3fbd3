//! Starting, telling where everything is, and stopping.

use std::io::Write;
use std::time::Duration;

use broker_dev::{Broker, NameServer};
use oxmq::clock::{Clock, SystemClock};
use serde_json::{Value, json};

use crate::configuration::Configuration;
use crate::super_user;

/// Runs a broker with its name server until it is asked to stop.
pub(crate) async fn broker(
    configuration: &Configuration,
    is_json: bool,
    clock: &SystemClock,
) -> Result<(), String> {
    // Before the ready line: whoever reads it may stop us at once.
    let signals = Signals::new()?;
    let mut options = configuration.options();
    if let Some(file) = configuration.super_user_file() {
        options = options.users(super_user::read(file)?);
    }
    let broker = Broker::start(options).await.map_err(|error| error.to_string())?;
    announce(&ready_broker(&broker)?, clock.monotonic(), is_json)?;
    let stopped = signals.stop(broker.stop_within(configuration.stop_timeout())).await?;
    stopped.map_err(|error| format!("stopped, but {error}"))?;
    say_stopped(is_json);
    Ok(())
}

/// Runs a name server until it is asked to stop.
pub(crate) async fn name_server(
    configuration: &Configuration,
    is_json: bool,
    clock: &SystemClock,
) -> Result<(), String> {
    let signals = Signals::new()?;
    let server = NameServer::start(configuration.name_server_options())
        .await
        .map_err(|error| error.to_string())?;
    let mut lines = vec![Line {
        key: "name_server",
        value: json!(server.address().to_string()),
        text: format!("name server  {}  (brokers and clients connect here)", server.address()),
    }];
    lines.extend(server.http_address().map(http_line));
    announce(&lines, clock.monotonic(), is_json)?;
    signals.stop(server.stop_within(configuration.stop_timeout())).await?;
    say_stopped(is_json);
    Ok(())
}

/// Something to tell: for programs, and for people.
struct Line {
    key: &'static str,
    value: Value,
    text: String,
}

fn ready_broker(broker: &Broker) -> Result<Vec<Line>, String> {
    let store = std::path::absolute(broker.store_path()).map_err(|error| error.to_string())?;
    let (names, address) = (broker.name_server_address(), broker.broker_address());
    let mut lines = vec![
        Line {
            key: "name_server",
            value: json!(names.to_string()),
            text: format!("name server  {names}  (clients connect here)"),
        },
        Line {
            key: "broker",
            value: json!(address.to_string()),
            text: format!("broker       {address}"),
        },
        Line {
            key: "store",
            value: json!(store.to_string_lossy()),
            text: format!("messages in  {}", store.display()),
        },
    ];
    let listeners = broker.listeners();
    if !listeners.is_empty() {
        let told = listeners.iter().map(|listener| {
            let (names, broker) = (listener.name_server.to_string(), listener.broker.to_string());
            (listener.name.to_string(), json!({"name_server": names, "broker": broker}))
        });
        let text = listeners.iter().map(|listener| {
            format!("{}: {} and {}", listener.name, listener.name_server, listener.broker)
        });
        lines.push(Line {
            key: "listeners",
            value: Value::Object(told.collect()),
            text: format!("listeners    {}", text.collect::<Vec<_>>().join(", ")),
        });
    }
    lines.extend(broker.http_address().map(http_line));
    Ok(lines)
}

fn http_line(address: std::net::SocketAddr) -> Line {
    Line {
        key: "http",
        value: json!(address.to_string()),
        text: format!("metrics      http://{address}/metrics"),
    }
}

/// Tells where everything is.
fn announce(lines: &[Line], took: Duration, is_json: bool) -> Result<(), String> {
    let started_in_ms = (took.as_secs_f64() * 10_000.0).round() / 10.0;
    let mut text = String::new();
    if is_json {
        let mut event = json!({
            "event": "ready",
            "pid": std::process::id(),
            "started_in_ms": started_in_ms,
            "version": env!("CARGO_PKG_VERSION"),
        });
        for line in lines {
            if let Some(event) = event.as_object_mut() {
                event.insert(line.key.to_owned(), line.value.clone());
            }
        }
        text = format!("{event}\n");
    } else {
        text.push_str(&format!("broker-dev is ready after {started_in_ms} ms\n"));
        lines.iter().for_each(|line| text.push_str(&format!("  {}\n", line.text)));
        text.push_str("  Ctrl-C stops it\n");
    }
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|error| error.to_string())
}

fn say_stopped(is_json: bool) {
    if is_json {
        let _ = writeln!(std::io::stdout(), "{}", json!({"event": "stopped"}));
    }
}

/// Requests to stop: the first is heeded cleanly, the second at once.
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> Result<Self, String> {
        use tokio::signal::unix::{SignalKind, signal};
        let listen =
            |kind| signal(kind).map_err(|error| format!("cannot listen for signals: {error}"));
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    /// Waits for the first, then stops with `stop`.
    async fn stop<T>(mut self, stop: impl Future<Output = T>) -> Result<T, String> {
        self.next().await;
        tokio::select! {
            stopped = stop => Ok(stopped),
            () = self.next() => Err("asked twice to stop: ended at once".to_owned()),
        }
    }
}
