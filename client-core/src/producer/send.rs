//! The way of one message: choose a queue, ask, judge the answer, try again.
//!
//! This is the only place that decides to retry.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;

use super::retry::{Judgement, delays, judge_answer};
use super::{Inner, Receipt, SendOptions, StoredStatus, select, validate};
use crate::error::{Error, ErrorKind, Stored};
use crate::instance::route::{DEFAULT_TOPIC_QUEUES, Purpose, TopicRoute};
use crate::message::{Message, MessageQueue};
use crate::net::CallError;
use crate::protocol::code::RequestCode;
use crate::protocol::command::RemotingCommand;
use crate::protocol::ext_fields::ExtFields;
use crate::protocol::header::{SendFields, SendMessageRequestHeader};
use crate::protocol::message::compression::CompressionType;
use crate::protocol::message::properties::name;
use crate::protocol::names::DEFAULT_TOPIC;

const ZLIB_LEVEL: i32 = 5;

/// A message as it goes onto the wire, the same for every attempt.
struct Prepared {
    topic: Arc<str>,
    message_id: String,
    properties: String,
    body: Bytes,
    sys_flag: i32,
    flag: i32,
    born_timestamp: i64,
}

impl Prepared {
    fn fields(&self, group: &str, queue: &MessageQueue) -> ExtFields {
        let header = SendMessageRequestHeader {
            producer_group: group,
            topic: &self.topic,
            default_topic: DEFAULT_TOPIC,
            default_topic_queue_nums: DEFAULT_TOPIC_QUEUES,
            queue_id: queue.queue_id,
            sys_flag: self.sys_flag,
            born_timestamp: self.born_timestamp,
            flag: self.flag,
            properties: &self.properties,
            reconsume_times: 0,
            unit_mode: false,
            max_reconsume_times: None,
            batch: false,
        };
        let text = group.len() + self.topic.len() + self.properties.len() + 96;
        let mut fields = ExtFields::with_capacity(13, text);
        header.write(&mut fields, SendFields::Letters);
        // Proxies and static topics look at it.
        fields.push("n", &queue.broker_name);
        fields
    }

    fn request(&self, group: &str, queue: &MessageQueue) -> RemotingCommand {
        RemotingCommand {
            ext_fields: self.fields(group, queue),
            body: self.body.clone(),
            ..RemotingCommand::request(RequestCode::SEND_MESSAGE_V2, &())
        }
    }
}

/// A failed attempt.
struct Failure {
    error: Error,
    judgement: Judgement,
}

impl Inner {
    fn prepare(&self, message: Message, options: &SendOptions) -> Prepared {
        let message_id = self.instance.unique_keys.next();
        let Message { topic, body, mut properties, flag, .. } = message;
        properties.append(name::UNIQ_KEY, &message_id);
        if let Some(shard) = options.shard.as_deref().filter(|shard| !shard.is_empty()) {
            properties.set(name::SHARDING_KEY, shard);
        }
        let (body, sys_flag) = compress(body, self.options.compress_above);
        Prepared {
            topic,
            message_id,
            properties: properties.into_encoded(),
            body,
            sys_flag,
            flag,
            born_timestamp: self.instance.clock.now_ms(),
        }
    }

    /// Sends until it is stored, refused, or out of time or attempts. `is_cancelled` ends it
    /// before the next attempt.
    pub(super) async fn send(
        &self,
        message: Message,
        options: &SendOptions,
        is_cancelled: &(impl Fn() -> bool + Sync),
    ) -> Result<Receipt, Error> {
        let timeout = options.timeout.unwrap_or(self.options.timeout);
        let deadline = self.instance.deadline(timeout);
        let topic = message.topic.clone();
        self.check(&message, options).map_err(|error| error.on_topic(&topic))?;
        let prepared = self.prepare(message, options);
        let mut pauses = None;
        let mut attempts = 0;
        let mut stored = Stored::No;
        loop {
            attempts += 1;
            let failure = match self.attempt(&prepared, options, deadline, attempts).await {
                Ok(receipt) => return Ok(receipt),
                Err(failure) => *failure,
            };
            if failure.judgement.stored == Stored::Unknown {
                stored = Stored::Unknown;
            }
            let give_up = || failure.error.clone().after_attempts(attempts).with_stored(stored);
            if !failure.judgement.again {
                return Err(give_up());
            }
            let pauses = pauses
                .get_or_insert_with(|| delays(self.options.retries, self.instance.random.number()));
            let Some(pause) = pauses.next() else { return Err(give_up()) };
            let next = self.instance.deadline(pause);
            if next >= deadline {
                return Err(give_up());
            }
            tracing::debug!(error = %failure.error, ?pause, "send failed, trying again");
            self.instance.clock.sleep_until(next).await;
            if failure.judgement.refresh_route {
                // If that fails, the next attempt uses the route there is.
                let _ = self
                    .instance
                    .fetch_route("send", &prepared.topic, Purpose::Send, deadline)
                    .await;
            }
            if is_cancelled() {
                return Err(Error::new(ErrorKind::Closed, "send", "it was cancelled")
                    .on_topic(&prepared.topic)
                    .after_attempts(attempts)
                    .with_stored(stored));
            }
        }
    }

    /// Hands the message to a connection, once.
    pub(super) async fn send_oneway(&self, message: Message) -> Result<(), Error> {
        let deadline = self.instance.deadline(self.options.attempt_timeout);
        let options = SendOptions::default();
        let topic = message.topic.clone();
        self.check(&message, &options).map_err(|error| error.on_topic(&topic))?;
        let prepared = self.prepare(message, &options);
        let route = self.instance.route("send", &topic, Purpose::Send, deadline).await?;
        let (queue, address) = self.choose(&route, &topic, &options)?;
        let request = RemotingCommand {
            ext_fields: prepared.fields(&self.group, &queue),
            body: prepared.body,
            ..RemotingCommand::one_way(RequestCode::SEND_MESSAGE_V2, &())
        };
        self.instance.connections.send(&address, request, deadline).await.map_err(|error| {
            self.note_failure(&queue.broker_name);
            error.into_error("send", &address).on_queue(&queue)
        })
    }

    fn check(&self, message: &Message, options: &SendOptions) -> Result<(), Error> {
        validate::message(message, self.options.max_message_bytes)?;
        if options.queue.as_ref().is_some_and(|queue| queue.topic != message.topic) {
            return Err(Error::invalid("send", "the queue belongs to another topic"));
        }
        if self.instance.is_closed() { Err(Error::closed("send")) } else { Ok(()) }
    }

    async fn attempt(
        &self,
        prepared: &Prepared,
        options: &SendOptions,
        deadline: Duration,
        attempts: u32,
    ) -> Result<Receipt, Box<Failure>> {
        let before_sending = |error: Error| {
            let again = error.retryable() && error.kind() != ErrorKind::RouteNotFound;
            Box::new(Failure { judgement: Judgement { again, ..Judgement::refused() }, error })
        };
        let route = match self.instance.routes.cached(&prepared.topic) {
            Some(route) => route,
            None => self
                .instance
                .route("send", &prepared.topic, Purpose::Send, deadline)
                .await
                .map_err(before_sending)?,
        };
        let (queue, address) =
            self.choose(&route, &prepared.topic, options).map_err(before_sending)?;
        let request = prepared.request(&self.group, &queue);
        let until = deadline.min(self.instance.deadline(self.options.attempt_timeout));
        let outcome = self.instance.connections.call(&address, request, until).await;
        let failure = match outcome {
            Ok(answer) => match StoredStatus::from_code(answer.response_code()) {
                Some(status) => {
                    self.note_success(&queue.broker_name);
                    let message_id = &prepared.message_id;
                    return Receipt::from_answer(message_id, &queue, status, &answer, attempts)
                        .map_err(|error| {
                            let error = error.on_queue(&queue);
                            let judgement =
                                Judgement { stored: Stored::Unknown, ..Judgement::refused() };
                            Box::new(Failure { error, judgement })
                        });
                }
                None => self.judge(&answer),
            },
            Err(error) => judge_call(error, &address),
        };
        if failure.judgement.blame_broker {
            self.note_failure(&queue.broker_name);
        }
        let Failure { error, judgement } = failure;
        Err(Box::new(Failure { error: error.on_queue(&queue).at(address), judgement }))
    }

    fn judge(&self, answer: &RemotingCommand) -> Failure {
        let code = answer.response_code();
        let judgement = judge_answer(code);
        let error = Error::from_response("send", code, answer.remark.as_deref());
        Failure { error: error.with_retryable(judgement.again), judgement }
    }

    /// The queue for the next attempt and the address of its master.
    fn choose(
        &self,
        route: &TopicRoute,
        topic: &Arc<str>,
        options: &SendOptions,
    ) -> Result<(MessageQueue, Arc<str>), Error> {
        let unavailable =
            |reason: &str| Error::new(ErrorKind::Unavailable, "send", reason).on_topic(topic);
        let queue = if let Some(queue) = &options.queue {
            Cow::Borrowed(queue)
        } else {
            let chosen = match &options.shard {
                Some(shard) => select::by_shard(&route.write_queues, shard),
                None => {
                    let turn = self.turn.fetch_add(1, Ordering::Relaxed);
                    select::round_robin(&route.write_queues, turn, |b| self.is_avoided(b))
                }
            };
            let no_queue = "no broker with a master lets the topic be written to";
            Cow::Borrowed(chosen.ok_or_else(|| unavailable(no_queue))?)
        };
        match route.master(&queue.broker_name) {
            Some(address) => Ok((queue.into_owned(), address.clone())),
            None => Err(unavailable("the queue's broker has no master").on_queue(&queue)),
        }
    }
}

fn judge_call(error: CallError, address: &Arc<str>) -> Failure {
    let again = !matches!(error, CallError::Unsendable(_));
    let judgement = Judgement {
        stored: error.stored(),
        again,
        blame_broker: again,
        // The broker may have gone, and the name server know of it.
        refresh_route: again,
    };
    Failure { error: error.into_error("send", address), judgement }
}

/// The body as it is sent, and the bits that say so. One that does not get smaller stays as it is.
fn compress(body: Bytes, above: usize) -> (Bytes, i32) {
    if body.len() <= above {
        return (body, 0);
    }
    match CompressionType::Zlib.compress(&body, ZLIB_LEVEL) {
        Ok(small) if small.len() < body.len() => (small, CompressionType::Zlib.to_sys_flag()),
        _ => (body, 0),
    }
}
