//! The listener as its clients see it: over real sockets, say a line, expect a reply.

mod secured;

use std::net::SocketAddr;
use std::time::Instant;

use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::command::Chunk;
use super::data::{Decoder, Spoiled};
use super::dialogue::{Dialogue, Next, Transaction};
use super::*;
use crate::app;
use crate::config::Config as Settings;
use crate::config::value::Value as _;
use crate::lifecycle::Lifecycle;
use crate::observe::metrics::Snapshot;
use crate::transport::capture::Captured;

const LIMIT: usize = 100_000;

/// Everything that the listener needs from its surroundings, and what a test turns at.
struct Setup {
    settings: Vec<(&'static str, &'static str)>,
    clients: &'static str,
    messages: usize,
    delay: Duration,
}

impl Default for Setup {
    fn default() -> Self {
        Self { settings: Vec::new(), clients: "loopback", messages: 100, delay: Duration::ZERO }
    }
}

/// A listener that is served.
struct Listening {
    address: SocketAddr,
    server: Arc<Server>,
    lifecycle: Lifecycle,
    serving: JoinHandle<()>,
}

impl Setup {
    fn server(&self) -> (Arc<Server>, Lifecycle) {
        self.server_with(None)
    }

    fn server_with(&self, tls: Option<Arc<ServerTls>>) -> (Arc<Server>, Lifecycle) {
        let lifecycle = Lifecycle::new();
        lifecycle.advance(Phase::Serving);
        let (limit, messages) = (LIMIT.to_string(), self.messages.to_string());
        let delay = format!("{}ms", self.delay.as_millis());
        let ours = [
            ("SIDEPOST_MAX_MESSAGE_BYTES", limit.as_str()),
            ("SIDEPOST_MAX_RECIPIENTS", "3"),
            ("SIDEPOST_MAX_IN_FLIGHT", &messages),
            ("SIDEPOST_MAX_IN_FLIGHT_BYTES", "1MiB"),
            ("SIDEPOST_CAPTURE_DELAY", &delay),
        ];
        let variables = self.settings.iter().chain(&ours).map(|(name, value)| (name.into(), value.into()));
        let settings = Settings::from_variables(variables).unwrap();
        let relay = app::relay(&settings, "us.test", &lifecycle).unwrap();
        let config = settings.smtp;
        let clients = ClientRules::parse(self.clients).unwrap();
        (Server::new(config, clients, "us.test".to_owned(), tls, relay), lifecycle)
    }

    async fn listen(self) -> Listening {
        let (server, lifecycle) = self.server();
        Listening::serve(server, lifecycle).await
    }

    async fn listen_for_lmtp(self) -> Listening {
        let (server, lifecycle) = self.server();
        Listening::serve(server.for_lmtp(), lifecycle).await
    }
}

impl Listening {
    async fn serve(server: Arc<Server>, lifecycle: Lifecycle) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(Arc::clone(&server).serve(listener));
        Self { address, server, lifecycle, serving }
    }

    async fn client(&self) -> Client {
        Client(TcpStream::connect(self.address).await.unwrap())
    }

    /// A client that has said EHLO.
    async fn greeted(&self) -> Client {
        let mut client = self.client().await;
        client.hears("220 us.test ESMTP Sidepost").await;
        client.talk(&[("EHLO me.test", "250-us.test")]).await;
        client
    }

    /// A client that has the 354.
    async fn sending(&self) -> Client {
        let mut client = self.greeted().await;
        client
            .talk(&[("MAIL FROM:<a@b.test>", "250 2.1.0"), ("RCPT TO:<c@d.test>", "250 2.1.5"), ("DATA", "354 ")])
            .await;
        client
    }

    /// What was submitted, the oldest first.
    fn submitted(&self) -> Vec<Arc<Captured>> {
        let mut latest = self.server.relay.captured().unwrap().latest(100);
        latest.reverse();
        latest
    }

    fn refused(&self, reason: &str) -> String {
        let text = String::from_utf8(self.server.relay.metrics().render(Snapshot::default())).unwrap();
        let series = format!("sidepost_refusals_total{{ingress=\"smtp\",reason=\"{reason}\"}} ");
        text.lines().find_map(|line| line.strip_prefix(&series)).unwrap().to_owned()
    }
}

/// The other side of the conversation.
struct Client(TcpStream);

impl Client {
    async fn says(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.unwrap();
    }

    /// One whole reply.
    async fn reply(&mut self) -> String {
        let mut text = Vec::new();
        loop {
            match timeout(Duration::from_secs(5), self.0.read_u8()).await.expect("no reply came") {
                Ok(byte) => text.push(byte),
                Err(_) => return format!("closed after {:?}", text.escape_ascii().to_string()),
            }
            let last = text.rsplit(|&byte| byte == b'\n').nth(1).and_then(|line| line.get(3));
            if text.ends_with(b"\r\n") && last == Some(&b' ') {
                return String::from_utf8(text).unwrap();
            }
        }
    }

    async fn hears(&mut self, start: &str) {
        let reply = self.reply().await;
        assert!(reply.starts_with(start), "{start:?} expected, came {reply:?}");
    }

    async fn hears_each(&mut self, starts: &[&str]) {
        for start in starts {
            self.hears(start).await;
        }
    }

    async fn talk(&mut self, script: &[(&str, &str)]) {
        for (line, start) in script {
            self.says(format!("{line}\r\n")).await;
            self.hears(start).await;
        }
    }

    async fn is_cut(&mut self) {
        assert_eq!(self.reply().await, "closed after \"\"");
    }
}

#[tokio::test]
async fn a_message_goes_through_and_the_reply_is_the_verdict() {
    let listening = Setup::default().listen().await;
    let mut client = listening.sending().await;
    client.says("Subject: x\r\n\r\n..dot\r\n.\r\n").await;
    client.hears("250 2.0.0 Ok: ").await;
    client.talk(&[("QUIT", "221 2.0.0")]).await;
    client.is_cut().await;
    let submitted = listening.submitted();
    let content = String::from_utf8(submitted[0].content.to_vec()).unwrap();
    assert!(content.ends_with("Subject: x\r\n\r\n.dot\r\n"), "{content}");
    assert!(content.starts_with("Received: from me.test ([127.0.0.1])"), "{content}");
    assert!(content.contains("by us.test") && content.contains(" with ESMTP id "), "{content}");
    assert_eq!(listening.server.relay.snapshot().messages, 0);
}

#[tokio::test]
async fn several_messages_and_protocols_on_one_connection() {
    let listening = Setup::default().listen().await;
    let mut client = listening.client().await;
    client.hears("220 ").await;
    let hellos =
        [("HELO me", "250 us.test", ""), ("EHLO me", "250-us.test", ""), ("EHLO me", "250-us.test", " SMTPUTF8")];
    for (hello, start, parameter) in hellos {
        let mail = format!("MAIL FROM:<>{parameter}");
        client.talk(&[(hello, start), (&mail, "250"), ("RCPT TO:<c@d.test>", "250"), ("DATA", "354")]).await;
        client.says(".\r\n").await;
        client.hears("250 2.0.0 Ok: ").await;
    }
    let submitted = listening.submitted();
    for (submission, protocol) in submitted.iter().zip([" with SMTP id ", " with ESMTP id ", " with UTF8SMTP id "]) {
        assert!(String::from_utf8(submission.content.to_vec()).unwrap().contains(protocol));
        assert!(submission.sender.is_none());
    }
}

const WHOLE: &str =
    "EHLO me\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nRCPT TO:<>\r\nDATA\r\nhi\r\n.\r\nRSET\r\nQUIT\r\n";
const REPLIES: [&str; 9] =
    ["250-us.test", "250 2.1.0", "250 2.1.5", "501 5.1.3", "354", "250 2.0.0 Ok", "250 2.0.0 Ok", "221", "closed"];

#[tokio::test]
async fn everything_in_one_segment() {
    let listening = Setup::default().listen().await;
    let mut client = listening.client().await;
    client.hears("220 ").await;
    client.says(WHOLE).await;
    client.hears_each(&REPLIES).await;
}

#[tokio::test]
async fn everything_byte_by_byte() {
    let listening = Setup::default().listen().await;
    let mut client = listening.client().await;
    client.0.set_nodelay(true).unwrap();
    client.hears("220 ").await;
    for byte in WHOLE.bytes() {
        client.says([byte]).await;
        tokio::task::yield_now().await;
    }
    client.hears_each(&REPLIES).await;
}

/// RFC 2920 section 3.2: the replies to a group go out together.
#[tokio::test]
async fn the_replies_to_a_group_are_one_write() {
    let listening = Setup::default().listen().await;
    let mut client = listening.greeted().await;
    client.says("RSET\r\n".repeat(20)).await;
    let mut buffer = [0; 4096];
    let count = client.0.read(&mut buffer).await.unwrap();
    assert_eq!(buffer[..count], *"250 2.0.0 Ok\r\n".repeat(20).as_bytes());
}

/// RFC 2033 section 4.2: after the content, a reply for each recipient that was accepted, in their order.
#[tokio::test]
async fn lmtp_answers_for_each_recipient() {
    let listening = Setup::default().listen_for_lmtp().await;
    let mut client = listening.client().await;
    client.hears("220 us.test LMTP Sidepost").await;
    client
        .talk(&[("EHLO me", "500 5.5.1"), ("LHLO me", "250-us.test"), ("MAIL FROM:<>", "250"), ("DATA", "503 5.5.1")])
        .await;
    client.says("RCPT TO:<a@b.test>\r\nRCPT TO:<>\r\nRCPT TO:<c@b.test>\r\nDATA\r\n").await;
    client.hears_each(&["250", "501", "250", "354"]).await;
    client.says("hi\r\n.\r\nNOOP\r\n").await;
    client.hears_each(&["250 2.0.0 Ok: ", "250 2.0.0 Ok: ", "250 2.0.0 Ok\r\n"]).await;
    let group = "MAIL FROM:<>\r\nRCPT TO:<a@b.test>\r\nRCPT TO:<c@b.test>\r\n";
    client.says(format!("{group}BDAT 1\r\naBDAT 1 LAST\r\nbNOOP\r\n")).await;
    client.hears_each(&["250", "250", "250", "250", "250 2.0.0 Ok: ", "250 2.0.0 Ok: ", "250 2.0.0 Ok\r\n"]).await;
    // What is refused for its form is refused for each, too: after the last chunk, and only after it.
    client.says(format!("{group}DATA\r\n")).await;
    client.hears_each(&["250", "250", "250", "354"]).await;
    client.says("\0\r\n.\r\nNOOP\r\n").await;
    client.hears_each(&["550 5.6.0", "550 5.6.0", "250"]).await;
    let large = "x".repeat(LIMIT + 1);
    client.says(format!("{group}BDAT {} LAST\r\n{large}NOOP\r\n", large.len())).await;
    client.hears_each(&["250", "250", "250", "552 5.3.4", "552 5.3.4", "250"]).await;
    client.says(format!("{group}BDAT {}\r\n{large}BDAT 1 LAST\r\nxNOOP\r\n", large.len())).await;
    client.hears_each(&["250", "250", "250", "552 5.3.4", "503 5.5.1", "250"]).await;
    let submitted = listening.submitted();
    let content = String::from_utf8(submitted[0].content.to_vec()).unwrap();
    assert!(submitted.len() == 2 && content.contains(" with LMTP id "), "{content}");
    let text = String::from_utf8(listening.server.relay.metrics().render(Snapshot::default())).unwrap();
    assert!(text.contains("sidepost_submissions_total{answer=\"taken\",ingress=\"lmtp\"} 2"), "{text}");
}

/// A group of commands up to the first chunk.
const CHUNKS: &str = "MAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\n";

/// RFC 3030: chunks of any size, mixed with PIPELINING, joined as they are.
#[tokio::test]
async fn chunks_are_one_message_however_they_come() {
    let input = format!(
        "{CHUNKS}BDAT 0\r\nBDAT 12\r\nSubject: x\r\nBDAT 5\r\n\r\n.\r\nNOOP\r\nBDAT 4\r\n\n..\rBDAT 1\r\n\nBDAT 2 LAST\r\n..RSET\r\n"
    );
    let replies = ["250 2.1.0", "250 2.1.5", "250", "250", "250", "250", "250", "250", "250 2.0.0 Ok: ", "250"];
    for trickle in [false, true] {
        let listening = Setup::default().listen().await;
        let mut client = listening.greeted().await;
        client.0.set_nodelay(true).unwrap();
        for piece in input.as_bytes().chunks(if trickle { 1 } else { input.len() }) {
            client.says(piece).await;
            tokio::task::yield_now().await;
        }
        client.hears_each(&replies).await;
        let content = listening.submitted()[0].content.to_vec();
        // The bare LF became a line end, the CR and LF on both sides of a border are one, and the last line got its end.
        assert!(
            content.ends_with(b"Subject: x\r\n\r\n.\r\n\r\n..\r\n..\r\n"),
            "{:?}",
            content.escape_ascii().to_string()
        );
        assert_eq!(listening.server.relay.snapshot().messages, 0);
    }
}

#[tokio::test]
async fn empty_chunks_are_an_empty_message() {
    let listening = Setup::default().listen().await;
    let mut client = listening.greeted().await;
    client.says(format!("{CHUNKS}BDAT 0 LAST\r\n{CHUNKS}BDAT 0\r\nBDAT 0\r\nBDAT 0 LAST\r\n")).await;
    client.hears_each(&["250", "250", "250 2.0.0 Ok: ", "250", "250", "250", "250", "250 2.0.0 Ok: "]).await;
    assert_eq!(listening.submitted().len(), 2);
}

#[tokio::test]
async fn what_is_out_of_order_among_chunks_does_not_end_them() {
    let listening = Setup::default().listen().await;
    let mut client = listening.greeted().await;
    client
        .says(format!("BDAT 6\r\nQUIT\r\nMAIL FROM:<>\r\nBDAT 6 LAST\r\nQUIT\r\nRSET\r\n{CHUNKS}BDAT 2\r\na\n"))
        .await;
    client.hears_each(&["503 5.5.1", "250 2.1.0", "554 5.5.1", "250", "250 2.1.0", "250 2.1.5", "250 2.0.0"]).await;
    client.talk(&[("DATA", "503 5.5.1"), ("MAIL FROM:<>", "503 5.5.1"), ("RCPT TO:<x@y.test>", "503 5.5.1")]).await;
    client.says("BDAT 1 LAST\r\nb").await;
    client.hears("250 2.0.0 Ok: ").await;
    let submitted = listening.submitted();
    assert!(submitted[0].content.to_vec().ends_with(b"\r\n\r\na\r\nb\r\n") && submitted[0].recipients.len() == 1);
}

#[tokio::test]
async fn rset_between_chunks_forgets_them_and_gives_back_their_room() {
    let listening = Setup::default().listen().await;
    let mut client = listening.greeted().await;
    client.says(format!("{CHUNKS}BDAT 6\r\nfirst\nRSET\r\n")).await;
    client.hears_each(&["250", "250", "250", "250"]).await;
    assert_eq!(listening.server.relay.snapshot().messages, 0);
    client.says(format!("{CHUNKS}BDAT 6 LAST\r\nother\n")).await;
    client.hears_each(&["250", "250", "250 2.0.0 Ok: "]).await;
    let content = String::from_utf8(listening.submitted()[0].content.to_vec()).unwrap();
    assert!(content.contains("other") && !content.contains("first"));
}

/// RFC 3030 section 2: the octets of a chunk are read before it is refused, and the transaction is over.
#[tokio::test]
async fn a_chunk_that_is_too_large_is_passed_over() {
    let listening = Setup::default().listen().await;
    let mut client = listening.greeted().await;
    let large = "QUIT\r\n".repeat(LIMIT / 6 + 1);
    client.says(format!("{CHUNKS}BDAT 1\r\naBDAT {}\r\n{large}BDAT 6 LAST\r\nQUIT\r\n", large.len())).await;
    client.hears_each(&["250", "250", "250", "552 5.3.4", "503 5.5.1"]).await;
    // Chunks that are too large together.
    let half = LIMIT / 2 + 1;
    let chunk = format!("BDAT {half}\r\n{}", "x".repeat(half));
    client.says(format!("{CHUNKS}{chunk}{chunk}NOOP\r\n")).await;
    client.hears_each(&["250", "250", "250", "552 5.3.4", "250 2.0.0 Ok"]).await;
    assert_eq!((listening.submitted().len(), listening.refused("too_large").as_str()), (0, "2"));
    assert_eq!(listening.server.relay.snapshot().bytes, 0);
}

/// CVE-2017-16943/4 Exim, CVE-2005-1513 qmail: what somebody says about a size is no reason for memory, nor for patience.
#[tokio::test]
async fn a_size_that_nobody_can_mean_ends_the_connection() {
    for size in ["200001", "4294967295", "9223372036854775807", "18446744073709551615"] {
        for before in ["", CHUNKS] {
            let listening = Setup::default().listen().await;
            let mut client = listening.greeted().await;
            client.says(format!("{before}BDAT {size} LAST\r\nQUIT\r\n")).await;
            match before {
                "" => client.hears("503 5.5.1").await,
                _ => client.hears_each(&["250", "250", "552 5.3.4"]).await,
            }
            client.is_cut().await;
        }
    }
    let listening = Setup::default().listen().await;
    let mut client = listening.greeted().await;
    client.says(format!("{CHUNKS}BDAT 18446744073709551616 LAST\r\nQUIT\r\n")).await;
    client.hears_each(&["250", "250", "421 4.7.0", "closed"]).await;
}

#[tokio::test]
async fn chunks_take_room_as_they_come_and_are_told_when_there_is_none() {
    let listening = Setup::default().listen().await;
    let mut client = listening.greeted().await;
    client.says(format!("{CHUNKS}BDAT 50000\r\n{}", "x".repeat(50_000))).await;
    client.hears_each(&["250", "250", "250"]).await;
    assert!(listening.server.relay.snapshot().bytes < 200_000);
    let _others = listening.server.relay.reserve(Ingress::Smtp, (1 << 20) - 200_000).unwrap();
    let _more = listening.server.relay.reserve(Ingress::Smtp, 100_000).unwrap();
    client.says(format!("BDAT 40000 LAST\r\n{}NOOP\r\n", "x".repeat(40_000))).await;
    client.hears_each(&["452 4.3.1", "250"]).await;
    assert_eq!(listening.submitted().len(), 0);
}

#[tokio::test]
async fn a_nul_in_content_is_refused() {
    let listening = Setup::default().listen().await;
    let mut client = listening.sending().await;
    client.says("a\0b\r\n.\r\n").await;
    client.hears("550 5.6.0").await;
    client.says(format!("{CHUNKS}BDAT 2\r\na\0BDAT 1 LAST\r\nb")).await;
    client.hears_each(&["250", "250", "250", "550 5.6.0"]).await;
    assert_eq!((listening.submitted().len(), listening.refused("malformed").as_str()), (0, "2"));
}

#[tokio::test]
async fn a_bare_line_end_in_chunks_as_the_setting_says() {
    for (word, replies, submitted) in [("normalize", ["250", "250 2.0.0 Ok: "], 1), ("reject", ["250", "550 5.6.0"], 0)]
    {
        let settings = vec![("SIDEPOST_BARE_NEWLINE", word)];
        let listening = Setup { settings, ..Setup::default() }.listen().await;
        let mut client = listening.greeted().await;
        client.says(format!("{CHUNKS}BDAT 3\r\na\r\nBDAT 4 LAST\r\nb\r\n\r")).await;
        client.hears_each(&["250", "250"]).await;
        client.hears_each(&replies).await;
        assert_eq!(listening.submitted().len(), submitted, "{word}");
    }
}

/// Half-finished messages must not keep everybody else out, however they come.
#[tokio::test]
async fn chunks_that_stall_give_their_room_to_others() {
    let listening = Setup { messages: 1, ..Setup::default() }.listen().await;
    let mut stalled = listening.greeted().await;
    stalled.says(format!("{CHUNKS}BDAT 5\r\nhalf ")).await;
    stalled.hears_each(&["250", "250", "250"]).await;
    let begun = Instant::now();
    while listening.server.relay.snapshot().messages > 0 {
        assert!(begun.elapsed() < Duration::from_secs(5));
        sleep(Duration::from_millis(50)).await;
    }
    let mut other = listening.sending().await;
    other.says(".\r\n").await;
    other.hears("250 2.0.0").await;
    stalled.says("BDAT 0 LAST\r\n").await;
    stalled.hears("250 2.0.0").await;
}

#[tokio::test]
async fn chunks_that_take_too_long_are_not_sent() {
    let settings = vec![("SIDEPOST_SMTP_DATA_TIMEOUT", "200ms")];
    let listening = Setup { settings, ..Setup::default() }.listen().await;
    for input in ["BDAT 5\r\n", "BDAT 5\r\nhalf ", "BDAT 9 LAST\r\nhalf "] {
        let mut client = listening.greeted().await;
        client.says(format!("{CHUNKS}{input}")).await;
        client.hears_each(&["250", "250"]).await;
        if input == "BDAT 5\r\nhalf " {
            client.hears("250").await;
        }
        client.hears_each(&["421 4.4.2", "closed"]).await;
    }
    assert!(listening.submitted().is_empty());
}

#[tokio::test]
async fn a_browser_is_cut() {
    let listening = Setup::default().listen().await;
    let mut client = listening.client().await;
    client.hears("220 ").await;
    client.says("POST / HTTP/1.1\r\nHost: localhost:1025\r\n\r\nMAIL FROM:<a@b.test>\r\n").await;
    client.hears("421 4.7.0").await;
    client.is_cut().await;
    assert_eq!(listening.refused("malformed"), "1");
}

#[tokio::test]
async fn who_speaks_first_is_cut() {
    let (server, _lifecycle) = Setup::default().server();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = Client(TcpStream::connect(listener.local_addr().unwrap()).await.unwrap());
    client.says("EHLO me\r\n").await;
    tokio::spawn(server.serve(listener));
    client.hears("421 4.7.0").await;
    client.is_cut().await;
}

#[tokio::test]
async fn a_long_line_is_refused_and_an_endless_one_cut() {
    let listening = Setup::default().listen().await;
    let mut client = listening.greeted().await;
    client.says(format!("NOOP {}\r\n", "x".repeat(20_000))).await;
    client.hears("500 5.5.2").await;
    client.talk(&[("NOOP", "250 2.0.0")]).await;
    let (mut reader, mut writer) = client.0.into_split();
    let endless = tokio::spawn(async move { while writer.write_all(&[b'x'; 4096]).await.is_ok() {} });
    let mut text = Vec::new();
    let _ = reader.read_to_end(&mut text).await;
    assert!(text.starts_with(b"421 4.7.0"), "{text:?}");
    endless.await.unwrap();
}

/// Lines of AUTH may be longer; the end of another long line must not pass for one. Found by the fuzzer.
#[tokio::test]
async fn the_end_of_a_long_line_is_no_command() {
    let listening = Setup::default().listen().await;
    let mut client = listening.greeted().await;
    client.says(format!("NOOP {}", "x".repeat(3_000))).await;
    sleep(Duration::from_millis(100)).await;
    client.says("AUTH LOGIN\r\n").await;
    client.hears("500 5.5.2").await;
    client.talk(&[("NOOP", "250 2.0.0")]).await;
}

#[tokio::test]
async fn a_bare_line_feed_ends_no_command() {
    let listening = Setup::default().listen().await;
    let mut client = listening.greeted().await;
    client.says("NOOP\nNOOP\n\r\n").await;
    client.hears("500 5.5.2").await;
    client.talk(&[("NOOP", "250 2.0.0")]).await;
}

#[tokio::test]
async fn idleness_ends_however_it_trickles() {
    let settings = vec![("SIDEPOST_SMTP_IDLE_TIMEOUT", "300ms")];
    let listening = Setup { settings, ..Setup::default() }.listen().await;
    let mut client = listening.client().await;
    client.hears("220 ").await;
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(250) {
        client.says("N").await;
        sleep(Duration::from_millis(20)).await;
    }
    client.hears("421 4.4.2").await;
    assert!(begun.elapsed() < Duration::from_millis(1_000));
    client.is_cut().await;
}

#[tokio::test]
async fn content_that_takes_too_long_is_not_sent() {
    let settings = vec![("SIDEPOST_SMTP_DATA_TIMEOUT", "200ms")];
    let listening = Setup { settings, ..Setup::default() }.listen().await;
    let mut client = listening.sending().await;
    client.says("half").await;
    client.hears("421 4.4.2").await;
    client.is_cut().await;
    assert!(listening.submitted().is_empty());
}

#[tokio::test]
async fn who_may_not_connect_is_told_what_to_set() {
    let listening = Setup { clients: "10.0.0.0/8", ..Setup::default() }.listen().await;
    let mut client = listening.client().await;
    let reply = client.reply().await;
    assert!(reply.starts_with("554 5.7.1") && reply.contains("SIDEPOST_ALLOWED_CLIENTS"), "{reply}");
    client.is_cut().await;
    assert_eq!(listening.refused("forbidden"), "1");
}

#[tokio::test]
async fn connections_are_limited() {
    let settings = vec![("SIDEPOST_SMTP_CONNECTIONS", "1")];
    let listening = Setup { settings, ..Setup::default() }.listen().await;
    let mut first = listening.greeted().await;
    listening.client().await.hears("421 4.3.2").await;
    first.talk(&[("QUIT", "221")]).await;
    first.is_cut().await;
    sleep(Duration::from_millis(50)).await;
    listening.client().await.hears("220 ").await;
    assert_eq!(listening.refused("connection_limit"), "1");
}

#[tokio::test]
async fn one_client_leaves_places_to_others() {
    let settings = vec![("SIDEPOST_SMTP_CONNECTIONS_PER_CLIENT", "2")];
    let listening = Setup { settings, ..Setup::default() }.listen().await;
    let mut two = [listening.greeted().await, listening.greeted().await];
    listening.client().await.hears("421 4.7.0").await;
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 2], 0).into()).unwrap();
    Client(socket.connect(listening.address).await.unwrap()).hears("220 ").await;
    two[0].talk(&[("QUIT", "221")]).await;
    two[0].is_cut().await;
    sleep(Duration::from_millis(50)).await;
    listening.client().await.hears("220 ").await;
    assert_eq!(listening.refused("connection_limit"), "1");
}

#[tokio::test]
async fn content_that_is_too_large_is_read_and_refused() {
    let listening = Setup::default().listen().await;
    let mut client = listening.sending().await;
    client.says("0123456789012345678901234567890123456789012345678\r\n".repeat(40_000)).await;
    client.says(".\r\n").await;
    client.hears("552 5.3.4").await;
    client.talk(&[("MAIL FROM:<a@b.test>", "250"), ("RCPT TO:<c@d.test>", "250"), ("DATA", "354")]).await;
    client.says("fine\r\n.\r\n").await;
    client.hears("250 2.0.0").await;
    assert_eq!((listening.submitted().len(), listening.refused("too_large").as_str()), (1, "1"));
}

#[tokio::test]
async fn a_bare_line_feed_in_content_as_the_setting_says() {
    for (word, start, submitted) in [("normalize", "250 2.0.0", 1), ("reject", "550 5.6.0", 0)] {
        let settings = vec![("SIDEPOST_BARE_NEWLINE", word)];
        let listening = Setup { settings, ..Setup::default() }.listen().await;
        let mut client = listening.sending().await;
        client.says("a\n.\r\nMAIL FROM:<x@y.test>\r\n.\r\nNOOP\r\n").await;
        client.hears_each(&[start, "250 2.0.0 Ok\r\n"]).await;
        assert_eq!(listening.submitted().len(), submitted, "{word}");
    }
}

#[tokio::test]
async fn without_room_data_is_refused_before_the_content() {
    let listening = Setup { messages: 1, ..Setup::default() }.listen().await;
    let _first = listening.sending().await;
    let mut second = listening.greeted().await;
    second
        .talk(&[("MAIL FROM:<>", "250"), ("RCPT TO:<c@d.test>", "250"), ("DATA", "451 4.3.2"), ("NOOP", "250")])
        .await;
    // Content that was sent without waiting for the 354 must not be taken for commands.
    second.says("MAIL FROM:<>\r\nRCPT TO:<c@d.test>\r\nDATA\r\nMAIL FROM:<x@y.test>\r\n.\r\n").await;
    second.hears_each(&["250", "250", "421 4.7.0", "closed"]).await;
}

#[tokio::test]
async fn a_message_that_outgrows_the_room_is_told_to_come_back() {
    let listening = Setup::default().listen().await;
    let mut client = listening.sending().await;
    let _others = listening.server.relay.reserve(Ingress::Smtp, (1 << 20) - 20 * 1024).unwrap();
    client.says("x".repeat(60_000)).await;
    client.says("\r\n.\r\n").await;
    client.hears("452 4.3.1").await;
    client.talk(&[("NOOP", "250")]).await;
    assert_eq!(listening.refused("overloaded"), "1");
}

/// Half-finished messages must not keep everybody else out.
#[tokio::test]
async fn a_stalled_message_gives_its_room_to_others() {
    let listening = Setup { messages: 1, ..Setup::default() }.listen().await;
    let mut stalled = listening.sending().await;
    stalled.says("half").await;
    let begun = Instant::now();
    while listening.server.relay.snapshot().messages > 0 {
        assert!(begun.elapsed() < Duration::from_secs(5));
        sleep(Duration::from_millis(50)).await;
    }
    let mut other = listening.sending().await;
    other.says(".\r\n").await;
    other.hears("250 2.0.0").await;
    stalled.says("done\r\n.\r\n").await;
    stalled.hears("250 2.0.0").await;
}

#[tokio::test]
async fn a_client_that_vanishes_before_the_dot_sends_nothing() {
    let listening = Setup::default().listen().await;
    let mut client = listening.sending().await;
    client.says("Subject: x\r\n\r\nhalf a message\r\n.").await;
    drop(client);
    let begun = Instant::now();
    while listening.server.relay.snapshot().messages > 0 {
        assert!(begun.elapsed() < Duration::from_secs(5));
        sleep(Duration::from_millis(10)).await;
    }
    assert!(listening.submitted().is_empty());
}

#[tokio::test]
async fn draining_answers_everybody_and_returns() {
    let listening = Setup { delay: Duration::from_millis(300), ..Setup::default() }.listen().await;
    let mut idle = listening.greeted().await;
    let mut waiting = listening.sending().await;
    waiting.says(".\r\n").await;
    let mut reading = listening.sending().await;
    sleep(Duration::from_millis(50)).await;
    listening.lifecycle.advance(Phase::Draining);
    idle.hears("421 4.3.2").await;
    idle.is_cut().await;
    reading.says("rest\r\n.\r\n").await;
    reading.hears("250 2.0.0").await;
    waiting.hears_each(&["250 2.0.0", "421 4.3.2", "closed"]).await;
    reading.hears_each(&["421 4.3.2", "closed"]).await;
    timeout(Duration::from_secs(2), listening.serving).await.expect("still serving").unwrap();
    assert!(TcpStream::connect(listening.address).await.is_err());
}

#[tokio::test]
async fn ending_cuts_content_that_is_still_read() {
    let listening = Setup::default().listen().await;
    let mut reading = listening.sending().await;
    reading.says("half").await;
    listening.lifecycle.advance(Phase::Ending);
    reading.hears_each(&["421 4.3.2", "closed"]).await;
    assert_eq!(listening.submitted().len(), 0);
    timeout(Duration::from_secs(2), listening.serving).await.expect("still serving").unwrap();
}

/// The clock is paused, which works because no socket is involved.
#[tokio::test(start_paused = true)]
async fn who_does_not_read_is_cut() {
    let (server, _lifecycle) = Setup::default().server();
    let (mut client, stream) = tokio::io::duplex(64);
    let session = tokio::spawn(Session::new(server, [127, 0, 0, 1].into(), Link::Plain(stream)).run());
    client.read_exact(&mut [0; 28]).await.unwrap();
    let begun = tokio::time::Instant::now();
    // The reply to EHLO is larger than what the stream takes.
    client.write_all(b"EHLO me\r\n").await.unwrap();
    timeout(Duration::from_secs(35), session).await.expect("still waiting").unwrap();
    assert!(begun.elapsed() >= Duration::from_secs(30));
}

/// The codes that a whole input deserves, by the pure parts alone.
fn expected_codes(server: &Server, mut input: &[u8]) -> Vec<u16> {
    let mut dialogue = Dialogue::new(Arc::clone(&server.rules));
    let (mut codes, mut chunks, mut each) = (vec![220], Vec::new(), 1);
    let due = |of: &Transaction| if server.rules.lmtp { of.envelope.recipients().len() } else { 1 };
    while let Some(end) = input.windows(2).position(|pair| pair == b"\r\n") {
        let (line, rest) = (&input[..end], &input[end + 2..]);
        let command = command::parse(line);
        let is_data = command == Ok(command::Command::Data);
        let step = dialogue.take(command, false);
        input = rest;
        let unasked = is_data && step.next == Next::Command && !input.is_empty();
        codes.push(if unasked { 421 } else { step.reply.code() });
        if unasked || step.next == Next::Close {
            break;
        }
        match step.next {
            Next::Content(transaction) => {
                let mut decoder = Decoder::new(BareNewline::Normalize, LIMIT);
                let Some(used) = decoder.push(input) else { break };
                input = &input[used..];
                let code = if decoder.finish().is_err_and(|why| why == Spoiled::Nul) { 550 } else { 250 };
                codes.extend(std::iter::repeat_n(code, due(&transaction)));
            }
            Next::Chunk(Chunk { size, last }, first) => {
                codes.pop();
                let size = usize::try_from(size).unwrap();
                if let Some(transaction) = first {
                    (chunks, each) = (Vec::new(), due(&transaction));
                }
                let Some((chunk, rest)) = input.split_at_checked(size) else { break };
                chunks.extend_from_slice(chunk);
                let code = if last && chunks.contains(&0) { 550 } else { 250 };
                codes.extend(std::iter::repeat_n(code, if last { each } else { 1 }));
                input = rest;
            }
            Next::Swallow(size) => match input.get(usize::try_from(size).unwrap()..) {
                Some(rest) => input = rest,
                None => {
                    codes.pop();
                    break;
                }
            },
            Next::Command | Next::StartTls | Next::Close => {}
        }
    }
    codes
}

fn codes_of(replies: &[u8]) -> Vec<u16> {
    let lines = replies.split(|&byte| byte == b'\n').filter(|line| line.get(3) == Some(&b' '));
    lines.map(|line| std::str::from_utf8(&line[..3]).unwrap().parse().unwrap()).collect()
}

fn part() -> impl Strategy<Value = Vec<u8>> {
    let text = |text: &'static str| Just(text.as_bytes().to_vec());
    prop_oneof![
        1 => text("EHLO a\r\n"),
        1 => text("HELO a\r\n"),
        1 => text("LHLO a\r\n"),
        3 => text("MAIL FROM:<a@b.test>\r\n"),
        3 => text("RCPT TO:<a@b.test>\r\n"),
        3 => text("DATA\r\n"),
        2 => text("BDAT 3\r\na\rb"),
        2 => text("BDAT 4 LAST\r\n\n.\r\n"),
        1 => text("BDAT 0 LAST\r\n"),
        1 => text("BDAT 7\r\n"),
        2 => text(".\r\n"),
        1 => text("RSET\r\n"),
        1 => text("\r\n"),
        1 => text("\r"),
        1 => text("\n"),
        1 => text("."),
        1 => proptest::collection::vec(any::<u8>(), 0..20),
    ]
}

proptest! {
    /// One greeting, then one reply for each command and each content, whatever comes and however it is cut.
    #[test]
    fn any_bytes_get_the_replies_that_they_deserve(parts in proptest::collection::vec(part(), 0..30), trickle in any::<bool>(), lmtp in any::<bool>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (server, _lifecycle) = Setup::default().server();
        let (server, hello) = if lmtp { (server.for_lmtp(), &b"LHLO a\r\n"[..]) } else { (server, &b"EHLO a\r\n"[..]) };
        let input = [hello, &parts.concat()].concat();
        let expected = expected_codes(&server, &input);
        let replies = runtime.block_on(async {
            let (mut client, stream) = tokio::io::duplex(1 << 20);
            let session = tokio::spawn(Session::new(server, [127, 0, 0, 1].into(), Link::Plain(stream)).run());
            let mut greeting = vec![0; if lmtp { 27 } else { 28 }];
            client.read_exact(&mut greeting).await.unwrap();
            let size = if trickle { 1 } else { input.len() };
            for piece in input.chunks(size) {
                // The session may have ended by now.
                let _ = client.write_all(piece).await;
                if trickle {
                    tokio::task::yield_now().await;
                }
            }
            let _ = client.shutdown().await;
            let mut replies = greeting;
            let _ = client.read_to_end(&mut replies).await;
            session.await.unwrap();
            replies
        });
        let codes = codes_of(&replies);
        // Content that comes behind a refused DATA is noticed only where it has come already.
        let comparable = expected.iter().position(|&code| trickle && code == 421).unwrap_or(expected.len());
        prop_assert_eq!(&codes[..comparable.min(codes.len())], &expected[..comparable]);
        prop_assert!(trickle || codes.len() == expected.len(), "{:?} {:?}", codes, expected);
    }
}
