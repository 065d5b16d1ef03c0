//! A Sidepost to test: the real application from a map of settings, in this process or as the binary.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sidepost::app::{self, Running};
use sidepost::cli::client::{Request, Response};
use sidepost::config::Config;
use sidepost::net::listen::Address;

/// Free ports, and nobody asked but by the mail that a test sends.
const ALWAYS: [(&str, &str); 5] = [
    ("HTTP_LISTEN", "127.0.0.1:0"),
    ("SMTP_LISTEN", "127.0.0.1:0"),
    ("ADMIN_LISTEN", "127.0.0.1:0"),
    ("PROBE_INTERVAL", "off"),
    ("CONTROL_HOSTS", "off"),
];

/// Of a name that is given twice, the later value holds.
fn variables(settings: &[(&str, &str)]) -> BTreeMap<OsString, OsString> {
    let variable = |(name, value): &(&str, &str)| (format!("SIDEPOST_{name}").into(), (*value).into());
    ALWAYS.iter().chain(settings).map(variable).collect()
}

/// The lines of a log in a file; one that is being written is left for the next time.
pub fn logged(file: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).unwrap();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// The application in this process; ends with the test's runtime.
pub struct Sidecar {
    pub http: SocketAddr,
    pub smtp: SocketAddr,
    pub admin: SocketAddr,
    /// Where the settings ask for it.
    pub lmtp: Option<SocketAddr>,
    running: Running,
}

impl Sidecar {
    /// Starts with these settings (names without the prefix) over listeners on free ports.
    pub fn start(settings: &[(&str, &str)]) -> Self {
        Self::start_changed(settings, |_| {})
    }

    /// The same, with what settings alone cannot say.
    pub fn start_changed(settings: &[(&str, &str)], change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::from_variables(variables(settings)).expect("settings that work");
        change(&mut config);
        let running = app::start(&config).expect("a start");
        let [http, smtp, admin] =
            [&running.http, &running.smtp, &running.admin].map(|addresses| addresses[0].tcp().expect("a port"));
        let lmtp = running.lmtp.first().and_then(Address::tcp);
        Self { http, smtp, admin, lmtp, running }
    }

    pub async fn send(&self, message: &Value) -> Answer {
        send(self.http, message).await
    }

    /// The value of a counter or gauge that is a whole number.
    pub async fn count(&self, series: &str) -> u64 {
        count(self.admin, series).await
    }

    pub async fn drain(self) {
        self.running.drain(std::future::pending()).await;
    }
}

/// An answer of the HTTP API.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Value,
}

impl Answer {
    pub fn text(&self, field: &str) -> &str {
        self.body[field].as_str().unwrap_or_default()
    }
}

/// A small letter to one recipient.
pub fn letter(to: &str) -> Value {
    json!({ "from": "sender@example.com", "to": to, "subject": "A test", "text": "Hello.\n" })
}

pub async fn send(http: SocketAddr, message: &Value) -> Answer {
    let answer = Request::post_json("/v1/send", message.to_string().into_bytes()).send(http).await.expect("an answer");
    json_answer(&answer)
}

pub async fn get(address: SocketAddr, path: &str) -> Response {
    Request::get(path).send(address).await.expect("an answer")
}

pub fn json_answer(answer: &Response) -> Answer {
    let body = serde_json::from_slice(&answer.body).unwrap_or_else(|_| panic!("JSON: {answer:?}"));
    Answer { status: answer.status, body }
}

pub async fn count(admin: SocketAddr, series: &str) -> u64 {
    let text = String::from_utf8(get(admin, "/metrics").await.body.to_vec()).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no series {series} in\n{text}")).parse().unwrap()
}

/// The application as a process of its own, for signals, exit codes and memory. Addresses are those of its ports, if it
/// has one of the kind.
pub struct Process {
    pub http: SocketAddr,
    pub smtp: SocketAddr,
    pub smtps: SocketAddr,
    pub admin: SocketAddr,
    child: Child,
    log: JoinHandle<Log>,
}

/// What a process wrote about its submissions: Message-IDs by class.
pub type Log = BTreeMap<String, Vec<String>>;

impl Process {
    /// Starts the binary and waits until it serves.
    pub fn start(settings: &[(&str, &str)]) -> Self {
        Self::of(command(settings))
    }

    /// The same with as many open files as the system allows.
    pub fn start_with_many_files(settings: &[(&str, &str)]) -> Self {
        let mut shell = Command::new("sh");
        shell.args(["-c", "ulimit -n \"$(ulimit -Hn)\"; exec \"$0\""]).arg(binary());
        Self::of(with_settings(shell, settings))
    }

    fn of(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let output = child.stdout.take().unwrap();
        let (found, serving) = mpsc::channel();
        // The pipe is read to its end, so that the process never waits for a reader of its log.
        let log = std::thread::spawn(move || {
            let mut log = Log::new();
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let Ok(line) = serde_json::from_str::<Value>(&line) else { continue };
                match (line["message"].as_str(), line["class"].as_str(), line["message_id"].as_str()) {
                    (Some("submission"), Some(class), Some(id)) => {
                        log.entry(class.to_owned()).or_default().push(id.to_owned());
                    }
                    (Some("serving"), ..) => drop(found.send(line)),
                    _ => {}
                }
            }
            log
        });
        let line = serving.recv_timeout(Duration::from_secs(20)).expect("a line that says `serving`");
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let address = |field: &str| line[field].as_str().unwrap().parse().unwrap_or(nowhere);
        let [http, smtp, smtps, admin] = ["http", "smtp", "smtps", "admin"].map(address);
        Self { http, smtp, smtps, admin, child, log }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// The exit code, once it has ended.
    pub fn wait(&mut self, limit: Duration) -> Option<i32> {
        let until = Instant::now() + limit;
        loop {
            match self.child.try_wait().unwrap() {
                Some(status) => return status.code(),
                None if Instant::now() > until => panic!("still running after {limit:?}"),
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    /// Ends it without a word, if it has not ended, and reads its log to the end.
    pub fn into_log(mut self) -> Log {
        // It may have ended already, which is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let log = std::mem::replace(&mut self.log, std::thread::spawn(Log::new));
        log.join().unwrap()
    }

    /// Open file descriptors and threads.
    pub fn handles(&self) -> (usize, usize) {
        let count = |what| std::fs::read_dir(format!("/proc/{}/{what}", self.id())).unwrap().count();
        (count("fd"), count("task"))
    }

    /// A field of `/proc/PID/status` in bytes, such as `VmHWM`, the most memory it ever had.
    pub fn memory(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
        line.trim_matches([':', ' ', '\t', 'k', 'B']).parse::<u64>().unwrap() * 1024
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already, which is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The binary with these settings and no other of ours.
pub fn command(settings: &[(&str, &str)]) -> Command {
    with_settings(Command::new(binary()), settings)
}

/// A command that comes to the binary, with these settings and no other of ours.
pub fn with_settings(mut command: Command, settings: &[(&str, &str)]) -> Command {
    let ours = std::env::vars_os().map(|(name, _)| name).filter(|name| name.to_string_lossy().starts_with("SIDEPOST_"));
    for name in ours {
        command.env_remove(name);
    }
    command.envs(variables(settings));
    command
}

/// The program itself.
pub fn binary() -> OsString {
    env!("CARGO_BIN_EXE_sidepost").into()
}

/// Runs a verb to its end: exit code, standard output, standard error.
pub fn run(arguments: &[&str], settings: &[(&str, &str)], input: &str) -> (i32, String, String) {
    use std::io::Write as _;
    let mut command = command(settings);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A call that makes no sense ends before it reads.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let (mut out, mut err) = (String::new(), String::new());
    child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    (child.wait().unwrap().code().unwrap(), out, err)
}
