//! The relaxed canonical forms of RFC 6376 sections 3.4.2 and 3.4.4.

use memchr::memchr3;
use ring::digest::{Context, Digest, SHA256};

use crate::message::Content;
use crate::message::header::Field;

/// Canonical text is gathered to this size before it is hashed: words are short, and hashing likes long pieces.
const GATHERED: usize = 8 * 1024;

/// Writes a field in its canonical form, with its line end.
pub(super) fn field(field: &Field<'_>, out: &mut Vec<u8>) {
    out.extend(field.name.iter().map(u8::to_ascii_lowercase));
    out.push(b':');
    value(field.value, out);
    out.extend_from_slice(b"\r\n");
}

/// The field being signed, which comes last and has no line end (RFC 6376 section 3.7).
pub(super) fn last_field(text: &str) -> Vec<u8> {
    let (name, text) = text.split_once(':').unwrap_or((text, ""));
    let mut out = format!("{}:", name.to_ascii_lowercase()).into_bytes();
    value(text.as_bytes(), &mut out);
    out
}

/// Unfolded; white space is one space, and none at the ends.
fn value(value: &[u8], out: &mut Vec<u8>) {
    let words = value.split(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n')).filter(|word| !word.is_empty());
    for (n, word) in words.enumerate() {
        if n > 0 {
            out.push(b' ');
        }
        out.extend_from_slice(word);
    }
}

/// The hash of the canonical body: what follows the first `start` bytes; nothing where there is no body.
pub(super) fn body_hash(content: &Content, start: Option<usize>) -> Digest {
    let mut body = Body::new();
    let mut skip = start.unwrap_or(content.len());
    for chunk in content.chunks() {
        let skipped = skip.min(chunk.len());
        skip -= skipped;
        body.push(&chunk[skipped..]);
    }
    body.finish()
}

/// A body on its way into the hash: what may turn out to be the end of a line or of the body waits.
struct Body {
    context: Context,
    gathered: Vec<u8>,
    line_ends: usize,
    space: bool,
    is_empty: bool,
}

impl Body {
    fn new() -> Self {
        let gathered = Vec::with_capacity(GATHERED);
        Self { context: Context::new(&SHA256), gathered, line_ends: 0, space: false, is_empty: true }
    }

    fn push(&mut self, mut text: &[u8]) {
        while let Some(&first) = text.first() {
            let mut length = 1;
            match first {
                b' ' | b'\t' => self.space = true,
                // A CR is always followed by its LF.
                b'\r' => {}
                b'\n' => (self.line_ends, self.space) = (self.line_ends + 1, false),
                _ => {
                    length = memchr3(b' ', b'\t', b'\r', text).unwrap_or(text.len());
                    self.word(&text[..length]);
                }
            }
            text = &text[length..];
        }
    }

    fn word(&mut self, word: &[u8]) {
        for _ in 0..std::mem::take(&mut self.line_ends) {
            self.gather(b"\r\n");
        }
        if std::mem::take(&mut self.space) {
            self.gather(b" ");
        }
        self.gather(word);
        self.is_empty = false;
    }

    fn gather(&mut self, piece: &[u8]) {
        if self.gathered.len() + piece.len() > GATHERED {
            self.context.update(&self.gathered);
            self.gathered.clear();
        }
        if piece.len() > GATHERED {
            self.context.update(piece);
        } else {
            self.gathered.extend_from_slice(piece);
        }
    }

    fn finish(mut self) -> Digest {
        if !self.is_empty {
            self.gather(b"\r\n");
        }
        self.context.update(&self.gathered);
        self.context.finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ring::digest::digest;

    use super::*;
    use crate::message::content::BareNewline;
    use crate::message::header::Block;

    fn content(text: &[u8]) -> Content {
        Content::from_bytes(text, BareNewline::Normalize).unwrap()
    }

    /// RFC 6376 section 3.4.5.
    #[test]
    fn the_example_of_the_rfc() {
        let content = content(b"A: X\r\nB : Y\t\r\n\tZ  \r\n\r\n C \r\nD \t E\r\n\r\n\r\n");
        let block = Block::of(&content);
        let mut header = Vec::new();
        block.fields().for_each(|one| field(&one, &mut header));
        assert_eq!(header, b"a:X\r\nb:Y Z\r\n");
        assert_eq!(body_hash(&content, block.body()).as_ref(), digest(&SHA256, b" C\r\nD E\r\n").as_ref());
    }

    #[test]
    fn an_empty_body_is_nothing() {
        for text in [&b"A: x\r\n"[..], b"A: x\r\n\r\n", b"A: x\r\n\r\n\r\n \t\r\n\r\n", b"\r\n"] {
            let content = content(text);
            let hash = body_hash(&content, Block::of(&content).body());
            assert_eq!(hash.as_ref(), digest(&SHA256, b"").as_ref(), "{text:?}");
        }
    }

    /// Said simply, on the whole body at once.
    fn simply(body: &[u8]) -> Vec<u8> {
        let text: Vec<String> = String::from_utf8_lossy(body)
            .split("\r\n")
            .map(|line| {
                let words: Vec<_> = line.split([' ', '\t']).filter(|word| !word.is_empty()).collect();
                let lead = if line.starts_with([' ', '\t']) && !words.is_empty() { " " } else { "" };
                format!("{lead}{}", words.join(" "))
            })
            .collect();
        let text = text.join("\r\n");
        let text = text.trim_end_matches("\r\n");
        if text.is_empty() { Vec::new() } else { format!("{text}\r\n").into_bytes() }
    }

    proptest! {
        #[test]
        fn any_body_hashes_as_its_canonical_form(body in "([a-c\u{e4}]| |\t|\r\n|x{9000}){0,40}") {
            let content = content(format!("A: x\r\n\r\n{body}").as_bytes());
            let hash = body_hash(&content, Block::of(&content).body());
            let expected = digest(&SHA256, &simply(&content.to_vec()[8..]));
            prop_assert_eq!(hash.as_ref(), expected.as_ref());
        }
    }
}
