//! Lists of certificate authorities that other programs have to be told about.

use super::draft::Draft;
use super::source::{Files, Place, Text};

/// The system's own list under the names that distributions give it.
const SYSTEM_LISTS: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/ssl/cert.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/certs/ca-bundle.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
];
const BUILT_IN: &str = "the public certificate authorities, which Sidepost has built in";

/// Takes a file of authorities over, unless it is the system's list.
pub fn file(name: &str, path: &str, text: &Text, at: &Place, files: &Files, draft: &mut Draft) {
    if path.is_empty() {
        return;
    }
    if SYSTEM_LISTS.contains(&path) || path.starts_with("/usr/share/ca-certificates/mozilla/") {
        return draft.pass_over(BUILT_IN, name);
    }
    match files.named_by(text, path) {
        Ok(found) => draft.set("CA_FILE", found.path.display().to_string(), at),
        Err(why) => draft.look(
            at,
            format!(
                "{name} names a file of certificate authorities, and {why}; left out: the public ones are built in"
            ),
        ),
    }
}

/// A folder of authorities, one a file.
pub fn folder(name: &str, path: &str, at: &Place, draft: &mut Draft) {
    match path.trim_end_matches('/') {
        "" => {}
        "/etc/ssl/certs" | "/etc/pki/tls/certs" => draft.pass_over(BUILT_IN, name),
        _ => draft.lose(
            at,
            format!(
                "{name}: a folder of certificate authorities; put those of your own into one file and name it in SIDEPOST_CA_FILE"
            ),
        ),
    }
}
