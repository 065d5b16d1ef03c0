use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

use super::*;
use crate::config::value::Value as _;

const LOCAL: Channel = Channel { local: true, secure: false, certified: false };
const REMOTE: Channel = Channel { local: false, secure: false, certified: false };
const SECURE: Channel = Channel { local: false, secure: true, certified: false };
const CERTIFIED: Channel = Channel { local: false, secure: true, certified: true };

fn access() -> Access {
    Access { tls: true, users: Users::parse("joe:open:sesame,ann:x"), certificates: false }
}

fn gate(channel: Channel) -> Gate {
    let mut gate = Gate::default();
    gate.begin(channel);
    gate
}

fn codes(reply: &Reply) -> String {
    let enhanced = reply.enhanced().map(|code| format!(" {code}")).unwrap_or_default();
    format!("{}{enhanced}", reply.code())
}

/// The arguments of AUTH, the answers to the challenges, and the code of the last reply.
fn check(argument: &str, answers: &[&str], expected: &str) {
    let (mut gate, access) = (gate(SECURE), access());
    let mut reply = gate.auth(&access, argument);
    for answer in answers {
        assert!(reply.code() == 334 && gate.is_open(), "{argument} {answers:?}: {reply:?}");
        reply = gate.respond(&access, answer.as_bytes());
    }
    assert_eq!(codes(&reply), expected, "{argument} {answers:?}");
    assert_eq!(gate.is_open(), reply.code() == 334);
    assert_eq!(gate.refusal(&access).is_none(), reply.code() == 235);
}

fn coded(text: &str) -> String {
    STANDARD.encode(text)
}

#[test]
fn plain_with_and_without_initial_response() {
    let good = coded("\0joe\0open:sesame");
    check(&format!("PLAIN {good}"), &[], "235 2.7.0");
    check(&format!("plain  {good}"), &[], "235 2.7.0");
    check("PLAIN", &[&good], "235 2.7.0");
    check(&format!("PLAIN {}", coded("joe\0joe\0open:sesame")), &[], "235 2.7.0");
    for wrong in
        ["\0joe\0open", "\0joe\0", "\0\0", "\0joe\0open:sesame ", "ann\0joe\0open:sesame", "\0JOE\0open:sesame"]
    {
        check(&format!("PLAIN {}", coded(wrong)), &[], "535 5.7.8");
    }
    for malformed in ["", "joe", "joe\0open:sesame", "\0joe\0open:sesame\0"] {
        check("PLAIN", &[&coded(malformed)], "501 5.5.2");
    }
    check("PLAIN =", &[], "501 5.5.2");
    check("PLAIN", &["*"], "501 5.7.0");
}

#[test]
fn login_asks_for_one_and_the_other() {
    let (user, password) = (coded("joe"), coded("open:sesame"));
    check("LOGIN", &[&user, &password], "235 2.7.0");
    check(&format!("LOGIN {user}"), &[&password], "235 2.7.0");
    check("LOGIN", &[&user, &coded("x")], "535 5.7.8");
    check("LOGIN =", &[&password], "535 5.7.8");
    check("LOGIN", &["", ""], "535 5.7.8");
    check("LOGIN", &["*"], "501 5.7.0");
    check("LOGIN", &[&user, "*"], "501 5.7.0");
    assert_eq!(gate(SECURE).auth(&access(), "LOGIN").text(), coded("Username:"));
    assert_eq!(gate(SECURE).auth(&access(), &format!("LOGIN {user}")).text(), coded("Password:"));
}

#[test]
fn what_is_no_base64_and_no_mechanism() {
    for bad in ["!", "AGpvZQ", "AGpv ZQ==", "AGpvZQ==\0", "AGpvZQ==AA", "\u{e4}"] {
        check("PLAIN", &[bad], "501 5.5.2");
    }
    for unknown in ["", "CRAM-MD5", "XOAUTH2 abc", "PLAINER", "LOGIN\t"] {
        check(unknown, &[], "504 5.5.4");
    }
}

#[test]
fn passwords_travel_under_tls_or_within_this_host() {
    let access = access();
    for (channel, keywords, mail, auth) in [
        (REMOTE, vec!["STARTTLS"], Some("530 5.7.0"), "538 5.7.11"),
        (LOCAL, vec!["STARTTLS", "AUTH PLAIN LOGIN"], Some("530 5.7.0"), "334"),
        (SECURE, vec!["AUTH PLAIN LOGIN"], Some("530 5.7.0"), "334"),
        (CERTIFIED, vec!["AUTH PLAIN LOGIN"], None, "334"),
    ] {
        let mut gate = gate(channel);
        assert_eq!(gate.keywords(&access), keywords, "{channel:?}");
        assert_eq!(gate.refusal(&access).as_ref().map(codes).as_deref(), mail, "{channel:?}");
        assert_eq!(codes(&gate.auth(&access, "PLAIN")), auth, "{channel:?}");
    }
}

#[test]
fn without_users_nobody_logs_in_and_everybody_may_send() {
    let open = Access::default();
    assert!(gate(REMOTE).keywords(&open).is_empty() && gate(REMOTE).refusal(&open).is_none());
    assert_eq!(codes(&gate(SECURE).auth(&open, "PLAIN")), "502 5.5.1");
    let certificates = Access { tls: true, users: None, certificates: true };
    assert_eq!(gate(LOCAL).refusal(&certificates), Some(CERTIFICATE_FIRST));
    assert_eq!(gate(CERTIFIED).refusal(&certificates), None);
}

#[test]
fn the_third_refusal_is_the_last_and_tls_begins_anew() {
    let access = access();
    let mut gate = gate(LOCAL);
    let wrong = format!("PLAIN {}", coded("\0joe\0no"));
    assert_eq!(codes(&gate.auth(&access, &wrong)), "535 5.7.8");
    gate.begin(SECURE);
    assert_eq!(codes(&gate.auth(&access, &wrong)), "535 5.7.8");
    assert_eq!(codes(&gate.auth(&access, &wrong)), "421 4.7.0", "TLS does not forgive");
    let right = format!("PLAIN {}", coded("\0ann\0x"));
    assert_eq!(codes(&gate.auth(&access, &right)), "235 2.7.0");
    assert_eq!((codes(&gate.auth(&access, &right)).as_str(), gate.suffix()), ("503 5.5.1", "SA"));
    gate.begin(SECURE);
    assert!(gate.refusal(&access).is_some() && gate.suffix() == "S");
}

#[test]
fn a_line_that_is_too_long_ends_the_exchange() {
    let mut gate = gate(SECURE);
    assert_eq!(gate.auth(&access(), "PLAIN").code(), 334);
    assert_eq!(codes(&gate.refuse_long()), "500 5.5.6");
    assert!(!gate.is_open());
}

proptest! {
    /// Whatever is said, nobody comes in but with a pair from the list.
    #[test]
    fn nobody_else_comes_in(argument in "(PLAIN|LOGIN)( [A-Za-z0-9+/=]{0,24})?", lines in proptest::collection::vec(any::<Vec<u8>>(), 0..5)) {
        let (mut gate, access) = (gate(SECURE), access());
        gate.auth(&access, &argument);
        for line in lines {
            if gate.is_open() {
                gate.respond(&access, &line);
            }
        }
        prop_assert!(gate.refusal(&access).is_some());
    }
}
