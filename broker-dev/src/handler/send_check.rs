//! What a send must be like, and what becomes of it: the message that is stored.
//!
//! Source: RocketMQ 5.3.3 `broker/processor/{AbstractSendMessageProcessor, SendMessageProcessor}`,
//! `broker/util/HookUtils`.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use oxmq::protocol::body::{TopicConfig, perm};
use oxmq::protocol::code::{RequestCode, ResponseCode};
use oxmq::protocol::command::RemotingCommand;
use oxmq::protocol::header::{SendFields, SendMessageRequestHeader};
use oxmq::protocol::message::{batch, properties, sys_flag};
use oxmq::protocol::names;

use super::Caller;
use super::later::{Later, Wish};
use crate::core::Core;
use crate::meta::groups::no_group;
use crate::meta::topics::no_topic;
use crate::reply::Refusal;
use crate::store::PutMessage;

/// From this release on a client's own limit of retries counts.
const HONOURS_MAX_RETRIES: i32 = 121;

/// A message as it will be stored.
#[derive(Debug)]
pub(super) struct Accepted<'a> {
    pub(super) topic: Cow<'a, str>,
    pub(super) queue_id: i32,
    pub(super) flag: i32,
    pub(super) sys_flag: i32,
    pub(super) born_timestamp: i64,
    pub(super) reconsume_times: i32,
    pub(super) body: Bytes,
    /// Where its property string stands in [`Check::texts`].
    pub(super) properties: Range<usize>,
}

impl Accepted<'_> {
    /// The message for the store; `texts` holds its property string.
    pub(super) fn to_put<'m>(
        &'m self,
        core: &Core,
        caller: &Caller,
        texts: &'m str,
    ) -> PutMessage<'m> {
        PutMessage {
            topic: &self.topic,
            queue_id: self.queue_id,
            flag: self.flag,
            sys_flag: self.sys_flag,
            born_timestamp: self.born_timestamp,
            born_host: caller.peer.remote,
            store_host: core.store_host,
            reconsume_times: self.reconsume_times,
            prepared_transaction_offset: 0,
            body: &self.body,
            properties: texts.get(self.properties.clone()).unwrap_or_default(),
        }
    }
}

/// A request whose messages were accepted.
#[derive(Debug)]
pub(super) struct Admitted {
    /// Its messages among those of the turn.
    pub(super) messages: Range<usize>,
    /// The queue that the answer names.
    pub(super) queue_id: i32,
    /// Where its `UNIQ_KEY` stands in [`Check::texts`].
    pub(super) unique_key: Range<usize>,
    /// Whether the answer waits for the disk.
    pub(super) waits_for_disk: bool,
    /// Whether its messages became one record.
    pub(super) is_inner_batch: bool,
    /// What a timed message can be taken back with.
    pub(super) recall_handle: Option<String>,
}

/// The topic that this connection sent to last.
#[derive(Debug, Default)]
pub(crate) struct TopicCache(Option<(u64, Arc<TopicConfig>)>);

/// The messages of one turn.
#[derive(Debug)]
pub(super) struct Check<'c, 'a> {
    pub(super) core: &'c Core,
    pub(super) cache: &'c mut TopicCache,
    /// Property strings, one after the other.
    pub(super) texts: &'c mut String,
    pub(super) messages: Vec<Accepted<'a>>,
}

/// What stands in a property string that matters to a broker.
#[derive(Debug, Default)]
struct Noted<'a> {
    unique_key: Option<&'a str>,
    wish: Wish<'a>,
    does_not_wait: bool,
    /// Properties that only the broker may set are there.
    is_foreign: bool,
    /// Messages of the inner batch that it is to become.
    inner_num: Option<i16>,
    /// It says that it is an inner batch.
    is_counted: bool,
}

impl Noted<'_> {
    /// What comes in a batch is for now.
    fn check_batched(&self) -> Result<(), Refusal> {
        if self.wish.is_half || self.wish.is_timed() {
            return Err(illegal(
                "a batch cannot hold timed messages nor parts of transactions: send them singly",
            ));
        }
        Ok(())
    }
}

impl<'a> Check<'_, 'a> {
    /// Checks a send and adds its messages to the turn. If it is refused, nothing is added.
    pub(super) fn admit(&mut self, request: &'a RemotingCommand) -> Result<Admitted, Refusal> {
        let (messages, texts) = (self.messages.len(), self.texts.len());
        self.admit_all(request).inspect_err(|_| {
            self.messages.truncate(messages);
            self.texts.truncate(texts);
        })
    }

    fn admit_all(&mut self, request: &'a RemotingCommand) -> Result<Admitted, Refusal> {
        let is_batch = request.request_code() == RequestCode::SEND_BATCH_MESSAGE;
        let fields = match request.request_code() {
            RequestCode::SEND_MESSAGE | RequestCode::SEND_REPLY_MESSAGE => SendFields::Full,
            _ => SendFields::Letters,
        };
        let header = SendMessageRequestHeader::read(&request.ext_fields, fields)?;
        let limit = self.core.config.max_message_bytes as usize;
        check_sizes(request.body.len(), limit, header.properties)?;
        let topic = self.topic(&header)?;
        let queue_id = self.queue(&header, &topic)?;
        if is_batch || header.batch {
            return self.admit_batch(request, &header, &topic, queue_id);
        }
        if header.sys_flag & sys_flag::INNER_BATCH != 0 && !is_for_batches(&topic) {
            return Err(illegal("only topics of the queue type BatchCQ take inner batches"));
        }
        let to_dead_letters = self.is_dead_letter(&header, request.version)?;
        let mut target = Target {
            topic: Cow::Borrowed(header.topic),
            queue_id,
            reconsume_times: header.reconsume_times,
        };
        if let Some(group) = to_dead_letters {
            target.topic = Cow::Owned(self.dead_letter_topic(group)?);
            target.queue_id = 0;
        }
        let part = Part {
            flag: header.flag,
            body: request.body.clone(),
            properties: header.properties,
            noted: note(header.properties),
        };
        let waits_for_disk = !part.noted.does_not_wait;
        // A dead letter waits no more.
        let later = match to_dead_letters {
            None => part.noted.wish.decide(self.core, header.reconsume_times)?,
            Some(_) => None,
        };
        let start = self.messages.len();
        let topic = target.topic.clone();
        let unique_key = self.accept(&header, part, target, later)?;
        let recall_handle = later.and_then(|later| {
            let key = self.texts.get(unique_key.clone()).unwrap_or_default();
            later.recall_handle(self.core, &topic, key)
        });
        let messages = start..start + 1;
        let is_inner_batch = false;
        Ok(Admitted {
            messages,
            queue_id,
            unique_key,
            waits_for_disk,
            is_inner_batch,
            recall_handle,
        })
    }

    fn admit_batch(
        &mut self,
        request: &'a RemotingCommand,
        header: &SendMessageRequestHeader<'a>,
        topic: &TopicConfig,
        queue_id: i32,
    ) -> Result<Admitted, Refusal> {
        if header.topic.starts_with(names::RETRY_PREFIX) {
            return Err(illegal("a batch cannot be sent to a retry topic"));
        }
        let items = batch::decode(request.body.clone())?;
        let noted = note(header.properties);
        noted.check_batched()?;
        if is_for_batches(topic) && noted.unique_key.is_some() {
            return self.admit_inner_batch(request, header, noted, items.len(), queue_id);
        }
        let start = self.messages.len();
        let mut first_key = None;
        for item in &items {
            let part = Part {
                flag: item.flag,
                body: item.body.clone(),
                properties: &item.properties,
                noted: note(&item.properties),
            };
            let target =
                Target { topic: Cow::Borrowed(header.topic), queue_id, reconsume_times: 0 };
            part.noted.check_batched()?;
            let key = self.accept(header, part, target, None)?;
            first_key.get_or_insert(key);
        }
        let unique_key = first_key.ok_or_else(|| illegal("the batch is empty"))?;
        let messages = start..self.messages.len();
        self.check_run(messages.clone())?;
        let waits_for_disk = !noted.does_not_wait;
        Ok(Admitted {
            messages,
            queue_id,
            unique_key,
            waits_for_disk,
            is_inner_batch: false,
            recall_handle: None,
        })
    }

    /// The records of a batch stand in one file of the log.
    fn check_run(&self, run: Range<usize>) -> Result<(), Refusal> {
        /// Bytes of a record besides body, topic and properties at most.
        const OVERHEAD: usize = 160;
        let messages = self.messages.get(run).unwrap_or_default().iter();
        let bytes: usize = messages
            .map(|one| OVERHEAD + one.body.len() + one.topic.len() + one.properties.len())
            .sum();
        let limit = self.core.store.options().commit_log_file_bytes;
        if bytes as u64 <= limit {
            return Ok(());
        }
        Err(illegal(format!("the batch takes {bytes} bytes of the log; the limit is {limit}")))
    }

    /// A batch that becomes one record, which takes as many places as it has messages. Consumers
    /// take it apart.
    fn admit_inner_batch(
        &mut self,
        request: &'a RemotingCommand,
        header: &SendMessageRequestHeader<'a>,
        noted: Noted<'a>,
        count: usize,
        queue_id: i32,
    ) -> Result<Admitted, Refusal> {
        let count = i16::try_from(count).ok().filter(|count| *count > 0);
        let count = count.ok_or_else(|| illegal("the batch has no messages, or too many"))?;
        let waits_for_disk = !noted.does_not_wait;
        let counted = Part {
            flag: header.flag,
            body: request.body.clone(),
            properties: header.properties,
            noted: Noted { inner_num: Some(count), ..noted },
        };
        let target = Target {
            topic: Cow::Borrowed(header.topic),
            queue_id,
            reconsume_times: header.reconsume_times,
        };
        let start = self.messages.len();
        let unique_key = self.accept(header, counted, target, None)?;
        let messages = start..start + 1;
        Ok(Admitted {
            messages,
            queue_id,
            unique_key,
            waits_for_disk,
            is_inner_batch: true,
            recall_handle: None,
        })
    }

    /// The topic, which is made if it is unknown and that is allowed.
    fn topic(
        &mut self,
        header: &SendMessageRequestHeader<'_>,
    ) -> Result<Arc<TopicConfig>, Refusal> {
        let core = self.core;
        let generation = core.topics.generation();
        if let TopicCache(Some((at, topic))) = &self.cache
            && *at == generation
            && topic.topic_name == header.topic
        {
            return Ok(Arc::clone(topic));
        }
        names::check_topic(header.topic)?;
        if names::check_sendable_topic(header.topic).is_err() || header.topic == names::TIMER_TOPIC
        {
            let remark = format!("nobody may send to the system topic `{}`", header.topic);
            return Err(Refusal::new(ResponseCode::NO_PERMISSION, remark));
        }
        let topic = match core.topics.get(header.topic) {
            Some(topic) => topic,
            None => make_topic(core, header)?,
        };
        if core.config.broker_permission & perm::WRITE == 0 || topic.perm & perm::WRITE == 0 {
            let remark = format!("nobody may write to the topic `{}`", header.topic);
            return Err(Refusal::new(ResponseCode::NO_PERMISSION, remark));
        }
        self.cache.0 = Some((generation, Arc::clone(&topic)));
        Ok(topic)
    }

    fn queue(
        &self,
        header: &SendMessageRequestHeader<'_>,
        topic: &TopicConfig,
    ) -> Result<i32, Refusal> {
        if header.queue_id < 0 {
            return Ok(self.core.next_queue(topic.write_queue_nums));
        }
        let queues = topic.write_queue_nums.max(topic.read_queue_nums);
        if header.queue_id >= queues {
            let remark = format!(
                "the topic `{}` has {queues} queues: there is no queue {}",
                header.topic, header.queue_id
            );
            return Err(Refusal::new(ResponseCode::INVALID_PARAMETER, remark));
        }
        Ok(header.queue_id)
    }

    /// The group whose dead letter this is, if it was handed back too often.
    fn is_dead_letter(
        &self,
        header: &SendMessageRequestHeader<'a>,
        version: i32,
    ) -> Result<Option<&'a str>, Refusal> {
        let Some(group) = header.topic.strip_prefix(names::RETRY_PREFIX) else { return Ok(None) };
        let known = self.core.groups.get(group).ok_or_else(|| no_group(group))?;
        let theirs = header.max_reconsume_times.filter(|_| version >= HONOURS_MAX_RETRIES);
        let limit = theirs.unwrap_or(known.retry_max_times);
        let is_orderly = self.core.locks.any(group, self.core.clock.monotonic());
        let is_over =
            header.reconsume_times > limit || (is_orderly && header.reconsume_times >= limit);
        Ok(is_over.then_some(group))
    }

    fn dead_letter_topic(&self, group: &str) -> Result<String, Refusal> {
        let topic = names::dlq_topic(group);
        self.core.ensure_topic(&topic, 1, perm::READ | perm::WRITE)?;
        Ok(topic)
    }

    /// Adds one message to the turn; returns where its `UNIQ_KEY` stands.
    fn accept(
        &mut self,
        header: &SendMessageRequestHeader<'a>,
        part: Part<'_>,
        target: Target<'a>,
        later: Option<Later>,
    ) -> Result<Range<usize>, Refusal> {
        if part.body.is_empty() {
            return Err(illegal("the message has no body"));
        }
        let is_wrapped =
            part.noted.inner_num.is_some() || header.sys_flag & sys_flag::INNER_BATCH != 0;
        if part.noted.is_counted && !is_wrapped {
            return Err(illegal("INNER_NUM is for inner batches"));
        }
        let start = self.texts.len();
        copy_properties(self.texts, &part, later);
        let unique_key = self.add_own(part.noted.unique_key);
        let mut wrapped = 0;
        if let Some(count) = part.noted.inner_num {
            wrapped = sys_flag::INNER_BATCH | sys_flag::NEED_UNWRAP;
            for piece in ["INNER_NUM\u{1}", itoa::Buffer::new().format(count), "\u{2}"] {
                self.texts.push_str(piece);
            }
        }
        let mut message = Accepted {
            topic: target.topic,
            queue_id: target.queue_id,
            flag: part.flag,
            sys_flag: header.sys_flag & !(sys_flag::BORN_HOST_V6 | sys_flag::STORE_HOST_V6)
                | wrapped,
            born_timestamp: header.born_timestamp,
            reconsume_times: target.reconsume_times,
            body: part.body,
            properties: 0..0,
        };
        if let Some(later) = later {
            self.put_off(&mut message, later, unique_key.clone());
        }
        message.properties = start..self.texts.len();
        let length = message.properties.len();
        if length > properties::MAX_LENGTH {
            let limit = properties::MAX_LENGTH;
            return Err(illegal(format!(
                "the properties are {length} bytes long with the broker's own; the limit is {limit}"
            )));
        }
        self.messages.push(message);
        Ok(unique_key)
    }

    /// Adds the properties that every stored message has; returns where its `UNIQ_KEY` stands.
    fn add_own(&mut self, unique_key: Option<&str>) -> Range<usize> {
        self.texts.push_str(&self.core.own_properties);
        let made;
        let key = match unique_key {
            // It stands among those copied; a copy of its own is simpler to find again.
            Some(key) => key,
            None => {
                made = self.core.unique_keys.next();
                &made
            }
        };
        self.texts.push_str(properties::name::UNIQ_KEY);
        self.texts.push(char::from(properties::NAME_END));
        let start = self.texts.len();
        self.texts.push_str(key);
        let end = self.texts.len();
        self.texts.push(char::from(properties::VALUE_END));
        start..end
    }

    /// Turns a message into one that waits.
    fn put_off(&mut self, message: &mut Accepted<'a>, later: Later, unique_key: Range<usize>) {
        let key = self.texts.get(unique_key).unwrap_or_default().to_owned();
        later.write(self.texts, (&message.topic, message.queue_id), &key);
        let (topic, queue_id) = later.place();
        message.topic = Cow::Borrowed(topic);
        message.queue_id = queue_id;
        if later == Later::Half {
            message.sys_flag &= !sys_flag::TRANSACTION_MASK;
        }
    }
}

/// Where a message goes.
struct Target<'a> {
    topic: Cow<'a, str>,
    queue_id: i32,
    reconsume_times: i32,
}

/// One message of a request.
struct Part<'p> {
    flag: i32,
    body: Bytes,
    properties: &'p str,
    noted: Noted<'p>,
}

fn make_topic(
    core: &Core,
    header: &SendMessageRequestHeader<'_>,
) -> Result<Arc<TopicConfig>, Refusal> {
    let queues = header.default_topic_queue_nums;
    let topic = core.topics.after_default(header.topic, header.default_topic, queues)?;
    tracing::info!(
        topic = header.topic,
        queues = topic.write_queue_nums,
        "topic created by a send"
    );
    core.put_topic(topic)?;
    core.topics.get(header.topic).ok_or_else(|| no_topic(header.topic, ""))
}

fn check_sizes(body: usize, limit: usize, text: &str) -> Result<(), Refusal> {
    if body > limit {
        return Err(illegal(format!("the message is {body} bytes long; the limit is {limit}")));
    }
    if text.len() > properties::MAX_LENGTH {
        let limit = properties::MAX_LENGTH;
        return Err(illegal(format!(
            "the properties are {} bytes long; the limit is {limit}",
            text.len()
        )));
    }
    Ok(())
}

/// Whether the topic's queues take inner batches.
fn is_for_batches(topic: &TopicConfig) -> bool {
    topic.attributes.get("queue.type").is_some_and(|kind| kind == "BatchCQ")
}

fn illegal(remark: impl Into<Box<str>>) -> Refusal {
    Refusal::new(ResponseCode::MESSAGE_ILLEGAL, remark)
}

/// Looks through a property string once.
fn note(text: &str) -> Noted<'_> {
    let mut noted = Noted::default();
    for (name, value) in properties::iter(text) {
        match name {
            "UNIQ_KEY" => {
                noted.unique_key = Some(value);
                noted.is_foreign = true;
            }
            "WAIT" => noted.does_not_wait = value.eq_ignore_ascii_case("false"),
            "CLUSTER" | "MSG_REGION" | "TRACE_ON" | "POP_CK" | "__CRC32#" => {
                noted.is_foreign = true;
            }
            "INNER_NUM" => noted.is_counted = true,
            _ => noted.wish.note(name, value),
        }
    }
    noted
}

/// Copies what the producer wrote, without what the broker writes itself.
fn copy_properties(texts: &mut String, part: &Part<'_>, later: Option<Later>) {
    if !part.noted.is_foreign && later.is_none() {
        texts.push_str(part.properties);
        if !part.properties.is_empty()
            && !part.properties.ends_with(char::from(properties::VALUE_END))
        {
            texts.push(char::from(properties::VALUE_END));
        }
        return;
    }
    for (name, value) in properties::iter(part.properties) {
        let is_ours = matches!(
            name,
            "UNIQ_KEY" | "CLUSTER" | "MSG_REGION" | "TRACE_ON" | "POP_CK" | "__CRC32#"
        ) || part.noted.inner_num.is_some() && name == "INNER_NUM";
        if is_ours || later.is_some_and(|later| later.replaces(name)) {
            continue;
        }
        for piece in [name, "\u{1}", value, "\u{2}"] {
            texts.push_str(piece);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copied(text: &str, later: Option<Later>) -> String {
        let mut texts = String::new();
        let part = Part { flag: 0, body: Bytes::new(), properties: text, noted: note(text) };
        copy_properties(&mut texts, &part, later);
        texts
    }

    #[test]
    fn the_producers_properties_are_kept_and_the_brokers_own_are_not() {
        assert_eq!(copied("a\u{1}b\u{2}c\u{1}d", None), "a\u{1}b\u{2}c\u{1}d\u{2}");
        assert_eq!(
            copied("a\u{1}b\u{2}POP_CK\u{1}x\u{2}UNIQ_KEY\u{1}k\u{2}", None),
            "a\u{1}b\u{2}"
        );
        let level = Some(Later::Level(3));
        assert_eq!(copied("DELAY\u{1}3\u{2}a\u{1}b", level), "a\u{1}b\u{2}");
        let text = "TIMER_DELAY_MS\u{1}3\u{2}REAL_QID\u{1}9\u{2}";
        assert_eq!(copied(text, Some(Later::Timed(5))), "TIMER_DELAY_MS\u{1}3\u{2}");
        assert_eq!(copied(text, level), "");
        assert_eq!(copied("", None), "");
    }

    #[test]
    fn what_a_message_asks_for_is_noted() {
        let noted = note("UNIQ_KEY\u{1}k\u{2}WAIT\u{1}false\u{2}DELAY\u{1}4\u{2}");
        assert_eq!((noted.unique_key, noted.wish.delay_level), (Some("k"), 4));
        assert!(noted.does_not_wait && !noted.wish.is_half);
        assert!(note("TRAN_MSG\u{1}true\u{2}").wish.is_half);
        assert!(note("TIMER_DELAY_SEC\u{1}5\u{2}").wish.is_timed());
        assert!(note("DELAY\u{1}x\u{2}").wish.delay_level == 0);
    }
}
