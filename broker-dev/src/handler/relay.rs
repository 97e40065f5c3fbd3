//! Requests that a client answers: codes 223, 307 and 309.
//!
//! The broker passes the question on to the member of the group that is meant, and its answer back.
//!
//! Source: RocketMQ 5.3.3 `broker/processor/AdminBrokerProcessor`, `broker/client/net/Broker2Client`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use oxmq::protocol::body::{Body, GetConsumerStatusBody, QueueTable};
use oxmq::protocol::code::{RequestCode, ResponseCode};
use oxmq::protocol::command::RemotingCommand;
use oxmq::protocol::header::{
    ConsumeMessageDirectlyRequestHeader, GetConsumerRunningInfoRequestHeader,
    GetConsumerStatusRequestHeader,
};
use oxmq::protocol::message::id::parse_offset_message_id;

use super::{Caller, shown};
use crate::calls::{Answer, Unanswered};
use crate::core::Core;
use crate::reply::{Refusal, Reply, ReplyTo, Served};
use crate::server::{ConnectionId, Event, Handle};

/// Where an answer goes that comes later.
#[derive(Debug, Clone)]
pub(super) struct Asker {
    handle: Arc<Handle>,
    to: ReplyTo,
    is_one_way: bool,
}

impl Asker {
    pub(super) fn new(caller: &Caller, request: &RemotingCommand) -> Self {
        let (handle, to) = (Arc::clone(&caller.handle), ReplyTo::new(request));
        Self { handle, to, is_one_way: request.is_one_way() }
    }

    pub(super) fn served(&self, served: Served) {
        self.answer(&self.to.served(served));
    }

    fn answer(&self, answer: &RemotingCommand) {
        let mut frame = BytesMut::new();
        if !self.is_one_way && answer.encode(&mut frame).is_ok() {
            self.handle.tell(Event::Push(frame.freeze()));
        }
    }
}

/// Code 307: what a consumer says of itself.
pub(crate) fn running_info(core: &Core, caller: &Caller, request: &RemotingCommand) {
    let asker = Asker::new(caller, request);
    let asked = (|| {
        let header: GetConsumerRunningInfoRequestHeader = request.header()?;
        let client = member(core, &header.consumer_group, &header.client_id)?;
        let question = RemotingCommand::request(RequestCode::GET_CONSUMER_RUNNING_INFO, &header);
        Ok((client, question, header.client_id))
    })();
    ask(core, asker, asked);
}

/// Code 309: one consumer is to consume one message now, and says what came of it.
pub(crate) fn consume_directly(core: &Core, caller: &Caller, request: &RemotingCommand) {
    let asker = Asker::new(caller, request);
    let asked = (|| {
        let mut header: ConsumeMessageDirectlyRequestHeader = request.header()?;
        let client_id = header.client_id.clone().unwrap_or_default();
        let client = member(core, &header.consumer_group, &client_id)?;
        let id = header.msg_id.as_deref().unwrap_or_default();
        let record = parse_offset_message_id(id)
            .and_then(|(_, offset)| core.store.record_at(offset))
            .ok_or_else(|| failed(format!("there is no message with the id `{}`", shown(id))))?;
        let topic = header.topic.as_deref().and_then(|topic| core.topics.get(topic));
        header.broker_name = Some(core.config.broker_name.clone());
        header.topic_sys_flag = topic.map(|topic| topic.topic_sys_flag);
        header.group_sys_flag =
            core.groups.get(&header.consumer_group).map(|group| group.group_sys_flag);
        let question = RemotingCommand::request(RequestCode::CONSUME_MESSAGE_DIRECTLY, &header)
            .with_body(Bytes::copy_from_slice(&record));
        Ok((client, question, client_id))
    })();
    ask(core, asker, asked);
}

/// Asks one client and passes its answer on as it is.
fn ask(core: &Core, asker: Asker, asked: Result<(ConnectionId, RemotingCommand, String), Refusal>) {
    let (client, question, client_id) = match asked {
        Ok(asked) => asked,
        Err(refusal) => return asker.served(Err(refusal)),
    };
    core.call(client, question, move |_, answer| match answer {
        Ok(mut answer) => {
            answer.opaque = asker.to.opaque;
            answer.header_encoding = asker.to.encoding;
            asker.answer(&answer);
        }
        Err(why) => asker.served(Err(unanswered(&client_id, why))),
    });
}

fn unanswered(client_id: &str, why: Unanswered) -> Refusal {
    let code = match why {
        Unanswered::TimedOut => ResponseCode::CONSUME_MSG_TIMEOUT,
        Unanswered::Gone | Unanswered::TooMany => ResponseCode::SYSTEM_ERROR,
    };
    Refusal::new(code, format!("`{}`: {why}", shown(client_id)))
}

/// What is known so far of where a group's members are.
#[derive(Debug, Default)]
struct Collected {
    open: usize,
    tables: BTreeMap<String, QueueTable<i64>>,
}

/// Code 223: where the members of a group are in a topic, by their own words. Members that do not
/// answer are left out, as with RocketMQ.
pub(crate) fn consumer_status(core: &Core, caller: &Caller, request: &RemotingCommand) {
    let asker = Asker::new(caller, request);
    let header: GetConsumerStatusRequestHeader = match request.header() {
        Ok(header) => header,
        Err(error) => return asker.served(Err(error.into())),
    };
    let only = header.client_addr.as_deref().filter(|id| !id.is_empty());
    let members = core.consumers.view(&header.group).map(|view| view.members);
    let members: Vec<_> = members
        .unwrap_or_default()
        .into_iter()
        .filter(|(id, _)| only.is_none_or(|only| id == only))
        .collect();
    if members.is_empty() {
        let group = shown(&header.group);
        return asker.served(Err(failed(format!("nobody of the group `{group}` is connected"))));
    }
    let collected = Collected { open: members.len(), ..Collected::default() };
    let collected = Arc::new(Mutex::new(collected));
    for (client_id, member) in members {
        let question =
            RemotingCommand::request(RequestCode::GET_CONSUMER_STATUS_FROM_CLIENT, &header);
        let (asker, collected) = (asker.clone(), Arc::clone(&collected));
        core.call(member.connection, question, move |_, answer| {
            let mut collected = collected.lock().unwrap_or_else(PoisonError::into_inner);
            collected.open -= 1;
            if let Some(table) = status_of(answer) {
                collected.tables.insert(client_id, table);
            }
            if collected.open == 0 {
                let consumer_table = std::mem::take(&mut collected.tables);
                let body =
                    GetConsumerStatusBody { consumer_table, ..GetConsumerStatusBody::default() };
                asker.served(Ok(Reply::body(body.encode())));
            }
        });
    }
}

fn status_of(answer: Answer) -> Option<QueueTable<i64>> {
    let answer = answer.ok().filter(|it| it.response_code() == ResponseCode::SUCCESS)?;
    GetConsumerStatusBody::decode(&answer.body).ok().map(|body| body.message_queue_table)
}

fn member(core: &Core, group: &str, client_id: &str) -> Result<ConnectionId, Refusal> {
    let members = core.consumers.view(group).map(|view| view.members).unwrap_or_default();
    let member = members.into_iter().find(|(id, _)| id == client_id);
    member.map(|(_, member)| member.connection).ok_or_else(|| {
        let (group, client_id) = (shown(group), shown(client_id));
        failed(format!("the consumer `{client_id}` of the group `{group}` is not connected"))
    })
}

fn failed(remark: String) -> Refusal {
    Refusal::new(ResponseCode::SYSTEM_ERROR, remark)
}
