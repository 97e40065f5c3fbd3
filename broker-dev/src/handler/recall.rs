//! Taking a timed message back: code 370.
//!
//! What is stored is a message for the same slot that says which other one of the slot is not to be
//! delivered. Whether that one is still there, nobody looks.
//!
//! Source: RocketMQ 5.3.3 `broker/processor/RecallMessageProcessor`.

use oxmq::protocol::body::perm;
use oxmq::protocol::code::ResponseCode;
use oxmq::protocol::command::RemotingCommand;
use oxmq::protocol::header::{RecallMessageRequestHeader, RecallMessageResponseHeader};
use oxmq::protocol::message::Properties;
use oxmq::protocol::message::properties::name;
use oxmq::protocol::message::recall::Handle;
use oxmq::protocol::names;

use super::Caller;
use super::flush_wait::FlushWait;
use crate::core::Core;
use crate::meta::topics::no_topic;
use crate::reply::{Refusal, Reply, ReplyTo};
use crate::schedule::timer::{delete_key, precision_ms};
use crate::server::Outgoing;
use crate::store::PutMessage;

/// The tag of a message that takes another one back.
const TAG: &str = "_RECALL_TAG_";

/// Serves the request; the answer may wait for the disk.
pub(crate) fn recall(
    core: &Core,
    caller: &Caller,
    request: &RemotingCommand,
    flush_wait: &mut FlushWait,
    out: &mut Outgoing,
) {
    let to = ReplyTo::new(request);
    let served = store(core, caller, request);
    if request.is_one_way() {
        return;
    }
    match served {
        Ok((end_offset, reply)) => {
            flush_wait.answer(core, caller, (to, Some(end_offset)), reply, out);
        }
        Err(refusal) => out.command(&to.served(Err(refusal))),
    }
}

fn store(core: &Core, caller: &Caller, request: &RemotingCommand) -> Result<(i64, Reply), Refusal> {
    let header: RecallMessageRequestHeader = request.header()?;
    if !core.config.recall || !core.config.timer {
        let remark = "this broker takes no message back (recallMessageEnable=false)";
        return Err(Refusal::new(ResponseCode::NO_PERMISSION, remark));
    }
    if core.config.broker_permission & perm::WRITE == 0 {
        let remark = "the broker takes no messages";
        return Err(Refusal::new(ResponseCode::SERVICE_NOT_AVAILABLE, remark));
    }
    if core.topics.get(&header.topic).is_none() {
        return Err(no_topic(&header.topic, ""));
    }
    let handle = check(core, &header)?;
    let precision = precision_ms(&core.config);
    let out_ms = (handle.deliver_ms - 1).div_euclid(precision) * precision;
    let now = core.clock.now_ms();
    let properties = properties(&header, &handle, out_ms, now);
    let message = PutMessage {
        topic: names::TIMER_TOPIC,
        queue_id: 0,
        flag: 0,
        sys_flag: 0,
        born_timestamp: now,
        born_host: caller.peer.remote,
        store_host: core.store_host,
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body: b"0",
        properties: properties.as_encoded(),
    };
    let (_, end_offset) = core.put_one(message)?;
    let reply = Reply::fields(&RecallMessageResponseHeader { msg_id: handle.unique_key });
    Ok((end_offset, reply.with_field("MSG_REGION", &core.config.region)))
}

/// Reads the handle, if it is one of this broker's and still in time.
fn check(core: &Core, header: &RecallMessageRequestHeader) -> Result<Handle, Refusal> {
    let refused = |remark: String| Refusal::new(ResponseCode::ILLEGAL_OPERATION, remark);
    let handle =
        Handle::decode(&header.recall_handle).map_err(|error| refused(error.to_string()))?;
    if handle.topic != header.topic {
        return Err(refused("the recall handle is one of another topic".to_owned()));
    }
    if handle.broker_name != core.config.broker_name {
        let Handle { broker_name, .. } = &handle;
        let shown = super::shown(broker_name);
        return Err(refused(format!("the recall handle is one of the broker `{shown}`")));
    }
    let most = i64::from(core.config.timer_max_delay_seconds) * 1_000;
    let left = handle.deliver_ms.saturating_sub(core.clock.now_ms());
    if left <= 0 || left >= most {
        return Err(refused(format!(
            "the message is due in {left} ms: between 1 and {most} it can be taken back"
        )));
    }
    Ok(handle)
}

fn properties(
    header: &RecallMessageRequestHeader,
    handle: &Handle,
    out_ms: i64,
    now: i64,
) -> Properties {
    let mut properties = Properties::new();
    for (name, value) in [
        (name::TIMER_DEL_UNIQKEY, &*delete_key(&handle.topic, &handle.unique_key)),
        (name::UNIQ_KEY, &handle.unique_key),
        (name::TIMER_DELIVER_MS, &handle.deliver_ms.to_string()),
        ("BORN_TIMESTAMP", &now.to_string()),
        (name::TAGS, TAG),
        (name::TIMER_OUT_MS, &out_ms.to_string()),
        (name::REAL_TOPIC, &handle.topic),
        (name::REAL_QUEUE_ID, "0"),
    ] {
        properties.append(name, value);
    }
    if let Some(group) = &header.producer_group {
        properties.append(name::PRODUCER_GROUP, group);
    }
    properties
}
