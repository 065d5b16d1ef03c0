//! The provider itself: a good server, and every knob once on the wire.

mod dialogue;
mod faults;
mod limits;
mod login;
mod security;

use super::*;

const SOON: Duration = Duration::from_secs(10);
const MOMENT: Duration = Duration::from_millis(50);
const ENVELOPE: &str = "MAIL FROM:<a@sender.test>\r\nRCPT TO:<b@recipient.test>\r\n";

/// A provider, and a client that has said EHLO to it.
async fn meet(script: Script) -> (Provider, Client) {
    let provider = Provider::start(script);
    let client = Client::greeted(provider.addr).await;
    (provider, client)
}

/// All bytes that a fresh connection hears until its end.
async fn heard(script: Script, say: &str) -> (Vec<u8>, Option<std::io::ErrorKind>) {
    let provider = Provider::start(script);
    let mut client = Client::connect(provider.addr).await;
    client.send(say).await;
    let (pieces, error) = client.pieces().await;
    (pieces.concat(), error)
}
