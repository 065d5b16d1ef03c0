use axum::routing::{get, post};
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, timeout};

use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::lifecycle::Lifecycle;

const SECOND: Duration = Duration::from_secs(1);

struct Served {
    address: SocketAddr,
    lifecycle: Lifecycle,
    ended: tokio::task::JoinHandle<()>,
}

async fn on_purpose() -> &'static str {
    panic!("on purpose")
}

async fn slow_panic() -> &'static str {
    tokio::time::sleep(SECOND / 5).await;
    panic!("on purpose")
}

/// Less than hyper keeps for a client that does not read.
async fn long() -> String {
    tokio::time::sleep(SECOND / 500).await;
    "long\n".repeat(10_000)
}

/// Reads to the end, and takes its time.
async fn echo(body: String) -> String {
    tokio::time::sleep(SECOND / 5).await;
    format!("[{body}]")
}

impl Served {
    async fn with(connections: usize, patience: Patience) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let lifecycle = Lifecycle::new();
        let limits = Limits { patience, ..Limits::new(connections) };
        let router = Router::new()
            .route("/", get(|| async { "ok" }))
            .route("/slow", get(|| async { tokio::time::sleep(SECOND / 2).await }))
            .route("/echo", get(echo).post(echo))
            .route("/long", get(long))
            .route("/slow-panic", get(slow_panic))
            .route("/panic", get(on_purpose))
            .route("/refuse", post(|| async { (hyper::StatusCode::PAYLOAD_TOO_LARGE, "too large") }));
        let ended = tokio::spawn(serve(listener, router, lifecycle.watch(), limits));
        Self { address, lifecycle, ended }
    }

    async fn new() -> Self {
        Self::with(10, PATIENCE).await
    }

    async fn says(&self, bytes: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream
    }
}

fn get_request(path: &str, more: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{more}\r\n")
}

async fn all(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    timeout(5 * SECOND, stream.read_to_end(&mut bytes)).await.expect("the connection should end").unwrap();
    String::from_utf8(bytes).unwrap()
}

async fn some(stream: &mut TcpStream) -> String {
    let mut bytes = [0; 4096];
    let count = timeout(5 * SECOND, stream.read(&mut bytes)).await.expect("an answer").unwrap();
    String::from_utf8_lossy(&bytes[..count]).into_owned()
}

fn content_length(answer: &str) -> usize {
    let line = answer.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
    line.parse().unwrap()
}

#[tokio::test]
async fn a_panic_is_a_500_and_the_process_lives_on() {
    let served = Served::new().await;
    let mut stream = served.says(get_request("/panic", "").as_bytes()).await;
    let answer = some(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 500 ") && answer.contains("\"code\":\"internal_error\""), "{answer}");
    assert!(!answer.contains("on purpose"));
    stream.write_all(get_request("/", "Connection: close\r\n").as_bytes()).await.unwrap();
    assert!(all(stream).await.ends_with("ok"));
}

#[tokio::test]
async fn connections_beyond_the_limit_are_told_at_once() {
    let served = Served::with(1, PATIENCE).await;
    let mut first = served.says(get_request("/", "").as_bytes()).await;
    some(&mut first).await;
    let mut second = TcpStream::connect(served.address).await.unwrap();
    let answer = some(&mut second).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 503 ") && head.contains("Retry-After: 1"), "{head}");
    assert_eq!(content_length(head), body.len());
    let problem: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(problem["code"], "too_many_connections");
    drop(first);
    tokio::time::sleep(SECOND / 10).await;
    assert!(all(served.says(get_request("/", "Connection: close\r\n").as_bytes()).await).await.ends_with("ok"));
}

#[tokio::test]
async fn draining_ends_idle_connections_and_finishes_requests() {
    let served = Served::new().await;
    let mut idle = served.says(get_request("/", "").as_bytes()).await;
    some(&mut idle).await;
    let silent = TcpStream::connect(served.address).await.unwrap();
    let busy = served.says(get_request("/slow", "").as_bytes()).await;
    tokio::time::sleep(SECOND / 10).await;
    served.lifecycle.advance(Phase::Draining);
    let begun = Instant::now();
    assert_eq!(all(idle).await, "");
    assert_eq!(all(silent).await, "");
    assert!(begun.elapsed() < SECOND / 4);
    let answer = all(busy).await.to_ascii_lowercase();
    assert!(answer.starts_with("http/1.1 200 ") && answer.contains("connection: close"), "{answer}");
    timeout(SECOND, served.ended).await.expect("serve returns").unwrap();
    assert!(TcpStream::connect(served.address).await.is_err());
}

#[tokio::test]
async fn an_ending_process_cuts_what_is_left() {
    let served = Served::new().await;
    let _trickling = served.says(b"GET / HT").await;
    tokio::time::sleep(SECOND / 10).await;
    served.lifecycle.advance(Phase::Ending);
    timeout(LAST_WORDS + SECOND, served.ended).await.expect("serve returns").unwrap();
}

#[tokio::test]
async fn a_trickled_head_has_one_deadline_and_idle_time_another() {
    let patience = Patience { head: SECOND / 4, ..PATIENCE };
    let served = Served::with(10, patience).await;
    let mut stream = served.says(get_request("/", "").as_bytes()).await;
    some(&mut stream).await;
    tokio::time::sleep(SECOND / 2).await;
    stream.write_all(b"GET / HTTP/1.1\r\n").await.expect("idle time is no part of the head's");
    let begun = Instant::now();
    for _ in 0..10 {
        tokio::time::sleep(SECOND / 10).await;
        let _ = stream.write_all(b"A: b\r\n").await;
    }
    let mut rest = Vec::new();
    let _ = timeout(SECOND, stream.read_to_end(&mut rest)).await.expect("cut");
    assert!(rest.is_empty() && begun.elapsed() < 2 * SECOND);
}

#[tokio::test]
async fn an_idle_connection_ends() {
    let served = Served::with(10, Patience { idle: SECOND / 4, ..PATIENCE }).await;
    let mut stream = served.says(get_request("/", "").as_bytes()).await;
    some(&mut stream).await;
    assert_eq!(all(stream).await, "");
}

#[tokio::test]
async fn an_early_refusal_reaches_a_client_that_is_still_sending() {
    let served = Served::new().await;
    let body = vec![b'x'; 8 << 20];
    let head = format!("POST /refuse HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", body.len());
    let mut stream = served.says(head.as_bytes()).await;
    stream.write_all(&body).await.expect("what is sent is taken");
    let answer = all(stream).await;
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.ends_with("too large"), "{answer}");
}

#[tokio::test]
async fn a_huge_head_is_refused() {
    let served = Served::new().await;
    let long = format!("X: {}\r\n", "x".repeat(LARGEST_HEAD));
    let answer = all(served.says(get_request("/", &long).as_bytes()).await).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

/// All that comes back, without the date.
async fn conversation(answer: Duration, pieces: &[String]) -> String {
    let served = Served::with(10, Patience { answer, ..PATIENCE }).await;
    let mut stream = served.says(b"").await;
    for piece in pieces {
        stream.write_all(piece.as_bytes()).await.unwrap();
        tokio::time::sleep(SECOND / 10).await;
    }
    stream.shutdown().await.unwrap();
    let answers = all(stream).await;
    answers.lines().filter(|line| !line.starts_with("date: ")).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn an_answer_that_was_held_is_the_same_as_one_that_was_not() {
    let get = get_request("/echo", "");
    let last = get_request("/echo", "Connection: close\r\n");
    let head = get.replace("GET", "HEAD");
    let older = get.replace("/1.1", "/1.0");
    let kept = older.replace("Host", "Connection: Keep-Alive\r\nHost");
    let post = "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n";
    let chunked = "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n";
    let expecting = "POST /echo HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    let panicking = get_request("/slow-panic", "");
    let two = format!("{get}{post}abcde");
    let quick = get_request("/", "");
    // More than the sockets take while the client does not read.
    let long = get_request("/long", "").repeat(300);
    let three = format!("{post}abcde{quick}{get}{}", &quick[..9]);
    let cases: &[&[&str]] = &[
        &[&get],
        &[&get, &get],
        &[&last, &get],
        &[&head, &get],
        &[&older, &get],
        &[&kept, &kept, &older],
        &[post, "ab", "cde", &get],
        &[chunked, "1\r\nc\r\n", "0\r\n\r\n", &get],
        &[expecting, "ab", &get],
        &[&panicking, &get],
        &[&two, &two],
        &[&three, &quick[9..]],
        &[&long, &get, &get, &get, &get, &get, &get, &get, &get, &get, &get, &get, &get],
    ];
    let mut compared = JoinSet::new();
    for pieces in cases {
        let pieces: Vec<_> = pieces.iter().map(ToString::to_string).collect();
        compared.spawn(async move {
            let held = conversation(Duration::ZERO, &pieces);
            let (held, not_held) = tokio::join!(held, conversation(Duration::MAX / 4, &pieces));
            assert!(not_held.starts_with("HTTP/1."), "{pieces:?}: {not_held}");
            assert!(held == not_held, "{pieces:?}:\n{held:.2000}\nand not held:\n{not_held:.2000}");
        });
    }
    while let Some(done) = compared.join_next().await {
        done.unwrap();
    }
}

#[tokio::test]
async fn an_answer_that_was_held_comes_while_draining_and_is_the_last() {
    let served = Served::with(10, Patience { answer: Duration::ZERO, ..PATIENCE }).await;
    let busy = served.says(get_request("/slow", "").as_bytes()).await;
    tokio::time::sleep(SECOND / 10).await;
    served.lifecycle.advance(Phase::Draining);
    let answer = all(busy).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("connection: close"), "{answer}");
    timeout(SECOND, served.ended).await.expect("serve returns").unwrap();
}

#[tokio::test]
async fn a_connection_whose_answer_was_held_may_be_idle_as_long_as_any() {
    let served = Served::with(10, Patience { answer: Duration::ZERO, head: SECOND / 10, ..PATIENCE }).await;
    let mut stream = served.says(get_request("/echo", "").as_bytes()).await;
    some(&mut stream).await;
    tokio::time::sleep(SECOND / 2).await;
    stream.write_all(get_request("/", "Connection: close\r\n").as_bytes()).await.unwrap();
    assert!(all(stream).await.ends_with("ok"));
}
