//! The messages of one queue that were pulled and are not all settled. Pure.
//!
//! ```text
//!   committed              fetched
//!      ▼                      ▼
//! ─────┬──┬──┬──┬──┬──┬──┬────┬─────►  offsets of the queue
//!      │ .│✓ │ .│✓ │✓ │ .│✓   │        ✓ settled   . in flight
//! ```
//!
//! Messages settle in any order. What may be committed is the offset below which everything is
//! settled: a restart from there repeats messages, and skips none.

use std::collections::VecDeque;

/// How much of one queue may be in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Messages that are not settled.
    pub(crate) messages: usize,
    /// Bytes of their bodies.
    pub(crate) bytes: usize,
}

impl Limits {
    /// Messages between the first that is not settled and the last pulled, settled ones included:
    /// as many would be delivered again after a crash.
    fn span(self) -> usize {
        self.messages.saturating_mul(2).max(2_000)
    }
}

/// The in-flight table of one queue.
#[derive(Debug)]
pub(crate) struct ProcessQueue {
    limits: Limits,
    /// From the first that is not settled on; offsets ascend and may have gaps.
    entries: VecDeque<Entry>,
    /// The next offset to pull.
    fetched: i64,
    in_flight: usize,
    in_flight_bytes: usize,
}

#[derive(Debug)]
struct Entry {
    offset: i64,
    /// Where the broker keeps it, to hand it back by.
    physical_offset: i64,
    bytes: usize,
    is_settled: bool,
}

impl ProcessQueue {
    /// An empty table; pulling starts at `start`.
    pub(crate) fn new(start: i64, limits: Limits) -> Self {
        Self { limits, entries: VecDeque::new(), fetched: start, in_flight: 0, in_flight_bytes: 0 }
    }

    /// The next offset to pull.
    pub(crate) fn fetched(&self) -> i64 {
        self.fetched
    }

    /// Everything below this offset is settled, or was filtered out.
    pub(crate) fn committable(&self) -> i64 {
        self.entries.front().map_or(self.fetched, |entry| entry.offset)
    }

    /// Messages that are not settled.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// So much room is worth a pull, once there was none: asking for each message that is settled
    /// would be a request for each message.
    pub(crate) fn worth_a_pull(&self) -> usize {
        (self.limits.messages / 4).max(1)
    }

    /// How many more messages may be pulled now.
    pub(crate) fn room(&self) -> usize {
        if self.in_flight_bytes >= self.limits.bytes {
            return 0;
        }
        let by_count = self.limits.messages.saturating_sub(self.in_flight);
        by_count.min(self.limits.span().saturating_sub(self.entries.len()))
    }

    /// Takes in one pulled message. Its offset must be above those before it: `false` otherwise,
    /// and the message is not taken in.
    pub(crate) fn add(&mut self, offset: i64, physical_offset: i64, bytes: usize) -> bool {
        if offset < self.fetched {
            return false;
        }
        self.entries.push_back(Entry { offset, physical_offset, bytes, is_settled: false });
        self.fetched = offset.saturating_add(1);
        self.in_flight += 1;
        self.in_flight_bytes += bytes;
        true
    }

    /// Pulling has come this far, be it by messages that were filtered out.
    pub(crate) fn fetched_to(&mut self, next: i64) {
        self.fetched = self.fetched.max(next);
    }

    /// Pulling goes on elsewhere, since the broker does not have the offset asked for. What is in
    /// flight is forgotten.
    pub(crate) fn restart_at(&mut self, offset: i64) {
        *self = Self::new(offset, self.limits);
    }

    fn find(&mut self, offset: i64) -> Option<&mut Entry> {
        let index = self.entries.partition_point(|entry| entry.offset < offset);
        let entry = self.entries.get_mut(index)?;
        (entry.offset == offset && !entry.is_settled).then_some(entry)
    }

    /// The commit-log offset of a message in flight.
    pub(crate) fn physical_offset(&mut self, offset: i64) -> Option<i64> {
        self.find(offset).map(|entry| entry.physical_offset)
    }

    /// Settles one message; `false` if it is not in flight.
    pub(crate) fn settle(&mut self, offset: i64) -> bool {
        let Some(entry) = self.find(offset) else { return false };
        entry.is_settled = true;
        let bytes = entry.bytes;
        self.in_flight -= 1;
        self.in_flight_bytes -= bytes;
        while self.entries.front().is_some_and(|entry| entry.is_settled) {
            self.entries.pop_front();
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn table(start: i64) -> ProcessQueue {
        ProcessQueue::new(start, Limits { messages: 4, bytes: 100 })
    }

    #[test]
    fn only_the_contiguous_prefix_can_be_committed() {
        let mut table = table(10);
        (10..14).for_each(|offset| assert!(table.add(offset, 0, 1)));
        assert_eq!(table.committable(), 10);
        assert!(table.settle(12));
        assert!(table.settle(11));
        assert_eq!(table.committable(), 10);
        assert!(table.settle(10));
        assert_eq!(table.committable(), 13);
        assert!(table.settle(13));
        assert_eq!((table.committable(), table.in_flight()), (14, 0));
    }

    #[test]
    fn settling_twice_or_what_was_never_there_changes_nothing() {
        let mut table = table(0);
        table.add(0, 0, 1);
        table.add(1, 0, 1);
        assert!(table.settle(1));
        assert!(!table.settle(1));
        assert!(!table.settle(7));
        assert!(table.settle(0));
        assert!(!table.settle(0));
        assert_eq!(table.committable(), 2);
    }

    #[test]
    fn filtered_messages_are_passed_once_those_before_them_are_settled() {
        let mut table = table(0);
        table.add(3, 0, 1);
        table.fetched_to(9);
        assert_eq!((table.committable(), table.fetched()), (3, 9));
        table.settle(3);
        assert_eq!(table.committable(), 9);
    }

    #[test]
    fn messages_and_bytes_bound_what_is_pulled() {
        let mut table = table(0);
        assert_eq!(table.room(), 4);
        (0..3).for_each(|offset| assert!(table.add(offset, 0, 10)));
        assert_eq!(table.room(), 1);
        table.add(3, 0, 70);
        assert_eq!(table.room(), 0);
        table.settle(0);
        assert_eq!(table.room(), 1);
        table.add(4, 0, 500);
        table.settle(3);
        assert_eq!(table.room(), 0, "too many bytes");
        table.settle(4);
        assert_eq!(table.room(), 2);
    }

    #[test]
    fn one_stuck_message_stops_pulling_in_the_end() {
        let mut table = table(0);
        table.add(0, 0, 1);
        for offset in 1.. {
            if table.room() == 0 {
                assert_eq!(offset, 2_000);
                break;
            }
            table.add(offset, 0, 1);
            table.settle(offset);
        }
        table.settle(0);
        assert_eq!((table.room(), table.committable()), (4, 2_000));
    }

    #[test]
    fn a_restart_forgets_what_was_in_flight() {
        let mut table = table(0);
        table.add(0, 0, 1);
        table.restart_at(50);
        assert!(!table.settle(0));
        assert_eq!((table.committable(), table.in_flight(), table.room()), (50, 0, 4));
        assert!(!table.add(49, 0, 1));
    }

    proptest! {
        /// Against the obvious model: a set of offsets in flight.
        #[test]
        fn the_prefix_is_the_lowest_in_flight(
            gaps in proptest::collection::vec(1i64..4, 1..60),
            order in any::<u64>(),
        ) {
            let mut table = ProcessQueue::new(0, Limits { messages: 1_000, bytes: 1_000 });
            let mut model = std::collections::BTreeSet::new();
            let mut offset = 0;
            for gap in gaps {
                offset += gap;
                table.add(offset, 0, 1);
                model.insert(offset);
            }
            let mut left: Vec<_> = model.iter().copied().collect();
            fastrand::Rng::with_seed(order).shuffle(&mut left);
            for settled in left {
                prop_assert!(table.settle(settled));
                model.remove(&settled);
                let lowest = model.first().copied().unwrap_or(offset + 1);
                prop_assert_eq!(table.committable(), lowest);
                prop_assert_eq!(table.in_flight(), model.len());
            }
        }
    }
}
