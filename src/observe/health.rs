//! The chain to the provider as `application/health+json` (draft-inadarei-api-health-check-06).

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use crate::diagnosis::{Diagnosis, Facts, Standing, View};
use crate::time::fractional_seconds;

/// Of the body.
pub const MEDIA_TYPE: &str = "application/health+json";

/// 200, so that a broken provider restarts nobody; a query such as `fail=503` names a status for a failure.
#[must_use]
pub fn status(view: &View, query: Option<&str>) -> StatusCode {
    let asked = query.unwrap_or_default().split('&').find_map(|pair| pair.strip_prefix("fail="));
    let code = asked.and_then(|code| code.parse().ok()).and_then(|code| StatusCode::from_u16(code).ok());
    match code {
        Some(code) if view.status == "fail" && (code.is_client_error() || code.is_server_error()) => code,
        _ => StatusCode::OK,
    }
}

/// The diagnosis in the form of the draft: the worst in `output`, every link under `checks`.
#[must_use]
pub fn body(view: &View, tokens: Option<&TokenNews>) -> Vec<u8> {
    let mut checks = Map::new();
    for stage in &view.stages {
        checks.insert(stage.stage.to_owned(), json!([check(&stage.facts, None)]));
    }
    let paths: Vec<_> = view.paths.iter().map(|path| check(&path.facts, Some(&path.path))).collect();
    checks.insert("path".to_owned(), Value::Array(paths));
    let mut status = view.status;
    if let Some(tokens) = tokens {
        let check = tokens.check();
        // Whether mail can leave is for the chain to say, which hears of a token that is missing.
        if status == "pass" && check["status"] != "pass" {
            status = "warn";
        }
        checks.insert("token".to_owned(), json!([check]));
    }
    let mut body = json!({
        "status": status,
        "version": env!("CARGO_PKG_VERSION"),
        "serviceId": "sidepost",
        "description": format!("The chain to the provider {}", view.provider),
        "state": view.state,
        "provider": view.provider,
        "path": view.path,
        "lastSuccess": view.last_success,
        "checks": checks,
    });
    if let Some(trouble) = &view.trouble {
        body["output"] = json!(output(&trouble.facts));
        body["stage"] = json!(trouble.stage);
        body["cause"] = json!(trouble.facts.cause);
        body["remedy"] = json!(trouble.facts.remedy);
    }
    let mut bytes = body.to_string().into_bytes();
    bytes.push(b'\n');
    bytes
}

/// What is known of the tokens for the login, where it is by tokens. Times are RFC 3339.
#[derive(Clone, Debug, Default)]
pub struct TokenNews {
    /// When the access token ends.
    pub expires: Option<String>,
    /// When the last one came.
    pub last_refresh: Option<String>,
    /// Since when the refresh token is known: it is at least that old.
    pub refresh_token_since: Option<String>,
    /// When the refresh token ends, where that was announced.
    pub refresh_token_expires: Option<String>,
    /// Since when none can be had.
    pub failing_since: Option<String>,
    /// Why the last request brought none: the word for the cause, and a sentence.
    pub trouble: Option<(&'static str, String)>,
    /// What will go wrong if nobody acts.
    pub warning: Option<String>,
    /// Whether there is one that is good now.
    pub is_good: bool,
    /// When the first was asked for.
    pub started: String,
}

impl TokenNews {
    /// A token that is good now makes trouble with the next one a warning.
    fn check(&self) -> Value {
        let status = match (&self.trouble, &self.warning) {
            (Some(_), _) if !self.is_good => "fail",
            (None, None) => "pass",
            _ => "warn",
        };
        let state = match (self.is_good, &self.trouble) {
            (true, _) => "ok",
            (false, Some(_)) => "failed",
            (false, None) => "unknown",
        };
        let since = self.failing_since.as_ref().or(self.last_refresh.as_ref()).unwrap_or(&self.started);
        let mut check = json!({ "status": status, "state": state, "since": since });
        let times = [
            ("expires", &self.expires),
            ("lastRefresh", &self.last_refresh),
            ("refreshTokenSince", &self.refresh_token_since),
            ("refreshTokenExpires", &self.refresh_token_expires),
            ("failingSince", &self.failing_since),
        ];
        for (name, value) in times {
            if let Some(value) = value {
                check[name] = json!(value);
            }
        }
        let cause = self.trouble.as_ref().map(|(cause, _)| *cause);
        let words = self.trouble.iter().map(|(_, sentence)| sentence).chain(&self.warning).cloned().collect::<Vec<_>>();
        if !words.is_empty() {
            check["output"] = json!(words.join(" "));
        }
        if let Some(cause) = cause {
            check["cause"] = json!(cause);
        }
        check
    }
}

/// The diagnosis as metrics: every series always there, so that an alert never waits for one to appear.
pub fn render(diagnosis: &Diagnosis, logins_rest: bool, text: &mut Vec<u8>) {
    let (view, provider) = (diagnosis.view(), diagnosis.provider());
    let mut gauge = |name: &str, help: &str, series: &mut dyn Iterator<Item = (String, f64)>| {
        text.extend_from_slice(format!("# HELP sidepost_{name} {help}\n# TYPE sidepost_{name} gauge\n").as_bytes());
        for (labels, value) in series {
            text.extend_from_slice(format!("sidepost_{name}{labels} {value}\n").as_bytes());
        }
    };
    let yes = |is: bool| if is { 1.0 } else { 0.0 };
    let states = Standing::ALL.map(Standing::label).into_iter();
    let mut states =
        states.map(|state| (format!("{{provider=\"{provider}\",state=\"{state}\"}}"), yes(state == view.state)));
    gauge("provider_state", "The chain to the provider: exactly one state is 1.", &mut states);
    let mut stages =
        view.stages.iter().map(|stage| (format!("{{stage=\"{}\"}}", stage.stage), yes(stage.facts.state == "failed")));
    gauge("stage_failed", "Whether a link of the chain is broken.", &mut stages);
    let (stage, cause) =
        view.trouble.as_ref().map_or(("none", "none"), |stage| (stage.stage, stage.facts.cause.unwrap_or("none")));
    let info = (format!("{{stage=\"{stage}\",cause=\"{cause}\"}}"), 1.0);
    gauge(
        "diagnosis_info",
        "Always 1; the labels say what is broken or in doubt, and why.",
        &mut std::iter::once(info),
    );
    let mut paths =
        view.paths.iter().map(|path| (format!("{{path=\"{}\"}}", path.path), yes(path.facts.state == "ok")));
    gauge("path_up", "Whether a path to the provider was last found to work.", &mut paths);
    let rests = (format!("{{provider=\"{provider}\"}}"), yes(logins_rest));
    gauge("circuit_open", "Whether logins rest after a refused one.", &mut std::iter::once(rests));
    let end = (String::new(), diagnosis.certificate_end().map_or(0.0, fractional_seconds));
    gauge(
        "provider_certificate_expiry_timestamp_seconds",
        "When the certificate ends that the provider last showed; 0 before the first.",
        &mut std::iter::once(end),
    );
    let since = (String::new(), diagnosis.failing_since().map_or(0.0, fractional_seconds));
    gauge(
        "failing_since_timestamp_seconds",
        "Since when a link of the chain is broken; 0 while none is.",
        &mut std::iter::once(since),
    );
}

fn check(facts: &Facts, path: Option<&str>) -> Value {
    let status = match (facts.state, facts.cause) {
        ("failed", _) => "fail",
        ("ok" | "unknown", Some(_)) => "warn",
        _ => "pass",
    };
    let mut check = json!({ "status": status, "state": facts.state, "since": facts.since });
    let optional = [
        ("componentId", path),
        ("time", facts.checked.as_deref()),
        ("lastSuccess", facts.last_success.as_deref()),
        ("cause", facts.cause),
        ("remedy", Some(facts.remedy).filter(|remedy| !remedy.is_empty())),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            check[name] = json!(value);
        }
    }
    if !facts.evidence.is_empty() {
        check["output"] = json!(output(facts));
    }
    if let Some(retryable) = facts.retryable {
        check["retryable"] = json!(retryable);
    }
    check
}

fn output(facts: &Facts) -> String {
    let parts = [facts.evidence.as_str(), facts.why];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnosis::{Source, Way};
    use crate::outcome::{Cause, Class, Failure, Reason, Step};

    const CAUSE: Cause = Cause { name: "login_refused", why: "Because.", remedy: "Mend it." };

    fn refused_login() -> Failure {
        let (class, step, reason) = (Class::Misconfigured, Step::Auth, Reason::AuthRejected);
        Failure::new(class, step, reason, &CAUSE, "It said \"535 no\".")
    }

    fn parsed(view: &View) -> Value {
        serde_json::from_slice(&body(view, None)).unwrap()
    }

    #[test]
    fn a_refused_login_is_shown_with_its_cause_and_everything_before_it_passes() {
        let way = Way { label: "smtp:587 starttls".to_owned(), tls_first: Some(false) };
        let diagnosis = Diagnosis::new("gmail", vec![way], true);
        let before = parsed(&diagnosis.view());
        assert_eq!((&before["status"], &before["state"]), (&json!("pass"), &json!("unknown")));
        let _ = diagnosis.failed(0, refused_login(), Source::Message);
        let after = parsed(&diagnosis.view());
        assert_eq!(after["status"], "fail");
        assert_eq!(after["output"], "It said \"535 no\". Because.");
        assert_eq!(after["remedy"], "Mend it.");
        assert_eq!(after["checks"]["auth"][0]["status"], "fail");
        assert_eq!(after["checks"]["auth"][0]["cause"], "login_refused");
        assert_eq!(after["checks"]["connect"][0]["state"], "ok");
        assert_eq!(after["checks"]["sender"][0]["state"], "unknown");
        assert_eq!(after["checks"]["path"][0]["componentId"], "smtp:587 starttls");
        diagnosis.taken(0);
        let mended = parsed(&diagnosis.view());
        assert_eq!((&mended["status"], &mended["output"]), (&json!("pass"), &Value::Null));
    }

    #[test]
    fn metrics_say_the_same_and_have_the_same_series_before_and_after() {
        let ways = vec![Way { label: "smtp:587 starttls".to_owned(), tls_first: Some(false) }];
        let diagnosis = Diagnosis::new("gmail", ways, true);
        let shown = |rest| {
            let mut text = Vec::new();
            render(&diagnosis, rest, &mut text);
            String::from_utf8(text).unwrap()
        };
        let before = shown(false);
        assert!(before.contains("sidepost_provider_state{provider=\"gmail\",state=\"unknown\"} 1\n"), "{before}");
        assert!(before.contains("sidepost_diagnosis_info{stage=\"none\",cause=\"none\"} 1\n"), "{before}");
        assert!(before.contains("sidepost_failing_since_timestamp_seconds 0\n"), "{before}");
        assert!(before.contains("sidepost_provider_certificate_expiry_timestamp_seconds 0\n"), "{before}");
        let _ = diagnosis.failed(0, refused_login(), Source::Message);
        let after = shown(true);
        for line in [
            "sidepost_provider_state{provider=\"gmail\",state=\"failed\"} 1",
            "sidepost_provider_state{provider=\"gmail\",state=\"unknown\"} 0",
            "sidepost_stage_failed{stage=\"auth\"} 1",
            "sidepost_stage_failed{stage=\"connect\"} 0",
            "sidepost_diagnosis_info{stage=\"auth\",cause=\"login_refused\"} 1",
            "sidepost_path_up{path=\"smtp:587 starttls\"} 1",
            "sidepost_circuit_open{provider=\"gmail\"} 1",
        ] {
            assert!(after.contains(&format!("{line}\n")), "{line}\n{after}");
        }
        assert!(!after.contains("failing_since_timestamp_seconds 0\n"));
        assert_eq!(before.lines().count(), after.lines().count());
    }

    #[test]
    fn a_code_for_failure_is_given_only_where_it_is_asked_for_and_due() {
        let diagnosis = Diagnosis::new("gmail", vec![Way { label: "x".to_owned(), tls_first: None }], true);
        let healthy = diagnosis.view();
        let _ = diagnosis.failed(0, refused_login(), Source::Message);
        let broken = diagnosis.view();
        for (view, query, code) in [
            (&healthy, Some("fail=503"), 200),
            (&broken, None, 200),
            (&broken, Some("fail=503"), 503),
            (&broken, Some("x=1&fail=500"), 500),
            (&broken, Some("fail=200"), 200),
            (&broken, Some("fail=7"), 200),
            (&broken, Some("fail="), 200),
        ] {
            assert_eq!(status(view, query).as_u16(), code, "{query:?}");
        }
    }

    #[test]
    fn trouble_with_the_next_token_is_a_warning_while_there_is_a_good_one() {
        let diagnosis = Diagnosis::new("gmail", vec![Way { label: "x".to_owned(), tls_first: None }], true);
        let shown = |news: &TokenNews| -> Value {
            let body: Value = serde_json::from_slice(&body(&diagnosis.view(), Some(news))).unwrap();
            body["checks"]["token"][0].clone()
        };
        let mut news =
            TokenNews { is_good: true, expires: Some("2026-11-22T10:00:00Z".to_owned()), ..TokenNews::default() };
        let pass = json!({ "status": "pass", "state": "ok", "since": "", "expires": "2026-11-22T10:00:00Z" });
        assert_eq!(shown(&news), pass);
        news.warning = Some("It ends in 6 days.".to_owned());
        assert_eq!(shown(&news)["status"], "warn");
        news.trouble = Some(("oauth_grant", "No token.".to_owned()));
        assert_eq!((&shown(&news)["status"], &shown(&news)["cause"]), (&json!("warn"), &json!("oauth_grant")));
        assert_eq!(shown(&news)["output"], "No token. It ends in 6 days.");
        let whole = |news| -> Value { serde_json::from_slice(&body(&diagnosis.view(), Some(news))).unwrap() };
        assert_eq!(whole(&news)["status"], "warn");
        assert_eq!(whole(&TokenNews { is_good: true, ..TokenNews::default() })["status"], "pass");
        news.is_good = false;
        assert_eq!(shown(&news)["status"], "fail");
    }
}
