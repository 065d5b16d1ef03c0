//! The providers we know by name: one entry each, data only.

use std::collections::HashMap;

use super::Tls;
use super::Tls::{Implicit, StartTls};
use crate::oauth::config::Family;
use crate::outcome::Cause;

/// What is known of a provider.
#[derive(Debug)]
pub struct Preset {
    /// The word for `SIDEPOST_PROVIDER`.
    pub name: &'static str,
    /// Other words for it.
    pub aliases: &'static [&'static str],
    /// The submission server; `{region}` stands for `SIDEPOST_REGION`.
    pub host: &'static str,
    /// Its ports, the best first.
    pub ports: &'static [(u16, Tls)],
    /// How the login name comes about.
    pub login: Login,
    /// Connections at once.
    pub connections: usize,
    /// Messages over one connection.
    pub connection_messages: usize,
    /// What to do when the login is refused.
    pub login_refused: Cause,
}

impl Preset {
    /// Whose tokens it takes.
    #[must_use]
    pub fn oauth(&self) -> Family {
        match self.name {
            "gmail" | "google-workspace-relay" => Family::Google,
            "microsoft365" => Family::Microsoft,
            "outlook" => Family::PersonalMicrosoft,
            "smtp" => Family::Any,
            _ => Family::No,
        }
    }
}

/// How the login name comes about, and what the secret is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Login {
    /// `SIDEPOST_USERNAME` and `SIDEPOST_PASSWORD`, both.
    Given,
    /// Always this name; the secret is an API key.
    Literal(&'static str),
    /// Any name, this one unless another is given; the secret is an API key.
    Any(&'static str),
    /// The API key, twice, unless a name is given.
    KeyTwice,
    /// Nothing is needed.
    Optional,
}

/// The one region's server that is asked for comparison.
const SES_US: &str = "email-smtp.us-east-1.amazonaws.com";

const fn login_refused(remedy: &'static str) -> Cause {
    Cause { name: "login_refused", why: "", remedy }
}

const STARTTLS_587: &[(u16, Tls)] = &[(587, StartTls)];

/// All of them, the most asked for first.
pub const PRESETS: &[Preset] = &[
    Preset {
        name: "gmail",
        aliases: &["googlemail", "google", "google-workspace", "workspace"],
        host: "smtp.gmail.com",
        ports: &[(587, StartTls), (465, Implicit)],
        login: Login::Given,
        // Google answers 454 4.7.0 to many logins, so few connections that live long.
        connections: 4,
        connection_messages: 100,
        login_refused: login_refused(
            "Google wants an app password (16 letters, made at myaccount.google.com/apppasswords once 2-Step \
                     Verification is on), never the account's own password; SIDEPOST_USERNAME is the full address.",
        ),
    },
    Preset {
        name: "google-workspace-relay",
        aliases: &["workspace-relay", "smtp-relay"],
        host: "smtp-relay.gmail.com",
        ports: &[(587, StartTls), (465, Implicit)],
        login: Login::Optional,
        connections: 4,
        connection_messages: 100,
        login_refused: login_refused(
            "Allow this machine's address, or SMTP AUTH, in the Workspace admin console under Gmail > Routing > \
                     SMTP relay service, and set SIDEPOST_HELO_NAME to your domain.",
        ),
    },
    Preset {
        name: "microsoft365",
        aliases: &["office365", "exchange-online", "m365", "outlook365"],
        host: "smtp.office365.com",
        ports: STARTTLS_587,
        login: Login::Given,
        // More than three at once per mailbox are answered with 432 4.3.2.
        connections: 3,
        connection_messages: 100,
        login_refused: login_refused(
            "SMTP AUTH must be enabled for this mailbox (Microsoft 365 admin center > user > Mail > Manage email \
                     apps > Authenticated SMTP), security defaults must not block it, and SIDEPOST_USERNAME is the user \
                     principal name, not an alias.",
        ),
    },
    Preset {
        name: "outlook",
        aliases: &["hotmail", "live", "outlook.com"],
        host: "smtp-mail.outlook.com",
        ports: STARTTLS_587,
        login: Login::Given,
        connections: 3,
        connection_messages: 50,
        login_refused: login_refused(
            "Personal Outlook.com accounts take no passwords from programs any more, only OAuth. Use another \
                     provider, or a Microsoft 365 mailbox.",
        ),
    },
    Preset {
        name: "sendgrid",
        aliases: &["twilio-sendgrid"],
        host: "smtp.sendgrid.net",
        ports: &[(587, StartTls), (465, Implicit), (2525, StartTls)],
        login: Login::Literal("apikey"),
        connections: 10,
        connection_messages: 1000,
        login_refused: login_refused(
            "SIDEPOST_API_KEY must be a SendGrid API key (SG....) with the Mail Send permission that was not \
                     deleted; the account's password does not work.",
        ),
    },
    Preset {
        name: "mandrill",
        aliases: &["mailchimp", "mailchimp-transactional"],
        host: "smtp.mandrillapp.com",
        ports: &[(587, StartTls), (465, Implicit), (2525, StartTls)],
        login: Login::Any("sidepost"),
        connections: 10,
        connection_messages: 100,
        login_refused: login_refused(
            "SIDEPOST_API_KEY must be an active Mailchimp Transactional (Mandrill) API key, not a Mailchimp \
                     marketing key.",
        ),
    },
    Preset {
        name: "mailgun",
        aliases: &["mailgun-us"],
        host: "smtp.mailgun.org",
        ports: &[(587, StartTls), (465, Implicit), (2525, StartTls)],
        login: Login::Given,
        connections: 10,
        connection_messages: 100,
        login_refused: login_refused(
            "Mailgun wants the SMTP user of the domain (such as postmaster@your-domain) with its own SMTP password, \
                     not the API key; domains in the EU region need SIDEPOST_PROVIDER=mailgun-eu.",
        ),
    },
    Preset {
        name: "mailgun-eu",
        aliases: &[],
        host: "smtp.eu.mailgun.org",
        ports: &[(587, StartTls), (465, Implicit), (2525, StartTls)],
        login: Login::Given,
        connections: 10,
        connection_messages: 100,
        login_refused: login_refused(
            "Mailgun wants the SMTP user of the domain (such as postmaster@your-domain) with its own SMTP password, \
                     not the API key; domains in the US region need SIDEPOST_PROVIDER=mailgun.",
        ),
    },
    Preset {
        name: "postmark",
        aliases: &["postmarkapp"],
        host: "smtp.postmarkapp.com",
        ports: &[(587, StartTls), (2525, StartTls)],
        login: Login::KeyTwice,
        connections: 10,
        connection_messages: 100,
        login_refused: login_refused(
            "SIDEPOST_API_KEY must be the token of a Postmark server (not of the account), or give an SMTP token \
                     as SIDEPOST_USERNAME (access key) and SIDEPOST_PASSWORD (secret key).",
        ),
    },
    Preset {
        name: "resend",
        aliases: &[],
        host: "smtp.resend.com",
        ports: &[(587, StartTls), (465, Implicit), (2587, StartTls), (2465, Implicit)],
        login: Login::Literal("resend"),
        connections: 10,
        connection_messages: 100,
        login_refused: login_refused("SIDEPOST_API_KEY must be a Resend API key (re_...) that was not revoked."),
    },
    Preset {
        name: "ses",
        aliases: &["aws-ses", "amazon-ses", "aws"],
        host: "email-smtp.{region}.amazonaws.com",
        ports: &[(587, StartTls), (465, Implicit), (2587, StartTls), (2465, Implicit)],
        login: Login::Given,
        connections: 10,
        // Behind a load balancer that drops long connections.
        connection_messages: 50,
        login_refused: login_refused(
            "SES wants SMTP credentials, made in the SES console for exactly this region; an IAM access key and its \
                     secret do not work as they are.",
        ),
    },
    Preset {
        name: "proton",
        aliases: &["protonmail"],
        host: "smtp.protonmail.ch",
        ports: STARTTLS_587,
        login: Login::Given,
        connections: 3,
        connection_messages: 50,
        login_refused: login_refused(
            "Proton wants an SMTP token (Settings > IMAP/SMTP > SMTP tokens; business plans with a custom domain), \
                     and SIDEPOST_USERNAME is the address that the token was made for.",
        ),
    },
    Preset {
        name: "smtp",
        aliases: &["custom"],
        host: "",
        ports: &[(587, StartTls), (465, Implicit)],
        login: Login::Optional,
        connections: 10,
        connection_messages: 100,
        login_refused: login_refused(
            "Check SIDEPOST_USERNAME and SIDEPOST_PASSWORD with the provider: some want an app password or an API \
                     key in place of the account's password.",
        ),
    },
];

/// The preset of that name or alias.
#[must_use]
pub fn find(word: &str) -> Option<&'static Preset> {
    let word = word.to_ascii_lowercase();
    PRESETS.iter().find(|preset| preset.name == word || preset.aliases.contains(&word.as_str()))
}

/// Which hosts are known to listen on which ports.
#[must_use]
pub fn listening() -> HashMap<&'static str, Vec<u16>> {
    let region = |host: &'static str| if host.contains("{region}") { SES_US } else { host };
    let ports = |preset: &Preset| preset.ports.iter().map(|(port, _)| *port).collect();
    PRESETS.iter().map(|preset| (region(preset.host), ports(preset))).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_word_means_one_preset() {
        let words = PRESETS.iter().flat_map(|preset| std::iter::once(&preset.name).chain(preset.aliases));
        let mut seen = HashSet::new();
        for word in words {
            assert!(seen.insert(word), "{word} twice");
            assert!(find(word).is_some());
            assert_eq!(*word, word.to_lowercase());
        }
        assert_eq!(find("SendGrid").unwrap().name, "sendgrid");
        assert!(find("gmial").is_none());
    }

    #[test]
    fn every_preset_is_whole() {
        for preset in PRESETS {
            assert!(!preset.ports.is_empty() && preset.connections > 0 && preset.connection_messages > 0);
            assert!(preset.ports.iter().all(|(_, tls)| *tls != Tls::None), "{}: never plain by preset", preset.name);
            assert!(preset.login_refused.remedy.ends_with('.'), "{}: a sentence", preset.name);
            assert!(preset.host.is_empty() == (preset.name == "smtp"));
        }
    }
}
