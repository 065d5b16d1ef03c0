//! Changes to a header: every byte that no change names stays what it is, and where it is, so that a signature over the
//! others stays valid.

use std::ops::Range;

use bytes::Bytes;

use super::{Block, Field};
use crate::message::Content;

/// What goes and what comes, gathered before anything is done.
#[derive(Debug, Default)]
pub struct Changes {
    changes: Vec<(Range<usize>, Bytes)>,
    added: Vec<u8>,
}

impl Changes {
    /// Takes a field out.
    pub fn remove(&mut self, field: &Field<'_>) {
        self.changes.push((field.place.clone(), Bytes::new()));
    }

    /// Puts whole lines in the place of a field.
    pub fn replace(&mut self, field: &Field<'_>, lines: Vec<u8>) {
        self.changes.push((field.place.clone(), lines.into()));
    }

    /// Puts whole lines behind the trace, which is the business of servers and stays on top.
    pub fn add(&mut self, lines: &[u8]) {
        self.added.extend_from_slice(lines);
    }

    /// The content with these changes; as it was, where there are none. No two of them may be about one field.
    #[must_use]
    pub fn apply(mut self, content: Content) -> Content {
        if !self.added.is_empty() {
            let behind_trace = behind_trace(&content);
            self.changes.push((behind_trace..behind_trace, self.added.into()));
        }
        if self.changes.is_empty() {
            return content;
        }
        self.changes.sort_by_key(|(place, _)| (place.start, place.end));
        content.with_changes(&self.changes)
    }
}

fn behind_trace(content: &Content) -> usize {
    let block = Block::of(content);
    block.fields().take_while(|field| field.is("Received")).last().map_or(0, |field| field.place.end)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::message::content::BareNewline;

    /// In pieces of a few bytes, so that fields lie over many chunks.
    fn content(bytes: &[u8], piece: usize) -> Content {
        let whole = Content::from_bytes(bytes, BareNewline::Normalize).unwrap().to_vec();
        Content::from_chunks(whole.chunks(piece).map(Bytes::copy_from_slice))
    }

    fn without(name: &str, content: Content) -> Vec<u8> {
        let mut changes = Changes::default();
        Block::of(&content).fields().filter(|field| field.is(name)).for_each(|field| changes.remove(&field));
        changes.apply(content).to_vec()
    }

    #[test]
    fn only_what_is_named_changes() {
        let text =
            b"Received: a\r\n b\r\nreceived: c\r\nFrom: x\r\nBCC : y,\r\n\tz\r\nSubject: s\xff\r\n\r\nBcc: body\r\n";
        for piece in [1, 2, 7, 1000] {
            let before = content(text, piece);
            let block = Block::of(&before);
            let mut changes = Changes::default();
            for field in block.fields() {
                if field.is_blind() {
                    changes.remove(&field);
                } else if field.is("From") {
                    changes.replace(&field, b"From: new\r\n".to_vec());
                }
            }
            changes.add(b"X-One: 1\r\n");
            changes.add(b"X-Two: 2\r\n");
            let after = changes.apply(before.clone());
            let expected = b"Received: a\r\n b\r\nreceived: c\r\nX-One: 1\r\nX-Two: 2\r\nFrom: new\r\nSubject: s\xff\r\n\r\nBcc: body\r\n";
            assert_eq!(after.to_vec(), expected, "{piece}");
            assert_eq!((after.len(), after.is_eight_bit()), (expected.len(), true));
        }
    }

    #[test]
    fn no_change_is_no_copy() {
        let before = content(b"From: x\r\n\r\n", 1000);
        let after = Changes::default().apply(before.clone());
        assert_eq!(before.chunks()[0].as_ptr(), after.chunks()[0].as_ptr());
    }

    #[test]
    fn what_was_eight_bit_in_a_removed_field_only_is_so_no_more() {
        let before = content(b"Subject: s\r\nBcc: \xc3\xa4@b.c\r\n\r\nbody\r\n", 1000);
        let block = Block::of(&before);
        let mut changes = Changes::default();
        block.fields().filter(Field::is_blind).for_each(|field| changes.remove(&field));
        assert!(before.is_eight_bit() && !changes.apply(before.clone()).is_eight_bit());
    }

    /// What a reader of lines would do, said simply.
    fn simply_without(name: &str, whole: &[u8]) -> Vec<u8> {
        let mut kept = Vec::new();
        let (mut in_header, mut dropping, mut first) = (true, false, true);
        for line in whole.split_inclusive(|&b| b == b'\n') {
            in_header &= line != b"\r\n";
            if in_header && !line.starts_with(b" ") && !line.starts_with(b"\t") {
                let colon = line.iter().position(|&b| b == b':').unwrap_or(0);
                let end = line[..colon].iter().rposition(|b| !b" \t".contains(b)).map_or(0, |last| last + 1);
                let found = &line[..end];
                let is_field = !found.is_empty() && found.iter().all(u8::is_ascii_graphic);
                in_header &= is_field || !first;
                dropping = is_field && in_header && found.eq_ignore_ascii_case(name.as_bytes());
            }
            in_header &= !first || !b" \t".contains(&line[0]);
            first = false;
            if !(in_header && dropping) {
                kept.extend_from_slice(line);
            }
        }
        kept
    }

    fn line() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            Just(b"Bcc: a@b.c".to_vec()),
            Just(b"bCc\t : \xfc,".to_vec()),
            Just(b" folded".to_vec()),
            Just(b"\t".to_vec()),
            Just(b"Subject: s".to_vec()),
            Just(b"no field".to_vec()),
            Just(Vec::new()),
            proptest::collection::vec(any::<u8>(), 0..8),
        ]
    }

    proptest! {
        #[test]
        fn removing_is_what_it_says_byte_for_byte(lines in proptest::collection::vec(line(), 0..9), piece in 1usize..40) {
            let before = content(&lines.join(&b"\r\n"[..]), piece);
            let expected = simply_without("Bcc", &before.to_vec());
            // A message of nothing but such fields cannot come here: it has a Date by then.
            prop_assume!(!expected.is_empty());
            prop_assert_eq!(without("Bcc", before), expected);
        }

        #[test]
        fn pieces_do_not_matter(bytes in proptest::collection::vec(any::<u8>(), 0..60), piece in 1usize..9, cuts in (0usize..30, 0usize..30)) {
            let before = content(&bytes, piece);
            let whole = before.to_vec();
            let (from, to) = (cuts.0.min(cuts.1).min(whole.len()), cuts.0.max(cuts.1).min(whole.len()));
            let expected = [&whole[..from], b"x\r\n", &whole[to..]].concat();
            prop_assume!(expected.ends_with(b"\r\n"));
            let after = before.with_changes(&[(from..to, Bytes::from_static(b"x\r\n"))]);
            prop_assert_eq!(after.to_vec(), expected);
        }
    }
}
