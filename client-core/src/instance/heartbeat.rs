//! The client's background work: telling brokers who we are, and keeping routes fresh.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::task::JoinSet;

use super::{HOUSEKEEPING_TIMEOUT, Instance};
use crate::clock;
use crate::protocol::body::Body as _;
use crate::protocol::code::RequestCode;
use crate::protocol::command::RemotingCommand;
use crate::protocol::header::UnregisterClientRequestHeader;

const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(30);
const ROUTE_INTERVAL: Duration = Duration::from_secs(30);

impl Instance {
    /// Starts the background tasks. They hold no handle, so they end with the last one.
    pub(crate) fn start_background(self: &Arc<Self>) {
        self.runtime.spawn(beat(Arc::downgrade(self)));
        self.runtime.spawn(refresh(Arc::downgrade(self)));
    }

    /// Tells every broker of the known routes who this client is; returns how many heard it.
    pub(crate) async fn send_heartbeats(self: &Arc<Self>) -> usize {
        let _ = self.groups.take_connected();
        let addresses = self.routes.addresses(self.groups.has_consumers());
        self.heartbeat_to(addresses.into_iter().collect()).await
    }

    async fn heartbeat_to(self: &Arc<Self>, addresses: Vec<Arc<str>>) -> usize {
        let data = self.groups.heartbeat_data(&self.client_id);
        if data.producer_data_set.is_empty() && data.consumer_data_set.is_empty() {
            return 0;
        }
        let request =
            RemotingCommand::request(RequestCode::HEART_BEAT, &()).with_body(data.encode());
        let mut beats = JoinSet::new();
        for address in addresses {
            let (instance, request) = (self.clone(), request.clone());
            beats.spawn(async move {
                let answer =
                    instance.ask("heartbeat", &address, request, HOUSEKEEPING_TIMEOUT).await;
                answer.inspect_err(|error| tracing::debug!(%error, "heartbeat failed")).is_ok()
            });
        }
        beats.join_all().await.into_iter().filter(|heard| *heard).count()
    }

    /// Tells every broker that this client leaves a group.
    pub(crate) async fn unregister(self: &Arc<Self>, header: UnregisterClientRequestHeader) {
        let request = RemotingCommand::request(RequestCode::UNREGISTER_CLIENT, &header);
        let mut leaves = JoinSet::new();
        for address in self.routes.addresses(true) {
            let (instance, request) = (self.clone(), request.clone());
            leaves.spawn(async move {
                let answer =
                    instance.ask("unregister", &address, request, HOUSEKEEPING_TIMEOUT).await;
                if let Err(error) = answer {
                    tracing::debug!(%error, "a broker did not hear that the client left");
                }
            });
        }
        leaves.join_all().await;
    }
}

/// Sends heartbeats every 30 s, when asked to, and to whom was just connected.
async fn beat(instance: Weak<Instance>) {
    loop {
        let Some(alive) = instance.upgrade() else { return };
        let (clock, groups, stop) = (alive.clock.clone(), alive.groups.clone(), alive.stop.clone());
        drop(alive);
        tokio::select! {
            () = clock::sleep(&*clock, HEARTBEAT_INTERVAL) => {}
            () = groups.heartbeat.notified() => {}
            () = stop.cancelled() => return,
        }
        let Some(alive) = instance.upgrade() else { return };
        let connected = groups.take_connected();
        if connected.is_empty() {
            alive.send_heartbeats().await;
            continue;
        }
        let brokers = alive.routes.addresses(alive.groups.has_consumers());
        let fresh = connected.into_iter().filter(|address| brokers.contains(address));
        if alive.heartbeat_to(fresh.collect()).await > 0 {
            // A broker that had forgotten us now lists us: the shares may be others.
            groups.route_changed();
        }
    }
}

/// Asks for the routes in use every 30 s.
async fn refresh(instance: Weak<Instance>) {
    loop {
        let Some(alive) = instance.upgrade() else { return };
        let (clock, stop) = (alive.clock.clone(), alive.stop.clone());
        drop(alive);
        tokio::select! {
            () = clock::sleep(&*clock, ROUTE_INTERVAL) => {}
            () = stop.cancelled() => return,
        }
        let Some(alive) = instance.upgrade() else { return };
        alive.refresh_routes().await;
    }
}
