//! Settings that can work and look wrong all the same: what a colleague would ask about before anything is sent.
//!
//! None of it ends the process, since each may be meant. A secret is looked at and never shown.

mod surroundings;

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::Config;
use super::env::{Env, Origin, PREFIX, Problem};

/// Everything worth a look, in the order of the variables.
#[must_use]
pub fn notes(config: &Config, env: &Env) -> Vec<Problem> {
    let mut notes = of_settings(config, env);
    notes.extend(of_roots(config));
    notes.sort_by(|a, b| a.variable.cmp(&b.variable));
    notes
}

/// What the settings show, and the limit of memory beside them, which takes no time.
#[must_use]
pub fn of_settings(config: &Config, env: &Env) -> Vec<Problem> {
    let mut notes: Vec<_> = readable_secrets(env).collect();
    notes.extend(port_and_tls(env));
    notes.extend(["password", "api_key"].into_iter().flat_map(|field| secret(field, config, env)));
    notes.extend(username(config, env));
    notes.extend(sender(env));
    notes.extend(helo_name(env));
    notes.extend(surroundings::memory(config));
    notes.sort_by(|a, b| a.variable.cmp(&b.variable));
    notes
}

/// What the files of root certificates show: a system's list takes longer to read than all the rest of the start.
#[must_use]
pub fn of_roots(config: &Config) -> Vec<Problem> {
    surroundings::roots(config)
}

/// What is worth knowing of the place that this runs at, although it does no harm here: for somebody who asks.
#[must_use]
pub fn of_the_place(config: &Config) -> Vec<Problem> {
    surroundings::resolver(config).into_iter().collect()
}

fn note(field: &str, sentence: impl Into<String>) -> Problem {
    Problem { variable: format!("{PREFIX}{}", field.to_ascii_uppercase()), sentence: sentence.into() }
}

fn readable_secrets(env: &Env) -> impl Iterator<Item = Problem> + '_ {
    env.in_force().filter(|(setting, ..)| setting.secret).filter_map(|(setting, _, origin)| {
        let Origin::File(path) = origin else { return None };
        let mode = std::fs::metadata(&path).ok()?.permissions().mode() & 0o777;
        (mode & 0o004 != 0 && !is_in_a_pods_volume(&path)).then(|| {
            let sentence = format!(
                "{path} can be read by every user there is (mode {mode:04o}); 0400 and the owner that this process runs \
                 as would do (mode of a compose secret)"
            );
            note(&format!("{}_file", setting.field), sentence)
        })
    })
}

/// Whether the kubelet wrote it: then no container but those that mount it can see it, and its owner is always root,
/// so that 0400 would keep everybody out who has no group in the pod.
fn is_in_a_pods_volume(path: &str) -> bool {
    Path::new(path).parent().is_some_and(|folder| folder.join("..data").is_dir())
}

/// A port says by custom whether TLS begins with the first byte (RFC 8314 section 3.3).
fn port_and_tls(env: &Env) -> Option<Problem> {
    match (env.peek("port").as_str(), env.peek("tls").as_str()) {
        ("465" | "2465" | "8465", "starttls") => Some(note(
            "tls",
            "this port usually speaks TLS from the first byte; with `starttls` we would wait for a greeting that never \
             comes (leave the variable unset, or take port 587)",
        )),
        ("25" | "587" | "2525" | "2587", "implicit") => Some(note(
            "tls",
            "this port usually begins in plain text and turns to TLS by STARTTLS; with `implicit` the handshake would \
             fail (leave the variable unset, or take port 465)",
        )),
        _ => None,
    }
}

/// What a secret looks like: whose it is, by how it begins.
const KEYS: [(&str, &str, &str); 4] = [
    ("SG.", "sendgrid", "a SendGrid API key"),
    ("re_", "resend", "a Resend API key"),
    ("md-", "mandrill", "a Mailchimp Transactional API key"),
    ("key-", "", "a Mailgun API key, which is no SMTP password"),
];

fn secret(field: &str, config: &Config, env: &Env) -> Vec<Problem> {
    let (secret, provider) = (env.peek(field), &*config.provider.name);
    if secret.is_empty() {
        return Vec::new();
    }
    let mut notes = Vec::new();
    let around = |c: char| c.is_whitespace() || matches!(c, '"' | '\'');
    if secret.starts_with(around) || secret.ends_with(around) {
        notes.push(note(field, "begins or ends with white space or a quotation mark, which is sent as part of it"));
    }
    if let Some((_, _, what)) = KEYS.iter().find(|(start, of, _)| secret.starts_with(start) && provider != *of) {
        notes.push(note(field, format!("looks like {what}, and the provider is {provider}")));
    }
    let letters = secret.chars().filter(|c| !c.is_whitespace());
    if provider == "gmail" && (letters.clone().count() != 16 || letters.clone().any(|c| !c.is_ascii_lowercase())) {
        let sentence = "does not look like an app password (16 letters), and Google takes no other password; they are \
                        made at myaccount.google.com/apppasswords";
        notes.push(note(field, sentence));
    }
    notes
}

fn username(config: &Config, env: &Env) -> Option<Problem> {
    let (name, provider) = (env.peek("username"), &*config.provider.name);
    let is_key_id = name.len() == 20 && (name.starts_with("AKIA") || name.starts_with("ASIA"));
    let sentence = match provider {
        _ if name.is_empty() => return None,
        "gmail" | "microsoft365" | "outlook" | "proton" | "mailgun" | "mailgun-eu" if !name.contains('@') => {
            format!("is no address, and {provider} wants a full one as the login name")
        }
        "ses" if name.starts_with("ASIA") => {
            "is a temporary access key, with which SES takes no SMTP login; make SMTP credentials".to_owned()
        }
        "ses" => return None,
        _ if is_key_id => format!("looks like an access key of AWS, and the provider is {provider}"),
        _ => return None,
    };
    Some(note("username", sentence))
}

fn sender(env: &Env) -> Option<Problem> {
    let from = env.peek("from");
    let domain = from.rsplit_once('@')?.1.trim_end_matches('>').to_ascii_lowercase();
    let is_example = ["example.com", "example.org", "example.net"].contains(&domain.as_str());
    let sentence = match domain.contains('.') {
        true if is_example || domain.ends_with(".local") || domain.ends_with(".localdomain") => {
            format!("its domain, {domain}, is nobody's: providers refuse such senders, and nobody can answer")
        }
        true => return None,
        false => format!("its domain, {domain}, is no public name: providers refuse such senders"),
    };
    Some(note("from", sentence))
}

fn helo_name(env: &Env) -> Option<Problem> {
    let name = env.peek("helo_name").to_ascii_lowercase();
    let is_local = name.starts_with("localhost") || name.ends_with(".local") || name.ends_with(".localdomain");
    (!name.is_empty() && (is_local || !name.contains('.')))
        .then(|| note("helo_name", "is no full public name, and servers refuse or distrust that; leave it unset"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noted(pairs: &[(&str, &str)]) -> Vec<String> {
        let pairs = pairs.iter().map(|(name, value)| (format!("SIDEPOST_{name}").into(), value.into()));
        let (config, env) = Config::read(pairs);
        assert!(!env.has_problems(), "{:?}", env.into_problems());
        notes(&config, &env).iter().map(ToString::to_string).collect()
    }

    fn check(pairs: &[(&str, &str)], variable: &str, words: &str) {
        let notes = noted(pairs);
        assert_eq!(notes.len(), 1, "{pairs:?}: {notes:?}");
        assert!(notes[0].starts_with(&format!("SIDEPOST_{variable}: ")) && notes[0].contains(words), "{notes:?}");
    }

    #[test]
    fn what_looks_right_is_left_alone() {
        for pairs in [
            &[][..],
            &[("PROVIDER", "gmail"), ("USERNAME", "joe@gmail.com"), ("PASSWORD", "abcd efgh ijkl mnop")],
            &[("PROVIDER", "sendgrid"), ("API_KEY", "SG.x.y"), ("FROM", "Shop <shop@shop.test>")],
            &[("PROVIDER", "ses"), ("REGION", "eu-west-1"), ("USERNAME", "AKIAIOSFODNN7EXAMPLE"), ("PASSWORD", "x")],
            &[("PROVIDER", "smtp"), ("HOST", "h.test"), ("PORT", "465"), ("TLS", "implicit")],
            &[("PROVIDER", "smtp"), ("HOST", "h.test"), ("PORT", "1025"), ("TLS", "none")],
            &[("HELO_NAME", "mail.shop.test")],
        ] {
            assert!(noted(pairs).is_empty(), "{pairs:?}: {:?}", noted(pairs));
        }
    }

    #[test]
    fn what_looks_wrong_is_named() {
        let smtp =
            |more: &[(&'static str, &'static str)]| [&[("PROVIDER", "smtp"), ("HOST", "mail.test")][..], more].concat();
        check(&smtp(&[("PORT", "465"), ("TLS", "starttls")]), "TLS", "first byte");
        check(&smtp(&[("PORT", "587"), ("TLS", "implicit")]), "TLS", "STARTTLS");
        check(&smtp(&[("USERNAME", "u"), ("PASSWORD", "\"quoted\"")]), "PASSWORD", "quotation mark");
        check(&smtp(&[("USERNAME", "u"), ("PASSWORD", "SG.abc")]), "PASSWORD", "SendGrid API key");
        check(&smtp(&[("USERNAME", "AKIAIOSFODNN7EXAMPLE"), ("PASSWORD", "x")]), "USERNAME", "AWS");
        check(
            &[("PROVIDER", "sendgrid"), ("API_KEY", "re_123")],
            "API_KEY",
            "Resend API key, and the provider is sendgrid",
        );
        let gmail = [("PROVIDER", "gmail"), ("USERNAME", "joe@gmail.com"), ("PASSWORD", "Summer2026!")];
        check(&gmail, "PASSWORD", "app password");
        let mailgun = [("PROVIDER", "mailgun"), ("USERNAME", "postmaster@x.test"), ("PASSWORD", "key-123")];
        check(&mailgun, "PASSWORD", "no SMTP password");
        let microsoft = [("PROVIDER", "microsoft365"), ("USERNAME", "joe"), ("PASSWORD", "x")];
        check(&microsoft, "USERNAME", "full one");
        check(&[("FROM", "root@localhost")], "FROM", "no public name");
        check(&[("FROM", "Shop <shop@example.com>")], "FROM", "nobody's");
        check(&[("HELO_NAME", "localhost")], "HELO_NAME", "leave it unset");
    }

    #[test]
    fn a_secret_for_everybody_is_named_and_never_shown() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "hunter2").unwrap();
        let path = file.path().to_str().unwrap();
        let pairs = [("PROVIDER", "smtp"), ("HOST", "mail.test"), ("USERNAME", "u"), ("PASSWORD_FILE", path)];
        for (mode, expected) in [(0o644, 1), (0o600, 0), (0o640, 0), (0o404, 1)] {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
            let notes = noted(&pairs);
            assert_eq!(notes.len(), expected, "{mode:o}: {notes:?}");
            assert!(notes.iter().all(|note| note.contains(path) && !note.contains("hunter2")), "{notes:?}");
        }
    }

    /// The kubelet's own layout: a link for each key, to a folder that it exchanges as a whole.
    #[test]
    fn a_secret_of_a_pod_is_nobodys_but_ours() {
        let volume = tempfile::tempdir().unwrap();
        std::fs::create_dir(volume.path().join("..1")).unwrap();
        std::fs::write(volume.path().join("..1/password"), "hunter2").unwrap();
        std::os::unix::fs::symlink("..1", volume.path().join("..data")).unwrap();
        std::os::unix::fs::symlink("..data/password", volume.path().join("password")).unwrap();
        std::fs::set_permissions(volume.path().join("password"), std::fs::Permissions::from_mode(0o444)).unwrap();
        let path = volume.path().join("password");
        let pairs =
            [("PROVIDER", "smtp"), ("HOST", "mail.test"), ("USERNAME", "u"), ("PASSWORD_FILE", path.to_str().unwrap())];
        assert_eq!(noted(&pairs), Vec::<String>::new());
    }
}
