//! The environment of the docker-postfix image: `RELAYHOST` and its kin, and `POSTFIX_name` for any parameter.
//!
//! Read from an env file, from the `environment` of a compose file, from the values of its chart, or from a process.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::Path;

use super::draft::{Draft, shown};
use super::postfix::{self, Parameters};
use super::source::{Files, Place, Text};

const RUNS: &str = "how the program itself runs";
const LOGS: &str = "how it logs: Sidepost has SIDEPOST_LOG_FORMAT and SIDEPOST_LOG_ADDRESSES";
const LISTENS: &str =
    "how mail is taken in: Sidepost has listeners of its own (SIDEPOST_SMTP_LISTEN, SIDEPOST_ALLOWED_CLIENTS)";
const RELAY_USER: &str = "RELAYHOST_USERNAME";

/// What the image reads, besides `POSTFIX_name`.
const KNOWN: [&str; 32] = [
    "RELAYHOST",
    "SASL_RELAYHOST",
    RELAY_USER,
    "RELAYHOST_PASSWORD",
    "RELAYHOST_PASSWORD_FILE",
    "RELAYHOST_TLS_LEVEL",
    "ALLOWED_SENDER_DOMAINS",
    "ALLOW_EMPTY_SENDER_DOMAINS",
    "AUTOSET_HOSTNAME",
    "AUTOSET_HOSTNAME_SERVICES",
    "XOAUTH2_CLIENT_ID",
    "XOAUTH2_SECRET",
    "XOAUTH2_INITIAL_ACCESS_TOKEN",
    "XOAUTH2_INITIAL_REFRESH_TOKEN",
    "XOAUTH2_TOKEN_ENDPOINT",
    "XOAUTH2_SYSLOG_ON_FAILURE",
    "XOAUTH2_FULL_TRACE",
    "SMTPD_SASL_USERS",
    "MASQUERADED_DOMAINS",
    "SMTP_HEADER_CHECKS",
    "DKIM_AUTOGENERATE",
    "DKIM_BACKEND",
    "DKIM_SELECTOR",
    "ANONYMIZE_EMAILS",
    "INBOUND_DEBUGGING",
    "LOG_FORMAT",
    "FORCE_COLOR",
    "SKIP_ROOT_SPOOL_CHOWN",
    "HOSTNAME",
    "MYNETWORKS",
    "MESSAGE_SIZE_LIMIT",
    "TZ",
];

/// A text of what this process was given, as far as the image would read it.
pub fn environment(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Text {
    let mut lines = String::new();
    for (name, value) in variables {
        if let (Some(name), Some(value)) = (name.to_str(), value.to_str())
            && is_known(name)
            && !value.contains('\n')
        {
            let _ = writeln!(lines, "{name}={value}");
        }
    }
    Text::new(Path::new("the environment"), &lines)
}

fn is_known(name: &str) -> bool {
    KNOWN.contains(&name) || ["POSTFIX_", "OPENDKIM_", "RSPAMD_"].iter().any(|start| name.starts_with(start))
}

/// Reads the configuration.
///
/// # Errors
/// What cannot be understood at all, by file and line.
pub fn read(texts: &[Text], files: &Files, draft: &mut Draft) -> Result<(), String> {
    let text = texts.first().ok_or("nothing to read")?;
    let mut parameters = Parameters::default();
    let mut found = Found::default();
    for (at, line) in text.lines() {
        let Some((name, value)) = pair(line) else { continue };
        if value.is_empty() {
            continue;
        }
        if value.starts_with("${") && name != "POSTFIX_relayhost" {
            draft.look(&at, format!("{name} comes from another variable, which cannot be seen here"));
        } else if let Some(parameter) = name.strip_prefix("POSTFIX_") {
            parameters.set(parameter, value, at, draft);
        } else {
            found.take(name, value, at, &mut parameters, draft);
        }
    }
    // Where nothing is said, the image sets `may`.
    if !parameters.names().any(|(name, _)| name == "smtp_tls_security_level") {
        parameters.set("smtp_tls_security_level", "may", text.at(0), draft);
    }
    postfix::from_parameters(text, parameters, None, files, draft)?;
    found.conclude(text, files, draft)
}

/// `NAME=value`, `- NAME=value`, `NAME: value`: quotation marks around all of a value are not part of it.
fn pair(line: &str) -> Option<(&str, &str)> {
    let line = line.trim().trim_start_matches("- ").trim();
    let line = line.strip_prefix("export ").unwrap_or(line);
    let line = whole(line);
    let at = line.find(['=', ':'])?;
    let (name, value) = (line[..at].trim().trim_matches(['"', '\'']), line[at + 1..].trim());
    is_known(name).then(|| (name, whole(value)))
}

fn whole(text: &str) -> &str {
    let quoted = |mark: char| text.len() > 1 && text.starts_with(mark) && text.ends_with(mark);
    if quoted('"') || quoted('\'') { &text[1..text.len() - 1] } else { text }
}

#[derive(Default)]
struct Found {
    username: Option<(String, Place)>,
    password: Option<(String, Place)>,
    password_file: Option<(String, Place)>,
    sasl_relay: Option<(String, Place)>,
    relay: Option<String>,
    oauth: Oauth,
}

#[derive(Default)]
struct Oauth {
    client_id: Option<(String, Place)>,
    client_secret: Option<(String, Place)>,
    refresh_token: Option<(String, Place)>,
}

impl Found {
    fn take(&mut self, name: &str, value: &str, at: Place, parameters: &mut Parameters, draft: &mut Draft) {
        let given = || Some((value.to_owned(), at.clone()));
        match name {
            "RELAYHOST" => {
                self.relay = Some(value.to_owned());
                parameters.set("relayhost", value, at, draft);
            }
            "SASL_RELAYHOST" => self.sasl_relay = given(),
            RELAY_USER => self.username = given(),
            "RELAYHOST_PASSWORD" => self.password = given(),
            "RELAYHOST_PASSWORD_FILE" => self.password_file = given(),
            "RELAYHOST_TLS_LEVEL" => parameters.set("smtp_tls_security_level", value, at, draft),
            "MYNETWORKS" => parameters.set("mynetworks", value, at, draft),
            "MESSAGE_SIZE_LIMIT" => parameters.set("message_size_limit", value, at, draft),
            "HOSTNAME" => parameters.set("myhostname", value, at, draft),
            "MASQUERADED_DOMAINS" => parameters.set("masquerade_domains", value, at, draft),
            "SMTP_HEADER_CHECKS" => {
                let table = if value == "1" { "regexp:/etc/postfix/smtp_header_checks" } else { value };
                parameters.set("smtp_header_checks", table, at, draft);
            }
            "ALLOWED_SENDER_DOMAINS" => {
                let domains: Vec<_> = value.split([',', ' ']).filter(|domain| !domain.is_empty()).collect();
                draft.set("ALLOWED_SENDERS", domains.join(","), &at);
            }
            "XOAUTH2_CLIENT_ID" => self.oauth.client_id = given(),
            "XOAUTH2_SECRET" => self.oauth.client_secret = given(),
            "XOAUTH2_INITIAL_REFRESH_TOKEN" => self.oauth.refresh_token = given(),
            "XOAUTH2_TOKEN_ENDPOINT" | "XOAUTH2_INITIAL_ACCESS_TOKEN" => {
                draft.pass_over("where tokens come from: a preset knows its own, and fetches them", name);
            }
            "SMTPD_SASL_USERS" => draft.lose(
                &at,
                "SMTPD_SASL_USERS: logins of those who send; Sidepost has SIDEPOST_SMTP_USERS, which is not set by this: \
                 beside one application nobody needs to log in",
            ),
            _ if name.starts_with("DKIM_") || name.starts_with("OPENDKIM_") || name.starts_with("RSPAMD_") => draft.lose(
                &at,
                format!(
                    "{}: the image signs (DKIM) with the keys in /etc/opendkim/keys; Sidepost does with SIDEPOST_DKIM_DOMAIN, \
                     _SELECTOR and _KEY_FILE, and most providers do it themselves",
                    shown(name)
                ),
            ),
            "ALLOW_EMPTY_SENDER_DOMAINS" => draft.pass_over(LISTENS, name),
            "ANONYMIZE_EMAILS" | "LOG_FORMAT" | "FORCE_COLOR" => draft.pass_over(LOGS, name),
            _ => draft.pass_over(RUNS, name),
        }
    }

    fn conclude(self, text: &Text, files: &Files, draft: &mut Draft) -> Result<(), String> {
        if let (Some((sasl, at)), Some(relay)) = (&self.sasl_relay, &self.relay)
            && sasl != relay
        {
            draft.look(
                at,
                "SASL_RELAYHOST is not RELAYHOST, so Postfix has not logged in; the login is carried over all the same",
            );
        }
        if self.oauth.refresh_token.is_some() {
            self.oauth.carry(draft);
            if let Some((username, at)) = &self.username {
                draft.username(username, at);
            }
            return Ok(());
        }
        match (&self.username, &self.password, &self.password_file) {
            (_, Some((_, at)), Some(_)) => {
                draft.look(at, "RELAYHOST_PASSWORD stands beside RELAYHOST_PASSWORD_FILE; the first is taken");
            }
            (None, Some((_, at)), _) => draft.look(at, "a password without RELAYHOST_USERNAME: there is no login"),
            _ => {}
        }
        match (self.username, self.password, self.password_file) {
            (Some((username, _)), Some((password, at)), _) => draft.login(&username, &password, &at),
            (Some((username, name_at)), None, Some((path, at))) => match files.named_by(text, &path) {
                Ok(file) => {
                    let password = file.content().trim_end_matches(['\r', '\n']);
                    draft.login(&username, password, &file.at(1));
                }
                Err(why) => {
                    draft.username(&username, &name_at);
                    draft.look(
                        &at,
                        format!("RELAYHOST_PASSWORD_FILE: {why}; name it in SIDEPOST_PASSWORD_FILE (or _API_KEY_FILE)"),
                    );
                }
            },
            (Some((username, at)), None, None) => draft.username(&username, &at),
            (None, ..) => {}
        }
        Ok(())
    }
}

impl Oauth {
    fn carry(&self, draft: &mut Draft) {
        if let Some((id, at)) = &self.client_id {
            draft.set("OAUTH_CLIENT_ID", id.as_str(), at);
        }
        if let Some((secret, at)) = &self.client_secret {
            draft.hide("OAUTH_CLIENT_SECRET", secret, at);
        }
        if let Some((token, at)) = &self.refresh_token {
            draft.hide("OAUTH_REFRESH_TOKEN", token, at);
        }
    }
}

#[cfg(test)]
mod tests;
