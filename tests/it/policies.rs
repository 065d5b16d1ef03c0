//! Rules for senders and recipients, from either door to what the provider holds.

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::lines::Lines;
use crate::support::provider::{Action, Content, Provider, Script};
use crate::support::sidecar::{Answer, Sidecar, letter};

fn through(provider: &Provider, more: &[(&str, &str)]) -> Sidecar {
    let port = provider.addr.port().to_string();
    let base = [("PROVIDER", "smtp"), ("HOST", "127.0.0.1"), ("PORT", port.as_str()), ("TLS", "none")];
    Sidecar::start(&[&base[..], &[("SEND_TIMEOUT", "3s")], more].concat())
}

async fn smtp(sidecar: &Sidecar, from: &str, to: &[&str], content: &[u8]) -> String {
    Lines::connect(sidecar.smtp).await.send(from, to, content).await
}

/// A ready-made message over HTTP.
async fn raw(sidecar: &Sidecar, query: &str, content: &[u8]) -> Answer {
    let head = format!(
        "POST /v1/send/raw?{query} HTTP/1.1\r\nHost: localhost\r\nContent-Type: message/rfc822\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        content.len()
    );
    let mut stream = TcpStream::connect(sidecar.http).await.unwrap();
    stream.write_all(&[head.as_bytes(), content].concat()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer with a body");
    Answer { status: head[9..12].parse().unwrap(), body: serde_json::from_str(body).unwrap() }
}

/// The fields of a header, unfolded, without those that every message gets here.
fn fields(held: &Content) -> Vec<String> {
    let text = String::from_utf8_lossy(&held.bytes).replace("\r\n ", " ").replace("\r\n\t", " ");
    let header = text.split("\r\n\r\n").next().unwrap_or_default().to_owned();
    let own = ["Received:", "Date:", "Message-ID:", "MIME-Version:", "Content-"];
    header.split("\r\n").filter(|line| !own.iter().any(|name| line.starts_with(name))).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn wordpress_sends_as_the_shop_and_gets_the_answers() {
    let provider = Provider::start(Script::new());
    let sidecar = through(&provider, &[("FROM", "The Shop <shop@us.example>"), ("FROM_MODE", "force")]);
    let text = b"From: WordPress <wordpress@localhost>\r\nTo: t@them.example\r\nSubject: s\r\n\r\nHello.\r\n";
    let reply = smtp(&sidecar, "www-data@c0ffee", &["t@them.example"], text).await;
    assert!(reply.starts_with("250"), "{reply}");
    let mut message = letter("t@them.example");
    message["from"] = json!("Other <other@us.example>");
    assert_eq!(sidecar.send(&message).await.status, 200);
    let held = provider.ledger.held();
    assert!(held.iter().all(|held| held.sender == "shop@us.example"));
    let shop = "From: \"The Shop\" <shop@us.example>";
    let reply_to = "Reply-To: WordPress <wordpress@localhost>";
    assert_eq!(fields(&held[0]), [shop, reply_to, "To: t@them.example", "Subject: s"]);
    assert_eq!(fields(&held[1])[..2], [shop, "Reply-To: \"Other\" <other@us.example>"]);
    assert!(held[0].bytes.ends_with(b"\r\n\r\nHello.\r\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_send_is_told_by_which_setting() {
    let provider = Provider::start(Script::new());
    let sidecar = through(&provider, &[("ALLOWED_SENDERS", "us.example"), ("DENIED_RECIPIENTS", "boss@them.example")]);
    let text = b"From: a@evil.example\r\nSubject: s\r\n\r\n";
    let reply = smtp(&sidecar, "a@us.example", &["t@them.example"], text).await;
    assert_eq!(reply.trim_end(), "550 5.7.1 a***@evil.example may not send here (SIDEPOST_ALLOWED_SENDERS)");
    let answer = sidecar.send(&letter("t@them.example")).await;
    assert_eq!((answer.status, answer.text("code")), (403, "sender_not_allowed"), "{answer:?}");
    assert_eq!(answer.text("detail"), "s***@example.com may not send here (SIDEPOST_ALLOWED_SENDERS).");
    let mut message = letter("Boss@them.example");
    message["from"] = json!("a@us.example");
    message["bcc"] = json!("t@them.example");
    let answer = sidecar.send(&message).await;
    assert_eq!((answer.status, answer.text("code")), (403, "recipient_not_allowed"), "{answer:?}");
    assert!(answer.text("detail").contains("SIDEPOST_DENIED_RECIPIENTS"));
    assert_eq!(provider.ledger.counts().mails, 0);
    let refused =
        |door: &str, reason: &str| format!("sidepost_refusals_total{{ingress=\"{door}\",reason=\"{reason}\"}}");
    assert_eq!(sidecar.count(&refused("smtp", "sender_not_allowed")).await, 1);
    assert_eq!(sidecar.count(&refused("http", "recipient_not_allowed")).await, 1);
}

/// A relaying server then bounces for those recipients alone, and sends no content for nobody.
#[tokio::test(flavor = "multi_thread")]
async fn over_smtp_whom_a_rule_refuses_is_refused_by_name_and_before_the_content() {
    let provider = Provider::start(Script::new());
    let sidecar = through(&provider, &[("ALLOWED_SENDERS", "us.example"), ("DENIED_RECIPIENTS", "boss@them.example")]);
    let mut lines = Lines::connect(sidecar.smtp).await;
    for (said, expected) in [
        ("EHLO me", "250"),
        ("MAIL FROM:<a@evil.example>", "550 5.7.1 a***@evil.example may not send here (SIDEPOST_ALLOWED_SENDERS)"),
        ("MAIL FROM:<a@us.example>", "250"),
        ("RCPT TO:<t@them.example>", "250"),
        (
            "RCPT TO:<Boss@them.example>",
            "550 5.7.1 B***@them.example may not get mail from here (SIDEPOST_DENIED_RECIPIENTS)",
        ),
        ("DATA", "354"),
        ("From: a@us.example\r\n\r\n.", "250 2.0.0"),
    ] {
        let reply = lines.ask(said).await;
        assert!(reply.starts_with(expected), "{said}: {reply}");
    }
    assert_eq!(provider.ledger.held()[0].recipients, ["t@them.example"]);
    for reason in ["sender_not_allowed", "recipient_not_allowed"] {
        let series = format!("sidepost_refusals_total{{ingress=\"smtp\",reason=\"{reason}\"}}");
        assert_eq!(sidecar.count(&series).await, 1, "{reason}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn staging_gets_one_copy_and_every_caller_all_its_verdicts() {
    let script = Script::new().on_recipient("staging@us.example", Action::reply(250, "2.1.5 Fine"));
    let provider = Provider::start(script);
    let sidecar = through(&provider, &[("REDIRECT_TO", "staging@us.example")]);
    let mut message = letter("one@them.example");
    message["cc"] = json!("two@them.example");
    message["bcc"] = json!("three@them.example");
    message["headers"] = json!({"X-SMTPAPI": "{\"to\":[\"four@them.example\"]}", "X-MC-Tags": "t"});
    let answer = sidecar.send(&message).await;
    assert_eq!((answer.status, answer.text("status")), (200, "sent"), "{answer:?}");
    let verdicts: Vec<_> = answer.body["recipients"].as_array().unwrap().iter().collect();
    let emails: Vec<_> = verdicts.iter().map(|verdict| verdict["email"].as_str().unwrap()).collect();
    assert_eq!(emails, ["one@them.example", "two@them.example", "three@them.example"]);
    assert!(verdicts.iter().all(|verdict| verdict["status"] == "accepted"));
    let text = b"From: a@b.c\r\nBcc: y@them.example\r\n\r\nHello.\r\n";
    let reply = smtp(&sidecar, "a@b.c", &["x@them.example", "y@them.example"], text).await;
    assert!(reply.starts_with("250"), "{reply}");
    let held = provider.ledger.held();
    assert!(held.len() == 2 && held.iter().all(|held| held.recipients == ["staging@us.example"]));
    let original = |held: &Content| -> Vec<String> {
        fields(held).into_iter().filter_map(|line| line.strip_prefix("X-Original-To: ").map(str::to_owned)).collect()
    };
    assert_eq!(original(&held[0]), emails);
    assert_eq!(original(&held[1]), ["x@them.example", "y@them.example"]);
    assert!(fields(&held[0]).contains(&"X-MC-Tags: t".to_owned()));
    for held in held {
        let text = String::from_utf8(held.bytes).unwrap();
        assert!(!text.contains("Bcc") && !text.contains("X-SMTPAPI"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_staging_mailbox_that_refuses_refuses_for_all() {
    let script = Script::new().always_recipient("staging@us.example", Action::reply(550, "5.1.1 No such user"));
    let provider = Provider::start(script);
    let sidecar = through(&provider, &[("REDIRECT_TO", "staging@us.example")]);
    let mut message = letter("one@them.example");
    message["cc"] = json!("two@them.example");
    let answer = sidecar.send(&message).await;
    assert_eq!((answer.status, answer.text("code")), (422, "upstream_rejected"), "{answer:?}");
    let statuses: Vec<_> = (0..2).map(|n| answer.body["recipients"][n]["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["rejected", "rejected"]);
    // Nor does a JSON body hide anything from a rule behind more header than is looked at.
    message["headers"] = json!({"X-A": vec!["words ".repeat(10_000); 6], "X-SMTPAPI": "{}"});
    let answer = sidecar.send(&message).await;
    assert_eq!((answer.status, answer.text("code")), (413, "header_too_large"), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_back_is_not_sent_again() {
    let provider = Provider::start(Script::new());
    let sidecar = through(&provider, &[("FROM", "shop@us.example")]);
    let reply = smtp(&sidecar, "a@b.c", &["t@them.example"], b"From: a@b.c\r\n\r\nHello.\r\n").await;
    assert!(reply.starts_with("250"), "{reply}");
    let sent = provider.ledger.only().bytes;
    // A replica with the same settings knows it too; another customer of the provider has another sender.
    let replica = through(&provider, &[("FROM", "shop@us.example")]);
    let stranger = through(&provider, &[("FROM", "shop@other.example")]);
    for sidecar in [&sidecar, &replica] {
        let reply = smtp(sidecar, "a@b.c", &["t@them.example"], &sent).await;
        assert!(reply.starts_with("554 5.4.6"), "{reply}");
        let answer = raw(sidecar, "from=a@b.c&to=t@them.example", &sent).await;
        assert_eq!((answer.status, answer.text("code")), (422, "mail_loop"), "{answer:?}");
    }
    let reply = smtp(&stranger, "a@b.c", &["t@them.example"], &sent).await;
    assert!(reply.starts_with("250"), "{reply}");
    let far = [&b"Received: from x by y\r\n".repeat(100)[..], b"\r\nHello.\r\n"].concat();
    let reply = smtp(&stranger, "a@b.c", &["t@them.example"], &far).await;
    assert!(reply.starts_with("554 5.4.6"), "{reply}");
    assert_eq!(provider.ledger.held().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blind_recipient_behind_a_long_header_is_never_shown() {
    let provider = Provider::start(Script::new());
    let sidecar = through(&provider, &[]);
    let padding = "X-Padding: 0123456789012345678901234567890123456789\r\n";
    let text = |lines| format!("From: a@b.c\r\n{}Bcc: blind@them.example\r\n\r\nHello.\r\n", padding.repeat(lines));
    let reply = smtp(&sidecar, "a@b.c", &["t@them.example"], text(6_000).as_bytes()).await;
    assert!(reply.starts_with("552 5.3.4"), "{reply}");
    let answer = raw(&sidecar, "from=a@b.c&to=t@them.example", text(6_000).as_bytes()).await;
    assert_eq!((answer.status, answer.text("code")), (413, "header_too_large"), "{answer:?}");
    let reply = smtp(&sidecar, "a@b.c", &["t@them.example"], text(4_000).as_bytes()).await;
    assert!(reply.starts_with("250"), "{reply}");
    assert!(!String::from_utf8(provider.ledger.only().bytes).unwrap().contains("blind"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ready_made_message_without_a_from_gets_the_default() {
    let provider = Provider::start(Script::new());
    let sidecar = through(&provider, &[("FROM", "shop@us.example")]);
    let answer = raw(&sidecar, "to=t@them.example", b"Subject: s\r\n\r\nHello.\r\n").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let reply = smtp(&sidecar, "", &["t@them.example"], b"Subject: bounce\r\n\r\nHello.\r\n").await;
    assert!(reply.starts_with("250"), "{reply}");
    let held = provider.ledger.held();
    assert_eq!([held[0].sender.as_str(), held[1].sender.as_str()], ["shop@us.example", ""]);
    assert!(held.iter().all(|held| fields(held).contains(&"From: <shop@us.example>".to_owned())), "{held:?}");
}
