//! One message by its place in the commit log: code 33.

use oxmq::protocol::code::ResponseCode;
use oxmq::protocol::command::RemotingCommand;
use oxmq::protocol::header::ViewMessageRequestHeader;

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
