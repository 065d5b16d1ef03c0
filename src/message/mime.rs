//! From what a JSON caller wants to the bytes of a message.
//!
//! A [`Draft`] holds text from outside. [`Draft::compose`] checks every piece that reaches a header, collects all
//! mistakes, and only then writes. `mail-builder` encodes and folds; it does not check (it lets line ends through in
//! header names, ids, URLs and media types), so nothing is handed to it that was not checked here.
//!
//! ```text
//! multipart/mixed                 where something is attached
//! ├─ multipart/alternative        where there is text and html
//! │  ├─ text/plain
//! │  └─ multipart/related         where html has images by content id
//! │     ├─ text/html
//! │     └─ image/png ...
//! └─ application/pdf ...
//! ```

mod base64;
mod fields;
mod in_place;
mod part;

use std::borrow::Cow;
use std::time::SystemTime;

use mail_builder::headers::raw::Raw;

use self::fields::Head;
use self::part::{File, Part, Piece};
use super::address::Mailbox;
use super::{Content, header};

/// A message as a caller describes it. Texts are borrowed from the request where that is possible.
#[derive(Clone, Debug)]
pub struct Draft<'a> {
    /// The author.
    pub from: Mailbox,
    /// Shown recipients. Blind ones are in the envelope only.
    pub to: Vec<Mailbox>,
    /// Shown recipients of a copy.
    pub cc: Vec<Mailbox>,
    /// Where answers go, if not to the author.
    pub reply_to: Vec<Mailbox>,
    /// Plain text of any length; spaces around it are dropped.
    pub subject: Cow<'a, str>,
    /// The body as plain text, with line ends of any kind.
    pub text: Option<Cow<'a, str>>,
    /// The body as HTML, with line ends of any kind.
    pub html: Option<Cow<'a, str>>,
    /// Files.
    pub attachments: Vec<Attachment<'a>>,
    /// More header fields, in order. See [`Self::compose`] for the names that are refused.
    pub headers: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// How a reader leaves the list.
    pub unsubscribe: Option<Unsubscribe<'a>>,
    /// The Message-ID, with or without angle brackets; a new one if there is none.
    pub message_id: Option<Cow<'a, str>>,
    /// The moment in the Date field; now if there is none.
    pub date: Option<SystemTime>,
}

/// A file in a [`Draft`].
#[derive(Clone, Debug, Default)]
pub struct Attachment<'a> {
    /// The name that a reader sees; spaces around it are dropped.
    pub filename: Option<Cow<'a, str>>,
    /// The media type; guessed from the file name's ending if there is none.
    pub content_type: Option<Cow<'a, str>>,
    /// What `cid:` in the HTML refers to, with or without angle brackets. It makes the file inline.
    pub content_id: Option<Cow<'a, str>>,
    /// Whether the file is meant to be shown within the message.
    pub inline: bool,
    /// The bytes in base64 (RFC 4648 section 4); padding may be missing, white space may be inside.
    pub base64: Cow<'a, str>,
}

/// List-Unsubscribe (RFC 2369), and List-Unsubscribe-Post (RFC 8058) where one click shall do.
#[derive(Clone, Debug, Default)]
pub struct Unsubscribe<'a> {
    /// A web address; for one click it must be https.
    pub url: Option<Cow<'a, str>>,
    /// A mail address, with or without `mailto:`.
    pub mailto: Option<Cow<'a, str>>,
    /// Whether a POST to the web address unsubscribes at once.
    pub one_click: bool,
}

/// A [`Draft`] that became a message.
#[derive(Clone, Debug)]
pub struct Composed {
    /// Headers and body.
    pub content: Content,
    /// The Message-ID in it, without angle brackets.
    pub message_id: String,
}

/// A message that is written but for the large files that are still in the request's buffer.
#[derive(Debug)]
pub struct Plan {
    pieces: Vec<Piece>,
    message_id: String,
}

impl Plan {
    /// The message, made of the buffer that the draft borrowed from.
    #[must_use]
    pub fn assemble(self, buffer: Vec<u8>) -> Composed {
        let mut runs: Vec<_> = self.pieces.iter().filter_map(Piece::run).cloned().collect();
        // Wrapping wants them in the order of the buffer; the message has images of the text before other files.
        runs.sort_by_key(|run| run.symbols.start);
        let wrapped = if runs.is_empty() { Vec::new() } else { in_place::wrap(buffer, &runs) };
        let chunks = self.pieces.into_iter().flat_map(|piece| match piece {
            Piece::Own(content) => content.chunks().to_vec(),
            Piece::InPlace(run) => {
                let place = runs.iter().position(|known| *known == run);
                place.and_then(|place| wrapped.get(place)).cloned().unwrap_or_default()
            }
        });
        Composed { content: Content::from_chunks(chunks), message_id: self.message_id }
    }
}

/// One mistake in a [`Draft`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DraftError {
    /// Where in the request: a JSON pointer (RFC 6901) such as `/attachments/0/filename`.
    pub pointer: String,
    /// What is wrong, without the value.
    pub sentence: String,
}

impl Draft<'_> {
    /// Checks everything and writes the message: CRLF line ends, no line longer than 998 octets, one Date and one
    /// Message-ID, no blind recipient.
    ///
    /// A display name may hold encoded words, as RFC 5322 mailboxes do; every other text is plain and arrives as it
    /// is, even if it looks encoded.
    ///
    /// # Errors
    /// All mistakes at once. Among them custom header fields that have a field of their own in the request, that
    /// belong to the structure of the message, or that only servers on the way may write.
    pub fn compose(self) -> Result<Composed, Vec<DraftError>> {
        Ok(self.plan(&[])?.assemble(Vec::new()))
    }

    /// The same in two steps, for a draft that borrows from `buffer`: what the plan holds borrows no more, and
    /// [`Plan::assemble`] makes the buffer itself the message where large files are in it.
    ///
    /// # Errors
    /// All mistakes, each with its place.
    pub fn plan(self, buffer: &[u8]) -> Result<Plan, Vec<DraftError>> {
        let mut head = Head::default();
        let message_id = self.write_head(&mut head);
        head.body_text("/text", self.text.as_deref());
        head.body_text("/html", self.html.as_deref());
        let files = part::check_files(self.attachments, &mut head.errors);
        if !head.errors.is_empty() {
            return Err(head.errors);
        }
        // A large buffer is not kept for the sake of a small file in it.
        let in_place: usize = files.iter().map(|file| file.in_place(buffer)).sum();
        let buffer = if in_place >= buffer.len() / 2 { buffer } else { &[] };
        let body = arrange(self.text, self.html, files);
        let pieces = part::write(&head.bytes, body, buffer).map_err(|_| vec![unwritable()])?;
        Ok(Plan { pieces, message_id })
    }

    fn write_head(&self, head: &mut Head) -> String {
        head.write("", "Date", &Raw::new(header::date(self.date.unwrap_or_else(SystemTime::now))));
        head.addresses("/from", "From", std::slice::from_ref(&self.from));
        if self.to.is_empty() && self.cc.is_empty() {
            // Filters count a message without any recipient field as spam.
            head.write("", "To", &Raw::new("undisclosed-recipients:;"));
        }
        head.addresses("/to", "To", &self.to);
        head.addresses("/cc", "Cc", &self.cc);
        head.addresses("/reply_to", "Reply-To", &self.reply_to);
        head.subject(&self.subject);
        let message_id = head.message_id(self.message_id.as_deref(), self.from.address().domain());
        head.custom(&self.headers, self.unsubscribe.is_some());
        self.unsubscribe.iter().for_each(|unsubscribe| head.unsubscribe(unsubscribe));
        head.write("", "MIME-Version", &Raw::new("1.0"));
        message_id
    }
}

/// The tree of the module's picture. A message with nothing in it is an empty text.
fn arrange<'a>(text: Option<Cow<'a, str>>, html: Option<Cow<'a, str>>, files: Vec<File<'a>>) -> Part<'a> {
    let has_html = html.is_some();
    let (related, attached): (Vec<_>, Vec<_>) = files.into_iter().partition(|file| has_html && file.has_content_id);
    let text = text.map(|text| Part::Text("text/plain", text));
    let html = html.map(|html| Part::multi("related", Part::Text("text/html", html), related));
    let body = match (text, html) {
        (Some(text), Some(html)) => Part::Multi("alternative", vec![text, html]),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) if !attached.is_empty() => {
            return Part::Multi("mixed", attached.into_iter().map(Part::File).collect());
        }
        (None, None) => Part::Text("text/plain", Cow::Borrowed("")),
    };
    Part::multi("mixed", body, attached)
}

/// Cannot happen while line ends are normalised; said rather than assumed.
fn unwritable() -> DraftError {
    DraftError { pointer: String::new(), sentence: "the message could not be written".to_owned() }
}

#[cfg(test)]
mod tests;
