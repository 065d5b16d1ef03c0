//! A message's content: after DATA up to its dot, or in the chunks of BDAT, and what becomes of it.

use std::time::{Duration, SystemTime};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::super::command::Chunk;
use super::super::data::{Decoder, Spoiled};
use super::super::dialogue::{Hello, MALFORMED, Transaction};
use super::super::reply::Reply;
use super::super::wire::Stop;
use super::super::{Server, answer};
use super::{End, Session};
use crate::delivery::budget::Hold;
use crate::message::header::{self, Completed};
use crate::message::{Address, Content, Id, Submission};
use crate::outcome::{EnhancedCode, Refusal};

/// Room asked for where the client does not say how large the content is.
const FIRST_ROOM: usize = 16 * 1024;
/// Room is asked for in steps of this size as the content grows.
const ROOM_STEP: usize = 128 * 1024;
/// After this long without a byte, content that has hardly begun gives its room to others.
const STALL: Duration = Duration::from_secs(2);
/// Content that comes at this many bytes per second or more is never late.
const SLOWEST: u64 = 16 * 1024;

const SLOW: Reply = Reply::new(421, EnhancedCode(4, 4, 2), "The content took too long; nothing was sent");

/// A message whose content is coming.
#[derive(Debug)]
pub(super) struct Incoming {
    transaction: Transaction,
    decoder: Decoder,
    room: Room,
    /// When the content began, and how many bytes of it came.
    begun: Instant,
    received: usize,
}

impl Incoming {
    /// Makes room for so many bytes more.
    fn make_room(&mut self, server: &Server, more: usize) {
        if !self.decoder.is_spoiled()
            && let Err(why) = self.room.reach(server, self.decoder.kept() + more)
        {
            self.decoder.spoil(why);
        }
    }

    /// Bytes were taken. What is not kept needs no room.
    fn taken(&mut self, count: usize) {
        self.received += count;
        if self.decoder.is_spoiled() {
            self.room.hold = None;
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    // === DATA ===

    pub(super) async fn content(&mut self, transaction: Transaction, go_ahead: &Reply) -> Result<(), End> {
        let mut incoming = match self.begin(transaction, FIRST_ROOM as u64) {
            Ok(incoming) => incoming,
            Err(refusal) => return self.refuse_content(answer::refused(&refusal)),
        };
        self.wire.say(go_ahead);
        self.flush().await?;
        while !self.take_dotted(&mut incoming) {
            self.more(&mut incoming).await?;
        }
        let replies = self.replies_due(&incoming.transaction);
        self.finish(incoming, replies).await
    }

    /// Takes what has come; whether the content ended with it.
    fn take_dotted(&mut self, incoming: &mut Incoming) -> bool {
        let unread = self.wire.input.unread();
        incoming.make_room(&self.server, unread.len());
        let end = incoming.decoder.push(unread);
        let taken = end.unwrap_or(unread.len());
        incoming.taken(taken);
        self.wire.input.consume(taken);
        end.is_some()
    }

    // === BDAT ===

    /// Takes a chunk, and after the last one hands the message over. A chunk that fails ends the transaction
    /// (RFC 3030 section 2); those that the client has already sent behind it are passed over one by one.
    pub(super) async fn chunk(
        &mut self,
        chunk: Chunk,
        first: Option<Box<Transaction>>,
        taken: &Reply,
    ) -> Result<(), End> {
        let limit = self.server.rules.policy.max_message_bytes();
        let incoming = self.incoming.take();
        let transaction = first.as_deref().or_else(|| incoming.as_deref().map(|incoming| &incoming.transaction));
        let replies = if chunk.last { transaction.map_or(1, |of| self.replies_due(of)) } else { 1 };
        let received = incoming.as_ref().map_or(0, |incoming| incoming.received).min(limit);
        if chunk.size > (limit - received) as u64 {
            self.count_spoiled(Spoiled::TooLarge);
            return self.refuse_chunk(chunk.size, answer::spoiled(Spoiled::TooLarge, limit), replies).await;
        }
        let mut incoming = match (first, incoming) {
            (Some(transaction), _) => match self.begin(*transaction, chunk.size) {
                Ok(incoming) => Box::new(incoming),
                Err(refusal) => return self.refuse_chunk(chunk.size, answer::refused(&refusal), replies).await,
            },
            (None, Some(incoming)) => incoming,
            // The dialogue never asks for it.
            (None, None) => return self.refuse_chunk(chunk.size, answer::spoiled(Spoiled::NoRoom, 0), replies).await,
        };
        self.receive_chunk(&mut incoming, chunk.size).await?;
        if chunk.last || incoming.decoder.is_spoiled() {
            self.dialogue.abandon();
            return self.finish(*incoming, replies).await;
        }
        self.wire.say(taken);
        self.incoming = Some(incoming);
        Ok(())
    }

    async fn receive_chunk(&mut self, incoming: &mut Incoming, size: u64) -> Result<(), End> {
        let mut left = size;
        loop {
            left -= self.take_counted(incoming, left);
            if left == 0 {
                return Ok(());
            }
            self.flush().await?;
            self.more(incoming).await?;
        }
    }

    /// Takes what has come of a chunk; how many bytes that were.
    fn take_counted(&mut self, incoming: &mut Incoming, left: u64) -> u64 {
        let unread = self.wire.input.unread();
        let count = usize::try_from(left).map_or(unread.len(), |left| left.min(unread.len()));
        incoming.make_room(&self.server, count);
        incoming.decoder.push_counted(&unread[..count]);
        incoming.taken(count);
        self.wire.input.consume(count);
        count as u64
    }

    async fn refuse_chunk(&mut self, size: u64, reply: Reply, replies: usize) -> Result<(), End> {
        self.dialogue.abandon();
        self.swallow(size, reply, replies).await
    }

    /// Passes over the octets of a chunk that nobody wants, which would be taken for commands otherwise. Where that are
    /// more than two messages may have, the connection ends instead: the size is only what somebody claims.
    pub(super) async fn swallow(&mut self, size: u64, reply: Reply, replies: usize) -> Result<(), End> {
        if size > 2 * self.server.rules.policy.max_message_bytes() as u64 {
            return Err(End::With(reply));
        }
        let (begun, mut left) = (Instant::now(), size);
        loop {
            let count = usize::try_from(left).unwrap_or(usize::MAX).min(self.wire.input.unread().len());
            self.wire.input.consume(count);
            left -= count as u64;
            if left == 0 {
                return self.say_to_each(&reply, replies);
            }
            self.flush().await?;
            let deadline = self.content_deadline(begun, size - left);
            self.wire.fill(deadline).await.map_err(|stop| End::of_wait(stop, SLOW))?;
        }
    }

    // === Both ===

    /// Begins to take content of which so many bytes are expected, if there is room for them.
    fn begin(&mut self, transaction: Transaction, expected: u64) -> Result<Incoming, Refusal> {
        let limit = self.server.rules.policy.max_message_bytes();
        let bytes = usize::try_from(transaction.size.unwrap_or(expected)).unwrap_or(limit).min(limit);
        let hold = self.server.relay.reserve(self.server.door, bytes)?;
        Ok(Incoming {
            transaction,
            decoder: Decoder::new(self.server.config.bare_newline, limit),
            room: Room { hold: Some(hold), bytes },
            begun: Instant::now(),
            received: 0,
        })
    }

    fn content_deadline(&self, begun: Instant, received: u64) -> Instant {
        let counted = received.min(self.server.rules.policy.max_message_bytes() as u64);
        begun + self.server.config.smtp_data_timeout + Duration::from_secs(counted / SLOWEST)
    }

    /// Waits for more content, or for the command of the next chunk.
    pub(super) async fn more(&mut self, incoming: &mut Incoming) -> Result<(), End> {
        let deadline = self.content_deadline(incoming.begun, incoming.received as u64);
        let stalled = Instant::now() + STALL;
        if incoming.room.hold.is_some() && incoming.decoder.kept() <= FIRST_ROOM && stalled < deadline {
            match self.wire.fill(stalled).await {
                Err(Stop::Late) => incoming.room.hold = None,
                other => return other.map_err(|stop| End::of_wait(stop, SLOW)),
            }
        }
        let filled = match incoming.room.hold {
            Some(_) => self.wire.fill(deadline).await,
            None => self.wire.fill_stalled(deadline).await,
        };
        filled.map_err(|stop| End::of_wait(stop, SLOW))
    }

    /// The content is complete: it is handed over, or refused for what it is. `replies` is how many are due.
    async fn finish(&mut self, incoming: Incoming, replies: usize) -> Result<(), End> {
        let Incoming { transaction, decoder, room, .. } = incoming;
        let content = decoder.finish().and_then(|content| Ok((content, room.hold.ok_or(Spoiled::NoRoom)?)));
        match content {
            Ok((content, hold)) => self.submit(transaction, content, hold).await,
            Err(why) => {
                self.count_spoiled(why);
                self.say_to_each(&answer::spoiled(why, self.server.rules.policy.max_message_bytes()), replies)
            }
        }
    }

    /// How many replies content deserves: in LMTP, one for each recipient.
    fn replies_due(&self, transaction: &Transaction) -> usize {
        if self.server.rules.lmtp { transaction.envelope.recipients().len() } else { 1 }
    }

    fn say_to_each(&mut self, reply: &Reply, times: usize) -> Result<(), End> {
        (0..times).try_for_each(|_| self.say(reply.clone()))
    }

    /// Hands the message over, waits for what becomes of it, and tells.
    async fn submit(&mut self, transaction: Transaction, content: Content, mut hold: Hold) -> Result<(), End> {
        let (id, now) = (Id::new(), SystemTime::now());
        let trace = self.trace(&transaction, id, now);
        let domain = domain_for_id(&transaction).unwrap_or(&self.server.rules.hostname);
        let Completed { content, message_id, findings } = header::complete(content, Some(&trace), domain, now);
        // Hardly ever more than is held, and then by our own header only.
        let _ = hold.resize(content.len());
        let recipients = transaction.envelope.recipients().to_vec();
        // Many say SMTPUTF8 in case of need; to ask the provider for it without a need would only make it refuse.
        let utf8_header = transaction.utf8 && header::is_in_utf8(&content);
        let envelope = transaction.envelope.with_utf8_header(utf8_header);
        let (ingress, all_or_nothing) = (self.server.door, !self.server.rules.lmtp);
        let submission = Submission { id, ingress, envelope, content, message_id, findings, all_or_nothing };
        self.wire.release();
        let answer = self.server.relay.submit(submission, hold).await;
        if all_or_nothing {
            return self.say(answer::answered(&answer, &recipients));
        }
        answer.recipients.iter().try_for_each(|verdict| self.say(answer::about(verdict, &answer)))
    }

    /// The Received header (RFC 5321 section 4.4; the protocol's names are RFC 3848's and RFC 6531's).
    fn trace(&self, transaction: &Transaction, id: Id, now: SystemTime) -> String {
        let helo = self.dialogue.hello().map_or("unknown", |Hello { name, .. }| name);
        let protocol = self.dialogue.protocol(transaction.utf8);
        let us = (self.server.rules.hostname.as_str(), self.server.relay.policy().mark());
        header::received(helo, self.peer, us, &protocol, id, now)
    }

    fn count_spoiled(&self, why: Spoiled) {
        match why {
            Spoiled::TooLarge => self.server.count(Refusal::TooLarge { limit: 0 }.label()),
            Spoiled::BareLineEnd | Spoiled::Nul => self.server.count(MALFORMED),
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
            .reserve(server.door, wanted)
            .map_err(|refusal| if refusal == Refusal::Draining { Spoiled::Draining } else { Spoiled::NoRoom })?;
        *self = Self { hold: Some(hold), bytes: wanted };
        Ok(())
    }
}
