//! The ways in: each is a name server's address and a broker's, for the same askers.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::broker::StartError;
use crate::listen::{Sockets, listen};
use crate::name_server::{Here, Reach, host_name};
use crate::options::NamedListener;

/// Both listen.
#[derive(Debug)]
pub(crate) struct Entrance {
    pub(crate) name: Arc<str>,
    pub(crate) name_server: Sockets,
    pub(crate) broker: Sockets,
    host_name: Option<String>,
    advertised: Option<String>,
}

/// Where the name server and the broker of a named listener listen.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListenerAddresses {
    /// The listener's name.
    pub name: Arc<str>,
    /// Where its askers find the name server.
    pub name_server: SocketAddr,
    /// Where they find the broker.
    pub broker: SocketAddr,
}

impl Entrance {
    /// Listens.
    ///
    /// # Errors
    /// As [`listen`].
    pub(crate) fn open(listener: NamedListener, allow_public: bool) -> Result<Self, StartError> {
        let NamedListener { name, name_server_address, broker_address, advertised } = listener;
        let name_server = listen("name server", &name_server_address, allow_public)?;
        let broker = listen("broker", &broker_address, allow_public)?;
        let shared = host_name(&name_server_address).filter(|shared| {
            host_name(&broker_address).is_some_and(|host| host.eq_ignore_ascii_case(shared))
        });
        let host_name = shared.map(str::to_owned);
        Ok(Self { name: name.into(), name_server, broker, host_name, advertised })
    }

    pub(crate) fn addresses(&self) -> ListenerAddresses {
        let (name_server, broker) = (self.name_server.address, self.broker.address);
        ListenerAddresses { name: Arc::clone(&self.name), name_server, broker }
    }

    fn reach(&self) -> Reach {
        Reach {
            host_name: self.host_name.clone(),
            broker: self.broker.addresses.clone(),
            advertised: self.advertised.clone(),
        }
    }
}

/// What askers of each way in are told of the broker that is `registered` so.
pub(crate) fn reachable_by(entrances: &[Entrance], registered: String, is_explicit: bool) -> Here {
    Here { registered, is_explicit, listeners: entrances.iter().map(Entrance::reach).collect() }
}
