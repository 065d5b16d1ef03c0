//! Logins with tokens: one request for all who wait, a refresh in time, and the truth when there is none.

mod assertions;
mod consent;
mod real_server;
mod trouble;

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::support::certificates::{Certificate, Certificates};
use crate::support::issuer::{Issuer, Say};
use crate::support::provider::{Action, Provider, Script, Step, USER};
use crate::support::sidecar::{Sidecar, letter, run};

/// A server that takes this token of [`USER`], and no other.
fn taking(token: &str) -> Script {
    Script::new().starttls(Certificate::Good).token(USER, token)
}

fn a_token() -> Say {
    Say::Token(json!({}))
}

/// The settings of somebody who ran `sidepost oauth login google`.
struct Settings(Vec<(&'static str, String)>);

impl Settings {
    fn google(provider: &Provider, issuer: &Issuer) -> Self {
        let values = [
            ("PROVIDER", "gmail".to_owned()),
            ("HOST", "localhost".to_owned()),
            ("PORT", provider.addr.port().to_string()),
            ("TLS", "starttls".to_owned()),
            ("CA_FILE", Certificates::new().ca_file().display().to_string()),
            ("USERNAME", USER.to_owned()),
            ("OAUTH_CLIENT_ID", "client".to_owned()),
            ("OAUTH_CLIENT_SECRET", "s3cret-of-client".to_owned()),
            ("OAUTH_REFRESH_TOKEN", "1//refresh-token".to_owned()),
            ("OAUTH_TOKEN_URL", issuer.url()),
            ("SEND_TIMEOUT", "5s".to_owned()),
        ];
        Self(values.into())
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.0.retain(|(given, _)| *given != name);
        self.0.push((name, value.to_owned()));
        self
    }

    fn without(mut self, names: &[&str]) -> Self {
        self.0.retain(|(given, _)| !names.contains(given));
        self
    }

    fn pairs(&self) -> Vec<(&str, &str)> {
        self.0.iter().map(|(name, value)| (*name, value.as_str())).collect()
    }

    fn start(&self) -> Sidecar {
        Sidecar::start(&self.pairs())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_leaves_with_a_token() {
    for (mechanism, used) in [("auto", "XOAUTH2"), ("xoauth2", "XOAUTH2"), ("oauthbearer", "OAUTHBEARER")] {
        for length in [10, 3000] {
            let token = "t".repeat(length);
            let provider = Provider::start(taking(&token));
            let issuer = Issuer::start(a_token()).await.minting(move |_| "t".repeat(length));
            let sidecar = Settings::google(&provider, &issuer).with("AUTH", mechanism).start();
            let answer = sidecar.send(&letter("to@example.org")).await;
            assert_eq!(answer.status, 200, "{mechanism}: {answer:?}");
            let login = provider.ledger.logins().remove(0);
            assert_eq!((login.mechanism.as_str(), login.accepted, login.tls), (used, true, true));
            let wanted = [
                ("client_id", "client"),
                ("client_secret", "s3cret-of-client"),
                ("grant_type", "refresh_token"),
                ("refresh_token", "1//refresh-token"),
            ];
            let form = issuer.forms().remove(0);
            assert_eq!(form, wanted.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
            assert_eq!(issuer.forms().len(), 1);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_either_mechanism_is_told_no_token() {
    let provider = Provider::start(taking("token-1").mechanisms(&["PLAIN", "LOGIN"]));
    let issuer = Issuer::start(a_token()).await;
    let answer = Settings::google(&provider, &issuer).start().send(&letter("to@example.org")).await;
    assert_eq!((answer.status, answer.text("code")), (502, "upstream_auth_failed"), "{answer:?}");
    assert!(answer.text("detail").contains("offers only PLAIN, LOGIN"), "{answer:?}");
    assert_eq!(provider.ledger.counts().auths, 0);
}

async fn send_at_once(sidecar: &Arc<Sidecar>, count: usize) -> Vec<u16> {
    let mut sends = tokio::task::JoinSet::new();
    for _ in 0..count {
        let sidecar = Arc::clone(sidecar);
        sends.spawn(async move { sidecar.send(&letter("to@example.org")).await.status });
    }
    sends.join_all().await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_sends_wait_for_one_token() {
    let provider = Provider::start(taking("token-1"));
    let issuer = Issuer::start(a_token()).await;
    issuer.delay(Duration::from_millis(300));
    let sidecar = Arc::new(Settings::google(&provider, &issuer).with("SEND_TIMEOUT", "30s").start());
    let answers = send_at_once(&sidecar, 200).await;
    assert!(answers.iter().all(|&status| status == 200), "{answers:?}");
    assert_eq!(issuer.forms().len(), 1, "one request for a token");
    assert_eq!(provider.ledger.held().len(), 200);
    assert!(provider.ledger.logins().iter().all(|login| login.accepted));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_sends_with_a_refused_token_wait_for_one_refresh() {
    let provider = Provider::start(taking("token-2"));
    let issuer = Issuer::start(a_token()).await;
    issuer.delay(Duration::from_millis(200));
    let sidecar = Arc::new(Settings::google(&provider, &issuer).with("SEND_TIMEOUT", "30s").start());
    issuer.asked(1).await;
    let answers = send_at_once(&sidecar, 200).await;
    assert!(answers.iter().all(|&status| status == 200), "{answers:?}");
    assert_eq!(issuer.forms().len(), 2, "the first token, and one in its place");
    let refused = provider.ledger.logins().iter().filter(|login| !login.accepted).count();
    assert!((1..=4).contains(&refused), "no more than are opened at once: {refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_token_is_replaced_within_the_same_attempt() {
    let reason = Action::reply(334, "eyJzdGF0dXMiOiI0MDEifQ==");
    let first_refused = [
        taking("token-2"),
        taking("token-2").on(Step::Auth, Action::reply(535, "5.7.8 Token expired").then_close()),
        taking("token-2").on(Step::Auth, reason.then_close()),
    ];
    for script in first_refused {
        let provider = Provider::start(script);
        let issuer = Issuer::start(a_token()).await;
        let sidecar = Settings::google(&provider, &issuer).start();
        let answer = sidecar.send(&letter("to@example.org")).await;
        assert_eq!((answer.status, &answer.body["attempts"]), (200, &json!(1)), "{answer:?}");
        assert_eq!((issuer.forms().len(), provider.ledger.counts().connections), (2, 2));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_refused_for_good_is_not_fetched_again_and_again() {
    let provider = Provider::start(taking("another"));
    let issuer = Issuer::start(Say::Token(json!({ "scope": "https://www.googleapis.com/auth/gmail.send" }))).await;
    let sidecar = Settings::google(&provider, &issuer).start();
    for _ in 0..5 {
        let answer = sidecar.send(&letter("to@example.org")).await;
        assert_eq!((answer.status, answer.text("code")), (502, "upstream_auth_failed"), "{answer:?}");
        let detail = answer.text("detail");
        for words in
            ["status 401", "schemes bearer", "its issuer says that it is not for SMTP", "https://mail.google.com/"]
        {
            assert!(detail.contains(words), "{words} is not in {detail}");
        }
        assert!(!detail.contains("token-"), "{detail}");
    }
    assert!(issuer.forms().len() <= 2, "{:?}", issuer.forms());
    assert!(provider.ledger.logins().len() <= 6, "one more for the first of them");
    assert_eq!(provider.ledger.counts().auths, provider.ledger.counts().auth_answers, "each reason was answered");
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_refreshed_in_time_without_any_mail() {
    let provider = Provider::start(taking("token-1"));
    let issuer = Issuer::start(Say::Token(json!({ "expires_in": 2 }))).await;
    let sidecar = Settings::google(&provider, &issuer).start();
    issuer.asked(3).await;
    let text = crate::support::sidecar::get(sidecar.admin, "/metrics").await.body;
    let text = String::from_utf8(text.to_vec()).unwrap();
    let value = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{name} is not in {text}")).parse::<f64>().unwrap()
    };
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    let last = value("sidepost_oauth_last_refresh_timestamp_seconds");
    assert!((now - 30.0..=now).contains(&last), "{last} {now}");
    let expiry = value("sidepost_oauth_token_expiry_timestamp_seconds");
    assert!(expiry > last && expiry < last + 3.0);
    assert!(value("sidepost_oauth_refresh_token_since_timestamp_seconds") > now - 60.0);
    assert_eq!(value("sidepost_oauth_failing_since_timestamp_seconds"), 0.0);
    assert!(value("sidepost_oauth_requests_total{result=\"granted\"}") >= 2.0);
    let health = crate::support::sidecar::get(sidecar.admin, "/health").await.body;
    let health: serde_json::Value = serde_json::from_slice(&health).unwrap();
    let token = &health["checks"]["token"][0];
    assert_eq!((&token["status"], &token["state"]), (&json!("pass"), &json!("ok")), "{health}");
    assert!(["expires", "lastRefresh", "refreshTokenSince"].iter().all(|name| token[name].is_string()), "{token}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_valid_token_outlives_trouble_with_the_issuer() {
    let provider = Provider::start(taking("token-1"));
    let issuer = Issuer::start(Say::error(500, "server_error", "")).await;
    issuer.next(Say::Token(json!({ "expires_in": 20 })));
    let sidecar = Settings::google(&provider, &issuer).with("CONNECTION_IDLE", "1s").start();
    assert_eq!(sidecar.send(&letter("to@example.org")).await.status, 200);
    // The refresh at three quarters of its life fails, and again.
    issuer.asked(3).await;
    assert_eq!(sidecar.send(&letter("to@example.org")).await.status, 200);
    assert!(sidecar.count("sidepost_oauth_requests_total{result=\"failed\"}").await >= 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_refresh_token_is_used_and_kept_for_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("refresh-token");
    let provider = Provider::start(taking("token"));
    let rotating = || Say::Token(json!({ "access_token": "token", "expires_in": 2, "refresh_token": "1//second" }));
    let issuer = Issuer::start(rotating()).await;
    let settings = Settings::google(&provider, &issuer).with("OAUTH_TOKEN_STORE", store.to_str().unwrap());
    let sidecar = settings.start();
    let shown: Vec<_> = issuer.asked(2).await.iter().map(|form| form["refresh_token"].clone()).collect();
    assert_eq!(shown[..2], ["1//refresh-token", "1//second"]);
    sidecar.drain().await;
    // A restart goes on with the later one ...
    let issuer = Issuer::start(Say::Token(json!({ "access_token": "token" }))).await;
    let again = settings.with("OAUTH_TOKEN_URL", &issuer.url());
    let sidecar = again.start();
    assert_eq!(sidecar.send(&letter("to@example.org")).await.status, 200);
    assert_eq!(issuer.forms()[0]["refresh_token"], "1//second");
    sidecar.drain().await;
    // ... unless somebody consented anew meanwhile.
    let sidecar = again.with("OAUTH_REFRESH_TOKEN", "1//brand-new").start();
    assert_eq!(sidecar.send(&letter("to@example.org")).await.status, 200);
    assert_eq!(issuer.forms()[1]["refresh_token"], "1//brand-new");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_cannot_be_written_or_read_stops_no_mail() {
    let folder = tempfile::tempdir().unwrap();
    let garbage = folder.path().join("garbage");
    std::fs::write(&garbage, "not ours").unwrap();
    for store in ["/proc/no/such/folder/token", folder.path().to_str().unwrap(), garbage.to_str().unwrap()] {
        let provider = Provider::start(taking("token"));
        let issuer = Issuer::start(Say::Token(json!({ "access_token": "token", "refresh_token": "1//second" }))).await;
        let sidecar = Settings::google(&provider, &issuer).with("OAUTH_TOKEN_STORE", store).start();
        assert_eq!(sidecar.send(&letter("to@example.org")).await.status, 200, "{store}");
    }
}

#[test]
fn no_secret_is_shown_by_the_settings() {
    let secrets = [
        "OAUTH_CLIENT_SECRET",
        "OAUTH_REFRESH_TOKEN",
        "OAUTH_CLIENT_CERTIFICATE",
        "OAUTH_CLIENT_KEY",
        "OAUTH_SERVICE_ACCOUNT",
    ];
    let mut settings = vec![("PROVIDER", "gmail"), ("USERNAME", "joe@example.com"), ("OAUTH_CLIENT_ID", "client")];
    settings.extend(secrets.map(|name| (name, "hunter2-hunter2")));
    for arguments in [&["config"][..], &["config", "--check"], &[]] {
        let (code, out, err) = run(arguments, &settings, "");
        assert_eq!(code, 78);
        assert!(!format!("{out}{err}").contains("hunter2"), "{out}{err}");
    }
}
