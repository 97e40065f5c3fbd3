//! The stream style: the application asks for the next delivery.

use std::sync::Arc;
use std::time::Duration;

use super::core::{Core, Owner};
use super::{Delivery, DeliveryHandle, DrainReport, Taken, Verdict, send_back};
use crate::completions::{Bell, Completion, Completions, Outcome};
use crate::error::Error;
use crate::message::MessageQueue;

/// A consumer whose deliveries are asked for.
///
/// Made by [`PushConsumerBuilder::stream`](crate::PushConsumerBuilder::stream). Dropping it ends
/// it; [`drain`](Self::drain) does so in good order.
///
/// ```no_run
/// # async fn bill(_: &oxmq::Delivery) -> Result<(), ()> { Ok(()) }
/// # async fn example(client: oxmq::Client) -> Result<(), oxmq::Error> {
/// use std::time::Duration;
///
/// let consumer = client.push_consumer("billing").subscribe("orders", "paid").stream().await?;
/// while let Some(delivery) = consumer.next().await {
///     match bill(&delivery).await {
///         Ok(()) => delivery.ack().await?,
///         Err(()) => delivery.nack(Duration::from_secs(10)).await?,
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct ConsumerStream {
    owner: Owner,
}

impl ConsumerStream {
    pub(super) fn new(core: Arc<Core>) -> Self {
        Self { owner: Owner(core) }
    }

    fn core(&self) -> &Arc<Core> {
        &self.owner.0
    }

    /// Waits for the next delivery; `None` once the consumer is drained or its client closed.
    ///
    /// # Cancel safety
    /// Dropping the future loses no delivery.
    pub async fn next(&self) -> Option<Delivery> {
        self.core().ready.next().await
    }

    /// Takes what is there and does not wait: up to `max` deliveries, stopping once `max_bytes` of
    /// bodies are reached. May be called from any thread.
    pub fn take(&self, max: usize, max_bytes: usize, out: &mut Vec<Delivery>) -> Taken {
        self.core().ready.take(max, max_bytes, out)
    }

    /// Gives deliveries back that were taken and not looked at, in the order in which they were
    /// taken: they are the next to be taken, or handed back by [`drain`](Self::drain).
    pub fn give_back(&self, deliveries: Vec<Delivery>) {
        self.core().ready.give_back(deliveries.into_iter());
    }

    /// Rings `bell` when there is something to take, once until the next [`take`](Self::take). The
    /// first bell stays.
    pub fn on_ready(&self, bell: Arc<dyn Bell>) {
        self.core().ready.on_ready(bell);
    }

    /// Settles many deliveries and does not wait. `to` hears with this `tag` once all are settled,
    /// or of the first that could not be handed back. Acks take effect at once; handles of queues
    /// that went to other members are passed over. May be called from any thread.
    pub fn settle(&self, verdicts: &[(DeliveryHandle, Verdict)], tag: u64, to: &Arc<Completions>) {
        let mut hand_back = Vec::new();
        {
            let owned = self.core().owned();
            for (handle, verdict) in verdicts {
                let (slot, offset) = handle.parts();
                let Some(assigned) = owned.by_slot(slot) else { continue };
                match verdict.delay_level() {
                    None => assigned.settle(offset),
                    Some(level) => hand_back.push((assigned.clone(), offset, level)),
                }
            }
        }
        if hand_back.is_empty() {
            return to.push(Completion { tag, outcome: Ok(Outcome::Done) });
        }
        let to = to.clone();
        self.core().shared.instance.runtime.spawn(async move {
            let mut outcome = Ok(Outcome::Done);
            for (assigned, offset, level) in hand_back {
                let handed_back = send_back::hand_back(&assigned, offset, level).await;
                outcome = outcome.and_then(|first| handed_back.map(|()| first));
            }
            to.push(Completion { tag, outcome });
        });
    }

    /// The queues that this member owns now, the group's retry topic left out.
    pub fn assignment(&self) -> Vec<MessageQueue> {
        self.core().assignment()
    }

    /// Tells brokers of all progress now, and waits until they know. It also happens every few
    /// seconds by itself.
    ///
    /// # Errors
    /// A broker could not be told.
    pub async fn commit(&self) -> Result<(), Error> {
        self.core().commit_all("commit").await
    }

    /// Takes no more messages, waits until those that were taken are settled or `deadline` from
    /// now has come, commits, leaves the group, and says what became of everything.
    pub async fn drain(&self, deadline: Duration) -> DrainReport {
        self.core().drain(deadline, 0).await
    }

    /// As [`drain`](Self::drain), for those who [`take`](Self::take) more than they are asked for:
    /// `untaken` deliveries were taken and not given to the application. They count as handed back
    /// and are not waited for.
    pub async fn drain_leaving(&self, deadline: Duration, untaken: usize) -> DrainReport {
        self.core().drain(deadline, untaken).await
    }
}
