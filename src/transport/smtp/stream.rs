//! A connection's bytes: plain or TLS, written in flights, read in replies.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::classify::Lost;
use super::outgoing::{Outgoing, no_slices};
use super::reply::{self, RawReply};

/// Replies that may wait unread while we write.
const MOST_UNREAD: usize = 64 * 1024;
const READ_SIZE: usize = 4 * 1024;

/// The bytes below the session.
#[derive(Debug)]
enum Transport {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// A connection with what was read from it and not yet used.
#[derive(Debug)]
pub struct Stream {
    transport: Transport,
    input: BytesMut,
    ended: bool,
}

impl Stream {
    /// A connection without TLS.
    #[must_use]
    pub fn plain(tcp: TcpStream) -> Self {
        Self { transport: Transport::Plain(tcp), input: BytesMut::new(), ended: false }
    }

    /// A connection with TLS.
    #[must_use]
    pub fn tls(tls: TlsStream<TcpStream>) -> Self {
        Self { transport: Transport::Tls(Box::new(tls)), input: BytesMut::new(), ended: false }
    }

    /// The bare connection, to begin TLS on it; nothing where bytes were already read beyond the last reply, or
    /// where it has TLS.
    #[must_use]
    pub fn into_plain(self) -> Option<TcpStream> {
        match self.transport {
            Transport::Plain(tcp) if self.input.is_empty() => Some(tcp),
            Transport::Plain(_) | Transport::Tls(_) => None,
        }
    }

    /// Whether the connection, idle until now, has been closed or spoken on: then it is of no further use.
    ///
    /// Asks the socket without waiting and without a NOOP.
    pub fn is_stale(&mut self) -> bool {
        if !self.input.is_empty() || self.ended {
            return true;
        }
        let mut spare = [0; 256];
        let mut buffer = ReadBuf::new(&mut spare);
        let waker = std::task::Waker::noop();
        let polled = self.transport.as_read().poll_read(&mut Context::from_waker(waker), &mut buffer);
        // TLS 1.3 session tickets are taken in below and leave nothing to read.
        polled.is_ready()
    }

    /// Writes as much of a flight as the connection takes now, at least one byte; true once all of it is written.
    ///
    /// Takes in meanwhile what the other side says: two sides that both only write would wait for each other for ever.
    ///
    /// # Errors
    /// Where the connection takes no more.
    pub async fn write_some(&mut self, outgoing: &mut Outgoing) -> io::Result<bool> {
        poll_fn(|context| self.poll_write(outgoing, context)).await
    }

    /// Writes a whole flight.
    ///
    /// # Errors
    /// Where not all of it could be written.
    pub async fn write(&mut self, mut outgoing: Outgoing) -> io::Result<()> {
        while !self.write_some(&mut outgoing).await? {}
        Ok(())
    }

    fn poll_write(&mut self, outgoing: &mut Outgoing, context: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut progress = false;
        while !outgoing.is_done() {
            let mut slices = no_slices();
            let count = outgoing.slices(&mut slices);
            match self.transport.as_write().poll_write_vectored(context, &slices[..count]) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(written)) => outgoing.advance(written),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending if progress => return Poll::Ready(Ok(false)),
                Poll::Pending => {
                    self.take_in(context)?;
                    return Poll::Pending;
                }
            }
            progress = true;
        }
        ready!(self.transport.as_write().poll_flush(context))?;
        Poll::Ready(Ok(true))
    }

    /// Reads as long as there is something and room for it.
    fn take_in(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        while self.input.len() < MOST_UNREAD && !self.ended {
            match self.poll_fill(context) {
                Poll::Ready(result) => result?,
                Poll::Pending => break,
            }
        }
        Ok(())
    }

    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // By way of the stack: a connection that waits, as a thousand may at once, holds no buffer.
        let mut piece = [const { MaybeUninit::uninit() }; READ_SIZE];
        let mut buffer = ReadBuf::uninit(&mut piece);
        ready!(self.transport.as_read().poll_read(context, &mut buffer))?;
        self.ended = buffer.filled().is_empty();
        self.input.extend_from_slice(buffer.filled());
        Poll::Ready(Ok(()))
    }

    /// The next reply.
    ///
    /// # Errors
    /// Where none will come.
    pub async fn read(&mut self) -> Result<RawReply, Lost> {
        loop {
            if let Some(reply) = reply::take(&mut self.input).map_err(Lost::Malformed)? {
                return Ok(reply);
            }
            if self.ended {
                return Err(Lost::Closed);
            }
            poll_fn(|context| self.poll_fill(context)).await.map_err(Lost::Io)?;
        }
    }
}

impl Transport {
    fn as_read(&mut self) -> Pin<&mut (dyn AsyncRead + Unpin)> {
        match self {
            Self::Plain(tcp) => Pin::new(tcp),
            Self::Tls(tls) => Pin::new(tls.as_mut()),
        }
    }

    fn as_write(&mut self) -> Pin<&mut (dyn AsyncWrite + Unpin)> {
        match self {
            Self::Plain(tcp) => Pin::new(tcp),
            Self::Tls(tls) => Pin::new(tls.as_mut()),
        }
    }
}
