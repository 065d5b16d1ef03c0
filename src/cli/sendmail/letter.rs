//! The message on standard input: the header is read whole, the body goes past in pieces.
//!
//! Both become lines that end in CRLF. The header loses what only concerns who sends (Bcc, the line that separates
//! messages in a mailbox file) and gets a From field if it has none.

use std::io::{self, BufRead, Read as _, Write};

use memchr::memchr;

use crate::message::address::list;
use crate::message::header::field_name;

/// Nobody's header is longer; a body that never ends its header must not be gathered in memory.
const LONGEST_HEADER: u64 = 1 << 20;

/// One field with its folds, each line ending in LF.
#[derive(Debug, PartialEq, Eq)]
struct Field(Vec<u8>);

impl Field {
    fn name(&self) -> &[u8] {
        field_name(&self.0).unwrap_or_default()
    }

    fn is(&self, name: &str) -> bool {
        self.name().eq_ignore_ascii_case(name.as_bytes())
    }

    fn value(&self) -> String {
        let colon = memchr(b':', &self.0).map_or(0, |at| at + 1);
        String::from_utf8_lossy(&self.0[colon..]).into_owned()
    }
}

/// A header, and what has been read of the body.
#[derive(Debug, Default)]
pub struct Header {
    fields: Vec<Field>,
    /// The first line of the body, where no empty line was before it.
    body: Vec<u8>,
    /// A dot alone has ended the message already.
    pub ended: bool,
}

impl Header {
    /// Reads up to the empty line, or to the first line that is no field.
    ///
    /// # Errors
    /// A read error, or a header longer than 1 MiB.
    pub fn read(input: &mut impl BufRead, dot_ends: bool) -> io::Result<Self> {
        let mut header = Self::default();
        let mut input = input.take(LONGEST_HEADER);
        let mut line = Vec::new();
        loop {
            line.clear();
            let length = input.read_until(b'\n', &mut line)?;
            if input.limit() == 0 {
                return Err(io::Error::other("its header is longer than 1 MiB"));
            }
            if length == 0 {
                return Ok(header);
            }
            if dot_ends && is_dot(&line) {
                header.ended = true;
                return Ok(header);
            }
            if !header.take(&line) {
                return Ok(header);
            }
        }
    }

    /// Whether the line belongs to the header.
    fn take(&mut self, line: &[u8]) -> bool {
        let is_first = self.fields.is_empty();
        match (line[0], field_name(line)) {
            (b' ' | b'\t', _) if !is_first => self.fields.last_mut().into_iter().for_each(|f| f.0.extend(line)),
            (_, Some(_)) => self.fields.push(Field(line.to_vec())),
            _ if is_first && (line.starts_with(b"From ") || line.starts_with(b">From ")) => {}
            _ => {
                if !matches!(line, b"\n" | b"\r\n") {
                    self.body = line.to_vec();
                }
                return false;
            }
        }
        true
    }

    /// The addresses of the fields that `-t` means: To, Cc and Bcc, or their Resent forms where the message is sent on.
    #[must_use]
    pub fn recipients(&self) -> Vec<String> {
        let of = |names: [&str; 3]| {
            let fields = self.fields.iter().filter(move |field| names.iter().any(|name| field.is(name)));
            fields.flat_map(|field| list::addresses(&field.value())).collect::<Vec<_>>()
        };
        let resent = of(["Resent-To", "Resent-Cc", "Resent-Bcc"]);
        if resent.is_empty() { of(["To", "Cc", "Bcc"]) } else { resent }
    }

    /// The first address of the From field.
    #[must_use]
    pub fn from(&self) -> Option<String> {
        let from = self.fields.iter().find(|field| field.is("From"))?;
        list::addresses(&from.value()).into_iter().next()
    }

    /// Puts this From field in front where there is none, or gives a domain to the bare name that stands in it, such as
    /// cron's `root (Cron Daemon)`.
    pub fn complete_from(&mut self, from: String, domain: &str) {
        let Some(field) = self.fields.iter_mut().find(|field| field.is("From")) else {
            return self.fields.insert(0, Field(from.into_bytes()));
        };
        let value = field.value();
        let bare = match list::addresses(&value).as_slice() {
            [one] if !one.contains(['@', '"']) => one.clone(),
            _ => return,
        };
        // In brackets if there are some, since the name in front may be the same word.
        let (open, word) = (value.rfind('<').unwrap_or(0), bare.as_str());
        if let Some(at) = value[open..].find(word) {
            let (before, after) = value.split_at(open + at + word.len());
            field.0 = format!("{}:{before}@{domain}{after}", String::from_utf8_lossy(field.name())).into_bytes();
        }
    }

    /// Writes it without Bcc, with the empty line, and with what was read of the body.
    ///
    /// # Errors
    /// Where the output fails.
    pub fn write(&self, output: &mut Body<impl Write>) -> io::Result<()> {
        for field in self.fields.iter().filter(|field| !field.is("Bcc") && !field.is("Resent-Bcc")) {
            output.push(&field.0)?;
            if !field.0.ends_with(b"\n") {
                output.push(b"\n")?;
            }
        }
        output.push(b"\n")?;
        output.push(&self.body)
    }
}

fn is_dot(line: &[u8]) -> bool {
    matches!(line, b".\n" | b".\r\n" | b".")
}

/// Copies the rest of the input, up to its end or to a line with a dot alone.
///
/// # Errors
/// Where reading or writing fails.
pub fn copy_body(input: &mut impl BufRead, output: &mut Body<impl Write>, dot_ends: bool) -> io::Result<()> {
    let mut line = Vec::new();
    loop {
        let piece = input.fill_buf()?;
        if piece.is_empty() {
            // A dot at the very end, without a line end behind it.
            return if is_dot(&line) { Ok(()) } else { output.push(&line) };
        }
        let length = memchr(b'\n', piece).map_or(piece.len(), |at| at + 1);
        // Only a line that may still become a dot alone is held back; a long one goes past in pieces.
        let at_start = output.at_line_start;
        if dot_ends && at_start && line.len() + length <= 3 {
            line.extend_from_slice(&piece[..length]);
            if line.ends_with(b"\n") {
                if is_dot(&line) {
                    return Ok(());
                }
                output.push(&std::mem::take(&mut line))?;
            }
        } else {
            output.push(&std::mem::take(&mut line))?;
            output.push(&piece[..length])?;
        }
        input.consume(length);
    }
}

/// Content on its way to the server: line ends become CRLF, dots at the start of a line are doubled (RFC 5321 section
/// 4.5.2).
#[derive(Debug)]
pub struct Body<W> {
    output: W,
    at_line_start: bool,
    after_cr: bool,
}

impl<W: Write> Body<W> {
    /// Nothing has been written.
    pub fn new(output: W) -> Self {
        Self { output, at_line_start: true, after_cr: false }
    }

    /// Writes a piece.
    ///
    /// # Errors
    /// Where the output fails.
    pub fn push(&mut self, mut piece: &[u8]) -> io::Result<()> {
        while !piece.is_empty() {
            if self.at_line_start && piece[0] == b'.' {
                self.output.write_all(b".")?;
            }
            let (line, rest) = piece.split_at(memchr(b'\n', piece).map_or(piece.len(), |at| at + 1));
            match line.strip_suffix(b"\n") {
                Some(text) => {
                    let has_cr = if text.is_empty() { self.after_cr } else { text.ends_with(b"\r") };
                    self.output.write_all(text)?;
                    self.output.write_all(if has_cr { b"\n" } else { b"\r\n" })?;
                }
                None => self.output.write_all(line)?,
            }
            self.at_line_start = line.ends_with(b"\n");
            self.after_cr = line.ends_with(b"\r");
            piece = rest;
        }
        Ok(())
    }

    /// Ends the last line, and the content.
    ///
    /// # Errors
    /// Where the output fails.
    pub fn finish(mut self) -> io::Result<W> {
        if !self.at_line_start {
            self.push(b"\n")?;
        }
        self.output.write_all(b".\r\n")?;
        self.output.flush()?;
        Ok(self.output)
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use proptest::prelude::*;

    use super::*;

    /// Header and content as they go out, read in pieces of that many bytes.
    fn sent(text: &str, dot_ends: bool, piece: usize) -> (Header, String) {
        let mut input = BufReader::with_capacity(piece, text.as_bytes());
        let mut header = Header::read(&mut input, dot_ends).unwrap();
        header.complete_from("From: me@here.test\n".to_owned(), "here.test");
        let mut body = Body::new(Vec::new());
        header.write(&mut body).unwrap();
        if !header.ended {
            copy_body(&mut input, &mut body, dot_ends).unwrap();
        }
        (header, String::from_utf8(body.finish().unwrap()).unwrap())
    }

    #[track_caller]
    fn check(text: &str, dot_ends: bool, expected: &str) {
        for piece in [1, 2, 3, 1_000] {
            assert_eq!(sent(text, dot_ends, piece).1, expected, "{text:?} in pieces of {piece}");
        }
    }

    #[test]
    fn lines_end_in_crlf_and_dots_are_doubled() {
        check("From: a@b\n\nx\n..y\r\n.\nz", false, "From: a@b\r\n\r\nx\r\n...y\r\n..\r\nz\r\n.\r\n");
        check("From: a@b\n\nx\n.y\n.\nz", true, "From: a@b\r\n\r\nx\r\n..y\r\n.\r\n");
        check("From: a@b\n\nx\n.", true, "From: a@b\r\n\r\nx\r\n.\r\n");
        check("From: a@b\n\n.\r\nnot this", true, "From: a@b\r\n\r\n.\r\n");
        check("From: a@b\n.\nnot this", true, "From: a@b\r\n\r\n.\r\n");
        check("", true, "From: me@here.test\r\n\r\n.\r\n");
        check("just text\nmore", true, "From: me@here.test\r\n\r\njust text\r\nmore\r\n.\r\n");
        check("\nbody: x\n", true, "From: me@here.test\r\n\r\nbody: x\r\n.\r\n");
    }

    #[test]
    fn bcc_and_the_mailbox_line_stay_here() {
        check(
            "From joe Sun Nov 22\nfrom: a@b\nBCC: x@y,\n  z@y\nTo: c@d\n\nBcc: body\n",
            true,
            "from: a@b\r\nTo: c@d\r\n\r\nBcc: body\r\n.\r\n",
        );
    }

    #[test]
    fn a_bare_sender_gets_a_domain() {
        for (from, expected) in [
            ("root (Cron Daemon)", "root@here.test (Cron Daemon)"),
            ("root <root>", "root <root@here.test>"),
            ("\"root\" <root>", "\"root\" <root@here.test>"),
            ("joe@x.test", "joe@x.test"),
            ("a, b", "a, b"),
        ] {
            let (_, sent) = sent(&format!("From: {from}\n\n"), true, 1_000);
            assert_eq!(sent, format!("From: {expected}\r\n\r\n.\r\n"));
        }
    }

    #[test]
    fn recipients_stand_in_the_header() {
        let (header, _) = sent("To: A <a@b>,\n c@d (x)\ncc: e@f\nBcc: g@h\nX-To: no@no\n\nTo: no@no\n", true, 1_000);
        assert_eq!(header.recipients(), ["a@b", "c@d", "e@f", "g@h"]);
        let (header, _) = sent("To: a@b\nResent-To: c@d\nResent-Bcc: e@f\n\n", true, 1_000);
        assert_eq!(header.recipients(), ["c@d", "e@f"]);
        assert_eq!(header.from(), Some("me@here.test".to_owned()));
    }

    #[test]
    fn an_endless_header_is_refused() {
        let endless = "X: y\n".repeat(300_000);
        assert!(Header::read(&mut endless.as_bytes(), true).is_err());
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference_and_no_bare_line_feed_goes_out(text in "[.a: \r\n]{0,40}", piece in 1_usize..9, dot_ends: bool) {
            let (_, whole) = sent(&text, dot_ends, 1_000);
            prop_assert_eq!(&sent(&text, dot_ends, piece).1, &whole);
            prop_assert!(whole.ends_with("\r\n.\r\n"));
            prop_assert_eq!(whole.matches("\r\n.\r\n").count(), 1);
            prop_assert_eq!(whole.matches('\n').count(), whole.matches("\r\n").count());
        }
    }
}
