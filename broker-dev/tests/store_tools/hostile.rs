//! Folders that nobody in his right mind would leave behind.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use broker_dev::store::disk::{Call, FaultyDisk, RealDisk};
use broker_dev::store::tools::{
    DiffOptions, DumpFilter, Folder, ToolError, VerifyOptions, diff, dump_records, inspect, verify,
};
use proptest::prelude::*;
use std::sync::Arc;

use crate::world::{edit, files, folder, store, verified};

/// Everything that only looks, whatever it finds.
fn look(root: &Path) -> bool {
    let folder = folder(root);
    inspect(&folder, &()).unwrap();
    dump_records(&folder, &DumpFilter::default(), &(), &mut |_| Ok(())).unwrap();
    diff(&folder, &folder, &DiffOptions::default(), &()).unwrap();
    verify(&folder, &VerifyOptions::default(), &()).unwrap().sound
}

#[test]
fn what_is_no_store_is_refused() {
    let empty = tempfile::tempdir().unwrap();
    for (path, is_there) in [(empty.path().to_path_buf(), true), (empty.path().join("no"), false)] {
        let tried = Folder::open(&path, &[], Arc::new(RealDisk));
        assert_eq!(matches!(tried, Err(ToolError::NoStore { .. })), is_there, "{tried:?}");
        assert!(tried.is_err());
    }
}

#[test]
fn links_pipes_and_folders_in_the_place_of_files_are_named_and_not_followed() {
    let root = tempfile::tempdir().unwrap();
    store(root.path());
    let log = root.path().join("commitlog");
    let queue = root.path().join("consumequeue/orders/0");
    std::os::unix::fs::symlink("/dev/zero", log.join("00000000000000065536")).unwrap();
    std::fs::create_dir(log.join("00000000000000081920")).unwrap();
    let pipe = log.join("00000000000000098304");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &pipe,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    )
    .unwrap();
    std::os::unix::fs::symlink("/", queue.join("00000000000000000800")).unwrap();
    std::os::unix::fs::symlink("..", root.path().join("consumequeue/loop")).unwrap();
    assert!(!look(root.path()));
    let found = verified(root.path());
    for name in ["00000000000000065536", "00000000000000081920", "00000000000000098304", "loop"] {
        let is_named = |one: &broker_dev::store::tools::Finding| one.file.ends_with(name);
        assert!(found.findings.iter().any(is_named), "{name}: {found:#?}");
    }
}

#[test]
fn offsets_and_lengths_out_of_this_world_are_survived() {
    let root = tempfile::tempdir().unwrap();
    store(root.path());
    let far = root.path().join("consumequeue/orders/0/09223372036854775800");
    std::fs::File::create(&far).unwrap().set_len(1 << 40).unwrap();
    let far = root.path().join("commitlog/09223372036854775000");
    std::fs::File::create(&far).unwrap().set_len(16 * 1024).unwrap();
    let other = root.path().join("consumequeue/other/0");
    std::fs::File::create(other.join("00000000000000000400")).unwrap().set_len(1 << 41).unwrap();
    assert!(!look(root.path()));
}

#[test]
fn every_length_field_at_its_extremes_is_survived() {
    for value in [0u32, 1, 0x7FFF_FFFF, 0x8000_0000, u32::MAX] {
        for at in [0, 84, 88 + 700] {
            let root = tempfile::tempdir().unwrap();
            store(root.path());
            let log = &files(root.path(), "commitlog")[0];
            edit(log, |bytes| bytes[at..at + 4].copy_from_slice(&value.to_be_bytes()));
            assert!(!look(root.path()), "{value:x} at {at}");
        }
    }
}

#[test]
fn what_may_not_be_read_is_a_finding() {
    let root = tempfile::tempdir().unwrap();
    store(root.path());
    // Root may read everything; a disk that fails is the same to the tools.
    let disk = Arc::new(FaultyDisk::new(Arc::new(RealDisk)));
    let faulty = Folder::open(root.path(), &[], disk.clone()).unwrap();
    let reads = {
        let before = disk.calls(Call::Read);
        assert!(verify(&faulty, &VerifyOptions::default(), &()).unwrap().sound);
        disk.calls(Call::Read) - before
    };
    for nth in 1..=reads {
        disk.fail_nth(Call::Read, nth, std::io::ErrorKind::PermissionDenied);
        if let Ok(found) = verify(&faulty, &VerifyOptions::default(), &()) {
            assert!(!found.sound, "read {nth} of {reads}: {found:#?}");
        }
        disk.heal();
    }
    let log = root.path().join("commitlog");
    std::fs::set_permissions(&log, std::fs::Permissions::from_mode(0o000)).unwrap();
    verify(&folder(root.path()), &VerifyOptions::default(), &()).unwrap();
    std::fs::set_permissions(&log, std::fs::Permissions::from_mode(0o755)).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_in_any_file_are_survived(
        which in 0usize..1000,
        at in 0usize..20_000,
        bytes in proptest::collection::vec(any::<u8>(), 1..400),
    ) {
        let root = tempfile::tempdir().unwrap();
        store(root.path());
        let all: Vec<_> = crate::repairs::contents(root.path()).into_keys().collect();
        let file = root.path().join(&all[which % all.len()]);
        edit(&file, |content| {
            let at = at % (content.len() + 1);
            let end = (at + bytes.len()).min(content.len());
            content[at..end].copy_from_slice(&bytes[..end - at]);
            if end == content.len() {
                content.truncate(at);
            }
        });
        look(root.path());
    }
}
