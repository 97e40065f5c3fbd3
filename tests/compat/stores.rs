//! Store folders change hands: what Apache wrote opens in `broker-dev`, what `broker-dev` wrote
//! opens in Apache, and back again, after a clean stop and after `kill -9`.
//!
//! A part of the matrix runs always, all of it with `OXMQ_COMPAT=full`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

mod everything;

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use everything::{Features, GROUP, Inventory, LEDGER, check, fill};
use oxmq_tests::apache::{Cluster, Options};
use oxmq_tests::broker_dev::BrokerDev;
use oxmq_tests::java::Release;
use oxmq_tests::process::Deadline;
use oxmq_tests::release_or_skip;

/// Small, so that the messages fill several and their ends have blanks.
const COMMIT_LOG_FILE_BYTES: i64 = 1 << 20;

/// How a broker ends.
#[derive(Clone, Copy, PartialEq)]
enum Ending {
    Clean,
    Killed,
}

/// Whose broker.
#[derive(Clone, Copy)]
enum Whose<'a> {
    Apache(&'a Release),
    Ours,
    /// With addresses of 16 bytes in every record.
    OursOnIpv6,
}

enum Running {
    Apache(Box<Cluster>),
    Ours(Box<BrokerDev>),
}

impl Whose<'_> {
    fn features(self) -> Features {
        match self {
            Self::Apache(release) => Features::apache(release),
            Self::Ours | Self::OursOnIpv6 => Features::ours(),
        }
    }

    fn start(self, store: &Path) -> Running {
        self.start_with(store, Vec::new())
    }

    fn start_with(self, store: &Path, mut settings: Vec<String>) -> Running {
        settings.push(format!("mappedFileSizeCommitLog={COMMIT_LOG_FILE_BYTES}"));
        settings.push("flushConsumerOffsetInterval=200".to_owned());
        // Nobody is asked about a transaction in the first life of a store.
        let check_ms = if store.exists() { 1_000 } else { 600_000 };
        settings.push(format!("transactionCheckInterval={check_ms}"));
        settings.push(format!("transactionTimeOut={check_ms}"));
        settings.push("transactionCheckMax=1000".to_owned());
        match self {
            Self::Apache(release) => {
                let options =
                    Options { store: Some(store.to_owned()), settings, ..Options::default() };
                Running::Apache(Box::new(Cluster::start(release, &options)))
            }
            Self::Ours | Self::OursOnIpv6 => {
                let has_ipv6 = TcpListener::bind("[::1]:0").is_ok();
                let address = match self {
                    Self::OursOnIpv6 if has_ipv6 => "[::1]:0",
                    _ => "127.0.0.1:0",
                };
                let arguments: Vec<_> =
                    settings.iter().flat_map(|setting| ["--set", setting]).collect();
                Running::Ours(Box::new(BrokerDev::start_on(address, store, &arguments)))
            }
        }
    }
}

impl Running {
    fn broker(&self) -> SocketAddr {
        match self {
            Self::Apache(cluster) => cluster.broker,
            Self::Ours(broker) => broker.broker,
        }
    }

    fn end(self, store: &Path, ending: Ending, inventory: &mut Inventory) {
        if ending == Ending::Killed {
            inventory.is_killed = true;
            wait_for_saved_offsets(store, inventory);
        }
        match (self, ending) {
            (Self::Apache(cluster), Ending::Clean) => cluster.stop(),
            (Self::Apache(cluster), Ending::Killed) => cluster.kill(),
            (Self::Ours(broker), Ending::Clean) => broker.stop(),
            (Self::Ours(broker), Ending::Killed) => broker.kill(),
        }
        assert_eq!(store.join("abort").exists(), ending == Ending::Killed);
    }
}

/// Offsets reach the disk now and then, in both brokers; a killed one has those of the last time.
fn wait_for_saved_offsets(store: &Path, inventory: &Inventory) {
    let deadline = Deadline::after(Duration::from_secs(20));
    let path = store.join("config/consumerOffset.json");
    let offsets = inventory.committed.values().map(|offset| offset.to_string());
    let offsets: Vec<_> = offsets.collect();
    loop {
        let text = fs::read_to_string(&path).unwrap_or_default();
        let has_all = offsets.iter().all(|offset| text.contains(offset));
        if text.contains(&format!("{LEDGER}@{GROUP}")) && has_all {
            return;
        }
        assert!(!deadline.passed(), "offsets are not saved: {text}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// Removes the log's oldest two files, as a broker does that keeps them for some days only.
fn expire(store: &Path, inventory: &mut Inventory) {
    let mut files: Vec<_> =
        fs::read_dir(store.join("commitlog")).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    assert!(files.len() > 3, "{files:?}");
    for file in &files[..2] {
        fs::remove_file(file).unwrap();
    }
    inventory.expire(2 * COMMIT_LOG_FILE_BYTES);
}

/// A store is filled by one broker, checked and filled further by another, and checked again by
/// the first.
fn there_and_back(first: Whose<'_>, second: Whose<'_>, ending: Ending) {
    let _turn = one_at_a_time();
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let features = first.features().common(second.features());
    let mut inventory = Inventory::default();

    let running = first.start(&store);
    fill(running.broker(), features, &mut inventory);
    running.end(&store, ending, &mut inventory);
    expire(&store, &mut inventory);

    let running = second.start(&store);
    check(running.broker(), second.features(), &mut inventory);
    fill(running.broker(), features, &mut inventory);
    running.end(&store, ending, &mut inventory);

    let running = first.start(&store);
    check(running.broker(), first.features(), &mut inventory);
    running.end(&store, Ending::Clean, &mut inventory);
}

/// Queues and index that our engine builds from a log of Apache's are those that Apache built.
fn built_again(release: &Release) {
    let _turn = one_at_a_time();
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let mut inventory = Inventory::default();
    let running = Whose::Apache(release).start_with(&store, everything::derived::settings());
    fill(running.broker(), Whose::Apache(release).features(), &mut inventory);
    running.end(&store, Ending::Clean, &mut inventory);
    everything::derived::built_again_are_the_same(&store);
}

#[test]
fn queues_and_index_of_4_9_7_are_built_again_byte_for_byte() {
    if oxmq_tests::is_full_matrix() {
        built_again(&release_or_skip!("4.9.7"));
    }
}

#[test]
fn queues_and_index_of_5_3_3_are_built_again_byte_for_byte() {
    built_again(&release_or_skip!("5.3.3"));
}

#[test]
fn queues_and_index_of_5_4_0_are_built_again_byte_for_byte() {
    if oxmq_tests::is_full_matrix() {
        built_again(&release_or_skip!("5.4.0"));
    }
}

/// A Java machine takes a gigabyte; one at a time is enough.
fn one_at_a_time() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

macro_rules! stores {
    ($($(#[$always:ident])? $name:ident: $version:literal $first:ident $second:ident $ending:ident;)+) => {
        $(
            #[test]
            fn $name() {
                let is_always = false $(|| stringify!($always) == "always")?;
                if !is_always && !oxmq_tests::is_full_matrix() {
                    return;
                }
                let release = release_or_skip!($version);
                let whose = |name| match name {
                    "apache" => Whose::Apache(&release),
                    "ours_on_ipv6" => Whose::OursOnIpv6,
                    _ => Whose::Ours,
                };
                let (first, second) = (whose(stringify!($first)), whose(stringify!($second)));
                there_and_back(first, second, Ending::$ending);
            }
        )+
    };
}

stores! {
    #[always]
    from_4_9_7_to_ours_and_back_after_kill_9: "4.9.7" apache ours Killed;
    from_ours_to_4_9_7_and_back: "4.9.7" ours apache Clean;
    from_5_3_3_to_ours_and_back_after_kill_9: "5.3.3" apache ours Killed;
    #[always]
    from_ours_on_ipv6_to_5_3_3_and_back: "5.3.3" ours_on_ipv6 apache Clean;
    from_5_4_0_to_ours_and_back: "5.4.0" apache ours Clean;
    #[always]
    from_ours_to_5_4_0_and_back_after_kill_9: "5.4.0" ours apache Killed;
    from_4_9_7_to_ours_and_back: "4.9.7" apache ours Clean;
    from_ours_on_ipv6_to_4_9_7_and_back_after_kill_9: "4.9.7" ours_on_ipv6 apache Killed;
    from_5_3_3_to_ours_and_back: "5.3.3" apache ours Clean;
    from_ours_to_5_3_3_and_back_after_kill_9: "5.3.3" ours apache Killed;
    from_5_4_0_to_ours_and_back_after_kill_9: "5.4.0" apache ours Killed;
    from_ours_to_5_4_0_and_back: "5.4.0" ours apache Clean;
    control_from_4_9_7_to_itself: "4.9.7" apache apache Clean;
    control_from_4_9_7_to_itself_after_kill_9: "4.9.7" apache apache Killed;
    control_from_5_3_3_to_itself: "5.3.3" apache apache Clean;
    control_from_5_3_3_to_itself_after_kill_9: "5.3.3" apache apache Killed;
    control_from_5_4_0_to_itself: "5.4.0" apache apache Clean;
    control_from_5_4_0_to_itself_after_kill_9: "5.4.0" apache apache Killed;
}
