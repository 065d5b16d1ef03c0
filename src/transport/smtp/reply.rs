//! Replies, from bytes: RFC 5321 section 4.2, bounded in length and lines.

use bytes::{Buf, BytesMut};
use memchr::memchr;

use crate::outcome::{EnhancedCode, Reply};

/// The RFC says 512 octets; real servers send links of some hundred more.
const LONGEST_LINE: usize = 4 * 1024;
const MOST_LINES: usize = 100;
/// What a person needs of a text; the rest is dropped.
const LONGEST_TEXT: usize = 1_000;

/// What the other side said is not an SMTP reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// The line does not begin with a code from 200 to 599.
    Code,
    /// The lines of one reply have different codes.
    MixedCodes,
    /// The code cannot be an answer to what was asked.
    OutOfPlace,
    /// A line is too long.
    LongLine,
    /// There are too many lines.
    ManyLines,
    /// It speaks HTTP.
    Http,
    /// It speaks TLS.
    Tls,
}

impl Malformed {
    /// What it looks like, to complete "the other side ...".
    #[must_use]
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Code => "sent something that is not an SMTP reply",
            Self::MixedCodes => "sent one reply with two different codes",
            Self::OutOfPlace => "gave an answer that does not belong to what was asked",
            Self::LongLine => "sent a reply line without an end",
            Self::ManyLines => "sent a reply without an end",
            Self::Http => "speaks HTTP, not SMTP: the host or the port is wrong",
            Self::Tls => "speaks TLS from the start: set SIDEPOST_TLS=implicit for this port",
        }
    }
}

/// One reply with its lines, codes removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawReply {
    /// The three-digit code.
    pub code: u16,
    /// The lines' texts, unaltered.
    pub lines: Vec<Vec<u8>>,
}

impl RawReply {
    /// The reply as people see it: the enhanced code apart, one printable text.
    #[must_use]
    pub fn into_reply(self) -> Reply {
        let mut enhanced = None;
        let mut text = String::new();
        for line in &self.lines {
            let line = String::from_utf8_lossy(line);
            let (code, rest) = split_enhanced(self.code, line.trim());
            enhanced = enhanced.or(code);
            append(&mut text, rest);
        }
        Reply { code: self.code, enhanced, text }
    }
}

fn append(text: &mut String, line: &str) {
    if text.len() >= LONGEST_TEXT {
        return;
    }
    if !text.is_empty() && !line.is_empty() {
        text.push(' ');
    }
    if line.len() <= LONGEST_TEXT.saturating_sub(text.len()) && line.bytes().all(|b| matches!(b, b' '..=b'~')) {
        return text.push_str(line);
    }
    for c in line.chars().filter(|c| !c.is_control()) {
        if text.len() >= LONGEST_TEXT {
            return;
        }
        text.push(c);
    }
}

/// Splits `5.7.8 text`. A code of another class than the reply's is left in the text (RFC 2034 section 4).
fn split_enhanced(code: u16, line: &str) -> (Option<EnhancedCode>, &str) {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    match parse_enhanced(word) {
        Some(enhanced) if u16::from(enhanced.0) == code / 100 => (Some(enhanced), rest.trim_start()),
        _ => (None, line),
    }
}

fn parse_enhanced(word: &str) -> Option<EnhancedCode> {
    let mut parts = word.split('.');
    let class = parts.next().filter(|class| matches!(*class, "2" | "4" | "5"))?.parse().ok()?;
    let mut number = || parts.next().filter(|n| (1..=3).contains(&n.len()))?.parse::<u16>().ok();
    let (subject, detail) = (number()?, number()?);
    parts.next().is_none().then_some(EnhancedCode(class, subject, detail))
}

/// Takes one whole reply off the front of `input`, or nothing where its end has not come yet.
///
/// # Errors
/// [`Malformed`]; the connection is then of no further use.
pub fn take(input: &mut BytesMut) -> Result<Option<RawReply>, Malformed> {
    let mut lines = Vec::new();
    let mut code = None;
    let mut at = 0;
    while let Some(length) = memchr(b'\n', &input[at..]) {
        let line = &input[at..at + length];
        at += length + 1;
        let (line_code, last, text) = split_line(line.strip_suffix(b"\r").unwrap_or(line))?;
        if *code.get_or_insert(line_code) != line_code {
            return Err(Malformed::MixedCodes);
        }
        lines.push(text.to_vec());
        if last {
            input.advance(at);
            return Ok(Some(RawReply { code: line_code, lines }));
        }
        if lines.len() >= MOST_LINES {
            return Err(Malformed::ManyLines);
        }
    }
    check_beginning(&input[at..])?;
    Ok(None)
}

/// An unfinished line can already be wrong; waiting for its end would only turn the cause into a timeout.
fn check_beginning(rest: &[u8]) -> Result<(), Malformed> {
    match rest {
        [0x16, 0x03, ..] | [0x15, 0x03, ..] => Err(Malformed::Tls),
        _ if rest.len() < 3 => Ok(()),
        // Its last octet may be half of its end.
        _ => code_of(rest.strip_suffix(b"\r").unwrap_or(rest)).map(|_| ()),
    }
}

/// The code is looked at before the length, or what is wrong with a line would depend on how much of it has come.
fn code_of(line: &[u8]) -> Result<u16, Malformed> {
    let code = parse_code(line)?;
    if line.len() > LONGEST_LINE { Err(Malformed::LongLine) } else { Ok(code) }
}

fn split_line(line: &[u8]) -> Result<(u16, bool, &[u8]), Malformed> {
    let code = code_of(line)?;
    match line.get(3) {
        None => Ok((code, true, &[])),
        Some(b' ') => Ok((code, true, &line[4..])),
        Some(b'-') => Ok((code, false, &line[4..])),
        Some(_) => Err(Malformed::Code),
    }
}

fn parse_code(line: &[u8]) -> Result<u16, Malformed> {
    match line {
        [a @ b'2'..=b'5', b @ b'0'..=b'9', c @ b'0'..=b'9', ..] => {
            Ok(u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0'))
        }
        _ if line.starts_with(b"HTT") => Err(Malformed::Http),
        [0x15 | 0x16, 0x03, ..] => Err(Malformed::Tls),
        _ => Err(Malformed::Code),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(wire: &str, code: u16, enhanced: Option<(u8, u16, u16)>, text: &str) {
        let mut input = BytesMut::from(wire);
        let reply = take(&mut input).unwrap().expect("a whole reply").into_reply();
        let enhanced = enhanced.map(|(a, b, c)| EnhancedCode(a, b, c));
        assert_eq!(reply, Reply { code, enhanced, text: text.to_owned() }, "{wire:?}");
        assert!(input.is_empty());
    }

    #[test]
    fn replies_of_real_servers() {
        check("250 2.0.0 Ok: queued as 8DC009A4218\r\n", 250, Some((2, 0, 0)), "Ok: queued as 8DC009A4218");
        check("250\r\n", 250, None, "");
        check("354 End data with <CR><LF>.<CR><LF>\r\n", 354, None, "End data with <CR><LF>.<CR><LF>");
        check(
            "535-5.7.8 Username and Password\r\n535 5.7.8 not accepted\r\n",
            535,
            Some((5, 7, 8)),
            "Username and Password not accepted",
        );
        check("250 2.0.0\n", 250, Some((2, 0, 0)), "");
        check("550 4.7.1 odd class\r\n", 550, None, "4.7.1 odd class");
        check("550 5.7.1.2 no\r\n", 550, None, "5.7.1.2 no");
        check("550 \u{1b}[31mred\u{0}\r\n", 550, None, "[31mred");
    }

    #[test]
    fn many_lines_are_cut_as_one_long_line_is() {
        for line in ["250-a b c d e f g h i j\r\n", "250-\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\r\n"] {
            let mut input = BytesMut::from(format!("{}250 end\r\n", line.repeat(99)).as_str());
            let text = take(&mut input).unwrap().unwrap().into_reply().text;
            assert!((LONGEST_TEXT..LONGEST_TEXT + 4).contains(&text.len()), "{}", text.len());
        }
    }

    #[test]
    fn what_is_no_reply() {
        let check = |wire: &[u8], expected| assert_eq!(take(&mut BytesMut::from(wire)), Err(expected), "{wire:?}");
        check(b"2x0 ok\r\n", Malformed::Code);
        check(b"2x0", Malformed::Code);
        check(b"199 ok\r\n", Malformed::Code);
        check(b"600 ok\r\n", Malformed::Code);
        check(b"250_ok\r\n", Malformed::Code);
        check(b"\r\n", Malformed::Code);
        check(b"250-a\r\n550 b\r\n", Malformed::MixedCodes);
        check(b"HTTP/1.1 400 Bad Request\r\n", Malformed::Http);
        check(b"\x16\x03\x01\x02", Malformed::Tls);
        check(&[&b"250 "[..], &[b'a'; 5000]].concat(), Malformed::LongLine);
        check(&[&b"250 "[..], &[b'a'; 5000], b"\r\n"].concat(), Malformed::LongLine);
        // As it would be if its first octets came alone.
        check(&[b'a'; 5000], Malformed::Code);
        check(&[&[b'a'; 5000][..], b"\r\n"].concat(), Malformed::Code);
        check(&b"250-a\r\n".repeat(200), Malformed::ManyLines);
    }

    #[test]
    fn an_unfinished_reply_is_waited_for() {
        for wire in ["", "2", "25", "250", "250 ok", "250-a\r\n", "250-a\r\n250 b\r"] {
            let mut input = BytesMut::from(wire);
            assert_eq!(take(&mut input), Ok(None), "{wire:?}");
            assert_eq!(input, wire.as_bytes(), "nothing is taken off");
        }
    }

    #[test]
    fn the_longest_line_may_come_in_two_pieces() {
        let line = [&b"250 "[..], &[b'a'; LONGEST_LINE - 4], b"\r"].concat();
        let mut input = BytesMut::from(&line[..]);
        assert_eq!(take(&mut input), Ok(None));
        input.extend_from_slice(b"\n");
        assert_eq!(take(&mut input).unwrap().unwrap().code, 250);
    }

    #[test]
    fn the_next_reply_stays() {
        let mut input = BytesMut::from("250 a\r\n354 b\r\n");
        assert_eq!(take(&mut input).unwrap().unwrap().code, 250);
        assert_eq!(take(&mut input).unwrap().unwrap().code, 354);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut input = BytesMut::from(&bytes[..]);
            while let Ok(Some(reply)) = take(&mut input) {
                let reply = reply.into_reply();
                prop_assert!((200..600).contains(&reply.code));
                prop_assert!(!reply.text.chars().any(char::is_control));
            }
        }
    }
}
