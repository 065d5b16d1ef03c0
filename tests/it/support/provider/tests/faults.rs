//! Each fault does on the wire what its name says.

use std::io::ErrorKind;
use std::time::Instant;

use super::*;

const GREETING: &str = "220 provider.test ESMTP ready\r\n";

#[tokio::test]
async fn every_step_can_answer_otherwise() {
    let steps = [
        (Step::Ehlo, "EHLO c"),
        (Step::Helo, "HELO c"),
        (Step::Mail, "MAIL FROM:<a@sender.test>"),
        (Step::Rset, "RSET"),
        (Step::Noop, "NOOP"),
        (Step::Rcpt, "RCPT TO:<b@recipient.test>"),
        (Step::Data, "DATA"),
        (Step::Chunk, "BDAT 0"),
    ];
    for (step, line) in steps {
        let (_provider, mut client) = meet(Script::new()).await;
        let no = Action::lines(451, &["4.3.0 Not", "4.3.0 now"]);
        let needs_envelope = matches!(step, Step::Data | Step::Chunk);
        _provider.change(Script::new().on(step, no));
        if needs_envelope {
            client.send(ENVELOPE).await;
            client.expect("250").await;
            client.expect("250").await;
        }
        assert_eq!(client.ask(line, "451").await, "451-4.3.0 Not\r\n451 4.3.0 now\r\n", "{step:?}");
    }
}

#[tokio::test]
async fn refusals_wait_in_line() {
    let busy = Action::reply(451, "4.3.0 Busy");
    let (provider, mut client) = meet(Script::new().times(2, Step::Final, &busy)).await;
    for code in ["451", "451", "250"] {
        assert!(client.mail("1@sender.test").await.starts_with(code));
    }
    assert_eq!((provider.ledger.counts().refused, provider.ledger.counts().held), (2, 1));
}

#[tokio::test]
async fn recipients_have_fates_of_their_own() {
    let script = Script::new()
        .always_recipient("gone@recipient.test", Action::reply(550, "5.1.1 No such user"))
        .on_recipient("grey@recipient.test", Action::reply(450, "4.2.0 Greylisted"));
    let (provider, mut client) = meet(script).await;
    let recipients = ["gone", "grey", "b", "gone", "grey"];
    client.ask("MAIL FROM:<a@sender.test>", "250").await;
    for (name, code) in recipients.into_iter().zip(["550", "450", "250", "550", "250"]) {
        client.ask(&format!("RCPT TO:<{name}@recipient.test>"), code).await;
    }
    client.ask("BDAT 0 LAST", "250").await;
    assert_eq!(provider.ledger.only().recipients, ["b@recipient.test", "grey@recipient.test"]);
}

#[tokio::test]
async fn banners() {
    let greeted = |action| Script::new().on(Step::Greeting, action);
    let text = |(bytes, error): (Vec<u8>, _)| (String::from_utf8_lossy(&bytes).into_owned(), error);
    assert_eq!(heard(greeted(Action::close()), "").await, (vec![], None));
    assert_eq!(heard(greeted(Action::reset()), "").await, (vec![], Some(ErrorKind::ConnectionReset)));
    assert_eq!(text(heard(greeted(Action::goodbye()), "").await), ("421 4.3.2 Service shutting down\r\n".into(), None));
    assert!(heard(greeted(Action::http()), "").await.0.starts_with(b"HTTP/1.1 400 "));
    assert_eq!(heard(greeted(Action::tls_alert()), "").await.0[..2], [0x15, 3]);
    assert!(heard(greeted(Action::garbage().then_close()), "").await.0.contains(&0));
    assert_eq!(heard(greeted(Action::overlong(220, 5000).then_close()), "").await.0.len(), 5000);
    let half = heard(greeted(Action::raw("220 provi").then_reset()), "").await;
    assert_eq!(half, (b"220 provi".to_vec(), Some(ErrorKind::ConnectionReset)));
}

#[tokio::test]
async fn lines_without_end() {
    let provider = Provider::start(Script::new().on(Step::Greeting, Action::endless("220-and more\r\n")));
    let mut client = Client::connect(provider.addr).await;
    let mut read = 0;
    while read < 1 << 22 {
        read += client.piece().await.unwrap().len();
    }
    drop(client);
    assert!(provider.ledger.wait_until(SOON, |counts| counts.open == 0).await);
}

#[tokio::test]
async fn wrong_codes_have_no_effect() {
    let script =
        Script::new().on(Step::Mail, Action::raw("2x0 ok\r\n")).on(Step::Mail, Action::raw("250-a\r\n550 b\r\n"));
    let (_provider, mut client) = meet(script).await;
    for reply in ["2x0 ok\r\n", "250-a\r\n550 b\r\n"] {
        assert_eq!(client.ask("MAIL FROM:<a@sender.test>", "2").await, reply);
        client.ask("RCPT TO:<b@recipient.test>", "503").await;
    }
}

#[tokio::test]
async fn waiting_and_trickling() {
    let pause = Duration::from_millis(5);
    let script =
        Script::new().on(Step::Noop, Action::good().after(MOMENT)).on(Step::Noop, Action::good().trickled(pause));
    let (_provider, mut client) = meet(script).await;
    let began = Instant::now();
    client.send("RSET\r\nNOOP\r\n").await;
    client.expect("250").await;
    assert!(began.elapsed() < MOMENT, "what was due before is not held back");
    client.expect("250").await;
    assert!(began.elapsed() >= MOMENT);
    client.send("NOOP\r\n").await;
    assert_eq!(client.piece().await.unwrap(), b"2");
    assert_eq!(client.piece().await.unwrap(), b"5");
    client.expect("0 2.0.0 Ok").await;
}

#[tokio::test]
async fn replies_in_any_pieces() {
    let script = Script::new().paced(Pace::pieces(&[3, 30], Duration::from_millis(5)));
    let provider = Provider::start(script);
    let mut client = Client::connect(provider.addr).await;
    assert_eq!(client.piece().await.unwrap(), &GREETING.as_bytes()[..3]);
    assert_eq!(client.piece().await.unwrap(), &GREETING.as_bytes()[3..]);
    client.send("NOOP\r\nNOOP\r\n").await;
    assert_eq!(client.piece().await.unwrap(), b"250");
    client.expect(" 2.0.0 Ok").await;
    client.expect("250").await;
    let (provider, mut client) = meet(Script::new().replies_apart().latency(Duration::ZERO, MOMENT)).await;
    client.send("NOOP\r\nNOOP\r\n").await;
    assert_eq!(client.piece().await.unwrap(), b"250 2.0.0 Ok\r\n");
    assert_eq!(client.piece().await.unwrap(), b"250 2.0.0 Ok\r\n");
    assert_eq!(provider.ledger.counts().noops, 2);
}

#[tokio::test]
async fn a_reply_that_never_comes_shifts_the_others() {
    let (_provider, mut client) = meet(Script::new().on(Step::Mail, Action::silence().taken())).await;
    client.send(ENVELOPE).await;
    client.expect("250 2.1.5").await;
}

#[tokio::test]
async fn stalls_end_when_the_client_goes() {
    let (provider, mut client) = meet(Script::new().on(Step::Mail, Action::stall())).await;
    client.send(ENVELOPE).await;
    assert!(client.hears_nothing(MOMENT).await);
    drop(client);
    assert!(provider.ledger.wait_until(SOON, |counts| counts.open == 0).await);
}

#[tokio::test]
async fn what_is_taken_is_held_though_the_answer_is_lost() {
    let lost = [Action::close(), Action::reset(), Action::raw("250 2.0").then_close(), Action::garbage().then_close()];
    for action in lost {
        for taken in [true, false] {
            let action = if taken { action.clone().taken() } else { action.clone() };
            let (provider, mut client) = meet(Script::new().on(Step::Final, action)).await;
            client.send(format!("{ENVELOPE}BDAT 0 LAST\r\n")).await;
            client.expect("250").await;
            client.expect("250").await;
            let (pieces, _) = client.pieces().await;
            assert!(!pieces.concat().starts_with(b"250 2.0.0"));
            assert_eq!(provider.ledger.held().len(), usize::from(taken));
        }
    }
}

#[tokio::test]
async fn a_last_word_before_the_end() {
    let (provider, mut client) = meet(Script::new().on(Step::Final, Action::good().then_close())).await;
    assert!(client.mail("1@sender.test").await.starts_with("250"));
    assert_eq!(client.pieces().await, (vec![], None));
    assert_eq!(provider.ledger.held().len(), 1);
    let (_provider, mut client) = meet(Script::new().on(Step::Quit, Action::stall())).await;
    client.send("QUIT\r\n").await;
    assert!(client.hears_nothing(MOMENT).await);
}

#[tokio::test]
async fn an_answer_in_the_middle_of_the_content() {
    let full = Action::reply(552, "5.3.4 Too big");
    for (action, closes) in [(full.clone().then_close(), true), (full, false)] {
        let (provider, mut client) = meet(Script::new().content_mark(10).on(Step::Content, action)).await;
        client.send(format!("{ENVELOPE}DATA\r\n")).await;
        for code in ["250", "250", "354"] {
            client.expect(code).await;
        }
        client.send("0123456789").await;
        client.expect("552").await;
        if closes {
            assert_eq!(client.pieces().await, (vec![], None));
            assert!(provider.ledger.wait_until(SOON, |counts| counts.incomplete == 1).await);
        } else {
            client.send("more\r\n.\r\nNOOP\r\n").await;
            client.expect("250 2.0.0 Ok\r\n").await;
            assert_eq!(provider.ledger.counts().refused, 1);
        }
        assert_eq!(provider.ledger.counts().held, 0);
    }
}

#[tokio::test]
async fn the_mark_is_found_in_a_chunk_too() {
    let (provider, mut client) = meet(Script::new().content_mark(3).on(Step::Content, Action::reset())).await;
    client.send(format!("{ENVELOPE}BDAT 6 LAST\r\n012345")).await;
    assert_eq!(client.pieces().await.1, Some(ErrorKind::ConnectionReset));
    assert!(provider.ledger.wait_until(SOON, |counts| counts.incomplete == 1).await);
    assert_eq!(provider.ledger.incomplete()[0].bytes, b"012");
}

#[tokio::test]
async fn the_window_closes() {
    let script = Script::new().receive_buffer(4096).on(Step::Content, Action::freeze());
    let (_provider, mut client) = meet(script).await;
    client.send(format!("{ENVELOPE}DATA\r\n")).await;
    let content = vec![b'x'; 16 << 20];
    let write = tokio::io::AsyncWriteExt::write_all(&mut client.stream, &content);
    assert!(tokio::time::timeout(MOMENT * 4, write).await.is_err());
}

#[tokio::test]
async fn content_for_nobody() {
    let refused = || Script::new().always(Step::Mail, Action::reply(550, "5.7.1 Not you"));
    let pipelined = format!("{ENVELOPE}DATA\r\n");

    let (_provider, mut client) = meet(refused()).await;
    client.send(&pipelined).await;
    for code in ["550", "503", "503"] {
        client.expect(code).await;
    }

    let (provider, mut client) = meet(refused().without_recipients(WithoutRecipients::TakeContent)).await;
    client.send(&pipelined).await;
    for code in ["550", "503", "354"] {
        client.expect(code).await;
    }
    client.ask(".", "554").await;
    assert_eq!((provider.ledger.counts().held, provider.ledger.counts().refused), (0, 1));

    let nobody = Script::new().always(Step::Rcpt, Action::reply(550, "5.1.1 No such user"));
    let (_provider, mut client) = meet(nobody).await;
    client.send(&pipelined).await;
    for code in ["250", "550", "554"] {
        client.expect(code).await;
    }
}

#[tokio::test]
async fn chunks_for_nobody() {
    let refused = || Script::new().always(Step::Mail, Action::reply(550, "5.7.1 Not you"));
    let pipelined = format!("{ENVELOPE}BDAT 6 LAST\r\nRSET\r\n");

    let (provider, mut client) = meet(refused()).await;
    client.send(&pipelined).await;
    for code in ["550", "503", "503"] {
        client.expect(code).await;
    }
    client.ask("NOOP", "250").await;
    assert_eq!(provider.ledger.counts().rsets, 0);

    let (provider, mut client) = meet(refused().without_recipients(WithoutRecipients::LeaveChunk)).await;
    client.send(&pipelined).await;
    for code in ["550", "503", "503", "250"] {
        client.expect(code).await;
    }
    assert_eq!(provider.ledger.counts().rsets, 1, "the content was read as a command");
}

#[tokio::test]
async fn a_chunk_refused_half_way() {
    let (provider, mut client) = meet(Script::new().on(Step::Chunk, Action::reply(552, "5.2.2 Full"))).await;
    client.send(format!("{ENVELOPE}BDAT 2\r\nabBDAT 2 LAST\r\ncd")).await;
    for code in ["250", "250", "552", "503"] {
        client.expect(code).await;
    }
    assert_eq!((provider.ledger.counts().held, provider.ledger.counts().incomplete), (0, 1));
    assert!(client.mail("1@sender.test").await.starts_with("250"));
}

#[tokio::test]
async fn talking_before_the_greeting_is_noted() {
    let provider = Provider::start(Script::new().on(Step::Greeting, Action::good().after(MOMENT)));
    let mut client = Client::connect(provider.addr).await;
    client.send("EHLO c\r\n").await;
    client.expect("220").await;
    client.expect("250").await;
    assert_eq!(provider.ledger.counts().talked_early, 1);
}

#[tokio::test]
async fn nobody_there() {
    let provider = Provider::start(Script::refusing_connections());
    let error = tokio::net::TcpStream::connect(provider.addr).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    let provider = Provider::start(Script::dropping_packets());
    let connect = tokio::net::TcpStream::connect(provider.addr);
    assert!(tokio::time::timeout(MOMENT * 4, connect).await.is_err());
}
