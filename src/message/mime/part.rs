//! The parts of a message below its header: what a file may look like, and how the tree is written.

use std::borrow::Cow;
use std::collections::HashSet;

use mail_builder::headers::Header;
use mail_builder::headers::content_type::ContentType;
use mail_builder::headers::message_id::MessageId;
use mail_builder::headers::raw::Raw;
use mail_builder::mime::MimePart;
use mail_builder::writer::Writer;
use memchr::memchr2;

use super::base64::Base64;
use super::fields::Head;
use super::in_place::Run;
use super::{Attachment, DraftError};
use crate::message::content::{BareLineEnd, BareNewline, ContentWriter, LARGEST_CHUNK};
use crate::message::header::{encoded_word, has_control, is_id};
use crate::message::{Content, Id};

/// The longest file name, in octets: what file systems take.
const LONGEST_FILENAME: usize = 255;
const CONTENT_ID: &str =
    "a content id has letters, digits, . _ - + = @ and the like, no spaces, at most 250 characters";
/// Room for what is written around a body: the header of its part, and boundaries.
const AROUND: usize = 256;

/// The media type of a file by the ending of its name.
const MEDIA_TYPES: &[(&str, &str)] = &[
    ("csv", "text/csv"),
    ("doc", "application/msword"),
    ("docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    ("gif", "image/gif"),
    ("gz", "application/gzip"),
    ("htm", "text/html"),
    ("html", "text/html"),
    ("ics", "text/calendar"),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("json", "application/json"),
    ("md", "text/markdown"),
    ("mp3", "audio/mpeg"),
    ("mp4", "video/mp4"),
    ("pdf", "application/pdf"),
    ("png", "image/png"),
    ("pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation"),
    ("svg", "image/svg+xml"),
    ("txt", "text/plain"),
    ("vcf", "text/vcard"),
    ("webp", "image/webp"),
    ("xls", "application/vnd.ms-excel"),
    ("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    ("xml", "application/xml"),
    ("zip", "application/zip"),
];

/// A node of the tree.
#[derive(Debug)]
pub(super) enum Part<'a> {
    /// A body text and its media type.
    Text(&'static str, Cow<'a, str>),
    /// A file.
    File(File<'a>),
    /// `multipart/` this, with these parts.
    Multi(&'static str, Vec<Self>),
}

/// A checked attachment: its header as it will be written, and its bytes.
#[derive(Debug)]
pub(super) struct File<'a> {
    pub(super) has_content_id: bool,
    header: Vec<u8>,
    data: Base64<'a>,
}

impl File<'_> {
    /// How many bytes of the request's buffer can stay where they are.
    pub(super) fn in_place(&self, buffer: &[u8]) -> usize {
        self.data.run_in(buffer).map_or(0, |run| run.symbols.len())
    }
}

impl<'a> Part<'a> {
    /// `first` with `files` behind it, or `first` alone.
    pub(super) fn multi(subtype: &'static str, first: Self, files: Vec<File<'a>>) -> Self {
        if files.is_empty() {
            return first;
        }
        Self::Multi(subtype, std::iter::once(first).chain(files.into_iter().map(Part::File)).collect())
    }

    /// How many bytes it has when written, as far as it is text and small files; encoding can make it more.
    fn written_len(&self) -> usize {
        match self {
            Self::Text(_, text) => AROUND + text.len() + text.len() / 32,
            Self::File(file) => AROUND + file.header.len(),
            Self::Multi(_, parts) => AROUND + parts.iter().map(Self::written_len).sum::<usize>(),
        }
    }

    fn media_type(&self) -> &'static str {
        match self {
            Self::Text(media_type, _) => media_type,
            Self::File(_) => "application/octet-stream",
            Self::Multi(..) => "multipart/mixed",
        }
    }
}

// === Checks ===

/// Checks every attachment; what is wrong goes to `errors`.
pub(super) fn check_files<'a>(attachments: Vec<Attachment<'a>>, errors: &mut Vec<DraftError>) -> Vec<File<'a>> {
    let mut ids = HashSet::new();
    let mut files = Vec::with_capacity(attachments.len());
    for (index, attachment) in attachments.into_iter().enumerate() {
        let mut head = Head::default();
        let pointer = format!("/attachments/{index}");
        let id = attachment.content_id.as_deref().map(without_brackets);
        if id.is_some_and(|id| !ids.insert(id.to_owned())) {
            head.error(&format!("{pointer}/content_id"), "another attachment has this content id");
        }
        describe(&attachment, id, &pointer, &mut head);
        let has_content_id = id.is_some();
        match Base64::check(attachment.base64) {
            Ok(data) => files.push(File { has_content_id, header: head.bytes, data }),
            Err(sentence) => head.error(&format!("{pointer}/content"), sentence),
        }
        errors.append(&mut head.errors);
    }
    files
}

/// The header of a file's part.
fn describe(attachment: &Attachment<'_>, id: Option<&str>, pointer: &str, head: &mut Head) {
    let filename = attachment.filename.as_deref().map(|name| name.trim_matches(' '));
    match media_type(attachment.content_type.as_deref(), filename) {
        Ok(media_type) => head.write(pointer, "Content-Type", &media_type),
        Err(sentence) => head.error(&format!("{pointer}/content_type"), sentence),
    }
    let disposition = if attachment.inline || id.is_some() { "inline" } else { "attachment" };
    match filename_complaint(filename.unwrap_or_default()) {
        None => write_disposition(disposition, filename, pointer, head),
        Some(sentence) => head.error(&format!("{pointer}/filename"), sentence),
    }
    match id {
        Some(id) if is_content_id(id) => head.write(pointer, "Content-ID", &MessageId::new(id)),
        Some(_) => head.error(&format!("{pointer}/content_id"), CONTENT_ID),
        None => {}
    }
    head.write(pointer, "Content-Transfer-Encoding", &Raw::new("base64"));
}

fn filename_complaint(name: &str) -> Option<&'static str> {
    if has_control(name) {
        return Some("a file name has no control characters and no line ends");
    }
    (name.len() > LONGEST_FILENAME).then_some("a file name has at most 255 octets")
}

/// It stands in `cid:` URLs too (RFC 2392), where these three mean something.
fn is_content_id(id: &str) -> bool {
    is_id(id) && !id.contains(['%', '?', '#'])
}

fn write_disposition(disposition: &str, filename: Option<&str>, pointer: &str, head: &mut Head) {
    let name = "Content-Disposition";
    match filename.filter(|filename| !filename.is_empty()) {
        None => head.write(pointer, name, &Raw::new(disposition)),
        // In quotes it would be decoded by many readers; percent-encoded it is not (RFC 2231).
        Some(text) if encoded_word::is_in(text) => {
            head.write(
                pointer,
                name,
                &Unfolded(format!("{disposition};\r\n filename*=UTF-8''{}", percent_encoded(text))),
            );
        }
        // Some readers keep a fold inside quotes as a part of the name, so there is none.
        Some(text) if text.is_ascii() => {
            let quoted = text.replace('\\', "\\\\").replace('"', "\\\"");
            head.write(pointer, name, &Unfolded(format!("{disposition};\r\n filename=\"{quoted}\"")));
        }
        Some(text) => head.write(pointer, name, &ContentType::new(disposition).attribute("filename", text)),
    }
}

/// A value that is written as it is.
struct Unfolded(String);

impl Header for Unfolded {
    fn write_header(&self, out: &mut impl Writer, _column: usize) {
        out.write(self.0.as_bytes());
        out.write(b"\r\n");
    }
}

fn percent_encoded(text: &str) -> String {
    let encode = |b: u8| if b.is_ascii_alphanumeric() { char::from(b).into() } else { format!("%{b:02X}") };
    text.bytes().map(encode).collect()
}

fn without_brackets(id: &str) -> &str {
    id.strip_prefix('<').and_then(|id| id.strip_suffix('>')).unwrap_or(id)
}

fn media_type<'a>(given: Option<&'a str>, filename: Option<&str>) -> Result<ContentType<'a>, &'static str> {
    let Some(given) = given else {
        return Ok(ContentType::new(guess(filename.unwrap_or_default())));
    };
    let mut pieces = given.split(';').map(|piece| piece.trim_matches(' '));
    let kind = pieces.next().filter(|kind| is_media_type(kind)).ok_or("a media type is written type/subtype")?;
    let lower = kind.to_ascii_lowercase();
    if lower.starts_with("multipart/") || lower.starts_with("message/") {
        // RFC 2046 forbids base64 for both, and base64 is how files are sent.
        return Err("a file is not multipart/* or message/*; attach it as application/octet-stream");
    }
    pieces.try_fold(ContentType::new(kind), |media_type, piece| {
        let (name, value) = parameter(&lower, piece)
            .ok_or("a media type has no parameters but charset for text/* and method for text/calendar")?;
        Ok(media_type.attribute(name, value))
    })
}

fn parameter<'a>(kind: &str, piece: &'a str) -> Option<(&'static str, &'a str)> {
    let (name, value) = piece.split_once('=')?;
    let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
    let name = match name.to_ascii_lowercase().as_str() {
        "charset" if kind.starts_with("text/") => "charset",
        "method" if kind == "text/calendar" => "method",
        _ => return None,
    };
    is_token(value).then_some((name, value))
}

fn is_media_type(text: &str) -> bool {
    text.split_once('/').is_some_and(|(kind, subtype)| is_token(kind) && is_token(subtype))
}

/// RFC 6838 section 4.2, which is narrower than RFC 2045.
fn is_token(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b);
    !text.is_empty() && text.len() <= 127 && text.bytes().all(allowed)
}

fn guess(filename: &str) -> &'static str {
    let ending = filename.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase()).unwrap_or_default();
    MEDIA_TYPES
        .iter()
        .find(|(known, _)| *known == ending)
        .map_or("application/octet-stream", |(_, media_type)| media_type)
}

// === Writing ===

/// A message, as far as it is written.
#[derive(Debug)]
pub(super) enum Piece {
    /// Bytes of its own.
    Own(Content),
    /// A file that is still in the request's buffer.
    InPlace(Run),
}

impl Piece {
    /// The place of a file that is still in the buffer.
    pub(super) fn run(&self) -> Option<&Run> {
        match self {
            Self::Own(_) => None,
            Self::InPlace(run) => Some(run),
        }
    }
}

/// Writes the head and, behind it, the tree. Each body is dropped once it is written; a file that lies in `buffer` as
/// it can stay is only named.
pub(super) fn write(head: &[u8], body: Part<'_>, buffer: &[u8]) -> Result<Vec<Piece>, BareLineEnd> {
    let mut out = Out { buffer, writer: Sink::new(), pieces: Vec::new() };
    out.writer.content.expect(head.len() + body.written_len());
    out.writer.write(head);
    write_part(body, 0, &mut out)?;
    out.end_piece()?;
    Ok(out.pieces)
}

struct Out<'b> {
    buffer: &'b [u8],
    writer: Sink,
    pieces: Vec<Piece>,
}

impl Out<'_> {
    fn end_piece(&mut self) -> Result<(), BareLineEnd> {
        let written = std::mem::replace(&mut self.writer, Sink::new()).finish()?;
        self.pieces.push(Piece::Own(written));
        Ok(())
    }

    fn file(&mut self, data: &Base64<'_>) -> Result<(), BareLineEnd> {
        match data.run_in(self.buffer) {
            None => {
                data.write(&mut self.writer);
                Ok(())
            }
            Some(run) => {
                // The file's header has just ended, so a piece of whole lines ends here.
                self.end_piece()?;
                self.pieces.push(Piece::InPlace(run));
                Ok(())
            }
        }
    }
}

fn write_part(part: Part<'_>, depth: usize, out: &mut Out<'_>) -> Result<(), BareLineEnd> {
    match part {
        Part::Text(media_type, text) => {
            MimePart::new(media_type, with_crlf(&text)).write_part(&mut out.writer);
            Ok(())
        }
        Part::File(file) => {
            out.writer.write(&file.header);
            out.writer.write(b"\r\n");
            out.file(&file.data)
        }
        Part::Multi(subtype, parts) => write_multi(subtype, parts, depth, out),
    }
}

fn write_multi(subtype: &str, parts: Vec<Part<'_>>, depth: usize, out: &mut Out<'_>) -> Result<(), BareLineEnd> {
    // Not to be guessed, or a body text could hold it and add parts; none begins with another one.
    let boundary = format!("=_{}_{depth}", Id::unguessable().simple());
    let mut head = Head::default();
    head.write("", "Content-Type", &multipart_type(subtype, parts.first(), &boundary));
    out.writer.write(&head.bytes);
    for part in parts {
        out.writer.write(format!("\r\n--{boundary}\r\n").as_bytes());
        write_part(part, depth + 1, out)?;
    }
    out.writer.write(format!("\r\n--{boundary}--\r\n").as_bytes());
    Ok(())
}

fn multipart_type<'a>(subtype: &str, first: Option<&Part<'_>>, boundary: &'a str) -> ContentType<'a> {
    let media_type = ContentType::new(format!("multipart/{subtype}")).attribute("boundary", boundary);
    match first {
        // RFC 2387 section 3.1 demands it.
        Some(root) if subtype == "related" => media_type.attribute("type", root.media_type()),
        _ => media_type,
    }
}

/// Line ends as RFC 2045 wants them before any encoding. Base64 would hide others from the content's own care.
fn with_crlf(text: &str) -> Cow<'_, str> {
    let mut fixed = String::new();
    let mut rest = text;
    let mut at = 0;
    while let Some(end) = memchr2(b'\r', b'\n', &rest.as_bytes()[at..]).map(|offset| at + offset) {
        if rest[end..].starts_with("\r\n") {
            at = end + 2;
            continue;
        }
        fixed.reserve(if fixed.is_empty() { text.len() + text.len() / 16 } else { 0 });
        fixed.push_str(&rest[..end]);
        fixed.push_str("\r\n");
        (rest, at) = (&rest[end + 1..], 0);
    }
    if rest.len() == text.len() {
        return Cow::Borrowed(text);
    }
    fixed.push_str(rest);
    Cow::Owned(fixed)
}

/// The content as something that `mail-builder` and [`Base64`] can write to: each byte is written once, where it stays.
struct Sink {
    content: ContentWriter,
    result: Result<(), BareLineEnd>,
}

impl Sink {
    fn new() -> Self {
        Self { content: ContentWriter::new(BareNewline::Normalize), result: Ok(()) }
    }

    fn finish(self) -> Result<Content, BareLineEnd> {
        self.result.and_then(|()| self.content.finish())
    }
}

impl Writer for Sink {
    fn write(&mut self, bytes: &[u8]) {
        self.result = self.result.and_then(|()| self.content.push(bytes));
    }

    fn append_with<T>(&mut self, len: usize, append: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        let (appended, result) = self.content.append(len, append);
        self.result = self.result.and(result);
        appended
    }

    fn append_limit(&self) -> usize {
        LARGEST_CHUNK
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types() {
        for (given, filename, expected) in [
            (None, None, Some("application/octet-stream")),
            (None, Some("a.b/c.PDF"), Some("application/pdf")),
            (None, Some("mail.eml"), Some("application/octet-stream")),
            (Some("image/svg+xml"), None, Some("image/svg+xml")),
            (Some("Text/CSV; Charset=UTF-8"), None, Some("Text/CSV; charset=\"UTF-8\"")),
            (
                Some("text/calendar;method=\"REQUEST\";charset=utf-8"),
                None,
                Some("text/calendar; method=\"REQUEST\"; charset=\"utf-8\""),
            ),
            (Some("application/pdf; charset=utf-8"), None, None),
            (Some("application/pdf; name=x"), None, None),
            (Some("text/plain; charset=a b"), None, None),
            (Some("text/plain; charset"), None, None),
            (Some("text/plain;"), None, None),
            (Some("text"), None, None),
            (Some("text/"), None, None),
            (Some("a/b/c"), None, None),
            (Some("text/plain\r\nX: y"), None, None),
            (Some("text/plain\n"), None, None),
            (Some("t\u{e9}xt/plain"), None, None),
            (Some("multipart/mixed"), None, None),
            (Some("Message/RFC822"), None, None),
            (Some(""), Some("a.pdf"), None),
        ] {
            let mut head = Head::default();
            let result = media_type(given, filename).map(|media_type| head.write("", "T", &media_type));
            let written = result.ok().map(|()| String::from_utf8(head.bytes).unwrap());
            assert_eq!(written, expected.map(|expected| format!("T: {expected}\r\n")), "{given:?} {filename:?}");
        }
    }

    #[test]
    fn line_ends_become_crlf_and_proper_ones_cost_no_copy() {
        for (text, expected) in [
            ("", ""),
            ("a\r\nb\r\n", "a\r\nb\r\n"),
            ("a\nb\rc\r\n\rd\n\n", "a\r\nb\r\nc\r\n\r\nd\r\n\r\n"),
            ("\r\r\n\n\r", "\r\n\r\n\r\n\r\n"),
            ("ä\r\nü\nö", "ä\r\nü\r\nö"),
            ("ä\n\nü\n", "ä\r\n\r\nü\r\n"),
            ("\nü", "\r\nü"),
        ] {
            assert_eq!(with_crlf(text), expected);
        }
        assert!(matches!(with_crlf("a\r\nb"), Cow::Borrowed(_)));
    }
}
