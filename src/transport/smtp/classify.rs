//! What a fact in an SMTP session means: the only place where a provider's codes become a [`Class`].
//!
//! The first digit does not decide alone. Some providers put lasting refusals into 4yz and passing ones into 5yz,
//! and our own trouble (login, sender identity, certificate) must never look like the message's fault.

pub mod token;

use std::io;
use std::time::Duration;

use super::reply::Malformed;
use crate::diagnosis::table::{self, Fact};
use crate::message::Envelope;
use crate::net::resolve::is_missing;
use crate::outcome::{Cause, Class, EnhancedCode, Failure, Reason, Reply, Step};
use crate::provider::Link;
use crate::time::utc;

/// How a conversation can break off.
#[derive(Debug)]
pub enum Lost {
    /// The other side closed the connection.
    Closed,
    /// Reading or writing failed.
    Io(io::Error),
    /// The step took longer than it may.
    Timeout(Duration),
    /// What came is not SMTP.
    Malformed(Malformed),
    /// We ourselves are ending.
    Ending,
}

/// Words that outrank the code, with what they mean. Compared in lower case; the first match wins.
const WORDS: &[(&str, Class, Reason)] = &[
    // Lasting, although 4yz: SendGrid's plan, MailerSend's validation.
    ("maximum credits exceeded", Class::Misconfigured, Reason::AuthRejected),
    ("the given data was invalid", Class::Permanent, Reason::ContentRefused),
    // Lasting, whatever the code: it wants TLS, or another name of us.
    ("tls required", Class::Misconfigured, Reason::TlsUnavailable),
    ("must issue a starttls", Class::Misconfigured, Reason::TlsUnavailable),
    ("encryption required for requested auth", Class::Misconfigured, Reason::TlsUnavailable),
    ("fully-qualified hostname", Class::Misconfigured, Reason::Protocol),
    ("helo command rejected", Class::Misconfigured, Reason::Protocol),
    // Passing, although 5yz: Google's daily quota.
    ("daily user sending limit", Class::Throttled, Reason::Throttled),
    ("daily smtp relay limit", Class::Throttled, Reason::Throttled),
    ("sending limit exceeded", Class::Throttled, Reason::Throttled),
    ("send limit exceeded", Class::Throttled, Reason::Throttled),
    // Us, not the message: the identity that may not send.
    ("address is not verified", Class::Misconfigured, Reason::SenderRefused),
    ("verified sender identity", Class::Misconfigured, Reason::SenderRefused),
    ("sendasdenied", Class::Misconfigured, Reason::SenderRefused),
    ("quotaexceededexception", Class::Misconfigured, Reason::SenderRefused),
    ("only send testing emails to your own", Class::Misconfigured, Reason::SenderRefused),
    ("domain is not verified", Class::Misconfigured, Reason::SenderRefused),
    ("domain not verified", Class::Misconfigured, Reason::SenderRefused),
    ("activate your mailgun account", Class::Misconfigured, Reason::SenderRefused),
    ("pending approval", Class::Misconfigured, Reason::SenderRefused),
    ("permissions to send as", Class::Misconfigured, Reason::SenderRefused),
    ("not allowed to relay", Class::Misconfigured, Reason::SenderRefused),
    ("sender is not allowed", Class::Misconfigured, Reason::SenderRefused),
    ("not owned by user", Class::Misconfigured, Reason::SenderRefused),
    ("free accounts are for test purposes", Class::Misconfigured, Reason::SenderRefused),
    // Us: the place that we come from.
    ("banned sending ip", Class::Misconfigured, Reason::GreetingRefused),
    // Us: the account, or not logged in, as far as the provider sees.
    ("account suspended", Class::Misconfigured, Reason::AuthRejected),
    ("account is suspended", Class::Misconfigured, Reason::AuthRejected),
    ("account has been suspended", Class::Misconfigured, Reason::AuthRejected),
    ("account is disabled", Class::Misconfigured, Reason::AuthRejected),
    ("account has been disabled", Class::Misconfigured, Reason::AuthRejected),
    ("was not authenticated", Class::Misconfigured, Reason::AuthRejected),
    ("authentication required", Class::Misconfigured, Reason::AuthRejected),
    ("unauthenticated senders", Class::Misconfigured, Reason::AuthRejected),
    ("relay access denied", Class::Misconfigured, Reason::AuthRejected),
    ("relaying denied", Class::Misconfigured, Reason::AuthRejected),
    ("unable to relay", Class::Misconfigured, Reason::AuthRejected),
    ("basic authentication is not supported", Class::Misconfigured, Reason::AuthRejected),
];

/// In a 4yz reply these ask to slow down.
const SLOW_DOWN: &[&str] = &[
    "throttl",
    "too many",
    "rate limit",
    "unusual rate",
    "concurrent connections",
    "limit exceeded",
    "peak smtp relay",
    "server busy",
];

/// The provider answered a step with a refusal.
#[must_use]
pub fn refused(step: Step, reply: Reply, link: &Link) -> Failure {
    let Reply { code, enhanced, text } = reply;
    let reply = Reply { code, enhanced, text: masked(&text) };
    let (class, reason) = meaning(step, &reply);
    let cause = cause(step, reason, Some(&reply), link);
    let seen = format!("{link} {} {}: it said \"{reply}\".", verb(class), object(step));
    Failure { reply: Some(reply), ..Failure::new(class, step, reason, cause, &seen) }
}

fn meaning(step: Step, reply: &Reply) -> (Class, Reason) {
    let text = reply.text.to_lowercase();
    if let Some((_, class, reason)) = WORDS.iter().find(|(words, ..)| text.contains(words)) {
        return (*class, *reason);
    }
    // The reason for which a token is refused comes as a challenge; some close the connection behind it.
    if step == Step::Auth && reply.code == 334 {
        return (Class::Misconfigured, Reason::AuthRejected);
    }
    if !reply.is_permanent() {
        return passing(step, reply, &text);
    }
    match step {
        Step::Greeting => (Class::Misconfigured, Reason::GreetingRefused),
        Step::StartTls => (Class::Misconfigured, Reason::TlsUnavailable),
        Step::Auth => (Class::Misconfigured, Reason::AuthRejected),
        Step::Sender => sender_refused(reply),
        // RFC 5321 section 4.5.3.1.10: an old way of saying "too many recipients".
        Step::Recipient if reply.code == 552 => (Class::Transient, Reason::RecipientRefused),
        Step::Recipient => (Class::Permanent, Reason::RecipientRefused),
        Step::Data | Step::Content | Step::Final if is_size(reply) => (Class::Permanent, Reason::TooLarge),
        Step::Data | Step::Content | Step::Final => (Class::Permanent, Reason::ContentRefused),
        Step::Wait | Step::Dns | Step::Connect | Step::Tls | Step::Hello => (Class::Misconfigured, Reason::Protocol),
    }
}

/// 4yz, and whatever else is neither yes nor no.
fn passing(step: Step, reply: &Reply, text: &str) -> (Class, Reason) {
    if !reply.is_transient() {
        return (Class::Misconfigured, Reason::Protocol);
    }
    let slow_down = SLOW_DOWN.iter().any(|words| text.contains(words)) || reply.code == 432;
    match step {
        // 452 4.5.3 says that the rest of the recipients should come in another transaction.
        Step::Recipient if !(slow_down && reply.code == 421) => (Class::Transient, Reason::RecipientRefused),
        _ if slow_down => (Class::Throttled, Reason::Throttled),
        Step::Auth => (Class::Transient, Reason::AuthTemporary),
        Step::StartTls => (Class::Transient, Reason::TlsUnavailable),
        Step::Wait
        | Step::Dns
        | Step::Connect
        | Step::Tls
        | Step::Greeting
        | Step::Hello
        | Step::Sender
        | Step::Recipient
        | Step::Data
        | Step::Content
        | Step::Final => (Class::Transient, Reason::ProviderBusy),
    }
}

fn sender_refused(reply: &Reply) -> (Class, Reason) {
    if is_size(reply) {
        return (Class::Permanent, Reason::TooLarge);
    }
    // A malformed sender, or one that needs what the provider lacks, is the message's; all else is who we are.
    let malformed = matches!(reply.code, 501 | 555)
        || matches!(reply.enhanced, Some(EnhancedCode(5, 1, 7) | EnhancedCode(5, 5, 4) | EnhancedCode(5, 6, 7)));
    (if malformed { Class::Permanent } else { Class::Misconfigured }, Reason::SenderRefused)
}

fn is_size(reply: &Reply) -> bool {
    reply.code == 552 || matches!(reply.enhanced, Some(EnhancedCode(5, 3, 4) | EnhancedCode(5, 2, 3)))
}

/// The conversation broke off. `content_is_out` says that every byte of content had been written.
#[must_use]
pub fn lost(step: Step, how: &Lost, content_is_out: bool, link: &Link) -> Failure {
    let what = describe(how, step);
    if content_is_out {
        let sentence = format!(
            "{link} had all of the message when {what}: nobody knows whether it was taken. It was not sent again; \
             a repeat with the same Message-ID lets most receivers drop a second copy."
        );
        return failure(Class::Unconfirmed, step, Reason::OutcomeUnknown, &sentence, link);
    }
    let (class, reason) = lost_before_content(step, how);
    failure(class, step, reason, &format!("{link}: {what}. Nothing was handed over."), link)
}

fn lost_before_content(step: Step, how: &Lost) -> (Class, Reason) {
    let early = step <= Step::Greeting;
    match how {
        Lost::Malformed(_) => (Class::Misconfigured, Reason::Protocol),
        Lost::Ending => (Class::Transient, Reason::ShuttingDown),
        Lost::Timeout(_) if early => (Class::Unreachable, Reason::Timeout),
        Lost::Timeout(_) => (Class::Transient, Reason::Timeout),
        Lost::Closed | Lost::Io(_) if early => (Class::Unreachable, Reason::ConnectionLost),
        Lost::Closed | Lost::Io(_) => (Class::Transient, Reason::ConnectionLost),
    }
}

fn describe(how: &Lost, step: Step) -> String {
    let at = at(step);
    match how {
        Lost::Closed => format!("it closed the connection {at}"),
        // Under TLS an end without a goodbye is an error, whose words are a link to the library's manual.
        Lost::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => format!("it closed the connection {at}"),
        Lost::Io(error) => format!("the connection broke {at} ({error})"),
        Lost::Timeout(limit) => format!("nothing came {at} within {}", seconds(*limit)),
        Lost::Malformed(what) => format!("it {} {at}", what.sentence()),
        Lost::Ending => format!("this process was told to end {at}"),
    }
}

/// The name did not resolve.
#[must_use]
pub fn name(error: &io::Error, link: &Link) -> Failure {
    let reason = if is_missing(error) { Reason::NameNotFound } else { Reason::NameUnavailable };
    let sentence = format!("The name of {link} could not be looked up ({error}).");
    failure(Class::Unreachable, Step::Dns, reason, &sentence, link)
}

/// The lookup took too long.
#[must_use]
pub fn name_timeout(limit: Duration, link: &Link) -> Failure {
    let reason = Reason::NameUnavailable;
    let sentence = format!("The name of {link} was not answered for {}.", seconds(limit));
    failure(Class::Unreachable, Step::Dns, reason, &sentence, link)
}

/// No connection came about.
#[must_use]
#[expect(clippy::wildcard_enum_match_arm, reason = "io::ErrorKind is foreign and has some forty members")]
pub fn connect(error: &io::Error, link: &Link) -> Failure {
    let reason = match error.kind() {
        io::ErrorKind::ConnectionRefused => Reason::ConnectionRefused,
        io::ErrorKind::TimedOut => Reason::ConnectionTimeout,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable | io::ErrorKind::AddrNotAvailable => {
            Reason::NoRoute
        }
        _ => Reason::ConnectionLost,
    };
    let sentence = format!("No connection to {link} ({error}).");
    failure(Class::Unreachable, Step::Connect, reason, &sentence, link)
}

/// The TLS handshake failed; `implicit` says that it was to begin with the first byte.
#[must_use]
pub fn tls(error: &io::Error, implicit: bool, link: &Link) -> Failure {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let (class, reason, what) = match inner {
        Some(rustls::Error::InvalidCertificate(why)) => return bad_certificate(why, link),
        // After STARTTLS it is an accident; where TLS is expected from the first byte, the port is another kind.
        Some(rustls::Error::InvalidMessage(_)) if implicit => {
            let what = "it does not speak TLS here; this port may want SIDEPOST_TLS=starttls".to_owned();
            (Class::Misconfigured, Reason::TlsHandshake, what)
        }
        Some(rustls::Error::PeerIncompatible(why)) => {
            let what = format!("it offers nothing safe to agree on ({why:?}); TLS 1.2 with AEAD is the least");
            (Class::Misconfigured, Reason::TlsHandshake, what)
        }
        Some(other) => (Class::Unreachable, Reason::TlsHandshake, other.to_string()),
        None => (Class::Unreachable, Reason::TlsHandshake, error.to_string()),
    };
    failure(class, Step::Tls, reason, &no_tls(&what, link), link)
}

fn no_tls(what: &str, link: &Link) -> String {
    format!("TLS with {link} failed: {what}. Nothing was sent.")
}

#[expect(clippy::wildcard_enum_match_arm, reason = "rustls::CertificateError is foreign and grows")]
fn bad_certificate(why: &rustls::CertificateError, link: &Link) -> Failure {
    use rustls::CertificateError as Why;
    let reason = Reason::TlsCertificate;
    let (cause, what) = match why {
        Why::Expired => (&table::CERTIFICATE_EXPIRED, "its certificate has expired".to_owned()),
        Why::ExpiredContext { time, not_after } => {
            let what = format!(
                "its certificate has expired (it ended at {}, and the clock here says {})",
                at_time(*not_after),
                at_time(*time)
            );
            (&table::CERTIFICATE_EXPIRED, what)
        }
        Why::NotValidYet => (&table::CERTIFICATE_NOT_YET_VALID, "its certificate is not valid yet".to_owned()),
        Why::NotValidYetContext { time, not_before } => {
            let what = format!(
                "its certificate is not valid yet (it begins at {}, and the clock here says {})",
                at_time(*not_before),
                at_time(*time)
            );
            (&table::CERTIFICATE_NOT_YET_VALID, what)
        }
        Why::NotValidForName => {
            (&table::CERTIFICATE_NAME, format!("its certificate is not for the name {}", link.host))
        }
        Why::NotValidForNameContext { presented, .. } => {
            let what = format!("its certificate is not for the name {} but for {}", link.host, presented.join(", "));
            (&table::CERTIFICATE_NAME, what)
        }
        Why::UnknownIssuer => {
            (table::of(reason), "its certificate comes from an issuer that is not trusted here".to_owned())
        }
        other => (table::of(reason), format!("its certificate is not acceptable ({other})")),
    };
    Failure::new(Class::Misconfigured, Step::Tls, reason, cause, &no_tls(&what, link))
}

fn at_time(time: rustls::pki_types::UnixTime) -> String {
    utc(std::time::UNIX_EPOCH.checked_add(Duration::from_secs(time.as_secs())).unwrap_or(std::time::UNIX_EPOCH))
}

/// TLS is wanted and the server does not offer STARTTLS.
#[must_use]
pub fn starttls_missing(link: &Link) -> Failure {
    let reason = Reason::TlsUnavailable;
    let sentence = format!("{link} does not offer STARTTLS. Nothing was sent.");
    failure(Class::Misconfigured, Step::StartTls, reason, &sentence, link)
}

/// The server asks for more than the mechanism has to say, however often it is answered.
#[must_use]
pub fn endless_login(link: &Link) -> Failure {
    let sentence = format!("{link} asked for more than the login has to say. Nothing was sent.");
    failure(Class::Misconfigured, Step::Auth, Reason::Protocol, &sentence, link)
}

/// Bytes came between the answer to STARTTLS and the handshake (the class of CVE-2021-38371).
#[must_use]
pub fn tls_injection(link: &Link) -> Failure {
    let sentence =
        format!("{link} sent plain text after it had agreed to STARTTLS. The connection was cut and nothing was sent.");
    failure(Class::Misconfigured, Step::StartTls, Reason::TlsInjection, &sentence, link)
}

/// Credentials are set and no mechanism fits.
#[must_use]
pub fn no_mechanism(offered: &[String], link: &Link) -> Failure {
    let offer = if offered.is_empty() { "no login at all".to_owned() } else { format!("only {}", offered.join(", ")) };
    let reason = Reason::AuthUnavailable;
    let sentence = format!("{link} offers {offer}, and credentials are set. Nothing was sent.");
    failure(Class::Misconfigured, Step::Auth, reason, &sentence, link)
}

/// The message is larger than the server said it takes.
#[must_use]
pub fn too_large(size: usize, limit: u64, link: &Link) -> Failure {
    let sentence = format!("The message has {size} bytes and {link} takes {limit} at most.");
    failure(Class::Permanent, Step::Sender, Reason::TooLarge, &sentence, link)
}

/// Somebody's address, or the header, is in more than ASCII, and the server does not offer SMTPUTF8. A domain alone is
/// no reason: it has a form in ASCII.
#[must_use]
pub fn needs_smtputf8(envelope: &Envelope, open: &[usize], link: &Link) -> Failure {
    let sender = envelope.sender().filter(|sender| sender.needs_smtputf8());
    let recipients = open.iter().filter_map(|&place| envelope.recipients().get(place));
    let recipient = recipients.into_iter().find(|recipient| recipient.needs_smtputf8());
    let what = match (sender, recipient) {
        (Some(sender), _) => format!("The sender {} is", sender.masked()),
        (None, Some(recipient)) => format!("The recipient {} is", recipient.masked()),
        (None, None) => "The header is declared SMTPUTF8 and".to_owned(),
    };
    let sentence = format!("{what} not ASCII, and {link} does not offer SMTPUTF8 to carry that.");
    failure(Class::Permanent, Step::Sender, Reason::NeedsSmtpUtf8, &sentence, link)
}

/// What a recipient is told who could be reached by SMTPUTF8 only.
#[must_use]
pub fn recipient_needs_smtputf8(link: &Link) -> Reply {
    let text = format!("The address is not ASCII, and {link} does not offer SMTPUTF8 to carry it (said by Sidepost)");
    Reply { code: 550, enhanced: Some(EnhancedCode(5, 6, 7)), text }
}

/// The content is 8-bit and the server does not offer 8BITMIME. To encode it here would break every signature over it.
#[must_use]
pub fn needs_eight_bit(link: &Link) -> Failure {
    let sentence = format!("The message has 8-bit content, and {link} does not offer 8BITMIME to carry it.");
    failure(Class::Permanent, Step::Sender, Reason::NeedsEightBit, &sentence, link)
}

/// All recipients are to get the message or nobody is, and the server takes fewer of them at a time (RFC 9422).
#[must_use]
pub fn too_many_recipients(count: usize, limit: usize, link: &Link) -> Failure {
    let sentence = format!(
        "The message is for {count} recipients, all or nobody, and {link} takes {limit} at a time. Nothing was handed over."
    );
    failure(Class::Permanent, Step::Recipient, Reason::TooManyRecipients, &sentence, link)
}

/// No connection came free in time.
#[must_use]
pub fn no_connection_free(limit: Duration, link: &Link) -> Failure {
    let sentence = format!("All connections to {link} were busy for {}. Nothing was handed over.", seconds(limit));
    failure(Class::Transient, Step::Wait, Reason::NoConnectionFree, &sentence, link)
}

/// This process is ending and the message has not been handed over.
#[must_use]
pub fn ending(step: Step) -> Failure {
    let reason = Reason::ShuttingDown;
    let seen = "This process is shutting down; nothing was handed over.";
    Failure::new(Class::Transient, step, reason, table::of(reason), seen)
}

fn failure(class: Class, step: Step, reason: Reason, evidence: &str, link: &Link) -> Failure {
    Failure::new(class, step, reason, cause(step, reason, None, link), evidence)
}

fn verb(class: Class) -> &'static str {
    match class {
        Class::Permanent | Class::Misconfigured => "refused",
        Class::Unreachable | Class::Transient | Class::Throttled | Class::Unconfirmed => "put off",
    }
}

fn object(step: Step) -> &'static str {
    match step {
        Step::Wait | Step::Dns | Step::Connect | Step::Greeting => "the connection",
        Step::Tls | Step::StartTls => "to start TLS",
        Step::Hello => "our EHLO",
        Step::Auth => "the login",
        Step::Sender => "the sender",
        Step::Recipient => "a recipient",
        Step::Data => "to take the content",
        Step::Content | Step::Final => "the message",
    }
}

fn at(step: Step) -> &'static str {
    match step {
        Step::Wait => "while waiting for a connection",
        Step::Dns => "at the name lookup",
        Step::Connect => "at the connection attempt",
        Step::Tls => "in the TLS handshake",
        Step::Greeting => "before its greeting",
        Step::Hello => "after EHLO",
        Step::StartTls => "after STARTTLS",
        Step::Auth => "at the login",
        Step::Sender => "after MAIL",
        Step::Recipient => "after RCPT",
        Step::Data => "after DATA",
        Step::Content => "in the middle of the content",
        Step::Final => "before its answer to the content",
    }
}

fn cause(step: Step, reason: Reason, reply: Option<&Reply>, link: &Link) -> &'static Cause {
    let login_refused = link.login_refused;
    table::find(&Fact { provider: &link.provider, step, reason, reply, login_refused })
}

fn seconds(limit: Duration) -> String {
    format!("{:.1} s", limit.as_secs_f64())
}

/// A provider's text with its addresses masked: it may repeat any that we sent.
fn masked(text: &str) -> String {
    if !text.contains('@') && !text.contains("://") {
        return text.to_owned();
    }
    text.split(' ').map(mask_word).collect::<Vec<_>>().join(" ")
}

fn mask_word(word: &str) -> String {
    // Google's way back in is a link that is good once, for whoever follows it.
    if let Some((link, _)) = word.split_once('?').filter(|(link, _)| link.contains("://")) {
        return format!("{link}?...");
    }
    let Some((local, domain)) = word.split_once('@') else { return word.to_owned() };
    let start = local.rfind(['<', '(', '"', '\'', ':', '=', ',', ';', '[']).map_or(0, |at| at + 1);
    let (before, local) = local.split_at(start);
    let first = local.chars().next().map_or(String::new(), String::from);
    format!("{before}{first}***@{}", mask_word(domain))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link() -> Link {
        Link {
            provider: "smtp".into(),
            host: "mail.example".into(),
            port: 587,
            login_refused: &Cause { name: "login_refused", why: "", remedy: "Check the password." },
        }
    }

    fn reply(line: &str) -> Reply {
        let mut input = bytes::BytesMut::from(format!("{line}\r\n").as_str());
        super::super::reply::take(&mut input).unwrap().unwrap().into_reply()
    }

    fn check(step: Step, line: &str, class: Class, reason: Reason) {
        let failure = refused(step, reply(line), &link());
        assert_eq!((failure.class, failure.reason), (class, reason), "{step:?} {line}");
    }

    #[test]
    fn refusals_by_step() {
        use Class::{Misconfigured, Permanent, Throttled, Transient};
        check(Step::Greeting, "421 4.3.2 restarting", Transient, Reason::ProviderBusy);
        check(Step::Greeting, "554 5.7.1 no service for you", Misconfigured, Reason::GreetingRefused);
        check(Step::Hello, "550 bad name", Misconfigured, Reason::Protocol);
        check(Step::StartTls, "454 4.7.0 TLS not available", Transient, Reason::TlsUnavailable);
        check(Step::Auth, "535 5.7.8 Error: authentication failed", Misconfigured, Reason::AuthRejected);
        check(Step::Auth, "454 4.7.0 Temporary authentication failure", Transient, Reason::AuthTemporary);
        check(Step::Auth, "454 4.7.0 Too many login attempts, please try again later", Throttled, Reason::Throttled);
        check(Step::Auth, "432 4.3.2 Concurrent connections limit exceeded", Throttled, Reason::Throttled);
        check(Step::Auth, "451 Authentication failed: Maximum credits exceeded", Misconfigured, Reason::AuthRejected);
        check(Step::Sender, "451 4.3.0 queue file write error", Transient, Reason::ProviderBusy);
        check(Step::Sender, "552 5.3.4 Message size exceeds fixed limit", Permanent, Reason::TooLarge);
        check(Step::Sender, "501 5.1.7 Bad sender address syntax", Permanent, Reason::SenderRefused);
        check(Step::Sender, "553 5.7.1 Sender address rejected", Misconfigured, Reason::SenderRefused);
        check(Step::Sender, "530 5.7.0 Authentication required", Misconfigured, Reason::AuthRejected);
        check(Step::Recipient, "550 5.1.1 User unknown", Permanent, Reason::RecipientRefused);
        check(Step::Recipient, "450 4.2.0 Greylisted", Transient, Reason::RecipientRefused);
        check(Step::Recipient, "452 4.5.3 Too many recipients", Transient, Reason::RecipientRefused);
        check(Step::Recipient, "552 too many", Transient, Reason::RecipientRefused);
        check(Step::Recipient, "554 5.7.1 <a@b.c>: Relay access denied", Misconfigured, Reason::AuthRejected);
        check(Step::Final, "554 5.7.1 spam", Permanent, Reason::ContentRefused);
        check(
            Step::Final,
            "554 Message rejected: Email address is not verified.",
            Misconfigured,
            Reason::SenderRefused,
        );
        check(Step::Final, "550 5.4.5 Daily user sending limit exceeded", Throttled, Reason::Throttled);
        check(Step::Final, "454 Throttling failure: Maximum sending rate exceeded.", Throttled, Reason::Throttled);
        check(Step::Final, "450 The given data was invalid.", Permanent, Reason::ContentRefused);
        check(Step::Data, "354 what?", Misconfigured, Reason::Protocol);
    }

    #[test]
    fn a_lost_connection_is_unconfirmed_only_once_the_content_is_out() {
        let class = |step, how: &Lost, out| lost(step, how, out, &link()).class;
        assert_eq!(class(Step::Greeting, &Lost::Closed, false), Class::Unreachable);
        assert_eq!(class(Step::Greeting, &Lost::Timeout(Duration::from_secs(1)), false), Class::Unreachable);
        assert_eq!(class(Step::Recipient, &Lost::Closed, false), Class::Transient);
        assert_eq!(class(Step::Content, &Lost::Closed, false), Class::Transient);
        assert_eq!(class(Step::Final, &Lost::Closed, true), Class::Unconfirmed);
        assert_eq!(class(Step::Final, &Lost::Malformed(Malformed::Code), true), Class::Unconfirmed);
        assert_eq!(class(Step::Greeting, &Lost::Malformed(Malformed::Http), false), Class::Misconfigured);
    }

    #[test]
    fn an_end_without_a_goodbye_is_an_end() {
        let manual = "peer closed connection without sending TLS close_notify: https://docs.rs/rustls/latest/";
        let end = Lost::Io(io::Error::new(io::ErrorKind::UnexpectedEof, manual));
        let (abrupt, polite) =
            (lost(Step::Final, &end, true, &link()), lost(Step::Final, &Lost::Closed, true, &link()));
        assert_eq!((abrupt.class, abrupt.sentence), (Class::Unconfirmed, polite.sentence));
    }

    #[test]
    fn sentences_name_the_link_and_the_remedy_and_no_address() {
        let failure = refused(Step::Auth, reply("535 5.7.8 <joe@example.com>: bad user=joe@example.com, no"), &link());
        assert_eq!(
            failure.sentence,
            "smtp (mail.example:587) refused the login: it said \"535 5.7.8 <j***@example.com>: bad \
             user=j***@example.com, no\". Check the password."
        );
        assert!(!failure.reply.unwrap().text.contains("joe"));
    }
}
