//! Sockets to listen on.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, ToSocketAddrs};

use tokio::net::TcpListener;

use crate::broker::StartError;

/// How often other ports are tried when a free one is to be the same on several addresses.
const ATTEMPTS: usize = 16;

/// Sockets that listen for one purpose: one, or one for each address of a name.
#[derive(Debug)]
pub(crate) struct Sockets {
    pub(crate) sockets: Vec<TcpListener>,
    pub(crate) addresses: Vec<SocketAddr>,
    /// The first of them.
    pub(crate) address: SocketAddr,
}

/// Listens on `address` (`host:port`; port 0 takes any free one) for `what`. A host that is a name
/// is listened on at all its addresses, with the same port.
///
/// # Errors
/// The address is none, or cannot be listened on, or other machines could reach it although that
/// is not allowed.
pub(crate) fn listen(
    what: &'static str,
    address: &str,
    allow_public: bool,
) -> Result<Sockets, StartError> {
    let refused = |source| StartError::Listen { what, address: address.to_owned(), source };
    let sockets = bind(address).map_err(refused)?;
    let addresses: Vec<_> =
        sockets.iter().map(TcpListener::local_addr).collect::<Result<_, _>>().map_err(refused)?;
    let is_public = |address: &SocketAddr| !address.ip().to_canonical().is_loopback();
    if !allow_public && addresses.iter().any(is_public) {
        return Err(StartError::Public { address: address.to_owned() });
    }
    let Some(first) = addresses.first().copied() else { return Err(refused(no_address())) };
    Ok(Sockets { sockets, addresses, address: first })
}

fn no_address() -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, "not an address of this machine")
}

fn bind(address: &str) -> io::Result<Vec<TcpListener>> {
    let mut addresses = Vec::new();
    for address in address.to_socket_addrs()? {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    let mut attempts = 0;
    loop {
        attempts += 1;
        match bind_each(&addresses) {
            Err(error) if error.kind() == ErrorKind::AddrInUse && attempts < ATTEMPTS => {
                // With a given port it stays in use.
                if addresses.iter().any(|address| address.port() != 0) {
                    return Err(error);
                }
            }
            bound => return bound,
        }
    }
}

/// Binds all addresses that this machine has, to the same port.
fn bind_each(addresses: &[SocketAddr]) -> io::Result<Vec<TcpListener>> {
    let mut sockets: Vec<TcpListener> = Vec::new();
    let mut failure = no_address();
    for address in addresses {
        let mut address = *address;
        if let Some(first) = sockets.first() {
            address.set_port(first.local_addr()?.port());
        }
        match bind_one(address) {
            Ok(socket) => sockets.push(socket),
            // A name may have addresses that are not here, as `localhost` without IPv6.
            Err(error) if error.kind() == ErrorKind::AddrNotAvailable => failure = error,
            Err(error) => return Err(error),
        }
    }
    if sockets.is_empty() { Err(failure) } else { Ok(sockets) }
}

fn bind_one(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = std::net::TcpListener::bind(address)?;
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_is_listened_on_at_all_its_addresses_with_one_port() {
        let sockets = listen("test", "localhost:0", false).unwrap();
        assert_eq!(sockets.sockets.len(), sockets.addresses.len());
        let ports = sockets.addresses.iter().map(SocketAddr::port);
        assert!(ports.clone().all(|port| port == sockets.address.port() && port != 0));
        let taken = format!("localhost:{}", sockets.address.port());
        let refused = listen("test", &taken, false).unwrap_err().to_string();
        assert!(refused.ends_with("another program listens there already"), "{refused}");
    }
}
