//! Unix sockets in place of ports: every listener, our own verbs, and clients that we did not write.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::support::sidecar::{Process, run};

const KINDS: [&str; 3] = ["http", "smtp", "admin"];

/// A sidecar that has no port at all.
struct Portless {
    folder: TempDir,
    process: Process,
}

impl Portless {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let process = start(folder.path());
        Self { folder, process }
    }

    fn socket(&self, kind: &str) -> String {
        self.folder.path().join(kind).to_str().unwrap().to_owned()
    }
}

fn settings(folder: &Path) -> [(&'static str, String); 3] {
    let place = |kind: &str| format!("unix:{}", folder.join(kind).display());
    [("HTTP_LISTEN", place("http")), ("SMTP_LISTEN", place("smtp")), ("ADMIN_LISTEN", place("admin"))]
}

fn borrowed<'a>(settings: &'a [(&'static str, String)]) -> Vec<(&'a str, &'a str)> {
    settings.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

fn start(folder: &Path) -> Process {
    let settings = settings(folder);
    let mut settings = borrowed(&settings);
    settings.extend([("SOCKET_MODE", "0600"), ("ALLOWED_CLIENTS", "loopback")]);
    Process::start(&settings)
}

fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn our_own_verbs_find_the_sockets_and_they_go_with_the_process() {
    let mut sidecar = Portless::start();
    let settings = settings(sidecar.folder.path());
    let settings = borrowed(&settings);
    for kind in KINDS {
        assert_eq!(std::fs::metadata(sidecar.socket(kind)).unwrap().mode() & 0o777, 0o600);
    }
    assert_eq!(run(&["healthcheck"], &settings, "").0, 0);
    let send = ["send", "--to", "b@example.org", "--from", "a@example.com", "--subject", "x"];
    let (code, out, err) = run(&send, &settings, "Hello.\n");
    assert_eq!(code, 0, "{out}{err}");
    let server = format!("--server=unix:{}", sidecar.socket("http"));
    assert_eq!(run(&[&send[..], &[&server]].concat(), &[], "Hello.\n").0, 0);
    let (code, _, err) = run(&[], &settings, "");
    assert!(code == 69 && err.contains("somebody listens there"), "{code} {err}");
    assert_eq!(run(&["healthcheck"], &settings, "").0, 0, "the second start did no harm");
    sidecar.process.signal("TERM");
    assert_eq!(sidecar.process.wait(Duration::from_secs(10)), Some(0));
    assert!(KINDS.iter().all(|kind| !Path::new(&sidecar.socket(kind)).exists()));
    assert_eq!(run(&["healthcheck"], &settings, "").0, 1);
}

#[test]
fn what_a_killed_process_left_is_no_obstacle() {
    let mut first = Portless::start();
    first.process.signal("KILL");
    assert_eq!(first.process.wait(Duration::from_secs(10)), None);
    assert!(Path::new(&first.socket("smtp")).exists());
    let second = start(first.folder.path());
    assert_eq!(run(&["healthcheck"], &borrowed(&settings(first.folder.path())), "").0, 0);
    drop(second);
}

#[test]
fn curl_and_python_speak_through_them() {
    let sidecar = Portless::start();
    let curl = |socket: &str, path: &str, more: &[&str]| {
        let url = format!("http://localhost{path}");
        output(
            Command::new("curl")
                .args(["-fsS", "--max-time", "10", "--unix-socket", &sidecar.socket(socket), &url])
                .args(more),
        )
    };
    let message = r#"{"from":"a@example.com","to":"b@example.org","subject":"x","text":"y"}"#;
    let sent = curl("http", "/v1/send", &["-H", "Content-Type: application/json", "-d", message]);
    assert!(sent.contains("\"sent\""), "{sent}");
    output(Command::new("python3").args(["-c", PYTHON, &sidecar.socket("smtp")]));
    assert_eq!(curl("http", "/v1/messages", &[]).matches("\"id\"").count(), 2);
    let metrics = curl("admin", "/metrics", &[]);
    assert!(metrics.contains("sidepost_submissions_total{answer=\"taken\",ingress=\"smtp\"} 1"), "{metrics}");
}

const PYTHON: &str = r#"
import smtplib, socket, sys

class Local(smtplib.SMTP):
    def _get_socket(self, host, port, timeout):
        stream = socket.socket(socket.AF_UNIX)
        stream.settimeout(10)
        stream.connect(sys.argv[1])
        return stream

with Local("localhost") as client:
    assert client.sendmail("a@example.com", ["b@example.org"], "Subject: x\r\n\r\ny\r\n") == {}
"#;

#[test]
fn who_speaks_http_to_the_smtp_socket_is_cut() {
    let sidecar = Portless::start();
    let mut stream = BufReader::new(UnixStream::connect(sidecar.socket("smtp")).unwrap());
    stream.get_ref().set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut line = String::new();
    stream.read_line(&mut line).unwrap();
    stream.get_mut().write_all(b"POST / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    line.clear();
    stream.read_line(&mut line).unwrap();
    assert!(line.starts_with("421 4.7.0"), "{line}");
    line.clear();
    assert_eq!(stream.read_line(&mut line).unwrap(), 0, "{line}");
}
