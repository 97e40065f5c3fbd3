//! Which queues of a topic are mine. Pure.
//!
//! Every member computes the shares of all from the same two lists, so nobody needs to be asked;
//! all must therefore sort and divide in exactly the same way, Apache's clients included.

use crate::message::MessageQueue;

/// The share of `me` among `members`: consecutive queues, the first members taking one more each
/// if the queues do not divide evenly.
///
/// `queues` and `members` are sorted here. `None` if `me` is no member: then nothing can be said,
/// and the queues held so far stay.
///
/// Source: RocketMQ 5.3.3 `AllocateMessageQueueAveragely`. Differs: Apache gives up every queue
/// when the broker asked has not yet heard of this member.
pub(crate) fn average(
    mut queues: Vec<MessageQueue>,
    mut members: Vec<String>,
    me: &str,
) -> Option<Vec<MessageQueue>> {
    queues.sort();
    queues.dedup();
    // Java compares strings by UTF-16 code units.
    members.sort_by(|a, b| a.encode_utf16().cmp(b.encode_utf16()));
    members.dedup();
    let index = members.iter().position(|member| member == me)?;
    let share = queues.len() / members.len();
    let with_one_more = queues.len() % members.len();
    let start = index * share + index.min(with_one_more);
    let count = share + usize::from(index < with_one_more);
    Some(queues.into_iter().skip(start).take(count).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queues(count: i32) -> Vec<MessageQueue> {
        (0..count).rev().map(|id| MessageQueue::new("t", "b", id)).collect()
    }

    fn shares(queue_count: i32, member_count: usize) -> Vec<Vec<i32>> {
        let members: Vec<_> = (0..member_count).map(|n| format!("m{n}")).collect();
        members
            .iter()
            .map(|me| {
                let mine = average(queues(queue_count), members.clone(), me).unwrap();
                mine.iter().map(|queue| queue.queue_id).collect()
            })
            .collect()
    }

    /// What the formula of Apache's class gives.
    #[test]
    fn shares_are_apaches() {
        assert_eq!(shares(8, 3), [vec![0, 1, 2], vec![3, 4, 5], vec![6, 7]]);
        assert_eq!(shares(4, 4), [vec![0], vec![1], vec![2], vec![3]]);
        assert_eq!(shares(2, 3), [vec![0], vec![1], vec![]]);
        assert_eq!(shares(5, 2), [vec![0, 1, 2], vec![3, 4]]);
        assert!(shares(0, 2).iter().all(Vec::is_empty));
    }

    #[test]
    fn every_queue_has_exactly_one_owner() {
        for queue_count in 0..20 {
            for member_count in 1..9 {
                let mut all: Vec<_> = shares(queue_count, member_count).concat();
                all.sort_unstable();
                assert_eq!(all, (0..queue_count).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn a_member_that_is_not_listed_knows_nothing() {
        assert_eq!(average(queues(4), vec!["other".into()], "me"), None);
    }

    #[test]
    fn members_stand_in_javas_order() {
        // U+10000 sorts before U+FFFD by UTF-16 code units and after it by scalar value.
        let members = vec!["\u{FFFD}".to_owned(), "\u{10000}".to_owned()];
        let first = average(queues(2), members, "\u{10000}").unwrap();
        assert_eq!(first[0].queue_id, 0);
    }
}
