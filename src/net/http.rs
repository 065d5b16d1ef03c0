//! Serving HTTP/1.1 to peers that may be slow, silent, many or gone.
//!
//! Every wait has an end: for the head of a request, for the next request, for a peer to take what we write. The
//! wait for a request's body belongs to whoever reads it.

mod held;
mod wire;

use std::any::Any;
use std::io;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use hyper::Request;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::AsyncWriteExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tower::Service;
use tower_http::catch_panic::CatchPanicLayer;

use super::stream::{Listener, Stream};
use crate::lifecycle::{Phase, Watch};
use crate::observe::metrics::{Connected, Metrics};
use held::{Held, Watched};
use wire::Wire;

/// The most bytes of a request's head: room for a long token and a crowded cookie jar, and no more.
const LARGEST_HEAD: usize = 32 * 1024;
/// The most header fields of a request.
const MOST_FIELDS: usize = 100;
/// Bodies are read in pieces of at most this size.
const READ_BUFFER: usize = 64 * 1024;
/// Connections beyond the limit that are being told so at any one time; more are closed without a word.
const MOST_TURNED_AWAY: usize = 64;
/// After the process began to end, an answer may still take so long to reach its caller.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// How long to wait before accepting again when the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Said to a connection beyond the limit, before it said anything.
const TOO_MANY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\n\
    Retry-After: 1\r\nConnection: close\r\nContent-Length: 180\r\n\r\n\
    {\"type\":\"about:blank\",\"title\":\"Too many connections\",\"status\":503,\"detail\":\"All connections are in use; \
    try again.\",\"code\":\"too_many_connections\",\"retryable\":true,\"retry_after\":1}\n";

const PANICKED: &str = "{\"type\":\"about:blank\",\"title\":\"Internal error\",\"status\":500,\"detail\":\"This request \
    met a defect of Sidepost; the log has its place. Other requests are not affected.\",\"code\":\"internal_error\",\
    \"retryable\":false}\n";

/// The address of the other side, IPv4 in its own form, as an extension of every request.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub IpAddr);

/// What a listener grants its peers. Clones share the count of connections.
#[derive(Clone, Debug)]
pub struct Limits {
    connections: Arc<Semaphore>,
    turned_away: Arc<Semaphore>,
    patience: Patience,
    metrics: Option<Arc<Metrics>>,
}

/// How long each wait may take.
#[derive(Clone, Copy, Debug)]
struct Patience {
    /// From the first byte of a request's head to its last.
    head: Duration,
    /// For the first byte of the next request.
    idle: Duration,
    /// For the peer to take any byte of an answer.
    stall: Duration,
    /// For the peer to stop sending, after an answer that came before the end of its request.
    linger: Duration,
    /// For an answer of ours, until the connection's buffers are given back.
    answer: Duration,
}

const PATIENCE: Patience = Patience {
    head: Duration::from_secs(10),
    idle: Duration::from_secs(75),
    stall: Duration::from_secs(30),
    linger: Duration::from_secs(2),
    answer: Duration::from_millis(10),
};

impl Limits {
    /// So many connections at once, over all listeners that share this value.
    #[must_use]
    pub fn new(connections: usize) -> Self {
        Self {
            connections: Arc::new(Semaphore::new(connections.min(Semaphore::MAX_PERMITS))),
            turned_away: Arc::new(Semaphore::new(MOST_TURNED_AWAY)),
            patience: PATIENCE,
            metrics: None,
        }
    }

    /// Shows its connections in the metrics as clients of the HTTP ingress.
    #[must_use]
    pub fn counted(self, metrics: Arc<Metrics>) -> Self {
        Self { metrics: Some(metrics), ..self }
    }
}

/// Serves until the lifecycle says to drain; then lets each connection finish its request, and returns when all
/// have ended. Those that have not when the process is ending are cut shortly after.
pub async fn serve(listener: impl Into<Listener>, router: Router, lifecycle: Watch, limits: Limits) {
    let listener = listener.into();
    let router = router.layer(CatchPanicLayer::custom(panicked));
    let mut connections = JoinSet::new();
    let mut draining = pin!(lifecycle.reached(Phase::Draining));
    loop {
        tokio::select! {
            biased;
            () = &mut draining => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => welcome(&mut connections, stream, peer, &router, &lifecycle, &limits),
                Err(error) => recover(&error).await,
            },
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// A peer that hung up in the queue costs nothing; a process without free descriptors must not spin until it has one.
async fn recover(error: &io::Error) {
    let theirs = [io::ErrorKind::ConnectionAborted, io::ErrorKind::ConnectionReset, io::ErrorKind::Interrupted];
    if !theirs.contains(&error.kind()) {
        tracing::warn!(%error, "cannot accept a connection");
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
}

fn welcome(
    connections: &mut JoinSet<()>,
    stream: Stream,
    peer: IpAddr,
    router: &Router,
    lifecycle: &Watch,
    limits: &Limits,
) {
    let turn = Turn::default();
    let wire = Wire::new(stream, turn.clone(), limits.patience);
    if let Ok(permit) = Arc::clone(&limits.connections).try_acquire_owned() {
        let presence = (permit, limits.metrics.as_ref().map(|metrics| metrics.client_connected()));
        connections.spawn(converse(wire, turn, peer, router.clone(), lifecycle.clone(), limits.patience, presence));
    } else {
        limits.metrics.iter().for_each(|metrics| metrics.refused("http", "connection_limit"));
        if let Ok(permit) = Arc::clone(&limits.turned_away).try_acquire_owned() {
            connections.spawn(turn_away(wire, turn, permit));
        }
    }
}

async fn turn_away(mut wire: Wire, turn: Turn, _permit: OwnedSemaphorePermit) {
    turn.set(Turn::REFUSED);
    if wire.write_all(TOO_MANY).await.is_ok() {
        let _ = wire.shutdown().await;
    }
}

/// Everything that lives exactly as long as a connection.
type Presence = (OwnedSemaphorePermit, Option<Connected>);

async fn converse(
    mut wire: Wire,
    turn: Turn,
    peer: IpAddr,
    router: Router,
    lifecycle: Watch,
    patience: Patience,
    _presence: Presence,
) {
    let held = Held::new(turn.clone(), patience.answer);
    loop {
        let make = |request| call(router.clone(), request, peer, turn.clone());
        let service = hyper::service::service_fn(|request| held.clone().answer(request, make));
        let mut connection = Box::new(http(patience).serve_connection(TokioIo::new(wire), service));
        let is_held = tokio::select! {
            // An answer that was held is written before anything else.
            biased;
            _ = &mut *connection => return,
            () = held.is_long() => true,
            () = lifecycle.reached(Phase::Draining) => false,
        };
        if !is_held {
            Pin::new(&mut *connection).graceful_shutdown();
            tokio::select! {
                _ = &mut *connection => {}
                () = last_words(&lifecycle) => {}
            }
            return;
        }
        let unread;
        (wire, unread) = {
            let parts = { connection }.into_parts();
            // Copied, since it is a piece of hyper's buffer.
            (parts.io.into_inner(), parts.read_buf.to_vec())
        };
        tokio::select! {
            () = held.is_made() => {}
            () = last_words(&lifecycle) => return,
        }
        wire.unread(&held.request(lifecycle.is_draining()), &unread);
    }
}

async fn last_words(lifecycle: &Watch) {
    lifecycle.reached(Phase::Ending).await;
    tokio::time::sleep(LAST_WORDS).await;
}

fn http(patience: Patience) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        // For hyper this includes the wait for the first byte; the time from there on is the wire's to watch.
        .header_read_timeout(patience.idle)
        .max_header_size(LARGEST_HEAD)
        .max_headers(MOST_FIELDS)
        // A peer that has said all may close its half and wait.
        .half_close(true)
        .max_buf_size(READ_BUFFER);
    http
}

async fn call(mut router: Router, mut request: Request<Watched>, peer: IpAddr, turn: Turn) -> Response {
    request.extensions_mut().insert(Peer(peer));
    let Ok(answer) = router.call(request.map(Body::new)).await;
    let refused = answer.status().is_client_error() || answer.status().is_server_error();
    turn.set(if refused { Turn::REFUSED } else { Turn::THEIRS });
    answer
}

#[allow(clippy::needless_pass_by_value, reason = "tower-http's signature")]
fn panicked(_: Box<dyn Any + Send>) -> Response {
    let mut answer = Response::new(Body::from(PANICKED));
    *answer.status_mut() = hyper::StatusCode::INTERNAL_SERVER_ERROR;
    let json = hyper::header::HeaderValue::from_static("application/problem+json");
    answer.headers_mut().insert(hyper::header::CONTENT_TYPE, json);
    answer
}

/// Whose turn it is to speak, in which request, and how far it is: known to the service, watched by the wire.
#[derive(Clone, Debug, Default)]
struct Turn(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    turn: AtomicU32,
    /// The request was read to its end.
    is_read: AtomicBool,
    /// The peer does not take what is written.
    is_stalled: AtomicBool,
}

impl Turn {
    /// The peer's: what comes next is the head of a request.
    const THEIRS: u32 = 0;
    /// Ours: a request is being worked on.
    const OURS: u32 = 1;
    /// The peer's, after a refusal that may have come before the end of its request.
    const REFUSED: u32 = 2;
    /// The bits above these count requests.
    const MASK: u32 = 3;

    fn begin(&self, is_read: bool) {
        self.set(Self::OURS);
        self.0.turn.fetch_add(Self::MASK + 1, Ordering::Relaxed);
        self.0.is_read.store(is_read, Ordering::Relaxed);
    }

    fn set(&self, turn: u32) {
        let request = self.request();
        self.0.turn.store(request | turn, Ordering::Relaxed);
    }

    fn request(&self) -> u32 {
        self.0.turn.load(Ordering::Relaxed) & !Self::MASK
    }

    fn is(&self, turn: u32) -> bool {
        self.0.turn.load(Ordering::Relaxed) & Self::MASK == turn
    }

    fn has_read(&self) {
        self.0.is_read.store(true, Ordering::Relaxed);
    }

    fn is_read(&self) -> bool {
        self.0.is_read.load(Ordering::Relaxed)
    }

    fn stalls(&self, is_stalled: bool) {
        self.0.is_stalled.store(is_stalled, Ordering::Relaxed);
    }

    fn is_stalled(&self) -> bool {
        self.0.is_stalled.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests;
