//! The exchange with an issuer: what is posted, and what the answer says (RFC 6749 section 5).

use std::time::{Duration, SystemTime};

use serde::Deserialize;
use serde_json::Value;

use super::form::{Form, Secrets};
use super::remedy::{self, Flow, Refusal};
use super::said::shown;
use super::{Kind, Trouble, Vendor};
use crate::config::secret::Secret;
use crate::net::client::{Answer, Broken, Client, Url};
use crate::outcome::Cause;

/// What a token lasts whose issuer does not say (RFC 6749 section 5.1 only recommends it).
const USUAL_LIFE: Duration = Duration::from_secs(3600);
/// Neither a life of no time nor one of years is believed.
const SHORTEST_LIFE: Duration = Duration::from_secs(2);
const LONGEST_LIFE: Duration = Duration::from_secs(86_400);
/// Microsoft's have some 2 KB.
const LONGEST_TOKEN: usize = 16 * 1024;
/// Off by this much, a clock is named as a possible cause.
pub const CLOCK_TOLERANCE: u64 = 60;

/// Whom to ask.
#[derive(Clone, Copy, Debug)]
pub struct Issuer<'a> {
    /// Where.
    pub url: &'a Url,
    /// Who that is.
    pub vendor: Vendor,
    /// For what.
    pub flow: Flow,
}

/// A token that was given.
#[derive(Debug)]
pub struct Granted {
    /// The access token.
    pub token: Secret,
    /// How long it lasts.
    pub life: Duration,
    /// A refresh token, where one came.
    pub refresh_token: Option<Secret>,
    /// How long the refresh token lasts from now on, where that was said.
    pub refresh_life: Option<Duration>,
    /// What the access token is good for, where that was said.
    pub scope: Option<String>,
}

/// What came of a request.
#[derive(Debug)]
pub struct Reply<T> {
    /// An answer, or why there is none.
    pub result: Result<T, Trouble>,
    /// By how many seconds our clock is ahead of the other side's.
    pub clock_ahead: Option<i64>,
}

/// A successful answer. The strings hold secrets, and become [`Secret`]s without a copy.
#[derive(Deserialize)]
struct Success {
    access_token: String,
    token_type: Option<String>,
    expires_in: Option<Value>,
    refresh_token: Option<String>,
    refresh_token_expires_in: Option<Value>,
    refresh_expires_in: Option<Value>,
    scope: Option<Value>,
}

/// A refusal. Nothing in it has to be there or be of the right type.
#[derive(Default, Deserialize)]
struct Error {
    error: Option<Value>,
    error_description: Option<Value>,
    error_subtype: Option<Value>,
    error_codes: Option<Value>,
}

/// Asks for a token.
pub async fn token(client: &Client, issuer: Issuer<'_>, form: Form) -> Reply<Granted> {
    post(client, issuer, form, granted).await
}

/// Posts a form, and has `read` make something of an answer that is not an error.
pub async fn post<T>(
    client: &Client,
    issuer: Issuer<'_>,
    form: Form,
    read: impl FnOnce(&Answer) -> Option<T>,
) -> Reply<T> {
    let (bytes, secrets) = form.into_parts();
    match client.post_form(issuer.url, bytes).await {
        Err(why) => Reply { result: Err(not_reached(&why, issuer)), clock_ahead: None },
        Ok(answer) => {
            let clock_ahead = answer.date().map(|theirs| ahead(SystemTime::now(), theirs));
            let success = if answer.status == 200 { read(&answer) } else { None };
            let result = success.ok_or_else(|| refusal(&answer, issuer, &secrets));
            Reply { result, clock_ahead }
        }
    }
}

/// By how many seconds one is ahead of the other.
fn ahead(ours: SystemTime, theirs: SystemTime) -> i64 {
    let seconds = |span: Duration| i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
    ours.duration_since(theirs).map_or_else(|behind| -seconds(behind.duration()), seconds)
}

fn granted(answer: &Answer) -> Option<Granted> {
    let said: Success = serde_json::from_slice(&answer.body).ok()?;
    let token = Secret::new(said.access_token.into_bytes());
    let refresh_token =
        said.refresh_token.filter(|token| !token.is_empty()).map(|token| Secret::new(token.into_bytes()));
    let bearer = said.token_type.is_none_or(|kind| kind.eq_ignore_ascii_case("bearer"));
    if !bearer || !is_token(&token) || refresh_token.as_ref().is_some_and(|token| !is_token(token)) {
        return None;
    }
    let refresh_life = said.refresh_token_expires_in.or(said.refresh_expires_in);
    Some(Granted {
        token,
        life: seconds(said.expires_in.as_ref()).unwrap_or(USUAL_LIFE).clamp(SHORTEST_LIFE, LONGEST_LIFE),
        refresh_token,
        // Zero means "no end" with some.
        refresh_life: seconds(refresh_life.as_ref()).filter(|life| !life.is_zero()),
        scope: said.scope.as_ref().map(words),
    })
}

/// Visible characters only: a control character in it would end its field in the login (RFC 6750 section 2.1).
fn is_token(token: &Secret) -> bool {
    let bytes = token.expose();
    !bytes.is_empty() && bytes.len() <= LONGEST_TOKEN && bytes.iter().all(u8::is_ascii_graphic)
}

/// A number of seconds, as a number or, as some write it, as text.
pub fn seconds(value: Option<&Value>) -> Option<Duration> {
    let value = value?;
    let number = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())?;
    Duration::try_from_secs_f64(number).ok()
}

/// A list of words, written as a text or as a list.
fn words(value: &Value) -> String {
    match value.as_array() {
        Some(list) => list.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "),
        None => value.as_str().unwrap_or_default().to_owned(),
    }
}

fn not_reached(why: &Broken, issuer: Issuer<'_>) -> Trouble {
    let cause = match why {
        Broken::Tls(_) => &remedy::TLS,
        Broken::TooLong => &remedy::NOT_THE_ISSUER,
        Broken::Name(_) | Broken::Connect(_) | Broken::Cut(_) | Broken::Timeout(..) => &remedy::NOT_REACHED,
    };
    let evidence = format!("No token from {}: {why}.", issuer.url.host());
    Trouble { kind: Kind::Unreachable, cause, evidence, retry_after: None }
}

/// What an answer without a token means.
fn refusal(answer: &Answer, issuer: Issuer<'_>, secrets: &Secrets) -> Trouble {
    let error: Error = serde_json::from_slice(&answer.body).unwrap_or_default();
    let word = error.word();
    let (kind, cause) = match (answer.status, word.as_str()) {
        (429, _) => (Kind::Busy, &remedy::THROTTLED),
        (500..=599, _) => (Kind::Busy, &remedy::BUSY),
        (_, "") => without_error(answer),
        (_, word) => {
            let text = error.text().to_lowercase();
            remedy::of(&Refusal { vendor: issuer.vendor, flow: issuer.flow, error: word, text: &text })
        }
    };
    let evidence = format!("{} gave no token: {}.", issuer.url.host(), error.told(answer, &word, secrets));
    Trouble { kind, cause, evidence, retry_after: answer.retry_after(SystemTime::now()) }
}

fn without_error(answer: &Answer) -> (Kind, &'static Cause) {
    match answer.status {
        404 | 405 | 410 if !answer.is_page() => (Kind::Refused, &remedy::WRONG_ADDRESS),
        408 | 425 => (Kind::Busy, &remedy::BUSY),
        _ => (Kind::Unreachable, &remedy::NOT_THE_ISSUER),
    }
}

impl Error {
    /// The `error`; Google's APIs put an object there, with the word in its `status`.
    fn word(&self) -> String {
        let word = match &self.error {
            Some(Value::Object(object)) => object.get("status").and_then(Value::as_str),
            Some(other) => other.as_str(),
            None => None,
        };
        let word = word.unwrap_or_default();
        let is_word = word.len() <= 60 && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        if is_word { word.to_lowercase() } else { "unreadable_error".to_owned() }
    }

    fn description(&self) -> &str {
        let inner = self.error.as_ref().and_then(|error| error.get("message"));
        self.error_description.as_ref().or(inner).and_then(Value::as_str).unwrap_or_default()
    }

    /// Everything by which a row of the table can be found.
    fn text(&self) -> String {
        let mut text = self.description().to_owned();
        let codes = self.error_codes.as_ref().and_then(Value::as_array).into_iter().flatten().take(10);
        codes.filter_map(Value::as_u64).for_each(|code| text.push_str(&format!(" aadsts{code}")));
        text.push(' ');
        text.push_str(self.error_subtype.as_ref().and_then(Value::as_str).unwrap_or_default());
        text
    }

    /// The answer in words.
    fn told(&self, answer: &Answer, word: &str, secrets: &Secrets) -> String {
        let status = answer.status;
        if word.is_empty() {
            let what = match status {
                300..=399 => "a redirect, which is not followed",
                200 => "something that is no token",
                _ => "no reason",
            };
            let page = if answer.is_page() { ", as a web page" } else { "" };
            return format!("it answered {status} with {what}{page}");
        }
        // An issuer that repeats what it was shown would put a secret into our log.
        let description = if secrets.are_in(self.description()) { String::new() } else { shown(self.description()) };
        let description = description.trim_end_matches('.');
        let colon = if description.is_empty() { "" } else { ": " };
        format!("it answered {status} {word}{colon}{description}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trouble(status: u16, body: &str) -> Trouble {
        let (_, secrets) =
            Form::default().secret("refresh_token", &Secret::new(b"1//hunter2-hunter2".to_vec())).into_parts();
        let url = Url::parse("https://issuer.test/token").unwrap();
        let issuer = Issuer { url: &url, vendor: Vendor::Google, flow: Flow::Refresh };
        refusal(&Answer::test(status, body), issuer, &secrets)
    }

    fn given(body: &str) -> Option<Granted> {
        granted(&Answer::test(200, body))
    }

    #[test]
    fn tokens_in_every_way_they_are_written() {
        let life = |body: &str| given(body).unwrap().life.as_secs();
        assert_eq!(life(r#"{"access_token":"a","expires_in":3599,"token_type":"Bearer"}"#), 3599);
        assert_eq!(life(r#"{"access_token":"a","expires_in":"3599","token_type":"bearer"}"#), 3599);
        assert_eq!(life(r#"{"access_token":"a","expires_in":3599.5}"#), 3599);
        assert_eq!(life(r#"{"access_token":"a"}"#), 3600);
        for odd in ["0", "-5", "null", "[]", "\"soon\"", "1e300", "99999999999"] {
            let life = life(&format!(r#"{{"access_token":"a","expires_in":{odd}}}"#));
            assert!((2..=86_400).contains(&life), "{odd}: {life}");
        }
        let all = r#"{"access_token":"a","refresh_token":"r","refresh_token_expires_in":604799,"scope":["x","y"],"id_token":7}"#;
        let all = given(all).unwrap();
        assert_eq!(all.refresh_token.unwrap().expose(), b"r");
        assert_eq!((all.refresh_life.unwrap().as_secs(), all.scope.as_deref()), (604_799, Some("x y")));
    }

    #[test]
    fn what_is_no_token() {
        for bad in [
            "",
            "null",
            "[]",
            r#"{"access_token":""}"#,
            r#"{"access_token":7}"#,
            r#"{"access_token":"a b"}"#,
            "{\"access_token\":\"a\\u0001auth=Bearer b\"}",
            "{\"access_token\":\"a\\r\\nMAIL\"}",
            r#"{"access_token":"a","token_type":"mac"}"#,
            r#"{"access_token":"a","refresh_token":"r\n"}"#,
        ] {
            assert!(given(bad).is_none(), "{bad}");
        }
        assert!(given(&format!(r#"{{"access_token":"{}"}}"#, "a".repeat(20_000))).is_none());
    }

    #[test]
    fn trouble_of_the_network_or_the_issuer_is_no_refusal() {
        for (status, body) in [
            (200, "<html>Welcome to the hotel</html>"),
            (302, ""),
            (307, "<html>"),
            (403, "<html>blocked"),
            (403, ""),
            (404, "<html>"),
            (407, ""),
            (408, ""),
            (429, r#"{"error":"invalid_grant"}"#),
            (500, r#"{"error":"invalid_grant"}"#),
            (503, "<html>"),
            (511, ""),
            (400, r#"{"error":"temporarily_unavailable"}"#),
            (200, "{}"),
            (200, r#"{"access_token":"a b"}"#),
        ] {
            assert_ne!(trouble(status, body).kind, Kind::Refused, "{status} {body}");
        }
        assert_eq!(trouble(404, "{}").kind, Kind::Refused);
    }

    #[test]
    fn refusals_say_what_was_said_and_no_more() {
        let said = trouble(400, r#"{"error":"invalid_grant","error_description":"Token of joe@example.com expired."}"#);
        assert_eq!(
            (said.kind, said.cause.name, said.evidence.as_str()),
            (
                Kind::Refused,
                "oauth_grant",
                "issuer.test gave no token: it answered 400 invalid_grant: Token of j***@example.com expired."
            )
        );
        let echo = trouble(400, r#"{"error":"invalid_grant","error_description":"bad token 1//hunter2-hunter2"}"#);
        assert!(!echo.evidence.contains("hunter2"), "{}", echo.evidence);
        let nested = trouble(
            403,
            r#"{"error":{"status":"PERMISSION_DENIED","message":"Gmail API has not been used in project 7"}}"#,
        );
        assert_eq!(nested.cause.name, "oauth_api_off");
        for odd in
            [r#"{"error":7}"#, r#"{"error":[]}"#, r#"{"error":"a b\nc"}"#, r#"{"error":null,"error_description":{}}"#]
        {
            assert!(!trouble(400, odd).evidence.contains('\n'));
        }
        let deep = "[".repeat(60_000);
        assert_eq!(trouble(400, &format!("{{\"error\":{deep}")).kind, Kind::Unreachable);
    }
}
