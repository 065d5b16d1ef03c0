//! One connection from its greeting to its end.

mod content;

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep};

use self::content::Incoming;
use super::access::{self, Channel};
use super::command::{self, Command, TOO_LONG};
use super::dialogue::{Dialogue, MALFORMED, Next, Step};
use super::reply::Reply;
use super::wire::{LONGEST_LINE, Stop, TooLong, Wire};
use super::{Server, answer};
use crate::net::tls::link::Link;
use crate::outcome::EnhancedCode;

/// What of one line is passed over; who sends more is no mail client.
const MOST_SKIPPED: usize = 1 << 20;

/// After a refused login; it holds up nobody but the client that is guessing.
const PAUSE: Duration = Duration::from_secs(1);
/// The first two bytes of a TLS connection (RFC 8446 section 5.1): a handshake of TLS 1.
const CLIENT_HELLO: [u8; 2] = [0x16, 3];

const EARLY: Reply = Reply::new(421, EnhancedCode(4, 7, 0), "You spoke before the greeting");
const IDLE: Reply = Reply::new(421, EnhancedCode(4, 4, 2), "No command came for too long; CRLF ends a command");
const LASTING: Reply =
    Reply::new(421, EnhancedCode(4, 4, 2), "The connection has lasted long enough; open another one");
const NO_TLS_HERE: Reply = Reply::new(421, EnhancedCode(4, 7, 0), "TLS begins with STARTTLS here, or on another port");
const UNENCRYPTED: Reply = Reply::new(421, EnhancedCode(4, 7, 0), "Something came behind STARTTLS before TLS");
const ENDLESS: Reply = Reply::new(421, EnhancedCode(4, 7, 0), "The line does not end");
const UNASKED: Reply = Reply::new(421, EnhancedCode(4, 7, 0), "");

/// How a session ends.
#[derive(Debug)]
enum End {
    /// There is nobody to talk to.
    Gone,
    /// With a last reply.
    With(Reply),
}

impl End {
    fn of_wait(stop: Stop, late: Reply) -> Self {
        match stop {
            Stop::Gone => Self::Gone,
            Stop::Late => Self::With(late),
            Stop::Phase => Self::With(answer::DRAINING),
        }
    }
}

/// One client's session.
#[derive(Debug)]
pub struct Session<S> {
    server: Arc<Server>,
    peer: IpAddr,
    wire: Wire<S>,
    dialogue: Dialogue,
    /// A message of which some chunks have come.
    incoming: Option<Box<Incoming>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    /// A session with a client that may be served.
    #[must_use]
    pub fn new(server: Arc<Server>, peer: IpAddr, link: Link<S>) -> Self {
        let wire = Wire::new(link, server.relay.lifecycle().clone());
        let dialogue = Dialogue::new(Arc::clone(&server.rules));
        let mut session = Self { server, peer, wire, dialogue, incoming: None };
        session.begin_on_link();
        session
    }

    /// The conversation begins, or begins anew: this is what is known of the connection.
    fn begin_on_link(&mut self) {
        let link = self.wire.link();
        let (secure, certified) = (link.is_secure(), link.has_client_certificate());
        self.dialogue.begin_on(Channel { local: self.peer.is_loopback(), secure, certified });
    }

    /// Serves it to its end.
    pub async fn run(mut self) {
        let Err(end) = self.converse().await;
        match end {
            End::Gone => {}
            End::With(reply) => {
                self.wire.say(&reply);
                let in_mid_speech = !reply.is_positive() && !self.wire.is_draining();
                self.wire.close(in_mid_speech).await;
            }
        }
    }

    async fn converse(&mut self) -> Result<Infallible, End> {
        if self.wire.spoke_early().await {
            self.server.count(MALFORMED);
            self.expect_no_tls()?;
            return Err(End::With(EARLY));
        }
        self.wire.say(&self.dialogue.greeting());
        let idle = self.server.config.smtp_idle_timeout;
        let end = Instant::now() + self.server.config.smtp_connection_timeout;
        let mut deadline = end.min(Instant::now() + idle);
        loop {
            self.flush().await?;
            if Instant::now() >= end && self.incoming.is_none() {
                return Err(End::With(LASTING));
            }
            match self.incoming.take() {
                None => self.wire.fill_idle(deadline).await.map_err(|stop| End::of_wait(stop, IDLE))?,
                Some(mut incoming) => {
                    self.more(&mut incoming).await?;
                    self.incoming = Some(incoming);
                }
            }
            self.expect_no_tls()?;
            while self.step().await? {
                deadline = end.min(Instant::now() + idle);
            }
            if self.wire.input.skipped() > MOST_SKIPPED {
                return Err(End::With(ENDLESS));
            }
        }
    }

    /// Takes the next line and answers it; false where no line is complete.
    async fn step(&mut self) -> Result<bool, End> {
        if self.wire.is_full() {
            self.flush().await?;
        }
        let draining = self.wire.is_draining();
        let Some(line) = self.wire.input.line(self.longest_line()) else { return Ok(false) };
        if self.dialogue.is_in_login() {
            let step = self.dialogue.respond(line.ok());
            return self.follow(step, false).await.map(|()| true);
        }
        let command = line.map_err(|TooLong| TOO_LONG).and_then(command::parse);
        let is_data = command == Ok(Command::Data);
        if !self.server.rules.lmtp {
            self.dialogue.limit_recipients(self.server.relay.max_recipients());
        }
        let step = self.dialogue.take(command, draining);
        self.follow(step, is_data).await.map(|()| true)
    }

    fn longest_line(&self) -> usize {
        let input = &self.wire.input;
        let begins_so = || input.unread().get(..5).is_some_and(|start| start.eq_ignore_ascii_case(b"AUTH "));
        // What is left of a line whose beginning is gone begins no command.
        let is_auth = input.skipped() == 0 && begins_so();
        if self.dialogue.is_in_login() || is_auth { access::LONGEST_LINE } else { LONGEST_LINE }
    }

    /// Answers, and does what follows.
    async fn follow(&mut self, step: Step, is_data: bool) -> Result<(), End> {
        if let Some(reason) = step.refused {
            self.server.count(reason);
        }
        if step.is_by_a_rule() {
            tracing::info!(client = %self.peer, reply = step.reply.text(), "a rule refused a sender or a recipient");
        }
        if step.is_refused_login() {
            tracing::info!(client = %self.peer, "a login on the SMTP listener was refused");
            sleep(PAUSE).await;
        }
        match step.next {
            Next::Content(transaction) => self.content(*transaction, &step.reply).await?,
            Next::Command if is_data => self.refuse_content(step.reply)?,
            Next::Command => self.wire.say(&step.reply),
            Next::Chunk(chunk, first) => self.chunk(chunk, first, &step.reply).await?,
            Next::Swallow(size) => self.swallow(size, step.reply, 1).await?,
            Next::StartTls => self.start_tls(&step.reply).await?,
            Next::Close => return Err(End::With(step.reply)),
        }
        if !self.dialogue.is_in_chunks() {
            self.incoming = None;
        }
        Ok(())
    }

    /// What came in plain behind STARTTLS must not be taken for something said under TLS (CVE-2011-0411).
    async fn start_tls(&mut self, go_ahead: &Reply) -> Result<(), End> {
        if !self.wire.input.unread().is_empty() {
            self.server.count(MALFORMED);
            return Err(End::With(UNENCRYPTED));
        }
        self.wire.say(go_ahead);
        self.flush().await?;
        let server = Arc::clone(&self.server);
        // The dialogue offers it only where there is a certificate.
        let tls = server.tls.as_deref().ok_or(End::Gone)?;
        self.wire.secure(tls).await.map_err(|error| {
            server.note_failed_handshake(self.peer, &error);
            End::Gone
        })?;
        self.begin_on_link();
        Ok(())
    }

    /// Whoever begins TLS on a plain port waits for an answer that cannot come.
    fn expect_no_tls(&self) -> Result<(), End> {
        if !self.wire.input.unread().starts_with(&CLIENT_HELLO) {
            return Ok(());
        }
        tracing::warn!(
            client = %self.peer,
            "a client began TLS on the plain SMTP port: it should use STARTTLS, or the port of SIDEPOST_SMTPS_LISTEN"
        );
        Err(End::With(NO_TLS_HERE))
    }

    /// Says a reply, unless the connection ends with it.
    fn say(&mut self, reply: Reply) -> Result<(), End> {
        if reply.ends_connection() {
            return Err(End::With(reply));
        }
        self.wire.say(&reply);
        Ok(())
    }

    /// Refuses DATA. What came behind it in one go is content, and must not be taken for commands.
    fn refuse_content(&mut self, reply: Reply) -> Result<(), End> {
        if self.wire.input.unread().is_empty() {
            return self.say(reply);
        }
        let text = format!("Content came before DATA was answered, and DATA is refused: {}", reply.text());
        Err(End::With(UNASKED.with_text(text)))
    }

    async fn flush(&mut self) -> Result<(), End> {
        self.wire.flush().await.map_err(|_| End::Gone)
    }
}
