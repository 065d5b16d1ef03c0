//! Settings: from the environment only, all mistakes at once, secrets as bytes that nothing prints.
//!
//! Each component declares its own settings beside its code; this file only lists the components. What can never work
//! ends the process; a refused password or a blocked port is a state, found out later, and does not.

pub mod advice;
pub mod env;
pub mod secret;
pub mod value;

use std::ffi::OsString;
use std::path::PathBuf;

use self::env::{Env, Problem, Setting, Settings};
use crate::ingress::{clients, http, smtp};
use crate::net::listen;
use crate::net::tls::server as tls;
use crate::observe::{admin, log};
use crate::provider::{self, Provider};
use crate::transport::{capture, smtp as client};
use crate::{app, cli, delivery, dkim, oauth, policy};

/// Everything that was set, by component.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where mail leaves.
    pub provider: Provider,
    /// The session with the provider.
    pub client: client::Config,
    /// Mail kept in memory.
    pub capture: capture::Config,
    /// The HTTP ingress.
    pub http: http::Config,
    /// The SMTP ingress.
    pub smtp: smtp::Config,
    /// Who may connect.
    pub clients: clients::Config,
    /// Health and metrics.
    pub admin: admin::Config,
    /// All listeners.
    pub net: listen::Config,
    /// TLS on our own listeners.
    pub tls: tls::Config,
    /// Our own rules.
    pub policy: policy::Config,
    /// Signatures.
    pub dkim: dkim::Config,
    /// Attempts and limits.
    pub delivery: delivery::Config,
    /// Self-diagnosis.
    pub probe: delivery::probe::Config,
    /// Start and end of the process.
    pub app: app::Config,
    /// Logs.
    pub log: log::Config,
    /// Further root certificates that the system's own convention names (`SSL_CERT_FILE`).
    pub system_roots: Option<PathBuf>,
}

/// Every setting, in the order of the documentation.
#[must_use]
pub fn settings() -> Vec<Setting> {
    let all: &[&[Setting]] = &[
        provider::config::Config::SETTINGS,
        oauth::config::Config::SETTINGS,
        client::Config::SETTINGS,
        http::Config::SETTINGS,
        smtp::Config::SETTINGS,
        admin::Config::SETTINGS,
        listen::Config::SETTINGS,
        tls::Config::SETTINGS,
        clients::Config::SETTINGS,
        policy::Config::SETTINGS,
        dkim::Config::SETTINGS,
        delivery::Config::SETTINGS,
        delivery::probe::Config::SETTINGS,
        capture::Config::SETTINGS,
        app::Config::SETTINGS,
        log::Config::SETTINGS,
        cli::sendmail::Config::SETTINGS,
    ];
    all.concat()
}

impl Config {
    /// Reads the settings; all mistakes at once.
    ///
    /// # Errors
    /// Every problem, by variable.
    pub fn from_variables(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Result<Self, Vec<Problem>> {
        let (config, env) = Self::read(variables);
        if env.has_problems() { Err(env.into_problems()) } else { Ok(config) }
    }

    /// Reads the settings and keeps the record of where each came from, problems included.
    pub fn read(variables: impl IntoIterator<Item = (OsString, OsString)>) -> (Self, Env) {
        let variables: Vec<_> = variables.into_iter().collect();
        let system_roots = variables.iter().find(|(name, value)| name == "SSL_CERT_FILE" && !value.is_empty());
        let system_roots = system_roots.map(|(_, path)| PathBuf::from(path));
        let mut env = Env::collect(variables, settings());
        let word = env.peek("provider");
        provider::config::lay_preset(&mut env, &word);
        let (chosen, oauth) = (env.read(), env.read());
        let config = Self {
            provider: provider::config::build(&chosen, &oauth, &mut env),
            client: env.read(),
            capture: env.read(),
            http: env.read(),
            smtp: env.read(),
            clients: env.read(),
            admin: env.read(),
            net: env.read(),
            tls: env.read(),
            policy: env.read(),
            dkim: env.read(),
            delivery: env.read(),
            probe: env.read(),
            app: env.read(),
            log: env.read(),
            system_roots,
        };
        config.check(&mut env);
        (config, env)
    }

    /// What no single variable can tell.
    fn check(&self, env: &mut Env) {
        if let Some(file) = &self.client.ca_file
            && let Err(sentence) = client::check_roots(file)
        {
            env.problem("CA_FILE", sentence);
        }
        let smtp_is_off =
            self.smtp.smtp_listen.is_off() && self.smtp.smtps_listen.is_off() && self.smtp.lmtp_listen.is_off();
        if !self.smtp.smtps_listen.is_off() && self.tls.tls_cert_file.is_none() {
            env.problem("SMTPS_LISTEN", "needs SIDEPOST_TLS_CERT_FILE and SIDEPOST_TLS_KEY_FILE".to_owned());
        }
        if self.clients.allowed_clients.are_public() && !self.clients.allow_open_relay {
            self.check_relay(env);
        }
        if self.http.http_listen.is_off() && smtp_is_off {
            let sentence = "off, and SIDEPOST_SMTP_LISTEN too: no mail could ever come in".to_owned();
            env.problem("HTTP_LISTEN", sentence);
        }
        self.policy.check(env);
        self.dkim.signer().err().into_iter().flatten().for_each(|(name, sentence)| env.problem(name, sentence));
        if self.delivery.max_in_flight_bytes.0 < self.policy.max_message_bytes.0 {
            let sentence = "smaller than SIDEPOST_MAX_MESSAGE_BYTES: such a message could never pass".to_owned();
            env.problem("MAX_IN_FLIGHT_BYTES", sentence);
        }
    }

    /// Strangers may connect: through which listener could they send without showing who they are?
    fn check_relay(&self, env: &mut Env) {
        let smtp = [&self.smtp.smtp_listen, &self.smtp.smtps_listen, &self.smtp.lmtp_listen];
        let smtp = smtp.iter().any(|listen| listen.is_remote());
        let mut missing = Vec::new();
        if smtp && self.smtp.smtp_users.is_none() && self.tls.tls_client_ca_file.is_none() {
            missing.push("SIDEPOST_SMTP_USERS");
        }
        if self.http.http_listen.is_remote() && self.http.api_token.is_none() {
            missing.push("SIDEPOST_API_TOKEN");
        }
        if !missing.is_empty() {
            let sentence = format!(
                "lets anybody on public networks send through you: an open relay. Set {}, or list fewer clients, or, if \
                 something else keeps strangers out, SIDEPOST_ALLOW_OPEN_RELAY=yes",
                missing.join(" and ")
            );
            env.problem("ALLOWED_CLIENTS", sentence);
        }
    }
}
