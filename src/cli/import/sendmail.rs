//! Sendmail: `sendmail.mc` says where to, `authinfo` as whom (sendmail's cf/README).

use super::authorities;
use super::destination::{Destination, port};
use super::draft::{Draft, Protection, shown};
use super::source::{Files, Place, Text};
use encodify::base64::STANDARD;

const RUNS: &str = "how the program itself runs";
const REWRITES: &str =
    "the domain of senders is rewritten; Sidepost has SIDEPOST_FROM with SIDEPOST_FROM_MODE=force, one address for all";

/// A call of a macro, such as `define`, whose first argument may be `SMART_HOST`.
#[derive(Debug)]
struct Call {
    name: String,
    arguments: Vec<String>,
    at: Place,
}

/// A line of `authinfo`.
#[derive(Debug)]
struct Login {
    host: String,
    username: Option<String>,
    password: Option<String>,
    at: Place,
}

/// Reads the configuration.
///
/// # Errors
/// What cannot be understood at all, by file and line.
pub fn read(texts: &[Text], files: &Files, draft: &mut Draft) -> Result<(), String> {
    let (macros, mut tables): (Vec<_>, Vec<_>) = texts.iter().cloned().partition(|text| text.content().contains('`'));
    let mut relay = Relay::default();
    for text in &macros {
        let calls = calls(text)?;
        relay.read(&calls, text, files, draft)?;
        if tables.is_empty() {
            tables.extend(table(&calls, text, files, draft));
        }
    }
    let logins: Vec<_> = tables.iter().flat_map(|table| logins(table, draft)).collect();
    relay.conclude(&macros, &logins, draft);
    Ok(())
}

/// The calls of a file, comments left out. m4 itself is not run: what is built by other macros is not seen.
fn calls(text: &Text) -> Result<Vec<Call>, String> {
    let content = text.content();
    let (mut calls, mut at, mut line, mut line_begins) = (Vec::new(), 0, 1, true);
    while at < content.len() {
        let rest = &content[at..];
        let word = rest.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count();
        let length = if rest.starts_with("dnl") || (line_begins && rest.starts_with('#')) {
            rest.find('\n').unwrap_or(rest.len())
        } else if word > 0 && rest.as_bytes().get(word) == Some(&b'(') {
            let place = text.at(line);
            let (arguments, length) = arguments(&rest[word + 1..])
                .ok_or_else(|| format!("{place}: {} is not closed", shown(&rest[..word])))?;
            calls.push(Call { name: rest[..word].to_owned(), arguments, at: place });
            word + 1 + length
        } else {
            word.max(rest.chars().next().map_or(1, char::len_utf8))
        };
        at += length;
        line += rest[..length].matches('\n').count();
        line_begins = content[..at].ends_with('\n');
    }
    Ok(calls)
}

/// What stands in the brackets, and how long it is with the closing one. Quotation marks are m4's, and nest.
fn arguments(rest: &str) -> Option<(Vec<String>, usize)> {
    let (mut all, mut one, mut quotes, mut brackets) = (Vec::new(), String::new(), 0_usize, 0_usize);
    let mut characters = rest.char_indices();
    while let Some((at, c)) = characters.next() {
        match (c, quotes) {
            ('`', _) => quotes += 1,
            ('\'', 1..) => quotes -= 1,
            // A comment between two arguments goes to the end of its line.
            ('d', 0) if one.trim().is_empty() && rest[at..].starts_with("dnl") => {
                characters.find(|(_, c)| *c == '\n');
            }
            ('(', 0) => brackets += 1,
            (')', 0) if brackets == 0 => {
                all.push(one.trim().to_owned());
                return Some((all, at + 1));
            }
            (')', 0) => brackets -= 1,
            (',', 0) if brackets == 0 => all.push(std::mem::take(&mut one).trim().to_owned()),
            _ => one.push(c),
        }
    }
    None
}

/// `FEATURE(`authinfo', `hash -o /etc/mail/authinfo.db')`: the text that the map was made from.
fn table(calls: &[Call], text: &Text, files: &Files, draft: &mut Draft) -> Option<Text> {
    let feature = calls
        .iter()
        .find(|call| call.name == "FEATURE" && call.arguments.first().is_some_and(|name| name == "authinfo"))?;
    let map = feature.arguments.get(1).map_or("/etc/mail/authinfo", String::as_str);
    let path = map.split_whitespace().next_back().unwrap_or_default();
    let path = path.trim_start_matches("hash:").trim_end_matches(".db");
    match files.named_by(text, path) {
        Ok(table) => Some(table),
        Err(why) => {
            draft.look(
                &feature.at,
                format!("authinfo: {why}, so there is no login; it is the text from which authinfo.db was made"),
            );
            None
        }
    }
}

#[derive(Default)]
struct Relay {
    host: Option<Destination>,
    at: Option<Place>,
    port: Option<u16>,
    implicit: Option<Place>,
}

impl Relay {
    fn read(&mut self, calls: &[Call], text: &Text, files: &Files, draft: &mut Draft) -> Result<(), String> {
        for Call { name, arguments, at } in calls {
            let argument = |n: usize| arguments.get(n).map_or("", String::as_str);
            match (name.as_str(), argument(0)) {
                ("define", "SMART_HOST") if !argument(1).is_empty() => {
                    // A mailer may stand in front: `relay:[host]`.
                    let value = argument(1);
                    let value = ["relay:", "esmtp:", "smtp:", "smtps:"]
                        .iter()
                        .find_map(|mailer| value.strip_prefix(mailer))
                        .unwrap_or(value);
                    self.host = Some(Destination::parse(value).map_err(|why| format!("{at}: SMART_HOST: {why}"))?);
                    self.at = Some(at.clone());
                }
                ("define", "RELAY_MAILER_ARGS" | "ESMTP_MAILER_ARGS" | "SMTP_MAILER_ARGS") => {
                    // `TCP $h 587`
                    let number = argument(1).split_whitespace().nth(2);
                    self.port = number.and_then(port).or(self.port);
                }
                ("define", setting) => define(setting, argument(1), text, at, files, draft),
                ("MASQUERADE_AS" | "MASQUERADE_DOMAIN" | "EXPOSED_USER" | "GENERICS_DOMAIN", _) => {
                    draft.lose(at, format!("{name}: {REWRITES}"));
                }
                ("FEATURE", feature) => self.feature(feature, at, draft),
                ("INPUT_MAIL_FILTER" | "MAIL_FILTER", _) => draft.lose(
                    at,
                    format!(
                        "{name}: a filter sees every message, and Sidepost asks none; where it only signs (DKIM), \
                         SIDEPOST_DKIM_DOMAIN, _SELECTOR and _KEY_FILE do that"
                    ),
                ),
                ("include", path) if path.contains("/cf/m4/") || path.contains("/m4/cf.m4") => {}
                ("include", path) => {
                    let is_there = files.named_by(text, path).is_ok_and(|file| file.content().contains("define("));
                    if is_there {
                        draft.look(at, format!("what {} defines is not read; name that file too", shown(path)));
                    }
                }
                (name, _) => draft.pass_over(RUNS, name),
            }
        }
        Ok(())
    }

    fn feature(&mut self, feature: &str, at: &Place, draft: &mut Draft) {
        match feature {
            "authinfo" => {}
            "mailertable" | "genericstable" | "virtusertable" | "domaintable" | "bitdomain" | "uucpdomain" => {
                draft.lose(
                    at,
                    format!(
                        "{feature}: addresses or routes by a table have no place in Sidepost, which has one provider"
                    ),
                );
            }
            "masquerade_envelope" | "masquerade_entire_domain" | "allmasquerade" | "always_add_domain" => {
                draft.lose(at, format!("{feature}: {REWRITES}"));
            }
            _ => draft.pass_over(RUNS, &format!("FEATURE {feature}")),
        }
    }

    fn conclude(self, macros: &[Text], logins: &[Login], draft: &mut Draft) {
        let (host, at) = match (self.host, self.at) {
            (Some(host), Some(at)) => (host, at),
            _ => match logins.iter().find(|login| !login.host.is_empty()) {
                // authinfo alone: its server is the one.
                Some(login) if macros.is_empty() => match Destination::parse(&login.host) {
                    Ok(host) => (host, login.at.clone()),
                    Err(why) => return draft.look(&login.at, why),
                },
                _ => {
                    let at = macros.first().map(|text| text.at(0));
                    let sentence = "SMART_HOST is not defined: Sendmail brings mail to each recipient's own server, which Sidepost \
                                    does not do. It needs a provider that takes all mail (SIDEPOST_PROVIDER)";
                    return at.map_or((), |at| draft.lose(&at, sentence));
                }
            },
        };
        if !host.brackets && host.host.parse::<std::net::IpAddr>().is_err() && !macros.is_empty() {
            draft.look(
                &at,
                format!(
                    "SMART_HOST without brackets makes Sendmail ask for the mail exchangers (MX) of {}; Sidepost connects to the \
                     host of that name itself",
                    host.host
                ),
            );
        }
        let number = self.port.or(host.port).or(if macros.is_empty() { None } else { Some(25) });
        draft.server(&host.host, number, &at);
        // Sendmail's client takes STARTTLS where it is offered, and checks no certificate unless told to.
        draft.protect(Protection::Opportunistic, &at);
        draft.unverified = Some(at.clone());
        if let Some(at) = self.implicit {
            draft.protect(Protection::Implicit, &at);
        }
        login(&host, logins, draft);
    }
}

fn define(setting: &str, value: &str, text: &Text, at: &Place, files: &Files, draft: &mut Draft) {
    match setting {
        "confDOMAIN_NAME" => draft.helo_name(value.trim_end_matches('.'), at),
        "confMAX_MESSAGE_SIZE" => draft.message_bytes(value, at),
        "confMAX_RCPTS_PER_MESSAGE" => draft.set("MAX_RECIPIENTS", value, at),
        "confCACERT" => authorities::file(setting, value, text, at, files, draft),
        "confCACERT_PATH" => authorities::folder(setting, value, at, draft),
        "confCLIENT_CERT" | "confCLIENT_KEY" => {
            draft.lose(at, format!("{setting}: Sidepost shows the server no certificate of its own"));
        }
        "confFALLBACK_MX" | "confFALLBACK_SMARTHOST" => {
            draft.lose(at, format!("{setting}: a second server for when the first fails has no place in Sidepost"));
        }
        "confAUTH_MECHANISMS" => {
            draft.pass_over("details of the login: Sidepost takes PLAIN or LOGIN, under TLS", setting);
        }
        "ALIAS_FILE" => {
            if let Ok(aliases) = files.named_by(text, value) {
                draft.root_alias(&aliases);
            }
        }
        _ => draft.pass_over(RUNS, setting),
    }
}

/// `AuthInfo:host "U:name" "I:login" "P:password"`; `P=` has it in base64.
fn logins(table: &Text, draft: &mut Draft) -> Vec<Login> {
    let mut logins = Vec::new();
    for (at, line) in table.joined_lines() {
        let Some(rest) = line.strip_prefix("AuthInfo:") else { continue };
        let (host, rest) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        let mut login = Login { host: host.to_owned(), username: None, password: None, at };
        let mut authorized = None;
        for item in quoted(rest) {
            match (
                item.get(..1).unwrap_or_default(),
                item.get(1..2).unwrap_or_default(),
                item.get(2..).unwrap_or_default(),
            ) {
                ("U", ":", value) => authorized = Some(value.to_owned()),
                ("I", ":", value) => login.username = Some(value.to_owned()),
                ("P", ":", value) => login.password = Some(value.to_owned()),
                ("U" | "I" | "P", "=", value) => {
                    match STANDARD.decode(value).ok().and_then(|bytes| String::from_utf8(bytes).ok()) {
                        Some(value) if item.starts_with('P') => login.password = Some(value),
                        Some(value) if item.starts_with('I') => login.username = Some(value),
                        Some(value) => authorized = Some(value),
                        None => draft.look(&login.at, "a value with `=` is no base64; passed over"),
                    }
                }
                ("M" | "R", _, _) => {}
                _ => draft.look(
                    &login.at,
                    "an item is not of the form \"U:name\", \"I:login\", \"P:password\" or \"M:mechanism\"",
                ),
            }
        }
        login.username = login.username.or(authorized);
        logins.push(login);
    }
    logins
}

/// Texts in quotation marks, or words without.
fn quoted(rest: &str) -> Vec<&str> {
    let (mut items, mut rest) = (Vec::new(), rest.trim());
    while !rest.is_empty() {
        let (item, more) = match rest.strip_prefix('"') {
            Some(inside) => inside.split_once('"').unwrap_or((inside, "")),
            None => rest.split_once(char::is_whitespace).unwrap_or((rest, "")),
        };
        items.push(item);
        rest = more.trim_start();
    }
    items
}

/// Sendmail asks with the server's name, then with its address, then with nothing.
fn login(relay: &Destination, logins: &[Login], draft: &mut Draft) {
    let host_of =
        |login: &&Login| Destination::parse(&login.host).map_or_else(|_| login.host.clone(), |server| server.host);
    let same = |login: &&Login| host_of(login).eq_ignore_ascii_case(&relay.host);
    let found = logins.iter().find(same).or_else(|| logins.iter().find(|login| login.host.is_empty()));
    let Some(found) = found else {
        if let Some(login) = logins.first() {
            draft.look(&login.at, format!("no entry is for {}, so Sendmail does not log in there", relay.host));
        }
        return;
    };
    if found.host.starts_with('[') {
        draft.look(&found.at, "Sendmail asks with the server's name alone: with brackets the entry is not found, and it has not logged in");
    }
    match (&found.username, &found.password) {
        (Some(username), Some(password)) => draft.login(username, password, &found.at),
        _ => draft.look(&found.at, "a login needs \"I:\" (or \"U:\") and \"P:\""),
    }
    if logins.len() > 1 {
        draft.lose(
            &found.at,
            format!(
                "Sidepost has one login, so that there is no place for those of other servers ({})",
                logins.len() - 1
            ),
        );
    }
}

#[cfg(test)]
mod tests;
