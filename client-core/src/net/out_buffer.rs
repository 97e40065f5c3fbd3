//! Bytes on their way out: many frames gathered for one system call.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::AsyncWrite;

use crate::protocol::DecodeError;
use crate::protocol::command::RemotingCommand;

/// Bodies up to this size are copied between their headers: that is cheaper than telling the
/// kernel of one more piece. Longer ones go out from where they are.
const COPY_UP_TO_BYTES: usize = 8 * 1024;
/// Memory is taken in pieces of this size.
const BLOCK_BYTES: usize = 64 * 1024;
/// Pieces of one system call.
const MAX_SLICES: usize = 64;

/// Frames that are not written yet.
#[derive(Debug, Default)]
pub(super) struct OutBuffer {
    chunks: VecDeque<Bytes>,
    tail: BytesMut,
    length: usize,
}

impl OutBuffer {
    /// Bytes not written yet.
    pub(super) fn len(&self) -> usize {
        self.length
    }

    pub(super) fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Appends one frame; on an error nothing is appended.
    pub(super) fn push(&mut self, command: &RemotingCommand) -> Result<(), DecodeError> {
        if self.tail.capacity() - self.tail.len() < 1024 {
            self.tail.reserve(BLOCK_BYTES);
        }
        let before = self.tail.len();
        command.encode_head(&mut self.tail)?;
        self.length += self.tail.len() - before + command.body.len();
        if command.body.len() <= COPY_UP_TO_BYTES {
            self.tail.extend_from_slice(&command.body);
        } else {
            self.chunks.push_back(self.tail.split().freeze());
            self.chunks.push_back(command.body.clone());
        }
        Ok(())
    }

    /// Writes as much as the socket takes in one call. Dropping the future loses nothing.
    pub(super) async fn write_to(
        &mut self,
        writer: &mut (dyn AsyncWrite + Send + Unpin),
    ) -> io::Result<()> {
        if !self.tail.is_empty() {
            self.chunks.push_back(self.tail.split().freeze());
        }
        let written = std::future::poll_fn(|cx| {
            let mut slices = [IoSlice::new(&[]); MAX_SLICES];
            let mut count = 0;
            for (slice, chunk) in slices.iter_mut().zip(&self.chunks) {
                *slice = IoSlice::new(chunk);
                count += 1;
            }
            let slices = slices.get(..count).unwrap_or_default();
            Pin::new(&mut *writer).poll_write_vectored(cx, slices)
        })
        .await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.advance(written);
        Ok(())
    }

    fn advance(&mut self, mut written: usize) {
        self.length -= written;
        while let Some(chunk) = self.chunks.front_mut() {
            if written < chunk.len() {
                chunk.advance(written);
                return;
            }
            written -= chunk.len();
            self.chunks.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::code::RequestCode;
    use crate::protocol::frame::MAX_FRAME_BYTES;

    /// A socket that takes a few bytes at a time.
    struct Slow(Vec<u8>);
    impl AsyncWrite for Slow {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
            bytes: &[u8],
        ) -> std::task::Poll<io::Result<usize>> {
            let count = bytes.len().min(1_000);
            self.0.extend_from_slice(&bytes[..count]);
            std::task::Poll::Ready(Ok(count))
        }
        fn poll_flush(
            self: Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<io::Result<()>> {
            std::task::Poll::Ready(Ok(()))
        }
        fn poll_shutdown(
            self: Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<io::Result<()>> {
            std::task::Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn frames_arrive_in_order_however_little_the_socket_takes() {
        let mut out = OutBuffer::default();
        let sizes = [0, 1, COPY_UP_TO_BYTES, COPY_UP_TO_BYTES + 1, 3, 100_000];
        for (opaque, size) in (0..).zip(sizes) {
            let mut command =
                RemotingCommand::request(RequestCode::SEND_MESSAGE, &()).with_body(vec![7; size]);
            command.opaque = opaque;
            out.push(&command).unwrap();
        }
        let mut socket = Slow(Vec::new());
        let total = out.len();
        while !out.is_empty() {
            out.write_to(&mut socket).await.unwrap();
        }
        assert_eq!(socket.0.len(), total);
        let mut bytes = BytesMut::from(&socket.0[..]);
        for (opaque, size) in (0..).zip(sizes) {
            let command = RemotingCommand::decode(&mut bytes, MAX_FRAME_BYTES).unwrap().unwrap();
            assert_eq!((command.opaque, command.body.len()), (opaque, size));
        }
    }

    #[test]
    fn a_frame_that_does_not_fit_leaves_nothing_behind() {
        let mut out = OutBuffer::default();
        let command = RemotingCommand::request(RequestCode::SEND_MESSAGE, &())
            .with_body(vec![0; MAX_FRAME_BYTES]);
        assert!(out.push(&command).is_err());
        assert!(out.is_empty());
    }
}
