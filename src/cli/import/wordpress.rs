//! `wp-config.php`: the constants of WP Mail SMTP (`WPMS_...`), Post SMTP and `FluentSMTP`.
//!
//! <https://wpmailsmtp.com/docs/how-to-secure-smtp-settings-by-using-constants/>

use super::draft::{Draft, Protection, shown};
use super::source::{Place, Text};

/// What a constant may be.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Constant {
    /// A text, a number, or a switch as a text.
    Known(String),
    /// What PHP would have to work out.
    Expression,
}

/// The constants of mail plugins, in their order.
type Constants = Vec<(String, (Constant, Place))>;

/// How theirs begin.
const OF_MAIL: [&str; 3] = ["WPMS_", "POST_SMTP_", "FLUENTMAIL_"];
/// More there are not.
const MOST: usize = 200;

/// Mailers whose key is an SMTP password too: the word for `WPMS_MAILER`, the constant with the key, and the server.
const BY_KEY: [(&str, &str, &str); 3] = [
    ("sendgrid", "WPMS_SENDGRID_API_KEY", "smtp.sendgrid.net"),
    ("postmark", "WPMS_POSTMARK_SERVER_API_TOKEN", "smtp.postmarkapp.com"),
    ("mandrill", "WPMS_MANDRILL_API_KEY", "smtp.mandrillapp.com"),
];

/// Reads the configuration.
///
/// # Errors
/// There is nothing of a mail plugin in it.
pub fn read(texts: &[Text], draft: &mut Draft) -> Result<(), String> {
    let text = texts.first().ok_or("nothing to read")?;
    let constants = constants(text)?;
    if constants.is_empty() {
        return Err(format!(
            "{}: no constant of WP Mail SMTP, Post SMTP or FluentSMTP is in it; their other settings are in WordPress' database, \
             where the plugin shows them",
            text.path.display()
        ));
    }
    let source = Source { constants: &constants, text };
    source.switched_off(draft);
    source.mailer(draft);
    source.sender(draft);
    source.of_other_plugins(draft);
    source.rest(draft);
    Ok(())
}

struct Source<'a> {
    constants: &'a Constants,
    text: &'a Text,
}

impl Source<'_> {
    fn get(&self, name: &str) -> Option<&(Constant, Place)> {
        self.constants.iter().find(|(known, _)| known == name).map(|(_, found)| found)
    }

    /// A constant's value; one that PHP works out is told.
    fn value(&self, name: &str, draft: &mut Draft) -> Option<(&str, &Place)> {
        match self.get(name)? {
            (Constant::Known(value), at) if !value.is_empty() => Some((value, at)),
            (Constant::Known(_), _) => None,
            (Constant::Expression, at) => {
                draft.look(
                    at,
                    format!(
                        "{name} is worked out by PHP (getenv() or the like), which cannot be seen here; set it yourself"
                    ),
                );
                None
            }
        }
    }

    fn is_true(&self, name: &str) -> bool {
        self.get(name).is_some_and(|(value, _)| matches!(value, Constant::Known(word) if word == "true" || word == "1"))
    }

    fn at(&self, name: &str) -> Place {
        self.get(name).map_or_else(|| self.text.at(0), |(_, at)| at.clone())
    }

    fn switched_off(&self, draft: &mut Draft) {
        if self.constants.iter().any(|(name, _)| name.starts_with("WPMS_")) && !self.is_true("WPMS_ON") {
            draft.look(
                &self.at("WPMS_ON"),
                "WPMS_ON is not true, so WP Mail SMTP does not look at these constants but at its own settings",
            );
        }
        if self.is_true("WPMS_DO_NOT_SEND") {
            draft.look(
                &self.at("WPMS_DO_NOT_SEND"),
                "no mail leaves at all; SIDEPOST_PROVIDER=capture does the same and shows it",
            );
        }
    }

    fn mailer(&self, draft: &mut Draft) {
        let mailer = self.value("WPMS_MAILER", draft).map(|(word, at)| (word.to_owned(), at.clone()));
        let has_smtp = self.get("WPMS_SMTP_HOST").is_some();
        match mailer.as_ref().map(|(word, at)| (word.as_str(), at)) {
            Some(("smtp", _)) => self.smtp(draft),
            None if has_smtp => self.smtp(draft),
            Some(("sendgrid" | "postmark" | "mandrill", _)) => self.by_key(draft),
            Some(("mail", at)) => draft.lose(at, "WPMS_MAILER is `mail`, PHP's own way, which names no server"),
            Some((word, at)) => draft.lose(
                at,
                format!(
                    "WPMS_MAILER is `{}`, which speaks the provider's own API; Sidepost sends by SMTP and needs the provider's SMTP \
                     login, or for Google and Microsoft `sidepost oauth login`",
                    shown(word)
                ),
            ),
            None => {}
        }
    }

    fn smtp(&self, draft: &mut Draft) {
        let Some((host, at)) = self.value("WPMS_SMTP_HOST", draft).map(|(host, at)| (host.to_owned(), at.clone()))
        else {
            return;
        };
        let port = self.value("WPMS_SMTP_PORT", draft).and_then(|(port, _)| port.parse().ok());
        let tls = self.value("WPMS_SSL", draft).map(|(word, at)| (word.to_ascii_lowercase(), at.clone()));
        let usual = if tls.as_ref().is_some_and(|(word, _)| word == "ssl") { 465 } else { 25 };
        draft.server(&host, Some(port.unwrap_or(usual)), &at);
        match tls {
            Some((word, at)) if word == "ssl" => draft.protect(Protection::Implicit, &at),
            Some((_, at)) => draft.protect(Protection::StartTls, &at),
            // PHPMailer takes STARTTLS by itself where it is offered.
            None => draft.protect(Protection::Opportunistic, &at),
        }
        let username = self.value("WPMS_SMTP_USER", draft).map(|(name, at)| (name.to_owned(), at.clone()));
        let password = self.value("WPMS_SMTP_PASS", draft).map(|(password, at)| (password.to_owned(), at.clone()));
        let auth = self.get("WPMS_SMTP_AUTH");
        if auth.is_some_and(|(value, _)| *value == Constant::Known("false".to_owned())) {
            if password.is_some() {
                draft.look(
                    &self.at("WPMS_SMTP_AUTH"),
                    "WPMS_SMTP_AUTH is false, so there is no login; the password is left out",
                );
            }
            return;
        }
        match (username, password) {
            (Some((username, _)), Some((password, at))) => draft.login(&username, &password, &at),
            (Some((username, at)), None) => draft.username(&username, &at),
            (None, _) => {}
        }
    }

    fn by_key(&self, draft: &mut Draft) {
        let mailer = self.value("WPMS_MAILER", draft).map(|(word, _)| word.to_owned());
        let Some((_, constant, host)) = BY_KEY.iter().find(|(word, ..)| mailer.as_deref() == Some(word)) else {
            return;
        };
        let place = self.at("WPMS_MAILER");
        draft.server(host, None, &place);
        if let Some((key, at)) = self.value(constant, draft).map(|(key, at)| (key.to_owned(), at.clone())) {
            // The preset knows the name that goes with a key; Postmark's is the key again.
            let name = match *host {
                "smtp.sendgrid.net" => "apikey",
                "smtp.postmarkapp.com" => &key,
                _ => "wordpress",
            };
            draft.login(name, &key, &at);
        }
    }

    fn sender(&self, draft: &mut Draft) {
        let name = self.value("WPMS_MAIL_FROM_NAME", draft).map(|(name, _)| name.to_owned());
        if let Some((address, at)) =
            self.value("WPMS_MAIL_FROM", draft).map(|(address, at)| (address.to_owned(), at.clone()))
        {
            let sender = match name {
                Some(name) if name.chars().all(|c| c.is_alphanumeric() || c == ' ') => format!("{name} <{address}>"),
                Some(name) if !name.contains(['"', '\\']) => format!("\"{name}\" <{address}>"),
                _ => address,
            };
            draft.from(&sender, self.is_true("WPMS_MAIL_FROM_FORCE"), &at);
        }
    }

    /// Post SMTP and `FluentSMTP` keep but the login in constants.
    fn of_other_plugins(&self, draft: &mut Draft) {
        for (user, password) in [
            ("POST_SMTP_AUTH_USERNAME", "POST_SMTP_AUTH_PASSWORD"),
            ("FLUENTMAIL_SMTP_USERNAME", "FLUENTMAIL_SMTP_PASSWORD"),
        ] {
            let username = self.value(user, draft).map(|(name, at)| (name.to_owned(), at.clone()));
            let secret = self.value(password, draft).map(|(secret, at)| (secret.to_owned(), at.clone()));
            let Some((username, at)) = username else { continue };
            match secret {
                Some((secret, at)) => draft.login(&username, &secret, &at),
                None => draft.username(&username, &at),
            }
            if draft.host.is_none() {
                draft.lose(
                    &at,
                    "the server is not among the plugin's constants but in WordPress' database; set SIDEPOST_PROVIDER (and \
                     SIDEPOST_HOST) as the plugin shows it",
                );
            }
        }
        if let Some((_, at)) = self.get("POST_SMTP_API_KEY") {
            draft.lose(at, "POST_SMTP_API_KEY: for which provider it is stands in WordPress' database; where its key is the SMTP password \
                            too (SendGrid, Mandrill, Postmark, Resend), it is SIDEPOST_API_KEY");
        }
    }

    fn rest(&self, draft: &mut Draft) {
        const READ: [&str; 20] = [
            "WPMS_ON",
            "WPMS_DO_NOT_SEND",
            "WPMS_MAILER",
            "WPMS_SMTP_HOST",
            "WPMS_SMTP_PORT",
            "WPMS_SSL",
            "WPMS_SMTP_USER",
            "WPMS_SMTP_PASS",
            "WPMS_SMTP_AUTH",
            "WPMS_SENDGRID_API_KEY",
            "WPMS_POSTMARK_SERVER_API_TOKEN",
            "WPMS_MANDRILL_API_KEY",
            "WPMS_MAIL_FROM",
            "WPMS_MAIL_FROM_FORCE",
            "WPMS_MAIL_FROM_NAME",
            "WPMS_MAIL_FROM_NAME_FORCE",
            "WPMS_SMTP_AUTOTLS",
            "WPMS_SET_RETURN_PATH",
            "WPMS_LICENSE_KEY",
            "WPMS_DOMAIN",
        ];
        for name in self
            .constants
            .iter()
            .map(|(name, _)| name)
            .filter(|name| name.starts_with("WPMS_") && !READ.contains(&name.as_str()))
        {
            draft.pass_over("settings of the plugin itself", name);
        }
        if self.is_true("WPMS_MAIL_FROM_NAME_FORCE") && !self.is_true("WPMS_MAIL_FROM_FORCE") {
            draft.lose(
                &self.at("WPMS_MAIL_FROM_NAME_FORCE"),
                "a name that replaces every other, for senders that stay as they are, is not done",
            );
        }
    }
}

/// `define( 'NAME', value );` outside of comments. Of two the first counts, as in PHP.
fn constants(text: &Text) -> Result<Constants, String> {
    let content = text.content();
    let (mut constants, mut at, mut line) = (Constants::new(), 0, 1);
    while at < content.len() {
        let rest = &content[at..];
        let length = if let Some(length) = comment(rest) {
            length
        } else if rest.starts_with(['\'', '"']) {
            string(rest).ok_or_else(|| format!("{}: a quotation mark is not closed", text.at(line)))?.1
        } else if rest.get(..6).is_some_and(|word| word.eq_ignore_ascii_case("define")) {
            if let Some((name, value)) = definition(&rest[6..]) {
                let is_new = !constants.iter().any(|(known, _)| *known == name);
                if is_new && constants.len() < MOST && OF_MAIL.iter().any(|start| name.starts_with(start)) {
                    constants.push((name, (value, text.at(line))));
                }
            }
            6
        } else {
            rest.chars().next().map_or(1, char::len_utf8)
        };
        line += rest[..length].matches('\n').count();
        at += length;
    }
    Ok(constants)
}

fn comment(rest: &str) -> Option<usize> {
    if let Some(inside) = rest.strip_prefix("/*") {
        return Some(inside.find("*/").map_or(rest.len(), |end| end + 4));
    }
    (rest.starts_with("//") || rest.starts_with('#')).then(|| rest.find('\n').unwrap_or(rest.len()))
}

fn definition(rest: &str) -> Option<(String, Constant)> {
    let rest = rest.trim_start().strip_prefix('(')?.trim_start();
    let (name, length) = string(rest)?;
    let rest = rest[length..].trim_start().strip_prefix(',')?.trim_start();
    let value = if rest.starts_with(['\'', '"']) {
        let (value, length) = string(rest)?;
        let ends = rest[length..].trim_start().starts_with(')');
        // Double quotation marks put variables in.
        let is_plain = ends && !(rest.starts_with('"') && value.contains('$'));
        if is_plain { Constant::Known(value) } else { Constant::Expression }
    } else {
        let word = rest.split(')').next().unwrap_or_default().trim();
        let is_word =
            word.eq_ignore_ascii_case("true") || word.eq_ignore_ascii_case("false") || word.parse::<u32>().is_ok();
        if is_word { Constant::Known(word.to_ascii_lowercase()) } else { Constant::Expression }
    };
    Some((name, value))
}

/// A text in quotation marks, and how long it is with them.
fn string(rest: &str) -> Option<(String, usize)> {
    let mark = rest.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    let mut text = String::new();
    let mut characters = rest.char_indices().skip(1);
    while let Some((at, c)) = characters.next() {
        match c {
            _ if c == mark => return Some((text, at + 1)),
            '\\' => {
                let (_, escaped) = characters.next()?;
                match (mark, escaped) {
                    (_, '\\') => text.push('\\'),
                    (_, c) if c == mark => text.push(c),
                    ('"', '$') => text.push('$'),
                    ('"', 'n') => text.push('\n'),
                    ('"', 't') => text.push('\t'),
                    (_, c) => text.extend(['\\', c]),
                }
            }
            c => text.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests;
