//! A raw client: sends what it is told and reads replies, nothing more. Every wait has an end.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::certificates::Certificates;

const PATIENCE: Duration = Duration::from_secs(60);

/// Whatever a client can talk through.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// One connection to a server of any kind.
pub struct Client<S = TcpStream> {
    /// For what the methods do not cover.
    pub stream: S,
    buffered: Vec<u8>,
}

impl Client {
    /// Connects, and does not read the greeting.
    pub async fn connect(addr: SocketAddr) -> Self {
        let stream = timeout(PATIENCE, TcpStream::connect(addr)).await.unwrap().unwrap();
        stream.set_nodelay(true).unwrap();
        Self::over(stream)
    }

    /// Connects, reads the greeting and says EHLO.
    pub async fn greeted(addr: SocketAddr) -> Self {
        let mut client = Self::connect(addr).await;
        client.expect("220").await;
        client.ask("EHLO client.test", "250").await;
        client
    }

    /// A TLS handshake as `localhost`, trusting the tests' authority.
    pub async fn secure(self) -> io::Result<Client<TlsStream<TcpStream>>> {
        self.secure_with(Certificates::new().client().into()).await
    }

    /// The same with a connector of one's own, for one that remembers its sessions.
    pub async fn secure_with(self, connector: TlsConnector) -> io::Result<Client<TlsStream<TcpStream>>> {
        assert!(self.buffered.is_empty(), "bytes before the handshake: {:?}", self.buffered);
        let name = "localhost".try_into().unwrap();
        let shaken = timeout(PATIENCE, connector.connect(name, self.stream)).await;
        Ok(Client::over(shaken.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??))
    }
}

impl<S: Stream> Client<S> {
    /// Over a stream that is there already.
    pub fn over(stream: S) -> Self {
        Self { stream, buffered: Vec::new() }
    }

    /// Writes these bytes in one write.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        timeout(PATIENCE, self.stream.write_all(bytes.as_ref())).await.unwrap().unwrap();
        timeout(PATIENCE, self.stream.flush()).await.unwrap().unwrap();
    }

    /// Reads one whole reply, its last CRLF included.
    pub async fn reply(&mut self) -> String {
        let mut reply = String::new();
        loop {
            let line = self.line().await;
            let is_last = line.as_bytes().get(3) != Some(&b'-');
            reply.push_str(&line);
            if is_last {
                return reply;
            }
        }
    }

    async fn line(&mut self) -> String {
        loop {
            if let Some(end) = self.buffered.iter().position(|&byte| byte == b'\n') {
                let line = self.buffered.drain(..=end).collect::<Vec<_>>();
                return String::from_utf8_lossy(&line).into_owned();
            }
            let more = self.piece().await.unwrap();
            assert!(!more.is_empty(), "closed in the middle of {:?}", String::from_utf8_lossy(&self.buffered));
            self.buffered.extend(more);
        }
    }

    /// Reads a reply and compares its beginning.
    pub async fn expect(&mut self, beginning: &str) -> String {
        let reply = self.reply().await;
        assert!(reply.starts_with(beginning), "wanted {beginning:?}, got {reply:?}");
        reply
    }

    /// Sends a line and expects a reply.
    pub async fn ask(&mut self, line: &str, beginning: &str) -> String {
        self.send(format!("{line}\r\n")).await;
        self.expect(beginning).await
    }

    /// What one read brings; nothing at the end of the stream.
    pub async fn piece(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; 1 << 16];
        let read = timeout(PATIENCE, self.stream.read(&mut bytes)).await.expect("the server says nothing")?;
        bytes.truncate(read);
        Ok(bytes)
    }

    /// Everything up to the end of the stream, in the pieces in which it came, and the error if there was one.
    pub async fn pieces(&mut self) -> (Vec<Vec<u8>>, Option<io::ErrorKind>) {
        let mut pieces = vec![std::mem::take(&mut self.buffered)];
        pieces.retain(|piece| !piece.is_empty());
        loop {
            match self.piece().await {
                Ok(piece) if piece.is_empty() => return (pieces, None),
                Ok(piece) => pieces.push(piece),
                Err(error) => return (pieces, Some(error.kind())),
            }
        }
    }

    /// Whether nothing comes for this long.
    pub async fn hears_nothing(&mut self, wait: Duration) -> bool {
        self.buffered.is_empty() && timeout(wait, self.stream.read_u8()).await.is_err()
    }

    /// One whole message in three flights, and the reply to it.
    pub async fn mail(&mut self, id: &str) -> String {
        self.send("MAIL FROM:<a@sender.test>\r\nRCPT TO:<b@recipient.test>\r\nDATA\r\n").await;
        for code in ["250", "250", "354"] {
            self.expect(code).await;
        }
        self.send(format!("Message-ID: <{id}>\r\n\r\nHello\r\n.\r\n")).await;
        self.reply().await
    }
}
