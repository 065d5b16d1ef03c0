//! An internet of a test's own: a network namespace for the sidecar, and one for the world, which is also the router
//! between the two, so that a fault on the way is a rule of nftables.
//!
//! A test runs itself once more in the world, where it plays the provider, others, and the resolver; it starts the
//! sidecar in the other namespace and reaches it over the wire between them.

use std::ffi::OsStr;
use std::future::Future;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard};

pub mod names;

/// The sidecar's address.
pub const SIDECAR: &str = "198.51.100.2";
/// The resolver that the sidecar is told of.
pub const RESOLVER: &str = "203.0.113.53";
/// Every address of the world, none of them private: the provider's, two others', a web server's, a stranger's.
pub const WORLD: [&str; 6] = [MAIL, ONE, TWO, WEB, STRANGER, RESOLVER];
pub const MAIL: &str = "203.0.113.25";
pub const MAIL_V6: &str = "2001:db8:113::25";
pub const ONE: &str = "203.0.113.31";
pub const ONE_V6: &str = "2001:db8:113::31";
pub const TWO: &str = "203.0.113.32";
pub const WEB: &str = "203.0.113.44";
pub const STRANGER: &str = "203.0.113.66";

/// Set in the test that runs in the world: the sidecar's namespace.
const INSIDE: &str = "NETWORK_OF_THE_SIDECAR";
/// The world's end of the wire.
const WIRE: &str = "sidecar0";

static COUNT: AtomicU32 = AtomicU32::new(0);

/// Plays a story in the world of a network of its own; `test` is the path of the test that asks.
pub fn play<F: Future<Output = ()>>(test: &str, story: impl FnOnce(Network) -> F) {
    if let Ok(inside) = std::env::var(INSIDE) {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let faults = Mutex::new(Vec::new());
        return runtime.block_on(story(Network { test: test.to_owned(), inside, faults }));
    }
    let Some((world, inside)) = Namespace::new("world").zip(Namespace::new("inside")) else { return };
    connect(&world, &inside);
    run_again(&world, test, &[(INSIDE, &inside.0)]);
}

/// Runs this test binary in a namespace, for one test, which has to pass there.
pub fn run_again(namespace: &Namespace, test: &str, variables: &[(&str, &str)]) {
    let itself = std::env::current_exe().unwrap();
    let mut command = namespace.command(itself);
    command.args(["--exact", test, "--nocapture"]).envs(variables.iter().copied());
    let output = command.output().unwrap();
    let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{complained}");
    assert!(said.contains("1 passed"), "{said}");
    eprint!("{complained}");
}

fn connect(world: &Namespace, inside: &Namespace) {
    let wire = ["link", "add", WIRE, "type", "veth", "peer", "name", "eth0", "netns", &inside.0];
    world.inside("ip", &wire);
    for (namespace, device, v4, v6) in [
        (world, WIRE, "198.51.100.1/24", "2001:db8:51::1/64"),
        (inside, "eth0", "198.51.100.2/24", "2001:db8:51::2/64"),
    ] {
        namespace.inside("ip", &["link", "set", "lo", "up"]);
        namespace.inside("ip", &["address", "add", v4, "dev", device]);
        namespace.inside("ip", &["address", "add", v6, "dev", device, "nodad"]);
        namespace.inside("ip", &["link", "set", device, "up"]);
    }
    inside.inside("ip", &["route", "add", "default", "via", "198.51.100.1"]);
    inside.inside("ip", &["-6", "route", "add", "default", "via", "2001:db8:51::1"]);
    for address in WORLD {
        world.inside("ip", &["address", "add", address, "dev", "lo"]);
    }
    for address in [MAIL_V6, ONE_V6] {
        world.inside("ip", &["address", "add", address, "dev", "lo", "nodad"]);
    }
    inside.file("hosts", "127.0.0.1 localhost\n");
    inside.file("resolv.conf", &format!("nameserver {RESOLVER}\n"));
}

/// The network, for a test that runs in its world.
pub struct Network {
    test: String,
    inside: String,
    faults: Mutex<Vec<String>>,
}

impl Network {
    /// The name of the test as a sentence would begin with it.
    pub fn title(&self) -> String {
        let words = self.test.rsplit("::").next().unwrap().replace('_', " ");
        let words = words.replace("ipv6", "IPv6").replace("tls", "TLS");
        words[..1].to_uppercase() + &words[1..]
    }

    /// What stands on the way, one after the other.
    pub fn about(&self) -> String {
        self.faults().join(" ")
    }

    /// Something is wrong that is no rule of nftables.
    pub fn is_told(&self, about: &str) {
        self.faults().push(about.to_owned());
    }

    fn faults(&self) -> MutexGuard<'_, Vec<String>> {
        self.faults.lock().unwrap()
    }

    /// A program in the sidecar's namespace.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        command(&self.inside, program)
    }

    /// A fault on the way out: what is to become of packets from the sidecar, in the words of nftables.
    pub fn fault(&self, rules: &[&str]) {
        let told: Vec<_> = rules.iter().map(|rule| format!("`{rule}`")).collect();
        self.is_told(&format!("On the way out: {}.", told.join(", ")));
        let rules: String =
            rules.iter().map(|rule| format!("add rule inet fault way iifname {WIRE} {rule}\n")).collect();
        nft(&format!(
            "add table inet fault\nadd chain inet fault way {{ type filter hook input priority 0; }}\n{rules}"
        ));
    }

    /// Somebody else answers: what goes to the first comes to the second.
    pub fn divert(&self, ways: &[(&str, &str)]) {
        let rules: String = ways
            .iter()
            .map(|(from, to)| format!("add rule ip fault way iifname {WIRE} {from} dnat to {to}\n"))
            .collect();
        nft(&format!(
            "add table ip fault\nadd chain ip fault way {{ type nat hook prerouting priority -100; }}\n{rules}"
        ));
    }

    /// All is well again.
    pub fn lift(&self) {
        nft("flush ruleset\n");
    }
}

fn nft(script: &str) {
    let mut child = Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "{script}");
}

/// A network namespace, gone when dropped.
pub struct Namespace(String);

impl Namespace {
    /// Nothing where this process may not make one.
    pub fn new(what: &str) -> Option<Self> {
        remove_leftovers();
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let namespace = Self(format!("sidepost-{}-{number}-{what}", std::process::id()));
        let made = run("ip", &["netns", "add", &namespace.0]);
        let complaint = String::from_utf8_lossy(&made.stderr);
        if ["Operation not permitted", "Permission denied"].iter().any(|words| complaint.contains(words)) {
            eprintln!(
                "SKIPPED: this user may make no network namespace, so nobody saw what a broken network does: {complaint}"
            );
            return None;
        }
        assert!(made.status.success(), "{complaint}");
        Some(namespace)
    }

    /// A program that runs in it.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        command(&self.0, program)
    }

    /// Runs a program in it to its end, which is to be a good one.
    pub fn inside(&self, program: &str, arguments: &[&str]) {
        let output = self.command(program).args(arguments).output().unwrap();
        assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// A file of its own in the place of one in /etc.
    pub fn file(&self, name: &str, text: &str) {
        std::fs::create_dir_all(self.folder()).unwrap();
        std::fs::write(self.folder().join(name), text).unwrap();
    }

    /// What `ip netns exec` mounts over /etc.
    fn folder(&self) -> PathBuf {
        PathBuf::from("/etc/netns").join(&self.0)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        run("ip", &["netns", "delete", &self.0]);
        let folder = self.folder();
        // They are there only as far as they were made.
        let _ = std::fs::remove_dir_all(&folder);
        let _ = folder.parent().map(std::fs::remove_dir);
    }
}

/// A test that was killed could not take its networks away.
fn remove_leftovers() {
    let entries = std::fs::read_dir("/run/netns").into_iter().flatten().flatten();
    for name in entries.filter_map(|entry| entry.file_name().into_string().ok()) {
        let process = name.strip_prefix("sidepost-").and_then(|rest| rest.split('-').next());
        if process.is_some_and(|process| !std::path::Path::new("/proc").join(process).exists()) {
            drop(Namespace(name));
        }
    }
}

fn command(namespace: &str, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", namespace]).arg(program).stdin(Stdio::null());
    command
}

fn run(program: &str, arguments: &[&str]) -> Output {
    Command::new(program).args(arguments).stdin(Stdio::null()).output().unwrap()
}
