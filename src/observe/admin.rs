//! The admin listener's routes: health and metrics, nothing that changes anything, since the kubelet and Prometheus
//! must reach it from outside the pod.

use std::sync::Arc;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::health::{self, TokenNews};
use super::metrics::{Metrics, Snapshot};
use crate::diagnosis::Diagnosis;
use crate::lifecycle::{Phase, Watch};
use crate::net::listen::Listen;
use crate::settings;

settings! {
    /// The admin listener's settings.
    pub struct Config {
        /// Where health and metrics are served: nothing else is there, and the kubelet must reach it.
        admin_listen: Listen = "*:9025",
    }
}

/// What the admin listener shows.
#[derive(Clone)]
pub struct Admin {
    /// All metrics.
    pub metrics: Arc<Metrics>,
    /// What is known of the chain to the provider.
    pub diagnosis: Arc<Diagnosis>,
    /// The life of the process.
    pub lifecycle: Watch,
    /// What is known of the tokens for the login, where it is by tokens.
    pub tokens: Arc<dyn Fn() -> Option<TokenNews> + Send + Sync>,
    /// What is in flight now, and whether there is room for more.
    pub look: Arc<dyn Fn() -> (Snapshot, Room) + Send + Sync>,
}

impl std::fmt::Debug for Admin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Admin")
    }
}

/// Whether another message would be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// Yes.
    Left,
    /// Not now.
    Full,
}

/// Every route of the admin listener, for the contract test.
pub const ROUTES: &[(&str, &str)] =
    &[("GET", "/livez"), ("GET", "/readyz"), ("GET", "/startupz"), ("GET", "/health"), ("GET", "/metrics")];

/// The routes.
pub fn router(admin: Admin) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/startupz", get(startupz))
        .route("/health", get(health))
        .route("/metrics", get(metrics))
        .fallback(|| async { (StatusCode::NOT_FOUND, "here are /livez, /readyz, /startupz, /health and /metrics\n") })
        .with_state(admin)
}

/// The process turns: that this runs is the proof.
async fn livez() -> &'static str {
    "ok\n"
}

/// Started, not draining, not full. Never the provider: a sidecar's readiness is its pod's, and a web site must not
/// leave its Service because mail is down.
async fn readyz(State(admin): State<Admin>) -> Response {
    match admin.lifecycle.phase() {
        Phase::Starting => not_yet("starting\n"),
        Phase::Draining | Phase::Ending => not_yet("draining\n"),
        Phase::Serving if (admin.look)().1 == Room::Full => not_yet("full\n"),
        Phase::Serving => "ok\n".into_response(),
    }
}

async fn startupz(State(admin): State<Admin>) -> Response {
    if admin.lifecycle.phase() == Phase::Starting { not_yet("starting\n") } else { "ok\n".into_response() }
}

fn not_yet(why: &'static str) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, why).into_response()
}

/// The whole chain. 200 whatever it says, unless a code for a failure is asked for.
async fn health(State(admin): State<Admin>, RawQuery(query): RawQuery) -> Response {
    let view = admin.diagnosis.view();
    let (status, kind) = (health::status(&view, query.as_deref()), [(header::CONTENT_TYPE, health::MEDIA_TYPE)]);
    (status, kind, health::body(&view, (admin.tokens)().as_ref())).into_response()
}

async fn metrics(State(admin): State<Admin>) -> Response {
    let text = admin.metrics.render((admin.look)().0);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

#[cfg(test)]
mod tests {
    use tower::ServiceExt as _;

    use super::*;
    use crate::lifecycle::Lifecycle;

    async fn ask(path: &str, phase: Phase, room: Room) -> u16 {
        let lifecycle = Lifecycle::new();
        lifecycle.advance(phase);
        let metrics = Arc::new(Metrics::new(&[], &["http"]).unwrap());
        let diagnosis = Arc::new(Diagnosis::new("smtp", Vec::new(), true));
        let look = Arc::new(move || (Snapshot::default(), room));
        let router =
            router(Admin { metrics, diagnosis, tokens: Arc::new(|| None), lifecycle: lifecycle.watch(), look });
        let request = axum::http::Request::get(path).body(axum::body::Body::empty()).unwrap();
        router.oneshot(request).await.unwrap().status().as_u16()
    }

    #[tokio::test]
    async fn health_by_phase_and_room() {
        use Phase::{Draining, Ending, Serving, Starting};
        for (path, phase, room, status) in [
            ("/livez", Starting, Room::Left, 200),
            ("/livez", Ending, Room::Full, 200),
            ("/startupz", Starting, Room::Left, 503),
            ("/startupz", Serving, Room::Left, 200),
            ("/readyz", Starting, Room::Left, 503),
            ("/readyz", Serving, Room::Left, 200),
            ("/readyz", Serving, Room::Full, 503),
            ("/readyz", Draining, Room::Left, 503),
            ("/health", Ending, Room::Full, 200),
            ("/metrics", Serving, Room::Left, 200),
            ("/", Serving, Room::Left, 404),
        ] {
            assert_eq!(ask(path, phase, room).await, status, "{path} {phase:?} {room:?}");
        }
    }
}
