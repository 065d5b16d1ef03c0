//! Smuggling through us: a stock Postfix as the provider, which takes LF.LF for the end of content, is the victim. What
//! a client may write, or an application may have taken from a stranger, must arrive as one message; and another
//! provider's ledger must show that no CR or LF stood alone on the wire.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{converse, through};
use crate::support::provider::{Provider, Script};
use crate::support::rig::{Rig, mark};
use crate::support::sidecar::{Sidecar, letter};

/// What may stand before and behind the dot. No reader agrees with all others about all of them.
const ENDS: [&str; 8] = ["\n", "\r", "\r\n", "\r\r\n", "\n\r", "\n\n", "\r\n\r", "\u{85}"];

/// Every mix but the one that truly ends content: CRLF.CRLF (RFC 5321 section 4.1.1.4). The sources of the single mixes
/// are in the table of cases; the scanners The-Login/SMTP-Smuggling-Tools and hannob/smtpsmug try these and fewer.
fn false_ends() -> impl Iterator<Item = String> {
    let mixes = ENDS.iter().flat_map(|before| ENDS.iter().map(move |behind| (before, behind)));
    let is_true = |before: &str, behind: &str| before.ends_with("\r\n") && behind.starts_with("\r\n");
    mixes.filter(move |(before, behind)| !is_true(before, behind)).map(|(before, behind)| format!("{before}.{behind}"))
}

/// A second message behind the false end of the first one.
fn text(end: &str, mark: &str) -> String {
    format!(
        "first{end}MAIL FROM:<smuggled@rig.test>\r\nRCPT TO:<to@rig.test>\r\nDATA\r\nSubject: smuggled {mark}\r\n\r\n\
         smuggled{end}BDAT 6 LAST\r\nevil\r\n{end}QUIT\r\n"
    )
}

/// The whole conversation of a client that does not look at what it sends.
fn dotted(end: &str, mark: &str) -> String {
    format!(
        "EHLO me\r\nMAIL FROM:<first@rig.test>\r\nRCPT TO:<to@rig.test>\r\nDATA\r\nSubject: {mark}\r\n\r\n{}\r\n.\r\nQUIT\r\n",
        text(end, mark)
    )
}

/// One thing that goes out, and the mark that it carries.
struct Sent {
    how: String,
    mark: String,
}

async fn over_data(sidecar: &Sidecar, end: &str) -> Sent {
    let mark = mark();
    let wire = dotted(end, &mark);
    let how = format!("DATA with {end:?}");
    let replies = converse(sidecar.smtp, wire.as_bytes()).await;
    let codes: Vec<_> = replies.iter().map(|reply| &reply[..3]).collect();
    assert_eq!(codes, ["250", "250", "250", "354", "250", "221"], "{how}: {replies:?}");
    Sent { how, mark }
}

async fn over_bdat(sidecar: &Sidecar, end: &str, size: usize) -> Sent {
    let mark = mark();
    let content = format!("Subject: {mark}\r\n\r\n{}", text(end, &mark));
    let mut wire = "EHLO me\r\nMAIL FROM:<first@rig.test>\r\nRCPT TO:<to@rig.test>\r\n".to_owned().into_bytes();
    let mut count = 0;
    for chunk in content.as_bytes().chunks(size) {
        wire.extend(format!("BDAT {}\r\n", chunk.len()).bytes());
        wire.extend(chunk);
        count += 1;
    }
    wire.extend(b"BDAT 0 LAST\r\nQUIT\r\n");
    let how = format!("BDAT with {end:?}, {size} octets at a time");
    let replies = converse(sidecar.smtp, &wire).await;
    assert!(replies.iter().all(|reply| reply.starts_with('2')) && replies.len() == 3 + count + 2, "{how}: {replies:?}");
    Sent { how, mark }
}

async fn over_json(sidecar: &Sidecar, end: &str) -> Sent {
    let mark = mark();
    let text = text(end, &mark);
    let mut message = letter("to@rig.test");
    message["from"] = json!("first@rig.test");
    message["subject"] = json!(mark);
    message["text"] = json!(text);
    message["html"] = json!(format!("<p>{text}</p>"));
    message["attachments"] =
        json!([{ "filename": "a.txt", "content_type": "text/plain", "content": STANDARD.encode(&text) }]);
    let answer = sidecar.send(&message).await;
    assert_eq!(answer.status, 200, "{end:?}: {answer:?}");
    Sent { how: format!("JSON with {end:?}"), mark }
}

async fn over_raw(sidecar: &Sidecar, end: &str) -> Sent {
    let mark = mark();
    let body = format!("Subject: {mark}\n\n{}", text(end, &mark));
    let how = format!("a raw message with {end:?}");
    let answer = post_raw(sidecar, &body).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{how}: {answer}");
    Sent { how, mark }
}

/// POSTs a message as it is; the whole answer.
async fn post_raw(sidecar: &Sidecar, body: &str) -> String {
    let mut stream = TcpStream::connect(sidecar.http).await.unwrap();
    let head = format!(
        "POST /v1/send/raw?from=first@rig.test&to=to@rig.test HTTP/1.1\r\nHost: {}\r\nContent-Type: message/rfc822\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        sidecar.http,
        body.len()
    );
    stream.write_all(&[head.as_bytes(), body.as_bytes()].concat()).await.unwrap();
    let mut answer = String::new();
    tokio::time::timeout(Duration::from_secs(30), stream.read_to_string(&mut answer)).await.expect("an end").unwrap();
    answer
}

async fn send_all(sidecar: &Sidecar) -> Vec<Sent> {
    let mut sent = Vec::new();
    for end in false_ends() {
        sent.push(over_data(sidecar, &end).await);
        sent.push(over_json(sidecar, &end).await);
        sent.push(over_raw(sidecar, &end).await);
    }
    // In a counted chunk even the true end is content.
    for end in false_ends().chain(["\r\n.\r\n".to_owned()]) {
        sent.push(over_bdat(sidecar, &end, 1_000).await);
        sent.push(over_bdat(sidecar, &end, 7).await);
    }
    sent
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lenient_provider_gets_one_message_each() {
    let rig = Rig::get();
    let smuggled = mark();
    converse(format!("127.0.0.1:{}", rig.value("PLAIN_PORT")).parse().unwrap(), dotted("\n.\n", &smuggled).as_bytes())
        .await;
    assert!(rig.messages(&smuggled, 2).len() >= 2, "the victim is one: without us in between it takes two messages");
    let port = rig.value("PLAIN_PORT");
    let sidecar = Sidecar::start(&[("PROVIDER", "smtp"), ("HOST", "127.0.0.1"), ("PORT", port), ("TLS", "none")]);
    let sent = send_all(&sidecar).await;
    for Sent { how, mark } in &sent {
        assert_eq!(rig.messages(mark, 1).len(), 1, "{how}");
    }
    // What was smuggled would have been queued before this one.
    let last = mark();
    let mut message = letter("to@rig.test");
    message["from"] = json!("first@rig.test");
    message["subject"] = json!(last);
    assert_eq!(sidecar.send(&message).await.status, 200);
    assert_eq!(rig.messages(&last, 1).len(), 1);
    for Sent { how, mark } in &sent {
        let copies = rig.messages(mark, 1);
        assert_eq!(copies.len(), 1, "{how}: something was smuggled");
        assert!(!copies[0].starts_with(b"Return-Path: <smuggled@"), "{how}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_line_end_stands_alone_on_the_wire() {
    for script in [Script::new(), Script::new().without("CHUNKING")] {
        let provider = Provider::start(script);
        let sidecar = through(&provider, &[]);
        let sent = send_all(&sidecar).await;
        let held = provider.ledger.held();
        assert_eq!(held.len(), sent.len());
        for (content, Sent { how, .. }) in held.iter().zip(&sent) {
            assert!(!content.has_bare_newline(), "{how}: {:?}", content.bytes.escape_ascii().to_string());
            assert_eq!(
                (content.sender.as_str(), &content.recipients[..]),
                ("first@rig.test", &["to@rig.test".to_owned()][..]),
                "{how}"
            );
        }
        let counts = provider.ledger.counts();
        assert_eq!((counts.mails, counts.nonsense, counts.bare_newlines), (sent.len(), 0, 0));
    }
}

// === Headers and addresses out of JSON ===

/// What could end a line, for somebody on the way: as it is, or after a decoding that nobody should do.
const BREAKS: [&str; 20] = [
    "\r\n",
    "\n",
    "\r",
    "\0",
    "\r\n ",
    "\n\t",
    "\u{b}",
    "\u{c}",
    "\u{1c}",
    "\u{7f}",
    "\u{85}",
    "\u{2028}",
    "\u{2029}",
    // CVE-2025-7962: cut to their lower halves these are CR and LF.
    "\u{760d}\u{760a}",
    "\u{0d0a}",
    "\u{560d}\u{560a}",
    "%0d%0a",
    "=0D=0A",
    "=?utf-8?Q?=0D=0A?=",
    "&#13;&#10;",
];

/// Each field of the body with a text in it.
fn fields(text: &str) -> Vec<(&'static str, Value)> {
    let with = |change: &dyn Fn(&mut Value)| {
        let mut message = letter("to@example.org");
        change(&mut message);
        message
    };
    let address = format!("to{text}@example.org");
    let behind = format!("to@example.org{text}");
    let named = format!("Name {text} <to@example.org>");
    let file = |name: &str, value: &str| {
        let mut file = json!({ "filename": "a.txt", "content": "YQ==", "content_id": "logo" });
        file[name] = json!(value);
        with(&|message| message["attachments"] = json!([file]))
    };
    vec![
        ("from", with(&|message| message["from"] = json!(address))),
        ("from, behind", with(&|message| message["from"] = json!(behind))),
        ("from, name", with(&|message| message["from"] = json!(named))),
        ("from, name of an object", with(&|message| message["from"] = json!({ "email": "a@b.test", "name": text }))),
        ("to", with(&|message| message["to"] = json!(address))),
        ("to, behind", with(&|message| message["to"] = json!(behind))),
        ("to, name", with(&|message| message["to"] = json!(named))),
        ("cc", with(&|message| message["cc"] = json!([address]))),
        ("bcc, name", with(&|message| message["bcc"] = json!(named))),
        ("reply_to", with(&|message| message["reply_to"] = json!(named))),
        ("subject", with(&|message| message["subject"] = json!(text))),
        ("text", with(&|message| message["text"] = json!(text))),
        ("html", with(&|message| message["html"] = json!(text))),
        ("headers, value", with(&|message| message["headers"] = json!({ "X-Campaign": text }))),
        ("headers, name", with(&|message| message["headers"] = json!({ format!("X-A{text}"): "x" }))),
        (
            "headers, Message-ID",
            with(&|message| message["headers"] = json!({ "Message-ID": format!("<a{text}@b.test>") })),
        ),
        (
            "headers, References",
            with(&|message| message["headers"] = json!({ "References": format!("<a{text}@b.test>") })),
        ),
        ("filename", file("filename", text)),
        ("content_type", file("content_type", &format!("text/plain; x={text}"))),
        ("content_id", file("content_id", text)),
        (
            "unsubscribe",
            with(&|message| message["unsubscribe"] = json!({ "url": format!("https://example.com/{text}") })),
        ),
    ]
}

/// The lines of a header block, unfolded, by name.
fn header_names(content: &[u8]) -> Vec<String> {
    let end = memchr::memmem::find(content, b"\r\n\r\n").unwrap();
    let header = String::from_utf8_lossy(&content[..end]).into_owned();
    let lines = header.split("\r\n").filter(|line| !line.starts_with([' ', '\t']));
    lines.map(|line| line.split(':').next().unwrap().to_ascii_lowercase()).collect()
}

/// CVE-2016-10033's kind, CVE-2021-23400, GHSA-c7w3-x93f-qmm8 and GHSA-vvjj-xcjg-gr5g nodemailer, CVE-2025-59419 netty,
/// CVE-2025-7962 jakarta.mail, RUSTSEC-2021-0069 lettre: either the field is refused and named, or nothing comes of it.
#[tokio::test(flavor = "multi_thread")]
async fn no_field_makes_a_header_or_a_command() {
    let provider = Provider::start(Script::new());
    let sidecar = through(&provider, &[]);
    for line_end in BREAKS {
        let payload = format!(
            "a{line_end}Bcc: evil@x.test{line_end}X-Evil: 1{line_end}{line_end}.{line_end}RCPT TO:<evil@x.test>"
        );
        for (field, message) in fields(&payload) {
            let before = provider.ledger.held().len();
            let answer = sidecar.send(&message).await;
            let held = &provider.ledger.held()[before..];
            let name = format!("{field} with {line_end:?}");
            match answer.status {
                200 => {
                    assert_eq!(held.len(), 1, "{name}");
                    let names = header_names(&held[0].bytes);
                    assert!(!names.iter().any(|name| name == "bcc" || name == "x-evil"), "{name}: {names:?}");
                    assert!(
                        !held[0].bytes.contains(&0)
                            && !held[0].has_bare_newline()
                            && held[0].recipients.iter().all(|to| to == "to@example.org"),
                        "{name}"
                    );
                    assert!(held[0].sender == "sender@example.com" || field.starts_with("from"), "{name}");
                }
                400 | 422 => {
                    assert!(held.is_empty(), "{name}");
                    let word = field.split(',').next().unwrap();
                    assert!(answer.body["errors"].to_string().contains(word), "{name} is not named: {answer:?}");
                }
                _ => panic!("{name}: {answer:?}"),
            }
        }
    }
    let counts = provider.ledger.counts();
    assert_eq!((counts.mails, counts.rcpts, counts.nonsense), (counts.held, counts.held, 0));
    assert!(!provider.ledger.commands().iter().any(|command| command.line.contains("evil")));
}
