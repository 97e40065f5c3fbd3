//! Looking messages up: by key, code 12; by place in the commit log, code 33.
//!
//! Source: RocketMQ 5.3.3 `broker/processor/QueryMessageProcessor`.

use oxmq::protocol::code::ResponseCode;
use oxmq::protocol::command::RemotingCommand;
use oxmq::protocol::header::{
    QueryMessageRequestHeader, QueryMessageResponseHeader, ViewMessageRequestHeader,
};

use crate::core::Core;
use crate::reply::{Refusal, Reply, Served};

/// Answers with the record that begins at the offset.
pub(crate) fn view(core: &Core, request: &RemotingCommand) -> Served {
    let header: ViewMessageRequestHeader = request.header()?;
    let record = core.store.record_at(header.offset).ok_or_else(|| {
        let remark = format!("there is no message at offset {} of the commit log", header.offset);
        Refusal::new(ResponseCode::SYSTEM_ERROR, remark)
    })?;
    Ok(Reply::body(record))
}

/// Answers with the records of a topic that have a key. For a unique key, which a message and its
/// retries share, the broker and not the client says how many.
pub(crate) fn query(core: &Core, request: &RemotingCommand) -> Served {
    let header: QueryMessageRequestHeader = request.header()?;
    let max = match header.is_unique_key {
        Some(true) => core.config.default_query_max as usize,
        _ => usize::try_from(header.max_num).unwrap_or(0),
    };
    let (begin, end) = (header.begin_timestamp, header.end_timestamp);
    let found = core.store.query(&header.topic, &header.key, max, begin, end)?;
    if found.records.is_empty() {
        let remark = "no message with this key was stored in this time";
        return Err(Refusal::new(ResponseCode::QUERY_NOT_FOUND, remark));
    }
    let reply = Reply::fields(&QueryMessageResponseHeader {
        index_last_update_timestamp: found.index_last_update_timestamp,
        index_last_update_phyoffset: found.index_last_update_offset,
    });
    Ok(reply.with_body(found.records.concat()))
}
