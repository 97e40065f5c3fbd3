//! The groups that this client is a member of, and who wakes them.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::error::Error;
use crate::net::inbound::Inbound;
use crate::protocol::body::{ConsumerData, HeartbeatData, ProducerData};
use crate::protocol::code::{RequestCode, ResponseCode};
use crate::protocol::command::RemotingCommand;
use crate::protocol::header::ConsumerGroupRequestHeader;

/// The client's memberships. Connections tell it what brokers say by themselves.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    table: Mutex<Table>,
    /// A heartbeat is wanted at once.
    pub(crate) heartbeat: Notify,
}

#[derive(Debug, Default)]
struct Table {
    /// How many producers share a group.
    producers: HashMap<Arc<str>, usize>,
    consumers: HashMap<Arc<str>, ConsumerGroup>,
    /// Addresses that were connected since the last heartbeat.
    connected: Vec<Arc<str>>,
}

struct ConsumerGroup {
    data: ConsumerData,
    rebalance: Arc<Notify>,
}

impl fmt::Debug for ConsumerGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConsumerGroup").field("data", &self.data).finish_non_exhaustive()
    }
}

impl Groups {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A producer joins.
    pub(crate) fn join_producer(&self, group: &Arc<str>) {
        *self.table().producers.entry(group.clone()).or_default() += 1;
        self.heartbeat.notify_one();
    }

    /// A producer leaves; says whether it was the group's last here.
    pub(crate) fn leave_producer(&self, group: &Arc<str>) -> bool {
        let mut table = self.table();
        let Some(count) = table.producers.get_mut(group) else { return false };
        *count -= 1;
        let was_last = *count == 0;
        if was_last {
            table.producers.remove(group);
        }
        was_last
    }

    /// A consumer joins. `rebalance` is told when members or routes change.
    pub(crate) fn join_consumer(
        &self,
        data: ConsumerData,
        rebalance: Arc<Notify>,
    ) -> Result<(), Error> {
        let group: Arc<str> = data.group_name.as_str().into();
        let mut table = self.table();
        if table.consumers.contains_key(&group) {
            return Err(Error::invalid(
                "start",
                "this client already has a consumer of the group; make another client for a \
                 second member",
            )
            .of_group(&group));
        }
        table.consumers.insert(group, ConsumerGroup { data, rebalance });
        Ok(())
    }

    /// A consumer leaves.
    pub(crate) fn leave_consumer(&self, group: &str) {
        self.table().consumers.remove(group);
    }

    /// Everything a broker is told of this client.
    pub(crate) fn heartbeat_data(&self, client_id: &str) -> HeartbeatData {
        let table = self.table();
        HeartbeatData {
            client_id: client_id.to_owned(),
            producer_data_set: table
                .producers
                .keys()
                .map(|group| ProducerData { group_name: group.to_string() })
                .collect(),
            consumer_data_set: table.consumers.values().map(|group| group.data.clone()).collect(),
            ..HeartbeatData::default()
        }
    }

    /// Routes have changed: every consumer looks whether that concerns it.
    pub(crate) fn route_changed(&self) {
        self.table().consumers.values().for_each(|group| group.rebalance.notify_one());
    }

    /// The addresses connected since the last call.
    pub(crate) fn take_connected(&self) -> Vec<Arc<str>> {
        std::mem::take(&mut self.table().connected)
    }

    /// Whether there is a consumer.
    pub(crate) fn has_consumers(&self) -> bool {
        !self.table().consumers.is_empty()
    }
}

impl Inbound for Groups {
    /// A broker that was restarted has forgotten this client: it is told at once.
    fn connected(&self, address: &str) {
        self.table().connected.push(address.into());
        self.heartbeat.notify_one();
    }

    fn request(&self, address: &str, request: &RemotingCommand) -> Option<RemotingCommand> {
        match request.request_code() {
            RequestCode::NOTIFY_CONSUMER_IDS_CHANGED => {
                let header = request.header::<ConsumerGroupRequestHeader>();
                match header {
                    Ok(header) => {
                        let table = self.table();
                        if let Some(group) = table.consumers.get(header.consumer_group.as_str()) {
                            group.rebalance.notify_one();
                        }
                    }
                    Err(error) => tracing::debug!(address, %error, "a notice that says nothing"),
                }
                None
            }
            code => {
                tracing::debug!(address, %code, "a broker asks for what is not served here");
                let answer =
                    RemotingCommand::response(request, ResponseCode::REQUEST_CODE_NOT_SUPPORTED);
                Some(answer.with_remark(format!("this client does not serve {code}")))
            }
        }
    }
}
