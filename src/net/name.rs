//! The name of this host.

/// The name that the kernel knows, or `localhost`.
#[must_use]
pub fn host() -> String {
    let uname = rustix::system::uname();
    let name = uname.nodename().to_string_lossy();
    if is_name(&name) { name.into_owned() } else { "localhost".to_owned() }
}

/// The name as a client may give it in EHLO: only a full one, since servers refuse `localhost` and pod names
/// (RFC 5321 section 4.1.4 wants an address in brackets instead).
#[must_use]
pub fn full(name: &str) -> Option<String> {
    let whole = is_name(name) && name.trim_end_matches('.').contains('.') && !name.ends_with(".localdomain");
    whole.then(|| name.trim_end_matches('.').to_owned())
}

/// Whether a text is a host name: labels of letters, digits and hyphens.
#[must_use]
pub fn is_name(text: &str) -> bool {
    text.len() <= 253 && text.trim_end_matches('.').split('.').all(is_label)
}

/// Whether a text is one label of a host name. Underscores are wrong, and common in container names.
#[must_use]
pub fn is_label(label: &str) -> bool {
    !label.is_empty() && label.len() <= 63 && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_full_names_are_given_away() {
        assert_eq!(full("mail.example.com").as_deref(), Some("mail.example.com"));
        assert_eq!(full("mail.example.com.").as_deref(), Some("mail.example.com"));
        for short in ["localhost", "web-5d9c7b", "host.localdomain", "", "a b.example", "x\r\ny.example", "."] {
            assert_eq!(full(short), None, "{short:?}");
        }
        assert!(is_name(&host()));
    }
}
