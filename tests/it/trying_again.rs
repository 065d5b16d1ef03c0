//! When a send is tried again, and when it is not.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::lines::Lines;
use crate::support::provider::{Action, Provider, Script, Step};
use crate::support::sidecar::{Sidecar, letter};

fn through(provider: &Provider, more: &[(&str, &str)]) -> Sidecar {
    let port = provider.addr.port().to_string();
    let base = [
        ("PROVIDER", "smtp"),
        ("HOST", "127.0.0.1"),
        ("PORT", port.as_str()),
        ("TLS", "none"),
        ("RETRY_FIRST", "20ms"),
        ("SEND_TIMEOUT", "3s"),
    ];
    Sidecar::start(&[&base[..], more].concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn four_five_one_twice_is_three_attempts_and_one_delivery() {
    for step in [Step::Mail, Step::Rcpt, Step::Data, Step::Final] {
        for extensions in [&["PIPELINING"][..], &[]] {
            let script = Script::new().extensions(extensions).times(2, step, &Action::reply(451, "4.3.0 Not now"));
            let provider = Provider::start(script);
            let sidecar = through(&provider, &[]);
            let answer = sidecar.send(&letter("to@example.org")).await;
            assert_eq!((answer.status, &answer.body["attempts"]), (200, &json!(3)), "{step:?}: {answer:?}");
            assert_eq!(provider.ledger.held().len(), 1, "{step:?}");
            let path = answer.text("path");
            let attempts = |class: &str| format!("sidepost_attempts_total{{class=\"{class}\",path=\"{path}\"}}");
            assert_eq!(sidecar.count(&attempts("transient")).await, 2);
            assert_eq!(sidecar.count(&attempts("taken")).await, 1);
            assert_eq!(sidecar.count("sidepost_retries_total").await, 2);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn five_five_zero_is_one_attempt() {
    for (step, code) in [(Step::Rcpt, "upstream_rejected"), (Step::Final, "upstream_rejected")] {
        let provider = Provider::start(Script::new().always(step, Action::reply(550, "5.1.1 No")));
        let sidecar = through(&provider, &[]);
        let answer = sidecar.send(&letter("to@example.org")).await;
        assert_eq!((answer.status, answer.text("code")), (422, code), "{answer:?}");
        assert_eq!(provider.ledger.counts().mails, 1);
        let reply =
            Lines::connect(sidecar.smtp).await.send("s@example.com", &["to@example.org"], b"S: x\r\n\r\n").await;
        assert!(reply.starts_with("554"), "{reply}");
        assert_eq!(provider.ledger.counts().mails, 2);
        assert!(provider.ledger.held().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_cut_after_the_dot_is_one_attempt_and_an_unknown_outcome() {
    for extensions in [&["PIPELINING"][..], &["PIPELINING", "CHUNKING"], &[]] {
        let script = Script::new().extensions(extensions).always(Step::Final, Action::close().taken());
        let provider = Provider::start(script);
        let sidecar = through(&provider, &[]);
        let answer = sidecar.send(&letter("to@example.org")).await;
        assert_eq!((answer.status, answer.text("code")), (504, "outcome_unknown"), "{answer:?}");
        assert_eq!(answer.body["possible_duplicate"], json!(true));
        assert_eq!(answer.body["retryable"], json!(false));
        let reply =
            Lines::connect(sidecar.smtp).await.send("s@example.com", &["to@example.org"], b"S: x\r\n\r\n").await;
        assert!(reply.starts_with("451 4.4.2") || reply.starts_with("451-4.4.2"), "{reply}");
        assert_eq!(provider.ledger.counts().mails, 2, "one attempt each");
        assert_eq!(provider.ledger.held().len(), 2, "the provider has them");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn resend_prefers_a_second_copy_to_a_loss() {
    let script = Script::new().on(Step::Final, Action::close().taken());
    let provider = Provider::start(script);
    let sidecar = through(&provider, &[("UNCONFIRMED", "resend")]);
    let answer = sidecar.send(&letter("to@example.org")).await;
    assert_eq!((answer.status, &answer.body["attempts"]), (200, &json!(2)), "{answer:?}");
    let held = provider.ledger.held();
    assert_eq!(held.len(), 2);
    assert!(held[0].bytes == held[1].bytes, "Message-ID and Date are the same, so that receivers can tell");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_was_put_off_is_tried_again() {
    let script = Script::new()
        .always_recipient("gone@example.org", Action::reply(550, "5.1.1 No such user"))
        .on_recipient("later@example.org", Action::reply(450, "4.2.0 Greylisted"));
    let provider = Provider::start(script);
    let sidecar = through(&provider, &[]);
    let mut message = letter("now@example.org");
    message["cc"] = json!(["gone@example.org", "later@example.org"]);
    let answer = sidecar.send(&message).await;
    assert_eq!((answer.status, answer.text("status")), (200, "partial"), "{answer:?}");
    let statuses: Vec<_> = (0..3).map(|n| answer.body["recipients"][n]["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["accepted", "rejected", "accepted"]);
    let to: Vec<_> = provider.ledger.held().iter().map(|held| held.recipients.clone()).collect();
    assert_eq!(to, [vec!["now@example.org"], vec!["later@example.org"]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_or_nothing_holds_over_attempts() {
    // The first recipient is refused for good, and the connection ends before the second is answered.
    let script = Script::new()
        .extensions(&[])
        .on_recipient("gone@example.org", Action::reply(550, "5.1.1 No such user").then_close());
    let provider = Provider::start(script);
    let sidecar = through(&provider, &[]);
    let to = &["gone@example.org", "here@example.org"];
    let reply = Lines::connect(sidecar.smtp).await.send("s@example.com", to, b"S: x\r\n\r\n").await;
    assert!(reply.starts_with("554 5.1.1"), "{reply}");
    assert!(provider.ledger.held().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_warm_connection_is_replaced_unnoticed() {
    let provider = Provider::start(Script::new().extensions(&["PIPELINING"]).messages_per_connection(1));
    let sidecar = through(&provider, &[]);
    for _ in 0..5 {
        let answer = sidecar.send(&letter("to@example.org")).await;
        assert_eq!((answer.status, &answer.body["attempts"]), (200, &json!(1)), "{answer:?}");
    }
    assert_eq!(provider.ledger.held().len(), 5);
    let provider = Provider::start(Script::new().idle(Duration::from_millis(50), Action::close()));
    let sidecar = through(&provider, &[]);
    for _ in 0..3 {
        let answer = sidecar.send(&letter("to@example.org")).await;
        assert_eq!((answer.status, &answer.body["attempts"]), (200, &json!(1)), "{answer:?}");
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    assert_eq!(provider.ledger.counts().noops, 0, "none is asked whether it lives");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_are_closing_count_as_connections() {
    let script = Script::new().always(Step::Quit, Action::good().after(Duration::from_millis(100)));
    let provider = Provider::start(script);
    let sidecar = through(&provider, &[("CONNECTIONS", "2"), ("CONNECTION_MESSAGES", "1"), ("SEND_TIMEOUT", "30s")]);
    let http = sidecar.http;
    let send = |_| tokio::spawn(async move { crate::support::sidecar::send(http, &letter("to@example.org")).await });
    for send in (0..12).map(send).collect::<Vec<_>>() {
        assert_eq!(send.await.unwrap().status, 200);
    }
    // The provider may see the next one a moment before it has seen the end of the last one.
    let most = provider.ledger.counts().most_open;
    assert!(most <= 3, "{most} at once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_warm_send_costs_one_flight_with_chunking_and_two_with_pipelining() {
    for (extensions, flights) in [
        (&["PIPELINING", "CHUNKING"][..], &[&["MAIL", "RCPT", "BDAT"][..]][..]),
        (&["PIPELINING"], &[&["MAIL", "RCPT", "DATA"]]),
        (&[], &[&["MAIL"], &["RCPT"], &["DATA"]]),
    ] {
        let provider = Provider::start(Script::new().extensions(extensions));
        let sidecar = through(&provider, &[]);
        for _ in 0..2 {
            assert_eq!(sidecar.send(&letter("to@example.org")).await.status, 200);
        }
        let seen = provider.ledger.flights(0);
        assert_eq!(provider.ledger.counts().connections, 1);
        assert_eq!(seen[0], ["EHLO"]);
        let expected: Vec<_> = flights.iter().chain(flights).map(|flight| flight.to_vec()).collect();
        assert_eq!(&seen[1..], expected, "{extensions:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_can_be_opened_before_the_first_message() {
    let provider = Provider::start(Script::new().idle(Duration::from_secs(1), Action::close()));
    let sidecar = through(&provider, &[("CONNECTIONS_WARM", "2")]);
    assert!(provider.ledger.wait_until(Duration::from_secs(5), |counts| counts.hellos == 2).await);
    assert_eq!(sidecar.send(&letter("to@example.org")).await.status, 200);
    assert_eq!(provider.ledger.counts().connections, 2, "the message took one that was there");
    assert!(provider.ledger.wait_until(Duration::from_secs(5), |counts| counts.open == 0).await);
    let answer = sidecar.send(&letter("to@example.org")).await;
    assert_eq!(
        (answer.status, &answer.body["attempts"]),
        (200, &json!(1)),
        "one that died unused is replaced: {answer:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_opened_early_waits_its_turn_and_counts() {
    let script = Script::new().always(Step::Greeting, Action::good().after(Duration::from_secs(1)));
    let provider = Provider::start(script);
    let sidecar = through(&provider, &[("CONNECTIONS", "1"), ("CONNECTIONS_WARM", "1"), ("SEND_TIMEOUT", "10s")]);
    assert!(provider.ledger.wait_until(Duration::from_secs(5), |counts| counts.connections == 1).await);
    let open = "sidepost_connections{side=\"provider\"}";
    assert_eq!(sidecar.count(open).await, 1, "one that is being opened is one of those that the provider sees");
    assert_eq!(sidecar.send(&letter("to@example.org")).await.status, 200);
    assert_eq!(provider.ledger.counts().connections, 1, "the message waited for the one that was being opened");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_warm_up_does_not_add_to_what_messages_have_opened() {
    let script = Script::new().always(Step::Ehlo, Action::good().after(Duration::from_millis(300)));
    let provider = Provider::start(script);
    let sidecar = through(&provider, &[("CONNECTIONS", "2"), ("CONNECTIONS_WARM", "2"), ("SEND_TIMEOUT", "20s")]);
    let http = sidecar.http;
    let send = || tokio::spawn(async move { crate::support::sidecar::send(http, &letter("to@example.org")).await });
    let sends: Vec<_> = (0..30).map(|_| send()).collect();
    for send in sends {
        assert_eq!(send.await.unwrap().status, 200);
    }
    assert_eq!(provider.ledger.counts().most_open, 2, "never more than there may be");
}

#[tokio::test(flavor = "multi_thread")]
async fn logins_are_few_at_a_time() {
    let script = Script::new().always(Step::Ehlo, Action::good().after(Duration::from_millis(700)));
    let provider = Provider::start(script);
    let sidecar = through(&provider, &[("CONNECTIONS", "20"), ("SEND_TIMEOUT", "20s")]);
    let http = sidecar.http;
    let send = || tokio::spawn(async move { crate::support::sidecar::send(http, &letter("to@example.org")).await });
    let sends: Vec<_> = (0..20).map(|_| send()).collect();
    assert!(provider.ledger.wait_until(Duration::from_secs(5), |counts| counts.connections == 4).await);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(provider.ledger.counts().connections, 4, "the others wait for their turn");
    for send in sends {
        assert_eq!(send.await.unwrap().status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn large_messages_do_not_starve_small_ones() {
    let script = Script::new().on_recipient("large@example.org", Action::good()).reads_slowly(600_000);
    let provider = Provider::start(script);
    let sidecar = through(&provider, &[("CONNECTIONS", "4"), ("SEND_TIMEOUT", "60s"), ("ANSWER_TIMEOUT", "60s")]);
    let mut large = letter("large@example.org");
    large["text"] = "a line of text that makes it large\n".repeat(60_000).into();
    let http = sidecar.http;
    let send =
        |message: serde_json::Value| tokio::spawn(async move { crate::support::sidecar::send(http, &message).await });
    let larges: Vec<_> = (0..8).map(|_| send(large.clone())).collect();
    assert!(provider.ledger.wait_until(Duration::from_secs(10), |counts| counts.rcpts >= 3).await);
    let small = send(letter("to@example.org"));
    assert_eq!(small.await.unwrap().status, 200);
    assert!(larges.iter().filter(|large| !large.is_finished()).count() >= 5, "it passed the large ones by");
    for large in larges {
        assert_eq!(large.await.unwrap().status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_envelope_outlives_a_message_that_was_never_offered() {
    let script = Script::new()
        .extensions(&["PIPELINING", "SIZE 2000"])
        .always_recipient("gone@example.org", Action::reply(550, "5.1.1 No"));
    let provider = Provider::start(script);
    let sidecar = through(&provider, &[]);
    assert_eq!(sidecar.send(&letter("gone@example.org")).await.status, 422);
    let mut large = letter("to@example.org");
    large["text"] = "more than the provider takes\n".repeat(200).into();
    assert_eq!(sidecar.send(&large).await.status, 422);
    assert_eq!(sidecar.send(&letter("to@example.org")).await.status, 200);
    let lines = provider.ledger.lines(0);
    let mails: Vec<_> = lines.iter().filter(|line| line.starts_with("MAIL") || line.starts_with("RSET")).collect();
    assert!(
        matches!(&mails[..], [first, reset, second] if first.starts_with("MAIL") && reset.starts_with("RSET") && second.starts_with("MAIL")),
        "{lines:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn overload_is_answered_at_once() {
    let provider = Provider::start(Script::new().always(Step::Final, Action::good().after(Duration::from_secs(2))));
    let sidecar = through(&provider, &[("MAX_IN_FLIGHT", "2"), ("SEND_TIMEOUT", "10s")]);
    let http = sidecar.http;
    let held: Vec<_> = (0..2)
        .map(|_| tokio::spawn(async move { crate::support::sidecar::send(http, &letter("to@example.org")).await }))
        .collect();
    assert!(provider.ledger.wait_until(Duration::from_secs(5), |counts| counts.rcpts == 2).await);
    let started = Instant::now();
    let answer = sidecar.send(&letter("to@example.org")).await;
    assert_eq!((answer.status, &answer.body["retryable"]), (429, &json!(true)), "{answer:?}");
    let reply = Lines::connect(sidecar.smtp).await.send("s@example.com", &["to@example.org"], b"S: x\r\n\r\n").await;
    assert!(reply.starts_with("451 4.3.2") || reply.starts_with("452 4.3.1"), "{reply}");
    assert!(started.elapsed() < Duration::from_secs(1), "told at once, not after waiting");
    for send in held {
        assert_eq!(send.await.unwrap().status, 200);
    }
    assert_eq!(sidecar.count("sidepost_in_flight_messages").await, 0);
    assert_eq!(sidecar.count("sidepost_in_flight_bytes").await, 0);
}
