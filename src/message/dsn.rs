//! What a sender wants to be told about the delivery (RFC 3461): passed on, never acted upon.
//!
//! Everything is checked after decoding, since a later reader will decode it: an xtext can spell CR and LF.

use std::fmt;

/// RFC 3461 section 5.4, in octets.
const LONGEST_ENVID: usize = 100;
/// RFC 3461 section 5.4, in octets as it stands in the command.
const LONGEST_ORCPT: usize = 500;

/// The wishes for one message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dsn {
    /// `RET`.
    pub ret: Option<Ret>,
    /// `ENVID`.
    pub envid: Option<EnvelopeId>,
    /// By place in the envelope, in rising order; who is not in it has none.
    recipients: Vec<(usize, RecipientDsn)>,
}

impl Dsn {
    /// The wishes for the whole envelope.
    #[must_use]
    pub fn of(ret: Option<Ret>, envid: Option<EnvelopeId>) -> Self {
        Self { ret, envid, recipients: Vec::new() }
    }

    /// Whether nothing was asked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ret.is_none() && self.envid.is_none() && self.recipients.is_empty()
    }

    /// Notes the wishes for a recipient, whose place is behind all places so far.
    pub fn push(&mut self, place: usize, wishes: RecipientDsn) {
        debug_assert!(self.recipients.last().is_none_or(|(last, _)| *last < place), "places rise");
        self.recipients.push((place, wishes));
    }

    /// The wishes for the recipient at that place.
    #[must_use]
    pub fn recipient(&self, place: usize) -> Option<&RecipientDsn> {
        let at = self.recipients.binary_search_by_key(&place, |(place, _)| *place).ok()?;
        self.recipients.get(at).map(|(_, wishes)| wishes)
    }
}

/// How much of the message a notification of failure is to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ret {
    /// All of it.
    Full,
    /// Its header.
    Headers,
}

impl Ret {
    /// Reads the value of `RET=`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            _ if text.eq_ignore_ascii_case("FULL") => Some(Self::Full),
            _ if text.eq_ignore_ascii_case("HDRS") => Some(Self::Headers),
            _ => None,
        }
    }
}

/// As in the command.
impl fmt::Display for Ret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "FULL",
            Self::Headers => "HDRS",
        })
    }
}

/// The sender's own name for the envelope: an xtext of printable ASCII.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvelopeId(String);

impl EnvelopeId {
    /// Reads the value of `ENVID=`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let fits = text.len() <= LONGEST_ENVID && is_printable_xtext(text);
        fits.then(|| Self(text.to_owned()))
    }
}

/// As in the command.
impl fmt::Display for EnvelopeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The wishes for one recipient.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecipientDsn {
    /// `NOTIFY`.
    pub notify: Option<Notify>,
    /// `ORCPT`.
    pub original: Option<OriginalRecipient>,
}

/// What the sender wants to hear of. Nothing at all is `NEVER`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Notify {
    success: bool,
    failure: bool,
    delay: bool,
}

impl Notify {
    /// Reads the value of `NOTIFY=`: `NEVER` alone, or a list.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut notify = Self::default();
        if text.eq_ignore_ascii_case("NEVER") {
            return Some(notify);
        }
        for word in text.split(',') {
            let wish = match word {
                _ if word.eq_ignore_ascii_case("SUCCESS") => &mut notify.success,
                _ if word.eq_ignore_ascii_case("FAILURE") => &mut notify.failure,
                _ if word.eq_ignore_ascii_case("DELAY") => &mut notify.delay,
                _ => return None,
            };
            *wish = true;
        }
        Some(notify)
    }
}

/// As in the command.
impl fmt::Display for Notify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wishes = [(self.success, "SUCCESS"), (self.failure, "FAILURE"), (self.delay, "DELAY")];
        let mut wishes = wishes.into_iter().filter(|(wanted, _)| *wanted).map(|(_, word)| word);
        f.write_str(wishes.next().unwrap_or("NEVER"))?;
        wishes.try_for_each(|word| write!(f, ",{word}"))
    }
}

/// To whom the message was sent first, before anybody forwarded it: a type and an address, as in the command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginalRecipient(String);

impl OriginalRecipient {
    /// Reads the value of `ORCPT=`. In type `utf-8` (RFC 6533) it may be more than ASCII, and is kept in the form that
    /// needs no SMTPUTF8.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, address) = text.split_once(';')?;
        let is_atom = !kind.is_empty() && kind.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        let ascii = if kind.eq_ignore_ascii_case("utf-8") { in_ascii(address) } else { address.to_owned() };
        let fits = is_atom && is_printable_utf8_xtext(&ascii);
        let written = format!("{kind};{ascii}");
        (fits && written.len() <= LONGEST_ORCPT).then_some(Self(written))
    }
}

/// As in the command.
impl fmt::Display for OriginalRecipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// RFC 6533 section 3: `utf-8-addr-xtext` has `\x{E4}` for what is not ASCII.
fn in_ascii(text: &str) -> String {
    let mut ascii = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            _ if c.is_ascii() => ascii.push(c),
            _ => ascii.push_str(&format!("\\x{{{:X}}}", u32::from(c))),
        }
    }
    ascii
}

/// No control character, spelled or not.
fn is_printable_xtext(text: &str) -> bool {
    decoded(text).is_some_and(|octets| octets.iter().all(|octet| matches!(octet, b' '..=b'~')))
}

/// The same in more than ASCII: Postfix spells an address in UTF-8 so, with the type `rfc822`.
fn is_printable_utf8_xtext(text: &str) -> bool {
    let text = decoded(text).and_then(|octets| String::from_utf8(octets).ok());
    text.is_some_and(|text| !text.contains(char::is_control))
}

/// RFC 3461 section 4: visible ASCII but `+` and `=`, and `+41` for an octet; nothing where it is not that, or empty.
fn decoded(xtext: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut octets) = (xtext.bytes(), Vec::with_capacity(xtext.len()));
    while let Some(byte) = bytes.next() {
        octets.push(match byte {
            b'+' => hex(&mut bytes)?,
            _ => Some(byte).filter(|b| b.is_ascii_graphic() && *b != b'=')?,
        });
    }
    (!octets.is_empty()).then_some(octets)
}

/// Two digits, in upper case as the grammar has them.
fn hex(bytes: &mut impl Iterator<Item = u8>) -> Option<u8> {
    let mut digit = || match bytes.next()? {
        digit @ b'0'..=b'9' => Some(digit - b'0'),
        digit @ b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    };
    Some(digit()? * 16 + digit()?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn notify_is_never_or_a_list() {
        for (text, written) in [
            ("NEVER", Some("NEVER")),
            ("never", Some("NEVER")),
            ("FAILURE", Some("FAILURE")),
            ("delay,Success,FAILURE", Some("SUCCESS,FAILURE,DELAY")),
            ("SUCCESS,SUCCESS", Some("SUCCESS")),
            ("NEVER,FAILURE", None),
            ("FAILURE,NEVER", None),
            ("FAILURE,", None),
            (",FAILURE", None),
            ("FAILURE;DELAY", None),
            ("ALWAYS", None),
            ("", None),
        ] {
            assert_eq!(Notify::parse(text).map(|notify| notify.to_string()).as_deref(), written, "{text:?}");
        }
    }

    #[test]
    fn ret_is_one_of_two_words() {
        assert_eq!(Ret::parse("full").map(|ret| ret.to_string()).as_deref(), Some("FULL"));
        assert_eq!(Ret::parse("HDRS").map(|ret| ret.to_string()).as_deref(), Some("HDRS"));
        assert!(["", "HDR", "FULL,HDRS", "NONE"].iter().all(|text| Ret::parse(text).is_none()));
    }

    /// GHSA-c7w3-x93f-qmm8 nodemailer: a parameter that carries a command. Here it would be spelled in xtext.
    #[test]
    fn an_xtext_hides_nothing() {
        let long = "x".repeat(LONGEST_ENVID);
        for good in ["QQ314159", "a+2Bb", "a+20b", "+3D", "~!*<>", &long] {
            assert_eq!(EnvelopeId::parse(good).map(|id| id.to_string()).as_deref(), Some(good));
        }
        for bad in [
            "",
            "a+0D+0Ab",
            "+00",
            "+7F",
            "+0a",
            "+C3+A4",
            "+",
            "+4",
            "+4G",
            "+2b",
            "a=b",
            "a b",
            "a\r\nb",
            "a\tb",
            "\u{e4}",
            "\u{ff0b}41",
            "\u{2028}",
            &format!("{long}x"),
        ] {
            assert_eq!(EnvelopeId::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn an_original_recipient_has_a_type() {
        for (text, written) in [
            ("rfc822;a@b.test", Some("rfc822;a@b.test")),
            ("RFC822;a+2Bc@b.test", Some("RFC822;a+2Bc@b.test")),
            ("utf-8;a\\x{E4}@b.test", Some("utf-8;a\\x{E4}@b.test")),
            ("UTF-8;\u{e4}\u{1f600}@b.test", Some("UTF-8;\\x{E4}\\x{1F600}@b.test")),
            ("rfc822;j+C3+BCrgen@b.test", Some("rfc822;j+C3+BCrgen@b.test")),
            ("rfc822;j+C3rgen@b.test", None),
            ("rfc822;a+C2+85@b.test", None),
            ("x400;/G=a/", None),
            ("x400;/G+3Da/", Some("x400;/G+3Da/")),
            ("rfc822;\u{e4}@b.test", None),
            ("a@b.test", None),
            (";a@b.test", None),
            ("rfc822;", None),
            ("rfc 822;a@b.test", None),
            ("rfc822;a@b.test+0D+0ARCPT", None),
            ("utf-8;a\u{2028}+0A", None),
        ] {
            assert_eq!(OriginalRecipient::parse(text).map(|it| it.to_string()).as_deref(), written, "{text:?}");
        }
        assert!(OriginalRecipient::parse(&format!("rfc822;{}", "x".repeat(494))).is_none());
    }

    #[test]
    fn wishes_are_found_by_place() {
        let mut dsn = Dsn::default();
        assert!(dsn.is_empty());
        let never = RecipientDsn { notify: Notify::parse("NEVER"), original: None };
        dsn.push(1, never.clone());
        dsn.push(7, RecipientDsn::default());
        assert_eq!((dsn.recipient(1), dsn.recipient(2), dsn.is_empty()), (Some(&never), None, false));
    }

    proptest! {
        /// Whatever is taken is safe in a command as it is printed, and reading that again changes nothing.
        #[test]
        fn what_is_printed_is_one_word_and_reads_the_same(text in "[ -~\u{e4}\u{2028}\r\n\0+=;,]{0,30}|[A-Z+0-9;a-z-]{0,30}") {
            let printed = [
                EnvelopeId::parse(&text).map(|id| id.to_string()),
                OriginalRecipient::parse(&text).map(|it| it.to_string()),
                Notify::parse(&text).map(|notify| notify.to_string()),
                Ret::parse(&text).map(|ret| ret.to_string()),
            ];
            for printed in printed.iter().flatten() {
                prop_assert!(printed.bytes().all(|b| b.is_ascii_graphic() && b != b'='));
            }
            if let [Some(id), ..] = &printed {
                prop_assert_eq!(EnvelopeId::parse(id).map(|id| id.to_string()), Some(id.clone()));
            }
            if let [_, Some(it), ..] = &printed {
                prop_assert_eq!(OriginalRecipient::parse(it).map(|it| it.to_string()), Some(it.clone()));
            }
        }

        #[test]
        fn every_printable_character_can_be_spelled(text in "[ -~]{1,30}") {
            let xtext: String = text.bytes().map(|b| format!("+{b:02X}")).collect();
            prop_assert!(EnvelopeId::parse(&xtext).is_some());
        }
    }
}
