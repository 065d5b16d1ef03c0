//! A mail program of few words: whole messages over SMTP, and what was answered.

use std::net::SocketAddr;

use super::provider::Client;

/// A client that says what it is told.
pub struct Lines(Client);

impl Lines {
    /// Connects and reads the greeting.
    pub async fn connect(address: SocketAddr) -> Self {
        let mut client = Client::connect(address).await;
        client.expect("220").await;
        Self(client)
    }

    /// Says bytes as they are.
    pub async fn raw(&mut self, bytes: &[u8]) {
        self.0.send(bytes).await;
    }

    /// Says a line and returns the whole reply.
    pub async fn ask(&mut self, line: &str) -> String {
        self.0.ask(line, "").await
    }

    /// The next reply must begin so.
    pub async fn expect(&mut self, beginning: &str) -> String {
        self.0.expect(beginning).await
    }

    /// A whole message; the reply to the last dot, or the refusal before it. `content` is stuffed here.
    pub async fn send(&mut self, from: &str, to: &[&str], content: &[u8]) -> String {
        self.ask("EHLO client.test").await;
        // The head alone: in a build for tests, all of 25 MB at each try took minutes.
        let eight_bit = if content.iter().take(64 << 10).all(u8::is_ascii) { "" } else { " BODY=8BITMIME" };
        let mut commands = vec![format!("MAIL FROM:<{from}> SIZE={}{eight_bit}", content.len())];
        commands.extend(to.iter().map(|to| format!("RCPT TO:<{to}>")));
        for command in commands {
            let reply = self.ask(&command).await;
            if !reply.starts_with("250") {
                return reply;
            }
        }
        let reply = self.ask("DATA").await;
        if !reply.starts_with("354") {
            return reply;
        }
        self.raw(&stuffed(content)).await;
        self.0.reply().await
    }
}

/// Content with dots doubled and its end.
pub fn stuffed(content: &[u8]) -> Vec<u8> {
    let mut wire = Vec::with_capacity(content.len() + 100);
    for line in content.split_inclusive(|&b| b == b'\n') {
        if line.starts_with(b".") {
            wire.push(b'.');
        }
        wire.extend_from_slice(line);
    }
    wire.extend_from_slice(b".\r\n");
    wire
}
