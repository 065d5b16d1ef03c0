//! One command line, without its CRLF, into a [`Command`] or the reply that refuses it (RFC 5321 section 4.1).
//!
//! Stricter than most: no control character, no bracket left out, nothing after a bracket but a space. Two liberties:
//! white space before the CRLF (RFC 5321 section 4.1.1) and a space after the colon, which half of the world's scripts
//! send. Source routes (`<@a,@b:c@d>`) are declined, as RFC 5321 section 4.1.1.3 allows: nobody sends them but scanners.

use super::reply::Reply;
use crate::message::Address;
use crate::message::dsn::{EnvelopeId, Notify, OriginalRecipient, RecipientDsn, Ret};
use crate::outcome::EnhancedCode;

/// The longest name in EHLO or HELO (RFC 5321 section 4.5.3.1.2).
const LONGEST_NAME: usize = 255;

/// A command that we understand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    /// EHLO with the client's name.
    Ehlo(&'a str),
    /// HELO with the client's name.
    Helo(&'a str),
    /// LHLO with the client's name (RFC 2033).
    Lhlo(&'a str),
    /// MAIL FROM.
    Mail(Mail),
    /// RCPT TO.
    Rcpt(Rcpt),
    /// DATA.
    Data,
    /// BDAT (RFC 3030).
    Bdat(Chunk),
    /// RSET.
    Rset,
    /// NOOP.
    Noop,
    /// QUIT.
    Quit,
    /// AUTH with its arguments (RFC 4954).
    Auth(Hidden<'a>),
    /// STARTTLS (RFC 3207).
    StartTls,
    /// VRFY.
    Vrfy,
    /// HELP.
    Help,
    /// A command of SMTP or of an extension that is not offered.
    NotOffered,
    /// The first line of an HTTP request: a browser, or something that takes us for a web server.
    Http,
}

/// Arguments that may hold a password, and are printed by nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Hidden<'a>(pub &'a str);

impl std::fmt::Debug for Hidden<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hidden")
    }
}

/// The arguments of MAIL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// The reverse-path; `None` is `<>`.
    pub sender: Option<Address>,
    /// `SIZE=` (RFC 1870), in bytes.
    pub size: Option<u64>,
    /// `BODY=8BITMIME` (RFC 6152).
    pub eight_bit: bool,
    /// `SMTPUTF8` (RFC 6531).
    pub utf8: bool,
    /// `RET` (RFC 3461).
    pub ret: Option<Ret>,
    /// `ENVID` (RFC 3461).
    pub envid: Option<EnvelopeId>,
}

/// The arguments of RCPT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rcpt {
    /// The forward-path.
    pub recipient: Address,
    /// Whether it was written in more than ASCII, which only SMTPUTF8 allows.
    pub non_ascii: bool,
    /// `NOTIFY` and `ORCPT` (RFC 3461).
    pub dsn: RecipientDsn,
}

/// The arguments of BDAT: how many octets follow the line's end, and whether the content ends with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// How many octets.
    pub size: u64,
    /// `LAST`.
    pub last: bool,
}

#[derive(Clone, Copy)]
enum Verb {
    Ehlo,
    Helo,
    Lhlo,
    Mail,
    Rcpt,
    Data,
    Bdat,
    Rset,
    Noop,
    Quit,
    Auth,
    StartTls,
    Vrfy,
    Help,
    NotOffered,
    Http,
}

/// In the order of use.
const VERBS: [(&str, Verb); 35] = [
    ("MAIL", Verb::Mail),
    ("RCPT", Verb::Rcpt),
    ("DATA", Verb::Data),
    ("BDAT", Verb::Bdat),
    ("EHLO", Verb::Ehlo),
    ("QUIT", Verb::Quit),
    ("RSET", Verb::Rset),
    ("HELO", Verb::Helo),
    ("NOOP", Verb::Noop),
    ("VRFY", Verb::Vrfy),
    ("HELP", Verb::Help),
    ("AUTH", Verb::Auth),
    ("STARTTLS", Verb::StartTls),
    ("LHLO", Verb::Lhlo),
    ("EXPN", Verb::NotOffered),
    ("ETRN", Verb::NotOffered),
    ("ATRN", Verb::NotOffered),
    ("TURN", Verb::NotOffered),
    ("SEND", Verb::NotOffered),
    ("SOML", Verb::NotOffered),
    ("SAML", Verb::NotOffered),
    ("BURL", Verb::NotOffered),
    ("XCLIENT", Verb::NotOffered),
    ("XFORWARD", Verb::NotOffered),
    ("XEXCH50", Verb::NotOffered),
    ("GET", Verb::Http),
    ("POST", Verb::Http),
    ("PUT", Verb::Http),
    ("HEAD", Verb::Http),
    ("OPTIONS", Verb::Http),
    ("DELETE", Verb::Http),
    ("PATCH", Verb::Http),
    ("TRACE", Verb::Http),
    ("CONNECT", Verb::Http),
    ("PRI", Verb::Http),
];

const SYNTAX: EnhancedCode = EnhancedCode(5, 5, 2);
const PARAMETERS: EnhancedCode = EnhancedCode(5, 5, 4);
const BAD_SENDER: EnhancedCode = EnhancedCode(5, 1, 7);
const BAD_RECIPIENT: EnhancedCode = EnhancedCode(5, 1, 3);
const NON_ASCII: EnhancedCode = EnhancedCode(5, 6, 7);

/// Without a size nobody knows where the octets end that a pipelining client has sent behind the line, and they must not
/// be taken for commands: so this one closes.
const NO_CHUNK: Reply = Reply::new(421, EnhancedCode(4, 7, 0), "BDAT needs the number of octets, and perhaps LAST");
/// The reply to a line that is longer than any command.
pub const TOO_LONG: Reply = Reply::new(500, SYNTAX, "The line is too long for a command");
const UNKNOWN: Reply = Reply::new(500, SYNTAX, "No such command");
const NO_ARGUMENT: Reply = Reply::new(501, PARAMETERS, "This command takes no argument");
/// The reply to an address in more than ASCII outside of SMTPUTF8, for RCPT.
pub const RECIPIENT_NEEDS_UTF8: Reply = Reply::new(550, NON_ASCII, "A non-ASCII recipient needs MAIL with SMTPUTF8");

/// Reads a line.
///
/// # Errors
/// The reply to it.
pub fn parse(line: &[u8]) -> Result<Command<'_>, Reply> {
    let text = printable(line).map_err(|reply| if is_chunk(line) { NO_CHUNK } else { reply })?;
    let (verb, argument) = text.split_once(' ').unwrap_or((text, ""));
    let argument = argument.trim_start_matches(' ');
    let Some((_, verb)) = VERBS.iter().find(|(name, _)| name.eq_ignore_ascii_case(verb)) else {
        return Err(UNKNOWN);
    };
    match verb {
        Verb::Mail => mail(argument).map(Command::Mail),
        Verb::Rcpt => rcpt(argument).map(Command::Rcpt),
        Verb::Ehlo => name(argument).map(Command::Ehlo),
        Verb::Helo => name(argument).map(Command::Helo),
        Verb::Lhlo => name(argument).map(Command::Lhlo),
        Verb::Data => alone(argument, Command::Data),
        Verb::Bdat => chunk(argument).map(Command::Bdat).ok_or(NO_CHUNK),
        Verb::Rset => alone(argument, Command::Rset),
        Verb::Quit => alone(argument, Command::Quit),
        Verb::StartTls => alone(argument, Command::StartTls),
        Verb::Auth if argument.is_empty() => Err(Reply::new(501, PARAMETERS, "AUTH needs a mechanism")),
        Verb::Auth => Ok(Command::Auth(Hidden(argument))),
        Verb::Vrfy if argument.is_empty() => Err(Reply::new(501, PARAMETERS, "VRFY needs an address")),
        Verb::Vrfy => Ok(Command::Vrfy),
        Verb::Noop => Ok(Command::Noop),
        Verb::Help => Ok(Command::Help),
        Verb::NotOffered => Ok(Command::NotOffered),
        Verb::Http if argument.is_empty() => Err(UNKNOWN),
        Verb::Http => Ok(Command::Http),
    }
}

fn is_chunk(line: &[u8]) -> bool {
    line.get(..4).is_some_and(|verb| verb.eq_ignore_ascii_case(b"BDAT"))
}

fn chunk(argument: &str) -> Option<Chunk> {
    let (size, last) = argument.split_once(' ').map_or((argument, ""), |(size, last)| (size, last.trim_start()));
    let last = match last {
        "" => false,
        _ if last.eq_ignore_ascii_case("LAST") => true,
        _ => return None,
    };
    Some(Chunk { size: number(size)?, last })
}

/// The line as text, without the white space before its CRLF.
fn printable(line: &[u8]) -> Result<&str, Reply> {
    let text = std::str::from_utf8(line).map_err(|_| Reply::new(500, SYNTAX, "The line is not UTF-8"))?;
    let text = text.trim_end_matches([' ', '\t']);
    if text.contains(char::is_control) {
        let sentence = "Control characters are not allowed in a command, and only CRLF ends it";
        return Err(Reply::new(500, SYNTAX, sentence));
    }
    Ok(text)
}

fn alone<'a>(argument: &str, command: Command<'a>) -> Result<Command<'a>, Reply> {
    if argument.is_empty() { Ok(command) } else { Err(NO_ARGUMENT) }
}

/// The client's name: a domain, an address literal, or what a machine takes for its name. Whatever could end a domain
/// in a Received header is refused.
fn name(argument: &str) -> Result<&str, Reply> {
    let fits = |byte: u8| byte.is_ascii_graphic() && !br#"()<>@,;\""#.contains(&byte);
    if argument.is_empty() || argument.len() > LONGEST_NAME || !argument.bytes().all(fits) {
        return Err(Reply::plain(
            501,
            "EHLO, HELO and LHLO need a host name or an address literal such as [127.0.0.1]",
        ));
    }
    Ok(argument)
}

fn mail(argument: &str) -> Result<Mail, Reply> {
    let syntax = Reply::new(501, BAD_SENDER, "The syntax is MAIL FROM:<address>");
    let (path, rest) = path(argument, "FROM:").ok_or(syntax)?;
    let mut mail = Mail { sender: None, size: None, eight_bit: false, utf8: false, ret: None, envid: None };
    parameters(rest, |keyword, value| mail.parameter(keyword, value))?;
    if !path.is_ascii() && !mail.utf8 {
        return Err(Reply::new(553, NON_ASCII, "A non-ASCII sender needs SMTPUTF8"));
    }
    if !path.is_empty() {
        mail.sender = Some(address(path, BAD_SENDER)?);
    }
    Ok(mail)
}

impl Mail {
    fn parameter(&mut self, keyword: &str, value: Option<&str>) -> Result<(), Reply> {
        if keyword.eq_ignore_ascii_case("SIZE") {
            self.size = Some(understood(value, number, "SIZE needs a number of bytes")?);
        } else if keyword.eq_ignore_ascii_case("BODY") {
            self.eight_bit = body(value)?;
        } else if keyword.eq_ignore_ascii_case("SMTPUTF8") && value.is_none() {
            self.utf8 = true;
        } else if keyword.eq_ignore_ascii_case("RET") {
            self.ret = Some(understood(value, Ret::parse, "RET is FULL or HDRS")?);
        } else if keyword.eq_ignore_ascii_case("ENVID") {
            self.envid = Some(understood(value, EnvelopeId::parse, "ENVID is an xtext of at most 100 octets")?);
        } else if keyword.eq_ignore_ascii_case("AUTH") {
            // Who first submitted it (RFC 4954 section 5) is a matter between servers that trust each other.
            value.filter(|value| is_xtext(value)).ok_or(Reply::new(501, PARAMETERS, "AUTH needs an address or <>"))?;
        } else {
            return Err(unknown_parameter());
        }
        Ok(())
    }
}

/// The value of a parameter, or the reply that says what it should be.
fn understood<T>(value: Option<&str>, parse: fn(&str) -> Option<T>, expected: &'static str) -> Result<T, Reply> {
    value.and_then(parse).ok_or_else(|| Reply::new(501, PARAMETERS, expected))
}

fn body(value: Option<&str>) -> Result<bool, Reply> {
    match value {
        Some(value) if value.eq_ignore_ascii_case("8BITMIME") => Ok(true),
        Some(value) if value.eq_ignore_ascii_case("7BIT") => Ok(false),
        _ => Err(Reply::new(501, PARAMETERS, "BODY is 7BIT or 8BITMIME")),
    }
}

/// Digits and nothing else, at most 20 of them (RFC 1870 section 4); no wrapping (CVE-2017-16943 and its family).
fn number(value: &str) -> Option<u64> {
    value.bytes().all(|byte| byte.is_ascii_digit()).then(|| value.parse().ok()).flatten()
}

fn rcpt(argument: &str) -> Result<Rcpt, Reply> {
    let syntax = Reply::new(501, BAD_RECIPIENT, "The syntax is RCPT TO:<address>");
    let (path, rest) = path(argument, "TO:").ok_or(syntax)?;
    let mut dsn = RecipientDsn::default();
    parameters(rest, |keyword, value| recipient_parameter(&mut dsn, keyword, value))?;
    if path.is_empty() {
        return Err(Reply::new(501, BAD_RECIPIENT, "RCPT needs an address"));
    }
    // RFC 5321 means the postmaster of this host by it; nobody lives here, and no provider would know whom we mean.
    if path.eq_ignore_ascii_case("postmaster") {
        return Err(Reply::new(550, BAD_RECIPIENT, "There is no local postmaster; give the address its domain"));
    }
    Ok(Rcpt { recipient: address(path, BAD_RECIPIENT)?, non_ascii: !path.is_ascii(), dsn })
}

fn recipient_parameter(dsn: &mut RecipientDsn, keyword: &str, value: Option<&str>) -> Result<(), Reply> {
    if keyword.eq_ignore_ascii_case("NOTIFY") {
        dsn.notify =
            Some(understood(value, Notify::parse, "NOTIFY is NEVER, or a list of SUCCESS, FAILURE and DELAY")?);
    } else if keyword.eq_ignore_ascii_case("ORCPT") {
        let expected = "ORCPT is a type and an xtext, such as rfc822;user@example.com";
        dsn.original = Some(understood(value, OriginalRecipient::parse, expected)?);
    } else {
        return Err(unknown_parameter());
    }
    Ok(())
}

fn address(path: &str, code: EnhancedCode) -> Result<Address, Reply> {
    if path.starts_with('@') {
        return Err(Reply::new(553, code, "Source routes are not served; give the address alone"));
    }
    Address::parse(path).map_err(|error| Reply::new(501, code, error.0))
}

/// What stands between the brackets, and what follows them.
fn path<'a>(argument: &'a str, keyword: &str) -> Option<(&'a str, &'a str)> {
    let (start, rest) = argument.split_at_checked(keyword.len())?;
    let rest = rest.trim_start_matches(' ').strip_prefix('<')?;
    let (path, rest) = rest.split_at(closing(rest)?);
    let rest = &rest[1..];
    (start.eq_ignore_ascii_case(keyword) && (rest.is_empty() || rest.starts_with(' '))).then_some((path, rest))
}

/// Where the bracket closes; one in a quoted string does not.
fn closing(text: &str) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    text.bytes().position(|byte| {
        let plain = !std::mem::take(&mut escaped);
        match byte {
            b'\\' if quoted && plain => escaped = true,
            b'"' if plain => quoted = !quoted,
            b'>' => return !quoted,
            _ => {}
        }
        false
    })
}

/// Hands each parameter to `take` (RFC 5321 section 4.1.1.11), none of them twice.
fn parameters<'a>(
    text: &'a str,
    mut take: impl FnMut(&'a str, Option<&'a str>) -> Result<(), Reply>,
) -> Result<(), Reply> {
    let words = || text.split(' ').filter(|word| !word.is_empty());
    let keyword_of =
        |word: &'a str| word.split_once('=').map_or((word, None), |(keyword, value)| (keyword, Some(value)));
    for (n, word) in words().enumerate() {
        let (keyword, value) = keyword_of(word);
        let again = words().take(n).any(|other| keyword_of(other).0.eq_ignore_ascii_case(keyword));
        if again || !is_keyword(keyword) || !value.is_none_or(is_value) {
            return Err(Reply::new(501, PARAMETERS, "A parameter is not well-formed, or given twice"));
        }
        take(keyword, value)?;
    }
    Ok(())
}

fn is_keyword(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// RFC 5321 section 4.1.2; RFC 6531 section 3.3 adds what is not ASCII, which only ORCPT has a use for.
fn is_value(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| !byte.is_ascii() || (byte.is_ascii_graphic() && byte != b'='))
}

/// Printable ASCII with `+` only before two hexadecimal digits (RFC 3461 section 4).
fn is_xtext(text: &str) -> bool {
    let coded = |part: &str| part.bytes().take(2).filter(|byte| matches!(byte, b'0'..=b'9' | b'A'..=b'F')).count() == 2;
    text.is_ascii() && text.split('+').skip(1).all(coded)
}

fn unknown_parameter() -> Reply {
    Reply::new(555, PARAMETERS, "The parameter is not known")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    fn check(line: &str, expected: Command<'_>) {
        assert_eq!(parse(line.as_bytes()), Ok(expected), "{line:?}");
    }

    fn refused(line: impl AsRef<[u8]>, codes: &str) {
        let line = line.as_ref();
        let reply = parse(line).expect_err(&line.escape_ascii().to_string());
        let enhanced = reply.enhanced().map(|code| format!(" {code}")).unwrap_or_default();
        assert_eq!(format!("{}{enhanced}", reply.code()), codes, "{:?}", line.escape_ascii().to_string());
    }

    fn mail(sender: &str) -> Mail {
        let sender = (!sender.is_empty()).then(|| address(sender));
        Mail { sender, size: None, eight_bit: false, utf8: false, ret: None, envid: None }
    }

    #[test]
    fn verbs_in_any_case_with_trailing_space() {
        check("DATA", Command::Data);
        check("dAtA \t ", Command::Data);
        check("RSET", Command::Rset);
        check("QUIT", Command::Quit);
        check("NOOP", Command::Noop);
        check("NOOP anything at all", Command::Noop);
        check("HELP MAIL", Command::Help);
        check("VRFY someone", Command::Vrfy);
        check("LHLO mail.example", Command::Lhlo("mail.example"));
        check("EHLO mail.example", Command::Ehlo("mail.example"));
        check("helo [127.0.0.1]", Command::Helo("[127.0.0.1]"));
        check("EHLO [IPv6:::1]", Command::Ehlo("[IPv6:::1]"));
        check("EHLO my_machine", Command::Ehlo("my_machine"));
    }

    #[test]
    fn mail_and_its_parameters() {
        check("MAIL FROM:<a@b.test>", Command::Mail(mail("a@b.test")));
        check("mail from: <a@b.test> ", Command::Mail(mail("a@b.test")));
        check("MAIL FROM:<>", Command::Mail(mail("")));
        check("MAIL FROM:<> SIZE=0", Command::Mail(Mail { size: Some(0), ..mail("") }));
        let (ret, envid) = (Ret::parse("HDRS"), EnvelopeId::parse("a+2Bb"));
        check("MAIL FROM:<> RET=hdrs ENVID=a+2Bb", Command::Mail(Mail { ret, envid, ..mail("") }));
        let all = Mail { size: Some(u64::MAX), eight_bit: true, utf8: true, ..mail("a@b.test") };
        check("MAIL FROM:<a@b.test> size=18446744073709551615 Body=8bitMIME SMTPUTF8", Command::Mail(all));
        check("MAIL FROM:<a@b.test>  BODY=7BIT", Command::Mail(mail("a@b.test")));
    }

    #[test]
    fn tls_and_logins() {
        check("starttls ", Command::StartTls);
        check("AUTH PLAIN AGpvZQBw", Command::Auth(Hidden("PLAIN AGpvZQBw")));
        check("auth  LOGIN", Command::Auth(Hidden("LOGIN")));
        refused("STARTTLS now", "501 5.5.4");
        refused("AUTH", "501 5.5.4");
        for good in ["AUTH=<>", "auth=a@b.test", "AUTH=e+3Dmc2@b.test"] {
            check(&format!("MAIL FROM:<a@b.test> {good}"), Command::Mail(mail("a@b.test")));
        }
        for bad in ["AUTH", "AUTH=", "AUTH=a+b", "AUTH=a+3", "AUTH=a+3d", "AUTH=<> AUTH=<>"] {
            refused(format!("MAIL FROM:<a@b.test> {bad}"), "501 5.5.4");
        }
        assert!(!format!("{:?}", parse(b"AUTH PLAIN AGpvZQBw")).contains("AGpv"));
    }

    #[test]
    fn rcpt() {
        let rcpt = |text: &str| {
            let (recipient, non_ascii) = (address(text), !text.is_ascii());
            Command::Rcpt(Rcpt { recipient, non_ascii, dsn: RecipientDsn::default() })
        };
        check("RCPT TO:<a@b.test>", rcpt("a@b.test"));
        check("rcpt to: <a+b%c@b.test>", rcpt("a+b%c@b.test"));
        check("RCPT TO:<\u{e4}@b.test>", rcpt("\u{e4}@b.test"));
        let dsn = RecipientDsn {
            notify: Notify::parse("SUCCESS,DELAY"),
            original: OriginalRecipient::parse("utf-8;\\x{E4}@b.test"),
        };
        let rcpt = Rcpt { recipient: address("a@b.test"), non_ascii: false, dsn };
        check("RCPT TO:<a@b.test> notify=delay,success ORCPT=utf-8;\u{e4}@b.test", Command::Rcpt(rcpt));
    }

    /// CVE-2017-16943/4 Exim and smtp-proto 0.2.5: sizes that wrap.
    #[test]
    fn a_chunk_has_a_size_or_the_connection_ends() {
        let chunk = |size, last| Command::Bdat(Chunk { size, last });
        check("BDAT 5", chunk(5, false));
        check("bdat 0 last ", chunk(0, true));
        check("BDAT  18446744073709551615  LAST", chunk(u64::MAX, true));
        for line in [
            "BDAT",
            "BDAT x",
            "BDAT -1",
            "BDAT +1",
            "BDAT 1 FIRST",
            "BDAT LAST",
            "BDAT 1 LAST LAST",
            "BDAT 0x10",
            "BDAT 18446744073709551616",
            "BDAT 1.5",
            "BDAT 1\tLAST",
            "BDAT\0 1",
            "BDAT\t1",
            "BDAT 1\u{a0}LAST",
        ] {
            refused(line, "421 4.7.0");
        }
    }

    #[test]
    fn what_is_not_offered_is_known_and_http_is_noticed() {
        for line in ["EXPN list", "ETRN a", "TURN", "XCLIENT NAME=a"] {
            check(line, Command::NotOffered);
        }
        for line in
            ["GET / HTTP/1.1", "POST /x HTTP/1.1", "OPTIONS * HTTP/1.1", "PRI * HTTP/2.0", "CONNECT a:25 HTTP/1.1"]
        {
            check(line, Command::Http);
        }
        refused("GET", "500 5.5.2");
    }

    #[test]
    fn shapes_that_are_no_command() {
        for line in ["", " ", "FOO", "MAILFROM:<a@b.test>", "Host: localhost", " DATA", "DATA\u{a0}", "\u{fe0f}"] {
            refused(line, "500 5.5.2");
        }
        for line in ["DATA now", "RSET x", "QUIT x", "VRFY"] {
            refused(line, "501 5.5.4");
        }
        for line in ["EHLO", "HELO ", "EHLO a b", "EHLO (a)", "EHLO a@b", "EHLO \u{e4}.test", "EHLO a;b", "EHLO a\"b"] {
            refused(line, "501");
        }
        refused(format!("EHLO {}", "a".repeat(256)), "501");
    }

    /// Bare line ends in commands: CVE-2026-23829 Mailpit (bare CR in MAIL FROM), CVE-2025-59419 netty; NUL: CVE-2024-27305's
    /// neighbours; C1 and invalid UTF-8: the table of `facts/reliability.md` 2, row 7.
    #[test]
    fn control_characters_are_refused_everywhere() {
        for bad in ["\r", "\n", "\0", "\t", "\u{b}", "\u{7f}", "\u{85}", "\u{1b}"] {
            for line in [
                "MAIL FROM:<a@b.test>X.",
                "MAIL FROM:<aX@b.test>",
                "RCPT TO:<a@bX.test>",
                "XDATA",
                "EHLO aXb",
                "NOOP X.",
            ] {
                refused(line.replace('X', bad), "500 5.5.2");
            }
        }
        refused("MAIL FROM:<a@b.test>\nRCPT TO:<c@d.test>", "500 5.5.2");
        refused(b"RCPT TO:<\xff@b.test>", "500 5.5.2");
        refused(b"\x16\x03\x01\x02\x00\x01", "500 5.5.2");
    }

    #[test]
    fn paths_are_strict() {
        for line in [
            "MAIL",
            "MAIL FROM",
            "MAIL FROM:",
            "MAIL FROM:a@b.test",
            "MAIL FROM:<a@b.test",
            "MAIL FROM:<a@b.test>>",
            "MAIL FROM:<a@b.test>SIZE=3",
            "MAIL FROM:<a@b.test>\u{a0}",
            "MAIL FROM :<a@b.test>",
            "MAIL TO:<a@b.test>",
            "MAIL FROM:\"A\" <a@b.test>",
            "MAIL FROM:<\"a>@b.test>",
            "MAIL \u{e4}\u{e4}\u{e4}:<>",
        ] {
            refused(line, "501 5.1.7");
        }
        for line in
            ["RCPT", "RCPT TO:", "RCPT TO:<>", "RCPT TO:a@b.test", "RCPT FROM:<a@b.test>", "RCPT TO:<a@b.test>x"]
        {
            refused(line, "501 5.1.3");
        }
        refused("RCPT TO:<postmaster>", "550 5.1.3");
        refused("RCPT TO:<Postmaster>", "550 5.1.3");
    }

    /// Open-relay scanners (nmap smtp-open-relay) try these.
    #[test]
    fn source_routes_are_declined() {
        refused("RCPT TO:<@a.test,@b.test:c@d.test>", "553 5.1.3");
        refused("RCPT TO:<@a.test:c@d.test>", "553 5.1.3");
        refused("MAIL FROM:<@a.test:c@d.test>", "553 5.1.7");
    }

    /// CVE-2017-16943/4 Exim, CVE-2005-1513 qmail (integers); GHSA-c7w3-x93f-qmm8 nodemailer (SIZE that carries a command).
    #[test]
    fn parameters_are_strict() {
        for parameter in [
            "SIZE",
            "SIZE=",
            "SIZE=-1",
            "SIZE=+1",
            "SIZE=1k",
            "SIZE=0x10",
            "SIZE=18446744073709551616",
            "SIZE=1=2",
            "SIZE=99999999999999999999999",
            "SIZE=1 SIZE=2",
            "size=1 SIZE=1",
            "BODY",
            "BODY=",
            "BODY=9BIT",
            "BODY=BINARYMIME",
            "SMTPUTF8 SMTPUTF8",
            "=1",
            "-A=1",
            "SIZE=\u{e4}",
            "S\u{e4}ZE=1",
            "RET",
            "RET=ALL",
            "RET=FULL RET=FULL",
            "ENVID",
            "ENVID=",
            "ENVID=a+0D+0ARCPT",
            "ENVID=\u{e4}",
            "ENVID=1 envid=2",
            "A_B=1",
        ] {
            refused(format!("MAIL FROM:<a@b.test> {parameter}"), "501 5.5.4");
        }
        for parameter in ["FOO", "FOO=1", "NOTIFY=NEVER", "SMTPUTF8=1", "XVERP", "SIZE=1 FOO"] {
            refused(format!("MAIL FROM:<a@b.test> {parameter}"), "555 5.5.4");
        }
        for parameter in ["RET=FULL", "ENVID=1", "SIZE=1", "SMTPUTF8"] {
            refused(format!("RCPT TO:<a@b.test> {parameter}"), "555 5.5.4");
        }
        for parameter in [
            "NOTIFY",
            "NOTIFY=",
            "NOTIFY=NEVER,DELAY",
            "ORCPT=a@b.test",
            "ORCPT=rfc822;+0A",
            "NOTIFY=DELAY NOTIFY=DELAY",
        ] {
            refused(format!("RCPT TO:<a@b.test> {parameter}"), "501 5.5.4");
        }
    }

    #[test]
    fn a_non_ascii_sender_needs_smtputf8() {
        refused("MAIL FROM:<\u{e4}@b.test>", "553 5.6.7");
        refused("MAIL FROM:<a@\u{e4}.test>", "553 5.6.7");
        let sender = Mail { utf8: true, ..mail("\u{e4}@b.test") };
        check("MAIL FROM:<\u{e4}@b.test> SMTPUTF8", Command::Mail(sender));
    }

    /// smtp-proto 0.2.5 unquotes such local parts, and written back they inject parameters.
    #[test]
    fn a_bracket_in_quotes_does_not_close() {
        assert_eq!(path(r#"TO:<"a> NOTIFY=NEVER <x"@c.d> B"#, "TO:"), Some((r#""a> NOTIFY=NEVER <x"@c.d"#, " B")));
        assert_eq!(path(r#"TO:<"a\">b"@c.d>"#, "TO:"), Some((r#""a\">b"@c.d"#, "")));
        assert_eq!(path(r#"TO:<"a\\">b"@c.d>"#, "TO:"), None);
        assert_eq!(path(r"TO:<a\>b@c.d>", "TO:"), None);
    }

    proptest! {
        #[test]
        fn no_bytes_can_make_it_fail(line in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = parse(&line);
        }

        #[test]
        fn no_argument_can_make_it_fail(start in "(MAIL FROM:|RCPT TO:|mail from: |EHLO )", rest in "[<>@\"\\\\ a-c=:,.\u{e4}\r\n]{0,40}") {
            let _ = parse(format!("{start}{rest}").as_bytes());
        }
    }
}
