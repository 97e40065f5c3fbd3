//! The network, as one of the four doors to the outside world.

use std::fmt;
use std::io;
use std::pin::Pin;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// Opens connections. Replace it to simulate a network, or to go through a tunnel.
pub trait Transport: fmt::Debug + Send + Sync {
    /// Connects to `address`, which is `host:port`.
    fn dial<'a>(&'a self, address: &'a str) -> Dialing<'a>;
}

/// A connection being opened.
pub type Dialing<'a> = Pin<Box<dyn Future<Output = io::Result<Wire>> + Send + 'a>>;

/// The two directions of an open connection.
pub struct Wire {
    /// What the other side sends.
    pub reader: Box<dyn AsyncRead + Send + Unpin>,
    /// What goes to the other side.
    pub writer: Box<dyn AsyncWrite + Send + Unpin>,
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").finish_non_exhaustive()
    }
}

/// Plain TCP.
#[derive(Debug, Clone, Copy, Default)]
pub struct TcpTransport;

impl Transport for TcpTransport {
    fn dial<'a>(&'a self, address: &'a str) -> Dialing<'a> {
        Box::pin(async move {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let (reader, writer) = stream.into_split();
            Ok(Wire { reader: Box::new(reader), writer: Box::new(writer) })
        })
    }
}
