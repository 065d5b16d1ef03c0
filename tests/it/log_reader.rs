//! Whoever reads the log may stall: lines are lost then, and mail is not.

use std::io::{BufRead as _, BufReader, Lines};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;

use crate::support::sidecar::{command, count, letter, send};

const DROPPED: &str = "sidepost_log_lines_dropped_total";

/// The binary, and its log as far as the test reads it.
struct Unread {
    child: Child,
    log: Lines<BufReader<ChildStdout>>,
    http: SocketAddr,
    admin: SocketAddr,
}

impl Unread {
    /// Reads to the line that says where it serves, and no further.
    fn start() -> Self {
        let mut child = command(&[]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut log = BufReader::new(child.stdout.take().unwrap()).lines();
        let serving = log.by_ref().map(|line| json(&line.unwrap())).find(|line| line["message"] == "serving").unwrap();
        let address = |field: &str| serving[field].as_str().unwrap().parse().unwrap();
        Self { child, log, http: address("http"), admin: address("admin") }
    }

    async fn send(&self, messages: usize) {
        for _ in 0..messages {
            assert_eq!(send(self.http, &letter("to@example.org")).await.status, 200);
        }
    }

    /// All that was kept while nobody read: up to the line that tells what was not.
    fn catch_up(&mut self) -> Vec<Value> {
        let mut lines = Vec::new();
        for line in self.log.by_ref() {
            lines.push(json(&line.unwrap()));
            if lines.last().unwrap()["lines"].is_u64() {
                break;
            }
        }
        lines
    }

    /// Ends it with TERM: the rest of the log.
    fn end(mut self) -> Vec<Value> {
        let reader = std::thread::spawn(move || self.log.map(|line| json(&line.unwrap())).collect());
        assert!(Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap().success());
        assert!(self.child.wait().unwrap().success());
        reader.join().unwrap()
    }
}

fn json(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"))
}

fn submissions(log: &[Value]) -> usize {
    log.iter().filter(|line| line["message"] == "submission").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_goes_on_while_nobody_reads_the_log_and_the_log_says_what_it_lost() {
    let mut sidecar = Unread::start();
    // A line has some 350 bytes; the pipe takes 64 kB, and up to 512 kB more may wait.
    sidecar.send(3_000).await;
    let dropped = count(sidecar.admin, DROPPED).await;
    assert!(dropped > 0);
    let log = sidecar.catch_up();
    assert_eq!(log.last().unwrap()["lines"], dropped);
    assert_eq!(submissions(&log) + usize::try_from(dropped).unwrap(), 3_000, "each line was written or counted");
    sidecar.send(1).await;
    let log = sidecar.end();
    assert_eq!((submissions(&log), &log.last().unwrap()["message"]), (1, &"ended".into()), "and all is as before");
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_that_wait_are_written_before_an_orderly_end() {
    let sidecar = Unread::start();
    sidecar.send(500).await;
    assert_eq!(count(sidecar.admin, DROPPED).await, 0);
    let log = sidecar.end();
    assert_eq!(submissions(&log), 500);
    assert!(log.iter().any(|line| line["message"] == "ended"));
}
