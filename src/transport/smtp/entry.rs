//! Who logs in, and with what.

use std::sync::Arc;

use crate::config::secret::Secret;
use crate::net::client::Client;
use crate::oauth::tokens::Pace;
use crate::oauth::{Grant, Tokens};
use crate::provider::{Credentials, Mechanism, Proof};

/// The way in.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The login name.
    pub username: String,
    /// What shows that it is us.
    pub key: Key,
    /// The only mechanism to use, where one was named.
    pub mechanism: Mechanism,
}

/// What shows that it is us.
#[derive(Clone, Debug)]
pub enum Key {
    /// A password or key.
    Password(Secret),
    /// A token, always a good one.
    Tokens(Arc<Tokens>),
}

impl Entry {
    /// From the settings; tokens begin to be fetched.
    #[must_use]
    pub fn new(credentials: &Credentials, client: Client) -> Self {
        let key = match &credentials.proof {
            Proof::Password(secret) => Key::Password(secret.clone()),
            Proof::Token(grant) => Key::Tokens(Tokens::start(Grant::clone(grant), client, Pace::default())),
        };
        Self { username: credentials.username.clone(), key, mechanism: credentials.mechanism }
    }

    /// The tokens, if it is tokens.
    #[must_use]
    pub fn tokens(&self) -> Option<&Arc<Tokens>> {
        match &self.key {
            Key::Password(_) => None,
            Key::Tokens(tokens) => Some(tokens),
        }
    }
}
