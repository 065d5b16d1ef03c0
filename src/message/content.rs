//! The bytes of a message: held once, in chunks, with CRLF line ends and no others.
//!
//! Chunks instead of one buffer: nothing is ever moved to grow, a large message asks the allocator for nothing
//! large, and the session writes them as they lie with vectored writes.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use memchr::{memchr, memchr_iter, memchr2};

/// A message with more bytes than this is a large one: it never gets all of the room, nor all of the connections.
pub const LARGE: usize = 1 << 20;
/// The first chunk of a message; the following ones double up to [`LARGEST_CHUNK`].
const FIRST_CHUNK: usize = 4 * 1024;
/// The size of chunk at which growing ends.
pub(super) const LARGEST_CHUNK: usize = 64 * 1024;

/// Headers and body of a message as they go over the wire, before dot-stuffing.
///
/// Every line ends in CRLF, the last one too; no other CR or LF is in it. Cloning shares the bytes.
#[derive(Clone, Debug)]
pub struct Content {
    chunks: Arc<[Bytes]>,
    length: usize,
    eight_bit: bool,
    has_nul: bool,
}

impl Content {
    /// Content from bytes with line ends of any kind, copied once.
    ///
    /// # Errors
    /// [`BareLineEnd`] where a CR or LF stands alone and `mode` is [`BareNewline::Reject`].
    pub fn from_bytes(bytes: &[u8], mode: BareNewline) -> Result<Self, BareLineEnd> {
        let mut writer = ContentWriter::new(mode);
        writer.push(bytes)?;
        writer.finish()
    }

    /// Content of chunks that together are whole lines with proper ends, shared and not copied.
    pub(super) fn from_chunks(chunks: impl IntoIterator<Item = Bytes>) -> Self {
        let chunks: Arc<[Bytes]> = chunks.into_iter().filter(|chunk| !chunk.is_empty()).collect();
        debug_assert!(chunks.last().is_some_and(|chunk| chunk.ends_with(b"\n")), "content ends in CRLF");
        Self {
            length: chunks.iter().map(Bytes::len).sum(),
            eight_bit: chunks.iter().any(|chunk| !chunk.is_ascii()),
            // What is built here is encoded where it has one.
            has_nul: false,
            chunks,
        }
    }

    /// The same content with lines in front of it. `head` must consist of whole lines ending in CRLF.
    #[must_use]
    pub fn with_head(self, head: Bytes) -> Self {
        debug_assert!(head.is_empty() || head.ends_with(b"\r\n"), "a head ends in CRLF");
        if head.is_empty() {
            return self;
        }
        Self {
            length: self.length + head.len(),
            eight_bit: self.eight_bit || !head.is_ascii(),
            has_nul: self.has_nul,
            chunks: std::iter::once(head).chain(self.chunks.iter().cloned()).collect(),
        }
    }

    /// The same content with other bytes at some places, which are in order and apart from each other. Whole lines go,
    /// and whole lines ending in CRLF come. All other bytes are shared.
    #[must_use]
    pub fn with_changes(&self, changes: &[(Range<usize>, Bytes)]) -> Self {
        let mut chunks = Vec::with_capacity(self.chunks.len() + 2 * changes.len());
        let mut source = Source { chunks: self.chunks.iter(), current: Bytes::new() };
        let mut at = 0;
        for (place, text) in changes {
            debug_assert!(text.is_empty() || text.ends_with(b"\r\n"), "a change is whole lines");
            chunks.extend(source.take(place.start - at));
            chunks.push(text.clone());
            source.take(place.len()).for_each(drop);
            at = place.end;
        }
        chunks.extend(source.take(self.length - at));
        Self::from_chunks(chunks)
    }

    /// The chunks in order; none is empty.
    #[must_use]
    pub fn chunks(&self) -> &[Bytes] {
        &self.chunks
    }

    /// How many bytes, before dot-stuffing.
    #[must_use]
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether there is no byte at all. Never so for a message: the shortest is one line end.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Whether a byte has its high bit set, which asks for 8BITMIME (RFC 6152).
    #[must_use]
    pub fn is_eight_bit(&self) -> bool {
        self.eight_bit
    }

    /// Whether a NUL came in with it. No mail may have one but over BINARYMIME (RFC 2045 sections 2.7 and 2.8), and who reads
    /// text up to the first NUL sees another message than who does not.
    #[must_use]
    pub fn has_nul(&self) -> bool {
        self.has_nul
    }

    /// All bytes in one piece, copied.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        self.chunks.concat()
    }
}

/// Chunks that are read from their beginning.
struct Source<'c> {
    chunks: std::slice::Iter<'c, Bytes>,
    current: Bytes,
}

impl Source<'_> {
    /// The next so many bytes, as they lie.
    fn take(&mut self, mut length: usize) -> impl Iterator<Item = Bytes> {
        std::iter::from_fn(move || {
            if length > 0 && self.current.is_empty() {
                self.current = self.chunks.next()?.clone();
            }
            let piece = self.current.split_to(length.min(self.current.len()));
            length -= piece.len();
            (!piece.is_empty()).then_some(piece)
        })
    }
}

/// What becomes of a CR or LF that stands alone.
///
/// Either way two readers can never disagree about where the message ends (CVE-2023-51764 and its family).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BareNewline {
    /// It becomes CRLF, as in Postfix 3.9: local scripts are sloppy.
    Normalize,
    /// The message is refused.
    Reject,
}

/// A CR or LF stood alone in content that must not have one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BareLineEnd;

/// Takes bytes in pieces of any size and builds a [`Content`].
#[derive(Debug)]
pub struct ContentWriter {
    mode: BareNewline,
    full: Vec<Bytes>,
    current: Vec<u8>,
    length: usize,
    eight_bit: bool,
    /// The last byte pushed was a CR whose fate depends on the next.
    cr_pending: bool,
    /// What was written so far ends in CRLF, or nothing was written.
    at_line_start: bool,
}

impl ContentWriter {
    /// An empty writer.
    #[must_use]
    pub fn new(mode: BareNewline) -> Self {
        Self {
            mode,
            full: Vec::new(),
            current: Vec::new(),
            length: 0,
            eight_bit: false,
            cr_pending: false,
            at_line_start: true,
        }
    }

    /// How many bytes were written so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether nothing was written so far.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Takes the next bytes. A CR LF may be split over two calls.
    ///
    /// # Errors
    /// [`BareLineEnd`] where a CR or LF stands alone and the mode is [`BareNewline::Reject`].
    pub fn push(&mut self, mut input: &[u8]) -> Result<(), BareLineEnd> {
        if self.cr_pending && !input.is_empty() {
            self.cr_pending = false;
            if input.first() == Some(&b'\n') {
                input = &input[1..];
                self.write(b"\r\n");
            } else {
                self.bare()?;
            }
        }
        // `start..at` is a run that can be copied as it is: whole lines with proper ends, and a piece of a line.
        let (mut start, mut at) = (0, 0);
        while let Some(offset) = memchr2(b'\r', b'\n', &input[at..]) {
            let end = at + offset;
            if input[end] == b'\r' && input.get(end + 1) == Some(&b'\n') {
                at = end + 2;
                continue;
            }
            self.write(&input[start..end]);
            at = end + 1;
            start = at;
            if input[end] == b'\r' && at == input.len() {
                self.cr_pending = true;
            } else {
                self.bare()?;
            }
        }
        self.write(&input[start..]);
        Ok(())
    }

    /// Makes room for so many bytes in one chunk, if nothing was written yet and one chunk can hold them.
    pub fn expect(&mut self, bytes: usize) {
        if self.current.capacity() == 0 {
            self.current.reserve_exact(bytes.clamp(FIRST_CHUNK, LARGEST_CHUNK));
        }
    }

    /// Has at most so many bytes appended in place. What comes out of an encoder has proper line ends, so that looking
    /// is all it takes; with others it is as if it had been pushed.
    ///
    /// The second of what is returned is as for [`Self::push`].
    pub fn append<T>(&mut self, most: usize, fill: impl FnOnce(&mut Vec<u8>) -> T) -> (T, Result<(), BareLineEnd>) {
        if self.current.capacity() - self.current.len() < most {
            self.next_chunk(most);
        }
        let start = self.current.len();
        let filled = fill(&mut self.current);
        if self.cr_pending || !has_proper_ends(&self.current[start..]) {
            let added = self.current.split_off(start);
            return (filled, self.push(&added));
        }
        self.written(start);
        (filled, Ok(()))
    }

    /// The content, with a line end added where the last line has none.
    ///
    /// # Errors
    /// [`BareLineEnd`] where the last byte was a CR and the mode is [`BareNewline::Reject`].
    pub fn finish(mut self) -> Result<Content, BareLineEnd> {
        if self.cr_pending {
            self.bare()?;
        }
        if !self.at_line_start || self.length == 0 {
            self.write(b"\r\n");
        }
        self.end_chunk(Vec::new());
        let Self { full: chunks, length, eight_bit, .. } = self;
        // In long pieces: to look for it together with the line ends costs more than twice as much.
        let has_nul = chunks.iter().any(|chunk| memchr(0, chunk).is_some());
        Ok(Content { chunks: chunks.into(), length, eight_bit, has_nul })
    }

    /// Whether the next byte pushed begins a line.
    #[must_use]
    pub fn at_line_start(&self) -> bool {
        self.at_line_start && !self.cr_pending
    }

    fn bare(&mut self) -> Result<(), BareLineEnd> {
        match self.mode {
            BareNewline::Normalize => {
                self.write(b"\r\n");
                Ok(())
            }
            BareNewline::Reject => Err(BareLineEnd),
        }
    }

    fn write(&mut self, mut bytes: &[u8]) {
        loop {
            let room = self.current.capacity() - self.current.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            let start = self.current.len();
            self.current.extend_from_slice(now);
            self.written(start);
            if later.is_empty() {
                return;
            }
            self.next_chunk(later.len());
            bytes = later;
        }
    }

    /// Takes note of what stands in the current chunk from `start` on.
    fn written(&mut self, start: usize) {
        let Some(added) = self.current.get(start..).filter(|added| !added.is_empty()) else { return };
        self.length += added.len();
        self.eight_bit |= !added.is_ascii();
        // Only whole line ends are ever written, so a final LF is the end of a CRLF.
        self.at_line_start = added.ends_with(b"\n");
    }

    fn next_chunk(&mut self, wanted: usize) {
        let size = match self.current.capacity() {
            0 => wanted.clamp(FIRST_CHUNK, LARGEST_CHUNK),
            capacity => (capacity * 2).min(LARGEST_CHUNK).max(wanted.min(LARGEST_CHUNK)),
        };
        self.end_chunk(Vec::with_capacity(size));
    }

    fn end_chunk(&mut self, next: Vec<u8>) {
        let mut done = std::mem::replace(&mut self.current, next);
        if !done.is_empty() {
            // Half of it may be empty; the message may wait for a minute.
            done.shrink_to_fit();
            self.full.push(done.into());
        }
    }
}

/// Whether each CR and each LF is half of a CRLF.
fn has_proper_ends(bytes: &[u8]) -> bool {
    let mut pairs = 0;
    let mut feeds = memchr_iter(b'\n', bytes).inspect(|_| pairs += 1);
    feeds.all(|at| at > 0 && bytes[at - 1] == b'\r') && memchr_iter(b'\r', bytes).count() == pairs
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn normalized(pieces: &[&[u8]]) -> Vec<u8> {
        let mut writer = ContentWriter::new(BareNewline::Normalize);
        for piece in pieces {
            writer.push(piece).unwrap();
        }
        writer.finish().unwrap().to_vec()
    }

    #[test]
    fn proper_lines_are_untouched() {
        assert_eq!(normalized(&[b"a: b\r\n\r\nbody\r\n.\r\n"]), b"a: b\r\n\r\nbody\r\n.\r\n");
    }

    #[test]
    fn an_empty_message_is_one_line_end() {
        assert_eq!(normalized(&[]), b"\r\n");
        assert_eq!(normalized(&[b""]), b"\r\n");
    }

    #[test]
    fn a_missing_last_line_end_is_added() {
        assert_eq!(normalized(&[b"a"]), b"a\r\n");
        assert_eq!(normalized(&[b"a\r"]), b"a\r\n");
    }

    #[test]
    fn bare_ends_become_crlf_wherever_the_pieces_are_cut() {
        assert_eq!(normalized(&[b"a\nb\rc\r", b"\nd\r", b"e\n\r\n"]), b"a\r\nb\r\nc\r\nd\r\ne\r\n\r\n");
        assert_eq!(normalized(&[b"a\r", b"\r", b"\n"]), b"a\r\n\r\n");
    }

    #[test]
    fn what_is_appended_is_as_if_pushed() {
        for (before, appended, after) in [
            (&b"a: b\r\n"[..], &b"c\r\nd"[..], &b"\r\n"[..]),
            (b"a\r", b"\nb\n", b"c"),
            (b"a\r", b"b\r", b"\nc\r\r\n"),
            (b"", b"\n\n", b""),
            (b"", b"", b"x"),
            (b"a\r", b"", b"\n"),
        ] {
            let mut writer = ContentWriter::new(BareNewline::Normalize);
            writer.push(before).unwrap();
            assert_eq!(writer.append(appended.len(), |chunk| chunk.extend_from_slice(appended)), ((), Ok(())));
            writer.push(after).unwrap();
            assert_eq!(writer.finish().unwrap().to_vec(), normalized(&[before, appended, after]));
        }
        let mut strict = ContentWriter::new(BareNewline::Reject);
        assert_eq!(strict.append(3, |chunk| chunk.extend_from_slice(b"a\nb")).1, Err(BareLineEnd));
    }

    #[test]
    fn one_chunk_is_enough_for_what_was_expected() {
        let mut writer = ContentWriter::new(BareNewline::Normalize);
        writer.expect(10_000);
        (0..100).for_each(|_| writer.append(100, |chunk| chunk.extend_from_slice(&[b'x'; 100])).1.unwrap());
        assert_eq!(writer.finish().unwrap().chunks().len(), 2, "the line end at the end was not expected");
    }

    #[test]
    fn reject_refuses_each_kind_of_bare_end() {
        for bad in [&b"a\nb"[..], b"a\rb", b"a\r", b"\n", b"a\r\r\n"] {
            assert!(Content::from_bytes(bad, BareNewline::Reject).is_err(), "{bad:?}");
        }
        assert!(Content::from_bytes(b"a\r\n\r\n", BareNewline::Reject).is_ok());
    }

    #[test]
    fn eight_bit_is_noticed_in_head_and_body() {
        let plain = Content::from_bytes(b"a\r\n", BareNewline::Normalize).unwrap();
        assert!(!plain.is_eight_bit());
        assert!(plain.with_head(Bytes::from("X: \u{e4}\r\n")).is_eight_bit());
        assert!(Content::from_bytes(b"\xe4", BareNewline::Normalize).unwrap().is_eight_bit());
    }

    #[test]
    fn a_nul_is_noticed_wherever_it_came_in() {
        let plain = Content::from_bytes(b"a\r\n", BareNewline::Normalize).unwrap();
        assert!(!plain.has_nul());
        for input in [&b"\0"[..], b"a\0", b"a\r\0\n", b"a\r\n\0\r\n", b"\0\0\0", b"a\r\n\r\n\r\0"] {
            let content = Content::from_bytes(input, BareNewline::Normalize).unwrap();
            assert!(content.has_nul() && content.with_head(Bytes::from("X: y\r\n")).has_nul(), "{input:?}");
            let mut writer = ContentWriter::new(BareNewline::Normalize);
            input.chunks(1).for_each(|byte| writer.push(byte).unwrap());
            assert!(writer.finish().unwrap().has_nul(), "{input:?} byte by byte");
        }
    }

    #[test]
    fn large_content_keeps_its_bytes_and_its_chunks_small() {
        let line = b"0123456789012345678901234567890123456789\r\n";
        let body = line.repeat(20_000);
        let content = Content::from_bytes(&body, BareNewline::Reject).unwrap();
        assert_eq!(content.to_vec(), body);
        assert_eq!(content.len(), body.len());
        assert!(content.chunks().iter().all(|chunk| !chunk.is_empty() && chunk.len() <= LARGEST_CHUNK));
    }

    proptest! {
        #[test]
        fn no_bare_end_survives_and_cuts_do_not_matter(
            input in proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'.'), any::<u8>()], 0..200),
            cut in 0usize..200,
        ) {
            let cut = cut.min(input.len());
            let whole = normalized(&[&input]);
            prop_assert_eq!(&whole, &normalized(&[&input[..cut], &input[cut..]]));
            let mut appended = ContentWriter::new(BareNewline::Normalize);
            appended.push(&input[..cut]).unwrap();
            appended.append(0, |chunk| chunk.extend_from_slice(&input[cut..])).1.unwrap();
            prop_assert_eq!(&whole, &appended.finish().unwrap().to_vec());
            prop_assert!(whole.ends_with(b"\r\n"));
            let text: Vec<u8> = whole.split(|&b| b == b'\n').flat_map(|l| l.strip_suffix(b"\r").unwrap_or(l).to_vec()).collect();
            prop_assert!(!text.contains(&b'\r'));
            prop_assert_eq!(whole.iter().filter(|&&b| b == b'\n').count(), whole.windows(2).filter(|w| w == b"\r\n").count());
        }
    }
}
