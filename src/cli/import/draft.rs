//! What a reader found: where mail leaves and how, what has no place in Sidepost, and what looks wrong.

use std::path::Path;
use std::rc::Rc;

use super::source::{Place, Text};
use crate::config::secret::Secret;
use crate::message::Address;
use crate::message::address::Mailbox;
use crate::net::name::full;

/// More than these are counted, not told.
const MOST_NOTES: usize = 200;
const LONGEST_SHOWN: usize = 80;
/// The default of `SIDEPOST_MAX_IN_FLIGHT_BYTES`.
const IN_FLIGHT: u64 = 64 << 20;

/// A value and where it stood.
#[derive(Clone, Debug)]
pub struct Given<T> {
    /// The value.
    pub value: T,
    /// Where it stood.
    pub at: Place,
}

/// How a program protects the connection that it makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// TLS from the first byte.
    Implicit,
    /// STARTTLS or nothing.
    StartTls,
    /// STARTTLS where it is offered, else plain text.
    Opportunistic,
    /// Plain text.
    Plain,
}

/// Something that a person should know.
#[derive(Clone, Debug)]
pub struct Note {
    /// Where it stands, if at one place.
    pub at: Option<Place>,
    /// What it is and what to do.
    pub sentence: String,
}

/// All of it.
#[derive(Debug, Default)]
pub struct Draft {
    /// The submission server.
    pub host: Option<Given<String>>,
    /// Its port.
    pub port: Option<Given<u16>>,
    /// How the connection is protected.
    pub protection: Option<Given<Protection>>,
    /// That the program does not look at the server's certificate.
    pub unverified: Option<Place>,
    /// The login name.
    pub username: Option<Given<String>>,
    /// The password or key.
    pub secret: Option<Given<Secret>>,
    /// Settings without a rule of their own, by name.
    pub settings: Vec<(&'static str, Given<String>)>,
    /// The same for secrets.
    pub secrets: Vec<(&'static str, Given<Secret>)>,
    /// What looks wrong, or will be different.
    pub looks: Vec<Note>,
    /// What has no equivalent.
    pub lost: Vec<Note>,
    /// What needs none: the names, by the reason.
    pub idle: Vec<(&'static str, Vec<String>)>,
    /// Names that say nothing to us, by the file and with their lines.
    pub unknown: Vec<(Rc<Path>, Vec<String>)>,
    /// How many notes there was no room for.
    pub untold: usize,
}

impl Draft {
    /// Takes a setting for Sidepost over, unless one line could not carry it.
    pub fn set(&mut self, name: &'static str, value: impl Into<String>, at: &Place) {
        let value = value.into();
        if !value.is_empty() && self.is_one_line(name, &value, at) {
            self.settings.retain(|(known, _)| *known != name);
            self.settings.push((name, Given { value, at: at.clone() }));
        }
    }

    /// Takes a secret over.
    pub fn hide(&mut self, name: &'static str, value: &str, at: &Place) {
        if !value.is_empty() {
            self.secrets.push((name, secret(value, at)));
        }
    }

    /// Takes over where the server is.
    pub fn server(&mut self, host: &str, port: Option<u16>, at: &Place) {
        if !self.is_one_line("HOST", host, at) {
            return;
        }
        self.host = Some(Given { value: host.to_owned(), at: at.clone() });
        if let Some(port) = port {
            self.port = Some(Given { value: port, at: at.clone() });
        }
    }

    /// Takes over how the connection is protected.
    pub fn protect(&mut self, protection: Protection, at: &Place) {
        self.protection = Some(Given { value: protection, at: at.clone() });
    }

    /// Takes a login over.
    pub fn login(&mut self, username: &str, password: &str, at: &Place) {
        self.username(username, at);
        self.secret = Some(secret(password, at));
    }

    /// Takes a login name over, where the password is elsewhere.
    pub fn username(&mut self, username: &str, at: &Place) {
        if !self.is_one_line("USERNAME", username, at) {
            return;
        }
        self.username = Some(Given { value: username.to_owned(), at: at.clone() });
    }

    /// Whether a setting was taken over already.
    pub fn has(&self, name: &str) -> bool {
        self.settings.iter().any(|(known, _)| *known == name)
    }

    /// Takes over the name for EHLO, if others can know it.
    pub fn helo_name(&mut self, name: &str, at: &Place) {
        match full(name) {
            Some(name) if !name.ends_with(".local") => self.set("HELO_NAME", name, at),
            _ => self.pass_over(
                "names of this host that nobody else knows: Sidepost gives its address in their place",
                name,
            ),
        }
    }

    /// Takes over the size of the largest message; 0 means none.
    pub fn message_bytes(&mut self, bytes: &str, at: &Place) {
        match bytes.parse::<u64>() {
            Ok(0) => {
                self.look(at, "messages may have any size; Sidepost takes up to SIDEPOST_MAX_MESSAGE_BYTES, 25MiB");
            }
            Ok(large) if large > IN_FLIGHT => {
                self.set("MAX_MESSAGE_BYTES", bytes, at);
                self.set("MAX_IN_FLIGHT_BYTES", bytes, at);
                self.look(at, "a message of that size is held in memory while it is sent: give the container as much");
            }
            _ => self.set("MAX_MESSAGE_BYTES", bytes, at),
        }
    }

    /// Takes over who gets the mail of `root`, out of a list of aliases (aliases(5)).
    pub fn root_alias(&mut self, text: &Text) {
        let root = text.lines().find_map(|(at, line)| {
            let (name, value) = line.split_once(':')?;
            name.trim().trim_matches('"').eq_ignore_ascii_case("root").then(|| (at, value.trim().to_owned()))
        });
        let Some((at, value)) = root else { return };
        match Address::parse(&value) {
            Ok(_) => self.set("LOCAL_RECIPIENT", value, &at),
            Err(_) => self.look(&at, "mail for root goes to no single address; SIDEPOST_LOCAL_RECIPIENT wants one"),
        }
    }

    /// Takes over who mail is from, where it says; `force` replaces what it says.
    pub fn from(&mut self, sender: &str, force: bool, at: &Place) {
        if Mailbox::parse(sender).is_err() {
            return self.lose(at, "the sender is no address that stays the same; SIDEPOST_FROM wants one");
        }
        self.set("FROM", sender, at);
        if force {
            self.set("FROM_MODE", "force", at);
        }
    }

    /// Notes what looks wrong or will be different.
    pub fn look(&mut self, at: &Place, sentence: impl Into<String>) {
        if self.has_room() {
            self.looks.push(Note { at: Some(at.clone()), sentence: sentence.into() });
        }
    }

    /// Notes what has no equivalent.
    pub fn lose(&mut self, at: &Place, sentence: impl Into<String>) {
        if self.has_room() {
            self.lost.push(Note { at: Some(at.clone()), sentence: sentence.into() });
        }
    }

    /// Notes what needs no equivalent, and why.
    pub fn pass_over(&mut self, reason: &'static str, name: &str) {
        let names = list_of(&mut self.idle, &reason);
        let name = fit(name, "_-.:/[]@*^, ");
        if !names.contains(&name) && names.len() < MOST_NOTES {
            names.push(name);
        }
    }

    /// Notes a name that says nothing to us.
    pub fn not_known(&mut self, name: &str, at: &Place) {
        let names = list_of(&mut self.unknown, &at.file);
        if names.len() < MOST_NOTES {
            names.push(format!("{} (line {})", shown(name), at.line));
        } else {
            self.untold += 1;
        }
    }

    /// A variable is one line of an env file.
    fn is_one_line(&mut self, name: &str, value: &str, at: &Place) -> bool {
        let whole = !value.chars().any(char::is_control);
        if !whole {
            self.lose(at, format!("the value for SIDEPOST_{name} has a line end or another control character"));
        }
        whole
    }

    /// A file of settings may be nothing but mistakes.
    fn has_room(&mut self) -> bool {
        let room = self.looks.len() + self.lost.len() < MOST_NOTES;
        self.untold += usize::from(!room);
        room
    }
}

/// The list of that name, a new one if need be. There are few.
fn list_of<'a, K: PartialEq + Clone>(lists: &'a mut Vec<(K, Vec<String>)>, key: &K) -> &'a mut Vec<String> {
    let at = lists.iter().position(|(known, _)| known == key).unwrap_or_else(|| {
        lists.push((key.clone(), Vec::new()));
        lists.len() - 1
    });
    &mut lists[at].1
}

fn secret(value: &str, at: &Place) -> Given<Secret> {
    Given { value: Secret::new(value.as_bytes().to_vec()), at: at.clone() }
}

/// A name out of a file, fit for a sentence. What is no name may be a password that slipped there.
pub fn shown(name: &str) -> String {
    fit(name, "_-.:/[]@*^")
}

fn fit(name: &str, more: &str) -> String {
    let is_name = name.chars().all(|c| c.is_alphanumeric() || more.contains(c));
    match name.char_indices().nth(LONGEST_SHOWN) {
        _ if !is_name => "(not a name)".to_owned(),
        Some((end, _)) => format!("{}...", &name[..end]),
        None => name.to_owned(),
    }
}
