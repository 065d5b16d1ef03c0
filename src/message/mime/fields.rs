//! The header fields of a draft: which may be set, what may stand in them, and how they are written.

use std::borrow::Cow;
use std::collections::HashSet;

use mail_builder::headers::Header;
use mail_builder::headers::address::Address as Written;
use mail_builder::headers::message_id::MessageId;
use mail_builder::headers::raw::Raw;
use mail_builder::headers::text::Text;
use mail_builder::headers::url::URL;
use memchr::memchr_iter;

use super::{DraftError, Unsubscribe};
use crate::message::address::{Address, Mailbox};
use crate::message::header::{encoded_word, has_control, is_id, new_message_id};

/// RFC 5322 section 2.1.1, in octets without the line end.
const LONGEST_LINE: usize = 998;
/// The same section recommends no more than this.
const WANTED_LINE: usize = 78;
/// The longest name of a field, in octets: with its colon it fits the 78 that RFC 5322 recommends for a line.
const LONGEST_FIELD_NAME: usize = 76;
/// The longest value, in octets: a header is gathered in one piece, and servers refuse much shorter ones.
const LONGEST_VALUE: usize = 64 * 1024;
/// A word of a header longer than this is encoded, where it can be.
const LONGEST_WORD: usize = 900;

const TRACE: &str = "only servers on the way write this field";
const STRUCTURE: &str = "this field follows from the content and is written for you";
const ANOTHER_IDENTITY: &str = "this field names another sender than `from` and is not supported";
const IDS: &str = "message ids are written <left@right>, separated by spaces";

/// Fields that a caller cannot set by name, in lower case, and what to do instead.
const REFUSED: &[(&str, &str)] = &[
    // A second one would contradict the request's own field, and readers differ in which of two they show.
    ("from", "use the field `from`"),
    ("to", "use the field `to`"),
    ("cc", "use the field `cc`"),
    ("bcc", "use the field `bcc`; it stays in the envelope"),
    ("reply-to", "use the field `reply_to`"),
    ("subject", "use the field `subject`"),
    ("message-id", "use the field `message_id`"),
    ("date", "the date is written for you"),
    ("mime-version", STRUCTURE),
    // Readers and rules that know only `from` would be shown, or would check, the wrong one.
    ("sender", ANOTHER_IDENTITY),
    ("apparently-to", "use the field `to`"),
    // Loop detection, authentication and reports rest on these: nobody may write them beforehand.
    ("received", TRACE),
    ("return-path", TRACE),
    ("delivered-to", TRACE),
    ("authentication-results", TRACE),
    ("received-spf", TRACE),
    ("dkim-signature", "a signature is made over the finished message, by the provider"),
    ("domainkey-signature", "a signature is made over the finished message, by the provider"),
];

/// The same for whole families.
const REFUSED_PREFIXES: &[(&str, &str)] = &[("content-", STRUCTURE), ("resent-", TRACE), ("arc-", TRACE)];

/// A header block being written, and what was wrong on the way.
#[derive(Debug, Default)]
pub(super) struct Head {
    pub(super) bytes: Vec<u8>,
    pub(super) errors: Vec<DraftError>,
}

impl Head {
    pub(super) fn error(&mut self, pointer: &str, sentence: &str) {
        self.errors.push(DraftError { pointer: pointer.to_owned(), sentence: sentence.to_owned() });
    }

    /// Writes a field whose value was checked. Folding breaks at spaces only, so a word can still be too long.
    pub(super) fn write(&mut self, pointer: &str, name: &str, value: &impl Header) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.extend_from_slice(b": ");
        value.write_header(&mut self.bytes, name.len() + 2);
        if longest_line(&self.bytes[start..]) > LONGEST_LINE {
            self.error(pointer, "a piece without spaces is too long for a line of 998 octets");
        }
    }

    /// A field of addresses, or none for none.
    pub(super) fn addresses(&mut self, pointer: &str, name: &str, mailboxes: &[Mailbox]) {
        if !mailboxes.is_empty() {
            self.write(pointer, name, &Written::new_list(mailboxes.iter().map(written).collect()));
        }
    }

    pub(super) fn subject(&mut self, subject: &str) {
        let subject = subject.trim_matches(' ');
        match complaint(subject) {
            Some(sentence) => self.error("/subject", sentence),
            None => self.unstructured("/subject", "Subject", subject),
        }
    }

    /// Writes the given id, or a new one, and returns it without angle brackets.
    pub(super) fn message_id(&mut self, given: Option<&str>, domain: &str) -> String {
        let id = match given.map(|id| id.strip_prefix('<').and_then(|id| id.strip_suffix('>')).unwrap_or(id)) {
            None => new_message_id(domain),
            Some(id) if is_id(id) && has_two_sides(id) => id.to_owned(),
            Some(_) => {
                self.error("/message_id", "a message id is written left@right, visible ASCII, at most 250 characters");
                return String::new();
            }
        };
        self.write("/message_id", "Message-ID", &MessageId::new(id.as_str()));
        id
    }

    /// A body text may hold everything but NUL, which no transport carries.
    pub(super) fn body_text(&mut self, pointer: &str, text: Option<&str>) {
        if text.is_some_and(|text| memchr::memchr(0, text.as_bytes()).is_some()) {
            self.error(pointer, "a body has no NUL characters");
        }
    }

    /// The fields that the caller named.
    pub(super) fn custom(&mut self, fields: &[(Cow<'_, str>, Cow<'_, str>)], has_unsubscribe: bool) {
        let mut seen = HashSet::new();
        for (name, value) in fields {
            let pointer = format!("/headers/{}", name.replace('~', "~0").replace('/', "~1"));
            let lower = name.to_ascii_lowercase();
            let twice = is_single(&lower) && !seen.insert(lower.clone());
            let owned = has_unsubscribe && lower.starts_with("list-unsubscribe");
            match refusal(&lower) {
                Some(sentence) => self.error(&pointer, sentence),
                None if owned => self.error(&pointer, "use either this or the field `unsubscribe`"),
                None if twice => self.error(&pointer, "this field stands in a message at most once"),
                None => self.custom_field(&pointer, name, value.trim_matches(' ')),
            }
        }
    }

    fn custom_field(&mut self, pointer: &str, name: &str, value: &str) {
        let lower = name.to_ascii_lowercase();
        if let Some(sentence) = complaint(value) {
            self.error(pointer, sentence);
        } else if matches!(lower.as_str(), "in-reply-to" | "references") {
            match parse_ids(value) {
                Some(ids) => self.write(pointer, name, &MessageId::new_list(ids.into_iter())),
                None => self.error(pointer, IDS),
            }
        } else if lower.starts_with("list-") && (!value.is_ascii() || encoded_word::is_in(value)) {
            self.error(pointer, "this field has visible ASCII only");
        } else if value.is_ascii() && !encoded_word::is_in(value) {
            // As it is, however long: JSON and URLs in such fields are read by programs.
            self.write(pointer, name, &Raw::new(value));
        } else {
            self.unstructured(pointer, name, value);
        }
    }

    /// Text for people, which arrives as it is even if it looks encoded.
    fn unstructured(&mut self, pointer: &str, name: &str, text: &str) {
        let fits = name.len() + 2 + text.len() <= WANTED_LINE;
        if encoded_word::is_in(text) || (text.is_ascii() && !fits && !folds_well(text)) {
            self.write(pointer, name, &Raw::new(encoded_word::encode(text)));
        } else if text.is_ascii() {
            self.write(pointer, name, &Raw::new(text));
        } else {
            self.write(pointer, name, &Text::new(text));
        }
    }

    pub(super) fn unsubscribe(&mut self, unsubscribe: &Unsubscribe<'_>) {
        let before = self.errors.len();
        let web = self.unsubscribe_by_web(unsubscribe.url.as_deref(), unsubscribe.one_click);
        let mail = self.unsubscribe_by_mail(unsubscribe.mailto.as_deref());
        let targets: Vec<_> = web.into_iter().map(Cow::Borrowed).chain(mail.map(Cow::Owned)).collect();
        if targets.is_empty() && self.errors.len() == before {
            self.error("/unsubscribe", "`url` or `mailto` is missing");
        }
        self.write("/unsubscribe", "List-Unsubscribe", &URL::new_list(targets.into_iter()));
        if unsubscribe.one_click {
            self.write("/unsubscribe", "List-Unsubscribe-Post", &Raw::new("List-Unsubscribe=One-Click"));
        }
    }

    fn unsubscribe_by_web<'u>(&mut self, url: Option<&'u str>, one_click: bool) -> Option<&'u str> {
        match url {
            Some(url) if is_web(url, "https://") || (is_web(url, "http://") && !one_click) => return Some(url),
            Some(_) => self.error("/unsubscribe/url", "a web address is written https://..., with visible ASCII only"),
            None if one_click => self.error("/unsubscribe/one_click", "one click needs an https `url`"),
            None => {}
        }
        None
    }

    fn unsubscribe_by_mail(&mut self, text: Option<&str>) -> Option<String> {
        let target = text.map(mailto)?;
        if target.is_none() {
            self.error("/unsubscribe/mailto", "a mail address belongs here, as in mailto:leave@example.com");
        }
        target
    }
}

fn complaint(value: &str) -> Option<&'static str> {
    if has_control(value) {
        return Some("no control characters and no line ends belong here");
    }
    (value.len() > LONGEST_VALUE).then_some("a header field has at most 64 KiB")
}

fn written(mailbox: &Mailbox) -> Written<'_> {
    Written::new_address(mailbox.name(), mailbox.address().to_string())
}

fn longest_line(bytes: &[u8]) -> usize {
    let mut start = 0;
    let lengths = memchr_iter(b'\n', bytes).map(|end| end - std::mem::replace(&mut start, end + 1));
    // Each of these counts its CR.
    lengths.max().unwrap_or_default().saturating_sub(1)
}

/// Whether folding brings plain text over unchanged: readers are not of one mind about runs of spaces at a fold.
fn folds_well(text: &str) -> bool {
    !text.contains("  ") && text.split(' ').all(|word| word.len() <= LONGEST_WORD)
}

fn refusal(lower: &str) -> Option<&'static str> {
    let named = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    if lower.is_empty() || lower.len() > LONGEST_FIELD_NAME || !lower.bytes().all(named) {
        return Some("the name of a field has letters, digits and hyphens, at most 76");
    }
    let exact = REFUSED.iter().find(|(name, _)| *name == lower);
    let family = || REFUSED_PREFIXES.iter().find(|(prefix, _)| lower.starts_with(prefix));
    exact.or_else(family).map(|(_, sentence)| *sentence)
}

/// RFC 5322 section 3.6 and RFC 2369 section 3 allow these once.
fn is_single(lower: &str) -> bool {
    matches!(lower, "in-reply-to" | "references") || lower.starts_with("list-")
}

fn parse_ids(value: &str) -> Option<Vec<&str>> {
    let ids: Option<Vec<_>> = value.split(' ').filter(|word| !word.is_empty()).map(parse_id).collect();
    ids.filter(|ids| !ids.is_empty())
}

fn parse_id(word: &str) -> Option<&str> {
    let id = word.strip_prefix('<').and_then(|id| id.strip_suffix('>')).unwrap_or(word);
    is_id(id).then_some(id)
}

fn has_two_sides(id: &str) -> bool {
    id.split_once('@').is_some_and(|(left, right)| !left.is_empty() && !right.is_empty() && !right.contains('@'))
}

fn is_web(url: &str, scheme: &str) -> bool {
    url.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
        && url.len() > scheme.len()
        && is_uri(url)
}

/// The characters of RFC 3986, none of which ends an angle bracket; nothing that a reader would decode.
fn is_uri(text: &str) -> bool {
    !encoded_word::is_in(text)
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&b))
}

fn mailto(text: &str) -> Option<String> {
    let target = text.get(..7).filter(|start| start.eq_ignore_ascii_case("mailto:")).map_or(text, |_| &text[7..]);
    let address = target.split('?').next().unwrap_or_default();
    (is_uri(target) && Address::parse(address).is_ok()).then(|| format!("mailto:{target}"))
}
