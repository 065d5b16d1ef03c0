//! What is shown to whom in order to get a token.

use std::path::PathBuf;
use std::time::SystemTime;

use super::Vendor;
pub use super::client_credentials::{Certificate, ClientCredentials, Proof};
use super::form::Form;
pub use super::refresh::Refresh;
use super::remedy::Flow;
pub use super::service_account::ServiceAccount;
use crate::config::secret::Secret;
use crate::net::client::Url;

/// Everything that is needed to ask for a token.
#[derive(Clone, Debug)]
pub struct Grant {
    /// Who issues it.
    pub vendor: Vendor,
    /// Where to ask.
    pub token_url: Url,
    /// What to show.
    pub how: How,
    /// The scope without which SMTP will not take the token.
    pub needs_scope: Option<&'static str>,
    /// Where a refresh token that was given later is kept.
    pub store: Option<PathBuf>,
}

/// The ways to a token.
#[derive(Clone, Debug)]
pub enum How {
    /// A person consented once.
    Refresh(Refresh),
    /// A Google service account acts for a mailbox.
    ServiceAccount(ServiceAccount),
    /// An application acts for itself.
    ClientCredentials(ClientCredentials),
}

impl Grant {
    /// What to post at that time, by the issuer's clock; `current` is the refresh token of the moment.
    ///
    /// # Errors
    /// Where it could not be signed.
    pub fn form(&self, current: Option<&Secret>, now: SystemTime) -> Result<Form, String> {
        match &self.how {
            How::Refresh(refresh) => Ok(refresh.form(current.unwrap_or(&refresh.initial))),
            How::ServiceAccount(account) => account.form(&self.token_url, now),
            How::ClientCredentials(client) => client.form(&self.token_url, now),
        }
    }

    /// The kind of exchange, as remedies differ by it.
    #[must_use]
    pub fn flow(&self) -> Flow {
        match &self.how {
            How::Refresh(_) => Flow::Refresh,
            How::ServiceAccount(_) => Flow::ServiceAccount,
            How::ClientCredentials(_) => Flow::ClientCredentials,
        }
    }

    /// Whether what is shown says what time it is.
    #[must_use]
    pub fn is_timed(&self) -> bool {
        match &self.how {
            How::Refresh(_) => false,
            How::ServiceAccount(_) => true,
            How::ClientCredentials(client) => matches!(client.proof, Proof::Certificate(_)),
        }
    }
}
