//! SIGTERM: every caller hears the truth, and the exit code is 0.

use std::time::{Duration, Instant};

use crate::support::lines::Lines;
use crate::support::provider::{Action, Provider, Script, Step};
use crate::support::sidecar::{Process, letter, run, send};

fn settings(port: &str) -> Vec<(&'static str, String)> {
    [("PROVIDER", "smtp"), ("HOST", "127.0.0.1"), ("TLS", "none"), ("CONNECTIONS", "60")]
        .map(|(name, value)| (name, value.to_owned()))
        .into_iter()
        .chain([("PORT", port.to_owned())])
        .collect()
}

fn start(provider: &Provider, more: &[(&'static str, &str)]) -> Process {
    let mut settings = settings(&provider.addr.port().to_string());
    settings.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
    let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    Process::start(&settings)
}

/// 50 sends are in flight to a provider that takes a second for its answer; half of them over SMTP.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_flight_finishes_and_everybody_hears_the_truth() {
    let provider = Provider::start(Script::new().commit_delay(Duration::from_secs(1)));
    let mut process = start(&provider, &[]);
    let (http, smtp) = (process.http, process.smtp);
    let callers: Vec<_> = (0..50).map(|n| tokio::spawn(caller(n, http, smtp))).collect();
    assert!(provider.ledger.wait_until(Duration::from_secs(10), |counts| counts.rcpts >= 50).await);
    process.signal("TERM");
    let mut taken = 0;
    for caller in callers {
        let (mark, answer) = caller.await.unwrap();
        let copies = provider.ledger.held().iter().filter(|held| contains(&held.bytes, &mark)).count();
        assert_eq!(copies, usize::from(answer == "taken"), "{mark} heard {answer}");
        taken += copies;
    }
    assert_eq!(taken, 50, "there was time enough for all");
    assert_eq!(process.wait(Duration::from_secs(5)), Some(0));
}

/// The provider never answers the content: at the end of the drain time the outcome is unknown, and is said to be.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_answered_in_time_is_unknown_and_what_never_left_is_not_sent() {
    let script = Script::new().always(Step::Final, Action::stall());
    let provider = Provider::start(script);
    let mut process = start(&provider, &[("CONNECTIONS", "5"), ("DRAIN_TIMEOUT", "1s")]);
    let (http, smtp) = (process.http, process.smtp);
    let callers: Vec<_> = (0..50).map(|n| tokio::spawn(caller(n, http, smtp))).collect();
    assert!(provider.ledger.wait_until(Duration::from_secs(10), |counts| counts.rcpts >= 5).await);
    tokio::time::sleep(Duration::from_millis(300)).await;
    process.signal("TERM");
    let mut heard = std::collections::BTreeMap::<String, usize>::new();
    for caller in callers {
        let (_, answer) = caller.await.unwrap();
        *heard.entry(answer).or_default() += 1;
    }
    assert_eq!(heard.get("unknown"), Some(&5), "{heard:?}");
    assert_eq!(heard.get("later"), Some(&45), "{heard:?}");
    assert_eq!(process.wait(Duration::from_secs(5)), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn new_mail_is_refused_while_draining_and_health_says_so() {
    let provider = Provider::start(Script::new().commit_delay(Duration::from_secs(2)));
    let mut process = start(&provider, &[]);
    let mut idle = Lines::connect(process.smtp).await;
    idle.ask("EHLO client.test").await;
    let slow = tokio::spawn(caller(0, process.http, process.smtp));
    assert!(provider.ledger.wait_until(Duration::from_secs(10), |counts| counts.rcpts >= 1).await);
    process.signal("TERM");
    idle.expect("421 4.3.2").await;
    let ready = crate::support::sidecar::get(process.admin, "/readyz").await;
    assert_eq!((ready.status, &ready.body[..]), (503, &b"draining\n"[..]));
    assert_eq!(crate::support::sidecar::get(process.admin, "/livez").await.status, 200);
    assert!(tokio::net::TcpStream::connect(process.http).await.is_err(), "the door is closed");
    assert_eq!(slow.await.unwrap().1, "taken");
    assert_eq!(process.wait(Duration::from_secs(5)), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_it_at_once() {
    let provider = Provider::start(Script::new().always(Step::Final, Action::stall()));
    let mut process = start(&provider, &[]);
    let waiting = tokio::spawn(caller(0, process.http, process.smtp));
    assert!(provider.ledger.wait_until(Duration::from_secs(10), |counts| counts.rcpts >= 1).await);
    tokio::time::sleep(Duration::from_millis(200)).await;
    process.signal("TERM");
    tokio::time::sleep(Duration::from_millis(200)).await;
    let second = Instant::now();
    process.signal("TERM");
    assert_eq!(waiting.await.unwrap().1, "unknown");
    assert_eq!(process.wait(Duration::from_secs(5)), Some(0));
    assert!(second.elapsed() < Duration::from_secs(4));
}

#[test]
fn the_healthcheck_verb_knows_life_from_death() {
    let mut process = Process::start(&[]);
    let admin = process.admin.to_string();
    assert_eq!(run(&["healthcheck"], &[("ADMIN_LISTEN", &admin)], "").0, 0);
    process.signal("TERM");
    assert_eq!(process.wait(Duration::from_secs(5)), Some(0));
    assert_eq!(run(&["healthcheck"], &[("ADMIN_LISTEN", &admin)], "").0, 1);
}

/// Sends one message; every second caller over SMTP. What it heard: taken, later, unknown, or something else.
async fn caller(n: usize, http: std::net::SocketAddr, smtp: std::net::SocketAddr) -> (String, String) {
    let mark = format!("caller-{n}-end");
    let heard = if n.is_multiple_of(2) {
        let mut message = letter("to@example.org");
        message["subject"] = mark.clone().into();
        let answer = send(http, &message).await;
        match (answer.status, answer.text("code")) {
            (200, _) => "taken".to_owned(),
            (503, _) => "later".to_owned(),
            (504, "outcome_unknown") => "unknown".to_owned(),
            other => format!("{other:?}"),
        }
    } else {
        let mut client = Lines::connect(smtp).await;
        let content = format!("Subject: {mark}\r\n\r\nx\r\n");
        let reply = client.send("s@example.com", &["to@example.org"], content.as_bytes()).await;
        match reply.get(..9).unwrap_or_default() {
            "250 2.0.0" => "taken".to_owned(),
            "451 4.4.2" | "451-4.4.2" => "unknown".to_owned(),
            _ if reply.starts_with("451") || reply.starts_with("421") => "later".to_owned(),
            _ => reply,
        }
    };
    (mark, heard)
}

fn contains(bytes: &[u8], mark: &str) -> bool {
    memchr::memmem::find(bytes, mark.as_bytes()).is_some()
}
