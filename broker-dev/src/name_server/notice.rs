//! Notices to brokers: another one of their group has the smallest id now (code 905).
//!
//! As Apache's name server does, each broker is dialled at the address that it registered.
//!
//! Source: RocketMQ 5.3.3 `RouteInfoManager.notifyMinBrokerIdChanged`.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use oxmq::clock::{self, SystemClock};
use oxmq::protocol::code::RequestCode;
use oxmq::protocol::command::RemotingCommand;
use oxmq::protocol::header::NotifyMinBrokerIdChangeRequestHeader;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use super::MinIdChange;

/// How long one notice may take.
const PATIENCE: Duration = Duration::from_millis(300);

/// The most notices under way; more are left out, since brokers also ask by themselves.
const MAX_UNDER_WAY: usize = 64;

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Notices {
    under_way: Arc<Semaphore>,
}

impl Default for Notices {
    fn default() -> Self {
        Self { under_way: Arc::new(Semaphore::new(MAX_UNDER_WAY)) }
    }
}

impl Notices {
    /// Tells all whom the change concerns.
    pub(super) fn send(&self, change: &MinIdChange) {
        tracing::info!(id = change.id, address = change.address, offline = ?change.offline, "another broker of a group has the smallest id");
        let header = NotifyMinBrokerIdChangeRequestHeader {
            min_broker_id: Some(change.id),
            broker_name: None,
            min_broker_addr: Some(change.address.clone()),
            offline_broker_addr: change.offline.clone(),
            ha_broker_addr: change.ha_address.clone(),
        };
        let notice = RemotingCommand::one_way(RequestCode::NOTIFY_MIN_BROKER_ID_CHANGE, &header);
        let mut frame = BytesMut::new();
        if notice.encode(&mut frame).is_err() {
            return;
        }
        let frame = frame.freeze();
        for address in change.tell.clone() {
            let Ok(permit) = Arc::clone(&self.under_way).try_acquire_owned() else {
                tracing::warn!(address, "too many notices under way: one is left out");
                continue;
            };
            let frame = frame.clone();
            tokio::spawn(async move {
                let _permit = permit;
                let clock = SystemClock::new();
                let sent = clock::timeout(&clock, PATIENCE, async {
                    let mut stream = TcpStream::connect(&address).await?;
                    stream.write_all(&frame).await?;
                    stream.shutdown().await
                });
                match sent.await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => tracing::warn!(address, %error, "a notice cannot be sent"),
                    Err(_) => tracing::warn!(address, "a notice takes too long"),
                }
            });
        }
    }
}
