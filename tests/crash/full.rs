//! A disk that is really full, at any point of a store's life.

use std::fs::File;

use broker_dev::store::FlushMode;
use rustix::fs::{FallocateFlags, fallocate, statvfs};

use crate::child::{Lives, Orders, store_in};
use crate::loop_disk::LoopDisk;
use crate::share::share;

/// Takes all of the disk but so many KiB.
fn fill(disk: &LoopDisk, left_kib: u64) -> std::path::PathBuf {
    let path = disk.root().join("filler");
    let file = File::create(&path).unwrap();
    let (mut at, mut step) = (0, 4 << 20);
    let free = || {
        let of = statvfs(disk.root()).unwrap();
        of.f_bavail * of.f_frsize
    };
    while step >= 4_096 {
        let room = free().saturating_sub(left_kib << 10);
        if room >= step && fallocate(&file, FallocateFlags::empty(), at, step).is_ok() {
            at += step;
        } else {
            step /= 2;
        }
    }
    file.sync_all().unwrap();
    path
}

#[test]
fn a_full_disk_costs_nothing_that_was_answered() {
    let Some(disk) = LoopDisk::or_skip(16) else { return };
    let mut random = fastrand::Rng::with_seed(1);
    let (mut full, mut answered) = (0, 0);
    let points = share(16);
    for point in 0..points {
        let flush = if point % 2 == 0 { FlushMode::Async } else { FlushMode::Sync };
        let mut lives = Lives::new(store_in(&disk.root()), flush);
        let filler = fill(&disk, random.u64(..400));
        for life in 0..3 {
            let orders = Orders { turns: 40, seed: random.u64(..), kill_at: 0, wrapper: &[] };
            let end = lives.run(orders, |_, _| {});
            assert!(end.status.success(), "point {point}, life {life}: {end:?}");
            if let Some(error) = &end.error {
                let is_told = error.contains("no space left") && error.contains("/store");
                assert!(is_told, "point {point}: {error}");
                full += 1;
            }
            lives.journal.promise_all();
        }
        answered += lives.journal.sent.iter().filter(|sent| sent.is_promised).count();
        std::fs::remove_file(filler).unwrap();
        assert_eq!(lives.judge(), [], "point {point}");
        lives.journal.promise_all();
        // With room again, it goes on.
        let orders = Orders { turns: 5, seed: 2, kill_at: 0, wrapper: &[] };
        let end = lives.run(orders, |_, _| {});
        assert_eq!((end.error, end.status.success()), (None, true), "point {point}");
        assert_eq!(lives.judge(), [], "point {point}, with room again");
        std::fs::remove_dir_all(&lives.root).unwrap();
    }
    println!("{points} full disks, {full} refusals, {answered} messages answered before");
    assert!(full >= points && answered as u64 > points, "{full} refusals, {answered} answered");
}
