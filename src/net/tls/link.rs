//! A connection that may become a TLS connection on its way (RFC 3207).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::server::TlsStream;

use super::server::ServerTls;

/// A stream, in plain or under TLS.
#[derive(Debug)]
pub enum Link<S> {
    /// In plain.
    Plain(S),
    /// Under TLS, with us as the server.
    Tls(Box<TlsStream<S>>),
    /// A handshake failed on it, so that nothing can be said any more.
    Broken,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Link<S> {
    /// Makes it a TLS connection.
    ///
    /// # Errors
    /// Where the handshake fails; the link is then broken.
    pub async fn secure(&mut self, tls: &ServerTls) -> io::Result<()> {
        let Self::Plain(stream) = std::mem::replace(self, Self::Broken) else { return Err(broken()) };
        *self = Self::Tls(Box::new(tls.accept(stream).await?));
        Ok(())
    }

    /// Whether it is under TLS.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// Whether the client showed a certificate, which the handshake has then found to be valid.
    #[must_use]
    pub fn has_client_certificate(&self) -> bool {
        matches!(self, Self::Tls(stream) if stream.get_ref().1.peer_certificates().is_some())
    }
}

fn broken() -> io::Error {
    io::ErrorKind::NotConnected.into()
}

macro_rules! each {
    ($self:ident, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Self::Plain($stream) => $call,
            Self::Tls($stream) => $call,
            Self::Broken => Poll::Ready(Err(broken())),
        }
    };
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Link<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_read(cx, buffer))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Link<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        each!(self, stream => Pin::new(stream).poll_write(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}
