//! The environment: which names we know, where each value came from, and every mistake at once.
//!
//! `envy` turns text into typed structs, but it stops at the first mistake and shows what it could not read. So the
//! names are sorted out here first, and each value that was given is tried alone: the list of problems is complete,
//! names variables, and never shows a value.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use serde::de::DeserializeOwned;

/// Every variable of ours begins with this.
pub const PREFIX: &str = "SIDEPOST_";
/// Larger files are no setting.
const LARGEST_FILE: u64 = 1 << 20;

/// One setting: its line in the documentation.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// The field it becomes: the name in lower case.
    pub field: &'static str,
    /// What holds when nothing is set; empty where the setting is then absent.
    pub default: &'static str,
    /// One sentence.
    pub help: &'static str,
    /// What a value looks like.
    pub expects: &'static str,
    /// Whether the value is never shown.
    pub secret: bool,
}

impl Setting {
    /// The name of the variable without the prefix.
    #[must_use]
    pub fn name(&self) -> String {
        self.field.to_ascii_uppercase()
    }
}

/// A struct whose fields are settings.
pub trait Settings: DeserializeOwned {
    /// One entry per field.
    const SETTINGS: &'static [Setting];
}

/// Declares a component's settings: a line each, from which come the field, its default and its documentation.
#[macro_export]
macro_rules! settings {
    ($(#[$outer:meta])* $vis:vis struct $name:ident { $(#[doc = $help:literal] $field:ident: $type:ty = $default:literal,)+ }) => {
        $(#[$outer])*
        #[derive(Clone, Debug, serde::Deserialize)]
        $vis struct $name {
            $(
                #[doc = $help]
                #[serde(deserialize_with = "crate::config::value::parsed")]
                pub $field: $type,
            )+
        }

        impl $crate::config::env::Settings for $name {
            const SETTINGS: &'static [$crate::config::env::Setting] = &[$(
                $crate::config::env::Setting {
                    field: stringify!($field),
                    default: $default,
                    help: $help,
                    expects: <$type as $crate::config::value::Value>::EXPECTS,
                    secret: <$type as $crate::config::value::Value>::SECRET,
                },
            )+];
        }
    };
}

/// Where a value in force came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nothing was set.
    Default,
    /// The provider's preset says so.
    Preset,
    /// The variable of that name.
    Variable,
    /// The file that the `_FILE` variable names.
    File(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Preset => f.write_str("preset"),
            Self::Variable => f.write_str("environment"),
            Self::File(path) => write!(f, "file {path}"),
        }
    }
}

/// Something in the environment that can never work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The variable, with its prefix.
    pub variable: String,
    /// What is wrong with it and what would be right. Never a value.
    pub sentence: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.variable, self.sentence)
    }
}

#[derive(Clone)]
struct Entry {
    text: String,
    origin: Origin,
}

/// The text may be a secret.
impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.origin.fmt(f)
    }
}

/// The settings given, by field, and the problems found so far.
#[derive(Debug)]
pub struct Env {
    known: Vec<Setting>,
    entries: BTreeMap<&'static str, Entry>,
    problems: Vec<Problem>,
}

impl Env {
    /// Sorts out the variables under our prefix. All others are not looked at.
    pub fn collect(variables: impl IntoIterator<Item = (OsString, OsString)>, known: Vec<Setting>) -> Self {
        let mut env = Self { known, entries: BTreeMap::new(), problems: Vec::new() };
        let mut ours: Vec<_> = variables
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_str()?.strip_prefix(PREFIX)?.to_owned(), value)))
            .collect();
        ours.sort();
        for (name, value) in ours {
            env.take(&name, value);
        }
        env
    }

    fn take(&mut self, name: &str, value: OsString) {
        // Empty counts as unset: templates produce `NAME=` for what was left out.
        if value.is_empty() || is_service_link(name, &value) {
            return;
        }
        if let Some(setting) = self.find(name) {
            self.insert(setting, value.into_vec(), Origin::Variable);
        } else if let Some(setting) = name.strip_suffix("_FILE").and_then(|name| self.find(name)) {
            self.take_file(setting, &value);
        } else {
            let sentence = match self.nearest(name) {
                Some(near) => format!("no such setting; did you mean {PREFIX}{near}?"),
                None => "no such setting; `sidepost config` lists them all".to_owned(),
            };
            self.problem(name, sentence);
        }
    }

    fn take_file(&mut self, setting: Setting, path: &OsStr) {
        match read_file(path, setting.secret) {
            Ok(bytes) => self.insert(setting, bytes, Origin::File(path.to_string_lossy().into_owned())),
            Err(why) => self.problem(&format!("{}_FILE", setting.name()), why),
        }
    }

    fn insert(&mut self, setting: Setting, bytes: Vec<u8>, origin: Origin) {
        if self.entries.contains_key(setting.field) {
            let name = setting.name();
            return self.problem(&name, format!("given twice: by {PREFIX}{name} and by {PREFIX}{name}_FILE"));
        }
        let text = if setting.secret {
            bytes.into_iter().map(char::from).collect()
        } else {
            match String::from_utf8(bytes) {
                Ok(text) => text.trim().to_owned(),
                Err(_) => return self.problem(&setting.name(), "not UTF-8".to_owned()),
            }
        };
        if !text.is_empty() {
            self.entries.insert(setting.field, Entry { text, origin });
        }
    }

    /// Notes a problem with the setting of that name (without prefix).
    pub fn problem(&mut self, name: &str, sentence: String) {
        self.problems.push(Problem { variable: format!("{PREFIX}{name}"), sentence });
    }

    /// All problems, in the order of the variables.
    #[must_use]
    pub fn into_problems(mut self) -> Vec<Problem> {
        self.problems.sort_by(|a, b| a.variable.cmp(&b.variable));
        self.problems
    }

    /// Whether there is a problem.
    #[must_use]
    pub fn has_problems(&self) -> bool {
        !self.problems.is_empty()
    }

    /// Puts a preset's value under what the environment says.
    pub fn preset(&mut self, field: &'static str, text: String) {
        self.entries.entry(field).or_insert(Entry { text, origin: Origin::Preset });
    }

    /// What the environment gave for a field, or its default, before it is read.
    #[must_use]
    pub fn peek(&self, field: &str) -> String {
        let default = || self.known.iter().find(|setting| setting.field == field).map_or("", |setting| setting.default);
        self.entries.get(field).map_or_else(default, |entry| &entry.text).to_owned()
    }

    /// A component's settings. What cannot be read is noted as a problem and taken as its default.
    pub fn read<T: Settings>(&mut self) -> T {
        for setting in T::SETTINGS {
            let Some(entry) = self.entries.get(setting.field) else { continue };
            if parse::<T>(&[(setting.field, &entry.text)]).is_none() {
                self.problem(&setting.name(), format!("expected {}", setting.expects));
                self.entries.remove(setting.field);
            }
        }
        let given: Vec<_> = T::SETTINGS
            .iter()
            .filter_map(|setting| Some((setting.field, self.entries.get(setting.field)?.text.as_str())))
            .collect();
        parse(&given).unwrap_or_else(|| unreachable!("each value and each default was read before"))
    }

    /// Every known setting with its value in force and where that came from; secrets only as `set`.
    pub fn in_force(&self) -> impl Iterator<Item = (Setting, String, Origin)> + '_ {
        self.known.iter().map(|setting| match self.entries.get(setting.field) {
            Some(_) if setting.secret => (*setting, "set".to_owned(), self.origin(setting.field)),
            Some(entry) => (*setting, entry.text.clone(), entry.origin.clone()),
            None if setting.default.is_empty() => (*setting, "unset".to_owned(), Origin::Default),
            None => (*setting, setting.default.to_owned(), Origin::Default),
        })
    }

    fn origin(&self, field: &str) -> Origin {
        self.entries.get(field).map_or(Origin::Default, |entry| entry.origin.clone())
    }

    fn find(&self, name: &str) -> Option<Setting> {
        self.known.iter().find(|setting| setting.name() == name).copied()
    }

    fn nearest(&self, name: &str) -> Option<String> {
        let bare = name.strip_suffix("_FILE").unwrap_or(name);
        let names = self.known.iter().map(Setting::name);
        nearest(bare, names)
    }
}

/// `envy` over the defaults and the values given.
fn parse<T: Settings>(given: &[(&str, &str)]) -> Option<T> {
    let value = |setting: &Setting| {
        let given = given.iter().find(|(field, _)| *field == setting.field);
        given.map_or(setting.default, |(_, text)| text).to_owned()
    };
    let pairs = T::SETTINGS.iter().map(|setting| (setting.field.to_owned(), value(setting)));
    envy::from_iter(pairs).ok()
}

/// The name most like `wanted`, if it is like it at all.
pub fn nearest(wanted: &str, names: impl Iterator<Item = String>) -> Option<String> {
    let closest = names.map(|name| (distance(wanted, &name), name)).min()?;
    (closest.0 <= 2.max(wanted.len() / 3)).then_some(closest.1)
}

/// Levenshtein's edit distance over bytes.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.bytes().enumerate() {
            let substitute = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substitute.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

/// The setting that a variable of ours means, by its value or by a file; its name without prefix and `_FILE`.
#[must_use]
pub fn setting_of(variable: &OsStr) -> Option<&str> {
    let name = variable.to_str()?.strip_prefix(PREFIX)?;
    Some(name.strip_suffix("_FILE").unwrap_or(name))
}

/// What Kubernetes puts into every pod of a namespace that has a Service called `sidepost`, or `sidepost-` and more.
///
/// <https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables>
fn is_service_link(name: &str, value: &OsStr) -> bool {
    let name = format!("_{name}");
    let link_value = value.as_bytes().windows(3).any(|w| w == b"://");
    name.ends_with("_SERVICE_HOST")
        || name.ends_with("_SERVICE_PORT")
        || name.contains("_SERVICE_PORT_")
        || (name.ends_with("_PORT") && link_value)
        || (name.contains("_PORT_") && ["_TCP", "_PROTO", "_PORT", "_ADDR"].iter().any(|end| name.ends_with(end)))
}

/// A path for a sentence. Where a secret is expected, a text that does not look like a path may be the secret itself.
fn shown(path: &OsStr, secret: bool) -> Cow<'_, str> {
    let text = path.to_string_lossy();
    let looks_like_a_path = ["/", "./", "../"].iter().any(|start| text.starts_with(start));
    if secret && !looks_like_a_path { Cow::Borrowed("the file that it should name") } else { text }
}

fn read_file(path: &OsStr, secret: bool) -> Result<Vec<u8>, String> {
    let shown = shown(path, secret);
    let size = std::fs::metadata(path).map_err(|error| format!("cannot read {shown}: {error}"))?.len();
    if size > LARGEST_FILE {
        return Err(format!("{shown} is larger than 1 MiB, which no setting is"));
    }
    let mut bytes = std::fs::read(path).map_err(|error| format!("cannot read {shown}: {error}"))?;
    // Editors and `echo` end a file with a newline; nothing else is touched, secrets are bytes.
    if bytes.ends_with(b"\n") {
        bytes.pop();
        if bytes.ends_with(b"\r") {
            bytes.pop();
        }
    }
    if bytes.is_empty() { Err(format!("{shown} is empty")) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::secret::Secret;

    settings! {
        struct Sample {
            /// A host.
            host: Option<String> = "",
            /// A port word.
            port: String = "auto",
            /// A wait.
            send_timeout: Duration = "30s",
            /// A secret.
            password: Option<Secret> = "",
        }
    }

    fn env(pairs: &[(&str, &str)]) -> Env {
        let pairs = pairs.iter().map(|(name, value)| (name.into(), value.into()));
        Env::collect(pairs, Sample::SETTINGS.to_vec())
    }

    fn problems(pairs: &[(&str, &str)]) -> Vec<String> {
        let mut env = env(pairs);
        env.read::<Sample>();
        env.into_problems().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn defaults_can_be_read() {
        let sample: Sample = env(&[]).read();
        assert_eq!(sample.send_timeout, Duration::from_secs(30));
        assert!(sample.host.is_none() && sample.password.is_none());
    }

    #[test]
    fn all_mistakes_are_told_at_once_and_no_value_is_shown() {
        let found = problems(&[
            ("SIDEPOST_SEND_TIMEOUT", "hunter2"),
            ("SIDEPOST_HOTS", "hunter2"),
            ("SIDEPOST_PASSWORD_FILE", "/no/such/file"),
            ("SIDEPOST_ZZZZZZZZZZZZ", "hunter2"),
            ("OTHER_THING", "hunter2"),
        ]);
        assert_eq!(found.len(), 4, "{found:?}");
        assert!(found[0].starts_with("SIDEPOST_HOTS: no such setting; did you mean SIDEPOST_HOST?"), "{found:?}");
        assert!(found[1].starts_with("SIDEPOST_PASSWORD_FILE: cannot read /no/such/file"), "{found:?}");
        assert!(found[2].starts_with("SIDEPOST_SEND_TIMEOUT: expected a duration"), "{found:?}");
        assert!(found[3].contains("lists them all"), "{found:?}");
        assert!(!found.concat().contains("hunter2"));
    }

    #[test]
    fn a_secret_in_the_place_of_its_path_is_not_shown() {
        for secret in ["hunter2", ".hunter2"] {
            let found = problems(&[("SIDEPOST_PASSWORD_FILE", secret), ("SIDEPOST_HOST_FILE", "nowhere")]);
            assert!(found[0].starts_with("SIDEPOST_HOST_FILE: cannot read nowhere: "), "{found:?}");
            let hidden = "SIDEPOST_PASSWORD_FILE: cannot read the file that it should name: ";
            assert!(found[1].starts_with(hidden), "{found:?}");
        }
    }

    #[test]
    fn a_file_gives_its_bytes_less_one_line_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("password");
        std::fs::write(&path, b" p#$\xff\"\\\n\n").unwrap();
        let sample: Sample = env(&[("SIDEPOST_PASSWORD_FILE", path.to_str().unwrap())]).read();
        assert_eq!(sample.password.unwrap().expose(), b" p#$\xff\"\\\n");
    }

    #[test]
    fn a_variable_given_twice_is_a_mistake() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("host");
        std::fs::write(&path, "mail.example").unwrap();
        let found = problems(&[("SIDEPOST_HOST", "a"), ("SIDEPOST_HOST_FILE", path.to_str().unwrap())]);
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("given twice"));
    }

    #[test]
    fn service_links_are_ignored_and_a_real_port_is_not() {
        let links = [
            ("SIDEPOST_SERVICE_HOST", "10.0.0.1"),
            ("SIDEPOST_SERVICE_PORT", "8025"),
            ("SIDEPOST_SERVICE_PORT_HTTP", "8025"),
            ("SIDEPOST_PORT", "tcp://10.0.0.1:8025"),
            ("SIDEPOST_PORT_8025_TCP", "tcp://10.0.0.1:8025"),
            ("SIDEPOST_PORT_8025_TCP_PROTO", "tcp"),
            ("SIDEPOST_PORT_8025_TCP_PORT", "8025"),
            ("SIDEPOST_PORT_8025_TCP_ADDR", "10.0.0.1"),
        ];
        assert_eq!(problems(&links), Vec::<String>::new());
        // Those of a Service called sidepost-eu.
        let others = links.map(|(name, value)| (name.replacen('_', "_EU_", 1), value));
        assert_eq!(problems(&others.each_ref().map(|(name, value)| (name.as_str(), *value))), Vec::<String>::new());
        assert_eq!(problems(&[("SIDEPOST_EU_PORT", "587")]).len(), 1);
        let sample: Sample = env(&[("SIDEPOST_PORT", "587")]).read();
        assert_eq!(sample.port, "587");
    }

    #[test]
    fn empty_is_unset_and_a_preset_lies_under_the_environment() {
        let mut env = env(&[("SIDEPOST_HOST", ""), ("SIDEPOST_PORT", "2525")]);
        env.preset("host", "smtp.example".to_owned());
        env.preset("port", "587".to_owned());
        let sample: Sample = env.read();
        assert_eq!((sample.host.as_deref(), sample.port.as_str()), (Some("smtp.example"), "2525"));
        let origins: Vec<_> = env.in_force().map(|(setting, _, origin)| (setting.field, origin)).collect();
        assert_eq!(origins[0], ("host", Origin::Preset));
        assert_eq!(origins[1], ("port", Origin::Variable));
        assert_eq!(origins[2], ("send_timeout", Origin::Default));
    }

    #[test]
    fn secrets_are_shown_as_set() {
        let env = env(&[("SIDEPOST_PASSWORD", "hunter2")]);
        let shown: Vec<_> = env.in_force().map(|(_, shown, _)| shown).collect();
        assert_eq!(shown, ["unset", "auto", "30s", "set"]);
        assert!(!format!("{env:?}").contains("hunter2"));
    }
}
