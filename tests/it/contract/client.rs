//! A client that sends exactly the bytes it is told to.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A request; `Host` and `Content-Length` are added where they are missing and not switched off.
#[derive(Clone, Debug, Default)]
pub struct Request {
    pub method: String,
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn new(method: &str, target: &str) -> Self {
        Self { method: method.into(), target: target.into(), ..Self::default() }
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
        self.headers.push((name.into(), value.into()));
        self
    }

    pub fn body(mut self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self.header("Content-Type", content_type)
    }

    pub fn json(self, body: &Value) -> Self {
        self.body("application/json", body.to_string())
    }

    /// The head and the body. A header with an empty value is left out altogether.
    pub fn bytes(&self) -> Vec<u8> {
        let mut headers = self.headers.clone();
        let mut default = |name: &str, value: String| {
            if !headers.iter().any(|(other, _)| other.eq_ignore_ascii_case(name)) {
                headers.push((name.into(), value));
            }
        };
        default("Host", "localhost".into());
        if self.method == "POST" {
            default("Content-Length", self.body.len().to_string());
        }
        let mut bytes = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        for (name, value) in headers.iter().filter(|(_, value)| !value.is_empty()) {
            bytes.push_str(&format!("{name}: {value}\r\n"));
        }
        [bytes.as_bytes(), b"\r\n", &self.body].concat()
    }
}

#[derive(Clone, Debug)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// The media type without parameters.
    pub fn media_type(&self) -> Option<&str> {
        self.header("content-type").map(|text| text.split(';').next().unwrap().trim())
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

pub async fn connect(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).await.unwrap()
}

/// Sends a request over a connection of its own.
pub async fn send(address: SocketAddr, request: &Request) -> Response {
    let mut stream = connect(address).await;
    // A refusal may come before everything was sent.
    let _ = stream.write_all(&request.bytes()).await;
    receive(&mut stream, request.method == "HEAD").await
}

pub async fn receive(stream: &mut TcpStream, is_head: bool) -> Response {
    timeout(Duration::from_secs(10), read(stream, is_head)).await.expect("an answer within ten seconds")
}

async fn read(stream: &mut TcpStream, is_head: bool) -> Response {
    let mut bytes = Vec::new();
    let (end, length) = loop {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4);
        if let Some(end) = end {
            let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length = length.map_or(0, |length| length.parse::<usize>().unwrap());
            if is_head || bytes.len() >= end + length {
                break (end, if is_head { 0 } else { length });
            }
        }
        let count = stream.read_buf(&mut bytes).await.unwrap();
        assert!(count > 0, "cut: {:?}", String::from_utf8_lossy(&bytes));
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers = lines.filter_map(|line| line.split_once(": "));
    let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
    Response { status, headers, body: bytes[end..end + length].to_vec() }
}
