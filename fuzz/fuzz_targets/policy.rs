//! A message that comes in complete, under rules about senders and recipients.
//!
//! The first line sets the scene: letters for the rules (`f` a default sender, `F` a forced one, `a` allowed senders,
//! `d` denied recipients, `r` a redirection), the envelope's sender or `<>`, and its recipients. The rest is the message.
//!
//! What was admitted keeps to the rules in the eyes of a reader that is not ours too, and not a byte has changed but in
//! the fields that a rule is about.
#![no_main]

use std::ffi::OsString;
use std::sync::OnceLock;
use std::time::{Duration, UNIX_EPOCH};

use libfuzzer_sys::fuzz_target;
use mail_parser::MessageParser;
use sidepost::config::Config;
use sidepost::message::content::BareNewline;
use sidepost::message::header::{Completed, complete};
use sidepost::message::{Address, Content, Envelope, Id, Ingress, Submission};
use sidepost::policy::Policy;
use sidepost_fuzz::content;

const FROM: &str = "shop@us.test";
const REDIRECT: &str = "ops@us.test";
/// Fields that some rule takes out, or writes anew.
const TOUCHED: [&str; 10] = [
    "bcc",
    "resent-bcc",
    "from",
    "sender",
    "reply-to",
    "x-original-to",
    "x-smtpapi",
    "x-msys-api",
    "x-mc-bccaddress",
    "x-mj-templateerrorreporting",
];

/// The rules that are asked for; made once for each of their combinations.
fn policy(scene: &str) -> &'static Policy {
    static POLICIES: [OnceLock<Policy>; 32] = [const { OnceLock::new() }; 32];
    let which =
        ['f', 'F', 'a', 'd', 'r'].iter().fold(0, |which, &letter| 2 * which + usize::from(scene.contains(letter)));
    POLICIES[which].get_or_init(|| new_policy(scene))
}

fn new_policy(scene: &str) -> Policy {
    let rules = [
        ('f', "FROM", "Shop <shop@us.test>"),
        ('F', "FROM", "Shop <shop@us.test>"),
        ('F', "FROM_MODE", "force"),
        ('a', "ALLOWED_SENDERS", "us.test,.ok.test"),
        ('d', "DENIED_RECIPIENTS", "no.test,never@them.test"),
        ('r', "REDIRECT_TO", REDIRECT),
    ];
    // A forced sender is set already.
    let wanted =
        rules.iter().filter(|(letter, ..)| scene.contains(*letter) && !(*letter == 'f' && scene.contains('F')));
    let variables = wanted.map(|(_, name, value)| (OsString::from(format!("SIDEPOST_{name}")), (*value).into()));
    Policy::new(&Config::from_variables(variables).expect("good rules").policy, &["fuzz"])
}

fn envelope<'a>(mut words: impl Iterator<Item = &'a str>) -> Option<Envelope> {
    let sender = match words.next()? {
        "<>" => None,
        text => Some(Address::parse(text).ok()?),
    };
    Envelope::new(sender, words.filter_map(|text| Address::parse(text).ok()).take(10).collect())
}

/// Header fields with their folds, and lines that are none, each with its name in lower case; and the body.
fn fields(message: &[u8]) -> (Vec<(String, Vec<u8>)>, Vec<u8>) {
    let mut fields: Vec<(String, Vec<u8>)> = Vec::new();
    let mut rest = message;
    while !rest.is_empty() && !rest.starts_with(b"\r\n") {
        let (line, later) = rest.split_at(rest.iter().position(|&byte| byte == b'\n').expect("whole lines") + 1);
        rest = later;
        match fields.last_mut() {
            // Behind a line that is no field, some readers take even a folded line for one.
            Some((name, field)) if matches!(line[0], b' ' | b'\t') && is_name(name) => field.extend_from_slice(line),
            _ => {
                let colon = line.iter().position(|&byte| byte == b':').unwrap_or(0);
                let name = String::from_utf8_lossy(&line[..colon]).trim_matches([' ', '\t']).to_ascii_lowercase();
                fields.push((name, line.to_vec()));
            }
        }
    }
    (fields, rest.to_vec())
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn untouched(fields: &[(String, Vec<u8>)]) -> Vec<&[u8]> {
    fields.iter().filter(|(name, _)| !TOUCHED.contains(&name.as_str())).map(|(_, field)| &field[..]).collect()
}

/// The addresses of every field of that name, as mail-parser reads them.
fn read(message: Option<&mail_parser::Message<'_>>, name: &str) -> Vec<String> {
    let fields = message
        .into_iter()
        .flat_map(mail_parser::Message::headers)
        .filter(|header| header.name().eq_ignore_ascii_case(name));
    let people = fields.filter_map(|header| header.value().as_address()).flat_map(mail_parser::Address::iter);
    people.filter_map(|one| one.address().map(str::to_owned)).collect()
}

fn is_allowed(address: &str) -> bool {
    let domain = address.rsplit('@').next().unwrap_or_default().to_ascii_lowercase();
    address.contains('@') && (domain == "us.test" || domain.ends_with(".ok.test"))
}

fuzz_target!(|data: &[u8]| {
    let end = data.iter().position(|&byte| byte == b'\n').unwrap_or(data.len());
    let Ok(scene) = std::str::from_utf8(&data[..end]) else { return };
    let mut words = scene.split(' ').filter(|word| !word.is_empty());
    let rules = words.next().unwrap_or_default();
    let Some(envelope) = envelope(words) else { return };
    let content = Content::from_bytes(data.get(end + 1..).unwrap_or_default(), BareNewline::Normalize);
    let content = content.expect("normalised");
    // None comes as far as here: each ingress refuses it.
    if content.has_nul() {
        return;
    }
    let now = UNIX_EPOCH + Duration::from_secs(1_795_363_456);
    let Completed { content, message_id, findings } =
        complete(content, Some("Received: from x\r\n by us\r\n"), "us.test", now);
    let before = content.to_vec();
    let (id, ingress, all_or_nothing) = (Id::new(), Ingress::Smtp, true);
    let asked = envelope.clone();
    let submission = Submission { id, ingress, envelope, content, message_id, findings, all_or_nothing };
    let Ok(message) = policy(rules).admit(submission) else { return };

    content::assert_sound(&message.content);
    let after = message.content.to_vec();
    let ((old, old_body), (new, new_body)) = (fields(&before), fields(&after));
    assert_eq!(old_body, new_body, "the body");
    assert_eq!(untouched(&old), untouched(&new), "other fields");
    assert!(!new.iter().any(|(name, _)| name == "bcc" || name == "resent-bcc"));
    let (forced, redirected) = (rules.contains('F'), rules.contains('r'));
    // No two readers agree on a header with lines that are no fields, and mail-parser finds one even behind `: `.
    let is_read_alike = new.iter().all(|(name, _)| is_name(name));
    let parsed = if is_read_alike { MessageParser::default().parse(&after) } else { None };
    assert!(read(parsed.as_ref(), "Bcc").is_empty(), "mail-parser sees a blind recipient");

    let sender = message.envelope.sender().map(ToString::to_string);
    assert_eq!(sender.is_none(), asked.sender().is_none());
    let named = [read(parsed.as_ref(), "From"), read(parsed.as_ref(), "Sender")].concat();
    if forced {
        assert!(sender.is_none_or(|sender| sender == FROM));
        assert!(named.iter().all(|address| address.eq_ignore_ascii_case(FROM)), "{named:?}");
        assert_eq!(read(parsed.as_ref(), "From").len(), usize::from(is_read_alike));
    } else if rules.contains('a') {
        assert!(sender.is_none_or(|sender| is_allowed(&sender)));
        assert!(named.iter().all(|address| is_allowed(address)), "{named:?}");
    }
    if rules.contains('f') {
        assert!(new.iter().any(|(name, _)| name == "from"));
    }
    let recipients: Vec<String> = message.envelope.recipients().iter().map(ToString::to_string).collect();
    if redirected {
        assert_eq!(recipients, [REDIRECT]);
        let count = |fields: &[(String, Vec<u8>)]| fields.iter().filter(|(name, _)| name == "x-original-to").count();
        assert_eq!(count(&new), count(&old) + asked.recipients().len());
    } else {
        assert_eq!(message.envelope.recipients(), asked.recipients());
    }
    if rules.contains('d') {
        let denied = |address: &Address| address.domain() == "no.test" || address.to_string() == "never@them.test";
        assert!(!asked.recipients().iter().any(denied));
    }
    if !rules.contains(['f', 'F', 'a', 'd', 'r']) && !findings.blind {
        assert_eq!(before, after);
    }
});
