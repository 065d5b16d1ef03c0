//! Signed assertions: JSON Web Tokens with RS256 (RFC 7515, RFC 7518 section 3.3), signed with a key from a PEM text.

use std::sync::Arc;
use std::time::SystemTime;

use encodify::base64::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::rsa::KeyPair;
use ring::signature::RSA_PKCS1_SHA256;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::Value;

use crate::config::secret::Secret;
use crate::time::seconds;

/// An RSA key that signs.
#[derive(Clone)]
pub struct Signer(Arc<KeyPair>);

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signer(set)")
    }
}

impl Signer {
    /// The first private key of a PEM text.
    ///
    /// # Errors
    /// Why it cannot be used, to complete "the private key ...".
    pub fn from_pem(pem: &[u8]) -> Result<Self, String> {
        let key = PrivateKeyDer::from_pem_slice(pem).map_err(|_| "is not there: no PEM block BEGIN PRIVATE KEY")?;
        let pair = match &key {
            PrivateKeyDer::Pkcs8(key) => KeyPair::from_pkcs8(key.secret_pkcs8_der()),
            PrivateKeyDer::Pkcs1(key) => KeyPair::from_der(key.secret_pkcs1_der()),
            PrivateKeyDer::Sec1(_) | _ => return Err("is not an RSA key".to_owned()),
        };
        let pair = pair.map_err(|why| format!("cannot be used: RSA with 2048 to 4096 bits is needed ({why})"))?;
        Ok(Self(Arc::new(pair)))
    }

    /// The signed assertion, in its compact form.
    ///
    /// # Errors
    /// Where the random numbers of the machine fail.
    pub fn sign(&self, header: &Value, claims: &Value) -> Result<Secret, String> {
        let mut text = format!("{}.{}", encoded(header), encoded(claims));
        let mut signature = vec![0; self.0.public().modulus_len()];
        let signed = self.0.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature);
        signed.map_err(|_| "an assertion could not be signed".to_owned())?;
        text.push('.');
        text.push_str(&URL_SAFE_NO_PAD.encode(signature));
        Ok(Secret::new(text.into_bytes()))
    }
}

/// When a token was made, in seconds since 1970, where it is a JSON Web Token that says so and lies not ahead of now.
/// Nothing rests on it but an age that is shown, so the signature is not looked at.
#[must_use]
pub fn issued_at(token: &[u8]) -> Option<u64> {
    let claims = token.split(|&byte| byte == b'.').nth(1)?;
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
    claims["iat"].as_u64().filter(|&at| at > 0 && at <= seconds(SystemTime::now()))
}

fn encoded(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

#[cfg(test)]
pub mod tests {
    use std::process::Command;

    use serde_json::json;

    use super::*;

    /// A new key, made by OpenSSL.
    pub fn key(arguments: &[&str]) -> String {
        let output = Command::new("openssl").arg("genpkey").args(arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    pub fn rsa_key() -> String {
        key(&["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"])
    }

    #[test]
    fn the_age_of_a_token_is_read_where_it_says_so() {
        let token = |claims: &Value| format!("e30.{}.c2ln", encoded(claims));
        assert_eq!(issued_at(token(&json!({ "iat": 1_700_000_000 })).as_bytes()), Some(1_700_000_000));
        for odd in [
            "1//0gOpaque-refresh_token".to_owned(),
            "a.b.c".to_owned(),
            String::new(),
            token(&json!({ "exp": 1 })),
            token(&json!({ "iat": "yesterday" })),
            token(&json!({ "iat": 99_999_999_999_u64 })),
            token(&json!([])),
        ] {
            assert_eq!(issued_at(odd.as_bytes()), None, "{odd}");
        }
    }

    #[test]
    fn openssl_says_that_the_signature_is_good() {
        let pem = rsa_key();
        let assertion = Signer::from_pem(pem.as_bytes()).unwrap();
        let assertion = assertion.sign(&json!({ "alg": "RS256" }), &json!({ "sub": "\u{e9}" })).unwrap();
        let assertion = String::from_utf8(assertion.expose().to_vec()).unwrap();
        let (signed, signature) = assertion.rsplit_once('.').unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, content: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, content).unwrap();
            path
        };
        let (key, data) = (file("key", pem.as_bytes()), file("data", signed.as_bytes()));
        let signature = file("signature", &URL_SAFE_NO_PAD.decode(signature).unwrap());
        let output = Command::new("openssl")
            .args(["dgst", "-sha256", "-prverify"])
            .args([&key, std::path::Path::new("-signature"), &signature, &data])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    #[test]
    fn keys_that_cannot_sign_are_told_apart() {
        let no = |pem: &str| Signer::from_pem(pem.as_bytes()).unwrap_err();
        assert!(no("").contains("BEGIN PRIVATE KEY"));
        assert!(no("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n").contains("cannot be used"));
        assert!(no(&key(&["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"])).contains("RSA"));
        assert!(no(&key(&["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"])).contains("2048"));
    }
}
