//! The addresses in a header field that somebody else wrote (RFC 5322 section 3.4).
//!
//! Rules are applied to what is read here, so unlike in [`super::list`], whatever two readers could read differently is
//! not read at all: a group, a list with semicolons, a route, two addresses in one entry.

use super::{Address, take_quoted};
use crate::message::header::encoded_word;

/// The address of each entry of a From, Sender or Reply-To field, given as its raw value; none for a blank one.
///
/// Display names and comments are passed over, in whatever charset. `None` where an entry is not clearly one address.
#[must_use]
pub fn addresses(value: &[u8]) -> Option<Vec<Address>> {
    let text = String::from_utf8_lossy(value).replace("\r\n", "").replace('\t', " ");
    if text.chars().any(char::is_control) {
        return None;
    }
    let mut found = Vec::new();
    let mut rest = Some(text.as_str());
    while let Some(text) = rest {
        let (entry, after) = take_entry(text)?;
        found.extend(entry.address()?);
        rest = after;
    }
    Some(found)
}

/// One entry of a list: what stands outside of angle brackets, comments left out, and what stands inside.
#[derive(Debug, Default)]
struct Entry {
    outside: String,
    inside: Option<String>,
}

impl Entry {
    /// Its address: nothing for an entry with nothing in it, which old lists have.
    fn address(&self) -> Option<Option<Address>> {
        if encoded_word::is_open_in(&self.outside) {
            return None;
        }
        let text = match (&self.inside, self.outside.trim_matches(' ')) {
            (None, "") => return Some(None),
            (Some(inside), _) => inside.trim_matches(' '),
            (None, outside) => outside,
        };
        Address::parse(text).ok().filter(|address| !address.is_misread()).map(Some)
    }
}

/// Reads up to the next comma; what follows it, if there is one.
fn take_entry(text: &str) -> Option<(Entry, Option<&str>)> {
    let mut entry = Entry::default();
    let mut rest = text;
    loop {
        let Some(next) = rest.chars().next() else { return Some((entry, None)) };
        match next {
            ',' => return Some((entry, Some(&rest[1..]))),
            '(' => {
                rest = behind_comment(rest)?;
                entry.outside.push(' ');
                continue;
            }
            '<' if entry.inside.is_none() => {
                let (inside, after) = take_inside(&rest[1..])?;
                entry.inside = Some(inside.to_owned());
                rest = after;
                continue;
            }
            '"' => {
                let (_, after) = take_quoted(rest)?;
                entry.outside.push_str(&rest[..rest.len() - after.len()]);
                rest = after;
                // A name in quotes behind the address is somebody's trick.
                entry.inside.is_none().then_some(())?;
                continue;
            }
            '<' | '>' | ';' | ':' => return None,
            ' ' => {}
            _ if entry.inside.is_some() => return None,
            _ => {}
        }
        entry.outside.push(next);
        rest = &rest[next.len_utf8()..];
    }
}

/// What stands before the `>`, and what follows it.
fn take_inside(text: &str) -> Option<(&str, &str)> {
    let mut rest = text;
    loop {
        match rest.chars().next()? {
            '>' => return Some((&text[..text.len() - rest.len()], &rest[1..])),
            '"' => rest = take_quoted(rest)?.1,
            '<' => return None,
            other => rest = &rest[other.len_utf8()..],
        }
    }
}

/// What follows the comment that begins here; comments may hold comments.
fn behind_comment(text: &str) -> Option<&str> {
    let mut depth = 0_usize;
    let mut chars = text.chars();
    loop {
        match chars.next()? {
            '\\' => drop(chars.next()?),
            '(' => depth += 1,
            ')' if depth == 1 => return Some(chars.as_str()),
            ')' => depth -= 1,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(value: &str) -> Option<String> {
        let found = addresses(value.as_bytes())?;
        Some(found.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn addresses_are_found_among_names_and_comments() {
        for (value, expected) in [
            ("", ""),
            (" \r\n ", ""),
            (" a@b.c\r\n", "a@b.c"),
            (" <a@b.c>\r\n", "a@b.c"),
            (" Name <a@B.c>\r\n", "a@b.c"),
            ("Name\r\n\t<a@b.c>", "a@b.c"),
            (r#""Doe, John; <x@y.z>" <a@b.c>"#, "a@b.c"),
            ("=?koi8-r?Q?=C1?= <a@b.c>", "a@b.c"),
            ("a@b.c (John (the) \\) Doe)", "a@b.c"),
            ("(c) John <a@b.c> (d)", "a@b.c"),
            ("x@y.z <a@b.c>", "a@b.c"),
            ("a@b.c, D <d@e.f>,\r\n , <g@h.i>", "a@b.c d@e.f g@h.i"),
            (r#""a b"@c.d"#, r#""a b"@c.d"#),
            ("<a@bücher.example>", "a@xn--bcher-kva.example"),
        ] {
            assert_eq!(read(value).as_deref(), Some(expected), "{value:?}");
        }
        assert_eq!(addresses(b"J\xf6rg <a@b.c>").unwrap().len(), 1);
    }

    #[test]
    fn what_readers_could_read_differently_is_not_read() {
        for value in [
            "root",
            "Group: a@b.c;",
            "a@b.c; d@e.f",
            "<a@b.c> <d@e.f>",
            "<a@b.c> d@e.f",
            "<a@b.c> \"x\"",
            "a@b.c d@e.f",
            "<@x.y:a@b.c>",
            "<<a@b.c>>",
            "a@b.c>",
            "<a@b.c",
            "\"a@b.c",
            "(a@b.c",
            "a@b.c (x",
            r#""a@b.c>, <x"@y.z"#,
            r#"<"a@b"@y.z>"#,
            "a@b.c\0",
            "=?utf-8?Q?a=40b.c?=",
            "=?utf-8?Q?a=40b.c <?=d@e.f>",
            "<a@b.c(x)>",
        ] {
            assert_eq!(read(value), None, "{value:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics_and_what_is_read_stands_in_it(value in r#"[a-c@.,<>()"\\ ;:\r\n]{0,24}"#) {
            for address in addresses(value.as_bytes()).unwrap_or_default() {
                prop_assert!(value.replace("\r\n", "").to_lowercase().contains(address.domain()), "{address}");
            }
        }

        #[test]
        fn mail_parser_agrees(names in proptest::collection::vec("[A-Za-z ]{0,8}", 1..4)) {
            let value: Vec<_> = names.iter().enumerate().map(|(n, name)| format!("{name} <u{n}@example.com>")).collect();
            let message = format!("From: {}\r\n\r\n", value.join(",\r\n "));
            let parsed = mail_parser::MessageParser::new().parse_headers(message.as_bytes()).unwrap();
            let theirs: Vec<_> = parsed.from().unwrap().iter().filter_map(|one| one.address().map(str::to_owned)).collect();
            let ours = addresses(value.join(",\r\n ").as_bytes()).unwrap();
            prop_assert_eq!(ours.iter().map(ToString::to_string).collect::<Vec<_>>(), theirs);
        }
    }
}
