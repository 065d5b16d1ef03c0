//! A whole connection of a client, byte for byte: commands one by one or in groups, content, junk.
//!
//! It must end; each reply must be well-formed; how the bytes are cut must not matter; and what the provider was handed
//! must be sound, and as many messages as were said to be taken.
#![no_main]

use std::cell::LazyCell;
use std::sync::{Arc, OnceLock};

use libfuzzer_sys::fuzz_target;
use sidepost::config::value::Value as _;
use sidepost::ingress::clients::ClientRules;
use sidepost::ingress::smtp::Server;
use sidepost::ingress::smtp::session::Session;
use sidepost::net::tls::link::Link;
use sidepost::transport::capture::Captured;
use sidepost_fuzz::service::{HOST, MOST_BYTES, MOST_RECIPIENTS, runtime, service, taken};
use sidepost_fuzz::{content, has_line_end_or_nul, pieces};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::runtime::Runtime;

/// More than is ever said in answer to an input.
const PIPE: usize = 4 << 20;
/// What our own header may add to a message.
const MOST_ADDED: usize = 2_000;

thread_local! {
    static RUNTIME: LazyCell<Runtime> = const { LazyCell::new(runtime) };
}

fn server() -> Arc<Server> {
    static SERVER: OnceLock<Arc<Server>> = OnceLock::new();
    let make = || {
        let clients = ClientRules::parse("loopback").expect("a rule");
        Server::new(service().config.smtp.clone(), clients, HOST.to_owned(), None, Arc::clone(&service().relay))
    };
    Arc::clone(SERVER.get_or_init(make))
}

/// Says the pieces, one after the other, and hears everything to the end.
async fn converse(pieces: &[&[u8]]) -> Vec<u8> {
    let (mut client, stream) = tokio::io::duplex(PIPE);
    let session = tokio::spawn(Session::new(server(), [127, 0, 0, 1].into(), Link::Plain(stream)).run());
    let mut heard = vec![0; 1];
    client.read_exact(&mut heard).await.expect("a greeting");
    for piece in pieces {
        if client.write_all(piece).await.is_err() {
            break;
        }
        if pieces.len() > 1 {
            tokio::task::yield_now().await;
        }
    }
    let _ = client.shutdown().await;
    client.read_to_end(&mut heard).await.expect("an end");
    session.await.expect("a session that ends");
    heard
}

/// The code of each reply, and how many of them say that a message was taken.
fn replies(heard: &[u8]) -> (Vec<u16>, usize) {
    let text = std::str::from_utf8(heard).expect("ASCII");
    content::assert_only_crlf(heard);
    let (mut codes, mut messages, mut open) = (Vec::new(), 0, None);
    for line in text.split_terminator("\r\n") {
        assert!(line.len() <= 510 && line.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{line:?}");
        let code: u16 = line.get(..3).and_then(|code| code.parse().ok()).expect("a code");
        assert!((200..600).contains(&code) && open.is_none_or(|open| open == code), "{line:?}");
        open = (line.as_bytes().get(3) == Some(&b'-')).then_some(code);
        if open.is_none() {
            assert_eq!(line.as_bytes().get(3), Some(&b' '), "{line:?}");
            codes.push(code);
            messages += usize::from(code == 250 && line.contains("; id="));
        }
    }
    assert_eq!(open, None, "the last reply is whole");
    (codes, messages)
}

fn assert_sound(message: &Captured) {
    content::assert_sound(&message.content);
    assert!(!message.content.has_nul());
    assert!(message.content.len() <= MOST_BYTES + MOST_ADDED);
    assert!(message.content.to_vec().starts_with(b"Received: from "));
    assert!((1..=MOST_RECIPIENTS).contains(&message.recipients.len()));
    for address in message.sender.iter().chain(&message.recipients) {
        assert!(!has_line_end_or_nul(&address.to_string()));
    }
    assert!(!has_line_end_or_nul(&message.message_id));
}

/// What a message is, apart from the moment at which it came.
fn gist(message: &Captured) -> (String, Vec<String>, usize) {
    let sender = message.sender.as_ref().map(ToString::to_string).unwrap_or_default();
    (sender, message.recipients.iter().map(ToString::to_string).collect(), message.content.len())
}

fuzz_target!(|data: &[u8]| {
    let hear = |pieces: &[&[u8]]| {
        let heard = RUNTIME.with(|runtime| runtime.block_on(converse(pieces)));
        let (codes, messages) = replies(&heard);
        let messages = taken(messages);
        messages.iter().for_each(|message| assert_sound(message));
        (codes, messages.iter().map(|message| gist(message)).collect::<Vec<_>>())
    };
    let (whole, messages) = hear(&[data]);
    let (cut, cut_messages) = hear(&pieces(data, 16));
    // What comes behind a refused DATA is noticed only where it has come already; all else is the same.
    let same = whole.iter().position(|&code| code == 421).unwrap_or(whole.len());
    assert_eq!(whole[..same], cut[..same.min(cut.len())]);
    if same == whole.len() {
        assert_eq!((whole, messages), (cut, cut_messages));
    }
});
