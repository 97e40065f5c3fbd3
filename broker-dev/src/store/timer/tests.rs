//! The timer as its user sees it, with a queue that a test writes.

use std::cell::RefCell;
use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::store::disk::{Call, FaultyDisk, RealDisk};

const NOW: i64 = 1_700_000_000_000;
const DAY: i64 = 86_400_000;

/// A message in a [`Queue`].
#[derive(Debug, Clone)]
struct Entry {
    out_ms: i64,
    roll_times: i32,
    delete_key: Option<String>,
    unique_key: String,
}

/// A timer topic's queue whose messages lie 1,000 bytes apart.
#[derive(Debug, Default)]
struct Queue(RefCell<Vec<Entry>>);

impl Queue {
    fn push(&self, out_ms: i64, roll_times: i32) {
        let unique_key = format!("K{}", self.0.borrow().len());
        let entry = Entry { out_ms, roll_times, delete_key: None, unique_key };
        self.0.borrow_mut().push(entry);
    }

    fn show(&self, offset: i64, show: &mut dyn FnMut(&TimedMessage<'_>)) {
        let entries = self.0.borrow();
        let Some(entry) = usize::try_from(offset).ok().and_then(|at| entries.get(at)) else {
            return;
        };
        show(&TimedMessage {
            queue_offset: offset,
            physical_offset: offset * 1_000,
            size: 300,
            out_ms: entry.out_ms,
            roll_times: entry.roll_times,
            delete_key: entry.delete_key.as_deref(),
            real_topic: "orders",
            unique_key: &entry.unique_key,
        });
    }
}

impl TimerSource for Queue {
    fn range(&self) -> (i64, i64) {
        (0, self.0.borrow().len() as i64)
    }

    fn first_physical(&self) -> i64 {
        0
    }

    fn at(&self, physical_offset: i64, show: &mut dyn FnMut(&TimedMessage<'_>)) {
        if physical_offset % 1_000 == 0 {
            self.show(physical_offset / 1_000, show);
        }
    }

    fn all_but(&self, places: &[i64], show: &mut dyn FnMut(&TimedMessage<'_>)) {
        for offset in 0..self.range().1 {
            if places.binary_search(&(offset * 1_000)).is_err() {
                self.show(offset, show);
            }
        }
    }
}

fn options(root: &Path) -> TimerOptions {
    TimerOptions { log_file_bytes: 4096, ..TimerOptions::new(root) }
}

fn open_at(root: &Path, queue: &Queue, now_ms: i64) -> TimerStore {
    TimerStore::open(options(root), Arc::new(RealDisk), queue, now_ms).unwrap()
}

fn open(root: &Path, queue: &Queue) -> TimerStore {
    open_at(root, queue, NOW)
}

/// Takes in all there is; returns what is due at once, as queue offsets.
fn take_all(timer: &mut TimerStore, queue: &Queue, now_ms: i64) -> Vec<i64> {
    let mut due = Vec::new();
    for offset in timer.queue_offset()..queue.range().1 {
        queue.show(offset, &mut |message| {
            if timer.take_in(message, now_ms).unwrap() == Taken::IsDue {
                due.push(offset);
            }
        });
        timer.set_queue_offset(offset + 1);
    }
    due
}

/// Finishes all that is due; returns it as queue offsets, with a mark on those that go round.
fn finish_all(timer: &mut TimerStore, now_ms: i64) -> Vec<(i64, bool)> {
    let mut done = Vec::new();
    while let Some(slot) = timer.next_due(now_ms) {
        for position in timer.positions(slot).unwrap() {
            let unit = timer.unit(position).unwrap().unwrap();
            done.push((unit.physical_offset / 1_000, unit.is_roll));
        }
        timer.finish(slot);
    }
    timer.rest(now_ms);
    done
}

fn flush(timer: &mut TimerStore) {
    if let Some(flush) = timer.begin_flush(NOW) {
        flush.write().unwrap();
        timer.flushed(flush, true);
    }
}

#[test]
fn messages_come_due_by_time_and_within_a_slot_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let queue = Queue::default();
    for seconds in [5, 3, 5, 4, 3] {
        queue.push(NOW + seconds * 1_000, 0);
    }
    let mut timer = open(folder.path(), &queue);
    assert!(take_all(&mut timer, &queue, NOW).is_empty());
    assert_eq!((timer.waiting(), timer.waiting_at(NOW + 5_300)), (5, 2));
    assert_eq!(timer.next_due(NOW + 3_999), None);
    assert_eq!(timer.next_end(), Some(NOW + 4_000));
    let done = finish_all(&mut timer, NOW + 6_000);
    assert_eq!(done.iter().map(|(offset, _)| *offset).collect::<Vec<_>>(), [1, 4, 3, 0, 2]);
    assert_eq!((timer.waiting(), timer.read_ms()), (0, NOW + 6_000));
    queue.push(NOW + 5_000, 0);
    assert_eq!(take_all(&mut timer, &queue, NOW + 6_000), [5]);
}

#[test]
fn a_message_beyond_the_window_goes_round() {
    let folder = tempfile::tempdir().unwrap();
    let queue = Queue::default();
    // Just inside, a little beyond (half the window), far beyond (the whole).
    for out in [NOW + 2 * DAY - 1_000, NOW + 2 * DAY + 1_000, NOW + 5 * DAY] {
        queue.push(out, 0);
    }
    let mut timer = open(folder.path(), &queue);
    take_all(&mut timer, &queue, NOW);
    assert_eq!(finish_all(&mut timer, NOW + DAY + 1_000), [(1, true)]);
    assert_eq!(finish_all(&mut timer, NOW + 2 * DAY + 1_000), [(0, false), (2, true)]);
}

#[test]
fn what_was_flushed_is_there_after_opening_again() {
    let folder = tempfile::tempdir().unwrap();
    let queue = Queue::default();
    for n in 0..200 {
        queue.push(NOW + (n % 7 + 1) * 1_000, 0);
    }
    let mut timer = open(folder.path(), &queue);
    take_all(&mut timer, &queue, NOW);
    let done = finish_all(&mut timer, NOW + 3_000).len();
    flush(&mut timer);
    assert!(timer.begin_flush(NOW).is_none());
    drop(timer);

    let mut timer = open(folder.path(), &queue);
    let expected = TimerRecovery { has_checkpoint: true, entries: 200, ..Default::default() };
    assert_eq!(*timer.recovery(), expected);
    assert_eq!((timer.queue_offset(), timer.read_ms()), (200, NOW + 3_000));
    assert!(take_all(&mut timer, &queue, NOW).is_empty());
    assert_eq!(finish_all(&mut timer, NOW + 60_000).len() + done, 200);
}

#[test]
fn what_was_not_flushed_is_taken_in_again_and_only_once() {
    let folder = tempfile::tempdir().unwrap();
    let queue = Queue::default();
    for n in 0..100 {
        queue.push(NOW + (n % 7 + 2) * 1_000, 0);
    }
    let mut timer = open(folder.path(), &queue);
    flush(&mut timer);
    take_all(&mut timer, &queue, NOW);
    // A crash: the log has entries that wheel and checkpoint know nothing of.
    drop(timer);
    let mut timer = open(folder.path(), &queue);
    assert_eq!(timer.recovery().entries, 100);
    take_all(&mut timer, &queue, NOW);
    let mut done = finish_all(&mut timer, NOW + 60_000);
    done.sort_unstable();
    assert_eq!(done, (0..100).map(|n| (n, false)).collect::<Vec<_>>());
}

/// Any of the files may be missing, torn or damaged: no message is lost, none is there twice.
#[test]
fn damaged_files_lose_nothing_and_repeat_nothing() {
    type Break = fn(&Path);
    let damage: [(&str, Break); 9] = [
        ("no wheel", |root| std::fs::remove_file(root.join("timerwheel")).unwrap()),
        ("a short wheel", |root| std::fs::write(root.join("timerwheel"), [1; 77]).unwrap()),
        ("a wheel of noise", |root| {
            let noise: Vec<u8> = (0..wheel::FILE_BYTES).map(|n| (n % 251) as u8).collect();
            std::fs::write(root.join("timerwheel"), noise).unwrap();
        }),
        ("no log", |root| std::fs::remove_dir_all(root.join("timerlog")).unwrap()),
        ("a log without its first file", |root| {
            std::fs::remove_file(root.join("timerlog/00000000000000000000")).unwrap();
        }),
        ("a cut log", |root| {
            let path = root.join("timerlog/00000000000000000000");
            std::fs::OpenOptions::new().write(true).open(path).unwrap().set_len(1_001).unwrap();
        }),
        ("a page of zeros in the log", |root| {
            let path = root.join("timerlog/00000000000000000000");
            let mut bytes = std::fs::read(&path).unwrap();
            bytes[512..1024].fill(0);
            std::fs::write(path, bytes).unwrap();
        }),
        ("neither wheel nor log", |root| {
            std::fs::remove_file(root.join("timerwheel")).unwrap();
            std::fs::remove_dir_all(root.join("timerlog")).unwrap();
        }),
        ("a log whose end is older", |root| {
            let path = root.join("timerlog/00000000000000004096");
            let mut bytes = std::fs::read(&path).unwrap();
            bytes[52..].fill(0);
            std::fs::write(path, bytes).unwrap();
        }),
    ];
    for (what, damage) in damage {
        let folder = tempfile::tempdir().unwrap();
        let queue = Queue::default();
        for n in 0..120 {
            queue.push(NOW + (n % 7 + 2) * 1_000, 0);
        }
        let mut timer = open(folder.path(), &queue);
        take_all(&mut timer, &queue, NOW);
        let mut done = finish_all(&mut timer, NOW + 4_000);
        assert!(!done.is_empty());
        flush(&mut timer);
        drop(timer);
        damage(folder.path());
        for life in 0..2 {
            let now = NOW + 5_000 + life * 60_000;
            let mut timer = open_at(folder.path(), &queue, now);
            assert!(take_all(&mut timer, &queue, now).is_empty(), "{what}");
            done.extend(finish_all(&mut timer, now));
            flush(&mut timer);
        }
        done.sort_unstable();
        assert_eq!(done, (0..120).map(|n| (n, false)).collect::<Vec<_>>(), "{what}");
    }
}

/// Every bit of the log's first entries: what is not right is found.
#[test]
fn no_flipped_bit_of_the_log_goes_unseen() {
    let folder = tempfile::tempdir().unwrap();
    let queue = Queue::default();
    for n in 0..3 {
        queue.push(NOW + (n % 2 + 2) * 1_000, 0);
    }
    let mut timer = open(folder.path(), &queue);
    take_all(&mut timer, &queue, NOW);
    flush(&mut timer);
    drop(timer);
    let path = folder.path().join("timerlog/00000000000000000000");
    let sound = std::fs::read(&path).unwrap();
    for bit in 0..3 * 52 * 8 {
        let mut bytes = sound.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        std::fs::write(&path, bytes).unwrap();
        let mut timer = open(folder.path(), &queue);
        // The last eight bytes of an entry mean nothing, nor does when it was written, as long as
        // its time is the same.
        let is_reserved = bit / 8 % 52 >= 44;
        assert_eq!(timer.recovery().damaged.is_none(), is_reserved, "bit {bit}");
        take_all(&mut timer, &queue, NOW);
        let mut done = finish_all(&mut timer, NOW + 60_000);
        done.sort_unstable();
        assert_eq!(done, [(0, false), (1, false), (2, false)], "bit {bit}");
        std::fs::write(&path, &sound).unwrap();
    }
}

#[test]
fn without_a_checkpoint_all_that_may_not_be_done_comes_again() {
    let folder = tempfile::tempdir().unwrap();
    let queue = Queue::default();
    for seconds in [2, 4, 6] {
        queue.push(NOW + seconds * 1_000, 0);
    }
    let mut timer = open(folder.path(), &queue);
    take_all(&mut timer, &queue, NOW);
    assert_eq!(finish_all(&mut timer, NOW + 3_000), [(0, false)]);
    flush(&mut timer);
    drop(timer);
    std::fs::write(folder.path().join("config/timercheck"), [0; 4096]).unwrap();
    let mut timer = open(folder.path(), &queue);
    assert!(!timer.recovery().has_checkpoint);
    take_all(&mut timer, &queue, NOW);
    assert_eq!(finish_all(&mut timer, NOW + 60_000), [(0, false), (1, false), (2, false)]);
}

#[test]
fn a_message_that_went_round_does_not_come_back_with_a_lost_log() {
    let folder = tempfile::tempdir().unwrap();
    let queue = Queue::default();
    queue.push(NOW + 3 * DAY, 0);
    let mut timer = open(folder.path(), &queue);
    take_all(&mut timer, &queue, NOW);
    assert_eq!(finish_all(&mut timer, NOW + 2 * DAY + 1_000), [(0, true)]);
    queue.push(NOW + 3 * DAY, 1);
    queue.0.borrow_mut()[1].unique_key = "K0".to_owned();
    take_all(&mut timer, &queue, NOW + 2 * DAY + 1_000);
    flush(&mut timer);
    drop(timer);
    std::fs::remove_dir_all(folder.path().join("timerlog")).unwrap();
    let mut timer = open_at(folder.path(), &queue, NOW + 2 * DAY + 2_000);
    take_all(&mut timer, &queue, NOW + 2 * DAY + 2_000);
    assert_eq!(finish_all(&mut timer, NOW + 4 * DAY), [(1, false)]);
}

/// Whichever step of a flush fails, the next one writes all of it.
#[test]
fn a_flush_that_fails_is_made_up_for() {
    for call in [Call::Write, Call::SyncData, Call::SyncDir] {
        for nth in 1..=4 {
            let folder = tempfile::tempdir().unwrap();
            let queue = Queue::default();
            queue.push(NOW + 2_000, 0);
            queue.push(NOW + 9_000, 0);
            let disk = Arc::new(FaultyDisk::new(Arc::new(RealDisk)));
            let mut timer =
                TimerStore::open(options(folder.path()), disk.clone(), &queue, NOW).unwrap();
            take_all(&mut timer, &queue, NOW);
            finish_all(&mut timer, NOW + 3_000);
            disk.fail_nth(call, nth, std::io::ErrorKind::Other);
            let first = timer.begin_flush(NOW).unwrap();
            let is_written = first.write().is_ok();
            timer.flushed(first, is_written);
            if !is_written {
                flush(&mut timer);
            }
            drop(timer);
            let mut timer = open(folder.path(), &queue);
            assert_eq!(timer.recovery().slots_changed, 0, "{call:?} {nth}");
            assert_eq!((timer.queue_offset(), timer.read_ms()), (2, NOW + 3_000));
            assert_eq!(finish_all(&mut timer, NOW + 60_000), [(1, false)]);
        }
    }
}

#[test]
fn files_are_holes_but_for_what_is_used() {
    use std::os::unix::fs::MetadataExt as _;
    let folder = tempfile::tempdir().unwrap();
    let queue = Queue::default();
    queue.push(NOW + 2_000, 0);
    let options = TimerOptions::new(folder.path());
    assert!(!options.exists(&RealDisk));
    let mut timer = TimerStore::open(options.clone(), Arc::new(RealDisk), &queue, NOW).unwrap();
    take_all(&mut timer, &queue, NOW);
    flush(&mut timer);
    assert!(options.exists(&RealDisk));
    for file in ["timerwheel", "timerlog/00000000000000000000"] {
        let metadata = std::fs::metadata(folder.path().join(file)).unwrap();
        assert!(metadata.len() > 30_000_000 && metadata.blocks() * 512 < 1 << 20, "{file}");
    }
}
