//! Answers of one application to another: codes 324 and 325.
//!
//! A requester's message names its client id. The replier sends its answer to this broker, which
//! pushes it to that client and tells the replier whether it took it; and stores it besides.
//!
//! Source: RocketMQ 5.3.3 `broker/processor/ReplyMessageProcessor`. Differs: the answer is stored
//! before it is pushed, so that a client that takes it can count on it being kept.

use oxmq::protocol::code::{RequestCode, ResponseCode};
use oxmq::protocol::command::RemotingCommand;
use oxmq::protocol::header::{SendFields, SendMessageRequestHeader, SendMessageResponseHeader};
use oxmq::protocol::message::id::offset_message_id;
use oxmq::protocol::message::properties::{self, Properties};

use super::relay::Asker;
use super::send_check::{Check, TopicCache};
use super::{Caller, shown};
use crate::core::Core;
use crate::reply::{Refusal, Reply};
use crate::store::Put;

/// The client that an answer is for.
const REPLY_TO_CLIENT: &str = "REPLY_TO_CLIENT";
/// When the broker passed it on, ms since the Unix epoch.
const PUSH_REPLY_TIME: &str = "PUSH_REPLY_TIME";

/// Pushes an answer to the client that it is for, and answers the replier once that has it.
pub(crate) fn serve(core: &Core, caller: &Caller, request: &RemotingCommand) {
    let asker = Asker::new(caller, request);
    let (put, queue_id) = match store(core, caller, request) {
        Ok(stored) => stored,
        Err(refusal) => return asker.served(Err(refusal)),
    };
    let (client_id, push) = match push(core, caller, request) {
        Ok(push) => push,
        Err(refusal) => return asker.served(Err(refusal)),
    };
    let Some(connection) = core.producers.connection(&client_id) else {
        let remark = format!(
            "the client `{}`, whom the answer is for, is not connected as a producer",
            shown(&client_id)
        );
        return asker.served(Err(failed(remark)));
    };
    core.call(connection, push, move |core, answer| {
        asker.served(match answer {
            Ok(answer) if answer.response_code() == ResponseCode::SUCCESS => {
                Ok(pushed(core, put, queue_id))
            }
            Ok(answer) => Err(failed(format!(
                "the client `{}` did not take the answer: {}",
                shown(&client_id),
                answer.remark.as_deref().map(shown).unwrap_or_default()
            ))),
            Err(why) => Err(failed(format!("`{}`: {why}", shown(&client_id)))),
        });
    });
}

/// Checks an answer like any message and stores it, unless that is switched off.
fn store(
    core: &Core,
    caller: &Caller,
    request: &RemotingCommand,
) -> Result<(Option<Put>, i32), Refusal> {
    let mut texts = String::new();
    let mut cache = TopicCache::default();
    let mut check = Check { core, cache: &mut cache, texts: &mut texts, messages: Vec::new() };
    let admitted = check.admit(request)?;
    let Some(message) = check.messages.pop().filter(|_| core.config.store_replies) else {
        return Ok((None, admitted.queue_id));
    };
    let (put, _) = core.put_one(message.to_put(core, caller, &texts))?;
    Ok((Some(put), admitted.queue_id))
}

/// The client that the answer is for, and the request that hands it over.
fn push(
    core: &Core,
    caller: &Caller,
    request: &RemotingCommand,
) -> Result<(String, RemotingCommand), Refusal> {
    let fields = match request.request_code() {
        RequestCode::SEND_REPLY_MESSAGE => SendFields::Full,
        _ => SendFields::Letters,
    };
    let header = SendMessageRequestHeader::read(&request.ext_fields, fields)?;
    let client_id = properties::find(header.properties, REPLY_TO_CLIENT)
        .ok_or_else(|| failed(format!("the answer has no property {REPLY_TO_CLIENT}")))?;
    let mut told = Properties::from_encoded(header.properties);
    told.set(PUSH_REPLY_TIME, &core.clock.now_ms().to_string());
    let mut push = RemotingCommand::request(RequestCode::PUSH_REPLY_MESSAGE_TO_CLIENT, &())
        .with_body(request.body.clone());
    let told = SendMessageRequestHeader { properties: told.as_encoded(), ..header };
    told.write(&mut push.ext_fields, SendFields::Full);
    push.ext_fields.push("bornHost", &caller.peer.remote.to_string());
    push.ext_fields.push("storeHost", &core.store_host.to_string());
    push.ext_fields.push_number("storeTimestamp", core.clock.now_ms());
    Ok((client_id.to_owned(), push))
}

/// What the replier is told: where its answer is stored, or that it was passed on at least.
fn pushed(core: &Core, put: Option<Put>, queue_id: i32) -> Reply {
    let header = SendMessageResponseHeader {
        msg_id: put.map_or_else(
            || "0".to_owned(),
            |put| offset_message_id(core.store_host, put.physical_offset),
        ),
        queue_id,
        queue_offset: put.map_or(0, |put| put.queue_offset),
        transaction_id: None,
        batch_uniq_id: None,
        recall_handle: None,
    };
    Reply::fields(&header)
}

fn failed(remark: String) -> Refusal {
    Refusal::new(ResponseCode::SYSTEM_ERROR, remark)
}
