//! What a cold send costs, and what a reconnection saves.

use std::time::Duration;

use crate::support::certificates::{Certificate, Certificates};
use crate::support::provider::{Ledger, PASSWORD, Provider, Script, TlsState, USER};
use crate::support::sidecar::{Sidecar, letter};

fn through(provider: &Provider, tls: &str, more: &[(&str, &str)]) -> Sidecar {
    let port = provider.addr.port().to_string();
    let ca_file = Certificates::new().ca_file().display().to_string();
    let base = [
        ("PROVIDER", "smtp"),
        ("HOST", "localhost"),
        ("PORT", port.as_str()),
        ("TLS", tls),
        ("CA_FILE", ca_file.as_str()),
        ("USERNAME", USER),
        ("PASSWORD", PASSWORD),
        ("RETRY_FIRST", "20ms"),
    ];
    Sidecar::start(&[&base[..], more].concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cold_send_says_ehlo_once_under_tls_and_logs_in_with_one_line() {
    let mail: [(&[&str], &[&[&str]]); 2] =
        [(&["PIPELINING", "CHUNKING"], &[&["MAIL", "RCPT", "BDAT"]]), (&["PIPELINING"], &[&["MAIL", "RCPT", "DATA"]])];
    for (extensions, mail) in mail {
        let provider = Provider::start(Script::secure().extensions(extensions));
        let sidecar = through(&provider, "starttls", &[]);
        assert_eq!(sidecar.send(&letter("to@example.org")).await.status, 200);
        let before: [&[&str]; 4] = [&["EHLO"], &["STARTTLS"], &["EHLO"], &["AUTH"]];
        let expected: Vec<_> = before.iter().chain(mail).map(|flight| flight.to_vec()).collect();
        assert_eq!(provider.ledger.flights(0), expected);
        let commands = provider.ledger.commands();
        let under_tls = commands.iter().filter(|command| command.verb() == "EHLO" && command.tls).count();
        assert_eq!(under_tls, 1);
        let auth = commands.iter().find(|command| command.verb() == "AUTH").unwrap();
        assert_eq!(auth.line.split(' ').count(), 3, "AUTH, the mechanism, the initial response");
        assert_eq!(provider.ledger.counts().auth_answers, 0);
        assert_eq!(provider.ledger.counts().connections, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_implicit_tls_a_cold_send_says_ehlo_once_in_all() {
    let script = Script::new().implicit_tls(Certificate::Good).login(USER, PASSWORD);
    let provider = Provider::start(script);
    let sidecar = through(&provider, "implicit", &[]);
    assert_eq!(sidecar.send(&letter("to@example.org")).await.status, 200);
    assert_eq!(provider.ledger.flights(0), [vec!["EHLO"], vec!["AUTH"], vec!["MAIL", "RCPT", "BDAT"]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn reconnections_resume_the_tls_session() {
    for tls12_only in [false, true] {
        let script = Script::secure();
        let provider = Provider::start(if tls12_only { script.tls12_only() } else { script });
        let sidecar = through(&provider, "starttls", &[("CONNECTION_MESSAGES", "1")]);
        for _ in 0..5 {
            assert_eq!(sidecar.send(&letter("to@example.org")).await.status, 200);
        }
        let counts = provider.ledger.counts();
        assert_eq!((counts.handshakes, counts.resumptions), (5, 4), "TLS 1.2 only: {tls12_only}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_forgot_the_session_gets_a_whole_handshake() {
    let ledger = Ledger::default();
    let provider = Provider::start_at(([127, 0, 0, 1], 0).into(), Script::secure(), ledger.clone());
    let sidecar = through(&provider, "starttls", &[("CONNECTION_MESSAGES", "1")]);
    assert_eq!(sidecar.send(&letter("to@example.org")).await.status, 200);
    let addr = provider.addr;
    provider.stop().await;
    let _provider = Provider::start_at(addr, Script::secure(), ledger.clone());
    for _ in 0..2 {
        assert_eq!(sidecar.send(&letter("to@example.org")).await.status, 200);
    }
    assert!(ledger.wait_for(3, Duration::from_secs(5)).await);
    let resumed: Vec<_> = ledger
        .connections()
        .iter()
        .map(|connection| matches!(connection.tls, TlsState::Secured { resumed: true, .. }))
        .collect();
    assert_eq!(resumed, [false, false, true]);
}
