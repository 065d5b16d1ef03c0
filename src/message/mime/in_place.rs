//! Large base64 stays where it came: the request's own buffer becomes the message, wrapped without a second copy.
//!
//! Wrapping adds two octets to every 76, so the text has to move to the right. It is moved line by line from its end,
//! the last text first, to the end of the buffer; nothing that has not been moved yet is ever written over.

use std::ops::Range;

use bytes::Bytes;

use super::base64::LINE;

/// Shorter text is copied: it is cheaper than another piece to write.
const SMALLEST: usize = 64 * 1024;
/// What is handed on in one piece. A whole number of lines, so that each piece ends in CRLF.
const PIECE: usize = 1024 * WRAPPED;
const WRAPPED: usize = LINE + 2;

/// Base64 without white space, by its place in the request's buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// Where its symbols are.
    pub(super) symbols: Range<usize>,
    /// How many `=` belong behind them.
    pub(super) padding: usize,
}

impl Run {
    /// The place of `text` in `buffer`; nothing where it is not a part of it, or too short to be worth it.
    pub(super) fn of(text: &str, padding: usize, buffer: &[u8]) -> Option<Self> {
        let start = (text.as_ptr() as usize).checked_sub(buffer.as_ptr() as usize)?;
        let end = start.checked_add(text.len())?;
        (end <= buffer.len() && text.len() >= SMALLEST).then_some(Self { symbols: start..end, padding })
    }

    fn lines(&self) -> usize {
        (self.symbols.len() + self.padding).div_ceil(LINE)
    }

    /// How many bytes it has as lines.
    pub(super) fn wrapped_len(&self) -> usize {
        self.symbols.len() + self.padding + 2 * self.lines()
    }
}

/// Wraps the runs, which are in the order of the buffer and apart from each other; the bytes of each, in pieces.
///
/// Whatever else the buffer holds is lost.
pub(super) fn wrap(mut buffer: Vec<u8>, runs: &[Run]) -> Vec<Vec<Bytes>> {
    let growth: usize = runs.iter().map(|run| run.wrapped_len() - run.symbols.len()).sum();
    let total = buffer.len() + growth;
    buffer.reserve_exact(growth);
    buffer.resize(total, 0);
    let mut places = Vec::with_capacity(runs.len());
    let mut end = total;
    for run in runs.iter().rev() {
        let start = end - run.wrapped_len();
        wrap_one(&mut buffer, run, start);
        places.push(start..end);
        end = start;
    }
    places.reverse();
    let buffer = Bytes::from(buffer);
    places.into_iter().map(|place| pieces(&buffer, place)).collect()
}

fn wrap_one(buffer: &mut [u8], run: &Run, start: usize) {
    for line in (0..run.lines()).rev() {
        let from = run.symbols.start + line * LINE;
        let symbols = from.min(run.symbols.end)..(from + LINE).min(run.symbols.end);
        let to = start + line * WRAPPED;
        let length = symbols.len();
        buffer.copy_within(symbols, to);
        // Only the last line is not full, and only it has padding.
        let padding = if line + 1 == run.lines() { run.padding } else { 0 };
        buffer[to + length..to + length + padding].fill(b'=');
        buffer[to + length + padding..to + length + padding + 2].copy_from_slice(b"\r\n");
    }
}

fn pieces(buffer: &Bytes, place: Range<usize>) -> Vec<Bytes> {
    place.clone().step_by(PIECE).map(|start| buffer.slice(start..(start + PIECE).min(place.end))).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn run(symbols: Range<usize>) -> Run {
        let padding = (4 - symbols.len() % 4) % 4;
        Run { symbols, padding }
    }

    /// What wrapping is, said simply.
    fn expected(buffer: &[u8], run: &Run) -> Vec<u8> {
        let padded = [&buffer[run.symbols.clone()], &b"=="[..run.padding]].concat();
        padded.chunks(LINE).flat_map(|line| [line, b"\r\n"].concat()).collect()
    }

    #[test]
    fn a_place_is_found_only_in_its_own_buffer() {
        let buffer = vec![b'A'; 200_000];
        let text = std::str::from_utf8(&buffer[100..100_100]).unwrap();
        assert_eq!(Run::of(text, 0, &buffer).unwrap().symbols, 100..100_100);
        assert_eq!(Run::of(text, 0, &buffer[..50_000]), None);
        assert_eq!(Run::of(&"A".repeat(100_000), 0, &buffer), None);
        assert_eq!(Run::of("AAAA", 0, &buffer), None);
    }

    proptest! {
        #[test]
        fn every_run_is_wrapped_and_none_harms_another(
            lengths in proptest::collection::vec((0usize..40, prop_oneof![0usize..5, 70usize..80, 0usize..900]), 1..5),
        ) {
            let mut buffer = Vec::new();
            let mut runs = Vec::new();
            for (gap, length) in lengths {
                buffer.extend(std::iter::repeat_n(b'"', gap));
                // A length of one above a multiple of four is no base64.
                let length = if length % 4 == 1 { length + 1 } else { length };
                let start = buffer.len();
                buffer.extend((0..length).map(|n| b'A' + u8::try_from((start + n) % 26).unwrap()));
                runs.push(run(start..start + length));
            }
            buffer.extend_from_slice(b"\"}");
            let wanted: Vec<_> = runs.iter().map(|run| expected(&buffer, run)).collect();
            let wrapped: Vec<_> = wrap(buffer, &runs).into_iter().map(|pieces| pieces.concat()).collect();
            prop_assert_eq!(wrapped, wanted);
        }
    }
}
