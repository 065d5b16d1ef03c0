//! A whole connection of a client, byte for byte: commands one by one or in groups, content, junk. Where LHLO comes
//! first, the listener is the one for LMTP; where AUTH is in it, one that wants `user` to log in with `hunter2`.
//!
//! It must end; each reply must be well-formed; how the bytes are cut must not matter; and what the provider was handed
//! must be sound, and as many messages as were said to be taken.
#![no_main]

use std::cell::LazyCell;
use std::collections::HashSet;
use std::sync::{Arc, OnceLock};

use libfuzzer_sys::fuzz_target;
use sidepost::config::Config;
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

/// Who is spoken to.
#[derive(Clone, Copy)]
enum Door {
    Smtp,
    Lmtp,
    Login,
}

impl Door {
    fn of(data: &[u8]) -> Self {
        let says_auth = data.windows(4).any(|word| word.eq_ignore_ascii_case(b"AUTH"));
        match data.get(..4) {
            Some(verb) if verb.eq_ignore_ascii_case(b"LHLO") => Self::Lmtp,
            _ if says_auth => Self::Login,
            _ => Self::Smtp,
        }
    }

    fn server(self) -> Arc<Server> {
        static SERVERS: OnceLock<[Arc<Server>; 3]> = OnceLock::new();
        let servers = SERVERS.get_or_init(|| {
            let new = |config: Config| {
                let clients = ClientRules::parse("loopback").expect("a rule");
                Server::new(config.smtp, clients, HOST.to_owned(), None, Arc::clone(&service().relay))
            };
            let login = Config::from_variables([("SIDEPOST_SMTP_USERS".into(), "user:hunter2".into())]);
            let smtp = new(service().config.clone());
            [Arc::clone(&smtp), smtp.for_lmtp(), new(login.expect("a good setting"))]
        });
        Arc::clone(&servers[self as usize])
    }
}

/// Says the pieces, one after the other, and hears everything to the end.
async fn converse(pieces: &[&[u8]], door: Door) -> Vec<u8> {
    let (mut client, stream) = tokio::io::duplex(PIPE);
    let session = tokio::spawn(Session::new(door.server(), [127, 0, 0, 1].into(), Link::Plain(stream)).run());
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

/// The code of each reply, and how many messages they say were taken; over LMTP several can speak of one.
fn replies(heard: &[u8]) -> (Vec<u16>, usize) {
    let text = std::str::from_utf8(heard).expect("ASCII");
    content::assert_only_crlf(heard);
    let (mut codes, mut messages, mut open) = (Vec::new(), HashSet::new(), None);
    for line in text.split_terminator("\r\n") {
        assert!(line.len() <= 510 && line.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{line:?}");
        let code: u16 = line.get(..3).and_then(|code| code.parse().ok()).expect("a code");
        assert!((200..600).contains(&code) && open.is_none_or(|open| open == code), "{line:?}");
        open = (line.as_bytes().get(3) == Some(&b'-')).then_some(code);
        if open.is_none() {
            assert_eq!(line.as_bytes().get(3), Some(&b' '), "{line:?}");
            codes.push(code);
            messages.extend(line.split_once("; id=").filter(|_| code == 250).map(|(_, id)| id));
        }
    }
    assert_eq!(open, None, "the last reply is whole");
    (codes, messages.len())
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
    let door = Door::of(data);
    let hear = |pieces: &[&[u8]]| {
        let heard = RUNTIME.with(|runtime| runtime.block_on(converse(pieces, door)));
        let (codes, messages) = replies(&heard);
        let messages = taken(messages);
        messages.iter().for_each(|message| assert_sound(message));
        assert!(!matches!(door, Door::Login) || messages.is_empty() || codes.contains(&235), "nobody logged in");
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
