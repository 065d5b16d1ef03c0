//! Content after DATA, and in chunks of BDAT, in any pieces.
//!
//! The decoder must agree with a reader written from the RFC's text alone, whatever the pieces; and what it understood,
//! sent on, must come out the same for strict and lenient readers.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sidepost::ingress::smtp::data::{Decoder, Spoiled};
use sidepost::message::Content;
use sidepost::message::content::BareNewline;
use sidepost_fuzz::{Dice, content, pieces};

/// How many bytes were the content's own, and what it says.
fn decode(pieces: &[&[u8]], bare: BareNewline, limit: usize) -> (Option<usize>, Result<Content, Spoiled>) {
    let mut decoder = Decoder::new(bare, limit);
    let mut before = 0;
    for piece in pieces {
        if let Some(used) = decoder.push(piece) {
            assert!(used <= piece.len());
            return (Some(before + used), decoder.finish());
        }
        assert!(decoder.kept() <= limit.saturating_add(2 * piece.len()), "kept beyond the limit");
        before += piece.len();
    }
    (None, decoder.finish())
}

/// What the same bytes say where their number was announced.
fn decode_counted(chunks: &[&[u8]], bare: BareNewline) -> Result<Content, Spoiled> {
    let mut decoder = Decoder::new(bare, usize::MAX);
    chunks.iter().for_each(|chunk| decoder.push_counted(chunk));
    decoder.finish()
}

fn bytes(result: Result<Content, Spoiled>) -> Result<Vec<u8>, Spoiled> {
    result.map(|content| content.to_vec())
}

fuzz_target!(|data: &[u8]| {
    let some = pieces(data, 8);
    let single: Vec<&[u8]> = data.chunks(1).collect();
    let limit = Dice::of(data).below(2 * data.len() + 2);
    for bare in [BareNewline::Normalize, BareNewline::Reject] {
        let (end, whole) = decode(&[data], bare, usize::MAX);
        assert_eq!(end, content::end(data));
        if let Some(end) = end {
            assert_eq!(bytes(whole.clone()).ok(), content::decoded(&data[..end], bare));
        }
        if let Ok(content) = &whole {
            content::assert_sound(content);
        }
        for chunks in [&some, &single] {
            let counted = decode_counted(chunks, bare);
            counted.iter().for_each(content::assert_sound);
            assert_eq!(bytes(counted).ok(), content::with_line_ends(data, bare));
        }
        let whole = bytes(whole);
        for cut in [&some, &single] {
            let (cut_end, cut) = decode(cut, bare, usize::MAX);
            assert_eq!((cut_end, bytes(cut)), (end, whole.clone()));
        }
        // Of two reasons to refuse the one that is met first counts, and that depends on the pieces.
        let (limited_end, limited) = decode(&[data], bare, limit);
        let (cut_end, cut) = decode(&some, bare, limit);
        assert_eq!((limited_end, cut_end), (end, end));
        assert_eq!(bytes(limited.clone()).ok(), bytes(cut).ok());
        if let (Ok(limited), Ok(whole)) = (bytes(limited), whole) {
            assert_eq!(limited, whole);
        }
    }
});
