//! The ways a message can leave. One send is one attempt, and ends in a receipt or in a classified failure.

pub mod capture;
mod reach;
pub mod smtp;

use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::time::Instant;

use self::capture::Capture;
use self::smtp::Smtp;
use crate::diagnosis::comparison::families::Host;
use crate::diagnosis::comparison::names::Lookup;
use crate::diagnosis::comparison::{Answer, Found};
use crate::diagnosis::table::INTERNAL;
use crate::lifecycle::Watch;
use crate::message::Message;
use crate::oauth::{Kind, Status};
use crate::outcome::{Cause, Class, Failure, Reason, Receipt, Step};
use crate::provider::{Path, Server};

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
    /// How long a connection may take to come about.
    pub connect: Duration,
    /// Whether a login may be tried.
    pub gate: &'a dyn Gate,
    /// The process' life.
    pub lifecycle: &'a Watch,
}

/// Whether logins may be tried, and who wants to know how they end.
pub trait Gate: std::fmt::Debug + Send + Sync {
    /// Leave to log in.
    ///
    /// # Errors
    /// What keeps everybody out for a while.
    fn admit(&self) -> Result<(), Box<Failure>>;

    /// The provider let us in.
    fn entered(&self);

    /// Nobody was let in; gives back what to say about it.
    fn refused(&self, failure: Failure) -> Failure;
}

/// How far a probe goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// To the answer to EHLO, under TLS.
    Hello,
    /// Through the login.
    Login,
}

/// A look at a path without a message.
#[derive(Clone, Copy, Debug)]
pub struct Probe<'a> {
    /// How far to go; not beyond the login while logins rest.
    pub depth: Depth,
    /// How long each step may take.
    pub step: Duration,
    /// Until when it must be done.
    pub deadline: Instant,
    /// Whether a login may be tried.
    pub gate: &'a dyn Gate,
    /// The process' life.
    pub lifecycle: &'a Watch,
}

/// What a probe came to.
#[derive(Debug)]
pub struct Probed {
    /// How far it came, or why not.
    pub result: Result<Depth, Failure>,
    /// How long it took, by phase.
    pub phases: Phases,
}

/// What an attempt came to.
#[derive(Debug)]
pub struct Attempt {
    /// A receipt, or why not.
    pub result: Result<Receipt, Failure>,
    /// Whether the provider was not even asked, since logins rest.
    pub is_held: bool,
    /// How long it took, by phase.
    pub phases: Phases,
}

/// How long the phases of an attempt took; absent where there was none.
#[derive(Clone, Copy, Debug, Default)]
pub struct Phases {
    /// The name lookup.
    pub name: Option<Duration>,
    /// Name lookup and TCP.
    pub connect: Option<Duration>,
    /// Whether a connection came about by IPv4 only after IPv6 had been tried.
    pub has_left_ipv6: Option<bool>,
    /// The TLS handshake.
    pub tls: Option<Duration>,
    /// Until when the certificate holds that was shown in it.
    pub certificate_ends: Option<SystemTime>,
    /// AUTH.
    pub login: Option<Duration>,
    /// How the login ended, if there was one.
    pub login_result: Option<LoginResult>,
    /// Envelope, content and answer.
    pub send: Option<Duration>,
}

/// No further token could be had.
#[derive(Clone, Debug)]
pub struct Shortage {
    /// Whether the one in use is good still.
    pub has_one_still: bool,
    /// Whether its issuer said no, so that a person has to act.
    pub is_refused: bool,
    /// Why.
    pub cause: &'static Cause,
    /// What was seen.
    pub evidence: String,
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
            (Self::Smtp(_), Path::Capture) => {
                Attempt { result: Err(no_such_path()), is_held: false, phases: Phases::default() }
            }
        }
    }

    /// Looks at a path without a message. Nothing where mail is on its way there, which tells as much.
    pub async fn probe(&self, path: &Path, probe: &Probe<'_>) -> Option<Probed> {
        match (self, path) {
            (Self::Smtp(smtp), Path::Smtp(server)) => smtp.probe(server, probe).await,
            (Self::Capture(_), _) | (_, Path::Capture) => None,
        }
    }

    /// What is found at a host's port, as far as it matters for a failure along a server; and whether that is in a
    /// network of our own.
    pub async fn look(
        &self,
        server: &Server,
        host: String,
        port: u16,
        failure: &Failure,
        wait: Duration,
        lifecycle: &Watch,
    ) -> (Found, bool) {
        match self {
            Self::Smtp(smtp) => smtp.look(server, host, port, failure, wait, lifecycle).await,
            Self::Capture(_) => (Found { host, port, answer: Answer::NoRoute, greeting: None, trust: None }, false),
        }
    }

    /// How the lookup of a name ends just now.
    pub async fn look_up(&self, host: &str, wait: Duration) -> Lookup {
        match self {
            Self::Smtp(smtp) => smtp.look_up(host, wait).await,
            Self::Capture(_) => Lookup::Unavailable,
        }
    }

    /// What answers at a host's port by each family of addresses.
    pub async fn families(&self, host: &str, port: u16, wait: Duration) -> Host {
        match self {
            Self::Smtp(smtp) => smtp.families(host, port, wait).await,
            Self::Capture(_) => Host { name: host.to_owned(), port, v4: None, v6: None },
        }
    }

    /// Opens the connections that are asked for at the start.
    pub async fn warm_up(&self, gate: &dyn Gate, lifecycle: &Watch) {
        match self {
            Self::Smtp(smtp) => smtp.warm_up(gate, lifecycle).await,
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

    /// Why the next login will have no token, if that is so.
    #[must_use]
    pub fn token_shortage(&self) -> Option<Shortage> {
        let status = self.tokens()?;
        let trouble = status.trouble?;
        Some(Shortage {
            has_one_still: status.token_expires.is_some_and(|end| end > SystemTime::now()),
            is_refused: trouble.kind == Kind::Refused,
            cause: trouble.cause,
            evidence: trouble.evidence,
        })
    }

    /// Told whenever a request for a token has ended, if the login is by tokens.
    #[must_use]
    pub fn token_changes(&self) -> Option<watch::Receiver<()>> {
        match self {
            Self::Smtp(smtp) => smtp.token_changes(),
            Self::Capture(_) => None,
        }
    }

    /// The name that we give, where there is one.
    #[must_use]
    pub fn helo_name(&self) -> Option<&str> {
        match self {
            Self::Smtp(smtp) => smtp.helo_name(),
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
