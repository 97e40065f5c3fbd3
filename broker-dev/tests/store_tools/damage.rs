//! What `verify` says of planted damage.

use broker_dev::store::tools::{FileKind, Finding, Severity};

use crate::world::{edit, files, store, verified};

fn damage(root: &std::path::Path) -> Vec<Finding> {
    let found = verified(root);
    let damage: Vec<Finding> =
        found.findings.into_iter().filter(|one| one.severity == Severity::Damage).collect();
    assert_eq!(found.sound, damage.is_empty());
    damage
}

#[test]
fn a_store_as_it_was_closed_is_sound() {
    let folder = tempfile::tempdir().unwrap();
    store(folder.path());
    let found = verified(folder.path());
    assert!(found.sound && found.clean && !found.in_use, "{found:#?}");
    assert_eq!(
        (found.checked.records, found.checked.units, found.checked.index_entries),
        (65, 65, 130)
    );
    assert_eq!(found.findings, []);
}

#[test]
fn a_flipped_byte_of_a_body_names_the_message() {
    let folder = tempfile::tempdir().unwrap();
    store(folder.path());
    let log = &files(folder.path(), "commitlog")[1];
    edit(log, |bytes| bytes[300] ^= 1);
    let damage = damage(folder.path());
    assert_eq!(damage.len(), 1, "{damage:#?}");
    assert_eq!((damage[0].kind, damage[0].offset), (FileKind::CommitLog, 0));
    assert!(damage[0].file.starts_with("commitlog"), "{:?}", damage[0].file);
    let lost = &damage[0].lost[0];
    assert_eq!((&*lost.topic, damage[0].lost_count), ("orders", 1));
    assert!(lost.keys.as_ref().unwrap().starts_with("order-"), "{lost:?}");
}

#[test]
fn a_record_that_cannot_be_read_at_all_is_named_by_its_unit() {
    let folder = tempfile::tempdir().unwrap();
    store(folder.path());
    let log = &files(folder.path(), "commitlog")[0];
    // The first two records, but for the second one's last byte.
    edit(log, |bytes| bytes[..1_500].fill(0xEE));
    let damage = damage(folder.path());
    assert_eq!(damage.len(), 1, "{damage:#?}");
    let lost: Vec<_> = damage[0]
        .lost
        .iter()
        .map(|lost| (&*lost.topic, lost.queue_id, lost.queue_offset))
        .collect();
    assert_eq!(lost, [("orders", 0, 0), ("orders", 1, 0)], "{damage:#?}");
}

#[test]
fn every_flipped_bit_of_a_unit_is_found() {
    for at in 0..20 {
        let folder = tempfile::tempdir().unwrap();
        store(folder.path());
        let queue = &files(folder.path(), "consumequeue/orders/1")[0];
        edit(queue, |bytes| bytes[20 * 7 + at] ^= 0x10);
        let damage = damage(folder.path());
        assert!(!damage.is_empty(), "byte {at}");
        assert_eq!(
            (damage[0].kind, damage[0].offset),
            (FileKind::ConsumeQueue, 140),
            "{damage:#?}"
        );
    }
}

#[test]
fn units_that_are_missing_or_too_many_are_told_with_their_offsets() {
    let folder = tempfile::tempdir().unwrap();
    store(folder.path());
    // A whole file of 20 units is one finding.
    let queue = files(folder.path(), "consumequeue/orders/2");
    edit(&queue[0], |bytes| bytes.fill(0));
    let one = damage(folder.path());
    assert_eq!(one.len(), 1, "{one:#?}");
    assert!(one[0].what.contains("messages 0 to 19"), "{}", one[0].what);
    std::fs::remove_dir_all(folder.path().join("consumequeue/orders")).unwrap();
    let gone = damage(folder.path());
    assert_eq!(gone.len(), 3, "{gone:#?}");
    assert!(gone[0].what.contains("20 records of `orders` queue 0"), "{}", gone[0].what);
}

#[test]
fn files_of_a_wrong_length_and_missing_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    store(folder.path());
    let logs = files(folder.path(), "commitlog");
    std::fs::remove_file(&logs[1]).unwrap();
    let gone = damage(folder.path());
    assert!(gone.iter().any(|one| one.what.contains("have no file")), "{gone:#?}");
    let lost: u64 = gone.iter().map(|one| one.lost_count).sum();
    assert!(lost > 10, "{gone:#?}");
    edit(&logs[0], |bytes| bytes.truncate(10_000));
    let short = damage(folder.path());
    assert!(short.iter().any(|one| one.what.contains("10000 bytes")), "{short:#?}");
}

#[test]
fn checkpoint_and_config_files_are_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    store(folder.path());
    edit(&folder.path().join("checkpoint"), |bytes| bytes[0] = 0x80);
    std::fs::create_dir_all(folder.path().join("config")).unwrap();
    std::fs::write(folder.path().join("config/topics.json"), "{\"topicConfigTable\":").unwrap();
    std::fs::write(folder.path().join("config/topics.json.bak"), "").unwrap();
    let offsets = "{\"offsetTable\":{\"orders@g\":{0:21}}}";
    std::fs::write(folder.path().join("config/consumerOffset.json"), offsets).unwrap();
    let damage = damage(folder.path());
    let kinds: Vec<_> = damage.iter().map(|one| (one.kind, one.file.clone())).collect();
    assert_eq!(
        kinds,
        [
            (FileKind::Checkpoint, "checkpoint".into()),
            (FileKind::Config, "config/topics.json".into()),
            (FileKind::Config, "config/topics.json.bak".into()),
            (FileKind::Config, "config/consumerOffset.json".into()),
        ],
        "{damage:#?}"
    );
}

#[test]
fn a_flipped_byte_of_an_index_entry_its_slot_or_the_header_is_found() {
    // Header, 50 slots, entries of 20 bytes.
    let entry = 40 + 50 * 4 + 20 * 9;
    for at in (0..40).chain(entry..entry + 20) {
        let folder = tempfile::tempdir().unwrap();
        store(folder.path());
        let index = &files(folder.path(), "index")[0];
        let before = std::fs::read(index).unwrap();
        edit(index, |bytes| bytes[at] ^= 0x20);
        let damage = damage(folder.path());
        // How many slots are in use is counted for nobody.
        let is_unused = (32..36).contains(&at);
        assert_eq!(damage.is_empty(), is_unused, "byte {at}: {damage:#?}");
        std::fs::write(index, &before).unwrap();
        let slot = (40..240).step_by(4).find(|at| before[at + 3] != 0).unwrap();
        edit(index, |bytes| bytes[slot + 3] ^= 1);
        assert!(!verified(folder.path()).sound, "slot at {slot}");
    }
}
