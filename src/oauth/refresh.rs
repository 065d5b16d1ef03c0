//! A refresh token, which somebody gave by consenting once (RFC 6749 section 6).

use super::form::Form;
use crate::config::secret::Secret;

/// Who asks, and the token that the settings gave.
#[derive(Clone, Debug)]
pub struct Refresh {
    /// The application.
    pub client_id: String,
    /// Its secret; a public client has none.
    pub client_secret: Option<Secret>,
    /// The token at the beginning: a later one may have taken its place.
    pub initial: Secret,
    /// What the access token is to be good for, where it has to be said again.
    pub scope: Option<String>,
}

impl Refresh {
    /// What to post, with the refresh token of the moment.
    #[must_use]
    pub fn form(&self, current: &Secret) -> Form {
        let form = Form::new("refresh_token")
            .field("client_id", &self.client_id)
            .secret("refresh_token", current)
            .optional("scope", self.scope.as_deref());
        match &self.client_secret {
            Some(secret) => form.secret("client_secret", secret),
            None => form,
        }
    }
}
