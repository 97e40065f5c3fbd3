//! How name servers learn of this broker: the one in this process by a call, others over the wire.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use oxmq::clock::{self, Clock};
use oxmq::protocol::body::{
    Body, KVTable, RegisterBrokerBody, TopicConfig, TopicConfigSerializeWrapper,
};
use oxmq::protocol::code::{RequestCode, ResponseCode};
use oxmq::protocol::command::RemotingCommand;
use oxmq::protocol::frame::MAX_FRAME_BYTES;
use oxmq::protocol::header::{BrokerRequestHeader, RegisterBrokerRequestHeader};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::config::BrokerConfig;
use crate::core::Core;
use crate::name_server::{BrokerKey, Directory, Registration, RemoveFrom};

/// How long a name server may take to answer.
const TIMEOUT: Duration = Duration::from_secs(24);

/// Tells name servers of this broker and its topics.
#[derive(Debug)]
pub(crate) struct Registrar {
    cluster: String,
    broker_name: String,
    broker_id: i64,
    address: String,
    /// The name server in this process.
    here: Option<Arc<Directory>>,
    /// Counts changes that other name servers should hear of.
    changed: watch::Sender<u64>,
    /// The broker has taken leave: nobody is told of it again.
    has_left: AtomicBool,
}

impl Registrar {
    /// For a broker that listens on `address`; `here` is the name server in the same process.
    pub(crate) fn new(
        config: &BrokerConfig,
        address: SocketAddr,
        here: Option<Arc<Directory>>,
    ) -> Self {
        let address = match config.advertised_ip.as_str() {
            "" => address.to_string(),
            host => format!("{host}:{}", address.port()),
        };
        Self {
            cluster: config.cluster.clone(),
            broker_name: config.broker_name.clone(),
            broker_id: i64::try_from(config.broker_id).unwrap_or(i64::MAX),
            address,
            here,
            changed: watch::Sender::new(0),
            has_left: AtomicBool::new(false),
        }
    }

    /// What this broker is known by.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Registers with the name server in this process; it tells which topics are ordered.
    pub(crate) fn register_here(&self, topics: TopicConfigSerializeWrapper) -> KVTable {
        let Some(here) = self.here.as_ref().filter(|_| !self.has_left()) else {
            return KVTable::default();
        };
        let registration = Registration {
            cluster: self.cluster.clone(),
            broker_name: self.broker_name.clone(),
            broker_id: self.broker_id,
            address: self.address.clone(),
            ha_address: None,
            expiry: None,
            enable_acting_master: Some(false),
            zone_name: None,
            topics,
            is_complete: true,
            connection: None,
        };
        if let Err(error) = here.register(registration) {
            tracing::error!(%error, "the name server in this process refuses the broker");
        }
        here.ordered_topics().unwrap_or_default()
    }

    fn has_left(&self) -> bool {
        self.has_left.load(Ordering::SeqCst)
    }

    /// Takes leave of the name server in this process, and registers with none again.
    pub(crate) fn leave_here(&self) {
        self.has_left.store(true, Ordering::SeqCst);
        let Some(here) = &self.here else { return };
        let gone = here.table().unregister(BrokerKey {
            cluster: &self.cluster,
            broker_name: &self.broker_name,
            address: &self.address,
        });
        here.left(&gone);
    }

    /// A topic is new or has changed.
    pub(crate) fn topic_changed(&self, topic: &TopicConfig) {
        if let Some(here) = &self.here {
            here.table().put_topic(&self.broker_name, topic);
        }
        self.changed.send_modify(|changes| *changes += 1);
    }

    /// A topic is gone.
    pub(crate) fn topic_removed(&self, topic: &str) {
        if let Some(here) = &self.here {
            here.table().remove_topic(topic, &RemoveFrom::Broker(&self.broker_name));
        }
        self.changed.send_modify(|changes| *changes += 1);
    }

    /// The address that a name server elsewhere is told: that by which we reach it, where we listen
    /// on every address.
    fn address_from(&self, local: IpAddr) -> String {
        match self.address.parse::<SocketAddr>() {
            Ok(all) if all.ip().is_unspecified() => {
                SocketAddr::new(local.to_canonical(), all.port()).to_string()
            }
            _ => self.address.clone(),
        }
    }

    fn register_command(
        &self,
        topics: TopicConfigSerializeWrapper,
        local: IpAddr,
    ) -> RemotingCommand {
        let address = self.address_from(local);
        let header = RegisterBrokerRequestHeader {
            broker_name: self.broker_name.clone(),
            broker_addr: address.clone(),
            cluster_name: self.cluster.clone(),
            ha_server_addr: Some(address),
            broker_id: self.broker_id,
            heartbeat_timeout_millis: None,
            enable_acting_master: Some(false),
            compressed: Some(false),
            body_crc32: Some(0),
            zone_name: None,
        };
        let body = RegisterBrokerBody {
            topic_config_serialize_wrapper: topics,
            ..RegisterBrokerBody::default()
        };
        RemotingCommand::request(RequestCode::REGISTER_BROKER, &header).with_body(body.encode())
    }

    fn unregister_command(&self, local: IpAddr) -> RemotingCommand {
        let header = BrokerRequestHeader {
            broker_name: self.broker_name.clone(),
            broker_addr: self.address_from(local),
            cluster_name: self.cluster.clone(),
            broker_id: self.broker_id,
        };
        RemotingCommand::request(RequestCode::UNREGISTER_BROKER, &header)
    }
}

/// Registers with the name server at `address` at once, every period, and when a topic changes.
/// Ends with the broker.
pub(crate) async fn register_with(address: String, core: Weak<Core>) {
    let mut connection = None;
    let Some(mut changes) = core.upgrade().map(|core| core.registrar.changed.subscribe()) else {
        return;
    };
    loop {
        let Some(core) = core.upgrade().filter(|core| !core.registrar.has_left()) else { return };
        changes.mark_unchanged();
        let command = |local| core.registrar.register_command(core.topics.all(), local);
        let sent = clock::timeout(&*core.clock, TIMEOUT, call(&address, &mut connection, command));
        match sent.await.unwrap_or_else(|_| Err("no answer in time".to_owned())) {
            Ok(body) => {
                tracing::debug!(address, "registered with a name server");
                if !body.is_empty() {
                    match KVTable::decode(&body) {
                        Ok(ordered) => core.mark_ordered(&ordered),
                        Err(error) => tracing::warn!(address, %error, "ordered topics unknown"),
                    }
                }
            }
            Err(error) => {
                connection = None;
                tracing::warn!(address, error, "cannot register with a name server");
            }
        }
        let period = Duration::from(core.config.register_period)
            .clamp(Duration::from_secs(10), Duration::from_secs(60));
        tokio::select! {
            _ = changes.changed() => {}
            () = clock::sleep(&*core.clock, period) => {}
        }
    }
}

/// Takes leave of the name server at `address`.
pub(crate) async fn unregister_from(address: &str, core: &Core) {
    let mut connection = None;
    let sent = call(address, &mut connection, |local| core.registrar.unregister_command(local));
    let clock: &dyn Clock = &*core.clock;
    if let Ok(Err(error)) = clock::timeout(clock, Duration::from_secs(1), sent).await {
        tracing::warn!(address, error, "cannot unregister from a name server");
    }
}

async fn call(
    address: &str,
    connection: &mut Option<TcpStream>,
    command: impl FnOnce(IpAddr) -> RemotingCommand,
) -> Result<Bytes, String> {
    let text = |error: std::io::Error| error.to_string();
    let stream = match connection {
        Some(stream) => stream,
        None => connection.insert(TcpStream::connect(address).await.map_err(text)?),
    };
    let command = command(stream.local_addr().map_err(text)?.ip());
    let mut buffer = BytesMut::new();
    command.encode(&mut buffer).map_err(|error| error.to_string())?;
    stream.write_all(&buffer).await.map_err(text)?;
    buffer.clear();
    loop {
        let response = RemotingCommand::decode(&mut buffer, MAX_FRAME_BYTES)
            .map_err(|error| error.to_string())?;
        match response {
            Some(response) if response.response_code() == ResponseCode::SUCCESS => {
                return Ok(response.body);
            }
            Some(response) => {
                let remark = response.remark.as_deref().unwrap_or_default();
                return Err(format!("{}: {remark}", response.response_code()));
            }
            None => {}
        }
        if stream.read_buf(&mut buffer).await.map_err(text)? == 0 {
            return Err("the name server closed the connection".to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_name_servers_are_told_an_address_that_can_be_reached() {
        let local = "10.0.0.5".parse().unwrap();
        for (listening, advertised, told) in [
            ("0.0.0.0:10911", "", "10.0.0.5:10911"),
            ("10.0.0.9:10911", "", "10.0.0.9:10911"),
            ("0.0.0.0:10911", "broker.example", "broker.example:10911"),
        ] {
            let config =
                BrokerConfig { advertised_ip: advertised.to_owned(), ..BrokerConfig::default() };
            let registrar = Registrar::new(&config, listening.parse().unwrap(), None);
            assert_eq!(registrar.address_from(local), told);
        }
    }
}
