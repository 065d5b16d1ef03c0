//! Postfix: `main.cf`, `master.cf` and the tables that they name (postconf(5), and its READMEs on SASL and TLS).

mod known;
mod logins;
mod parameters;
mod tables;

use super::authorities;
use super::destination::Destination;
use super::draft::{Draft, Protection, shown};
use super::source::{Files, Place, Text};
use crate::message::address::Mailbox;

pub use self::parameters::Parameters;
use self::tables::{Entry, Table};

/// What is carried over, and so needs no word.
const CARRIED: [&str; 24] = [
    "alias_maps",
    "default_destination_concurrency_limit",
    "inet_protocols",
    "message_size_limit",
    "mydomain",
    "myhostname",
    "mynetworks",
    "myorigin",
    "relayhost",
    "smtp_connect_timeout",
    "smtp_destination_concurrency_limit",
    "smtp_enforce_tls",
    "smtp_fallback_relay",
    "smtp_helo_name",
    "smtp_sasl_auth_enable",
    "smtp_sasl_mechanism_filter",
    "smtp_sasl_password_maps",
    "smtp_sasl_password_result_delimiter",
    "smtp_sender_dependent_authentication",
    "smtp_tls_CAfile",
    "smtp_tls_CApath",
    "smtp_tls_security_level",
    "smtp_tls_wrappermode",
    "smtp_use_tls",
];

/// Everything that is looked at together.
struct Postfix<'a> {
    main: &'a Text,
    parameters: Parameters,
    files: &'a Files,
}

/// Reads the configuration.
///
/// # Errors
/// What cannot be understood at all, by file and line.
pub fn read(texts: &[Text], files: &Files, draft: &mut Draft) -> Result<(), String> {
    let is_main = |text: &&Text| text.name() != "master.cf" && !is_table(text);
    let Some(main) = texts.iter().find(is_main) else {
        return texts.iter().find(|text| is_table(text)).map_or_else(
            || Err("there is no main.cf among the files".to_owned()),
            |table| logins::alone(table, draft),
        );
    };
    let mut parameters = Parameters::read(main, draft);
    if let Some(master) = texts.iter().find(|text| text.name() == "master.cf") {
        transports(master, &mut parameters, draft)?;
    }
    from_parameters(main, parameters, texts.iter().find(|text| is_table(text)), files, draft)
}

fn is_table(text: &Text) -> bool {
    text.name().starts_with("sasl_passwd")
}

/// The same for parameters that came from elsewhere; `table` is one of logins that was named on the command line.
///
/// # Errors
/// As [`read`].
pub fn from_parameters(
    main: &Text,
    parameters: Parameters,
    table: Option<&Text>,
    files: &Files,
    draft: &mut Draft,
) -> Result<(), String> {
    let postfix = Postfix { main, parameters, files };
    let relay = postfix.relay(draft)?;
    postfix.protection(draft)?;
    if let Some((relay, at)) = &relay {
        postfix.login(relay, at, table, draft)?;
    }
    postfix.names(draft)?;
    postfix.limits(draft)?;
    postfix.rewriting(draft)?;
    postfix.others(draft)
}

impl Postfix<'_> {
    fn value(&self, name: &str) -> Result<Option<(String, Place)>, String> {
        self.parameters.value(name)
    }

    /// Where mail leaves, as it is written there.
    fn relay(&self, draft: &mut Draft) -> Result<Option<(String, Place)>, String> {
        let Some((value, at)) = self.value("relayhost")? else {
            draft.lose(
                &self.main.at(0),
                "relayhost is not set: Postfix brings mail to each recipient's own server, which Sidepost does not do. It \
                 needs a provider that takes all mail (SIDEPOST_PROVIDER)",
            );
            return Ok(None);
        };
        let mut relays = value.split([',', ' ', '\t']).filter(|relay| !relay.is_empty());
        let Some(relay) = relays.next() else { return Ok(None) };
        // `smtp:[host]:port` is the form of a transport, and a usual mistake.
        let bare = relay.strip_prefix("smtp:").unwrap_or(relay);
        let server = Destination::parse(bare).map_err(|why| format!("{at}: relayhost: {why}"))?;
        if !server.brackets && server.host.parse::<std::net::IpAddr>().is_err() {
            draft.look(
                &at,
                format!(
                    "relayhost without brackets makes Postfix ask for the mail exchangers (MX) of {}; Sidepost connects to \
                     the host of that name itself. If that name has no server, take the one that its MX names",
                    server.host
                ),
            );
        }
        if relays.next().is_some() {
            draft.lose(
                &at,
                "relayhost names more than one server; the first is taken, the others have no place in Sidepost",
            );
        }
        if let Some((_, at)) = self.value("smtp_fallback_relay")? {
            draft.lose(&at, "smtp_fallback_relay: a second server for when the first fails has no place in Sidepost");
        }
        draft.server(&server.host, Some(server.port.unwrap_or(25)), &at);
        Ok(Some((bare.to_owned(), at)))
    }

    fn protection(&self, draft: &mut Draft) -> Result<(), String> {
        let level = match self.value("smtp_tls_security_level")? {
            Some(level) => Some(level),
            None => self.old_level()?,
        };
        let wrapped = self.parameters.is_yes("smtp_tls_wrappermode")?;
        let (protection, at) = match (&level, wrapped) {
            (Some((level, at)), Some(_)) if matches!(level.as_str(), "none" | "may") => {
                draft.look(
                    at,
                    "smtp_tls_wrappermode wants the level `encrypt` or above: with this one Postfix sends nothing",
                );
                (Protection::Implicit, at.clone())
            }
            (_, Some(at)) => (Protection::Implicit, at),
            (None, None) => (Protection::Plain, self.main.at(0)),
            (Some((level, at)), None) => match level.as_str() {
                "none" => (Protection::Plain, at.clone()),
                "may" => (Protection::Opportunistic, at.clone()),
                "encrypt" | "dane" | "dane-only" | "fingerprint" | "verify" | "secure" => {
                    (Protection::StartTls, at.clone())
                }
                _ => {
                    draft.look(at, format!("smtp_tls_security_level: there is no level {}", shown(level)));
                    (Protection::StartTls, at.clone())
                }
            },
        };
        draft.protect(protection, &at);
        let unverified = level.filter(|(level, _)| level == "encrypt");
        draft.unverified = unverified.map(|(_, at)| at);
        self.authorities(draft)
    }

    /// Before Postfix 2.3 the level was two switches.
    fn old_level(&self) -> Result<Option<(String, Place)>, String> {
        if let Some(at) = self.parameters.is_yes("smtp_enforce_tls")? {
            return Ok(Some(("encrypt".to_owned(), at)));
        }
        Ok(self.parameters.is_yes("smtp_use_tls")?.map(|at| ("may".to_owned(), at)))
    }

    fn authorities(&self, draft: &mut Draft) -> Result<(), String> {
        if let Some((path, at)) = self.value("smtp_tls_CAfile")? {
            authorities::file("smtp_tls_CAfile", &path, self.main, &at, self.files, draft);
        }
        if let Some((path, at)) = self.value("smtp_tls_CApath")? {
            authorities::folder("smtp_tls_CApath", &path, &at, draft);
        }
        Ok(())
    }

    /// What this host calls itself, and who is allowed to come.
    fn names(&self, draft: &mut Draft) -> Result<(), String> {
        let own = match self.value("smtp_helo_name")? {
            Some(name) => Some(name),
            None => self.value("myhostname")?,
        };
        if let Some((name, at)) = own {
            draft.helo_name(&name, &at);
        }
        if let Some((_, at)) = self.value("myorigin")?.filter(|(value, _)| !value.starts_with("$my")) {
            draft.look(
                &at,
                "myorigin completes senders without a domain (`root`); Sidepost wants whole addresses, and SIDEPOST_FROM for \
                 messages that name none",
            );
        }
        let local = |network: &str| {
            network.starts_with("127.") || network.starts_with("[::1]") || network.contains("127.0.0.0")
        };
        if let Some((value, at)) = self.value("mynetworks")?
            && value.split([',', ' ', '\t']).any(|network| !network.is_empty() && !local(network))
        {
            draft.look(
                &at,
                "mynetworks lets more than this machine send; Sidepost serves this machine and the networks that it is \
                 directly in, others by SIDEPOST_ALLOWED_CLIENTS",
            );
        }
        if let Some((protocols, at)) = self.value("inet_protocols")?.filter(|(value, _)| value == "ipv4") {
            draft.look(
                &at,
                format!("inet_protocols = {protocols}: Sidepost tries IPv6 and IPv4 at once, and takes what answers"),
            );
        }
        Ok(())
    }

    fn limits(&self, draft: &mut Draft) -> Result<(), String> {
        if let Some((bytes, at)) = self.value("message_size_limit")? {
            draft.message_bytes(&bytes, &at);
        }
        for name in ["smtp_destination_concurrency_limit", "default_destination_concurrency_limit"] {
            if let Some((limit, at)) = self.value(name)?
                && !draft.has("CONNECTIONS")
            {
                draft.set("CONNECTIONS", limit, &at);
            }
        }
        if let Some((time, at)) = self.value("smtp_connect_timeout")? {
            let unit = if time.ends_with(|c: char| c.is_ascii_digit()) { "s" } else { "" };
            draft.set("CONNECT_TIMEOUT", format!("{time}{unit}"), &at);
        }
        if let Some((_, at)) = self.value("alias_maps")? {
            self.root_alias(&at, draft)?;
        }
        Ok(())
    }

    /// Who gets what is sent to `root`; Debian's own list of aliases has no more than that in most cases.
    fn root_alias(&self, at: &Place, draft: &mut Draft) -> Result<(), String> {
        let Some((value, _)) = self.value("alias_maps")? else { return Ok(()) };
        let Some(path) = value.split(':').next_back().filter(|path| path.starts_with('/')) else { return Ok(()) };
        // On a machine without aliases there is nothing to say.
        if let Ok(text) = self.files.named_by(self.main, path) {
            draft.root_alias(&text);
        } else {
            draft.pass_over("lists of aliases that are not there", &at.to_string());
        }
        Ok(())
    }

    /// One sender for all, the one kind of rewriting that Sidepost knows: `/^From:.*/ REPLACE From: a@b.c` in a table of
    /// header checks, or a table of senders in which every pattern gives the same address.
    fn rewriting(&self, draft: &mut Draft) -> Result<(), String> {
        for name in ["smtp_header_checks", "header_checks", "sender_canonical_maps", "smtp_generic_maps"] {
            let Some((value, at)) = self.value(name)? else { continue };
            let mut others = false;
            for table in tables::read(name, &value, &at, self.main, self.files, draft) {
                let (Table::Entries(entries) | Table::Patterns(entries)) = table else { continue };
                for entry in entries {
                    match one_sender(&entry, name.ends_with("checks")) {
                        Some(sender) if !draft.has("FROM") => {
                            draft.set("FROM", sender, &entry.at);
                            draft.set("FROM_MODE", "force", &entry.at);
                        }
                        _ => others = true,
                    }
                }
            }
            if others {
                draft.lose(&at, format!("{name}: {}", known::sentence(name).unwrap_or_default()));
            }
        }
        Ok(())
    }

    /// A word on every other parameter.
    fn others(&self, draft: &mut Draft) -> Result<(), String> {
        let rewriting = ["smtp_header_checks", "header_checks", "sender_canonical_maps", "smtp_generic_maps"];
        let named = self.parameters.named();
        for (name, at) in self.parameters.names() {
            if CARRIED.contains(&name) || rewriting.contains(&name) {
                continue;
            }
            // An empty value switches off what has no equivalent.
            let is_empty = self.parameters.value(name).is_ok_and(|value| value.is_none());
            match (known::sentence(name), known::reason(name)) {
                (Some(_), _) if is_empty => {}
                (Some(sentence), _) => draft.lose(at, format!("{name}: {sentence}")),
                (None, Some(reason)) => draft.pass_over(reason, name),
                (None, None) if named.contains(name) => {}
                (None, None) => {
                    draft.not_known(name, at);
                }
            }
        }
        Ok(())
    }
}

/// The sender that an entry gives to all mail.
fn one_sender(entry: &Entry, is_header: bool) -> Option<String> {
    let key = entry.key.to_ascii_lowercase();
    let pattern = key.trim_start_matches('/').trim_start_matches('^');
    let text = if is_header {
        let rest = entry.value.strip_prefix("REPLACE ")?.trim_start();
        pattern.strip_prefix("from:")?;
        rest.get(..5).filter(|name| name.eq_ignore_ascii_case("from:"))?;
        rest[5..].trim()
    } else {
        matches!(pattern.split('/').next()?, ".*" | ".+" | ".*$" | ".+$").then_some(entry.value.trim())?
    };
    Mailbox::parse(text).ok().map(|_| text.to_owned())
}

/// `-o name=value` of the client that mail leaves by, in `master.cf`: it outdoes `main.cf` there (master(5)).
fn transports(master: &Text, parameters: &mut Parameters, draft: &mut Draft) -> Result<(), String> {
    let named = |name: &str| -> Result<Option<String>, String> {
        let value = parameters.value(name)?.map(|(value, _)| value);
        Ok(value.map(|value| value.split(':').next().unwrap_or_default().to_owned()))
    };
    let own = [named("relay_transport")?, named("default_transport")?].into_iter().flatten().next();
    let own = own.unwrap_or_else(|| "smtp".to_owned());
    for (at, line) in master.joined_lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        let [service, kind, _, _, _, _, _, command, arguments @ ..] = &words[..] else {
            draft.look(&at, "not of the form of a service (eight columns); passed over");
            continue;
        };
        if *kind != "unix" || *command != "smtp" {
            continue;
        }
        let options = arguments.windows(2).filter(|pair| pair[0] == "-o").filter_map(|pair| pair[1].split_once('='));
        for (name, value) in options {
            if *service == own {
                parameters.set(name, value, at.clone(), draft);
            } else if name == "smtp_tls_wrappermode" && value == "yes" {
                draft.look(
                    &at,
                    format!(
                        "the transport {} speaks TLS from the first byte; where mail leaves by it, say SIDEPOST_TLS=implicit",
                        shown(service)
                    ),
                );
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
