//! `sasl_passwd`: which login Postfix takes for its relay, and why it may take none.

use super::super::destination::Destination;
use super::super::draft::{Draft, shown};
use super::super::source::{Place, Text};
use super::Postfix;
use super::tables::{self, Entry, Table};

impl Postfix<'_> {
    /// The login for the relay as it is written in `relayhost`.
    pub fn login(&self, relay: &str, at: &Place, table: Option<&Text>, draft: &mut Draft) -> Result<(), String> {
        let tables = match (table, self.value("smtp_sasl_password_maps")?) {
            (Some(table), _) => vec![Table::Entries(tables::entries(table))],
            (None, Some((value, at))) => {
                tables::read("smtp_sasl_password_maps", &value, &at, self.main, self.files, draft)
            }
            (None, None) => return Ok(()),
        };
        if self.parameters.is_yes("smtp_sasl_auth_enable")?.is_none() {
            draft.look(at, "smtp_sasl_auth_enable is not `yes`, so Postfix does not log in; the login is carried over all the same");
        }
        if let Some(at) = self.parameters.is_yes("smtp_sender_dependent_authentication")? {
            draft.lose(
                &at,
                "smtp_sender_dependent_authentication: logins by sender have no place in Sidepost, which has one",
            );
        }
        self.mechanism(draft)?;
        let delimiter = self.value("smtp_sasl_password_result_delimiter")?;
        let delimiter = delimiter.as_ref().map_or(":", |(delimiter, _)| delimiter.as_str());
        choose(relay, at, &tables, delimiter, draft);
        Ok(())
    }

    fn mechanism(&self, draft: &mut Draft) -> Result<(), String> {
        let Some((filter, at)) = self.value("smtp_sasl_mechanism_filter")? else { return Ok(()) };
        let words: Vec<_> =
            filter.split([',', ' ']).filter(|word| !word.is_empty()).map(str::to_ascii_lowercase).collect();
        match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["plain"] => draft.set("AUTH", "plain", &at),
            ["login"] => draft.set("AUTH", "login", &at),
            ["xoauth2" | "oauthbearer", ..] => draft.lose(
                &at,
                "smtp_sasl_mechanism_filter: the login is by OAuth, and its tokens are kept by a plug-in (sasl-xoauth2); \
                 `sidepost oauth login` gets the variables, SIDEPOST_OAUTH_*",
            ),
            _ => {}
        }
        Ok(())
    }
}

/// A table of logins without a `main.cf`: its key is the relay.
///
/// # Errors
/// No key is a server.
pub fn alone(table: &Text, draft: &mut Draft) -> Result<(), String> {
    let entries = tables::entries(table);
    let server =
        |entry: &Entry| Destination::parse(&entry.key).ok().map(|server| (server, entry.key.clone(), entry.at.clone()));
    let (server, key, at) = entries
        .iter()
        .find_map(server)
        .ok_or_else(|| format!("{}: no entry is of the form `[server]:port user:password`", table.path.display()))?;
    draft.server(&server.host, server.port, &at);
    choose(&key, &at, &[Table::Entries(entries)], ":", draft);
    Ok(())
}

/// Postfix asks for the server's name alone, then for the relay as it is written.
fn choose(relay: &str, at: &Place, tables: &[Table], delimiter: &str, draft: &mut Draft) {
    let host = host_of(relay);
    let mut entries = Vec::new();
    for table in tables {
        match table {
            Table::Static(login) => return take(login, delimiter, at, draft),
            Table::Entries(found) => entries.extend(found),
            Table::Patterns(_) => {
                draft.lose(at, "smtp_sasl_password_maps: logins by pattern have no place in Sidepost");
            }
        }
    }
    let find = |wanted: &str| entries.iter().find(|entry| entry.key.eq_ignore_ascii_case(wanted));
    let exact = find(&host).or_else(|| find(relay));
    if let Some(entry) = exact {
        take(&entry.value, delimiter, &entry.at, draft);
    } else if let Some(entry) = entries.iter().find(|entry| host_of(&entry.key) == host) {
        draft.look(
            &entry.at,
            format!(
                "the key `{}` is not what relayhost says, `{}`: brackets and port have to be the same, so Postfix has not \
                 logged in with it; the login is carried over all the same",
                shown(&entry.key),
                shown(relay)
            ),
        );
        take(&entry.value, delimiter, &entry.at, draft);
    } else if let Some(entry) = entries.first() {
        draft
            .look(&entry.at, format!("no entry is for the relay `{}`, so Postfix does not log in there", shown(relay)));
    } else {
        draft.look(at, "smtp_sasl_password_maps has no login at all");
    }
    let others = entries.iter().filter(|entry| host_of(&entry.key) != host).count();
    if others > 0 {
        let sentence = format!(
            "smtp_sasl_password_maps: Sidepost has one login, so that there is no place for those of other servers or senders ({others})"
        );
        draft.lose(at, sentence);
    }
}

fn host_of(text: &str) -> String {
    Destination::parse(text).map_or_else(|_| text.to_ascii_lowercase(), |server| server.host.to_ascii_lowercase())
}

/// A login name has no colon; what comes after the first is the password, colons and quotation marks included.
fn take(login: &str, delimiter: &str, at: &Place, draft: &mut Draft) {
    match login.split_once(delimiter) {
        Some((username, password)) if !username.is_empty() && !password.is_empty() => {
            draft.login(username, password, at);
        }
        _ => draft.look(at, "not of the form `user:password`, so there is no login"),
    }
}
