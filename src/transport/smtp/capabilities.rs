//! What a server said it can do, from its answer to EHLO.

use super::reply::RawReply;

/// The extensions we use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// RFC 2920: commands may be sent without waiting.
    pub pipelining: bool,
    /// RFC 3030: content in one counted chunk.
    pub chunking: bool,
    /// RFC 6152: content may have the high bit set.
    pub eight_bit: bool,
    /// RFC 6531: addresses and headers in UTF-8.
    pub smtputf8: bool,
    /// RFC 3207.
    pub starttls: bool,
    /// RFC 1870: whether SIZE was offered, and the largest message if a limit was named.
    pub size: Option<Option<u64>>,
    /// RFC 3461: who wants to be told what about the delivery.
    pub dsn: bool,
    /// RFC 9422: the most recipients of one transaction, and the most transactions over one connection.
    pub limits: Limits,
    /// RFC 4954: the mechanisms, in upper case.
    pub auth: Vec<String>,
}

/// Limits that the server named (RFC 9422); absent where it named none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// `RCPTMAX`.
    pub recipients: Option<usize>,
    /// `MAILMAX`.
    pub messages: Option<usize>,
}

impl Limits {
    /// Reads names and values in turn. What is not known, or no limit at all, is passed over.
    fn parse<'a>(mut words: impl Iterator<Item = &'a str>) -> Self {
        let mut limits = Self::default();
        while let Some(word) = words.next() {
            let limit = match word {
                "RCPTMAX" => &mut limits.recipients,
                "MAILMAX" => &mut limits.messages,
                _ => continue,
            };
            *limit = words.next().and_then(|number| number.parse().ok()).filter(|&number| number > 0);
        }
        limits
    }
}

impl Capabilities {
    /// Reads the lines of a positive answer to EHLO. What is not known is passed over.
    #[must_use]
    pub fn parse(reply: &RawReply) -> Self {
        let mut found = Self::default();
        for line in reply.lines.iter().skip(1) {
            found.add(&String::from_utf8_lossy(line).to_ascii_uppercase());
        }
        found
    }

    fn add(&mut self, line: &str) {
        // `AUTH=PLAIN` is the old Microsoft form, which some servers still send beside the proper one.
        let mut words = line.split([' ', '\t', '=']).filter(|word| !word.is_empty());
        match words.next() {
            Some("PIPELINING") => self.pipelining = true,
            Some("CHUNKING") => self.chunking = true,
            Some("8BITMIME") => self.eight_bit = true,
            Some("SMTPUTF8") => self.smtputf8 = true,
            Some("DSN") => self.dsn = true,
            Some("LIMITS") => self.limits = Limits::parse(words),
            Some("STARTTLS") => self.starttls = true,
            Some("SIZE") => self.size = Some(words.next().and_then(|n| n.parse().ok()).filter(|&n| n > 0)),
            Some("AUTH") => self.add_mechanisms(words),
            _ => {}
        }
    }

    fn add_mechanisms<'a>(&mut self, words: impl Iterator<Item = &'a str>) {
        // Their names are shown where none of them fits (RFC 4422 section 3.1 says what a name is).
        let is_name = |word: &&str| word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        for mechanism in words.filter(is_name).take(20) {
            if !self.auth.iter().any(|known| known == mechanism) {
                self.auth.push(mechanism.to_owned());
            }
        }
    }

    /// The largest message that the server said it takes.
    #[must_use]
    pub fn size_limit(&self) -> Option<u64> {
        self.size.flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(lines: &[&str]) -> Capabilities {
        let lines = lines.iter().map(|line| line.as_bytes().to_vec()).collect();
        Capabilities::parse(&RawReply { code: 250, lines })
    }

    #[test]
    fn a_full_house() {
        let found = parse(&[
            "mail.example greets you",
            "PIPELINING",
            "size 35882577",
            "8BITMIME",
            "chunking",
            "STARTTLS",
            "SMTPUTF8",
            "AUTH plain LOGIN",
            "AUTH=LOGIN XOAUTH2",
            "DSN",
            "limits foo bar=7 MAILMAX=20 rcptmax=100",
        ]);
        assert!(found.pipelining && found.chunking && found.eight_bit && found.smtputf8 && found.starttls);
        assert_eq!(found.limits, Limits { recipients: Some(100), messages: Some(20) });
        assert!(found.dsn);
        assert_eq!(found.size_limit(), Some(35_882_577));
        assert_eq!(found.auth, ["PLAIN", "LOGIN", "XOAUTH2"]);
    }

    #[test]
    fn limits_that_are_none_are_passed_over() {
        for line in
            ["LIMITS", "LIMITS RCPTMAX", "LIMITS RCPTMAX=0 MAILMAX=-1", "LIMITS RCPTMAX=many", "LIMITSRCPTMAX=1"]
        {
            assert_eq!(parse(&["x", line]).limits, Limits::default(), "{line}");
        }
    }

    #[test]
    fn what_is_no_name_is_no_mechanism() {
        assert_eq!(parse(&["x", "AUTH a\rb PLAIN c\u{1b}[31m \u{e4} X-9_Y"]).auth, ["PLAIN", "X-9_Y"]);
    }

    #[test]
    fn the_first_line_is_a_name_and_no_extension() {
        assert_eq!(parse(&["PIPELINING", "SIZE 0"]), Capabilities { size: Some(None), ..Capabilities::default() });
        assert_eq!(parse(&["x", "SIZE", "SIZE garbage"]).size, Some(None));
    }
}
