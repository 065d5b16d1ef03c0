//! What a provider says, in any pieces.
//!
//! The replies, or the complaint, must not depend on the pieces; a reply's text must be printable and bounded, and so
//! must be what waits for the rest of one. The same bytes as the reason for which a token is refused (RFC 7628 section
//! 3.2.3) give words that are printable and bounded, or none.
#![no_main]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use sidepost::transport::smtp::parts::{Capabilities, Malformed, RawReply, reason, take};
use sidepost_fuzz::pieces;

/// A hundred lines of 4 KiB.
const MOST_WAITING: usize = 100 * 4_200;
/// What is kept of a text, with room for one more character.
const LONGEST_TEXT: usize = 1_004;

/// Three values and their names.
const LONGEST_REASON: usize = 3 * 140;

fn read(pieces: &[&[u8]]) -> (Vec<RawReply>, Option<Malformed>) {
    let (mut input, mut replies) = (BytesMut::new(), Vec::new());
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            match take(&mut input) {
                Ok(Some(reply)) => replies.push(reply),
                Ok(None) => break,
                Err(malformed) => return (replies, Some(malformed)),
            }
        }
        assert!(input.len() <= MOST_WAITING);
    }
    (replies, None)
}

fuzz_target!(|data: &[u8]| {
    let whole = read(&[data]);
    assert_eq!(whole, read(&pieces(data, 50)));
    assert_eq!(whole, read(&data.chunks(1).collect::<Vec<_>>()));
    let reason = reason(&[STANDARD.encode(data).into_bytes()]).unwrap_or_default();
    assert!(reason.chars().count() <= LONGEST_REASON && !reason.contains(char::is_control));
    for raw in whole.0 {
        assert!((200..600).contains(&raw.code) && (1..=100).contains(&raw.lines.len()));
        let capabilities = Capabilities::parse(&raw);
        assert!(capabilities.auth.iter().all(|mechanism| !mechanism.contains([' ', '\r', '\n'])));
        let reply = raw.into_reply();
        assert!(reply.text.len() <= LONGEST_TEXT && !reply.text.contains(char::is_control));
        assert!(reply.enhanced.is_none_or(|enhanced| u16::from(enhanced.0) == reply.code / 100));
    }
});
