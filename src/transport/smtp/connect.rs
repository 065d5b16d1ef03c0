//! From a server to an open session: name, connection, TLS, greeting, EHLO, login.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::Instant;

use super::capabilities::Capabilities;
use super::classify::{self, Lost};
use super::entry::{Entry, Key};
use super::limits::Limits;
use super::outgoing::Outgoing;
use super::reply::RawReply;
use super::sasl::{self, Login, Shown};
use super::stream::Stream;
use crate::net::certificate;
use crate::net::dial;
use crate::net::resolve::Resolver;
use crate::net::tls::Tls;
use crate::oauth::{AccessToken, Tokens};
use crate::outcome::{Failure, Reason, Step};
use crate::provider::{self, Link, Server};
use crate::transport::{LoginResult, Phases};

/// Opens sessions.
#[derive(Debug)]
pub struct Dialer {
    /// Names to addresses.
    pub resolver: Resolver,
    /// TLS, trusting what the settings say.
    pub tls: Tls,
    /// The name we give in EHLO; without one, the address that we come from (RFC 5321 section 4.1.4).
    pub helo_name: Option<String>,
    /// How to log in, if at all.
    pub entry: Option<Entry>,
    /// How long name lookup and connection may take, and each TLS handshake.
    pub connect_timeout: Duration,
    /// How long the answer to a command may take.
    pub reply_timeout: Duration,
}

/// A session with a server that let us in.
#[derive(Debug)]
pub struct Session {
    /// The connection.
    pub stream: Stream,
    /// What the server can do.
    pub capabilities: Capabilities,
}

/// One session being opened.
struct Opening<'a> {
    dialer: &'a Dialer,
    server: &'a Server,
    link: &'a Link,
    limits: Limits<'a>,
    phases: &'a mut Phases,
    helo_name: String,
    /// The token that was shown.
    token: Option<AccessToken>,
}

impl Dialer {
    /// Opens a session along the server. A token that is refused is replaced and shown once more, over a new connection:
    /// some servers close the one on which they said no.
    ///
    /// # Errors
    /// The link that broke, as a [`Failure`].
    pub async fn open(
        &self,
        server: &Server,
        link: &Link,
        limits: Limits<'_>,
        phases: &mut Phases,
    ) -> Result<Session, Failure> {
        let mut opening = Opening { dialer: self, server, link, limits, phases, helo_name: String::new(), token: None };
        match (opening.open().await, self.entry.as_ref().and_then(Entry::tokens), opening.token.take()) {
            (Err(failure), Some(tokens), Some(token)) if failure.reason == Reason::AuthRejected => {
                opening.open_again(tokens, &token, failure).await
            }
            (opened, ..) => opened,
        }
    }

    /// Opens a session as far as the answer to EHLO, and does not log in.
    ///
    /// # Errors
    /// The link that broke, as a [`Failure`].
    pub async fn arrive(
        &self,
        server: &Server,
        link: &Link,
        limits: Limits<'_>,
        phases: &mut Phases,
    ) -> Result<Session, Failure> {
        let mut opening = Opening { dialer: self, server, link, limits, phases, helo_name: String::new(), token: None };
        let (stream, capabilities) = opening.arrive().await?;
        Ok(Session { stream, capabilities })
    }
}

impl Opening<'_> {
    async fn open(&mut self) -> Result<Session, Failure> {
        let (stream, capabilities) = self.arrive().await?;
        self.log_in(stream, capabilities).await
    }

    /// Name, connection, greeting, EHLO, all under TLS in the end.
    async fn arrive(&mut self) -> Result<(Stream, Capabilities), Failure> {
        let tcp = self.connect().await?;
        match self.server.tls {
            provider::Tls::None => self.greet(Stream::plain(tcp)).await,
            provider::Tls::Implicit => {
                let stream = self.handshake(tcp).await?;
                self.greet(stream).await
            }
            provider::Tls::StartTls => {
                let (stream, capabilities) = self.greet(Stream::plain(tcp)).await?;
                self.start_tls(stream, &capabilities).await
            }
        }
    }

    /// Once more with another token, if there is one.
    async fn open_again(
        &mut self,
        tokens: &Arc<Tokens>,
        refused: &AccessToken,
        failure: Failure,
    ) -> Result<Session, Failure> {
        match self.limits.early(Duration::MAX, tokens.instead_of(refused)).await {
            Ok(Some(Ok(_))) => self.open().await,
            Ok(Some(Err(trouble))) => Err(classify::token::none(&trouble, self.link)),
            Ok(None) | Err(_) => Err(failure),
        }
    }

    async fn connect(&mut self) -> Result<TcpStream, Failure> {
        let started = Instant::now();
        let found = self.resolve().await;
        self.phases.name = Some(started.elapsed());
        let addresses = found?;
        let limit = self.dialer.connect_timeout.min(self.limits.connect);
        let connected = self.limits.early(limit, dial::race(addresses)).await;
        self.phases.connect = Some(started.elapsed());
        let tcp = match connected {
            Ok(Ok(dialed)) => {
                self.phases.has_left_ipv6 = Some(dialed.has_left_ipv6);
                dialed.tcp
            }
            Ok(Err(error)) => return Err(classify::connect(&error, self.link)),
            Err(Lost::Timeout(limit)) => return Err(classify::connect(&timed_out(limit), self.link)),
            Err(how) => return Err(classify::lost(Step::Connect, &how, false, self.link)),
        };
        // Flights are written whole; waiting for more would only cost time.
        tcp.set_nodelay(true).map_err(|error| classify::connect(&error, self.link))?;
        self.helo_name = self.dialer.helo_name.clone().unwrap_or_else(|| address_literal(&tcp));
        Ok(tcp)
    }

    async fn resolve(&self) -> Result<Vec<SocketAddr>, Failure> {
        let lookup = self.dialer.resolver.resolve(&self.server.host, self.server.port);
        match self.limits.early(self.dialer.connect_timeout, lookup).await {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(error)) => Err(classify::name(&error, self.link)),
            Err(Lost::Timeout(limit)) => Err(classify::name_timeout(limit, self.link)),
            Err(how) => Err(classify::lost(Step::Dns, &how, false, self.link)),
        }
    }

    async fn handshake(&mut self, tcp: TcpStream) -> Result<Stream, Failure> {
        let started = Instant::now();
        let handshake = self.dialer.tls.connect(&self.server.host, tcp);
        let done = self.limits.early(self.dialer.connect_timeout, handshake).await;
        self.phases.tls = Some(started.elapsed());
        match done {
            Ok(Ok(tls)) => {
                let certificate = tls.get_ref().1.peer_certificates().and_then(<[_]>::first);
                self.phases.certificate_ends = certificate.and_then(|der| certificate::not_after(der));
                Ok(Stream::tls(tls))
            }
            Ok(Err(error)) => Err(classify::tls(&error, self.server.tls == provider::Tls::Implicit, self.link)),
            Err(how) => Err(classify::lost(Step::Tls, &how, false, self.link)),
        }
    }

    async fn greet(&mut self, mut stream: Stream) -> Result<(Stream, Capabilities), Failure> {
        self.expect_positive(&mut stream, Step::Greeting).await?;
        let capabilities = self.hello(&mut stream).await?;
        Ok((stream, capabilities))
    }

    async fn hello(&mut self, stream: &mut Stream) -> Result<Capabilities, Failure> {
        let line = format!("EHLO {}\r\n", self.helo_name);
        self.say(stream, line, Step::Hello).await?;
        let reply = self.expect_positive(stream, Step::Hello).await?;
        Ok(Capabilities::parse(&reply))
    }

    async fn start_tls(
        &mut self,
        mut stream: Stream,
        before: &Capabilities,
    ) -> Result<(Stream, Capabilities), Failure> {
        if !before.starttls {
            return Err(classify::starttls_missing(self.link));
        }
        self.say(&mut stream, "STARTTLS\r\n".to_owned(), Step::StartTls).await?;
        self.expect_positive(&mut stream, Step::StartTls).await?;
        let tcp = stream.into_plain().ok_or_else(|| classify::tls_injection(self.link))?;
        let mut stream = self.handshake(tcp).await?;
        // What was said before TLS counts for nothing (RFC 3207 section 4.2).
        let capabilities = self.hello(&mut stream).await?;
        Ok((stream, capabilities))
    }

    async fn log_in(&mut self, mut stream: Stream, capabilities: Capabilities) -> Result<Session, Failure> {
        let Some(entry) = self.dialer.entry.as_ref() else { return Ok(Session { stream, capabilities }) };
        let offered = &capabilities.auth;
        if !sasl::is_possible(entry, offered) {
            return Err(classify::no_mechanism(offered, self.link));
        }
        self.token = self.token(entry).await?;
        let login = Login::new(entry, self.shown(entry), offered);
        let login = login.ok_or_else(|| classify::no_mechanism(offered, self.link))?;
        let started = Instant::now();
        let result = self.authenticate(&mut stream, login).await;
        self.phases.login = Some(started.elapsed());
        self.phases.login_result = Some(LoginResult::of(&result));
        result.map(|()| Session { stream, capabilities })
    }

    /// A token, where that is what is shown.
    async fn token(&self, entry: &Entry) -> Result<Option<AccessToken>, Failure> {
        let Some(tokens) = entry.tokens() else { return Ok(None) };
        let started = Instant::now();
        match self.limits.early(Duration::MAX, tokens.get()).await {
            Ok(Ok(token)) => Ok(Some(token)),
            Ok(Err(trouble)) => Err(classify::token::none(&trouble, self.link)),
            Err(Lost::Timeout(_)) => Err(classify::token::late(started.elapsed(), self.link)),
            Err(how) => Err(classify::lost(Step::Auth, &how, false, self.link)),
        }
    }

    fn shown<'s>(&'s self, entry: &'s Entry) -> Shown<'s> {
        match (&entry.key, &self.token) {
            (Key::Password(secret), _) => Shown::Password(secret),
            (Key::Tokens(_), Some(token)) => Shown::Token(&token.secret, self.server),
            (Key::Tokens(_), None) => Shown::Nothing,
        }
    }

    async fn authenticate(&mut self, stream: &mut Stream, mut login: Login) -> Result<(), Failure> {
        let (mut refused, mut why) = (false, None);
        while let Some(line) = login.next_line() {
            self.say(stream, line, Step::Auth).await?;
            let reply = match self.hear(stream, Step::Auth).await {
                Ok(reply) => reply,
                // It said why, and left without a reply.
                Err(_) if refused => RawReply { code: 334, lines: Vec::new() },
                Err(failure) => return Err(failure),
            };
            match reply.code {
                235 => return Ok(()),
                334 if login.is_refused_by_challenge() => (refused, why) = (true, sasl::reason(&reply.lines)),
                334 if !reply.lines.is_empty() => {}
                _ => return Err(self.not_let_in(reply, why.as_deref())),
            }
        }
        Err(classify::endless_login(self.link))
    }

    fn not_let_in(&self, reply: RawReply, why: Option<&str>) -> Failure {
        match &self.token {
            Some(token) => classify::token::not_taken(reply.into_reply(), why, token, self.link),
            None => classify::refused(Step::Auth, reply.into_reply(), self.link),
        }
    }

    async fn say(&self, stream: &mut Stream, line: String, step: Step) -> Result<(), Failure> {
        let write = stream.write(Outgoing::commands(line.into()));
        match self.limits.early(self.dialer.reply_timeout, write).await {
            Ok(Ok(())) => Ok(()),
            // A server that refuses and closes at once leaves its reason behind, to be read next.
            Ok(Err(_)) => Ok(()),
            Err(how) => Err(classify::lost(step, &how, false, self.link)),
        }
    }

    async fn hear(&self, stream: &mut Stream, step: Step) -> Result<RawReply, Failure> {
        let heard = self.limits.early(self.dialer.reply_timeout, stream.read()).await;
        heard.and_then(|reply| reply).map_err(|how| match (how, step) {
            // A certificate that the server refuses to use, say, arrives as an alert after the handshake.
            (Lost::Io(error), Step::Hello)
                if error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<rustls::Error>) =>
            {
                classify::tls(&error, self.server.tls == provider::Tls::Implicit, self.link)
            }
            (how, step) => classify::lost(step, &how, false, self.link),
        })
    }

    async fn expect_positive(&self, stream: &mut Stream, step: Step) -> Result<RawReply, Failure> {
        let reply = self.hear(stream, step).await?;
        if (200..300).contains(&reply.code) {
            return Ok(reply);
        }
        Err(classify::refused(step, reply.into_reply(), self.link))
    }
}

/// The address that we come from, in brackets (RFC 5321 section 4.1.3).
fn address_literal(tcp: &TcpStream) -> String {
    match tcp.local_addr().map(|address| address.ip().to_canonical()) {
        Ok(IpAddr::V6(ip)) => format!("[IPv6:{ip}]"),
        Ok(IpAddr::V4(ip)) => format!("[{ip}]"),
        Err(_) => "[127.0.0.1]".to_owned(),
    }
}

fn timed_out(limit: Duration) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {:.1} s", limit.as_secs_f64()))
}
