//! The task that owns a socket.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::BytesMut;
use oxmq::protocol::command::RemotingCommand;
use oxmq::protocol::frame::MAX_FRAME_BYTES;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::{Event, Handle, Outgoing};

/// Room for the first read of a connection; an idle one holds no more than this.
const MIN_READ: usize = 8 * 1024;

/// Room for one read of a busy connection.
const MAX_READ: usize = 256 * 1024;

/// With this much unwritten, nothing more is read: a client that does not take its answers gets no
/// further ones, and holds no more of our memory than this and one turn.
const MAX_UNWRITTEN: usize = 4 * 1024 * 1024;

/// The two ends of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer {
    /// The other end.
    pub(crate) remote: SocketAddr,
    /// Our end: the address by which the other one reached us.
    pub(crate) local: SocketAddr,
}

/// What one connection talks to. It never waits: what has to wait is told later, by an [`Event`].
pub(crate) trait Session: Send + 'static {
    /// Serves one command.
    fn serve(&mut self, command: RemotingCommand, out: &mut Outgoing);

    /// All commands of one read have been served.
    fn end_turn(&mut self, _out: &mut Outgoing) {}

    /// Something happened that this session asked to be told of.
    fn event(&mut self, _event: Event, _out: &mut Outgoing) {}

    /// Whether more may be read now. If not, an event will change that.
    fn has_room(&self) -> bool {
        true
    }

    /// The connection is gone.
    fn closed(&mut self) {}
}

/// Serves a socket until either side closes it.
pub(super) async fn run<S: Session>(
    mut stream: TcpStream,
    peer: Peer,
    handle: Arc<Handle>,
    session: &mut S,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, remote = %peer.remote, "TCP_NODELAY cannot be set");
    }
    match talk(&mut stream, &handle, session).await {
        Ok(()) => tracing::debug!(remote = %peer.remote, "connection closed"),
        Err(Ending::Io(error)) => {
            tracing::debug!(remote = %peer.remote, %error, "connection broken");
        }
        Err(Ending::NotSpoken(error)) => {
            tracing::warn!(remote = %peer.remote, %error, "closing a connection that does not speak RocketMQ's protocol");
        }
    }
}

/// Why a connection ended early.
enum Ending {
    Io(io::Error),
    NotSpoken(oxmq::protocol::DecodeError),
}

impl From<io::Error> for Ending {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

async fn talk<S: Session>(
    stream: &mut TcpStream,
    handle: &Handle,
    session: &mut S,
) -> Result<(), Ending> {
    let (mut reader, writer) = stream.split();
    let mut input = Input { buffer: BytesMut::new(), room: MIN_READ };
    let mut out = Outgoing::default();
    let mut events = Vec::new();
    let mut is_closing = false;
    loop {
        let may_read = !is_closing && out.len() < MAX_UNWRITTEN && session.has_room();
        if may_read {
            input.buffer.reserve(input.room);
        }
        tokio::select! {
            biased;
            () = handle.rung() => {
                handle.take(&mut events);
                for event in events.drain(..) {
                    match event {
                        Event::Push(frame) => out.bytes(&frame),
                        Event::Close if is_closing => return Ok(()),
                        Event::Close => is_closing = true,
                        event => session.event(event, &mut out),
                    }
                }
            }
            read = reader.read_buf(&mut input.buffer), if may_read => {
                if read? == 0 {
                    return Ok(());
                }
                handle.set_active();
                input.serve(session, &mut out).map_err(Ending::NotSpoken)?;
            }
            writable = writer.writable(), if !out.is_empty() => {
                writable?;
                handle.set_active();
            }
        }
        out.write(&writer)?;
        if is_closing && out.is_empty() {
            return Ok(());
        }
    }
}

/// What was read and not yet served.
struct Input {
    buffer: BytesMut,
    /// How much the next read should have room for.
    room: usize,
}

impl Input {
    fn serve<S: Session>(
        &mut self,
        session: &mut S,
        out: &mut Outgoing,
    ) -> Result<(), oxmq::protocol::DecodeError> {
        // A read that filled its room is followed by a larger one.
        if self.buffer.capacity() == self.buffer.len() {
            self.room = (self.room * 4).min(MAX_READ);
        }
        let served = loop {
            match RemotingCommand::decode(&mut self.buffer, MAX_FRAME_BYTES) {
                Ok(Some(command)) => session.serve(command, out),
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        session.end_turn(out);
        served
    }
}
