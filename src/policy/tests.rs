use std::time::UNIX_EPOCH;

use proptest::prelude::*;

use super::*;
use crate::config::env::Settings;
use crate::message::content::BareNewline;
use crate::message::header::{Completed, complete, received};
use crate::message::{Content, Envelope, Id, Ingress};

const FORCED: &[(&str, &str)] = &[("FROM", "Shop <shop@us.example>"), ("FROM_MODE", "force")];
const DEFAULT: &[(&str, &str)] = &[("FROM", "Shop <shop@us.example>")];

fn read(settings: &[(&str, &str)]) -> Result<Policy, Vec<String>> {
    let variables = settings.iter().map(|(name, value)| (format!("SIDEPOST_{name}").into(), value.into()));
    let mut env = Env::collect(variables, Config::SETTINGS.to_vec());
    let config: Config = env.read();
    config.check(&mut env);
    let problems: Vec<_> = env.into_problems().iter().map(ToString::to_string).collect();
    if problems.is_empty() { Ok(Policy::new(&config, &["test"])) } else { Err(problems) }
}

fn policy(settings: &[(&str, &str)]) -> Policy {
    read(settings).unwrap()
}

/// A message that has Date and Message-ID already, so that nothing is put in front.
const STAMPS: &str = "Date: d\r\nMessage-ID: <m@x>\r\n";

fn submission(sender: &str, recipients: &[&str], text: &[u8]) -> Submission {
    let content = Content::from_bytes(text, BareNewline::Normalize).unwrap();
    let Completed { content, message_id, findings } = complete(content, None, "x.test", UNIX_EPOCH);
    let sender = (!sender.is_empty()).then(|| Address::parse(sender).unwrap());
    let recipients = recipients.iter().map(|text| Address::parse(text).unwrap()).collect();
    let envelope = Envelope::new(sender, recipients).unwrap();
    let ingress = Ingress::Smtp;
    Submission { id: Id::new(), ingress, envelope, content, message_id, findings, all_or_nothing: true }
}

/// The sender in the envelope, and the header without its stamps, after a message of these lines was admitted.
fn admitted(settings: &[(&str, &str)], sender: &str, lines: &str) -> Result<(String, String), Refusal> {
    let text = format!("{lines}{STAMPS}\r\nBcc: body\r\n");
    let message = policy(settings).admit(submission(sender, &["to@them.example"], text.as_bytes()))?;
    let whole = String::from_utf8_lossy(&message.content.to_vec()).into_owned();
    let header = whole.strip_suffix(&format!("{STAMPS}\r\nBcc: body\r\n")).expect("the rest as it was").to_owned();
    Ok((message.envelope.sender().map(ToString::to_string).unwrap_or_default(), header))
}

#[track_caller]
fn check(settings: &[(&str, &str)], sender: &str, lines: &str, expected_sender: &str, expected: &str) {
    let (sender, header) = admitted(settings, sender, lines).unwrap();
    assert_eq!((sender.as_str(), header.as_str()), (expected_sender, expected), "{lines:?}");
}

const SHOP: &str = "From: \"Shop\" <shop@us.example>\r\n";

#[test]
fn without_rules_everything_stays_but_blind_recipients() {
    for (lines, expected) in [
        ("From: a@b.c\r\nSender: d@e.f\r\n", "From: a@b.c\r\nSender: d@e.f\r\n"),
        ("From: a@b.c\r\nX-SMTPAPI: {}\r\n", "From: a@b.c\r\nX-SMTPAPI: {}\r\n"),
        ("Subject: s\r\nBcc: x@y.z,\r\n\tq@r.s\r\nFrom: a@b.c\r\n", "Subject: s\r\nFrom: a@b.c\r\n"),
        ("BCC\t:\r\nresent-bcc: x@y.z\r\nbCC: x\r\n", ""),
        ("Subject: s\r\n Bcc: x@y.z\r\n", "Subject: s\r\n Bcc: x@y.z\r\n"),
    ] {
        check(&[], "s@x.test", lines, "s@x.test", expected);
    }
    let text = format!("{STAMPS}broken\r\n\tBcc: v@y.z\r\n w\r\nBcc: x@y.z\r\n\r\nb\r\n");
    let message = policy(&[]).admit(submission("s@x.test", &["t@x.test"], text.as_bytes())).unwrap();
    assert_eq!(message.content.to_vec(), format!("{STAMPS}broken\r\n\r\nb\r\n").as_bytes());
}

#[test]
fn a_default_sender_fills_what_is_missing_and_nothing_else() {
    check(DEFAULT, "a@b.c", "From: a@b.c\r\n", "a@b.c", "From: a@b.c\r\n");
    check(DEFAULT, "a@b.c", "Subject: s\r\n", "a@b.c", &format!("{SHOP}Subject: s\r\n"));
    check(DEFAULT, "a@b.c", "from :\r\n \r\nSubject: s\r\n", "a@b.c", &format!("{SHOP}Subject: s\r\n"));
    check(DEFAULT, "", "Subject: s\r\n", "", &format!("{SHOP}Subject: s\r\n"));
    check(DEFAULT, "a@b.c", "From: root\r\n", "a@b.c", "From: root\r\n");
    let trace = "Received: x\r\n y\r\nReceived: z\r\n";
    check(DEFAULT, "a@b.c", &format!("{trace}To: t\r\n"), "a@b.c", &format!("{trace}{SHOP}To: t\r\n"));
}

/// RFC 5322 section 3.6.2.
#[test]
fn several_authors_need_one_sender() {
    let sender = SHOP.replace("From", "Sender");
    let two = "From: a@b.c,\r\n D <d@e.f>\r\n";
    check(DEFAULT, "a@b.c", two, "a@b.c", &format!("{sender}{two}"));
    check(DEFAULT, "a@b.c", &format!("{two}Sender: a@b.c\r\n"), "a@b.c", &format!("{two}Sender: a@b.c\r\n"));
    check(DEFAULT, "a@b.c", &format!("{two}Sender:\r\n"), "a@b.c", &format!("{sender}{two}"));
    check(&[], "a@b.c", two, "a@b.c", two);
}

#[test]
fn a_forced_sender_replaces_all_and_the_old_one_gets_the_answers() {
    let us = "shop@us.example";
    for (lines, expected) in [
        ("Subject: s\r\n", format!("{SHOP}Subject: s\r\n")),
        ("X: 1\r\nFrom: W <w@b.c>\r\nX: 2\r\n", format!("X: 1\r\n{SHOP}Reply-To: W <w@b.c>\r\nX: 2\r\n")),
        ("FROM\t:\r\n \"W, W\"\r\n\t<w@b.c>\r\n", format!("{SHOP}Reply-To:\r\n \"W, W\"\r\n\t<w@b.c>\r\n")),
        ("From: w@b.c\r\nReply-To: r@b.c\r\n", format!("{SHOP}Reply-To: r@b.c\r\n")),
        ("From: w@b.c\r\nreply-to: \r\n", format!("{SHOP}Reply-To: w@b.c\r\nreply-to: \r\n")),
        ("From: root (Cron)\r\n", SHOP.to_owned()),
        ("From: w@b.c\r\nSender: w@b.c\r\nFrom: v@b.c\r\n", format!("{SHOP}Reply-To: w@b.c\r\n")),
        ("From: w@b.c, v@b.c\r\n", format!("{SHOP}Reply-To: w@b.c, v@b.c\r\n")),
        // What is right already stays as it was signed.
        ("From: Other <SHOP@us.example>\r\n", format!("{SHOP}Reply-To: Other <SHOP@us.example>\r\n")),
        ("From: Other <shop@US.example>\r\n", "From: Other <shop@US.example>\r\n".to_owned()),
        ("From: <shop@us.example>\r\nSender: x@y.z\r\n", "From: <shop@us.example>\r\n".to_owned()),
        ("From: shop@us.example\r\nFrom: x@y.z\r\n", format!("{SHOP}Reply-To: x@y.z\r\n")),
    ] {
        check(FORCED, "w@b.c", lines, us, &expected);
    }
    check(FORCED, "", "From: w@b.c\r\n", "", &format!("{SHOP}Reply-To: w@b.c\r\n"));
}

/// Behind a line that is no field, some readers (mail-parser 0.11 for one) take a fold for a field.
#[test]
fn a_forced_sender_is_alone_behind_a_broken_line_too() {
    let text = format!("{STAMPS}From: w@b.c\r\nbroken\r\n \r\n\tFrom: x@y.z\r\n\r\nb\r\n");
    let message = policy(FORCED).admit(submission("w@b.c", &["t@x.test"], text.as_bytes())).unwrap();
    let expected = format!("{STAMPS}{SHOP}Reply-To: w@b.c\r\nbroken\r\n \r\n\r\nb\r\n");
    assert_eq!(String::from_utf8(message.content.to_vec()).unwrap(), expected);
}

#[test]
fn a_name_in_another_charset_is_kept_as_it_is() {
    let text = b"From: J\xf6rg <w@b.c>\r\nDate: d\r\nMessage-ID: <m@x>\r\n\r\n\xff\r\n";
    let message = policy(FORCED).admit(submission("w@b.c", &["t@b.c"], text)).unwrap();
    let expected =
        [SHOP.as_bytes(), b"Reply-To: J\xf6rg <w@b.c>\r\nDate: d\r\nMessage-ID: <m@x>\r\n\r\n\xff\r\n"].concat();
    assert_eq!(message.content.to_vec(), expected);
}

#[test]
fn senders_must_be_allowed_in_the_envelope_and_in_the_header() {
    let allowed = &[("ALLOWED_SENDERS", "us.example, .sub.example, ann@them.example")][..];
    let no = |sender: &str| Err(Refusal::SenderNotAllowed { sender: Some(sender.to_owned()) });
    let unclear = Err(Refusal::SenderNotAllowed { sender: None });
    for (envelope, lines, expected) in [
        ("a@us.example", "From: A <b@us.example>\r\n", Ok(())),
        ("a@x.sub.example", "From: ann@them.example\r\n", Ok(())),
        ("", "From: a@us.example\r\n", Ok(())),
        ("a@us.example", "Subject: s\r\n", Ok(())),
        ("a@evil.example", "From: a@us.example\r\n", no("a***@evil.example")),
        ("a@us.example", "From: a@evil.example\r\n", no("a***@evil.example")),
        ("a@us.example", "From: a@us.example\r\nFrom: a@evil.example\r\n", no("a***@evil.example")),
        ("a@us.example", "From: a@us.example\r\nbroken\r\nFrom: a@evil.example\r\n", no("a***@evil.example")),
        ("a@us.example", "From: a@us.example, e@evil.example\r\n", no("e***@evil.example")),
        ("a@us.example", "From: a@us.example\r\nSender: e@evil.example\r\n", no("e***@evil.example")),
        ("a@us.example", "From: a@us.example <e@evil.example>\r\n", no("e***@evil.example")),
        ("a@us.example", "From: root\r\n", unclear.clone()),
        ("a@us.example", "From: a@us.example; e@evil.example\r\n", unclear.clone()),
        ("a@us.example", "From: \"a@us.example> x\"@evil.example\r\n", unclear),
    ] {
        assert_eq!(admitted(allowed, envelope, lines).map(drop), expected, "{envelope} {lines:?}");
    }
    let both = &[allowed, FORCED].concat();
    check(both, "a@evil.example", "From: shop@us.example\r\n", "shop@us.example", "From: shop@us.example\r\n");
}

#[test]
fn recipients_are_allowed_and_denied() {
    let rules =
        policy(&[("ALLOWED_RECIPIENTS", "us.example, .bücher.example"), ("DENIED_RECIPIENTS", "Boss@us.example")]);
    let refused = |recipients: &[&str]| rules.admit(submission("a@b.c", recipients, b"\r\n")).map(drop).err();
    let no = |recipient: &str, setting| Some(Refusal::RecipientNotAllowed { recipient: recipient.to_owned(), setting });
    assert_eq!(refused(&["a@us.example", "a@x.xn--bcher-kva.example"]), None);
    assert_eq!(refused(&["a@us.example", "bOSS@US.example"]), no("b***@us.example", "SIDEPOST_DENIED_RECIPIENTS"));
    assert_eq!(refused(&["a@sub.us.example"]), no("a***@sub.us.example", "SIDEPOST_ALLOWED_RECIPIENTS"));
}

#[test]
fn redirected_mail_has_one_recipient_and_names_all_it_was_for() {
    let rules = policy(&[("REDIRECT_TO", "staging@us.example"), ("DENIED_RECIPIENTS", "c@d.e")]);
    let text = b"From: a@b.c\r\nTo: x@y.z\r\nX-SMTPAPI: {\"to\":\r\n [\"e@v.il\"]}\r\nx-mc-BCCaddress: e@v.il\r\n\
        X-MC-Tags: t\r\nX-MSYS-API: {}\r\nBcc: q@r.s\r\nDate: d\r\nMessage-ID: <m@x>\r\n\r\nb\r\n";
    let message = rules.admit(submission("a@b.c", &["x@y.z", "q@r.s", "ä@r.s"], text)).unwrap();
    assert_eq!(message.envelope.recipients(), [Address::parse("staging@us.example").unwrap()]);
    let expected = "X-Original-To: x@y.z\r\nX-Original-To: q@r.s\r\nX-Original-To: =?utf-8?B?w6RAci5z?=\r\n\
        From: a@b.c\r\nTo: x@y.z\r\nX-MC-Tags: t\r\nDate: d\r\nMessage-ID: <m@x>\r\n\r\nb\r\n";
    assert_eq!(String::from_utf8(message.content.to_vec()).unwrap(), expected);
    assert!(!message.envelope.needs_smtputf8());
    assert!(rules.admit(submission("a@b.c", &["c@d.e"], text)).is_err(), "the rules are about the originals");
}

#[test]
fn circles_end() {
    let rules = policy(&[]);
    let from = |mark| received("a", [127, 0, 0, 1].into(), ("us", mark), "SMTP", Id::new(), UNIX_EPOCH);
    let admit = |header: String| rules.admit(submission("a@b.c", &["d@e.f"], header.as_bytes())).map(drop);
    assert_eq!(admit(from(rules.mark())), Err(Refusal::Loop));
    assert_eq!(admit(from("another")), Ok(()));
    assert_eq!(admit("Received: x\r\n".repeat(99)), Ok(()));
    assert_eq!(admit("Received: x\r\n".repeat(100)), Err(Refusal::Loop));
    assert_eq!(rules.mark().len(), 16);
    assert_ne!(rules.mark(), Policy::new(&Env::collect([], Config::SETTINGS.to_vec()).read(), &["other"]).mark());
}

#[test]
fn nothing_hides_behind_what_is_looked_at() {
    let padding = "X-Padding: 0123456789012345678901234567890123456789\r\n";
    let text = format!("{}Bcc: x@y.z\r\n\r\nbody", padding.repeat(6_000));
    let refusal = policy(&[]).admit(submission("a@b.c", &["d@e.f"], text.as_bytes())).map(drop).unwrap_err();
    assert_eq!(refusal, Refusal::HeaderTooLarge { limit: 256 * 1024 });
    let text = format!("{}Bcc: x@y.z\r\n\r\nbody", padding.repeat(4_500));
    let message = policy(&[]).admit(submission("a@b.c", &["d@e.f"], text.as_bytes())).unwrap();
    assert!(!String::from_utf8(message.content.to_vec()).unwrap().contains("Bcc"));
}

#[test]
fn settings_that_contradict_each_other_are_told() {
    assert!(read(&[("FROM_MODE", "force")]).unwrap_err()[0].starts_with("SIDEPOST_FROM: needed"));
    let problems = read(&[("FROM", "a@b.c"), ("ALLOWED_SENDERS", "d.e")]).unwrap_err();
    assert!(problems[0].starts_with("SIDEPOST_ALLOWED_SENDERS: does not allow SIDEPOST_FROM"), "{problems:?}");
    let problems = read(&[("ALLOWED_SENDERS", "hunter2@"), ("REDIRECT_TO", "A <a@b.c>"), ("DENIED_RECIPIENTS", "*")]);
    let problems = problems.unwrap_err();
    assert_eq!(problems.len(), 3);
    assert!(!problems.concat().contains("hunter2"));
}

fn lines() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        Just(b"From: W <w@b.c>".to_vec()),
        Just(b"from : v@b.c (x),".to_vec()),
        Just(b"Sender: w@b.c".to_vec()),
        Just(b"Reply-To: r@b.c".to_vec()),
        Just(b"Bcc: x@y.z".to_vec()),
        Just(b"X-Keep: 1".to_vec()),
        Just(b" folded \xff".to_vec()),
        Just(b"no field".to_vec()),
        Just(Vec::new()),
        proptest::collection::vec(any::<u8>(), 0..9),
    ];
    proptest::collection::vec(line, 0..9).prop_map(|lines| lines.join(&b"\r\n"[..]))
}

/// Every line in the given order, those of the fields named left out.
fn rest(whole: &[u8], names: &[&str]) -> Vec<u8> {
    let content = Content::from_bytes(whole, BareNewline::Normalize).unwrap();
    let mut changes = Changes::default();
    let named = |field: &crate::message::header::Field<'_>| names.iter().any(|name| field.is(name));
    Block::of(&content).fields().filter(named).for_each(|field| changes.remove(&field));
    changes.apply(content).to_vec()
}

proptest! {
    /// Whatever comes in: one author, no blind recipient, and all other bytes as they were.
    #[test]
    fn a_forced_sender_is_the_only_one_and_the_rest_is_untouched(text in lines()) {
        let before = submission("w@b.c", &["t@b.c"], &text);
        let whole = before.content.to_vec();
        let after = policy(FORCED).admit(before).unwrap().content.to_vec();
        let touched = ["From", "Sender", "Reply-To", "Bcc"];
        prop_assert_eq!(rest(&after, &touched), rest(&whole, &touched));
        let content = Content::from_bytes(&after, BareNewline::Reject).unwrap();
        let block = Block::of(&content);
        prop_assert_eq!(block.fields().filter(|field| field.is("From")).count(), 1);
        prop_assert!(!block.fields().any(|field| field.is_blind()));
        let parsed = mail_parser::MessageParser::new().parse_headers(&after[..]).unwrap();
        let theirs = parsed.from().and_then(|from| from.first()).and_then(|one| one.address());
        prop_assert_eq!(theirs, Some("shop@us.example"));
    }

    /// Without rules a message passes through byte for byte, unless somebody is to stay unseen.
    #[test]
    fn no_rule_no_change(text in lines()) {
        let before = submission("w@b.c", &["t@b.c"], &text);
        let whole = before.content.to_vec();
        let after = policy(&[]).admit(before).unwrap().content.to_vec();
        prop_assert_eq!(after, rest(&whole, &["Bcc"]));
    }
}
