//! Addresses and mailboxes.
//!
//! What is accepted means the same when it is written anew, stays inside its angle brackets, and is accepted by
//! lettre too.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sidepost::message::Address;
use sidepost::message::address::Mailbox;
use sidepost_fuzz::has_line_end_or_nul;

/// Whether something outside of a quoted string could end the address, or begin another.
fn escapes(printed: &str) -> bool {
    let (mut quoted, mut escaped) = (false, false);
    for c in printed.chars() {
        match c {
            _ if std::mem::take(&mut escaped) => {}
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '<' | '>' | '(' | ')' | ',' | ';' | ' ' | '\\' if !quoted => return true,
            _ => {}
        }
    }
    quoted || escaped
}

fn check(address: &Address) {
    let printed = address.to_string();
    assert!(!printed.contains(char::is_control) && !printed.contains(['\u{2028}', '\u{2029}']), "{printed:?}");
    assert!(!escapes(&printed), "{printed:?}");
    assert_eq!(Address::parse_or_literal(&printed).as_ref(), Ok(address), "{printed:?}");
    assert!(address.domain().is_ascii() && printed.ends_with(address.domain()));
    assert!(printed.len() <= 64 + 1 + 255);
    assert!(!has_line_end_or_nul(&address.masked()));
    let local = printed.strip_suffix(address.domain()).and_then(|rest| rest.strip_suffix('@')).expect("local@domain");
    // Beyond the Basic Multilingual Plane lettre knows no local part.
    if local.is_ascii() && !address.is_literal() {
        assert!(lettre::Address::new(local, address.domain()).is_ok(), "{printed:?}");
    }
}

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(address) = Address::parse_or_literal(text) {
        check(&address);
        assert_eq!(Address::parse(text).is_ok(), !address.is_literal());
    }
    if let Ok(mailbox) = Mailbox::parse(text) {
        check(mailbox.address());
        assert!(!mailbox.address().is_misread());
        let name = mailbox.name().unwrap_or("x");
        assert!(!name.trim().is_empty() && !name.contains(char::is_control) && !has_line_end_or_nul(name));
        let quoted = name.replace('\\', "\\\\").replace('"', "\\\"");
        let again = format!("\"{quoted}\" <{}>", mailbox.address());
        let again = Mailbox::parse(&again).unwrap_or_else(|error| panic!("{again:?}: {error}"));
        assert_eq!(again.address(), mailbox.address());
        if mailbox.name().is_some() {
            assert_eq!(again.name().map(|name| name.trim_matches(' ')), Some(name.trim_matches(' ')));
        }
    }
});
