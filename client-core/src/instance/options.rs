//! How a client is set up.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::Instance;
use super::groups::Groups;
use super::name_server::NameServers;
use super::route::Routes;
use crate::clock::{SharedClock, SystemClock};
use crate::error::Error;
use crate::net::connections::{Connections, Dialer};
use crate::net::transport::{TcpTransport, Transport};
use crate::protocol::message::id::UniqueKeys;
use crate::protocol::signature::Credentials;
use crate::randomness::Randomness;

/// The options of a client, with what they are unless set.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) name_servers: String,
    pub(crate) instance_name: Option<String>,
    pub(crate) address_map: HashMap<String, String>,
    pub(crate) credentials: Option<Credentials>,
    pub(crate) connect_timeout: Duration,
    pub(crate) clock: SharedClock,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) seed: Option<u64>,
}

impl Options {
    pub(crate) fn new(name_servers: String) -> Self {
        Self {
            name_servers,
            instance_name: None,
            address_map: HashMap::new(),
            credentials: None,
            connect_timeout: Duration::from_secs(5),
            clock: SystemClock::shared(),
            transport: Arc::new(TcpTransport),
            seed: None,
        }
    }

    /// Reaches a name server and starts the background work.
    pub(crate) async fn connect(self) -> Result<Arc<Instance>, Error> {
        let random = Arc::new(Randomness::new(self.seed));
        let first = random.word() as usize;
        let name_servers = NameServers::parse(&self.name_servers, first)?;
        let groups = Arc::new(Groups::default());
        let stop = CancellationToken::new();
        let connections = Connections::new(Dialer {
            transport: self.transport,
            clock: self.clock.clone(),
            inbound: groups.clone(),
            address_map: self.address_map,
            random: random.clone(),
            credentials: self.credentials,
            stop: stop.clone(),
        });
        let deadline = self.clock.monotonic().saturating_add(self.connect_timeout);
        name_servers.connect(&connections, &*self.clock, deadline).await.map_err(|error| {
            error.hinting("is a name server listening there? `broker-dev` starts one")
        })?;
        let instance = Arc::new(Instance {
            client_id: client_id(self.instance_name.as_deref(), &random),
            unique_keys: UniqueKeys::new(std::array::from_fn(|_| random.word()), random.word()),
            clock: self.clock,
            random,
            connections,
            name_servers,
            routes: Routes::default(),
            groups,
            runtime: Handle::current(),
            _stop_on_drop: stop.clone().drop_guard(),
            stop,
        });
        instance.start_background();
        Ok(instance)
    }
}

/// `name@process#random`: containers may share addresses and process ids, so neither is trusted.
fn client_id(name: Option<&str>, random: &Randomness) -> String {
    let name = name.unwrap_or("oxmq");
    format!("{name}@{}#{:016x}", std::process::id(), random.number())
}
