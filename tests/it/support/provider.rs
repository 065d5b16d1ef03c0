//! The scripted provider: an SMTP server that does what a real one cannot be made to do, and a ledger of what it holds.
//!
//! ```ignore
//! let provider = Provider::start(Script::secure().on(Step::Mail, Action::reply(451, "4.3.0 Not now")));
//! // ... send something to provider.addr ...
//! assert!(provider.ledger.wait_for(1, Duration::from_secs(5)).await);
//! assert_eq!(provider.ledger.counts().mails, 2);
//! ```
//!
//! A [`Script`] is a good server with faults pinned to it: at a [`Step`] stands an [`Action`], which says what is
//! written, in which pieces, after how long, and what comes then. What an action says also decides what it does: after
//! 2yz or 3yz the step has succeeded, the message is held; after anything else it has not. [`Action::taken`] overrules
//! that where a provider takes a message and the answer is lost.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};
use tokio::task::{JoinHandle, JoinSet};

mod action;
mod client;
mod content;
mod ledger;
mod login;
mod path;
mod script;
mod session;
#[cfg(test)]
mod tests;
mod transaction;
mod wire;

pub use action::{Action, Pace};
pub use client::Client;
pub use ledger::{Command, Connection, Content, Counts, End, Ledger, Login, TlsState, digest};
pub use script::{Injection, Keep, Listening, PASSWORD, Script, Step, USER, WithoutRecipients};

use self::script::{Key, Queue};
use super::certificates::Certificates;

/// Enough for a thousand clients that come at once.
const BACKLOG: u32 = 1024;

/// A provider at work. Dropping it ends it and every connection.
#[derive(Debug)]
pub struct Provider {
    /// Where it listens.
    pub addr: SocketAddr,
    /// What arrived.
    pub ledger: Ledger,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

/// What all connections have in common.
#[derive(Debug)]
struct Shared {
    ledger: Ledger,
    running: RwLock<Arc<Running>>,
}

/// A script being played.
#[derive(Debug)]
struct Running {
    script: Script,
    tls: Option<Arc<rustls::ServerConfig>>,
    actions: Mutex<HashMap<Key, Queue>>,
}

impl Provider {
    /// Begins on a free port of 127.0.0.1.
    pub fn start(script: Script) -> Self {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), script, Ledger::default())
    }

    /// Begins at a given address, with a ledger that may have seen other days: a provider that comes back.
    pub fn start_at(addr: SocketAddr, script: Script, ledger: Ledger) -> Self {
        let socket = bind(addr, &script);
        let addr = socket.local_addr().unwrap();
        let listening = script.listening;
        let running = RwLock::new(Arc::new(Running::new(script)));
        let shared = Arc::new(Shared { ledger: ledger.clone(), running });
        let task = match listening {
            Listening::Serves => tokio::spawn(accept(socket.listen(BACKLOG).unwrap(), shared.clone())),
            Listening::Refuses => tokio::spawn(hold(socket)),
            Listening::DropsPackets => tokio::spawn(hold(full(socket.listen(0).unwrap(), addr))),
        };
        Self { addr, ledger, shared, task }
    }

    /// Plays another script from the next command on. Its TLS certificate holds for new handshakes.
    pub fn change(&self, script: Script) {
        *self.shared.running.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(Running::new(script));
    }

    /// Ends, and waits until every connection is closed and the port is free.
    pub async fn stop(mut self) {
        self.task.abort();
        // The task was cancelled, which is what was asked for.
        let _ = (&mut self.task).await;
        self.ledger.wait_until(Duration::from_secs(5), |counts| counts.open == 0).await;
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    fn running(&self) -> Arc<Running> {
        self.running.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Running {
    fn new(script: Script) -> Self {
        let versions = if script.tls12_only { &[&rustls::version::TLS12][..] } else { rustls::ALL_VERSIONS };
        let tls = script.certificate().map(|certificate| Certificates::new().server(certificate, versions));
        let actions = Mutex::new(script.actions.clone());
        Self { script, tls, actions }
    }

    fn action(&self, step: Step) -> Option<Action> {
        self.take(&Key::Step(step))
    }

    fn recipient_action(&self, address: &str) -> Option<Action> {
        self.take(&Key::Recipient(address.to_string()))
    }

    fn take(&self, key: &Key) -> Option<Action> {
        self.actions.lock().unwrap_or_else(PoisonError::into_inner).get_mut(key)?.take()
    }
}

fn bind(addr: SocketAddr, script: &Script) -> TcpSocket {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }.unwrap();
    if script.listening == Listening::Serves {
        // A provider that comes back finds its port in TIME_WAIT.
        socket.set_reuseaddr(true).unwrap();
    }
    if let Some(bytes) = script.receive_buffer {
        socket.set_recv_buffer_size(bytes).unwrap();
    }
    socket.bind(addr).unwrap();
    socket
}

/// Connections live in this task's set: when it ends, they end.
async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut sessions = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => { sessions.spawn(session::serve(stream, peer, shared.clone())); }
                // Out of descriptors, most likely: some will be free in a moment.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
            Some(_) = sessions.join_next() => {}
        }
    }
}

/// A bound socket that does not listen refuses; a listener with a full queue does not answer. Both only have to stay.
async fn hold<T>(thing: T) {
    let _thing = thing;
    std::future::pending::<()>().await;
}

/// Fills the accept queue until connection attempts are left without an answer.
fn full(listener: TcpListener, addr: SocketAddr) -> (TcpListener, Vec<TcpStream>) {
    let patience = Duration::from_millis(100);
    let fillers = std::iter::from_fn(|| TcpStream::connect_timeout(&addr, patience).ok()).collect();
    (listener, fillers)
}
