//! A provider with addresses of both families, where nothing that is sent over IPv6 arrives (RFC 8305).
//!
//! The test makes a network namespace with a name of its own in its hosts file, and runs itself in there once more.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

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
    let Some(namespace) = Namespace::new() else { return };
    let itself = std::env::current_exe().unwrap();
    let name = "two_families::an_ipv6_that_swallows_everything_costs_the_head_start_and_no_attempt";
    let arguments = ["--exact", name, "--nocapture"];
    let output = namespace.command(&itself.to_string_lossy()).args(arguments).env(INSIDE, "1").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("1 passed"), "{said}");
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

/// A network of its own: a loopback, a name with two addresses, and a filter that swallows what goes to one of them.
struct Namespace(String);

impl Namespace {
    /// Nothing where this process may not make one.
    fn new() -> Option<Self> {
        let namespace = Self(format!("sidepost-{}", std::process::id()));
        let made = run("ip", &["netns", "add", &namespace.0]);
        let complaint = String::from_utf8_lossy(&made.stderr);
        if ["Operation not permitted", "Permission denied"].iter().any(|words| complaint.contains(words)) {
            eprintln!(
                "SKIPPED: this user may make no network namespace, so nobody saw IPv6 swallow anything: {complaint}"
            );
            return None;
        }
        assert!(made.status.success(), "{complaint}");
        std::fs::create_dir_all(namespace.folder()).unwrap();
        let hosts = format!("127.0.0.1 localhost {NAME}\n{BLACK_HOLE} {NAME}\n");
        std::fs::write(namespace.folder().join("hosts"), hosts).unwrap();
        let inside = |program: &str, arguments: &[&str]| {
            let output = namespace.command(program).args(arguments).output().unwrap();
            assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        };
        inside("ip", &["link", "set", "lo", "up"]);
        inside("ip", &["address", "add", &format!("{BLACK_HOLE}/128"), "dev", "lo", "nodad"]);
        inside("nft", &["add table ip6 hole"]);
        inside("nft", &["add chain ip6 hole swallow { type filter hook input priority 0; }"]);
        inside("nft", &[&format!("add rule ip6 hole swallow ip6 daddr {BLACK_HOLE} drop")]);
        Some(namespace)
    }

    /// What `ip netns exec` mounts over /etc.
    fn folder(&self) -> PathBuf {
        PathBuf::from("/etc/netns").join(&self.0)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.0, program]).stdin(Stdio::null());
        command
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        run("ip", &["netns", "delete", &self.0]);
        let folder = self.folder();
        // They are there only as far as it was made.
        let _ = std::fs::remove_dir_all(&folder);
        let _ = folder.parent().map(std::fs::remove_dir);
    }
}

fn run(program: &str, arguments: &[&str]) -> Output {
    Command::new(program).args(arguments).stdin(Stdio::null()).output().unwrap()
}
