//! `main.cf`: names, values, and what `$name` in a value stands for (postconf(5)).

use std::collections::{BTreeMap, BTreeSet};

use super::super::draft::{Draft, shown};
use super::super::source::{Place, Text};

/// Values that grow beyond this by what they name are no settings.
const LONGEST_VALUE: usize = 16 * 1024;
/// Parameters that name parameters that name parameters.
const DEEPEST: usize = 20;
/// So many names in one value, those in what they stand for included.
const MOST_NAMES: usize = 1000;

/// What Postfix takes where nothing is set, as far as another value may name it.
const DEFAULTS: [(&str, &str); 7] = [
    ("config_directory", "/etc/postfix"),
    ("meta_directory", "/etc/postfix"),
    ("data_directory", "/var/lib/postfix"),
    ("queue_directory", "/var/spool/postfix"),
    ("default_database_type", "hash"),
    ("mail_name", "Postfix"),
    ("smtp_tls_mandatory_ciphers", "medium"),
];

/// The parameters that are set.
#[derive(Debug, Default)]
pub struct Parameters {
    set: BTreeMap<String, (String, Place)>,
}

impl Parameters {
    /// Reads a `main.cf`, or what `postconf -n` prints.
    pub fn read(text: &Text, draft: &mut Draft) -> Self {
        let mut parameters = Self::default();
        for (at, line) in text.joined_lines() {
            match line.split_once('=') {
                Some((name, value)) if is_name(name.trim()) => parameters.set(name.trim(), value.trim(), at, draft),
                _ => draft.look(&at, "not of the form `name = value`; passed over, as Postfix does with a warning"),
            }
        }
        parameters
    }

    /// Sets one. Of a name that stands twice the last value counts.
    pub fn set(&mut self, name: &str, value: &str, at: Place, draft: &mut Draft) {
        if let Some((before, _)) = self.set.get(name)
            && before != value
        {
            draft.look(&at, format!("{} stands a second time, with another value; the last one counts", shown(name)));
        }
        self.set.insert(name.to_owned(), (value.to_owned(), at));
    }

    /// The names that are set, each with its place.
    pub fn names(&self) -> impl Iterator<Item = (&str, &Place)> {
        self.set.iter().map(|(name, (_, at))| (name.as_str(), at))
    }

    /// The names that values name: somebody's own among them need no word.
    pub fn named(&self) -> BTreeSet<&str> {
        let behind = self.set.values().flat_map(|(value, _)| value.split('$').skip(1));
        let other = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
        behind.filter_map(|rest| rest.trim_start_matches(['{', '(', ' ']).split(other).next()).collect()
    }

    /// A value with everything in it that it names, unless it is not set or empty.
    ///
    /// # Errors
    /// It names itself, or more than any value has.
    pub fn value(&self, name: &str) -> Result<Option<(String, Place)>, String> {
        let Some((raw, at)) = self.set.get(name) else { return Ok(None) };
        let mut growing = Growing::default();
        self.expand(raw, 0, &mut growing).map_err(|why| format!("{at}: {name} {why}"))?;
        let value = growing.text.trim().to_owned();
        Ok((!value.is_empty()).then(|| (value, at.clone())))
    }

    /// Whether a parameter is set to yes.
    ///
    /// # Errors
    /// As [`Self::value`].
    pub fn is_yes(&self, name: &str) -> Result<Option<Place>, String> {
        Ok(self.value(name)?.filter(|(value, _)| value.eq_ignore_ascii_case("yes")).map(|(_, at)| at))
    }

    fn expand(&self, raw: &str, depth: usize, into: &mut Growing) -> Result<(), &'static str> {
        if depth > DEEPEST {
            return Err("names parameters that name each other in a circle");
        }
        let mut rest = raw;
        while let Some(at) = rest.find('$') {
            into.text.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            let (reference, more) = reference(rest);
            rest = more;
            match reference {
                None => into.text.push('$'),
                Some(inside) => self.refer(inside, depth, into)?,
            }
        }
        into.text.push_str(rest);
        if into.text.len() > LONGEST_VALUE { Err("grows without end by what it names") } else { Ok(()) }
    }

    /// `name`, `name?text` (if it is set), `name:text` (if it is not), `name?{text}:{text}`.
    fn refer(&self, inside: &str, depth: usize, into: &mut Growing) -> Result<(), &'static str> {
        into.names += 1;
        if into.names > MOST_NAMES {
            return Err("grows without end by what it names");
        }
        let end = inside.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(inside.len());
        let (name, rest) = inside.split_at(end);
        let value = self.set.get(name).map(|(value, _)| value.as_str());
        let value = value.or_else(|| DEFAULTS.iter().find(|(known, _)| *known == name).map(|(_, value)| *value));
        let is_set = value.is_some_and(|value| !value.is_empty());
        let chosen = match (rest.as_bytes().first(), is_set) {
            (None, _) => value.unwrap_or_default(),
            (Some(b'?'), _) => branch(&rest[1..], is_set),
            (Some(b':'), false) => braced(&rest[1..]).0,
            (Some(_), _) => "",
        };
        self.expand(chosen, depth + 1, into)
    }
}

/// A value that is being put together.
#[derive(Default)]
struct Growing {
    text: String,
    names: usize,
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// What stands behind a `$`, and what comes after it; nothing for `$$` and for a `$` that names nothing.
fn reference(rest: &str) -> (Option<&str>, &str) {
    match rest.as_bytes().first() {
        Some(b'$') => (None, &rest[1..]),
        Some(b'{' | b'(') => match closing(rest) {
            Some(end) => (Some(rest[1..end].trim()), &rest[end + 1..]),
            None => (None, rest),
        },
        _ => match rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len()) {
            0 => (None, rest),
            end => (Some(&rest[..end]), &rest[end..]),
        },
    }
}

/// Where the brace or bracket that a text begins with ends.
fn closing(text: &str) -> Option<usize> {
    let (open, close) = if text.starts_with('{') { (b'{', b'}') } else { (b'(', b')') };
    let mut depth = 0_usize;
    text.bytes().position(|b| {
        depth = if b == open { depth + 1 } else { depth - usize::from(b == close) };
        depth == 0
    })
}

/// A text in braces, or all of it; and what follows.
fn braced(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    match text.starts_with('{').then(|| closing(text)).flatten() {
        Some(end) => (text[1..end].trim(), &text[end + 1..]),
        None => (text, ""),
    }
}

fn branch(text: &str, is_set: bool) -> &str {
    let (yes, rest) = braced(text);
    match (is_set, rest.trim_start().strip_prefix(':')) {
        (true, _) => yes,
        (false, Some(no)) => braced(no).0,
        (false, None) => "",
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn value(content: &str, name: &str) -> Result<Option<String>, String> {
        let text = Text::new(Path::new("main.cf"), content);
        let parameters = Parameters::read(&text, &mut Draft::default());
        parameters.value(name).map(|found| found.map(|(value, _)| value))
    }

    #[test]
    fn values_name_other_values() {
        let content = "mydomain = shop.test\nmyhostname = mail.$mydomain\nempty =\nhost = [smtp.a.test]\nport=587\n\
                       relayhost = ${host}:$(port)\na = ${empty?{yes}:{no $mydomain}}\nb = ${mydomain?set}\nc = ${empty:unset}\n\
                       d = $$x $ ${ $none|\ne = ${mydomain:unset}\nf = $config_directory/x\n";
        for (name, wanted) in [
            ("myhostname", Some("mail.shop.test")),
            ("relayhost", Some("[smtp.a.test]:587")),
            ("a", Some("no shop.test")),
            ("b", Some("set")),
            ("c", Some("unset")),
            ("d", Some("$x $ ${ |")),
            ("e", None),
            ("f", Some("/etc/postfix/x")),
            ("empty", None),
            ("none", None),
        ] {
            assert_eq!(value(content, name), Ok(wanted.map(str::to_owned)), "{name}");
        }
    }

    #[test]
    fn circles_and_bombs_end() {
        let circle = value("a = $b\nb = x${c}\nc = $a\n", "a").unwrap_err();
        assert_eq!(circle, "main.cf line 1: a names parameters that name each other in a circle");
        let mut bomb = "a0 = aaaaaaaaaa\n".to_owned();
        for level in 1..19 {
            let before = level - 1;
            bomb.push_str(&format!("a{level} = {}\n", format!("$a{before}").repeat(10)));
        }
        assert!(value(&bomb, "a18").unwrap_err().ends_with("a18 grows without end by what it names"));
        let empty_bomb = bomb.replace("aaaaaaaaaa", "");
        assert!(value(&empty_bomb, "a18").is_err());
    }
}
