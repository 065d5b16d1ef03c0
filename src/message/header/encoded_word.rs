//! Encoded words, RFC 2047: how text beyond ASCII stands in a header.
//!
//! A reader decodes them wherever they stand, so plain text that looks like one must not go out as it is: what it
//! decodes to was never checked.

use std::borrow::Cow;

use encodify::base64::STANDARD;

/// How much text one word carries, in octets: with its frame it stays within the 75 that RFC 2047 allows.
const WORD: usize = 45;

/// Whether a reader might find an encoded word that begins in this text. Looser than the RFC about charset and text, as
/// readers are; and about its end, which may come in a later piece of the same field, such as the next mailbox's name.
#[must_use]
pub fn is_in(text: &str) -> bool {
    text.match_indices("=?").any(|(at, _)| is_beginning(&text[at + 2..]))
}

fn is_beginning(behind: &str) -> bool {
    let mut parts = behind.splitn(3, '?').skip(1);
    matches!(parts.next(), Some("B" | "b" | "Q" | "q")) && parts.next().is_some()
}

/// The same for a piece of a mailbox: some readers look for the rest of the beginning too in the pieces behind it.
#[must_use]
pub fn may_begin_in(text: &str) -> bool {
    text.contains("=?")
}

/// Whether an encoded word begins in this text and a reader might look for its end behind it.
#[must_use]
pub fn is_open_in(text: &str) -> bool {
    text.rsplit_once("=?").is_some_and(|(_, behind)| {
        let encoded = behind.splitn(3, '?').nth(2);
        !encoded.is_some_and(|encoded| encoded.contains("?="))
    })
}

/// The text as encoded words, separated by a space: pure ASCII that decodes to exactly this text.
#[must_use]
pub fn encode(text: &str) -> String {
    let mut words = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (word, after) = rest.split_at(rest.floor_char_boundary(WORD));
        words.push(format!("=?utf-8?B?{}?=", STANDARD.encode(word)));
        rest = after;
    }
    words.join(" ")
}

/// The text with its encoded words decoded, as far as they are UTF-8, US-ASCII or ISO-8859-1; others stay as they are.
#[must_use]
pub fn decode(text: &str) -> Cow<'_, str> {
    if !is_in(text) {
        return Cow::Borrowed(text);
    }
    let mut decoded = String::new();
    let mut space_before = false;
    let mut after_word = false;
    for token in text.split(' ') {
        let word = decode_word(token);
        let between_words = after_word && word.is_some();
        // White space between two encoded words belongs to the encoding (RFC 2047 section 6.2).
        if space_before && !between_words {
            decoded.push(' ');
        }
        (space_before, after_word) = (true, word.is_some());
        decoded.push_str(&word.map_or(Cow::Borrowed(token), Cow::Owned));
    }
    Cow::Owned(decoded)
}

fn decode_word(token: &str) -> Option<String> {
    let mut parts = token.strip_prefix("=?")?.strip_suffix("?=")?.splitn(3, '?');
    let (charset, encoding, text) = (parts.next()?, parts.next()?, parts.next()?);
    let bytes = match encoding {
        "B" | "b" => STANDARD.decode(text).ok()?,
        "Q" | "q" => decode_q(text)?,
        _ => return None,
    };
    match charset.to_ascii_lowercase().as_str() {
        "utf-8" | "us-ascii" => String::from_utf8(bytes).ok(),
        "iso-8859-1" => Some(bytes.into_iter().map(char::from).collect()),
        _ => None,
    }
}

fn decode_q(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::new();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'_' => b' ',
            b'=' => hex(bytes.next()?)? * 16 + hex(bytes.next()?)?,
            other => other,
        });
    }
    Some(decoded)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_looks_encoded_is_found_and_a_query_is_not() {
        for (text, found) in [
            ("=?utf-8?Q?a?=", true),
            ("x=?utf-8?b??=y", true),
            ("=? =?u?Q? a b ?=", true),
            ("=?u?Q?a =?u?x?b?=", true),
            ("https://a.b/?c=?d&e=?", false),
            ("=?utf-8?Q?a", true),
            ("=?utf-8?Q", false),
            ("a?=", false),
            ("=?utf-8?X?a?=", false),
            ("?==?", false),
        ] {
            assert_eq!(is_in(text), found, "{text}");
        }
        assert!(!is_in(&"=?a".repeat(200_000)));
    }

    #[test]
    fn a_word_that_does_not_end_is_open() {
        for (text, open) in [
            ("", false),
            ("=?utf-8?Q?a?=", false),
            ("=?utf-8?q?=C3=A4?= b", false),
            ("=?utf-8?q?=C3", true),
            ("=?utf-8?Q?a?= =?utf-8", true),
            ("=?utf-8?q?= b", true),
            ("What=?", true),
        ] {
            assert_eq!(is_open_in(text), open, "{text}");
        }
    }

    #[test]
    fn known_words_are_decoded() {
        for (text, decoded) in [
            ("plain", "plain"),
            ("a =?utf-8?Q?b_c?= d", "a b c d"),
            ("=?utf-8?B?YQ==?= =?UTF-8?q?=C3=A4?=", "aä"),
            ("=?us-ascii?Q?a?=b", "=?us-ascii?Q?a?=b"),
            ("=?utf-8?Q?=4?=", "=?utf-8?Q?=4?="),
            ("=?utf-7?Q?a?=", "=?utf-7?Q?a?="),
            ("1 =? 2 ?= 3", "1 =? 2 ?= 3"),
        ] {
            assert_eq!(decode(text), decoded);
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes_to_the_same(text in any::<String>()) {
            let encoded = encode(&text);
            prop_assert!(encoded.split(' ').all(|word| word.len() <= 75 && word.is_ascii()));
            prop_assert_eq!(decode(&encoded), text);
        }
    }
}
