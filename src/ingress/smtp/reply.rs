//! A reply as it goes over the wire (RFC 5321 section 4.2, RFC 2034).

use std::borrow::Cow;
use std::io::Write as _;

use crate::outcome::EnhancedCode;

/// Octets of text per line: with the codes and the CRLF it stays under 512 (RFC 5321 section 4.5.3.1.5).
const LONGEST_TEXT: usize = 480;
/// Lines per reply. What does not fit is dropped.
const MOST_LINES: usize = 16;

/// One reply: a code, perhaps an enhanced code, and a text of one or more lines.
///
/// Whatever the text contains, what is written is printable ASCII under the reply's own code: a text that came from
/// outside can neither end the reply nor begin another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    code: u16,
    enhanced: Option<EnhancedCode>,
    text: Cow<'static, str>,
}

impl Reply {
    /// A reply with an enhanced code.
    #[must_use]
    pub const fn new(code: u16, enhanced: EnhancedCode, text: &'static str) -> Self {
        Self { code, enhanced: Some(enhanced), text: Cow::Borrowed(text) }
    }

    /// A reply without an enhanced code: the greeting, replies to HELO and EHLO (RFC 2034 section 4), and 354.
    #[must_use]
    pub const fn plain(code: u16, text: &'static str) -> Self {
        Self { code, enhanced: None, text: Cow::Borrowed(text) }
    }

    /// The same codes with a text made just now; `\n` separates its lines.
    #[must_use]
    pub fn with_text(self, text: String) -> Self {
        Self { text: Cow::Owned(text), ..self }
    }

    /// The same text under other codes.
    #[must_use]
    pub fn with_codes(self, code: u16, enhanced: EnhancedCode) -> Self {
        Self { code, enhanced: Some(enhanced), ..self }
    }

    /// The three-digit code.
    #[must_use]
    pub fn code(&self) -> u16 {
        self.code
    }

    /// The enhanced code.
    #[must_use]
    pub fn enhanced(&self) -> Option<EnhancedCode> {
        self.enhanced
    }

    /// The text, as it was given.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// 2yz or 3yz.
    #[must_use]
    pub fn is_positive(&self) -> bool {
        self.code < 400
    }

    /// 421: the connection ends after it.
    #[must_use]
    pub fn ends_connection(&self) -> bool {
        self.code == 421
    }

    /// Appends the reply in the form in which it is sent.
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut pieces = self.text.split('\n').flat_map(|line| Pieces(Some(line))).take(MOST_LINES).peekable();
        while let Some(piece) = pieces.next() {
            let separator = if pieces.peek().is_some() { '-' } else { ' ' };
            // Writing into a Vec cannot fail.
            let _ = match self.enhanced {
                Some(enhanced) => write!(out, "{}{separator}{enhanced} ", self.code),
                None => write!(out, "{}{separator}", self.code),
            };
            out.extend(piece.chars().map(printable));
            out.extend_from_slice(b"\r\n");
        }
    }
}

/// UTF-8 in replies is for SMTPUTF8 transactions only (RFC 6531 section 3.7.4.2), so nobody gets it.
fn printable(character: char) -> u8 {
    match u8::try_from(character) {
        Ok(byte @ 0x20..=0x7e) => byte,
        Ok(0..=0x1f | 0x7f) => b' ',
        Ok(_) | Err(_) => b'?',
    }
}

/// A line of text cut into pieces that fit, at a space where there is one. An empty line is one empty piece.
struct Pieces<'a>(Option<&'a str>);

impl<'a> Iterator for Pieces<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let line = self.0?;
        let (piece, rest) = line.split_at(fitting(line));
        self.0 = Some(rest.trim_start_matches(' ')).filter(|rest| !rest.is_empty());
        Some(piece)
    }
}

fn fitting(line: &str) -> usize {
    if line.len() <= LONGEST_TEXT {
        return line.len();
    }
    let most = line.floor_char_boundary(LONGEST_TEXT);
    line[..most].rfind(' ').filter(|&space| space > 0).unwrap_or(most)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(reply: &Reply) -> String {
        let mut out = Vec::new();
        reply.write(&mut out);
        String::from_utf8(out).unwrap()
    }

    fn check(text: &str, expected: &str) {
        let reply = Reply::new(554, EnhancedCode(5, 0, 0), "").with_text(text.to_owned());
        assert_eq!(written(&reply), expected, "{text:?}");
    }

    #[test]
    fn lines_carry_both_codes() {
        check("No", "554 5.0.0 No\r\n");
        check("", "554 5.0.0 \r\n");
        check("One\nTwo", "554-5.0.0 One\r\n554 5.0.0 Two\r\n");
        assert_eq!(written(&Reply::plain(250, "a\nb")), "250-a\r\n250 b\r\n");
    }

    /// A provider's text must not become a reply of ours: CVE-2021-38371 and its family, seen from the other side.
    #[test]
    fn a_text_from_outside_cannot_make_a_reply() {
        check("no\r\n250 2.0.0 Ok", "554-5.0.0 no \r\n554 5.0.0 250 2.0.0 Ok\r\n");
        check("a\rb\0c\u{7f}d\u{85}e\u{2028}f\u{e4}", "554 5.0.0 a b c d?e?f?\r\n");
    }

    #[test]
    fn long_texts_are_cut_at_spaces_and_bounded() {
        let text = "word ".repeat(200);
        let shown = written(&Reply::plain(451, "").with_text(text.trim_end().to_owned()));
        assert_eq!(shown.lines().count(), 3);
        assert_eq!(shown.replace("451-", "").replace("451 ", "").replace("\r\n", " "), text);
        let endless = written(&Reply::plain(451, "").with_text("x".repeat(100_000)));
        assert_eq!(endless.lines().count(), MOST_LINES);
    }

    proptest! {
        #[test]
        fn whatever_the_text_it_is_one_well_formed_reply(text in any::<String>(), repeat in 1usize..60) {
            let shown = written(&Reply::new(451, EnhancedCode(4, 4, 1), "").with_text(text.repeat(repeat)));
            let body = shown.strip_suffix("\r\n").unwrap();
            let lines: Vec<&str> = body.split("\r\n").collect();
            for (n, line) in lines.iter().enumerate() {
                let start = if n + 1 == lines.len() { "451 4.4.1 " } else { "451-4.4.1 " };
                prop_assert!(line.starts_with(start) && line.len() <= 510);
                prop_assert!(line.bytes().all(|b| (0x20..0x7f).contains(&b)));
            }
        }
    }
}
