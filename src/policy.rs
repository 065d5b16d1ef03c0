//! What may be sent, and as what: the checks, in their order. The first refusal wins.
//!
//! | | looks at | refuses | changes |
//! |---|---|---|---|
//! | [`size`] | bytes, recipients, length of the header | what is beyond a limit | |
//! | [`loops`] | Received fields | what went round in circles | |
//! | [`recipients`] | the envelope; fields that name recipients | who may not get mail | takes out blind recipients; redirects all |
//! | [`sender`] | the envelope; From and Sender | who may not send | fills in or replaces the sender |
//!
//! A header is looked at here only where a rule or a finding asks for it, and only fields that a rule names change: a
//! signature over others stays valid.

pub mod addresses;
pub mod loops;
pub mod recipients;
pub mod sender;
pub mod size;

use crate::config::env::Env;
use crate::config::value::{Size, Value};
use crate::message::address::{Address, Mailbox};
use crate::message::header::Block;
use crate::message::header::edit::Changes;
use crate::message::{Message, Submission};
use crate::outcome::Refusal;
use crate::{settings, words};

use addresses::Addresses;
use loops::Loops;
use recipients::Recipients;
use sender::Senders;
use size::Limits;

settings! {
    /// The rules' settings.
    pub struct Config {
        /// The largest message, in bytes as it leaves (encoded attachments count as encoded).
        max_message_bytes: Size = "25MiB",
        /// The most recipients of one message.
        max_recipients: usize = "100",
        /// The sender of messages that name none: an address, with or without a display name.
        from: Option<Mailbox> = "",
        /// What `FROM` does: `default` fills a missing sender in, `force` replaces every other sender (the From header keeps its old address in Reply-To, unless there is one).
        from_mode: FromMode = "default",
        /// Who may send: addresses and domains, separated by commas; `.example.com` means its subdomains. Envelope and header must both be allowed.
        allowed_senders: Option<Addresses> = "",
        /// Who may get mail, if not everybody: addresses and domains as above.
        allowed_recipients: Option<Addresses> = "",
        /// Who may not get mail: addresses and domains as above.
        denied_recipients: Option<Addresses> = "",
        /// For staging: one address that gets every message instead of its recipients, who are listed in X-Original-To.
        redirect_to: Option<Address> = "",
    }
}

/// What the configured sender does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FromMode {
    /// It fills a missing sender in.
    Default,
    /// It replaces every other sender.
    Force,
}

words!(FromMode, "`default` or `force`", "default" => Self::Default, "force" => Self::Force);

impl Value for Mailbox {
    const EXPECTS: &'static str = "one address, such as `shop@example.com` or `The Shop <shop@example.com>`";

    fn parse(text: &str) -> Option<Self> {
        Self::parse(text).ok()
    }
}

impl Value for Address {
    const EXPECTS: &'static str = "one address, such as `ops@example.com`";

    fn parse(text: &str) -> Option<Self> {
        Self::parse(text).ok()
    }
}

impl Config {
    /// Notes settings that contradict each other.
    pub fn check(&self, env: &mut Env) {
        let Some(from) = &self.from else {
            if self.from_mode == FromMode::Force {
                env.problem("FROM", "needed with SIDEPOST_FROM_MODE=force: the sender of every message".to_owned());
            }
            return;
        };
        if self.allowed_senders.as_ref().is_some_and(|allowed| !allowed.have(from.address())) {
            let sentence = "does not allow SIDEPOST_FROM: what is sent under it could never pass".to_owned();
            env.problem("ALLOWED_SENDERS", sentence);
        }
    }
}

/// Our own rules for a submission.
#[derive(Clone, Debug)]
pub struct Policy {
    limits: Limits,
    loops: Loops,
    recipients: Recipients,
    senders: Senders,
}

impl Policy {
    /// The rules. `identity` is what tells this Sidepost and its replicas from any other, see [`loops`].
    #[must_use]
    pub fn new(config: &Config, identity: &[&str]) -> Self {
        Self {
            limits: Limits { message_bytes: config.max_message_bytes.0, recipients: config.max_recipients },
            loops: Loops::new(identity),
            recipients: Recipients::new(config),
            senders: Senders::new(config),
        }
    }

    /// The sender of messages that name none.
    #[must_use]
    pub fn default_sender(&self) -> Option<&Mailbox> {
        self.senders.default_sender()
    }

    /// The largest message, in bytes as it leaves.
    #[must_use]
    pub fn max_message_bytes(&self) -> usize {
        self.limits.message_bytes
    }

    /// The most recipients of one message.
    #[must_use]
    pub fn max_recipients(&self) -> usize {
        self.limits.recipients
    }

    /// The word in our Received fields by which we know them again.
    #[must_use]
    pub fn mark(&self) -> &str {
        self.loops.mark()
    }

    /// Refuses a sender for whose envelope [`Policy::admit`] would refuse, before there is any content.
    ///
    /// # Errors
    /// [`Refusal::SenderNotAllowed`].
    pub fn check_sender(&self, sender: Option<&Address>) -> Result<(), Refusal> {
        self.senders.check_sender(sender)
    }

    /// The same about one recipient.
    ///
    /// # Errors
    /// [`Refusal::RecipientNotAllowed`].
    pub fn check_recipient(&self, recipient: &Address) -> Result<(), Refusal> {
        self.recipients.check_one(recipient)
    }

    /// Admits a submission as a message, or refuses it.
    ///
    /// A redirected message has one recipient, however many the submission had.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn admit(&self, submission: Submission) -> Result<Message, Refusal> {
        let Submission { id, envelope, content, message_id, findings, all_or_nothing, ingress: _ } = submission;
        self.limits.check(&envelope, &content, findings)?;
        self.loops.check(&content, findings)?;
        self.recipients.check(&envelope)?;
        let envelope = self.senders.of_envelope(envelope)?;
        let mut changes = Changes::default();
        if findings.blind || self.senders.have_rules() || self.recipients.have_rules() {
            let block = Block::of(&content);
            Limits::check_header(&block)?;
            self.recipients.hide(&block, &mut changes);
            self.senders.of_header(&block, &mut changes)?;
        }
        let envelope = self.recipients.redirect(envelope, &mut changes);
        Ok(Message { id, envelope, content: changes.apply(content), message_id, all_or_nothing })
    }
}

#[cfg(test)]
mod tests;
