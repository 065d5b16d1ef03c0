//! What can become of a submission.
//!
//! A transport reports facts as a [`Receipt`] or a [`Failure`]; a failure has exactly one [`Class`], which is what
//! delivery branches on. Everything else in it is for people. The relay turns both into an [`Answer`], and each
//! ingress puts that into its own words. Nothing here knows a protocol of ours.

use std::fmt;
use std::time::Duration;

/// What a failure means for the next step. Decided only in `transport/*/classify.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// No conversation came about: name, connection, or TLS failed before the provider said a word.
    Unreachable,
    /// The provider, or the line to it, failed for the moment; nothing was handed over.
    Transient,
    /// The provider asks to be left alone for a while.
    Throttled,
    /// This message, or this recipient, is refused for good.
    Permanent,
    /// The provider refuses us: login, certificate, sender identity, plan. Not the message's fault.
    Misconfigured,
    /// All content went out and no answer came back: the provider may have it.
    Unconfirmed,
}

impl Class {
    /// Every class, in the order of the documentation.
    pub const ALL: [Self; 6] =
        [Self::Unreachable, Self::Transient, Self::Throttled, Self::Permanent, Self::Misconfigured, Self::Unconfirmed];

    /// The word for metrics, logs and answers.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Transient => "transient",
            Self::Throttled => "throttled",
            Self::Permanent => "permanent",
            Self::Misconfigured => "misconfigured",
            Self::Unconfirmed => "unconfirmed",
        }
    }

    /// Whether the same submission may succeed later without anybody changing the message.
    ///
    /// An unconfirmed one is not retryable in this sense: a repeat can make a second copy.
    #[must_use]
    pub fn is_retryable(self) -> bool {
        match self {
            Self::Unreachable | Self::Transient | Self::Throttled | Self::Misconfigured => true,
            Self::Permanent | Self::Unconfirmed => false,
        }
    }
}

/// The link of the chain at which an attempt stood when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step {
    /// Waiting for a free connection to the provider.
    Wait,
    /// Looking up the provider's name.
    Dns,
    /// Opening the TCP connection.
    Connect,
    /// The TLS handshake, implicit or after STARTTLS.
    Tls,
    /// The provider's greeting.
    Greeting,
    /// EHLO.
    Hello,
    /// The STARTTLS command.
    StartTls,
    /// AUTH.
    Auth,
    /// MAIL FROM.
    Sender,
    /// RCPT TO.
    Recipient,
    /// DATA, before its 354.
    Data,
    /// Writing the content.
    Content,
    /// Waiting for the answer to the last byte of content.
    Final,
}

impl Step {
    /// The word for metrics, logs and answers.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Wait => "wait",
            Self::Dns => "dns",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Greeting => "greeting",
            Self::Hello => "hello",
            Self::StartTls => "starttls",
            Self::Auth => "auth",
            Self::Sender => "sender",
            Self::Recipient => "recipient",
            Self::Data => "data",
            Self::Content => "content",
            Self::Final => "final",
        }
    }
}

/// Why, as a closed set: finer than [`Class`], coarse enough for a label or an error code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The name does not exist.
    NameNotFound,
    /// The name could not be looked up just now.
    NameUnavailable,
    /// The other side refused the connection.
    ConnectionRefused,
    /// Nothing answered the connection attempt.
    ConnectionTimeout,
    /// No route to the network or host.
    NoRoute,
    /// The connection was cut or reset.
    ConnectionLost,
    /// A step took longer than it may.
    Timeout,
    /// The greeting was a refusal.
    GreetingRefused,
    /// What the other side said is not SMTP.
    Protocol,
    /// TLS was asked for and is not offered.
    TlsUnavailable,
    /// The handshake failed.
    TlsHandshake,
    /// The certificate is not acceptable.
    TlsCertificate,
    /// Bytes were slipped in between STARTTLS and the handshake.
    TlsInjection,
    /// Credentials are set and the provider offers no usable mechanism.
    AuthUnavailable,
    /// The provider refused the credentials.
    AuthRejected,
    /// The provider could not check the credentials just now.
    AuthTemporary,
    /// The provider does not let this account send as this sender.
    SenderRefused,
    /// A recipient was refused.
    RecipientRefused,
    /// The content was refused.
    ContentRefused,
    /// The message exceeds the provider's limit.
    TooLarge,
    /// The message needs an extension that the provider lacks.
    Unsupported,
    /// The message or an address is internationalized and the provider offers no SMTPUTF8.
    NeedsSmtpUtf8,
    /// The content is 8-bit and the provider offers no 8BITMIME.
    NeedsEightBit,
    /// All recipients at once are more than the provider takes in one transaction.
    TooManyRecipients,
    /// The provider asks to slow down.
    Throttled,
    /// The provider is not able to serve right now.
    ProviderBusy,
    /// All connections stayed in use until the time was over.
    NoConnectionFree,
    /// The process is ending.
    ShuttingDown,
    /// We could not sign it.
    Unsigned,
    /// No answer came after the content.
    OutcomeUnknown,
}

impl Reason {
    /// The word for logs and answers.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::NameNotFound => "name_not_found",
            Self::NameUnavailable => "name_unavailable",
            Self::ConnectionRefused => "connection_refused",
            Self::ConnectionTimeout => "connection_timeout",
            Self::NoRoute => "no_route",
            Self::ConnectionLost => "connection_lost",
            Self::Timeout => "timeout",
            Self::GreetingRefused => "greeting_refused",
            Self::Protocol => "protocol",
            Self::TlsUnavailable => "tls_unavailable",
            Self::TlsHandshake => "tls_handshake",
            Self::TlsCertificate => "tls_certificate",
            Self::TlsInjection => "tls_injection",
            Self::AuthUnavailable => "auth_unavailable",
            Self::AuthRejected => "auth_rejected",
            Self::AuthTemporary => "auth_temporary",
            Self::SenderRefused => "sender_refused",
            Self::RecipientRefused => "recipient_refused",
            Self::ContentRefused => "content_refused",
            Self::TooLarge => "too_large",
            Self::Unsupported => "unsupported",
            Self::NeedsSmtpUtf8 => "needs_smtputf8",
            Self::NeedsEightBit => "needs_8bitmime",
            Self::TooManyRecipients => "too_many_recipients",
            Self::Throttled => "throttled",
            Self::ProviderBusy => "provider_busy",
            Self::NoConnectionFree => "no_connection_free",
            Self::ShuttingDown => "shutting_down",
            Self::Unsigned => "unsigned",
            Self::OutcomeUnknown => "outcome_unknown",
        }
    }
}

/// An enhanced status code, RFC 3463: class, subject, detail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EnhancedCode(pub u8, pub u16, pub u16);

impl fmt::Display for EnhancedCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// What the provider said, word for word. Its text counts as containing addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The three-digit code.
    pub code: u16,
    /// The enhanced status code, where the provider gave one.
    pub enhanced: Option<EnhancedCode>,
    /// The text without codes; lines joined by a space. Printable, bounded in length.
    pub text: String,
}

impl Reply {
    /// The group of codes that it belongs to, one of [`Self::GROUPS`]: the class, and the subject of the enhanced code
    /// where it has one that agrees with it.
    #[must_use]
    pub fn group(&self) -> &'static str {
        let class = match self.code {
            200..300 => return "2yz",
            400..500 => 4,
            500..600 => 5,
            _ => return "none",
        };
        let subject = self.enhanced.filter(|code| u16::from(code.0) == class).map_or(0, |code| code.1);
        let row = if class == 4 { &Self::GROUPS[2..10] } else { &Self::GROUPS[10..] };
        row.get(usize::from(subject)).copied().unwrap_or(row[0])
    }

    /// Every group: no reply that means anything, done, and the two kinds of no, each with the subjects of RFC 3463
    /// section 3 (1 address, 2 mailbox, 3 mail system, 4 network, 5 protocol, 6 content, 7 security or policy).
    pub const GROUPS: [&'static str; 18] = [
        "none", "2yz", "4yz", "4.1", "4.2", "4.3", "4.4", "4.5", "4.6", "4.7", "5yz", "5.1", "5.2", "5.3", "5.4",
        "5.5", "5.6", "5.7",
    ];

    /// 2yz: done.
    #[must_use]
    pub fn is_positive(&self) -> bool {
        (200..300).contains(&self.code)
    }

    /// 4yz: not now.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        (400..500).contains(&self.code)
    }

    /// 5yz: not like this.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        (500..600).contains(&self.code)
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.enhanced {
            Some(enhanced) => write!(f, "{} {enhanced} {}", self.code, self.text),
            None => write!(f, "{} {}", self.code, self.text),
        }
    }
}

/// The fate of one recipient. The n-th verdict of an answer belongs to the n-th recipient of the envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The provider took the message for this recipient.
    Accepted(Reply),
    /// Refused for good.
    Rejected(Reply),
    /// Not now; a later try may succeed.
    Deferred(Reply),
    /// Not sent, and not this recipient's fault: the message failed as a whole.
    NotSent,
    /// Content went out for this recipient and no answer came.
    Unknown,
}

impl Verdict {
    /// The word for metrics, logs and answers.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Accepted(_) => "accepted",
            Self::Rejected(_) => "rejected",
            Self::Deferred(_) => "deferred",
            Self::NotSent => "not_sent",
            Self::Unknown => "unknown",
        }
    }

    /// Every label, for metrics that must exist from the start.
    pub const LABELS: [&'static str; 5] = ["accepted", "rejected", "deferred", "not_sent", "unknown"];

    /// What the provider said about this recipient, if it said something.
    #[must_use]
    pub fn reply(&self) -> Option<&Reply> {
        match self {
            Self::Accepted(reply) | Self::Rejected(reply) | Self::Deferred(reply) => Some(reply),
            Self::NotSent | Self::Unknown => None,
        }
    }
}

/// One attempt that ended with the provider taking the content for at least one recipient.
#[derive(Clone, Debug)]
pub struct Receipt {
    /// The answer to the content.
    pub reply: Reply,
    /// A verdict for each recipient of the attempt, by its place in the envelope.
    pub recipients: Vec<(usize, Verdict)>,
}

/// One attempt, or a whole delivery, that did not end in the provider taking the message.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What to do about it.
    pub class: Class,
    /// On which link it happened.
    pub step: Step,
    /// Why, from a closed set.
    pub reason: Reason,
    /// Why, and what to do about it, in words; the end of the sentence.
    pub cause: &'static Cause,
    /// For a person: what happened, on which link, what to do. No secret, no unmasked address.
    pub sentence: String,
    /// What the provider said, if it said something.
    pub reply: Option<Reply>,
    /// How long the provider asks us to wait, or when a new try makes sense.
    pub retry_after: Option<Duration>,
    /// Verdicts that fell before the failure, by place in the envelope.
    pub recipients: Vec<(usize, Verdict)>,
}

impl Failure {
    /// One about which the provider said nothing, and before which no verdict fell. `evidence` is what was seen.
    #[must_use]
    pub fn new(class: Class, step: Step, reason: Reason, cause: &'static Cause, evidence: &str) -> Self {
        let (sentence, recipients) = (cause.explain(evidence), Vec::new());
        Self { class, step, reason, cause, sentence, reply: None, retry_after: None, recipients }
    }

    /// What was seen, without why and what to do.
    #[must_use]
    pub fn evidence(&self) -> &str {
        let seen = self.sentence.strip_suffix(self.cause.remedy).unwrap_or(&self.sentence).trim_end();
        seen.strip_suffix(self.cause.why).unwrap_or(seen).trim_end()
    }

    /// The same, for a cause that is better known, with what more was seen.
    #[must_use]
    pub fn because(mut self, seen: &str, cause: &'static Cause) -> Self {
        let parts = [self.evidence(), seen];
        let evidence = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ");
        self.sentence = cause.explain(&evidence);
        self.cause = cause;
        self
    }
}

/// Why something fails and what to do about it: the same words in answers, logs and health.
#[derive(Debug, PartialEq, Eq)]
pub struct Cause {
    /// The word for metrics, logs and answers.
    pub name: &'static str,
    /// What is behind it, in a sentence; empty where what was seen says it all.
    pub why: &'static str,
    /// What to do, with the names of our own settings; empty where there is nothing but to wait.
    pub remedy: &'static str,
}

/// What to do about a clock, whoever noticed.
pub const SET_THE_CLOCK: &str =
    "Set the clock of this machine or node right (NTP); a container has no clock of its own.";

impl Cause {
    /// What was seen, why, and what to do, as one text.
    #[must_use]
    pub fn explain(&self, evidence: &str) -> String {
        let parts = [evidence, self.why, self.remedy];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
    }
}

/// Why a submission was not taken up at all: our own rules, before any provider was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// More bytes than `MAX_MESSAGE_BYTES`.
    TooLarge {
        /// The most bytes.
        limit: u64,
    },
    /// More recipients than `MAX_RECIPIENTS`.
    TooManyRecipients {
        /// The most recipients.
        limit: usize,
    },
    /// More bytes of header than are looked at.
    HeaderTooLarge {
        /// The most bytes.
        limit: u64,
    },
    /// The message was here before, or on more servers than any message has a reason to be.
    Loop,
    /// A sender that `ALLOWED_SENDERS` does not have.
    SenderNotAllowed {
        /// Who, masked; nothing where a header field cannot be read as addresses.
        sender: Option<String>,
    },
    /// A recipient that a rule keeps from getting mail.
    RecipientNotAllowed {
        /// Who, masked.
        recipient: String,
        /// The variable with the rule.
        setting: &'static str,
    },
    /// Too many messages, or too many bytes, are in flight.
    Overloaded,
    /// The process is ending.
    Draining,
}

impl Refusal {
    /// The label of a sender that a rule refuses.
    pub const SENDER_NOT_ALLOWED: &'static str = "sender_not_allowed";
    /// The label of a recipient that a rule refuses.
    pub const RECIPIENT_NOT_ALLOWED: &'static str = "recipient_not_allowed";

    /// Every label, for metrics that must exist from the start.
    pub const LABELS: [&'static str; 8] = [
        "too_large",
        "too_many_recipients",
        "header_too_large",
        "loop",
        Self::SENDER_NOT_ALLOWED,
        Self::RECIPIENT_NOT_ALLOWED,
        "overloaded",
        "draining",
    ];

    /// The word for metrics, logs and answers.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "too_large",
            Self::TooManyRecipients { .. } => "too_many_recipients",
            Self::HeaderTooLarge { .. } => "header_too_large",
            Self::Loop => "loop",
            Self::SenderNotAllowed { .. } => Self::SENDER_NOT_ALLOWED,
            Self::RecipientNotAllowed { .. } => Self::RECIPIENT_NOT_ALLOWED,
            Self::Overloaded => "overloaded",
            Self::Draining => "draining",
        }
    }
}

/// What became of a submission, for whoever handed it in.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Our own id of the submission, also in the log.
    pub id: String,
    /// The Message-ID, without angle brackets: the same over all attempts.
    pub message_id: String,
    /// How many times the provider was asked.
    pub attempts: u32,
    /// From the submission being complete to this answer.
    pub elapsed: Duration,
    /// The way the last attempt took, such as `smtp:587 starttls`.
    pub path: Option<String>,
    /// One verdict per recipient of the envelope, in its order.
    pub recipients: Vec<Verdict>,
    /// The result.
    pub outcome: Outcome,
}

/// The result in an [`Answer`].
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The provider took it for at least one recipient (all of them where all-or-nothing was asked for).
    Taken(Reply),
    /// Our own rules refused it.
    Refused(Refusal),
    /// The provider did not take it, or nobody knows.
    Failed(Failure),
}

impl Outcome {
    /// The word for metrics and logs.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Taken(_) => "taken",
            Self::Refused(_) => "refused",
            Self::Failed(failure) => failure.class.label(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_belongs_to_a_group_of_a_closed_set() {
        for (code, enhanced, group) in [
            (250, Some((2, 0, 0)), "2yz"),
            (535, Some((5, 7, 8)), "5.7"),
            (550, None, "5yz"),
            (451, Some((4, 3, 0)), "4.3"),
            (421, Some((5, 7, 0)), "4yz"),
            (554, Some((5, 99, 0)), "5yz"),
            (550, Some((5, 0, 0)), "5yz"),
            (450, Some((4, 7, 1)), "4.7"),
            (334, None, "none"),
            (0, None, "none"),
        ] {
            let enhanced = enhanced.map(|(class, subject, detail)| EnhancedCode(class, subject, detail));
            let reply = Reply { code, enhanced, text: String::new() };
            assert_eq!(reply.group(), group, "{reply:?}");
            assert!(Reply::GROUPS.contains(&reply.group()));
        }
    }
}
