//! The client: what an application makes first, and everything else from.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::SharedClock;
use crate::consumer::PushConsumerBuilder;
use crate::error::Error;
use crate::instance::Instance;
use crate::instance::options::Options;
use crate::net::transport::Transport;
use crate::producer::ProducerBuilder;
use crate::protocol::signature::Credentials;

/// One client of one cluster: its connections, routes and heartbeats. Cheap to clone; producers
/// and consumers made from it share all of it.
///
/// ```no_run
/// # async fn example() -> Result<(), oxmq::Error> {
/// let client = oxmq::Client::builder("127.0.0.1:9876").connect().await?;
/// let producer = client.producer("orders-service").start().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Client {
    instance: Arc<Instance>,
}

impl Client {
    /// Sets up a client of the cluster of these name servers: `host:port`, several separated by
    /// `;`.
    pub fn builder(name_servers: impl Into<String>) -> ClientBuilder {
        ClientBuilder(Options::new(name_servers.into()))
    }

    /// Sets up a producer. The group's name tells operators who sends.
    pub fn producer(&self, group: impl Into<Arc<str>>) -> ProducerBuilder {
        ProducerBuilder::new(self.instance.clone(), group.into())
    }

    /// Sets up a consumer. The members of a group share the messages of the topics that they
    /// subscribe to, all in the same way.
    pub fn push_consumer(&self, group: impl Into<Arc<str>>) -> PushConsumerBuilder {
        PushConsumerBuilder::new(self.instance.clone(), group.into())
    }

    /// As brokers know this client.
    pub fn client_id(&self) -> &str {
        &self.instance.client_id
    }

    /// Ends all connections. What its producers and consumers have under way fails; close those
    /// first.
    pub fn close(&self) {
        self.instance.stop.cancel();
    }
}

/// Options of a [`Client`].
#[derive(Debug)]
#[must_use = "connect() makes the client"]
pub struct ClientBuilder(Options);

impl ClientBuilder {
    /// The first part of the client's id, which operators see. Default: `oxmq`. A process id and
    /// a random number are always added, so that no two clients collide.
    pub fn instance_name(mut self, name: impl Into<String>) -> Self {
        self.0.instance_name = Some(name.into());
        self
    }

    /// Where to connect instead, for each address that cannot be reached as the cluster advertises
    /// it: `("10.0.0.5:10911", "localhost:32771")`. Default: nowhere else.
    pub fn address_map<A: Into<String>, B: Into<String>>(
        mut self,
        map: impl IntoIterator<Item = (A, B)>,
    ) -> Self {
        let pairs = map.into_iter().map(|(advertised, real)| (advertised.into(), real.into()));
        self.0.address_map.extend(pairs);
        self
    }

    /// Signs every request as this user, for a cluster that asks for it (RocketMQ's ACL). Default:
    /// nobody.
    pub fn credentials(mut self, credentials: Credentials) -> Self {
        self.0.credentials = Some(credentials);
        self
    }

    /// How long [`connect`](Self::connect) may take. Default: 5 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.0.connect_timeout = timeout;
        self
    }

    /// The clock that everything waits on. Default: the machine's.
    pub fn clock(mut self, clock: SharedClock) -> Self {
        self.0.clock = clock;
        self
    }

    /// What opens connections. Default: TCP.
    pub fn transport(mut self, transport: Arc<dyn Transport>) -> Self {
        self.0.transport = transport;
        self
    }

    /// Makes the client's random choices repeatable: with the same seed and the same events it
    /// does the same. Never share a seed between clients of a real cluster: their message ids
    /// would be equal. Default: unpredictable.
    pub fn seed(mut self, seed: u64) -> Self {
        self.0.seed = Some(seed);
        self
    }

    /// Reaches one of the name servers.
    ///
    /// Call it in the tokio runtime that shall carry the client's work.
    ///
    /// # Errors
    /// `InvalidArgument` for addresses that are none, `Unavailable` or `Timeout` if no name server
    /// can be reached.
    pub async fn connect(self) -> Result<Client, Error> {
        Ok(Client { instance: self.0.connect().await? })
    }
}
