//! Pulls: codes 11 and 361.
//!
//! A pull that finds nothing new waits, if it asks to, until a message comes or its time is up; then
//! it is done once more.
//!
//! Source: RocketMQ 5.3.3 `broker/processor/PullMessageProcessor`,
//! `broker/longpolling/PullRequestHoldService`.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use oxmq::protocol::body::{MessageModel, SubscriptionData, SubscriptionGroupConfig, perm};
use oxmq::protocol::code::ResponseCode;
use oxmq::protocol::command::RemotingCommand;
use oxmq::protocol::header::{PullMessageRequestHeader, PullMessageResponseHeader, pull_sys_flag};
use oxmq::protocol::names;

use super::{Caller, shown};
use crate::alarm::Deadline;
use crate::core::Core;
use crate::events::Wake;
use crate::filter::{BadFilter, Filter};
use crate::long_poll::Ticket;
use crate::meta::topics::no_topic;
use crate::reply::{Refusal, ReplyTo};
use crate::server::{Event, Outgoing};
use crate::store::{GetLimits, GetResult, GetStatus, TransferLimits};

/// The most pulls of one connection that wait at a time; one more is answered at once.
const MAX_WAITING: usize = 20_000;

/// The longest that a pull waits, whatever it asks for.
const MAX_SUSPEND: Duration = Duration::from_secs(300);

/// How long a pull waits when long polling is off.
const SHORT_POLL: Duration = Duration::from_secs(1);

/// The pulls of one connection that wait.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    next_id: u64,
    pulls: HashMap<u64, Held>,
}

#[derive(Debug)]
struct Held {
    pull: Pull,
    until: Duration,
    ticket: Ticket,
    deadline: Deadline,
}

/// A pull that was found to be in order.
#[derive(Debug)]
struct Pull {
    to: ReplyTo,
    group: String,
    topic: String,
    topic_sys_flag: i32,
    group_sys_flag: i32,
    queue_id: i32,
    offset: i64,
    limits: TransferLimits,
    filter: Filter,
    /// How long it may wait.
    suspend: Option<Duration>,
}

impl Waiting {
    /// Serves a new pull.
    pub(crate) fn serve(
        &mut self,
        core: &Core,
        caller: &Caller,
        request: &RemotingCommand,
        out: &mut Outgoing,
    ) {
        match check(core, request) {
            Ok(pull) => {
                let suspend = pull.suspend.filter(|_| !core.is_stopping());
                let until = suspend.map(|suspend| core.clock.monotonic() + suspend);
                self.answer_or_wait(core, caller, pull, until, out);
            }
            Err(refusal) => out.command(&ReplyTo::new(request).served(Err(refusal))),
        }
    }

    /// A pull may have something to answer, or its time is up.
    pub(crate) fn resume(&mut self, core: &Core, caller: &Caller, id: u64, out: &mut Outgoing) {
        let Some(held) = self.pulls.remove(&id) else { return };
        core.events.long_poll.leave(&held.ticket);
        core.events.alarm.cancel(held.deadline);
        let is_over = held.until <= core.clock.monotonic() || core.is_stopping();
        let until = (!is_over).then_some(held.until);
        self.answer_or_wait(core, caller, held.pull, until, out);
    }

    /// The connection is gone.
    pub(crate) fn closed(&mut self, core: &Core) {
        for (_, held) in self.pulls.drain() {
            core.events.long_poll.leave(&held.ticket);
            core.events.alarm.cancel(held.deadline);
        }
    }

    fn answer_or_wait(
        &mut self,
        core: &Core,
        caller: &Caller,
        pull: Pull,
        until: Option<Duration>,
        out: &mut Outgoing,
    ) {
        let result = pull.read(core);
        match until {
            Some(until) if pull.code(result.status) == ResponseCode::PULL_NOT_FOUND => {
                if let Some(pull) = self.wait(core, caller, pull, until) {
                    pull.answer(core, result, out);
                }
            }
            _ => pull.answer(core, result, out),
        }
    }

    /// Has a pull wait; gives it back if too many do already.
    fn wait(&mut self, core: &Core, caller: &Caller, pull: Pull, until: Duration) -> Option<Pull> {
        if self.pulls.len() >= MAX_WAITING {
            return Some(pull);
        }
        let id = self.next_id;
        self.next_id += 1;
        let wake = || Wake { handle: Arc::clone(&caller.handle), event: Event::Pull(id) };
        let filter = pull.filter.clone();
        let (topic, queue_id, offset) = (&*pull.topic, pull.queue_id, pull.offset);
        let waiting = core.events.long_poll.wait(topic, queue_id, offset, filter, wake());
        let Some(ticket) = waiting else { return Some(pull) };
        // A message that came before we were in the table has told nobody.
        if core.store.max_offset(topic, queue_id) > offset {
            caller.handle.tell(Event::Pull(id));
        }
        let deadline = core.events.alarm.set(until, wake());
        self.pulls.insert(id, Held { pull, until, ticket, deadline });
        None
    }
}

impl Pull {
    fn read(&self, core: &Core) -> GetResult {
        if let Some(offset) = core.offsets.take_reset(&self.group, &self.topic, self.queue_id) {
            return self.was_reset(core, offset);
        }
        core.store.get_within(&self.topic, self.queue_id, self.offset, self.limits, &self.filter)
    }

    /// The group's offset was set anew.
    fn was_reset(&self, core: &Core, offset: i64) -> GetResult {
        GetResult {
            status: GetStatus::OffsetReset,
            next_begin_offset: offset,
            min_offset: core.store.min_offset(&self.topic, self.queue_id),
            max_offset: core.store.max_offset(&self.topic, self.queue_id),
            count: 0,
            bytes: 0,
            segments: Vec::new(),
        }
    }

    fn code(&self, status: GetStatus) -> ResponseCode {
        match status {
            GetStatus::Found => ResponseCode::SUCCESS,
            GetStatus::MessageWasRemoving | GetStatus::NoMatchedMessage => {
                ResponseCode::PULL_RETRY_IMMEDIATELY
            }
            GetStatus::NoMatchedLogicQueue | GetStatus::NoMessageInQueue if self.offset != 0 => {
                ResponseCode::PULL_OFFSET_MOVED
            }
            GetStatus::NoMatchedLogicQueue
            | GetStatus::NoMessageInQueue
            | GetStatus::OffsetFoundNull
            | GetStatus::OffsetOverflowOne => ResponseCode::PULL_NOT_FOUND,
            GetStatus::OffsetOverflowBadly | GetStatus::OffsetReset | GetStatus::OffsetTooSmall => {
                ResponseCode::PULL_OFFSET_MOVED
            }
        }
    }

    fn answer(&self, core: &Core, result: GetResult, out: &mut Outgoing) {
        core.statistics.pulled(result.count);
        let header = PullMessageResponseHeader {
            suggest_which_broker_id: 0,
            next_begin_offset: result.next_begin_offset,
            min_offset: result.min_offset,
            max_offset: result.max_offset,
            offset_delta: None,
            topic_sys_flag: Some(self.topic_sys_flag),
            group_sys_flag: Some(self.group_sys_flag),
            forbidden_type: None,
        };
        let code = self.code(result.status);
        let response = self.to.response(code).with_header(&header);
        let body: Vec<Bytes> =
            if code == ResponseCode::SUCCESS { result.segments } else { Vec::new() };
        out.command_with(&response.with_remark(result.status.name()), body);
    }
}

fn check(core: &Core, request: &RemotingCommand) -> Result<Pull, Refusal> {
    let header: PullMessageRequestHeader = request.header()?;
    if core.config.broker_permission & perm::READ == 0 {
        return Err(forbidden("nobody may read from this broker"));
    }
    let group = core.groups.get_or_create(&header.consumer_group, core.clock.now_ms())?;
    if !group.consume_enable {
        let remark = format!("the consumer group `{}` may not consume", header.consumer_group);
        return Err(forbidden(remark));
    }
    let topic =
        core.topics.get(&header.topic).ok_or_else(|| no_topic(&shown(&header.topic), ""))?;
    if topic.perm & perm::READ == 0 {
        return Err(forbidden(format!("nobody may read from the topic `{}`", header.topic)));
    }
    if !(0..topic.read_queue_nums).contains(&header.queue_id) {
        let remark = format!(
            "the topic `{}` has {} queues to read from: there is no queue {}",
            header.topic, topic.read_queue_nums, header.queue_id
        );
        return Err(Refusal::new(ResponseCode::INVALID_PARAMETER, remark));
    }
    let filter = filter(core, &header, &group)?;
    commit(core, &header);
    let is_suspended = header.sys_flag & pull_sys_flag::SUSPEND != 0;
    Ok(Pull {
        to: ReplyTo::new(request),
        topic_sys_flag: topic.topic_sys_flag,
        group_sys_flag: group.group_sys_flag,
        queue_id: header.queue_id,
        offset: header.queue_offset,
        limits: limits(core, &header),
        filter,
        suspend: is_suspended.then(|| suspend(core, header.suspend_timeout_millis)),
        group: header.consumer_group,
        topic: header.topic,
    })
}

fn forbidden(remark: impl Into<Box<str>>) -> Refusal {
    Refusal::new(ResponseCode::NO_PERMISSION, remark)
}

fn limits(core: &Core, header: &PullMessageRequestHeader) -> TransferLimits {
    let wanted = |wanted: Option<i32>, most: u32| {
        let wanted = wanted.and_then(|wanted| usize::try_from(wanted).ok()).filter(|n| *n > 0);
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        wanted.map_or(most, |wanted| wanted.min(most))
    };
    let limits = |messages, bytes| GetLimits {
        max_messages: wanted(Some(header.max_msg_nums), messages),
        max_bytes: wanted(header.max_msg_bytes, bytes),
    };
    let config = &core.config;
    TransferLimits {
        in_memory: limits(config.max_pull_messages, config.max_pull_bytes),
        on_disk: limits(config.max_old_pull_messages, config.max_old_pull_bytes),
        in_memory_bytes: memory_bytes() / 100 * i64::from(config.in_memory_percent.min(100)),
    }
}

/// Bytes of memory that this machine has.
fn memory_bytes() -> i64 {
    static BYTES: OnceLock<i64> = OnceLock::new();
    *BYTES.get_or_init(|| {
        #[cfg(target_os = "linux")]
        {
            let of = rustix::system::sysinfo();
            i64::try_from(of.totalram.saturating_mul(of.mem_unit.into())).unwrap_or(i64::MAX)
        }
        #[cfg(not(target_os = "linux"))]
        {
            i64::MAX
        }
    })
}

fn suspend(core: &Core, wanted_ms: i64) -> Duration {
    let wanted = Duration::from_millis(u64::try_from(wanted_ms).unwrap_or_default());
    if core.config.long_polling { wanted.min(MAX_SUSPEND) } else { SHORT_POLL }
}

/// Stores the offset that came with the pull.
fn commit(core: &Core, header: &PullMessageRequestHeader) {
    if header.sys_flag & pull_sys_flag::COMMIT_OFFSET != 0 {
        core.offsets.commit(
            &header.consumer_group,
            &header.topic,
            header.queue_id,
            header.commit_offset,
        );
    }
}

/// The filter: the one in the pull, or the one that the group's heartbeats told.
fn filter(
    core: &Core,
    header: &PullMessageRequestHeader,
    group: &SubscriptionGroupConfig,
) -> Result<Filter, Refusal> {
    if header.sys_flag & pull_sys_flag::CLASS_FILTER != 0 {
        let remark = "class filters are not served: subscribe by tags";
        return Err(Refusal::new(ResponseCode::SUBSCRIPTION_PARSE_FAILED, remark));
    }
    if header.sys_flag & pull_sys_flag::SUBSCRIPTION != 0 {
        let expression = header.subscription.as_deref().unwrap_or(SubscriptionData::ALL);
        let data = match header.expression_type.as_deref() {
            None | Some("" | SubscriptionData::TAG) => {
                SubscriptionData::by_tags("", expression, header.sub_version)
            }
            Some(other) => SubscriptionData {
                expression_type: other.to_owned(),
                ..SubscriptionData::by_sql("", expression, header.sub_version)
            },
        };
        return checked_filter(core, Filter::of(&data));
    }
    let no_subscription = || {
        let remark = format!(
            "the consumer group `{}` has not told this broker that it subscribes to `{}`",
            header.consumer_group, header.topic
        );
        Refusal::new(ResponseCode::SUBSCRIPTION_NOT_EXIST, remark)
    };
    let (subscription, model) = core
        .consumers
        .subscription(&header.consumer_group, &header.topic)
        .ok_or_else(no_subscription)?;
    if model == MessageModel::Broadcasting && !group.consume_broadcast_enable {
        let remark = format!("the consumer group `{}` may not broadcast", header.consumer_group);
        return Err(forbidden(remark));
    }
    let subscription = subscription.ok_or_else(no_subscription)?;
    if subscription.data.sub_version < header.sub_version {
        let remark = "the subscription in the pull is newer than the one in the last heartbeat";
        return Err(Refusal::new(ResponseCode::SUBSCRIPTION_NOT_LATEST, remark));
    }
    // Retry topics hold messages that were subscribed to already.
    if header.topic.starts_with(names::RETRY_PREFIX) {
        return Ok(Filter::All);
    }
    match &subscription.filter {
        // Told by a heartbeat, which has no answer to refuse it with.
        Err(bad @ BadFilter::Parse(_)) => {
            Err(Refusal::new(ResponseCode::FILTER_DATA_NOT_EXIST, bad.to_string()))
        }
        filter => checked_filter(core, filter.clone()),
    }
}

/// A filter that this broker serves.
pub(super) fn checked_filter(
    core: &Core,
    filter: Result<Filter, BadFilter>,
) -> Result<Filter, Refusal> {
    let filter = match filter {
        Ok(Filter::Sql(_)) if !core.config.sql_filter => Err(BadFilter::SqlIsOff),
        filter => filter,
    };
    filter.map_err(|bad| {
        let code = match bad {
            BadFilter::Parse(_) => ResponseCode::SUBSCRIPTION_PARSE_FAILED,
            BadFilter::UnknownType(_) | BadFilter::SqlIsOff => ResponseCode::SYSTEM_ERROR,
        };
        Refusal::new(code, bad.to_string())
    })
}
