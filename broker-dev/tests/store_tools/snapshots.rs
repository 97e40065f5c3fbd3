//! Snapshots: there and back, sparse, and not to be fooled.

use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use broker_dev::store::tools::{DiffOptions, ToolError, diff, restore, snapshot};
use oxmq::clock::VirtualClock;

use crate::repairs::contents;
use crate::world::{START_MS, edit, files, folder, open, put, store};

fn taken(root: &Path, into: &Path) {
    snapshot(&folder(root), into, &VirtualClock::new(START_MS), &()).unwrap();
}

#[test]
fn what_is_restored_is_what_was_there() {
    let all = tempfile::tempdir().unwrap();
    let (root, file, again) = (all.path().join("a"), all.path().join("s"), all.path().join("b"));
    store(&root);
    std::fs::create_dir_all(root.join("config")).unwrap();
    std::fs::write(root.join("config/topics.json"), "{}").unwrap();
    taken(&root, &file);
    std::fs::create_dir(&again).unwrap();
    let restored = restore(&file, &again, &()).unwrap();
    assert_eq!((restored.created_ms, restored.clean), (START_MS, true));
    let (mut before, after) = (contents(&root), contents(&again));
    before.remove(Path::new("lock"));
    assert_eq!(before, after);
    let found = diff(&folder(&root), &folder(&again), &DiffOptions::default(), &()).unwrap();
    assert!(found.same && found.messages_compared == 65, "{found:#?}");
    // Neither is written over.
    assert!(matches!(restore(&file, &again, &()), Err(ToolError::NotEmpty { .. })));
    let clock = VirtualClock::new(START_MS);
    snapshot(&folder(&root), &file, &clock, &()).unwrap_err();
    let left: Vec<_> =
        std::fs::read_dir(all.path()).unwrap().map(|one| one.unwrap().file_name()).collect();
    assert_eq!(left.len(), 3, "{left:?}");
}

#[test]
fn room_made_ahead_of_need_costs_nothing() {
    let all = tempfile::tempdir().unwrap();
    let (root, file, again) = (all.path().join("a"), all.path().join("s"), all.path().join("b"));
    store(&root);
    let big = std::fs::File::create(root.join("commitlog/00000000000001048576")).unwrap();
    big.set_len(1 << 30).unwrap();
    taken(&root, &file);
    assert!(std::fs::metadata(&file).unwrap().len() < 200_000);
    restore(&file, &again, &()).unwrap();
    let big = std::fs::metadata(again.join("commitlog/00000000000001048576")).unwrap();
    assert_eq!(big.len(), 1 << 30);
    assert!(big.blocks() * 512 < 1 << 20, "{} blocks", big.blocks());
}

#[test]
fn a_store_at_work_or_with_links_in_it_is_refused() {
    let all = tempfile::tempdir().unwrap();
    let (root, file) = (all.path().join("a"), all.path().join("s"));
    let clock = VirtualClock::new(START_MS);
    let at_work = open(&root);
    put(&at_work, "T", 0, "k", b"b");
    let tried = snapshot(&folder(&root), &file, &clock, &());
    assert!(matches!(tried, Err(ToolError::InUse { .. })), "{tried:?}");
    // The lock is still held after the question.
    assert!(folder(&root).is_in_use().unwrap());
    at_work.close().unwrap();
    drop(at_work);
    std::os::unix::fs::symlink("/etc/hostname", root.join("config")).unwrap();
    let tried = snapshot(&folder(&root), &file, &clock, &());
    assert!(matches!(tried, Err(ToolError::NotCopied { .. })), "{tried:?}");
    std::fs::remove_file(root.join("config")).unwrap();
    let inside = root.join("s");
    let tried = snapshot(&folder(&root), &inside, &clock, &());
    assert!(matches!(tried, Err(ToolError::BadRequest { .. })), "{tried:?}");
    assert!(!file.exists() && !inside.exists());
}

#[test]
fn no_flipped_byte_and_no_cut_off_archive_is_restored() {
    let all = tempfile::tempdir().unwrap();
    let (root, file, again) = (all.path().join("a"), all.path().join("s"), all.path().join("b"));
    store(&root);
    taken(&root, &file);
    let good = std::fs::read(&file).unwrap();
    for n in 0..40 {
        let mut bad = good.clone();
        let at = n * (bad.len() - 1) / 39;
        if n % 2 == 0 {
            bad[at] ^= 0x10
        } else {
            bad.truncate(at)
        }
        std::fs::write(&file, bad).unwrap();
        if restore(&file, &again, &()).is_ok() {
            // A bit that zstd does not look at: the content is right all the same.
            let (mut before, after) = (contents(&root), contents(&again));
            before.remove(Path::new("lock"));
            assert_eq!(before, after, "byte {at}");
            std::fs::remove_dir_all(&again).unwrap();
        }
        assert!(!again.exists(), "byte {at}");
    }
}

/// An archive with a manifest that names `named` and entries as given.
fn archive(into: &Path, named: &[(&str, &[u8])], entries: &[(&str, &[u8], tar::EntryType)]) {
    let files: Vec<String> = named
        .iter()
        .map(|(path, bytes)| {
            let crc32 = crc32fast::hash(bytes);
            format!(r#"{{"path":"{path}","bytes":{},"crc32":{crc32}}}"#, bytes.len())
        })
        .collect();
    let manifest = format!(
        r#"{{"format":"rocketmq-store-snapshot","version":1,"created_ms":0,"clean":true,"folders":[],"files":[{}]}}"#,
        files.join(",")
    );
    let mut out = Vec::new();
    let mut add = |path: &str, bytes: &[u8], kind: tar::EntryType| {
        let mut header = tar::Header::new_gnu();
        // As no honest writer would.
        let name = &mut header.as_old_mut().name;
        name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_entry_type(kind);
        header.set_size(bytes.len() as u64);
        if kind.is_symlink() {
            header.set_link_name_literal("/tmp").unwrap();
        }
        header.set_cksum();
        out.extend_from_slice(header.as_bytes());
        out.extend_from_slice(bytes);
        out.resize(out.len().next_multiple_of(512), 0);
    };
    add("manifest.json", manifest.as_bytes(), tar::EntryType::Regular);
    for (path, bytes, kind) in entries {
        add(path, bytes, *kind);
    }
    out.resize(out.len() + 1024, 0);
    let mut encoder = zstd::Encoder::new(std::fs::File::create(into).unwrap(), 1).unwrap();
    encoder.write_all(&out).unwrap();
    encoder.finish().unwrap();
}

#[test]
fn an_archive_cannot_write_anywhere_else() {
    let all = tempfile::tempdir().unwrap();
    let (file, target) = (all.path().join("s"), all.path().join("deep/target"));
    let regular = tar::EntryType::Regular;
    let honest: &[(&str, &[u8])] = &[("checkpoint", b"x")];
    archive(&file, honest, &[("checkpoint", b"x", regular)]);
    restore(&file, &target, &()).unwrap();
    std::fs::remove_dir_all(&target).unwrap();
    let absolute = all.path().join("out").to_str().unwrap().to_owned();
    for path in ["../out", "a/../../out", &absolute, "./../out", "/", ".."] {
        archive(&file, &[(path, b"x")], &[(path, b"x", regular)]);
        let tried = restore(&file, &target, &());
        assert!(matches!(tried, Err(ToolError::BadSnapshot { .. })), "{path}: {tried:?}");
    }
    let cases: [&[(&str, &[u8], tar::EntryType)]; 5] = [
        // A link, and then a file through it.
        &[("config", b"", tar::EntryType::Symlink), ("config/out", b"x", regular)],
        &[("checkpoint", b"", tar::EntryType::Link)],
        &[("checkpoint", b"y", regular)],
        &[("checkpoint", b"x", regular), ("checkpoint", b"x", regular)],
        &[("checkpoint", b"x", regular), ("more", b"x", regular)],
    ];
    for (n, entries) in cases.into_iter().enumerate() {
        archive(&file, honest, entries);
        let tried = restore(&file, &target, &());
        assert!(matches!(tried, Err(ToolError::BadSnapshot { .. })), "case {n}: {tried:?}");
    }
    archive(&file, honest, &[]);
    restore(&file, &target, &()).unwrap_err();
    assert!(!target.exists() && !all.path().join("out").exists());
    let left = std::fs::read_dir(all.path().join("deep")).unwrap().count();
    assert_eq!(left, 0);
}

#[test]
fn differences_are_told_message_by_message() {
    let all = tempfile::tempdir().unwrap();
    let (one, other) = (all.path().join("a"), all.path().join("b"));
    store(&one);
    store(&other);
    let more = open(&other);
    put(&more, "orders", 2, "more", b"more");
    put(&more, "new", 0, "new", b"new");
    more.close().unwrap();
    // Another flag, which no CRC covers.
    edit(&files(&other, "commitlog")[0], |bytes| bytes[19] = 7);
    std::fs::create_dir_all(other.join("config")).unwrap();
    std::fs::write(other.join("config/delayOffset.json"), "{\"offsetTable\":{3:4}}").unwrap();
    let found = diff(&folder(&one), &folder(&other), &DiffOptions::default(), &()).unwrap();
    let told: Vec<_> = found
        .messages
        .iter()
        .map(|one| (&*one.topic, one.queue_id, one.queue_offset, &*one.what))
        .collect();
    assert_eq!(
        told,
        [
            ("new", 0, 0, &["right"][..]),
            ("orders", 0, 0, &["flag"][..]),
            ("orders", 2, 20, &["right"][..])
        ]
    );
    assert!(!found.same && found.messages_compared == 65);
    assert_eq!(found.configs.len(), 1, "{:#?}", found.configs);
}
