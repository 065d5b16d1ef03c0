//! A message that comes in complete, and what is put in front of it.
//!
//! Not one of its bytes may change; what was missing is there once, for readers that are not ours too; and doing it
//! twice adds nothing.
#![no_main]

use std::net::IpAddr;
use std::time::{Duration, UNIX_EPOCH};

use libfuzzer_sys::fuzz_target;
use mail_parser::{HeaderName, MessageParser};
use sidepost::message::content::{BareNewline, ContentWriter};
use sidepost::message::header::{Completed, Headers, complete, has_mark, received};
use sidepost::message::{Content, Id};
use sidepost_fuzz::{content, pieces};

fn written(data: &[u8]) -> Content {
    let mut writer = ContentWriter::new(BareNewline::Normalize);
    pieces(data, 100).into_iter().for_each(|piece| writer.push(piece).expect("normalised"));
    writer.finish().expect("normalised")
}

fn memmem(text: &[u8], wanted: &[u8]) -> bool {
    text.windows(wanted.len()).any(|window| window == wanted)
}

fuzz_target!(|data: &[u8]| {
    let now = UNIX_EPOCH + Duration::from_secs(1_795_363_456);
    let helo = String::from_utf8_lossy(&data[..data.len().min(300)]);
    let trace = received(&helo, IpAddr::from([192, 0, 2, 1]), ("us.test", "mark"), "ESMTP", Id::new(), now);
    content::assert_only_crlf(trace.as_bytes());
    assert_eq!(trace.matches("\r\n").count(), 3);

    let before = written(data);
    content::assert_sound(&before);
    let known = Headers::of(&before);
    let Completed { content: after, message_id: id, findings } = complete(before.clone(), Some(&trace), &helo, now);
    content::assert_sound(&after);

    let (before, bytes) = (before.to_vec(), after.to_vec());
    let from_line = before.starts_with(b"From ") || before.starts_with(b">From ");
    let line_end = before.iter().position(|&byte| byte == b'\n').map_or(before.len(), |at| at + 1);
    assert!(bytes.ends_with(&before) || (from_line && bytes.ends_with(&before[line_end..])), "a byte was touched");
    assert!(bytes.starts_with(trace.as_bytes()));

    let headers = Headers::of(&after);
    assert!(headers.has_date && headers.message_id.as_ref() == Some(&id));
    assert!(id.len() <= 250 && id.bytes().all(|byte| byte.is_ascii_graphic()));
    assert!(from_line || headers.findings.received == known.findings.received + 1);
    assert!(from_line || findings == known.findings);
    let theirs = memmem(&before, b"(Sidepost mark)");
    assert!(theirs || !has_mark(&after, "mark", findings), "our own mark is not a loop");
    let again = complete(after, None, "other.test", now);
    assert!(again.content.to_vec() == bytes && again.message_id == id, "twice is not once");

    let parsed = MessageParser::new().header_raw(HeaderName::Date).parse(&bytes).expect("a message");
    let count = |name: &str| parsed.headers().iter().filter(|header| header.name().eq_ignore_ascii_case(name)).count();
    assert!(count("Date") >= 1 && count("Message-ID") >= 1);
});
