//! The house: arrows go one way, and no file grows without end.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// What each area may name, besides itself. `config::{env, secret, value}`, the macros and `lifecycle` are below all.
const MAY_NAME: &[(&str, &[&str])] = &[
    ("outcome", &[]),
    ("lifecycle", &[]),
    ("time", &[]),
    ("message", &[]),
    ("net", &["lifecycle", "observe"]),
    ("diagnosis", &["outcome"]),
    ("observe", &["diagnosis", "outcome", "message", "lifecycle", "net"]),
    ("policy", &["message", "outcome"]),
    ("dkim", &["message"]),
    ("oauth", &["net", "outcome"]),
    ("provider", &["net", "oauth", "outcome"]),
    ("transport", &["diagnosis", "provider", "oauth", "message", "outcome", "lifecycle", "net"]),
    ("delivery", &["transport", "diagnosis", "provider", "observe", "message", "outcome", "lifecycle", "net"]),
    (
        "relay",
        &[
            "policy",
            "dkim",
            "delivery",
            "diagnosis",
            "transport",
            "oauth",
            "observe",
            "message",
            "outcome",
            "lifecycle",
        ],
    ),
    ("ingress", &["relay", "delivery", "transport", "policy", "observe", "message", "outcome", "lifecycle", "net"]),
    (
        "config",
        &["app", "cli", "ingress", "provider", "oauth", "transport", "delivery", "policy", "dkim", "observe", "net"],
    ),
    (
        "app",
        &[
            "config",
            "ingress",
            "relay",
            "delivery",
            "transport",
            "provider",
            "policy",
            "dkim",
            "observe",
            "message",
            "lifecycle",
            "net",
        ],
    ),
    ("cli", &["app", "config", "ingress", "observe", "message", "net", "oauth", "provider"]),
];

/// What ingresses need of delivery is the room they hold, and of transport the mail kept in memory; nothing else.
const INGRESS_MAY_NAME: &[&str] = &["delivery::budget", "transport::capture"];
/// The leaves of `config`, which every component's settings are made of, and points in time.
const LEAVES: &[&str] = &["config::env", "config::secret", "config::value", "time"];
const LONGEST_FILE: usize = 600;

#[test]
fn arrows_go_one_way() {
    let allowed: BTreeMap<_, _> = MAY_NAME.iter().copied().collect();
    let mut wrong = Vec::new();
    for file in sources() {
        let area = area(&file);
        if matches!(area.as_str(), "lib" | "main") {
            continue;
        }
        let may = allowed.get(area.as_str()).unwrap_or_else(|| panic!("{area}: a new area; say what it may name"));
        for named in names(&std::fs::read_to_string(&file).unwrap()) {
            let to = named.split("::").next().unwrap().to_owned();
            let fine = to == area
                || LEAVES.iter().any(|leaf| named.starts_with(leaf))
                || (may.contains(&to.as_str())
                    && (area != "ingress"
                        || !matches!(to.as_str(), "delivery" | "transport")
                        || INGRESS_MAY_NAME.iter().any(|part| named.starts_with(part))));
            if !fine {
                wrong.push(format!("{} names {named}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn only_classify_files_make_classes_of_codes_and_only_answer_files_make_codes_of_classes() {
    for file in sources() {
        let text = without_tests(&std::fs::read_to_string(&file).unwrap());
        let name = file.to_string_lossy().into_owned();
        let decides = text.contains("Class::Permanent") && text.contains(".code");
        let may = [
            "classify.rs",
            "transaction.rs",
            "capture.rs",
            "delivery.rs",
            "answer.rs",
            "outcome.rs",
            "relay.rs",
            "log.rs",
            "problem.rs",
        ];
        assert!(!decides || may.iter().any(|end| name.ends_with(end)), "{name} turns codes into classes");
    }
}

#[test]
fn no_file_holds_two_stories() {
    for file in sources() {
        let lines = without_tests(&std::fs::read_to_string(&file).unwrap()).lines().count();
        assert!(lines <= LONGEST_FILE, "{} has {lines} lines: two ideas in one file?", file.display());
    }
}

fn sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    found.sort();
    assert!(found.len() > 30);
    found
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") && path.file_name().unwrap() != "tests.rs" {
            found.push(path);
        }
    }
}

fn area(file: &Path) -> String {
    let inside = file.strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).unwrap();
    inside.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs").to_owned()
}

fn without_tests(text: &str) -> String {
    text.split("\n#[cfg(test)]\nmod tests {").next().unwrap().to_owned()
}

/// Every `crate::...` path in the code, grouped imports opened up.
fn names(text: &str) -> BTreeSet<String> {
    let code: String =
        without_tests(text).lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let mut found = BTreeSet::new();
    for part in code.split("crate::").skip(1) {
        match part.strip_prefix('{') {
            Some(group) => found.extend(group.split('}').next().unwrap().split(',').map(|name| name.trim().to_owned())),
            None => {
                let end = part.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).unwrap_or(part.len());
                found.insert(part[..end].trim_end_matches(':').to_owned());
            }
        }
    }
    found.retain(|name| !name.is_empty() && !matches!(name.as_str(), "settings" | "words"));
    found
}
