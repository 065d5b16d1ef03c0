//! The table.

use std::borrow::Cow;

/// One attack.
pub struct Case {
    pub name: &'static str,
    /// The advisory, or the rule.
    pub source: &'static str,
    /// What is said after EHLO, in one go.
    pub says: Says,
    /// How each reply begins, after the one to EHLO.
    pub replies: &'static [&'static str],
    /// For whom a message arrives.
    pub arrives: &'static [&'static str],
    /// Only of interest where the provider has extensions.
    pub needs_extensions: bool,
}

pub enum Says {
    /// As it stands, and without EHLO before it.
    Bare(&'static [u8]),
    /// After EHLO, and QUIT behind it.
    Lines(&'static [u8]),
    /// The same behind a good MAIL.
    Rcpt(&'static str),
    /// The same behind a good MAIL and RCPT, and a DATA.
    Content(&'static [u8]),
    /// Made with a repeated piece: before, piece, how often, behind.
    Repeated(&'static str, &'static str, usize, &'static str),
}

const MAIL: &[u8] = b"MAIL FROM:<a@b.test>\r\n";
const RCPT: &[u8] = b"RCPT TO:<c@d.test>\r\n";

impl Case {
    /// The bytes on the wire.
    pub fn bytes(&self) -> Vec<u8> {
        let (before, bytes): (Vec<&[u8]>, Cow<'_, [u8]>) = match &self.says {
            Bare(bytes) => return bytes.to_vec(),
            Lines(bytes) => (vec![], (*bytes).into()),
            Rcpt(argument) => (vec![MAIL], format!("RCPT TO:{argument}\r\n").into_bytes().into()),
            Content(bytes) => (vec![MAIL, RCPT, b"DATA\r\n"], (*bytes).into()),
            Repeated(start, piece, times, end) => {
                (vec![], format!("{start}{}{end}", piece.repeat(*times)).into_bytes().into())
            }
        };
        [b"EHLO me\r\n", &before.concat()[..], &bytes, b"QUIT\r\n"].concat()
    }
}

const fn case(
    name: &'static str,
    source: &'static str,
    says: Says,
    replies: &'static [&'static str],
    arrives: &'static [&'static str],
) -> Case {
    Case { name, source, says, replies, arrives, needs_extensions: false }
}

/// Nothing but a refusal, and life goes on.
const fn refused(name: &'static str, source: &'static str, says: Says, replies: &'static [&'static str]) -> Case {
    case(name, source, says, replies, &[])
}

const fn extended(case: Case) -> Case {
    Case { needs_extensions: true, ..case }
}

use Says::{Bare, Content, Lines, Rcpt, Repeated};

const OK: &str = "250 2.0.0 Ok";
const ONE: &[&str] = &["c@d.test"];
const TAKEN: &[&str] = &["250", "250 2.1.0", "250 2.1.5", "354", "250 2.0.0 Ok: ", "221"];
const SPOILED: &[&str] = &["250", "250 2.1.0", "250 2.1.5", "354", "550 5.6.0", "221"];
const BAD_RCPT: &[&str] = &["250", "250 2.1.0", "501 5.1.3", "221"];
const BAD_LINE: &[&str] = &["250", "500 5.5.2", "221"];
const BAD_PARAMETER: &[&str] = &["250", "501 5.5.4", "221"];

pub const CASES: &[Case] = &[
    // === Where content ends: SMTP smuggling ===
    case("LF.LF", "CVE-2023-51764 Postfix", Content(b"x\n.\nMAIL FROM:<evil@x.test>\r\n.\r\n"), TAKEN, ONE),
    case("LF.CRLF", "CVE-2023-51765 Sendmail", Content(b"x\n.\r\nMAIL FROM:<evil@x.test>\r\n.\r\n"), TAKEN, ONE),
    case("CRLF.LF", "CVE-2023-51766 Exim", Content(b"x\r\n.\nMAIL FROM:<evil@x.test>\r\n.\r\n"), TAKEN, ONE),
    case("CR.CR", "CVE-2024-27305 aiosmtpd", Content(b"x\r.\rMAIL FROM:<evil@x.test>\r\n.\r\n"), TAKEN, ONE),
    case("CR.CRLF", "sec-consult 2023 (Cisco Secure Email)", Content(b"x\r.\r\nRSET\r\n.\r\n"), TAKEN, ONE),
    case("CRLF.CR", "sec-consult 2023", Content(b"x\r\n.\rRSET\r\n.\r\n"), TAKEN, ONE),
    case("LF.CR", "hannob/smtpsmug", Content(b"x\n.\rRSET\r\n.\r\n"), TAKEN, ONE),
    case("CR CRLF.CRLF is a true end", "RFC 5321 section 4.1.1.4", Content(b"x\r\r\n.\r\n"), TAKEN, ONE),
    case("CRLF.CR CRLF", "smtp-proto 0.2.5", Content(b"x\r\n.\r\r\nRSET\r\n.\r\n"), TAKEN, ONE),
    case("CRLF.NUL CRLF", "The-Login/SMTP-Smuggling-Tools", Content(b"x\r\n.\0\r\nRSET\r\n.\r\n"), SPOILED, &[]),
    case("CRLF NUL.CRLF", "The-Login/SMTP-Smuggling-Tools", Content(b"x\r\n\0.\r\nRSET\r\n.\r\n"), SPOILED, &[]),
    case("a dot first of all", "RFC 5321 section 4.5.2", Content(b".\r\n"), TAKEN, ONE),
    case("dots are stuffing", "RFC 5321 section 4.5.2", Content(b"..\r\n...\r\n.x\r\n.\r\n"), TAKEN, ONE),
    case("commands in content are content", "RFC 5321 section 4.1.1.4", Content(b"RSET\r\nQUIT\r\n.\r\n"), TAKEN, ONE),
    case(
        "no content before the dot is cut",
        "RFC 5321 section 4.1.1.4",
        Bare(b"EHLO me\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nDATA\r\nhalf"),
        &["250", "250", "250", "354"],
        &[],
    ),
    // === Chunks ===
    extended(case(
        "an end in a chunk is content",
        "RFC 3030 section 2",
        Lines(b"MAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nBDAT 31 LAST\r\nx\r\n.\r\nMAIL FROM:<evil@x.test>\r\n"),
        &["250", "250", "250", "250 2.0.0 Ok: ", "221"],
        ONE,
    )),
    case(
        "an end over the border of two chunks",
        "RFC 3030 section 2",
        Lines(b"MAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nBDAT 5\r\nx\r\n.\rBDAT 7 LAST\r\n\nRSET\r\n"),
        &["250", "250", "250", "250 2.0.0 Chunk", "250 2.0.0 Ok: ", "221"],
        ONE,
    ),
    case(
        "a bare LF in a chunk",
        "CVE-2023-51764",
        Lines(b"MAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nBDAT 4\r\nx\n.\nBDAT 8 LAST\r\nMAIL\nX\r\n"),
        &["250", "250", "250", "250 2.0.0 Chunk", "250 2.0.0 Ok: ", "221"],
        ONE,
    ),
    refused(
        "a NUL in a chunk",
        "RFC 2045 section 2.8",
        Lines(b"MAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nBDAT 1 LAST\r\n\0"),
        &["250", "250", "250", "550 5.6.0", "221"],
    ),
    refused(
        "a size that wraps 64 bits",
        "CVE-2017-16943 Exim",
        Lines(b"MAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nBDAT 18446744073709551620 LAST\r\nRSET\r\n"),
        &["250", "250", "250", "421 4.7.0"],
    ),
    refused(
        "a size that wraps 63 bits",
        "CVE-2017-16944 Exim",
        Lines(b"MAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nBDAT 9223372036854775809 LAST\r\nRSET\r\n"),
        &["250", "250", "250", "552 5.3.4"],
    ),
    refused("a negative size", "CVE-2017-16943 Exim", Lines(b"BDAT -1\r\nRSET\r\n"), &["250", "421 4.7.0"]),
    refused("no size", "RFC 3030 section 2", Lines(b"BDAT LAST\r\nRSET\r\n"), &["250", "421 4.7.0"]),
    refused(
        "a chunk without a recipient is no command",
        "RFC 3030 section 2",
        Lines(b"MAIL FROM:<a@b.test>\r\nBDAT 20 LAST\r\nRCPT TO:<e@d.test>\r\n"),
        &["250", "250", "554 5.5.1", "221"],
    ),
    refused(
        "a chunk without MAIL is no command",
        "RFC 3030 section 2",
        Lines(b"BDAT 6\r\nRSET\r\n"),
        &["250", "503 5.5.1", "221"],
    ),
    refused(
        "DATA among chunks, its content behind it",
        "RFC 3030 section 2",
        Lines(b"MAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nBDAT 1\r\nxDATA\r\nevil\r\n.\r\n"),
        &["250", "250", "250", "250", "421 4.7.0"],
    ),
    case(
        "a chunk that is cut is not sent",
        "RFC 3030 section 2",
        Bare(b"EHLO me\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nBDAT 10 LAST\r\nhalf"),
        &["250", "250", "250"],
        &[],
    ),
    case(
        "nor are chunks without a last one",
        "RFC 3030 section 2",
        Lines(b"MAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nBDAT 4\r\nhalf"),
        &["250", "250", "250", "250 2.0.0 Chunk", "221"],
        &[],
    ),
    // === The order of commands ===
    refused(
        "RCPT without MAIL",
        "RFC 5321 section 4.1.4",
        Lines(b"RCPT TO:<c@d.test>\r\n"),
        &["250", "503 5.5.1", "221"],
    ),
    refused(
        "MAIL twice",
        "RFC 5321 section 4.1.4",
        Lines(b"MAIL FROM:<a@b.test>\r\nMAIL FROM:<evil@b.test>\r\n"),
        &["250", "250", "503 5.5.1", "221"],
    ),
    refused(
        "MAIL without EHLO",
        "RFC 5321 section 4.1.4",
        Bare(b"MAIL FROM:<a@b.test>\r\nQUIT\r\n"),
        &["503 5.5.1", "221"],
    ),
    refused(
        "DATA without a recipient",
        "RFC 5321 section 3.3",
        Lines(b"MAIL FROM:<a@b.test>\r\nDATA\r\n"),
        &["250", "250", "421 4.7.0"],
    ),
    refused(
        "content behind a DATA that is refused",
        "RFC 2920 section 3.1",
        Lines(b"MAIL FROM:<a@b.test>\r\nDATA\r\nRCPT TO:<evil@d.test>\r\nDATA\r\nx\r\n.\r\n"),
        &["250", "250", "421 4.7.0"],
    ),
    refused(
        "EHLO forgets the envelope",
        "RFC 5321 section 4.1.4",
        Lines(b"MAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nEHLO me\r\nRCPT TO:<c@d.test>\r\n"),
        &["250", "250", "250", "250", "503 5.5.1", "221"],
    ),
    refused(
        "STARTTLS where it is not offered, commands behind it",
        "CVE-2011-0411 Postfix",
        Lines(b"STARTTLS\r\nRSET\r\n"),
        &["250", "502 5.5.1", OK, "221"],
    ),
    refused(
        "who names an original client",
        "Postfix XCLIENT: never from everybody",
        Lines(b"XCLIENT ADDR=127.0.0.1\r\nXFORWARD ADDR=127.0.0.1\r\n"),
        &["250", "502 5.5.1", "502 5.5.1", "221"],
    ),
    refused(
        "looking for users",
        "RFC 5321 section 7.3",
        Lines(b"VRFY root\r\nEXPN all\r\n"),
        &["250", "252 2.0.0", "502 5.5.1", "221"],
    ),
    // === Not SMTP at all ===
    refused(
        "a browser",
        "CVE-2023-27482's kind: cross-protocol scripting",
        Bare(b"POST / HTTP/1.1\r\nHost: localhost\r\n\r\nEHLO me\r\nMAIL FROM:<evil@b.test>\r\n"),
        &["421 4.7.0"],
    ),
    refused("a browser with HTTP/2", "RFC 9113 section 3.4", Bare(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), &["421 4.7.0"]),
    refused(
        "a header of HTTP is an error, and three are too many",
        "cross-protocol scripting",
        Bare(b"Host: x\r\nAccept: x\r\nReferer: x\r\nEHLO me\r\n"),
        &["500 5.5.2", "500 5.5.2", "421 4.7.0"],
    ),
    refused(
        "a TLS hello in clear",
        "RFC 8314",
        Bare(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\nQUIT\r\n"),
        &["421 4.7.0"],
    ),
    // === Lines ===
    refused("a bare LF ends no command", "CVE-2023-51764; RFC 5321 section 2.3.8", Lines(b"NOOP\nRSET\r\n"), BAD_LINE),
    refused("nor does a bare CR", "RFC 5321 section 2.3.8", Lines(b"NOOP\rRSET\r\n"), BAD_LINE),
    refused("a bare CR in an address", "CVE-2026-23829 Mailpit", Lines(b"MAIL FROM:<a\revil@b.test>\r\n"), BAD_LINE),
    refused(
        "a bare LF in an address",
        "CVE-2025-59419 netty-codec-smtp",
        Lines(b"MAIL FROM:<a@b.test>\nRCPT TO:<evil@d.test>\r\n"),
        BAD_LINE,
    ),
    refused("a NUL in a command", "RFC 5321 section 4.1.2", Lines(b"NOOP \0\r\n"), BAD_LINE),
    refused("a NUL in a parameter", "RFC 5321 section 4.1.2", Lines(b"MAIL FROM:<a@b.test> SIZE=1\0\r\n"), BAD_LINE),
    refused(
        "a NUL in an address",
        "CVE-2024-27305's neighbours",
        Lines(b"MAIL FROM:<a@b.test\0.evil.test>\r\n"),
        BAD_LINE,
    ),
    refused("bytes that are no UTF-8", "RFC 6531 section 3.1", Lines(b"NOOP \xff\xfe\r\n"), BAD_LINE),
    refused("an overlong form of LF", "RFC 3629 section 3", Lines(b"NOOP \xc0\x8a\r\n"), BAD_LINE),
    refused("a C1 line end", "ECMA-48 NEL", Lines("MAIL FROM:<a@b.test>\u{85}RCPT\r\n".as_bytes()), BAD_LINE),
    refused(
        "a line of 3,000 octets",
        "RFC 5321 section 4.5.3.1.4",
        Repeated("NOOP ", "x", 3_000, "\r\nNOOP\r\n"),
        &["250", "500 5.5.2", OK, "221"],
    ),
    refused(
        "a line that never ends",
        "CVE-2019-10149's kind; RFC 5321 section 4.5.3.1.4",
        Repeated("", "x", 2_000_000, ""),
        &["250", "421 4.7.0"],
    ),
    case(
        "a line of 5,000 octets in content stays as it is",
        "RFC 5321 section 4.5.3.1.6; a signature may be over it",
        Repeated("MAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nDATA\r\n", "x", 5_000, "\r\n.\r\n"),
        TAKEN,
        ONE,
    ),
    case(
        "the longest command that extensions make",
        "RFC 3461 section 5.4",
        Repeated(
            "MAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test> NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=rfc822;",
            "x",
            490,
            "\r\nDATA\r\n.\r\n",
        ),
        TAKEN,
        ONE,
    ),
    // === Addresses ===
    refused(
        "a source route",
        "RFC 5321 appendix C: declined; nmap smtp-open-relay",
        Rcpt("<@a.test,@b.test:c@d.test>"),
        &["250", "250", "553 5.1.3", "221"],
    ),
    refused(
        "a source route as sender",
        "RFC 5321 appendix C",
        Lines(b"MAIL FROM:<@a.test:c@d.test>\r\n"),
        &["250", "553 5.1.7", "221"],
    ),
    case(
        "a percent hack is a local part like others",
        "RFC 1123 section 5.2.16; nmap smtp-open-relay",
        Lines(b"MAIL FROM:<a@b.test>\r\nRCPT TO:<evi%x.test@d.test>\r\nDATA\r\n.\r\n"),
        TAKEN,
        &["evi%x.test@d.test"],
    ),
    case(
        "so is a bang path",
        "RFC 976; nmap smtp-open-relay",
        Lines(b"MAIL FROM:<a@b.test>\r\nRCPT TO:<x.test!evi@d.test>\r\nDATA\r\n.\r\n"),
        TAKEN,
        &["x.test!evi@d.test"],
    ),
    refused("two at signs", "nmap smtp-open-relay", Rcpt("<evil@x.test@d.test>"), BAD_RCPT),
    case(
        "an at sign in quotes stays in quotes",
        "CVE-2025-13033 nodemailer",
        Lines(b"MAIL FROM:<a@b.test>\r\nRCPT TO:<\"e@x.test\"@d.test>\r\nDATA\r\n.\r\n"),
        TAKEN,
        &["\"e@x.test\"@d.test"],
    ),
    case(
        "a bracket in quotes ends nothing",
        "smtp-proto 0.2.5: parameters out of a local part",
        Lines(b"MAIL FROM:<a@b.test>\r\nRCPT TO:<\"e> NOTIFY=NEVER <x\"@d.test>\r\nDATA\r\n.\r\n"),
        TAKEN,
        &["\"e> NOTIFY=NEVER <x\"@d.test"],
    ),
    refused(
        "a line end in quotes",
        "CVE-2021-23400 nodemailer; RFC 5321 section 4.1.2",
        Rcpt("<\"a\nb\"@d.test>"),
        &["250", "250", "500 5.5.2", "221"],
    ),
    refused("a quote that does not close", "RFC 5321 section 4.1.2", Rcpt("<\"a@d.test>"), BAD_RCPT),
    refused("a bracket that does not close", "RFC 5321 section 4.1.2", Rcpt("<a@d.test"), BAD_RCPT),
    refused("two brackets", "RFC 5321 section 4.1.2", Rcpt("<<a@d.test>>"), BAD_RCPT),
    refused("no brackets", "RFC 5321 section 4.1.2", Rcpt("a@d.test"), BAD_RCPT),
    refused("two addresses in one", "GHSA-vvjj-xcjg-gr5g nodemailer", Rcpt("<a@d.test>,<evil@d.test>"), BAD_RCPT),
    refused("a list in brackets", "CVE-2025-13033 nodemailer", Rcpt("<a@d.test,evil@d.test>"), BAD_RCPT),
    refused(
        "a comment",
        "RFC 5321 section 4.1.2; RFC 5322 has it, an envelope has not",
        Rcpt("<a(evil)@d.test>"),
        BAD_RCPT,
    ),
    refused("a display name", "RFC 5321 section 4.1.2", Rcpt("\"A\" <a@d.test>"), BAD_RCPT),
    refused(
        "an address literal: providers deliver by name, and it would name machines inside",
        "RFC 5321 section 4.1.3",
        Rcpt("<a@[127.0.0.1]>"),
        BAD_RCPT,
    ),
    refused("an address that is a number", "RFC 5321 section 2.3.5", Rcpt("<a@127.0.0.1>"), BAD_RCPT),
    refused(
        "an option for sendmail",
        "CVE-2016-10033 PHPMailer: no address begins a path here",
        Rcpt("<\"a\\\" -X/tmp/x\" @d.test>"),
        BAD_RCPT,
    ),
    refused(
        "an encoded line end stays encoded, and is no atom here",
        "CVE-2025-7962 jakarta.mail",
        Rcpt("<a\u{2028}evil@d.test>"),
        BAD_RCPT,
    ),
    extended(case(
        "letters whose lower half is CR and LF",
        "CVE-2025-7962 jakarta.mail",
        Lines("MAIL FROM:<a@b.test> SMTPUTF8\r\nRCPT TO:<a\u{760d}\u{760a}b@d.test>\r\nDATA\r\n.\r\n".as_bytes()),
        TAKEN,
        &["a\u{760d}\u{760a}b@d.test"],
    )),
    case(
        "%0d%0a is six letters",
        "CVE-2021-23400's kind: encoded newlines",
        Lines(b"MAIL FROM:<a@b.test>\r\nRCPT TO:<a%0d%0ab@d.test>\r\nDATA\r\n.\r\n"),
        TAKEN,
        &["a%0d%0ab@d.test"],
    ),
    case(
        "=0D=0A is six letters",
        "RFC 2047 is not for addresses",
        Lines(b"MAIL FROM:<a@b.test>\r\nRCPT TO:<a=0D=0Ab@d.test>\r\nDATA\r\n.\r\n"),
        TAKEN,
        &["a=0D=0Ab@d.test"],
    ),
    refused("a full-width at sign", "UTS 36: NFKC makes an @ of it", Rcpt("<a\u{ff20}evil.test@d.test>"), BAD_RCPT),
    refused(
        "8-bit without SMTPUTF8",
        "RFC 6531 section 3.4",
        Rcpt("<\u{e4}@d.test>"),
        &["250", "250", "550 5.6.7", "221"],
    ),
    refused(
        "8-bit in a sender without SMTPUTF8",
        "RFC 6531 section 3.4",
        Lines("MAIL FROM:<\u{e4}@b.test>\r\n".as_bytes()),
        &["250", "553 5.6.7", "221"],
    ),
    refused(
        "a name in EHLO that is a header",
        "GHSA-vvjj-xcjg-gr5g nodemailer",
        Lines(b"EHLO x) by evil (\r\n"),
        &["250", "501", "221"],
    ),
    // === Parameters ===
    refused(
        "a size that wraps",
        "CVE-2005-1513 qmail; smtp-server takes it",
        Lines(b"MAIL FROM:<a@b.test> SIZE=18446744073709551616\r\n"),
        BAD_PARAMETER,
    ),
    refused(
        "a size that is a command",
        "GHSA-c7w3-x93f-qmm8 nodemailer",
        Lines(b"MAIL FROM:<a@b.test> SIZE=1\r\nRCPT TO:<evil@d.test>\r\n"),
        &["250", "250", "250 2.1.5", "221"],
    ),
    refused(
        "a size that is no number",
        "RFC 1870 section 6",
        Lines(b"MAIL FROM:<a@b.test> SIZE=-1\r\nMAIL FROM:<a@b.test> SIZE=\r\nMAIL FROM:<a@b.test> SIZE=1e3\r\n"),
        &["250", "501 5.5.4", "501 5.5.4", "501 5.5.4", "221"],
    ),
    refused(
        "a parameter given twice",
        "RFC 5321 section 4.1.1.11",
        Lines(b"MAIL FROM:<a@b.test> SIZE=1 size=2\r\nMAIL FROM:<a@b.test> BODY=7BIT BODY=8BITMIME\r\n"),
        &["250", "501 5.5.4", "501 5.5.4", "221"],
    ),
    refused(
        "a parameter that nobody knows",
        "RFC 5321 section 4.1.1.11",
        Lines(b"MAIL FROM:<a@b.test> XEVIL=1\r\n"),
        &["250", "555 5.5.4", "221"],
    ),
    refused(
        "BINARYMIME, which is not offered",
        "RFC 3030 section 3",
        Lines(b"MAIL FROM:<a@b.test> BODY=BINARYMIME\r\n"),
        BAD_PARAMETER,
    ),
    refused(
        "a line end spelled in ENVID",
        "RFC 3461 section 4.4",
        Lines(b"MAIL FROM:<a@b.test> ENVID=a+0D+0ARCPT\r\n"),
        BAD_PARAMETER,
    ),
    refused(
        "a line end spelled in ORCPT",
        "RFC 3461 section 4.2",
        Rcpt("<c@d.test> ORCPT=rfc822;a+0Aevil"),
        &["250", "250", "501 5.5.4", "221"],
    ),
    refused(
        "NEVER and more",
        "RFC 3461 section 4.1",
        Rcpt("<c@d.test> NOTIFY=NEVER,FAILURE"),
        &["250", "250", "501 5.5.4", "221"],
    ),
    refused(
        "a parameter behind no space",
        "RFC 5321 section 4.1.2",
        Lines(b"MAIL FROM:<a@b.test>SIZE=1\r\n"),
        &["250", "501 5.1.7", "221"],
    ),
    // === Too much ===
    refused(
        "more than SIZE allows, said",
        "RFC 1870 section 6.1",
        Lines(b"MAIL FROM:<a@b.test> SIZE=102401\r\n"),
        &["250", "552 5.3.4", "221"],
    ),
    refused(
        "more than SIZE allows, sent",
        "RFC 1870 section 6.3",
        Repeated(
            "MAIL FROM:<a@b.test> SIZE=1\r\nRCPT TO:<c@d.test>\r\nDATA\r\n",
            "0123456789abcde\r\n",
            7_000,
            ".\r\n",
        ),
        &["250", "250", "250", "354", "552 5.3.4", "221"],
    ),
    refused(
        "more recipients than allowed",
        "RFC 5321 section 4.5.3.1.10",
        Repeated("MAIL FROM:<a@b.test>\r\n", "RCPT TO:<c@d.test>\r\n", 5, ""),
        &["250", "250", "250", "250", "250", "452 4.5.3", "452 4.5.3", "221"],
    ),
    refused(
        "nothing but errors",
        "CVE-2010-4344's prelude; RFC 5321 section 7.8",
        Repeated("", "JUNK\r\n", 30, ""),
        &["250", "500", "500", "500", "500", "500", "500", "500", "500", "500", "421 4.7.0"],
    ),
];
