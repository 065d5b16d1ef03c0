//! The environment: lines of `NAME=value`, each name with our prefix in front.
//!
//! Whatever is in it, the answer is a configuration, or a list of sentences that name variables; a value with
//! `hunter2` in it is a secret wherever it stands, and no sentence repeats one.
#![no_main]

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use libfuzzer_sys::fuzz_target;
use sidepost::config::{Config, settings};

const SECRET: &str = "hunter2";

fn is_secret(name: &OsStr) -> bool {
    settings().iter().any(|setting| setting.secret && name == format!("SIDEPOST_{}", setting.name()).as_str())
}

fuzz_target!(|data: &[u8]| {
    let variables: Vec<_> = data
        .split(|&byte| byte == b'\n')
        .filter_map(|line| {
            let at = line.iter().position(|&byte| byte == b'=')?;
            let (name, value) = (&line[..at], &line[at + 1..]);
            // A path could lead anywhere on this machine, and an environment has no NUL.
            let is_path = name.ends_with(b"_FILE") && value.contains(&b'/');
            (!is_path && !value.contains(&0)).then_some((name, value))
        })
        .map(|(name, value)| {
            let name = [b"SIDEPOST_", name].concat();
            (OsStr::from_bytes(&name).to_owned(), OsStr::from_bytes(value).to_owned())
        })
        .collect();
    // An unknown name is repeated, and so is the path of what is no secret.
    let repeated = |name: &OsStr, value: &OsStr| {
        let name = name.to_string_lossy();
        let of = name.strip_suffix("_FILE").map(|of| OsStr::new(of).to_owned());
        name.contains(SECRET) || of.is_some_and(|of| !is_secret(&of) && value.to_string_lossy().contains(SECRET))
    };
    let hidden = !variables.iter().any(|(name, value)| repeated(name, value));
    match Config::from_variables(variables.clone()) {
        Ok(config) => {
            assert!(!config.provider.paths.is_empty());
            let shown = format!("{config:?}");
            let open = variables.iter().filter(|(name, _)| !is_secret(name));
            // A host's name is shown in lower case.
            let elsewhere =
                open.map(|(_, value)| value.to_string_lossy()).any(|value| value.to_ascii_lowercase().contains(SECRET));
            assert!(elsewhere || !shown.contains(SECRET), "a secret is shown");
        }
        Err(problems) => {
            assert!(!problems.is_empty());
            for problem in problems {
                assert!(problem.variable.starts_with("SIDEPOST_") && !problem.sentence.is_empty());
                assert!(!hidden || !problem.sentence.contains(SECRET), "{problem}");
            }
        }
    }
});
