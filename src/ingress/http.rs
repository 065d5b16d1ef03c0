//! HTTP in: what is offered where, to whom, and within which limits.
//!
//! `guard` decides who may call, `body` reads within the budget, `native` and `raw` make a submission of it, and
//! `answer` or `problem` says what became of it. `openapi.yaml` describes all of it, and is tested against it.

mod answer;
mod body;
mod diagnosis;
mod form;
mod guard;
mod json;
mod messages;
mod native;
mod place;
mod prefer;
mod problem;
mod query;
mod raw;
mod token;

use std::fmt;
use std::sync::Arc;

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Router, middleware};
use hyper::Method;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderName, HeaderValue};

use crate::delivery::budget::Hold;
use crate::message::header::Findings;
use crate::message::{Content, Envelope, Id, Ingress, Submission};
use crate::net::listen::Listen;
use crate::relay::Relay;
use crate::settings;

pub use guard::{Clients, Hosts};
pub use problem::Code;
pub use token::Tokens;

use answer::Listed;
use prefer::Handling;
use problem::Problem;

settings! {
    /// The HTTP listener's settings.
    pub struct Config {
        /// Where HTTP is served.
        http_listen: Listen = "127.0.0.1:8025,[::1]:8025",
        /// Tokens of which HTTP clients must send one, separated by commas; nobody is asked for one if unset.
        api_token: Option<Tokens> = "",
        /// Public names by which HTTP clients may call this service; IP addresses, names without a dot, and `localhost`, `.localhost`, `.internal`, `.svc` and `.svc.cluster.local` names always may.
        allowed_hosts: Option<Hosts> = "",
        /// The most HTTP connections at once.
        http_connections: usize = "1000",
    }
}

/// The description of everything here.
const DOCUMENT: &str = "/openapi.yaml";
const DOCUMENT_TEXT: &str = include_str!("../../openapi.yaml");

/// Every route: method and path, as `openapi.yaml` writes them. A GET answers HEAD too.
pub const ROUTES: &[(&str, &str)] = &[
    ("POST", "/v1/send"),
    ("POST", "/v1/send/raw"),
    ("GET", "/v1/messages"),
    ("GET", "/v1/messages/{id}"),
    ("GET", "/v1/diagnosis"),
    ("POST", "/v1/diagnosis"),
    ("GET", DOCUMENT),
];

/// What every request needs.
struct Api {
    relay: Arc<Relay>,
    tokens: Option<Tokens>,
    hosts: Hosts,
    clients: Clients,
    hostname: String,
    looked: diagnosis::Looked,
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api").finish_non_exhaustive()
    }
}

/// Everything that is served, for [`crate::net::http::serve`].
///
/// `hostname` is the right side of a Message-ID where a message has neither one nor a sender.
pub fn router(config: &Config, relay: Arc<Relay>, clients: Clients, hostname: String) -> Router {
    let api = Arc::new(Api {
        relay,
        tokens: config.api_token.clone(),
        hosts: config.allowed_hosts.clone().unwrap_or_default(),
        clients,
        hostname,
        looked: diagnosis::Looked::default(),
    });
    Router::new()
        .route("/v1/send", post(native::send))
        .route("/v1/send/raw", post(raw::send))
        .route("/v1/messages", get(messages::list))
        .route("/v1/messages/{id}", get(messages::one))
        .route("/v1/diagnosis", get(diagnosis::known).post(diagnosis::now))
        .route(DOCUMENT, get(document))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn_with_state(Arc::clone(&api), guard::check))
        .with_state(api)
}

async fn document() -> Response {
    ([(CONTENT_TYPE, HeaderValue::from_static("application/yaml"))], DOCUMENT_TEXT).into_response()
}

async fn not_found() -> Problem {
    Problem::new(Code::NotFound, "Nothing is here; GET /openapi.yaml tells what is where.").counted("malformed")
}

async fn method_not_allowed(request: Request) -> Problem {
    let methods = allowed(request.uri().path());
    let allow = HeaderValue::from_str(&methods).unwrap_or(HeaderValue::from_static("GET"));
    Problem::new(Code::MethodNotAllowed, format!("Only with {methods}.")).header(ALLOW, allow).counted("malformed")
}

/// The methods of a path, as the `Allow` header lists them.
fn allowed(path: &str) -> String {
    let fits = |template: &str| match template.split_once("{id}") {
        Some((start, _)) => path.strip_prefix(start).is_some_and(|id| !id.contains('/')),
        None => path == template,
    };
    let methods: Vec<_> = ROUTES.iter().filter(|(_, template)| fits(template)).map(|(method, _)| *method).collect();
    methods.join(", ").replace(Method::GET.as_str(), "GET, HEAD")
}

/// A message and its envelope, read from a request and free of mistakes.
struct Letter {
    envelope: Envelope,
    listed: Vec<Listed>,
    content: Content,
    message_id: String,
    findings: Findings,
    /// How many bytes of memory the content holds.
    memory: usize,
}

impl Api {
    /// Hands a letter to the relay and puts what becomes of it into words.
    fn submit(
        &self,
        letter: Letter,
        mut hold: Hold,
        preference: Option<Handling>,
    ) -> Result<impl Future<Output = Response> + use<>, Problem> {
        let Letter { envelope, listed, content, message_id, findings, memory } = letter;
        body::resize(&mut hold, memory)?;
        let submission = Submission {
            id: Id::new(),
            ingress: Ingress::Http,
            envelope,
            content,
            message_id,
            findings,
            all_or_nothing: preference == Some(Handling::Strict),
        };
        let answer = self.relay.submit(submission, hold);
        Ok(async move {
            let mut response = answer::respond(answer.await, listed);
            if let Some(preference) = preference {
                let applied = HeaderName::from_static("preference-applied");
                response.headers_mut().insert(applied, preference.applied());
            }
            response
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app;
    use crate::config::Config as Settings;
    use crate::lifecycle::Lifecycle;

    /// For tests of what happens before the relay is asked to deliver.
    pub(super) fn api() -> Api {
        let lifecycle = Lifecycle::new();
        let limits = [("SIDEPOST_MAX_MESSAGE_BYTES", "400000"), ("SIDEPOST_MAX_RECIPIENTS", "10")];
        let settings = Settings::from_variables(limits.map(|(name, value)| (name.into(), value.into()))).unwrap();
        let relay = app::relay(&settings, "localhost", &lifecycle).unwrap();
        // A lifecycle that is gone is over.
        std::mem::forget(lifecycle);
        let (tokens, hosts) = Default::default();
        Api {
            relay,
            tokens,
            hosts,
            clients: Arc::new(|_| true),
            hostname: "localhost".to_owned(),
            looked: diagnosis::Looked::default(),
        }
    }

    #[test]
    fn methods_are_told_by_path() {
        assert_eq!(allowed("/v1/send"), "POST");
        assert_eq!(allowed("/v1/messages"), "GET, HEAD");
        assert_eq!(allowed("/v1/messages/x"), "GET, HEAD");
    }
}
