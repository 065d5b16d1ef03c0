//! The SMTP listener: who gets a connection, how many there are, and when they end.
//!
//! The parts are pure where they can be: [`command`] reads a line, [`dialogue`] keeps the order and the limits, [`data`]
//! finds the end of content, [`answer`] words what the relay says. [`wire`] and [`session`] put them on a connection, of
//! whatever kind of stream.

pub mod access;
pub mod answer;
pub mod command;
pub mod data;
pub mod dialogue;
mod places;
pub mod reply;
pub mod session;
#[cfg(test)]
mod tests;
pub mod wire;

use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::lifecycle::Phase;
use crate::message::Ingress;
use crate::message::content::BareNewline;
use crate::net::listen::Listen;
use crate::net::stream::{Listener, Stream};
use crate::net::tls::link::Link;
use crate::net::tls::server::ServerTls;
use crate::outcome::EnhancedCode;
use crate::relay::Relay;
use crate::{settings, words};

use super::clients::ClientRules;
use access::{Access, Users};
use dialogue::{MALFORMED, Rules};
use places::{Full, Place, Places};
use reply::Reply;
use session::Session;

settings! {
    /// The SMTP listener's settings.
    pub struct Config {
        /// Where SMTP is taken.
        smtp_listen: Listen = "127.0.0.1:1025,[::1]:1025",
        /// Where LMTP (RFC 2033) is taken: as SMTP, but each recipient gets an answer of its own.
        lmtp_listen: Listen = "off",
        /// Where SMTP is taken under TLS from the first byte (port 465 elsewhere); needs `TLS_CERT_FILE`.
        smtps_listen: Listen = "off",
        /// Who may log in, and then must, before sending over SMTP: `user:password` pairs, separated by commas or line ends.
        smtp_users: Option<Users> = "",
        /// The most SMTP connections at a time; beyond it a client is told to come back.
        smtp_connections: usize = "1000",
        /// The most SMTP connections at a time from one client's address.
        smtp_connections_per_client: usize = "500",
        /// How long an SMTP connection may last; a message that is being read or delivered gets its reply first.
        smtp_connection_timeout: Duration = "1h",
        /// How long an SMTP client may take for its next command.
        smtp_idle_timeout: Duration = "5m",
        /// How long an SMTP client may take for the content of a message; a second more for each 16 KiB that came.
        smtp_data_timeout: Duration = "5m",
        /// What becomes of a CR or LF that stands alone in content: `normalize` makes it CRLF, `reject` refuses the message.
        bare_newline: BareNewline = "normalize",
    }
}

words!(BareNewline, "`normalize` or `reject`", "normalize" => BareNewline::Normalize, "reject" => BareNewline::Reject);

/// How long a client that is turned away may take to read why.
const TURN_AWAY: Duration = Duration::from_secs(1);
/// The pause after an accept that failed for want of something, such as file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

const TOO_MANY_OF_YOURS: Reply = Reply::new(
    421,
    EnhancedCode(4, 7, 0),
    "Too many connections from your address; close one, or try again in a moment",
);
const TOO_MANY: Reply = Reply::new(421, EnhancedCode(4, 3, 2), "Too many connections; try again in a moment");
const FORBIDDEN: Reply =
    Reply::new(554, EnhancedCode(5, 7, 1), "Your address may not send here; SIDEPOST_ALLOWED_CLIENTS says who may");

/// What all listeners and connections share.
#[derive(Clone, Debug)]
pub struct Server {
    config: Config,
    clients: ClientRules,
    /// Which protocol is spoken: SMTP, or LMTP.
    door: Ingress,
    rules: Arc<Rules>,
    places: Arc<Places>,
    tls: Option<Arc<ServerTls>>,
    relay: Arc<Relay>,
}

impl Server {
    /// A server that names itself `hostname`, and offers TLS if it has it.
    #[must_use]
    pub fn new(
        config: Config,
        clients: ClientRules,
        hostname: String,
        tls: Option<Arc<ServerTls>>,
        relay: Arc<Relay>,
    ) -> Arc<Self> {
        let places = Places::new(config.smtp_connections, config.smtp_connections_per_client);
        let certificates = tls.as_ref().is_some_and(|tls| tls.knows_client_certificates());
        let access = Access { tls: tls.is_some(), users: config.smtp_users.clone(), certificates };
        let rules = Arc::new(Rules { hostname, policy: relay.policy().clone(), lmtp: false, access });
        Arc::new(Self { config, clients, door: Ingress::Smtp, rules, places, tls, relay })
    }

    /// The same server for LMTP, with the same places for connections.
    #[must_use]
    pub fn for_lmtp(&self) -> Arc<Self> {
        let rules = Arc::new(Rules { lmtp: true, ..(*self.rules).clone() });
        Arc::new(Self { door: Ingress::Lmtp, rules, ..self.clone() })
    }

    /// Serves a listener until [`Phase::Draining`], and its connections to their ends.
    ///
    /// From then on an idle connection is closed with 421, one whose message is being read or delivered gets its reply
    /// first; at [`Phase::Ending`] reading ends too. Dropping the future cuts all connections.
    pub async fn serve(self: Arc<Self>, listener: impl Into<Listener>) {
        self.serve_as(listener.into(), Kind::Plain).await;
    }

    /// The same, under TLS from the first byte.
    pub async fn serve_tls(self: Arc<Self>, listener: impl Into<Listener>) {
        self.serve_as(listener.into(), Kind::Tls).await;
    }

    async fn serve_as(self: Arc<Self>, listener: Listener, kind: Kind) {
        let mut draining = pin!(self.relay.lifecycle().reached(Phase::Draining));
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                () = &mut draining => break,
                accepted = listener.accept() => self.accepted(accepted, kind, &mut connections).await,
                Some(_) = connections.join_next() => {}
            }
        }
        drop(listener);
        while connections.join_next().await.is_some() {}
    }

    async fn accepted(
        self: &Arc<Self>,
        accepted: io::Result<(Stream, IpAddr)>,
        kind: Kind,
        connections: &mut JoinSet<()>,
    ) {
        match accepted {
            Ok((stream, peer)) => match (self.admit(peer), kind) {
                (Ok(place), _) => drop(connections.spawn(Arc::clone(self).connection(stream, peer, kind, place))),
                (Err(reply), Kind::Plain) => turn_away(stream, &reply).await,
                // A handshake only to say no would cost more than the connection.
                (Err(_), Kind::Tls) => {}
            },
            Err(error) if is_of_one_client(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept SMTP connections");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }

    /// A place for a client, or the reply that turns it away.
    fn admit(&self, client: IpAddr) -> Result<Place, Reply> {
        if !self.clients.allows(client) {
            tracing::debug!(%client, "turned away: not in SIDEPOST_ALLOWED_CLIENTS");
            self.count("forbidden");
            return Err(FORBIDDEN);
        }
        self.places.take(client).map_err(|full| {
            self.count("connection_limit");
            match full {
                Full::All => TOO_MANY,
                Full::Client => TOO_MANY_OF_YOURS,
            }
        })
    }

    async fn connection(self: Arc<Self>, stream: Stream, peer: IpAddr, kind: Kind, place: Place) {
        let _connected = self.relay.metrics().client_connected();
        let mut link = Link::Plain(stream);
        if kind == Kind::Plain || self.secure(&mut link, peer).await {
            Session::new(self, peer, link).run().await;
        }
        drop(place);
    }

    /// The handshake before everything else; whether it succeeded.
    async fn secure(&self, link: &mut Link<Stream>, peer: IpAddr) -> bool {
        let Some(tls) = &self.tls else { return false };
        let secured = link.secure(tls).await;
        secured.inspect_err(|error| self.note_failed_handshake(peer, error)).is_ok()
    }

    fn note_failed_handshake(&self, client: IpAddr, error: &io::Error) {
        self.count(MALFORMED);
        tracing::info!(%client, %error, "the TLS handshake with an SMTP client failed");
    }

    fn count(&self, reason: &str) {
        self.relay.metrics().refused(self.door.label(), reason);
    }
}

/// How a listener begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Plain,
    Tls,
}

async fn turn_away(mut stream: Stream, reply: &Reply) {
    use tokio::io::AsyncWriteExt as _;
    let mut text = Vec::new();
    reply.write(&mut text);
    // A new socket has room for a line, so this does not wait.
    let _ = timeout(TURN_AWAY, async {
        stream.write_all(&text).await?;
        stream.shutdown().await
    })
    .await;
}

/// The connection was gone before it was accepted; the next one is not affected.
fn is_of_one_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
