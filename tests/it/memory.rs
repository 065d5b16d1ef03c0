//! Memory has a limit, whatever comes in.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::lines::Lines;
use crate::support::provider::{Keep, Provider, Script};
use crate::support::sidecar::{Process, send};

const SENDS: usize = 200;
const MESSAGE: usize = 25_000_000;
const MOST: u64 = 200 << 20;

/// 200 messages of 25 MB at once, half over HTTP, half over SMTP; each is tried until it is taken.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_large_messages_at_once_stay_within_bounds() {
    let provider = Provider::start(Script::new().keep(Keep::Summary));
    let port = provider.addr.port().to_string();
    let process = Process::start(&[("PROVIDER", "smtp"), ("HOST", "127.0.0.1"), ("PORT", &port), ("TLS", "none")]);
    let json: &'static [u8] = json(MESSAGE).leak();
    let smtp: &'static [u8] = content(MESSAGE).leak();
    let (to_http, to_smtp) = (process.http, process.smtp);
    let senders: Vec<_> = (0..SENDS)
        .map(|n| match n % 2 {
            0 => tokio::spawn(over_http(to_http, json)),
            _ => tokio::spawn(over_smtp(to_smtp, smtp)),
        })
        .collect();
    let mut put_off = 0;
    for sender in senders {
        put_off += sender.await.unwrap();
    }
    assert!(put_off > 0, "more came at once than there is room for");
    assert_eq!(provider.ledger.counts().held, SENDS);
    let most = process.memory("VmHWM");
    eprintln!("peak memory with {SENDS} messages of {} MB: {} MB", MESSAGE / 1_000_000, most >> 20);
    assert!(most < MOST, "{most} bytes");
    let small = json!({ "from": "a@example.com", "to": "b@example.org", "subject": "x", "text": "y" });
    assert_eq!(send(to_http, &small).await.status, 200, "and it still serves");
}

/// A JSON message whose MIME form has about so many bytes.
fn json(size: usize) -> Vec<u8> {
    let encoded = "QUJD".repeat(size * 73 / 75 / 4);
    let message = format!(
        r#"{{"from":"a@example.com","to":"b@example.org","subject":"x","text":"y","attachments":[{{"filename":"f.bin","content":"{encoded}"}}]}}"#
    );
    message.into_bytes()
}

fn content(size: usize) -> Vec<u8> {
    let line = format!("{}\r\n", "x".repeat(76));
    format!("Subject: x\r\n\r\n{}", line.repeat(size / 78)).into_bytes()
}

/// How often it was told to come back before it was taken.
async fn over_http(address: SocketAddr, body: &[u8]) -> usize {
    let mut times = 0;
    loop {
        match post(address, body).await.as_deref() {
            Some("200") => return times,
            Some("429") | None => times += 1,
            Some(other) => panic!("{other}"),
        }
        tokio::time::sleep(Duration::from_millis(50 + fastrand::u64(..200))).await;
    }
}

/// The status, or nothing where the answer came early and the connection was closed on our writing.
async fn post(address: SocketAddr, body: &[u8]) -> Option<String> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    let head = format!(
        "POST /v1/send HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.ok()?;
    let (mut reader, mut writer) = stream.split();
    let answer = async {
        let mut status = vec![0; 12];
        reader.read_exact(&mut status).await.ok()?;
        Some(String::from_utf8_lossy(&status[9..]).into_owned())
    };
    let write = async {
        // An early answer ends the writing, which is as it should be.
        let _ = writer.write_all(body).await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        answer = answer => answer,
        () = write => None,
    }
}

async fn over_smtp(address: SocketAddr, content: &[u8]) -> usize {
    let mut times = 0;
    loop {
        let reply = Lines::connect(address).await.send("a@example.com", &["b@example.org"], content).await;
        match reply.get(..3) {
            Some("250") => return times,
            Some("451" | "452") => times += 1,
            _ => panic!("{reply}"),
        }
        tokio::time::sleep(Duration::from_millis(50 + fastrand::u64(..200))).await;
    }
}
