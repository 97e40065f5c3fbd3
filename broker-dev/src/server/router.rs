//! From request code to handler, for the broker's connections.

use std::sync::Arc;

use oxmq::protocol::code::{RequestCode, ResponseCode};
use oxmq::protocol::command::RemotingCommand;

use super::{Event, Handle, Outgoing, Peer, Session};
use crate::calls::Unanswered;
use crate::core::Core;
use crate::handler::flush_wait::FlushWait;
use crate::handler::recall::recall;
use crate::handler::send::SendTurn;
use crate::handler::send_back::send_back;
use crate::handler::transaction::end_transaction;
use crate::handler::{
    Caller, auth, cleaning, client, cluster, group, inspect, lock, offset, pull, relay,
    reply_message, reset, topic, view,
};
use crate::reply::{Refusal, ReplyTo, Served, not_supported};

/// One connection to the broker.
#[derive(Debug)]
pub(crate) struct BrokerSession {
    core: Arc<Core>,
    caller: Caller,
    /// Sends of the present turn.
    sends: SendTurn,
    /// Answers that wait for the disk.
    flush_wait: FlushWait,
    /// Pulls that wait for messages.
    pulls: pull::Waiting,
}

impl BrokerSession {
    pub(crate) fn new(core: Arc<Core>, peer: Peer, handle: Arc<Handle>) -> Self {
        Self {
            core,
            caller: Caller { peer, handle },
            sends: SendTurn::default(),
            flush_wait: FlushWait::default(),
            pulls: pull::Waiting::default(),
        }
    }

    fn store_sends(&mut self, out: &mut Outgoing) {
        self.sends.store(&self.core, &self.caller, &mut self.flush_wait, out);
    }
}

impl Session for BrokerSession {
    fn serve(&mut self, request: RemotingCommand, out: &mut Outgoing) {
        if request.is_response() {
            // Notices want no answer, so this one is to a question.
            return self.core.answered(self.caller.handle.id(), request);
        }
        if let Err(refusal) = self.core.auth.check(&request, self.caller.peer.remote.ip()) {
            self.store_sends(out);
            if !request.is_one_way() {
                out.command(&ReplyTo::new(&request).served(Err(refusal)));
            }
            return;
        }
        match request.request_code() {
            RequestCode::SEND_MESSAGE
            | RequestCode::SEND_MESSAGE_V2
            | RequestCode::SEND_BATCH_MESSAGE
                if !self.core.is_stopping() =>
            {
                return self.sends.push(request);
            }
            _ => self.store_sends(out),
        }
        let (core, caller) = (&*self.core, &self.caller);
        match request.request_code() {
            RequestCode::PULL_MESSAGE | RequestCode::LITE_PULL_MESSAGE => {
                self.pulls.serve(core, caller, &request, out);
            }
            RequestCode::CONSUMER_SEND_MSG_BACK => {
                send_back(core, caller, &request, &mut self.flush_wait, out);
            }
            RequestCode::GET_CONSUMER_RUNNING_INFO => relay::running_info(core, caller, &request),
            RequestCode::CONSUME_MESSAGE_DIRECTLY => {
                relay::consume_directly(core, caller, &request);
            }
            RequestCode::INVOKE_BROKER_TO_GET_CONSUMER_STATUS => {
                relay::consumer_status(core, caller, &request);
            }
            RequestCode::SEND_REPLY_MESSAGE | RequestCode::SEND_REPLY_MESSAGE_V2 => {
                reply_message::serve(core, caller, &request);
            }
            RequestCode::END_TRANSACTION => {
                end_transaction(core, caller, &request, &mut self.flush_wait, out);
            }
            RequestCode::RECALL_MESSAGE => {
                recall(core, caller, &request, &mut self.flush_wait, out);
            }
            _ => {
                let served = answer(core, caller, &request);
                if !request.is_one_way() {
                    out.command(&ReplyTo::new(&request).served(served));
                }
            }
        }
    }

    fn end_turn(&mut self, out: &mut Outgoing) {
        self.store_sends(out);
    }

    fn event(&mut self, event: Event, out: &mut Outgoing) {
        match event {
            Event::Pull(id) => self.pulls.resume(&self.core, &self.caller, id, out),
            Event::Overdue(opaque) => {
                self.core.unanswered(self.caller.handle.id(), opaque, Unanswered::TimedOut);
            }
            Event::Flushed => self.flush_wait.release(&self.core, &self.caller, out),
            // The connection serves these itself.
            Event::Push(_) | Event::Close => {}
        }
    }

    fn has_room(&self) -> bool {
        self.flush_wait.has_room()
    }

    fn closed(&mut self) {
        let (core, id) = (&self.core, self.caller.handle.id());
        self.pulls.closed(core);
        self.flush_wait.closed(core, &self.caller);
        core.nobody_answers(id);
        core.producers.closed(id);
        core.consumers.closed(id).iter().for_each(|changed| core.notify(changed));
    }
}

/// Requests that are answered at once.
fn answer(core: &Core, caller: &Caller, request: &RemotingCommand) -> Served {
    match request.request_code() {
        RequestCode::SEND_MESSAGE
        | RequestCode::SEND_MESSAGE_V2
        | RequestCode::SEND_BATCH_MESSAGE => {
            let remark = "the broker is stopping: send to another one, or again later";
            Err(Refusal::new(ResponseCode::SERVICE_NOT_AVAILABLE, remark))
        }
        RequestCode::HEART_BEAT => client::heartbeat(core, caller, request),
        RequestCode::UNREGISTER_CLIENT => client::unregister(core, request),
        RequestCode::GET_CONSUMER_LIST_BY_GROUP => client::consumer_list(core, request),
        RequestCode::CHECK_CLIENT_CONFIG => client::check_client(core, request),
        RequestCode::GET_CONSUMER_CONNECTION_LIST => client::consumer_connections(core, request),
        RequestCode::GET_PRODUCER_CONNECTION_LIST => client::producer_connections(core, request),

        RequestCode::QUERY_CONSUMER_OFFSET => offset::query(core, request),
        RequestCode::UPDATE_CONSUMER_OFFSET => offset::update(core, request),
        RequestCode::SEARCH_OFFSET_BY_TIMESTAMP => offset::search(core, request),
        RequestCode::GET_MAX_OFFSET => offset::max(core, request),
        RequestCode::GET_MIN_OFFSET => offset::min(core, request),
        RequestCode::GET_EARLIEST_MSG_STORETIME => offset::earliest(core, request),
        RequestCode::GET_ALL_CONSUMER_OFFSET => Ok(offset::all(core)),

        RequestCode::LOCK_BATCH_MQ => lock::lock(core, request),
        RequestCode::UNLOCK_BATCH_MQ => lock::unlock(core, request),
        RequestCode::QUERY_MESSAGE => view::query(core, request),
        RequestCode::VIEW_MESSAGE_BY_ID => view::view(core, request),

        RequestCode::UPDATE_AND_CREATE_TOPIC => topic::create(core, request),
        RequestCode::DELETE_TOPIC_IN_BROKER => topic::delete(core, request),
        RequestCode::GET_TOPIC_CONFIG => topic::get(core, request),
        RequestCode::GET_ALL_TOPIC_CONFIG => Ok(topic::all(core)),
        RequestCode::GET_TOPIC_STATS_INFO => topic::stats(core, request),

        RequestCode::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP => group::create(core, request),
        RequestCode::DELETE_SUBSCRIPTIONGROUP => group::delete(core, request),
        RequestCode::GET_SUBSCRIPTIONGROUP_CONFIG => group::get(core, request),
        RequestCode::GET_ALL_SUBSCRIPTIONGROUP_CONFIG => Ok(group::all(core)),
        RequestCode::GET_CONSUME_STATS => group::stats(core, request),

        RequestCode::INVOKE_BROKER_TO_RESET_OFFSET => reset::reset(core, request),
        RequestCode::CLONE_GROUP_OFFSET => reset::copy(core, request),
        RequestCode::QUERY_CORRECTION_OFFSET => reset::correction(core, request),

        RequestCode::QUERY_TOPIC_CONSUME_BY_WHO => inspect::groups_of_topic(core, request),
        RequestCode::QUERY_TOPICS_BY_CONSUMER => inspect::topics_of_group(core, request),
        RequestCode::QUERY_SUBSCRIPTION_BY_CONSUMER => inspect::subscription(core, request),
        RequestCode::QUERY_CONSUME_TIME_SPAN => inspect::time_span(core, request),
        RequestCode::GET_SYSTEM_TOPIC_LIST_FROM_BROKER => Ok(inspect::system_topics(core)),
        RequestCode::GET_BROKER_CONSUME_STATS => inspect::all_progress(core, request),
        RequestCode::GET_ALL_PRODUCER_INFO => Ok(inspect::producers(core)),

        RequestCode::DELETE_EXPIRED_COMMITLOG => Ok(cleaning::expired_log_files(core)),
        RequestCode::CLEAN_EXPIRED_CONSUMEQUEUE => cleaning::expired_queues(core),
        RequestCode::CLEAN_UNUSED_TOPIC => cleaning::unused_topics(core),

        RequestCode::AUTH_CREATE_USER
        | RequestCode::AUTH_UPDATE_USER
        | RequestCode::AUTH_DELETE_USER
        | RequestCode::AUTH_GET_USER
        | RequestCode::AUTH_LIST_USER => auth::user(core, request),
        RequestCode::AUTH_CREATE_ACL
        | RequestCode::AUTH_UPDATE_ACL
        | RequestCode::AUTH_DELETE_ACL
        | RequestCode::AUTH_GET_ACL
        | RequestCode::AUTH_LIST_ACL => auth::acl(core, request),

        RequestCode::GET_BROKER_RUNTIME_INFO => Ok(cluster::runtime_info(core)),
        RequestCode::GET_BROKER_CONFIG => Ok(cluster::config(core)),
        RequestCode::GET_ALL_DELAY_OFFSET => Ok(cluster::delay_offsets(core)),
        _ => Err(not_supported(request, "broker")),
    }
}
