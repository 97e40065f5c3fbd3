//! The handler style: the consumer calls a function with each delivery.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use super::core::{Core, Owner};
use super::{Delivery, DrainReport};
use crate::clock;
use crate::error::Error;
use crate::message::MessageQueue;

/// What a handler says of a delivery that is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ack;

/// Why a handler failed. Any error fits.
pub type HandlerError = Box<dyn std::error::Error + Send + Sync>;

/// How soon a delivery that could be neither done nor handed back is tried again here.
const LOCAL_RETRY: Duration = Duration::from_secs(5);

/// A consumer that calls a function with each delivery.
///
/// Made by [`PushConsumerBuilder::start`](crate::PushConsumerBuilder::start). Dropping it ends it;
/// [`drain`](Self::drain) does so in good order.
#[derive(Debug)]
pub struct PushConsumer {
    owner: Owner,
}

impl PushConsumer {
    pub(super) fn start<H, F>(core: Arc<Core>, handler: H, concurrency: usize) -> Self
    where
        H: Fn(Delivery) -> F + Send + Sync + 'static,
        F: Future<Output = Result<Ack, HandlerError>> + Send + 'static,
    {
        let handler = Arc::new(handler);
        for _ in 0..concurrency {
            let (core, handler) = (core.clone(), handler.clone());
            let runtime = core.shared.instance.runtime.clone();
            runtime.spawn(async move {
                while let Some(delivery) = core.ready.next().await {
                    handle(&core, &*handler, delivery).await;
                }
            });
        }
        Self { owner: Owner(core) }
    }

    /// The queues that this member owns now, the group's retry topic left out.
    pub fn assignment(&self) -> Vec<MessageQueue> {
        self.owner.0.assignment()
    }

    /// Tells brokers of all progress now, and waits until they know. It also happens every few
    /// seconds by itself.
    ///
    /// # Errors
    /// A broker could not be told.
    pub async fn commit(&self) -> Result<(), Error> {
        self.owner.0.commit_all("commit").await
    }

    /// Takes no more messages, waits for running handlers until `deadline` from now, commits,
    /// leaves the group, and says what became of everything.
    pub async fn drain(&self, deadline: Duration) -> DrainReport {
        self.owner.0.drain(deadline, 0).await
    }
}

/// Runs the handler on one delivery and settles it.
async fn handle<F>(core: &Core, handler: &impl Fn(Delivery) -> F, delivery: Delivery)
where
    F: Future<Output = Result<Ack, HandlerError>>,
{
    let again = delivery.clone();
    let (assigned, offset) = (delivery.assigned().clone(), delivery.queue_offset);
    let reason = match unwind_safe(|| handler(delivery)).await {
        Ok(Ok(Ack)) => return assigned.settle(offset),
        Ok(Err(error)) => error.to_string(),
        Err(panic) => format!("it panicked: {}", panic_text(&*panic)),
    };
    tracing::warn!(
        message_id = %again.message_id(), topic = %again.topic, reason, "handler failed"
    );
    let Err(error) = again.nack(Duration::ZERO).await else { return };
    tracing::warn!(%error, "not handed back; trying again here");
    clock::sleep(&*core.shared.instance.clock, LOCAL_RETRY).await;
    core.ready.push([again]);
}

/// Runs a future to its end or to its panic.
async fn unwind_safe<F: Future>(
    make: impl FnOnce() -> F,
) -> Result<F::Output, Box<dyn Any + Send>> {
    // What a panic leaves behind is dropped and never looked at.
    let mut future = pin!(catch_unwind(AssertUnwindSafe(make))?);
    std::future::poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
        Err(panic) => Poll::Ready(Err(panic)),
    })
    .await
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_in_a_handler_is_an_outcome() {
        let panic = unwind_safe(|| async { panic!("at the {}", "disco") }).await;
        let panic: Box<dyn Any + Send> = match panic {
            Ok(()) => unreachable!("it panics"),
            Err(panic) => panic,
        };
        assert_eq!(panic_text(&*panic), "at the disco");
        assert_eq!(unwind_safe(|| async { 7 }).await.ok(), Some(7));
    }
}
