//! Logins with tokens: what it means that there is none, or that one was refused.

use std::time::Duration;

use super::{Failure, Link, Reply, Step, refused};
use crate::oauth::remedy::NOT_REACHED;
use crate::oauth::{AccessToken, Kind, Trouble};
use crate::outcome::{Class, Reason};

/// There is no token to log in with.
#[must_use]
pub fn none(trouble: &Trouble, link: &Link) -> Failure {
    let (class, reason) = match (trouble.kind, trouble.retry_after) {
        (Kind::Refused, _) => (Class::Misconfigured, Reason::AuthRejected),
        (Kind::Busy, Some(_)) => (Class::Throttled, Reason::AuthTemporary),
        (Kind::Busy, None) | (Kind::Unreachable, _) => (Class::Transient, Reason::AuthTemporary),
    };
    let cause = trouble.cause;
    let sentence = cause.explain(&format!("No login at {link}. {}", trouble.evidence));
    let retry_after = trouble.retry_after;
    Failure { class, step: Step::Auth, reason, cause, sentence, reply: None, retry_after, recipients: Vec::new() }
}

/// None came in the time that the message had.
#[must_use]
pub fn late(limit: Duration, link: &Link) -> Failure {
    let evidence = format!("No access token came within {}.", super::seconds(limit));
    none(&Trouble { kind: Kind::Unreachable, cause: &NOT_REACHED, evidence, retry_after: None }, link)
}

/// The provider refused one, perhaps with a reason before its reply.
#[must_use]
pub fn not_taken(mut reply: Reply, why: Option<&str>, token: &AccessToken, link: &Link) -> Failure {
    let mut notes = Vec::from_iter(why.map(|why| format!("about the token: {why}")));
    if token.lacks_scope {
        notes.push("its issuer says that it is not for SMTP".to_owned());
    }
    if !notes.is_empty() {
        let space = if reply.text.is_empty() { "" } else { " " };
        reply.text.push_str(&format!("{space}({})", notes.join("; ")));
    }
    let failure = refused(Step::Auth, reply, link);
    // What is known of refused passwords is of no use to somebody who has none.
    let is_of_a_password = failure.cause.remedy.contains("SIDEPOST_PASSWORD");
    if is_of_a_password { failure.because("", link.login_refused) } else { failure }
}
