//! Every fault of the table, played once per ingress, against a provider of its own.

use std::time::Duration;

use serde_json::json;

use crate::support::certificates::Certificates;
use crate::support::faults::{FAULTS, Fault};
use crate::support::lines::Lines;
use crate::support::provider::Provider;
use crate::support::sidecar::{Answer, Sidecar};

/// Faults are mostly about waiting, so many can be played at once.
const AT_ONCE: usize = 16;

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_has_the_consequences_of_the_table() {
    let places = std::sync::Arc::new(tokio::sync::Semaphore::new(AT_ONCE));
    let mut played = tokio::task::JoinSet::new();
    for fault in FAULTS {
        let places = places.clone();
        played.spawn(async move {
            let _place = places.acquire().await.unwrap();
            let limit = Duration::from_secs(90);
            let both = async { [over_http(fault).await, over_smtp(fault).await].concat() };
            tokio::time::timeout(limit, both).await.unwrap_or_else(|_| vec![format!("{}: no end", fault.name)])
        });
    }
    let complaints: Vec<_> = played.join_all().await.concat();
    assert!(complaints.is_empty(), "{} complaints:\n{}", complaints.len(), complaints.join("\n"));
}

fn start(fault: &Fault) -> (Provider, Sidecar) {
    let provider = Provider::start((fault.script)());
    let ca_file = Certificates::new().ca_file().display().to_string();
    let environment = fault.environment(&provider, &ca_file);
    let settings: Vec<_> =
        environment.iter().map(|(name, value)| (name.trim_start_matches("SIDEPOST_"), value.as_str())).collect();
    let sidecar = Sidecar::start(&settings);
    (provider, sidecar)
}

async fn over_http(fault: &Fault) -> Vec<String> {
    let (provider, sidecar) = start(fault);
    let message = json!({
        "from": "a@sender.test", "to": fault.mail.to, "subject": "x", "text": "line of the text\n".repeat(fault.mail.bytes / 17 + 1)
    });
    let mut answer = None;
    for n in 0..fault.mail.times {
        if n > 0 {
            tokio::time::sleep(fault.mail.pause).await;
        }
        answer = Some(sidecar.send(&message).await);
    }
    let answer = answer.unwrap();
    let mut complaints = compare_http(fault, &answer);
    complaints.extend(compare_books(fault, &provider, &sidecar, fault.held, "http").await);
    complaints
}

fn compare_http(fault: &Fault, answer: &Answer) -> Vec<String> {
    let word = if answer.status == 200 { answer.text("status") } else { answer.text("code") };
    let attempts = u32::try_from(answer.body["attempts"].as_u64().unwrap_or(0)).unwrap();
    let mut complaints = Vec::new();
    if (answer.status, word) != (fault.http, fault.http_code) {
        complaints.push(format!(
            "{} (row {}) over http: expected {} {}, got {answer:?}",
            fault.name, fault.row, fault.http, fault.http_code
        ));
    }
    if !answer.body["attempts"].is_null() && !fault.attempts.contains(&attempts) {
        complaints.push(format!("{} over http: {attempts} attempts, not {:?}", fault.name, fault.attempts));
    }
    complaints
}

async fn over_smtp(fault: &Fault) -> Vec<String> {
    let (provider, sidecar) = start(fault);
    let content = format!("Subject: x\r\n\r\n{}", "line of the text\r\n".repeat(fault.mail.bytes / 18 + 1));
    let mut reply = String::new();
    for n in 0..fault.mail.times {
        if n > 0 {
            tokio::time::sleep(fault.mail.pause).await;
        }
        reply = Lines::connect(sidecar.smtp).await.send("a@sender.test", fault.mail.to, content.as_bytes()).await;
    }
    let mut complaints = Vec::new();
    if !reply.replacen('-', " ", 1).starts_with(fault.smtp) {
        complaints
            .push(format!("{} (row {}) over smtp: expected {}, got {reply:?}", fault.name, fault.row, fault.smtp));
    }
    let held = fault.held_over_smtp.unwrap_or(fault.held);
    complaints.extend(compare_books(fault, &provider, &sidecar, held, "smtp").await);
    complaints
}

/// The provider's ledger, and our own counters.
async fn compare_books(fault: &Fault, provider: &Provider, sidecar: &Sidecar, held: usize, over: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    let found = provider.ledger.held().len();
    if found != held {
        complaints.push(format!("{} over {over}: the provider holds {found}, not {held}", fault.name));
    }
    let series = format!("sidepost_submissions_total{{answer=\"{}\",ingress=\"{over}\"}}", fault.class);
    // The class is that of the answer over HTTP; where all-or-nothing makes another of it, the reply has been compared.
    let is_comparable = over == "http" || fault.held_over_smtp.is_none();
    if is_comparable && sidecar.count(&series).await < 1 {
        complaints.push(format!("{} over {over}: {series} did not count it", fault.name));
    }
    if sidecar.count("sidepost_in_flight_messages").await > 0 {
        complaints.push(format!("{} over {over}: something is still in flight", fault.name));
    }
    if provider.ledger.auth_in_clear() {
        complaints.push(format!("{} over {over}: the password went out in clear", fault.name));
    }
    complaints
}
