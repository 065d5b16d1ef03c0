//! Content on the wire, read by the letter of RFC 5321 section 4.5.2, and by readers who are not so strict.

use sidepost::message::Content;
use sidepost::message::content::BareNewline;
use sidepost::transport::smtp::parts::{Framing, Outgoing, no_slices};

/// How many bytes belong to the content, the end included: up to the first CRLF.CRLF, where the CRLF of the DATA command
/// counts as the one in front of the first line.
pub fn end(input: &[u8]) -> Option<usize> {
    let framed = [b"\r\n", input].concat();
    framed.windows(5).position(|window| window == b"\r\n.\r\n").map(|at| at + 3)
}

/// What a message says whose wire form, the end included, is `wire`; nothing where a NUL is in it, or a CR or LF that
/// stands alone and is not wanted.
pub fn decoded(wire: &[u8], bare: BareNewline) -> Option<Vec<u8>> {
    let framed = [b"\r\n", &wire[..wire.len() - 3]].concat();
    let mut plain = Vec::new();
    for (at, &byte) in framed.iter().enumerate() {
        if !(byte == b'.' && framed[..at].ends_with(b"\r\n")) {
            plain.push(byte);
        }
    }
    with_line_ends(&plain[2..], bare)
}

/// What text says whose line ends are of any kind; nothing as above.
pub fn with_line_ends(text: &[u8], bare: BareNewline) -> Option<Vec<u8>> {
    let mut lines = Vec::new();
    let mut at = 0;
    while at < text.len() {
        match (text[at], text.get(at + 1)) {
            (b'\r', Some(b'\n')) => {
                lines.extend(b"\r\n");
                at += 1;
            }
            (b'\r' | b'\n', _) if bare == BareNewline::Reject => return None,
            (b'\r' | b'\n', _) => lines.extend(b"\r\n"),
            (0, _) => return None,
            (other, _) => lines.push(other),
        }
        at += 1;
    }
    if !lines.ends_with(b"\r\n") {
        lines.extend(b"\r\n");
    }
    Some(lines)
}

/// The bytes that a provider gets for this content after DATA, as a connection of bad manners takes them.
pub fn sent(content: &Content) -> Vec<u8> {
    let mut outgoing = Outgoing::with_content(bytes::Bytes::new(), content, Framing::Dots);
    let mut dice = super::Dice::of(&content.to_vec());
    let mut all = Vec::new();
    while !outgoing.is_done() {
        let mut slices = no_slices();
        let count = outgoing.slices(&mut slices);
        let offered: Vec<u8> = slices[..count].iter().flat_map(|slice| slice.to_vec()).collect();
        assert!(!offered.is_empty(), "nothing is offered and nothing is done");
        let taken = 1 + dice.below(offered.len());
        all.extend_from_slice(&offered[..taken]);
        outgoing.advance(taken);
    }
    all
}

/// What must hold of every content, whoever wrote it.
///
/// Readers are known that end a line at a bare LF, at a bare CR, or at either (CVE-2023-51764, -51765, -51766): none of
/// them may find a second message in what we send.
pub fn assert_sound(content: &Content) {
    let bytes = content.to_vec();
    assert_eq!(bytes.len(), content.len());
    assert_eq!(content.is_eight_bit(), !bytes.is_ascii());
    assert_eq!(content.has_nul(), bytes.contains(&0));
    assert!(content.chunks().iter().all(|chunk| !chunk.is_empty()));
    assert_only_crlf(&bytes);
    let wire = sent(content);
    assert_eq!(end(&wire), Some(wire.len()), "it ends at its end");
    if !content.has_nul() {
        let read = decoded(&wire, BareNewline::Reject);
        assert_eq!(read.as_ref(), Some(&bytes), "a strict reader reads what was written");
    }
    let lenient = wire.split(|byte| matches!(byte, b'\r' | b'\n')).filter(|line| *line == b".").count();
    assert_eq!(lenient, 1, "a lenient reader finds one end");
}

/// Every line ends in CRLF, and no other CR or LF is there.
pub fn assert_only_crlf(bytes: &[u8]) {
    assert!(bytes.ends_with(b"\r\n"));
    for (at, &byte) in bytes.iter().enumerate() {
        match byte {
            b'\r' => assert_eq!(bytes.get(at + 1), Some(&b'\n'), "a bare CR at {at}"),
            b'\n' => assert!(at > 0 && bytes[at - 1] == b'\r', "a bare LF at {at}"),
            _ => {}
        }
    }
}
