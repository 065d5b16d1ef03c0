//! What is done to mail servers, one line per case with its source, against the real listener and a provider's ledger;
//! and what is smuggled through them, against a stock Postfix, which takes a bare LF for a line's end.
//!
//! A command or content that must not pass is refused; whatever passes arrives once, for whom it was addressed to, with
//! proper line ends.

mod cases;
mod smuggling;

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use self::cases::{CASES, Case};
use crate::support::provider::{Provider, Script};
use crate::support::sidecar::Sidecar;

fn through(provider: &Provider, more: &[(&str, &str)]) -> Sidecar {
    let port = provider.addr.port().to_string();
    let base = [("PROVIDER", "smtp"), ("HOST", "127.0.0.1"), ("PORT", port.as_str()), ("TLS", "none")];
    Sidecar::start(&[&base[..], more].concat())
}

/// Says all of it at once, and hears every reply there is.
async fn converse(server: SocketAddr, bytes: &[u8]) -> Vec<String> {
    let mut stream = TcpStream::connect(server).await.unwrap();
    let mut greeting = [0; 512];
    let count = stream.read(&mut greeting).await.unwrap();
    assert!(greeting[..count].starts_with(b"220 "));
    let (mut reader, mut writer) = stream.into_split();
    let bytes = bytes.to_vec();
    let writing = tokio::spawn(async move {
        // Where the connection is cut, the rest of it cannot be written.
        let _ = writer.write_all(&bytes).await;
        let _ = writer.shutdown().await;
    });
    let mut text = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(30), reader.read_to_end(&mut text));
    // A cut connection may end in a reset; what came before it counts.
    let _ = read.await.expect("an end");
    writing.await.unwrap();
    let lines = String::from_utf8(text).unwrap();
    assert!(lines.is_empty() || lines.ends_with("\r\n"), "{lines:?}");
    lines.lines().filter(|line| line.as_bytes().get(3) == Some(&b' ')).map(str::to_owned).collect()
}

/// Plays one case; what is wrong with what came of it.
async fn play(case: &Case, sidecar: &Sidecar, provider: &Provider) -> Option<String> {
    let before = provider.ledger.held().len();
    let replies = converse(sidecar.smtp, &case.bytes()).await;
    let fit = replies.len() == case.replies.len()
        && replies.iter().zip(case.replies).all(|(reply, start)| reply.starts_with(start));
    if !fit {
        return Some(format!("{} ({}): {:?} expected, came {replies:#?}", case.name, case.source, case.replies));
    }
    let held = &provider.ledger.held()[before..];
    if held.len() != case.arrives.len() {
        return Some(format!("{} ({}): {} arrived", case.name, case.source, held.len()));
    }
    held.iter().zip(case.arrives).find_map(|(content, recipient)| {
        let fine = content.recipients == [*recipient] && !content.has_bare_newline();
        (!fine).then(|| format!("{} ({}): for {:?}", case.name, case.source, content.recipients))
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn every_case_of_the_table() {
    let mut complaints = Vec::new();
    for extensions in [&["PIPELINING", "CHUNKING", "8BITMIME", "SMTPUTF8", "DSN", "SIZE"][..], &["8BITMIME"]] {
        let provider = Provider::start(Script::new().extensions(extensions));
        let sidecar = through(&provider, &[("MAX_RECIPIENTS", "3"), ("MAX_MESSAGE_BYTES", "100KiB")]);
        for case in CASES.iter().filter(|case| extensions.len() > 1 || !case.needs_extensions) {
            complaints.extend(play(case, &sidecar, &provider).await);
        }
        let commands = provider.ledger.commands();
        let odd: Vec<_> = commands.iter().filter(|command| command.line.contains("evil")).collect();
        assert!(odd.is_empty(), "commands that nobody meant: {odd:?}");
        assert_eq!(provider.ledger.counts().nonsense + provider.ledger.counts().bare_newlines, 0);
        assert_eq!(sidecar.count("sidepost_in_flight_messages").await, 0, "and nothing is left behind");
    }
    assert!(complaints.is_empty(), "{} complaints:\n{}", complaints.len(), complaints.join("\n"));
}
