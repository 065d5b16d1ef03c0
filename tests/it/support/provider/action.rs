//! What the provider does at a step: what it says, how it writes it, and what comes after.

use std::time::Duration;

/// One thing to do at one step. The default is to behave well.
#[derive(Clone, Debug)]
pub struct Action {
    pub(super) wait: Duration,
    pub(super) say: Say,
    pub(super) pace: Option<Pace>,
    pub(super) then: Then,
    pub(super) accepts: Option<bool>,
}

/// What is written.
#[derive(Clone, Debug)]
pub(super) enum Say {
    /// What a good server says here.
    Good,
    /// Exactly these bytes; none is silence.
    Bytes(Vec<u8>),
    /// These bytes again and again, as long as somebody reads them.
    Endless(Vec<u8>),
}

/// What comes after the words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// The dialogue.
    GoOn,
    /// The end in order: `close_notify` where there is TLS, FIN.
    Close,
    /// The end without a word: RST.
    Reset,
    /// Nothing more, but what comes is read.
    Stall,
    /// Nothing more, and nothing is read: the window closes.
    Freeze,
}

/// How bytes are cut into writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pace {
    pub(super) sizes: Vec<usize>,
    pub(super) pause: Duration,
}

impl Pace {
    /// One byte, a pause, one byte.
    pub fn trickle(pause: Duration) -> Self {
        Self::pieces(&[1], pause)
    }

    /// Writes of these sizes, from the start again when they are used up.
    pub fn pieces(sizes: &[usize], pause: Duration) -> Self {
        assert!(!sizes.is_empty() && !sizes.contains(&0), "a piece has at least one byte");
        Self { sizes: sizes.to_vec(), pause }
    }
}

impl Default for Action {
    fn default() -> Self {
        Self::good()
    }
}

impl Action {
    fn of(say: Say, then: Then) -> Self {
        Self { wait: Duration::ZERO, say, pace: None, then, accepts: None }
    }

    /// What a good server does.
    pub fn good() -> Self {
        Self::of(Say::Good, Then::GoOn)
    }

    /// A reply of one line. Codes from 200 to 399 also have the effect of success.
    pub fn reply(code: u16, text: &str) -> Self {
        Self::raw(format!("{code} {text}\r\n"))
    }

    /// A reply of several lines.
    pub fn lines(code: u16, lines: &[&str]) -> Self {
        Self::raw(multiline(code, lines))
    }

    /// These bytes, whatever they are.
    pub fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self::of(Say::Bytes(bytes.into()), Then::GoOn)
    }

    /// The same bytes for ever.
    pub fn endless(bytes: impl Into<Vec<u8>>) -> Self {
        Self::of(Say::Endless(bytes.into()), Then::Close)
    }

    /// No reply at all, and on with the dialogue: every later reply answers the wrong command.
    pub fn silence() -> Self {
        Self::raw("")
    }

    /// No reply, ever. What the client sends is still read.
    pub fn stall() -> Self {
        Self::of(Say::Bytes(Vec::new()), Then::Stall)
    }

    /// No reply, ever, and nothing is read any more.
    pub fn freeze() -> Self {
        Self::of(Say::Bytes(Vec::new()), Then::Freeze)
    }

    /// FIN instead of a reply.
    pub fn close() -> Self {
        Self::of(Say::Bytes(Vec::new()), Then::Close)
    }

    /// RST instead of a reply.
    pub fn reset() -> Self {
        Self::of(Say::Bytes(Vec::new()), Then::Reset)
    }

    /// 421 and FIN.
    pub fn goodbye() -> Self {
        Self::reply(421, "4.3.2 Service shutting down").then_close()
    }

    /// A web server's answer.
    pub fn http() -> Self {
        Self::raw("HTTP/1.1 400 Bad Request\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n<html></html>")
            .then_close()
    }

    /// What a port with implicit TLS says to somebody who speaks plain text: a fatal alert.
    pub fn tls_alert() -> Self {
        Self::raw([0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x0a]).then_close()
    }

    /// The `ServerHello` of a server that knows nothing newer than TLS 1.0.
    pub fn tls10() -> Self {
        let mut hello = vec![0x16, 0x03, 0x01, 0x00, 0x2a, 0x02, 0x00, 0x00, 0x26, 0x03, 0x01];
        hello.extend([0x5a; 32]);
        hello.extend([0x00, 0x00, 0x2f, 0x00]);
        Self::raw(hello).then_stall()
    }

    /// Bytes that belong to no protocol.
    pub fn garbage() -> Self {
        Self::raw(*b"\x00\xff\xfe\x80\r\n\x07\x1b[31m nonsense \xc3\x28\r\n")
    }

    /// One line of this many bytes without an end.
    pub fn overlong(code: u16, bytes: usize) -> Self {
        let mut line = format!("{code} ").into_bytes();
        line.resize(bytes, b'x');
        Self::raw(line)
    }

    /// First waits; what was due before is written before.
    pub fn after(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    /// One byte at a time.
    pub fn trickled(self, pause: Duration) -> Self {
        self.paced(Pace::trickle(pause))
    }

    /// In pieces of these sizes.
    pub fn paced(mut self, pace: Pace) -> Self {
        self.pace = Some(pace);
        self
    }

    /// Then FIN.
    pub fn then_close(self) -> Self {
        self.then(Then::Close)
    }

    /// Then RST. The words may be lost with it, as on a real line.
    pub fn then_reset(self) -> Self {
        self.then(Then::Reset)
    }

    /// Then nothing, for ever.
    pub fn then_stall(self) -> Self {
        self.then(Then::Stall)
    }

    fn then(mut self, then: Then) -> Self {
        self.then = then;
        self
    }

    /// It takes effect, whatever was said: at the end of the content, the ledger holds the message.
    pub fn taken(mut self) -> Self {
        self.accepts = Some(true);
        self
    }

    /// It has no effect, whatever was said.
    pub fn not_taken(mut self) -> Self {
        self.accepts = Some(false);
        self
    }

    /// Whether the step succeeds on our side.
    pub(super) fn succeeds(&self, good: &[u8]) -> bool {
        self.accepts.unwrap_or_else(|| is_success(self.words(good)))
    }

    /// What will be written (once, where it is written for ever).
    pub(super) fn words<'a>(&'a self, good: &'a [u8]) -> &'a [u8] {
        match &self.say {
            Say::Good => good,
            Say::Bytes(bytes) | Say::Endless(bytes) => bytes,
        }
    }
}

/// `250-one`, `250-two`, `250 three`.
pub(super) fn multiline(code: u16, lines: &[&str]) -> String {
    let last = lines.len() - 1;
    let line = |(at, text)| format!("{code}{}{text}\r\n", if at == last { ' ' } else { '-' });
    lines.iter().enumerate().map(line).collect()
}

/// Whether a reply, judged by its last line, is 2yz or 3yz. A line that was never finished is none.
fn is_success(reply: &[u8]) -> bool {
    let Some(lines) = reply.strip_suffix(b"\r\n") else { return false };
    let last = lines.rsplit(|&byte| byte == b'\n').next().unwrap_or_default();
    matches!(last, [b'2' | b'3', b'0'..=b'9', b'0'..=b'9', b' ', ..] | [b'2' | b'3', b'0'..=b'9', b'0'..=b'9'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn success_is_read_from_the_last_line() {
        for good in ["250 ok\r\n", "354 go\r\n", "250-a\r\n250 b\r\n", "220\r\n"] {
            assert!(is_success(good.as_bytes()), "{good:?}");
        }
        for bad in ["", "250 ok", "2x0 ok\r\n", "250-a\r\n550 b\r\n", "250-a\r\n", "550 no\r\n", "2500 ok\r\n"] {
            assert!(!is_success(bad.as_bytes()), "{bad:?}");
        }
    }

    #[test]
    fn lines_are_joined_as_the_protocol_wants() {
        assert_eq!(Action::lines(250, &["one", "two", "three"]).words(b""), b"250-one\r\n250-two\r\n250 three\r\n");
    }

    #[test]
    fn what_was_said_can_be_overruled() {
        assert!(Action::close().taken().succeeds(b""));
        assert!(!Action::good().not_taken().succeeds(b"250 ok\r\n"));
        assert!(!Action::raw("250 2.0").then_close().succeeds(b""));
    }
}
