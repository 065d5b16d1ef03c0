//! What is printed: an env file on standard output, what a person should know on standard error, or both as JSON.

use std::fmt::Write as _;
use std::path::Path;
use std::rc::Rc;

use serde_json::{Value as Json, json};

use super::draft::{Draft, Note};
use super::kind::Kind;
use super::source::Place;
use super::variables::{Outcome, Value, Variable};
use crate::config::env::PREFIX;

/// Everything there is to say.
#[derive(Debug)]
pub struct Told<'a> {
    /// Whose configuration it was.
    pub kind: Kind,
    /// The files that were read.
    pub sources: Vec<String>,
    /// What was found in them.
    pub draft: &'a Draft,
    /// What became of it.
    pub outcome: &'a Outcome,
    /// Where the secrets were written, if that was asked for.
    pub secrets: Option<&'a Path>,
}

/// The file for a secret.
pub fn secret_file(folder: &Path, variable: &Variable) -> String {
    folder.join(variable.name.to_ascii_lowercase()).display().to_string()
}

impl Told<'_> {
    /// The variables, as `docker run --env-file` and the `env_file` of compose read them.
    pub fn env_file(&self) -> String {
        let mut text = format!("# By sidepost import, from {} ({})\n", self.sources.join(", "), self.kind.word());
        let mut before = None;
        for variable in &self.outcome.variables {
            if before != Some(&variable.at) {
                let _ = writeln!(text, "# {}", variable.at);
            }
            before = Some(&variable.at);
            let _ = match (&variable.value, self.secrets) {
                (Value::Open(value), _) => writeln!(text, "{PREFIX}{}={value}", variable.name),
                (Value::Secret(_), Some(folder)) => {
                    writeln!(text, "{PREFIX}{}_FILE={}", variable.name, secret_file(folder, variable))
                }
                (Value::Secret(_), None) => writeln!(text, "# {PREFIX}{}= is not shown", variable.name),
            };
        }
        text
    }

    /// The rest, for a person.
    pub fn report(&self) -> String {
        let mut text = String::new();
        section(&mut text, "Worth a look:", self.draft.looks.iter().map(sentence).chain(self.advice()));
        section(&mut text, "Not carried over:", self.draft.lost.iter().map(sentence).chain(self.unknown()));
        let idle = self.draft.idle.iter().map(|(reason, names)| format!("{} ({reason})", names.join(", ")));
        section(&mut text, "Without meaning here:", idle);
        section(&mut text, "Still missing:", self.outcome.missing.iter().cloned());
        section(&mut text, "Next:", self.next());
        text
    }

    /// The same for a program.
    pub fn json(&self) -> String {
        let notes = |notes: &[Note]| -> Vec<Json> { notes.iter().map(note).collect() };
        let whole = json!({
            "from": self.kind.word(),
            "sources": self.sources,
            "variables": self.outcome.variables.iter().filter_map(|variable| self.pair(variable)).collect::<serde_json::Map<_, _>>(),
            "secrets": self.outcome.variables.iter().filter_map(secret).collect::<Vec<_>>(),
            "look": notes(&self.draft.looks).into_iter().chain(self.advice().map(|sentence| json!({ "sentence": sentence })))
                .collect::<Vec<_>>(),
            "lost": notes(&self.draft.lost).into_iter().chain(self.unknown().map(|sentence| json!({ "sentence": sentence })))
                .collect::<Vec<_>>(),
            "idle": self.draft.idle.iter().map(|(reason, names)| ((*reason).to_owned(), names.as_slice().into())).collect::<serde_json::Map<_, Json>>(),
            "untold": self.draft.untold,
            "missing": self.outcome.missing,
        });
        format!("{whole:#}\n")
    }

    fn pair(&self, variable: &Variable) -> Option<(String, Json)> {
        match (&variable.value, self.secrets) {
            (Value::Open(value), _) => Some((format!("{PREFIX}{}", variable.name), value.as_str().into())),
            (Value::Secret(_), Some(folder)) => {
                Some((format!("{PREFIX}{}_FILE", variable.name), secret_file(folder, variable).into()))
            }
            (Value::Secret(_), None) => None,
        }
    }

    fn unknown(&self) -> impl Iterator<Item = String> {
        self.draft.unknown.iter().map(|(file, names)| {
            let names = names.join(", ");
            format!(
                "{}: not known here, see whether mail depends on it: {names}",
                Place { file: Rc::clone(file), line: 0 }
            )
        })
    }

    fn advice(&self) -> impl Iterator<Item = String> {
        let untold = (self.draft.untold > 0).then(|| format!("and {} more of the kind", self.draft.untold));
        self.outcome.advice.iter().cloned().chain(untold)
    }

    fn next(&self) -> Vec<String> {
        let mut next = Vec::new();
        let secret = self.outcome.variables.iter().find(|variable| matches!(variable.value, Value::Secret(_)));
        match (secret, self.secrets) {
            (Some(secret), None) => {
                next.push(format!(
                    "the secret in {} is never shown: `--secrets DIR` writes it to a file (mode 0600) and names that in {PREFIX}{}_FILE",
                    secret.at, secret.name
                ));
            }
            (Some(_), Some(folder)) => next.push(format!(
                "the files in {} belong to whoever ran this; the image runs as user 65532 (`chown 65532`), and sees them \
                 under the path where they are mounted",
                folder.display()
            )),
            (None, _) => {}
        }
        let odd = self.outcome.variables.iter().filter(
            |variable| matches!(&variable.value, Value::Open(value) if value.contains(['$', '"', '\'', '\\', '#'])),
        );
        next.extend(odd.map(|variable| {
            format!(
                "{PREFIX}{} has a character that compose and shells read in their own way ($ \" ' \\ #); `docker run \
                 --env-file` takes it as it is",
                variable.name
            )
        }));
        next.push("`sidepost config --check` with these variables, then `sidepost doctor`".to_owned());
        next
    }
}

fn section(text: &mut String, title: &str, lines: impl IntoIterator<Item = String>) {
    let mut lines = lines.into_iter().peekable();
    if lines.peek().is_some() {
        let _ = writeln!(text, "{title}");
        lines.for_each(|line| {
            let _ = writeln!(text, "  {line}");
        });
    }
}

fn sentence(note: &Note) -> String {
    match &note.at {
        Some(at) => format!("{at}: {}", note.sentence),
        None => note.sentence.clone(),
    }
}

fn note(note: &Note) -> Json {
    match &note.at {
        Some(at) => json!({ "file": at.file.display().to_string(), "line": at.line, "sentence": note.sentence }),
        None => json!({ "sentence": note.sentence }),
    }
}

fn secret(variable: &Variable) -> Option<Json> {
    let is_secret = matches!(variable.value, Value::Secret(_));
    is_secret.then(|| {
        json!({
            "variable": format!("{PREFIX}{}", variable.name),
            "file": variable.at.file.display().to_string(),
            "line": variable.at.line,
        })
    })
}
