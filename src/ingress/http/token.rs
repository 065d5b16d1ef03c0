//! Bearer tokens (RFC 6750), several at a time so that they can be rotated.

use subtle::Choice;

use crate::config::secret::Secret;
use crate::config::value::Value;

/// The tokens that are accepted.
#[derive(Clone, Debug)]
pub struct Tokens(Vec<Secret>);

impl Value for Tokens {
    const EXPECTS: &'static str =
        "tokens of visible ASCII characters, separated by commas; none of them empty (an empty one would be a way in)";
    const SECRET: bool = true;

    fn parse(text: &str) -> Option<Self> {
        let tokens = text.split(',').map(str::trim);
        tokens.map(|token| is_token(token).then(|| Secret::new(token.into()))).collect::<Option<_>>().map(Self)
    }
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

impl Tokens {
    /// The first of them as text, for our own client.
    #[must_use]
    pub fn first(&self) -> Option<&str> {
        std::str::from_utf8(self.0.first()?.expose()).ok()
    }

    /// Whether the token is one of them, in a time that does not depend on how much of it is right.
    #[must_use]
    pub fn contain(&self, given: &[u8]) -> bool {
        let found = self.0.iter().fold(Choice::from(0), |found, token| found | token.equals(given));
        found.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_tokens_are_accepted() {
        let tokens = Tokens::parse("first-token, second").unwrap();
        assert!(tokens.contain(b"first-token") && tokens.contain(b"second"));
        for wrong in [&b""[..], b"first", b"first-token ", b"first-token\0", b"secone", b"first-token, second", b"x"] {
            assert!(!tokens.contain(wrong), "{wrong:?}");
        }
    }

    #[test]
    fn an_empty_token_is_no_token() {
        for bad in ["", ",", "a,", "a,,b", "a b", "a\u{e4}", "a\nb"] {
            assert!(Tokens::parse(bad).is_none(), "{bad:?}");
        }
        assert!(!format!("{:?}", Tokens::parse("hunter2")).contains("hunter2"));
    }
}
