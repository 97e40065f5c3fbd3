//! Apache's Java client, driven through `tests/compat/java/src/Client.java`.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::java::{Release, both};
use crate::process::Deadline;

/// Something that the Java client did, as the script printed it.
#[derive(Debug, Clone)]
pub struct Event(Value);

impl Event {
    /// `sent`, `received`, `assigned`, `started`, `timeout` or `closed`.
    pub fn kind(&self) -> &str {
        self.text("event")
    }

    /// A text field; empty if absent.
    pub fn text(&self, name: &str) -> &str {
        self.0[name].as_str().unwrap_or_default()
    }

    /// A number.
    ///
    /// # Panics
    /// If the event has no such number.
    pub fn number(&self, name: &str) -> i64 {
        self.0[name].as_i64().unwrap_or_else(|| panic!("no number {name} in {}", self.0))
    }

    /// The queues of an `assigned` event that belong to a topic, as `topic@broker:queue`.
    pub fn queues(&self, topic: &str) -> Vec<String> {
        let all = self.0["queues"].as_array().into_iter().flatten().filter_map(Value::as_str);
        all.filter(|queue| queue.starts_with(&format!("{topic}@"))).map(str::to_owned).collect()
    }
}

/// Runs `produce` to its end: the `sent` events, one a message.
///
/// # Panics
/// If a send fails.
pub fn produce(release: &Release, name_server: SocketAddr, options: &[&str]) -> Vec<Event> {
    run(release, "produce", name_server, options, "sent")
}

/// Runs `consume` to its end (`expect=N` acknowledged messages, or `timeout=` seconds): the
/// `received` events.
///
/// # Panics
/// If the messages expected do not come.
pub fn consume(release: &Release, name_server: SocketAddr, options: &[&str]) -> Vec<Event> {
    run(release, "consume", name_server, options, "received")
}

fn run(
    release: &Release,
    command: &str,
    name_server: SocketAddr,
    options: &[&str],
    wanted: &str,
) -> Vec<Event> {
    let home = tempfile::tempdir().unwrap();
    let output = java(release, &home, command, name_server, options).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let events: Vec<_> = text.lines().filter_map(parse).collect();
    let complete = events.iter().any(|event| event.kind() == "closed")
        && events.iter().all(|event| event.kind() != "timeout");
    assert!(output.status.success() && complete, "{command} {options:?}: {}", both(&output));
    events.into_iter().filter(|event| event.kind() == wanted).collect()
}

/// A consumer that runs until it is closed.
#[derive(Debug)]
pub struct Member {
    child: Child,
    input: Option<ChildStdin>,
    events: Receiver<Event>,
    _home: TempDir,
}

impl Member {
    /// Starts one.
    ///
    /// # Panics
    /// If Java does not start.
    pub fn start(release: &Release, name_server: SocketAddr, options: &[&str]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut java = java(release, &home, "consume", name_server, options);
        java.arg("until=stdin")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit());
        let mut child = java.spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, events) = sync_channel(100_000);
        std::thread::spawn(move || {
            for event in output.lines().map_while(Result::ok).filter_map(|line| parse(&line)) {
                if sender.send(event).is_err() {
                    return;
                }
            }
        });
        Self { input: child.stdin.take(), child, events, _home: home }
    }

    /// Waits for an event.
    ///
    /// # Panics
    /// If it does not come within half a minute, or the program ends.
    pub fn wait_for(&self, what: &str, wanted: impl Fn(&Event) -> bool) -> Event {
        let deadline = Deadline::after(Duration::from_secs(40));
        let mut seen = Vec::new();
        loop {
            match self.events.recv_timeout(deadline.left()) {
                Ok(event) if wanted(&event) => return event,
                Ok(event) => seen.push(event),
                Err(RecvTimeoutError::Timeout) => panic!("waited for {what}; came: {seen:?}"),
                Err(RecvTimeoutError::Disconnected) => panic!("ended before {what}: {seen:?}"),
            }
        }
    }

    /// A clean shutdown, which commits: the events that had not been waited for.
    pub fn close(mut self) -> Vec<Event> {
        drop(self.input.take());
        let _ = self.child.wait();
        self.events.iter().collect()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // For a test that failed half-way; after `close` there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn java(
    release: &Release,
    home: &TempDir,
    command: &str,
    name_server: SocketAddr,
    options: &[&str],
) -> Command {
    let name_server = format!("name-server={name_server}");
    let arguments = [&[command, &name_server], options].concat();
    let flags = [
        "-Xmx128m",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        // By default a consumer looks for its retry topic only every 20 s.
        "-Drocketmq.client.rebalance.waitInterval=500",
    ];
    release.java(home.path(), &flags, "Client", &arguments)
}

fn parse(line: &str) -> Option<Event> {
    serde_json::from_str(line).ok().map(Event)
}
