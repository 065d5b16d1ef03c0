//! A form to be posted, which forgets what was in it.

use secrecy::zeroize::Zeroizing;

use crate::config::secret::Secret;
use crate::net::percent;

/// Shorter secrets could be part of any text.
const SHORTEST_SECRET: usize = 8;

/// Fields, encoded as `application/x-www-form-urlencoded`, and which of them are secret.
#[derive(Default)]
pub struct Form {
    encoded: Zeroizing<Vec<u8>>,
    secrets: Vec<Secret>,
}

impl std::fmt::Debug for Form {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Form")
    }
}

impl Form {
    /// A form that begins with its grant type.
    #[must_use]
    pub fn new(grant_type: &str) -> Self {
        Self::default().field("grant_type", grant_type)
    }

    /// With a field more.
    #[must_use]
    pub fn field(mut self, name: &str, value: &str) -> Self {
        self.push(name, value.as_bytes());
        self
    }

    /// With a field more, if there is a value.
    #[must_use]
    pub fn optional(self, name: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.field(name, value),
            None => self,
        }
    }

    /// With a secret more.
    #[must_use]
    pub fn secret(mut self, name: &str, value: &Secret) -> Self {
        self.push(name, value.expose());
        self.secrets.push(value.clone());
        self
    }

    fn push(&mut self, name: &str, value: &[u8]) {
        // Growing would leave an unwiped copy behind.
        let mut longer = Zeroizing::new(Vec::with_capacity(self.encoded.len() + name.len() + 2 + 3 * value.len()));
        longer.extend_from_slice(&self.encoded);
        if !longer.is_empty() {
            longer.push(b'&');
        }
        longer.extend_from_slice(name.as_bytes());
        longer.push(b'=');
        value.iter().for_each(|&byte| encode(byte, &mut longer));
        self.encoded = longer;
    }

    /// The bytes to post, and the secrets among them, by which a text that repeats one is recognised.
    #[must_use]
    pub fn into_parts(self) -> (Zeroizing<Vec<u8>>, Secrets) {
        (self.encoded, Secrets(self.secrets))
    }
}

/// The secrets of a form.
#[derive(Debug, Default)]
pub struct Secrets(Vec<Secret>);

impl Secrets {
    /// Whether a text repeats one of them.
    #[must_use]
    pub fn are_in(&self, text: &str) -> bool {
        let long = self.0.iter().filter(|secret| secret.expose().len() >= SHORTEST_SECRET);
        long.into_iter().any(|secret| memchr::memmem::find(text.as_bytes(), secret.expose()).is_some())
    }
}

fn encode(byte: u8, into: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
        into.push(byte);
    } else {
        into.extend([b'%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
}

/// A value as it stands in a query.
#[must_use]
pub fn encoded(value: &str) -> String {
    let mut bytes = Vec::with_capacity(value.len());
    value.bytes().for_each(|byte| encode(byte, &mut bytes));
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A value of a form or of a query that a browser wrote, in plain text: there a plus is a space.
#[must_use]
pub fn decoded(value: &str) -> String {
    percent::decoded(&value.replace('+', " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_of_a_secret_is_carried() {
        let form = Form::new("refresh_token")
            .field("scope", "a b")
            .secret("client_secret", &Secret::new(b"p#&=%\xff+~".to_vec()));
        assert!(!format!("{form:?}").contains("p#"));
        let (bytes, secrets) = form.into_parts();
        assert_eq!(&bytes[..], b"grant_type=refresh_token&scope=a%20b&client_secret=p%23%26%3D%25%FF%2B~");
        assert!(!secrets.are_in("anything else"));
    }

    #[test]
    fn a_text_that_repeats_a_secret_is_recognised() {
        let (_, secrets) = Form::default().secret("a", &Secret::new(b"hunter2-hunter2".to_vec())).into_parts();
        assert!(secrets.are_in("bad secret hunter2-hunter2, sorry"));
        assert!(!secrets.are_in("bad secret"));
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        for text in ["", "4/0Ab_c-d~e.f", "a b+c%d&e=\u{e9}"] {
            assert_eq!(decoded(&encoded(text)), text);
        }
        for (odd, text) in [("a+b", "a b"), ("%", "%"), ("%4", "%4"), ("%zz%41", "%zzA"), ("%ff", "\u{fffd}")] {
            assert_eq!(decoded(odd), text);
        }
    }
}
