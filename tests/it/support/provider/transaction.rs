//! From MAIL to the answer to the content.

use std::time::Instant;

use bytes::BytesMut;

use super::action::Action;
use super::content::{Collector, Unstuffer};
use super::ledger::{Content, Fate};
use super::path::Path;
use super::script::{Keep, Step, WithoutRecipients};
use super::session::Session;
use super::wire::Turn;

/// What MAIL began.
#[derive(Debug)]
pub(super) struct Transaction {
    from: Path,
    pub(super) recipients: Vec<String>,
    content: Option<Collector>,
    chunked: bool,
    /// Bytes of content on the wire so far, for the content mark.
    seen: usize,
    mark_passed: bool,
    /// A reply was given in the middle: there will be none at the end.
    answered: bool,
}

impl Transaction {
    pub(super) fn new(from: Path) -> Self {
        let recipients = Vec::new();
        Self { from, recipients, content: None, chunked: false, seen: 0, mark_passed: false, answered: false }
    }

    pub(super) fn has_begun_content(&self) -> bool {
        self.content.is_some()
    }

    fn begin_content(&mut self, keep: Keep) {
        self.content.get_or_insert_with(|| Collector::new(keep));
    }

    fn collector(&mut self) -> &mut Collector {
        self.content.as_mut().expect("content was begun")
    }

    pub(super) fn into_content(self, connection: usize, flight: usize, user: Option<String>) -> Content {
        let collector = self.content.unwrap_or_else(|| Collector::new(Keep::Everything));
        Content {
            connection,
            at: Instant::now(),
            sender: self.from.address,
            parameters: self.from.parameters,
            recipients: self.recipients,
            length: collector.length,
            digest: collector.digest(),
            message_id: collector.message_id(),
            bytes: collector.into_kept(),
            chunked: self.chunked,
            flight,
            user,
        }
    }
}

impl Session {
    // === DATA ===

    pub(super) async fn data(&mut self) -> Turn {
        let good = match self.judge_content() {
            Some(refusal) if !self.takes_any_content() => refusal,
            Some(_) | None => "354 End data with <CR><LF>.<CR><LF>\r\n",
        };
        if !self.act(Step::Data, good).await? {
            return Ok(());
        }
        self.flush().await?;
        // Where nobody is to get it, the content still has to be read.
        self.transaction.get_or_insert_with(|| Transaction::new(Path::default()));
        self.receive_dotted().await?;
        self.finish().await
    }

    /// What is wrong with content now.
    fn judge_content(&self) -> Option<&'static str> {
        match &self.transaction {
            None => Some("503 5.5.1 Error: need MAIL and RCPT\r\n"),
            Some(transaction) if transaction.recipients.is_empty() => Some("554 5.5.1 Error: no valid recipients\r\n"),
            Some(transaction) if transaction.chunked => Some("503 5.5.1 Error: DATA after BDAT\r\n"),
            Some(_) => None,
        }
    }

    fn takes_any_content(&self) -> bool {
        self.running.script.without_recipients == WithoutRecipients::TakeContent
    }

    async fn receive_dotted(&mut self) -> Turn {
        let keep = self.running.script.keep;
        let (mut unstuffer, mut work) = (Unstuffer::new(), BytesMut::new());
        self.with(|transaction| transaction.begin_content(keep));
        loop {
            let piece = self.next_piece(usize::MAX).await?;
            work.unsplit(piece);
            if self.with(|transaction| unstuffer.take(&mut work, transaction.collector())) {
                break;
            }
        }
        // What came behind the end is the next command.
        work.extend_from_slice(&self.wire.input);
        self.wire.input = work;
        Ok(())
    }

    // === BDAT ===

    pub(super) async fn bdat(&mut self, arguments: &str) -> Turn {
        let (size, last) = match arguments.split_once(' ') {
            None => (arguments.parse::<usize>(), false),
            Some((size, last)) => (size.parse(), last.eq_ignore_ascii_case("LAST")),
        };
        if !self.running.script.offers("CHUNKING") {
            // Nobody here knows how to read a chunk: its bytes are commands.
            return self.say(b"502 5.5.1 Error: command not implemented\r\n").await;
        }
        let Ok(size) = size else { return self.say(b"501 5.5.4 Syntax: BDAT size [LAST]\r\n").await };
        if let Some(transaction) = &mut self.transaction {
            transaction.chunked = true;
        }
        match self.judge_chunk() {
            Some(refusal) => self.refuse_chunk(size, refusal).await,
            None => self.take_chunk(size, last).await,
        }
    }

    fn judge_chunk(&self) -> Option<&'static str> {
        match &self.transaction {
            None => Some("503 5.5.1 Error: need MAIL and RCPT\r\n"),
            Some(transaction) if transaction.recipients.is_empty() => Some("554 5.5.1 Error: no valid recipients\r\n"),
            Some(_) => None,
        }
    }

    async fn refuse_chunk(&mut self, size: usize, refusal: &str) -> Turn {
        if self.running.script.without_recipients != WithoutRecipients::LeaveChunk {
            let mut left = size;
            while left > 0 {
                left -= self.raw_piece(left).await?.len();
            }
        }
        self.say(refusal.as_bytes()).await
    }

    async fn take_chunk(&mut self, size: usize, last: bool) -> Turn {
        let keep = self.running.script.keep;
        self.with(|transaction| transaction.begin_content(keep));
        let mut left = size;
        while left > 0 {
            let piece = self.next_piece(left).await?;
            left -= piece.len();
            self.with(|transaction| transaction.collector().add(&piece));
        }
        if last {
            return self.finish().await;
        }
        if !self.act(Step::Chunk, &format!("250 2.0.0 {size} octets received\r\n")).await? {
            self.abandon();
            self.mail_refused = true;
        }
        Ok(())
    }

    // === Both ===

    /// The next bytes of content, after whatever the script wants at the content mark.
    async fn next_piece(&mut self, most: usize) -> Turn<BytesMut> {
        let mark = self.running.script.content_mark;
        let (seen, passed) = self.with(|transaction| (transaction.seen, transaction.mark_passed));
        if !passed && seen >= mark {
            self.with(|transaction| transaction.mark_passed = true);
            self.interrupt().await?;
        }
        let most = if seen < mark { most.min(mark - seen) } else { most };
        let piece = self.raw_piece(most).await?;
        self.with(|transaction| transaction.seen += piece.len());
        Ok(piece)
    }

    async fn interrupt(&mut self) -> Turn {
        let Some(action) = self.action(Step::Content) else { return Ok(()) };
        self.perform(&action, b"").await?;
        self.flush().await?;
        self.with(|transaction| transaction.answered = !action.words(b"").is_empty());
        Ok(())
    }

    async fn raw_piece(&mut self, most: usize) -> Turn<BytesMut> {
        if self.wire.input.is_empty() {
            self.flush().await?;
            match self.running.script.read_rate {
                Some(rate) => self.wire.sip(rate.min(most.saturating_mul(20))).await?,
                None => self.wire.read(usize::MAX).await?,
            }
            if !self.is_chunked() {
                self.wire.begin_flight().await?;
            }
        }
        let size = most.min(self.wire.input.len());
        Ok(self.wire.input.split_to(size))
    }

    /// The bytes of a chunk follow their command without waiting, whatever was written in between.
    fn is_chunked(&self) -> bool {
        self.transaction.as_ref().is_none_or(|transaction| transaction.chunked)
    }

    fn with<T>(&mut self, what: impl FnOnce(&mut Transaction) -> T) -> T {
        what(self.transaction.as_mut().expect("content belongs to a transaction"))
    }

    /// The content is complete: books it, then answers.
    async fn finish(&mut self) -> Turn {
        let action = self.action(Step::Final).unwrap_or_default();
        let good = self.judge_whole();
        if !self.running.script.commit_delay.is_zero() {
            self.flush().await?;
            tokio::time::sleep(self.running.script.commit_delay).await;
        }
        let answered = self.book(&action, &good);
        if answered { Ok(()) } else { self.perform(&action, good.as_bytes()).await.map(|_| ()) }
    }

    fn judge_whole(&mut self) -> String {
        let limit = self.running.script.size_limit();
        let id = format!("{:04X}{:04X}", self.number, self.messages);
        self.with(|transaction| match limit {
            _ if transaction.recipients.is_empty() => "554 5.5.1 Error: no valid recipients\r\n".into(),
            Some(limit) if transaction.content.as_ref().is_some_and(|content| content.length > limit) => {
                "552 5.3.4 Error: message file too big\r\n".into()
            }
            _ => format!("250 2.0.0 Ok: queued as {id}\r\n"),
        })
    }

    /// Enters the content into the ledger; whether its answer was given before.
    fn book(&mut self, action: &Action, good: &str) -> bool {
        let Some(transaction) = self.transaction.take() else { return false };
        let answered = transaction.answered;
        let taken = action.succeeds(good.as_bytes()) && !answered && !transaction.recipients.is_empty();
        self.messages += 1;
        let content = transaction.into_content(self.number, self.wire.flights, self.user.clone());
        self.shared.ledger.content(content, if taken { Fate::Held } else { Fate::Refused });
        answered
    }
}
