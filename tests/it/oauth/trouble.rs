//! Every way in which an issuer can give no token: the class, the cause and the remedy in the answer.

use super::*;

async fn answer_to(say: Say, google: bool) -> (crate::support::sidecar::Answer, Provider) {
    let provider = Provider::start(taking("token-1"));
    let issuer = Issuer::start(say).await;
    let mut settings = Settings::google(&provider, &issuer).with("SEND_TIMEOUT", "1s").with("REPLY_TIMEOUT", "500ms");
    if !google {
        settings = settings.with("PROVIDER", "microsoft365").with("OAUTH_REFRESH_TOKEN", "0.refresh-token");
    }
    let sidecar = settings.start();
    let answer = sidecar.send(&letter("to@example.org")).await;
    (answer, provider)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_ours_to_mend_and_says_how() {
    let cases = [
        (true, "invalid_grant", "Token has been expired or revoked.", "publishing status is Testing"),
        (true, "invalid_client", "The OAuth client was not found.", "SIDEPOST_OAUTH_CLIENT_SECRET"),
        (
            false,
            "invalid_grant",
            "AADSTS700082: The refresh token has expired.\r\nTrace ID: 1",
            "SIDEPOST_OAUTH_TOKEN_STORE",
        ),
        (false, "invalid_grant", "AADSTS65001: The user or administrator has not consented", "consent"),
        (false, "invalid_client", "AADSTS7000215: Invalid client secret provided.", "not its Secret ID"),
        (false, "invalid_scope", "AADSTS70011: The provided value is not valid.", "SIDEPOST_OAUTH_SCOPE"),
    ];
    for (google, error, description, words) in cases {
        let (answer, provider) = answer_to(Say::error(400, error, description), google).await;
        assert_eq!((answer.status, answer.text("code")), (502, "upstream_auth_failed"), "{error}: {answer:?}");
        let detail = answer.text("detail");
        assert!(detail.contains(words) && detail.contains(error), "{words}: {detail}");
        assert!(!detail.contains("Trace ID") && !detail.contains("refresh-token"), "{detail}");
        assert_eq!(answer.body["retryable"], true);
        assert_eq!(provider.ledger.counts().auths, 0, "nothing is shown");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn trouble_on_the_way_to_the_issuer_is_never_a_refusal() {
    let cases = [
        ("page", Say::page(200, ""), "web page"),
        ("portal", Say::page(302, "Location: http://192.0.2.1/login\r\n"), "redirect"),
        ("blocked", Say::page(403, ""), "web page"),
        ("down", Say::error(503, "temporarily_unavailable", ""), "trouble of its own"),
        ("throttled", Say::error(429, "slow_down", ""), "fewer requests"),
        ("closed", Say::Close, "the connection broke"),
        ("silent", Say::Silence, "within"),
        ("flood", Say::Flood, "longer than 64 KiB"),
        ("nothing", Say::Answer { status: 200, head: String::new(), body: String::new() }, "no token"),
    ];
    for (name, say, words) in cases {
        let (answer, provider) = answer_to(say, true).await;
        assert_eq!(answer.status, 503, "{name}: {answer:?}");
        assert!(answer.text("detail").contains(words), "{name}: {words}: {answer:?}");
        assert_eq!(provider.ledger.counts().auths, 0, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_that_is_not_there_is_named_with_its_port() {
    let provider = Provider::start(taking("token-1"));
    let issuer = Issuer::start(a_token()).await;
    let closed = {
        let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        other.local_addr().unwrap()
    };
    let opens_tls = Provider::start(Script::new().implicit_tls(Certificate::OtherIssuer));
    let stranger = format!("https://localhost:{}/token", opens_tls.addr.port());
    for (url, words) in [
        (format!("http://{closed}/token"), "port 443"),
        ("https://no-such-issuer.invalid/token".to_owned(), "could not be looked up"),
        (stranger, "SIDEPOST_CA_FILE"),
    ] {
        let settings = Settings::google(&provider, &issuer).with("OAUTH_TOKEN_URL", &url).with("SEND_TIMEOUT", "1s");
        let answer = settings.start().send(&letter("to@example.org")).await;
        assert_eq!(answer.status, 503, "{url}: {answer:?}");
        assert!(answer.text("detail").contains(words), "{url}: {words}: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_that_the_issuer_asks_for_is_passed_on() {
    let head = "Content-Type: application/json\r\nRetry-After: 7\r\n".to_owned();
    let body = json!({ "error": "temporarily_unavailable" }).to_string();
    let (answer, _) = answer_to(Say::Answer { status: 503, head, body }, false).await;
    assert_eq!((answer.status, &answer.body["retry_after"]), (503, &json!(7)), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_leaves_again_once_the_issuer_is_back() {
    let provider = Provider::start(taking("token-3"));
    let issuer = Issuer::start(a_token()).await;
    issuer.next(Say::Close);
    issuer.next(Say::page(502, ""));
    let sidecar = Settings::google(&provider, &issuer).with("SEND_TIMEOUT", "20s").start();
    let answer = sidecar.send(&letter("to@example.org")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(issuer.forms().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_grant_is_asked_for_rarely() {
    let provider = Provider::start(taking("token-1"));
    let issuer = Issuer::start(Say::error(400, "invalid_grant", "")).await;
    let sidecar = Arc::new(Settings::google(&provider, &issuer).start());
    let answers = send_at_once(&sidecar, 100).await;
    assert!(answers.iter().all(|&status| status == 502), "{answers:?}");
    assert_eq!(issuer.forms().len(), 1);
    assert_eq!(provider.ledger.counts().auths, 0);
}

async fn health(sidecar: &Sidecar) -> serde_json::Value {
    serde_json::from_slice(&crate::support::sidecar::get(sidecar.admin, "/health").await.body).unwrap()
}

async fn health_once(sidecar: &Sidecar, is_so: impl Fn(&serde_json::Value) -> bool) -> serde_json::Value {
    let until = std::time::Instant::now() + Duration::from_secs(40);
    loop {
        let health = health(sidecar).await;
        if is_so(&health) {
            return health;
        }
        assert!(std::time::Instant::now() < until, "{health:#}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_that_is_dead_is_known_everywhere_before_any_mail() {
    let provider = Provider::start(taking("token-1"));
    let issuer = Issuer::start(Say::error(400, "invalid_grant", "Token has been expired or revoked.")).await;
    let sidecar = Settings::google(&provider, &issuer).with("PROBE_INTERVAL", "1s").start();
    let known = health_once(&sidecar, |health| health["status"] == "fail").await;
    assert_eq!((&known["stage"], &known["cause"]), (&"auth".into(), &"oauth_grant".into()), "{known:#}");
    assert_eq!(known["checks"]["token"][0]["status"], "fail", "{known:#}");
    assert_eq!(sidecar.count("sidepost_diagnosis_info{stage=\"auth\",cause=\"oauth_grant\"}").await, 1);
    assert_eq!(sidecar.count("sidepost_stage_failed{stage=\"auth\"}").await, 1);
    let answer = sidecar.send(&letter("to@example.org")).await;
    assert!(answer.text("detail").ends_with(known["remedy"].as_str().unwrap()), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_next_token_that_is_refused_is_a_warning_while_the_last_one_is_good() {
    let provider = Provider::start(taking("token-1"));
    let issuer = Issuer::start(Say::error(400, "invalid_grant", "Token has been expired or revoked.")).await;
    issuer.next(Say::Token(json!({ "expires_in": 12 })));
    let sidecar = Settings::google(&provider, &issuer).with("PROBE_INTERVAL", "1s").start();
    let warned = health_once(&sidecar, |health| health["status"] == "warn" && health["stage"] == "auth").await;
    assert_eq!((&warned["cause"], &warned["state"]), (&"oauth_grant".into(), &"degraded".into()), "{warned:#}");
    assert_eq!(warned["checks"]["auth"][0]["state"], "ok", "the login worked: {warned:#}");
    // Nobody replaced it, and its end comes by itself.
    let broken = health_once(&sidecar, |health| health["status"] == "fail").await;
    assert_eq!((&broken["stage"], &broken["cause"]), (&"auth".into(), &"oauth_grant".into()), "{broken:#}");
}
