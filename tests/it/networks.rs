//! Networks that are broken in the ways in which networks are: the binary in a namespace of its own, faults made by
//! nftables on its way out, and what it says of them. Each is lifted in the end, and all has to be well again by itself.

mod told;

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use self::told::Told;
use crate::support::certificates::{Certificate, Certificates};
use crate::support::lines::Lines;
use crate::support::network::names::{Manner, Names};
use crate::support::network::{MAIL, MAIL_V6, Network, ONE, ONE_V6, RESOLVER, SIDECAR, STRANGER, TWO, WEB, play};
use crate::support::provider::{Action, Ledger, PASSWORD, Provider, Script, Step, USER};
use crate::support::sidecar::{binary, get, letter, logged, send, with_settings};

/// The right cause is known so long after the start, and all is well again so long after the fault.
const START: Duration = Duration::from_secs(10);
const INTERVAL: Duration = Duration::from_secs(10);
/// What a busy machine may take until the same is seen.
const PATIENCE: Duration = Duration::from_secs(60);

const NAMES: [(&str, &str); 4] =
    [("mail.network.test", MAIL), ("one.network.test", ONE), ("two.network.test", TWO), ("web.network.test", WEB)];
const MAIL_PORTS: &str = "tcp dport { 25, 465, 587, 2525 }";
/// No connection comes about; those to the sidecar live on.
const SYN_DROP: &str = "tcp flags & (syn | ack) == syn drop";

/// Everybody whom the sidecar may meet.
struct World {
    network: Network,
    names: Names,
    mail: Vec<Provider>,
    others: Vec<Provider>,
}

fn at(ip: &str, port: u16) -> SocketAddr {
    SocketAddr::new(ip.parse().unwrap(), port)
}

/// A server with a name, as real ones greet.
fn named(name: &str, certificate: Certificate) -> Script {
    let greeting = Action::reply(220, &format!("{name} ESMTP"));
    Script::new().starttls(certificate).login(USER, PASSWORD).always(Step::Greeting, greeting)
}

/// The same with TLS from the first byte.
fn named_implicit(name: &str, certificate: Certificate) -> Script {
    named(name, certificate).implicit_tls(certificate)
}

fn serve(address: SocketAddr, script: Script) -> Provider {
    Provider::start_at(address, script, Ledger::default())
}

fn serves(ip: &str, name: &str) -> Vec<Provider> {
    vec![
        serve(at(ip, 587), named(name, Certificate::Good)),
        serve(at(ip, 465), named_implicit(name, Certificate::Good)),
    ]
}

impl World {
    async fn new(network: Network, more_names: &[(&str, &str)]) -> Self {
        let names = Names::start(at(RESOLVER, 53), &[&NAMES[..], more_names].concat()).await;
        let mut others = serves(ONE, "one.network.test");
        others.extend(serves(TWO, "two.network.test"));
        others.push(serve(at(WEB, 443), named_implicit("web.network.test", Certificate::Good)));
        Self { network, names, mail: serves(MAIL, "mail.network.test"), others }
    }

    fn sidecar(&self, settings: &[(&str, &str)]) -> Sidecar {
        Sidecar::start(&self.network, settings)
    }

    /// Everybody shows another certificate from now on.
    fn change(&mut self, certificate: Certificate) {
        let hosts = NAMES.iter().map(|(name, _)| *name);
        for (name, pair) in hosts.zip([&self.mail[..], &self.others[..2], &self.others[2..4]]) {
            pair[0].change(named(name, certificate));
            pair[1].change(named_implicit(name, certificate));
        }
    }

    fn mails(&self) -> usize {
        self.mail.iter().map(|provider| provider.ledger.counts().mails).sum()
    }
}

/// The binary in its namespace, its log in a file.
struct Sidecar {
    child: Child,
    log: tempfile::NamedTempFile,
    started: Instant,
    /// The same settings, for somebody who asks it.
    doctor: Command,
    title: String,
    about: String,
}

impl Sidecar {
    fn start(network: &Network, more: &[(&str, &str)]) -> Self {
        Self::start_in(network, more, &[])
    }

    /// The same with variables that are not ours.
    fn start_in(network: &Network, more: &[(&str, &str)], foreign: &[(&str, &str)]) -> Self {
        let log = tempfile::NamedTempFile::new().unwrap();
        let [http, smtp, admin] = [8025, 1025, 9025].map(|port| at(SIDECAR, port).to_string());
        let authority = Certificates::new().ca_file().display().to_string();
        let settings = [
            ("PROVIDER", "smtp"),
            ("HOST", "mail.network.test"),
            ("USERNAME", USER),
            ("PASSWORD", PASSWORD),
            ("CA_FILE", &authority),
            ("CONTROL_HOSTS", "one.network.test, two.network.test, web.network.test:443"),
            ("PROBE_INTERVAL", "10s"),
            ("SEND_TIMEOUT", "2s"),
            ("HTTP_LISTEN", &http),
            ("SMTP_LISTEN", &smtp),
            ("ADMIN_LISTEN", &admin),
        ];
        let settings = [&settings[..], more].concat();
        let command = || {
            let mut command = with_settings(network.command(binary()), &settings);
            command.envs(foreign.iter().copied());
            command
        };
        let child = command().stdout(log.reopen().unwrap()).stderr(Stdio::null()).spawn().unwrap();
        let (title, about) = (network.title(), network.about());
        let sidecar = Self { child, log, started: Instant::now(), doctor: command(), title, about };
        let until = Instant::now() + PATIENCE;
        while !logged(sidecar.log.path()).iter().any(|line| line["message"] == "serving") {
            assert!(Instant::now() < until, "it serves: {}", std::fs::read_to_string(sidecar.log.path()).unwrap());
            std::thread::sleep(Duration::from_millis(20));
        }
        sidecar
    }

    /// How many times the log called anything broken.
    fn failures(&self) -> usize {
        logged(self.log.path()).iter().filter(|line| line["state"] == "failed").count()
    }

    async fn health(&self) -> Value {
        serde_json::from_slice(&get(at(SIDECAR, 9025), "/health").await.body).unwrap()
    }

    /// Health, once it is as it should be, and how long that took.
    async fn health_once(&self, what: &str, is_so: impl Fn(&Value) -> bool) -> (Value, Duration) {
        let began = Instant::now();
        loop {
            let health = self.health().await;
            if is_so(&health) {
                return (health, began.elapsed());
            }
            assert!(began.elapsed() < PATIENCE, "{what}: {health:#}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn metrics(&self) -> String {
        String::from_utf8(get(at(SIDECAR, 9025), "/metrics").await.body.to_vec()).unwrap()
    }

    /// The last line of the log that is like this, once there is one.
    async fn line_once(&self, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(line) = logged(self.log.path()).into_iter().rfind(&is_it) {
                return line;
            }
            assert!(Instant::now() < until, "{what}: {}", std::fs::read_to_string(self.log.path()).unwrap());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The fault has the cause at the stage within ten seconds of the start, and everybody is told so.
    async fn finds(&mut self, stage: &str, cause: &str) -> Value {
        let what = format!("{stage}: {cause}");
        let is_so = |health: &Value| health["status"] == "fail" && health["stage"] == stage && health["cause"] == cause;
        let (health, _) = self.health_once(&what, is_so).await;
        in_time(&what, self.started.elapsed(), START);
        let (line, reply) = self.tells_everybody(&health).await;
        self.is_kept(&health, line, Some(reply));
        health
    }

    fn is_kept(&mut self, health: &Value, line: Value, reply: Option<String>) {
        let (title, about, health) = (self.title.clone(), self.about.clone(), health.clone());
        let mut doctor = String::new();
        if told::is_being_written() {
            doctor = String::from_utf8(self.doctor.arg("doctor").output().unwrap().stdout).unwrap();
        }
        Told { title, about, health, line, reply, doctor }.keep();
    }

    /// The log, the metric and the SMTP reply say what health says.
    async fn tells_everybody(&self, health: &Value) -> (Value, String) {
        let text = |field: &str| health[field].as_str().unwrap().to_owned();
        let (stage, cause, remedy) = (text("stage"), text("cause"), text("remedy"));
        let metrics = self.metrics().await;
        let metric = format!("sidepost_diagnosis_info{{stage=\"{stage}\",cause=\"{cause}\"}} 1\n");
        assert!(metrics.contains(&metric), "{metric}{metrics}");
        let is_it = |line: &Value| {
            line["message"] == "provider state" && line["stage"] == stage.as_str() && line["cause"] == cause.as_str()
        };
        let line = self.line_once(&cause, is_it).await;
        assert_eq!(line["remedy"], remedy.as_str(), "{line}");
        let mut client = Lines::connect(at(SIDECAR, 1025)).await;
        let reply = client.send("s@shop.test", &["to@example.org"], b"S: x\r\n\r\n").await;
        assert!(reply.starts_with("451"), "our own trouble is never the message's fault: {reply}");
        let said = reply.lines().map(|line| line.get(10..).unwrap_or_default()).collect::<Vec<_>>().join(" ");
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        // A long sentence is cut before its end.
        let beginning: String = remedy.chars().take(40).collect();
        assert!(words(&said).contains(&words(&beginning)), "{beginning:?} is not in {reply:?}");
        eprintln!("{}", health["output"].as_str().unwrap());
        (line, reply)
    }

    /// Mail leaves all the same, and health says so with a word of warning.
    async fn doubts(&mut self, cause: &str) -> Value {
        let is_so = |health: &Value| health["status"] == "warn" && health["cause"] == cause;
        let (health, _) = self.health_once(cause, is_so).await;
        in_time(cause, self.started.elapsed(), START);
        let metrics = self.metrics().await;
        assert!(metrics.contains(&format!(",cause=\"{cause}\"}} 1\n")), "{metrics}");
        let is_it = |line: &Value| line["message"] == "provider state" && line["cause"] == cause;
        let line = self.line_once(cause, is_it).await;
        assert_eq!(line["remedy"], health["remedy"]);
        eprintln!("{}", health["output"].as_str().unwrap());
        self.is_kept(&health, line, None);
        health
    }

    /// All is well again within one interval, without anybody's mail.
    async fn recovers(&self, world: &World) {
        let mails = world.mails();
        world.network.lift();
        let (_, took) = self.health_once("recovery", |health| health["status"] == "pass").await;
        // Intervals are spread by a tenth.
        in_time("recovery", took, INTERVAL + INTERVAL / 10 + Duration::from_secs(1));
        assert_eq!(world.mails(), mails, "nobody's mail found it out");
        assert_eq!(send(at(SIDECAR, 8025), &letter("to@example.org")).await.status, 200);
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A promise about seconds can be kept by a machine that has them.
fn in_time(what: &str, took: Duration, limit: Duration) {
    let load: f64 = std::fs::read_to_string("/proc/loadavg").unwrap().split(' ').next().unwrap().parse().unwrap();
    let cores = std::thread::available_parallelism().unwrap().get();
    eprintln!("{what}: after {:.1} s (load {load} on {cores} cores)", took.as_secs_f64());
    #[allow(clippy::cast_precision_loss, reason = "few cores")]
    let is_busy = load > cores as f64;
    assert!(took <= limit || is_busy, "{what} took {took:?}");
}

/// One fault from start to end: what packets meet, and what is said of it.
async fn broken(network: Network, rules: &[&str], stage: &str, cause: &str) {
    let world = World::new(network, &[]).await;
    world.network.fault(rules);
    let mut sidecar = world.sidecar(&[]);
    sidecar.finds(stage, cause).await;
    sidecar.recovers(&world).await;
}

/// A test that plays its story in a network of its own.
macro_rules! in_a_network {
    ($(#[$about:meta])* $name:ident, $story:expr) => {
        $(#[$about])*
        #[test]
        fn $name() {
            play(concat!("networks::", stringify!($name)), $story);
        }
    };
}

in_a_network!(mail_ports_that_are_dropped, async |network| {
    broken(network, &[&format!("{MAIL_PORTS} drop")], "connect", "port_blocked").await;
});

in_a_network!(mail_ports_that_are_reset, async |network| {
    broken(network, &[&format!("{MAIL_PORTS} reject with tcp reset")], "connect", "port_blocked").await;
});

in_a_network!(mail_ports_that_are_prohibited, async |network| {
    let rule = format!("{MAIL_PORTS} reject with icmp type admin-prohibited");
    broken(network, &[&rule], "connect", "port_blocked").await;
});

in_a_network!(mail_ports_to_hosts_that_nobody_can_reach, async |network| {
    let rule = format!("{MAIL_PORTS} reject with icmp type host-unreachable");
    broken(network, &[&rule], "connect", "port_blocked").await;
});

in_a_network!(a_network_with_443_alone, async |network| {
    broken(network, &["tcp dport 443 accept", SYN_DROP], "connect", "port_blocked").await;
});

in_a_network!(a_network_without_a_way_out, async |network| {
    broken(network, &[SYN_DROP], "connect", "no_egress").await;
});

in_a_network!(one_port_that_is_dropped_while_another_is_open, async |network| {
    let world = World::new(network, &[]).await;
    world.network.fault(&["tcp dport 587 drop"]);
    let mut sidecar = world.sidecar(&[("SEND_TIMEOUT", "30s")]);
    let is_so = |health: &Value| {
        health["path"] == "smtp:465 implicit" && health["checks"]["path"][0]["cause"] == "port_blocked"
    };
    let (health, _) = sidecar.health_once("the other port", is_so).await;
    in_time("the other port", sidecar.started.elapsed(), START);
    assert_eq!((&health["status"], &health["state"]), (&"warn".into(), &"degraded".into()), "{health:#}");
    assert_eq!((&health["stage"], &health["cause"]), (&"connect".into(), &"port_blocked".into()), "{health:#}");
    sidecar.doubts("port_blocked").await;
    let answer = send(at(SIDECAR, 8025), &letter("to@example.org")).await;
    assert_eq!((answer.status, answer.text("path")), (200, "smtp:465 implicit"), "{answer:?}");
    world.network.lift();
    let (_, took) = sidecar.health_once("the better port", |health| health["path"] == "smtp:587 starttls").await;
    in_time("the better port", took, INTERVAL + INTERVAL / 10 + Duration::from_secs(1));
    assert_eq!(sidecar.health().await["status"], "pass");
});

in_a_network!(a_network_whose_way_out_is_a_proxy, async |network| {
    let world = World::new(network, &[]).await;
    world.network.fault(&[SYN_DROP]);
    let mut sidecar = Sidecar::start_in(&world.network, &[], &[("HTTPS_PROXY", "http://proxy.network.test:3128")]);
    sidecar.finds("connect", "proxy_needed").await;
    sidecar.recovers(&world).await;
});

in_a_network!(a_provider_that_is_down, async |network| {
    broken(network, &[&format!("ip daddr {MAIL} drop")], "connect", "provider_down").await;
});

in_a_network!(a_resolver_that_is_silent, async |network| {
    broken(network, &["udp dport 53 drop", "tcp dport 53 drop"], "dns", "no_names").await;
});

in_a_network!(a_resolver_that_nobody_can_reach, async |network| {
    broken(network, &["udp dport 53 reject"], "dns", "no_names").await;
});

in_a_network!(a_resolver_that_fails, async |network| {
    let world = World::new(network, &[]).await;
    world.names.behave(Manner { fails: true, ..Manner::default() });
    world.network.is_told("The resolver answers every question with SERVFAIL.");
    let mut sidecar = world.sidecar(&[]);
    sidecar.finds("dns", "no_names").await;
    let answer = send(at(SIDECAR, 8025), &letter("to@example.org")).await;
    assert_eq!(answer.status, 503, "{answer:?}");
    let other_port = "sidepost_attempts_total{class=\"unreachable\",path=\"smtp:465 implicit\"} 0\n";
    assert!(sidecar.metrics().await.contains(other_port), "the other port of a host that is not found is no way to it");
    world.names.behave(Manner::default());
    sidecar.recovers(&world).await;
});

in_a_network!(a_name_that_does_not_exist, async |network| {
    let world = World::new(network, &[]).await;
    world.network.is_told("Nothing is wrong but the name.");
    world.sidecar(&[("HOST", "mial.network.test")]).finds("dns", "name_not_found").await;
});

in_a_network!(another_server_that_answers_for_everybody, async |network| {
    let world = World::new(network, &[]).await;
    let stranger = Script::new().always(Step::Greeting, Action::reply(220, "mail.isp.test ESMTP"));
    let stranger = serve(at(STRANGER, 587), stranger);
    world.network.divert(&[("tcp dport { 465, 587 }", &format!("{STRANGER}:587"))]);
    world.network.is_told("On the way out: `tcp dport { 465, 587 } dnat to` a mail server of somebody else's.");
    let mut sidecar = world.sidecar(&[]);
    sidecar.finds("tls", "port_intercepted").await;
    assert_eq!((stranger.ledger.counts().auths, stranger.ledger.counts().mails), (0, 0));
    sidecar.recovers(&world).await;
});

in_a_network!(a_middlebox_that_opens_tls, async |network| {
    let world = World::new(network, &[]).await;
    let (mut boxes, mut ways) = (Vec::new(), Vec::new());
    for (number, (name, ip)) in (0..).zip(NAMES) {
        // It passes on what is said in clear, so each greets by its own name; the certificates are the box's own.
        for (port, script) in
            [(587, named(name, Certificate::OtherIssuer)), (465, named_implicit(name, Certificate::OtherIssuer))]
        {
            let place = at(STRANGER, 1000 + port + number);
            boxes.push(serve(place, script));
            ways.push((format!("ip daddr {ip} tcp dport {port}"), place.to_string()));
        }
    }
    let ways: Vec<_> = ways.iter().map(|(from, to)| (from.as_str(), to.as_str())).collect();
    world.network.divert(&ways);
    world.network.is_told("Ports 465 and 587 go through a box that shows a certificate of its own for every name.");
    let mut sidecar = world.sidecar(&[]);
    sidecar.finds("tls", "tls_inspected").await;
    assert!(boxes.iter().all(|provider| provider.ledger.counts().auths == 0));
    sidecar.recovers(&world).await;
});

in_a_network!(a_network_in_which_nothing_is_broken, async |network| {
    let world = World::new(network, &[]).await;
    let sidecar = world.sidecar(&[]);
    sidecar.health_once("a good network", |health| health["checks"]["auth"][0]["state"] == "ok").await;
    assert_eq!(sidecar.health().await["status"], "pass");
    sidecar.recovers(&world).await;
});

in_a_network!(a_resolver_that_is_slow, async |network| {
    let world = World::new(network, &[]).await;
    let slow = |milliseconds| Manner { delay: Duration::from_millis(milliseconds), ..Manner::default() };
    world.network.is_told("The resolver takes seconds to answer.");
    for milliseconds in [1500, 3500] {
        world.names.behave(slow(milliseconds));
        let mut sidecar = world.sidecar(&[("SEND_TIMEOUT", "30s")]);
        sidecar.doubts("resolver_slow").await;
        assert_eq!(sidecar.failures(), 0, "nothing is broken");
        assert_eq!(send(at(SIDECAR, 8025), &letter("to@example.org")).await.status, 200);
        assert_eq!(sidecar.failures(), 0, "nothing is broken");
    }
    let mut sidecar = world.sidecar(&[]);
    sidecar.doubts("resolver_slow").await;
    world.names.behave(Manner::default());
    sidecar.recovers(&world).await;
});

in_a_network!(a_resolver_that_dies_while_mail_leaves, async |network| {
    let world = World::new(network, &[]).await;
    let sidecar = world.sidecar(&[("CONNECTION_MESSAGES", "1"), ("SEND_TIMEOUT", "30s")]);
    sidecar.health_once("a good network", |health| health["checks"]["auth"][0]["state"] == "ok").await;
    world.network.fault(&["udp dport 53 drop"]);
    for _ in 0..3 {
        let answer = send(at(SIDECAR, 8025), &letter("to@example.org")).await;
        assert_eq!((answer.status, &answer.body["attempts"]), (200, &1.into()), "{answer:?}");
    }
    let is_so = |health: &Value| health["status"] == "warn" && health["cause"] == "no_names";
    sidecar.health_once("a dead resolver", is_so).await;
    assert_eq!(sidecar.failures(), 0, "mail leaves, so nothing is broken");
    world.network.lift();
    let (_, took) = sidecar.health_once("recovery", |health| health["status"] == "pass").await;
    in_time("recovery", took, INTERVAL + INTERVAL / 10 + Duration::from_secs(6));
});

in_a_network!(an_ipv6_that_leads_nowhere, async |network| {
    let both = [("mail.network.test", MAIL_V6), ("one.network.test", ONE_V6)];
    let world = World::new(network, &both).await;
    let _v6 =
        [serve(at(MAIL_V6, 587), named("mail.network.test", Certificate::Good)), serve(at(ONE_V6, 587), Script::new())];
    world.network.fault(&["ip6 daddr 2001:db8:113::/64 drop"]);
    let mut sidecar = world.sidecar(&[]);
    let health = sidecar.doubts("ipv6_broken").await;
    assert_eq!((&health["stage"], &health["checks"]["connect"][0]["state"]), (&"connect".into(), &"ok".into()));
    assert_eq!(send(at(SIDECAR, 8025), &letter("to@example.org")).await.status, 200);
    assert_eq!(sidecar.failures(), 0, "mail leaves, so nothing is broken");
    world.network.lift();
    let (_, took) = sidecar.health_once("recovery", |health| health["status"] == "pass").await;
    in_time("recovery", took, INTERVAL + INTERVAL / 10 + Duration::from_secs(1));
});

in_a_network!(an_ipv6_that_the_provider_alone_has_broken, async |network| {
    let both = [("mail.network.test", MAIL_V6), ("one.network.test", ONE_V6)];
    let world = World::new(network, &both).await;
    let _v6 = serve(at(ONE_V6, 587), Script::new());
    world.network.is_told("The provider's name has an IPv6 address at which nobody listens; others answer by IPv6.");
    world.sidecar(&[]).doubts("ipv6_unanswered").await;
});

in_a_network!(a_clock_that_is_years_ahead, async |network| {
    let mut world = World::new(network, &[]).await;
    world.change(Certificate::Expired);
    world.network.is_told("Everybody's certificate ended years ago, by the clock here.");
    let mut sidecar = world.sidecar(&[]);
    let health = sidecar.finds("tls", "clock_wrong").await;
    assert!(health["output"].as_str().unwrap().contains("it ended at 2020-01-01"), "{health:#}");
    world.change(Certificate::Good);
    sidecar.recovers(&world).await;
});
