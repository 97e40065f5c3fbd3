//! The index as the store's users and Apache's broker see it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use oxmq::clock::VirtualClock;
use oxmq::protocol::message::record::Record;
use oxmq::protocol::message::sys_flag;
use oxmq::protocol::message::tags::java_hash;

use super::Geometry;
use crate::store::disk::{Call, Disk, FaultyDisk, MemoryDisk, RealDisk};
use crate::store::{PutMessage, Store, StoreError, StoreOptions};

const NOW_MS: i64 = 1_700_000_000_000;
const SMALL: Geometry = Geometry { slots: 7, entries: 12 };
const EVER: (i64, i64) = (0, i64::MAX);

fn options(root: &Path) -> StoreOptions {
    StoreOptions {
        root: root.to_path_buf(),
        commit_log_file_bytes: 4096,
        consume_queue_file_bytes: 400,
        index_slots: SMALL.slots,
        index_entries: SMALL.entries,
        flush_interval: Duration::from_secs(3600),
        checkpoint_interval: Duration::from_secs(3600),
        ..StoreOptions::default()
    }
}

/// A store whose clock stands still unless it is moved.
struct World {
    store: Arc<Store>,
    clock: Arc<VirtualClock>,
}

fn open_with(options: StoreOptions, disk: Arc<dyn Disk>, now_ms: i64) -> World {
    let clock = Arc::new(VirtualClock::new(now_ms));
    let store = Store::open(options, clock.clone(), disk, Arc::new(())).unwrap();
    World { store, clock }
}

fn open(root: &Path) -> World {
    open_with(options(root), Arc::new(RealDisk), NOW_MS)
}

impl World {
    fn try_put(&self, topic: &str, properties: &str, sys_flag: i32) -> Result<i64, StoreError> {
        let message = PutMessage {
            topic,
            queue_id: 0,
            flag: 0,
            sys_flag,
            born_timestamp: 1,
            born_host: ([127, 0, 0, 1], 1000).into(),
            store_host: ([127, 0, 0, 1], 10911).into(),
            reconsume_times: 0,
            prepared_transaction_offset: 0,
            body: b"body",
            properties,
        };
        let mut out = Vec::new();
        self.store.put(&[message], &mut out)?;
        let shared = self.store.shared();
        // A failure is told by the next put.
        let _ = shared.index_line.as_ref().map(|line| line.catch_up(shared));
        Ok(out[0].physical_offset)
    }

    fn put(&self, topic: &str, unique: &str, keys: &str) -> i64 {
        let properties = format!("KEYS\u{1}{keys}\u{2}UNIQ_KEY\u{1}{unique}\u{2}");
        self.try_put(topic, &properties, 0).unwrap()
    }

    /// Log offsets of what is found, and whether there may be more.
    fn find(&self, topic: &str, key: &str, max: usize, (from, to): (i64, i64)) -> (Vec<i64>, bool) {
        let found = self.store.query(topic, key, max, from, to).unwrap();
        let offset =
            |record: &bytes::Bytes| Record::decode(record).unwrap().unwrap().0.physical_offset;
        (found.records.iter().map(offset).collect(), found.more)
    }

    fn all(&self, topic: &str, key: &str) -> Vec<i64> {
        self.find(topic, key, usize::MAX, EVER).0
    }

    async fn pass(&self, ms: u64) {
        self.clock.advance(Duration::from_millis(ms)).await;
    }
}

fn files(root: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(root.join("index")) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Apache's `IndexFile` and `IndexService`, written down once more.
#[derive(Default)]
struct Model {
    files: Vec<Vec<u8>>,
}

impl Model {
    fn number<const N: usize>(file: &[u8], at: usize) -> i64 {
        file[at..at + N].iter().fold(0, |number, byte| number << 8 | i64::from(*byte))
    }

    fn set(file: &mut [u8], at: usize, bytes: &[u8]) {
        file[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn put(&mut self, topic_and_key: &str, offset: i64, store_ms: i64) {
        let is_full = |file: &Vec<u8>| Self::number::<4>(file, 36) >= i64::from(SMALL.entries);
        if self.files.last().is_none_or(is_full) {
            let mut file = vec![0; usize::try_from(SMALL.file_bytes()).unwrap()];
            if let Some(last) = self.files.last() {
                let end: (Vec<u8>, Vec<u8>) = (last[8..16].to_vec(), last[24..32].to_vec());
                for (at, value) in [(0, &end.0), (8, &end.0), (16, &end.1), (24, &end.1)] {
                    Self::set(&mut file, at, value);
                }
            }
            self.files.push(file);
        }
        let file = self.files.last_mut().unwrap();
        let hash = java_hash(topic_and_key).checked_abs().unwrap_or(0);
        let slot = 40 + 4 * (usize::try_from(hash).unwrap() % SMALL.slots as usize);
        let count = Self::number::<4>(file, 36).max(1);
        let begin = Self::number::<8>(file, 0);
        let seconds = if begin <= 0 { 0 } else { ((store_ms - begin) / 1000).max(0) };
        let before = file[slot..slot + 4].to_vec();
        let entry = 40 + 4 * SMALL.slots as usize + 20 * usize::try_from(count).unwrap();
        Self::set(file, entry, &hash.to_be_bytes());
        Self::set(file, entry + 4, &offset.to_be_bytes());
        Self::set(file, entry + 12, &seconds.to_be_bytes()[4..]);
        Self::set(file, entry + 16, &before);
        Self::set(file, slot, &count.to_be_bytes()[4..]);
        if count == 1 {
            Self::set(file, 0, &store_ms.to_be_bytes());
            Self::set(file, 16, &offset.to_be_bytes());
        }
        let used = Self::number::<4>(file, 32) + i64::from(before == [0; 4]);
        Self::set(file, 8, &store_ms.to_be_bytes());
        Self::set(file, 24, &offset.to_be_bytes());
        Self::set(file, 32, &used.to_be_bytes()[4..]);
        Self::set(file, 36, &(count + 1).to_be_bytes()[4..]);
    }
}

/// Messages with one to three keys, some seconds apart, and what Apache's broker writes for them.
async fn fill(world: &World, from: usize, messages: usize, model: &mut Model) -> Vec<i64> {
    let mut offsets = Vec::new();
    for n in from..from + messages {
        world.pass(700).await;
        let keys = ["", "a", "a b"][n % 3];
        let unique = format!("U{n}");
        let offset = world.put("T", &unique, keys);
        let now = NOW_MS + 700 * (n as i64 + 1);
        model.put(&format!("T#{unique}"), offset, now);
        for key in keys.split(' ').filter(|key| !key.is_empty()) {
            model.put(&format!("T#{key}"), offset, now);
        }
        offsets.push(offset);
    }
    offsets
}

fn assert_model(root: &Path, model: &Model) {
    let found: Vec<Vec<u8>> = files(root).iter().map(|path| fs::read(path).unwrap()).collect();
    assert_eq!(found.len(), model.files.len());
    for (nth, (found, expected)) in found.iter().zip(&model.files).enumerate() {
        assert!(found == expected, "file {nth} differs\n{found:?}\n{expected:?}");
    }
}

#[tokio::test]
async fn the_files_have_apaches_bytes_also_after_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let mut model = Model::default();
    let mut done = 0;
    for life in 0..6 {
        let now = NOW_MS + 700 * done as i64;
        let world = open_with(options(folder.path()), Arc::new(RealDisk), now);
        assert_model(folder.path(), &model);
        fill(&world, done, 11, &mut model).await;
        done += 11;
        assert_model(folder.path(), &model);
        if life % 2 == 0 {
            world.store.close().unwrap();
        }
    }
    let names = files(folder.path());
    assert!(names.len() > 8);
    let is_name =
        |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().parse::<u64>().is_ok();
    assert!(names.iter().all(is_name));
}

#[tokio::test]
async fn a_query_finds_the_newest_within_its_bounds() {
    let folder = tempfile::tempdir().unwrap();
    let world = open(folder.path());
    let offsets = fill(&world, 0, 30, &mut Model::default()).await;
    let with_b: Vec<i64> = offsets.iter().skip(2).step_by(3).copied().collect();
    assert_eq!(world.find("T", "b", 100, EVER), (with_b.clone(), false));
    assert_eq!(world.find("T", "b", 10, EVER), (with_b.clone(), false));
    assert_eq!(world.find("T", "b", 4, EVER), (with_b[6..].to_vec(), true));
    assert_eq!(world.find("T", "b", 0, EVER), (vec![], false));
    assert_eq!(world.all("T", "U17"), [offsets[17]]);
    for (topic, key) in [("t", "b"), ("T", "B"), ("T", "a b"), ("T", ""), ("T#a", "b")] {
        assert_eq!(world.all(topic, key), [0i64; 0], "{topic} {key}");
    }
    // The nth message was stored at 700 × (n + 1) ms: both ends of a range count.
    let at = |n: i64| NOW_MS + 700 * (n + 1);
    assert_eq!(world.find("T", "b", 100, (at(5), at(14))).0, with_b[1..5]);
    assert_eq!(world.find("T", "b", 100, (at(5) + 1, at(14) - 1)).0, with_b[2..4]);
    assert_eq!(world.find("T", "b", 100, (at(14), at(5))).0, [0i64; 0]);
    assert_eq!(world.find("T", "b", 100, (at(31), i64::MAX)).0, [0i64; 0]);
    let found = world.store.query("T", "b", 1, 0, i64::MAX).unwrap();
    assert_eq!(found.index_last_update_timestamp, at(29));
    assert_eq!(found.index_last_update_offset, offsets[29]);
}

#[test]
fn what_is_indexed_is_what_apache_indexes() {
    let folder = tempfile::tempdir().unwrap();
    let world = open(folder.path());
    let twice = world.try_put("T", "KEYS\u{1}k k\u{2}", 0).unwrap();
    let half = world.try_put("H", "UNIQ_KEY\u{1}k\u{2}", sys_flag::TRANSACTION_PREPARED).unwrap();
    world.try_put("T", "UNIQ_KEY\u{1}k\u{2}", sys_flag::TRANSACTION_ROLLBACK).unwrap();
    let commit = world.try_put("T", "UNIQ_KEY\u{1}k\u{2}", sys_flag::TRANSACTION_COMMIT).unwrap();
    assert_eq!(world.all("T", "k"), [twice, commit]);
    assert_eq!(world.all("H", "k"), [half]);
    world.store.delete_topic("T").unwrap();
    assert_eq!(world.all("T", "k"), [0i64; 0]);
    let again = world.try_put("T", "UNIQ_KEY\u{1}k\u{2}", 0).unwrap();
    assert_eq!(world.all("T", "k"), [again]);
}

#[test]
fn a_store_without_index_finds_nothing_and_one_that_gets_it_later_everything() {
    let folder = tempfile::tempdir().unwrap();
    let without = StoreOptions { message_index: false, ..options(folder.path()) };
    for is_clean in [true, false] {
        let _ = fs::remove_dir_all(folder.path());
        let world = open_with(without.clone(), Arc::new(RealDisk), NOW_MS);
        let offsets: Vec<i64> = (0..40).map(|n| world.put("T", &format!("U{n}"), "k")).collect();
        assert_eq!(world.all("T", "k"), [0i64; 0]);
        assert!(!folder.path().join("index").exists());
        if is_clean {
            world.store.close().unwrap();
        }
        drop(world);
        assert_eq!(open(folder.path()).all("T", "k"), offsets);
    }
}

#[test]
fn the_geometry_of_existing_files_overrules_the_options() {
    let folder = tempfile::tempdir().unwrap();
    let world = open(folder.path());
    let mut offsets: Vec<i64> = (0..9).map(|n| world.put("T", &format!("U{n}"), "k")).collect();
    world.store.close().unwrap();
    drop(world);
    let other = StoreOptions { index_entries: 1_000, ..options(folder.path()) };
    let world = open_with(other, Arc::new(RealDisk), NOW_MS);
    offsets.extend((9..20).map(|n| world.put("T", &format!("U{n}"), "k")));
    assert_eq!(world.all("T", "k"), offsets);
    let lengths: BTreeSet<u64> =
        files(folder.path()).iter().map(|file| fs::metadata(file).unwrap().len()).collect();
    assert_eq!(lengths, BTreeSet::from([SMALL.file_bytes()]));
    world.store.close().unwrap();
    drop(world);
    // Where neither number is right the files are made again.
    let other = StoreOptions { index_slots: 9, index_entries: 1_000, ..options(folder.path()) };
    assert_eq!(open_with(other, Arc::new(RealDisk), NOW_MS).all("T", "k"), offsets);
}

/// After a clean stop, whatever happens to the files: what is missing comes from the log.
#[tokio::test]
async fn missing_torn_and_foreign_files_are_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let world = open(folder.path());
    let offsets = fill(&world, 0, 40, &mut Model::default()).await;
    world.store.close().unwrap();
    drop(world);
    let good: Vec<(PathBuf, Vec<u8>)> = files(folder.path())
        .into_iter()
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    type Damage = fn(&Path, &[u8]);
    let damages: [(&str, Damage); 6] = [
        ("missing", |path, _| fs::remove_file(path).unwrap()),
        ("empty", |path, _| fs::write(path, b"").unwrap()),
        ("half", |path, bytes| fs::write(path, &bytes[..bytes.len() / 2]).unwrap()),
        ("zeros", |path, bytes| fs::write(path, vec![0; bytes.len()]).unwrap()),
        ("ones", |path, bytes| fs::write(path, vec![0xFF; bytes.len()]).unwrap()),
        ("headless", |path, bytes| {
            fs::write(path, [&[0; 40], &bytes[40..]].concat()).unwrap();
        }),
    ];
    for nth in 0..good.len() {
        for (name, damage) in damages {
            for (path, bytes) in &good {
                fs::write(path, bytes).unwrap();
            }
            damage(&good[nth].0, &good[nth].1);
            let world = open_with(options(folder.path()), Arc::new(RealDisk), NOW_MS);
            for (n, offset) in offsets.iter().enumerate() {
                assert_eq!(world.all("T", &format!("U{n}")), [*offset], "{name} file {nth}");
            }
            world.store.close().unwrap();
            drop(world);
            for path in files(folder.path()) {
                fs::remove_file(path).unwrap();
            }
        }
    }
}

/// A flipped bit may hide a message, and never shows a wrong one.
#[tokio::test]
async fn a_flipped_bit_shows_no_wrong_message() {
    let folder = tempfile::tempdir().unwrap();
    let world = open(folder.path());
    let offsets = fill(&world, 0, 12, &mut Model::default()).await;
    world.store.close().unwrap();
    drop(world);
    let with_b: Vec<i64> = offsets.iter().skip(2).step_by(3).copied().collect();
    let originals: Vec<(PathBuf, Vec<u8>)> = files(folder.path())
        .into_iter()
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    for (path, good) in &originals {
        for at in 0..good.len() {
            for (path, bytes) in &originals {
                fs::write(path, bytes).unwrap();
            }
            let mut bytes = good.clone();
            bytes[at] ^= 1 << (at % 8);
            fs::write(path, &bytes).unwrap();
            let world = open(folder.path());
            let found = world.all("T", "b");
            assert!(found.iter().all(|offset| with_b.contains(offset)), "byte {at}");
            assert!(found.is_sorted_by(|one, next| one < next), "byte {at}");
            world.store.close().unwrap();
        }
    }
}

/// Whatever subset of unsynced sectors a power cut leaves, every record that is left is found.
#[tokio::test]
async fn after_a_power_cut_nothing_is_lost_or_phantom() {
    let root = Path::new("/store");
    for seed in (0..60).step_by(4) {
        let disk = Arc::new(MemoryDisk::with_folder(Path::new("/")).unwrap());
        let world = open_with(options(root), disk.clone(), NOW_MS);
        for n in 0..seed {
            world.pass(500).await;
            world.put("T", &format!("U{n}"), "k");
            if n % 17 == 16 {
                world.store.flush().unwrap();
                let shared = world.store.shared();
                shared.index.as_ref().unwrap().sync_now().unwrap();
                shared.checkpointer.write(shared, true).unwrap();
            }
        }
        let frozen = disk.freeze().unwrap();
        for cut in 0..4 {
            let disk = match cut {
                0 => frozen.killed().unwrap(),
                _ => frozen.after_power_cut(seed * 10 + cut).unwrap(),
            };
            let world = open_with(options(root), Arc::new(disk), NOW_MS + 60_000);
            let kept = usize::try_from(world.store.max_offset("T", 0)).unwrap();
            let mut expected = Vec::new();
            for n in 0..usize::try_from(seed).unwrap() {
                let found = world.all("T", &format!("U{n}"));
                assert_eq!(found.len(), usize::from(n < kept), "seed {seed} cut {cut} message {n}");
                expected.extend(found);
            }
            assert!(cut > 0 || expected.len() as u64 == seed);
            assert_eq!(world.all("T", "k"), expected);
            let next = world.put("T", "next", "k");
            assert_eq!(world.all("T", "k").last(), Some(&next));
        }
    }
}

#[test]
fn whatever_call_fails_each_message_is_indexed_once() {
    for call in [Call::Create, Call::Open, Call::SetLength, Call::Reserve] {
        for nth in 1..12 {
            let folder = tempfile::tempdir().unwrap();
            let disk = Arc::new(FaultyDisk::new(Arc::new(RealDisk)));
            let world = open_with(options(folder.path()), disk.clone(), NOW_MS);
            let mut model = Model::default();
            disk.fail_nth(call, nth, std::io::ErrorKind::StorageFull);
            for n in 0..20 {
                let keys = format!("KEYS\u{1}a b c d\u{2}UNIQ_KEY\u{1}U{n}\u{2}");
                let Ok(offset) = world.try_put("T", &keys, 0) else { continue };
                for key in [&format!("U{n}"), "a", "b", "c", "d"] {
                    model.put(&format!("T#{key}"), offset, NOW_MS);
                }
            }
            // Consume queues are written at the end: the call that fails may come as late as that.
            if world.store.close().is_err() {
                drop(world);
                let again = open_with(options(folder.path()), disk.clone(), NOW_MS);
                again.store.close().unwrap();
            }
            assert_model(folder.path(), &model);
        }
    }
}

#[test]
fn expired_files_go_and_the_newest_stays() {
    let folder = tempfile::tempdir().unwrap();
    let world = open(folder.path());
    let offsets: Vec<i64> = (0..40).map(|n| world.put("T", &format!("U{n}"), "k")).collect();
    let index = world.store.shared().index.as_ref().unwrap();
    let before = files(folder.path()).len();
    // A file has room for eleven entries, two a message.
    assert_eq!(index.remove_expired(offsets[12]).unwrap(), 2);
    assert_eq!(files(folder.path()).len(), before - 2);
    assert_eq!(world.all("T", "k"), offsets[11..]);
    index.remove_expired(i64::MAX).unwrap();
    assert_eq!(files(folder.path()).len(), 1);
    world.store.close().unwrap();
}

#[test]
fn many_old_files_are_mapped_only_as_they_are_asked() {
    let folder = tempfile::tempdir().unwrap();
    let world = open(folder.path());
    let offsets: Vec<i64> = (0..300).map(|n| world.put("T", &format!("U{n}"), "")).collect();
    world.store.close().unwrap();
    drop(world);
    let world = open(folder.path());
    for (n, offset) in offsets.iter().enumerate() {
        assert_eq!(world.all("T", &format!("U{n}")), [*offset]);
    }
    let mapped = world.store.shared().index.as_ref().unwrap().mapped.lock().unwrap().len();
    assert!(mapped <= super::MOST_MAPPED, "{mapped}");
}
