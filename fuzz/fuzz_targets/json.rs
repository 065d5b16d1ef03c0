//! The body of `POST /v1/send`, through the whole HTTP service, to the message that the provider was handed.
//!
//! Every answer is JSON and none is our own trouble. A message that was taken has the header fields that the body
//! names and no other, nobody gets it whom the body does not name, and a reader that is not ours can read it.
#![no_main]

use std::cell::LazyCell;
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use sidepost::ingress::http::router;
use sidepost::net::http::Peer;
use sidepost_fuzz::service::{HOST, runtime, service, taken};
use sidepost_fuzz::{content, message};
use tokio::runtime::Runtime;
use tower::ServiceExt as _;

/// The fields that we write ourselves.
const OURS: [&str; 12] = [
    "date",
    "from",
    "to",
    "cc",
    "reply-to",
    "subject",
    "message-id",
    "mime-version",
    "content-type",
    "content-transfer-encoding",
    "list-unsubscribe",
    "list-unsubscribe-post",
];

thread_local! {
    static RUNTIME: LazyCell<Runtime> = const { LazyCell::new(runtime) };
}

fn api() -> Router {
    static ROUTER: OnceLock<Router> = OnceLock::new();
    let make = || {
        let relay = Arc::clone(&service().relay);
        router(&service().config.http, relay, Arc::new(|_| true), HOST.to_owned())
    };
    ROUTER.get_or_init(make).clone()
}

async fn post(body: &[u8]) -> (StatusCode, Vec<u8>) {
    let request = Request::post("/v1/send")
        .header("host", "localhost")
        .header("content-type", "application/json")
        .extension(Peer([127, 0, 0, 1].into()))
        .body(Body::from(body.to_vec()))
        .expect("a request");
    let response = api().oneshot(request).await.expect("an answer");
    let status = response.status();
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    (status, body.to_vec())
}

/// How many texts stand in a value: no more than so many recipients.
fn texts(value: &Value) -> usize {
    match value {
        Value::String(_) => 1,
        Value::Array(items) => items.iter().map(texts).sum(),
        Value::Object(fields) => fields.values().map(texts).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}

fuzz_target!(|data: &[u8]| {
    let (status, answer) = RUNTIME.with(|runtime| runtime.block_on(post(data)));
    let answer: Value = serde_json::from_slice(&answer).expect("JSON");
    assert!(status == StatusCode::OK || status.is_client_error(), "{status} {answer}");
    if status != StatusCode::OK {
        return;
    }
    let given: Value = serde_json::from_slice(data).expect("JSON, as serde_json reads it");
    let message = taken(1).pop().expect("a message");
    content::assert_sound(&message.content);
    assert!(answer.to_string().contains(&message.id.to_string()));

    let bytes = message.content.to_vec();
    message::assert_composed(&bytes);
    let named: Vec<String> =
        given["headers"].as_object().into_iter().flatten().map(|(name, _)| name.to_ascii_lowercase()).collect();
    for name in message::field_names(&bytes) {
        assert!(OURS.contains(&name.as_str()) || named.contains(&name), "{name} was not asked for");
    }
    let addressed = ["to", "cc", "bcc", "envelope"].iter().map(|field| texts(&given[field])).sum::<usize>();
    assert!((1..=addressed).contains(&message.recipients.len()));
});
