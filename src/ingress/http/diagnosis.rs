//! `/v1/diagnosis`: the chain to the provider, as it is known (GET) and as it is now (POST).

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::Api;
use crate::observe::health;

/// Looking can mean a login, and providers count those: who asks sooner is told what the last look found.
const REST: Duration = Duration::from_secs(10);

/// When somebody last had the chain looked at. Held while looking, so that many who ask at once cause one look.
#[derive(Debug, Default)]
pub(super) struct Looked(Mutex<Option<Instant>>);

pub(super) async fn known(State(api): State<Arc<Api>>) -> Response {
    shown(&api)
}

pub(super) async fn now(State(api): State<Arc<Api>>) -> Response {
    let mut last = api.looked.0.lock().await;
    if last.is_none_or(|at| at.elapsed() >= REST) {
        api.relay.examine().await;
        *last = Some(Instant::now());
    }
    drop(last);
    shown(&api)
}

fn shown(api: &Api) -> Response {
    let body = health::body(&api.relay.diagnosis().view(), api.relay.token_news().as_ref());
    ([(CONTENT_TYPE, HeaderValue::from_static(health::MEDIA_TYPE))], body).into_response()
}
