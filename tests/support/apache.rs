//! Apache's name server and broker, small, on free loopback ports.

use std::fmt::Write as _;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tempfile::TempDir;

use crate::java::{Release, both};
use crate::process::{Deadline, Process, REMOVE_AT_END, lock};
use crate::wire;

const PATIENCE: Duration = Duration::from_secs(90);

/// The broker's name, the same as that of `broker-dev`, so that either can take the other's store.
pub const BROKER_NAME: &str = "broker-a";

/// How to start a cluster.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The store folder; by default a temporary one.
    pub store: Option<PathBuf>,
    /// Lines for `broker.conf`, after ours.
    pub settings: Vec<String>,
    /// Small heaps and a quick start for tests; ordinary ones to be measured.
    pub for_benchmark: bool,
}

/// A name server and one broker.
#[derive(Debug)]
pub struct Cluster {
    /// The release that runs.
    pub release: Release,
    /// Where clients begin.
    pub name_server: SocketAddr,
    /// Where messages go.
    pub broker: SocketAddr,
    /// The store folder.
    pub store: PathBuf,
    // Dropped in this order: the broker, the name server, their folder.
    broker_process: Process,
    _name_server_process: Process,
    home: TempDir,
}

impl Cluster {
    /// Starts one and waits until clients find it.
    ///
    /// # Panics
    /// With the output of the process that does not start.
    pub fn start(release: &Release, options: &Options) -> Self {
        let mut attempts = 0;
        loop {
            attempts += 1;
            match Self::try_start(release, options) {
                Ok(cluster) => return cluster,
                // Someone else may have taken a port between our look and its use.
                Err(failure) if attempts < 3 && failure.contains("ended") => {
                    eprintln!("starting again: {failure}");
                }
                Err(failure) => panic!("{failure}"),
            }
        }
    }

    fn try_start(release: &Release, options: &Options) -> Result<Self, String> {
        let home = tempfile::tempdir().unwrap();
        prepare_home(home.path());
        let store = options.store.clone().unwrap_or_else(|| home.path().join("store"));
        let name_server = free_address();
        let name_server_process = start_name_server(release, home.path(), name_server, options)?;
        let broker = free_broker_address();
        let conf = home.path().join("broker.conf");
        fs::write(&conf, broker_conf(broker, name_server, &store, &options.settings)).unwrap();
        let heap: &[&str] = if options.for_benchmark {
            &["-Xms2g", "-Xmx2g", "-XX:MaxDirectMemorySize=2g"]
        } else {
            &[
                "-Xmx1g",
                "-XX:MaxDirectMemorySize=512m",
                "-XX:+UseSerialGC",
                "-XX:TieredStopAtLevel=1",
            ]
        };
        let class = "org.apache.rocketmq.broker.BrokerStartup";
        let mut command = release.java(home.path(), heap, class, &["-c", &path_text(&conf)]);
        command.env(REMOVE_AT_END, home.path());
        let broker_process = Process::start("Apache's broker", &command);
        broker_process.try_wait_for(PATIENCE, booted)?;
        let cluster = Self {
            release: release.clone(),
            name_server,
            broker,
            store,
            broker_process,
            _name_server_process: name_server_process,
            home,
        };
        cluster.wait_for_route();
        Ok(cluster)
    }

    /// The cluster that the tests of one binary share, started by whoever asks first.
    pub fn shared(release: &Release) -> Arc<Self> {
        static RUNNING: Mutex<Vec<Arc<Cluster>>> = Mutex::new(Vec::new());
        let mut running = lock(&RUNNING);
        let found = running.iter().find(|cluster| cluster.release.version == release.version);
        if let Some(cluster) = found {
            return Arc::clone(cluster);
        }
        let cluster = Arc::new(Self::start(release, &Options::default()));
        running.push(Arc::clone(&cluster));
        cluster
    }

    /// The broker's process id.
    pub fn broker_pid(&self) -> i32 {
        self.broker_process.pid()
    }

    /// A clean stop: the broker flushes and removes its `abort` file.
    pub fn stop(self) {
        self.broker_process.stop(PATIENCE);
    }

    /// `kill -9` of the broker.
    pub fn kill(self) {
        self.broker_process.kill();
    }

    /// Runs an `mqadmin` command against the name server: all that it prints, since its exit
    /// status says nothing.
    pub fn mqadmin(&self, arguments: &[&str]) -> String {
        mqadmin(&self.release, self.name_server, arguments)
    }

    /// A line in the name server's table tells that the broker has registered: its port listens
    /// long before.
    fn wait_for_route(&self) {
        let deadline = Deadline::after(PATIENCE);
        while !wire::has_route(self.name_server, "SELF_TEST_TOPIC") {
            assert!(!deadline.passed(), "no registration{}", self.broker_process.tail());
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }

    /// The last lines of the broker's own log.
    pub fn broker_log(&self) -> String {
        let path = self.home.path().join("logs/rocketmqlogs/broker.log");
        let text = fs::read_to_string(path).unwrap_or_default();
        let lines: Vec<_> = text.lines().rev().take(40).collect();
        lines.into_iter().rev().fold(String::new(), |text, line| text + "\n  | " + line)
    }
}

/// A name server without a broker.
#[derive(Debug)]
pub struct NameServer {
    /// Where it listens.
    pub address: SocketAddr,
    // Dropped before its folder.
    _process: Process,
    _home: TempDir,
}

impl NameServer {
    /// Starts one.
    ///
    /// # Panics
    /// With the output of a process that does not start.
    pub fn start(release: &Release) -> Self {
        let home = tempfile::tempdir().unwrap();
        prepare_home(home.path());
        let address = free_address();
        let process = start_name_server(release, home.path(), address, &Options::default());
        let process = process.unwrap_or_else(|failure| panic!("{failure}"));
        Self { address, _process: process, _home: home }
    }
}

/// Runs `mqadmin` commands of a release, one after another in one process: what each prints.
///
/// # Panics
/// If the process fails.
pub fn mqadmin_all(release: &Release, name_server: SocketAddr, commands: &[&str]) -> Vec<String> {
    let home = tempfile::tempdir().unwrap();
    prepare_home(home.path());
    let commands: Vec<_> =
        commands.iter().map(|command| format!("{command} -n {name_server}")).collect();
    let arguments: Vec<_> = commands.iter().map(String::as_str).collect();
    let flags = ["-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"];
    let output = release.java(home.path(), &flags, "Admin", &arguments).output().unwrap();
    let printed = both(&output);
    let parts: Vec<_> = String::from_utf8_lossy(&output.stdout)
        .split("@@ ")
        .skip(1)
        .map(|part| part.split_once('\n').map_or("", |(_, text)| text).trim().to_owned())
        .collect();
    assert_eq!(parts.len(), commands.len(), "{printed}");
    parts
}

/// Runs an `mqadmin` command of a release against any name server.
pub fn mqadmin(release: &Release, name_server: SocketAddr, arguments: &[&str]) -> String {
    let home = tempfile::tempdir().unwrap();
    prepare_home(home.path());
    let name_server = name_server.to_string();
    let arguments = [arguments, &["-n", &name_server]].concat();
    let class = "org.apache.rocketmq.tools.command.MQAdminStartup";
    let flags = ["-Xmx256m", "-XX:TieredStopAtLevel=1"];
    both(&release.java(home.path(), &flags, class, &arguments).output().unwrap())
}

fn start_name_server(
    release: &Release,
    home: &Path,
    address: SocketAddr,
    options: &Options,
) -> Result<Process, String> {
    let conf = home.join("ns.conf");
    let text = format!(
        "listenPort={}\nkvConfigPath={home}/kv.json\nconfigStorePath={home}/ns.properties\n",
        address.port(),
        home = home.display(),
    );
    fs::write(&conf, text).unwrap();
    let heap: &[&str] = if options.for_benchmark {
        &["-Xmx256m"]
    } else {
        &["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
    };
    let class = "org.apache.rocketmq.namesrv.NamesrvStartup";
    let command = release.java(home, heap, class, &["-c", &path_text(&conf)]);
    let process = Process::start("Apache's name server", &command);
    process.try_wait_for(PATIENCE, booted)?;
    Ok(process)
}

fn broker_conf(
    broker: SocketAddr,
    name_server: SocketAddr,
    store: &Path,
    settings: &[String],
) -> String {
    let file_bytes = commit_log_file_bytes(store).unwrap_or(64 << 20);
    let mut text = format!(
        "brokerClusterName=DefaultCluster\nbrokerName={BROKER_NAME}\nbrokerId=0\n\
         brokerIP1=127.0.0.1\nbrokerIP2=127.0.0.1\nlistenPort={}\nhaListenPort={}\n\
         storePathRootDir={store}\nstorePathCommitLog={store}/commitlog\n\
         autoCreateTopicEnable=true\nenablePropertyFilter=true\nflushDiskType=ASYNC_FLUSH\n\
         brokerRole=ASYNC_MASTER\nnamesrvAddr={name_server}\ndiskMaxUsedSpaceRatio=95\n\
         mappedFileSizeCommitLog={file_bytes}\n",
        broker.port(),
        free_address().port(),
        store = store.display(),
    );
    for setting in settings {
        let _ = writeln!(text, "{setting}");
    }
    text
}

/// The size of the commit-log files that a store has: Apache refuses one of another size.
fn commit_log_file_bytes(store: &Path) -> Option<u64> {
    let first = fs::read_dir(store.join("commitlog")).ok()?.next()?.ok()?;
    Some(first.metadata().ok()?.len())
}

/// 4.9 looks for its log configuration here and does not start without.
fn prepare_home(home: &Path) {
    fs::create_dir_all(home.join("conf")).unwrap();
    for role in ["namesrv", "broker", "tools"] {
        let path = home.join(format!("conf/logback_{role}.xml"));
        fs::write(path, "<configuration/>").unwrap();
    }
}

fn booted(line: &str) -> Option<()> {
    line.contains("boot success").then_some(())
}

fn path_text(path: &Path) -> String {
    path.display().to_string()
}

/// A port that nobody listens on at this moment.
fn free_address() -> SocketAddr {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap()
}

/// The same; a broker also takes the port two below.
fn free_broker_address() -> SocketAddr {
    loop {
        let address = free_address();
        let fast = SocketAddr::new(address.ip(), address.port() - 2);
        if TcpListener::bind(fast).is_ok() {
            return address;
        }
    }
}
