//! What SMTP and LMTP clients may ask for, over the whole path to a provider that has it, or has not.

use std::process::Command;

use serde_json::json;

use crate::support::lines::Lines;
use crate::support::provider::{Action, Provider, Script};
use crate::support::sidecar::{Sidecar, letter};

fn through(provider: &Provider, more: &[(&str, &str)]) -> Sidecar {
    let port = provider.addr.port().to_string();
    let base = [("PROVIDER", "smtp"), ("HOST", "127.0.0.1"), ("PORT", port.as_str()), ("TLS", "none")];
    Sidecar::start(&[&base[..], more].concat())
}

/// Says each line and expects the beginning of its reply.
async fn talk(client: &mut Lines, script: &[(&str, &str)]) {
    for (line, beginning) in script {
        let reply = client.ask(line).await;
        assert!(reply.starts_with(beginning), "{line:?}: {beginning:?} expected, came {reply:?}");
    }
}

async fn expect(client: &mut Lines, beginnings: &[&str]) {
    for beginning in beginnings {
        client.expect(beginning).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_come_in_and_go_out_as_one() {
    for extensions in [&["PIPELINING", "CHUNKING", "8BITMIME"][..], &["8BITMIME"]] {
        let provider = Provider::start(Script::new().extensions(extensions));
        let sidecar = through(&provider, &[]);
        let mut client = Lines::connect(sidecar.smtp).await;
        talk(&mut client, &[("EHLO me", "250")]).await;
        let group =
            "MAIL FROM:<a@b.test> BODY=8BITMIME\r\nRCPT TO:<c@d.test>\r\nBDAT 12\r\nSubject: x\r\nBDAT 4\r\n\r\n.\n";
        client.raw(group.as_bytes()).await;
        client.raw(b"BDAT 0\r\nBDAT 6 LAST\r\n.\r\n\xe4\n.QUIT\r\n").await;
        expect(&mut client, &["250", "250", "250", "250", "250", "250 2.0.0 Ok: ", "221"]).await;
        let held = provider.ledger.only();
        assert!(
            held.bytes.ends_with(b"Subject: x\r\n\r\n.\r\n.\r\n\xe4\r\n.\r\n"),
            "{:?}",
            held.bytes.escape_ascii().to_string()
        );
        assert!(!held.has_bare_newline());
    }
}

/// RFC 3461: what the sender wants to be told goes to who can tell.
#[tokio::test(flavor = "multi_thread")]
async fn wishes_for_notifications_are_passed_on() {
    for (script, passed) in [(Script::new(), true), (Script::new().without("DSN"), false)] {
        let provider = Provider::start(script);
        let sidecar = through(&provider, &[]);
        let mut client = Lines::connect(sidecar.smtp).await;
        assert!(client.ask("EHLO me").await.contains("\r\n250-DSN\r\n"));
        talk(
            &mut client,
            &[
                ("MAIL FROM:<a@b.test> RET=hdrs ENVID=QQ+2B1", "250 2.1.0"),
                ("RCPT TO:<c@d.test> NOTIFY=success,failure ORCPT=rfc822;first@d.test", "250 2.1.5"),
                ("RCPT TO:<e@f.test> NOTIFY=NEVER", "250 2.1.5"),
                ("DATA", "354"),
            ],
        )
        .await;
        client.raw(b"hi\r\n.\r\n").await;
        client.expect("250 2.0.0").await;
        let lines = provider.ledger.lines(0).join("\n");
        for word in ["RET=HDRS ENVID=QQ+2B1", "NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;first@d.test", "NOTIFY=NEVER"] {
            assert_eq!(lines.contains(word), passed, "{word}: {lines}");
        }
        // One flight for the envelope of two that are all or nobody, one for the content; greeting and EHLO before.
        assert_eq!(provider.ledger.connections()[0].flights, 3, "{lines}");
    }
}

/// RFC 9422: the next message goes over another connection once this one had its share.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_used_for_as_many_messages_as_the_provider_says() {
    let provider = Provider::start(Script::new().with("LIMITS MAILMAX=2"));
    let sidecar = through(&provider, &[]);
    for _ in 0..5 {
        assert_eq!(sidecar.send(&letter("to@example.org")).await.status, 200);
    }
    let mut per_connection = vec![0; 3];
    provider.ledger.held().iter().for_each(|content| per_connection[content.connection] += 1);
    assert_eq!(per_connection, [2, 2, 1]);
}

/// RFC 9422: over HTTP, several transactions make one submission; over SMTP the client is told, and splits it itself.
#[tokio::test(flavor = "multi_thread")]
async fn more_recipients_than_the_provider_takes_at_a_time() {
    let refused = Action::reply(550, "5.1.1 Nobody here");
    let put_off = Action::reply(450, "4.2.1 Later");
    let mut script = Script::new().with("LIMITS RCPTMAX=2").most_recipients(2);
    for n in [2, 3] {
        script = script.always_recipient(&format!("r{n}@d.test"), refused.clone());
    }
    let provider = Provider::start(script.on_recipient("r0@d.test", put_off));
    let sidecar = through(&provider, &[("RETRY_FIRST", "20ms")]);
    let mut message = letter("r0@d.test");
    message["to"] = json!((0..7).map(|n| format!("r{n}@d.test")).collect::<Vec<_>>());
    let answer = sidecar.send(&message).await;
    assert_eq!((answer.status, answer.text("status")), (200, "partial"), "{answer:?}");
    let mut reached: Vec<_> = provider.ledger.held().into_iter().flat_map(|content| content.recipients).collect();
    reached.sort();
    assert_eq!(reached, ["r0@d.test", "r1@d.test", "r4@d.test", "r5@d.test", "r6@d.test"], "each once");
    assert_eq!(provider.ledger.copies().len(), 1, "under one Message-ID");
    // A client that asks before the provider was asked is told at the end, and the next time at RCPT.
    let provider = Provider::start(Script::new().with("LIMITS RCPTMAX=2"));
    let sidecar = through(&provider, &[]);
    let three = ["a@d.test", "b@d.test", "c@d.test"];
    let reply = Lines::connect(sidecar.smtp).await.send("a@b.test", &three, b"S: x\r\n\r\n").await;
    assert!(reply.starts_with("452 4.5.3") || reply.starts_with("452-4.5.3"), "{reply}");
    let mut client = Lines::connect(sidecar.smtp).await;
    let hello = client.ask("EHLO me").await;
    assert!(hello.contains("LIMITS RCPTMAX=2\r\n"), "{hello}");
    talk(
        &mut client,
        &[
            ("MAIL FROM:<a@b.test>", "250"),
            ("RCPT TO:<a@d.test>", "250"),
            ("RCPT TO:<b@d.test>", "250"),
            ("RCPT TO:<c@d.test>", "452 4.5.3"),
            ("DATA", "354"),
        ],
    )
    .await;
    client.raw(b"hi\r\n.\r\n").await;
    client.expect("250 2.0.0").await;
    assert_eq!(provider.ledger.only().recipients, ["a@d.test", "b@d.test"]);
}

/// RFC 6531: what has a form in ASCII goes in it; what has none is refused for good where the provider cannot carry it.
#[tokio::test(flavor = "multi_thread")]
async fn addresses_and_headers_beyond_ascii() {
    struct Case {
        name: &'static str,
        mail: &'static str,
        rcpt: &'static str,
        content: &'static [u8],
        /// The reply to the content without SMTPUTF8 at the provider; with it all is taken.
        without: &'static str,
        /// Whether MAIL has SMTPUTF8 where the provider has it.
        asked: bool,
    }
    let utf8 = "Subject: \u{fc}\r\n\r\nx\r\n".as_bytes();
    let cases = [
        Case {
            name: "a domain has a form in ASCII (RFC 5891)",
            mail: "MAIL FROM:<a@b\u{fc}cher.example> SMTPUTF8",
            rcpt: "RCPT TO:<c@\u{4f8b}\u{5b50}.example>",
            content: b"Subject: x\r\n\r\nx\r\n",
            without: "250 2.0.0",
            asked: false,
        },
        Case {
            name: "a local part has none (RFC 6531 section 3.2)",
            mail: "MAIL FROM:<a@b.test> SMTPUTF8",
            rcpt: "RCPT TO:<\u{fc}@d.test>",
            content: b"Subject: x\r\n\r\nx\r\n",
            without: "550 5.6.7 The recipient ?***@d.test",
            asked: true,
        },
        Case {
            name: "nor has a sender's",
            mail: "MAIL FROM:<\u{fc}@b.test> SMTPUTF8",
            rcpt: "RCPT TO:<c@d.test>",
            content: b"Subject: x\r\n\r\nx\r\n",
            without: "550 5.6.7 The sender ?***@b.test",
            asked: true,
        },
        Case {
            name: "a header that is declared UTF-8 (RFC 6532)",
            mail: "MAIL FROM:<a@b.test> SMTPUTF8 BODY=8BITMIME",
            rcpt: "RCPT TO:<c@d.test>",
            content: utf8,
            without: "550 5.6.7",
            asked: true,
        },
        Case {
            name: "SMTPUTF8 said in case of need",
            mail: "MAIL FROM:<a@b.test> SMTPUTF8 BODY=8BITMIME",
            rcpt: "RCPT TO:<c@d.test>",
            content: "Subject: x\r\n\r\n\u{fc}\r\n".as_bytes(),
            without: "250 2.0.0",
            asked: false,
        },
        Case {
            name: "a raw header that is not declared, as old scripts write it",
            mail: "MAIL FROM:<a@b.test>",
            rcpt: "RCPT TO:<c@d.test>",
            content: b"Subject: caf\xe9\r\n\r\nx\r\n",
            without: "250 2.0.0",
            asked: false,
        },
    ];
    for offers in [true, false] {
        let provider = Provider::start(if offers { Script::new() } else { Script::new().without("SMTPUTF8") });
        let sidecar = through(&provider, &[]);
        for (n, Case { name, mail, rcpt, content, without, asked }) in cases.iter().enumerate() {
            let mut client = Lines::connect(sidecar.smtp).await;
            talk(&mut client, &[("EHLO me", "250"), (mail, "250"), (rcpt, "250"), ("DATA", "354")]).await;
            client.raw(&[content, &b".\r\n"[..]].concat()).await;
            let reply = client.expect(&without[..0]).await;
            let expected = if offers { "250 2.0.0" } else { without };
            assert!(
                reply.starts_with(&expected.replacen(' ', "-", 1)) || reply.starts_with(expected),
                "{name}: {reply}"
            );
            if let Some(held) = provider.ledger.held().get(n).filter(|_| offers) {
                assert_eq!(held.parameters.contains("SMTPUTF8"), *asked, "{name}");
                assert!(held.bytes.ends_with(content), "{name}");
            }
        }
        let held = provider.ledger.held();
        assert_eq!(
            (held[0].sender.as_str(), held[0].recipients[0].as_str()),
            ("a@xn--bcher-kva.example", "c@xn--fsqu00a.example")
        );
        assert_eq!(held.len(), if offers { cases.len() } else { 3 });
    }
}

/// RFC 6152: to encode content on the way would break every signature over it, so it is refused, for good and clearly.
#[tokio::test(flavor = "multi_thread")]
async fn eight_bit_content_and_a_provider_without_8bitmime() {
    let provider = Provider::start(Script::new().without("8BITMIME"));
    let sidecar = through(&provider, &[]);
    let reply = Lines::connect(sidecar.smtp).await.send("a@b.test", &["c@d.test"], b"S: x\r\n\r\n\xe4\r\n").await;
    assert!(reply.starts_with("554 5.6.3") && reply.contains("8BITMIME"), "{reply}");
    let mut message = letter("to@example.org");
    message["text"] = json!("Gr\u{fc}\u{df}e \u{1f600}\n");
    message["subject"] = json!("Gr\u{fc}\u{df}e");
    assert_eq!(sidecar.send(&message).await.status, 200, "what we build ourselves is 7-bit");
    assert!(provider.ledger.only().bytes.is_ascii());
}

/// Over HTTP one recipient whom the provider cannot carry does not stop the others.
#[tokio::test(flavor = "multi_thread")]
async fn a_recipient_beyond_ascii_is_refused_alone() {
    let provider = Provider::start(Script::new().without("SMTPUTF8"));
    let sidecar = through(&provider, &[]);
    let mut message = letter("to@example.org");
    message["to"] = json!(["to@example.org", "\u{fc}@example.org"]);
    let answer = sidecar.send(&message).await;
    assert_eq!((answer.status, answer.text("status")), (200, "partial"), "{answer:?}");
    assert_eq!(provider.ledger.only().recipients, ["to@example.org"]);
    message["to"] = json!("\u{fc}@example.org");
    let answer = sidecar.send(&message).await;
    assert_eq!((answer.status, answer.text("code")), (422, "upstream_rejected"), "{answer:?}");
}

/// RFC 2033: the verdict on each recipient, in their order; one that is refused does not stop the others.
#[tokio::test(flavor = "multi_thread")]
async fn lmtp_tells_the_fate_of_each_recipient() {
    let script = Script::new()
        .always_recipient("gone@d.test", Action::reply(550, "5.1.1 Nobody here"))
        .always_recipient("full@d.test", Action::reply(452, "4.2.2 Full"));
    let provider = Provider::start(script);
    let sidecar = through(&provider, &[("LMTP_LISTEN", "127.0.0.1:0"), ("SEND_TIMEOUT", "1s")]);
    for last in ["DATA", "BDAT"] {
        let mut client = Lines::connect(sidecar.lmtp.unwrap()).await;
        talk(&mut client, &[("LHLO me", "250-"), ("MAIL FROM:<a@b.test>", "250")]).await;
        for name in ["one", "gone", "two", "full"] {
            talk(&mut client, &[(&format!("RCPT TO:<{name}@d.test>"), "250")]).await;
        }
        match last {
            "DATA" => {
                talk(&mut client, &[("DATA", "354")]).await;
                client.raw(b"Subject: x\r\n\r\nhi\r\n.\r\n").await;
            }
            _ => client.raw(b"BDAT 18 LAST\r\nSubject: x\r\n\r\nhi\r\n").await,
        }
        expect(&mut client, &["250 2.0.0 Ok: ", "550 5.1.1 ", "250 2.0.0 Ok: ", "451 4.2.2 "]).await;
        talk(&mut client, &[("NOOP", "250 2.0.0 Ok\r\n"), ("QUIT", "221")]).await;
    }
    let held = provider.ledger.held();
    assert_eq!(held.len(), 2);
    assert!(held.iter().all(|content| content.recipients == ["one@d.test", "two@d.test"]));
    assert_eq!(sidecar.count("sidepost_submissions_total{answer=\"taken\",ingress=\"lmtp\"}").await, 2);
}

/// RFC 9422: whatever the limit and however many, each gets it once, in as few transactions as that takes.
#[tokio::test(flavor = "multi_thread")]
async fn every_split_reaches_everybody_once() {
    for limit in [1, 2, 3, 7] {
        let script = Script::new().with(&format!("LIMITS RCPTMAX={limit}")).most_recipients(limit);
        let provider = Provider::start(script);
        let sidecar = through(&provider, &[]);
        for count in 1..=7_usize {
            let before = provider.ledger.held().len();
            let mut message = letter("x@d.test");
            let everybody: Vec<_> = (0..count).map(|n| format!("r{n}@d.test")).collect();
            message["to"] = json!(everybody);
            let answer = sidecar.send(&message).await;
            assert_eq!((answer.status, answer.text("status")), (200, "sent"), "{count} by {limit}: {answer:?}");
            let held = &provider.ledger.held()[before..];
            assert_eq!(held.len(), count.div_ceil(limit), "{count} by {limit}");
            let reached: Vec<_> = held.iter().flat_map(|content| content.recipients.clone()).collect();
            assert_eq!(reached, everybody, "{count} by {limit}");
        }
    }
}

/// Clients of LMTP that we did not write: Python's, over a unix socket, and Postfix's generator.
#[tokio::test(flavor = "multi_thread")]
async fn pythons_and_postfix_own_lmtp_clients_can_send() {
    let provider =
        Provider::start(Script::new().always_recipient("gone@d.test", Action::reply(550, "5.1.1 Nobody here")));
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("lmtp");
    let listen = format!("127.0.0.1:0,unix:{}", socket.display());
    let sidecar = through(&provider, &[("LMTP_LISTEN", &listen)]);
    // It reads one reply for all recipients, so it gets one.
    let script = "import smtplib, sys\n\
                  with smtplib.LMTP(sys.argv[1]) as s:\n \
                  s.sendmail('a@b.test', [sys.argv[2]], 'Subject: x\\n\\nhi\\n', ['RET=FULL'], ['NOTIFY=NEVER'])";
    for (recipient, complaint) in [("one@d.test", ""), ("gone@d.test", "(550, b'5.1.1 The provider refused")] {
        let output = Command::new("python3").args(["-c", script]).arg(&socket).arg(recipient).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() == complaint.is_empty() && said.contains(complaint), "{output:?}");
    }
    let held = provider.ledger.only();
    assert_eq!((&held.recipients[..], held.parameters.contains("RET=FULL")), (&["one@d.test".to_owned()][..], true));
    let server = format!("inet:{}", sidecar.lmtp.unwrap());
    let arguments = ["-L", "-m", "20", "-s", "4", "-r", "3", "-f", "a@b.test", "-t", "to@d.test", &server];
    let output = Command::new("/usr/sbin/smtp-source").args(arguments).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(provider.ledger.held().len(), 21);
}
