//! Octets spelled as `%41` (RFC 3986 section 2.1).

/// The text that is meant. What is encoded wrongly is left as it is, and what is no UTF-8 is replaced. A plus is a plus.
#[must_use]
pub fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let escaped = (first == b'%').then(|| after.split_at_checked(2)).flatten();
        let byte = escaped.and_then(|(digits, after)| Some((octet(digits)?, after)));
        let (byte, after) = byte.unwrap_or((first, after));
        bytes.push(byte);
        rest = after;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn octet(digits: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    digits.iter().try_fold(0u8, |value, &byte| Some(value << 4 | digit(byte)?))
}
