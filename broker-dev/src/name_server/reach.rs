//! Under which address an asker reaches the broker of this process.
//!
//! Whoever reached the name server can reach the broker in the same way: at the host by which it
//! came, and at the broker's port of the same listener. So nothing has to be configured, unless the
//! way leads through a mapping of ports, which nobody here can see: then a listener of its own says
//! what to tell.

use std::net::{IpAddr, SocketAddr};

use oxmq::protocol::body::BrokerData;

/// Which listener a connection came through; 0 is the usual one.
pub(crate) type ListenerId = usize;

/// The broker of this process: what it registers under, and what askers are told instead.
#[derive(Debug, Clone)]
pub(crate) struct Here {
    /// What stands in the route table.
    pub(crate) registered: String,
    /// Whether that was configured, and is to be told as it is.
    pub(crate) is_explicit: bool,
    /// By [`ListenerId`].
    pub(crate) listeners: Vec<Reach>,
}

/// One listener: a name server's address and a broker's, for the same askers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reach {
    /// The name, such as `localhost`, by which both are listened on; none for a bare address.
    pub(crate) host_name: Option<String>,
    /// Where the broker listens.
    pub(crate) broker: Vec<SocketAddr>,
    /// `host` or `host:port`, if something else is to be told.
    pub(crate) advertised: Option<String>,
}

impl Here {
    /// Puts what the asker can reach in the place of what is registered. `local` is the address by
    /// which the asker reached the name server.
    pub(super) fn make_reachable(
        &self,
        broker: &mut BrokerData,
        listener: ListenerId,
        local: SocketAddr,
    ) {
        for address in broker.broker_addrs.values_mut() {
            self.reach(address, listener, local);
        }
    }

    /// The same for one address.
    pub(super) fn reach(&self, address: &mut String, listener: ListenerId, local: SocketAddr) {
        if *address != self.registered {
            return;
        }
        let Some(reach) = self.listeners.get(listener) else { return };
        let told = match &reach.advertised {
            Some(advertised) => Some(reach.with_port(advertised)),
            None if self.is_explicit => None,
            None => reach.by_the_way_of(local),
        };
        if let Some(told) = told {
            *address = told;
        }
    }
}

impl Reach {
    fn port(&self) -> u16 {
        self.broker.first().map_or(0, SocketAddr::port)
    }

    fn with_port(&self, advertised: &str) -> String {
        if has_port(advertised) {
            return advertised.to_owned();
        }
        match advertised.parse::<IpAddr>() {
            Ok(ip) => SocketAddr::new(ip, self.port()).to_string(),
            Err(_) => format!("{advertised}:{}", self.port()),
        }
    }

    fn by_the_way_of(&self, local: SocketAddr) -> Option<String> {
        if let Some(name) = &self.host_name {
            return Some(format!("{name}:{}", self.port()));
        }
        let came_by = local.ip().to_canonical();
        let takes = |ip: IpAddr| {
            ip == came_by || (ip.is_unspecified() && (ip.is_ipv6() || came_by.is_ipv4()))
        };
        let there = self.broker.iter().find(|socket| takes(socket.ip().to_canonical()));
        match there {
            Some(socket) => Some(at(local, came_by, socket.port())),
            // Not listened on at this address: the one that is.
            None => self.broker.first().map(SocketAddr::to_string),
        }
    }
}

/// The asker's address of us with another port; a link-local one keeps its scope.
fn at(local: SocketAddr, canonical: IpAddr, port: u16) -> String {
    let mut address = SocketAddr::new(canonical, port);
    if let (SocketAddr::V6(address), SocketAddr::V6(local)) = (&mut address, local) {
        address.set_scope_id(local.scope_id());
    }
    address.to_string()
}

fn has_port(text: &str) -> bool {
    let port = match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => port,
        _ => return false,
    };
    port.parse::<u16>().is_ok()
}

/// The host of `host:port` if it is a name.
pub(crate) fn host_name(address: &str) -> Option<&str> {
    let (host, _) = address.rsplit_once(':')?;
    let is_address = host.is_empty() || host.starts_with('[') || host.parse::<IpAddr>().is_ok();
    (!is_address).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn here(broker: &[&str], reach: Reach, is_explicit: bool) -> Here {
        let broker = broker.iter().map(|address| address.parse().unwrap()).collect();
        let listeners = vec![Reach { broker, ..reach }];
        Here { registered: "registered".to_owned(), is_explicit, listeners }
    }

    fn told(here: &Here, local: &str) -> String {
        let mut address = "registered".to_owned();
        here.reach(&mut address, 0, local.parse().unwrap());
        address
    }

    #[test]
    fn an_asker_is_told_the_host_by_which_it_came() {
        let all = here(&["[::]:10911"], Reach::default(), false);
        for (local, expected) in [
            ("127.0.0.1:9876", "127.0.0.1:10911"),
            ("[::ffff:172.17.0.2]:9876", "172.17.0.2:10911"),
            ("[2001:db8::7]:9876", "[2001:db8::7]:10911"),
            ("[fe80::1%3]:9876", "[fe80::1%3]:10911"),
        ] {
            assert_eq!(told(&all, local), expected);
        }
        let v4 = here(&["0.0.0.0:10911"], Reach::default(), false);
        assert_eq!(told(&v4, "10.0.0.5:9876"), "10.0.0.5:10911");
        assert_eq!(told(&v4, "[::1]:9876"), "0.0.0.0:10911", "nothing better is known");
    }

    #[test]
    fn where_the_broker_does_not_listen_an_asker_is_told_where_it_does() {
        let one = here(&["127.0.0.2:10911"], Reach::default(), false);
        assert_eq!(told(&one, "127.0.0.1:9876"), "127.0.0.2:10911");
        let two = here(&["127.0.0.1:10911", "[::1]:10911"], Reach::default(), false);
        assert_eq!(told(&two, "[::1]:9876"), "[::1]:10911");
    }

    #[test]
    fn a_name_is_kept_and_what_is_configured_is_told() {
        let named = Reach { host_name: Some("localhost".to_owned()), ..Reach::default() };
        let both = ["127.0.0.1:10911", "[::1]:10911"];
        assert_eq!(told(&here(&both, named, false), "[::1]:9876"), "localhost:10911");
        assert_eq!(told(&here(&both, Reach::default(), true), "127.0.0.1:1"), "registered");
        for (advertised, expected) in [
            ("localhost:32768", "localhost:32768"),
            ("localhost", "localhost:10911"),
            ("10.0.0.1:5", "10.0.0.1:5"),
            ("::1", "[::1]:10911"),
            ("[::1]:7", "[::1]:7"),
        ] {
            let reach = Reach { advertised: Some(advertised.to_owned()), ..Reach::default() };
            assert_eq!(told(&here(&both, reach, true), "127.0.0.1:1"), expected);
        }
    }

    #[test]
    fn names_are_told_from_addresses() {
        for (address, name) in [
            ("localhost:1", Some("localhost")),
            ("127.0.0.1:1", None),
            ("[::1]:1", None),
            (":1", None),
            ("broker.example:10911", Some("broker.example")),
        ] {
            assert_eq!(host_name(address), name);
        }
    }
}
