//! Each link of the chain, broken: the answer of the contract, in time, with a sentence that names the link and the
//! remedy, and nothing sent.

use std::time::{Duration, Instant};

use crate::support::certificates::{Certificate, Certificates};
use crate::support::lines::Lines;
use crate::support::provider::{Action, Provider, Script, Step, USER};
use crate::support::sidecar::{Sidecar, letter};

struct Case {
    name: &'static str,
    script: Script,
    settings: &'static [(&'static str, &'static str)],
    status: u16,
    code: &'static str,
    smtp: &'static str,
    /// What the sentence must have: the link, and what to do.
    words: &'static [&'static str],
}

async fn check(case: Case) {
    let Case { name, script, settings, status, code, smtp, words } = case;
    let provider = Provider::start(script);
    let port = provider.addr.port().to_string();
    let ca_file = Certificates::new().ca_file().display().to_string();
    let base = [
        ("PROVIDER", "smtp"),
        ("HOST", "localhost"),
        ("PORT", &port),
        ("CA_FILE", &ca_file),
        ("USERNAME", USER),
        ("PASSWORD", crate::support::provider::PASSWORD),
        ("SEND_TIMEOUT", "2s"),
    ];
    let mut all: Vec<_> =
        base.iter().filter(|(name, _)| !settings.iter().any(|(given, _)| given == name)).copied().collect();
    all.extend(settings);
    let sidecar = Sidecar::start(&all);
    let started = Instant::now();
    let answer = sidecar.send(&letter("to@example.org")).await;
    assert_eq!((answer.status, answer.text("code")), (status, code), "{name}: {answer:?}");
    let detail = answer.text("detail");
    for word in words.iter().chain(&[&*format!("smtp (localhost:{port})")]) {
        assert!(detail.contains(word), "{name}: {word:?} is not in {detail:?}");
    }
    assert!(answer.body["retryable"].as_bool().unwrap(), "{name}: our own trouble is never the message's fault");
    let reply = Lines::connect(sidecar.smtp).await.send("s@example.com", &["to@example.org"], b"S: x\r\n\r\n").await;
    assert!(reply.starts_with(smtp), "{name}: {reply}");
    let sentence = reply.replace("\r\n", " ").replace(&format!("{}-", &smtp[..3]), "");
    assert!(words.iter().any(|word| sentence.contains(word)), "{name}: {reply}");
    assert!(started.elapsed() < Duration::from_secs(6), "{name}: two sends of two seconds each at most");
    assert!(provider.ledger.held().is_empty() && provider.ledger.counts().rcpts == 0, "{name}: nothing was sent");
    let secret = crate::support::provider::PASSWORD;
    assert!(!answer.body.to_string().contains(secret) && !reply.contains(secret), "{name}: no secret");
}

const MISCONFIGURED: &str = "451";

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password() {
    check(Case {
        name: "wrong password",
        script: Script::secure(),
        settings: &[("PASSWORD", "wrong")],
        status: 502,
        code: "upstream_auth_failed",
        smtp: MISCONFIGURED,
        words: &["refused the login", "SIDEPOST_PASSWORD"],
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_that_do_not_hold() {
    let cases = [
        (Certificate::Expired, "has expired", "clock of this machine"),
        (Certificate::NotYetValid, "not valid yet", "clock of this machine"),
        (Certificate::WrongHost, "not for the name localhost", "SIDEPOST_HOST"),
        (Certificate::OtherIssuer, "issuer that is not trusted", "SIDEPOST_CA_FILE"),
        (Certificate::SelfSigned, "certificate", "SIDEPOST_CA_FILE"),
    ];
    for (certificate, words, remedy) in cases {
        for implicit in [false, true] {
            let script = if implicit {
                Script::secure().implicit_tls(certificate)
            } else {
                Script::secure().starttls(certificate)
            };
            check(Case {
                name: words,
                script,
                settings: if implicit { &[("TLS", "implicit")] } else { &[("TLS", "starttls")] },
                status: 502,
                code: "upstream_tls_failed",
                smtp: MISCONFIGURED,
                words: vec![words, remedy].leak(),
            })
            .await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn starttls_that_is_not_offered() {
    check(Case {
        name: "no STARTTLS",
        script: Script::new(),
        settings: &[],
        status: 502,
        code: "upstream_tls_failed",
        smtp: MISCONFIGURED,
        words: &["does not offer STARTTLS", "implicit TLS"],
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_port() {
    check(Case {
        name: "closed port",
        script: Script::refusing_connections(),
        settings: &[],
        status: 503,
        code: "upstream_unreachable",
        smtp: "451",
        words: &["No connection to", "SIDEPOST_PORT"],
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_port() {
    check(Case {
        name: "silent port",
        script: Script::secure().always(Step::Greeting, Action::stall()),
        settings: &[],
        status: 503,
        code: "upstream_unreachable",
        smtp: "451",
        words: &["before its greeting", "SIDEPOST_TLS=implicit"],
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_does_not_exist() {
    let settings = [("PROVIDER", "smtp"), ("HOST", "no-such-host.invalid"), ("PORT", "587"), ("SEND_TIMEOUT", "1s")];
    let sidecar = Sidecar::start(&settings);
    let answer = sidecar.send(&letter("to@example.org")).await;
    assert_eq!((answer.status, answer.text("code")), (503, "upstream_unreachable"), "{answer:?}");
    assert!(answer.text("detail").contains("no-such-host.invalid:587"), "{answer:?}");
}
