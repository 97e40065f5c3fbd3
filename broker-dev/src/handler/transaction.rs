//! The end of a transaction: code 37.

use oxmq::protocol::code::ResponseCode;
use oxmq::protocol::command::RemotingCommand;
use oxmq::protocol::header::EndTransactionRequestHeader;
use oxmq::protocol::message::sys_flag;

use super::Caller;
use super::flush_wait::FlushWait;
use crate::core::Core;
use crate::reply::{Refusal, Reply, ReplyTo};
use crate::server::Outgoing;
use crate::transaction::end;

/// Serves the request; the answer may wait for the disk. That a transaction has not ended yet is
/// not answered, as with Apache's broker.
pub(crate) fn end_transaction(
    core: &Core,
    caller: &Caller,
    request: &RemotingCommand,
    flush_wait: &mut FlushWait,
    out: &mut Outgoing,
) {
    let to = ReplyTo::new(request);
    let ended = serve(core, request);
    if request.is_one_way() {
        if let Err(refusal) = ended {
            tracing::warn!(remark = %refusal.remark, "a transaction is not ended");
        }
        return;
    }
    match ended {
        Ok(None) => {}
        Ok(end_offset) => flush_wait.answer(core, caller, (to, end_offset), Reply::done(), out),
        Err(refusal) => out.command(&to.served(Err(refusal))),
    }
}

fn serve(core: &Core, request: &RemotingCommand) -> Result<Option<i64>, Refusal> {
    let header: EndTransactionRequestHeader = request.header()?;
    let is_commit = match header.commit_or_rollback {
        0 => {
            tracing::debug!(id = header.msg_id, "a transaction has not ended yet");
            return Ok(None);
        }
        sys_flag::TRANSACTION_COMMIT => true,
        sys_flag::TRANSACTION_ROLLBACK => false,
        other => {
            let remark = format!("a transaction cannot end as {other}");
            return Err(Refusal::new(ResponseCode::SYSTEM_ERROR, remark));
        }
    };
    end::end(core, &header, is_commit).map(Some)
}
