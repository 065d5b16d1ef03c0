//! Signatures, verified by a program that is not ours, before and after our own edits.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::support::lines::Lines;
use crate::support::provider::{Provider, Script};
use crate::support::sidecar::{Sidecar, letter, run};

/// Keys as an operator makes them, and their records in the DNS.
struct Keys {
    folder: tempfile::TempDir,
    records: String,
}

impl Keys {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), records: String::new() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// With one more, of which the command ends in these words.
    fn with(mut self, selector: &str, words: &[&str]) -> Self {
        let file = self.path(selector);
        openssl(&[&["genpkey", "-out", file.to_str().unwrap()], words].concat());
        let public = openssl(&["pkey", "-in", file.to_str().unwrap(), "-pubout", "-outform", "DER"]);
        let is_rsa = words.contains(&"RSA");
        // A record has the bare key of Ed25519: RFC 8463 section 4.
        let (kind, key) = if is_rsa { ("rsa", &public[..]) } else { ("ed25519", &public[public.len() - 32..]) };
        let key = STANDARD.encode(key);
        self.records.push_str(&format!("{selector}._domainkey.example.com\tv=DKIM1; k={kind}; p={key}\n"));
        self
    }

    fn files(&self, names: &[&str]) -> String {
        names.iter().map(|name| self.path(name).display().to_string()).collect::<Vec<_>>().join(",")
    }

    /// What the verifier says of each signature, from the top.
    fn verify(&self, message: &[u8]) -> Vec<String> {
        let records = self.path("records");
        std::fs::write(&records, &self.records).unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/dkim-verify.sh");
        let mut child = Command::new(script).arg(records).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(message).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
    }
}

fn openssl(arguments: &[&str]) -> Vec<u8> {
    let output = Command::new("openssl").args(arguments).output().expect("openssl");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn both() -> Keys {
    Keys::new()
        .with("rsa", &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"])
        .with("ed", &["-algorithm", "ed25519"])
}

fn through(provider: &Provider, more: &[(&str, &str)]) -> Sidecar {
    let port = provider.addr.port().to_string();
    let base = [("PROVIDER", "smtp"), ("HOST", "127.0.0.1"), ("PORT", port.as_str()), ("TLS", "none")];
    Sidecar::start(&[&base[..], more].concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn both_signatures_hold_for_everything_that_leaves() {
    let provider = Provider::start(Script::new());
    let keys = both();
    let files = keys.files(&["rsa", "ed"]);
    let signing = [("DKIM_DOMAIN", "Example.com"), ("DKIM_SELECTOR", "rsa, ed"), ("DKIM_KEY_FILE", files.as_str())];
    let sidecar = through(&provider, &signing);
    let mut message = letter("to@example.org");
    message["subject"] = json!("Ein längerer Betreff, der gefaltet wird, weil er auf eine Zeile nicht paßt");
    message["html"] = json!("<p>Hello  there </p>\n\n\n");
    message["headers"] = json!({"List-Unsubscribe": "<https://example.com/leave>", "X-Other": "1"});
    message["attachments"] = json!([{"filename": "a.bin", "content": STANDARD.encode(vec![7; 200_000])}]);
    assert_eq!(sidecar.send(&message).await.status, 200);
    for text in [
        &b"From: a@example.com\r\nSubject: s  s\r\nSubject: t\r\n\r\n.\r\nwords  and \t tabs \r\n\r\n \r\n"[..],
        b"FROM: a@example.com,\r\n\tb@example.com\r\n",
        b"From: a@example.com\r\nBcc: x@y.z\r\n\r\n\xc3\xa4 8 bit\r\n",
    ] {
        let reply = Lines::connect(sidecar.smtp).await.send("a@example.com", &["t@example.org"], text).await;
        assert!(reply.starts_with("250"), "{reply}");
    }
    let held = provider.ledger.held();
    assert_eq!(held.len(), 4);
    for held in held {
        let said = keys.verify(&held.bytes);
        let text = String::from_utf8_lossy(&held.bytes[..held.bytes.len().min(4_000)]).into_owned();
        assert_eq!(said, ["rsa-sha256 rsa pass", "ed25519-sha256 ed pass"], "{text}");
        let broken = text.replace("From:", "From: x@y.z,").replace("FROM:", "FROM: x@y.z,");
        assert_eq!(keys.verify(broken.as_bytes()), ["rsa-sha256 rsa fail", "ed25519-sha256 ed fail"]);
        let added = [b"From: x@y.z\r\n", &held.bytes[..]].concat();
        assert_eq!(keys.verify(&added), ["rsa-sha256 rsa fail", "ed25519-sha256 ed fail"], "nobody can add a From");
    }
}

/// Somebody else signed it; what our rules take out and put in leaves that signature as it was.
#[tokio::test(flavor = "multi_thread")]
async fn a_signature_outlives_our_edits_unless_the_sender_is_forced() {
    let provider = Provider::start(Script::new());
    let keys = Keys::new().with("ed", &["-algorithm", "ed25519"]);
    let files = keys.files(&["ed"]);
    let signing = [("DKIM_DOMAIN", "example.com"), ("DKIM_SELECTOR", "ed"), ("DKIM_KEY_FILE", files.as_str())];
    assert_eq!(through(&provider, &signing).send(&letter("to@example.org")).await.status, 200);
    let signed = provider.ledger.only().bytes;
    let with_more = [b"Bcc: blind@example.org,\r\n more@example.org\r\nX-SMTPAPI: {}\r\n", &signed[..]].concat();
    let rules: [(&[(&str, &str)], &str); 3] = [
        (&[], "pass"),
        (
            &[("FROM", "us@example.com"), ("REDIRECT_TO", "staging@example.com"), ("ALLOWED_SENDERS", "example.com")],
            "pass",
        ),
        (&[("FROM", "us@example.com"), ("FROM_MODE", "force")], "fail"),
    ];
    for (rules, expected) in rules {
        let sidecar = through(&provider, rules);
        let to = &["to@example.org", "blind@example.org"];
        let reply = Lines::connect(sidecar.smtp).await.send("sender@example.com", to, &with_more).await;
        assert!(reply.starts_with("250"), "{reply}");
        let last = provider.ledger.held().pop().unwrap().bytes;
        assert_ne!(last, signed);
        assert!(!String::from_utf8_lossy(&last).contains("Bcc"));
        assert_eq!(keys.verify(&last), [format!("ed25519-sha256 ed {expected}")], "{rules:?}");
    }
}

#[test]
fn keys_that_cannot_work_are_told_at_the_start() {
    let keys = both()
        .with("small", &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"])
        .with("ec", &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]);
    let public = keys.path("public");
    openssl(&["pkey", "-in", keys.path("rsa").to_str().unwrap(), "-pubout", "-out", public.to_str().unwrap()]);
    for (name, expected) in [
        ("small", "fewer than 2048 bits"),
        ("ec", "neither RSA nor Ed25519"),
        ("public", "no private key in PEM"),
        ("missing", "cannot read"),
    ] {
        let file = keys.files(&[name]);
        let settings = [("DKIM_DOMAIN", "example.com"), ("DKIM_SELECTOR", "s"), ("DKIM_KEY_FILE", file.as_str())];
        let (code, _, err) = run(&["config", "--check"], &settings, "");
        assert_eq!(code, 78, "{name}");
        assert!(err.contains("SIDEPOST_DKIM_KEY_FILE") && err.contains(expected), "{err}");
    }
    let (file, key) = (keys.files(&["rsa"]), std::fs::read_to_string(keys.path("rsa")).unwrap());
    let old = keys.path("old");
    openssl(&["rsa", "-in", &file, "-traditional", "-out", old.to_str().unwrap()]);
    for file in [file, keys.files(&["old"])] {
        let settings = [("DKIM_DOMAIN", "example.com"), ("DKIM_SELECTOR", "s"), ("DKIM_KEY_FILE", file.as_str())];
        let (code, out, err) = run(&["config"], &settings, "");
        assert_eq!(code, 0, "{err}");
        assert!(!out.contains(key.lines().nth(1).unwrap()));
    }
}
