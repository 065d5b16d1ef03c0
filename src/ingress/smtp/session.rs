//! One connection from its greeting to its end.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::command::{self, Command, TOO_LONG};
use super::data::{Decoder, Spoiled};
use super::dialogue::{Dialogue, Hello, MALFORMED, Next, Transaction};
use super::reply::Reply;
use super::wire::{Stop, TooLong, Wire};
use super::{Server, answer};
use crate::delivery::budget::Hold;
use crate::message::{Address, Content, Id, Ingress, Submission, header};
use crate::outcome::{EnhancedCode, Refusal};

/// Room asked for where the client does not say how large the content is.
const FIRST_ROOM: usize = 16 * 1024;
/// Room is asked for in steps of this size as the content grows.
const ROOM_STEP: usize = 128 * 1024;
/// After this long without a byte, content that has hardly begun gives its room to others.
const STALL: Duration = Duration::from_secs(2);
/// Content that comes at this many bytes per second or more is never late.
const SLOWEST: u64 = 16 * 1024;
/// What of one line is passed over; who sends more is no mail client.
const MOST_SKIPPED: usize = 1 << 20;

const EARLY: Reply = Reply::new(421, EnhancedCode(4, 7, 0), "You spoke before the greeting");
const IDLE: Reply = Reply::new(421, EnhancedCode(4, 4, 2), "No command came for too long; CRLF ends a command");
const SLOW: Reply = Reply::new(421, EnhancedCode(4, 4, 2), "The content took too long; nothing was sent");
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
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    /// A session with a client that may be served.
    #[must_use]
    pub fn new(server: Arc<Server>, peer: IpAddr, stream: S) -> Self {
        let wire = Wire::new(stream, server.relay.lifecycle().clone());
        let dialogue = Dialogue::new(Arc::clone(&server.rules));
        Self { server, peer, wire, dialogue }
    }

    /// Serves it to its end.
    pub async fn run(mut self) {
        let Err(end) = self.converse().await;
        match end {
            End::Gone => {}
            End::With(reply) => {
                self.wire.say(&reply);
                let in_mid_speech = reply.ends_connection() && !self.wire.is_draining();
                self.wire.close(in_mid_speech).await;
            }
        }
    }

    async fn converse(&mut self) -> Result<Infallible, End> {
        if self.wire.spoke_early().await {
            self.server.count(MALFORMED);
            return Err(End::With(EARLY));
        }
        self.wire.say(&self.dialogue.greeting());
        let idle = self.server.config.smtp_idle_timeout;
        let mut deadline = Instant::now() + idle;
        loop {
            self.flush().await?;
            self.wire.fill_idle(deadline).await.map_err(|stop| End::of_wait(stop, IDLE))?;
            while self.step().await? {
                deadline = Instant::now() + idle;
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
        let Some(line) = self.wire.input.line() else { return Ok(false) };
        let command = line.map_err(|TooLong| TOO_LONG).and_then(command::parse);
        let is_data = command == Ok(Command::Data);
        let step = self.dialogue.take(command, draining);
        if let Some(reason) = step.refused {
            self.server.count(reason);
        }
        match step.next {
            Next::Content(transaction) => self.content(*transaction, &step.reply).await?,
            Next::Command if is_data => self.refuse_content(step.reply)?,
            Next::Command => self.wire.say(&step.reply),
            Next::Close => return Err(End::With(step.reply)),
        }
        Ok(true)
    }

    async fn content(&mut self, transaction: Transaction, go_ahead: &Reply) -> Result<(), End> {
        let limit = self.server.rules.max_message_bytes;
        let announced = transaction.size.and_then(|size| usize::try_from(size).ok());
        let bytes = announced.unwrap_or(FIRST_ROOM).min(limit);
        let room = match self.server.relay.reserve(Ingress::Smtp, bytes) {
            Ok(hold) => Room { hold: Some(hold), bytes },
            Err(refusal) => return self.refuse_content(answer::refused(&refusal)),
        };
        self.wire.say(go_ahead);
        self.flush().await?;
        let reply = match self.receive(room).await? {
            Ok((content, hold)) => self.submit(transaction, content, hold).await,
            Err(why) => answer::spoiled(why, limit),
        };
        self.say(reply)
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

    /// Reads content to its end.
    async fn receive(&mut self, mut room: Room) -> Result<Result<(Content, Hold), Spoiled>, End> {
        let limit = self.server.rules.max_message_bytes;
        let (begun, mut received) = (Instant::now(), 0);
        let mut decoder = Decoder::new(self.server.config.bare_newline, limit);
        loop {
            let (taken, ended) = self.take(&mut decoder, &mut room);
            if ended {
                break;
            }
            received += taken;
            let grace = Duration::from_secs(received.min(limit) as u64 / SLOWEST);
            self.more(&mut room, decoder.kept(), begun + self.server.config.smtp_data_timeout + grace).await?;
        }
        let content = decoder.finish().and_then(|content| Ok((content, room.hold.ok_or(Spoiled::NoRoom)?)));
        Ok(content.inspect_err(|why| self.count_spoiled(*why)))
    }

    /// Takes what has come: how many bytes, and whether the content ended with them.
    fn take(&mut self, decoder: &mut Decoder, room: &mut Room) -> (usize, bool) {
        let unread = self.wire.input.unread();
        if !decoder.is_spoiled()
            && let Err(why) = room.reach(&self.server, decoder.kept() + unread.len())
        {
            decoder.spoil(why);
        }
        let end = decoder.push(unread);
        if decoder.is_spoiled() {
            room.hold = None;
        }
        let taken = end.unwrap_or(unread.len());
        self.wire.input.consume(taken);
        (taken, end.is_some())
    }

    /// Waits for more content.
    async fn more(&mut self, room: &mut Room, kept: usize, deadline: Instant) -> Result<(), End> {
        let stalled = Instant::now() + STALL;
        if room.hold.is_some() && kept <= FIRST_ROOM && stalled < deadline {
            match self.wire.fill(stalled).await {
                Err(Stop::Late) => {
                    room.hold = None;
                    self.wire.release();
                }
                other => return other.map_err(|stop| End::of_wait(stop, SLOW)),
            }
        }
        self.wire.fill(deadline).await.map_err(|stop| End::of_wait(stop, SLOW))
    }

    /// Hands the message over, and waits for what becomes of it.
    async fn submit(&mut self, transaction: Transaction, content: Content, mut hold: Hold) -> Reply {
        let (id, now) = (Id::new(), SystemTime::now());
        let trace = self.trace(&transaction, id, now);
        let domain = domain_for_id(&transaction).unwrap_or(&self.server.rules.hostname);
        let (content, message_id) = header::complete(content, Some(&trace), domain, now);
        // Hardly ever more than is held, and then by our own header only.
        let _ = hold.resize(content.len());
        let recipients = transaction.envelope.recipients().to_vec();
        let envelope = transaction.envelope;
        let ingress = Ingress::Smtp;
        let submission = Submission { id, ingress, envelope, content, message_id, all_or_nothing: true };
        self.wire.release();
        let answer = self.server.relay.submit(submission, hold).await;
        answer::answered(&answer, &recipients)
    }

    /// The Received header (RFC 5321 section 4.4; the protocol's names are RFC 3848's and RFC 6531's).
    fn trace(&self, transaction: &Transaction, id: Id, now: SystemTime) -> String {
        let (helo, extended) =
            self.dialogue.hello().map_or(("unknown", false), |Hello { name, extended }| (name, *extended));
        let protocol = match (transaction.utf8, extended) {
            (true, _) => "UTF8SMTP",
            (false, true) => "ESMTP",
            (false, false) => "SMTP",
        };
        header::received(helo, self.peer, &self.server.rules.hostname, protocol, id, now)
    }

    async fn flush(&mut self) -> Result<(), End> {
        self.wire.flush().await.map_err(|_| End::Gone)
    }

    fn count_spoiled(&self, why: Spoiled) {
        match why {
            Spoiled::TooLarge => self.server.count(Refusal::TooLarge { limit: 0 }.label()),
            Spoiled::BareLineEnd => self.server.count(MALFORMED),
            // Counted where the room was asked for.
            Spoiled::NoRoom | Spoiled::Draining => {}
        }
    }
}

/// The sender's domain, unless there is none or it is an address literal.
fn domain_for_id(transaction: &Transaction) -> Option<&str> {
    transaction.envelope.sender().map(Address::domain).filter(|domain| !domain.starts_with('['))
}

/// Room in the budget for the content that is being read.
#[derive(Debug)]
struct Room {
    hold: Option<Hold>,
    bytes: usize,
}

impl Room {
    /// Makes it enough for so many bytes, ahead of the need.
    fn reach(&mut self, server: &Server, wanted: usize) -> Result<(), Spoiled> {
        if let Some(hold) = &mut self.hold {
            if wanted > self.bytes {
                let bytes = wanted.next_multiple_of(ROOM_STEP);
                hold.resize(bytes).map_err(|_| {
                    server.count(Refusal::Overloaded.label());
                    Spoiled::NoRoom
                })?;
                self.bytes = bytes;
            }
            return Ok(());
        }
        let hold = server
            .relay
            .reserve(Ingress::Smtp, wanted)
            .map_err(|refusal| if refusal == Refusal::Draining { Spoiled::Draining } else { Spoiled::NoRoom })?;
        *self = Self { hold: Some(hold), bytes: wanted };
        Ok(())
    }
}
