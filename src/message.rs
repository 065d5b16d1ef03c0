//! What is sent: a [`Submission`] came in through an ingress, a [`Message`] was admitted and goes out.
//!
//! Both hold the same parsed-once parts: an [`Envelope`] of checked addresses and a [`Content`] whose line ends are
//! CRLF and nothing else. Whoever holds one of these types need not check again.

pub mod address;
pub mod content;
pub mod dsn;
pub mod envelope;
pub mod header;
pub mod mime;
mod unguessable;

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

pub use address::Address;
pub use content::Content;
pub use envelope::Envelope;

/// Our own name for a submission: sortable by time, safe in a URL (UUID version 7, RFC 9562).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Id(uuid::Uuid);

impl Id {
    /// A new id of this moment: different from all others, no secret.
    #[must_use]
    pub fn new() -> Self {
        Self::of(&std::array::from_fn(|_| fastrand::u8(..)))
    }

    /// A new id of this moment that nobody can guess.
    #[must_use]
    pub fn unguessable() -> Self {
        Self::of(&unguessable::bytes())
    }

    /// As 32 hexadecimal digits.
    #[must_use]
    pub fn simple(self) -> uuid::fmt::Simple {
        self.0.simple()
    }

    fn of(random: &[u8; 10]) -> Self {
        let milliseconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let milliseconds = u64::try_from(milliseconds).unwrap_or(u64::MAX);
        Self(uuid::Builder::from_unix_timestamp_millis(milliseconds, random).into_uuid())
    }
}

impl Default for Id {
    fn default() -> Self {
        Self::new()
    }
}

impl std::str::FromStr for Id {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        uuid::Uuid::try_parse(text).map(Self)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

/// The door through which a submission came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ingress {
    /// HTTP, whatever the dialect.
    Http,
    /// SMTP.
    Smtp,
    /// LMTP.
    Lmtp,
}

impl Ingress {
    /// Every ingress.
    pub const ALL: [Self; 3] = [Self::Http, Self::Smtp, Self::Lmtp];

    /// The word for metrics and logs.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Smtp => "smtp",
            Self::Lmtp => "lmtp",
        }
    }
}

/// What came in, complete and well-formed, before any rule of ours has looked at it.
#[derive(Clone, Debug)]
pub struct Submission {
    /// Our own name for it.
    pub id: Id,
    /// The door.
    pub ingress: Ingress,
    /// Who sends to whom.
    pub envelope: Envelope,
    /// Headers and body as they will leave.
    pub content: Content,
    /// The Message-ID that the content carries, without angle brackets.
    pub message_id: String,
    /// What the one look at its header found.
    pub findings: header::Findings,
    /// Whether one recipient refused before the content must stop the message for all.
    pub all_or_nothing: bool,
}

/// What was admitted: final in every byte.
///
/// Built only by `policy`, from a [`Submission`].
#[derive(Clone, Debug)]
pub struct Message {
    /// Our own name for it.
    pub id: Id,
    /// Who sends to whom.
    pub envelope: Envelope,
    /// Headers and body.
    pub content: Content,
    /// The Message-ID that the content carries, without angle brackets.
    pub message_id: String,
    /// Whether one recipient refused before the content must stop the message for all.
    pub all_or_nothing: bool,
}
