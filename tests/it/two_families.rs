//! A provider with addresses of both families, where nothing that is sent over IPv6 arrives (RFC 8305).
//!
//! The test makes a network namespace with a name of its own in its hosts file, and runs itself in there once more.

use crate::support::network::{Namespace, run_again};
use crate::support::provider::{Provider, Script};
use crate::support::sidecar::{Process, get, letter, send};

const NAME: &str = "mail.example";
const BLACK_HOLE: &str = "2001:db8:25::25";
const INSIDE: &str = "TWO_FAMILIES_INSIDE";

#[test]
fn an_ipv6_that_swallows_everything_costs_the_head_start_and_no_attempt() {
    let runtime = || tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    if std::env::var_os(INSIDE).is_some() {
        return runtime().block_on(inside());
    }
    let Some(namespace) = Namespace::new("families") else { return };
    furnish(&namespace);
    let name = "two_families::an_ipv6_that_swallows_everything_costs_the_head_start_and_no_attempt";
    run_again(&namespace, name, &[(INSIDE, "1")]);
}

async fn inside() {
    let first = tokio::net::lookup_host((NAME, 25)).await.unwrap().next().unwrap();
    assert_eq!(first.ip().to_string(), BLACK_HOLE, "IPv6 goes first");
    let provider = Provider::start(Script::new());
    let port = provider.addr.port().to_string();
    let settings = [("PROVIDER", "smtp"), ("HOST", NAME), ("PORT", &port), ("TLS", "none")];
    // The deadline is the time-out that must not come about: whoever waits for IPv6 alone sends nothing.
    let process = Process::start(&[&settings[..], &[("CONNECT_TIMEOUT", "20s"), ("SEND_TIMEOUT", "20s")]].concat());
    let answer = send(process.http, &letter("to@example.org")).await;
    assert_eq!((answer.status, &answer.body["attempts"]), (200, &1.into()), "{answer:?}");
    let seconds = connecting(&process).await;
    eprintln!("name and connection took {seconds} s");
    assert!(seconds >= 0.25, "IPv6 had its head start: {seconds} s");
    assert!(seconds < 10.0, "half of the time-out is far from the head start: {seconds} s");
    assert_eq!(provider.ledger.held().len(), 1);
}

/// How long the connections so far took, all together.
async fn connecting(process: &Process) -> f64 {
    let metrics = String::from_utf8(get(process.admin, "/metrics").await.body.to_vec()).unwrap();
    let series = "sidepost_attempt_duration_seconds_sum{phase=\"connect\"} ";
    metrics.lines().find_map(|line| line.strip_prefix(series)).unwrap().parse().unwrap()
}

/// A loopback, a name with two addresses, and a filter that swallows what goes to one of them.
fn furnish(namespace: &Namespace) {
    namespace.file("hosts", &format!("127.0.0.1 localhost {NAME}\n{BLACK_HOLE} {NAME}\n"));
    namespace.inside("ip", &["link", "set", "lo", "up"]);
    namespace.inside("ip", &["address", "add", &format!("{BLACK_HOLE}/128"), "dev", "lo", "nodad"]);
    namespace.inside("nft", &["add table ip6 hole"]);
    namespace.inside("nft", &["add chain ip6 hole swallow { type filter hook input priority 0; }"]);
    namespace.inside("nft", &[&format!("add rule ip6 hole swallow ip6 daddr {BLACK_HOLE} drop")]);
}
