//! Private keys and what they sign with.

use std::path::Path;

use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;

/// No key is longer.
const LONGEST_FILE: u64 = 64 * 1024;

/// A private key.
pub(super) enum Key {
    Rsa(Box<RsaKeyPair>),
    Ed25519(Box<Ed25519KeyPair>),
}

impl Key {
    /// Reads a PEM file (PKCS #8, or PKCS #1 for RSA); the sentence says what is wrong with it and shows nothing of it.
    pub(super) fn read(file: &Path) -> Result<Self, String> {
        let shown = file.display();
        let unreadable = |error: std::io::Error| format!("cannot read {shown}: {error}");
        if std::fs::metadata(file).map_err(unreadable)?.len() > LONGEST_FILE {
            return Err(format!("{shown} is larger than any key"));
        }
        let pem = std::fs::read(file).map_err(unreadable)?;
        match PrivateKeyDer::from_pem_slice(&pem) {
            Ok(PrivateKeyDer::Pkcs1(der)) => rsa(RsaKeyPair::from_der(der.secret_pkcs1_der())),
            Ok(PrivateKeyDer::Pkcs8(der)) => pkcs8(der.secret_pkcs8_der()),
            Ok(_) => Err("an elliptic-curve key of a kind that DKIM does not know; it takes RSA or Ed25519".to_owned()),
            Err(_) if memchr::memmem::find(&pem, b"ENCRYPTED").is_some() => {
                Err("locked by a passphrase; `openssl pkey -in FILE -out NEW` takes it off".to_owned())
            }
            Err(_) => Err("has no private key in PEM (`-----BEGIN PRIVATE KEY-----`)".to_owned()),
        }
        .map_err(|why| format!("{shown}: {why}"))
    }

    /// Its word in a signature.
    pub(super) fn algorithm(&self) -> &'static str {
        match self {
            Self::Rsa(_) => "rsa-sha256",
            Self::Ed25519(_) => "ed25519-sha256",
        }
    }

    /// Whether a signature takes about a millisecond, or some microseconds.
    pub(super) fn is_slow(&self) -> bool {
        matches!(self, Self::Rsa(_))
    }

    /// Signs a text, whose hash is given too: RSA hashes by itself, Ed25519 signs the hash (RFC 8463 section 3).
    pub(super) fn sign(&self, text: &[u8], hash: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Ed25519(pair) => Some(pair.sign(hash).as_ref().to_vec()),
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text, &mut signature).ok()?;
                Some(signature)
            }
        }
    }
}

fn pkcs8(der: &[u8]) -> Result<Key, String> {
    match Ed25519KeyPair::from_pkcs8_maybe_unchecked(der) {
        Ok(pair) => Ok(Key::Ed25519(Box::new(pair))),
        Err(_) => rsa(RsaKeyPair::from_pkcs8(der)),
    }
}

fn rsa(pair: Result<RsaKeyPair, ring::error::KeyRejected>) -> Result<Key, String> {
    pair.map(|pair| Key::Rsa(Box::new(pair))).map_err(|rejected| match rejected.to_string().as_str() {
        "TooSmall" => "an RSA key of fewer than 2048 bits, which RFC 8301 advises against and which is not used here; \
                       `openssl genrsa -out FILE 2048` makes a better one"
            .to_owned(),
        "TooLarge" => "an RSA key of more than 4096 bits, which receivers need not check (RFC 8301)".to_owned(),
        _ => "neither RSA nor Ed25519, or damaged".to_owned(),
    })
}
