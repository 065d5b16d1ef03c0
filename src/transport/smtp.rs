//! SMTP as a client: the session with the provider.
//!
//! A `transaction` says what to write and what the answers mean, without sockets; this file runs it over a
//! connection of the `pool`, or over a new one, under the time limits of each step.

mod capabilities;
pub mod classify;
mod connect;
mod entry;
mod limits;
mod outgoing;
mod pool;
mod probe;
mod reply;
mod sasl;
mod stream;
mod transaction;

/// For `fuzz/`, which stands outside of the crate and asks these parts by themselves.
#[cfg(fuzzing)]
pub mod parts {
    pub use super::capabilities::Capabilities;
    pub use super::outgoing::{Framing, Outgoing, no_slices};
    pub use super::reply::{Malformed, RawReply, take};
    pub use super::sasl::reason;
    pub use super::transaction::{After, Finish, Next, Transaction};
}

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use self::classify::Lost;
use self::connect::{Dialer, Session};
use self::entry::Entry;
use self::limits::Limits;
use self::outgoing::Outgoing;
use self::pool::{Bounds, Connection, Pool};
use self::reply::RawReply;
use self::stream::Stream;
use self::transaction::{After, Finish, Next, Transaction, Waiting};
use super::{Attempt, Gate, Job, Phases};
use crate::config::value::Value;
use crate::lifecycle::Watch;
use crate::net::client::{Client, Patience};
use crate::net::resolve::Resolver;
use crate::net::tls;
use crate::oauth::Status;
use crate::outcome::{Failure, Receipt, Step};
use crate::provider::{Link, Provider, Server};
use crate::settings;

/// A provider that takes content more slowly than this is taken for stalled.
const SLOWEST_BYTES_PER_SECOND: usize = 8 * 1024;
/// The least time for content, however small.
const CONTENT_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a server that refused our bytes may take to say why.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// How long opening connections at the start may take, all of them together.
const WARM_UP: Duration = Duration::from_secs(30);
/// QUIT is a courtesy.
const QUIT_TIMEOUT: Duration = Duration::from_secs(2);

settings! {
    /// The session's settings.
    pub struct Config {
        /// The most connections to the provider, per server.
        connections: usize = "10",
        /// The most messages over one connection.
        connection_messages: usize = "100",
        /// How many connections are opened and logged in at the start, before the first message.
        connections_warm: Count = "0",
        /// How long an unused connection is kept.
        connection_idle: Duration = "30s",
        /// How long name lookup, connection and TLS handshake may take, each.
        connect_timeout: Duration = "10s",
        /// How long the answer to a command may take.
        reply_timeout: Duration = "30s",
        /// How long the answer to the last byte of content may take; giving up there is what makes duplicates.
        answer_timeout: Duration = "90s",
        /// A file of further root certificates (PEM), beside the built-in ones.
        ca_file: Option<PathBuf> = "",
        /// The name given in EHLO; the host's own if it has a dot, else its address in brackets.
        helo_name: Option<HeloName> = "",
    }
}

/// A name to give in EHLO.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeloName(String);

impl Value for HeloName {
    const EXPECTS: &'static str = "a host name such as `mail.example.com`";

    fn parse(text: &str) -> Option<Self> {
        crate::net::name::is_name(text).then(|| Self(text.to_owned()))
    }
}

/// Whether a file of root certificates can be used.
///
/// # Errors
/// Why not, in a sentence.
pub fn check_roots(file: &std::path::Path) -> Result<(), String> {
    tls::Tls::new(&[file]).map(|_| ())
}

/// How many, none included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count(usize);

impl Value for Count {
    const EXPECTS: &'static str = "a whole number, such as `0` or `2`";

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok().map(Self)
    }
}

/// Sends over SMTP.
#[derive(Debug)]
pub struct Smtp {
    provider: Arc<Provider>,
    dialer: Dialer,
    pool: Arc<Pool>,
    warm: usize,
    reply_timeout: Duration,
    answer_timeout: Duration,
    /// RCPTMAX of the session that was opened last (RFC 9422).
    recipient_limit: AtomicUsize,
}

impl Smtp {
    /// The transport for that provider. `host` is the name of this machine.
    ///
    /// # Errors
    /// Where the root certificates cannot be read: a sentence.
    pub fn new(provider: Arc<Provider>, config: &Config, host: &str, roots: &[PathBuf]) -> Result<Self, String> {
        let files: Vec<_> = roots.iter().map(PathBuf::as_path).collect();
        let bounds = Bounds {
            connections: config.connections,
            messages: config.connection_messages,
            idle: config.connection_idle,
        };
        let tls = tls::Tls::new(&files)?;
        let patience = Patience { connect: config.connect_timeout, answer: config.reply_timeout };
        let client = Client::new(tls.clone(), patience);
        Ok(Self {
            warm: config.connections_warm.0.min(config.connections),
            dialer: Dialer {
                resolver: Resolver::default(),
                tls,
                helo_name: config.helo_name.clone().map(|name| name.0).or_else(|| crate::net::name::full(host)),
                entry: provider.credentials.as_ref().map(|credentials| Entry::new(credentials, client)),
                connect_timeout: config.connect_timeout,
                reply_timeout: config.reply_timeout,
            },
            pool: Pool::new(&provider.servers(), bounds),
            provider,
            reply_timeout: config.reply_timeout,
            answer_timeout: config.answer_timeout,
            recipient_limit: AtomicUsize::new(usize::MAX),
        })
    }

    /// The name that we give in EHLO; without one it is our address in brackets.
    #[must_use]
    pub fn helo_name(&self) -> Option<&str> {
        self.dialer.helo_name.as_deref()
    }

    /// Connections to the provider, idle ones and those being opened included.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.pool.connections()
    }

    /// The most recipients of one transaction, as far as the server has said; `usize::MAX` where it has not.
    #[must_use]
    pub fn recipient_limit(&self) -> usize {
        self.recipient_limit.load(Ordering::Relaxed)
    }

    fn learn(&self, session: &Session) {
        let limit = session.capabilities.limits.recipients.unwrap_or(usize::MAX);
        self.recipient_limit.store(limit, Ordering::Relaxed);
    }

    /// What is known about the tokens for the login, if that is by tokens.
    #[must_use]
    pub fn tokens(&self) -> Option<Status> {
        Some(self.dialer.entry.as_ref()?.tokens()?.status())
    }

    /// Told whenever a request for a token has ended, if the login is by tokens.
    #[must_use]
    pub fn token_changes(&self) -> Option<watch::Receiver<()>> {
        Some(self.dialer.entry.as_ref()?.tokens()?.changes())
    }

    /// Opens the connections that are asked for at the start, to the first server. What fails is left to the first
    /// message, which has somebody to tell.
    pub async fn warm_up(&self, gate: &dyn Gate, lifecycle: &Watch) {
        let Some(server) = self.provider.servers().into_iter().next() else { return };
        let link = self.provider.link(&server);
        let limits =
            Limits { deadline: Instant::now() + WARM_UP, most: Duration::MAX, connect: Duration::MAX, lifecycle };
        // The first look may have opened one already.
        for _ in 0..self.warm.saturating_sub(self.pool.connections()) {
            if let Err(failure) = self.warm_one(&server, &link, gate, limits).await {
                tracing::warn!(step = failure.step.label(), detail = failure.sentence, "no warm connection");
                return;
            }
        }
    }

    /// Opens one connection more, unless messages have come meanwhile and opened all that there may be.
    async fn warm_one(&self, server: &Server, link: &Link, gate: &dyn Gate, limits: Limits<'_>) -> Result<(), Failure> {
        let _turn = waited(self.pool.turn(server, 0), link, limits).await?;
        let _dial = waited(self.pool.dial(server), link, limits).await?;
        if self.pool.has_room(server) {
            let opened = self.open(server, link, gate, limits, &mut Phases::default()).await;
            let connection = opened.map_err(|unopened| unopened.failure)?;
            self.pool.keep(server, connection);
        }
        Ok(())
    }

    /// One attempt along one server.
    pub async fn attempt(&self, server: &Server, job: &Job<'_>) -> Attempt {
        let link = self.provider.link(server);
        let Job { deadline, connect, lifecycle, .. } = *job;
        let limits = Limits { deadline, most: Duration::MAX, connect, lifecycle };
        let mut phases = Phases::default();
        let turn = match waited(self.pool.turn(server, job.message.content.len()), &link, limits).await {
            Ok(turn) => turn,
            Err(failure) => return Attempt { result: Err(failure), is_held: false, phases },
        };
        let Sent { result, done, is_held } = self.send(server, &link, job, limits, &mut phases).await;
        if let Some(connection) = done {
            tokio::spawn(quit(connection, turn));
        }
        Attempt { result, is_held, phases }
    }

    /// Sends over a warm connection, and over the next one where that turns out to be dead; the last is a new one.
    async fn send(&self, server: &Server, link: &Link, job: &Job<'_>, limits: Limits<'_>, phases: &mut Phases) -> Sent {
        let dial = loop {
            if let Some(sent) = self.send_warm(server, link, job, limits, phases).await {
                return sent;
            }
            // Few at a time: many logins at once are answered with 454 by some, and count as an attack with others.
            let dial = match waited(self.pool.dial(server), link, limits).await {
                Ok(dial) => dial,
                Err(failure) => return Sent::not(failure),
            };
            // A connection that came free meanwhile is used without keeping others from opening theirs.
            if !self.pool.has_idle(server) {
                break dial;
            }
        };
        let connection = match self.open(server, link, job.gate, limits, phases).await {
            Ok(connection) => connection,
            Err(unopened) => return Sent { is_held: unopened.is_held, ..Sent::not(unopened.failure) },
        };
        drop(dial);
        let sent = self.run(connection, server, link, job, limits, phases).await;
        sent.unwrap_or_else(|| Sent::not(classify::lost(Step::Sender, &Lost::Closed, false, link)))
    }

    /// Opens a connection of the pool, where logins may be tried. On the heap: it is large, and gone by the time of the
    /// long waits.
    async fn open(
        &self,
        server: &Server,
        link: &Link,
        gate: &dyn Gate,
        limits: Limits<'_>,
        phases: &mut Phases,
    ) -> Result<Connection, Box<Unopened>> {
        if let Err(failure) = gate.admit() {
            return Err(Box::new(Unopened { failure: *failure, is_held: true }));
        }
        let counted = self.pool.count();
        match Box::pin(self.dialer.open(server, link, limits, phases)).await {
            Ok(session) => {
                self.learn(&session);
                if self.dialer.entry.is_some() {
                    gate.entered();
                }
                Ok(counted.adopt(session))
            }
            Err(failure) => Err(Box::new(Unopened { failure: gate.refused(failure), is_held: false })),
        }
    }

    /// Sends over a warm connection, if there is one that lives.
    async fn send_warm(
        &self,
        server: &Server,
        link: &Link,
        job: &Job<'_>,
        limits: Limits<'_>,
        phases: &mut Phases,
    ) -> Option<Sent> {
        while let Some(connection) = self.pool.take(server) {
            let sent = self.run(connection, server, link, job, limits, phases).await;
            if sent.is_some() {
                return sent;
            }
        }
        None
    }

    /// Runs the message's transaction over one connection. Nothing where a warm one turns out to have been closed by
    /// the other side: nothing was lost, nothing was said.
    async fn run(
        &self,
        mut connection: Connection,
        server: &Server,
        link: &Link,
        job: &Job<'_>,
        limits: Limits<'_>,
        phases: &mut Phases,
    ) -> Option<Sent> {
        let started = Instant::now();
        let warm = connection.is_warm();
        let Session { stream, capabilities } = &mut connection.session;
        let mut transaction = match Transaction::new(job.message, job.open, capabilities, connection.reset_first, link)
        {
            Ok(transaction) => transaction,
            Err(failure) => {
                // Nothing was said, so an envelope that an earlier message left open is open still.
                let after = if connection.reset_first { After::ReuseAfterReset } else { After::Reuse };
                let done = self.give_back(server, connection, after);
                return Some(Sent { result: Err(failure), done, is_held: false });
            }
        };
        let Finish { result, connection: after } = loop {
            match transaction.next() {
                Next::Finished(finish) => break finish,
                Next::Write(flight, step) => self.write(stream, flight, step, &mut transaction, limits).await,
                Next::Read => match self.read(stream, &transaction, limits).await {
                    Ok(reply) if warm && transaction.is_useless(reply.code) => return None,
                    Ok(reply) => transaction.reply(reply.into_reply()),
                    Err(how) if warm && transaction.is_untouched() && !matches!(how, Lost::Ending) => {
                        return None;
                    }
                    Err(how) => transaction.lost(&how),
                },
            }
        };
        phases.send = Some(started.elapsed());
        let done = self.give_back(server, connection, after);
        Some(Sent { result, done, is_held: false })
    }

    async fn write(
        &self,
        stream: &mut Stream,
        mut flight: Outgoing,
        step: Step,
        transaction: &mut Transaction<'_>,
        limits: Limits<'_>,
    ) {
        let whole = Instant::now() + content_limit(transaction.content_length());
        loop {
            let written = if step == Step::Content {
                // Content may outlast the deadline as long as the other side keeps taking it.
                let limit = self.reply_timeout.min(whole.saturating_duration_since(Instant::now()));
                limits.late(limit, stream.write_some(&mut flight)).await
            } else {
                limits.early(self.reply_timeout, stream.write_some(&mut flight)).await
            };
            match written {
                Ok(Ok(false)) => {}
                Ok(Ok(true)) => return transaction.written(),
                // What the server said before it stopped listening may still be there to be read.
                Ok(Err(_)) | Err(Lost::Timeout(_)) => return transaction.write_failed(),
                Err(how) => return transaction.lost(&how),
            }
        }
    }

    async fn read(
        &self,
        stream: &mut Stream,
        transaction: &Transaction<'_>,
        limits: Limits<'_>,
    ) -> Result<RawReply, Lost> {
        match transaction.waiting() {
            Waiting::LastWords => limits.late(LAST_WORDS, stream.read()).await?,
            Waiting::Verdict => limits.late(self.answer_timeout, stream.read()).await?,
            Waiting::Reply => limits.early(self.reply_timeout, stream.read()).await?,
        }
    }

    /// Keeps a connection for the next message; gives it back where it is to be closed.
    fn give_back(&self, server: &Server, mut connection: Connection, after: After) -> Option<Connection> {
        connection.reset_first = after == After::ReuseAfterReset;
        match after {
            After::Reuse | After::ReuseAfterReset => self.pool.put(server, connection),
            After::Close => Some(connection),
        }
    }
}

/// Waits for leave to use or to open a connection.
async fn waited(
    leave: impl Future<Output = Option<pool::Turn>>,
    link: &Link,
    limits: Limits<'_>,
) -> Result<Option<pool::Turn>, Failure> {
    let started = Instant::now();
    match limits.early(Duration::MAX, leave).await {
        Ok(turn) => Ok(turn),
        Err(Lost::Timeout(_)) => Err(classify::no_connection_free(started.elapsed(), link)),
        Err(_) => Err(classify::ending(Step::Wait)),
    }
}

/// How long content may take in all.
fn content_limit(length: usize) -> Duration {
    CONTENT_TIMEOUT.max(Duration::from_secs((length / SLOWEST_BYTES_PER_SECOND) as u64))
}

/// Why there is no connection; held: nobody was asked, since logins rest.
struct Unopened {
    failure: Failure,
    is_held: bool,
}

/// What came of a message, and the connection if it is of no further use.
struct Sent {
    result: Result<Receipt, Failure>,
    done: Option<Connection>,
    is_held: bool,
}

impl Sent {
    /// Without a connection there is none to close.
    fn not(failure: Failure) -> Self {
        Self { result: Err(failure), done: None, is_held: false }
    }
}

/// Says QUIT and waits a moment for the answer, so that the server sees an orderly end.
///
/// The turn is kept until then: providers that allow three connections count those that are closing.
async fn quit(mut connection: Connection, turn: Option<pool::Turn>) {
    let stream = &mut connection.session.stream;
    let farewell = async {
        let _ = stream.write(Outgoing::commands("QUIT\r\n".into())).await;
        let _ = stream.read().await;
    };
    let _ = tokio::time::timeout(QUIT_TIMEOUT, farewell).await;
    drop(connection);
    drop(turn);
}
