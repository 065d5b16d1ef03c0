//! `docs/networks.md`: what was really said of each broken network. Each test writes its own section, and checks that
//! the cause and the remedy in it are those of today.
//!
//! `SIDEPOST_TEST_UPDATE=1 cargo test --test it networks` writes the document anew.

use std::fmt::Write as _;
use std::fs::File;

use serde_json::Value;

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/networks.md");

const BEGINNING: &str = "\
# Broken networks, and what is said of them

Each of these was played: the program in a network namespace, a provider, two other mail servers, a web server and a
resolver in another, and on the way between them a fault. Everything here was said within ten seconds of the start,
and was taken back by itself once the fault was lifted. What other faults look like is in [what is broken](diagnosis.md),
and every cause there is in [causes](causes.md).
";

/// What was said of one network.
pub struct Told {
    pub title: String,
    /// What stood on the way.
    pub about: String,
    pub health: Value,
    pub line: Value,
    /// What an SMTP client heard; nothing where mail left.
    pub reply: Option<String>,
    /// Only where the document is written.
    pub doctor: String,
}

pub fn is_being_written() -> bool {
    std::env::var_os("SIDEPOST_TEST_UPDATE").is_some()
}

impl Told {
    /// Writes the section, or looks whether it still says the same.
    pub fn keep(&self) {
        if is_being_written() {
            self.write();
        }
        let written = std::fs::read_to_string(DOCUMENT).unwrap();
        let (_, section) = sections(&written)
            .into_iter()
            .find(|(title, _)| *title == self.title)
            .unwrap_or_else(|| panic!("SIDEPOST_TEST_UPDATE=1 writes the section {:?}", self.title));
        for field in ["cause", "remedy"] {
            let line = format!("\"{field}\": {}", self.health[field]);
            assert!(section.contains(&line), "SIDEPOST_TEST_UPDATE=1 writes {line} into {:?}", self.title);
        }
    }

    fn write(&self) {
        // The tests run at once, in processes of their own.
        let lock = File::create(concat!(env!("CARGO_TARGET_TMPDIR"), "/networks.lock")).unwrap();
        lock.lock().unwrap();
        let before = std::fs::read_to_string(DOCUMENT).unwrap_or_default();
        let mut all: Vec<_> =
            sections(&before).into_iter().map(|(title, text)| (title.to_owned(), text.to_owned())).collect();
        all.retain(|(title, _)| *title != self.title);
        all.push((self.title.clone(), self.section()));
        all.sort();
        let text: String = all.into_iter().map(|(title, text)| format!("\n## {title}\n{text}")).collect();
        std::fs::write(DOCUMENT, format!("{BEGINNING}{}\n", text.trim_end())).unwrap();
    }

    fn section(&self) -> String {
        let pick = |value: &Value, names: &[&str]| {
            let there = names.iter().filter(|&&name| !value[name].is_null());
            let pairs = there.map(|&name| (name.to_owned(), value[name].clone()));
            serde_json::to_string_pretty(&serde_json::Map::from_iter(pairs)).unwrap()
        };
        let since = |line: &str| line.split(" since 20").next().unwrap().trim_end().to_owned() + "\n";
        let doctor: String = self.doctor.lines().map(since).collect();
        let mut text = format!("\n{}\n\n`sidepost doctor`\n\n```text\n{doctor}```\n", self.about);
        if let Some(reply) = &self.reply {
            let reply = reply.replace('\r', "");
            let reply = reply.split("; id=").next().unwrap();
            let _ = write!(text, "\nThe SMTP client hears\n\n```text\n{reply}\n```\n");
        }
        let line =
            pick(&self.line, &["level", "message", "provider", "state", "path", "stage", "cause", "detail", "remedy"]);
        let _ = write!(text, "\nOne line of the log\n\n```json\n{line}\n```\n");
        let health = pick(&self.health, &["status", "state", "path", "stage", "cause", "output", "remedy"]);
        let metric = format!(
            "sidepost_diagnosis_info{{stage=\"{}\",cause=\"{}\"}} 1",
            self.health["stage"].as_str().unwrap(),
            self.health["cause"].as_str().unwrap()
        );
        let _ =
            write!(text, "\n`/health`, in part\n\n```json\n{health}\n```\n\n`/metrics`\n\n```text\n{metric}\n```\n");
        text
    }
}

/// Title and text of each.
fn sections(document: &str) -> Vec<(&str, &str)> {
    document.split("\n## ").skip(1).filter_map(|section| section.split_once('\n')).collect()
}
