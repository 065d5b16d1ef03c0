//! Addresses: parsed once, then trusted.
//!
//! The grammar is the narrow one of RFC 5321 section 4.1.2 with the UTF-8 of RFC 6531: a dot-string or a quoted
//! string, `@`, a domain. Comments, folding and routes are mistakes here. What an [`Address`] prints is written anew
//! from what was understood, never copied from what was given.

pub mod list;
pub mod mailbox;
pub mod strict;

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::header::encoded_word;
use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};

pub use mailbox::Mailbox;

/// RFC 5321 section 4.5.3.1.1, in octets.
const LONGEST_LOCAL: usize = 64;
/// RFC 5321 section 4.5.3.1.2, in octets.
const LONGEST_DOMAIN: usize = 255;
/// RFC 1035 section 2.3.4, in octets.
const LONGEST_LABEL: usize = 63;

/// A mail address as an envelope carries it: no control character, nothing that could end or extend a command.
///
/// The domain is kept in its ASCII form (A-labels, lower case), so that only a non-ASCII local part needs SMTPUTF8.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    /// As it is written on the wire: a dot-string, or quoted if it cannot be one.
    local: String,
    domain: String,
}

/// Why a text is no address: a sentence without the text itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressError(pub &'static str);

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for AddressError {}

impl Address {
    /// Parses `local@domain`. The domain is a name; see [`Self::parse_or_literal`] for `[192.0.2.1]`.
    ///
    /// # Errors
    /// What is wrong, in a sentence that does not show the text.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let address = Self::parse_or_literal(text)?;
        if address.is_literal() {
            return Err(AddressError("the domain is a name such as example.com, not an IP address"));
        }
        Ok(address)
    }

    /// Parses `local@domain` where the domain may also be an address literal, `[192.0.2.1]` or `[IPv6:2001:db8::1]`
    /// (RFC 5321 section 4.1.3).
    ///
    /// # Errors
    /// What is wrong, in a sentence that does not show the text.
    pub fn parse_or_literal(text: &str) -> Result<Self, AddressError> {
        if text.chars().any(char::is_control) {
            return Err(AddressError("an address has no control characters and no line ends"));
        }
        let (local, domain) = split(text).ok_or(AddressError("an address is written local@domain"))?;
        Ok(Self { local: parse_local(local)?, domain: parse_domain(domain)? })
    }

    /// The part before the `@`, quoted if it must be.
    #[must_use]
    pub fn local(&self) -> &str {
        &self.local
    }

    /// Whether the local part can be carried by SMTPUTF8 only (RFC 6531).
    #[must_use]
    pub fn needs_smtputf8(&self) -> bool {
        !self.local.is_ascii()
    }

    /// The domain in ASCII, or an address literal in brackets.
    #[must_use]
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// Whether the domain is an address literal.
    #[must_use]
    pub fn is_literal(&self) -> bool {
        self.domain.starts_with('[')
    }

    /// Whether the local part is quoted around more than dots and spaces, such as `"a@b"@c.d` or `"a> <b"@c.d`.
    ///
    /// RFC 5321 allows it and an envelope carries it. In a header, readers are known to take a piece of it for another
    /// address (CVE-2025-13033).
    #[must_use]
    pub fn is_misread(&self) -> bool {
        // Nothing of this is in a dot-string, and a backslash is before each quote inside.
        self.local.trim_matches('"').contains(|c| "()<>[]:;@\\,".contains(c)) || encoded_word::may_begin_in(&self.local)
    }

    /// For logs: `j***@example.com`.
    #[must_use]
    pub fn masked(&self) -> String {
        format!("{}***@{}", self.local.chars().next().unwrap_or('?'), self.domain)
    }
}

/// As in an SMTP command or a header, without angle brackets; quoted where it must be.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.local, self.domain)
    }
}

/// Cuts at the `@` behind the local part, whose quotes may hide others.
fn split(text: &str) -> Option<(&str, &str)> {
    if !text.starts_with('"') {
        return text.split_once('@');
    }
    let (_, rest) = take_quoted(text)?;
    Some((&text[..text.len() - rest.len()], rest.strip_prefix('@')?))
}

/// Reads the quoted string at the beginning of `text`: what it says, and what follows it.
fn take_quoted(text: &str) -> Option<(String, &str)> {
    let mut said = String::new();
    let mut chars = text.strip_prefix('"')?.chars();
    loop {
        match chars.next()? {
            '"' => return Some((said, chars.as_str())),
            '\\' => said.push(chars.next()?),
            other => said.push(other),
        }
    }
}

// === Local part ===

fn parse_local(text: &str) -> Result<String, AddressError> {
    let local = match take_quoted(text) {
        Some((said, _)) if is_quotable(&said) => quoted_if_needed(&said),
        None if is_dot_string(text) => text.to_owned(),
        Some(_) | None => {
            return Err(AddressError(
                "the part before the @ has letters, digits, !#$%&'*+-/=?^_`{|}~ and single dots inside, or is quoted",
            ));
        }
    };
    if local.len() > LONGEST_LOCAL {
        return Err(AddressError("the part before the @ has at most 64 octets"));
    }
    Ok(local)
}

/// RFC 5321 section 4.1.2: `"joe"` and `joe` are the same mailbox, and the plain form is understood everywhere.
fn quoted_if_needed(said: &str) -> String {
    if is_dot_string(said) {
        return said.to_owned();
    }
    format!("\"{}\"", said.replace('\\', "\\\\").replace('"', "\\\""))
}

fn is_quotable(said: &str) -> bool {
    !said.is_empty() && said.chars().all(|c| matches!(c, ' '..='~') || is_visible_unicode(c))
}

fn is_dot_string(text: &str) -> bool {
    text.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atext))
}

fn is_atext(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c) || is_visible_unicode(c)
}

/// What RFC 6531 adds, without what a later system could turn into something else: white space, controls, marks that
/// nobody sees or that change the reading order, and the full-width twins of ASCII, which become `@` and `>` wherever
/// text is normalised (NFKC).
fn is_visible_unicode(c: char) -> bool {
    !c.is_ascii()
        && !c.is_control()
        && !c.is_whitespace()
        && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
        && !matches!(c, '\u{ff01}'..='\u{ff5e}' | '\u{fe50}'..='\u{fe6b}')
}

// === Domain ===

/// A domain name in the form that [`Address::domain`] has: A-labels, lower case.
///
/// # Errors
/// What is wrong, in a sentence that does not show the text.
pub fn domain_name(text: &str) -> Result<String, AddressError> {
    let domain = to_ascii(text)?;
    check_name(&domain)?;
    Ok(domain)
}

fn parse_domain(text: &str) -> Result<String, AddressError> {
    if let Some(inside) = text.strip_prefix('[') {
        return literal(inside).ok_or(AddressError("an address literal is [192.0.2.1] or [IPv6:2001:db8::1]"));
    }
    domain_name(text)
}

fn to_ascii(text: &str) -> Result<String, AddressError> {
    if text.is_ascii() {
        return Ok(text.to_ascii_lowercase());
    }
    Uts46::new()
        .to_ascii(text.as_bytes(), AsciiDenyList::EMPTY, Hyphens::CheckFirstLast, DnsLength::Verify)
        .map(Into::into)
        .map_err(|_| AddressError("the domain is not a valid internationalized name (IDNA)"))
}

fn check_name(domain: &str) -> Result<(), AddressError> {
    if domain.is_empty() {
        return Err(AddressError("the domain after the @ is missing"));
    }
    if domain.len() > LONGEST_DOMAIN {
        return Err(AddressError("the domain has at most 255 octets"));
    }
    domain.split('.').try_for_each(check_label)?;
    if domain.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit())) {
        return Err(AddressError("the domain is a name such as example.com, not an IP address"));
    }
    Ok(())
}

fn check_label(label: &str) -> Result<(), AddressError> {
    if label.is_empty() {
        return Err(AddressError("the domain has an empty part: two dots, or a dot at an end"));
    }
    if label.len() > LONGEST_LABEL {
        return Err(AddressError("a part of the domain has at most 63 octets"));
    }
    // No host name has an underscore, but containers have, and `cron` and PHP make senders of their names, which
    // the setting FROM may replace later.
    if !label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
        return Err(AddressError("the domain has letters, digits, hyphens and dots only"));
    }
    if label.starts_with(['-', '_']) || label.ends_with(['-', '_']) {
        return Err(AddressError("no part of the domain begins or ends with a hyphen or an underscore"));
    }
    Ok(())
}

fn literal(inside: &str) -> Option<String> {
    let inside = inside.strip_suffix(']')?;
    match inside.get(..5) {
        Some(tag) if tag.eq_ignore_ascii_case("IPv6:") => {
            inside[5..].parse::<Ipv6Addr>().ok().map(|ip| format!("[IPv6:{ip}]"))
        }
        Some(_) | None => inside.parse::<Ipv4Addr>().ok().map(|ip| format!("[{ip}]")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, printed: Option<&str>) {
        let parsed = Address::parse_or_literal(text);
        assert_eq!(parsed.as_ref().map(ToString::to_string).ok().as_deref(), printed, "{text:?}: {parsed:?}");
    }

    /// Where an address could end or extend a command or a header, if it stands in angle brackets there.
    fn escapes(printed: &str) -> bool {
        let (mut quoted, mut escaped) = (false, false);
        for c in printed.chars() {
            match c {
                _ if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => return true,
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => quoted = !quoted,
                '<' | '>' | ' ' | ',' | ';' | ':' | '(' | ')' if !quoted && !printed.ends_with(']') => return true,
                _ => {}
            }
        }
        quoted || escaped
    }

    #[test]
    fn good_addresses_print_in_their_canonical_form() {
        let long_local = "l".repeat(64);
        let long_label = "d".repeat(63);
        for (text, printed) in [
            ("a@b.c", "a@b.c"),
            ("John.Doe+tag@Example.COM", "John.Doe+tag@example.com"),
            ("!#$%&'*+-/=?^_`{|}~@x.yz", "!#$%&'*+-/=?^_`{|}~@x.yz"),
            ("root@localhost", "root@localhost"),
            ("www-data@my_container", "www-data@my_container"),
            ("a@r3---sn.example", "a@r3---sn.example"),
            ("1@2.c3", "1@2.c3"),
            ("a@3com.com", "a@3com.com"),
            (&format!("{long_local}@{long_label}.com"), &format!("{long_local}@{long_label}.com")),
            // Quoted: only where it must be, and never as it came.
            (r#""joe"@x.yz"#, "joe@x.yz"),
            (r#""\j\o\e"@x.yz"#, "joe@x.yz"),
            (r#""a b"@x.yz"#, r#""a b"@x.yz"#),
            (r#""a@b"@x.yz"#, r#""a@b"@x.yz"#),
            (r#"".a"@x.yz"#, r#"".a"@x.yz"#),
            (r#""a\"b\\c"@x.yz"#, r#""a\"b\\c"@x.yz"#),
            (r#""a> NOTIFY=NEVER <x"@c.d"#, r#""a> NOTIFY=NEVER <x"@c.d"#),
            (r#""xclow3n@gmail.com x"@internal.domain"#, r#""xclow3n@gmail.com x"@internal.domain"#),
            (
                r#""very.(),:;<>[]\".VERY.\"very@\\ \"very\".unusual"@strange.example.com"#,
                r#""very.(),:;<>[]\".VERY.\"very@\\ \"very\".unusual"@strange.example.com"#,
            ),
            // Beyond ASCII.
            ("jörg@x.yz", "jörg@x.yz"),
            ("用户@例子.广告", "用户@xn--fsqu00a.xn--4rr70v"),
            ("a@bücher.example", "a@xn--bcher-kva.example"),
            ("a@BÜCHER.example", "a@xn--bcher-kva.example"),
            ("a@例子。广告", "a@xn--fsqu00a.xn--4rr70v"),
            ("a\u{760a}b@x.yz", "a\u{760a}b@x.yz"),
            // Literals.
            ("a@[192.0.2.1]", "a@[192.0.2.1]"),
            ("a@[IPv6:2001:DB8::0001]", "a@[IPv6:2001:db8::1]"),
            ("a@[ipv6:::1]", "a@[IPv6:::1]"),
        ] {
            check(text, Some(printed));
        }
    }

    #[test]
    fn bad_addresses_are_refused() {
        let bad = "\
            |@|a@|@b|a|a b@c.d|a@b c.d|a@@b.c|a@b@c.d|.a@b.c|a.@b.c|a..b@c.d|<a@b.c>|a@b.c>|a@b,c.d|a,b@c.d|a;b@c.d\
            |a:b@c.d|a@b.c;d|(c)a@b.c|a(c)@b.c|a@b.c(c)|a@b..c|a@.b.c|a@b.c.|a@.|a@-b.c|a@b-.c|a@b.c-|a@_b.c|a@b_.c|a@b.c_|a@b/c.d|a@b.c:25\
            |a@b.c?x|a@b!c.d|a@1.2.3.4|a@[1.2.3]|a@[1.2.3.4|a@1.2.3.4]|a@[1.2.3.256]|a@[IPv6:1.2.3.4]|a@[::1]|a@[]\
            |a@[IPv6:::1%25eth0]|a@[x]y|\"a@b.c|\"a\"b@c.d|a\"b\"@c.d|\"\"@b.c|\"a\"@|\"a\" @b.c|\"a\".b@c.d|\"a\\\"@b.c\
            |@x,@y:a@b.c|a@b.c, d@e.f|a@b.c SIZE=1|a@b.c> NOTIFY=NEVER <x|a\\b@c.d|[a]@b.c|a@\u{ad}|a@b\u{ff0e}\u{ff0e}c\
            |\u{a0}a@b.c|a\u{3000}b@c.d|a\u{200b}b@c.d|a\u{202e}b@c.d|a\u{ff20}b@c.d|a\u{ff1e}@c.d|a\u{fe6b}b@c.d\
            |\"a\u{2028}b\"@c.d|a@b\u{2028}.c|a@xn--\u{fc}.c";
        for text in bad.split('|') {
            check(text, None);
        }
        for control in ['\0', '\t', '\n', '\r', '\u{1b}', '\u{7f}', '\u{85}', '\u{9f}'] {
            for place in 0..=5 {
                let mut text = "\"a\"@b".to_owned();
                text.insert(place, control);
                check(&text, None);
                check(&text.replace('"', "x"), None);
            }
        }
    }

    #[test]
    fn each_part_has_its_length() {
        check(&format!("{}@b.c", "l".repeat(65)), None);
        check(&format!("{}@b.c", "ü".repeat(33)), None);
        check(&format!("\"{} \"@b.c", "l".repeat(61)), Some(&format!("\"{} \"@b.c", "l".repeat(61))));
        check(&format!("\"{} \"@b.c", "l".repeat(62)), None);
        check(&format!("a@{}.c", "d".repeat(64)), None);
        check(&format!("a@{}c", "d.".repeat(127)), Some(&format!("a@{}c", "d.".repeat(127))));
        check(&format!("a@{}cc", "d.".repeat(127)), None);
    }

    #[test]
    fn a_literal_is_an_address_only_where_asked_for() {
        assert!(Address::parse("a@[192.0.2.1]").is_err());
        assert!(Address::parse_or_literal("a@[192.0.2.1]").unwrap().is_literal());
    }

    #[test]
    fn only_the_local_part_asks_for_smtputf8() {
        assert!(!Address::parse("a@bücher.example").unwrap().needs_smtputf8());
        assert!(Address::parse("ä@b.example").unwrap().needs_smtputf8());
    }

    #[test]
    fn a_log_shows_one_letter() {
        assert_eq!(Address::parse("john@example.com").unwrap().masked(), "j***@example.com");
        assert_eq!(Address::parse(r#""john smith"@example.com"#).unwrap().masked(), "\"***@example.com");
    }

    /// Text that is often nearly an address.
    fn nearly() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            4 => "[a-z0-9.]{1,6}",
            2 => r#"["@<>\\ .,;:()\[\]-]"#,
            1 => any::<char>().prop_map(String::from),
            1 => Just("@b.c".to_owned()),
        ];
        proptest::collection::vec(piece, 0..9).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn what_is_printed_is_the_same_address_and_stays_inside_its_brackets(text in nearly(), any in any::<String>()) {
            for text in [text, any] {
                if let Ok(address) = Address::parse_or_literal(&text) {
                    let printed = address.to_string();
                    prop_assert!(!escapes(&printed), "{printed:?}");
                    prop_assert_eq!(Address::parse_or_literal(&printed), Ok(address));
                }
            }
        }

        #[test]
        fn any_quoted_text_is_refused_or_comes_out_quoted(said in any::<String>(), ascii in "[ -~]{1,30}") {
            for said in [said, ascii] {
                let text = format!("\"{}\"@c.d", said.replace('\\', "\\\\").replace('"', "\\\""));
                if let Ok(address) = Address::parse(&text) {
                    prop_assert!(!escapes(&address.to_string()), "{address}");
                    prop_assert_eq!(take_quoted(&text).unwrap().0, said);
                }
            }
        }

        #[test]
        fn lettre_agrees_with_what_is_accepted(text in nearly()) {
            // Beyond the Basic Multilingual Plane lettre knows no local part.
            if let Ok(address) = Address::parse(&text) && address.local.is_ascii() {
                prop_assert!(lettre::Address::new(&address.local, &address.domain).is_ok(), "{address}");
            }
        }
    }
}
