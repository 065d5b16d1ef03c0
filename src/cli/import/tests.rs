//! What the tests of the readers share, and what is no reader's own.

use std::collections::BTreeMap;

use super::*;
use crate::config::Config;

/// Reads files out of memory; the first is the one that was named.
pub fn tried(kind: Kind, files: &[(&str, &str)]) -> Result<Imported, String> {
    let memory: BTreeMap<_, _> =
        files.iter().map(|(path, content)| (PathBuf::from(path), content.as_bytes().to_vec())).collect();
    let files_of_kind = |path: &&str| {
        let name = Path::new(path).file_name().and_then(|name| name.to_str()).unwrap_or_default();
        *path == files[0].0 || kind.files().contains(&name)
    };
    let memory = Files::Memory(memory);
    let texts: Result<Vec<_>, _> =
        files.iter().map(|(path, _)| *path).filter(files_of_kind).map(|path| memory.read(Path::new(path))).collect();
    read(kind, &texts?, &memory)
}

/// The same, of files that can be understood.
pub fn imported(kind: Kind, files: &[(&str, &str)]) -> Imported {
    tried(kind, files).unwrap()
}

impl Imported {
    /// The variables as `NAME=value`, secrets too, once they have been shown to work.
    pub fn working(&self) -> Vec<String> {
        assert!(self.missing().is_empty(), "{:?}", self.missing());
        Config::from_variables(self.environment()).expect("settings that work");
        self.lines()
    }

    /// The same, whether they work or not.
    pub fn lines(&self) -> Vec<String> {
        let line = |(name, value): &(OsString, OsString)| format!("{}={}", name.display(), value.display());
        self.environment().iter().map(|pair| line(pair).replace("SIDEPOST_", "")).collect()
    }

    /// Asserts that each sentence is in the report, and each begins at its place.
    pub fn says(&self, sentences: &[&str]) {
        let report = self.shown().1;
        for sentence in sentences {
            let is_there = report.lines().any(|line| {
                let line = line.trim();
                sentence
                    .split(" ... ")
                    .try_fold(line, |rest, part| rest.split_once(part).map(|(_, rest)| rest))
                    .is_some()
            });
            assert!(is_there, "not there: {sentence}\n{report}");
        }
    }

    /// Asserts that none of the words is printed.
    pub fn is_silent_about(&self, words: &[&str]) {
        let (variables, report) = self.shown();
        for word in words {
            assert!(!variables.contains(word) && !report.contains(word), "{word} is in\n{variables}\n{report}");
        }
    }
}

#[test]
fn secrets_go_to_files_and_never_over_others() {
    let variable = |name, secret: &[u8]| Variable {
        name,
        value: Value::Secret(crate::config::secret::Secret::new(secret.to_vec())),
        at: source::Place { file: Path::new("x").into(), line: 1 },
    };
    let folder = tempfile::tempdir().unwrap();
    let deep = folder.path().join("a/b");
    let both = [variable("PASSWORD", b"p\xc3\xa9#$\n"), variable("OAUTH_CLIENT_SECRET", b"s")];
    write_secrets(&deep, &both).unwrap();
    write_secrets(&deep, &both).unwrap();
    use std::os::unix::fs::PermissionsExt as _;
    for (name, wanted) in [("password", &b"p\xc3\xa9#$\n\n"[..]), ("oauth_client_secret", b"s")] {
        let path = deep.join(name);
        assert_eq!(std::fs::read(&path).unwrap(), wanted, "{name}");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert_eq!(std::fs::metadata(&deep).unwrap().permissions().mode() & 0o777, 0o700);
    let other = write_secrets(&deep, &[variable("PASSWORD", b"q")]).unwrap_err();
    assert!(other.contains("password is there already, with something else in it"), "{other}");
    assert!(write_secrets(&deep.join("password"), &both).unwrap_err().contains("cannot be written"));
}

#[test]
fn a_value_that_sidepost_would_refuse_is_told_and_not_passed_on() {
    let main = "relayhost = [a.test]:587\nmessage_size_limit = 12\nsmtp_connect_timeout = 9 lives\n";
    let found = imported(Kind::Postfix, &[("main.cf", main)]);
    assert_eq!(found.working(), ["PROVIDER=smtp", "HOST=a.test", "PORT=587"]);
    found.says(&[
        "main.cf line 2: left out, as SIDEPOST_MAX_MESSAGE_BYTES it would be wrong: expected a size",
        "main.cf line 3: left out, as SIDEPOST_CONNECT_TIMEOUT it would be wrong: expected a duration",
    ]);
    let large = imported(Kind::Postfix, &[("main.cf", "relayhost = [a.test]:587\nmessage_size_limit = 104857600\n")]);
    let wanted = ["MAX_MESSAGE_BYTES=104857600", "MAX_IN_FLIGHT_BYTES=104857600"];
    assert_eq!(large.working()[3..], wanted);
}

#[test]
fn thousands_of_mistakes_are_counted() {
    let main: String = (0..5000).map(|n| format!("unheard_of_{n} = 1\n")).collect();
    let found = imported(Kind::Postfix, &[("main.cf", &main)]);
    let report = found.shown().1;
    assert!(report.lines().count() < 220 && report.contains("and 4800 more of the kind"), "{report}");
}

#[test]
fn what_is_printed_stays_on_its_line() {
    let php = "<?php define('WPMS_ON', true);\ndefine('WPMS_SMTP_HOST', \"a.test\\nSIDEPOST_TLS=none\");\n\
               define('WPMS_MAIL_FROM', \"a@b.test\\nX=1\");\n";
    let found = imported(Kind::WordPress, &[("wp-config.php\nSIDEPOST_HOST=evil.test", php)]);
    assert_eq!(found.lines(), Vec::<String>::new());
    let (env_file, report) = found.shown();
    assert!(env_file.lines().all(|line| line.starts_with('#')), "{env_file}");
    assert!(report.lines().all(|line| !line.starts_with("SIDEPOST_")), "{report}");
    found.says(&["line 2: the value for SIDEPOST_HOST has a line end"]);
}
