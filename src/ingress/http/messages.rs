//! `GET /v1/messages`: what the provider `capture` keeps instead of sending it.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, VARY};
use serde::Serialize;

use super::problem::{Code, Mistake, Problem};
use super::query::Query;
use super::{Api, answer};
use crate::message::{Address, Content, Id};
use crate::time::utc_with_milliseconds;
use crate::transport::capture::{Capture, Captured};

/// How many messages are listed where the caller names no number.
const USUAL: usize = 50;
/// The most messages in one list.
const MOST: usize = 1000;
const MESSAGE: &str = "message/rfc822";

#[derive(Debug, Serialize)]
struct Messages {
    messages: Vec<Summary>,
}

#[derive(Debug, Serialize)]
struct Summary {
    id: String,
    message_id: String,
    received: String,
    mail_from: String,
    rcpt_to: Vec<String>,
    size: usize,
}

impl From<&Captured> for Summary {
    fn from(captured: &Captured) -> Self {
        Self {
            id: captured.id.to_string(),
            message_id: captured.message_id.clone(),
            received: utc_with_milliseconds(captured.received),
            mail_from: captured.sender.as_ref().map(Address::to_string).unwrap_or_default(),
            rcpt_to: captured.recipients.iter().map(Address::to_string).collect(),
            size: captured.content.len(),
        }
    }
}

pub(super) async fn list(State(api): State<Arc<Api>>, query: Query) -> Result<Response, Problem> {
    let count = match query.all("limit").as_slice() {
        [] => USUAL,
        [one] => limit(one)?,
        _ => return Err(bad_limit()),
    };
    let kept = kept(&api)?.latest(count);
    Ok(answer::json(&Messages { messages: kept.iter().map(|captured| Summary::from(captured.as_ref())).collect() }))
}

fn limit(text: &str) -> Result<usize, Problem> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|count| digits && (1..=MOST).contains(count)).ok_or_else(bad_limit)
}

fn bad_limit() -> Problem {
    let detail = format!("a whole number from 1 to {MOST}, once");
    Problem::mistakes(vec![Mistake { pointer: None, parameter: Some("limit".to_owned()), code: "invalid", detail }])
}

pub(super) async fn one(
    State(api): State<Arc<Api>>,
    id: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let kept = kept(&api)?;
    let captured = id.ok().and_then(|id| id.parse::<Id>().ok()).and_then(|id| kept.get(&id)).ok_or_else(|| {
        Problem::new(Code::MessageNotFound, "No message of this id is kept; only the latest are, in memory.")
    })?;
    let mut response = match preferred(&headers) {
        Some(Form::Json) => answer::json(&Summary::from(captured.as_ref())),
        Some(Form::Message) => message(&captured.content),
        None => {
            let detail = format!("A message is available as application/json and as {MESSAGE}.");
            return Err(Problem::new(Code::NotAcceptable, detail));
        }
    };
    response.headers_mut().insert(VARY, HeaderValue::from_static("Accept"));
    Ok(response)
}

fn kept(api: &Api) -> Result<&Capture, Problem> {
    api.relay.captured().ok_or_else(|| {
        let detail = "Messages go to the provider and are not kept here; only SIDEPOST_PROVIDER=capture keeps them.";
        Problem::new(Code::MessagesNotKept, detail)
    })
}

/// The bytes as they lie, without a copy.
fn message(content: &Content) -> Response {
    let chunks = Chunks { rest: content.chunks().to_vec().into_iter(), bytes: content.len() as u64 };
    let mut response = Response::new(Body::new(chunks));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(MESSAGE));
    // A message is whatever its sender wanted it to be; no browser shall find HTML in it.
    headers.insert(HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff"));
    response
}

/// The body of a response that is the content of a message.
struct Chunks {
    rest: std::vec::IntoIter<Bytes>,
    bytes: u64,
}

impl hyper::body::Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let chunk = self.rest.next();
        self.bytes -= chunk.as_ref().map_or(0, |chunk| chunk.len() as u64);
        Poll::Ready(chunk.map(|chunk| Ok(Frame::data(chunk))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes)
    }
}

/// The forms in which a message is available.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Json,
    Message,
}

/// The form that the caller likes best (RFC 9110 section 12.5.1); JSON where it does not matter.
fn preferred(headers: &HeaderMap) -> Option<Form> {
    let fields: Vec<_> = headers.get_all(ACCEPT).iter().filter_map(|field| field.to_str().ok()).collect();
    if fields.is_empty() {
        return Some(Form::Json);
    }
    let accept = fields.join(",").to_ascii_lowercase();
    let (json, message) = (quality(&accept, "application/json"), quality(&accept, MESSAGE));
    match (json, message) {
        (0, 0) => None,
        _ if message > json => Some(Form::Message),
        _ => Some(Form::Json),
    }
}

/// The weight in thousandths of the most specific range that covers the type.
fn quality(accept: &str, wanted: &str) -> u32 {
    let family = wanted.split('/').next().unwrap_or_default();
    let specificity = |range: &str| match range.split_once('/') {
        _ if range == wanted => 3,
        Some((first, "*")) if first == family => 2,
        Some(("*", "*")) => 1,
        _ => 0,
    };
    let ranges = accept.split(',').map(|range| {
        let mut parts = range.split(';').map(str::trim);
        (specificity(parts.next().unwrap_or_default()), parts.find_map(weight).unwrap_or(1000))
    });
    ranges
        .filter(|(specificity, _)| *specificity > 0)
        .max_by_key(|(specificity, _)| *specificity)
        .map_or(0, |best| best.1)
}

fn weight(parameter: &str) -> Option<u32> {
    let (whole, decimals) =
        parameter.strip_prefix("q=")?.split_once('.').unwrap_or((parameter.strip_prefix("q=")?, ""));
    let thousandths: u32 = format!("{decimals:0<3}").get(..3)?.parse().ok()?;
    Some(if whole == "0" { thousandths } else { 1000 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(accept: &[&'static str], expected: Option<Form>) {
        let mut headers = HeaderMap::new();
        for field in accept {
            headers.append(ACCEPT, HeaderValue::from_static(field));
        }
        assert_eq!(preferred(&headers), expected, "{accept:?}");
    }

    #[test]
    fn the_form_is_what_the_caller_likes_best() {
        check(&[], Some(Form::Json));
        check(&["*/*"], Some(Form::Json));
        check(&["message/rfc822"], Some(Form::Message));
        check(&["text/html, Message/*;q=0.5"], Some(Form::Message));
        check(&["application/json;q=0.2", "message/rfc822;q=0.25"], Some(Form::Message));
        check(&["*/*;q=0.1, message/rfc822;q=0"], Some(Form::Json));
        check(&["text/html"], None);
        check(&["*/*;q=0"], None);
    }
}
