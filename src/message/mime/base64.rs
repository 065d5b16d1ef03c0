//! Base64 from a request, checked once and wrapped anew without being decoded: the file's bytes are never in memory.

use std::borrow::Cow;

use encodify::base64::STANDARD_NO_PAD;
use mail_builder::writer::Writer;

use super::in_place::Run;

/// RFC 2045 section 6.8: no encoded line is longer, in octets.
pub(super) const LINE: usize = 76;

/// How much is gathered before it is handed on, in octets.
const GATHERED: usize = 4 * 1024;

const CUT_OFF: &str = "the base64 text is cut off: its length fits no number of bytes";

/// Base64 that decodes to a whole number of bytes.
#[derive(Debug)]
pub(super) struct Base64<'a> {
    text: Cow<'a, str>,
    /// The length without padding and without white space after it.
    end: usize,
    /// How many `=` complete the last group.
    padding: usize,
    has_space: bool,
}

impl<'a> Base64<'a> {
    /// Its place in the request's buffer, where it can be wrapped without being copied.
    pub(super) fn run_in(&self, buffer: &[u8]) -> Option<Run> {
        match &self.text {
            Cow::Borrowed(text) if !self.has_space => Run::of(text.get(..self.end)?, self.padding, buffer),
            Cow::Borrowed(_) | Cow::Owned(_) => None,
        }
    }

    /// Takes the standard alphabet (RFC 4648 section 4), with padding or without, white space anywhere.
    pub(super) fn check(text: Cow<'a, str>) -> Result<Self, &'static str> {
        let bytes = text.as_bytes();
        let body = bytes.trim_ascii_end();
        let unpadded = body.strip_suffix(b"==").or_else(|| body.strip_suffix(b"=")).unwrap_or(body);
        let given = body.len() - unpadded.len();
        let body = unpadded.trim_ascii_end();
        let (symbols, spaces) = count(body);
        if symbols + spaces != body.len() {
            return Err(complaint(&text, body));
        }
        let padding = (4 - symbols % 4) % 4;
        if padding == 3 || (given > 0 && given != padding) || !ends_on_a_byte(body, padding) {
            return Err(CUT_OFF);
        }
        Ok(Self { end: body.len(), padding, has_space: spaces > 0, text })
    }

    /// Writes it in lines of 76 characters, each with its line end.
    pub(super) fn write(&self, out: &mut impl Writer) {
        let body = &self.text.as_bytes()[..self.end];
        let mut lines = Lines { out, gathered: Vec::with_capacity(GATHERED), column: 0 };
        if self.has_space {
            body.split(u8::is_ascii_whitespace).for_each(|run| lines.write(run));
        } else {
            lines.write(body);
        }
        lines.write(&b"=="[..self.padding]);
        lines.finish();
    }
}

/// Lines on their way: many are handed on at once.
struct Lines<'w, W> {
    out: &'w mut W,
    gathered: Vec<u8>,
    column: usize,
}

impl<W: Writer> Lines<'_, W> {
    fn write(&mut self, mut run: &[u8]) {
        while !run.is_empty() {
            if self.column == LINE {
                self.end_line();
            }
            let (now, later) = run.split_at(run.len().min(LINE - self.column));
            self.gathered.extend_from_slice(now);
            self.column += now.len();
            run = later;
        }
    }

    fn end_line(&mut self) {
        self.gathered.extend_from_slice(b"\r\n");
        self.column = 0;
        if self.gathered.len() + LINE + 2 > GATHERED {
            self.hand_on();
        }
    }

    fn hand_on(&mut self) {
        self.out.append_with(self.gathered.len(), |chunk| chunk.extend_from_slice(&self.gathered));
        self.gathered.clear();
    }

    fn finish(mut self) {
        if self.column > 0 {
            self.end_line();
        }
        self.hand_on();
    }
}

/// How many symbols and how many spaces there are.
fn count(body: &[u8]) -> (usize, usize) {
    // Text without spaces, the usual one, is looked at 32 bytes at a time.
    if STANDARD_NO_PAD.decoded_len(body).is_ok() {
        return (body.len(), 0);
    }
    body.iter().fold((0, 0), |(symbols, spaces), &byte| {
        (symbols + usize::from(is_symbol(byte)), spaces + usize::from(byte.is_ascii_whitespace()))
    })
}

fn is_symbol(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/'
}

/// Whether the bits behind the last whole byte are zero; others mean that something was lost (RFC 4648 section 3.5).
fn ends_on_a_byte(body: &[u8], padding: usize) -> bool {
    match (body.last(), padding) {
        (Some(last), 1) => b"AEIMQUYcgkosw048".contains(last),
        (Some(last), 2) => b"AQgw".contains(last),
        _ => true,
    }
}

fn complaint(text: &str, body: &[u8]) -> &'static str {
    let wrong = body.iter().find(|&&b| !is_symbol(b) && !b.is_ascii_whitespace());
    match wrong {
        _ if text.starts_with("data:") => "this is a data URL; only what follows its comma belongs here",
        Some(b'-' | b'_') => "this is URL-safe base64; the standard alphabet with + and / belongs here",
        Some(b'=') => "base64 padding stands inside the text; one file is one base64 text",
        _ => "not base64: a character is outside A-Z, a-z, 0-9, + and /",
    }
}

#[cfg(test)]
mod tests {
    use ::base64::Engine as _;
    use ::base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    use super::*;

    fn rewrapped(text: &str) -> Result<String, &'static str> {
        let mut out = Vec::new();
        Base64::check(Cow::Borrowed(text))?.write(&mut out);
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn good_base64_is_wrapped_and_padded() {
        for (text, wrapped) in [
            ("", ""),
            (" \n", ""),
            ("QQ==", "QQ==\r\n"),
            ("QQ", "QQ==\r\n"),
            ("QUI", "QUI=\r\n"),
            ("QUJD", "QUJD\r\n"),
            ("Q U\tJ\r\nD\n", "QUJD\r\n"),
            ("QQ ==\r\n", "QQ==\r\n"),
            ("+/+/", "+/+/\r\n"),
        ] {
            assert_eq!(rewrapped(text).as_deref(), Ok(wrapped), "{text:?}");
        }
    }

    #[test]
    fn bad_base64_gets_its_own_sentence() {
        for (text, word) in [
            ("Q", "cut off"),
            ("QUJDR", "cut off"),
            ("QR==", "cut off"),
            ("QUJ=", "cut off"),
            ("QUI==", "cut off"),
            ("QQ=", "cut off"),
            ("QUJD=", "cut off"),
            ("=", "cut off"),
            ("==", "cut off"),
            ("===", "inside"),
            ("QQ==QQ==", "inside"),
            ("QQ= =", "inside"),
            ("-_-_", "URL-safe"),
            ("data:text/plain;base64,QUJD", "data URL"),
            ("QU\0D", "outside"),
            ("QUJ\u{e9}", "outside"),
            ("QUJ*", "outside"),
        ] {
            match rewrapped(text) {
                Err(sentence) => assert!(sentence.contains(word), "{text:?}: {sentence}"),
                Ok(wrapped) => panic!("{text:?} became {wrapped:?}"),
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_written_decodes_to_the_same_bytes(
            bytes in proptest::collection::vec(any::<u8>(), 0..600),
            width in 1usize..100,
            padded in any::<bool>(),
        ) {
            let mut text = STANDARD.encode(&bytes);
            if !padded {
                text.truncate(text.trim_end_matches('=').len());
            }
            let folded: Vec<&str> = text.as_bytes().chunks(width).map(|line| std::str::from_utf8(line).unwrap()).collect();
            for text in [&text, &folded.join("\n"), &folded.join(" \r\n")] {
                let Ok(wrapped) = rewrapped(text) else {
                    // Only padding that was torn in two.
                    prop_assert!(padded && bytes.len() % 3 == 1, "{text:?}");
                    continue;
                };
                prop_assert!(wrapped.is_empty() || wrapped.ends_with("\r\n"));
                prop_assert!(wrapped.split("\r\n").all(|line| line.len() <= LINE));
                prop_assert_eq!(STANDARD.decode(wrapped.replace("\r\n", "")).unwrap(), bytes.clone());
            }
        }

        #[test]
        fn nothing_else_is_taken(text in any::<String>()) {
            let plain: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
            let decodes = ::base64::engine::general_purpose::GeneralPurpose::new(
                &::base64::alphabet::STANDARD,
                ::base64::engine::GeneralPurposeConfig::new()
                    .with_decode_padding_mode(::base64::engine::DecodePaddingMode::Indifferent),
            ).decode(plain).is_ok();
            prop_assert!(rewrapped(&text).is_err() || decodes);
        }
    }
}
