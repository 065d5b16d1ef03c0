//! Errors as problem details (RFC 9457), from one closed list of codes.

use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use serde::Serialize;

use super::answer::{Recipient, Upstream};
use crate::message::Id;

/// Where a code is explained: a JSON Pointer into the document that we serve (RFC 9512 section 3.2).
const EXPLAINED_AT: &str = "/openapi.yaml#/x-problems/";

macro_rules! codes {
    ($($code:ident = $name:literal $status:literal $retryable:literal $title:literal,)+) => {
        /// What went wrong, as a closed set: the word that programs switch on.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code { $(#[doc = $title] $code,)+ }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$code,)+];

            /// The word in an answer.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$code => $name,)+ }
            }

            /// The HTTP status that goes with it.
            #[must_use]
            pub fn status(self) -> u16 {
                match self { $(Self::$code => $status,)+ }
            }

            /// Whether the same request may succeed later.
            #[must_use]
            pub fn is_retryable(self) -> bool {
                match self { $(Self::$code => $retryable,)+ }
            }

            /// The same for every problem of this code.
            #[must_use]
            pub fn title(self) -> &'static str {
                match self { $(Self::$code => $title,)+ }
            }
        }
    };
}

codes! {
    MalformedRequest = "malformed_request" 400 false "The request cannot be read",
    Unauthorized = "unauthorized" 401 false "No valid token",
    ClientNotAllowed = "client_not_allowed" 403 false "This client may not send",
    HostNotAllowed = "host_not_allowed" 403 false "Not a name of this service",
    OriginNotAllowed = "origin_not_allowed" 403 false "Other web sites may not call this service",
    SenderNotAllowed = "sender_not_allowed" 403 false "This sender may not send",
    RecipientNotAllowed = "recipient_not_allowed" 403 false "This recipient may not get mail",
    NotFound = "not_found" 404 false "No such resource",
    MessageNotFound = "message_not_found" 404 false "No such message",
    MessagesNotKept = "messages_not_kept" 404 false "Messages are not kept",
    MethodNotAllowed = "method_not_allowed" 405 false "Not with this method",
    NotAcceptable = "not_acceptable" 406 false "Not available in the form asked for",
    RequestTimeout = "request_timeout" 408 true "The body came too slowly",
    MessageTooLarge = "message_too_large" 413 false "The message is too large",
    HeaderTooLarge = "header_too_large" 413 false "The header of the message is too large",
    UnsupportedMediaType = "unsupported_media_type" 415 false "The body is not of the type expected here",
    ValidationFailed = "validation_failed" 422 false "The request has mistakes",
    TooManyRecipients = "too_many_recipients" 422 false "Too many recipients",
    MailLoop = "mail_loop" 422 false "The message goes round in circles",
    UpstreamRejected = "upstream_rejected" 422 false "The provider refused the message",
    Overloaded = "overloaded" 429 true "Too much mail is in flight",
    InternalError = "internal_error" 500 false "Internal error",
    UpstreamAuthFailed = "upstream_auth_failed" 502 true "The provider refused our login",
    UpstreamSenderRefused = "upstream_sender_refused" 502 true "The provider refused our sender",
    UpstreamTlsFailed = "upstream_tls_failed" 502 true "No secure connection to the provider",
    UpstreamMisconfigured = "upstream_misconfigured" 502 true "The provider does not serve us as configured",
    UpstreamUnreachable = "upstream_unreachable" 503 true "The provider cannot be reached",
    UpstreamUnavailable = "upstream_unavailable" 503 true "The provider failed for the moment",
    UpstreamThrottled = "upstream_throttled" 503 true "The provider asks to slow down",
    ShuttingDown = "shutting_down" 503 true "Sidepost is shutting down",
    TooManyConnections = "too_many_connections" 503 true "Too many connections",
    OutcomeUnknown = "outcome_unknown" 504 false "Nobody knows whether the provider took the message",
}

/// One mistake in a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mistake {
    /// Where in a JSON body: a JSON Pointer as a URI fragment (RFC 6901 section 6).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// Which query parameter or header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameter: Option<String>,
    /// The kind of mistake: `required`, `type`, `unknown`, `unsupported`, `conflict`, `too_many` or `invalid`.
    pub code: &'static str,
    /// What is wrong and what would be right. Never the value.
    pub detail: String,
}

/// An answer other than success.
#[derive(Clone, Debug)]
pub struct Problem(Box<Parts>);

#[derive(Clone, Debug)]
struct Parts {
    code: Code,
    headers: HeaderMap,
    counted_as: Option<&'static str>,
    body: ProblemBody,
}

/// The members of a problem, in the order in which they are shown.
#[derive(Clone, Debug, Default, Serialize)]
struct ProblemBody {
    r#type: String,
    title: &'static str,
    status: u16,
    detail: String,
    instance: String,
    code: &'static str,
    retryable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    possible_duplicate: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Mistake>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempts: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream: Option<Upstream>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    recipients: Vec<Recipient>,
}

/// Marks an answer that has to be counted as refused, under this reason.
#[derive(Clone, Copy, Debug)]
pub struct Refused(pub &'static str);

impl Problem {
    /// A problem with a sentence for a person.
    #[must_use]
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        let body = ProblemBody {
            r#type: format!("{EXPLAINED_AT}{}", code.name()),
            title: code.title(),
            status: code.status(),
            detail: detail.into(),
            instance: urn(&Id::new().to_string()),
            code: code.name(),
            retryable: code.is_retryable(),
            ..ProblemBody::default()
        };
        Self(Box::new(Parts { code, headers: HeaderMap::new(), counted_as: None, body }))
    }

    /// Every mistake of a request.
    #[must_use]
    pub fn mistakes(errors: Vec<Mistake>) -> Self {
        let detail = match errors.as_slice() {
            [only] => only.detail.clone(),
            more => format!("{} mistakes; `errors` has them all", more.len()),
        };
        let mut problem = Self::new(Code::ValidationFailed, detail).counted("malformed");
        problem.0.body.errors = errors;
        problem
    }

    /// Its code.
    #[must_use]
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// With a header more.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.insert(name, value);
        self
    }

    /// With the wait after which a new try makes sense, in the body and as `Retry-After`: whole seconds, at least one.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        let seconds = (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1);
        self.0.body.retry_after = Some(seconds);
        self.header(RETRY_AFTER, seconds.into())
    }

    /// A refusal that nobody behind the ingress has counted, to be counted under this reason.
    #[must_use]
    pub fn counted(mut self, reason: &'static str) -> Self {
        self.0.counted_as = Some(reason);
        self
    }

    /// About this submission.
    #[must_use]
    pub fn submission(mut self, id: String, message_id: String, attempts: u32, elapsed: Duration) -> Self {
        let body = &mut self.0.body;
        body.instance = urn(&id);
        body.id = Some(id);
        body.message_id = Some(message_id).filter(|id| !id.is_empty());
        body.attempts = Some(attempts);
        body.duration_ms = Some(super::answer::milliseconds(elapsed));
        self
    }

    /// With what the provider did.
    #[must_use]
    pub fn upstream(mut self, upstream: Upstream) -> Self {
        self.0.body.upstream = Some(upstream);
        self
    }

    /// With the way that the last attempt took.
    #[must_use]
    pub fn with_path(mut self, path: Option<String>) -> Self {
        self.0.body.path = path;
        self
    }

    /// With the fate of each recipient.
    #[must_use]
    pub fn recipients(mut self, recipients: Vec<Recipient>) -> Self {
        self.0.body.recipients = recipients;
        self
    }

    /// The provider may have the message: a repeat may make a second copy.
    #[must_use]
    pub fn possible_duplicate(mut self) -> Self {
        self.0.body.possible_duplicate = Some(true);
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Parts { code, headers, counted_as, body } = *self.0;
        let mut response = super::answer::json(&body);
        *response.status_mut() = StatusCode::from_u16(code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        response.headers_mut().extend(headers);
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(reason) = counted_as {
            tracing::info!(code = code.name(), status = code.status(), instance = body.instance, "request refused");
            response.extensions_mut().insert(Refused(reason));
        }
        response
    }
}

impl From<Problem> for Response<Body> {
    fn from(problem: Problem) -> Self {
        problem.into_response()
    }
}

fn urn(id: &str) -> String {
    format!("urn:uuid:{id}")
}
