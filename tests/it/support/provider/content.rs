//! Content as it comes in: dots taken away, counted, kept as far as the script says.

use std::collections::hash_map::DefaultHasher;
use std::hash::Hasher;

use bytes::{Buf, BytesMut};

use super::script::Keep;

/// A header longer than this has no Message-ID for us.
const HEADER_KEPT: usize = 64 << 10;

/// Collects one content.
#[derive(Debug)]
pub(super) struct Collector {
    keep: Keep,
    pub(super) bytes: Vec<u8>,
    pub(super) length: usize,
    hasher: DefaultHasher,
}

impl Collector {
    pub(super) fn new(keep: Keep) -> Self {
        Self { keep, bytes: Vec::new(), length: 0, hasher: DefaultHasher::new() }
    }

    pub(super) fn add(&mut self, piece: &[u8]) {
        self.length += piece.len();
        self.hasher.write(piece);
        let room = if self.keep == Keep::Everything { usize::MAX } else { HEADER_KEPT - self.bytes.len() };
        self.bytes.extend_from_slice(&piece[..piece.len().min(room)]);
    }

    pub(super) fn digest(&self) -> u64 {
        self.hasher.finish()
    }

    pub(super) fn message_id(&self) -> Option<String> {
        message_id(&self.bytes)
    }

    /// What the ledger is to keep.
    pub(super) fn into_kept(self) -> Vec<u8> {
        if self.keep == Keep::Everything { self.bytes } else { Vec::new() }
    }
}

/// The value of Message-ID, unfolded and without angle brackets.
fn message_id(message: &[u8]) -> Option<String> {
    let end = memchr::memmem::find(message, b"\r\n\r\n").unwrap_or(message.len());
    let header = String::from_utf8_lossy(&message[..end]).replace("\r\n ", " ").replace("\r\n\t", " ");
    let line =
        header.lines().find(|line| line.get(..11).is_some_and(|name| name.eq_ignore_ascii_case("message-id:")))?;
    Some(line[11..].trim().trim_start_matches('<').trim_end_matches('>').to_string())
}

/// Takes the dots away that DATA adds, and finds the end: `CRLF.CRLF` and nothing else.
#[derive(Debug)]
pub(super) struct Unstuffer {
    at_line_start: bool,
}

impl Unstuffer {
    pub(super) fn new() -> Self {
        Self { at_line_start: true }
    }

    /// Takes from the front of `input` what can be decided; whether the end was there. The rest stays.
    pub(super) fn take(&mut self, input: &mut BytesMut, sink: &mut Collector) -> bool {
        loop {
            if self.at_line_start {
                if input.starts_with(b".\r\n") {
                    input.advance(3);
                    return true;
                }
                if b".\r\n".starts_with(input) {
                    return false;
                }
                if input[0] == b'.' {
                    input.advance(1);
                }
                self.at_line_start = false;
            }
            let Some(next_dot) = memchr::memmem::find(input, b"\r\n.") else {
                self.take_all_but_a_line_end(input, sink);
                return false;
            };
            sink.add(&input[..next_dot + 2]);
            input.advance(next_dot + 2);
            self.at_line_start = true;
        }
    }

    fn take_all_but_a_line_end(&mut self, input: &mut BytesMut, sink: &mut Collector) {
        self.at_line_start = input.ends_with(b"\r\n");
        let undecided = usize::from(input.ends_with(b"\r"));
        let decided = input.len() - undecided;
        sink.add(&input[..decided]);
        input.advance(decided);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn unstuffed(wire: &[u8], cut: usize) -> (bool, Vec<u8>, Vec<u8>) {
        let (mut unstuffer, mut sink) = (Unstuffer::new(), Collector::new(Keep::Everything));
        let (mut input, mut ended) = (BytesMut::new(), false);
        for piece in wire.chunks(cut) {
            input.extend_from_slice(piece);
            ended = ended || unstuffer.take(&mut input, &mut sink);
        }
        (ended, sink.bytes, input.to_vec())
    }

    #[test]
    fn only_the_true_end_is_the_end() {
        let cases: [(&[u8], &[u8]); 8] = [
            (b".\r\n", b""),
            (b"a\r\n.\r\n", b"a\r\n"),
            (b"..\r\n.\r\n", b".\r\n"),
            (b"a\n.\nb\r\n.\r\n", b"a\n.\nb\r\n"),
            (b"a\n.\r\nb\r\n.\r\n", b"a\n.\r\nb\r\n"),
            (b"a\r\n.\r\r\nb\r\n.\r\n", b"a\r\n\r\r\nb\r\n"),
            (b"a\r\n.\nb\r\n.\r\n", b"a\r\n\nb\r\n"),
            (b"a\r\r\n.\r\n", b"a\r\r\n"),
        ];
        for (wire, content) in cases {
            for cut in 1..=wire.len() {
                assert_eq!(unstuffed(wire, cut), (true, content.to_vec(), Vec::new()), "{wire:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn what_comes_behind_the_end_stays() {
        assert_eq!(unstuffed(b"a\r\n.\r\nQUIT\r\n", 100), (true, b"a\r\n".to_vec(), b"QUIT\r\n".to_vec()));
    }

    proptest! {
        #[test]
        fn stuffing_and_unstuffing_is_nothing(content in "[.\r\na]{0,40}", cut in 1usize..9) {
            let content = format!("{content}\r\n");
            let mut wire = content.replace("\r\n.", "\r\n..");
            if wire.starts_with('.') {
                wire.insert(0, '.');
            }
            let (ended, bytes, rest) = unstuffed(format!("{wire}.\r\n").as_bytes(), cut);
            prop_assert_eq!((ended, bytes, rest), (true, content.into_bytes(), Vec::new()));
        }
    }

    #[test]
    fn a_summary_has_the_digest_of_the_whole() {
        let (mut all, mut summary) = (Collector::new(Keep::Everything), Collector::new(Keep::Summary));
        let message = [b"message-id:\r\n <a@b>\r\n\r\n".to_vec(), vec![b'x'; 3 * HEADER_KEPT]].concat();
        all.add(&message);
        message.chunks(777).for_each(|piece| summary.add(piece));
        assert_eq!((all.digest(), all.length), (summary.digest(), summary.length));
        assert_eq!(all.digest(), super::super::ledger::digest(&message));
        assert_eq!(summary.message_id().as_deref(), Some("a@b"));
        assert_eq!((all.into_kept().len(), summary.into_kept().len()), (message.len(), 0));
    }
}
