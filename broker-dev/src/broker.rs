//! Starting and stopping a broker with its name server.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use oxmq::clock::{self, SharedClock};
use oxmq::protocol::body::TopicConfig;
use oxmq::protocol::names;
use oxmq::protocol::signature::Credentials;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::auth::{Auth, Switches};
use crate::clock::Mover;
use crate::config::BrokerConfig;
use crate::core::{Core, Parts};
use crate::entrance::{Entrance, ListenerAddresses, reachable_by};
use crate::events::{Events, Wake};
use crate::listen::{Sockets, listen};
use crate::liveness::Liveness;
use crate::meta::topics::{saved_queue_kinds, set_queue_kind};
use crate::meta::{Groups, MetaFile, Offsets, Topics};
use crate::name_server::{self, Directory, Place};
use crate::operations::{self, BrokerOperations};
use crate::options::{NamedListener, Options};
use crate::registration::{self, Registrar};
use crate::schedule::timer::Timer;
use crate::schedule::{self, Schedule};
use crate::server::{BrokerSession, Listener};
use crate::statistics;
use crate::store::disk::Disk;
use crate::store::{RecoveryReport, RetentionOptions, Store, StoreError, StoreOptions};

/// How often dead clients and brokers are looked for.
const EXPIRY_SCAN: Duration = Duration::from_secs(10);

/// How long after the start files are first looked at for their age.
const FIRST_CLEANING: Duration = Duration::from_secs(60);

/// How long a stop waits for connections to write what they have.
const STOP_WAIT: Duration = Duration::from_secs(3);

/// How long a connection that is cut off may take to end.
const CUT_OFF_WAIT: Duration = Duration::from_secs(1);

/// Why a broker does not start or stop as it should.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address} for the {what}: {}", in_words(source))]
    Listen {
        /// What was to listen.
        what: &'static str,
        /// The address as given.
        address: String,
        /// The system's reason.
        source: io::Error,
    },
    /// Other machines could reach the broker, and it asks nobody who they are.
    #[error(
        "{address} can be reached from other machines, and this broker has no access control: \
         listen on 127.0.0.1, or allow it (--allow-public)"
    )]
    Public {
        /// The address as given.
        address: String,
    },
    /// The store does not open or close.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A system's error as a person would put it.
fn in_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "another program listens there already".to_owned(),
        io::ErrorKind::PermissionDenied => "that needs more rights".to_owned(),
        io::ErrorKind::AddrNotAvailable => "this machine has no such address".to_owned(),
        _ => error.to_string(),
    }
}

/// A running broker and its name server.
///
/// Dropping it ends it abruptly, as a crash would: the next start recovers the store.
/// [`stop`](Self::stop) ends it cleanly.
pub struct Broker {
    core: Arc<Core>,
    name_server: Arc<Directory>,
    name_server_address: SocketAddr,
    broker_address: SocketAddr,
    /// The usual listener and the named ones.
    listeners: Vec<ListenerAddresses>,
    http_address: Option<SocketAddr>,
    mover: Mover,
    stop: CancellationToken,
    tasks: TaskTracker,
    folder: Folder,
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker")
            .field("name_server_address", &self.name_server_address)
            .field("broker_address", &self.broker_address)
            .field("store", &self.folder.path)
            .finish_non_exhaustive()
    }
}

impl Broker {
    /// Starts a name server and a broker on the present tokio runtime; both serve when this
    /// returns.
    ///
    /// # Errors
    /// An address cannot be listened on, or the store does not open. Nothing is left running, and
    /// nothing that was there is changed.
    pub async fn start(options: Options) -> Result<Self, StartError> {
        let allow_public = options.allow_public;
        let usual = NamedListener {
            name: String::new(),
            name_server_address: options.name_server_address,
            broker_address: options.broker_address,
            advertised: None,
        };
        let entrances: Vec<Entrance> = std::iter::once(usual)
            .chain(options.listeners)
            .map(|listener| Entrance::open(listener, allow_public))
            .collect::<Result<_, _>>()?;
        let listeners: Vec<_> = entrances.iter().map(Entrance::addresses).collect();
        let usual = listeners.first().cloned().ok_or(StartError::Store(StoreError::Closed))?;
        let broker_address = usual.broker;
        let http_address = options.http_address.as_deref();
        let http = http_address.map(|address| listen("HTTP server", address, allow_public));
        let http = http.transpose()?;
        let (clock, mover) = options.time.start();
        let liveness = Liveness::new(Arc::clone(&clock));
        let folder = Folder::new(options.store)?;
        let place = Place { disk: Arc::clone(&options.disk), root: folder.path.clone() };
        let name_server = Directory::open(liveness.clone(), options.name_server, Some(place))?;
        let name_server = Arc::new(name_server);
        let config = options.settings;
        let is_explicit = !config.advertised_ip.is_empty();
        let registrar = Registrar::new(&config, broker_address, Some(Arc::clone(&name_server)));
        let registered = registrar.address().to_owned();
        name_server.set_here(reachable_by(&entrances, registered, is_explicit));
        let core = open(Opening {
            root: &folder.path,
            config,
            super_user: options.super_user.as_ref(),
            clock,
            liveness,
            disk: options.disk,
            registrar,
            address: broker_address,
        })?;
        let broker = Self {
            core: Arc::new(core),
            name_server,
            name_server_address: usual.name_server,
            broker_address,
            listeners,
            http_address: http.as_ref().map(|http| http.address),
            mover,
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            folder,
        };
        broker.core.register_here();
        broker.serve(entrances);
        broker.watch_over(http);
        broker.spawn_background();
        Ok(broker)
    }

    /// Where the name server listens.
    pub fn name_server_address(&self) -> SocketAddr {
        self.name_server_address
    }

    /// Where the broker listens.
    pub fn broker_address(&self) -> SocketAddr {
        self.broker_address
    }

    /// Where health and metrics are served, if they are.
    pub fn http_address(&self) -> Option<SocketAddr> {
        self.http_address
    }

    /// The named listeners of [`Options::listeners`].
    pub fn listeners(&self) -> &[ListenerAddresses] {
        self.listeners.get(1..).unwrap_or_default()
    }

    /// Where a named listener of [`Options::listeners`] listens.
    pub fn listener(&self, name: &str) -> Option<&ListenerAddresses> {
        self.listeners().iter().find(|listener| &*listener.name == name)
    }

    /// The store's folder.
    pub fn store_path(&self) -> &Path {
        &self.folder.path
    }

    /// The clock that the broker lives by.
    pub fn clock(&self) -> SharedClock {
        Arc::clone(&self.core.clock)
    }

    /// What opening the store found.
    pub fn recovery(&self) -> &RecoveryReport {
        self.core.store.recovery()
    }

    /// Moves the broker's time ahead, and returns when what is due by then is done: delayed
    /// messages are in their topics, waiting pulls and locks have ended. Connections live on,
    /// although no heartbeat came in the time skipped.
    pub async fn advance(&self, duration: Duration) {
        let core = &*self.core;
        core.liveness.skip(duration);
        // What was sent before this moment comes out in the order of its times.
        if let Err(error) = core.timer.take_in(core) {
            tracing::warn!(%error, "timed messages cannot be taken in yet");
        }
        self.mover.advance(duration).await;
        core.events.alarm.due(core.clock.monotonic()).into_iter().for_each(Wake::wake);
        for delivered in [core.schedule.deliver_due(core), core.timer.deliver_due(core)] {
            if let Err(error) = delivered {
                tracing::warn!(%error, "delayed messages cannot be delivered yet");
            }
        }
        check_transactions(core);
        core.statistics.sample(core.clock.monotonic(), core.clock.now_ms());
        clean(core);
        core.expire_clients();
        self.name_server.expire();
        save_progress(core);
    }

    /// Stops cleanly: takes leave of name servers, ends the connections, saves progress, and closes
    /// the store. What is under way has three seconds.
    ///
    /// # Errors
    /// Something could not be saved; the broker is stopped all the same.
    pub async fn stop(self) -> Result<(), StartError> {
        self.stop_within(STOP_WAIT).await
    }

    /// The same with another time for what is under way. In this order: the name servers forget the
    /// broker; sends are refused; pulls that wait are answered, and sends that wait for the disk once
    /// it has them; connections that have their answers are closed; progress is saved and the store
    /// closed. Whoever has not taken its answers when the time is up is cut off.
    ///
    /// # Errors
    /// As [`stop`](Self::stop).
    pub async fn stop_within(self, patience: Duration) -> Result<(), StartError> {
        let clock = system_clock();
        let until = clock.monotonic().saturating_add(patience);
        tracing::info!("stopping");
        let core = &*self.core;
        core.registrar.leave_here();
        let goodbyes = other_name_servers(&core.config)
            .map(|address| registration::unregister_from(address, core));
        let all = async {
            for goodbye in goodbyes {
                goodbye.await;
            }
        };
        if clock::timeout(&*clock, patience / 2, all).await.is_err() {
            tracing::warn!("some name servers did not hear that the broker stops");
        }
        core.set_stopping();
        core.events.long_poll.wake_all(Wake::wake);
        let store = Arc::clone(&core.store);
        let flushed = tokio::task::spawn_blocking(move || store.flush()).await;
        if let Ok(Err(error)) = flushed {
            tracing::error!(%error, "not everything is on the disk");
        }
        self.end_tasks(until.saturating_sub(clock.monotonic())).await;
        let now = core.clock.now_ms();
        let saved = core
            .offsets
            .save(now)
            .and(core.schedule.save(&core.store, now))
            .and(core.timer.save_last(&core.store, now));
        core.store.close()?;
        Ok(saved?)
    }

    /// Ends at once, as a crash of the process would, and returns when the store's folder is free.
    pub async fn kill(self) {
        self.end_tasks(STOP_WAIT).await;
    }

    async fn end_tasks(&self, patience: Duration) {
        self.stop.cancel();
        self.tasks.close();
        let clock = system_clock();
        if clock::timeout(&*clock, patience, self.tasks.wait()).await.is_ok() {
            return;
        }
        tracing::warn!("some clients did not take their answers in time: they are cut off");
        self.core.connections.close_all();
        self.name_server.close_all();
        if clock::timeout(&*clock, CUT_OFF_WAIT, self.tasks.wait()).await.is_err() {
            tracing::warn!("some tasks did not end in time");
        }
    }

    fn serve(&self, entrances: Vec<Entrance>) {
        let (clock, stop, tasks) = (&self.core.clock, &self.stop, &self.tasks);
        for (id, entrance) in entrances.into_iter().enumerate() {
            let sockets = entrance.name_server.sockets;
            name_server::serve(&self.name_server, sockets, id, clock, stop, tasks);
            for socket in entrance.broker.sockets {
                let core = Arc::clone(&self.core);
                let connections = Arc::clone(&core.connections);
                let listener = Listener { socket, connections, clock: Arc::clone(clock) };
                let session =
                    move |peer, handle| BrokerSession::new(Arc::clone(&core), peer, handle);
                tasks.spawn(listener.run(stop.clone(), tasks.clone(), session));
            }
        }
    }

    /// Serves health and metrics.
    fn watch_over(&self, http: Option<Sockets>) {
        let directory = Arc::clone(&self.name_server);
        let operations = Arc::new(BrokerOperations::new(Arc::clone(&self.core), directory));
        for socket in http.into_iter().flat_map(|http| http.sockets) {
            let (stop, tasks) = (self.stop.clone(), self.tasks.clone());
            let operations = Arc::clone(&operations) as Arc<_>;
            self.tasks.spawn(operations::serve(socket, operations, stop, tasks));
        }
    }

    fn spawn_background(&self) {
        let core = Arc::downgrade(&self.core);
        self.background(schedule::run(core.clone()));
        self.background(schedule::run_timer(core.clone()));
        self.background(save_timer_after_changes(core.clone(), self.tasks.clone()));
        self.background(watch_alarm(core.clone()));
        self.background(save_periodically(core.clone(), self.tasks.clone()));
        self.background(expire_periodically(core.clone()));
        let name_server = Arc::downgrade(&self.name_server);
        self.background(name_server::expire_periodically(name_server, self.clock()));
        self.background(check_periodically(core.clone()));
        self.background(sample_periodically(core.clone()));
        // In a time that stands still between moves, each move cleans.
        if !matches!(self.mover, Mover::Virtual(_)) {
            self.background(clean_again_and_again(core.clone()));
        }
        self.background(register_here_periodically(core.clone()));
        for address in other_name_servers(&self.core.config) {
            self.background(registration::register_with(address.to_owned(), core.clone()));
        }
    }

    fn background(&self, work: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            stop.run_until_cancelled(work).await;
        });
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.stop.cancel();
        self.tasks.close();
    }
}

/// The store's folder, removed with the broker if it is a temporary one.
#[derive(Debug)]
struct Folder {
    path: PathBuf,
    is_temporary: bool,
}

impl Folder {
    fn new(given: Option<PathBuf>) -> Result<Self, StoreError> {
        let is_temporary = given.is_none();
        let path = given.unwrap_or_else(|| {
            std::env::temp_dir().join(format!("broker-dev-{:016x}", fastrand::u64(..)))
        });
        std::fs::create_dir_all(&path)
            .map_err(|error| StoreError::io(&path, "create the folder", error))?;
        Ok(Self { path, is_temporary })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.is_temporary
            && let Err(error) = std::fs::remove_dir_all(&self.path)
        {
            tracing::warn!(folder = %self.path.display(), %error, "a temporary store stays behind");
        }
    }
}

/// What a broker is opened with.
struct Opening<'a> {
    root: &'a Path,
    config: BrokerConfig,
    super_user: Option<&'a Credentials>,
    clock: SharedClock,
    liveness: Liveness,
    disk: Arc<dyn Disk>,
    registrar: Registrar,
    address: SocketAddr,
}

/// Opens the store and everything that is kept beside it.
fn open(opening: Opening<'_>) -> Result<Core, StartError> {
    let Opening { root, config, super_user, clock, liveness, disk, registrar, address } = opening;
    let events = Arc::new(Events::default());
    let store = Store::open(
        store_options(&*disk, root, &config),
        Arc::clone(&clock),
        Arc::clone(&disk),
        Arc::clone(&events) as Arc<_>,
    )?;
    let topics = Topics::open(MetaFile::new(Arc::clone(&disk), root, "topics.json"), &config)?;
    let groups_file = MetaFile::new(Arc::clone(&disk), root, "subscriptionGroup.json");
    let groups = Groups::open(groups_file, &config)?;
    let offsets = Offsets::open(MetaFile::new(Arc::clone(&disk), root, "consumerOffset.json"))?;
    let switches =
        Switches { authentication: config.authentication, authorization: config.authorization };
    let auth_file = MetaFile::new(Arc::clone(&disk), root, "auth.json");
    let auth = Auth::open(auth_file, &config.cluster, switches, super_user)?;
    let schedule_file = MetaFile::new(Arc::clone(&disk), root, "delayOffset.json");
    let schedule = Schedule::open(schedule_file, &store)?;
    let timer = Timer::open(&config, &store, disk, clock.now_ms())?;
    recover_topics(&topics, &store);
    Ok(Core::new(Parts {
        store_host: store_host(&config, address),
        entropy: [fastrand::u32(..), fastrand::u32(..), fastrand::u32(..)],
        config,
        clock,
        liveness,
        store,
        events,
        topics,
        groups,
        offsets,
        auth,
        schedule,
        timer,
        registrar,
    }))
}

fn store_options(disk: &dyn Disk, root: &Path, config: &BrokerConfig) -> StoreOptions {
    StoreOptions {
        queue_kinds: saved_queue_kinds(disk, root),
        batch_queue_file_bytes: config.batch_queue_file_bytes,
        queue_extensions: config.queue_extensions,
        extension_file_bytes: config.extension_file_bytes,
        multi_dispatch: config.light_topics && config.multi_dispatch,
        max_light_topics: config.max_light_topics as usize,
        max_open_queue_files: config.max_open_queue_files as usize,
        root: root.to_owned(),
        commit_log_file_bytes: config.commit_log_file_bytes,
        consume_queue_file_bytes: config.consume_queue_file_bytes,
        flush: config.flush,
        flush_interval: config.flush_interval.into(),
        flush_least_pages: config.flush_least_pages,
        flush_thorough_interval: config.flush_thorough_interval.into(),
        append_record_crc: config.append_record_crc,
        verify_record_crc: config.verify_record_crc,
        sync_flush_timeout: config.sync_flush_timeout.into(),
        max_message_bytes: config.max_message_bytes as usize,
        message_index: config.message_index,
        index_slots: config.index_slots,
        index_entries: config.index_entries,
        max_query_messages: config.max_query_messages as usize,
        retention: retention_options(config),
        delay_levels_ms: config.delay_levels.delays_ms().to_vec(),
        ..StoreOptions::default()
    }
}

/// Differs: Apache takes at most 90 and 85 percent for the two higher marks.
fn retention_options(config: &BrokerConfig) -> RetentionOptions {
    let part = |percent: u32, least: u32| f64::from(percent.clamp(least, 100)) / 100.0;
    RetentionOptions {
        reserved: Duration::from_secs(u64::from(config.reserved_hours) * 3_600),
        delete_hours: config.delete_hours.0.clone(),
        max_used: part(config.disk_max_used, 10),
        clean_forcibly: part(config.disk_clean_forcibly, 30),
        warning: part(config.disk_warning, 35),
        may_clean_forcibly: config.clean_forcibly,
        batch: config.delete_file_batch as usize,
        file_interval: config.delete_file_interval.into(),
        interval: config.clean_interval.into(),
        force_after: config.delete_file_forcibly_after.into(),
    }
}

/// Topics whose messages are there while their configuration is not (a crash came between) are made
/// anew, with as many queues as have messages.
fn recover_topics(topics: &Topics, store: &Store) {
    for topic in store.topics() {
        let is_known = topics.get(&topic).is_some() || names::is_light_topic(&topic);
        let last = if is_known { None } else { store.queues_of(&topic).pop() };
        let Some(last) = last else { continue };
        let queues = last.saturating_add(1);
        tracing::warn!(%topic, queues, "messages of an unknown topic: it is made anew");
        let mut config = TopicConfig::new(&*topic, queues, 6);
        set_queue_kind(&mut config, store.queue_kind(&topic));
        topics.recover(config);
    }
}

/// The address that goes into records and message ids: one that can be connected to.
fn store_host(config: &BrokerConfig, address: SocketAddr) -> SocketAddr {
    let ip = match config.advertised_ip.parse::<IpAddr>() {
        Ok(advertised) => advertised,
        Err(_) if address.ip().is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        Err(_) => address.ip(),
    };
    SocketAddr::new(ip, address.port())
}

fn other_name_servers(config: &BrokerConfig) -> impl Iterator<Item = &str> {
    config.name_servers.split(';').map(str::trim).filter(|address| !address.is_empty())
}

fn system_clock() -> SharedClock {
    clock::SystemClock::shared()
}

fn save_progress(core: &Core) {
    let now = core.clock.now_ms();
    for saved in [
        core.offsets.save(now),
        core.schedule.save(&core.store, now),
        core.timer.save(&core.store, now),
    ] {
        if let Err(error) = saved {
            tracing::error!(%error, "progress cannot be saved");
        }
    }
}

async fn watch_alarm(core: Weak<Core>) {
    let Some((events, clock)) =
        core.upgrade().map(|core| (Arc::clone(&core.events), Arc::clone(&core.clock)))
    else {
        return;
    };
    events.alarm.watch(&*clock, Wake::wake).await;
}

/// Calls `work` again and again, `period` apart, as long as the broker is there.
async fn periodically(
    core: Weak<Core>,
    period: impl Fn(&Core) -> Duration,
    work: impl Fn(&Arc<Core>),
) {
    loop {
        let Some(sleep) = core.upgrade().map(|core| {
            let until = core.clock.monotonic() + period(&core).max(Duration::from_millis(1));
            core.clock.sleep_until(until)
        }) else {
            return;
        };
        sleep.await;
        let Some(core) = core.upgrade() else { return };
        work(&core);
    }
}

/// Removes what is expired by now.
fn clean(core: &Core) {
    if let Err(error) = core.store.clean_expired() {
        tracing::warn!(%error, "old files cannot be removed yet");
    }
}

/// Removes old files one after another, with the pauses that the store asks for.
async fn clean_again_and_again(core: Weak<Core>) {
    let mut wait = FIRST_CLEANING;
    loop {
        let Some(sleep) =
            core.upgrade().map(|core| core.clock.sleep_until(core.clock.monotonic() + wait))
        else {
            return;
        };
        sleep.await;
        let Some(core) = core.upgrade() else { return };
        let interval = core.config.clean_interval.into();
        // Removing a large file takes the disk a while.
        let step = tokio::task::spawn_blocking(move || core.store.retention_step()).await;
        wait = match step {
            Ok(Ok(step)) => step.wait,
            Ok(Err(error)) => {
                tracing::warn!(%error, "old files cannot be removed yet");
                interval
            }
            Err(_) => interval,
        }
        .max(Duration::from_millis(1));
    }
}

async fn save_periodically(core: Weak<Core>, tasks: TaskTracker) {
    let period = |core: &Core| {
        Duration::from(core.config.save_offsets_interval.min(core.config.save_delay_interval))
    };
    periodically(core, period, |core| {
        // Saving waits for the disk: not on a thread that serves connections. Whoever ends the
        // broker waits for it.
        let core = Arc::clone(core);
        tasks.spawn_blocking(move || save_progress(&core));
    })
    .await;
}

/// Brings the timer's files to the disk some time after they have changed. Nothing ticks while
/// nothing changes.
async fn save_timer_after_changes(core: Weak<Core>, tasks: TaskTracker) {
    loop {
        let Some(events) = core.upgrade().map(|core| Arc::clone(&core.events)) else { return };
        events.timer_changed.notified().await;
        let Some(sleep) = core.upgrade().map(|core| {
            let interval = Duration::from(core.config.timer_flush_interval);
            core.clock.sleep_until(core.clock.monotonic() + interval)
        }) else {
            return;
        };
        sleep.await;
        let Some(core) = core.upgrade() else { return };
        let saving = tasks.spawn_blocking(move || {
            if let Err(error) = core.timer.save(&core.store, core.clock.now_ms()) {
                tracing::error!(%error, "the timer's progress cannot be saved");
                core.events.timer_changed.notify_one();
            }
        });
        if saving.await.is_err() {
            return;
        }
    }
}

async fn expire_periodically(core: Weak<Core>) {
    periodically(core, |_| EXPIRY_SCAN, |core| core.expire_clients()).await;
}

/// Asks producers about their open transactions, if it is time to.
fn check_transactions(core: &Core) {
    match core.checks.round_if_due(core) {
        Ok(0) => {}
        Ok(asked) => tracing::info!(asked, "producers are asked about open transactions"),
        Err(error) => tracing::warn!(%error, "open transactions cannot be looked after yet"),
    }
}

async fn check_periodically(core: Weak<Core>) {
    let period = |core: &Core| Duration::from(core.config.transaction_check_interval);
    periodically(core, period, |core| check_transactions(core)).await;
}

async fn sample_periodically(core: Weak<Core>) {
    let sample = |core: &Arc<Core>| {
        core.statistics.sample(core.clock.monotonic(), core.clock.now_ms());
    };
    periodically(core, |_| statistics::SAMPLE_EVERY, sample).await;
}

async fn register_here_periodically(core: Weak<Core>) {
    let period = |core: &Core| {
        Duration::from(core.config.register_period)
            .clamp(Duration::from_secs(10), Duration::from_secs(60))
    };
    periodically(core, period, |core| core.register_here()).await;
}
