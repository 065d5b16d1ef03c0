//! Whoever has only the log, only the metric, only `/health`, only `doctor` or only the SMTP reply finds the same cause and
//! the same remedy. The same cases, with what was really said, are `docs/diagnosis.md`.
//!
//! `SIDEPOST_TEST_UPDATE=1 cargo test --test it told_everywhere` writes that document anew.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::certificates::Certificate;
use crate::support::lines::Lines;
use crate::support::provider::{Action, PASSWORD, Provider, Script, Step, USER};
use crate::support::sidecar::{command, get, logged, run};

const PATIENCE: Duration = Duration::from_secs(40);
const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/diagnosis.md");

struct Case {
    title: &'static str,
    /// What a reader of the document should know before.
    about: &'static str,
    script: Script,
    settings: &'static [(&'static str, &'static str)],
    stage: &'static str,
    cause: &'static str,
}

fn good() -> Script {
    Script::new().login(USER, PASSWORD).auth_before_tls()
}

fn cases() -> Vec<Case> {
    let refused = |text: &str| good().always(Step::Auth, Action::reply(535, text));
    vec![
        Case {
            title: "The password is wrong",
            about: "The provider's own words decide, and where nobody knows them, its code and the link on which it said them.",
            script: refused("5.7.8 Error: authentication failed: bad password"),
            settings: &[],
            stage: "auth",
            cause: "login_refused",
        },
        Case {
            title: "Google wants an app password",
            about: "The reply is Gmail's; the host here is a stand-in that says the same.",
            script: refused(
                "5.7.8 Username and Password not accepted. For more information, go to 5.7.8 https://support.google.com/mail/?p=BadCredentials",
            ),
            settings: &[("PROVIDER", "gmail"), ("USERNAME", USER)],
            stage: "auth",
            cause: "google_credentials",
        },
        Case {
            title: "SMTP AUTH is off in the tenant",
            about: "As Microsoft 365 says it.",
            script: refused(
                "5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant. Visit https://aka.ms/smtp_auth_disabled",
            ),
            settings: &[("PROVIDER", "microsoft365")],
            stage: "auth",
            cause: "ms_tenant_smtp_auth_off",
        },
        Case {
            title: "Nothing listens on the port",
            about: "Refused at once: that is no firewall that drops.",
            script: Script::refusing_connections(),
            settings: &[],
            stage: "connect",
            cause: "",
        },
        Case {
            title: "Somebody else answers",
            about: "A transparent proxy or a captive portal: what answers on the port speaks HTTP.",
            script: good().always(Step::Greeting, Action::http()),
            settings: &[],
            stage: "greeting",
            cause: "",
        },
        Case {
            title: "STARTTLS is gone",
            about: "Stripped by a middlebox, or never offered. Nothing is ever sent in plain text instead.",
            script: good(),
            settings: &[("TLS", "starttls")],
            stage: "tls",
            cause: "",
        },
        Case {
            title: "The certificate is not trusted",
            about: "A middlebox that opens TLS shows a certificate of its own.",
            script: good().starttls(Certificate::Good),
            settings: &[("TLS", "starttls"), ("HOST", "localhost")],
            stage: "tls",
            cause: "",
        },
        Case {
            title: "The name does not exist",
            about: "Names under `.invalid` never do.",
            script: good(),
            settings: &[("HOST", "smtp.invalid")],
            stage: "dns",
            cause: "",
        },
    ]
}

/// The binary at work, its log in a file.
struct Sidecar {
    child: Child,
    log: tempfile::NamedTempFile,
    http: SocketAddr,
    smtp: SocketAddr,
    admin: SocketAddr,
}

impl Sidecar {
    fn start(settings: &[(&str, &str)]) -> Self {
        let log = tempfile::NamedTempFile::new().unwrap();
        let mut child =
            command(settings).stdout(log.reopen().unwrap()).stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let until = Instant::now() + PATIENCE;
        let serving = loop {
            if let Some(line) = logged(log.path()).into_iter().find(|line| line["message"] == "serving") {
                break line;
            }
            assert!(Instant::now() < until && child.try_wait().unwrap().is_none(), "it serves");
            std::thread::sleep(Duration::from_millis(20));
        };
        let address = |field: &str| serving[field].as_str().unwrap().parse().unwrap();
        Self { http: address("http"), smtp: address("smtp"), admin: address("admin"), child, log }
    }

    /// The last log line about the provider's state that names this cause.
    fn said(&self, cause: &str) -> Option<Value> {
        logged(self.log.path()).into_iter().rfind(|line| line["message"] == "provider state" && line["cause"] == cause)
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What was said, everywhere.
struct Told {
    health: Value,
    metric: String,
    log: Value,
    reply: String,
    doctor: String,
}

async fn told(case: &Case) -> Told {
    let provider = Provider::start(case.script.clone());
    let port = provider.addr.port().to_string();
    let base = [
        ("PROVIDER", "smtp"),
        ("HOST", "127.0.0.1"),
        ("PORT", &*port),
        ("TLS", "none"),
        ("USERNAME", USER),
        ("PASSWORD", PASSWORD),
        ("CONTROL_HOSTS", "off"),
        ("SEND_TIMEOUT", "2s"),
        ("PROBE_INTERVAL", "60s"),
    ];
    let settings = [&base[..], case.settings].concat();
    let sidecar = Sidecar::start(&settings);
    let health = broken(&sidecar, case).await;
    let cause = health["cause"].as_str().unwrap().to_owned();
    let reply = Lines::connect(sidecar.smtp).await.send("s@shop.test", &["to@example.org"], b"S: x\r\n\r\n").await;
    let metrics = String::from_utf8(get(sidecar.admin, "/metrics").await.body.to_vec()).unwrap();
    let metric = metrics.lines().find(|line| line.starts_with("sidepost_diagnosis_info{")).unwrap().to_owned();
    let log = sidecar.said(&cause).unwrap_or_else(|| panic!("{}: a log line with {cause}", case.title));
    let http = sidecar.http.to_string();
    let doctor: Vec<_> = settings.iter().copied().chain([("HTTP_LISTEN", &*http)]).collect();
    let (_, doctor, _) = run(&["doctor"], &doctor, "");
    let doctor = doctor.replace(&http, "127.0.0.1:8025");
    Told { health, metric, log, reply, doctor }.at_port(&port)
}

/// Health, once it says that the stage is broken.
async fn broken(sidecar: &Sidecar, case: &Case) -> Value {
    let until = Instant::now() + PATIENCE;
    loop {
        let health: Value = serde_json::from_slice(&get(sidecar.admin, "/health").await.body).unwrap();
        if health["status"] == "fail" && health["stage"] == case.stage {
            return health;
        }
        assert!(Instant::now() < until, "{}: {health:#}", case.title);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

impl Told {
    /// As it would be with a port that people know.
    fn at_port(mut self, port: &str) -> Self {
        let known = |text: &str| text.replace(port, "587");
        (self.metric, self.reply, self.doctor) = (known(&self.metric), known(&self.reply), known(&self.doctor));
        self.log = serde_json::from_str(&known(&self.log.to_string())).unwrap();
        self.health = serde_json::from_str(&known(&self.health.to_string())).unwrap();
        self
    }

    fn check(&self, case: &Case) {
        let (cause, remedy) = (self.health["cause"].as_str().unwrap(), self.health["remedy"].as_str().unwrap());
        let title = case.title;
        assert!(case.cause.is_empty() || cause == case.cause, "{title}: {cause}");
        assert!(!remedy.is_empty(), "{title}: {:#}", self.health);
        assert!(self.metric.contains(&format!("cause=\"{cause}\"")), "{title}: {}", self.metric);
        assert!(self.metric.contains(&format!("stage=\"{}\"", case.stage)), "{title}: {}", self.metric);
        assert_eq!(self.log["remedy"], remedy, "{title}: {}", self.log);
        assert!(self.doctor.contains(remedy) && self.doctor.contains(cause), "{title}: {}", self.doctor);
        // A long sentence is cut into lines of a reply, and perhaps before its end.
        let reply: String = self
            .reply
            .lines()
            .map(|line| line.get(10..).unwrap_or_default().trim_start_matches(' ').to_owned() + " ")
            .collect();
        let beginning: String = remedy.chars().take(40).collect();
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words(&reply).contains(&words(&beginning)), "{title}: {beginning:?} is not in {reply:?}");
        assert!(self.reply.starts_with('4'), "{title}: our own trouble is never the message's fault: {}", self.reply);
    }

    fn section(&self, case: &Case) -> String {
        let pick = |value: &Value, names: &[&str]| {
            let pairs = names.iter().map(|&name| (name.to_owned(), value[name].clone()));
            serde_json::to_string_pretty(&serde_json::Map::from_iter(pairs)).unwrap()
        };
        let mut text = format!("## {}\n\n{}\n\n`sidepost doctor`\n\n```text\n", case.title, case.about);
        let since = |line: &str| line.split(" since 20").next().unwrap().trim_end().to_owned() + "\n";
        text.extend(self.doctor.lines().map(since));
        let reply = self.reply.replace('\r', "");
        let reply = reply.split("; id=").next().unwrap();
        let _ = write!(text, "```\n\nThe SMTP client hears\n\n```text\n{reply}\n```\n\n");
        let log =
            pick(&self.log, &["level", "message", "provider", "state", "stage", "cause", "detail", "why", "remedy"]);
        let _ = write!(text, "One line of the log\n\n```json\n{log}\n```\n\n");
        let health = pick(&self.health, &["status", "stage", "cause", "output", "remedy"]);
        let _ = write!(
            text,
            "`/health`, in part\n\n```json\n{health}\n```\n\n`/metrics`\n\n```text\n{}\n```\n\n",
            self.metric
        );
        text
    }
}

const BEGINNING: &str = "\
# What is broken, and what to do

Sidepost looks at the chain to the provider at its start, whenever a message finds trouble, and every
`SIDEPOST_PROBE_INTERVAL` while no mail proves that all is well. What it finds is one value, and everything that shows it
shows the same: the answer to the application, one line of the log per change, `/health`, the metrics, and
`sidepost doctor`. These are real cases with what was really said; a test plays them and compares.

A blocked port is concluded by comparison only: this port against the provider's other ports, against other providers'
hosts on the same port, and against 443 (`SIDEPOST_CONTROL_HOSTS`; switched off here, so that these cases bother nobody).
A doubt is no verdict: what may pass by itself, such as a provider that restarts, is shown with its cause, and is called
broken only once it lasts. Every cause there is, with its evidence and remedy, is in [causes](causes.md).

";

#[tokio::test(flavor = "multi_thread")]
async fn the_same_cause_and_remedy_everywhere() {
    let mut document = BEGINNING.to_owned();
    for case in cases() {
        let told = told(&case).await;
        told.check(&case);
        document.push_str(&told.section(&case));
    }
    if std::env::var_os("SIDEPOST_TEST_UPDATE").is_some() {
        std::fs::write(DOCUMENT, document.trim_end().to_owned() + "\n").unwrap();
    }
    let written = std::fs::read_to_string(DOCUMENT).unwrap();
    let remedies = |text: &str| {
        let lines =
            text.lines().filter(|line| line.starts_with("## ") || line.trim_start().starts_with("\"remedy\": "));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(remedies(&written), remedies(&document), "SIDEPOST_TEST_UPDATE=1 writes the document anew");
}
