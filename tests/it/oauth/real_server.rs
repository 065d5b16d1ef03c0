//! Tokens that Dovecot checks: signed here, shown by the sidecar, with curl as the second client.

use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::hmac;

use super::*;
use crate::support::rig::{Rig, mark};

/// A token for the rig's user that ends so many seconds from now.
fn token(user: &str, life: i64) -> String {
    let key = std::fs::read_to_string(Rig::get().value("TOKEN_KEY_FILE")).unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, &STANDARD.decode(key).unwrap());
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64;
    let claims = json!({ "sub": user, "iat": now - 60, "nbf": now - 60, "exp": now + life });
    let encoded = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", encoded(json!({ "alg": "HS256", "typ": "JWT" })), encoded(claims));
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(hmac::sign(&key, signed.as_bytes())))
}

fn settings(issuer: &Issuer, mechanism: &str) -> Vec<(String, String)> {
    let mut settings = Rig::get().settings("starttls");
    settings.retain(|(name, _)| *name != "PASSWORD");
    let url = issuer.url();
    settings.extend([("AUTH", mechanism), ("OAUTH_CLIENT_ID", "client"), ("OAUTH_REFRESH_TOKEN", "refresh")]);
    settings.push(("OAUTH_TOKEN_URL", &url));
    settings.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn start(settings: &[(String, String)]) -> Sidecar {
    let pairs: Vec<_> = settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    Sidecar::start(&pairs)
}

#[tokio::test(flavor = "multi_thread")]
async fn dovecot_takes_our_tokens_and_a_stale_one_is_replaced() {
    let user = Rig::get().value("USERNAME");
    for mechanism in ["xoauth2", "oauthbearer"] {
        // The first is over before it is shown.
        let issuer =
            Issuer::start(a_token()).await.minting(move |number| token(user, if number == 1 { -30 } else { 600 }));
        let sidecar = start(&settings(&issuer, mechanism));
        let answer = sidecar.send(&letter("to@rig.test")).await;
        assert_eq!((answer.status, &answer.body["attempts"]), (200, &json!(1)), "{mechanism}: {answer:?}");
        assert_eq!(Rig::get().messages(answer.text("message_id"), 1).len(), 1);
        assert_eq!(issuer.forms().len(), 2);
        // A second message finds the connection that the first one left.
        assert_eq!(sidecar.send(&letter("to@rig.test")).await.status, 200);
        assert_eq!(issuer.forms().len(), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dovecots_reason_for_a_refusal_reaches_the_caller() {
    for (mechanism, words) in [("xoauth2", "status 401"), ("oauthbearer", "status invalid_token")] {
        let issuer = Issuer::start(a_token()).await.minting(|_| token("somebody@else.test", 600));
        let sidecar = start(&settings(&issuer, mechanism));
        let answer = sidecar.send(&letter("to@rig.test")).await;
        assert_eq!((answer.status, answer.text("code")), (502, "upstream_auth_failed"), "{answer:?}");
        assert!(answer.text("detail").contains(words), "{mechanism}: {answer:?}");
        assert_eq!(issuer.forms().len(), 2, "one try with another token");
    }
}

/// The rig itself is right: a client that is not ours gets in with the same tokens, and not with others.
#[tokio::test(flavor = "multi_thread")]
async fn curl_gets_in_with_the_same_tokens() {
    let rig = Rig::get();
    let folder = tempfile::tempdir().unwrap();
    let message = folder.path().join("message");
    for (life, success) in [(600, true), (-30, false)] {
        let mark = mark();
        std::fs::write(&message, format!("Subject: {mark}\r\n\r\nx\r\n")).unwrap();
        let output = Command::new("curl")
            .args(["-sS", "--max-time", "20", "--ssl-reqd", "--cacert", rig.value("CA_FILE"), "--user"])
            .arg(format!("{}:", rig.value("USERNAME")))
            .args(["--oauth2-bearer", &token(rig.value("USERNAME"), life), "--mail-from", "a@rig.test"])
            .args(["--mail-rcpt", "b@rig.test", "--upload-file", message.to_str().unwrap()])
            .arg(format!("smtp://localhost:{}/client.test", rig.value("STARTTLS_PORT")))
            .output()
            .unwrap();
        assert_eq!(output.status.success(), success, "{output:?}");
        assert_eq!(rig.messages(&mark, usize::from(success)).len(), usize::from(success));
    }
}
