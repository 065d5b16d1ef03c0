//! The addresses of a header field, as programs write it: names, comments and groups (RFC 5322 section 3.4) passed over.

/// Every address of a From, To, Cc or Bcc field in its order, unfolded or not. What stands there is taken out and not
/// judged: it may lack a domain, as cron's `root (Cron Daemon)` does, or be no address at all.
#[must_use]
pub fn addresses(value: &str) -> Vec<String> {
    let mut reader = Reader::default();
    value.chars().for_each(|c| reader.read(c));
    reader.end_of_entry();
    reader.found
}

/// What has been read of one entry.
#[derive(Debug, Default)]
struct Reader {
    found: Vec<String>,
    /// Outside of angle brackets: an address, or the name of who has the one inside.
    plain: String,
    /// Inside of them.
    angle: String,
    has_angle: bool,
    place: Place,
    comments: usize,
    quoted: bool,
    escaped: bool,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Outside,
    Inside,
}

impl Reader {
    fn read(&mut self, c: char) {
        if std::mem::take(&mut self.escaped) {
            return self.keep(c);
        }
        match c {
            '\\' if self.quoted || self.comments > 0 => {
                self.keep(c);
                self.escaped = true;
            }
            '"' if self.comments == 0 => {
                self.quoted = !self.quoted;
                self.keep(c);
            }
            _ if self.quoted => self.keep(c),
            '(' => self.comments += 1,
            ')' if self.comments > 0 => self.comments -= 1,
            _ if self.comments > 0 => {}
            _ => self.structure(c),
        }
    }

    fn structure(&mut self, c: char) {
        match (c, &self.place) {
            ('<', _) => (self.place, self.has_angle) = (Place::Inside, true),
            ('>', _) => self.place = Place::Outside,
            // A source route, `<@a,@b:c@d>`; only its end is an address (RFC 5321 appendix C).
            (':', Place::Inside) if self.angle.starts_with('@') => self.angle.clear(),
            // The name of a group.
            (':', Place::Outside) => self.plain.clear(),
            (',' | ';', Place::Outside) => self.end_of_entry(),
            _ if c.is_whitespace() => {}
            _ => self.keep(c),
        }
    }

    fn keep(&mut self, c: char) {
        match (self.comments, &self.place) {
            (1.., _) => {}
            (0, Place::Inside) => self.angle.push(c),
            (0, Place::Outside) => self.plain.push(c),
        }
    }

    fn end_of_entry(&mut self) {
        let plain = std::mem::take(&mut self.plain);
        let angle = std::mem::take(&mut self.angle);
        let address = if std::mem::take(&mut self.has_angle) { angle } else { plain };
        self.place = Place::Outside;
        if !address.is_empty() {
            self.found.push(address);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn addresses_are_found_in_whatever_is_around_them() {
        for (value, expected) in [
            ("a@b.c", &["a@b.c"][..]),
            (" a@b.c,\r\n\td@e.f ", &["a@b.c", "d@e.f"]),
            ("root (Cron Daemon)", &["root"]),
            ("(before) root@x.y (a (nested, one) \\) here)", &["root@x.y"]),
            ("\"Doe, John\" <j@x.y>, Joe <k@x.y>", &["j@x.y", "k@x.y"]),
            ("\"a, b\"@x.y", &["\"a, b\"@x.y"]),
            ("\"a\\\"b\"@x.y", &["\"a\\\"b\"@x.y"]),
            ("Friends: a@b.c, D <d@e.f>; g@h.i", &["a@b.c", "d@e.f", "g@h.i"]),
            ("undisclosed-recipients:;", &[]),
            ("<@relay.one,@two:a@b.c>", &["a@b.c"]),
            ("a@b.c;d@e.f", &["a@b.c", "d@e.f"]),
            ("=?utf-8?q?J=C3=B6rg?= <j@x.y>", &["j@x.y"]),
            ("Name <>", &[]),
            (",, ,", &[]),
            ("", &[]),
            ("<open@x.y", &["open@x.y"]),
        ] {
            assert_eq!(addresses(value), expected, "{value:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_is_made_up(value in "[ -~\r\n\u{e4}]{0,60}") {
            for address in addresses(&value) {
                prop_assert!(!address.is_empty());
                prop_assert!(address.chars().all(|c| value.contains(c)));
            }
        }
    }
}
