//! Mail through a real provider, Postfix with Dovecot, byte for byte.

use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::support::lines::Lines;
use crate::support::rig::{Rig, body, mark};
use crate::support::sidecar::{Sidecar, letter};

const BOTH: [&str; 2] = ["starttls", "implicit"];

/// Reads a message the way a mail program does.
fn parsed(message: &[u8]) -> mail_parser::Message<'_> {
    mail_parser::MessageParser::default().parse(message).expect("a message")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_json_message_arrives_with_everything_in_it() {
    for tls in BOTH {
        let sidecar = Sidecar::start(&Rig::get().settings(tls));
        let mark = mark();
        let file: Vec<u8> = (0..200_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let answer = sidecar
            .send(&json!({
                "from": "Jos\u{e9} \u{201c}the\u{201d} Sender <sender@rig.test>",
                "to": ["\u{91ce}\u{7403} <one@rig.test>"],
                "cc": "two@rig.test",
                "bcc": ["three@rig.test"],
                "reply_to": "answers@rig.test",
                "subject": format!("Gr\u{fc}\u{df}e \u{1f600} {mark}"),
                "text": ".\nline two\r\n.dot\nfrom here\r\u{e4}\u{f6}\u{fc}\n",
                "html": "<p>Gr\u{fc}\u{df}e <img src=\"cid:logo\"></p>",
                "headers": { "X-Campaign": "spring" },
                "unsubscribe": { "url": "https://example.com/u?x=1", "one_click": true },
                "attachments": [
                    { "filename": "\u{fc}bersicht.bin", "content": STANDARD.encode(&file) },
                    { "filename": "logo.png", "content": STANDARD.encode(b"\x89PNG"), "content_id": "logo" }
                ]
            }))
            .await;
        assert_eq!((answer.status, answer.text("status")), (200, "sent"), "{answer:?}");
        assert_eq!(answer.body["recipients"].as_array().unwrap().len(), 3);
        assert!(answer.body["recipients"][0]["detail"].as_str().unwrap().contains("queued as"), "{answer:?}");
        let copies = Rig::get().messages(answer.text("message_id"), 1);
        assert_eq!(copies.len(), 1);
        for copy in &copies {
            let message = parsed(copy);
            assert_eq!(message.subject(), Some(format!("Gr\u{fc}\u{df}e \u{1f600} {mark}").as_str()));
            assert_eq!(message.from().unwrap().first().unwrap().name(), Some("Jos\u{e9} \u{201c}the\u{201d} Sender"));
            assert_eq!(message.to().unwrap().first().unwrap().name(), Some("\u{91ce}\u{7403}"));
            assert!(message.bcc().is_none() && !String::from_utf8_lossy(copy).contains("Bcc"));
            assert_eq!(message.message_id(), Some(answer.text("message_id")));
            assert!(message.date().is_some());
            let text = message.body_text(0).unwrap().replace("\r\n", "\n");
            assert_eq!(text.trim_end(), ".\nline two\n.dot\nfrom here\n\u{e4}\u{f6}\u{fc}");
            assert!(message.body_html(0).unwrap().contains("Gr\u{fc}\u{df}e"));
            assert_eq!(message.header("X-Campaign").and_then(|value| value.as_text()), Some("spring"));
            assert!(String::from_utf8_lossy(copy).contains("List-Unsubscribe-Post: List-Unsubscribe=One-Click"));
            let attachment = message.attachments().find(|part| part.contents().len() > 100).expect("the file");
            assert!(attachment.contents() == file, "the attachment is the same to the byte");
            let shown = mail_parser::MimeHeaders::attachment_name(attachment);
            assert_eq!(shown, Some("\u{fc}bersicht.bin"));
            assert!(copy.split(|&b| b == b'\n').all(|line| line.len() <= 998));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_smtp_message_arrives_byte_for_byte() {
    let long = format!("{}\r\n", "x".repeat(5_000));
    let large = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde\r\n".repeat(160_000);
    let cases: &[(&str, &[u8])] = &[
        ("plain", b"one line\r\n"),
        ("UTF-8", "Gr\u{fc}\u{df}e, \u{1f600}\r\n".as_bytes()),
        ("8-bit that is no UTF-8", b"caf\xe9 \xff\xfe\r\n"),
        ("dots at line starts", b".\r\n..\r\n...three\r\n.a\r\nb.\r\n.\r\n"),
        ("long lines", long.as_bytes()),
        ("empty body", b""),
        ("only empty lines", b"\r\n\r\n\r\n"),
        ("10 MB", large.as_bytes()),
    ];
    for tls in BOTH {
        let sidecar = Sidecar::start(&Rig::get().settings(tls));
        for (name, content) in cases {
            let mark = mark();
            let headers = format!(
                "Subject: {mark}\r\nDate: Sun, 22 Nov 2026 16:00:00 +0000\r\nMessage-ID: <{mark}@rig.test>\r\nX-Odd:  two  spaces \r\n\t folded\r\n\r\n"
            );
            let message = [headers.as_bytes(), content].concat();
            let mut client = Lines::connect(sidecar.smtp).await;
            let reply = client.send("sender@rig.test", &["to@rig.test"], &message).await;
            assert!(reply.starts_with("250 2.0.0 "), "{name}: {reply}");
            assert!(reply.contains("queued as"), "the provider's words: {reply}");
            let copies = Rig::get().messages(&mark, 1);
            assert_eq!(copies.len(), 1, "{name}");
            let expected = String::from_utf8_lossy(content).replace("\r\n", "\n");
            assert!(String::from_utf8_lossy(body(&copies[0])) == expected, "{name} over {tls}: the body is another");
            let arrived = String::from_utf8_lossy(&copies[0]).into_owned();
            assert!(arrived.contains("X-Odd:  two  spaces \n\t folded\n"), "headers are passed on as they are");
            assert_eq!(arrived.matches("\nMessage-ID:").count() + arrived.matches("\nMessage-Id:").count(), 1);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_added_at_the_top() {
    let sidecar = Sidecar::start(&Rig::get().settings("starttls"));
    let mark = mark();
    let mut client = Lines::connect(sidecar.smtp).await;
    let reply =
        client.send("sender@rig.test", &["to@rig.test"], format!("Subject: {mark}\r\n\r\nhi\r\n").as_bytes()).await;
    assert!(reply.starts_with("250"), "{reply}");
    let copy = Rig::get().messages(&mark, 1).remove(0);
    let message = parsed(&copy);
    assert!(message.date().is_some());
    assert!(message.message_id().unwrap().ends_with("@rig.test"));
    assert!(message.received().is_some());
    assert_eq!(body(&copy), b"hi\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_character_of_a_password_survives() {
    let rig = Rig::get();
    let mut settings = rig.settings("starttls");
    settings.retain(|(name, _)| !matches!(*name, "USERNAME" | "PASSWORD"));
    settings.push(("USERNAME", rig.value("ODD_USERNAME")));
    for mechanism in ["plain", "login"] {
        let mut settings = settings.clone();
        settings.extend([("PASSWORD_FILE", rig.value("ODD_PASSWORD_FILE")), ("AUTH", mechanism)]);
        let answer = Sidecar::start(&settings).send(&letter("to@rig.test")).await;
        assert_eq!(answer.status, 200, "{mechanism}: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_of_a_real_provider_reach_the_caller() {
    let sidecar = Sidecar::start(&[&Rig::get().settings("starttls")[..], &[("SEND_TIMEOUT", "2s")]].concat());
    let answer = sidecar.send(&letter("p550@rig.test")).await;
    assert_eq!((answer.status, answer.text("code")), (422, "upstream_rejected"), "{answer:?}");
    assert_eq!(answer.body["upstream"]["smtp_code"], 550);
    let answer = sidecar.send(&letter("t451@rig.test")).await;
    assert_eq!((answer.status, &answer.body["retryable"]), (503, &json!(true)), "{answer:?}");
    let mut denied = letter("to@rig.test");
    denied["from"] = json!("denied@rig.test");
    let answer = sidecar.send(&denied).await;
    assert_eq!((answer.status, answer.text("code")), (502, "upstream_sender_refused"), "{answer:?}");
    let mut partial = letter("to@rig.test");
    partial["cc"] = json!(["p550@rig.test"]);
    let answer = sidecar.send(&partial).await;
    assert_eq!((answer.status, answer.text("status")), (200, "partial"), "{answer:?}");
    let mut client = Lines::connect(sidecar.smtp).await;
    let mark = mark();
    let content = format!("Subject: {mark}\r\n\r\nx\r\n");
    let reply = client.send("s@rig.test", &["to@rig.test", "p550@rig.test"], content.as_bytes()).await;
    assert!(reply.starts_with("554 5.1.1") || reply.starts_with("554-5.1.1"), "{reply}");
    assert!(reply.contains("p***@rig.test"), "it names who was refused: {reply}");
    assert!(Rig::get().messages(&mark, 0).is_empty(), "all or nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn swaks_and_python_and_curl_can_send() {
    let sidecar = Sidecar::start(&Rig::get().settings("starttls"));
    let server = sidecar.smtp.to_string();
    let run = |mark: &str, program: &str, arguments: Vec<String>| {
        let output =
            Command::new(program).args(&arguments).output().unwrap_or_else(|error| panic!("{program}: {error}"));
        assert!(output.status.success(), "{program}: {output:?}");
        assert_eq!(Rig::get().messages(mark, 1).len(), 1, "{program}");
    };
    let own = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
    let one = mark();
    run(&one, "swaks", own(&["--to", "a@rig.test", "--from", "s@rig.test", "--server", &server, "--h-Subject", &one]));
    let two = mark();
    let script = format!(
        "import smtplib, email.message\nm = email.message.EmailMessage()\nm['Subject'] = '{two}'\nm['From'] = 's@rig.test'\n\
         m['To'] = 'a@rig.test'\nm.set_content('x')\nwith smtplib.SMTP('{}', {}) as s: s.send_message(m)",
        sidecar.smtp.ip(),
        sidecar.smtp.port()
    );
    run(&two, "python3", own(&["-c", &script]));
    let three = mark();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("message");
    std::fs::write(&file, format!("Subject: {three}\r\n\r\nx\r\n")).unwrap();
    let url = format!("smtp://{server}/client.test");
    run(
        &three,
        "curl",
        own(&["-sS", &url, "--mail-from", "s@rig.test", "--mail-rcpt", "a@rig.test", "-T", file.to_str().unwrap()]),
    );
}
