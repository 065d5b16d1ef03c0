//! TLS and logins over streams without sockets, so that a client can be far away.

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, BufStream, DuplexStream, duplex};
use tokio_rustls::TlsConnector;

use super::*;
use crate::net::tls::server;

const NEAR: [u8; 4] = [127, 0, 0, 1];
const FAR: [u8; 4] = [10, 9, 8, 7];
/// `\0joe\0secret`
const JOE: &str = "AUTH PLAIN AGpvZQBzZWNyZXQ=";
const WRONG: &str = "AUTH PLAIN AGpvZQB3cm9uZw==";

/// A server with a certificate, and a client that trusts it.
struct Secured {
    server: Arc<Server>,
    connector: TlsConnector,
    _lifecycle: Lifecycle,
}

impl Secured {
    fn new(settings: Vec<(&'static str, &'static str)>) -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec!["us.test".to_owned()]).unwrap().self_signed(&key).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let [chain, secret] = ["crt", "key"].map(|name| folder.path().join(name));
        std::fs::write(&chain, certificate.pem()).unwrap();
        std::fs::write(&secret, key.serialize_pem()).unwrap();
        let config =
            server::Config { tls_cert_file: Some(chain), tls_key_file: Some(secret), tls_client_ca_file: None };
        let tls = ServerTls::new(&config).unwrap().map(Arc::new);
        let (server, lifecycle) = Setup { settings, ..Setup::default() }.server_with(tls);
        let mut roots = RootCertStore::empty();
        roots.add(certificate.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let connector = TlsConnector::from(Arc::new(config.with_root_certificates(roots).with_no_client_auth()));
        Self { server, connector, _lifecycle: lifecycle }
    }

    fn with_users() -> Self {
        Self::new(vec![("SIDEPOST_SMTP_USERS", "joe:secret")])
    }

    fn connect(&self, from: [u8; 4]) -> Talk<DuplexStream> {
        let (near, far) = duplex(1 << 16);
        tokio::spawn(Session::new(Arc::clone(&self.server), from.into(), Link::Plain(far)).run());
        Talk(BufStream::new(near))
    }

    async fn secure(&self, talk: Talk<DuplexStream>) -> Talk<tokio_rustls::client::TlsStream<DuplexStream>> {
        let name = ServerName::try_from("us.test").unwrap();
        Talk(BufStream::new(self.connector.connect(name, talk.0.into_inner()).await.unwrap()))
    }

    fn refused(&self, reason: &str) -> String {
        let text = String::from_utf8(self.server.relay.metrics().render(Snapshot::default())).unwrap();
        let series = format!("sidepost_refusals_total{{ingress=\"smtp\",reason=\"{reason}\"}} ");
        text.lines().find_map(|line| line.strip_prefix(&series)).unwrap().to_owned()
    }
}

struct Talk<S>(BufStream<S>);

impl<S: AsyncRead + AsyncWrite + Unpin> Talk<S> {
    /// One whole reply, or nothing where the connection has ended.
    async fn reply(&mut self) -> String {
        let mut whole = String::new();
        loop {
            let begin = whole.len();
            let read = timeout(Duration::from_secs(20), self.0.read_line(&mut whole)).await.expect("no reply came");
            if read.unwrap_or(0) == 0 || whole.as_bytes().get(begin + 3) == Some(&b' ') {
                return whole;
            }
        }
    }

    async fn says(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
        self.0.flush().await.unwrap();
    }

    /// Says each line and compares the beginning of each reply.
    async fn check(&mut self, script: &[(&str, &str)]) {
        for (line, start) in script {
            self.says(&format!("{line}\r\n")).await;
            let reply = self.reply().await;
            assert!(reply.starts_with(start), "{line}: {start:?} expected, came {reply:?}");
        }
    }

    async fn hears(&mut self, start: &str) {
        let reply = self.reply().await;
        assert!(reply.starts_with(start), "{start:?} expected, came {reply:?}");
    }

    async fn ehlo(&mut self) -> Vec<String> {
        self.says("EHLO me.test\r\n").await;
        self.reply().await.lines().map(|line| line[4..].to_owned()).collect()
    }
}

#[tokio::test]
async fn tls_begins_the_conversation_anew() {
    let secured = Secured::new(Vec::new());
    let mut talk = secured.connect(FAR);
    talk.hears("220 ").await;
    talk.check(&[("STARTTLS", "503 5.5.1")]).await;
    assert!(talk.ehlo().await.contains(&"STARTTLS".to_owned()));
    talk.check(&[("STARTTLS now", "501 5.5.4"), ("MAIL FROM:<>", "250"), ("STARTTLS", "503 5.5.1")]).await;
    talk.check(&[("RSET", "250"), ("STARTTLS", "220 2.0.0")]).await;
    let mut talk = secured.secure(talk).await;
    talk.check(&[("MAIL FROM:<>", "503 5.5.1"), ("STARTTLS", "503 5.5.1")]).await;
    assert!(!talk.ehlo().await.contains(&"STARTTLS".to_owned()));
    talk.check(&[("STARTTLS", "503 5.5.1"), ("MAIL FROM:<>", "250"), ("RCPT TO:<a@b.test>", "250"), ("DATA", "354")])
        .await;
    talk.says("x\r\n.\r\n").await;
    talk.hears("250 2.0.0").await;
    let submitted = secured.server.relay.captured().unwrap().latest(1);
    let content = String::from_utf8(submitted[0].content.to_vec()).unwrap();
    assert!(content.contains(" with ESMTPS id "), "{content}");
}

/// CVE-2011-0411 Postfix, CVE-2021-33515 Dovecot, CVE-2024-34083 aiosmtpd.
#[tokio::test]
async fn what_comes_in_plain_behind_starttls_is_never_obeyed() {
    for behind in ["EHLO evil\r\n", "MAIL FROM:<evil@b.test>\r\n", "x", "\r\n"] {
        let secured = Secured::new(Vec::new());
        let mut talk = secured.connect(FAR);
        talk.hears("220 ").await;
        talk.ehlo().await;
        talk.says(&format!("STARTTLS\r\n{behind}")).await;
        talk.hears("421 4.7.0").await;
        assert_eq!(talk.reply().await, "", "{behind:?}");
        assert_eq!(secured.refused("malformed"), "1");
    }
}

#[tokio::test]
async fn what_is_no_handshake_ends_the_connection() {
    let secured = Secured::new(Vec::new());
    let mut talk = secured.connect(FAR);
    talk.hears("220 ").await;
    talk.ehlo().await;
    talk.check(&[("STARTTLS", "220")]).await;
    talk.says("EHLO me.test\r\n").await;
    let heard = talk.reply().await;
    assert!(!heard.starts_with("250"), "{heard}");
    assert_eq!(secured.refused("malformed"), "1");
}

#[tokio::test]
async fn a_client_that_begins_tls_by_itself_is_told_and_cut() {
    let secured = Secured::new(Vec::new());
    let mut talk = secured.connect(FAR);
    talk.hears("220 ").await;
    talk.0.write_all(b"\x16\x03\x01\x02\x00\x01").await.unwrap();
    talk.0.flush().await.unwrap();
    talk.hears("421 4.7.0 TLS begins with STARTTLS").await;
    assert_eq!(talk.reply().await, "");
}

#[tokio::test]
async fn a_password_is_not_taken_in_plain_from_afar() {
    let secured = Secured::with_users();
    let mut talk = secured.connect(FAR);
    talk.hears("220 ").await;
    assert!(!talk.ehlo().await.iter().any(|line| line.starts_with("AUTH")));
    talk.check(&[
        (JOE, "538 5.7.11"),
        ("MAIL FROM:<>", "530 5.7.0"),
        ("RCPT TO:<a@b.test>", "503"),
        ("STARTTLS", "220"),
    ])
    .await;
    let mut talk = secured.secure(talk).await;
    assert!(talk.ehlo().await.contains(&"AUTH PLAIN LOGIN".to_owned()));
    talk.check(&[("MAIL FROM:<>", "530 5.7.0"), (JOE, "235 2.7.0"), (JOE, "503"), ("MAIL FROM:<>", "250")]).await;
    assert_eq!(secured.refused("unauthorized"), "3");
}

#[tokio::test]
async fn logins_have_their_place() {
    let secured = Secured::with_users();
    let mut talk = secured.connect(NEAR);
    talk.hears("220 ").await;
    talk.check(&[(JOE, "503"), ("HELO me", "250 us.test"), (JOE, "503"), ("EHLO me", "250-")]).await;
    talk.check(&[("AUTH", "501 5.5.4"), ("AUTH NTLM", "504 5.5.4"), ("AUTH LOGIN", "334 VXNlcm5hbWU6")]).await;
    // What looks like a command is an answer here.
    talk.check(&[("QUIT", "334 UGFzc3dvcmQ6"), ("*", "501 5.7.0"), ("NOOP", "250")]).await;
    talk.check(&[("AUTH PLAIN", "334"), ("AGpvZQBzZWNyZXQ=", "235 2.7.0"), ("MAIL FROM:<>", "250"), (JOE, "503")])
        .await;
    talk.check(&[("RSET", "250"), ("STARTTLS", "220")]).await;
    let mut talk = secured.secure(talk).await;
    talk.ehlo().await;
    talk.check(&[("MAIL FROM:<>", "530 5.7.0")]).await;
}

#[tokio::test]
async fn long_answers_are_answers_and_longer_ones_are_refused() {
    let secured = Secured::with_users();
    let mut talk = secured.connect(NEAR);
    talk.hears("220 ").await;
    talk.ehlo().await;
    let most = "A".repeat(12_288 - "AUTH PLAIN \r\n".len());
    talk.check(&[(&format!("AUTH PLAIN {most}"), "501 5.5.2"), (&format!("AUTH PLAIN {most}A"), "500 5.5.2")]).await;
    let most = "A".repeat(12_288 - 2);
    talk.check(&[("AUTH PLAIN", "334"), (&most, "501 5.5.2")]).await;
    talk.check(&[("AUTH PLAIN", "334"), (&format!("{most}A"), "500 5.5.6"), ("NOOP", "250")]).await;
    talk.check(&[(&format!("NOOP {}", "A".repeat(2_100)), "500 5.5.2")]).await;
}

/// The clock is paused: nothing here waits for a socket.
#[tokio::test(start_paused = true)]
async fn guessing_takes_time_and_ends_after_three() {
    let secured = Secured::with_users();
    let (mut guessing, mut other) = (secured.connect(NEAR), secured.connect(NEAR));
    guessing.hears("220 ").await;
    other.hears("220 ").await;
    let begun = tokio::time::Instant::now();
    guessing.ehlo().await;
    guessing.says(&format!("{WRONG}\r\n{WRONG}\r\n{WRONG}\r\n{JOE}\r\n")).await;
    other.ehlo().await;
    other.check(&[(JOE, "235")]).await;
    assert!(begun.elapsed() < Duration::from_secs(1), "nobody else waits");
    for start in ["535 5.7.8", "535 5.7.8", "421 4.7.0"] {
        guessing.hears(start).await;
    }
    assert_eq!(guessing.reply().await, "");
    assert!(begun.elapsed() >= Duration::from_secs(3));
    assert_eq!(secured.refused("unauthorized"), "3");
}

#[tokio::test(start_paused = true)]
async fn a_connection_does_not_last_for_ever() {
    let secured = Secured::new(vec![("SIDEPOST_SMTP_CONNECTION_TIMEOUT", "10m")]);
    let mut talk = secured.connect(NEAR);
    talk.hears("220 ").await;
    for _ in 0..9 {
        talk.check(&[("NOOP", "250")]).await;
        sleep(Duration::from_secs(65)).await;
    }
    sleep(Duration::from_secs(20)).await;
    talk.hears("421 4.4.2").await;
    assert_eq!(talk.reply().await, "");
}
