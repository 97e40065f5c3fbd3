//! Append to dispatch: whatever was made known is worked on, once and in order, and nobody waits.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicI64, Ordering};
use loom::thread;

use crate::hand_over::{HandOver, Run};

#[test]
fn what_was_appended_is_dispatched_by_somebody() {
    loom::model(|| {
        let log = Arc::new(AtomicI64::new(0));
        let work = Arc::new(HandOver::new(Vec::new(), 0));
        let run = |log: &AtomicI64, work: &HandOver<Vec<i64>>| {
            let outcome = work.run(
                || log.load(Ordering::Acquire),
                |done, from, to| {
                    done.extend(from..to);
                    (to, Ok::<(), ()>(()))
                },
            );
            assert_eq!(outcome, Ok(Run::Done));
        };
        let writers: Vec<_> = (0..2)
            .map(|_| {
                let (log, work) = (Arc::clone(&log), Arc::clone(&work));
                thread::spawn(move || {
                    log.fetch_add(1, Ordering::AcqRel);
                    run(&log, &work);
                })
            })
            .collect();
        for writer in writers {
            writer.join().unwrap();
        }
        assert_eq!(work.position(), 2, "nothing is left lying");
        let check = |done: &mut Vec<i64>, _, to| {
            assert_eq!(*done, [0, 1], "each once, in order");
            (to, Ok::<(), ()>(()))
        };
        work.run_to_end(3, check).unwrap();
    });
}

#[test]
fn a_turn_that_failed_is_tried_again_by_the_next() {
    loom::model(|| {
        let work = Arc::new(HandOver::new(0, 0));
        let other = {
            let work = Arc::clone(&work);
            thread::spawn(move || work.run(|| 1, |_, from, _| (from, Err(()))).is_err())
        };
        let mine = work.run(|| 1, |done, _, to| {
            *done += 1;
            (to, Ok::<(), ()>(()))
        });
        let other_failed = other.join().unwrap();
        mine.unwrap();
        // Either this run found the lock free, or the one that had it has failed and says so.
        assert!(work.position() == 1 || other_failed);
    });
}
