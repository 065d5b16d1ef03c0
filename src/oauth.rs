//! Where tokens come from: a refresh token, a Google service account, or an application of Microsoft Entra.
//!
//! A [`Grant`] says what is shown to whom; `endpoint` asks with it and reads the answer; [`Tokens`] keeps the access
//! token, refreshes it before its time is over, whether mail is sent or not, and lets all who need one wait for the same
//! answer. What the other side says about a refusal is looked up in [`remedy`], and becomes a [`Trouble`].

pub mod authorization;
mod client_credentials;
pub mod config;
mod endpoint;
mod form;
pub mod grant;
mod jwt;
mod refresh;
pub mod remedy;
mod said;
mod service_account;
mod store;
pub mod tokens;

use std::time::{Duration, SystemTime};

pub use self::grant::Grant;
pub use self::store::replace as write_secret;
pub use self::tokens::Tokens;
use crate::config::secret::Secret;
use crate::outcome::Cause;

/// Who issues the tokens, where that makes a difference to what an error means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vendor {
    /// Google accounts, Workspace included.
    Google,
    /// Microsoft Entra and personal Microsoft accounts.
    Microsoft,
    /// Somebody else who speaks OAuth 2.0.
    Other,
}

/// A token to log in with.
#[derive(Clone, Debug)]
pub struct AccessToken {
    /// What goes behind `Bearer`.
    pub secret: Secret,
    /// Which of the tokens of this process it is.
    number: u64,
    /// Whether its issuer says that it is not for SMTP.
    pub lacks_scope: bool,
}

/// Why there is no token.
#[derive(Clone, Debug)]
pub struct Trouble {
    /// What it means for the next try.
    pub kind: Kind,
    /// Why, and what to do about it.
    pub cause: &'static Cause,
    /// What was seen, in a sentence. No secret, no unmasked address.
    pub evidence: String,
    /// How long the other side asks us to wait.
    pub retry_after: Option<Duration>,
}

/// The kinds of [`Trouble`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The issuer does not want us: a person has to act.
    Refused,
    /// The issuer failed for the moment, or asks to wait.
    Busy,
    /// The issuer was not reached, or somebody else answered in its place.
    Unreachable,
}

impl Trouble {
    /// All of it, as one text.
    #[must_use]
    pub fn sentence(&self) -> String {
        self.cause.explain(&self.evidence)
    }
}

/// What is known about the tokens at this moment, for health and metrics.
#[derive(Clone, Debug)]
pub struct Status {
    /// When the first token was asked for.
    pub started: SystemTime,
    /// When the access token ends.
    pub token_expires: Option<SystemTime>,
    /// When the last access token came.
    pub last_refresh: Option<SystemTime>,
    /// Since when the refresh token in use is known: it is at least that old.
    pub refresh_token_since: Option<SystemTime>,
    /// When the refresh token ends, where its issuer says so.
    pub refresh_token_expires: Option<SystemTime>,
    /// Since when no token could be had.
    pub failing_since: Option<SystemTime>,
    /// Why the last request brought no token; nothing where it did.
    pub trouble: Option<Trouble>,
    /// By how many seconds this machine's clock is ahead of the issuer's.
    pub clock_ahead: Option<i64>,
    /// What will go wrong if nobody acts, while all still works.
    pub warning: Option<String>,
    /// Requests that brought a token, were refused, or came to nothing.
    pub requests: Requests,
}

impl Default for Status {
    fn default() -> Self {
        Self {
            started: SystemTime::now(),
            token_expires: None,
            last_refresh: None,
            refresh_token_since: None,
            refresh_token_expires: None,
            failing_since: None,
            trouble: None,
            clock_ahead: None,
            warning: None,
            requests: Requests::default(),
        }
    }
}

/// How the requests for tokens ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Requests {
    /// With a token.
    pub granted: u64,
    /// With a refusal.
    pub refused: u64,
    /// With neither.
    pub failed: u64,
}
