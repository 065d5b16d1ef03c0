//! What the targets share: how an input is cut, what every message must look like, and readers of our own making that
//! have nothing in common with the code they are held against.
//!
//! Inputs are the bytes as they would come over the wire, or a few lines of text, so that a corpus can be read and
//! written by hand. Where a target has more to decide (cuts, limits), the input's own hash decides it.

pub mod content;
pub mod message;
pub mod service;

/// Small numbers that follow from the input alone, so that an input always means the same.
pub struct Dice(u64);

impl Dice {
    /// Dice for an input: FNV-1a.
    pub fn of(data: &[u8]) -> Self {
        Self(
            data.iter()
                .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)),
        )
    }

    /// A number below `limit`, which is not 0: xorshift.
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % limit
    }
}

/// The input in pieces of up to `longest` bytes.
pub fn pieces(data: &[u8], longest: usize) -> Vec<&[u8]> {
    let mut dice = Dice::of(data);
    let (mut rest, mut pieces) = (data, Vec::new());
    while !rest.is_empty() {
        let (piece, later) = rest.split_at((1 + dice.below(longest)).min(rest.len()));
        pieces.push(piece);
        rest = later;
    }
    pieces
}

/// An address or a text that could end a line, a command or a header field.
pub fn has_line_end_or_nul(text: &str) -> bool {
    text.contains(['\r', '\n', '\0'])
}
