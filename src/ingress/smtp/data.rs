//! The content of a message as it comes over the wire (RFC 5321 section 4.5.2): where it ends, and which dots are not its
//! own.
//!
//! It ends at CRLF.CRLF and at nothing else, and only a dot after a true CRLF is taken off. Since a lone CR or LF
//! becomes CRLF (or spoils the message) only after that, no reader behind us can find another end in it
//! (CVE-2023-51764, -51765, -51766, CVE-2024-27305).

use memchr::memmem;

use crate::message::Content;
use crate::message::content::{BareNewline, ContentWriter};

/// Why content is read to its end and not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoiled {
    /// It is larger than a message may be.
    TooLarge,
    /// A CR or LF stood alone, and that is not wanted.
    BareLineEnd,
    /// A NUL is in it.
    Nul,
    /// There was no room for it.
    NoRoom,
    /// The process began to end before there was room for it.
    Draining,
}

/// What the bytes so far mean for the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// At the very start, or after a true CRLF.
    LineStart,
    /// After any other byte.
    Inside,
    /// After a CR.
    Cr,
    /// After a dot at a line's start, which is kept back.
    Dot,
    /// After such a dot and a CR, both kept back.
    DotCr,
}

/// Takes the content in pieces of any size.
#[derive(Debug)]
pub struct Decoder {
    state: State,
    limit: usize,
    kept: Result<ContentWriter, Spoiled>,
}

impl Decoder {
    /// A decoder for one message of at most `limit` bytes.
    #[must_use]
    pub fn new(bare: BareNewline, limit: usize) -> Self {
        Self { state: State::LineStart, limit, kept: Ok(ContentWriter::new(bare)) }
    }

    /// Takes the next bytes. Where the content ends among them, tells how many were its own, the end included;
    /// what follows is the next command.
    pub fn push(&mut self, input: &[u8]) -> Option<usize> {
        let mut at = 0;
        while at < input.len() {
            match self.state {
                State::LineStart if input[at] == b'.' => self.skip(&mut at, State::Dot),
                State::Dot if input[at] == b'\r' => self.skip(&mut at, State::DotCr),
                State::DotCr if input[at] == b'\n' => {
                    self.state = State::LineStart;
                    return Some(at + 1);
                }
                // The line goes on after all: its dot was stuffing, its CR was not.
                State::DotCr => self.keep(b"\r", State::Cr),
                State::Cr if input[at] == b'\n' => {
                    self.keep(b"\n", State::LineStart);
                    at += 1;
                }
                State::LineStart | State::Inside | State::Cr | State::Dot => at += self.run(&input[at..]),
            }
        }
        None
    }

    /// Takes the next bytes of a chunk (RFC 3030): their number was announced, so no dot means anything among them.
    pub fn push_counted(&mut self, input: &[u8]) {
        self.keep(input, State::Inside);
    }

    fn skip(&mut self, at: &mut usize, state: State) {
        *at += 1;
        self.state = state;
    }

    /// Keeps everything up to the next place where something may have to be taken off.
    fn run(&mut self, input: &[u8]) -> usize {
        let length = memmem::find(input, b"\r\n.").map_or(input.len(), |at| at + 2);
        let run = &input[..length];
        let state = match run {
            [.., b'\r', b'\n'] => State::LineStart,
            [.., b'\r'] => State::Cr,
            _ => State::Inside,
        };
        self.keep(run, state);
        length
    }

    fn keep(&mut self, bytes: &[u8], state: State) {
        self.state = state;
        let Ok(writer) = &mut self.kept else { return };
        if writer.push(bytes).is_err() {
            self.spoil(Spoiled::BareLineEnd);
        } else if writer.len() > self.limit {
            self.spoil(Spoiled::TooLarge);
        }
    }

    /// Gives up what was kept, and keeps nothing of what still comes. The first reason stays.
    pub fn spoil(&mut self, why: Spoiled) {
        if self.kept.is_ok() {
            self.kept = Err(why);
        }
    }

    /// Whether it is only read to its end.
    #[must_use]
    pub fn is_spoiled(&self) -> bool {
        self.kept.is_err()
    }

    /// How many bytes are kept.
    #[must_use]
    pub fn kept(&self) -> usize {
        self.kept.as_ref().map_or(0, ContentWriter::len)
    }

    /// The content, once its end was found.
    ///
    /// # Errors
    /// Why it was not kept.
    pub fn finish(self) -> Result<Content, Spoiled> {
        let content = self.kept?.finish().map_err(|_| Spoiled::BareLineEnd)?;
        if content.has_nul() { Err(Spoiled::Nul) } else { Ok(content) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What became of the input: how many bytes were taken up to the end, and the content.
    type Decoded = (Option<usize>, Result<Vec<u8>, Spoiled>);

    fn decode(pieces: &[&[u8]], bare: BareNewline, limit: usize) -> Decoded {
        let mut decoder = Decoder::new(bare, limit);
        let mut taken = 0;
        for piece in pieces {
            if let Some(used) = decoder.push(piece) {
                return (Some(taken + used), decoder.finish().map(|content| content.to_vec()));
            }
            taken += piece.len();
        }
        (None, decoder.finish().map(|content| content.to_vec()))
    }

    fn check(input: &[u8], end: Option<usize>, content: &[u8]) {
        let whole = decode(&[input], BareNewline::Normalize, usize::MAX);
        assert_eq!(whole, (end, Ok(content.to_vec())), "{:?}", input.escape_ascii().to_string());
        let bytes: Vec<&[u8]> = input.chunks(1).collect();
        assert_eq!(decode(&bytes, BareNewline::Normalize, usize::MAX), whole, "byte by byte");
    }

    #[test]
    fn content_ends_at_its_end() {
        check(b"a\r\n.\r\n", Some(6), b"a\r\n");
        check(b"a\r\n.\r\nQUIT\r\n", Some(6), b"a\r\n");
        check(b"a\r\n\r\n.\r\n", Some(8), b"a\r\n\r\n");
        check(b"a\r\n", None, b"a\r\n");
    }

    /// smtp-proto 0.2.5 never ends this one.
    #[test]
    fn an_empty_message_ends() {
        check(b".\r\n", Some(3), b"\r\n");
        check(b"\r\n.\r\n", Some(5), b"\r\n");
    }

    #[test]
    fn stuffing_is_taken_off_once() {
        check(b"..\r\n.\r\n", Some(7), b".\r\n");
        check(b".a\r\n...b\r\n.\r\n", Some(13), b"a\r\n..b\r\n");
        check(b"a.\r\n.\r\n", Some(7), b"a.\r\n");
        check(b". \r\n.\r\n", Some(7), b" \r\n");
    }

    /// The shapes of SMTP smuggling: sec-consult 2023 (CVE-2023-51764 Postfix, -51765 Sendmail, -51766 Exim),
    /// CVE-2024-27305 aiosmtpd, the tables of The-Login/SMTP-Smuggling-Tools and hannob/smtpsmug. None may end the content.
    #[test]
    fn nothing_else_is_an_end() {
        check(b"a\n.\nb\r\n.\r\n", Some(10), b"a\r\n.\r\nb\r\n");
        check(b"a\n.\r\nb\r\n.\r\n", Some(11), b"a\r\n.\r\nb\r\n");
        check(b"a\r\n.\nb\r\n.\r\n", Some(11), b"a\r\n\r\nb\r\n");
        check(b"a\r.\rb\r\n.\r\n", Some(10), b"a\r\n.\r\nb\r\n");
        check(b"a\r.\r\nb\r\n.\r\n", Some(11), b"a\r\n.\r\nb\r\n");
        check(b"a\r\n.\rb\r\n.\r\n", Some(11), b"a\r\n\r\nb\r\n");
        check(b"a\n.\rb\r\n.\r\n", Some(10), b"a\r\n.\r\nb\r\n");
        // smtp-proto 0.2.5 takes this one for an end.
        check(b"a\r\n.\r\r\nb\r\n.\r\n", Some(13), b"a\r\n\r\n\r\nb\r\n");
        check(b"a\r\r\n.\r\r\nb\r\n.\r\n", Some(14), b"a\r\n\r\n\r\n\r\nb\r\n");
        check(b"\n.\r\n\r\n.\r\n", Some(9), b"\r\n.\r\n\r\n");
        check(b".\n.\r\n\r\n.\r\n", Some(10), b"\r\n.\r\n\r\n");
    }

    /// RFC 2045 sections 2.7 and 2.8: neither 7-bit nor 8-bit content has one; BINARYMIME is not offered.
    #[test]
    fn a_nul_spoils_and_is_no_end() {
        for input in [&b"a\r\n\0.\r\nb\r\n.\r\n"[..], b"a\r\n.\0\r\nb\r\n.\r\n", b"a\r\n.\r\0\nb\r\n.\r\n"] {
            let (end, content) = decode(&[input], BareNewline::Normalize, usize::MAX);
            assert_eq!((end, content.unwrap_err()), (Some(input.len()), Spoiled::Nul));
        }
    }

    #[test]
    fn spoiled_content_is_read_to_its_true_end() {
        let input = b"ab\ncd\r\n.\nef\r\n.\r\nQUIT";
        assert_eq!(decode(&[input], BareNewline::Reject, usize::MAX), (Some(16), Err(Spoiled::BareLineEnd)));
        let input = b"0123456789\r\n.\r\nQUIT";
        assert_eq!(decode(&[input], BareNewline::Reject, 11), (Some(15), Err(Spoiled::TooLarge)));
        assert_eq!(decode(&[input], BareNewline::Reject, 12), (Some(15), Ok(b"0123456789\r\n".to_vec())));
    }

    #[test]
    fn the_first_reason_stays() {
        let mut decoder = Decoder::new(BareNewline::Reject, 10);
        decoder.spoil(Spoiled::NoRoom);
        assert_eq!(decoder.push(b"a\nb\r\n.\r\n"), Some(8));
        assert_eq!(decoder.finish().unwrap_err(), Spoiled::NoRoom);
    }

    fn wire_bytes() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![4 => Just(b'\r'), 4 => Just(b'\n'), 4 => Just(b'.'), 2 => Just(b'a'), 1 => 1u8..];
        proptest::collection::vec(byte, 0..80)
    }

    /// The end by definition: the content is at the start of a line when it begins.
    fn reference_end(input: &[u8]) -> Option<usize> {
        let framed = [b"\r\n", input].concat();
        framed.windows(5).position(|window| window == b"\r\n.\r\n").map(|at| at + 3)
    }

    /// RFC 5321 section 4.5.2, from the sender's side.
    fn stuffed(content: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for line in content.split_inclusive(|&byte| byte == b'\n') {
            if line.starts_with(b".") {
                out.push(b'.');
            }
            out.extend_from_slice(line);
        }
        out.extend_from_slice(b".\r\n");
        out
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn the_end_is_where_the_reference_finds_it(input in wire_bytes()) {
            prop_assert_eq!(decode(&[&input], BareNewline::Normalize, usize::MAX).0, reference_end(&input));
        }

        #[test]
        fn cuts_do_not_matter(
            input in wire_bytes(), cuts in proptest::collection::vec(0usize..80, 0..6),
            limit in 0usize..80, reject in any::<bool>(),
        ) {
            let bare = if reject { BareNewline::Reject } else { BareNewline::Normalize };
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(input.len())).collect();
            cuts.extend([0, input.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &input[pair[0]..pair[1]]).collect();
            let (whole, cut) = (decode(&[&input], bare, limit), decode(&pieces, bare, limit));
            prop_assert_eq!(whole.0, cut.0);
            prop_assert_eq!(whole.1.is_ok(), cut.1.is_ok());
            if let (Ok(whole), Ok(cut)) = (whole.1, cut.1) {
                prop_assert_eq!(whole, cut);
            }
        }

        #[test]
        fn stuffing_and_decoding_is_nothing(input in wire_bytes()) {
            let content = Content::from_bytes(&input, BareNewline::Normalize).unwrap().to_vec();
            let wire = stuffed(&content);
            prop_assert_eq!(decode(&[&wire], BareNewline::Reject, usize::MAX), (Some(wire.len()), Ok(content)));
        }

        /// No reader, however lenient about line ends, finds an end in what we pass on once it is stuffed.
        #[test]
        fn a_lenient_reader_behind_us_finds_one_end(input in wire_bytes()) {
            let (end, content) = decode(&[&input, b"\r\n.\r\n"], BareNewline::Normalize, usize::MAX);
            prop_assert!(end.is_some());
            let wire = stuffed(&content.unwrap());
            let lines: Vec<&[u8]> = wire.split(|&b| b == b'\n' || b == b'\r').filter(|line| !line.is_empty()).collect();
            prop_assert_eq!(lines.iter().filter(|line| **line == b".").count(), 1);
        }

        /// However it is cut into chunks, what is kept is what the bytes in one piece are.
        #[test]
        fn chunks_are_joined_and_their_line_ends_too(input in wire_bytes(), size in 1usize..20, reject in any::<bool>()) {
            let bare = if reject { BareNewline::Reject } else { BareNewline::Normalize };
            let mut decoder = Decoder::new(bare, usize::MAX);
            input.chunks(size).for_each(|chunk| decoder.push_counted(chunk));
            let joined = decoder.finish().map(|content| content.to_vec());
            let whole = Content::from_bytes(&input, bare).map(|content| content.to_vec()).map_err(|_| Spoiled::BareLineEnd);
            prop_assert_eq!(joined, whole);
        }
    }
}
