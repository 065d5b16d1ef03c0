//! The order of commands, and the limits that hold between them (RFC 5321 section 4.1.4). No bytes, no clock: one command
//! in, one step out.

use std::sync::Arc;

use super::access::{Access, Channel, Gate, UNAUTHORIZED};
use super::answer;
use super::command::{Chunk, Command, Hidden, Mail, RECIPIENT_NEEDS_UTF8, Rcpt};
use super::reply::Reply;
use crate::message::dsn::{Dsn, RecipientDsn};
use crate::message::{Address, Envelope};
use crate::outcome::{EnhancedCode, Refusal};
use crate::policy::Policy;

/// Errors in a row after which the connection ends; before EHLO, where nobody has shown to speak SMTP, fewer.
const MOST_ERRORS: usize = 10;
const MOST_ERRORS_BEFORE_HELLO: usize = 3;
/// Commands, apart from RCPT, after which the connection ends if no content came.
const MOST_COMMANDS: usize = 1_000;
/// A chunk of so many octets is progress; smaller ones are counted as commands.
const CHUNK_OF_SUBSTANCE: u64 = 1024;
/// The label for what is refused for its form.
pub const MALFORMED: &str = "malformed";

const SEQUENCE: EnhancedCode = EnhancedCode(5, 5, 1);
const OK: Reply = Reply::new(250, EnhancedCode(2, 0, 0), "Ok");
const SENDER_OK: Reply = Reply::new(250, EnhancedCode(2, 1, 0), "Ok");
const RECIPIENT_OK: Reply = Reply::new(250, EnhancedCode(2, 1, 5), "Ok");
const BYE: Reply = Reply::new(221, EnhancedCode(2, 0, 0), "Bye");
const HELP: Reply =
    Reply::new(214, EnhancedCode(2, 0, 0), "EHLO HELO MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT, as in RFC 5321");
const CANNOT_VERIFY: Reply =
    Reply::new(252, EnhancedCode(2, 0, 0), "Not verified here; the provider decides when the message is sent");
const NOT_OFFERED: Reply = Reply::new(502, SEQUENCE, "This command is not offered");
const HELLO_FIRST: Reply = Reply::new(503, SEQUENCE, "Send EHLO or HELO first; with LMTP, LHLO");
/// RFC 2033 section 4.1 has both of these.
const WRONG_HELLO: Reply = Reply::new(500, SEQUENCE, "This is LMTP: it begins with LHLO");
const NO_LMTP: Reply = Reply::new(500, SEQUENCE, "This is SMTP: it begins with EHLO");
const EHLO_FIRST: Reply = Reply::new(503, SEQUENCE, "Send EHLO first");
const NOT_NOW: Reply = Reply::new(503, SEQUENCE, "Not within a transaction; RSET ends it");
const TLS_ALREADY: Reply = Reply::new(503, SEQUENCE, "TLS is on already");
const START_TLS: Reply = Reply::new(220, EnhancedCode(2, 0, 0), "Go ahead with TLS, then say EHLO again");
const MAIL_FIRST: Reply = Reply::new(503, SEQUENCE, "Send MAIL first");
const CHUNKS_BEGUN: Reply = Reply::new(503, SEQUENCE, "Content has begun with BDAT; finish it so, or send RSET");
const ALREADY_MAIL: Reply = Reply::new(503, SEQUENCE, "MAIL was given before; RSET begins anew");
const NO_RECIPIENTS: Reply = Reply::new(554, SEQUENCE, "No valid recipients");
const NOT_HTTP: Reply = Reply::new(421, EnhancedCode(4, 7, 0), "This is SMTP, not HTTP");
const CHUNK_OK: Reply = Reply::new(250, EnhancedCode(2, 0, 0), "Chunk taken");
const GO_AHEAD: Reply = Reply::plain(354, "End with CRLF.CRLF");
const TOO_MANY_ERRORS: Reply = Reply::new(421, EnhancedCode(4, 7, 0), "Too many errors");
const TOO_MANY_COMMANDS: Reply = Reply::new(421, EnhancedCode(4, 7, 0), "Too many commands without a message");

/// What holds for every connection.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Our own name, in the greeting and to EHLO.
    pub hostname: String,
    /// What may be sent: the largest message, which SIZE announces (RFC 1870), the most recipients, from whom, to whom.
    pub policy: Policy,
    /// LMTP is spoken (RFC 2033): it begins with LHLO.
    pub lmtp: bool,
    /// Who may send mail.
    pub access: Access,
}

/// How the client named itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The name.
    pub name: String,
    /// By EHLO, not by HELO.
    pub extended: bool,
}

/// A mail transaction that is complete but for its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// Who sends to whom.
    pub envelope: Envelope,
    /// What the client said the content's size will be.
    pub size: Option<u64>,
    /// Whether SMTPUTF8 was asked for.
    pub utf8: bool,
}

/// What follows a reply.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// The next command.
    Command,
    /// The content of this transaction, if there is room for it.
    Content(Box<Transaction>),
    /// A chunk of content, which follows at once; the first one of this transaction, or one more. The reply is for when
    /// it was taken; after the last one it is the relay's.
    Chunk(Chunk, Option<Box<Transaction>>),
    /// So many octets that nobody wants, before the reply.
    Swallow(u64),
    /// The TLS handshake; after it the conversation begins anew, by [`Dialogue::begin_on`].
    StartTls,
    /// The end of the connection.
    Close,
}

/// The one reply to one command, and what follows.
#[derive(Debug, PartialEq, Eq)]
pub struct Step {
    /// The reply.
    pub reply: Reply,
    /// What follows it.
    pub next: Next,
    /// Under which reason to count a refusal.
    pub refused: Option<&'static str>,
}

impl Step {
    fn close(reply: Reply, refused: Option<&'static str>) -> Self {
        Self { reply, next: Next::Close, refused }
    }

    fn refuse(reply: Reply, reason: &'static str) -> Self {
        Self { refused: Some(reason), ..Self::from(reply) }
    }

    fn ruled(refusal: &Refusal) -> Self {
        Self::refuse(answer::refused(refusal), refusal.label())
    }

    /// Whether one of our own rules refused a sender or a recipient.
    #[must_use]
    pub fn is_by_a_rule(&self) -> bool {
        matches!(self.refused, Some(Refusal::SENDER_NOT_ALLOWED | Refusal::RECIPIENT_NOT_ALLOWED))
    }

    /// Whether it is the end of a login that was refused.
    #[must_use]
    pub fn is_refused_login(&self) -> bool {
        self.refused == Some(UNAUTHORIZED) && matches!(self.reply.code(), 421 | 535)
    }
}

impl From<Reply> for Step {
    fn from(reply: Reply) -> Self {
        Self { reply, next: Next::Command, refused: None }
    }
}

/// A transaction in the making.
#[derive(Debug)]
struct Draft {
    mail: Mail,
    recipients: Vec<Address>,
    dsn: Dsn,
    /// One more recipient than may be was refused, and counted.
    overfull: bool,
}

/// One connection's conversation.
#[derive(Debug)]
pub struct Dialogue {
    rules: Arc<Rules>,
    gate: Gate,
    hello: Option<Hello>,
    draft: Option<Draft>,
    /// The most recipients as of now.
    max_recipients: usize,
    /// Chunks have come, and the last one has not.
    in_chunks: bool,
    errors: usize,
    commands: usize,
}

impl Dialogue {
    /// A conversation that begins.
    #[must_use]
    pub fn new(rules: Arc<Rules>) -> Self {
        let max_recipients = rules.policy.max_recipients();
        let gate = Gate::default();
        Self { rules, gate, hello: None, draft: None, max_recipients, in_chunks: false, errors: 0, commands: 0 }
    }

    /// What the client said before is forgotten: it said so over another channel.
    pub fn begin_on(&mut self, channel: Channel) {
        self.gate.begin(channel);
        self.hello = None;
        self.abandon();
    }

    /// Sets the most recipients of one message from now on: a provider may turn out to take fewer than the rules do.
    pub fn limit_recipients(&mut self, most: usize) {
        self.max_recipients = most;
    }

    /// The greeting.
    #[must_use]
    pub fn greeting(&self) -> Reply {
        let protocol = if self.rules.lmtp { "LMTP" } else { "ESMTP" };
        Reply::plain(220, "").with_text(format!("{} {protocol} Sidepost", self.rules.hostname))
    }

    /// How the client named itself, once it did.
    #[must_use]
    pub fn hello(&self) -> Option<&Hello> {
        self.hello.as_ref()
    }

    /// Takes one command, or the reply that its line deserves. With `draining`, no transaction begins.
    pub fn take(&mut self, command: Result<Command<'_>, Reply>, draining: bool) -> Step {
        let step = match command {
            Ok(Command::Mail(_)) if draining => Step::close(answer::DRAINING, Some(Refusal::Draining.label())),
            Ok(command) => self.obey(command),
            Err(reply) if reply.ends_connection() => Step::close(reply, Some(MALFORMED)),
            Err(reply) => Step::refuse(reply, MALFORMED),
        };
        self.bounded(step)
    }

    fn obey(&mut self, command: Command<'_>) -> Step {
        match command {
            Command::Ehlo(_) | Command::Helo(_) if self.rules.lmtp => WRONG_HELLO.into(),
            Command::Lhlo(_) if !self.rules.lmtp => NO_LMTP.into(),
            Command::Ehlo(name) | Command::Lhlo(name) => self.begin(name, true),
            Command::Helo(name) => self.begin(name, false),
            Command::Mail(mail) => self.mail(mail),
            Command::Rcpt(rcpt) => self.rcpt(rcpt),
            Command::Data => self.data(),
            Command::Bdat(chunk) => self.bdat(chunk),
            Command::Rset => {
                self.abandon();
                OK.into()
            }
            Command::Noop => OK.into(),
            Command::Auth(Hidden(argument)) => self.auth(argument),
            Command::StartTls => self.start_tls(),
            Command::Vrfy => CANNOT_VERIFY.into(),
            Command::Help => HELP.into(),
            Command::Quit => Step::close(BYE, None),
            Command::NotOffered => NOT_OFFERED.into(),
            Command::Http => Step::close(NOT_HTTP, Some(MALFORMED)),
        }
    }

    fn begin(&mut self, name: &str, extended: bool) -> Step {
        self.abandon();
        self.hello = Some(Hello { name: name.to_owned(), extended });
        let Rules { hostname, policy, .. } = &*self.rules;
        let (max_message_bytes, max_recipients) = (policy.max_message_bytes(), self.max_recipients);
        let text = if extended {
            let mut text = format!(
                "{hostname}\nPIPELINING\nSIZE {max_message_bytes}\n8BITMIME\nSMTPUTF8\nCHUNKING\nDSN\nENHANCEDSTATUSCODES\nLIMITS RCPTMAX={max_recipients}\nHELP"
            );
            self.gate.keywords(&self.rules.access).iter().for_each(|keyword| text.extend(["\n", keyword]));
            text
        } else {
            hostname.clone()
        };
        Reply::plain(250, "").with_text(text).into()
    }

    fn mail(&mut self, mut mail: Mail) -> Step {
        let limit = self.rules.policy.max_message_bytes() as u64;
        if self.hello.is_none() {
            return HELLO_FIRST.into();
        }
        if self.draft.is_some() || self.in_chunks {
            return ALREADY_MAIL.into();
        }
        if let Some(reply) = self.gate.refusal(&self.rules.access) {
            return Step::refuse(reply, UNAUTHORIZED);
        }
        if mail.size.is_some_and(|size| size > limit) {
            return Step::ruled(&Refusal::TooLarge { limit });
        }
        if let Err(refusal) = self.rules.policy.check_sender(mail.sender.as_ref()) {
            return Step::ruled(&refusal);
        }
        let dsn = Dsn::of(mail.ret.take(), mail.envid.take());
        self.draft = Some(Draft { mail, recipients: Vec::new(), dsn, overfull: false });
        SENDER_OK.into()
    }

    fn rcpt(&mut self, rcpt: Rcpt) -> Step {
        let limit = self.max_recipients;
        let early = self.out_of_order();
        let Some(draft) = &mut self.draft else { return early.into() };
        if rcpt.non_ascii && !draft.mail.utf8 {
            return Step::refuse(RECIPIENT_NEEDS_UTF8, MALFORMED);
        }
        if draft.recipients.len() >= limit {
            let refusal = Refusal::TooManyRecipients { limit };
            let refused = (!std::mem::replace(&mut draft.overfull, true)).then(|| refusal.label());
            return Step { refused, ..answer::refused(&refusal).into() };
        }
        if let Err(refusal) = self.rules.policy.check_recipient(&rcpt.recipient) {
            return Step::ruled(&refusal);
        }
        if rcpt.dsn != RecipientDsn::default() {
            draft.dsn.push(draft.recipients.len(), rcpt.dsn);
        }
        draft.recipients.push(rcpt.recipient);
        RECIPIENT_OK.into()
    }

    fn data(&mut self) -> Step {
        match self.transaction() {
            Ok(transaction) => Step { reply: GO_AHEAD, next: Next::Content(transaction), refused: None },
            Err(reply) => reply.into(),
        }
    }

    fn bdat(&mut self, chunk: Chunk) -> Step {
        let transaction = match self.in_chunks {
            true => None,
            false => match self.transaction() {
                Ok(transaction) => Some(transaction),
                Err(reply) => return Step { reply, next: Next::Swallow(chunk.size), refused: None },
            },
        };
        self.in_chunks = !chunk.last;
        Step { reply: CHUNK_OK, next: Next::Chunk(chunk, transaction), refused: None }
    }

    /// The draft, if it is complete.
    fn transaction(&mut self) -> Result<Box<Transaction>, Reply> {
        let draft = self.draft.take().ok_or_else(|| self.out_of_order())?;
        let Some(envelope) = Envelope::new(draft.mail.sender.clone(), draft.recipients) else {
            // The client may still name one.
            self.draft = Some(Draft { recipients: Vec::new(), ..draft });
            // RFC 2033 section 4.2 has a code of its own.
            return Err(if self.rules.lmtp { NO_RECIPIENTS.with_codes(503, SEQUENCE) } else { NO_RECIPIENTS });
        };
        let envelope = envelope.with_dsn(draft.dsn);
        Ok(Box::new(Transaction { envelope, size: draft.mail.size, utf8: draft.mail.utf8 }))
    }

    fn out_of_order(&self) -> Reply {
        if self.in_chunks { CHUNKS_BEGUN } else { MAIL_FIRST }
    }

    /// Whether content has begun to come in chunks and has not ended.
    #[must_use]
    pub fn is_in_chunks(&self) -> bool {
        self.in_chunks
    }

    /// Forgets the transaction in the making.
    pub fn abandon(&mut self) {
        (self.draft, self.in_chunks) = (None, false);
    }

    fn auth(&mut self, argument: &str) -> Step {
        if !self.hello.as_ref().is_some_and(|hello| hello.extended) {
            return EHLO_FIRST.into();
        }
        if self.draft.is_some() || self.in_chunks {
            return NOT_NOW.into();
        }
        judged(self.gate.auth(&self.rules.access, argument))
    }

    /// Whether the next line is no command but the answer to a challenge.
    #[must_use]
    pub fn is_in_login(&self) -> bool {
        self.gate.is_open()
    }

    /// Takes the answer to a challenge; nothing where it was too long.
    pub fn respond(&mut self, line: Option<&[u8]>) -> Step {
        let reply = match line {
            Some(line) => self.gate.respond(&self.rules.access, line),
            None => self.gate.refuse_long(),
        };
        self.bounded(judged(reply))
    }

    fn start_tls(&self) -> Step {
        if !self.rules.access.tls {
            return NOT_OFFERED.into();
        }
        if self.gate.is_secure() {
            return TLS_ALREADY.into();
        }
        if self.hello.is_none() {
            return HELLO_FIRST.into();
        }
        if self.draft.is_some() || self.in_chunks {
            return NOT_NOW.into();
        }
        Step { reply: START_TLS, next: Next::StartTls, refused: None }
    }

    /// The protocol as a Received header names it (RFC 3848, RFC 6531 section 4.3).
    #[must_use]
    pub fn protocol(&self, utf8: bool) -> String {
        let extended = self.hello.as_ref().is_some_and(|hello| hello.extended);
        let name = match (self.rules.lmtp, utf8, extended) {
            (true, true, _) => "UTF8LMTP",
            (true, false, _) => "LMTP",
            (false, true, _) => "UTF8SMTP",
            (false, false, true) => "ESMTP",
            (false, false, false) => return "SMTP".to_owned(),
        };
        format!("{name}{}", self.gate.suffix())
    }

    /// Ends a conversation that leads nowhere.
    fn bounded(&mut self, step: Step) -> Step {
        match step.next {
            Next::Close | Next::StartTls => return step,
            Next::Content(_) | Next::Chunk(Chunk { last: true, .. }, _) => (self.errors, self.commands) = (0, 0),
            Next::Chunk(Chunk { size: CHUNK_OF_SUBSTANCE.., .. }, _) => return step,
            Next::Command if step.reply.is_positive() => self.errors = 0,
            Next::Chunk(..) => {}
            Next::Command | Next::Swallow(_) => self.errors += usize::from(is_error(&step.reply)),
        }
        self.commands += 1;
        if self.errors >= if self.hello.is_some() { MOST_ERRORS } else { MOST_ERRORS_BEFORE_HELLO } {
            return Step::close(TOO_MANY_ERRORS, step.refused);
        }
        if self.commands > MOST_COMMANDS + 2 * self.rules.policy.max_recipients() {
            return Step::close(TOO_MANY_COMMANDS, step.refused);
        }
        step
    }
}

/// What follows the reply to a login.
fn judged(reply: Reply) -> Step {
    match reply.code() {
        421 => Step::close(reply, Some(UNAUTHORIZED)),
        535 | 538 => Step::refuse(reply, UNAUTHORIZED),
        _ => reply.into(),
    }
}

/// Whether the command itself was wrong. An address that is refused is not; nor are the RCPTs and the DATA that a
/// pipelining client sent behind a MAIL that was refused (RFC 2920 section 3.1).
fn is_error(reply: &Reply) -> bool {
    matches!(reply.code(), 500..=502 | 555) && reply.enhanced().is_none_or(|EnhancedCode(_, subject, _)| subject == 5)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::command;
    use super::*;
    use crate::config::env::{Env, Settings as _};
    use crate::policy;

    fn policy() -> Policy {
        let settings = [
            ("MAX_MESSAGE_BYTES", "1KiB"),
            ("MAX_RECIPIENTS", "3"),
            ("ALLOWED_SENDERS", "b.test,x.test"),
            ("DENIED_RECIPIENTS", "no.test"),
        ];
        let variables = settings.map(|(name, value)| (format!("SIDEPOST_{name}").into(), value.into()));
        Policy::new(&Env::collect(variables, policy::Config::SETTINGS.to_vec()).read(), &["test"])
    }

    fn dialogue() -> Dialogue {
        of(false)
    }

    fn of(lmtp: bool) -> Dialogue {
        let rules = Rules { hostname: "us.test".to_owned(), policy: policy(), lmtp, access: Access::default() };
        Dialogue::new(Arc::new(rules))
    }

    fn say(dialogue: &mut Dialogue, line: &str) -> Step {
        dialogue.take(command::parse(line.as_bytes()), false)
    }

    fn codes(reply: &Reply) -> String {
        let enhanced = reply.enhanced().map(|code| format!(" {code}")).unwrap_or_default();
        format!("{}{enhanced}", reply.code())
    }

    /// Says each line, and compares code and enhanced code of each reply.
    fn check(script: &[(&str, &str)]) -> Dialogue {
        let mut dialogue = dialogue();
        for (n, (line, expected)) in script.iter().enumerate() {
            assert_eq!(codes(&say(&mut dialogue, line).reply), *expected, "line {n}: {line}");
        }
        dialogue
    }

    #[test]
    fn a_whole_transaction() {
        let mut dialogue = check(&[
            ("EHLO me.test", "250"),
            ("MAIL FROM:<a@b.test> SIZE=10 SMTPUTF8", "250 2.1.0"),
            ("RCPT TO:<c@d.test>", "250 2.1.5"),
            ("RCPT TO:<e@f.test>", "250 2.1.5"),
        ]);
        let step = say(&mut dialogue, "DATA");
        let Next::Content(transaction) = step.next else { panic!("{step:?}") };
        assert_eq!(codes(&step.reply), "354");
        assert_eq!(transaction.envelope.recipients().len(), 2);
        assert_eq!((transaction.size, transaction.utf8), (Some(10), true));
        assert_eq!(codes(&say(&mut dialogue, "DATA").reply), "503 5.5.1", "a transaction is used once");
        assert_eq!(say(&mut dialogue, "QUIT").next, Next::Close);
    }

    /// RFC 2033 section 4.
    #[test]
    fn lmtp_has_its_own_hello_and_its_own_code_for_nobody() {
        let mut lmtp = of(true);
        assert_eq!(lmtp.greeting().text(), "us.test LMTP Sidepost");
        for (line, expected) in [
            ("EHLO me", "500 5.5.1"),
            ("HELO me", "500 5.5.1"),
            ("MAIL FROM:<>", "503 5.5.1"),
            ("LHLO me", "250"),
            ("MAIL FROM:<>", "250 2.1.0"),
            ("DATA", "503 5.5.1"),
            ("RCPT TO:<a@b.test>", "250 2.1.5"),
            ("DATA", "354"),
        ] {
            assert_eq!(codes(&say(&mut lmtp, line).reply), expected, "{line}");
        }
        check(&[("LHLO me", "500 5.5.1")]);
    }

    #[test]
    fn what_the_sender_wants_to_be_told_goes_with_the_envelope() {
        let mut dialogue = check(&[
            ("EHLO me", "250"),
            ("MAIL FROM:<a@b.test> RET=HDRS ENVID=1", "250 2.1.0"),
            ("RCPT TO:<c@d.test>", "250 2.1.5"),
            ("RCPT TO:<e@f.test> NOTIFY=NEVER", "250 2.1.5"),
        ]);
        let Next::Content(transaction) = say(&mut dialogue, "DATA").next else { panic!() };
        let dsn = transaction.envelope.dsn().unwrap();
        assert!(dsn.ret.is_some() && dsn.envid.is_some() && dsn.recipient(0).is_none() && dsn.recipient(1).is_some());
    }

    #[test]
    fn ehlo_announces_and_helo_does_not() {
        let mut dialogue = dialogue();
        let text = "us.test\nPIPELINING\nSIZE 1024\n8BITMIME\nSMTPUTF8\nCHUNKING\nDSN\nENHANCEDSTATUSCODES\nLIMITS RCPTMAX=3\nHELP";
        assert_eq!(say(&mut dialogue, "EHLO me.test").reply.text(), text);
        assert_eq!(say(&mut dialogue, "HELO me.test").reply.text(), "us.test");
        assert_eq!(dialogue.hello(), Some(&Hello { name: "me.test".to_owned(), extended: false }));
        assert_eq!(dialogue.greeting().text(), "us.test ESMTP Sidepost");
    }

    #[test]
    fn the_order_is_kept() {
        check(&[
            ("NOOP", "250 2.0.0"),
            ("MAIL FROM:<>", "503 5.5.1"),
            ("RCPT TO:<a@b.test>", "503 5.5.1"),
            ("DATA", "503 5.5.1"),
            ("HELO me", "250"),
            ("RCPT TO:<a@b.test>", "503 5.5.1"),
            ("MAIL FROM:<>", "250 2.1.0"),
            ("MAIL FROM:<>", "503 5.5.1"),
            ("DATA", "554 5.5.1"),
            ("RCPT TO:<a@b.test>", "250 2.1.5"),
            ("RSET", "250 2.0.0"),
            ("DATA", "503 5.5.1"),
            ("MAIL FROM:<>", "250 2.1.0"),
            ("EHLO me", "250"),
            ("RCPT TO:<a@b.test>", "503 5.5.1"),
            ("VRFY a", "252 2.0.0"),
            ("HELP", "214 2.0.0"),
            ("STARTTLS", "502 5.5.1"),
            ("QUIT", "221 2.0.0"),
        ]);
    }

    #[test]
    fn limits_have_their_codes() {
        let mut dialogue = check(&[
            ("EHLO me", "250"),
            ("MAIL FROM:<> SIZE=1025", "552 5.3.4"),
            ("MAIL FROM:<> SIZE=1024", "250 2.1.0"),
            ("RCPT TO:<\u{e4}@b.test>", "550 5.6.7"),
            ("RCPT TO:<a@b.test>", "250 2.1.5"),
            ("RCPT TO:<a@b.test>", "250 2.1.5"),
            ("RCPT TO:<a@b.test>", "250 2.1.5"),
        ]);
        let steps: Vec<Step> = (0..50).map(|_| say(&mut dialogue, "RCPT TO:<a@b.test>")).collect();
        assert!(steps.iter().all(|step| codes(&step.reply) == "452 4.5.3" && step.next == Next::Command));
        assert_eq!(steps.iter().filter(|step| step.refused == Some("too_many_recipients")).count(), 1);
        assert!(matches!(say(&mut dialogue, "DATA").next, Next::Content(_)));
    }

    #[test]
    fn whom_the_rules_refuse_is_told_before_the_content() {
        let mut dialogue = check(&[
            ("EHLO me", "250"),
            ("MAIL FROM:<a@elsewhere.test>", "550 5.7.1"),
            ("RCPT TO:<a@b.test>", "503 5.5.1"),
            ("MAIL FROM:<a@b.test>", "250 2.1.0"),
            ("RCPT TO:<a@b.test>", "250 2.1.5"),
        ]);
        let steps: Vec<Step> = (0..50).map(|_| say(&mut dialogue, "RCPT TO:<boss@No.test>")).collect();
        assert!(steps.iter().all(|step| codes(&step.reply) == "550 5.7.1" && step.next == Next::Command));
        assert!(steps.iter().all(|step| step.refused == Some("recipient_not_allowed")));
        assert!(steps[0].reply.text().contains("b***@no.test"), "{}", steps[0].reply.text());
        let Next::Content(transaction) = say(&mut dialogue, "DATA").next else { panic!("no content") };
        assert_eq!(transaction.envelope.recipients(), [Address::parse("a@b.test").unwrap()]);
    }

    #[test]
    fn a_provider_that_takes_fewer_recipients_is_heard_of() {
        let mut dialogue = dialogue();
        dialogue.limit_recipients(1);
        assert!(say(&mut dialogue, "EHLO me").reply.text().contains("LIMITS RCPTMAX=1\n"));
        say(&mut dialogue, "MAIL FROM:<>");
        assert_eq!(codes(&say(&mut dialogue, "RCPT TO:<a@b.test>").reply), "250 2.1.5");
        assert_eq!(codes(&say(&mut dialogue, "RCPT TO:<c@b.test>").reply), "452 4.5.3");
    }

    /// RFC 3030 section 2: no DATA and no RCPT among chunks; what nobody wants is read all the same.
    #[test]
    fn chunks_have_their_order() {
        let mut dialogue = check(&[("BDAT 5", "503 5.5.1"), ("EHLO me", "250"), ("MAIL FROM:<>", "250 2.1.0")]);
        let step = say(&mut dialogue, "BDAT 7 LAST");
        assert_eq!((codes(&step.reply).as_str(), step.next), ("554 5.5.1", Next::Swallow(7)));
        assert_eq!(codes(&say(&mut dialogue, "RCPT TO:<a@b.test>").reply), "250 2.1.5", "one may still be named");
        assert!(matches!(say(&mut dialogue, "BDAT 5").next, Next::Chunk(Chunk { size: 5, last: false }, Some(_))));
        for line in ["DATA", "RCPT TO:<a@b.test>", "MAIL FROM:<>"] {
            assert_eq!(codes(&say(&mut dialogue, line).reply), "503 5.5.1");
        }
        assert!(matches!(say(&mut dialogue, "BDAT 0").next, Next::Chunk(_, None)));
        assert!(matches!(say(&mut dialogue, "BDAT 0 LAST").next, Next::Chunk(Chunk { last: true, .. }, None)));
        assert_eq!(say(&mut dialogue, "BDAT 6").next, Next::Swallow(6), "a transaction is used once");
        for end in ["RSET", "EHLO me"] {
            say(&mut dialogue, "MAIL FROM:<>");
            say(&mut dialogue, "RCPT TO:<a@b.test>");
            assert!(matches!(say(&mut dialogue, "BDAT 5").next, Next::Chunk(_, Some(_))));
            say(&mut dialogue, end);
            assert_eq!(say(&mut dialogue, "BDAT 5 LAST").next, Next::Swallow(5));
        }
    }

    #[test]
    fn small_chunks_are_bounded_and_large_ones_are_not() {
        let start = [("EHLO me", "250"), ("MAIL FROM:<>", "250 2.1.0"), ("RCPT TO:<a@b.test>", "250 2.1.5")];
        let mut dialogue = check(&start);
        let small = (1..10_000).find(|_| say(&mut dialogue, "BDAT 1").next == Next::Close).unwrap();
        assert!(small <= MOST_COMMANDS + 2 * 3);
        let mut dialogue = check(&start);
        assert!((1..10_000).all(|_| say(&mut dialogue, "BDAT 1024").next != Next::Close));
    }

    /// RFC 2920 section 3.1: MAIL, RCPT and DATA may come in one group, so all of them are refused in their turn.
    #[test]
    fn a_pipelined_group_behind_a_refused_mail_is_no_crime() {
        let mut dialogue = check(&[("EHLO me", "250"), ("MAIL FROM:<> SIZE=1025", "552 5.3.4")]);
        for _ in 0..100 {
            assert_eq!(codes(&say(&mut dialogue, "RCPT TO:<a@b.test>").reply), "503 5.5.1");
        }
        assert_eq!(say(&mut dialogue, "DATA").next, Next::Command);
    }

    #[test]
    fn errors_in_a_row_end_it_sooner_before_ehlo() {
        let junk_until_closed =
            |dialogue: &mut Dialogue| (1..100).find(|_| say(dialogue, "JUNK").next == Next::Close).unwrap();
        assert_eq!(junk_until_closed(&mut dialogue()), MOST_ERRORS_BEFORE_HELLO);
        assert_eq!(junk_until_closed(&mut check(&[("JUNK", "500 5.5.2"), ("EHLO me", "250")])), MOST_ERRORS);
    }

    #[test]
    fn commands_without_a_message_are_bounded() {
        let mut dialogue = check(&[("EHLO me", "250")]);
        let said = (1..10_000).find(|_| say(&mut dialogue, "NOOP").next == Next::Close).unwrap();
        assert_eq!(said, MOST_COMMANDS + 2 * 3);
    }

    /// A browser can reach loopback; `facts/reliability.md` 0.7 has a message that aiosmtpd delivered this way.
    #[test]
    fn http_is_cut_at_once() {
        for line in ["GET / HTTP/1.1", "POST /?MAIL HTTP/1.1"] {
            let step = say(&mut dialogue(), line);
            assert_eq!((codes(&step.reply).as_str(), step.next), ("421 4.7.0", Next::Close));
        }
    }

    #[test]
    fn draining_takes_no_new_mail() {
        let mut dialogue = check(&[("EHLO me", "250"), ("MAIL FROM:<>", "250 2.1.0")]);
        assert_eq!(dialogue.take(command::parse(b"RCPT TO:<a@b.test>"), true).next, Next::Command);
        let step = dialogue.take(command::parse(b"MAIL FROM:<>"), true);
        assert_eq!((codes(&step.reply).as_str(), step.next), ("421 4.3.2", Next::Close));
    }

    fn line() -> impl Strategy<Value = String> {
        prop_oneof![
            Just("EHLO a".to_owned()),
            Just("HELO a".to_owned()),
            Just("MAIL FROM:<a@b.test>".to_owned()),
            Just("MAIL FROM:<> SIZE=5000".to_owned()),
            Just("RCPT TO:<a@b.test>".to_owned()),
            Just("RCPT TO:<>".to_owned()),
            Just("DATA".to_owned()),
            Just("RSET".to_owned()),
            Just("NOOP".to_owned()),
            Just("STARTTLS".to_owned()),
            any::<String>(),
        ]
    }

    proptest! {
        /// Against a model of four facts: content is asked for exactly when all of them hold.
        #[test]
        fn content_only_after_hello_mail_and_a_recipient(lines in proptest::collection::vec(line(), 0..60)) {
            let mut dialogue = dialogue();
            let (mut hello, mut mail, mut recipients) = (false, false, 0);
            for line in lines {
                let step = say(&mut dialogue, &line);
                let good = step.reply.is_positive();
                match line.get(..4).unwrap_or_default() {
                    "EHLO" | "HELO" if good => (hello, mail, recipients) = (true, false, 0),
                    "MAIL" if good => {
                        prop_assert!(hello && !mail);
                        mail = true;
                    }
                    "RCPT" if good => {
                        prop_assert!(mail);
                        recipients += 1;
                    }
                    "RSET" => (mail, recipients) = (false, 0),
                    _ => {}
                }
                prop_assert!(recipients <= 3);
                if let Next::Content(transaction) = &step.next {
                    prop_assert!(hello && mail && line == "DATA");
                    prop_assert_eq!(transaction.envelope.recipients().len(), recipients);
                    (mail, recipients) = (false, 0);
                } else if line == "DATA" {
                    prop_assert!(!mail || recipients == 0 || step.next == Next::Close);
                }
                if step.next == Next::Close {
                    break;
                }
            }
        }
    }
}
