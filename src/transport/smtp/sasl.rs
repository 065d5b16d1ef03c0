//! The words of a login: PLAIN (RFC 4616) and LOGIN.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::provider::{Credentials, Mechanism};

/// Longer initial responses go into a line of their own (RFC 4954 section 4: a command has 12,288 octets at most, but
/// servers with 512 are about).
const LONGEST_INITIAL: usize = 480;
/// Neither mechanism has more than two challenges.
const MOST_CHALLENGES: usize = 2;

/// A login in progress: lines to send, one after each challenge.
pub struct Login {
    lines: std::vec::IntoIter<String>,
}

/// The lines hold the secret.
impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Login")
    }
}

impl Login {
    /// The mechanism to use with what the server offers; nothing where none fits.
    #[must_use]
    pub fn new(credentials: &Credentials, offered: &[String]) -> Option<Self> {
        let offers = |name: &str| offered.iter().any(|mechanism| mechanism == name);
        let lines = match credentials.mechanism {
            Mechanism::Plain | Mechanism::Auto if offers("PLAIN") => plain(credentials),
            Mechanism::Login | Mechanism::Auto if offers("LOGIN") => login(credentials),
            Mechanism::Plain | Mechanism::Login | Mechanism::Auto | Mechanism::None => return None,
        };
        debug_assert!(lines.len() <= MOST_CHALLENGES + 1);
        Some(Self { lines: lines.into_iter() })
    }

    /// The next line to send: the command first, then an answer to each challenge; nothing when there is no more to
    /// say, however often the server asks.
    pub fn next_line(&mut self) -> Option<String> {
        self.lines.next()
    }
}

fn plain(credentials: &Credentials) -> Vec<String> {
    let mut response = vec![0];
    response.extend_from_slice(credentials.username.as_bytes());
    response.push(0);
    response.extend_from_slice(credentials.secret.expose());
    let response = STANDARD.encode(response);
    if response.len() <= LONGEST_INITIAL {
        vec![format!("AUTH PLAIN {response}\r\n")]
    } else {
        vec!["AUTH PLAIN\r\n".to_owned(), format!("{response}\r\n")]
    }
}

fn login(credentials: &Credentials) -> Vec<String> {
    let line = |bytes: &[u8]| format!("{}\r\n", STANDARD.encode(bytes));
    vec!["AUTH LOGIN\r\n".to_owned(), line(credentials.username.as_bytes()), line(credentials.secret.expose())]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::secret::Secret;

    fn lines(mechanism: Mechanism, offered: &[&str], secret: &[u8]) -> Option<Vec<String>> {
        let credentials = Credentials { username: "joe".into(), secret: Secret::new(secret.to_vec()), mechanism };
        let offered: Vec<_> = offered.iter().map(|&name| name.to_owned()).collect();
        Login::new(&credentials, &offered).map(|mut login| std::iter::from_fn(|| login.next_line()).collect())
    }

    #[test]
    fn the_mechanism_is_what_is_offered_and_asked_for() {
        let plain = vec!["AUTH PLAIN AGpvZQBw/w==\r\n".to_owned()];
        let login = vec!["AUTH LOGIN\r\n".to_owned(), "am9l\r\n".to_owned(), "cP8=\r\n".to_owned()];
        assert_eq!(lines(Mechanism::Auto, &["LOGIN", "PLAIN"], b"p\xff"), Some(plain.clone()));
        assert_eq!(lines(Mechanism::Plain, &["LOGIN", "PLAIN"], b"p\xff"), Some(plain));
        assert_eq!(lines(Mechanism::Auto, &["LOGIN", "XOAUTH2"], b"p\xff"), Some(login.clone()));
        assert_eq!(lines(Mechanism::Login, &["LOGIN", "PLAIN"], b"p\xff"), Some(login));
        assert_eq!(lines(Mechanism::Plain, &["LOGIN"], b"p"), None);
        assert_eq!(lines(Mechanism::Auto, &["CRAM-MD5", "XOAUTH2"], b"p"), None);
    }

    #[test]
    fn a_long_secret_gets_a_line_of_its_own() {
        let lines = lines(Mechanism::Auto, &["PLAIN"], &[b'x'; 600]).unwrap();
        assert_eq!(lines[0], "AUTH PLAIN\r\n");
        assert!(lines[1].len() > 800);
    }

    #[test]
    fn the_secret_is_not_in_debug() {
        let credentials = Credentials {
            username: "joe".into(),
            secret: Secret::new(b"hunter2".to_vec()),
            mechanism: Mechanism::Auto,
        };
        let login = Login::new(&credentials, &["PLAIN".to_owned()]).unwrap();
        assert!(!format!("{credentials:?}{login:?}").contains("hunter2"));
    }
}
