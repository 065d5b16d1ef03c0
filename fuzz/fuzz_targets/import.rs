//! Settings of another mail program: a line with the kind, then files, each behind a line `== PATH`; the first is the one
//! that was named.
//!
//! Whatever is in them, what is printed is an env file whose every line is read back as it was meant, and the settings
//! work unless it is said why not. A secret with `hunter2!` in it is in none of the sentences.
#![no_main]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use libfuzzer_sys::fuzz_target;
use sidepost::cli::import::{Files, Kind, read};
use sidepost::config::Config;

/// Not of the kind that a name could be, since names are repeated.
const SECRET: &str = "hunter2!";

/// Names of files, and nothing that has no end on the machine that this runs on.
fn is_path(path: &str) -> bool {
    let plain = path.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._-".contains(&b));
    plain
        && !path.is_empty()
        && !["/dev", "/proc", "/sys"].iter().any(|start| path.starts_with(start))
        && !path.contains("..")
}

fn files(text: &str) -> Option<(PathBuf, BTreeMap<PathBuf, Vec<u8>>)> {
    let (mut first, mut files) = (None, BTreeMap::new());
    for file in text.split("\n== ").skip(1) {
        let (path, content) = file.split_once('\n').unwrap_or((file, ""));
        if !is_path(path) {
            return None;
        }
        first.get_or_insert_with(|| PathBuf::from(path));
        files.insert(PathBuf::from(path), content.as_bytes().to_vec());
    }
    first.map(|first| (first, files))
}

fn is_secret(name: &str) -> bool {
    ["PASSWORD", "API_KEY", "OAUTH_CLIENT_SECRET", "OAUTH_REFRESH_TOKEN"]
        .iter()
        .any(|end| name == format!("SIDEPOST_{end}"))
}

/// As `docker run --env-file` reads it.
fn read_back(env_file: &str) -> Vec<(OsString, OsString)> {
    let lines = env_file.lines().filter(|line| !line.starts_with('#'));
    let pair = |line: &str| line.split_once('=').map(|(name, value)| (name.into(), value.into()));
    lines.map(|line| pair(line).expect("a variable")).collect()
}

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Some(kind) = text.lines().next().and_then(|word| Kind::of_word(word).ok()) else { return };
    let Some((first, files)) = files(text) else { return };
    let folder = first.parent().unwrap_or(Path::new("")).to_owned();
    let memory = Files::Memory(files);
    let beside = kind.in_folder(&memory, &folder).into_iter().filter(|path| *path != first);
    let texts: Result<Vec<_>, _> =
        std::iter::once(first.clone()).chain(beside).map(|path| memory.read(&path)).collect();
    let Ok(texts) = texts else { return };
    match read(kind, &texts, &memory) {
        Ok(imported) => {
            let (env_file, report) = imported.shown();
            let environment = imported.environment();
            let open: Vec<_> =
                environment.iter().filter(|(name, _)| !is_secret(name.to_str().unwrap_or_default())).cloned().collect();
            assert_eq!(read_back(&env_file), open, "{env_file}");
            let works = Config::from_variables(environment.clone()).is_ok()
                && environment.iter().any(|(name, _)| name == "SIDEPOST_PROVIDER");
            assert_eq!(works, imported.missing().is_empty(), "{:?}", imported.missing());
            let hidden = environment.iter().any(|(name, value)| {
                is_secret(name.to_str().unwrap_or_default()) && value.to_string_lossy().contains(SECRET)
            });
            if hidden && text.matches(SECRET).count() == 1 {
                assert!(!env_file.contains(SECRET) && !report.contains(SECRET), "{report}");
            }
            assert!(report.lines().count() < 1000);
        }
        Err(sentence) => assert!(!sentence.is_empty() && !sentence.contains(SECRET), "{sentence}"),
    }
});
