//! Exim as Debian sets it up: `update-exim4.conf.conf` says where to, `passwd.client` as whom
//! (`update-exim4.conf(8)`, `exim4_passwd_client(5)`).

use super::destination::Destination;
use super::draft::{Draft, Protection, shown};
use super::source::{Place, Text};

const LISTENS: &str =
    "how mail is taken in: Sidepost has listeners of its own (SIDEPOST_SMTP_LISTEN, SIDEPOST_ALLOWED_CLIENTS)";
const DELIVERS_HERE: &str = "delivery into mailboxes of this machine: Sidepost has none";
const RUNS: &str = "how the program itself runs";

/// Names, values and where they stand.
type Settings<'a> = Vec<(&'a str, (&'a str, Place))>;

/// A line of `passwd.client`.
struct Login<'a> {
    host: &'a str,
    username: &'a str,
    password: &'a str,
    at: Place,
}

/// Reads the configuration.
///
/// # Errors
/// What cannot be understood at all, by file and line.
pub fn read(texts: &[Text], draft: &mut Draft) -> Result<(), String> {
    let (passwords, settings): (Vec<_>, Vec<_>) = texts.iter().partition(|text| text.name().starts_with("passwd"));
    let mut logins = Vec::new();
    for text in passwords {
        read_logins(text, &mut logins, draft);
    }
    let settings: Settings<'_> = settings.iter().flat_map(|text| assignments(text)).collect();
    let host = smarthost(&settings, draft)?.or_else(|| only_host(&logins, draft));
    if let Some(host) = &host {
        login(host, &logins, draft);
    }
    others(&settings, draft);
    Ok(())
}

/// Lines of a shell: `name='value'`.
fn assignments(text: &Text) -> impl Iterator<Item = (&str, (&str, Place))> {
    text.lines().filter_map(|(at, line)| {
        let (name, value) = line.trim().split_once('=')?;
        (!name.starts_with('#')).then(|| (name, (value.trim().trim_matches(['\'', '"']), at)))
    })
}

/// The last one counts, as in a shell.
fn setting<'a>(settings: &'a Settings<'_>, name: &str) -> Option<&'a (&'a str, Place)> {
    settings.iter().rfind(|(known, _)| *known == name).map(|(_, found)| found)
}

fn smarthost(settings: &Settings<'_>, draft: &mut Draft) -> Result<Option<String>, String> {
    let Some((value, at)) = setting(settings, "dc_smarthost") else { return Ok(None) };
    if let Some((kind @ ("internet" | "local" | "none"), at)) =
        setting(settings, "dc_eximconfig_configtype").map(|(kind, at)| (*kind, at))
    {
        draft.look(
            at,
            format!("dc_eximconfig_configtype='{kind}': Exim takes no smarthost then; Sidepost needs a provider that takes all mail"),
        );
    }
    let mut hosts = value.split(';').map(str::trim).filter(|host| !host.is_empty());
    let Some(host) = hosts.next() else { return Ok(None) };
    let server = Destination::parse(host).map_err(|why| format!("{at}: dc_smarthost: {why}"))?;
    if hosts.next().is_some() {
        draft.lose(
            at,
            "dc_smarthost names more than one server; the first is taken, the others have no place in Sidepost",
        );
    }
    let port = server.port.unwrap_or(25);
    draft.server(&server.host, Some(port), at);
    // Debian's transport takes TLS where it is offered, from the first byte on 465 since 4.94.
    draft.protect(if port == 465 { Protection::Implicit } else { Protection::Opportunistic }, at);
    draft.unverified = Some(at.clone());
    Ok(Some(server.host))
}

/// `host:user:password`; what comes after the second colon is the password.
fn read_logins<'a>(text: &'a Text, logins: &mut Vec<Login<'a>>, draft: &mut Draft) {
    for (at, line) in text.lines() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let mut fields = line.splitn(3, ':');
        match (fields.next(), fields.next(), fields.next()) {
            (Some(host), Some(username), Some(password)) if !username.is_empty() && !password.is_empty() => {
                logins.push(Login { host, username, password, at });
            }
            _ => draft.look(&at, "not of the form `server:user:password`; passed over"),
        }
    }
}

/// Without the settings, a single server in the list of logins is the one.
fn only_host(logins: &[Login<'_>], draft: &mut Draft) -> Option<String> {
    let named = logins.iter().find(|login| !login.host.contains('*') && !login.host.starts_with('^'))?;
    let server = Destination::parse(named.host).ok()?;
    draft.server(&server.host, server.port, &named.at);
    Some(server.host)
}

/// The login of the first line that fits. Exim asks with the name that the server's address has in the reverse DNS, so
/// that lines for other names of the same provider are common.
fn login(host: &str, logins: &[Login<'_>], draft: &mut Draft) {
    let exact = logins.iter().find(|login| fits(login.host, host));
    let related =
        || logins.iter().find(|login| login.host.ends_with(domain(host)) || domain(host).ends_with(domain(login.host)));
    match exact.or_else(related) {
        Some(login) => {
            draft.login(login.username, login.password, &login.at);
            if exact.is_none() {
                draft.look(
                    &login.at,
                    format!(
                        "the login is for `{}`, and mail goes to {host}; taken, since they belong together by name",
                        shown(login.host)
                    ),
                );
            }
            let others = logins
                .iter()
                .filter(|other| (other.username, other.password) != (login.username, login.password))
                .count();
            if others > 0 {
                draft.lose(
                    &login.at,
                    format!("Sidepost has one login, so that there is no place for those of other servers ({others})"),
                );
            }
        }
        None => {
            if let Some(login) = logins.first() {
                draft.look(&login.at, format!("no login is for {host}, so Exim does not log in there"));
            }
        }
    }
}

/// The last two labels, or a key without its star.
fn domain(host: &str) -> &str {
    let host = host.trim_start_matches(['*', '^', '.']);
    host.rmatch_indices('.').nth(1).map_or(host, |(at, _)| &host[at + 1..])
}

/// `nwildlsearch`: a star at the beginning stands for anything.
fn fits(key: &str, host: &str) -> bool {
    let (key, host) = (key.to_ascii_lowercase(), host.to_ascii_lowercase());
    key.strip_prefix('*').map_or(key == host, |end| host.ends_with(end))
}

fn others(settings: &Settings<'_>, draft: &mut Draft) {
    for (name, (value, at)) in settings {
        match *name {
            "dc_smarthost" | "dc_eximconfig_configtype" => {}
            _ if value.is_empty() => {}
            "dc_readhost" => draft.look(
                at,
                format!(
                    "{name}: the domain of senders is rewritten; Sidepost has SIDEPOST_FROM with SIDEPOST_FROM_MODE=force, one \
                     address for all"
                ),
            ),
            "dc_relay_nets" => draft.look(at, "dc_relay_nets: who may send to Sidepost says SIDEPOST_ALLOWED_CLIENTS"),
            "dc_local_interfaces" | "dc_relay_domains" | "dc_minimaldns" => draft.pass_over(LISTENS, name),
            "dc_other_hostnames" | "dc_localdelivery" | "dc_mailname_in_oh" => draft.pass_over(DELIVERS_HERE, name),
            "CFILEMODE" | "dc_use_split_config" | "dc_hide_mailname" => draft.pass_over(RUNS, name),
            _ => draft.not_known(name, at),
        }
    }
}

#[cfg(test)]
mod tests;
