//! The chain as a person wants to read it, and what its state means for the exit code.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::cli::Exit;

/// The links in order, each with the exit code for when it is the broken one, and what it is about.
const STAGES: [(&str, Exit, &str); 9] = [
    ("config", Exit::Config, "the settings can work"),
    ("name", Exit::Usage, "the name that we give"),
    ("dns", Exit::NoHost, "the provider's name is found"),
    ("connect", Exit::Unavailable, "a connection comes about"),
    ("tls", Exit::Protocol, "it is protected"),
    ("greeting", Exit::Input, "the provider greets us"),
    ("auth", Exit::NoPermission, "it lets us in"),
    ("sender", Exit::Refused, "it takes our sender"),
    ("accepted", Exit::TryAgain, "it takes mail"),
];

/// Whether the terminal is told to colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// No.
    None,
    /// ANSI.
    Terminal,
}

/// What was found.
#[derive(Debug)]
pub struct Patient {
    /// The sidecar that was asked; none where this process looked itself.
    pub asked: Option<String>,
    /// The diagnosis, as `/health` shows it.
    pub health: Value,
    /// What became of the test message.
    pub test: Option<Value>,
    /// Settings that are worth a look.
    pub notes: Vec<String>,
}

impl Patient {
    /// Everything for a machine.
    #[must_use]
    pub fn json(&self) -> Value {
        let mut whole = self.health.clone();
        whole["notes"] = json!(self.notes);
        whole["asked"] = json!(self.asked);
        if let Some(test) = &self.test {
            whole["test"] = test.clone();
        }
        whole
    }

    /// By the link that is broken; a test message that was not taken counts as broken too.
    #[must_use]
    pub fn exit(&self) -> Exit {
        let stage = self.health["stage"].as_str().unwrap_or_default();
        if self.health["status"] == "fail" {
            return STAGES.iter().find(|(name, ..)| *name == stage).map_or(Exit::Unhealthy, |(_, exit, _)| *exit);
        }
        match &self.test {
            Some(test) if test.get("code").is_some() => match test["retryable"].as_bool() {
                Some(false) => Exit::Refused,
                _ => Exit::TryAgain,
            },
            _ => Exit::Ok,
        }
    }

    /// Everything for a person.
    #[must_use]
    pub fn text(&self, colour: Colour) -> String {
        let health = &self.health;
        let mut text = String::new();
        let path = health["path"].as_str().map_or(String::new(), |path| format!(" by {path}"));
        let by = self.asked.as_ref().map_or_else(
            || "no sidecar is running here, so this process looked itself".to_owned(),
            |address| format!("asked the sidecar at {address}"),
        );
        let _ = writeln!(text, "{}{path} ({by})\n", word(health, "provider"));
        for (stage, _, about) in STAGES {
            if let Some(check) = health["checks"][stage].get(0) {
                line(&mut text, colour, stage, about, check);
            }
        }
        let paths = health["checks"]["path"].as_array().map_or(&[][..], Vec::as_slice);
        if paths.len() > 1 {
            text.push_str("\npaths\n");
            for path in paths {
                line(&mut text, colour, word(path, "componentId"), "", path);
            }
        }
        for note in &self.notes {
            let _ = writeln!(text, "\nworth a look: {note}");
        }
        if let Some(test) = &self.test {
            let _ = writeln!(text, "\ntest message: {}", told(test));
        }
        let _ = writeln!(text, "\n{}", verdict(health));
        text
    }
}

fn line(text: &mut String, colour: Colour, name: &str, about: &str, check: &Value) {
    let state = word(check, "state");
    let (sign, code) = match (state, word(check, "status")) {
        ("failed", _) => ("FAILED", "31"),
        (_, "warn") => ("doubt", "33"),
        ("ok", _) => ("ok", "32"),
        ("skipped", _) => ("skipped", "2"),
        _ => ("unknown", "2"),
    };
    let since = if state == "failed" { format!(" since {}", word(check, "since")) } else { String::new() };
    let sign = match colour {
        Colour::None => format!("{sign:<8}"),
        Colour::Terminal => format!("\x1b[{code}m{sign:<8}\x1b[0m"),
    };
    let _ = writeln!(text, "  {sign} {name:<9} {about}{since}");
    let seen = word(check, "output");
    if !seen.is_empty() {
        let _ = writeln!(text, "           seen:   {seen}");
    }
    let remedy = word(check, "remedy");
    if !remedy.is_empty() {
        let _ = writeln!(text, "           remedy: {remedy}");
    }
}

fn verdict(health: &Value) -> String {
    match word(health, "state") {
        "ok" => "Mail can leave.".to_owned(),
        "failed" => format!("Mail cannot leave: {} ({}).", word(health, "stage"), word(health, "cause")),
        "degraded" => match word(health, "stage") {
            "" => "Mail can leave, but not along the best path.".to_owned(),
            stage if word(&health["checks"][stage][0], "state") == "ok" => {
                format!("Mail can leave, but not as well as it should: {stage} ({}).", word(health, "cause"))
            }
            stage => format!("Mail may not leave: there is a doubt about {stage} ({}).", word(health, "cause")),
        },
        _ if word(health, "provider") == "capture" => "Nothing leaves: mail is captured in memory.".to_owned(),
        _ => "Nothing speaks against it; no message has proved it yet.".to_owned(),
    }
}

fn told(test: &Value) -> String {
    let empty = Map::new();
    let test = test.as_object().unwrap_or(&empty);
    let said = |name: &str| test.get(name).and_then(Value::as_str).unwrap_or_default();
    match said("code") {
        "" => format!("taken by the provider, id {}", said("id")),
        code => format!("{code}: {}", said("detail")),
    }
}

fn word<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patient(state: &str, status: &str, stage: &str) -> Patient {
        let checks = STAGES.map(|(name, ..)| {
            let check = match name == stage {
                true => json!([{ "state": "failed", "status": "fail", "since": "S", "output": "O", "remedy": "R" }]),
                false => json!([{ "state": "ok", "status": "pass", "since": "S" }]),
            };
            (name.to_owned(), check)
        });
        let health = json!({
            "status": status, "state": state, "provider": "gmail", "path": "smtp:587 starttls",
            "stage": stage, "cause": "login_refused", "checks": Map::from_iter(checks),
        });
        Patient { asked: None, health, test: None, notes: vec!["SIDEPOST_X: hm".to_owned()] }
    }

    #[test]
    fn the_exit_code_tells_the_link() {
        let codes: Vec<_> = STAGES.iter().map(|(stage, ..)| patient("failed", "fail", stage).exit() as u8).collect();
        assert_eq!(codes, [78, 64, 68, 69, 76, 74, 77, 65, 75]);
        assert_eq!(patient("ok", "pass", "").exit(), Exit::Ok);
        for (test, expected) in [
            (json!({ "status": "sent", "id": "x" }), Exit::Ok),
            (json!({ "code": "upstream_rejected", "retryable": false }), Exit::Refused),
            (json!({ "code": "upstream_unavailable", "retryable": true }), Exit::TryAgain),
        ] {
            assert_eq!(Patient { test: Some(test), ..patient("ok", "pass", "") }.exit(), expected);
        }
    }

    #[test]
    fn a_person_reads_what_is_broken_on_what_evidence_and_what_to_do() {
        let text = patient("failed", "fail", "auth").text(Colour::None);
        assert!(text.starts_with("gmail by smtp:587 starttls (no sidecar is running here"), "{text}");
        let expected = "  FAILED   auth      it lets us in since S\n           seen:   O\n           remedy: R\n";
        assert!(text.contains(expected), "{text}");
        assert!(text.contains("  ok       connect   a connection comes about\n"), "{text}");
        assert!(text.contains("worth a look: SIDEPOST_X: hm\n"), "{text}");
        assert!(text.ends_with("Mail cannot leave: auth (login_refused).\n"), "{text}");
        assert!(!text.contains('\x1b'));
        assert!(patient("failed", "fail", "auth").text(Colour::Terminal).contains("\x1b[31mFAILED"));
    }
}
