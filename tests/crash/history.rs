//! The checker, checked: a true history has no verdict, and every planted lie has one.

use oxmq_tests::journal::{Journal, Reading, Verdict, body};

use crate::image::{Image, Left};
use crate::readings::read;
use oxmq_tests::small_store::queue_of;

const MESSAGES: u64 = 40;

/// What a real store answered and gave back.
fn truth() -> (Journal, Reading) {
    let (image, puts) = Image::of(Left::Killed, MESSAGES);
    let mut journal = Journal::default();
    for (put, number) in puts.iter().zip(0..) {
        let (topic, queue_id) = queue_of(number);
        assert_eq!(journal.send(topic, queue_id), number);
        journal.answered(number, put.queue_offset);
    }
    journal.promise_all();
    (journal, read(&image.open(false).unwrap()))
}

type Lie = fn(&mut Vec<(i64, Vec<u8>)>);

/// Lies about one queue's messages.
const LIES: [(&str, Lie); 17] = [
    ("the first is gone", |all| drop(all.remove(0))),
    ("one in the middle is gone", |all| drop(all.remove(all.len() / 2))),
    ("the last is gone", |all| drop(all.pop())),
    ("all are gone", Vec::clear),
    ("one is gone and the rest moved up", |all| {
        all.remove(1);
        (0..).zip(all).for_each(|(offset, message)| message.0 = offset);
    }),
    ("the first two are the other way round", |all| all.swap(0, 1)),
    ("two bodies are the other way round", |all| {
        let body = all[0].1.clone();
        all[0].1 = std::mem::replace(&mut all[1].1, body);
    }),
    ("all are the other way round", |all| all.reverse()),
    ("the last comes twice", |all| all.push(all.last().unwrap().clone())),
    ("the last comes again at the end", |all| {
        all.push((all.len() as i64, all.last().unwrap().1.clone()));
    }),
    ("the first comes again at the end", |all| {
        all.push((all.len() as i64, all[0].1.clone()));
    }),
    ("all offsets are one more", |all| all.iter_mut().for_each(|message| message.0 += 1)),
    ("the last offset is one more", |all| all.last_mut().unwrap().0 += 1),
    ("a bit of a body is flipped", |all| {
        let with_body = all.iter_mut().find(|message| message.1.len() > 8).unwrap();
        with_body.1[8] ^= 1;
    }),
    ("a body is cut", |all| {
        let with_body = all.iter_mut().find(|message| message.1.len() > 8).unwrap();
        with_body.1.pop();
    }),
    ("a body is empty", |all| all[0].1.clear()),
    ("one that nobody sent is there", |all| {
        all.push((all.len() as i64, body(MESSAGES + 100)));
    }),
];

#[test]
fn every_lie_about_a_true_history_is_found() {
    let (journal, reading) = truth();
    assert_eq!(journal.judge(&reading), []);
    assert_eq!(reading, journal.expected(MESSAGES as usize));
    let long_enough: Vec<_> =
        reading.iter().filter(|(_, all)| all.len() > 3).map(|(queue, _)| queue.clone()).collect();
    assert!(long_enough.len() > 1);
    let mut planted = 0;
    for queue in &long_enough {
        for (what, lie) in LIES {
            let mut told = reading.clone();
            lie(told.get_mut(queue).unwrap());
            assert_ne!(journal.judge(&told), [], "{what} in {queue:?}");
            planted += 1;
        }
    }
    // Between queues.
    let (one, other) = (&long_enough[0], &long_enough[1]);
    let mut crossed = reading.clone();
    let message = crossed.get_mut(one).unwrap().pop().unwrap();
    crossed.get_mut(other).unwrap().push(message);
    assert_ne!(journal.judge(&crossed), []);
    let mut renamed = reading.clone();
    let messages = renamed.remove(one).unwrap();
    renamed.insert(("other".into(), 0), messages);
    assert_ne!(journal.judge(&renamed), []);
    println!("{} lies found", planted + 2);
    assert!(planted + 2 >= 30);
}

#[test]
fn an_end_that_was_not_promised_may_go_and_nothing_else() {
    let (mut journal, _) = truth();
    journal.sent.iter_mut().skip(20).for_each(|sent| sent.is_promised = false);
    for left in 20..=MESSAGES as usize {
        assert_eq!(journal.judge(&journal.expected(left)), [], "{left} left");
    }
    let lost = journal.judge(&journal.expected(19));
    assert_eq!(lost, [Verdict::Lost { number: 19 }]);
}
