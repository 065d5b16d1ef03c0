//! One message through an open session, without sockets: what to write next, which reply is due, what it means.
//!
//! With PIPELINING, everything that does not depend on an answer goes out in one flight. The content goes with it
//! (CHUNKING) or directly after it (DATA) unless all-or-nothing was asked for several recipients: then their answers
//! are waited for, since content once sent cannot be taken back.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt::Write as _;

use super::capabilities::Capabilities;
use super::classify::{self, Lost};
use super::outgoing::{Framing, Outgoing};
use super::reply::Malformed;
use crate::message::dsn::Dsn;
use crate::message::{Address, Message};
use crate::outcome::{Class, Failure, Receipt, Reply, Step, Verdict};
use crate::provider::Link;

/// Larger content does not go out in the flight of the envelope: a refused sender would have cost its transfer,
/// and the one round trip saved is small beside it.
const LARGEST_EARLY_CHUNK: usize = 512 * 1024;

/// What to do now.
#[derive(Debug)]
pub enum Next {
    /// Write these bytes; `step` is what they belong to, for the time limit.
    Write(Outgoing, Step),
    /// Wait for a reply.
    Read,
    /// The transaction is over.
    Finished(Finish),
}

/// How it ended, and what the connection is good for now.
#[derive(Debug)]
pub struct Finish {
    /// What became of the message.
    pub result: Result<Receipt, Failure>,
    /// What may be done with the connection.
    pub connection: After,
}

/// What a reply that is waited for would decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// Nothing lasting: another attempt could ask the same.
    Reply,
    /// The fate of content that is out: giving up makes it unknown.
    Verdict,
    /// Nothing more: the other side has stopped listening.
    LastWords,
}

/// What a connection is good for after a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// The next transaction.
    Reuse,
    /// The next transaction, if RSET comes first: an envelope was left open.
    ReuseAfterReset,
    /// Nothing.
    Close,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Command {
    Reset,
    Mail,
    /// By place in the envelope.
    Recipient(usize),
    Data,
    /// The content as one chunk.
    Chunk,
    /// The content after a 354, dot and all.
    Content,
    /// A lone dot, to end a DATA that nobody wanted; its answer does not matter.
    LoneDot,
}

/// One transaction in progress.
#[derive(Debug)]
pub struct Transaction<'a> {
    message: &'a Message,
    capabilities: &'a Capabilities,
    link: &'a Link,
    /// To be sent.
    queue: VecDeque<Command>,
    /// Sent, not answered.
    due: VecDeque<Command>,
    /// What was said about each recipient; `Accepted` is for now only the answer to RCPT.
    recipients: Vec<(usize, Verdict)>,
    /// How many replies came.
    replies: usize,
    mail_accepted: bool,
    /// All bytes of the content were written.
    content_is_out: bool,
    /// A flight was not written whole.
    write_failed: bool,
    /// The gravest refusal of a recipient so far.
    recipient_failure: Option<Failure>,
    /// The server said that it closes the connection, while content was on its way.
    goodbye: Option<Failure>,
    /// The message has failed; what is still due does not change that.
    failure: Option<Failure>,
    finish: Option<Finish>,
}

impl<'a> Transaction<'a> {
    /// A transaction for the recipients at the places `open` of the message's envelope.
    ///
    /// # Errors
    /// Where the message needs something that the server did not offer; nothing was said to it then.
    pub fn new(
        message: &'a Message,
        open: &[usize],
        capabilities: &'a Capabilities,
        reset_first: bool,
        link: &'a Link,
    ) -> Result<Self, Failure> {
        check(message, capabilities, link)?;
        let (open, lost) = chosen(message, open, capabilities, link)?;
        let mut transaction = Self {
            message,
            capabilities,
            link,
            queue: VecDeque::with_capacity(open.len() + 3),
            due: VecDeque::with_capacity(open.len() + 3),
            recipients: Vec::with_capacity(open.len() + lost.len()),
            replies: 0,
            mail_accepted: false,
            content_is_out: false,
            write_failed: false,
            recipient_failure: None,
            goodbye: None,
            failure: None,
            finish: None,
        };
        if !lost.is_empty() {
            let refusal = Verdict::Rejected(classify::recipient_needs_smtputf8(link));
            transaction.recipients.extend(lost.into_iter().map(|place| (place, refusal.clone())));
        }
        transaction.queue.extend(reset_first.then_some(Command::Reset));
        transaction.queue.push_back(Command::Mail);
        transaction.queue.extend(open.iter().map(|&place| Command::Recipient(place)));
        if capabilities.pipelining && (open.len() == 1 || !message.all_or_nothing) {
            let small = message.content.len() <= LARGEST_EARLY_CHUNK;
            // Where RSET is refused, the old envelope is still open, and a chunk in flight would go to its recipients.
            let chunk = capabilities.chunking && small && !reset_first;
            transaction.queue.push_back(if chunk { Command::Chunk } else { Command::Data });
        }
        Ok(transaction)
    }

    /// What to do now.
    pub fn next(&mut self) -> Next {
        // What came behind half a flight would be taken for its other half.
        if self.write_failed && self.due.is_empty() && self.finish.is_none() {
            self.lost(&Lost::Closed);
        }
        if let Some(finish) = self.finish.take() {
            return Next::Finished(finish);
        }
        match self.due.front() {
            Some(_) => Next::Read,
            None => self.flight(),
        }
    }

    /// The next flight: all that is queued, or one command where the server wants them one by one.
    fn flight(&mut self) -> Next {
        let count = if self.capabilities.pipelining { self.queue.len() } else { 1 };
        let mut lines = String::with_capacity(64 * count);
        let mut framing = None;
        let mut last = Step::Sender;
        for command in self.queue.drain(..count) {
            write_command(&mut lines, command, self.message, self.capabilities);
            framing = framing_of(command);
            last = if framing.is_some() { Step::Content } else { step(command) };
            self.due.push_back(command);
        }
        let outgoing = match framing {
            Some(framing) => Outgoing::with_content(lines.into(), &self.message.content, framing),
            None => Outgoing::commands(lines.into()),
        };
        Next::Write(outgoing, last)
    }

    /// The last flight was written whole.
    pub fn written(&mut self) {
        self.content_is_out |= self.due.iter().any(|&command| framing_of(command).is_some());
    }

    /// The last flight was not written whole. What was answered before that may still be read.
    pub fn write_failed(&mut self) {
        self.write_failed = true;
    }

    /// What the next reply would decide.
    #[must_use]
    pub fn waiting(&self) -> Waiting {
        match (self.write_failed, self.content_is_out) {
            (true, _) => Waiting::LastWords,
            (false, true) => Waiting::Verdict,
            (false, false) => Waiting::Reply,
        }
    }

    /// How many bytes the content has.
    #[must_use]
    pub fn content_length(&self) -> usize {
        self.message.content.len()
    }

    /// Whether this reply, the next one, says that the connection was of no use from the start.
    #[must_use]
    pub fn is_useless(&self, code: u16) -> bool {
        let refused_reset = self.due.front() == Some(&Command::Reset) && !(200..300).contains(&code);
        self.replies == 0 && (code == 421 || refused_reset)
    }

    /// Whether nothing was answered and no whole content is out: on another connection nothing would be different.
    #[must_use]
    pub fn is_untouched(&self) -> bool {
        self.replies == 0 && !self.content_is_out
    }

    /// The reply to the oldest unanswered command has come.
    pub fn reply(&mut self, reply: Reply) {
        let Some(command) = self.due.pop_front() else { return };
        self.replies += 1;
        let is_recipient = matches!(command, Command::Recipient(_));
        if reply.code == 421 && is_recipient && self.due.back() == Some(&Command::Chunk) {
            // Not every server closes as it says: one that goes on may still take the chunk for the others.
            self.goodbye = Some(classify::refused(Step::Recipient, reply.clone(), self.link));
        } else if reply.code == 421 {
            return self.closing(command, reply);
        } else if is_out_of_place(command, reply.code) {
            self.due.push_front(command);
            return self.lost(&Lost::Malformed(Malformed::OutOfPlace));
        }
        match command {
            // Whether RSET or a lone dot was liked changes nothing for this message.
            Command::Reset | Command::LoneDot => {}
            Command::Mail => self.mail(reply),
            Command::Recipient(place) => self.recipient(place, reply),
            Command::Data => self.data(reply),
            Command::Chunk | Command::Content => return self.content(reply),
        }
        self.proceed();
    }

    /// 421 to whatever: the server closes the connection and has taken nothing.
    fn closing(&mut self, command: Command, reply: Reply) {
        let failure = match self.settled() {
            Some(failure) => failure,
            None => self.with_verdicts(classify::refused(step(command), reply, self.link)),
        };
        self.finish(Err(failure), After::Close);
    }

    /// The failure that nothing can change any more. Where all or nobody is to get the message, one refused recipient
    /// is enough for that, also when the others were never answered: they must not be tried again without it.
    fn settled(&mut self) -> Option<Failure> {
        if self.failure.is_none() && self.message.all_or_nothing {
            let refused = self.recipient_failure.take();
            self.failure = refused.map(|failure| self.with_verdicts(failure));
        }
        self.failure.take()
    }

    fn mail(&mut self, reply: Reply) {
        self.mail_accepted = reply.is_positive();
        if !self.mail_accepted {
            self.queue.clear();
            self.failure = Some(classify::refused(Step::Sender, reply, self.link));
        }
    }

    fn recipient(&mut self, place: usize, reply: Reply) {
        if !self.mail_accepted {
            return;
        }
        if reply.is_positive() {
            self.recipients.push((place, Verdict::Accepted(reply)));
        } else {
            let failure = classify::refused(Step::Recipient, reply, self.link);
            self.recipients.push((place, verdict_of(&failure)));
            self.recipient_failure = Some(graver(self.recipient_failure.take(), failure));
        }
        let more = |commands: &VecDeque<Command>| commands.iter().any(|c| matches!(c, Command::Recipient(_)));
        if !more(&self.due) && !more(&self.queue) {
            self.envelope_answered();
        }
    }

    /// Every recipient was answered: does the content go out?
    fn envelope_answered(&mut self) {
        let accepted = self.recipients.iter().any(|(_, verdict)| matches!(verdict, Verdict::Accepted(_)));
        if accepted && !self.message.all_or_nothing {
            return;
        }
        if let Some(failure) = self.recipient_failure.take() {
            self.queue.clear();
            self.failure = Some(self.with_verdicts(failure));
        }
    }

    /// The verdicts that fell before a failure; who was merely accepted by RCPT got nothing.
    fn with_verdicts(&self, mut failure: Failure) -> Failure {
        let fell = self.recipients.iter().filter(|(_, verdict)| !matches!(verdict, Verdict::Accepted(_)));
        failure.recipients = fell.cloned().collect();
        failure
    }

    fn data(&mut self, reply: Reply) {
        match (reply.code, self.failure.is_some()) {
            (354, false) => self.queue.push_back(Command::Content),
            // RFC 2920 section 3.1: a 354 that nobody wanted any more is owed a lone dot.
            (354, true) => self.queue.push_back(Command::LoneDot),
            (_, true) => {}
            (_, false) => {
                let failure = classify::refused(Step::Data, reply, self.link);
                self.failure = Some(self.failed_for_the_accepted(failure));
            }
        }
    }

    fn content(&mut self, reply: Reply) {
        if self.write_failed && reply.is_positive() {
            // A yes to content that we know to be incomplete is worth nothing.
            return self.lost(&Lost::Closed);
        }
        if reply.is_positive() {
            let taken = |verdict: &mut Verdict| {
                if matches!(verdict, Verdict::Accepted(_)) {
                    *verdict = Verdict::Accepted(reply.clone());
                }
            };
            self.recipients.iter_mut().for_each(|(_, verdict)| taken(verdict));
            let recipients = std::mem::take(&mut self.recipients);
            return self.finish(Ok(Receipt { reply, recipients }), After::Reuse);
        }
        let failure = classify::refused(Step::Final, reply, self.link);
        let failure = self.failed_for_the_accepted(failure);
        self.finish(Err(failure), After::Reuse);
    }

    /// A failure of the content is the verdict on every recipient that was accepted.
    fn failed_for_the_accepted(&mut self, failure: Failure) -> Failure {
        let verdict = verdict_of(&failure);
        for (_, slot) in &mut self.recipients {
            if matches!(slot, Verdict::Accepted(_)) {
                *slot = verdict.clone();
            }
        }
        self.with_verdicts(failure)
    }

    /// Decides what follows once all that was sent is answered, or cannot matter any more.
    fn proceed(&mut self) {
        // Some servers do not swallow a chunk that they no longer want, and take it for commands.
        if self.failure.is_some() && self.due.back() == Some(&Command::Chunk) {
            return self.finish_failed(After::Close);
        }
        if !self.due.is_empty() || !self.queue.is_empty() {
            return;
        }
        if self.failure.is_some() {
            let after = if self.mail_accepted { After::ReuseAfterReset } else { After::Reuse };
            return self.finish_failed(after);
        }
        self.queue.push_back(if self.capabilities.chunking { Command::Chunk } else { Command::Data });
    }

    fn finish_failed(&mut self, connection: After) {
        if let Some(failure) = self.failure.take() {
            self.finish(Err(failure), connection);
        }
    }

    fn finish(&mut self, result: Result<Receipt, Failure>, connection: After) {
        let connection = if self.write_failed || self.goodbye.is_some() { After::Close } else { connection };
        self.finish = Some(Finish { result, connection });
    }

    /// No further reply will come.
    pub fn lost(&mut self, how: &Lost) {
        let failure = match (self.settled(), self.goodbye.take(), how) {
            (Some(failure), ..) => failure,
            // RFC 5321 section 3.8: what was not answered when it closed, as announced, was not taken.
            (None, Some(goodbye), Lost::Closed | Lost::Io(_)) => self.with_verdicts(goodbye),
            (None, ..) => self.lost_without_verdict(how),
        };
        self.finish(Err(failure), After::Close);
    }

    fn lost_without_verdict(&mut self, how: &Lost) -> Failure {
        let step = self.due.front().map_or(Step::Sender, |&command| step(command));
        let mut failure = classify::lost(step, how, self.content_is_out, self.link);
        failure.recipients = std::mem::take(&mut self.recipients);
        if failure.class == Class::Unconfirmed {
            let unanswered = self.due.iter().filter_map(|command| match command {
                Command::Recipient(place) => Some((*place, Verdict::Unknown)),
                Command::Reset
                | Command::Mail
                | Command::Data
                | Command::Chunk
                | Command::Content
                | Command::LoneDot => None,
            });
            failure.recipients.extend(unanswered);
        }
        for (_, verdict) in &mut failure.recipients {
            if matches!(verdict, Verdict::Accepted(_)) {
                *verdict = if failure.class == Class::Unconfirmed { Verdict::Unknown } else { Verdict::NotSent };
            }
        }
        failure
    }
}

/// What the message needs and the server lacks.
fn check(message: &Message, capabilities: &Capabilities, link: &Link) -> Result<(), Failure> {
    let size = message.content.len();
    match capabilities.size_limit() {
        Some(limit) if size as u64 > limit => return Err(classify::too_large(size, limit, link)),
        _ => {}
    }
    if message.content.is_eight_bit() && !capabilities.eight_bit {
        return Err(classify::needs_eight_bit(link));
    }
    Ok(())
}

/// The recipients of this transaction, and those who cannot be reached over this server at all.
///
/// Where not all are needed, who is beyond the server's limit is left for the next transaction, and who needs SMTPUTF8 in
/// vain is refused alone.
fn chosen<'o>(
    message: &Message,
    open: &'o [usize],
    capabilities: &Capabilities,
    link: &Link,
) -> Result<(Cow<'o, [usize]>, Vec<usize>), Failure> {
    let envelope = &message.envelope;
    let is_lost = |place: &usize| envelope.recipients().get(*place).is_some_and(Address::needs_smtputf8);
    let lost: Vec<_> = if capabilities.smtputf8 { Vec::new() } else { open.iter().copied().filter(is_lost).collect() };
    let mut reachable = Cow::Borrowed(open);
    if !lost.is_empty() {
        reachable.to_mut().retain(|place| !is_lost(place));
    }
    let for_all = envelope.has_utf8_header() || envelope.sender().is_some_and(Address::needs_smtputf8);
    let none_is_left = reachable.is_empty() || (message.all_or_nothing && !lost.is_empty());
    if !capabilities.smtputf8 && (for_all || none_is_left) {
        let reply = classify::recipient_needs_smtputf8(link);
        let verdicts = lost.into_iter().map(|place| (place, Verdict::Rejected(reply.clone()))).collect();
        return Err(Failure { recipients: verdicts, ..classify::needs_smtputf8(envelope, open, link) });
    }
    let limit = capabilities.limits.recipients.unwrap_or(usize::MAX);
    if reachable.len() > limit {
        if message.all_or_nothing {
            return Err(classify::too_many_recipients(reachable.len(), limit, link));
        }
        reachable.to_mut().truncate(limit);
    }
    Ok((reachable, lost))
}

fn write_command(lines: &mut String, command: Command, message: &Message, capabilities: &Capabilities) {
    // Writing into a String cannot fail.
    let _ = match command {
        Command::Reset => write!(lines, "RSET\r\n"),
        Command::Mail => write_mail(lines, message, capabilities),
        Command::Recipient(place) => match message.envelope.recipients().get(place) {
            Some(address) => write_recipient(lines, address, place, message, capabilities),
            None => Ok(()),
        },
        Command::Data => write!(lines, "DATA\r\n"),
        Command::Chunk => write!(lines, "BDAT {} LAST\r\n", message.content.len()),
        Command::Content => Ok(()),
        Command::LoneDot => write!(lines, ".\r\n"),
    };
}

fn write_mail(lines: &mut String, message: &Message, capabilities: &Capabilities) -> std::fmt::Result {
    match message.envelope.sender() {
        Some(sender) => write!(lines, "MAIL FROM:<{sender}>")?,
        None => write!(lines, "MAIL FROM:<>")?,
    }
    if capabilities.size.is_some() {
        write!(lines, " SIZE={}", message.content.len())?;
    }
    if message.content.is_eight_bit() {
        lines.push_str(" BODY=8BITMIME");
    }
    if capabilities.smtputf8 && message.envelope.needs_smtputf8() {
        lines.push_str(" SMTPUTF8");
    }
    if let Some(dsn) = wishes(message, capabilities) {
        dsn.ret.iter().try_for_each(|ret| write!(lines, " RET={ret}"))?;
        dsn.envid.iter().try_for_each(|envid| write!(lines, " ENVID={envid}"))?;
    }
    write!(lines, "\r\n")
}

fn write_recipient(
    lines: &mut String,
    address: &Address,
    place: usize,
    message: &Message,
    capabilities: &Capabilities,
) -> std::fmt::Result {
    write!(lines, "RCPT TO:<{address}>")?;
    if let Some(wishes) = wishes(message, capabilities).and_then(|dsn| dsn.recipient(place)) {
        wishes.notify.iter().try_for_each(|notify| write!(lines, " NOTIFY={notify}"))?;
        wishes.original.iter().try_for_each(|original| write!(lines, " ORCPT={original}"))?;
    }
    write!(lines, "\r\n")
}

/// What the sender wants to be told, where the server can be told so.
///
/// To one without DSN the message goes as if nothing had been asked for (RFC 3461 section 5.2.2 (a)). With NOTIFY=NEVER
/// that section would allow a null sender, so that nobody is told of a failure; but a provider takes mail from the
/// account's own addresses only, and mail that arrives with one notice too many is better than mail that does not.
fn wishes<'a>(message: &'a Message, capabilities: &Capabilities) -> Option<&'a Dsn> {
    message.envelope.dsn().filter(|_| capabilities.dsn)
}

/// How the content goes out with this command; nothing where it does not.
fn framing_of(command: Command) -> Option<Framing> {
    match command {
        Command::Content => Some(Framing::Dots),
        Command::Chunk => Some(Framing::Chunk),
        Command::Reset | Command::Mail | Command::Recipient(_) | Command::Data | Command::LoneDot => None,
    }
}

/// A yes to DATA, or a "go on" to anything else, answers something that was not asked: the two sides have lost their
/// places, and no later reply can be trusted.
fn is_out_of_place(command: Command, code: u16) -> bool {
    match command {
        Command::Data => (200..400).contains(&code) && code != 354,
        Command::Reset | Command::Mail | Command::Recipient(_) | Command::Chunk | Command::Content => {
            (300..400).contains(&code)
        }
        Command::LoneDot => false,
    }
}

fn step(command: Command) -> Step {
    match command {
        Command::Reset | Command::Mail => Step::Sender,
        Command::Recipient(_) => Step::Recipient,
        Command::Data => Step::Data,
        Command::Chunk | Command::Content | Command::LoneDot => Step::Final,
    }
}

/// What a failure of the message, or of one recipient, means for the recipient.
fn verdict_of(failure: &Failure) -> Verdict {
    match (&failure.reply, failure.class) {
        (Some(reply), Class::Permanent) => Verdict::Rejected(reply.clone()),
        (Some(reply), Class::Transient | Class::Throttled) => Verdict::Deferred(reply.clone()),
        _ => Verdict::NotSent,
    }
}

/// Which of two recipients' failures is the message's: us before the message, the lasting before the passing.
fn graver(known: Option<Failure>, new: Failure) -> Failure {
    let weight = |failure: &Failure| match failure.class {
        Class::Misconfigured => 3,
        Class::Permanent => 2,
        Class::Throttled => 1,
        Class::Transient | Class::Unreachable | Class::Unconfirmed => 0,
    };
    match known {
        Some(known) if weight(&known) >= weight(&new) => known,
        _ => new,
    }
}

#[cfg(test)]
mod tests;
