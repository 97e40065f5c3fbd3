//! Flush: a waiter goes on only once a sync that began after it asked is over; none sleeps for
//! ever, and after a failed sync nobody tries again.

use std::time::Duration;

use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use loom::thread;

use crate::group_commit::{Claim, GroupCommit};

/// A log and the disk below it.
struct World {
    commit: GroupCommit,
    end: AtomicI64,
    on_disk: AtomicI64,
    is_syncing: AtomicBool,
    syncs: AtomicUsize,
    fails: bool,
}

impl World {
    fn new(fails: bool) -> Arc<Self> {
        Arc::new(Self {
            commit: GroupCommit::new(0),
            end: AtomicI64::new(0),
            on_disk: AtomicI64::new(0),
            is_syncing: AtomicBool::new(false),
            syncs: AtomicUsize::new(0),
            fails,
        })
    }

    fn append(&self) -> i64 {
        self.end.fetch_add(1, Ordering::AcqRel) + 1
    }

    fn sync(&self) {
        assert!(!self.is_syncing.swap(true, Ordering::AcqRel), "one at a time");
        self.syncs.fetch_add(1, Ordering::AcqRel);
        let end = self.end.load(Ordering::Acquire);
        if !self.fails {
            self.on_disk.store(end, Ordering::Release);
        }
        self.is_syncing.store(false, Ordering::Release);
        self.commit.finish((!self.fails).then_some(end));
    }

    /// Appends, and waits for it; whether it became durable.
    fn store(&self) -> bool {
        let end = self.append();
        loop {
            match self.commit.claim(end) {
                Claim::Sync => self.sync(),
                Claim::Done => {
                    assert!(self.on_disk.load(Ordering::Acquire) >= end);
                    return true;
                }
                Claim::Failed | Claim::Stopped | Claim::Idle => return false,
            }
        }
    }

    /// The thread that syncs for those who do not wait.
    fn serve(&self) {
        while self.commit.claim_asked(Duration::MAX) == Claim::Sync {
            self.sync();
        }
    }
}

fn spawn<T: 'static>(world: &Arc<World>, work: fn(&World) -> T) -> thread::JoinHandle<T> {
    let world = Arc::clone(world);
    thread::spawn(move || work(&world))
}

#[test]
fn every_waiter_is_served() {
    loom::model(|| {
        let world = World::new(false);
        let others = [spawn(&world, World::store), spawn(&world, World::store)];
        assert!(world.store());
        for other in others {
            assert!(other.join().unwrap());
        }
        assert!(world.syncs.load(Ordering::Acquire) <= 3);
    });
}

#[test]
fn who_does_not_wait_is_served_by_the_thread() {
    loom::model(|| {
        let world = World::new(false);
        let server = spawn(&world, World::serve);
        let waiter = spawn(&world, World::store);
        world.commit.request(world.append());
        assert!(waiter.join().unwrap());
        // Whoever waits for the same is served by the thread or serves both.
        assert_eq!(world.commit.claim(1), Claim::Done);
        world.commit.stop();
        server.join().unwrap();
    });
}

#[test]
fn after_a_failed_sync_everybody_hears_of_it_and_nobody_tries_again() {
    loom::model(|| {
        let world = World::new(true);
        let others = [spawn(&world, World::store), spawn(&world, World::store)];
        assert!(!world.store());
        for other in others {
            assert!(!other.join().unwrap());
        }
        assert_eq!(world.syncs.load(Ordering::Acquire), 1);
    });
}

#[test]
fn closing_syncs_a_last_time_and_nobody_waits_for_ever() {
    loom::model(|| {
        let world = World::new(false);
        let server = spawn(&world, World::serve);
        let waiter = spawn(&world, World::store);
        world.commit.stop();
        server.join().unwrap();
        if world.commit.claim_last() == Claim::Sync {
            world.sync();
        }
        waiter.join().unwrap();
    });
}
