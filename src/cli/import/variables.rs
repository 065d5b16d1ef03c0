//! From what a reader found to variables: the provider by its host, the login as it wants it, and whether all of that
//! can work.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

use super::draft::{Draft, Given, Protection};
use super::source::Place;
use crate::config::env::PREFIX;
use crate::config::secret::Secret;
use crate::config::{Config, advice, settings};
use crate::provider::Tls;
use crate::provider::config::IMPLICIT_PORTS;
use crate::provider::preset::{Login, PRESETS, Preset, find};

/// Older or further names of hosts that a preset stands for.
const OTHER_NAMES: [(&str, &str); 6] = [
    ("smtp.googlemail.com", "gmail"),
    ("smtp.live.com", "outlook"),
    ("smtp-mail.outlook.com", "outlook"),
    ("smtp.outlook.office365.com", "microsoft365"),
    ("outlook.office365.com", "microsoft365"),
    ("smtp.mandrillapp.com", "mandrill"),
];

/// One variable for Sidepost.
#[derive(Clone, Debug)]
pub struct Variable {
    /// The setting's name, without prefix.
    pub name: &'static str,
    /// Its value.
    pub value: Value,
    /// Where it comes from.
    pub at: Place,
}

/// A value, by whether it may be seen.
#[derive(Clone, Debug)]
pub enum Value {
    /// As it is.
    Open(String),
    /// Goes to a file, or nowhere.
    Secret(Secret),
}

/// The variables, and what is wrong with them.
#[derive(Debug)]
pub struct Outcome {
    /// In the order of the documentation.
    pub variables: Vec<Variable>,
    /// Why they cannot work yet, by variable.
    pub missing: Vec<String>,
    /// What `sidepost config` would ask about.
    pub advice: Vec<String>,
}

/// The variables that say what the draft says.
pub fn variables(draft: &mut Draft) -> Outcome {
    let mut variables = provider(draft);
    let further = std::mem::take(&mut draft.settings).into_iter();
    variables.extend(further.map(|(name, given)| open(name, given.value, &given.at)));
    let secrets = std::mem::take(&mut draft.secrets).into_iter();
    variables.extend(secrets.map(|(name, given)| hidden(name, given)));
    let mut variables = in_order(variables);
    leave_out_what_cannot_be(draft, &mut variables);
    judge(variables)
}

/// As the documentation has them.
fn in_order(mut variables: Vec<Variable>) -> Vec<Variable> {
    let mut ordered = Vec::with_capacity(variables.len());
    for setting in settings() {
        if let Some(at) = variables.iter().position(|variable| setting.name() == variable.name) {
            ordered.push(variables.swap_remove(at));
        }
    }
    ordered
}

fn open(name: &'static str, value: impl Into<String>, at: &Place) -> Variable {
    Variable { name, value: Value::Open(value.into()), at: at.clone() }
}

fn hidden(name: &'static str, given: Given<Secret>) -> Variable {
    Variable { name, value: Value::Secret(given.value), at: given.at }
}

/// Where mail leaves, and the login.
fn provider(draft: &mut Draft) -> Vec<Variable> {
    let Some(Given { value: host, at }) = draft.host.take() else { return Vec::new() };
    let known = recognise(&host);
    let wanted = known.as_ref().map_or(Login::Optional, |(preset, _)| preset.login);
    let mut variables = Vec::new();
    match known {
        Some((preset, region)) => {
            variables.push(open("PROVIDER", preset.name, &at));
            variables.extend(region.map(|region| open("REGION", region, &at)));
            variables.extend(port_beside(draft, preset));
        }
        None => {
            variables.push(open("PROVIDER", "smtp", &at));
            variables.push(open("HOST", host, &at));
            variables.extend(port_of_its_own(draft));
        }
    }
    say_what_tls_changes(draft);
    variables.extend(login(draft, wanted));
    variables
}

/// The preset of a host, and the region that is part of its name.
fn recognise(host: &str) -> Option<(&'static Preset, Option<String>)> {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    if let Some((_, name)) = OTHER_NAMES.iter().find(|(other, _)| *other == host) {
        return find(name).map(|preset| (preset, None));
    }
    PRESETS.iter().filter(|preset| !preset.host.is_empty()).find_map(|preset| {
        match preset.host.split_once("{region}") {
            None => (preset.host == host).then_some((preset, None)),
            Some((start, end)) => {
                let region = host.strip_prefix(start)?.strip_suffix(end)?;
                (!region.is_empty() && !region.contains('.')).then(|| (preset, Some(region.to_owned())))
            }
        }
    })
}

/// The preset's own ports are tried in turn; only another one has to be said.
fn port_beside(draft: &mut Draft, preset: &Preset) -> Option<Variable> {
    let Given { value: port, at } = draft.port.take()?;
    let own: Vec<_> = preset.ports.iter().map(|(port, _)| port.to_string()).collect();
    if port == 25 {
        let sentence = format!(
            "port 25, which clouds block for mail that leaves, is left out: {} takes mail on {}, tried in turn",
            preset.name,
            own.join(", ")
        );
        draft.look(&at, sentence);
        return None;
    }
    let Some((_, known)) = preset.ports.iter().find(|(known, _)| *known == port) else {
        return Some(open("PORT", port.to_string(), &at));
    };
    let wrong = match draft.protection.as_ref().map(|given| given.value) {
        Some(Protection::Implicit) => *known == Tls::StartTls,
        Some(_) => *known == Tls::Implicit,
        None => false,
    };
    if wrong {
        draft.look(&at, tls_of_port(port));
    }
    None
}

/// Where nobody knows the host, its port and what protects it are said.
fn port_of_its_own(draft: &mut Draft) -> Vec<Variable> {
    let Some(Given { value: port, at }) = draft.port.take() else { return Vec::new() };
    let mut variables = vec![open("PORT", port.to_string(), &at)];
    match draft.protection.as_ref().map(|given| given.value) {
        Some(Protection::Implicit) if matches!(port, 25 | 587 | 2525 | 2587) => draft.look(&at, tls_of_port(port)),
        Some(Protection::Implicit) if !IMPLICIT_PORTS.contains(&port) => variables.push(open("TLS", "implicit", &at)),
        Some(Protection::StartTls | Protection::Opportunistic | Protection::Plain)
            if IMPLICIT_PORTS.contains(&port) =>
        {
            draft.look(&at, tls_of_port(port));
        }
        _ => {}
    }
    if port == 25 {
        draft.look(&at, "port 25 is for mail between servers, and clouds block it; a provider takes mail on 587 (SIDEPOST_PORT=587)");
    }
    variables
}

fn tls_of_port(port: u16) -> String {
    let by_custom = if IMPLICIT_PORTS.contains(&port) { "from the first byte" } else { "after STARTTLS" };
    format!(
        "TLS begins {by_custom} on port {port}, and what was set here is the other way, which cannot have worked; \
             the variables have the right one"
    )
}

fn say_what_tls_changes(draft: &mut Draft) {
    if let Some(Given { value, at }) = draft.protection.take() {
        let so_far = match value {
            Protection::Implicit | Protection::StartTls => None,
            Protection::Opportunistic => Some("so far mail went in plain text wherever the server offered no TLS"),
            Protection::Plain => Some("so far mail, and a password with it, went in plain text"),
        };
        if let Some(so_far) = so_far {
            let sentence = format!(
                "{so_far}; Sidepost requires TLS and a certificate that fits. For a server without, such as one on this \
                 machine, SIDEPOST_TLS=none has to be asked for"
            );
            draft.look(&at, sentence);
        }
    }
    if let Some(at) = draft.unverified.take() {
        draft.look(
            &at,
            "so far the server's certificate was not checked; Sidepost always does. An authority of your own goes into \
             SIDEPOST_CA_FILE; a certificate for another name cannot be used",
        );
    }
}

/// The login under the names that the provider wants.
fn login(draft: &mut Draft, login: Login) -> Vec<Variable> {
    let Some(secret) = draft.secret.take() else {
        let named = draft.username.take().map(|given| open("USERNAME", given.value, &given.at));
        return named.into_iter().collect();
    };
    let username = draft.username.take();
    let same = username.as_ref().is_some_and(|name| name.value.as_bytes() == secret.value.expose());
    let (keep_name, key) = match login {
        Login::Literal(name) => {
            if let Some(given) = username.as_ref().filter(|given| given.value != name) {
                let sentence = format!("the login name is left out, since it is always `{name}` at this provider");
                draft.look(&given.at, sentence);
            }
            (false, "API_KEY")
        }
        Login::KeyTwice if same => (false, "API_KEY"),
        Login::Any(_) => (true, "API_KEY"),
        Login::KeyTwice | Login::Given | Login::Optional => (true, "PASSWORD"),
    };
    let name = username.filter(|_| keep_name).map(|given| open("USERNAME", given.value, &given.at));
    name.into_iter().chain([hidden(key, secret)]).collect()
}

/// What says where mail leaves; all others can be left out.
const NEEDED: [&str; 8] = ["PROVIDER", "HOST", "PORT", "TLS", "REGION", "USERNAME", "PASSWORD", "API_KEY"];

/// A value that Sidepost would refuse is told, and not passed on.
fn leave_out_what_cannot_be(draft: &mut Draft, variables: &mut Vec<Variable>) {
    for problem in Config::from_variables(environment(variables)).err().unwrap_or_default() {
        let name = problem.variable.trim_start_matches(PREFIX);
        let at = variables.iter().position(|variable| variable.name == name && !NEEDED.contains(&variable.name));
        if let Some(at) = at {
            let variable = variables.remove(at);
            draft.lose(
                &variable.at,
                format!("left out, as {PREFIX}{} it would be wrong: {}", variable.name, problem.sentence),
            );
        }
    }
}

fn judge(variables: Vec<Variable>) -> Outcome {
    let (config, env) = Config::read(environment(&variables));
    let advice = advice::notes(&config, &env).iter().map(ToString::to_string).collect();
    let mut missing: Vec<_> = env.into_problems().iter().map(ToString::to_string).collect();
    if !variables.iter().any(|variable| variable.name == "PROVIDER") {
        missing.push(format!("{PREFIX}PROVIDER: nothing says where mail leaves, and without it none does"));
    }
    Outcome { variables, missing, advice }
}

/// The variables as a process would have them.
pub fn environment(variables: &[Variable]) -> Vec<(OsString, OsString)> {
    let pair = |variable: &Variable| {
        let value = match &variable.value {
            Value::Open(text) => text.clone().into_bytes(),
            Value::Secret(secret) => secret.expose().to_vec(),
        };
        (format!("{PREFIX}{}", variable.name).into(), OsString::from_vec(value))
    };
    variables.iter().map(pair).collect()
}
