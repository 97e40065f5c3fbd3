//! Every kind of damage to every kind of file: the store opens, or refuses and names the file; what
//! is damaged in the log costs the records that it touches; what is derived costs nothing.

use std::collections::BTreeMap;
use std::path::Path;

use broker_dev::store::{Put, Store};
use oxmq_tests::journal::{Reading, body};
use oxmq_tests::small_store::queue_of;

use crate::image::{Damage, Image, Left};
use crate::readings::read;
use crate::share::share;

const MESSAGES: u64 = 24;

/// Every so many damages are tried with the tests; all of them by command.
fn step(usual: usize) -> usize {
    usual.checked_div(share(1) as usize).unwrap_or(1).max(1)
}

/// The numbers of the messages that a reading has; each with its own body.
fn numbers(reading: &Reading) -> Vec<u64> {
    let mut numbers: Vec<u64> = reading
        .values()
        .flatten()
        .map(|(_, bytes)| u64::from_be_bytes(*bytes.first_chunk().unwrap()))
        .collect();
    assert!(
        reading.values().flatten().all(|(_, bytes)| {
            *bytes == body(u64::from_be_bytes(*bytes.first_chunk().unwrap()))
        })
    );
    numbers.sort_unstable();
    numbers
}

/// Every message by its key.
fn check_keys(store: &Store) {
    for number in 0..MESSAGES {
        let (topic, key) = (queue_of(number).0, format!("k{number}"));
        let found = store.query(topic, &key, 5, 0, i64::MAX).unwrap().records.len();
        assert_eq!(found, 1, "key {key}");
    }
}

/// Damages a kind of file that is derived from the log.
fn derived(left: Left, kind: &str, usual: usize) {
    let (image, _) = Image::of(left, MESSAGES);
    let all = read(&image.open(false).unwrap());
    let files = image.of_kind(kind);
    assert!(!files.is_empty(), "no {kind}");
    let mut opens = 0;
    for file in &files {
        for damage in Damage::all(image.files[file].len()).step_by(step(usual)) {
            let store = image.damaged(file, damage).open(false).unwrap();
            assert_eq!(read(&store), all, "{damage:?} of {}", file.display());
            check_keys(&store);
            opens += 1;
        }
    }
    eprintln!("{kind}: {opens} opens");
}

#[test]
fn damaged_consume_queues_cost_nothing() {
    derived(Left::Doubted, "consumequeue", 47);
}

#[test]
fn damaged_index_files_cost_nothing() {
    derived(Left::Doubted, "index", 293);
}

#[test]
fn a_damaged_checkpoint_costs_nothing() {
    derived(Left::Vouched, "checkpoint", 199);
}

#[test]
fn a_damaged_abort_or_lock_costs_nothing() {
    derived(Left::Vouched, "abort", 1);
    derived(Left::Killed, "lock", 1);
}

/// Bytes of the log that a damage changed, as log offsets.
fn changed(image: &Image, file: &Path, damage: Damage) -> Vec<i64> {
    let before = &image.files[file];
    let mut after = before.clone();
    damage.apply(&mut after);
    after.resize(before.len(), 0);
    let start: i64 = file.file_name().unwrap().to_str().unwrap().parse().unwrap();
    let different = before.iter().zip(&after).zip(start..);
    different.filter(|((old, new), _)| old != new).map(|(_, at)| at).collect()
}

fn holds(put: &Put, at: i64) -> bool {
    (put.physical_offset..put.physical_offset + i64::from(put.length)).contains(&at)
}

/// Opens a log with this damage: no record is lost that it does not touch, and a loss is told.
/// Returns whether the damage was seen.
fn damage_log(image: &Image, puts: &[Put], file: &Path, damage: Damage) -> bool {
    let touched = changed(image, file, damage);
    let store = image.damaged(file, damage).open(true).unwrap();
    let what = format!("{damage:?} of {}", file.display());
    // A field without a check sum may send a record elsewhere; it has its body all the same.
    let found = numbers(&read(&store));
    let mut lost = 0;
    for (number, put) in (0..).zip(puts) {
        let is_touched = touched.iter().any(|at| holds(put, *at));
        let count = found.iter().filter(|found| **found == number).count();
        assert!(is_touched || count == 1, "{what}: message {number} is there {count} times");
        lost += usize::from(count == 0);
    }
    let report = store.recovery();
    let is_told = report.damaged_count > 0 || report.torn_end.is_some();
    let is_at_end = touched.iter().all(|at| *at >= puts.last().unwrap().physical_offset);
    assert!(lost == 0 || is_told || is_at_end, "{what}: {lost} lost: {report:?}");
    lost > 0 || is_told
}

#[test]
fn a_damaged_log_costs_the_records_it_touches() {
    // What a checkpoint vouches for is no write that a power cut took away.
    let (image, puts) = Image::of(Left::Vouched, MESSAGES);
    let mut opens = 0;
    for file in image.of_kind("commitlog") {
        let pages = Damage::all(image.files[&file].len())
            .filter(|damage| !matches!(damage, Damage::Cut(_)))
            .step_by(step(31));
        for damage in pages {
            damage_log(&image, &puts, &file, damage);
            opens += 1;
        }
    }
    eprintln!("commitlog: {opens} opens");
}

#[test]
fn a_log_cut_anywhere_in_its_last_records_loses_what_is_cut() {
    for left in [Left::Killed, Left::Closed] {
        let (image, puts) = Image::of(left, MESSAGES);
        let first = puts[puts.len() - 3].physical_offset;
        let last = puts.last().unwrap();
        for end in (first..last.physical_offset + i64::from(last.length)).step_by(step(17)) {
            let (file, at) = Image::log_place(end);
            let mut cut = image.damaged(&file, Damage::Cut(at));
            let later = |path: &Path| path.starts_with("/store/commitlog") && path > file.as_path();
            cut.files.retain(|path, _| !later(path));
            let store = cut.open(false).unwrap();
            let left: Vec<u64> = (0..)
                .zip(&puts)
                .filter_map(|(number, put)| {
                    (put.physical_offset + i64::from(put.length) <= end).then_some(number)
                })
                .collect();
            assert_eq!(numbers(&read(&store)), left, "cut at {end}");
        }
    }
}

/// Fields of a record of an IPv4 host, by their first byte.
const FIELDS: [(usize, &str, bool); 15] = [
    (0, "totalSize", true),
    (4, "magic", true),
    (8, "bodyCRC", true),
    (12, "queueId", false),
    (16, "flag", false),
    (20, "queueOffset", false),
    (28, "physicalOffset", true),
    (36, "sysFlag", false),
    (40, "bornTimestamp", false),
    (48, "bornHost", false),
    (56, "storeTimestamp", false),
    (64, "storeHost", false),
    (72, "reconsumeTimes", false),
    (76, "preparedTransactionOffset", false),
    (84, "bodyLength", true),
];

/// The field of a byte, and whether every change of it must be seen.
fn field(at: usize, put: &Put, number: u64) -> (&'static str, bool) {
    let body_end = 88 + body(number).len();
    if at >= body_end {
        let topic = queue_of(number).0.len();
        let is_long = topic > 127;
        return match at - body_end {
            0 => ("topicLength", true),
            1 if is_long => ("topicLength", true),
            rest if rest < topic + 1 + usize::from(is_long) => ("topic", false),
            rest if rest < topic + 3 + usize::from(is_long) => ("propertiesLength", true),
            _ => {
                assert!(at < put.length as usize);
                ("properties", false)
            }
        };
    }
    if at >= 88 {
        return ("body", true);
    }
    let nth = FIELDS.partition_point(|(first, ..)| *first <= at) - 1;
    (FIELDS[nth].1, FIELDS[nth].2)
}

#[test]
fn every_bit_of_the_last_record_that_can_be_checked_is() {
    let (image, puts) = Image::of(Left::Killed, MESSAGES);
    let (number, last) = (puts.len() as u64 - 1, puts.last().unwrap());
    let (file, at) = Image::log_place(last.physical_offset);
    let mut unseen: BTreeMap<&str, usize> = BTreeMap::new();
    let mut bits = 0;
    for bit in (0..last.length as usize * 8).step_by(step(3)) {
        let damage = Damage::Flip(at + bit / 8, (bit % 8) as u8);
        let is_seen = damage_log(&image, &puts, &file, damage);
        let (name, must) = field(bit / 8, last, number);
        assert!(is_seen || !must, "bit {bit}, in {name}");
        if !is_seen {
            *unseen.entry(name).or_default() += 1;
        }
        bits += 1;
    }
    let all: usize = unseen.values().sum();
    eprintln!("{all} of {bits} flips cannot be seen in Apache's format: {unseen:?}");
}

#[test]
fn no_bit_of_a_record_with_a_sum_of_its_own_changes_unseen() {
    let (image, puts) = Image::with_record_sums(Left::Killed, MESSAGES);
    let last = puts.last().unwrap();
    let (file, at) = Image::log_place(last.physical_offset);
    // But for the property that names the sum, and the end of the one before: without it there is
    // none.
    let summed = last.length as usize - "\u{2}__CRC32#\u{1}0123456789\u{2}".len();
    for bit in (0..summed * 8).step_by(step(5)) {
        let damage = Damage::Flip(at + bit / 8, (bit % 8) as u8);
        assert!(damage_log(&image, &puts, &file, damage), "bit {bit}");
    }
}
