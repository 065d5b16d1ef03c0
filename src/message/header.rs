//! The header of a message that came in complete: what it has, and what is put in front of it.
//!
//! Bytes that a client submitted stay as they are. Only the header block is looked at, with `memchr` and no parser;
//! what is missing is written in front. [`edit`] takes out and puts in what a rule of ours demands.

pub mod edit;
pub mod encoded_word;

use std::borrow::Cow;
use std::net::IpAddr;
use std::ops::Range;
use std::time::SystemTime;

use bytes::Bytes;
use memchr::{memchr, memmem};

use super::content::BareNewline;
use super::{Content, Id};
use crate::time::seconds;

/// How far the header block is followed, in octets. Providers stop much earlier (Postfix: 100 KiB for one field), and
/// a body that never ends its header must not be gathered into memory a second time. A field behind this is not seen,
/// and [`Findings::endless`] says that there may be some.
pub const LOOK: usize = 256 * 1024;
/// What stands in a Received field that a Sidepost wrote, before what tells them apart.
const OUR_NAME: &str = "(Sidepost ";
/// The longest Message-ID that is repeated in answers and logs, in characters.
const LONGEST_ID: usize = 250;
/// The longest name that a client gave itself and that is repeated in a trace, in characters.
const LONGEST_HELO: usize = 255;

/// What the header block of a message says, as far as it matters before sending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Headers {
    /// Whether there is a Date field.
    pub has_date: bool,
    /// The first Message-ID without angle brackets, safe to repeat in answers and logs: at most 250 characters, each
    /// one that has no place in an id replaced by `?`. Empty where the field has no value.
    pub message_id: Option<String>,
    /// What rules ask about.
    pub findings: Findings,
    /// Whether the first line already belongs to the body.
    starts_with_body: bool,
}

/// What the one look at a header found that a rule may want to act upon. What we composed ourselves has nothing of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// How many Received fields: one for each server that the message has passed.
    pub received: usize,
    /// Whether some Sidepost is among those servers.
    pub passed_sidepost: bool,
    /// Whether there is a field that names blind recipients.
    pub blind: bool,
    /// Whether the header goes on behind [`LOOK`].
    pub endless: bool,
}

impl Headers {
    /// Looks at the header block. It ends at the first empty line, or at the first line that is no field; only fields
    /// that must not leave are looked for up to the empty line, since some readers go on as well.
    #[must_use]
    pub fn of(content: &Content) -> Self {
        let block = Block::of(content);
        let findings = Findings { endless: block.is_cut(), ..Findings::default() };
        let Block(block) = block;
        let starts_with_body = starts_with_body(&block);
        let mut headers = Self { has_date: false, message_id: None, findings, starts_with_body };
        for field in fields(&block) {
            headers.note(&field);
        }
        headers
    }

    fn note(&mut self, field: &Field<'_>) {
        // Most names differ in length already.
        match field.name.len() {
            3 | 10 if field.is_blind() => self.findings.blind = true,
            _ if field.doubtful => {}
            4 if field.is("Date") => self.has_date = true,
            8 if field.is("Received") => {
                self.findings.received += 1;
                self.findings.passed_sidepost |= memmem::find(field.value, OUR_NAME.as_bytes()).is_some();
            }
            10 if field.is("Message-ID") && self.message_id.is_none() => {
                self.message_id = Some(printable_id(field.value));
            }
            _ => {}
        }
    }
}

/// A message with what [`complete`] has put in front.
#[derive(Clone, Debug)]
pub struct Completed {
    /// Headers and body.
    pub content: Content,
    /// The Message-ID that it carries, safe to repeat.
    pub message_id: String,
    /// What was found on the way.
    pub findings: Findings,
}

/// Puts in front what is missing.
///
/// `trace` is whole lines, such as [`received`] makes them, and comes first; then Date and Message-ID where there is
/// none. `domain_for_id` is the right side of a new Message-ID. Everything that was there stays byte for byte, except
/// that the `From ` line of a mailbox file, which is no part of a message, is dropped. Where the content begins with a
/// body line, an empty line separates it.
#[must_use]
pub fn complete(content: Content, trace: Option<&str>, domain_for_id: &str, now: SystemTime) -> Completed {
    let content = without_mailbox_line(content);
    let headers = Headers::of(&content);
    let mut head = trace.unwrap_or_default().to_owned();
    if !headers.has_date {
        head.push_str(&format!("Date: {}\r\n", date(now)));
    }
    let message_id = headers.message_id.unwrap_or_else(|| {
        let id = new_message_id(domain_for_id);
        head.push_str(&format!("Message-ID: <{id}>\r\n"));
        id
    });
    if headers.starts_with_body && !head.is_empty() {
        head.push_str("\r\n");
    }
    Completed { content: content.with_head(Bytes::from(head)), message_id, findings: headers.findings }
}

/// A Received field (RFC 5321 section 4.4), folded, with its line end.
///
/// `protocol` is a word of the IANA registry of mail transmission types: `SMTP`, `ESMTP`, `ESMTPA`, `LMTP`, ... What
/// the client called itself is cut to 255 characters, and whatever has no place in a host name becomes `?`. `mark` is
/// the word by which we know our own again, see [`has_mark`].
#[must_use]
pub fn received(helo: &str, peer: IpAddr, (us, mark): (&str, &str), protocol: &str, id: Id, now: SystemTime) -> String {
    let peer = match peer.to_canonical() {
        IpAddr::V4(ip) => format!("[{ip}]"),
        IpAddr::V6(ip) => format!("[IPv6:{ip}]"),
    };
    let (helo, us, date) = (printable_host(helo), printable_host(us), date(now));
    format!("Received: from {helo} ({peer})\r\n by {us} {OUR_NAME}{mark}) with {protocol} id {id};\r\n {date}\r\n")
}

/// Whether one of the Received fields that were there before [`complete`] put another in front carries this mark.
#[must_use]
pub fn has_mark(content: &Content, mark: &str, findings: Findings) -> bool {
    let ours = format!("{OUR_NAME}{mark})");
    let block = Block::of(content);
    let received = block.fields().filter(|field| field.is("Received") && !field.doubtful);
    let marked: Vec<_> = received.map(|field| memmem::find(field.value, ours.as_bytes()).is_some()).collect();
    marked.iter().rev().take(findings.received).any(|marked| *marked)
}

/// A date as RFC 5322 section 3.3 writes it, in UTC: `Sun, 22 Nov 2026 16:04:16 +0000`.
#[must_use]
pub fn date(at: SystemTime) -> String {
    mail_builder::headers::date::Date::new(i64::try_from(seconds(at)).unwrap_or_default()).to_rfc822()
}

/// A new Message-ID without angle brackets: nobody can guess it, and no other message has it.
#[must_use]
pub fn new_message_id(domain: &str) -> String {
    let left = Id::unguessable().simple();
    let id = format!("{left}@{domain}");
    if !domain.is_empty() && is_id(&id) { id } else { format!("{left}@localhost") }
}

/// Whether a text without angle brackets can stand as a message id or content id anywhere: visible ASCII, nothing
/// that ends it, nothing that a reader would decode, at most 250 characters.
#[must_use]
pub fn is_id(text: &str) -> bool {
    let length = 1..=LONGEST_ID;
    length.contains(&text.len()) && text.bytes().all(is_of_id) && !encoded_word::is_in(text)
}

/// Whether a character that could end a line somewhere, or that nobody sees, is in a text.
#[must_use]
pub fn has_control(text: &str) -> bool {
    text.chars().any(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}'))
}

fn is_of_id(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'<' | b'>' | b'(' | b')' | b'"' | b',' | b';' | b'\\')
}

fn printable_id(value: &[u8]) -> String {
    let value = String::from_utf8_lossy(value);
    let inside = value.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map(|(id, _)| id);
    let id = inside.unwrap_or(&value).chars().filter(|c| !c.is_ascii_whitespace());
    id.take(LONGEST_ID).map(|c| if u8::try_from(c).is_ok_and(is_of_id) { c } else { '?' }).collect()
}

fn printable_host(name: &str) -> String {
    if name.is_empty() {
        return "unknown".to_owned();
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || ".-_:[]".contains(c);
    name.chars().take(LONGEST_HELO).map(|c| if allowed(c) { c } else { '?' }).collect()
}

// === The header block ===

/// The beginning of a content in one piece: as it lies, where the header ends within the first chunk.
#[derive(Debug)]
pub struct Block<'c>(Cow<'c, [u8]>);

impl<'c> Block<'c> {
    /// The header of a content, and what follows it in the same chunk.
    #[must_use]
    pub fn of(content: &'c Content) -> Self {
        let first = content.chunks().first().map_or(&[][..], |chunk| chunk);
        if first.len() >= LOOK || content.chunks().len() == 1 || has_end(first) {
            return Self(Cow::Borrowed(&first[..first.len().min(LOOK)]));
        }
        let mut gathered = Vec::with_capacity(2 * first.len());
        for chunk in content.chunks() {
            gathered.extend_from_slice(&chunk[..chunk.len().min(LOOK - gathered.len())]);
            if gathered.len() == LOOK || has_end(&gathered) {
                break;
            }
        }
        Self(Cow::Owned(gathered))
    }

    /// Whether the header goes on behind [`LOOK`].
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.0.len() == LOOK && !has_end(&self.0) && !starts_with_body(&self.0)
    }

    /// Where the body begins; nothing where there is a header only.
    #[must_use]
    pub fn body(&self) -> Option<usize> {
        if self.0.starts_with(b"\r\n") {
            return Some(2);
        }
        memmem::find(&self.0, b"\r\n\r\n").map(|end| end + 4)
    }

    /// The fields in turn, up to the first empty line.
    pub fn fields(&self) -> impl Iterator<Item = Field<'_>> {
        fields(&self.0)
    }
}

/// A header field as it stands.
#[derive(Clone, Debug)]
pub struct Field<'b> {
    /// Where, from the beginning of the content, its line end included.
    pub place: Range<usize>,
    /// Its name as it is written.
    pub name: &'b [u8],
    /// What follows the colon: folds, and the line end, included.
    pub value: &'b [u8],
    /// Whether it follows a line that is no field: a strict reader counts it as body.
    pub doubtful: bool,
}

impl Field<'_> {
    /// Whether it has this name, in whatever case.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }

    /// Whether it names recipients that others must not see (RFC 5322 sections 3.6.3 and 3.6.6).
    #[must_use]
    pub fn is_blind(&self) -> bool {
        self.is("Bcc") || self.is("Resent-Bcc")
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        self.value.trim_ascii().is_empty()
    }
}

/// Whether the header block has more than ASCII: then RFC 6532, declared by SMTPUTF8, is what makes a message of it.
#[must_use]
pub fn is_in_utf8(content: &Content) -> bool {
    if !content.is_eight_bit() {
        return false;
    }
    let Block(block) = Block::of(content);
    let end = memmem::find(&block, b"\r\n\r\n").unwrap_or(block.len());
    !block.starts_with(b"\r\n") && !block[..end].is_ascii()
}

fn has_end(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\r\n") || memmem::find(bytes, b"\r\n\r\n").is_some()
}

fn starts_with_body(block: &[u8]) -> bool {
    !block.starts_with(b"\r\n") && field_name(block).is_none()
}

/// Each field in turn, up to an empty line; none where the first line is no field. Behind a line that is no field, some
/// readers take even a folded line for one, so it counts as such.
fn fields(block: &[u8]) -> impl Iterator<Item = Field<'_>> {
    let (mut at, mut doubtful, mut behind_none) = (0, false, false);
    std::iter::from_fn(move || {
        loop {
            let rest = &block[at..];
            if rest.is_empty() || rest.starts_with(b"\r\n") {
                return None;
            }
            let blanks = rest.iter().take_while(|byte| behind_none && matches!(byte, b' ' | b'\t')).count();
            let Some(name) = field_name(&rest[blanks..]) else {
                if at == 0 {
                    return None;
                }
                at += line_end(rest);
                (doubtful, behind_none) = (true, true);
                continue;
            };
            let place = at..at + field_end(rest);
            (at, behind_none) = (place.end, false);
            let field = &block[place.clone()];
            // `field_name` has seen the colon.
            let colon = memchr(b':', field)?;
            return Some(Field { place, name, value: &field[colon + 1..], doubtful });
        }
    })
}

/// The name of the field that begins here, if one does. White space before the colon is old, and still read.
#[must_use]
pub fn field_name(text: &[u8]) -> Option<&[u8]> {
    let length = text.iter().position(|&b| !b.is_ascii_graphic() || b == b':')?;
    let (name, rest) = text.split_at(length);
    let colon = rest.iter().find(|b| !matches!(b, b' ' | b'\t'));
    (length > 0 && colon == Some(&b':')).then_some(name)
}

fn line_end(text: &[u8]) -> usize {
    memchr(b'\n', text).map_or(text.len(), |at| at + 1)
}

/// Behind the line end of a field, folded lines included.
fn field_end(text: &[u8]) -> usize {
    let mut end = 0;
    loop {
        end += line_end(&text[end..]);
        if !matches!(text.get(end), Some(b' ' | b'\t')) {
            return end;
        }
    }
}

/// Without the line that separates messages in a mailbox file, as local tools hand it on; left in place, it would make
/// the whole header part of the body.
fn without_mailbox_line(content: Content) -> Content {
    let first = content.chunks().first().map_or(&[][..], |chunk| chunk);
    let is_from_line = first.strip_prefix(b">").unwrap_or(first).starts_with(b"From ") && field_name(first).is_none();
    if !is_from_line {
        return content;
    }
    let bytes = content.to_vec();
    let rest = memchr(b'\n', &bytes).map_or(&[][..], |end| &bytes[end + 1..]);
    Content::from_bytes(rest, BareNewline::Normalize).unwrap_or(content)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use proptest::prelude::*;

    use super::*;

    const NOON: Duration = Duration::from_secs(1_795_363_456);

    fn content(text: &str) -> Content {
        Content::from_bytes(text.as_bytes(), BareNewline::Normalize).unwrap()
    }

    fn completed(text: &str, trace: Option<&str>) -> (String, String) {
        let Completed { content, message_id, .. } = complete(content(text), trace, "example.com", UNIX_EPOCH + NOON);
        (String::from_utf8(content.to_vec()).unwrap(), message_id)
    }

    /// Expects `D` and `M` where a Date and a new Message-ID appear.
    #[track_caller]
    fn check(text: &str, expected: &str) {
        let (whole, id) = completed(text, None);
        let expected = expected
            .replace("{D}", "Date: Sun, 22 Nov 2026 16:04:16 +0000\r\n")
            .replace("{M}", &format!("Message-ID: <{id}>\r\n"));
        assert_eq!(whole, expected, "{text:?}");
    }

    #[test]
    fn only_what_is_missing_is_added_in_front() {
        for (text, expected) in [
            ("Date: x\r\nMessage-ID: <a@b>\r\n\r\nbody\r\n", "Date: x\r\nMessage-ID: <a@b>\r\n\r\nbody\r\n"),
            ("dAtE: x\r\nmessage-iD:<a@b>\r\n\r\n", "dAtE: x\r\nmessage-iD:<a@b>\r\n\r\n"),
            ("Date : x\r\nMessage-ID\t: <a@b>\r\n\r\n", "Date : x\r\nMessage-ID\t: <a@b>\r\n\r\n"),
            ("Date:\r\n x\r\nMessage-ID:\r\n <a@b>\r\n\r\n", "Date:\r\n x\r\nMessage-ID:\r\n <a@b>\r\n\r\n"),
            ("Date: x\r\n\r\n", "{M}Date: x\r\n\r\n"),
            ("Message-ID: <a@b>\r\n\r\n", "{D}Message-ID: <a@b>\r\n\r\n"),
            ("Subject: s\r\n\r\nDate: x\r\n", "{D}{M}Subject: s\r\n\r\nDate: x\r\n"),
            ("Subject: s\r\n Date: x\r\n\r\n", "{D}{M}Subject: s\r\n Date: x\r\n\r\n"),
            ("X-Date: x\r\nDated: x\r\n\r\n", "{D}{M}X-Date: x\r\nDated: x\r\n\r\n"),
            ("Subject: no body", "{D}{M}Subject: no body\r\n"),
            ("Message-ID:\r\n\r\n", "{D}Message-ID:\r\n\r\n"),
        ] {
            check(text, expected);
        }
    }

    #[test]
    fn a_message_without_a_header_gets_one_and_stays_apart_from_it() {
        for (text, expected) in [
            ("", "{D}{M}\r\n"),
            ("\r\n", "{D}{M}\r\n"),
            ("\r\nbody\r\n", "{D}{M}\r\nbody\r\n"),
            ("Hello there\r\nDate: x\r\n", "{D}{M}\r\nHello there\r\nDate: x\r\n"),
            ("Hello there: x\r\n", "{D}{M}\r\nHello there: x\r\n"),
            (" folded: x\r\nDate: x\r\n\r\n", "{D}{M}\r\n folded: x\r\nDate: x\r\n\r\n"),
            ("\tfolded\r\n", "{D}{M}\r\n\tfolded\r\n"),
            (": x\r\n\r\n", "{D}{M}\r\n: x\r\n\r\n"),
            ("Hello\r\n: x\r\n", "{D}{M}\r\nHello\r\n: x\r\n"),
            ("Hello \r\n: x\r\n", "{D}{M}\r\nHello \r\n: x\r\n"),
            ("B\u{e4}h: x\r\n", "{D}{M}\r\nB\u{e4}h: x\r\n"),
            ("Subject: s\r\nbroken\r\nDate: x\r\n", "{D}{M}Subject: s\r\nbroken\r\nDate: x\r\n"),
            ("From a@b Sun Nov 22 16:04:16 2026\r\nDate: x\r\n\r\nb\r\n", "{M}Date: x\r\n\r\nb\r\n"),
            (">From a@b\r\nDate: x\r\n\r\n", "{M}Date: x\r\n\r\n"),
            ("From : a@b\r\nDate: x\r\n\r\n", "{M}From : a@b\r\nDate: x\r\n\r\n"),
            ("From nobody", "{D}{M}\r\n"),
        ] {
            check(text, expected);
        }
    }

    #[test]
    fn the_trace_comes_first() {
        let trace = received(
            "client.example",
            IpAddr::from([192, 0, 2, 1]),
            ("sidecar", "0f1e"),
            "ESMTP",
            "01998a4e-0000-7000-8000-000000000000".parse().unwrap(),
            UNIX_EPOCH + NOON,
        );
        let (whole, _) = completed("Date: x\r\nMessage-ID: <a@b>\r\n\r\n", Some(&trace));
        assert_eq!(
            whole,
            "Received: from client.example ([192.0.2.1])\r\n by sidecar (Sidepost 0f1e) with ESMTP id \
             01998a4e-0000-7000-8000-000000000000;\r\n Sun, 22 Nov 2026 16:04:16 +0000\r\n\
             Date: x\r\nMessage-ID: <a@b>\r\n\r\n"
        );
    }

    #[test]
    fn a_client_cannot_write_into_the_trace() {
        for (helo, shown) in [
            ("", "unknown"),
            ("[IPv6:::1]", "[IPv6:::1]"),
            ("a b", "a?b"),
            ("x\r\nBcc: y", "x??Bcc:?y"),
            ("x (y) ; <z>\0\u{fc}", "x??y?????z???"),
        ] {
            let line = received(helo, IpAddr::from([0; 16]), ("us", "m"), "SMTP", Id::new(), UNIX_EPOCH);
            assert!(line.starts_with(&format!("Received: from {shown} ([IPv6:::])\r\n by us ")), "{line}");
        }
        let helo = "h".repeat(5_000);
        let long = received(&helo, IpAddr::from([127, 0, 0, 1]), ("us", "m"), "SMTP", Id::new(), UNIX_EPOCH);
        assert!(long.split("\r\n").all(|line| line.len() < 320));
    }

    #[test]
    fn an_id_is_safe_to_repeat() {
        for (field, shown) in [
            ("<a.b+c=1@x.yz>", "a.b+c=1@x.yz"),
            ("  <a@b>  (comment)", "a@b"),
            ("\r\n\t<a@b>", "a@b"),
            ("<a\r\n b@c>", "ab@c"),
            ("no brackets", "nobrackets"),
            ("<unclosed@x", "?unclosed@x"),
            ("<\"a b\"@c>", "?ab?@c"),
            ("<a\u{1b}[31m@b>", "a?[31m@b"),
            ("<\u{fc}@b>", "?@b"),
            ("<>", ""),
            ("", ""),
        ] {
            let (_, id) = completed(&format!("Message-ID:{field}\r\n\r\n"), None);
            assert_eq!(id, shown, "{field:?}");
        }
        let (_, id) = completed(&format!("Message-ID: <{}@b>\r\n\r\n", "x".repeat(900)), None);
        assert_eq!(id.len(), LONGEST_ID);
    }

    #[test]
    fn a_new_id_carries_the_given_domain_if_it_can() {
        assert!(new_message_id("x.example").ends_with("@x.example"));
        assert!(new_message_id("[192.0.2.1]").ends_with("@[192.0.2.1]"));
        assert!(new_message_id("").ends_with("@localhost"));
        assert!(new_message_id("a>\r\nBcc: <x").ends_with("@localhost"));
        assert!(new_message_id(&"d".repeat(217)).ends_with("dd"));
        assert!(new_message_id(&"d".repeat(218)).ends_with("@localhost"));
        assert_ne!(new_message_id("a"), new_message_id("a"));
        assert!(is_id(&new_message_id("a.example")));
    }

    #[test]
    fn only_the_header_is_asked_for_utf8() {
        for (text, expected) in [
            ("Subject: x\r\n\r\n\u{e4}\r\n", false),
            ("\r\n\u{e4}: x\r\n\r\n", false),
            ("Subject: \u{e4}\r\n\r\nx\r\n", true),
            ("Subject: \u{e4}\r\n", true),
            ("Subject: x\r\n", false),
        ] {
            assert_eq!(is_in_utf8(&content(text)), expected, "{text:?}");
        }
    }

    #[test]
    fn servers_on_the_way_are_counted() {
        let text = "Received: a\r\n b\r\nX-Received: c\r\nrecEIVED: d\r\n\r\nReceived: e\r\n";
        assert_eq!(Headers::of(&content(text)).findings.received, 2);
    }

    #[test]
    fn our_own_trace_is_known_again_and_that_of_others_is_not() {
        let from = |mark| received("a", IpAddr::from([127, 0, 0, 1]), ("us", mark), "SMTP", Id::new(), UNIX_EPOCH);
        let ours = content(&format!("Received: x\r\n{}Subject: s\r\n\r\n(Sidepost 77)", from("0f1e")));
        let findings = Headers::of(&ours).findings;
        assert!(findings.passed_sidepost && has_mark(&ours, "0f1e", findings));
        assert!(!has_mark(&ours, "0f1", findings) && !has_mark(&ours, "77", findings));
        let Completed { content: after, .. } = complete(ours, Some(&from("new")), "x.test", UNIX_EPOCH);
        assert!(has_mark(&after, "0f1e", findings) && !has_mark(&after, "new", findings), "that one is new");
        let others = content("Received: by x (Postfix)\r\nSubject: (Sidepost 0f1e)\r\n\r\nReceived: (Sidepost 0f1e)");
        assert!(!Headers::of(&others).findings.passed_sidepost);
    }

    /// Postfix ends the header at a line that is no field; others skip the line and read on.
    #[test]
    fn blind_recipients_are_found_wherever_a_reader_could_find_them() {
        for (text, blind) in [
            ("Bcc: a@b.c\r\n\r\n", true),
            ("bCC :\r\n a@b.c\r\n\r\n", true),
            ("resent-BCC\t: a@b.c\r\n\r\n", true),
            ("Subject: s\r\nbroken\r\nBcc: a@b.c\r\n\r\n", true),
            ("Subject: s\r\nBcc:", true),
            ("Subject: s\r\n Bcc: a@b.c\r\n\r\n", false),
            ("Subject: s\r\n\r\nBcc: a@b.c\r\n", false),
            ("Hello\r\nBcc: a@b.c\r\n", false),
            ("X-Bcc: a\r\nBccs: b\r\nResent-Bcd: c\r\n\r\n", false),
        ] {
            assert_eq!(Headers::of(&content(text)).findings.blind, blind, "{text:?}");
        }
    }

    #[test]
    fn a_header_without_an_end_is_told_and_a_large_body_is_not() {
        let line = "X-Padding: 0123456789012345678901234567890123456789\r\n";
        let endless = |text: String| Headers::of(&content(&text)).findings.endless;
        assert!(endless(line.repeat(6_000)));
        assert!(endless(format!("X: {}", "x".repeat(LOOK))));
        assert!(endless(format!("Subject: s\r\nbroken\r\n{}", line.repeat(6_000))));
        assert!(!endless(line.repeat(4_000)));
        assert!(!endless(format!("{line}\r\n{}", line.repeat(6_000))));
        assert!(!endless("Hello there\r\n".repeat(30_000)));
    }

    #[test]
    fn a_header_over_many_chunks_is_read_and_an_endless_one_is_not() {
        let padding = "X-Padding: 0123456789012345678901234567890123456789\r\n";
        for (repeated, seen) in [(10, true), (1_000, true), (4_000, true), (6_000, false)] {
            let text = format!("{}Date: x\r\n\r\nbody", padding.repeat(repeated));
            let mut writer = crate::message::content::ContentWriter::new(BareNewline::Reject);
            text.as_bytes().chunks(1_000).for_each(|piece| writer.push(piece).unwrap());
            assert_eq!(Headers::of(&writer.finish().unwrap()).has_date, seen, "{repeated}");
        }
    }

    #[test]
    fn dates_are_those_of_rfc_5322() {
        for (seconds, expected) in [
            (0, "Thu, 01 Jan 1970 00:00:00 +0000"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 +0000"),
            (1_795_363_456, "Sun, 22 Nov 2026 16:04:16 +0000"),
            (4_107_542_399, "Sun, 28 Feb 2100 23:59:59 +0000"),
        ] {
            let written = date(UNIX_EPOCH + Duration::from_secs(seconds));
            let day = |text: &str| text.replace(", 0", ", ");
            assert_eq!(day(&written), day(expected));
        }
        assert!(date(UNIX_EPOCH - Duration::from_secs(1)).contains("1970"));
    }

    fn lines() -> impl Strategy<Value = String> {
        let line = prop_oneof![
            Just("Date: x".to_owned()),
            Just("Message-ID: <a@b>".to_owned()),
            Just(String::new()),
            "[ \tA-Za-z:<>@\u{e4}-]{0,20}",
        ];
        proptest::collection::vec(line, 0..6).prop_map(|lines| lines.join("\r\n"))
    }

    proptest! {
        #[test]
        fn after_completing_each_field_is_there_once_and_the_rest_is_untouched(text in lines()) {
            let before = content(&text);
            let Completed { content: after, message_id: id, .. } =
                complete(before.clone(), None, "example.com", UNIX_EPOCH + NOON);
            let whole = String::from_utf8(after.to_vec()).unwrap();
            prop_assert!(whole.ends_with(std::str::from_utf8(&before.to_vec()).unwrap()) || text.contains("From "));
            prop_assert_eq!(Headers::of(&after).message_id, Some(id));
            prop_assert!(Headers::of(&after).has_date);
            let parsed = mail_parser::MessageParser::new().header_raw(mail_parser::HeaderName::Date).parse(whole.as_bytes()).unwrap();
            prop_assert!(parsed.headers().iter().any(|header| header.name() == "Date"));
            prop_assert!(parsed.headers().iter().any(|header| header.name() == "Message-ID"));
        }
    }
}
