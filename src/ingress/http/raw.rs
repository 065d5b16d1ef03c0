//! `POST /v1/send/raw`: a finished message, passed on byte for byte, and an envelope beside it.
//!
//! The envelope stands in the query, `?from=a@b.c&to=d@e.f&to=g@h.i`, or in headers, `X-Envelope-From` and
//! `X-Envelope-To` (as often as needed, or a list). Each of the two parts in one place only.

use std::sync::Arc;
use std::time::SystemTime;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use hyper::header::{HeaderMap, HeaderValue};

use super::answer::Kind;
use super::native::{each_once, reverse_path};
use super::problem::{Mistake, Problem};
use super::query::Query;
use super::{Api, Letter, body, prefer};
use crate::config::env::nearest;
use crate::message::header::{self, Completed};
use crate::message::{Address, Envelope};

const FROM: &str = "x-envelope-from";
const TO: &str = "x-envelope-to";
const KNOWN: [&str; 2] = ["from", "to"];
/// The length of a content made of nothing: one line end.
const EMPTY: usize = 2;
/// A name longer than this is not repeated in an answer.
const LONGEST_NAME: usize = 100;
/// More mistakes than this help nobody.
const MOST_MISTAKES: usize = 50;

pub(super) async fn send(
    State(api): State<Arc<Api>>,
    query: Query,
    headers: HeaderMap,
    request: Body,
) -> Result<Response, Problem> {
    body::expect(&headers, "message/rfc822")?;
    let preference = prefer::handling(&headers);
    let (sender, recipients) = envelope(&api, &query, &headers).map_err(Problem::mistakes)?;
    let (content, hold) = body::message(&api, request).await?;
    if content.len() == EMPTY {
        return Err(Problem::mistakes(vec![mistake("body", "required", "the message itself is missing")]));
    }
    if content.has_nul() {
        return Err(Problem::mistakes(vec![mistake(
            "body",
            "invalid",
            "a NUL has no place in a message; encode what is not text",
        )]));
    }
    let domain = sender.as_ref().map_or(api.hostname.as_str(), Address::domain);
    let Completed { content, message_id, findings } = header::complete(content, None, domain, SystemTime::now());
    let (recipients, listed) = each_once(recipients.into_iter().map(|address| (address, Kind::Envelope)).collect());
    // There is at least one, or there would have been a mistake.
    let envelope = Envelope::new(sender, recipients).ok_or_else(|| Problem::mistakes(vec![nobody()]))?;
    let letter = Letter { memory: content.len(), envelope, listed, content, message_id, findings };
    Ok(api.submit(letter, hold, preference)?.await)
}

type Parts = (Option<Address>, Vec<Address>);

fn envelope(api: &Api, query: &Query, headers: &HeaderMap) -> Result<Parts, Vec<Mistake>> {
    let mut mistakes: Vec<_> =
        query.names().filter(|name| !KNOWN.contains(name)).map(unknown).take(MOST_MISTAKES).collect();
    let sender = sender(api, &mut mistakes, query, headers);
    let recipients = recipients(&mut mistakes, query, headers);
    if mistakes.is_empty() { Ok((sender, recipients)) } else { Err(mistakes) }
}

fn sender(api: &Api, mistakes: &mut Vec<Mistake>, query: &Query, headers: &HeaderMap) -> Option<Address> {
    let mut given = one_place(mistakes, "from", query.all("from"), listed_in(headers, FROM, |text| vec![text]));
    if given.len() > 1 {
        mistakes.push(mistake("from", "conflict", "a message has one sender"));
    }
    let Some(text) = given.pop() else {
        let default = api.relay.policy().default_sender().map(|mailbox| mailbox.address().clone());
        if default.is_none() {
            let detail = "name the envelope's sender in `from` or X-Envelope-From, or configure one with SIDEPOST_FROM";
            mistakes.push(mistake("from", "required", detail));
        }
        return default;
    };
    reverse_path(&text).map_err(|error| mistakes.push(mistake("from", "invalid", error.0))).ok().flatten()
}

fn recipients(mistakes: &mut Vec<Mistake>, query: &Query, headers: &HeaderMap) -> Vec<Address> {
    let given = one_place(mistakes, "to", query.all("to"), listed_in(headers, TO, split_list));
    if given.is_empty() {
        mistakes.push(nobody());
    }
    let parsed: Result<Vec<_>, _> = given.iter().map(|text| Address::parse(text)).collect();
    parsed.map_err(|error| mistakes.push(mistake("to", "invalid", error.0))).unwrap_or_default()
}

/// What is given in one of two places; in both it would be anybody's guess which counts.
fn one_place(mistakes: &mut Vec<Mistake>, parameter: &str, query: Vec<String>, headers: Vec<String>) -> Vec<String> {
    if !query.is_empty() && !headers.is_empty() {
        mistakes.push(mistake(parameter, "conflict", "given in the query and in a header; use one of them"));
    }
    if query.is_empty() { headers } else { query }
}

fn listed_in(headers: &HeaderMap, name: &str, split: impl Fn(&str) -> Vec<&str>) -> Vec<String> {
    let fields = headers.get_all(name).iter().map(|field| String::from_utf8_lossy(HeaderValue::as_bytes(field)));
    fields.flat_map(|field| split(&field).into_iter().map(|text| text.trim().to_owned()).collect::<Vec<_>>()).collect()
}

/// Cuts a list at its commas, except for those in quotes.
fn split_list(list: &str) -> Vec<&str> {
    let (mut quoted, mut escaped) = (false, false);
    list.split(move |c| {
        let cut = c == ',' && !quoted;
        quoted ^= c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        cut
    })
    .collect()
}

fn nobody() -> Mistake {
    mistake("to", "required", "name at least one recipient in `to` or X-Envelope-To")
}

fn unknown(name: &str) -> Mistake {
    let near = nearest(name, KNOWN.iter().map(ToString::to_string));
    let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
    let shown = if name.len() > LONGEST_NAME { "query" } else { name };
    mistake(shown, "unknown", &format!("no such parameter{hint}"))
}

fn mistake(parameter: &str, code: &'static str, detail: &str) -> Mistake {
    Mistake { pointer: None, parameter: Some(parameter.to_owned()), code, detail: detail.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_cut_at_commas_outside_of_quotes() {
        assert_eq!(split_list("a@b.c,d@e.f"), ["a@b.c", "d@e.f"]);
        assert_eq!(split_list(r#""a,\",b"@c.d, e@f.g"#), [r#""a,\",b"@c.d"#, " e@f.g"]);
    }
}
