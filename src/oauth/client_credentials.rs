//! An application that acts for itself, with a secret or a certificate: nothing to refresh (RFC 6749 section 4.4).
//! <https://learn.microsoft.com/en-us/entra/identity-platform/v2-oauth2-client-creds-grant-flow>

use std::time::{Duration, SystemTime};

use encodify::base64::URL_SAFE_NO_PAD;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::json;

use super::authorization::random;
use super::form::Form;
use super::jwt::Signer;
use crate::config::secret::Secret;
use crate::net::client::Url;
use crate::time::seconds;

/// Microsoft advises five to ten minutes.
const ASSERTION_LIFE: Duration = Duration::from_secs(300);
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Who asks.
#[derive(Clone, Debug)]
pub struct ClientCredentials {
    /// The application.
    pub client_id: String,
    /// How it shows that it is the one.
    pub proof: Proof,
    /// What the access token is to be good for.
    pub scope: Option<String>,
}

/// How an application shows that it is the one.
#[derive(Clone, Debug)]
pub enum Proof {
    /// By a secret.
    Secret(Secret),
    /// By a certificate.
    Certificate(Certificate),
}

/// A certificate that the issuer knows, and its key.
#[derive(Clone, Debug)]
pub struct Certificate {
    thumbprint_sha1: String,
    thumbprint_sha256: String,
    signer: Signer,
}

impl Certificate {
    /// From PEM texts; the key may stand in the text of the certificate.
    ///
    /// # Errors
    /// Why they cannot be used, and whether that is the key's text: a sentence without any of their values.
    pub fn new(certificate: &Secret, key: Option<&Secret>) -> Result<Self, (bool, String)> {
        let der = CertificateDer::from_pem_slice(certificate.expose())
            .map_err(|_| (false, "no certificate in it: a PEM block BEGIN CERTIFICATE is needed".to_owned()))?;
        let signer = Signer::from_pem(key.unwrap_or(certificate).expose())
            .map_err(|why| (key.is_some(), format!("the private key {why}")))?;
        let thumbprint = |algorithm| URL_SAFE_NO_PAD.encode(digest(algorithm, &der));
        Ok(Self {
            thumbprint_sha1: thumbprint(&SHA1_FOR_LEGACY_USE_ONLY),
            thumbprint_sha256: thumbprint(&SHA256),
            signer,
        })
    }

    fn assertion(&self, client_id: &str, token_url: &Url, now: SystemTime) -> Result<Secret, String> {
        let header = json!({
            "alg": "RS256", "typ": "JWT", "x5t": self.thumbprint_sha1, "x5t#S256": self.thumbprint_sha256
        });
        let claims = json!({
            "aud": token_url.to_string(),
            "iss": client_id,
            "sub": client_id,
            "jti": random(16)?,
            "iat": seconds(now),
            "nbf": seconds(now),
            "exp": seconds(now + ASSERTION_LIFE),
        });
        self.signer.sign(&header, &claims)
    }
}

impl ClientCredentials {
    /// What to post at that time.
    ///
    /// # Errors
    /// Where it could not be signed.
    pub fn form(&self, token_url: &Url, now: SystemTime) -> Result<Form, String> {
        let form = Form::new("client_credentials")
            .field("client_id", &self.client_id)
            .optional("scope", self.scope.as_deref());
        Ok(match &self.proof {
            Proof::Secret(secret) => form.secret("client_secret", secret),
            Proof::Certificate(certificate) => {
                let assertion = certificate.assertion(&self.client_id, token_url, now)?;
                form.field("client_assertion_type", ASSERTION_TYPE).secret("client_assertion", &assertion)
            }
        })
    }
}
