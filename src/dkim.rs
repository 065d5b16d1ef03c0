//! DKIM signatures (RFC 6376, RFC 8301, RFC 8463), for those whose provider does not sign for their domain.
//!
//! Made over the finished message, after every other change, with each of the keys: `rsa-sha256` is what every receiver
//! knows, `ed25519-sha256` is small and quick. Canonicalization is relaxed for header and body, since servers on the way
//! fold and pad. The content is hashed where it lies and not copied.

mod canonical;
mod key;

use std::fmt;
use std::path::Path;
use std::time::SystemTime;

use bytes::Bytes;
use encodify::base64::STANDARD;
use ring::digest::{SHA256, digest};

use self::key::Key;
use crate::config::value::Value;
use crate::message::address::domain_name;
use crate::message::header::{Block, Field};
use crate::message::{Content, Message};
use crate::settings;
use crate::time::seconds;

settings! {
    /// The settings of DKIM signing.
    pub struct Config {
        /// Signs every message for this domain (DKIM); unset, nothing is signed.
        dkim_domain: Option<Domain> = "",
        /// The selectors of the keys, separated by commas: `SELECTOR._domainkey.DOMAIN` has the public key.
        dkim_selector: Option<Names> = "",
        /// The files of the private keys (PEM, RSA or Ed25519), in the order of the selectors, separated by commas.
        dkim_key_file: Option<Names> = "",
    }
}

/// A domain name in ASCII.
#[derive(Clone, Debug)]
pub struct Domain(String);

impl Value for Domain {
    const EXPECTS: &'static str = "a domain, such as `example.com`";

    fn parse(text: &str) -> Option<Self> {
        domain_name(text).ok().map(Self)
    }
}

/// Names separated by commas, at least one.
#[derive(Clone, Debug, Default)]
pub struct Names(Vec<String>);

impl Value for Names {
    const EXPECTS: &'static str = "names separated by commas";

    fn parse(text: &str) -> Option<Self> {
        let names: Vec<_> = text.split(',').map(|name| name.trim().to_owned()).collect();
        names.iter().all(|name| !name.is_empty()).then_some(Self(names))
    }
}

/// The fields that are signed, each as often as it stands there: what a reader sees, what decides how the body is read
/// (RFC 6376 section 5.4.1), and the way off a list (RFC 8058 section 4). From is named once more than it stands there,
/// so that nobody can add another.
const SIGNED: [&str; 18] = [
    "From",
    "Sender",
    "Reply-To",
    "To",
    "Cc",
    "Subject",
    "Date",
    "Message-ID",
    "In-Reply-To",
    "References",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
    "Content-Disposition",
    "Content-ID",
    "Content-Description",
];
/// Content of more bytes takes longer to hash than a task should run.
const LONG: usize = 128 * 1024;
/// Characters of Base64 on a line.
const LINE: usize = 72;

/// A signature could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignError;

/// Signs messages for one domain.
pub struct Signer {
    domain: String,
    keys: Vec<(String, Key)>,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("domain", &self.domain).finish_non_exhaustive()
    }
}

impl Config {
    /// The signer, if one is asked for.
    ///
    /// # Errors
    /// Every mistake: the variable without its prefix, and a sentence.
    pub fn signer(&self) -> Result<Option<Signer>, Vec<(&'static str, String)>> {
        let names = |names: &Option<Names>| names.clone().unwrap_or_default().0;
        let (selectors, files) = (names(&self.dkim_selector), names(&self.dkim_key_file));
        if self.dkim_domain.is_none() && selectors.is_empty() && files.is_empty() {
            return Ok(None);
        }
        let mut mistakes = Vec::new();
        if self.dkim_domain.is_none() {
            mistakes.push(("DKIM_DOMAIN", "needed beside DKIM_SELECTOR and DKIM_KEY_FILE".to_owned()));
        }
        if selectors.is_empty() || selectors.len() != files.len() {
            let numbers = format!("{} here, and {} keys in SIDEPOST_DKIM_KEY_FILE", selectors.len(), files.len());
            mistakes.push(("DKIM_SELECTOR", format!("each key has one selector; there are {numbers}")));
        }
        for selector in selectors.iter().filter(|selector| domain_name(selector).is_err()) {
            mistakes.push(("DKIM_SELECTOR", format!("`{selector}` is none: letters, digits, hyphens and dots")));
        }
        let read = files.iter().map(|file| Key::read(Path::new(file)));
        let keys: Vec<_> =
            read.filter_map(|key| key.map_err(|why| mistakes.push(("DKIM_KEY_FILE", why))).ok()).collect();
        match &self.dkim_domain {
            Some(Domain(domain)) if mistakes.is_empty() => {
                Ok(Some(Signer { domain: domain.clone(), keys: selectors.into_iter().zip(keys).collect() }))
            }
            _ => Err(mistakes),
        }
    }
}

impl Signer {
    /// Whether signing this takes longer than a task should run without a pause: an RSA signature is a millisecond.
    #[must_use]
    pub fn is_slow(&self, content: &Content) -> bool {
        content.len() > LONG || self.keys.iter().any(|(_, key)| key.is_slow())
    }

    /// The message with a signature by each key in front.
    ///
    /// # Errors
    /// Where the system has no randomness to give.
    pub fn sign(&self, message: Message) -> Result<Message, SignError> {
        let seconds = seconds(SystemTime::now());
        let head = self.signatures(&message.content, seconds)?;
        Ok(Message { content: message.content.with_head(Bytes::from(head)), ..message })
    }

    fn signatures(&self, content: &Content, seconds: u64) -> Result<String, SignError> {
        let block = Block::of(content);
        let fields: Vec<_> = block.fields().filter(|field| !field.doubtful).collect();
        let (names, canonical) = signed(&fields);
        let body_hash = STANDARD.encode(canonical::body_hash(content, block.body()));
        let each = self.keys.iter().map(|(selector, key)| {
            let unsigned = format!(
                "DKIM-Signature: v=1; a={}; c=relaxed/relaxed;\r\n\td={};\r\n\ts={selector}; t={seconds};\r\n\t\
                 h={};\r\n\tbh={body_hash};\r\n\tb=",
                key.algorithm(),
                self.domain,
                names.join(":\r\n\t "),
            );
            let text = [canonical.as_slice(), canonical::last_field(&unsigned).as_slice()].concat();
            let signature = STANDARD.encode(key.sign(&text, digest(&SHA256, &text).as_ref()).ok_or(SignError)?);
            Ok(format!("{unsigned}{}\r\n", folded(&signature)))
        });
        each.collect()
    }
}

/// The names for `h=`, and the fields they stand for in canonical form. Of several with one name the last counts first
/// (RFC 6376 section 5.4.2).
fn signed(fields: &[Field<'_>]) -> (Vec<String>, Vec<u8>) {
    let (mut names, mut canonical) = (Vec::new(), Vec::new());
    for name in SIGNED {
        for field in fields.iter().rev().filter(|field| field.is(name)) {
            names.push(name.to_owned());
            canonical::field(field, &mut canonical);
        }
    }
    names.push("From".to_owned());
    (names, canonical)
}

fn folded(base64: &str) -> String {
    let lines: Vec<_> = base64.as_bytes().chunks(LINE).map(String::from_utf8_lossy).collect();
    lines.join("\r\n\t ")
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::config::env::{Env, Settings};
    use crate::message::content::BareNewline;

    const ED25519: &str = "-----BEGIN PRIVATE KEY-----\n\
        MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n";

    fn file(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    fn read(settings: &[(&str, &str)]) -> Result<Option<Signer>, Vec<String>> {
        let variables = settings.iter().map(|(name, value)| (format!("SIDEPOST_DKIM_{name}").into(), value.into()));
        let signer = Env::collect(variables, Config::SETTINGS.to_vec()).read::<Config>().signer();
        signer.map_err(|mistakes| mistakes.into_iter().map(|(name, why)| format!("{name}: {why}")).collect())
    }

    /// RFC 8463 appendix A: its key, its message, its canonical text, its signature.
    #[test]
    fn the_signature_of_rfc_8463() {
        let key = file(ED25519);
        let signer = read(&[
            ("DOMAIN", "football.example.com"),
            ("SELECTOR", "brisbane"),
            ("KEY_FILE", key.path().to_str().unwrap()),
        ]);
        let text = "From: Joe SixPack <joe@football.example.com>\r\nTo: Suzie Q <suzie@shopping.example.net>\r\n\
            Subject: Is dinner ready?\r\nDate: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\r\n\
            Message-ID: <20030712040037.46341.5F8J@football.example.com>\r\n\r\n\
            Hi.\r\n\r\nWe lost the game.  Are you hungry yet?\r\n\r\nJoe.\r\n";
        let content = Content::from_bytes(text.as_bytes(), BareNewline::Reject).unwrap();
        let made = signer.unwrap().unwrap().signatures(&content, 1_528_637_909).unwrap();
        assert!(made.contains("bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;"), "{made}");
        assert!(made.split("\r\n").all(|line| line.len() <= 78), "{made}");
        // The same text that the RFC signs, signed with its key.
        let theirs = "DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;\r\n d=football.example.com; i=@football.example.com;\r\n \
            q=dns/txt; s=brisbane; t=1528637909; h=from : to :\r\n subject : date : message-id : from : subject : date;\r\n \
            bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n b=";
        let mut canonical = Vec::new();
        let block = Block::of(&content);
        block.fields().for_each(|field| canonical::field(&field, &mut canonical));
        canonical.extend(canonical::last_field(theirs));
        let signature = Key::read(key.path()).unwrap().sign(&canonical, digest(&SHA256, &canonical).as_ref()).unwrap();
        assert_eq!(
            STANDARD.encode(signature),
            "/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11BusFa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw=="
        );
    }

    #[test]
    fn of_several_fields_the_last_is_first_and_from_is_named_once_more() {
        let text = "To: one\r\nFrom: a@b.c\r\nTO: two\r\nX-Other: x\r\nContent-Type: text/plain\r\n\r\n";
        let content = Content::from_bytes(text.as_bytes(), BareNewline::Reject).unwrap();
        let block = Block::of(&content);
        let (names, canonical) = signed(&block.fields().collect::<Vec<_>>());
        assert_eq!(names, ["From", "To", "To", "Content-Type", "From"]);
        assert_eq!(canonical, b"from:a@b.c\r\nto:two\r\nto:one\r\ncontent-type:text/plain\r\n");
    }

    #[test]
    fn mistakes_are_told_all_at_once_and_no_key_is_shown() {
        assert!(read(&[]).unwrap().is_none());
        let key = file(ED25519);
        let key = key.path().to_str().unwrap();
        let ec = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIA==\n-----END EC PRIVATE KEY-----\n";
        let locked = ED25519.replace("PRIVATE", "ENCRYPTED PRIVATE");
        for (text, expected) in [
            ("no key", "no private key in PEM"),
            (locked.as_str(), "passphrase"),
            (ec, "RSA or Ed25519"),
            ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "neither RSA nor Ed25519"),
        ] {
            let file = file(text);
            let path = file.path().to_str().unwrap();
            let problems = read(&[("DOMAIN", "a.b"), ("SELECTOR", "s"), ("KEY_FILE", path)]).unwrap_err();
            assert!(problems.len() == 1 && problems[0].contains(expected), "{problems:?}");
            assert!(problems[0].starts_with("DKIM_KEY_FILE: ") && !problems[0].contains("MC4"), "{problems:?}");
        }
        let missing = read(&[("DOMAIN", "a.b"), ("SELECTOR", "s"), ("KEY_FILE", "/no/such/file")]).unwrap_err();
        assert!(missing[0].contains("cannot read /no/such/file"), "{missing:?}");
        let two = format!("{key},{key}");
        assert!(
            read(&[("DOMAIN", "a.b"), ("SELECTOR", "s"), ("KEY_FILE", &two)]).unwrap_err()[0].contains("1 here, and 2")
        );
        let several = read(&[("SELECTOR", "s!"), ("KEY_FILE", "/no/such/file")]).unwrap_err();
        assert_eq!(several.len(), 3, "{several:?}");
    }
}
