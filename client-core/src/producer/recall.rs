//! Taking a timed message back.

use super::Producer;
use crate::error::{Error, ErrorKind};
use crate::instance::route::Purpose;
use crate::protocol::code::{RequestCode, ResponseCode};
use crate::protocol::command::RemotingCommand;
use crate::protocol::header::{RecallMessageRequestHeader, RecallMessageResponseHeader};
use crate::protocol::message::recall::Handle;

/// The operation's name in errors.
const RECALL: &str = "recall";

impl Producer {
    /// Takes back a message that was sent for later, by its receipt's
    /// [`recall_handle`](crate::Receipt::recall_handle); returns its message id. The broker takes
    /// note, and does not deliver it if it still waits: there is no telling whether it did.
    ///
    /// Brokers before 5.3.1 know no handles. Later ones, and `broker-dev`, take messages back only
    /// with their setting `recallMessageEnable=true`.
    ///
    /// # Errors
    /// `InvalidArgument` for a text that is no handle; `Rejected` if the broker does not take
    /// messages back, or it is too late.
    pub async fn recall(&self, handle: &str) -> Result<String, Error> {
        let read =
            Handle::decode(handle).map_err(|error| Error::invalid(RECALL, error.to_string()))?;
        let instance = &self.inner.instance;
        if instance.is_closed() {
            return Err(Error::closed(RECALL));
        }
        let topic = read.topic.as_str().into();
        let deadline = instance.deadline(self.inner.options.attempt_timeout);
        let route = instance.route(RECALL, &topic, Purpose::Send, deadline).await?;
        let Some(address) = route.master(&read.broker_name).cloned() else {
            let reason = format!("the broker `{}` has no master", read.broker_name);
            return Err(Error::new(ErrorKind::Unavailable, RECALL, reason).on_topic(&topic));
        };
        let header = RecallMessageRequestHeader {
            producer_group: Some(self.inner.group.to_string()),
            topic: read.topic,
            recall_handle: handle.to_owned(),
        };
        let mut request = RemotingCommand::request(RequestCode::RECALL_MESSAGE, &header);
        request.ext_fields.push("bname", &read.broker_name);
        let answer = instance
            .connections
            .call(&address, request, deadline)
            .await
            .map_err(|error| error.into_error(RECALL, &address).on_topic(&topic))?;
        match answer.response_code() {
            ResponseCode::SUCCESS => Ok(answer.header::<RecallMessageResponseHeader>()?.msg_id),
            code => Err(Error::from_response(RECALL, code, answer.remark.as_deref())
                .on_topic(&topic)
                .at(address)),
        }
    }
}
