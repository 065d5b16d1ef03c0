//! What may be sent: the checks, in their order. The first refusal wins.

use crate::config::value::{Size, Value};
use crate::message::address::Mailbox;
use crate::message::{Message, Submission};
use crate::outcome::Refusal;
use crate::settings;

settings! {
    /// The rules' settings.
    pub struct Config {
        /// The largest message, in bytes as it leaves (encoded attachments count as encoded).
        max_message_bytes: Size = "25MiB",
        /// The most recipients of one message.
        max_recipients: usize = "100",
        /// The sender of HTTP messages that name none: an address, with or without a display name.
        from: Option<Mailbox> = "",
    }
}

impl Value for Mailbox {
    const EXPECTS: &'static str = "one address, such as `shop@example.com` or `The Shop <shop@example.com>`";

    fn parse(text: &str) -> Option<Self> {
        Self::parse(text).ok()
    }
}

/// Our own rules for a submission.
#[derive(Clone, Debug)]
pub struct Policy {
    max_message_bytes: usize,
    max_recipients: usize,
    default_sender: Option<Mailbox>,
}

impl Policy {
    /// The rules.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self {
            max_message_bytes: config.max_message_bytes.0,
            max_recipients: config.max_recipients,
            default_sender: config.from.clone(),
        }
    }

    /// The sender of messages that name none.
    #[must_use]
    pub fn default_sender(&self) -> Option<&Mailbox> {
        self.default_sender.as_ref()
    }

    /// The largest message, in bytes as it leaves.
    #[must_use]
    pub fn max_message_bytes(&self) -> usize {
        self.max_message_bytes
    }

    /// The most recipients of one message.
    #[must_use]
    pub fn max_recipients(&self) -> usize {
        self.max_recipients
    }

    /// Admits a submission as a message, or refuses it.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn admit(&self, submission: Submission) -> Result<Message, Refusal> {
        if submission.content.len() > self.max_message_bytes {
            return Err(Refusal::TooLarge { limit: self.max_message_bytes as u64 });
        }
        if submission.envelope.recipients().len() > self.max_recipients {
            return Err(Refusal::TooManyRecipients { limit: self.max_recipients });
        }
        Ok(Message {
            id: submission.id,
            envelope: submission.envelope,
            content: submission.content,
            message_id: submission.message_id,
            all_or_nothing: submission.all_or_nothing,
        })
    }
}
