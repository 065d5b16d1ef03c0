//! nullmailer: the folder with `remotes`, and a file for each setting (nullmailer-send(8), nullmailer-inject(1)).

use super::authorities;
use super::destination::port;
use super::draft::{Draft, Protection};
use super::source::{Files, Place, Text};

const QUEUES: &str = "the queue: Sidepost has none, each answer is the provider's own";

/// Reads the configuration.
///
/// # Errors
/// What cannot be understood at all, by file and line.
pub fn read(texts: &[Text], files: &Files, draft: &mut Draft) -> Result<(), String> {
    let remotes =
        texts.iter().find(|text| !is_of_one_line(text.name())).ok_or("there is no `remotes` among the files")?;
    let mut lines = remotes.lines().filter(|(_, line)| !line.trim().is_empty() && !line.trim_start().starts_with('#'));
    match lines.next() {
        Some((at, line)) => remote(line, remotes, &at, files, draft)?,
        None => draft.look(&remotes.at(0), "no server in it: nullmailer keeps everything in its queue"),
    }
    if let Some((at, _)) = lines.next() {
        draft.lose(&at, "a further server, for when the first fails, has no place in Sidepost");
    }
    let own = ["helohost", "me"].iter().find_map(|name| texts.iter().find(|text| text.name() == *name));
    for text in texts {
        let at = text.at(1);
        let line = text.content().lines().next().unwrap_or_default().trim();
        match text.name() {
            _ if line.is_empty() => {}
            "helohost" | "me" if own.is_some_and(|own| own.path == text.path) => draft.helo_name(line, &at),
            "adminaddr" => administrator(line, &at, draft),
            "allmailfrom" => draft.from(line, true, &at),
            "defaulthost" | "defaultdomain" => draft.look(
                &at,
                "completes addresses without a domain; Sidepost wants whole addresses, SIDEPOST_FROM for messages that name \
                 none and SIDEPOST_LOCAL_RECIPIENT for mail to `root`",
            ),
            _ => {}
        }
    }
    draft.pass_over(QUEUES, "pausetime, sendtimeout, queuelifetime");
    Ok(())
}

fn is_of_one_line(name: &str) -> bool {
    matches!(name, "me" | "helohost" | "adminaddr" | "allmailfrom" | "defaulthost" | "defaultdomain" | "idhost")
}

/// Mail to users of this machine goes there.
fn administrator(line: &str, at: &Place, draft: &mut Draft) {
    let mut addresses = line.split(',').map(str::trim).filter(|address| !address.is_empty());
    if let Some(address) = addresses.next() {
        draft.set("LOCAL_RECIPIENT", address, at);
    }
    if addresses.next().is_some() {
        draft.lose(at, "SIDEPOST_LOCAL_RECIPIENT takes one address, the first");
    }
}

/// `host [protocol] [options]`.
fn remote(line: &str, text: &Text, at: &Place, files: &Files, draft: &mut Draft) -> Result<(), String> {
    let words = words(line).ok_or_else(|| format!("{at}: a quotation mark is not closed"))?;
    let mut words = words.iter().map(String::as_str);
    let host = words.next().unwrap_or_default().trim_matches(['[', ']']);
    let mut options = words.peekable();
    if options.peek().is_some_and(|word| *word == "smtp") {
        options.next();
    } else if options.peek() == Some(&"qmqp") {
        draft.lose(at, "qmqp: Sidepost speaks SMTP with the provider");
        options.next();
    }
    let (mut number, mut tls, mut starttls, mut login) = (None, false, false, (None, None));
    for option in options {
        let option = option.trim_start_matches('-');
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        match name {
            "port" => number = Some(port(value).ok_or_else(|| format!("{at}: port: not a port"))?),
            "user" => login.0 = Some(value),
            "pass" => login.1 = Some(value),
            "tls" | "ssl" => tls = true,
            "starttls" => starttls = true,
            "auth-login" => draft.set("AUTH", "login", at),
            "insecure" | "tls-anon-auth" => draft.unverified = Some(at.clone()),
            "x509cafile" => authorities::file(name, value, text, at, files, draft),
            "x509certfile" | "x509keyfile" => {
                draft.lose(at, format!("{name}: Sidepost shows the server no certificate of its own"));
            }
            "source" => draft.lose(at, "source: connections leave from an address that the network chooses"),
            _ => draft.not_known(if option.contains('=') { name } else { "(an option)" }, at),
        }
    }
    let usual = if tls && !starttls { 465 } else { 25 };
    draft.server(host, Some(number.unwrap_or(usual)), at);
    draft.protect(
        match (tls, starttls) {
            (_, true) => Protection::StartTls,
            (true, false) => Protection::Implicit,
            (false, false) => Protection::Plain,
        },
        at,
    );
    match login {
        (Some(username), Some(password)) => draft.login(username, password, at),
        (Some(_), None) | (None, Some(_)) => draft.look(at, "user= and pass= belong together: there is no login"),
        (None, None) => {}
    }
    Ok(())
}

/// Words as a shell splits them, as far as quotation marks and backslashes go.
fn words(line: &str) -> Option<Vec<String>> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None::<char>);
    let mut characters = line.chars();
    while let Some(c) = characters.next() {
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None | Some('"'), '\\') => word.get_or_insert_default().extend(characters.next()),
            (None, _) if c.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}

#[cfg(test)]
mod tests;
