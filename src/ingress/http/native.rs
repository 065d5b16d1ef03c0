//! `POST /v1/send`: our own JSON. A Resend body is one too, as far as both know the same things.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use hyper::header::HeaderMap;

use super::answer::{Kind, Listed};
use super::form::{Form, Names, Object, Placed, one_or_many};
use super::json::{self, Json};
use super::place::{Place, fragment};
use super::prefer::{self, Handling};
use super::problem::{Code, Problem};
use super::{Api, Letter, body};
use crate::delivery::budget::Hold;
use crate::message::address::{AddressError, Mailbox};
use crate::message::header::Findings;
use crate::message::mime::{Attachment, Composed, Draft, Plan, Unsubscribe};
use crate::message::{Address, Envelope};

const LATER: &str = "nothing is kept here, so nothing can be sent later: call again at that time";
const NO_CARRIER: &str = "this would not reach the provider; where it reads a header for this, set that in `headers`";
const NOT_FETCHED: &str = "nothing is fetched from elsewhere: send the file itself in `content`, as base64";
const NOT_YET: &str = "not supported yet";

const MESSAGE: Names = Names {
    known: &[
        "from",
        "to",
        "cc",
        "bcc",
        "reply_to",
        "subject",
        "text",
        "html",
        "headers",
        "attachments",
        "unsubscribe",
        "envelope",
        "message_id",
    ],
    unsupported: &[
        ("scheduled_at", LATER),
        ("send_at", LATER),
        ("template", "templates are not rendered here: send `text` or `html`"),
        // Dropping them in silence would leave a hole in somebody's statistics.
        ("tags", NO_CARRIER),
        ("metadata", NO_CARRIER),
        ("tracking", NO_CARRIER),
        ("topic_id", NO_CARRIER),
        ("idempotency_key", NOT_YET),
        ("provider", NOT_YET),
        ("provider_options", NOT_YET),
        ("dry_run", NOT_YET),
        ("amp_html", NOT_YET),
    ],
};
const MAILBOX: Names = Names { known: &["email", "name"], unsupported: &[] };
const ATTACHMENT: Names = Names {
    known: &["filename", "content", "content_type", "content_id", "disposition"],
    unsupported: &[("path", NOT_FETCHED), ("url", NOT_FETCHED)],
};
const UNSUBSCRIBE: Names = Names { known: &["url", "mailto", "one_click"], unsupported: &[] };
const ENVELOPE: Names = Names { known: &["mail_from", "rcpt_to"], unsupported: &[] };

/// Values that a body may have besides those of its recipients.
const VALUES: usize = 2_000;
/// Values per recipient: an object, its two fields, and as many again to be told of too many recipients.
const VALUES_PER_RECIPIENT: usize = 8;

pub(super) async fn send(State(api): State<Arc<Api>>, headers: HeaderMap, request: Body) -> Result<Response, Problem> {
    body::expect(&headers, "application/json")?;
    let preference = prefer::handling(&headers);
    // They are slices of the connection's buffer, and would keep it until the answer.
    drop(headers);
    let (bytes, hold) = body::json(&api, request).await?;
    Ok(submit(&api, bytes, hold, preference)?.await)
}

/// What is only needed here is not kept until the answer.
fn submit(
    api: &Api,
    mut bytes: Vec<u8>,
    mut hold: Hold,
    preference: Option<Handling>,
) -> Result<impl Future<Output = Response> + use<>, Problem> {
    json::unescape_slashes(&mut bytes);
    let policy = api.relay.policy();
    let most = VALUES + policy.max_recipients().saturating_mul(VALUES_PER_RECIPIENT);
    let read = read(&bytes, most, policy.default_sender(), &mut hold)?;
    let whole = bytes.len();
    let Composed { content, message_id } = read.plan.assemble(bytes);
    // A body that became the message is held with all that is around its files.
    let memory = if read.stays > 0 { body::held(whole) } else { content.len() };
    let findings = Findings::default();
    let letter = Letter { envelope: read.envelope, listed: read.listed, content, message_id, findings, memory };
    api.submit(letter, hold, preference)
}

/// A letter whose large files are still in the body.
struct Read {
    envelope: Envelope,
    listed: Vec<Listed>,
    plan: Plan,
    /// How many bytes of the body can stay where they are.
    stays: usize,
}

/// From the body to a letter, or all its mistakes.
fn read(body: &[u8], most_values: usize, default_sender: Option<&Mailbox>, hold: &mut Hold) -> Result<Read, Problem> {
    let json = json::parse(body, most_values).map_err(|error| {
        Problem::new(Code::MalformedRequest, format!("The body cannot be read as JSON: {error}.")).counted("malformed")
    })?;
    // What is no large file is written anew, and texts grow when they are encoded.
    let stays = Some(files(&json)).filter(|files| *files >= body.len() / 2).unwrap_or_default();
    body::resize(hold, body::held(body.len()) + 2 * (body.len() - stays))?;
    let mut form = Form::default();
    let letter = form
        .object((Place::default(), &json), MESSAGE)
        .and_then(|message| letter(&mut form, &message, default_sender, body))
        .filter(|_| form.is_clean());
    let letter = letter.map(|letter| Read { stays, ..letter });
    letter.ok_or_else(|| Problem::mistakes(form.into_mistakes()))
}

/// How many bytes are files as they came, without an escape in them.
fn files(json: &Json<'_>) -> usize {
    let Some(Json::List(attachments)) = member(json, "attachments") else { return 0 };
    let length = |attachment| match member(attachment, "content") {
        Some(Json::Text(Cow::Borrowed(text))) => text.len(),
        _ => 0,
    };
    attachments.iter().map(length).sum()
}

fn member<'j, 'a>(json: &'j Json<'a>, wanted: &str) -> Option<&'j Json<'a>> {
    let Json::Map(map) = json else { return None };
    map.iter().find(|(name, _)| name == wanted).map(|(_, value)| value)
}

fn letter(form: &mut Form, message: &Object<'_>, default_sender: Option<&Mailbox>, body: &[u8]) -> Option<Read> {
    let addressed = Addressed::read(form, message, default_sender);
    let envelope = envelope(form, message, &addressed);
    let plan = compose(form, message, addressed, body)?;
    let (envelope, listed) = envelope?;
    Some(Read { envelope, listed, plan, stays: 0 })
}

/// The mailboxes of a message, by field.
struct Addressed {
    from: Option<Mailbox>,
    to: Vec<Mailbox>,
    cc: Vec<Mailbox>,
    bcc: Vec<Mailbox>,
    reply_to: Vec<Mailbox>,
}

impl Addressed {
    fn read(form: &mut Form, message: &Object<'_>, default_sender: Option<&Mailbox>) -> Self {
        let mut all = |name| -> Vec<Mailbox> {
            one_or_many(message.get(name)).into_iter().filter_map(|placed| mailbox(form, placed)).collect()
        };
        let (to, cc, bcc, reply_to) = (all("to"), all("cc"), all("bcc"), all("reply_to"));
        let from = match message.get("from") {
            Some(placed) => mailbox(form, placed),
            None => default_sender.cloned().or_else(|| {
                form.mistake(message.place("from"), "required", "name a sender, or configure one with SIDEPOST_FROM");
                None
            }),
        };
        Self { from, to, cc, bcc, reply_to }
    }

    fn recipients(&self) -> impl Iterator<Item = (Address, Kind)> + '_ {
        let of = |list: &'_ [Mailbox], kind| {
            list.iter().map(move |mailbox| (mailbox.address().clone(), kind)).collect::<Vec<_>>()
        };
        [of(&self.to, Kind::To), of(&self.cc, Kind::Cc), of(&self.bcc, Kind::Bcc)].into_iter().flatten()
    }
}

/// `"Name <local@domain>"`, or `{"email": "local@domain", "name": "Name"}`.
fn mailbox(form: &mut Form, (at, json): Placed<'_>) -> Option<Mailbox> {
    if let Json::Text(_) = json {
        return form.parsed(Some((at, json)), Mailbox::parse);
    }
    if !matches!(json, Json::Map(_)) {
        form.mistake(at, "type", "expected an address: a string, or an object with `email` and `name`");
        return None;
    }
    let object = form.object((at, json), MAILBOX)?;
    let name = form.text(object.get("name"));
    let address = required(form, &object, "email", Address::parse)?;
    Mailbox::new(name, address).map_err(|error| form.mistake(object.place("name"), "invalid", error.0)).ok()
}

fn required<'j, T>(
    form: &mut Form,
    object: &Object<'j>,
    name: &str,
    parse: impl FnOnce(&'j str) -> Result<T, AddressError>,
) -> Option<T> {
    if object.get(name).is_none() {
        form.mistake(object.place(name), "required", format!("`{name}` is missing"));
    }
    form.parsed(object.get(name), parse)
}

/// Who sends to whom: as `envelope` says, and where it says nothing, as the other fields do.
fn envelope(form: &mut Form, message: &Object<'_>, addressed: &Addressed) -> Option<(Envelope, Vec<Listed>)> {
    let explicit = message.get("envelope").and_then(|placed| form.object(placed, ENVELOPE));
    let field = |name| explicit.as_ref().and_then(|envelope| envelope.get(name));
    let sender = match field("mail_from") {
        Some(placed) => form.parsed(Some(placed), reverse_path).flatten(),
        None => addressed.from.as_ref().map(|from| from.address().clone()),
    };
    let recipients = match field("rcpt_to") {
        Some(placed) => explicit_recipients(form, message, placed),
        None => addressed.recipients().collect(),
    };
    let given = |name| !one_or_many(message.get(name)).is_empty();
    if recipients.is_empty() && field("rcpt_to").is_none() && !["to", "cc", "bcc"].into_iter().any(given) {
        form.mistake(message.place("to"), "required", "name at least one recipient in `to`, `cc` or `bcc`");
    }
    let (recipients, listed) = each_once(recipients);
    Envelope::new(sender, recipients).map(|envelope| (envelope, listed))
}

fn explicit_recipients(form: &mut Form, message: &Object<'_>, (at, json): Placed<'_>) -> Vec<(Address, Kind)> {
    if message.get("bcc").is_some() {
        form.mistake(message.place("bcc"), "conflict", "`envelope.rcpt_to` names all recipients; list these there");
    }
    let items = form.items(Some((at, json)));
    if items.is_empty() && matches!(json, Json::List(_)) {
        form.mistake(at, "required", "name at least one recipient");
    }
    let parsed = items.into_iter().filter_map(|placed| form.parsed(Some(placed), Address::parse));
    parsed.map(|address| (address, Kind::Envelope)).collect()
}

/// The null reverse-path of RFC 5321 section 4.5.5 is written as the empty text.
pub(super) fn reverse_path(text: &str) -> Result<Option<Address>, AddressError> {
    if text.is_empty() { Ok(None) } else { Address::parse(text).map(Some) }
}

/// Nobody gets a message twice for standing in two fields; the first counts.
pub(super) fn each_once(recipients: Vec<(Address, Kind)>) -> (Vec<Address>, Vec<Listed>) {
    let mut seen = HashSet::new();
    recipients
        .into_iter()
        .filter(|(address, _)| seen.insert(address.clone()))
        .map(|(address, kind)| {
            let listed = Listed { email: address.to_string(), kind };
            (address, listed)
        })
        .unzip()
}

fn compose(form: &mut Form, message: &Object<'_>, addressed: Addressed, body: &[u8]) -> Option<Plan> {
    let (text, html) = (form.text(message.get("text")), form.text(message.get("html")));
    let attachments = attachments(form, message);
    if attachments.is_empty() && ["text", "html", "attachments"].iter().all(|name| is_absent(message, name)) {
        form.mistake(message.place("text"), "required", "a message has `text`, `html` or `attachments`");
    }
    let draft = Draft {
        from: addressed.from?,
        to: addressed.to,
        cc: addressed.cc,
        reply_to: addressed.reply_to,
        subject: form.text(message.get("subject")).unwrap_or_default().into(),
        text: text.map(Cow::from),
        html: html.map(Cow::from),
        attachments,
        headers: headers(form, message),
        unsubscribe: unsubscribe(form, message),
        message_id: form.text(message.get("message_id")).map(Cow::from),
        date: None,
    };
    let planned = draft.plan(body);
    planned.map_err(|errors| errors.into_iter().for_each(|error| note(form, &error.pointer, error.sentence))).ok()
}

fn is_absent(message: &Object<'_>, name: &str) -> bool {
    message.get(name).is_none_or(|(_, json)| matches!(json, Json::List(items) if items.is_empty()))
}

fn note(form: &mut Form, pointer: &str, sentence: String) {
    form.mistake(format!("#{}", fragment(pointer)), "invalid", sentence);
}

fn attachments<'j>(form: &mut Form, message: &Object<'j>) -> Vec<Attachment<'j>> {
    let items = form.items(message.get("attachments"));
    // Each stays in its place, whatever its mistakes: the composer tells of more, by number.
    items.into_iter().map(|placed| attachment(form, placed).unwrap_or_default()).collect()
}

fn attachment<'j>(form: &mut Form, placed: Placed<'j>) -> Option<Attachment<'j>> {
    let object = form.object(placed, ATTACHMENT)?;
    let mut text = |name| form.text(object.get(name)).map(Cow::from);
    let (filename, content_type, content_id) = (text("filename"), text("content_type"), text("content_id"));
    let base64 = text("content");
    if object.get("content").is_none() {
        form.mistake(object.place("content"), "required", "`content` is missing: the file's bytes in base64");
    }
    let inline = match form.text(object.get("disposition")) {
        Some("inline") => true,
        Some("attachment") | None => false,
        Some(_) => {
            form.mistake(object.place("disposition"), "invalid", "expected `attachment` or `inline`");
            false
        }
    };
    Some(Attachment { filename, content_type, content_id, inline, base64: base64.unwrap_or_default() })
}

/// Each header in its order; several values are several headers.
fn headers<'j>(form: &mut Form, message: &Object<'j>) -> Vec<(Cow<'j, str>, Cow<'j, str>)> {
    let Some((at, json)) = message.get("headers") else { return Vec::new() };
    let Some(object) = Object::open((at, json)) else {
        form.mistake(at, "type", "expected an object of names and values");
        return Vec::new();
    };
    let values =
        object.entries().flat_map(|(name, placed)| one_or_many(Some(placed)).into_iter().map(move |p| (name, p)));
    values.filter_map(|(name, placed)| Some((name.into(), form.text(Some(placed))?.into()))).collect()
}

fn unsubscribe<'j>(form: &mut Form, message: &Object<'j>) -> Option<Unsubscribe<'j>> {
    let object = message.get("unsubscribe").and_then(|placed| form.object(placed, UNSUBSCRIBE))?;
    let (url, mailto) = (form.text(object.get("url")), form.text(object.get("mailto")));
    Some(Unsubscribe {
        url: url.map(Cow::from),
        mailto: mailto.map(Cow::from),
        one_click: form.flag(object.get("one_click")),
    })
}
