//! Why a link breaks and what to do about it: one place for every such sentence.
//!
//! The particular comes first: rows for what providers are known to say. Where none fits, a login that is refused has
//! the sentence of the provider's preset, and everything else the general one of its reason; so a provider that nobody
//! wrote a row for still gets the right cause.

mod general;
mod rows;

use crate::outcome::{Cause, Reason, Reply, Step};

pub use self::general::{CERTIFICATE_EXPIRED, CERTIFICATE_NAME, CERTIFICATE_NOT_YET_VALID, INTERNAL, SCRIPTED, of};

/// What is known of a failure when its cause is looked up.
#[derive(Clone, Copy, Debug)]
pub struct Fact<'a> {
    /// The provider's name, as its preset has it.
    pub provider: &'a str,
    /// On which link it happened.
    pub step: Step,
    /// Why, as a closed set.
    pub reason: Reason,
    /// What the provider said.
    pub reply: Option<&'a Reply>,
    /// What the preset says of a refused login.
    pub login_refused: &'static Cause,
}

/// What a provider is known to say, and what it means.
#[derive(Debug)]
struct Row {
    /// The providers that it is said by; all where there is none.
    providers: &'static [&'static str],
    /// One of these is in the reply, its code and enhanced code included. Lower case.
    words: &'static [&'static str],
    cause: Cause,
}

/// The cause of a failure.
#[must_use]
pub fn find(fact: &Fact<'_>) -> &'static Cause {
    if let Some(reply) = fact.reply {
        let said = reply.to_string().to_lowercase();
        let fits = |row: &&Row| row.is_by(fact.provider) && row.words.iter().any(|words| said.contains(words));
        if let Some(row) = rows::ROWS.iter().find(fits) {
            return &row.cause;
        }
    }
    match (fact.step, fact.reason) {
        (Step::Auth, Reason::AuthRejected) => fact.login_refused,
        (_, reason) => of(reason),
    }
}

impl Row {
    fn is_by(&self, provider: &str) -> bool {
        self.providers.is_empty() || self.providers.contains(&provider)
    }
}

/// The cause of every row, for the test that every one of them can be found.
pub fn rows() -> impl Iterator<Item = &'static Cause> {
    rows::ROWS.iter().map(|row| &row.cause)
}

/// What is known to be said, and what it means: by whom, in which words, the cause.
pub fn catalogue() -> impl Iterator<Item = (&'static [&'static str], &'static [&'static str], &'static Cause)> {
    rows::ROWS.iter().map(|row| (row.providers, row.words, &row.cause))
}

/// What is so where nothing more is known: what was seen, the cause.
pub fn general() -> impl Iterator<Item = (&'static str, &'static Cause)> {
    general::SEEN.iter().map(|(seen, reason)| (*seen, of(*reason))).chain(general::CERTIFICATES)
}
