//! msmtp: `msmtprc`, accounts that inherit from each other (msmtp(1)).

use std::collections::BTreeMap;

use super::authorities;
use super::destination::port;
use super::draft::{Draft, Protection, shown};
use super::source::{Files, Place, Text};

/// More accounts are no person's, and more commands than this there are not.
const MOST_ACCOUNTS: usize = 200;
const MOST_COMMANDS: usize = 200;
const LOGS: &str = "where it logs: Sidepost logs to standard output (SIDEPOST_LOG_FORMAT)";
const DSN: &str = "notifications of delivery: the application asks for them (NOTIFY over SMTP, `sidepost sendmail -N`)";
const TUNES_TLS: &str = "details of TLS: Sidepost takes TLS 1.2 and 1.3 with ciphers that are safe, and nothing else";
const HEADERS: &str =
    "fields that are filled in or taken out: Sidepost fills in Date and Message-ID, and takes out Bcc";

/// The commands of an account. Of a command that stands twice the last one counts.
type Account = BTreeMap<String, (String, Place)>;

/// Reads the configuration.
///
/// # Errors
/// What cannot be understood at all, by file and line.
pub fn read(texts: &[Text], files: &Files, draft: &mut Draft) -> Result<(), String> {
    let text = texts.first().ok_or("nothing to read")?;
    let (name, account, others) = accounts(text, draft)?;
    if others > 0 {
        draft.lose(
            &text.at(0),
            format!(
                "the account `{}` is taken; Sidepost has one, so that there is no place for others ({others})",
                shown(&name)
            ),
        );
    }
    server(&account, draft)?;
    login(&account, draft);
    for (command, (value, at)) in &account {
        further(command, value, text, at, files, draft);
    }
    Ok(())
}

/// The account that is used where none is named, its name, and how many others there are.
fn accounts(text: &Text, draft: &mut Draft) -> Result<(String, Account, usize), String> {
    let mut accounts: Vec<(String, Account)> = Vec::new();
    let (mut defaults, mut in_account) = (Account::new(), false);
    for (at, line) in text.lines() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (command, value) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let value = unquoted(value.trim());
        match command {
            "defaults" => in_account = false,
            "account" => {
                let (name, parents) = value.split_once(':').unwrap_or((value, ""));
                let name = name.trim().to_owned();
                if accounts.len() >= MOST_ACCOUNTS {
                    return Err(format!("{at}: more than {MOST_ACCOUNTS} accounts"));
                }
                let mut account = defaults.clone();
                for parent in parents.split(',').map(str::trim).filter(|parent| !parent.is_empty()) {
                    // A parent stands before its heirs, so that there is no circle.
                    let (_, parent) = accounts
                        .iter()
                        .find(|(name, _)| name == parent)
                        .ok_or_else(|| format!("{at}: there is no account `{}` before this line", shown(parent)))?;
                    account.extend(parent.iter().map(|(command, value)| (command.clone(), value.clone())));
                }
                accounts.retain(|(known, _)| *known != name);
                accounts.push((name, account));
                in_account = true;
            }
            "eval" => {
                draft.lose(&at, "eval: its command cannot be run here; write the line that it prints in its place");
            }
            _ if command.bytes().all(|b| b.is_ascii_lowercase() || b == b'_' || b.is_ascii_digit()) => {
                let account = accounts.last_mut().filter(|_| in_account).map_or(&mut defaults, |(_, account)| account);
                if account.len() >= MOST_COMMANDS {
                    return Err(format!("{at}: more than {MOST_COMMANDS} commands in one account"));
                }
                account.insert(command.to_owned(), (value.to_owned(), at));
            }
            _ => draft.look(&at, "not a command with its value; passed over"),
        }
    }
    let wanted = accounts.iter().position(|(name, _)| name == "default").unwrap_or(0);
    if wanted < accounts.len() {
        let (name, account) = accounts.remove(wanted);
        // `account default : x` is x under another name.
        let same =
            |other: &Account| other.get("host") == account.get("host") && other.get("user") == account.get("user");
        let others = accounts.iter().filter(|(_, other)| !same(other)).count();
        Ok((name, account, others))
    } else if defaults.is_empty() {
        Err(format!("{}: no account in it", text.path.display()))
    } else {
        Ok(("defaults".to_owned(), defaults, 0))
    }
}

/// Quotation marks around a whole argument are taken off.
fn unquoted(value: &str) -> &str {
    let inside = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    inside.filter(|_| value.len() > 1).unwrap_or(value)
}

fn is_on(account: &Account, command: &str) -> Option<(bool, Place)> {
    let (value, at) = account.get(command)?;
    // A switch without a word is on.
    Some((!matches!(value.as_str(), "off"), at.clone()))
}

fn server(account: &Account, draft: &mut Draft) -> Result<(), String> {
    let tls = is_on(account, "tls").filter(|(on, _)| *on).map(|(_, at)| at);
    let starttls = is_on(account, "tls_starttls").is_none_or(|(on, _)| on);
    let number = match account.get("port") {
        Some((value, at)) => Some(port(value).ok_or_else(|| format!("{at}: port: not a port"))?),
        None => None,
    };
    if let Some((host, at)) = account.get("host") {
        let usual = if tls.is_some() && !starttls { 465 } else { 25 };
        draft.server(host, Some(number.unwrap_or(usual)), at);
        match tls {
            Some(at) => draft.protect(if starttls { Protection::StartTls } else { Protection::Implicit }, &at),
            None => draft.protect(Protection::Plain, at),
        }
    }
    let unchecked = is_on(account, "tls_certcheck").filter(|(on, _)| !on).map(|(_, at)| at);
    draft.unverified = unchecked;
    Ok(())
}

fn login(account: &Account, draft: &mut Draft) {
    let auth = account.get("auth").map(|(value, at)| (value.as_str(), at));
    if matches!(auth, None | Some(("off", _))) {
        if let Some((_, at)) = account.get("password").or_else(|| account.get("passwordeval")) {
            draft.look(at, "auth is not on, so msmtp does not log in; the password is left out");
        }
        return;
    }
    match auth {
        Some(("plain", at)) => draft.set("AUTH", "plain", at),
        Some(("login", at)) => draft.set("AUTH", "login", at),
        Some(("xoauth2" | "oauthbearer", at)) => draft.lose(
            at,
            "auth: the login is by OAuth, with a token that a program fetches each time; `sidepost oauth login` gets the \
             variables with which Sidepost does that itself, SIDEPOST_OAUTH_*",
        ),
        Some((word @ ("cram-md5" | "digest-md5" | "scram-sha-1" | "scram-sha-256" | "gssapi" | "ntlm" | "external"), at)) => {
            draft.look(at, format!("auth {word}: Sidepost logs in by PLAIN or LOGIN, under TLS"));
        }
        _ => {}
    }
    let username = account.get("user");
    match (username, account.get("password")) {
        (Some((username, _)), Some((password, at))) => draft.login(username, password, at),
        (Some((username, at)), None) => {
            draft.username(username, at);
            let at = account.get("passwordeval").map_or(at, |(_, at)| at);
            draft.look(
                at,
                "the password comes from a command, a keyring or ~/.netrc, which Sidepost cannot ask: put it into a file and \
                 name that in SIDEPOST_PASSWORD_FILE (SIDEPOST_API_KEY_FILE)",
            );
        }
        (None, _) => {}
    }
}

/// Everything but the server and the login.
fn further(command: &str, value: &str, text: &Text, at: &Place, files: &Files, draft: &mut Draft) {
    match command {
        "host" | "port" | "tls" | "tls_starttls" | "tls_certcheck" | "auth" | "user" | "password" | "passwordeval" => {}
        "tls_trust_file" if value == "system" => {}
        "tls_trust_file" => authorities::file(command, value, text, at, files, draft),
        "from" if value.contains('%') => {
            draft.lose(at, "from is made of the user's and the host's name; SIDEPOST_FROM wants one address");
        }
        "from" => draft.from(value, false, at),
        "from_full_name" | "allow_from_override" | "set_from_header" | "auto_from" | "maildomain" => {
            draft.look(
                at,
                format!("{command}: SIDEPOST_FROM fills a missing sender in, and with SIDEPOST_FROM_MODE=force replaces every other"),
            );
        }
        "domain" => draft.helo_name(value, at),
        "timeout" if value != "off" => draft.set("CONNECT_TIMEOUT", format!("{value}s"), at),
        "timeout" => {}
        "aliases" => match files.named_by(text, value) {
            Ok(aliases) => draft.root_alias(&aliases),
            Err(why) => draft.look(at, format!("aliases: {why}")),
        },
        "tls_fingerprint" => draft.lose(
            at,
            "tls_fingerprint: Sidepost looks at the name and the authority of a certificate; an authority of your own goes \
             into SIDEPOST_CA_FILE",
        ),
        "tls_cert_file" | "tls_key_file" => draft.lose(at, format!("{command}: Sidepost shows the server no certificate of its own")),
        "proxy_host" | "proxy_port" | "socket" => draft.lose(at, format!("{command}: Sidepost connects to the server itself, without a proxy")),
        "source_ip" => draft.lose(at, "source_ip: connections leave from an address that the network chooses"),
        "logfile" | "logfile_time_format" | "syslog" => draft.pass_over(LOGS, command),
        "dsn_notify" | "dsn_return" => draft.pass_over(DSN, command),
        "tls_priorities" | "tls_min_dh_prime_bits" | "tls_crl_file" | "tls_host_override" | "tls_nocertcheck" => {
            draft.pass_over(TUNES_TLS, command);
        }
        "add_missing_from_header" | "add_missing_date_header" | "set_date_header" | "set_msgid_header" | "remove_bcc_headers"
        | "undisclosed_recipients" | "keepbcc" => draft.pass_over(HEADERS, command),
        "protocol" if value == "smtp" => {}
        _ => draft.not_known(if value.is_empty() { "a command without a value" } else { command }, at),
    }
}

#[cfg(test)]
mod tests;
