//! Callers that may hear nothing at all: a whole message through either door, and what came back.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use sidepost::cli::client::Request;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufStream};
use tokio::net::TcpStream;

use super::lines::stuffed;

/// Longer than any answer takes, on a machine however busy.
const PATIENCE: Duration = Duration::from_secs(60);
const SENDER: &str = "sender@example.com";

/// A way in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// `POST /v1/send`.
    Http,
    /// The same with `Prefer: handling=strict`.
    Strict,
    /// SMTP, a connection per message.
    Smtp,
}

/// Where a sidecar is to be found.
#[derive(Clone, Copy, Debug)]
pub struct Address {
    pub http: SocketAddr,
    pub smtp: SocketAddr,
}

/// A message; its id is its Message-ID, and stands in its subject.
#[derive(Clone, Debug)]
pub struct Letter {
    pub id: String,
    pub to: Vec<String>,
    pub text: String,
}

/// What an answer comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// The provider has it, for at least one recipient.
    Taken,
    /// Nobody knows.
    Unknown,
    /// Refused for good.
    Refused,
    /// Not sent; may be sent again.
    Later,
    /// The connection broke before an answer.
    Nothing,
}

/// What a caller heard.
#[derive(Clone, Debug)]
pub struct Heard {
    pub fate: Fate,
    /// The body of an HTTP answer.
    pub body: Value,
    /// All of it, for the reader of a failed test.
    pub words: String,
}

impl Letter {
    /// Sends it once.
    pub async fn send(&self, door: Door, to: Address) -> Heard {
        let sent = async {
            match door {
                Door::Http => self.over_http(to.http, "handling=lenient").await,
                Door::Strict => self.over_http(to.http, "handling=strict").await,
                Door::Smtp => self.over_smtp(to.smtp).await.map(Heard::of_reply).unwrap_or_else(Heard::nothing),
            }
        };
        tokio::time::timeout(PATIENCE, sent).await.unwrap_or_else(|_| panic!("no answer about {}", self.id))
    }

    async fn over_http(&self, address: SocketAddr, prefer: &str) -> Heard {
        let message = json!({
            "from": SENDER, "to": self.to, "subject": self.id, "text": self.text, "message_id": format!("<{}>", self.id)
        });
        let request = Request::post_json("/v1/send", message.to_string().into_bytes());
        match request.header("prefer", prefer.to_owned()).send(address).await {
            Ok(answer) => Heard::of_status(answer.status, &answer.body),
            Err(why) => Heard::nothing(why),
        }
    }

    async fn over_smtp(&self, address: SocketAddr) -> io::Result<String> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let mut stream = BufStream::new(stream);
        let mut heard = reply(&mut stream).await?;
        let recipients = self.to.iter().map(|to| format!("RCPT TO:<{to}>"));
        let before = ["EHLO client.test".to_owned(), format!("MAIL FROM:<{SENDER}>")];
        for line in before.into_iter().chain(recipients).chain(["DATA".to_owned()]) {
            if !heard.starts_with('2') {
                return Ok(heard);
            }
            heard = say(&mut stream, format!("{line}\r\n").as_bytes()).await?;
        }
        if !heard.starts_with("354") {
            return Ok(heard);
        }
        say(&mut stream, &stuffed(&self.content())).await
    }

    /// As it is sent over SMTP.
    pub fn content(&self) -> Vec<u8> {
        let text = self.text.replace('\n', "\r\n");
        format!("Message-ID: <{0}>\r\nSubject: {0}\r\n\r\n{text}", self.id).into_bytes()
    }
}

impl Heard {
    fn of_status(status: u16, body: &[u8]) -> Self {
        let fate = match status {
            200 => Fate::Taken,
            504 => Fate::Unknown,
            429 | 502 | 503 => Fate::Later,
            _ => Fate::Refused,
        };
        let words = format!("{status} {}", String::from_utf8_lossy(body));
        Self { fate, body: serde_json::from_slice(body).unwrap_or_default(), words }
    }

    fn of_reply(words: String) -> Self {
        let fate = match words.replacen('-', " ", 1).get(..9).unwrap_or_default() {
            "451 4.4.2" => Fate::Unknown,
            code if code.starts_with("250") => Fate::Taken,
            code if code.starts_with('4') => Fate::Later,
            _ => Fate::Refused,
        };
        Self { fate, body: Value::Null, words }
    }

    fn nothing(why: impl std::fmt::Display) -> Self {
        Self { fate: Fate::Nothing, body: Value::Null, words: why.to_string() }
    }
}

async fn say(stream: &mut BufStream<TcpStream>, bytes: &[u8]) -> io::Result<String> {
    stream.write_all(bytes).await?;
    stream.flush().await?;
    reply(stream).await
}

async fn reply(stream: &mut BufStream<TcpStream>) -> io::Result<String> {
    let mut whole = String::new();
    loop {
        let begin = whole.len();
        if stream.read_line(&mut whole).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if whole.as_bytes().get(begin + 3) != Some(&b'-') {
            return Ok(whole);
        }
    }
}
