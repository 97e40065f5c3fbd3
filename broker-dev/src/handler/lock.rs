//! Locks of queues for orderly consumption: codes 41 and 42.
//!
//! Source: RocketMQ 5.3.3 `broker/processor/AdminBrokerProcessor`.

use oxmq::protocol::body::{
    Body, LockBatchRequestBody, LockBatchResponseBody, UnlockBatchRequestBody,
};
use oxmq::protocol::command::RemotingCommand;

use crate::core::Core;
use crate::reply::{Reply, Served};

/// Code 41: locks queues, or renews locks.
pub(crate) fn lock(core: &Core, request: &RemotingCommand) -> Served {
    let body = LockBatchRequestBody::decode(&request.body)?;
    let now = core.clock.monotonic();
    let held = core.locks.lock(&body.consumer_group, &body.client_id, body.mq_set, now);
    Ok(Reply::body(LockBatchResponseBody { lock_ok_mq_set: held }.encode()))
}

/// Code 42: gives locks back.
pub(crate) fn unlock(core: &Core, request: &RemotingCommand) -> Served {
    let body = UnlockBatchRequestBody::decode(&request.body)?;
    core.locks.unlock(&body.consumer_group, &body.client_id, &body.mq_set);
    Ok(Reply::done())
}
