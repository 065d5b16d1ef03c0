//! One flight of bytes: commands and, behind them, content; written as it lies in memory.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes};
use memchr::memmem;

use crate::message::Content;

/// Slices given to one vectored write; the kernel takes up to 1,024.
const SLICES: usize = 64;

/// How content is marked off from what follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// DATA: dots at line starts are doubled, a lone dot ends it (RFC 5321 section 4.5.2).
    Dots,
    /// BDAT: the size was announced, the bytes go as they are (RFC 3030).
    Chunk,
}

/// Bytes on their way out.
///
/// Dot-stuffing copies nothing: a doubled dot is a slice of its own between two slices of the content. Pieces are
/// cut when they are needed, so that content made of dots costs no memory.
#[derive(Debug)]
pub struct Outgoing {
    ready: VecDeque<Bytes>,
    chunks: VecDeque<Bytes>,
    framing: Framing,
    /// The next byte of `chunks` begins a line.
    at_line_start: bool,
    tail: bool,
}

impl Outgoing {
    /// Commands alone.
    #[must_use]
    pub fn commands(commands: Bytes) -> Self {
        Self {
            ready: VecDeque::from([commands]),
            chunks: VecDeque::new(),
            framing: Framing::Chunk,
            at_line_start: true,
            tail: false,
        }
    }

    /// Commands, if any, and all of the content.
    #[must_use]
    pub fn with_content(commands: Bytes, content: &Content, framing: Framing) -> Self {
        Self {
            ready: if commands.is_empty() { VecDeque::new() } else { VecDeque::from([commands]) },
            chunks: content.chunks().iter().cloned().collect(),
            framing,
            at_line_start: true,
            tail: framing == Framing::Dots,
        }
    }

    /// Whether every byte was taken.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.ready.is_empty() && self.chunks.is_empty() && !self.tail
    }

    /// The next bytes, as many slices as one write should have.
    pub fn slices<'a>(&'a mut self, into: &mut [IoSlice<'a>; SLICES]) -> usize {
        while self.ready.len() < SLICES && self.refill() {}
        let mut count = 0;
        for (slot, piece) in into.iter_mut().zip(&self.ready) {
            *slot = IoSlice::new(piece);
            count += 1;
        }
        count
    }

    /// Takes note of what a write has taken.
    pub fn advance(&mut self, mut written: usize) {
        while let Some(front) = self.ready.front_mut() {
            if written < front.len() {
                return front.advance(written);
            }
            written -= front.len();
            self.ready.pop_front();
        }
    }

    /// Cuts the next piece off the content; false where nothing is left.
    fn refill(&mut self) -> bool {
        let Some(chunk) = self.chunks.front_mut() else {
            if std::mem::take(&mut self.tail) {
                self.ready.push_back(Bytes::from_static(b".\r\n"));
                return true;
            }
            return false;
        };
        if self.framing == Framing::Dots {
            if self.at_line_start && chunk.first() == Some(&b'.') {
                self.ready.push_back(Bytes::from_static(b"."));
            }
            // The piece ends before the next dot that has to be doubled.
            if let Some(at) = memmem::find(chunk, b"\n.") {
                self.ready.push_back(chunk.split_to(at + 1));
                self.at_line_start = true;
                return true;
            }
            self.at_line_start = chunk.ends_with(b"\n");
        }
        self.ready.extend(self.chunks.pop_front());
        true
    }
}

/// An array of empty slices to be filled.
#[must_use]
pub fn no_slices<'a>() -> [IoSlice<'a>; SLICES] {
    [IoSlice::new(&[]); SLICES]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::message::content::{BareNewline, ContentWriter};

    fn wire(mut outgoing: Outgoing, step: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while !outgoing.is_done() {
            let mut slices = no_slices();
            let count = outgoing.slices(&mut slices);
            let seen: Vec<u8> = slices[..count].iter().flat_map(|slice| slice.to_vec()).take(step).collect();
            all.extend_from_slice(&seen);
            outgoing.advance(seen.len());
        }
        all
    }

    fn content(bytes: &[u8]) -> Content {
        Content::from_bytes(bytes, BareNewline::Normalize).unwrap()
    }

    fn check(body: &str, expected: &str) {
        let commands = Bytes::from_static(b"DATA\r\n");
        let outgoing = Outgoing::with_content(commands, &content(body.as_bytes()), Framing::Dots);
        assert_eq!(String::from_utf8(wire(outgoing, usize::MAX)).unwrap(), format!("DATA\r\n{expected}"), "{body:?}");
    }

    #[test]
    fn dots_are_doubled_at_line_starts_only() {
        check("a\r\n", "a\r\n.\r\n");
        check(".\r\n", "..\r\n.\r\n");
        check("..\r\n.a\r\na.b\r\n.\r\n", "...\r\n..a\r\na.b\r\n..\r\n.\r\n");
        check("", "\r\n.\r\n");
        check("\r\n.\r\n", "\r\n..\r\n.\r\n");
    }

    #[test]
    fn a_chunk_goes_as_it_is() {
        let outgoing = Outgoing::with_content(Bytes::new(), &content(b".\r\n..\r\n"), Framing::Chunk);
        assert_eq!(wire(outgoing, 1), b".\r\n..\r\n");
    }

    #[test]
    fn content_of_dots_costs_no_memory() {
        let mut outgoing = Outgoing::with_content(Bytes::new(), &content(&b".\r\n".repeat(1_000_000)), Framing::Dots);
        assert!(outgoing.slices(&mut no_slices()) <= SLICES);
        assert!(outgoing.ready.len() < 2 * SLICES);
    }

    proptest! {
        #[test]
        fn stuffing_is_undone_by_unstuffing(
            body in proptest::collection::vec(prop_oneof![Just(b'.'), Just(b'\r'), Just(b'\n'), Just(b'a')], 0..300),
            cuts in proptest::collection::vec(1usize..40, 0..8),
            step in 1usize..50,
        ) {
            let mut writer = ContentWriter::new(BareNewline::Normalize);
            let mut rest = &body[..];
            for cut in cuts {
                let (piece, later) = rest.split_at(cut.min(rest.len()));
                writer.push(piece).unwrap();
                rest = later;
            }
            writer.push(rest).unwrap();
            let content = writer.finish().unwrap();
            let wire = wire(Outgoing::with_content(Bytes::new(), &content, Framing::Dots), step);
            let text = String::from_utf8(wire).unwrap();
            let inner = text.strip_suffix(".\r\n").unwrap();
            prop_assert!(!format!("\r\n{inner}").contains("\r\n.\r\n"), "the end comes once");
            let lines = inner.split_inclusive("\r\n").map(|line| line.strip_prefix('.').unwrap_or(line));
            prop_assert_eq!(lines.collect::<String>().into_bytes(), content.to_vec());
        }
    }
}
