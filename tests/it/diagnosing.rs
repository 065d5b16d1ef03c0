//! What is said to be broken, and what is not: the whole application against a provider that breaks, with other hosts to
//! compare with. All on loopback, where 127.0.0.2 and 127.0.0.3 play the rest of the world.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::Value;
use sidepost::provider::{Path, Server, Tls};

use crate::support::certificates::{Certificate, Certificates};
use crate::support::lines::Lines;
use crate::support::provider::{Action, Ledger, PASSWORD, Provider, Script, Step, USER};
use crate::support::sidecar::{Sidecar, get, letter};

/// Everything is known so long after the start.
const START: Duration = Duration::from_secs(10);
/// A machine with much else to do may take longer to see what must come in the end.
const PATIENCE: Duration = Duration::from_secs(40);

const BASE: [(&str, &str); 6] = [
    ("PROVIDER", "smtp"),
    ("HOST", "127.0.0.1"),
    ("PORT", "1"),
    ("TLS", "none"),
    ("PROBE_INTERVAL", "1s"),
    ("RETRY_MAX", "1s"),
];

/// A sidecar with a ladder of these ports, plain, and with these settings.
fn sidecar(ports: &[u16], tls: Tls, host: &str, more: &[(&str, &str)]) -> Sidecar {
    Sidecar::start_changed(&[&BASE[..], more].concat(), |config| {
        let path = |&port: &u16| Path::Smtp(Server { host: host.into(), port, tls });
        config.provider.paths = ports.iter().map(path).collect();
    })
}

fn plain(ports: &[u16], more: &[(&str, &str)]) -> Sidecar {
    sidecar(ports, Tls::None, "127.0.0.1", more)
}

/// Another host, on the same port.
fn elsewhere(number: u8, port: u16, script: Script) -> Provider {
    Provider::start_at(SocketAddr::from(([127, 0, 0, number], port)), script, Ledger::default())
}

async fn health(sidecar: &Sidecar) -> Value {
    serde_json::from_slice(&get(sidecar.admin, "/health").await.body).unwrap()
}

/// Health, once it is as it should be.
async fn health_once(sidecar: &Sidecar, limit: Duration, is_so: impl Fn(&Value) -> bool) -> Value {
    let until = Instant::now() + limit;
    loop {
        let health = health(sidecar).await;
        if is_so(&health) {
            return health;
        }
        assert!(Instant::now() < until, "not within {limit:?}: {health:#}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn cause_at_start(sidecar: &Sidecar, stage: &str, cause: &str) -> Value {
    health_once(sidecar, PATIENCE, |health| health["stage"] == stage && health["cause"] == cause).await
}

async fn metrics(sidecar: &Sidecar) -> String {
    String::from_utf8(get(sidecar.admin, "/metrics").await.body.to_vec()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_chain_is_known_after_one_login_and_asking_us_asks_nobody_else() {
    let provider = Provider::start(Script::new().login(USER, PASSWORD).auth_before_tls());
    let sidecar = plain(&[provider.addr.port()], &[("USERNAME", USER), ("PASSWORD", PASSWORD)]);
    let known = health_once(&sidecar, START, |health| health["checks"]["auth"][0]["state"] == "ok").await;
    assert_eq!((&known["status"], &known["state"]), (&"pass".into(), &"ok".into()), "{known:#}");
    assert_eq!(known["checks"]["tls"][0]["state"], "skipped", "{known:#}");
    assert_eq!(known["checks"]["accepted"][0]["state"], "unknown", "{known:#}");
    assert_eq!(get(sidecar.admin, "/startupz").await.status, 200);
    for _ in 0..30 {
        for path in ["/health", "/readyz", "/startupz", "/livez", "/metrics"] {
            get(sidecar.admin, path).await;
        }
    }
    assert_eq!(sidecar.send(&letter("to@example.org")).await.status, 200);
    let after = health(&sidecar).await;
    assert_eq!(after["checks"]["accepted"][0]["state"], "ok", "{after:#}");
    // One at the start; one more if the idle session was too old for the message.
    assert!(provider.ledger.counts().auths <= 2, "{:?}", provider.ledger.counts());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_sends_during_a_refused_login_are_a_handful_of_logins() {
    let provider = Provider::start(Script::new().login(USER, PASSWORD).auth_before_tls());
    let more = [("USERNAME", USER), ("PASSWORD", "wrong"), ("LOGIN_REST", "60s"), ("MAX_IN_FLIGHT", "1000")];
    let sidecar = plain(&[provider.addr.port()], &more);
    let broken = cause_at_start(&sidecar, "auth", "login_refused").await;
    assert_eq!(broken["status"], "fail");
    let address = sidecar.http;
    let sends: Vec<_> = (0..1000)
        .map(|_| tokio::spawn(async move { crate::support::sidecar::send(address, &letter("to@example.org")).await }))
        .collect();
    for send in sends {
        let answer = send.await.unwrap();
        assert_eq!((answer.status, answer.text("code")), (502, "upstream_auth_failed"), "{answer:?}");
        assert!(answer.text("detail").contains("No login has worked since this process began"), "{answer:?}");
        assert!((1..=60).contains(&answer.body["retry_after"].as_u64().unwrap()), "{answer:?}");
    }
    let logins = provider.ledger.counts().auths;
    assert!(logins <= 5, "{logins} logins");
    let shown = metrics(&sidecar).await;
    assert!(shown.contains("sidepost_circuit_open{provider=\"smtp\"} 1\n"), "{shown}");
    assert!(shown.contains("sidepost_diagnosis_info{stage=\"auth\",cause=\"login_refused\"} 1\n"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_real_send_closes_the_circuit_once_the_login_is_good_again() {
    let provider = Provider::start(Script::new().login(USER, "changed").auth_before_tls());
    let more = [("USERNAME", USER), ("PASSWORD", PASSWORD), ("LOGIN_REST", "1s"), ("PROBE_INTERVAL", "off")];
    let sidecar = plain(&[provider.addr.port()], &more);
    assert_eq!(sidecar.send(&letter("to@example.org")).await.status, 502);
    assert_eq!(sidecar.send(&letter("to@example.org")).await.status, 502);
    assert_eq!(provider.ledger.counts().auths, 1, "the second was answered at once");
    provider.change(Script::new().login(USER, PASSWORD).auth_before_tls());
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(sidecar.send(&letter("to@example.org")).await.status, 200);
    assert_eq!(provider.ledger.counts().auths, 2);
    assert_eq!(health(&sidecar).await["status"], "pass");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_worked_is_told_from_one_that_never_did() {
    let provider = Provider::start(Script::new().login(USER, PASSWORD).auth_before_tls());
    let more = [("USERNAME", USER), ("PASSWORD", PASSWORD), ("CONNECTION_MESSAGES", "1"), ("PROBE_INTERVAL", "off")];
    let sidecar = plain(&[provider.addr.port()], &more);
    assert_eq!(sidecar.send(&letter("to@example.org")).await.status, 200);
    provider.change(Script::new().login(USER, "changed").auth_before_tls());
    let answer = sidecar.send(&letter("to@example.org")).await;
    assert!(answer.text("detail").contains("This login worked until now (last at 20"), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_dropped_for_everybody_is_blocked_and_everybody_hears_the_same() {
    let provider = Provider::start(Script::dropping_packets());
    let port = provider.addr.port();
    let _other = elsewhere(2, port, Script::dropping_packets());
    let world = elsewhere(3, 0, Script::new());
    let hosts = format!("127.0.0.2, 127.0.0.3:{}", world.addr.port());
    let sidecar = plain(&[port], &[("CONTROL_HOSTS", &hosts), ("SEND_TIMEOUT", "2s")]);
    let broken = cause_at_start(&sidecar, "connect", "port_blocked").await;
    assert_eq!(broken["status"], "fail", "{broken:#}");
    let compared = format!("127.0.0.1:{port} does not answer, 127.0.0.2:{port} does not answer, 127.0.0.3:");
    assert!(broken["output"].as_str().unwrap().contains(&compared), "{broken:#}");
    let answer = sidecar.send(&letter("to@example.org")).await;
    assert_eq!(answer.status, 503, "{answer:?}");
    let remedy = broken["remedy"].as_str().unwrap();
    assert!(answer.text("detail").ends_with(remedy), "{answer:?}");
    let reply = Lines::connect(sidecar.smtp).await.send("s@example.com", &["to@example.org"], b"S: x\r\n\r\n").await;
    assert!(reply.starts_with("451") && reply.contains("The network stops this port"), "{reply}");
    let shown = metrics(&sidecar).await;
    assert!(shown.contains("sidepost_diagnosis_info{stage=\"connect\",cause=\"port_blocked\"} 1\n"), "{shown}");
    assert!(shown.contains("sidepost_provider_state{provider=\"smtp\",state=\"failed\"} 1\n"), "{shown}");
    assert_eq!(get(sidecar.admin, "/health?fail=503").await.status, 503);
    // Lifted: healthy again by itself.
    provider.stop().await;
    let _back = elsewhere(1, port, Script::new());
    health_once(&sidecar, PATIENCE, |health| health["status"] == "pass").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_goes_on_along_the_ladder_and_comes_back_to_the_better_path() {
    let blocked = Provider::start(Script::dropping_packets());
    let port = blocked.addr.port();
    let _other = elsewhere(2, port, Script::dropping_packets());
    let open = Provider::start(Script::new());
    let ports = [port, open.addr.port()];
    let sidecar = plain(&ports, &[("CONTROL_HOSTS", "127.0.0.2")]);
    let second = format!("smtp:{} none", open.addr.port());
    let degraded = health_once(&sidecar, PATIENCE, |health| {
        health["path"] == second.as_str() && health["checks"]["path"][0]["cause"] == "port_blocked"
    })
    .await;
    assert_eq!((&degraded["status"], &degraded["state"]), (&"warn".into(), &"degraded".into()), "{degraded:#}");
    let answer = sidecar.send(&letter("to@example.org")).await;
    assert_eq!((answer.status, answer.text("path")), (200, second.as_str()), "{answer:?}");
    let shown = metrics(&sidecar).await;
    assert!(shown.contains(&format!("sidepost_path_up{{path=\"smtp:{port} none\"}} 0\n")), "{shown}");
    assert!(shown.contains(&format!("sidepost_path_up{{path=\"{second}\"}} 1\n")), "{shown}");
    blocked.stop().await;
    let back = elsewhere(1, port, Script::new());
    let first = format!("smtp:{port} none");
    health_once(&sidecar, PATIENCE, |health| health["path"] == first.as_str() && health["status"] == "pass").await;
    assert_eq!(back.ledger.counts().mails, 0, "found out by a probe, not by somebody's mail");
    assert_eq!(sidecar.send(&letter("to@example.org")).await.text("path"), first);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_login_never_moves_us_to_another_path() {
    let refusing = Provider::start(Script::new().login(USER, PASSWORD).auth_before_tls());
    let other = Provider::start(Script::new().login(USER, PASSWORD).auth_before_tls());
    let more = [("USERNAME", USER), ("PASSWORD", "wrong")];
    let sidecar = plain(&[refusing.addr.port(), other.addr.port()], &more);
    let broken = cause_at_start(&sidecar, "auth", "login_refused").await;
    assert_eq!(broken["path"], format!("smtp:{} none", refusing.addr.port()));
    assert_eq!(sidecar.send(&letter("to@example.org")).await.status, 502);
    assert_eq!(other.ledger.counts().auths, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_down_is_no_blocked_port() {
    let provider = Provider::start(Script::refusing_connections());
    let port = provider.addr.port();
    let other = elsewhere(2, port, Script::new());
    let sidecar = plain(&[port], &[("CONTROL_HOSTS", "127.0.0.2"), ("SEND_TIMEOUT", "200ms")]);
    let broken = cause_at_start(&sidecar, "connect", "provider_down").await;
    let compared = other.ledger.counts().connections;
    let looked = |health: &Value| health["checks"]["connect"][0]["time"].clone();
    for _ in 0..10 {
        let answer = sidecar.send(&letter("to@example.org")).await;
        assert!(answer.text("detail").contains("the provider is down"), "{answer:?}");
    }
    health_once(&sidecar, PATIENCE, |health| looked(health) != looked(&broken)).await;
    assert_eq!(other.ledger.counts().connections, compared, "others are left alone while the trouble lasts");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_tells_what_health_tells_where_every_path_fails() {
    let (first, second) =
        (Provider::start(Script::dropping_packets()), Provider::start(Script::refusing_connections()));
    let port = first.addr.port();
    let _other = elsewhere(2, port, Script::dropping_packets());
    let world = elsewhere(3, 0, Script::new());
    let hosts = format!("127.0.0.2, 127.0.0.3:{}", world.addr.port());
    let sidecar = plain(&[port, second.addr.port()], &[("CONTROL_HOSTS", &hosts), ("SEND_TIMEOUT", "5s")]);
    let broken = cause_at_start(&sidecar, "connect", "port_blocked").await;
    let answer = sidecar.send(&letter("to@example.org")).await;
    assert!(answer.text("detail").ends_with(broken["remedy"].as_str().unwrap()), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_hosts_to_compare_with_nothing_is_called_blocked() {
    let provider = Provider::start(Script::refusing_connections());
    let sidecar = plain(&[provider.addr.port()], &[]);
    cause_at_start(&sidecar, "connect", "connection_refused").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn starttls_that_somebody_in_between_strips() {
    let strange = Script::new().always(Step::Greeting, Action::reply(220, "mail.isp.example ESMTP"));
    let provider = Provider::start(strange.clone());
    let port = provider.addr.port();
    let _other = elsewhere(2, port, strange);
    let sidecar = sidecar(&[port], Tls::StartTls, "127.0.0.1", &[("CONTROL_HOSTS", "127.0.0.2")]);
    let broken = cause_at_start(&sidecar, "tls", "port_intercepted").await;
    assert_eq!(broken["checks"]["greeting"][0]["state"], "unknown", "{broken:#}");
    assert_eq!(sidecar.send(&letter("to@example.org")).await.status, 502);
    assert_eq!(provider.ledger.counts().mails, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_that_somebody_in_between_opens() {
    let opened = Script::secure().starttls(Certificate::OtherIssuer);
    let provider = Provider::start(opened.clone());
    let port = provider.addr.port();
    let _other = elsewhere(2, port, opened);
    let authority = Certificates::new().ca_file().display().to_string();
    let more = [("CONTROL_HOSTS", "127.0.0.2"), ("CA_FILE", &authority)];
    let sidecar = sidecar(&[port], Tls::StartTls, "localhost", &more);
    let broken = health_once(&sidecar, PATIENCE, |health| health["stage"] == "tls").await;
    // Both hosts are played by one program, so they greet by one name as well.
    health_once(&sidecar, PATIENCE, |health| health["cause"] == "port_intercepted").await;
    assert_eq!(broken["status"], "fail", "{broken:#}");
    assert_eq!(provider.ledger.counts().mails, 0);
}

/// Mail goes out, or does not, for reasons that pass or are the message's own: nothing may be called broken meanwhile.
async fn nothing_is_broken(name: &str, sidecar: &Sidecar, provider: &Provider, then: Script, status: u16) {
    // The first look leaves its session to the first message; after that every message opens its own.
    health_once(sidecar, PATIENCE, |health| health["state"] == "ok").await;
    let until = Instant::now() + PATIENCE;
    while sidecar.send(&letter("to@example.org")).await.status != 200 {
        assert!(Instant::now() < until, "{name}: it never worked");
    }
    provider.change(then);
    let changed = Instant::now();
    for _ in 0..3 {
        let answer = sidecar.send(&letter("to@example.org")).await;
        assert_eq!(answer.status, status, "{name}: {answer:?}");
        let health = health(sidecar).await;
        // Closed doors are a doubt for four seconds only, and a busy machine is slow.
        if name == "too many connections" && changed.elapsed() > Duration::from_secs(3) {
            return;
        }
        assert_ne!(health["status"], "fail", "{name}: {health:#}");
        let failed = health["checks"].as_object().unwrap().values().flat_map(|list| list.as_array().unwrap());
        assert!(failed.into_iter().all(|check| check["state"] != "failed"), "{name}: {health:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_passes_or_is_the_message_s_own_breaks_nothing() {
    for (name, then, status) in [
        ("greylisting", Script::new().always(Step::Rcpt, Action::reply(450, "4.2.0 Greylisted")), 503),
        ("an unknown recipient", Script::new().always(Step::Rcpt, Action::reply(550, "5.1.1 Unknown")), 422),
        ("refused content", Script::new().always(Step::Final, Action::reply(554, "5.7.1 Spam")), 422),
        ("a restart", Script::new().always(Step::Greeting, Action::reply(421, "4.3.2 Restarting").then_close()), 503),
        ("too many connections", Script::new().always(Step::Greeting, Action::close()), 503),
        ("a slow greeting", Script::new().always(Step::Greeting, Action::good().after(Duration::from_secs(4))), 200),
        ("one refused sender", Script::new().always(Step::Mail, Action::reply(553, "5.7.1 Not yours")), 502),
        ("throttling", Script::new().always(Step::Mail, Action::reply(421, "4.7.0 Too many messages")), 503),
        ("no answer to the content", Script::new().always(Step::Final, Action::close()), 504),
    ] {
        let provider = Provider::start(Script::new());
        let more =
            [("CONNECTION_MESSAGES", "1"), ("SEND_TIMEOUT", "6s"), ("RETRY_MAX", "100ms"), ("CONTROL_HOSTS", "off")];
        let slow = [("SEND_TIMEOUT", "1s")];
        let more = if status == 200 { more.to_vec() } else { [&more[..], &slow].concat() };
        let sidecar = plain(&[provider.addr.port()], &more);
        nothing_is_broken(name, &sidecar, &provider, then, status).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_slow_from_the_start_is_not_called_broken() {
    let slow = Script::new().always(Step::Greeting, Action::good().after(Duration::from_secs(4)));
    let provider = Provider::start(slow);
    let sidecar = plain(&[provider.addr.port()], &[]);
    let until = Instant::now() + PATIENCE;
    loop {
        let health = health(&sidecar).await;
        assert_ne!(health["status"], "fail", "{health:#}");
        if health["state"] == "ok" {
            break;
        }
        assert!(Instant::now() < until, "{health:#}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_follows_the_provider_where_that_is_asked_for() {
    let provider = Provider::start(Script::refusing_connections());
    let port = provider.addr.port();
    let sidecar = plain(&[port], &[("READY_REQUIRES_PROVIDER", "true")]);
    health_once(&sidecar, PATIENCE, |health| health["status"] == "fail").await;
    assert_eq!(get(sidecar.admin, "/readyz").await.status, 503);
    provider.stop().await;
    let _back = elsewhere(1, port, Script::new());
    health_once(&sidecar, PATIENCE, |health| health["status"] == "pass").await;
    assert_eq!(get(sidecar.admin, "/readyz").await.status, 200);
}

/// What each fault of the matrix is: the stage, the cause, and whether it is broken or only in doubt.
#[tokio::test(flavor = "multi_thread")]
async fn each_fault_has_its_stage_and_its_cause() {
    use Tls::{Implicit, StartTls};
    let greeting = |action| Script::secure().always(Step::Greeting, action);
    let login = |action| Script::secure().always(Step::Auth, action);
    let certificate = |which| Script::secure().starttls(which);
    for (name, script, tls, stage, cause, status) in [
        ("refused", Script::refusing_connections(), StartTls, "connect", "connection_refused", "fail"),
        ("dropped", Script::dropping_packets(), StartTls, "connect", "connection_timeout", "fail"),
        ("reset before the greeting", greeting(Action::reset()), StartTls, "greeting", "connection_lost", "fail"),
        ("closed before the greeting", greeting(Action::close()), StartTls, "greeting", "connection_lost", "fail"),
        ("no greeting", greeting(Action::stall()), StartTls, "greeting", "timeout", "warn"),
        ("421", greeting(Action::reply(421, "4.3.2 Restarting")), StartTls, "greeting", "provider_busy", "warn"),
        ("554", greeting(Action::reply(554, "5.3.2 No")), StartTls, "greeting", "greeting_refused", "fail"),
        ("HTTP", greeting(Action::http()), StartTls, "greeting", "protocol", "fail"),
        ("binary", greeting(Action::garbage()), StartTls, "greeting", "protocol", "fail"),
        ("endless", greeting(Action::endless("220-more\r\n")), StartTls, "greeting", "protocol", "fail"),
        ("no STARTTLS", Script::new(), StartTls, "tls", "tls_unavailable", "fail"),
        (
            "STARTTLS 454",
            Script::secure().always(Step::StartTls, Action::reply(454, "4.7.0 Not now")),
            StartTls,
            "tls",
            "tls_unavailable",
            "warn",
        ),
        ("expired", certificate(Certificate::Expired), StartTls, "tls", "certificate_expired", "fail"),
        ("not yet valid", certificate(Certificate::NotYetValid), StartTls, "tls", "certificate_not_yet_valid", "fail"),
        ("wrong name", certificate(Certificate::WrongHost), StartTls, "tls", "certificate_name", "fail"),
        ("unknown issuer", certificate(Certificate::OtherIssuer), StartTls, "tls", "tls_certificate", "fail"),
        ("TLS on a plain port", Script::secure(), Implicit, "tls", "tls_handshake", "fail"),
        (
            "injected bytes",
            Script::secure().inject_after_starttls(crate::support::provider::Injection::Reply),
            StartTls,
            "tls",
            "tls_injection",
            "fail",
        ),
        ("no AUTH", Script::secure().mechanisms(&[]), StartTls, "auth", "auth_unavailable", "fail"),
        ("unknown AUTH", Script::secure().mechanisms(&["CRAM-MD5"]), StartTls, "auth", "auth_unavailable", "fail"),
        ("535", login(Action::reply(535, "5.7.8 No")), StartTls, "auth", "login_refused", "fail"),
        ("454", login(Action::reply(454, "4.7.0 Not now")), StartTls, "auth", "auth_temporary", "warn"),
        (
            "too many",
            login(Action::reply(454, "4.7.0 Too many login attempts")),
            StartTls,
            "auth",
            "too_many_logins",
            "warn",
        ),
        ("silence at the login", login(Action::stall()), StartTls, "auth", "timeout", "warn"),
    ] {
        let provider = Provider::start(script);
        let authority = Certificates::new().ca_file().display().to_string();
        let more = [("USERNAME", USER), ("PASSWORD", PASSWORD), ("CA_FILE", &authority), ("PROBE_INTERVAL", "60s")];
        let sidecar = sidecar(&[provider.addr.port()], tls, "localhost", &more);
        // On a busy machine the first look, which is in a hurry, may see less than the next one.
        let is_so = |health: &Value| health["stage"] == stage && health["cause"] == cause && health["status"] == status;
        eprintln!("{name}");
        let health = health_once(&sidecar, PATIENCE, is_so).await;
        assert!(!health.to_string().contains(PASSWORD), "{name}");
        assert_eq!(provider.ledger.counts().mails, 0, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_restarts_is_in_doubt_and_not_broken() {
    let provider = Provider::start(Script::new());
    let port = provider.addr.port();
    let sidecar = plain(&[port], &[("SEND_TIMEOUT", "500ms")]);
    assert_eq!(sidecar.send(&letter("to@example.org")).await.status, 200);
    provider.stop().await;
    let down = Instant::now();
    let mut lowest = "pass".to_owned();
    // Under load two looks may come late; only what was asked for before is told for certain.
    while down.elapsed() < Duration::from_millis(1500) {
        assert_eq!(sidecar.send(&letter("to@example.org")).await.status, 503);
        let health = health(&sidecar).await;
        if down.elapsed() < Duration::from_secs(3) {
            assert_ne!(health["status"], "fail", "{health:#}");
            lowest = health["status"].as_str().unwrap().to_owned();
        }
    }
    assert_eq!(lowest, "warn");
    let _back = elsewhere(1, port, Script::new());
    health_once(&sidecar, PATIENCE, |health| health["status"] == "pass").await;
    assert_eq!(sidecar.send(&letter("to@example.org")).await.status, 200);
}
