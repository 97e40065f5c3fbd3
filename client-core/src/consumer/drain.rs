//! Ending a consumer in good order.

use std::time::Duration;

use super::core::Core;
use crate::clock;
use crate::message::MessageQueue;

/// What became of a consumer's messages when it ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct DrainReport {
    /// Deliveries that the application had and settled while the consumer ended.
    pub finished: usize,
    /// Messages that had been fetched and were not given to the application: other members get
    /// them.
    pub handed_back: usize,
    /// Deliveries that the application had and did not settle in time: they will be delivered
    /// again.
    pub abandoned: usize,
    /// The offsets that brokers know now, by queue: the group goes on there.
    pub committed: Vec<(MessageQueue, i64)>,
}

impl Core {
    /// Stops fetching, waits for what the application has, commits, and leaves. The application's
    /// binding holds `untaken` deliveries that it never gave to the application.
    pub(super) async fn drain(&self, deadline: Duration, untaken: usize) -> DrainReport {
        let shared = &self.shared;
        let until = shared.instance.deadline(deadline);
        shared.begin_drain();
        let handed_back = self.ready.close().len() + untaken;
        shared.stop.cancel();
        let assigned = self.all_assigned();
        let given = || {
            let in_flight: usize = assigned.iter().map(|one| one.table().in_flight()).sum();
            in_flight.saturating_sub(handed_back)
        };
        let at_first = given();
        let all_settled = async {
            while given() > 0 {
                shared.settled.notified().await;
            }
        };
        // The report tells whether that was in time.
        let _ = clock::timeout_at(&*shared.instance.clock, until, all_settled).await;
        let abandoned = given();
        self.leave().await;
        let mut committed: Vec<_> = assigned
            .iter()
            .filter(|one| one.committed() >= 0)
            .map(|one| (one.queue.clone(), one.committed()))
            .collect();
        committed.sort();
        DrainReport {
            finished: at_first.saturating_sub(abandoned),
            handed_back,
            abandoned,
            committed,
        }
    }
}
