//! Where to start in a queue that was just taken on.

use std::sync::Arc;
use std::time::Duration;

use super::builder::ConsumeFrom;
use super::core::Shared;
use crate::error::{Error, ErrorKind};
use crate::instance::route::TopicRoute;
use crate::message::MessageQueue;
use crate::protocol::code::{RequestCode, ResponseCode};
use crate::protocol::command::RemotingCommand;
use crate::protocol::header::{
    Header, OffsetResponseHeader, QueryConsumerOffsetRequestHeader, QueueRequestHeader,
    SearchOffsetRequestHeader,
};

const OPERATION: &str = "find the start";
const TIMEOUT: Duration = Duration::from_secs(5);

/// An offset to start at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// The group has been here before.
    Committed(i64),
    /// It has not: tell the broker, so that another member starts at the same place.
    Fresh(i64),
}

/// Asks the broker for the group's offset, or else for the one that the options mean.
///
/// Source: RocketMQ 5.3.3 `RebalancePushImpl.computePullFromWhere`. Differs: a queue that appears
/// after the consumer is read from its beginning, where Apache may skip what was sent before it
/// noticed; and a start that is not stored yet is stored at once.
pub(super) async fn start_offset(
    shared: &Arc<Shared>,
    route: &TopicRoute,
    queue: &MessageQueue,
    appeared_later: bool,
) -> Result<Start, Error> {
    let (address, _) = route.replica(&queue.broker_name, 0).ok_or_else(|| {
        Error::new(ErrorKind::Unavailable, OPERATION, "the broker has no address").on_queue(queue)
    })?;
    let asking = Asking { shared, address, queue };
    if let Some(committed) = asking.committed().await? {
        return Ok(Start::Committed(committed));
    }
    let is_retry_topic = shared.is_retry_topic(&queue.topic);
    let offset = match shared.options.consume_from {
        _ if is_retry_topic || appeared_later => asking.end(RequestCode::GET_MIN_OFFSET).await?,
        ConsumeFrom::First => asking.end(RequestCode::GET_MIN_OFFSET).await?,
        ConsumeFrom::Last => asking.end(RequestCode::GET_MAX_OFFSET).await?,
        ConsumeFrom::Timestamp(timestamp) => asking.at_time(timestamp).await?,
    };
    Ok(Start::Fresh(offset))
}

struct Asking<'a> {
    shared: &'a Arc<Shared>,
    address: &'a Arc<str>,
    queue: &'a MessageQueue,
}

impl Asking<'_> {
    async fn committed(&self) -> Result<Option<i64>, Error> {
        let header = QueryConsumerOffsetRequestHeader {
            consumer_group: self.shared.group.to_string(),
            topic: self.queue.topic.to_string(),
            queue_id: self.queue.queue_id,
            // Otherwise a broker says 0 for young queues, and a new group could not start at
            // their end. Brokers before 5.0 do so in any case.
            set_zero_if_not_found: Some(false),
        };
        match self.offset(RequestCode::QUERY_CONSUMER_OFFSET, &header).await {
            Ok(offset) => Ok(Some(offset)),
            Err(error) if error.code() == Some(ResponseCode::QUERY_NOT_FOUND) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn end(&self, code: RequestCode) -> Result<i64, Error> {
        let (topic, queue_id) = (self.queue.topic.to_string(), self.queue.queue_id);
        self.offset(code, &QueueRequestHeader { topic, queue_id, committed: None }).await
    }

    async fn at_time(&self, timestamp: i64) -> Result<i64, Error> {
        let header = SearchOffsetRequestHeader {
            topic: self.queue.topic.to_string(),
            queue_id: self.queue.queue_id,
            timestamp,
            boundary_type: None,
        };
        self.offset(RequestCode::SEARCH_OFFSET_BY_TIMESTAMP, &header).await
    }

    async fn offset(&self, code: RequestCode, header: &impl Header) -> Result<i64, Error> {
        let request = RemotingCommand::request(code, header);
        let answer = self
            .shared
            .instance
            .ask(OPERATION, self.address, request, TIMEOUT)
            .await
            .map_err(|error| error.on_queue(self.queue).of_group(&self.shared.group))?;
        let header: OffsetResponseHeader = answer.header()?;
        Ok(header.offset)
    }
}
