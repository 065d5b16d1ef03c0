//! Bytes that are never shown.

use std::fmt;

use secrecy::{ExposeSecret, SecretSlice};
use subtle::{Choice, ConstantTimeEq as _};

/// A password, key or token: any bytes, wiped from memory when dropped, printed by nothing.
#[derive(Clone)]
pub struct Secret(SecretSlice<u8>);

impl Secret {
    /// Takes the bytes as they are.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(SecretSlice::from(bytes))
    }

    /// The bytes, for the one place that needs them.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        self.0.expose_secret()
    }

    /// Whether these bytes are the same, in a time that depends on the secret's length alone.
    #[must_use]
    pub fn equals(&self, given: &[u8]) -> Choice {
        let secret = self.expose();
        let same_length = (secret.len() as u64).ct_eq(&(given.len() as u64));
        let padded = given.iter().copied().chain(std::iter::repeat(0));
        secret.iter().zip(padded).fold(same_length, |same, (a, b)| same & a.ct_eq(&b))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(set)")
    }
}
