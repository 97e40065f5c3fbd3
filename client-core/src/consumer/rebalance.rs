//! From the queues held to the queues wanted. Pure.

use std::collections::HashSet;

use crate::message::MessageQueue;

/// What to give up and what to take on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Change {
    /// Queues held that somebody else owns now.
    pub(crate) close: Vec<MessageQueue>,
    /// Queues owned that are not held yet.
    pub(crate) open: Vec<MessageQueue>,
}

/// Compares the queues of one topic.
pub(crate) fn change(held: &[MessageQueue], wanted: &[MessageQueue]) -> Change {
    let held_set: HashSet<_> = held.iter().collect();
    let wanted_set: HashSet<_> = wanted.iter().collect();
    Change {
        close: held.iter().filter(|queue| !wanted_set.contains(queue)).cloned().collect(),
        open: wanted.iter().filter(|queue| !held_set.contains(queue)).cloned().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queues(ids: &[i32]) -> Vec<MessageQueue> {
        ids.iter().map(|id| MessageQueue::new("t", "b", *id)).collect()
    }

    #[test]
    fn what_is_held_and_wanted_stays_untouched() {
        let change = change(&queues(&[0, 1, 2]), &queues(&[2, 3]));
        assert_eq!(change, Change { close: queues(&[0, 1]), open: queues(&[3]) });
    }

    #[test]
    fn nothing_changes_when_nothing_changed() {
        let same = queues(&[4, 5]);
        assert_eq!(change(&same, &same), Change { close: vec![], open: vec![] });
    }
}
