//! The admin listener's routes: health and metrics, nothing that changes anything, since the kubelet and Prometheus
//! must reach it from outside the pod.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::time::Instant;

use super::health::{self, TokenNews};
use super::metrics::{Metrics, Snapshot};
use crate::diagnosis::{Diagnosis, Standing};
use crate::lifecycle::{Phase, Watch};
use crate::net::listen::Listen;
use crate::settings;

settings! {
    /// The admin listener's settings.
    pub struct Config {
        /// Where health and metrics are served: nothing else is there, and the kubelet must reach it.
        admin_listen: Listen = "*:9025",
        /// Whether `/readyz` says no while the provider cannot be used: then a pod leaves its Service because mail is down.
        ready_requires_provider: bool = "false",
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
    /// The settings.
    pub rules: Config,
    /// When the process began to serve.
    pub started: Instant,
    /// What is so now.
    pub look: Arc<dyn Fn() -> Look + Send + Sync>,
}

impl std::fmt::Debug for Admin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Admin")
    }
}

/// What is so at the moment of asking.
#[derive(Clone, Copy, Debug, Default)]
pub struct Look {
    /// What is in flight.
    pub snapshot: Snapshot,
    /// Whether there is no room for another message.
    pub is_full: bool,
    /// Whether the chain to the provider was looked at since the start.
    pub is_probed: bool,
}

/// A start is over when the first look at the chain is; or after so long, since the provider is not our start.
const START: Duration = Duration::from_secs(5);

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

/// Started, not draining, not full. Not the provider unless that is asked for: a sidecar's readiness is its pod's, and
/// a web site must not leave its Service because mail is down.
async fn readyz(State(admin): State<Admin>) -> Response {
    match admin.lifecycle.phase() {
        Phase::Starting => not_yet("starting\n"),
        Phase::Draining | Phase::Ending => not_yet("draining\n"),
        Phase::Serving if (admin.look)().is_full => not_yet("full\n"),
        Phase::Serving if admin.rules.ready_requires_provider && !(admin.look)().is_probed => {
            not_yet("provider: not known yet\n")
        }
        Phase::Serving if admin.rules.ready_requires_provider && admin.diagnosis.standing() == Standing::Failed => {
            not_yet("provider: cannot be used, see /health\n")
        }
        Phase::Serving => "ok\n".into_response(),
    }
}

async fn startupz(State(admin): State<Admin>) -> Response {
    let is_probed = admin.started.elapsed() >= START || (admin.look)().is_probed;
    match admin.lifecycle.phase() {
        Phase::Starting => not_yet("starting\n"),
        Phase::Serving if !is_probed => not_yet("the provider is looked at for the first time\n"),
        Phase::Serving | Phase::Draining | Phase::Ending => "ok\n".into_response(),
    }
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
    let snapshot = (admin.look)().snapshot;
    let mut text = admin.metrics.render(snapshot);
    health::render(&admin.diagnosis, snapshot.logins_rest, &mut text);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

#[cfg(test)]
mod tests {
    use tower::ServiceExt as _;

    use super::*;
    use crate::config::value::Value as _;
    use crate::diagnosis::{Stage, State};
    use crate::lifecycle::Lifecycle;

    fn admin(diagnosis: Diagnosis, lifecycle: &Lifecycle, look: Look, requires: bool) -> Router {
        let admin_listen = Listen::parse("off").unwrap();
        router(Admin {
            metrics: Arc::new(Metrics::new(&[], &["http"]).unwrap()),
            diagnosis: Arc::new(diagnosis),
            tokens: Arc::new(|| None),
            lifecycle: lifecycle.watch(),
            rules: Config { admin_listen, ready_requires_provider: requires },
            started: Instant::now(),
            look: Arc::new(move || look),
        })
    }

    async fn ask(router: &Router, path: &str) -> u16 {
        let request = axum::http::Request::get(path).body(axum::body::Body::empty()).unwrap();
        router.clone().oneshot(request).await.unwrap().status().as_u16()
    }

    fn unknown() -> Diagnosis {
        Diagnosis::new("smtp", Vec::new(), true)
    }

    #[tokio::test]
    async fn health_by_phase_and_room() {
        use Phase::{Draining, Ending, Serving, Starting};
        for (path, phase, is_full, status) in [
            ("/livez", Starting, false, 200),
            ("/livez", Ending, true, 200),
            ("/startupz", Starting, false, 503),
            ("/startupz", Serving, false, 200),
            ("/readyz", Starting, false, 503),
            ("/readyz", Serving, false, 200),
            ("/readyz", Serving, true, 503),
            ("/readyz", Draining, false, 503),
            ("/health", Ending, true, 200),
            ("/metrics", Serving, false, 200),
            ("/", Serving, false, 404),
        ] {
            let lifecycle = Lifecycle::new();
            lifecycle.advance(phase);
            let router = admin(unknown(), &lifecycle, Look { is_full, is_probed: true, ..Look::default() }, false);
            assert_eq!(ask(&router, path).await, status, "{path} {phase:?} {is_full}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_start_ends_with_the_first_look_or_after_a_while() {
        let lifecycle = Lifecycle::new();
        lifecycle.advance(Phase::Serving);
        let router = admin(unknown(), &lifecycle, Look::default(), true);
        assert_eq!((ask(&router, "/startupz").await, ask(&router, "/readyz").await), (503, 503));
        tokio::time::advance(START).await;
        assert_eq!((ask(&router, "/startupz").await, ask(&router, "/readyz").await), (200, 503));
    }

    #[tokio::test]
    async fn readiness_follows_the_provider_only_where_that_is_asked_for() {
        let lifecycle = Lifecycle::new();
        lifecycle.advance(Phase::Serving);
        for (state, requires, status) in [
            (State::Failed, false, 200),
            (State::Failed, true, 503),
            (State::Ok, true, 200),
            (State::Unknown, true, 200),
        ] {
            let diagnosis = unknown();
            diagnosis.noted(Stage::Auth, state, "It said no.", None);
            let router = admin(diagnosis, &lifecycle, Look { is_probed: true, ..Look::default() }, requires);
            assert_eq!(ask(&router, "/readyz").await, status, "{state:?} {requires}");
        }
    }
}
