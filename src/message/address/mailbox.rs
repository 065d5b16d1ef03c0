//! Mailboxes: an address with the name that a reader sees.

use mail_builder::headers::Header as _;
use mail_builder::headers::address::Address as Written;

use super::{Address, AddressError, take_quoted};
use crate::message::header::{encoded_word, has_control};

/// The longest display name, in characters.
const LONGEST_NAME: usize = 255;

const ONE_ADDRESS: AddressError = AddressError("exactly one address belongs here, not a list");
const SPECIALS: AddressError = AddressError("a name with any of ( ) : ; > [ ] \\ in it is put in double quotes");
const BROKEN_QUOTE: AddressError = AddressError("a double quote is opened and not closed");

/// One entry of a From, To, Cc or Reply-To field: a name without control characters, and an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mailbox {
    name: Option<String>,
    address: Address,
}

impl Mailbox {
    /// A mailbox from its parts. An empty name is none; an encoded word (RFC 2047) in it is decoded.
    ///
    /// # Errors
    /// Where the name has control characters, before or after decoding, or more than 255 characters; where the address
    /// would be misread in a header ([`Address::is_misread`]).
    pub fn new(name: Option<&str>, address: Address) -> Result<Self, AddressError> {
        if address.is_misread() {
            return Err(AddressError(
                "the part before the @ has quoted characters that mail readers take for another address",
            ));
        }
        Ok(Self { name: name.map(parse_name).transpose()?.flatten(), address })
    }

    /// Parses `local@domain`, `<local@domain>`, `Name <local@domain>` or `"Quoted, Name" <local@domain>`.
    ///
    /// # Errors
    /// What is wrong, in a sentence that does not show the text: a list, a comment, a control character.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let text = text.trim_matches(' ');
        if has_control(text) {
            return Err(AddressError("a mailbox has no control characters and no line ends"));
        }
        match split_phrase(text)? {
            (_, None) => Self::new(None, Address::parse(text)?),
            (name, Some(inside)) => Self::new(Some(&name), parse_angle(inside)?),
        }
    }

    /// It as a whole header field of that name, encoded and folded, with its line end.
    #[must_use]
    pub fn field(&self, name: &str) -> String {
        let mut line = format!("{name}: ").into_bytes();
        Written::new_address(self.name(), self.address.to_string()).write_header(&mut line, name.len() + 2);
        String::from_utf8_lossy(&line).into_owned()
    }

    /// The name that a reader sees.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The address.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }
}

/// The words before the first unquoted `<`, and what follows it.
fn split_phrase(text: &str) -> Result<(String, Option<&str>), AddressError> {
    let mut words: Vec<String> = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(' ');
        let (word, after) = match rest.chars().next() {
            None => return Ok((words.join(" "), None)),
            Some('<') => return Ok((words.join(" "), Some(&rest[1..]))),
            Some('"') => take_quoted(rest).ok_or(BROKEN_QUOTE)?,
            Some(_) => take_word(rest)?,
        };
        words.push(word);
        rest = after;
    }
}

fn take_word(text: &str) -> Result<(String, &str), AddressError> {
    let (word, rest) = text.split_at(text.find([' ', '"', '<']).unwrap_or(text.len()));
    match word.chars().find(|&c| "(),:;>[]\\".contains(c)) {
        Some(',' | ';') => Err(ONE_ADDRESS),
        Some(_) => Err(SPECIALS),
        None => Ok((word.to_owned(), rest)),
    }
}

fn parse_angle(inside: &str) -> Result<Address, AddressError> {
    let inside = inside.strip_suffix('>').ok_or(AddressError("the address in < > ends the text"))?;
    Address::parse(inside.trim_matches(' ')).map_err(|error| if inside.contains('>') { ONE_ADDRESS } else { error })
}

fn parse_name(text: &str) -> Result<Option<String>, AddressError> {
    let name = encoded_word::decode(text.trim_matches(' '));
    if has_control(&name) {
        return Err(AddressError("a name has no control characters and no line ends"));
    }
    // Readers decode even what stands in quotes, so what is left now could not be shown as it is.
    if encoded_word::may_begin_in(&name) {
        return Err(AddressError(
            "a name is plain text; `=?` begins an encoded word (RFC 2047), and this one cannot be decoded",
        ));
    }
    if name.chars().count() > LONGEST_NAME {
        return Err(AddressError("a name has at most 255 characters"));
    }
    Ok(Some(name.into_owned()).filter(|name| !name.trim().is_empty()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<(Option<&str>, &str)>) {
        let parsed = Mailbox::parse(text);
        let seen = parsed.as_ref().ok().map(|mailbox| (mailbox.name(), mailbox.address().to_string()));
        assert_eq!(seen.as_ref().map(|(name, address)| (*name, address.as_str())), expected, "{text:?}: {parsed:?}");
    }

    #[test]
    fn good_mailboxes() {
        for (text, name, address) in [
            ("a@b.c", None, "a@b.c"),
            ("  a@b.c ", None, "a@b.c"),
            ("<a@b.c>", None, "a@b.c"),
            ("ä@b.c", None, "ä@b.c"),
            ("<äö@b.c>", None, "äö@b.c"),
            ("\"\" <a@b.c>", None, "a@b.c"),
            ("Name <a@b.c>", Some("Name"), "a@b.c"),
            ("Name<a@b.c>", Some("Name"), "a@b.c"),
            ("John Q. Public < a@b.c >", Some("John Q. Public"), "a@b.c"),
            ("a@b.c <a@b.c>", Some("a@b.c"), "a@b.c"),
            ("\"Doe, John\" <a@b.c>", Some("Doe, John"), "a@b.c"),
            (r#""Say \"hi\" \\ <x@y.z>" <a@b.c>"#, Some(r#"Say "hi" \ <x@y.z>"#), "a@b.c"),
            (r#"Dr. "A. B." C <a@b.c>"#, Some("Dr. A. B. C"), "a@b.c"),
            ("O'Brien & Söhne <a@b.c>", Some("O'Brien & Söhne"), "a@b.c"),
            ("山田太郎 <a@b.c>", Some("山田太郎"), "a@b.c"),
            (r#""a b"@c.d"#, None, r#""a b"@c.d"#),
            (r#"N <"a..b."@c.d>"#, Some("N"), r#""a..b."@c.d"#),
            ("=?utf-8?b?SsO2cmc=?= <a@b.c>", Some("Jörg"), "a@b.c"),
            ("=?ISO-8859-1?Q?J=F6rg?= =?utf-8?q?_M?= <a@b.c>", Some("Jörg M"), "a@b.c"),
        ] {
            check(text, Some((name, address)));
        }
    }

    #[test]
    fn bad_mailboxes() {
        for text in [
            "",
            "Name",
            "<>",
            "Name <>",
            "a@b.c, d@e.f",
            "a@b.c; d@e.f",
            "A <a@b.c>, B <d@e.f>",
            "A <a@b.c> B <d@e.f>",
            "a@b.c>, <evil@x.y",
            "a@b.c>, <evil@x.y>",
            "<a@b.c>, <evil@x.y>",
            "Doe, John <a@b.c>",
            "Group: a@b.c;",
            "Acme: Sales <a@b.c>",
            "Acme (Sales) <a@b.c>",
            "(comment) a@b.c",
            "a@b.c (comment)",
            "<a@b.c> (comment)",
            "Name <a@b.c",
            "Name a@b.c>",
            "\"Name <a@b.c>",
            "Name <a@b.c>>",
            "<<a@b.c>>",
            "Name <a@b.c> x",
            r#""a> b"@c.d"#,
            r#""a@b"@c.d"#,
            r#"N <"a, b"@c.d>"#,
            r#"N <"a\\b"@c.d>"#,
            r#"N <"a\"b"@c.d>"#,
            "Na\u{2028}me <a@b.c>",
            "Na\u{85}me <a@b.c>",
            "=?utf-8?Q?=0D=0A?= <a@b.c>",
            "=?utf-8?Q?x=0D=0ABcc:_e@x.y?= <a@b.c>",
            "=?utf-8?Q?=E2=80=A8?= <a@b.c>",
            "=?utf-8?Q?=3D=3Futf-8=3FQ=3F=3D0A=3F=3D?= <a@b.c>",
            "=?koi8-r?Q?=C1?= <a@b.c>",
            "=?utf-8?Q?=FF?= <a@b.c>",
            "=?utf-8?B?!!!?= <a@b.c>",
            // A local part that readers decode: the address that they answer to is another one.
            "=?utf-8?Q?=0D=0A?=a@b.c",
            "N <=?utf-8?Q?x=40y.z=2C?=@b.c>",
            // The next mailbox's name could bring its end, and mail-parser 0.11 reads what is between as one word.
            "=?utf-8?Q?=0D <a@b.c>",
            "\"?= =?utf-8?Q?=0D\" <a@b.c>",
        ] {
            check(text, None);
        }
        for control in ["\r", "\n", "\r\n", "\0", "\t", "\u{1b}", "\u{7f}"] {
            for text in ["N{}ame <a@b.c>", "\"N{}\" <a@b.c>", "Name {}<a@b.c>", "Name <a{}@b.c>", "a@b.c{}"] {
                check(&text.replace("{}", control), None);
            }
        }
        check(&format!("{} <a@b.c>", "n".repeat(256)), None);
    }

    proptest! {
        #[test]
        fn whatever_is_accepted_has_a_name_that_cannot_inject(
            name in any::<String>(),
            text in r#"[a-z "<>@.,=?\\]{0,30}"#,
        ) {
            for text in [format!("{name} <a@b.c>"), format!("\"{name}\" <a@b.c>"), text] {
                if let Ok(mailbox) = Mailbox::parse(&text) {
                    let name = mailbox.name().unwrap_or_default();
                    prop_assert!(!has_control(name) && !encoded_word::may_begin_in(name));
                }
            }
        }
    }
}
