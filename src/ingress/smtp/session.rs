//! One connection from its greeting to its end.

mod content;

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use self::content::Incoming;
use super::command::{self, Command, TOO_LONG};
use super::dialogue::{Dialogue, MALFORMED, Next};
use super::reply::Reply;
use super::wire::{Stop, TooLong, Wire};
use super::{Server, answer};
use crate::outcome::EnhancedCode;

/// What of one line is passed over; who sends more is no mail client.
const MOST_SKIPPED: usize = 1 << 20;

const EARLY: Reply = Reply::new(421, EnhancedCode(4, 7, 0), "You spoke before the greeting");
const IDLE: Reply = Reply::new(421, EnhancedCode(4, 4, 2), "No command came for too long; CRLF ends a command");
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
    pub fn new(server: Arc<Server>, peer: IpAddr, stream: S) -> Self {
        let wire = Wire::new(stream, server.relay.lifecycle().clone());
        let dialogue = Dialogue::new(Arc::clone(&server.rules));
        Self { server, peer, wire, dialogue, incoming: None }
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
            return Err(End::With(EARLY));
        }
        self.wire.say(&self.dialogue.greeting());
        let idle = self.server.config.smtp_idle_timeout;
        let mut deadline = Instant::now() + idle;
        loop {
            self.flush().await?;
            match self.incoming.take() {
                None => self.wire.fill_idle(deadline).await.map_err(|stop| End::of_wait(stop, IDLE))?,
                Some(mut incoming) => {
                    self.more(&mut incoming).await?;
                    self.incoming = Some(incoming);
                }
            }
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
        if !self.server.rules.lmtp {
            self.dialogue.limit_recipients(self.server.relay.max_recipients());
        }
        let step = self.dialogue.take(command, draining);
        if let Some(reason) = step.refused {
            self.server.count(reason);
        }
        match step.next {
            Next::Content(transaction) => self.content(*transaction, &step.reply).await?,
            Next::Command if is_data => self.refuse_content(step.reply)?,
            Next::Command => self.wire.say(&step.reply),
            Next::Chunk(chunk, first) => self.chunk(chunk, first, &step.reply).await?,
            Next::Swallow(size) => self.swallow(size, step.reply, 1).await?,
            Next::Close => return Err(End::With(step.reply)),
        }
        if !self.dialogue.is_in_chunks() {
            self.incoming = None;
        }
        Ok(true)
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
