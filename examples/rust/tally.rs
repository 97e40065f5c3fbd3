//! Counts what the workers report, and judges.

use std::collections::{BTreeMap, BTreeSet};

use crate::report::Report;

/// Who reports: a language in the group that shares the messages, or the group that sees all.
pub type Name = &'static str;

/// What one worker did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events that the broker stored for it.
    pub sent: u64,
    /// Deliveries.
    pub received: u64,
    /// Deliveries of events that had been handed back.
    pub redelivered: u64,
    /// Events done with.
    pub acked: u64,
}

/// What all workers did.
#[derive(Debug, Default)]
pub struct Tally {
    counts: BTreeMap<Name, Counts>,
    sent: BTreeSet<String>,
    shared_acked: BTreeSet<String>,
    audited: BTreeSet<String>,
    handed_back: BTreeSet<String>,
    redelivered: BTreeSet<String>,
}

/// The name of the group that sees every event by itself.
pub const AUDIT: Name = "audit (Rust)";

impl Tally {
    /// Counts one report.
    pub fn add(&mut self, name: Name, report: Report) {
        let counts = self.counts.entry(name).or_default();
        match report {
            Report::Sent { id } => {
                counts.sent += 1;
                self.sent.insert(id);
            }
            Report::Received { id, redelivered } => {
                counts.received += 1;
                if redelivered {
                    counts.redelivered += 1;
                    self.redelivered.insert(id);
                }
            }
            Report::HandedBack { id } => {
                self.handed_back.insert(id);
            }
            Report::Acked { id } => {
                counts.acked += 1;
                let done = if name == AUDIT { &mut self.audited } else { &mut self.shared_acked };
                done.insert(id);
            }
            Report::Ready | Report::Done => {}
        }
    }

    /// Counts by worker.
    pub fn counts(&self) -> impl Iterator<Item = (Name, Counts)> {
        self.counts.iter().map(|(name, counts)| (*name, *counts))
    }

    /// How many different events were sent.
    pub fn sent(&self) -> usize {
        self.sent.len()
    }

    /// How many different events the sharing group is done with.
    pub fn shared(&self) -> usize {
        self.shared_acked.len()
    }

    /// How many different events the other group is done with.
    pub fn audited(&self) -> usize {
        self.audited.len()
    }

    /// What is wrong, given the ids that went in; nothing if each group is done with exactly those,
    /// and whatever was handed back has come again.
    pub fn problems(&self, ids: &BTreeSet<String>) -> Vec<String> {
        let mut problems = Vec::new();
        let sets = [
            ("sent", &self.sent),
            ("acked by the sharing group", &self.shared_acked),
            ("acked by the audit group", &self.audited),
        ];
        for (what, set) in sets {
            problems.extend(list("never", what, ids.difference(set)));
            problems.extend(list("unknown but", what, set.difference(ids)));
        }
        let lost = self.handed_back.difference(&self.redelivered);
        problems.extend(list("handed back and never", "redelivered", lost));
        problems
    }

    /// Whether everything is done.
    pub fn is_complete(&self, ids: &BTreeSet<String>) -> bool {
        self.problems(ids).is_empty()
    }
}

/// A line about the ids in question, naming the first few; none if there are none.
fn list<'a>(
    how: &str,
    what: &str,
    ids: impl Iterator<Item = &'a String> + Clone,
) -> Option<String> {
    let count = ids.clone().count();
    let first: Vec<&str> = ids.take(5).map(String::as_str).collect();
    (count > 0).then(|| format!("{count} events {how} {what}: {}", first.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acked(id: &str) -> Report {
        Report::Acked { id: id.to_owned() }
    }

    #[test]
    fn only_the_same_set_in_and_out_is_complete() {
        let ids = BTreeSet::from(["a".to_owned()]);
        let mut tally = Tally::default();
        tally.add("Rust", Report::Sent { id: "a".into() });
        tally.add("Node", acked("a"));
        assert_eq!(tally.problems(&ids), ["1 events never acked by the audit group: a"]);
        tally.add(AUDIT, acked("a"));
        assert!(tally.is_complete(&ids));
        tally.add("Node", Report::HandedBack { id: "a".into() });
        assert!(!tally.is_complete(&ids));
        tally.add("Python", Report::Received { id: "a".into(), redelivered: true });
        assert!(tally.is_complete(&ids));
        tally.add("Python", acked("stranger"));
        assert_eq!(tally.problems(&ids).len(), 1);
    }
}
