//! How a person's consent becomes a refresh token: by a browser on this machine (RFC 8252), or by a code that is typed
//! in on another (RFC 8628). Nothing leaves but to the issuer itself.

pub mod device;
pub mod redirect;

use std::time::Duration;

use encodify::base64::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom as _, SystemRandom};

use super::endpoint::{self, Granted, Issuer};
use super::form::{Form, encoded};
use super::remedy::{Flow, Refusal, of};
use super::said::shown;
use super::{Kind, Trouble, Vendor};
use crate::config::secret::Secret;
use crate::net::client::{Client, Url};
use crate::outcome::Cause;

/// The application to which a person is to consent.
#[derive(Clone, Debug)]
pub struct Application {
    /// With whom it is registered.
    pub vendor: Vendor,
    /// Its id.
    pub client_id: String,
    /// Its secret, if it has one.
    pub client_secret: Option<Secret>,
    /// What the consent is to be for.
    pub scope: String,
    /// Where the person consents.
    pub authorize_url: Url,
    /// Where tokens are given.
    pub token_url: Url,
    /// The mailbox, for whoever has several.
    pub mailbox: Option<String>,
}

/// What a consent brought.
#[derive(Debug)]
pub struct Consent {
    /// The token to set.
    pub refresh_token: Secret,
    /// How long it lasts, where that was said.
    pub life: Option<Duration>,
    /// What the person agreed to, where that was said.
    pub scope: Option<String>,
}

const NO_REFRESH_TOKEN: Cause = Cause {
    name: "oauth_no_refresh_token",
    why: "The issuer gave a token for an hour and none to renew it.",
    remedy: "Remove the access of this app in the account's settings and run the same command again; with a scope of your \
             own, offline_access has to be in it (Microsoft).",
};

/// A secret of ours that proves that who brings the code is who asked for it (RFC 7636).
#[derive(Clone, Debug)]
pub struct Verifier(Secret);

impl Verifier {
    /// A new one.
    ///
    /// # Errors
    /// Where the random numbers of the machine fail.
    pub fn new() -> Result<Self, String> {
        random(32).map(|text| Self(Secret::new(text.into_bytes())))
    }

    fn challenge(&self) -> String {
        URL_SAFE_NO_PAD.encode(digest(&SHA256, self.0.expose()))
    }
}

/// So many random bytes, as text.
///
/// # Errors
/// Where the random numbers of the machine fail.
pub fn random(bytes: usize) -> Result<String, String> {
    let mut random = vec![0; bytes];
    SystemRandom::new().fill(&mut random).map_err(|_| "this machine has no random numbers".to_owned())?;
    Ok(URL_SAFE_NO_PAD.encode(random))
}

impl Application {
    /// The address to open in a browser.
    #[must_use]
    pub fn address(&self, redirect: &str, state: &str, verifier: &Verifier) -> String {
        let challenge = verifier.challenge();
        let mut fields = vec![
            ("client_id", self.client_id.as_str()),
            ("redirect_uri", redirect),
            ("response_type", "code"),
            ("scope", &self.scope),
            ("state", state),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ];
        match self.vendor {
            // Without these two, Google gives a refresh token at the very first consent only.
            Vendor::Google => fields.extend([("access_type", "offline"), ("prompt", "consent")]),
            Vendor::Microsoft => fields.push(("prompt", "select_account")),
            Vendor::Other => {}
        }
        fields.extend(self.mailbox.as_deref().map(|mailbox| ("login_hint", mailbox)));
        let query: Vec<_> = fields.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        let begin = if self.authorize_url.to_string().contains('?') { '&' } else { '?' };
        format!("{}{begin}{}", self.authorize_url, query.join("&"))
    }

    /// The refresh token for the code that the browser brought.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn exchange(
        &self,
        client: &Client,
        code: &Secret,
        redirect: &str,
        verifier: &Verifier,
    ) -> Result<Consent, Trouble> {
        let form = Form::new("authorization_code").field("redirect_uri", redirect);
        let form = self.identified(form.secret("code", code).secret("code_verifier", &verifier.0));
        self.consent(endpoint::token(client, self.issuer(Flow::Code), form).await.result)
    }

    /// What it means that the browser came back with an error.
    #[must_use]
    pub fn declined(&self, error: &str, description: &str) -> Trouble {
        let text = description.to_lowercase();
        let (_, cause) = of(&Refusal { vendor: self.vendor, flow: Flow::Code, error, text: &text });
        let (error, description) = (shown(error), shown(description));
        let colon = if description.is_empty() { "" } else { ": " };
        let evidence = format!("The browser came back with {error}{colon}{}.", description.trim_end_matches('.'));
        Trouble { kind: Kind::Refused, cause, evidence, retry_after: None }
    }

    fn identified(&self, form: Form) -> Form {
        let form = form.field("client_id", &self.client_id);
        match &self.client_secret {
            Some(secret) => form.secret("client_secret", secret),
            None => form,
        }
    }

    fn issuer(&self, flow: Flow) -> Issuer<'_> {
        Issuer { url: &self.token_url, vendor: self.vendor, flow }
    }

    fn consent(&self, granted: Result<Granted, Trouble>) -> Result<Consent, Trouble> {
        let Granted { refresh_token, refresh_life: life, scope, .. } = granted?;
        let none = || Trouble {
            kind: Kind::Refused,
            cause: &NO_REFRESH_TOKEN,
            evidence: format!("{} gave no refresh token.", self.token_url.host()),
            retry_after: None,
        };
        Ok(Consent { refresh_token: refresh_token.ok_or_else(none)?, life, scope })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_challenge_is_the_one_of_rfc_7636() {
        let verifier = Verifier(Secret::new(b"dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk".to_vec()));
        assert_eq!(verifier.challenge(), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
        assert_ne!(Verifier::new().unwrap().challenge(), Verifier::new().unwrap().challenge());
    }

    #[test]
    fn the_address_asks_for_what_is_needed_and_holds_no_secret() {
        let application = Application {
            vendor: Vendor::Google,
            client_id: "id".to_owned(),
            client_secret: Some(Secret::new(b"hunter2".to_vec())),
            scope: "https://mail.google.com/".to_owned(),
            authorize_url: Url::parse("https://accounts.google.com/o/oauth2/v2/auth").unwrap(),
            token_url: Url::parse("https://oauth2.googleapis.com/token").unwrap(),
            mailbox: Some("joe+x@example.com".to_owned()),
        };
        let address = application.address("http://127.0.0.1:1", "st", &Verifier(Secret::new(b"v".to_vec())));
        for part in [
            "https://accounts.google.com/o/oauth2/v2/auth?client_id=id&redirect_uri=http%3A%2F%2F127.0.0.1%3A1&",
            "scope=https%3A%2F%2Fmail.google.com%2F&state=st&code_challenge=",
            "code_challenge_method=S256",
            "access_type=offline&prompt=consent",
            "login_hint=joe%2Bx%40example.com",
        ] {
            assert!(address.contains(part), "{part} is not in {address}");
        }
        assert!(!address.contains("hunter2"));
    }
}
