//! The ways a message can leave. One send is one attempt, and ends in a receipt or in a classified failure.

pub mod capture;
pub mod smtp;

use std::time::Duration;

use tokio::time::Instant;

use self::capture::Capture;
use self::smtp::Smtp;
use crate::diagnosis::table::INTERNAL;
use crate::lifecycle::Watch;
use crate::message::Message;
use crate::oauth::Status;
use crate::outcome::{Class, Failure, Reason, Receipt, Step};
use crate::provider::Path;

/// The member of the family that the settings name.
#[derive(Debug)]
pub enum Transport {
    /// Our own SMTP session with the provider.
    Smtp(Box<Smtp>),
    /// Nothing leaves: mail is kept in memory. The default, for development, and for tests.
    Capture(Capture),
}

/// One attempt to be made.
#[derive(Clone, Copy, Debug)]
pub struct Job<'a> {
    /// The message.
    pub message: &'a Message,
    /// The recipients it is for, by place in the envelope.
    pub open: &'a [usize],
    /// Until when everything before the content must be done.
    pub deadline: Instant,
    /// The process' life.
    pub lifecycle: &'a Watch,
}

/// What an attempt came to.
#[derive(Debug)]
pub struct Attempt {
    /// A receipt, or why not.
    pub result: Result<Receipt, Failure>,
    /// How long it took, by phase.
    pub phases: Phases,
}

/// How long the phases of an attempt took; absent where there was none.
#[derive(Clone, Copy, Debug, Default)]
pub struct Phases {
    /// Name lookup and TCP.
    pub connect: Option<Duration>,
    /// The TLS handshake.
    pub tls: Option<Duration>,
    /// AUTH.
    pub login: Option<Duration>,
    /// How the login ended, if there was one.
    pub login_result: Option<LoginResult>,
    /// Envelope, content and answer.
    pub send: Option<Duration>,
}

/// How a login ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginResult {
    /// We are in.
    Accepted,
    /// The provider said no to us.
    Refused,
    /// It could not be decided.
    Failed,
}

impl LoginResult {
    /// From the result of the login.
    #[must_use]
    pub fn of(result: &Result<(), Failure>) -> Self {
        match result {
            Ok(()) => Self::Accepted,
            Err(failure) if failure.reason == Reason::AuthRejected => Self::Refused,
            Err(_) => Self::Failed,
        }
    }

    /// The word for metrics.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

impl Transport {
    /// Makes one attempt along one path.
    pub async fn attempt(&self, path: &Path, job: &Job<'_>) -> Attempt {
        match (self, path) {
            (Self::Smtp(smtp), Path::Smtp(server)) => smtp.attempt(server, job).await,
            (Self::Capture(capture), _) => capture.attempt(job).await,
            (Self::Smtp(_), Path::Capture) => Attempt { result: Err(no_such_path()), phases: Phases::default() },
        }
    }

    /// Opens the connections that are asked for at the start.
    pub async fn warm_up(&self, lifecycle: &Watch) {
        match self {
            Self::Smtp(smtp) => smtp.warm_up(lifecycle).await,
            Self::Capture(_) => {}
        }
    }

    /// The most recipients that the provider takes at a time, as far as it has said; `usize::MAX` where it has not.
    #[must_use]
    pub fn recipient_limit(&self) -> usize {
        match self {
            Self::Smtp(smtp) => smtp.recipient_limit(),
            Self::Capture(_) => usize::MAX,
        }
    }

    /// What is known about the tokens for the login, if that is by tokens.
    #[must_use]
    pub fn tokens(&self) -> Option<Status> {
        match self {
            Self::Smtp(smtp) => smtp.tokens(),
            Self::Capture(_) => None,
        }
    }

    /// Connections to the provider, idle ones and those being opened included.
    #[must_use]
    pub fn connections(&self) -> usize {
        match self {
            Self::Smtp(smtp) => smtp.connections(),
            Self::Capture(_) => 0,
        }
    }
}

/// A provider's paths and its transport are made together, so this is never seen; but it must be no panic either.
fn no_such_path() -> Failure {
    let (class, step, reason) = (Class::Misconfigured, Step::Wait, Reason::Unsupported);
    Failure::new(class, step, reason, &INTERNAL, "The provider has no such path.")
}
