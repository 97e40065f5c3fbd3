//! What waits to be written to one socket.

use std::collections::VecDeque;
use std::io::{self, IoSlice};

use bytes::{Buf, Bytes, BytesMut};
use oxmq::protocol::command::RemotingCommand;
use tokio::net::tcp::WriteHalf;

/// Bodies up to this are copied behind their heads: an extra slice costs more.
const COPY_UP_TO: usize = 512;

/// The most slices of one write.
const MAX_SLICES: usize = 64;

/// What an emptied buffer may keep for the next answers.
const KEEP_BYTES: usize = 64 * 1024;

/// Heads and bodies in the order in which they are to be written.
///
/// Heads, and answers without a body, gather in one buffer; bodies stay where they are.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    /// Written before `heads`.
    chunks: VecDeque<Bytes>,
    heads: BytesMut,
    /// Bytes in `chunks`.
    chunk_bytes: usize,
}

impl Outgoing {
    /// How many bytes wait.
    pub(crate) fn len(&self) -> usize {
        self.chunk_bytes + self.heads.len()
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.chunks.is_empty() && self.heads.is_empty()
    }

    /// The buffer that heads gather in, for whoever writes a frame of its own making.
    pub(crate) fn heads(&mut self) -> &mut BytesMut {
        &mut self.heads
    }

    /// Adds a command with its body.
    pub(crate) fn command(&mut self, command: &RemotingCommand) {
        match command.encode_head(&mut self.heads) {
            Ok(()) => self.bytes(&command.body),
            Err(error) => tracing::error!(%error, code = command.code, "an answer does not fit"),
        }
    }

    /// Adds a command whose body lies in several places (`command.body` is not written).
    pub(crate) fn command_with(&mut self, command: &RemotingCommand, body: Vec<Bytes>) {
        let length = body.iter().map(Bytes::len).sum();
        match command.encode_head_for(length, &mut self.heads) {
            Ok(()) => body.iter().for_each(|part| self.bytes(part)),
            Err(error) => tracing::error!(%error, code = command.code, "an answer does not fit"),
        }
    }

    /// Adds bytes as they are.
    pub(crate) fn bytes(&mut self, bytes: &Bytes) {
        if bytes.len() <= COPY_UP_TO {
            self.heads.extend_from_slice(bytes);
        } else {
            self.seal();
            self.chunk_bytes += bytes.len();
            self.chunks.push_back(bytes.clone());
        }
    }

    /// Writes as much as the socket takes now.
    ///
    /// # Errors
    /// As the socket's; also if the other side has closed it.
    pub(super) fn write(&mut self, socket: &WriteHalf<'_>) -> io::Result<()> {
        while !self.is_empty() {
            let written = if self.chunks.is_empty() {
                socket.try_write(&self.heads)
            } else {
                self.seal();
                let mut slices = [IoSlice::new(&[]); MAX_SLICES];
                for (slice, chunk) in slices.iter_mut().zip(&self.chunks) {
                    *slice = IoSlice::new(chunk);
                }
                let used = slices.get(..self.chunks.len().min(MAX_SLICES)).unwrap_or_default();
                socket.try_write_vectored(used)
            };
            match written {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => self.advance(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Moves the gathered heads behind the chunks.
    fn seal(&mut self) {
        if !self.heads.is_empty() {
            let heads = self.heads.split().freeze();
            self.chunk_bytes += heads.len();
            self.chunks.push_back(heads);
        }
    }

    fn advance(&mut self, mut written: usize) {
        while let Some(chunk) = self.chunks.front_mut() {
            if written < chunk.len() {
                chunk.advance(written);
                self.chunk_bytes -= written;
                return;
            }
            written -= chunk.len();
            self.chunk_bytes -= chunk.len();
            self.chunks.pop_front();
        }
        self.heads.advance(written.min(self.heads.len()));
        if self.heads.is_empty() {
            if self.heads.capacity() > KEEP_BYTES {
                self.heads = BytesMut::new();
            } else {
                self.heads.clear();
            }
        }
    }
}
