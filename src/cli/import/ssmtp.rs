//! sSMTP: `ssmtp.conf` and `revaliases` (ssmtp.conf(5)).

use super::authorities;
use super::destination::Destination;
use super::draft::{Draft, Protection};
use super::source::{Files, Place, Text};

/// Reads the configuration.
///
/// # Errors
/// What cannot be understood at all, by file and line.
pub fn read(texts: &[Text], files: &Files, draft: &mut Draft) -> Result<(), String> {
    let mut found = Found::default();
    for text in texts {
        if text.name() == "revaliases" {
            reverse_aliases(text, draft);
        } else {
            found.read(text, files, draft)?;
        }
    }
    found.conclude(texts, draft);
    Ok(())
}

#[derive(Default)]
struct Found {
    mailhub: Option<Place>,
    tls: Option<Place>,
    starttls: Option<Place>,
    username: Option<(String, Place)>,
    password: Option<(String, Place)>,
    authorities: bool,
}

impl Found {
    fn read(&mut self, text: &Text, files: &Files, draft: &mut Draft) -> Result<(), String> {
        for (at, line) in text.lines() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let Some((key, value)) = line.split_once('=') else {
                draft.look(&at, "not of the form `key=value`; passed over, as sSMTP does");
                continue;
            };
            // sSMTP takes what follows a # for a comment everywhere, in a password too.
            let (value, cut) = value.split_once('#').map_or((value, false), |(value, _)| (value, true));
            self.take(key.trim(), value.trim(), cut, (text, &at), files, draft)?;
        }
        Ok(())
    }

    fn take(
        &mut self,
        key: &str,
        value: &str,
        cut: bool,
        (text, at): (&Text, &Place),
        files: &Files,
        draft: &mut Draft,
    ) -> Result<(), String> {
        let yes = value.eq_ignore_ascii_case("yes");
        match key.to_ascii_lowercase().as_str() {
            _ if value.is_empty() => {}
            "mailhub" => {
                let server = Destination::parse(value).map_err(|why| format!("{at}: mailhub: {why}"))?;
                draft.server(&server.host, Some(server.port.unwrap_or(25)), at);
                self.mailhub = Some(at.clone());
            }
            "usetls" => self.tls = yes.then(|| at.clone()),
            "usestarttls" => self.starttls = yes.then(|| at.clone()),
            "authuser" => self.username = Some((value.to_owned(), at.clone())),
            "authpass" => {
                if cut {
                    draft.look(at, "sSMTP ends the password at its first #; if it goes on after that, the login has not worked");
                }
                if value.starts_with('"') {
                    draft.look(at, "quotation marks are part of the password for sSMTP, and are carried over as such");
                }
                self.password = Some((value.to_owned(), at.clone()));
            }
            "authmethod" if value.eq_ignore_ascii_case("login") => draft.set("AUTH", "login", at),
            "authmethod" => draft.look(at, "AuthMethod: Sidepost logs in by PLAIN or LOGIN, under TLS"),
            "hostname" => draft.helo_name(value, at),
            "root" if value.contains('@') => draft.set("LOCAL_RECIPIENT", value, at),
            "root" => draft.look(at, "root names no whole address; SIDEPOST_LOCAL_RECIPIENT wants one, for cron's mail to `root`"),
            "rewritedomain" => draft.look(
                at,
                "rewriteDomain completes senders without a domain; Sidepost wants whole addresses, and SIDEPOST_FROM for \
                 messages that name none",
            ),
            "fromlineoverride" if yes => {}
            "fromlineoverride" => draft.look(
                at,
                "FromLineOverride is not YES, so sSMTP writes every From anew; Sidepost does that by SIDEPOST_FROM with \
                 SIDEPOST_FROM_MODE=force",
            ),
            "tls_ca_file" => {
                self.authorities = true;
                authorities::file(key, value, text, at, files, draft);
            }
            "tls_ca_dir" => {
                self.authorities = true;
                authorities::folder(key, value, at, draft);
            }
            "usetlscert" | "tlscert" | "tlskey" => draft.lose(at, format!("{key}: Sidepost shows the server no certificate of its own")),
            "debug" => draft.pass_over("how the program itself runs", key),
            _ => draft.not_known(key, at),
        }
        Ok(())
    }

    fn conclude(self, texts: &[Text], draft: &mut Draft) {
        let Some(mailhub) = self.mailhub else {
            if let Some(text) = texts.first() {
                draft.look(
                    &text.at(0),
                    "mailhub is not set: sSMTP then says `Cannot open mail:25`, and nothing has left",
                );
            }
            return;
        };
        let (protection, at) = match (self.starttls, self.tls) {
            (Some(at), _) => (Protection::StartTls, at),
            (None, Some(at)) => (Protection::Implicit, at),
            (None, None) => (Protection::Plain, mailhub),
        };
        draft.protect(protection, &at);
        draft.unverified = (protection != Protection::Plain && !self.authorities).then_some(at);
        match (self.username, self.password) {
            (Some((username, _)), Some((password, at))) => draft.login(&username, &password, &at),
            (Some((username, at)), None) => draft.username(&username, &at),
            (None, Some((_, at))) => draft.look(&at, "AuthPass without AuthUser: sSMTP does not log in; left out"),
            (None, None) => {}
        }
    }
}

/// `user:address[:mailhub]`.
fn reverse_aliases(text: &Text, draft: &mut Draft) {
    let lines: Vec<_> = text.lines().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#')).collect();
    let fields: Vec<Vec<&str>> = lines.iter().map(|(_, line)| line.split(':').map(str::trim).collect()).collect();
    if let (Some((at, _)), Some([_, address, more @ ..])) = (lines.first(), fields.first().map(Vec::as_slice)) {
        draft.from(address, false, at);
        if !more.is_empty() {
            draft.lose(at, "revaliases: a server for each user has no place in Sidepost, which has one");
        }
        if lines.len() > 1 {
            draft.lose(at, "revaliases: an address for each user has no place in Sidepost; the first is SIDEPOST_FROM");
        }
    }
}

#[cfg(test)]
mod tests;
