//! TLS and logins on the SMTP listener, by programs that we did not write.

use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::support::keys::Keys;
use crate::support::sidecar::{Process, command};

const USERS: &str = "shop:se:cret,cron:other";
/// A sidecar looks at its files every three seconds.
const PATIENCE: Duration = Duration::from_secs(30);

/// A sidecar with a certificate, and the keys to it.
struct Secured {
    keys: Keys,
    process: Process,
}

impl Secured {
    fn start(more: &[(&str, &str)]) -> Self {
        let keys = Keys::new();
        let (certificate, key) = (keys.text("server.crt"), keys.text("server.key"));
        let ours =
            [("TLS_CERT_FILE", certificate.as_str()), ("TLS_KEY_FILE", key.as_str()), ("SMTPS_LISTEN", "127.0.0.1:0")];
        let process = Process::start(&[&ours[..], more].concat());
        Self { keys, process }
    }

    fn with_users() -> Self {
        Self::start(&[("SMTP_USERS", USERS)])
    }

    /// Swaks with these options: its exit code and what was said.
    fn swaks(&self, options: &[&str]) -> (i32, String) {
        let implicit = options.contains(&"--tls-on-connect");
        let server = if implicit { self.process.smtps } else { self.process.smtp };
        let mut command = Command::new("swaks");
        command.args(["--from", "a@example.com", "--to", "b@example.org", "--timeout", "20"]);
        command.args(["--server", &server.ip().to_string(), "--port", &server.port().to_string()]).args(options);
        ended(&mut command)
    }

    fn python(&self, script: &str) -> (i32, String) {
        let ports = [self.process.smtp.port(), self.process.smtps.port()].map(|port| port.to_string());
        ended(Command::new("python3").args(["-c", &format!("{PYTHON}{script}"), &self.keys.text("ca.crt")]).args(ports))
    }

    /// What `openssl s_client` says; with `--starttls` over the plain port.
    fn openssl(&self, starttls: bool, options: &[&str]) -> (i32, String) {
        let server = if starttls { self.process.smtp } else { self.process.smtps };
        let mut command = Command::new("timeout");
        command.args(["20", "openssl", "s_client", "-connect", &server.to_string()]);
        command.args(if starttls { &["-starttls", "smtp"][..] } else { &[] });
        command.args(["-CAfile", &self.keys.text("ca.crt"), "-verify_return_error"]).args(options);
        ended(&mut command)
    }
}

/// Exit code and both outputs; standard input is empty.
fn ended(command: &mut Command) -> (i32, String) {
    let Output { status, stdout, stderr } = command.stdin(Stdio::null()).output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    (status.code().unwrap_or(-1), text)
}

#[test]
fn swaks_logs_in_by_every_way_that_it_has() {
    let secured = Secured::with_users();
    let ca = secured.keys.text("ca.crt");
    for transport in [
        &[][..],
        &["--tls"],
        &["--tls-optional"],
        &["--tls-on-connect"],
        &["--tls", "--tls-verify", "--tls-ca-path", &ca],
    ] {
        for mechanism in ["PLAIN", "LOGIN"] {
            let login = ["--auth", mechanism, "--auth-user", "shop", "--auth-password", "se:cret"];
            let (code, said) = secured.swaks(&[transport, &login].concat());
            assert_eq!(code, 0, "{transport:?} {mechanism}\n{said}");
            assert!(said.contains("235 2.7.0") && said.contains("250 2.0.0 Ok"), "{said}");
        }
    }
    let (code, said) = secured.swaks(&["--tls", "--auth", "--auth-user", "shop", "--auth-password", "secret"]);
    assert!(code == 28 && said.contains("535 5.7.8"), "{code}\n{said}");
    let (code, said) = secured.swaks(&["--tls", "--auth", "CRAM-MD5", "--auth-user", "shop", "--auth-password", "x"]);
    assert!(code == 28, "{code}\n{said}");
    let (code, said) = secured.swaks(&["--tls"]);
    assert!(code == 23 && said.contains("530 5.7.0"), "{code}\n{said}");
}

#[test]
fn the_received_header_says_how_and_never_who() {
    let secured = Secured::with_users();
    let login = ["--auth", "PLAIN", "--auth-user", "shop", "--auth-password", "se:cret"];
    for (transport, protocol) in [(&[][..], "ESMTPA"), (&["--tls"], "ESMTPSA"), (&["--tls-on-connect"], "ESMTPSA")] {
        let (_, said) = secured.swaks(&[transport, &login].concat());
        let id = said.split("id=").nth(1).unwrap().split_whitespace().next().unwrap();
        let url = format!("http://{}/v1/messages/{id}", secured.process.http);
        let (_, message) = ended(Command::new("curl").args(["-fsS", "-H", "Accept: message/rfc822", &url]));
        assert!(message.contains(&format!(" with {protocol} id {id}")), "{message}");
        assert!(!message.contains("shop") && !message.contains("se:cret"), "{message}");
    }
}

#[test]
fn a_client_certificate_is_a_login() {
    let keys = Keys::new();
    let secured = Secured::start(&[("TLS_CLIENT_CA_FILE", &keys.text("ca.crt"))]);
    let (certificate, key) = (keys.text("client.crt"), keys.text("client.key"));
    for transport in ["--tls", "--tls-on-connect"] {
        let (code, said) = secured.swaks(&[transport, "--tls-cert", &certificate, "--tls-key", &key]);
        assert!(code == 0 && said.contains("250 2.0.0 Ok"), "{said}");
        let (code, said) = secured.swaks(&[transport]);
        assert!(code == 23 && said.contains("530 5.7.0"), "{code}\n{said}");
        // Issued by an authority that the listener was not told about.
        let (certificate, key) = (secured.keys.text("client.crt"), secured.keys.text("client.key"));
        let (code, said) = secured.swaks(&[transport, "--tls-cert", &certificate, "--tls-key", &key]);
        assert!(code != 0 && !said.contains("250 2.0.0 Ok"), "{said}");
    }
}

#[test]
fn curl_sends_over_both_ports() {
    let secured = Secured::with_users();
    let (smtp, smtps) = (secured.process.smtp.port(), secured.process.smtps.port());
    let mail = secured.keys.path("mail.eml");
    std::fs::write(&mail, "Subject: x\r\n\r\ny\r\n").unwrap();
    let send = |url: &str, more: &[&str]| {
        let mut command = Command::new("curl");
        command.args(["-sS", "--max-time", "20", "--cacert", &secured.keys.text("ca.crt"), "--url", url]);
        command.args(["--mail-from", "a@example.com", "--mail-rcpt", "b@example.org", "-T", mail.to_str().unwrap()]);
        ended(command.args(more)).0
    };
    let (plain, implicit) = (format!("smtp://localhost:{smtp}"), format!("smtps://localhost:{smtps}"));
    assert_eq!(send(&plain, &["--ssl-reqd", "--user", "shop:se:cret"]), 0);
    assert_eq!(send(&implicit, &["--user", "shop:se:cret"]), 0);
    assert_eq!(send(&implicit, &["--user", "shop:se:cret", "--login-options", "AUTH=LOGIN"]), 0);
    const LOGIN_DENIED: i32 = 67;
    assert_eq!(send(&implicit, &["--user", "shop:wrong"]), LOGIN_DENIED);
    assert_ne!(send(&implicit, &[]), 0);
}

const PYTHON: &str = r#"
import smtplib, ssl, sys
ca, smtp, smtps = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
context = ssl.create_default_context(cafile=ca)
def send(client):
    assert client.sendmail("a@example.com", ["b@example.org"], "Subject: x\r\n\r\ny\r\n") == {}
"#;

#[test]
fn pythons_smtplib() {
    let secured = Secured::with_users();
    let (code, said) = secured.python(
        r#"
with smtplib.SMTP("localhost", smtp, timeout=20) as client:
    client.starttls(context=context)
    client.login("shop", "se:cret")
    send(client)
with smtplib.SMTP_SSL("localhost", smtps, timeout=20, context=context) as client:
    # It tries both mechanisms, and one more refusal would be the last.
    try:
        client.login("shop", "wrong")
        sys.exit("logged in with a wrong password")
    except smtplib.SMTPAuthenticationError as error:
        assert error.smtp_code == 535, error
    client.login("cron", "other")
    send(client)
with smtplib.SMTP_SSL("localhost", smtps, timeout=20, context=context) as client:
    try:
        send(client)
        sys.exit("sent without a login")
    except smtplib.SMTPSenderRefused as error:
        assert error.smtp_code == 530, error
# RFC 4954 section 5, and a line of more than 2,048 octets.
with smtplib.SMTP_SSL("localhost", smtps, timeout=20, context=context) as client:
    client.ehlo()
    assert client.docmd("AUTH", "PLAIN " + "A" * 12000)[0] == 501
    assert client.docmd("AUTH", "PLAIN " + "A" * 13000)[0] == 500
    client.login("shop", "se:cret")
    assert client.docmd("MAIL FROM:<a@example.com> AUTH=<>")[0] == 250
    assert client.docmd("RSET")[0] == 250
    assert client.docmd("MAIL FROM:<a@example.com> AUTH=e+3Dmc2@example.com")[0] == 250
    assert client.docmd("AUTH", "PLAIN")[0] == 503
"#,
    );
    assert_eq!(code, 0, "{said}");
}

#[test]
fn openssl_agrees_on_modern_tls_only() {
    let secured = Secured::with_users();
    for starttls in [true, false] {
        for (version, cipher) in [("-tls1_3", "TLS_AES_256_GCM_SHA384"), ("-tls1_2", "ECDHE-ECDSA-AES256-GCM-SHA384")] {
            let (code, said) = secured.openssl(starttls, &[version]);
            assert!(code == 0 && said.contains("Verify return code: 0 (ok)"), "{said}");
            assert!(said.contains(cipher) && said.contains("Compression: NONE"), "{said}");
        }
        for old in [
            &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"][..],
            &["-tls1", "-cipher", "ALL:@SECLEVEL=0"],
            &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA256:ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0"],
            &["-tls1_2", "-cipher", "ALL:!ECDHE:@SECLEVEL=0"],
        ] {
            let (code, said) = secured.openssl(starttls, old);
            assert!(code != 0 && said.contains("Cipher is (NONE)"), "{old:?}\n{said}");
        }
    }
}

/// A browser, or whatever takes the port for a web server's; RFC 5321 has the server speak first, also under TLS.
#[test]
fn http_is_cut_under_tls_too() {
    let secured = Secured::with_users();
    let url = format!("https://localhost:{}/", secured.process.smtps.port());
    let ca = secured.keys.text("ca.crt");
    let (code, said) =
        ended(Command::new("curl").args(["-sS", "--http0.9", "--max-time", "20", "--cacert", &ca, &url]));
    assert!(code == 0 && said.contains("421 4.7.0"), "{code} {said}");
}

/// The other way round, either side would wait for the other without end.
#[test]
fn tls_on_the_plain_port_is_cut_and_the_log_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let mut command = command(&[]);
    let child = command.stdout(std::fs::File::create(&log).unwrap()).stderr(Stdio::null()).spawn().unwrap();
    let child = Child(child);
    let line = |wanted: &str| {
        let until = Instant::now() + PATIENCE;
        loop {
            let text = std::fs::read_to_string(&log).unwrap();
            if let Some(line) = text.lines().find(|line| line.contains(wanted)) {
                return serde_json::from_str::<serde_json::Value>(line).unwrap();
            }
            assert!(Instant::now() < until, "{wanted} is not in {text}");
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    let serving = line("\"serving\"");
    let smtp = serving["smtp"].as_str().unwrap();
    let (code, said) = ended(Command::new("timeout").args(["20", "openssl", "s_client", "-connect", smtp]));
    assert!(code == 1 && said.contains("wrong version number"), "{code} {said}");
    let cut = line("began TLS on the plain SMTP port");
    assert!(
        cut["message"].as_str().unwrap().contains("SIDEPOST_SMTPS_LISTEN") && cut["client"] == "127.0.0.1",
        "{cut}"
    );
    drop(child);
}

/// Ends with its test, however that ends.
struct Child(std::process::Child);

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The certificate as the listener shows it.
fn shown(secured: &Secured) -> String {
    let (_, said) = secured.openssl(false, &["-showcerts"]);
    let (_, certificate) = said.split_once("-----BEGIN CERTIFICATE-----").unwrap_or_else(|| panic!("{said}"));
    certificate.split_once("-----END").unwrap().0.trim().to_owned()
}

#[test]
fn a_renewed_certificate_is_shown_and_a_broken_one_is_not() {
    let secured = Secured::with_users();
    let on_disk = || std::fs::read_to_string(secured.keys.path("server.crt")).unwrap();
    let first = shown(&secured);
    assert!(on_disk().contains(&first));
    secured.keys.issue("server");
    let until = Instant::now() + PATIENCE;
    while !on_disk().contains(&shown(&secured)) {
        assert!(Instant::now() < until, "the new certificate is not shown");
        std::thread::sleep(Duration::from_millis(200));
    }
    let second = shown(&secured);
    assert_ne!(first, second);
    std::fs::write(secured.keys.path("server.key"), "not a key").unwrap();
    let metric = || {
        let url = format!("http://{}/metrics", secured.process.admin);
        ended(Command::new("curl").args(["-fsS", &url])).1
    };
    while !metric().contains("sidepost_certificate_reloads_total{result=\"failed\"} 1\n") {
        assert!(Instant::now() < until, "{}", metric());
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(shown(&secured), second);
    assert!(metric().contains("sidepost_certificate_expiry_timestamp_seconds 4070908800\n"), "{}", metric());
}
