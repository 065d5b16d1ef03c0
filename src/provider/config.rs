//! From settings to a provider: the preset, what the environment says over it, and what is missing.

use std::sync::Arc;

use super::preset::{self, Login, PRESETS, Preset};
use super::{Credentials, Mechanism, Path, Proof, Provider, Server, Tls};
use crate::config::env::{Env, nearest};
use crate::config::secret::Secret;
use crate::config::value::Value;
use crate::net::name::{is_label, is_name};
use crate::oauth;
use crate::outcome::Cause;
use crate::settings;

/// The provider that keeps everything to itself.
const CAPTURE: &str = "capture";
/// There is none to refuse.
const NO_LOGIN: Cause = Cause { name: "login_refused", why: "", remedy: "" };
/// Ports that are TLS from the first byte by custom or by RFC 8314.
pub const IMPLICIT_PORTS: [u16; 3] = [465, 2465, 8465];

const GOOGLE_TOKEN_REFUSED: Cause = token_refused_cause(
    "The token must be for exactly the mailbox in SIDEPOST_USERNAME and have the scope https://mail.google.com/ \
     (gmail.send is not enough for SMTP): run `sidepost oauth login google` again as that mailbox, or see that the service \
     account is delegated this scope.",
);
const MICROSOFT_TOKEN_REFUSED: Cause = token_refused_cause(
    "SMTP AUTH must be enabled for this mailbox and its tenant (Microsoft 365 admin center > user > Mail > Manage email \
     apps > Authenticated SMTP), SIDEPOST_USERNAME is the user principal name, and the token needs SMTP.Send for \
     outlook.office.com. For an application that acts for itself: the application permission SMTP.SendAsApp with admin \
     consent, New-ServicePrincipal with the object id of the Enterprise application (not of the app registration), and \
     Add-MailboxPermission for the mailbox.",
);
const TOKEN_REFUSED: Cause =
    token_refused_cause("Check that SIDEPOST_USERNAME is the mailbox that the token is for, and SIDEPOST_OAUTH_SCOPE.");

const fn token_refused_cause(remedy: &'static str) -> Cause {
    Cause { name: "token_refused", why: "", remedy }
}

settings! {
    /// Which provider, and how to get in.
    pub struct Config {
        /// Where mail leaves: `capture` (nothing leaves, mail is kept in memory and shown), `smtp` for any host, or a provider's name.
        provider: String = "capture",
        /// The submission server's name; a preset knows its own.
        host: Option<String> = "",
        /// Its port; `auto` takes the preset's ports in turn.
        port: Port = "auto",
        /// `starttls` (required, never optional), `implicit`, or `none`, which sends everything readable; by default what fits the port.
        tls: Option<Tls> = "",
        /// The login name.
        username: Option<String> = "",
        /// The password: an app password or SMTP token where the provider has such.
        password: Option<Secret> = "",
        /// The API key, for providers that take it as the password.
        api_key: Option<Secret> = "",
        /// The login mechanism: `auto`, `plain`, `login`, `xoauth2`, `oauthbearer`, or `none` for no login at all.
        auth: Mechanism = "auto",
        /// The region, for providers that have one name per region (`ses`).
        region: Option<String> = "",
    }
}

/// A port, or the preset's ports in turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// The preset's ports.
    Auto,
    /// This one.
    One(u16),
}

impl Value for Port {
    const EXPECTS: &'static str = "`auto` or a port from 1 to 65535";

    fn parse(text: &str) -> Option<Self> {
        if text.eq_ignore_ascii_case("auto") {
            return Some(Self::Auto);
        }
        text.parse().ok().filter(|&port| port > 0).map(Self::One)
    }
}

/// Lays what the preset knows under the environment, so that `sidepost config` shows what is in force.
pub fn lay_preset(env: &mut Env, provider: &str) {
    let Some(preset) = preset::find(provider) else { return };
    if !preset.host.is_empty() {
        env.preset("host", preset.host.to_owned());
    }
    env.preset("connections", preset.connections.to_string());
    env.preset("connection_messages", preset.connection_messages.to_string());
    if let Login::Literal(name) | Login::Any(name) = preset.login {
        env.preset("username", name.to_owned());
    }
    oauth::config::lay_preset(env, preset.oauth());
}

/// The provider that the settings describe; what is missing or cannot be is noted in `env`.
pub fn build(config: &Config, oauth: &oauth::config::Config, env: &mut Env) -> Provider {
    let word = config.provider.to_ascii_lowercase();
    if word == CAPTURE {
        return provider(CAPTURE, vec![Path::Capture], None, &NO_LOGIN);
    }
    let Some(preset) = preset::find(&word) else {
        unknown(&word, env);
        return provider(CAPTURE, vec![Path::Capture], None, &NO_LOGIN);
    };
    let host = host(config, preset, env);
    let paths = paths(config, preset, &host);
    let credentials = credentials(config, oauth, preset, env);
    let refused = credentials.as_ref().and_then(token_refused).unwrap_or(&preset.login_refused);
    provider(preset.name, paths, credentials, refused)
}

fn provider(name: &str, paths: Vec<Path>, credentials: Option<Credentials>, login_refused: &'static Cause) -> Provider {
    Provider { name: name.into(), paths, credentials, login_refused }
}

fn unknown(word: &str, env: &mut Env) {
    let names = || PRESETS.iter().map(|preset| preset.name).chain([CAPTURE]);
    let hint = nearest(word, names().map(str::to_owned)).map_or(String::new(), |near| format!(" Did you mean {near}?"));
    let all = names().collect::<Vec<_>>().join(", ");
    env.problem("PROVIDER", format!("no such provider.{hint} There are: {all}"));
}

fn host(config: &Config, preset: &Preset, env: &mut Env) -> Arc<str> {
    let host = config.host.as_deref().unwrap_or_default();
    if host.is_empty() {
        env.problem("HOST", format!("needed with SIDEPOST_PROVIDER={}: the submission server's name", preset.name));
    }
    if host.contains("{region}") {
        let Some(region) = config.region.as_deref().filter(|region| is_label(region)) else {
            let needed = format!("needed with SIDEPOST_PROVIDER={}, such as `eu-central-1`", preset.name);
            env.problem("REGION", needed);
            return host.into();
        };
        return host.replace("{region}", region).into();
    }
    let is_address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok();
    if !host.is_empty() && !is_address && !is_name(host) {
        env.problem("HOST", "expected a host name alone, without scheme, port or spaces".to_owned());
    }
    host.into()
}

fn paths(config: &Config, preset: &Preset, host: &Arc<str>) -> Vec<Path> {
    let known = |port: u16| preset.ports.iter().find(|(known, _)| *known == port).map(|(_, tls)| *tls);
    let path = |port: u16| {
        let custom = if IMPLICIT_PORTS.contains(&port) { Tls::Implicit } else { Tls::StartTls };
        let tls = config.tls.or_else(|| known(port)).unwrap_or(custom);
        Path::Smtp(Server { host: Arc::clone(host), port, tls })
    };
    match config.port {
        Port::One(port) => vec![path(port)],
        Port::Auto => {
            let fits = |tls: Tls| config.tls.is_none_or(|wanted| wanted == tls || wanted == Tls::None);
            let ports: Vec<_> =
                preset.ports.iter().filter(|(_, tls)| fits(*tls)).map(|(port, _)| path(*port)).collect();
            if ports.is_empty() { preset.ports.iter().map(|(port, _)| path(*port)).collect() } else { ports }
        }
    }
}

/// What to do when a token is refused at the login.
fn token_refused(credentials: &Credentials) -> Option<&'static Cause> {
    match &credentials.proof {
        Proof::Password(_) => None,
        Proof::Token(grant) => Some(match grant.vendor {
            oauth::Vendor::Google => &GOOGLE_TOKEN_REFUSED,
            oauth::Vendor::Microsoft => &MICROSOFT_TOKEN_REFUSED,
            oauth::Vendor::Other => &TOKEN_REFUSED,
        }),
    }
}

fn credentials(config: &Config, oauth: &oauth::config::Config, preset: &Preset, env: &mut Env) -> Option<Credentials> {
    let by_token = oauth::config::is_wanted(env);
    match (by_token, config.auth) {
        (_, Mechanism::None) => return None,
        (true, Mechanism::Plain | Mechanism::Login) => {
            let sentence = "carries a password, and SIDEPOST_OAUTH_* are set: use `auto`, `xoauth2` or `oauthbearer`";
            env.problem("AUTH", sentence.to_owned());
        }
        (false, Mechanism::Xoauth2 | Mechanism::OauthBearer) => {
            env.problem("AUTH", format!("wants a token: {}", oauth::config::WHAT_IS_NEEDED));
        }
        (true, Mechanism::Auto | Mechanism::Xoauth2 | Mechanism::OauthBearer)
        | (false, Mechanism::Auto | Mechanism::Plain | Mechanism::Login) => {}
    }
    let grant = oauth::config::build(oauth, preset.oauth(), config.username.as_deref(), env);
    // A provider without tokens still says what it wants in their place.
    if by_token && preset.oauth() != oauth::config::Family::No {
        by_tokens(config, grant, preset, env)
    } else {
        by_password(config, preset, env)
    }
}

fn by_tokens(config: &Config, grant: Option<oauth::Grant>, preset: &Preset, env: &mut Env) -> Option<Credentials> {
    for (name, given) in [("PASSWORD", config.password.is_some()), ("API_KEY", config.api_key.is_some())] {
        if given {
            env.problem(name, "given beside SIDEPOST_OAUTH_*; only one of them can be meant".to_owned());
        }
    }
    let Some(username) = config.username.clone() else {
        let sentence = format!("needed with SIDEPOST_PROVIDER={}: the mailbox that the tokens are for", preset.name);
        env.problem("USERNAME", sentence);
        return None;
    };
    if username.chars().any(char::is_control) {
        env.problem("USERNAME", "contains a control character, which no login can carry".to_owned());
    }
    Some(Credentials { username, proof: Proof::Token(Arc::new(grant?)), mechanism: config.auth })
}

fn by_password(config: &Config, preset: &Preset, env: &mut Env) -> Option<Credentials> {
    let wants_key = matches!(preset.login, Login::Literal(_) | Login::Any(_) | Login::KeyTwice);
    let secret = secret(config, wants_key, preset, env);
    let username = match (&config.username, preset.login) {
        (Some(given), Login::Literal(name)) if given != name => {
            let wanted = format!("{} always wants the name {name}; leave this variable unset", preset.name);
            env.problem("USERNAME", wanted);
            None
        }
        (Some(given), _) => Some(given.clone()),
        (None, Login::KeyTwice) => secret.as_ref().map(|key| String::from_utf8_lossy(key.expose()).into_owned()),
        (None, Login::Given) => {
            env.problem("USERNAME", format!("needed with SIDEPOST_PROVIDER={}", preset.name));
            None
        }
        (None, _) => None,
    };
    match (username, secret) {
        (Some(username), Some(secret)) => {
            Some(Credentials { username, proof: Proof::Password(secret), mechanism: config.auth })
        }
        (Some(_), None) if preset.login == Login::Optional => {
            env.problem("PASSWORD", "needed together with SIDEPOST_USERNAME".to_owned());
            None
        }
        (None, Some(_)) if preset.login == Login::Optional => {
            env.problem("USERNAME", "needed together with SIDEPOST_PASSWORD".to_owned());
            None
        }
        _ => None,
    }
}

fn secret(config: &Config, wants_key: bool, preset: &Preset, env: &mut Env) -> Option<Secret> {
    let secret = match (&config.api_key, &config.password) {
        (Some(_), Some(_)) => {
            env.problem("API_KEY", "given beside SIDEPOST_PASSWORD; only one of them can be meant".to_owned());
            None
        }
        (Some(secret), None) | (None, Some(secret)) => Some(secret.clone()),
        (None, None) => {
            if preset.login != Login::Optional {
                let name = if wants_key { "API_KEY" } else { "PASSWORD" };
                env.problem(name, format!("needed with SIDEPOST_PROVIDER={} (or the same with _FILE)", preset.name));
            }
            None
        }
    };
    secret.filter(|secret| check_secret(secret, if config.api_key.is_some() { "API_KEY" } else { "PASSWORD" }, env))
}

/// A NUL ends the password in SASL PLAIN, so one inside can never have worked.
fn check_secret(secret: &Secret, name: &str, env: &mut Env) -> bool {
    let whole = !secret.expose().contains(&0);
    if !whole {
        env.problem(name, "contains a NUL byte, which no login can carry".to_owned());
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::env::Settings;

    fn built(pairs: &[(&str, &str)]) -> Result<Provider, Vec<String>> {
        let known =
            [Config::SETTINGS, oauth::config::Config::SETTINGS, crate::transport::smtp::Config::SETTINGS].concat();
        let pairs = pairs.iter().map(|(name, value)| (format!("SIDEPOST_{name}").into(), value.into()));
        let mut env = Env::collect(pairs, known);
        let word = env.peek("provider");
        lay_preset(&mut env, &word);
        let (config, oauth) = (env.read::<Config>(), env.read());
        let provider = build(&config, &oauth, &mut env);
        let problems: Vec<_> = env.into_problems().iter().map(ToString::to_string).collect();
        if problems.is_empty() { Ok(provider) } else { Err(problems) }
    }

    fn paths(pairs: &[(&str, &str)]) -> Vec<String> {
        built(pairs).unwrap().paths.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn nothing_set_is_capture() {
        assert_eq!(paths(&[]), ["capture"]);
    }

    #[test]
    fn presets_know_their_names_and_keys() {
        let sendgrid = built(&[("PROVIDER", "SendGrid"), ("API_KEY", "SG.x")]).unwrap();
        assert_eq!(sendgrid.credentials.unwrap().username, "apikey");
        let postmark = built(&[("PROVIDER", "postmark"), ("API_KEY", "token")]).unwrap();
        let credentials = postmark.credentials.unwrap();
        let Proof::Password(secret) = credentials.proof else { panic!("a password") };
        assert_eq!((credentials.username.as_str(), secret.expose()), ("token", &b"token"[..]));
        let ses = built(&[("PROVIDER", "ses"), ("REGION", "eu-west-1"), ("USERNAME", "a"), ("PASSWORD", "b")]).unwrap();
        let Path::Smtp(server) = &ses.paths[0] else { panic!("an SMTP path") };
        assert_eq!(&*server.host, "email-smtp.eu-west-1.amazonaws.com");
    }

    #[test]
    fn what_is_missing_is_named_all_at_once() {
        let problems = |pairs| built(pairs).unwrap_err();
        assert!(problems(&[("PROVIDER", "sendgird")])[0].contains("Did you mean sendgrid?"));
        assert!(problems(&[("PROVIDER", "sendgrid")])[0].starts_with("SIDEPOST_API_KEY: needed"));
        assert!(problems(&[("PROVIDER", "smtp")])[0].starts_with("SIDEPOST_HOST: needed"));
        let ses = problems(&[("PROVIDER", "ses")]);
        assert_eq!(ses.len(), 3, "{ses:?}");
        assert!(
            problems(&[("PROVIDER", "smtp"), ("HOST", "smtp://x:25"), ("TLS", "none")])[0].contains("host name alone")
        );
        let both = [("PROVIDER", "smtp"), ("HOST", "h"), ("USERNAME", "u"), ("PASSWORD", "p"), ("API_KEY", "k")];
        assert!(problems(&both)[0].starts_with("SIDEPOST_API_KEY: given beside"));
        assert!(
            problems(&[("PROVIDER", "smtp"), ("HOST", "h"), ("USERNAME", "u")])[0].starts_with("SIDEPOST_PASSWORD")
        );
        let literal = [("PROVIDER", "sendgrid"), ("API_KEY", "k"), ("USERNAME", "joe")];
        assert!(problems(&literal)[0].contains("always wants the name apikey"));
    }

    #[test]
    fn ports_and_tls_fit_each_other() {
        let smtp = |more: &[(&'static str, &'static str)]| {
            let base = [("PROVIDER", "smtp"), ("HOST", "mail.example")];
            paths(&[&base[..], more].concat())
        };
        assert_eq!(smtp(&[]), ["smtp:587 starttls", "smtp:465 implicit"]);
        assert_eq!(smtp(&[("PORT", "465")]), ["smtp:465 implicit"]);
        assert_eq!(smtp(&[("PORT", "2465")]), ["smtp:2465 implicit"]);
        assert_eq!(smtp(&[("PORT", "25")]), ["smtp:25 starttls"]);
        assert_eq!(smtp(&[("PORT", "1025"), ("TLS", "none")]), ["smtp:1025 none"]);
        assert_eq!(smtp(&[("TLS", "implicit")]), ["smtp:465 implicit"]);
    }

    fn grant(pairs: &[(&str, &str)]) -> oauth::Grant {
        match built(pairs).unwrap().credentials.unwrap().proof {
            Proof::Token(grant) => oauth::Grant::clone(&grant),
            Proof::Password(_) => panic!("a password"),
        }
    }

    const GMAIL: [(&str, &str); 5] = [
        ("PROVIDER", "gmail"),
        ("USERNAME", "joe@example.com"),
        ("OAUTH_CLIENT_ID", "id"),
        ("OAUTH_CLIENT_SECRET", "secret"),
        ("OAUTH_REFRESH_TOKEN", "1//token"),
    ];

    #[test]
    fn what_is_set_says_which_grant_is_meant() {
        use oauth::grant::How;
        let google = grant(&GMAIL);
        assert_eq!(google.token_url.to_string(), oauth::config::GOOGLE_TOKEN_URL);
        assert!(matches!(google.how, How::Refresh(refresh) if refresh.scope.is_none()));
        let microsoft = [("PROVIDER", "microsoft365"), ("USERNAME", "joe@example.com"), ("OAUTH_CLIENT_ID", "id")];
        let refresh = grant(&[&microsoft[..], &[("OAUTH_REFRESH_TOKEN", "t")]].concat());
        assert_eq!(refresh.token_url.to_string(), "https://login.microsoftonline.com/common/oauth2/v2.0/token");
        let How::Refresh(inner) = refresh.how else { panic!("a refresh token") };
        assert_eq!(inner.scope.as_deref(), Some(oauth::config::MICROSOFT_SCOPE));
        let own = grant(&[&microsoft[..], &[("OAUTH_CLIENT_SECRET", "s"), ("OAUTH_TENANT", "contoso.com")]].concat());
        assert_eq!(own.token_url.to_string(), "https://login.microsoftonline.com/contoso.com/oauth2/v2.0/token");
        let How::ClientCredentials(client) = own.how else { panic!("client credentials") };
        assert_eq!(client.scope.as_deref(), Some("https://outlook.office365.com/.default"));
        let generic =
            [("PROVIDER", "smtp"), ("HOST", "smtp.gmail.com"), ("OAUTH_TOKEN_URL", "https://oauth2.googleapis.com/t")];
        assert_eq!(grant(&[&generic[..], &GMAIL[1..]].concat()).vendor, oauth::Vendor::Google);
    }

    #[test]
    fn mistakes_with_tokens_are_told_all_at_once() {
        let check = |pairs: &[(&str, &str)], wanted: &[&str]| {
            let problems = built(pairs).unwrap_err();
            assert_eq!(problems.len(), wanted.len(), "{problems:#?}");
            for (problem, wanted) in problems.iter().zip(wanted) {
                assert!(problem.starts_with(&format!("SIDEPOST_{wanted}")), "{wanted} is not {problem}");
            }
            assert!(!problems.concat().contains("hunter2"), "{problems:?}");
        };
        let with = |more: &[(&'static str, &'static str)]| [&GMAIL[..], more].concat();
        check(&with(&[("PASSWORD", "hunter2")]), &["PASSWORD: given beside SIDEPOST_OAUTH_*"]);
        check(&with(&[("AUTH", "plain")]), &["AUTH: carries a password"]);
        check(&with(&[("OAUTH_TOKEN_URL", "http://example.com/")]), &["OAUTH_TOKEN_URL: expected an https:// address"]);
        check(
            &with(&[("OAUTH_SERVICE_ACCOUNT", "hunter2")]),
            &[
                "OAUTH_CLIENT_ID: given beside",
                "OAUTH_CLIENT_SECRET: given beside",
                "OAUTH_REFRESH_TOKEN: given beside",
                "OAUTH_SERVICE_ACCOUNT: not the JSON key file",
            ],
        );
        check(
            &[("PROVIDER", "gmail"), ("OAUTH_REFRESH_TOKEN", "hunter2 ")],
            &[
                "OAUTH_CLIENT_ID: needed",
                "OAUTH_CLIENT_SECRET: needed",
                "OAUTH_REFRESH_TOKEN: has a space",
                "USERNAME: needed",
            ],
        );
        check(
            &[("PROVIDER", "gmail"), ("USERNAME", "j"), ("OAUTH_CLIENT_ID", "i"), ("OAUTH_CLIENT_SECRET", "s")],
            &["OAUTH_REFRESH_TOKEN: needed (or SIDEPOST_OAUTH_SERVICE_ACCOUNT)"],
        );
        let microsoft = [("PROVIDER", "microsoft365"), ("USERNAME", "j"), ("OAUTH_CLIENT_ID", "i")];
        check(&microsoft, &["OAUTH_REFRESH_TOKEN: needed, or something else", "OAUTH_TENANT: needed"]);
        let tenant = [("OAUTH_CLIENT_SECRET", "s"), ("OAUTH_TENANT", "common")];
        check(&[&microsoft[..], &tenant].concat(), &["OAUTH_TENANT: needed without a refresh token"]);
        let certificate =
            [("OAUTH_CLIENT_CERTIFICATE", "hunter2"), ("OAUTH_TENANT", "t"), ("OAUTH_CLIENT_SECRET", "s")];
        check(
            &[&microsoft[..], &certificate].concat(),
            &["OAUTH_CLIENT_CERTIFICATE: no certificate in it", "OAUTH_CLIENT_SECRET: given beside"],
        );
        check(
            &[&microsoft[..], &[("OAUTH_CLIENT_KEY", "hunter2"), ("OAUTH_TENANT", "t")]].concat(),
            &["OAUTH_CLIENT_CERTIFICATE: needed with"],
        );
        check(
            &[&microsoft[..], &[("OAUTH_REFRESH_TOKEN", "t"), ("OAUTH_TENANT", "a/b")]].concat(),
            &["OAUTH_TENANT: expected"],
        );
        check(
            &[("PROVIDER", "outlook"), ("USERNAME", "j"), ("OAUTH_CLIENT_ID", "i")],
            &["OAUTH_REFRESH_TOKEN: needed"],
        );
        check(
            &[("PROVIDER", "sendgrid"), ("API_KEY", "k"), ("OAUTH_CLIENT_ID", "i")],
            &["OAUTH_CLIENT_ID: this provider takes no"],
        );
        check(&[("PROVIDER", "smtp"), ("HOST", "h"), ("AUTH", "xoauth2")], &["AUTH: wants a token"]);
        check(&[("PROVIDER", "smtp"), ("HOST", "h"), ("OAUTH_SCOPE", "x")], &["OAUTH_SCOPE: of no use alone"]);
        let generic = [
            ("PROVIDER", "smtp"),
            ("HOST", "h"),
            ("USERNAME", "j"),
            ("OAUTH_CLIENT_ID", "i"),
            ("OAUTH_REFRESH_TOKEN", "t"),
        ];
        check(&generic, &["OAUTH_TOKEN_URL: needed"]);
    }
}
