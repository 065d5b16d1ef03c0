//! From settings to a grant: which of the three is meant, what the issuer is known to want, and what is missing.

use std::path::PathBuf;

use super::Vendor;
use super::grant::{Certificate, ClientCredentials, Grant, How, Proof, Refresh, ServiceAccount};
use crate::config::env::{Env, PREFIX};
use crate::config::secret::Secret;
use crate::net::client::Url;
use crate::net::name::is_name;
use crate::settings;

settings! {
    /// What gets us tokens in place of a password.
    pub struct Config {
        /// OAuth: the id of the application (client) that is registered with the provider.
        oauth_client_id: Option<String> = "",
        /// OAuth: its secret.
        oauth_client_secret: Option<Secret> = "",
        /// OAuth, in place of the secret (Microsoft): a certificate that is registered for the application (PEM), with or without its key.
        oauth_client_certificate: Option<Secret> = "",
        /// OAuth: the RSA key of that certificate (PEM), where it stands apart.
        oauth_client_key: Option<Secret> = "",
        /// OAuth: the refresh token that a person's consent brought; `sidepost oauth login` gets one.
        oauth_refresh_token: Option<Secret> = "",
        /// OAuth, in place of all these (Google Workspace): the JSON key of a service account with domain-wide delegation.
        oauth_service_account: Option<Secret> = "",
        /// OAuth (Microsoft): the directory (tenant) id, or a domain of it.
        oauth_tenant: Option<String> = "",
        /// OAuth: where tokens are fetched; a preset knows its own.
        oauth_token_url: Option<String> = "",
        /// OAuth: what the token is to be good for; a preset knows its own.
        oauth_scope: Option<String> = "",
        /// OAuth: a file on a volume that stays, for the new refresh token that some issuers (Microsoft) give each time.
        oauth_token_store: Option<PathBuf> = "",
    }
}

/// What a provider takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// No tokens.
    No,
    /// Google's.
    Google,
    /// Those of Microsoft Entra.
    Microsoft,
    /// Those of personal Microsoft accounts.
    PersonalMicrosoft,
    /// Somebody's: the settings say whose.
    Any,
}

/// What a token of Google's must be good for.
pub const GOOGLE_SCOPE: &str = "https://mail.google.com/";
/// Where Google gives tokens.
pub const GOOGLE_TOKEN_URL: &str = "https://oauth2.googleapis.com/token";
/// What a token of Microsoft's must be good for, and to be renewed.
pub const MICROSOFT_SCOPE: &str = "https://outlook.office.com/SMTP.Send offline_access";
const MICROSOFT_APPLICATION_SCOPE: &str = "https://outlook.office365.com/.default";
/// Where Microsoft gives tokens.
pub const MICROSOFT_TOKEN_URL: &str = "https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token";
/// Words in the place of a tenant, which stand for accounts of many.
const MANY_TENANTS: [&str; 3] = ["common", "organizations", "consumers"];

/// Fields of which each says that tokens are wanted.
const CREDENTIALS: [&str; 6] = [
    "oauth_refresh_token",
    "oauth_service_account",
    "oauth_client_id",
    "oauth_client_secret",
    "oauth_client_certificate",
    "oauth_client_key",
];
/// Fields that are of no use without one of those.
const ADDITIONS: [&str; 4] = ["oauth_tenant", "oauth_token_url", "oauth_scope", "oauth_token_store"];

/// Whether tokens are wanted.
#[must_use]
pub fn is_wanted(env: &Env) -> bool {
    CREDENTIALS.iter().any(|field| !env.peek(field).is_empty())
}

/// Lays what is known of the provider's issuer under the environment.
pub fn lay_preset(env: &mut Env, family: Family) {
    if !is_wanted(env) {
        return;
    }
    let has = |field| !env.peek(field).is_empty();
    let (tenant, url, scope) = match family {
        Family::No | Family::Any => return,
        Family::Google if has("oauth_service_account") => (None, GOOGLE_TOKEN_URL, Some(GOOGLE_SCOPE)),
        // A refresh token is good for what was consented to.
        Family::Google => (None, GOOGLE_TOKEN_URL, None),
        Family::Microsoft if has("oauth_refresh_token") => (Some("common"), MICROSOFT_TOKEN_URL, Some(MICROSOFT_SCOPE)),
        Family::Microsoft => (None, MICROSOFT_TOKEN_URL, Some(MICROSOFT_APPLICATION_SCOPE)),
        Family::PersonalMicrosoft => (Some("consumers"), MICROSOFT_TOKEN_URL, Some(MICROSOFT_SCOPE)),
    };
    let values = [("oauth_tenant", tenant), ("oauth_token_url", Some(url)), ("oauth_scope", scope)];
    for (field, value) in values.into_iter().filter_map(|(field, value)| Some((field, value?))) {
        env.preset(field, value.to_owned());
    }
}

/// The grant that the settings describe; what is missing or cannot be is noted in `env`. `mailbox` is the login name.
pub fn build(config: &Config, family: Family, mailbox: Option<&str>, env: &mut Env) -> Option<Grant> {
    if family == Family::No {
        let given = CREDENTIALS.iter().chain(&ADDITIONS).filter(|field| !env.peek(field).is_empty());
        for name in given.map(|field| field.to_ascii_uppercase()).collect::<Vec<_>>() {
            env.problem(&name, "this provider takes no OAuth tokens; leave it unset".to_owned());
        }
        return None;
    }
    if !is_wanted(env) {
        for name in ADDITIONS
            .iter()
            .filter(|field| !env.peek(field).is_empty())
            .map(|f| f.to_ascii_uppercase())
            .collect::<Vec<_>>()
        {
            env.problem(&name, format!("of no use alone: {WHAT_IS_NEEDED}"));
        }
        return None;
    }
    Builder { config, family, env }.grant(mailbox)
}

/// What completes "needs ...".
pub const WHAT_IS_NEEDED: &str = "a token wants SIDEPOST_OAUTH_REFRESH_TOKEN with SIDEPOST_OAUTH_CLIENT_ID (a person \
    consented), or SIDEPOST_OAUTH_SERVICE_ACCOUNT (Google Workspace), or SIDEPOST_OAUTH_CLIENT_ID with \
    SIDEPOST_OAUTH_CLIENT_SECRET or SIDEPOST_OAUTH_CLIENT_CERTIFICATE (Microsoft 365)";

struct Builder<'a> {
    config: &'a Config,
    family: Family,
    env: &'a mut Env,
}

impl Builder<'_> {
    fn grant(mut self, mailbox: Option<&str>) -> Option<Grant> {
        self.check_texts();
        let how = if self.config.oauth_service_account.is_some() {
            self.service_account(mailbox)
        } else if self.config.oauth_refresh_token.is_some() {
            self.refresh()
        } else {
            self.client_credentials()
        };
        let token_url = self.token_url(how.as_ref());
        if self.config.oauth_token_store.is_some() && self.config.oauth_refresh_token.is_none() {
            self.problem(
                "OAUTH_TOKEN_STORE",
                "of no use without SIDEPOST_OAUTH_REFRESH_TOKEN: there is nothing to keep",
            );
        }
        let (how, token_url) = (how?, token_url?);
        let vendor = self.vendor(&token_url);
        Some(Grant {
            vendor,
            token_url,
            how,
            needs_scope: (vendor == Vendor::Google).then_some(GOOGLE_SCOPE),
            store: self.config.oauth_token_store.clone(),
        })
    }

    fn problem(&mut self, name: &str, sentence: impl Into<String>) {
        self.env.problem(name, sentence.into());
    }

    /// Templates and copying add spaces and line ends, which no issuer forgives.
    fn check_texts(&mut self) {
        let tokens = [
            ("OAUTH_REFRESH_TOKEN", &self.config.oauth_refresh_token),
            ("OAUTH_CLIENT_SECRET", &self.config.oauth_client_secret),
        ];
        let bad = |secret: &Secret| !secret.expose().iter().all(u8::is_ascii_graphic);
        for (name, _) in tokens.into_iter().filter(|(_, secret)| secret.as_ref().is_some_and(bad)) {
            self.problem(name, "has a space, a line end or another character that none has: was it cut or quoted?");
        }
        if self.config.oauth_client_id.as_ref().is_some_and(|id| !id.bytes().all(|byte| byte.is_ascii_graphic())) {
            self.problem("OAUTH_CLIENT_ID", "has a space or another character that no client id has");
        }
    }

    fn not_beside(&mut self, other: &str, given: &[(&'static str, bool)]) {
        for (name, _) in given.iter().filter(|(_, given)| *given) {
            self.problem(name, format!("given beside {PREFIX}{other}; only one of them can be meant"));
        }
    }

    fn service_account(&mut self, mailbox: Option<&str>) -> Option<How> {
        const NAME: &str = "OAUTH_SERVICE_ACCOUNT";
        let config = self.config;
        self.not_beside(
            NAME,
            &[
                ("OAUTH_REFRESH_TOKEN", config.oauth_refresh_token.is_some()),
                ("OAUTH_CLIENT_ID", config.oauth_client_id.is_some()),
                ("OAUTH_CLIENT_SECRET", config.oauth_client_secret.is_some()),
                ("OAUTH_CLIENT_CERTIFICATE", config.oauth_client_certificate.is_some()),
                ("OAUTH_CLIENT_KEY", config.oauth_client_key.is_some()),
                ("OAUTH_TENANT", config.oauth_tenant.is_some()),
            ],
        );
        if matches!(self.family, Family::Microsoft | Family::PersonalMicrosoft) {
            self.problem(NAME, "service accounts are Google's; Microsoft 365 has SIDEPOST_OAUTH_CLIENT_SECRET");
            return None;
        }
        let scope = config.oauth_scope.clone().unwrap_or_else(|| GOOGLE_SCOPE.to_owned());
        let account = ServiceAccount::new(config.oauth_service_account.as_ref()?, mailbox?.to_owned(), scope);
        account.map(How::ServiceAccount).map_err(|sentence| self.problem(NAME, sentence)).ok()
    }

    fn refresh(&mut self) -> Option<How> {
        let config = self.config;
        self.not_beside(
            "OAUTH_REFRESH_TOKEN",
            &[
                ("OAUTH_CLIENT_CERTIFICATE", config.oauth_client_certificate.is_some()),
                ("OAUTH_CLIENT_KEY", config.oauth_client_key.is_some()),
            ],
        );
        if config.oauth_client_id.is_none() {
            self.problem(
                "OAUTH_CLIENT_ID",
                "needed with SIDEPOST_OAUTH_REFRESH_TOKEN: the client that it was given to",
            );
        }
        if config.oauth_client_secret.is_none() && self.family == Family::Google {
            self.problem("OAUTH_CLIENT_SECRET", "needed: Google gives one to Desktop app clients too");
        }
        Some(How::Refresh(Refresh {
            client_id: config.oauth_client_id.clone()?,
            client_secret: config.oauth_client_secret.clone(),
            initial: config.oauth_refresh_token.clone()?,
            scope: config.oauth_scope.clone(),
        }))
    }

    fn client_credentials(&mut self) -> Option<How> {
        let config = self.config;
        match self.family {
            Family::Google => {
                self.problem(
                    "OAUTH_REFRESH_TOKEN",
                    "needed (or SIDEPOST_OAUTH_SERVICE_ACCOUNT): `sidepost oauth login google` gets one",
                );
                return None;
            }
            Family::PersonalMicrosoft => {
                self.problem("OAUTH_REFRESH_TOKEN", "needed: `sidepost oauth login microsoft` gets one");
                return None;
            }
            Family::Microsoft | Family::Any | Family::No => {}
        }
        if config.oauth_client_id.is_none() {
            self.problem("OAUTH_CLIENT_ID", "needed: the id of the application");
        }
        self.check_tenant_of_its_own();
        let proof = self.proof();
        Some(How::ClientCredentials(ClientCredentials {
            client_id: config.oauth_client_id.clone()?,
            proof: proof?,
            scope: config.oauth_scope.clone(),
        }))
    }

    fn check_tenant_of_its_own(&mut self) {
        let tenant = self.config.oauth_tenant.as_deref();
        let many = tenant.is_some_and(|tenant| MANY_TENANTS.contains(&tenant));
        if self.family == Family::Microsoft && (tenant.is_none() || many) {
            let sentence =
                "needed without a refresh token: the Directory (tenant) ID in which the application is registered";
            self.problem("OAUTH_TENANT", sentence);
        }
    }

    fn proof(&mut self) -> Option<Proof> {
        let config = self.config;
        if config.oauth_client_certificate.is_some() {
            self.not_beside(
                "OAUTH_CLIENT_CERTIFICATE",
                &[("OAUTH_CLIENT_SECRET", config.oauth_client_secret.is_some())],
            );
        } else if config.oauth_client_key.is_some() {
            self.problem("OAUTH_CLIENT_CERTIFICATE", "needed with SIDEPOST_OAUTH_CLIENT_KEY");
        }
        match (&config.oauth_client_certificate, &config.oauth_client_secret) {
            (Some(certificate), _) => {
                let made = Certificate::new(certificate, config.oauth_client_key.as_ref());
                let noted = made.map_err(|(of_the_key, sentence)| {
                    self.problem(if of_the_key { "OAUTH_CLIENT_KEY" } else { "OAUTH_CLIENT_CERTIFICATE" }, sentence);
                });
                noted.ok().map(Proof::Certificate)
            }
            (None, Some(secret)) => Some(Proof::Secret(secret.clone())),
            (None, None) => {
                if config.oauth_client_key.is_none() {
                    self.problem("OAUTH_REFRESH_TOKEN", format!("needed, or something else: {WHAT_IS_NEEDED}"));
                }
                None
            }
        }
    }

    fn token_url(&mut self, how: Option<&How>) -> Option<Url> {
        let Some(url) = self.config.oauth_token_url.as_deref() else {
            if let Some(How::ServiceAccount(account)) = how
                && let Some(url) = &account.token_url
            {
                return Some(url.clone());
            }
            self.problem("OAUTH_TOKEN_URL", "needed: where this issuer gives tokens");
            return None;
        };
        let tenant = self.config.oauth_tenant.as_deref();
        if tenant.is_some_and(|tenant| !is_name(tenant)) {
            self.problem(
                "OAUTH_TENANT",
                "expected a directory (tenant) id, a domain, `common`, `organizations` or `consumers`",
            );
            return None;
        }
        let filled = match tenant {
            Some(tenant) => url.replace("{tenant}", tenant),
            // The one that is missing was named already.
            None if url.contains("{tenant}") => return None,
            None => url.to_owned(),
        };
        let parsed = Url::parse(&filled);
        if parsed.is_none() {
            self.problem("OAUTH_TOKEN_URL", format!("expected {}", Url::EXPECTS));
        }
        parsed
    }

    fn vendor(&self, url: &Url) -> Vendor {
        let of = |domain: &str| url.host() == domain || url.host().ends_with(&format!(".{domain}"));
        match self.family {
            Family::Google => Vendor::Google,
            Family::Microsoft | Family::PersonalMicrosoft => Vendor::Microsoft,
            Family::Any | Family::No if of("googleapis.com") || of("google.com") => Vendor::Google,
            Family::Any | Family::No
                if ["microsoftonline.com", "microsoftonline.us", "partner.microsoftonline.cn"].into_iter().any(of) =>
            {
                Vendor::Microsoft
            }
            Family::Any | Family::No => Vendor::Other,
        }
    }
}
