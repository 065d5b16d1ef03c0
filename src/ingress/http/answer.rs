//! What became of a submission, as a status and a body.

use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderValue};
use serde::Serialize;

use super::problem::{Code, Problem};
use crate::outcome::{Answer, Class, Failure, Outcome, Reason, Refusal, Reply, Verdict};

/// A new try after an overload: the budget frees up as fast as the provider answers.
const AFTER_OVERLOAD: Duration = Duration::from_secs(1);
/// A new try while this process ends: its successor needs a moment.
const AFTER_DRAINING: Duration = Duration::from_secs(5);
/// A new try after trouble of the moment, where nobody knows better.
const AFTER_TROUBLE: Duration = Duration::from_secs(10);
/// A new try after a person had to act, where nobody knows better.
const AFTER_REPAIR: Duration = Duration::from_secs(60);

/// Through which field a recipient came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// `to`.
    To,
    /// `cc`.
    Cc,
    /// `bcc`.
    Bcc,
    /// An explicit envelope.
    Envelope,
}

/// A recipient as it was given in, in the order of the envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The address.
    pub email: String,
    /// The field.
    pub kind: Kind,
}

/// One recipient and its fate.
#[derive(Clone, Debug, Serialize)]
pub struct Recipient {
    email: String,
    kind: Kind,
    status: &'static str,
    #[serde(flatten)]
    reply: Option<SmtpReply>,
}

#[derive(Clone, Debug, Serialize)]
struct SmtpReply {
    smtp_code: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    enhanced_code: Option<String>,
    detail: String,
}

/// What the provider said about the message as a whole, or where the way to it broke.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Upstream {
    #[serde(skip_serializing_if = "Option::is_none")]
    smtp_code: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    enhanced_code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct Sent {
    id: String,
    message_id: String,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    attempts: u32,
    duration_ms: u64,
    upstream: Upstream,
    recipients: Vec<Recipient>,
}

/// The response to a submission.
#[must_use]
pub fn respond(answer: Answer, listed: Vec<Listed>) -> Response {
    let recipients = recipients(listed, &answer.recipients);
    match answer.outcome {
        Outcome::Taken(ref reply) => {
            let upstream = Upstream::said(reply);
            sent(answer, upstream, recipients)
        }
        Outcome::Refused(refusal) => {
            let problem = refused(&refusal);
            problem.submission(answer.id, answer.message_id, answer.attempts, answer.elapsed).into_response()
        }
        Outcome::Failed(failure) => failed(failure)
            .submission(answer.id, answer.message_id, answer.attempts, answer.elapsed)
            .with_path(answer.path)
            .recipients(recipients)
            .into_response(),
    }
}

fn recipients(listed: Vec<Listed>, verdicts: &[Verdict]) -> Vec<Recipient> {
    let pairs = listed.into_iter().zip(verdicts);
    pairs.map(|(Listed { email, kind }, verdict)| Recipient::new(email, kind, verdict)).collect()
}

fn sent(answer: Answer, upstream: Upstream, recipients: Vec<Recipient>) -> Response {
    let all = answer.recipients.iter().all(|verdict| matches!(verdict, Verdict::Accepted(_)));
    json(&Sent {
        id: answer.id,
        message_id: answer.message_id,
        status: if all { "sent" } else { "partial" },
        path: answer.path,
        attempts: answer.attempts,
        duration_ms: milliseconds(answer.elapsed),
        upstream,
        recipients,
    })
}

/// A refusal by our own rules. The relay has counted it.
#[must_use]
pub fn refused(refusal: &Refusal) -> Problem {
    match refusal {
        Refusal::TooLarge { limit } => too_large(*limit),
        Refusal::TooManyRecipients { limit } => Problem::new(
            Code::TooManyRecipients,
            format!("A message may have at most {limit} recipients (SIDEPOST_MAX_RECIPIENTS)."),
        ),
        Refusal::HeaderTooLarge { limit } => {
            let detail = format!("The header of a message may have at most {limit} bytes.");
            Problem::new(Code::HeaderTooLarge, detail)
        }
        Refusal::Loop => {
            let detail = "A mail loop: the message was here before, or on more servers than any message should be.";
            Problem::new(Code::MailLoop, detail)
        }
        Refusal::SenderNotAllowed { sender } => {
            let detail = match sender {
                Some(sender) => format!("{sender} may not send here (SIDEPOST_ALLOWED_SENDERS)."),
                None => "A From or Sender header that is no clear list of addresses may not be sent here \
                         (SIDEPOST_ALLOWED_SENDERS)."
                    .to_owned(),
            };
            Problem::new(Code::SenderNotAllowed, detail)
        }
        Refusal::RecipientNotAllowed { recipient, setting } => {
            Problem::new(Code::RecipientNotAllowed, format!("{recipient} may not get mail from here ({setting})."))
        }
        Refusal::Overloaded => {
            Problem::new(Code::Overloaded, "As much mail as the limits allow is in flight; nothing was sent.")
                .retry_after(AFTER_OVERLOAD)
        }
        Refusal::Draining => shutting_down("Sidepost is shutting down and takes no new mail; nothing was sent."),
    }
}

/// More bytes than `limit`.
#[must_use]
pub fn too_large(limit: u64) -> Problem {
    let detail = format!("A message may have at most {limit} bytes as it leaves (SIDEPOST_MAX_MESSAGE_BYTES).");
    Problem::new(Code::MessageTooLarge, detail)
}

fn shutting_down(detail: impl Into<String>) -> Problem {
    Problem::new(Code::ShuttingDown, detail)
        .retry_after(AFTER_DRAINING)
        .header(CONNECTION, HeaderValue::from_static("close"))
}

fn failed(failure: Failure) -> Problem {
    let upstream = Upstream::failed(&failure);
    let (code, wait) = meaning(&failure);
    let problem = match (code, wait) {
        (Code::ShuttingDown, _) => shutting_down(failure.sentence),
        (code, Some(wait)) => Problem::new(code, failure.sentence).retry_after(failure.retry_after.unwrap_or(wait)),
        (code, None) => Problem::new(code, failure.sentence),
    };
    let problem = if code == Code::OutcomeUnknown { problem.possible_duplicate() } else { problem };
    problem.upstream(upstream)
}

/// The code of a failure, and after which time to try again where the failure itself does not say.
fn meaning(failure: &Failure) -> (Code, Option<Duration>) {
    match (failure.class, failure.reason) {
        (Class::Unconfirmed, _) => (Code::OutcomeUnknown, None),
        (Class::Permanent, _) => (Code::UpstreamRejected, None),
        (Class::Misconfigured, reason) => (misconfigured(reason), Some(AFTER_REPAIR)),
        (_, Reason::ShuttingDown) => (Code::ShuttingDown, None),
        (Class::Throttled, _) => (Code::UpstreamThrottled, Some(AFTER_TROUBLE)),
        (Class::Transient, _) => (Code::UpstreamUnavailable, Some(AFTER_TROUBLE)),
        (Class::Unreachable, _) => (Code::UpstreamUnreachable, Some(AFTER_TROUBLE)),
    }
}

/// Whatever else a transport calls a matter of configuration has no code of its own.
#[allow(clippy::wildcard_enum_match_arm, reason = "a new reason is told by its word; the code is a coarser thing")]
fn misconfigured(reason: Reason) -> Code {
    match reason {
        Reason::AuthUnavailable | Reason::AuthRejected | Reason::AuthTemporary => Code::UpstreamAuthFailed,
        Reason::SenderRefused => Code::UpstreamSenderRefused,
        Reason::TlsUnavailable | Reason::TlsHandshake | Reason::TlsCertificate | Reason::TlsInjection => {
            Code::UpstreamTlsFailed
        }
        _ => Code::UpstreamMisconfigured,
    }
}

impl Recipient {
    fn new(email: String, kind: Kind, verdict: &Verdict) -> Self {
        let reply = verdict.reply().map(|reply| SmtpReply {
            smtp_code: reply.code,
            enhanced_code: reply.enhanced.map(|code| code.to_string()),
            detail: reply.text.clone(),
        });
        Self { email, kind, status: verdict.label(), reply }
    }
}

impl Upstream {
    fn said(reply: &Reply) -> Self {
        Self {
            smtp_code: Some(reply.code),
            enhanced_code: reply.enhanced.map(|code| code.to_string()),
            message: Some(reply.text.clone()),
            ..Self::default()
        }
    }

    fn failed(failure: &Failure) -> Self {
        let said = failure.reply.as_ref().map(Self::said).unwrap_or_default();
        Self { step: Some(failure.step.label()), reason: Some(failure.reason.label()), ..said }
    }
}

/// Octets of an answer about one recipient, so that it is written without being moved.
const USUAL_ANSWER: usize = 768;

/// A duration as JSON shows it.
pub(super) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A value as a JSON response, with a line end for those who read it in a terminal.
pub(super) fn json(value: &impl Serialize) -> Response {
    let mut text = Vec::with_capacity(USUAL_ANSWER);
    // A value of ours can always be written, and so can a vector.
    let _ = serde_json::to_writer(&mut text, value);
    text.push(b'\n');
    let mut response = Response::new(Body::from(text));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
