//! The words of a login: PLAIN (RFC 4616), LOGIN, XOAUTH2 and OAUTHBEARER (RFC 7628).

use encodify::base64::STANDARD;

use serde_json::Value;

use super::entry::{Entry, Key};
use crate::config::secret::Secret;
use crate::provider::{Mechanism, Server};

/// Longer initial responses go into a line of their own (RFC 4954 section 4: a command has 12,288 octets at most, but
/// servers with 512 are about).
const LONGEST_INITIAL: usize = 480;
/// PLAIN and LOGIN have two challenges at most, tokens two: for what did not fit into the command, and the reason of a
/// refusal.
const MOST_CHALLENGES: usize = 2;
/// More of a reason is not looked at.
const LONGEST_REASON: usize = 8 * 1024;
/// What a person needs of each of its values.
const LONGEST_VALUE: usize = 120;

/// What there is to show.
#[derive(Clone, Copy, Debug)]
pub enum Shown<'a> {
    /// A password or key.
    Password(&'a Secret),
    /// An access token, and the server that it is shown to.
    Token(&'a Secret, &'a Server),
    /// Nothing.
    Nothing,
}

/// A login in progress: lines to send, one after each challenge.
pub struct Login {
    lines: std::vec::IntoIter<String>,
    /// The last line answers the reason of a refusal.
    ends_with_refusal: bool,
}

/// The lines hold the secret.
impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Login")
    }
}

/// Whether there is a mechanism for both sides.
#[must_use]
pub fn is_possible(entry: &Entry, offered: &[String]) -> bool {
    choose(entry, offered).is_some()
}

fn choose(entry: &Entry, offered: &[String]) -> Option<Mechanism> {
    let (auto, token) = match entry.key {
        Key::Password(_) => ([Mechanism::Plain, Mechanism::Login], false),
        Key::Tokens(_) => ([Mechanism::Xoauth2, Mechanism::OauthBearer], true),
    };
    let offers = |mechanism: &Mechanism| offered.iter().any(|name| name == word(*mechanism));
    let wanted: Vec<_> = if entry.mechanism == Mechanism::Auto { auto.into() } else { vec![entry.mechanism] };
    let fits = |mechanism: &Mechanism| matches!(mechanism, Mechanism::Xoauth2 | Mechanism::OauthBearer) == token;
    wanted.into_iter().filter(fits).find(offers)
}

fn word(mechanism: Mechanism) -> &'static str {
    match mechanism {
        Mechanism::Plain => "PLAIN",
        Mechanism::Login => "LOGIN",
        Mechanism::Xoauth2 => "XOAUTH2",
        Mechanism::OauthBearer => "OAUTHBEARER",
        Mechanism::Auto | Mechanism::None => "",
    }
}

impl Login {
    /// The mechanism to use with what the server offers; nothing where none fits.
    #[must_use]
    pub fn new(entry: &Entry, shown: Shown<'_>, offered: &[String]) -> Option<Self> {
        let user = &entry.username;
        let mechanism = choose(entry, offered)?;
        let (lines, ends_with_refusal) = match (mechanism, shown) {
            (Mechanism::Plain, Shown::Password(secret)) => (plain(user, secret), false),
            (Mechanism::Login, Shown::Password(secret)) => (login(user, secret), false),
            (Mechanism::Xoauth2, Shown::Token(token, _)) => (xoauth2(user, token), true),
            (Mechanism::OauthBearer, Shown::Token(token, server)) => (oauthbearer(user, token, server), true),
            _ => return None,
        };
        debug_assert!(lines.len() <= MOST_CHALLENGES + 1);
        Some(Self { lines: lines.into_iter(), ends_with_refusal })
    }

    /// The next line to send: the command first, then an answer to each challenge; nothing when there is no more to
    /// say, however often the server asks.
    pub fn next_line(&mut self) -> Option<String> {
        self.lines.next()
    }

    /// Whether a challenge that comes now is the reason of a refusal.
    #[must_use]
    pub fn is_refused_by_challenge(&self) -> bool {
        self.ends_with_refusal && self.lines.len() == 1
    }
}

fn plain(user: &str, secret: &Secret) -> Vec<String> {
    let mut response = vec![0];
    response.extend_from_slice(user.as_bytes());
    response.push(0);
    response.extend_from_slice(secret.expose());
    with_initial("PLAIN", &response)
}

fn login(user: &str, secret: &Secret) -> Vec<String> {
    let line = |bytes: &[u8]| format!("{}\r\n", STANDARD.encode(bytes));
    vec!["AUTH LOGIN\r\n".to_owned(), line(user.as_bytes()), line(secret.expose())]
}

/// <https://developers.google.com/workspace/gmail/imap/xoauth2-protocol>: a refusal is a challenge with the reason,
/// answered by an empty line.
fn xoauth2(user: &str, token: &Secret) -> Vec<String> {
    let response = [b"user=", user.as_bytes(), b"\x01auth=Bearer ", token.expose(), b"\x01\x01"].concat();
    let mut lines = with_initial("XOAUTH2", &response);
    lines.push("\r\n".to_owned());
    lines
}

/// RFC 7628 section 3.1; a refusal is a challenge with the reason, answered by 0x01 (section 3.2.3).
fn oauthbearer(user: &str, token: &Secret, server: &Server) -> Vec<String> {
    // RFC 5801 section 4: a comma would end the name.
    let user = user.replace('=', "=3D").replace(',', "=2C");
    let host = server.host.trim_matches(['[', ']']);
    let head = format!("n,a={user},\x01host={host}\x01port={}\x01auth=Bearer ", server.port);
    let mut lines = with_initial("OAUTHBEARER", &[head.as_bytes(), token.expose(), b"\x01\x01"].concat());
    lines.push(format!("{}\r\n", STANDARD.encode([1])));
    lines
}

fn with_initial(mechanism: &str, response: &[u8]) -> Vec<String> {
    let response = STANDARD.encode(response);
    if response.len() <= LONGEST_INITIAL {
        vec![format!("AUTH {mechanism} {response}\r\n")]
    } else {
        vec![format!("AUTH {mechanism}\r\n"), format!("{response}\r\n")]
    }
}

/// The reason in a challenge that refuses a token, in words; nothing where it has none that can be read.
#[must_use]
pub fn reason(challenge: &[Vec<u8>]) -> Option<String> {
    let text: Vec<u8> =
        challenge.iter().flatten().copied().filter(|byte| !byte.is_ascii_whitespace()).take(LONGEST_REASON).collect();
    let json: Value = serde_json::from_slice(&STANDARD.decode(text).ok()?).ok()?;
    let value = |name: &str| {
        let value = json.get(name)?;
        let text = value.as_str().map(printable).or_else(|| Some(value.as_number()?.to_string()));
        text.filter(|text| !text.is_empty())
    };
    let words = ["status", "scope", "schemes"].iter().filter_map(|name| Some(format!("{name} {}", value(name)?)));
    let words: Vec<_> = words.collect();
    (!words.is_empty()).then(|| words.join(", "))
}

fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(LONGEST_VALUE).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::provider::Tls;

    fn server() -> Server {
        Server { host: "mail.example".into(), port: 587, tls: Tls::StartTls }
    }

    fn entry(username: &str, secret: &[u8], mechanism: Mechanism) -> Entry {
        Entry { username: username.into(), key: Key::Password(Secret::new(secret.to_vec())), mechanism }
    }

    fn lines(mechanism: Mechanism, offered: &[&str], secret: &[u8]) -> Option<Vec<String>> {
        let (entry, secret) = (entry("joe", secret, mechanism), Secret::new(secret.to_vec()));
        let offered: Vec<_> = offered.iter().map(|&name| name.to_owned()).collect();
        let login = Login::new(&entry, Shown::Password(&secret), &offered);
        login.map(|mut login| std::iter::from_fn(|| login.next_line()).collect())
    }

    fn decoded(line: &str) -> String {
        let response = line.trim_end().rsplit(' ').next().unwrap();
        String::from_utf8(STANDARD.decode(response).unwrap()).unwrap()
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
        assert_eq!(lines(Mechanism::Xoauth2, &["PLAIN", "XOAUTH2"], b"p"), None, "a password is no token");
    }

    #[test]
    fn a_long_secret_gets_a_line_of_its_own() {
        let lines = lines(Mechanism::Auto, &["PLAIN"], &[b'x'; 600]).unwrap();
        assert_eq!(lines[0], "AUTH PLAIN\r\n");
        assert!(lines[1].len() > 800);
    }

    #[test]
    fn a_token_is_shown_and_its_refusal_answered() {
        let lines = xoauth2("joe@example.com", &Secret::new(b"ya29.x".to_vec()));
        assert!(lines[0].starts_with("AUTH XOAUTH2 "));
        assert_eq!(decoded(&lines[0]), "user=joe@example.com\u{1}auth=Bearer ya29.x\u{1}\u{1}");
        assert_eq!(lines[1..], ["\r\n"]);
        let lines = oauthbearer("j=o,e", &Secret::new(b"ya29.x".to_vec()), &server());
        let wanted = "n,a=j=3Do=2Ce,\u{1}host=mail.example\u{1}port=587\u{1}auth=Bearer ya29.x\u{1}\u{1}";
        assert_eq!(decoded(&lines[0]), wanted);
        assert_eq!(lines[1..], ["AQ==\r\n"]);
        let lines = xoauth2("joe", &Secret::new(vec![b'x'; 2000]));
        assert_eq!((lines.len(), lines[0].as_str()), (3, "AUTH XOAUTH2\r\n"));
    }

    #[test]
    fn only_the_challenge_behind_the_token_is_a_refusal() {
        for (token, answers) in [(vec![b'x'; 9], 1), (vec![b'x'; 2000], 2)] {
            let lines = xoauth2("joe", &Secret::new(token)).into_iter();
            let mut login = Login { lines: lines.collect::<Vec<_>>().into_iter(), ends_with_refusal: true };
            for sent in 1..=answers {
                assert!(login.next_line().is_some());
                assert_eq!(login.is_refused_by_challenge(), sent == answers);
            }
        }
    }

    fn told(json: &str) -> Option<String> {
        reason(&[STANDARD.encode(json).into_bytes()])
    }

    #[test]
    fn the_reason_of_a_refusal_is_read() {
        let google = r#"{"status":"400","schemes":"Bearer","scope":"https://mail.google.com/"}"#;
        assert_eq!(told(google).unwrap(), "status 400, scope https://mail.google.com/, schemes Bearer");
        assert_eq!(told(r#"{"status":"invalid_token"}"#).unwrap(), "status invalid_token");
        assert_eq!(told(r#"{"status":401}"#).unwrap(), "status 401");
        assert_eq!(told("{\"status\":\"a\\u001b[31m\\r\\nb\"}").unwrap(), "status a[31mb");
        for odd in ["", "{}", "[]", "7", r#"{"status":{}}"#, r#"{"status":""}"#, "{\"status\":\"a"] {
            assert_eq!(told(odd), None, "{odd}");
        }
        assert_eq!(reason(&[b"!!".to_vec()]), None);
        assert_eq!(reason(&[]), None);
        assert!(told(&format!(r#"{{"status":"{}"}}"#, "x".repeat(5000))).unwrap().len() < 200);
        assert_eq!(told(&"[".repeat(6000)), None, "deep");
        assert_eq!(told(&format!(r#"{{"a":"{}","status":"b"}}"#, "x".repeat(20_000))), None, "long");
    }

    proptest! {
        #[test]
        fn any_challenge_is_survived(lines in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..80), 0..4)) {
            let _ = reason(&lines);
            let _ = reason(&[STANDARD.encode(lines.concat()).into_bytes()]);
        }
    }

    #[test]
    fn the_secret_is_not_in_debug() {
        let (entry, secret) = (entry("joe", b"hunter2", Mechanism::Auto), Secret::new(b"hunter2".to_vec()));
        let login = Login::new(&entry, Shown::Password(&secret), &["PLAIN".to_owned()]).unwrap();
        assert!(!format!("{entry:?}{login:?}{:?}", Shown::Password(&secret)).contains("hunter2"));
    }
}
