//! Messages that go back to the broker: to be delivered again, or to the dead-letter topic.

use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};

use super::assigned::Assigned;
use super::delay_level;
use crate::error::{Error, ErrorKind};
use crate::protocol::code::RequestCode;
use crate::protocol::command::RemotingCommand;
use crate::protocol::header::ConsumerSendMsgBackRequestHeader;

/// How a delivery is settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is done.
    Ack,
    /// Deliver it again after at least this time; see [`Delivery::nack`](crate::Delivery::nack).
    Nack(Duration),
    /// It goes to the dead-letter topic.
    Reject,
}

impl Verdict {
    /// The delay level to hand it back with; `None` if it is not handed back.
    pub(super) fn delay_level(self) -> Option<i32> {
        match self {
            Self::Ack => None,
            Self::Nack(delay) => Some(delay_level::for_delay(delay)),
            Self::Reject => Some(delay_level::DEAD_LETTER),
        }
    }
}

const TIMEOUT: Duration = Duration::from_secs(3);
const RETRIES: usize = 3;

/// Hands one message in flight back, and settles it here once the broker has it. One that is not
/// in flight any more needs nothing.
///
/// A broker that took it and could not say so gets it again: it is delivered twice, not lost.
pub(super) async fn hand_back(
    assigned: &Arc<Assigned>,
    offset: i64,
    delay_level: i32,
) -> Result<(), Error> {
    let Some(physical_offset) = assigned.table().physical_offset(offset) else { return Ok(()) };
    let instance = &assigned.shared.instance;
    let mut pauses = ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(100))
        .with_max_times(RETRIES)
        .with_jitter()
        .with_jitter_seed(instance.random.number())
        .build();
    loop {
        let error = match ask(assigned, physical_offset, delay_level).await {
            Ok(()) => {
                assigned.settle(offset);
                return Ok(());
            }
            Err(error) => error,
        };
        let pause = if error.retryable() { pauses.next() } else { None };
        let Some(pause) = pause else { return Err(error) };
        tracing::debug!(%error, "not handed back, trying again");
        crate::clock::sleep(&*instance.clock, pause).await;
    }
}

pub(super) async fn ask(
    assigned: &Assigned,
    physical_offset: i64,
    delay_level: i32,
) -> Result<(), Error> {
    const OPERATION: &str = "hand back";
    let shared = &assigned.shared;
    let queue = &assigned.queue;
    let route = shared.instance.routes.cached(&queue.topic);
    let address = route.and_then(|route| route.master(&queue.broker_name).cloned());
    let Some(address) = address else {
        return Err(Error::new(ErrorKind::Unavailable, OPERATION, "the broker has no master")
            .on_queue(queue));
    };
    let header = ConsumerSendMsgBackRequestHeader {
        offset: physical_offset,
        group: shared.group.to_string(),
        delay_level,
        origin_msg_id: None,
        origin_topic: Some(queue.topic.to_string()),
        unit_mode: Some(false),
        max_reconsume_times: Some(shared.options.max_reconsume_times),
    };
    let request = RemotingCommand::request(RequestCode::CONSUMER_SEND_MSG_BACK, &header);
    let answer = shared.instance.ask(OPERATION, &address, request, TIMEOUT).await;
    answer.map(drop).map_err(|error| error.on_queue(queue).of_group(&shared.group))
}
