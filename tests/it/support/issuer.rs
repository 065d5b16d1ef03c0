//! A token endpoint that does as it is told, on loopback, with everything that was posted to it.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// A posted form.
pub type Form = BTreeMap<String, String>;

/// What comes back.
#[derive(Clone, Debug)]
pub enum Say {
    /// A token, `token-N` for the N-th, with these members beside it or in the place of others.
    Token(Value),
    /// This.
    Answer { status: u16, head: String, body: String },
    /// Nothing; the connection stays open.
    Silence,
    /// Nothing; the connection is closed.
    Close,
    /// A body without an end.
    Flood,
}

impl Say {
    pub fn error(status: u16, error: &str, description: &str) -> Self {
        let body = json!({ "error": error, "error_description": description }).to_string();
        Self::Answer { status, head: "Content-Type: application/json\r\n".to_owned(), body }
    }

    pub fn page(status: u16, head: &str) -> Self {
        let body = "<html><body>Welcome to the hotel</body></html>".to_owned();
        Self::Answer { status, head: format!("Content-Type: text/html\r\n{head}"), body }
    }
}

/// A running issuer; ends when dropped.
pub struct Issuer {
    pub addr: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

type Mint = Box<dyn Fn(usize) -> String + Send + Sync>;

struct Shared {
    forms: Mutex<Vec<Form>>,
    next: Mutex<VecDeque<Say>>,
    always: Mutex<Say>,
    /// What a token looks like.
    mint: Mutex<Mint>,
    delay: Mutex<Duration>,
    /// Seconds by which its clock is ahead.
    ahead: Mutex<i64>,
}

impl Issuer {
    pub async fn start(always: Say) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let shared = Arc::new(Shared {
            forms: Mutex::default(),
            next: Mutex::default(),
            always: Mutex::new(always),
            mint: Mutex::new(Box::new(|number| format!("token-{number}"))),
            delay: Mutex::default(),
            ahead: Mutex::default(),
        });
        let addr = listener.local_addr().unwrap();
        let task = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self { addr, shared, task }
    }

    /// The same with another kind of token.
    pub fn minting(self, mint: impl Fn(usize) -> String + Send + Sync + 'static) -> Self {
        *self.shared.mint.lock().unwrap() = Box::new(mint);
        self
    }

    /// Before the lasting answer comes this one.
    pub fn next(&self, say: Say) {
        self.shared.next.lock().unwrap().push_back(say);
    }

    pub fn always(&self, say: Say) {
        *self.shared.always.lock().unwrap() = say;
    }

    pub fn delay(&self, delay: Duration) {
        *self.shared.delay.lock().unwrap() = delay;
    }

    pub fn clock_ahead(&self, seconds: i64) {
        *self.shared.ahead.lock().unwrap() = seconds;
    }

    pub fn url(&self) -> String {
        format!("http://{}/token", self.addr)
    }

    pub fn forms(&self) -> Vec<Form> {
        self.shared.forms.lock().unwrap().clone()
    }

    /// Waits until so many requests have come.
    pub async fn asked(&self, times: usize) -> Vec<Form> {
        let until = tokio::time::Instant::now() + Duration::from_secs(30);
        loop {
            let forms = self.forms();
            if forms.len() >= times {
                return forms;
            }
            assert!(tokio::time::Instant::now() < until, "{times} requests were expected: {forms:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Ok((stream, _)) = listener.accept() => { connections.spawn(serve(stream, Arc::clone(&shared))); }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(mut stream: TcpStream, shared: Arc<Shared>) {
    let Some(form) = request(&mut stream).await else { return };
    let number = {
        let mut forms = shared.forms.lock().unwrap();
        forms.push(form);
        forms.len()
    };
    let say = shared.next.lock().unwrap().pop_front().unwrap_or_else(|| shared.always.lock().unwrap().clone());
    let delay = *shared.delay.lock().unwrap();
    tokio::time::sleep(delay).await;
    let date = date(*shared.ahead.lock().unwrap());
    let answer = |status: u16, head: &str, body: &str| {
        let length = body.len();
        format!(
            "HTTP/1.1 {status} So\r\nDate: {date}\r\nContent-Length: {length}\r\n{head}Connection: close\r\n\r\n{body}"
        )
    };
    let text = match say {
        Say::Token(more) => {
            let token = shared.mint.lock().unwrap()(number);
            let mut body = json!({ "access_token": token, "token_type": "Bearer", "expires_in": 3599 });
            for (name, value) in more.as_object().into_iter().flatten() {
                body[name] = value.clone();
            }
            answer(200, "Content-Type: application/json\r\n", &body.to_string())
        }
        Say::Answer { status, head, body } => answer(status, &head, &body),
        Say::Silence => return std::future::pending().await,
        Say::Close => return,
        Say::Flood => return flood(stream).await,
    };
    let _ = stream.write_all(text.as_bytes()).await;
    let _ = stream.shutdown().await;
}

async fn flood(mut stream: TcpStream) {
    let mut piece = "HTTP/1.1 200 OK\r\n\r\n".to_owned();
    while stream.write_all(piece.as_bytes()).await.is_ok() {
        piece = "x".repeat(8192);
    }
}

async fn request(stream: &mut TcpStream) -> Option<Form> {
    let mut input = Vec::new();
    loop {
        let mut piece = [0; 4096];
        let count = stream.read(&mut piece).await.ok().filter(|&count| count > 0)?;
        input.extend_from_slice(&piece[..count]);
        let Some(end) = memchr::memmem::find(&input, b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&input[..end]).to_lowercase();
        assert!(head.starts_with("post /") && head.contains("application/x-www-form-urlencoded"), "{head}");
        let length: usize =
            head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse().unwrap();
        let body = &input[end + 4..];
        if body.len() >= length {
            let fields = std::str::from_utf8(body).unwrap().split('&').map(|field| field.split_once('=').unwrap());
            return Some(fields.map(|(name, value)| (decoded(name), decoded(value))).collect());
        }
    }
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digits = [rest.next().unwrap(), rest.next().unwrap()];
                u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
            }
            b'+' => b' ',
            other => other,
        });
    }
    String::from_utf8(bytes).unwrap()
}

fn date(ahead: i64) -> String {
    let now = SystemTime::now();
    let span = Duration::from_secs(ahead.unsigned_abs());
    httpdate::fmt_http_date(if ahead < 0 { now - span } else { now + span })
}
