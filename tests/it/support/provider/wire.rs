//! The connection: bytes in, bytes out, in the pieces and at the speed that the script wants.

use std::future::ready;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::action::Pace;
use super::ledger::{End, TlsState};

/// One read takes at most this.
const READ: usize = 16 << 10;
/// After our FIN we read on so long, since a close with unread bytes would be a RST.
const LINGER: Duration = Duration::from_secs(1);
/// A slow reader reads this often in a second.
const SIPS: u32 = 20;

/// A step of the dialogue; `Err` is its end.
pub(super) type Turn<T = ()> = Result<T, End>;

#[derive(Debug)]
enum Stream {
    Clear(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    Gone,
}

#[derive(Debug)]
pub(super) struct Wire {
    stream: Stream,
    pub(super) input: BytesMut,
    output: Vec<u8>,
    /// How often the client spoke after having heard something.
    pub(super) flights: usize,
    heard_us: bool,
    pub(super) latency: (Duration, Duration),
}

macro_rules! on_stream {
    ($stream:expr, $inner:ident => $what:expr) => {
        match &mut $stream {
            Stream::Clear($inner) => $what,
            Stream::Tls($inner) => $what,
            Stream::Gone => return Err(End::Provider),
        }
    };
}

impl Wire {
    pub(super) fn new(stream: TcpStream) -> Self {
        // Every write is a segment of its own: that is what the pieces are for. An error means a dead connection.
        let _ = stream.set_nodelay(true);
        let latency = (Duration::ZERO, Duration::ZERO);
        let stream = Stream::Clear(stream);
        Self { stream, input: BytesMut::new(), output: Vec::new(), flights: 0, heard_us: false, latency }
    }

    pub(super) fn is_tls(&self) -> bool {
        matches!(self.stream, Stream::Tls(_))
    }

    // === In ===

    /// At least one more byte of input; the end of the stream is the client's end.
    pub(super) async fn read(&mut self, most: usize) -> Turn {
        self.input.reserve(READ.min(most));
        let most = most.min(READ) as u64;
        let read = on_stream!(self.stream, stream => stream.take(most).read_buf(&mut self.input).await);
        match read {
            Ok(0) | Err(_) => Err(End::Client),
            Ok(_) => Ok(()),
        }
    }

    /// What is there already, without waiting.
    pub(super) async fn read_what_is_there(&mut self) -> Turn {
        tokio::select! {
            biased;
            read = self.read(READ) => read,
            () = ready(()) => Ok(()),
        }
    }

    /// The first bytes after we spoke begin a flight.
    pub(super) async fn begin_flight(&mut self) -> Turn {
        if !std::mem::take(&mut self.heard_us) {
            return Ok(());
        }
        self.flights += 1;
        if self.latency.0.is_zero() {
            return Ok(());
        }
        sleep(self.latency.0).await;
        // What is still on its way belongs to the same flight; its end shows at the next read.
        let _ = self.read_what_is_there().await;
        Ok(())
    }

    /// One sip of a slow reader.
    pub(super) async fn sip(&mut self, bytes_per_second: usize) -> Turn {
        sleep(Duration::from_secs(1) / SIPS).await;
        self.read((bytes_per_second / SIPS as usize).max(1)).await
    }

    /// Reads and forgets until the client ends it.
    pub(super) async fn read_to_nowhere(&mut self) -> Turn<std::convert::Infallible> {
        loop {
            self.input.clear();
            self.read(READ).await?;
        }
    }

    // === Out ===

    /// To be written with the next flush.
    pub(super) fn queue(&mut self, bytes: &[u8]) {
        self.output.extend_from_slice(bytes);
    }

    /// Writes what is due.
    pub(super) async fn flush(&mut self, pace: Option<&Pace>) -> Turn {
        if self.output.is_empty() {
            return Ok(());
        }
        sleep_if(self.latency.1).await;
        let output = std::mem::take(&mut self.output);
        self.heard_us = true;
        let written = match pace {
            None => self.write(&output).await,
            Some(pace) => self.write_in_pieces(&output, pace).await,
        };
        self.output = output;
        self.output.clear();
        written
    }

    async fn write_in_pieces(&mut self, mut bytes: &[u8], pace: &Pace) -> Turn {
        for &size in pace.sizes.iter().cycle() {
            let (piece, rest) = bytes.split_at(size.min(bytes.len()));
            self.write(piece).await?;
            if rest.is_empty() {
                break;
            }
            sleep_if(pace.pause).await;
            bytes = rest;
        }
        Ok(())
    }

    /// One write, now.
    async fn write(&mut self, bytes: &[u8]) -> Turn {
        on_stream!(self.stream, stream => {
            stream.write_all(bytes).await.map_err(|_| End::Client)?;
            stream.flush().await.map_err(|_| End::Client)
        })
    }

    // === TLS and the end ===

    /// The handshake; how it went.
    pub(super) async fn secure(&mut self, acceptor: TlsAcceptor) -> TlsState {
        let Stream::Clear(tcp) = std::mem::replace(&mut self.stream, Stream::Gone) else {
            return TlsState::Failed("no clear connection to begin with".into());
        };
        match acceptor.accept(tcp).await {
            Ok(stream) => {
                let state = secured(stream.get_ref().1);
                self.stream = Stream::Tls(Box::new(stream));
                state
            }
            Err(error) => TlsState::Failed(error.to_string()),
        }
    }

    /// FIN, after `close_notify` where there is TLS.
    pub(super) async fn close(&mut self) {
        let finish = async {
            let closed = on_stream!(self.stream, stream => stream.shutdown().await);
            closed.map_err(|_| End::Client)?;
            self.read_to_nowhere().await
        };
        // Whichever way it ends, the connection is dropped now.
        let _ = timeout(LINGER, finish).await;
        self.stream = Stream::Gone;
    }

    /// RST.
    pub(super) fn reset(&mut self) {
        let tcp = match &self.stream {
            Stream::Clear(tcp) => tcp,
            Stream::Tls(tls) => tls.get_ref().0,
            Stream::Gone => return,
        };
        tcp.set_zero_linger().unwrap();
        self.stream = Stream::Gone;
    }
}

fn secured(tls: &rustls::ServerConnection) -> TlsState {
    TlsState::Secured {
        version: tls.protocol_version().map(|version| format!("{version:?}")).unwrap_or_default(),
        server_name: tls.server_name().map(String::from),
        resumed: tls.handshake_kind() == Some(rustls::HandshakeKind::Resumed),
    }
}

/// Not even a yield where there is nothing to wait for.
pub(super) async fn sleep_if(wait: Duration) {
    if !wait.is_zero() {
        sleep(wait).await;
    }
}
