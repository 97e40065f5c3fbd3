//! Records in the commit log: runs, inner batches, addresses, the CRC of a whole record.

use std::net::SocketAddr;

use oxmq::protocol::message::batch::{self, BatchItem};
use oxmq::protocol::message::{record_crc, sys_flag};

use super::*;

fn record_of(store: &Store, put: Put) -> bytes::Bytes {
    store.record_at(put.physical_offset).unwrap()
}

/// What one message more says of itself.
pub(super) fn put_message(store: &Store, message: PutMessage<'_>) -> Result<Put, StoreError> {
    let mut out = Vec::new();
    store.put(&[message], &mut out)?;
    Ok(out[0])
}

#[test]
fn a_run_stands_in_one_file() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let file = 16 * 1024;
    let first = put(&store, "T", 0, &[1; 14 * 1024]).unwrap();
    let body = [2; 1000];
    let messages = [message("T", 0, &body), message("T", 0, &body), message("T", 1, b"alone")];
    let mut out = Vec::new();
    store.put_runs(&messages, std::slice::from_ref(&(0..2)), &mut out).unwrap();
    assert!(i64::from(first.length + out[0].length) < file, "one alone would have fitted");
    assert_eq!(out[0].physical_offset, file);
    assert_eq!(out[1].physical_offset, file + i64::from(out[0].length));
    assert_eq!(out[2].physical_offset, out[1].physical_offset + i64::from(out[1].length));
    assert_eq!(bodies(&store, "T", 0).len(), 3);
    drop(store);
    let store = open(folder.path());
    assert_eq!((store.recovery().records, store.recovery().damaged_count), (4, 0));
}

#[test]
fn a_run_that_is_longer_than_a_file_is_refused_whole() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let body = [0; 9 * 1024];
    let messages = [message("T", 0, &body), message("T", 0, &body)];
    let mut out = Vec::new();
    let error = store.put_runs(&messages, std::slice::from_ref(&(0..2)), &mut out).unwrap_err();
    assert!(matches!(error, StoreError::IllegalMessage { .. }), "{error}");
    assert_eq!((store.commit_log_range(), out.len()), ((0, 0), 0));
    store.put(&messages, &mut out).unwrap();
    assert_eq!(out[1].queue_offset, 1);
}

pub(super) fn inner_batch(bodies: &[&'static str]) -> Vec<u8> {
    let item = |body: &&'static str| BatchItem {
        flag: 0,
        body: bytes::Bytes::from_static(body.as_bytes()),
        properties: String::new(),
    };
    batch::encode(&bodies.iter().map(item).collect::<Vec<_>>()).unwrap().to_vec()
}

pub(super) const WRAPPED: i32 = sys_flag::INNER_BATCH | sys_flag::NEED_UNWRAP;

#[test]
fn an_inner_batch_takes_a_place_for_each_of_its_messages() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let body = inner_batch(&["a", "b", "c"]);
    let wrapped = PutMessage {
        sys_flag: WRAPPED,
        properties: "INNER_NUM\u{1}3\u{2}INNER_BASE\u{1}99\u{2}k\u{1}v",
        ..message("B", 0, &body)
    };
    let mut out = Vec::new();
    store.put(&[wrapped, message("B", 0, b"single"), wrapped], &mut out).unwrap();
    let places: Vec<_> = out.iter().map(|put| put.queue_offset).collect();
    assert_eq!(places, [0, 3, 4]);
    assert_eq!(put(&store, "B", 0, b"after").unwrap().queue_offset, 7);
    for (put, base) in [(out[0], "0"), (out[2], "4")] {
        let bytes = record_of(&store, put);
        let (record, length) = Record::decode(&bytes).unwrap().unwrap();
        assert_eq!(record.property("INNER_BASE"), Some(base));
        assert_eq!((record.property("k"), record.sys_flag & WRAPPED), (Some("v"), WRAPPED));
        assert_eq!(length, put.length as usize);
    }
}

#[test]
fn a_batch_that_miscounts_its_messages_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let body = inner_batch(&["a", "b"]);
    for properties in
        ["", "INNER_NUM\u{1}0\u{2}", "INNER_NUM\u{1}x\u{2}", "INNER_NUM\u{1}30000\u{2}"]
    {
        let wrapped = PutMessage { sys_flag: WRAPPED, properties, ..message("B", 0, &body) };
        let error = put_message(&store, wrapped).unwrap_err();
        assert!(matches!(error, StoreError::IllegalMessage { .. }), "{error}");
    }
    assert_eq!(put(&store, "B", 0, b"x").unwrap().queue_offset, 0);
}

#[test]
fn places_of_a_turn_that_found_no_file_are_given_again() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Arc::new(FaultyDisk::new(Arc::new(RealDisk)));
    let store = open_with(options(folder.path()), disk.clone(), Arc::new(())).unwrap();
    let body = inner_batch(&["a", "b"]);
    let wrapped = PutMessage {
        sys_flag: WRAPPED,
        properties: "INNER_NUM\u{1}2\u{2}",
        ..message("B", 0, &body)
    };
    put(&store, "B", 0, &[0; 7 * 1024]).unwrap();
    disk.fail_from(Call::Create, 1, std::io::ErrorKind::StorageFull);
    let long = [0; 9 * 1024];
    let turn = [wrapped, message("B", 1, b"x"), wrapped, message("B", 0, &long)];
    assert!(matches!(store.put(&turn, &mut Vec::new()), Err(StoreError::Full { .. })));
    disk.heal();
    let mut out = Vec::new();
    store.put(&turn, &mut out).unwrap();
    let places: Vec<_> = out.iter().map(|put| put.queue_offset).collect();
    assert_eq!(places, [1, 0, 3, 5]);
}

#[test]
fn addresses_of_both_families_and_long_topics_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let v4: SocketAddr = ([10, 0, 0, 9], 5).into();
    let v6: SocketAddr = "[2001:db8::7]:10911".parse().unwrap();
    let long = "t".repeat(200);
    for (born_host, store_host, flags) in [(v4, v6, 0x20), (v6, v4, 0x10), (v6, v6, 0x30)] {
        let put =
            put_message(&store, PutMessage { born_host, store_host, ..message(&long, 0, b"x") });
        let bytes = record_of(&store, put.unwrap());
        let (record, _) = Record::decode(&bytes).unwrap().unwrap();
        assert_eq!(
            (record.born_host, record.store_host, record.sys_flag),
            (born_host, store_host, flags)
        );
        assert_eq!(bytes[4..8], 0xDAA3_20AB_u32.to_be_bytes());
    }
    drop(store);
    assert_eq!(open(folder.path()).recovery().records, 3);
}

fn sealing(root: &Path) -> StoreOptions {
    StoreOptions { append_record_crc: true, verify_record_crc: true, ..options(root) }
}

fn open_sealing(root: &Path) -> Arc<Store> {
    open_with(sealing(root), Arc::new(RealDisk), Arc::new(())).unwrap()
}

#[test]
fn a_sealed_record_ends_in_a_crc_of_all_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = open_sealing(folder.path());
    for (given, kept) in
        [("", ""), ("a\u{1}b", "a\u{1}b\u{2}"), ("__CRC32#\u{1}1\u{2}a\u{1}b\u{2}", "a\u{1}b\u{2}")]
    {
        let put = put_message(&store, PutMessage { properties: given, ..message("T", 0, b"x") });
        let bytes = record_of(&store, put.unwrap());
        let (record, _) = Record::decode(&bytes).unwrap().unwrap();
        assert_eq!(record.properties.len(), kept.len() + record_crc::LENGTH);
        assert!(record.properties.starts_with(kept));
        assert_eq!(record_crc::verify(&bytes, record.properties), Ok(true));
    }
    let body = inner_batch(&["a", "b"]);
    let wrapped = PutMessage {
        sys_flag: WRAPPED,
        properties: "INNER_NUM\u{1}2\u{2}",
        ..message("B", 0, &body)
    };
    let bytes = record_of(&store, put_message(&store, wrapped).unwrap());
    let (record, _) = Record::decode(&bytes).unwrap().unwrap();
    assert_eq!(record.property("INNER_BASE"), Some("0"));
    assert_eq!(record_crc::verify(&bytes, record.properties), Ok(true));
}

/// Three records; a bit of the second one's head is flipped, in the application's flag.
fn with_a_flipped_flag(root: &Path, seals: bool) {
    let options = StoreOptions { append_record_crc: seals, ..options(root) };
    let store = open_with(options, Arc::new(RealDisk), Arc::new(())).unwrap();
    put(&store, "T", 0, b"one").unwrap();
    let second = put(&store, "T", 0, b"two").unwrap();
    put(&store, "T", 0, b"three").unwrap();
    drop(store);
    let path = root.join("commitlog/00000000000000000000");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[usize::try_from(second.physical_offset).unwrap() + 19] ^= 1;
    std::fs::write(&path, bytes).unwrap();
}

#[test]
fn a_flipped_bit_in_a_sealed_head_is_found_if_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    with_a_flipped_flag(folder.path(), true);
    let store = open_sealing(folder.path());
    assert_eq!((store.recovery().damaged_count, store.recovery().records), (1, 2));
    assert_eq!(bodies(&store, "T", 0), [&b"one"[..], b"three"]);
}

#[test]
fn without_the_option_or_without_a_crc_only_the_body_is_checked() {
    let folder = tempfile::tempdir().unwrap();
    with_a_flipped_flag(folder.path(), true);
    assert_eq!(open(folder.path()).recovery().damaged_count, 0);
    let folder = tempfile::tempdir().unwrap();
    with_a_flipped_flag(folder.path(), false);
    assert_eq!(open_sealing(folder.path()).recovery().damaged_count, 0);
}
