//! One command line of a client.
//!
//! What is understood must be printable, must mean the same when it is written anew, and must not reach out of its
//! angle brackets; what is refused gets one well-formed reply.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sidepost::ingress::smtp::command::{self, Command};
use sidepost_fuzz::has_line_end_or_nul;

fuzz_target!(|line: &[u8]| {
    match command::parse(line) {
        Ok(Command::Mail(mail)) => {
            let path = mail.sender.as_ref().map(ToString::to_string).unwrap_or_default();
            assert!(!has_line_end_or_nul(&path));
            let utf8 = if path.is_ascii() { "" } else { " SMTPUTF8" };
            let again = format!("MAIL FROM:<{path}>{utf8}");
            let Ok(Command::Mail(same)) = command::parse(again.as_bytes()) else { panic!("{again:?}") };
            assert_eq!(same.sender, mail.sender);
        }
        Ok(Command::Rcpt(rcpt)) => {
            let path = rcpt.recipient.to_string();
            assert!(!has_line_end_or_nul(&path));
            let again = format!("RCPT TO:<{path}>");
            let Ok(Command::Rcpt(same)) = command::parse(again.as_bytes()) else { panic!("{again:?}") };
            assert_eq!(same.recipient, rcpt.recipient);
        }
        Ok(Command::Ehlo(name) | Command::Helo(name)) => {
            assert!(!name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic()));
        }
        Ok(_) => {}
        Err(reply) => {
            let mut out = Vec::new();
            reply.write(&mut out);
            assert!(reply.code() >= 400 && out.ends_with(b"\r\n"));
            assert!(out[..out.len() - 2].iter().all(|byte| matches!(byte, b' '..=b'~')), "one line, printable");
        }
    }
    if command::parse(line).is_ok() {
        assert!(!has_line_end_or_nul(&String::from_utf8_lossy(line)));
    }
});
