//! A Google service account with domain-wide delegation: nothing to refresh, and nothing that anybody has to consent to
//! again. <https://developers.google.com/identity/protocols/oauth2/service-account>

use std::time::{Duration, SystemTime};

use serde::Deserialize;
use serde_json::json;

use super::form::Form;
use super::jwt::Signer;
use crate::config::secret::Secret;
use crate::net::client::Url;
use crate::time::seconds;

/// Google takes an hour at most; short ones are of less use to a thief.
const ASSERTION_LIFE: Duration = Duration::from_secs(300);
const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// Who asks, and for whom.
#[derive(Clone, Debug)]
pub struct ServiceAccount {
    issuer: String,
    key_id: Option<String>,
    signer: Signer,
    /// The endpoint that the key file names.
    pub token_url: Option<Url>,
    /// The mailbox to send from.
    pub mailbox: String,
    /// What the access token is to be good for.
    pub scope: String,
}

/// What is in the key file that the Google Cloud console gives.
#[derive(Deserialize)]
struct KeyFile {
    r#type: Option<String>,
    client_email: Option<String>,
    private_key: Option<String>,
    private_key_id: Option<String>,
    token_uri: Option<String>,
}

impl ServiceAccount {
    /// Reads the key file.
    ///
    /// # Errors
    /// What is wrong with it, in a sentence without any of its values.
    pub fn new(key_file: &Secret, mailbox: String, scope: String) -> Result<Self, String> {
        let file: KeyFile = serde_json::from_slice(key_file.expose()).map_err(
            |_| "not the JSON key file of a service account; SIDEPOST_OAUTH_SERVICE_ACCOUNT_FILE takes its path",
        )?;
        if file.r#type.as_deref() != Some("service_account") {
            return Err("JSON, but not the key of a service account: `type` is not `service_account`".to_owned());
        }
        let missing = |name: &str| format!("the key file has no `{name}`");
        let private_key = Secret::new(file.private_key.ok_or_else(|| missing("private_key"))?.into_bytes());
        let signer = Signer::from_pem(private_key.expose()).map_err(|why| format!("`private_key` {why}"))?;
        let issuer = file.client_email.filter(|email| !email.is_empty()).ok_or_else(|| missing("client_email"))?;
        let token_url = file.token_uri.as_deref().and_then(Url::parse);
        Ok(Self { issuer, key_id: file.private_key_id, signer, token_url, mailbox, scope })
    }

    /// What to post at that time.
    ///
    /// # Errors
    /// Where it could not be signed.
    pub fn form(&self, token_url: &Url, now: SystemTime) -> Result<Form, String> {
        let mut header = json!({ "alg": "RS256", "typ": "JWT" });
        if let (Some(key_id), Some(header)) = (&self.key_id, header.as_object_mut()) {
            header.insert("kid".to_owned(), json!(key_id));
        }
        let claims = json!({
            "iss": self.issuer,
            "sub": self.mailbox,
            "scope": self.scope,
            "aud": token_url.to_string(),
            "iat": seconds(now),
            "exp": seconds(now + ASSERTION_LIFE),
        });
        Ok(Form::new(GRANT_TYPE).secret("assertion", &self.signer.sign(&header, &claims)?))
    }
}

#[cfg(test)]
mod tests {
    use super::super::jwt::tests::rsa_key;
    use super::*;

    fn account(json: &serde_json::Value) -> Result<ServiceAccount, String> {
        let file = Secret::new(json.to_string().into_bytes());
        ServiceAccount::new(&file, "joe@example.com".to_owned(), "scope".to_owned())
    }

    #[test]
    fn a_key_file_is_read_and_what_is_wrong_with_one_is_said_without_its_values() {
        let good = json!({
            "type": "service_account", "client_email": "robot@p.iam.gserviceaccount.com", "private_key": rsa_key(),
            "private_key_id": "1", "token_uri": "https://oauth2.googleapis.com/token", "client_id": "12"
        });
        assert!(account(&good).unwrap().token_url.is_some());
        assert!(!format!("{:?}", account(&good)).contains("PRIVATE"));
        for (field, value, words) in [
            ("type", json!("authorized_user"), "not the key of a service account"),
            ("client_email", json!(null), "no `client_email`"),
            ("private_key", json!(null), "no `private_key`"),
            ("private_key", json!("hunter2"), "`private_key` is not there"),
        ] {
            let mut bad = good.clone();
            bad[field] = value;
            let sentence = account(&bad).unwrap_err();
            assert!(sentence.contains(words) && !sentence.contains("hunter2"), "{sentence}");
        }
        for bad in [json!([]), json!("x"), json!({ "type": 3 })] {
            assert!(account(&bad).is_err());
        }
    }
}
