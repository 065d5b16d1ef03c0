//! The service is what `openapi.yaml` says, and nothing else.
//!
//! Both ways: every answer that any case gets is documented (status, headers, media type, each member of the body),
//! and everything documented is produced by a case: statuses, codes, headers, members, examples.

// A helper that cannot go on ends its test, which is what unwrap is for; clippy only knows `#[test]` functions.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cases;
mod client;
mod document;
mod service;

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncWriteExt;

use self::cases::{Case, Twist};
use self::client::{Request, Response};
use self::document::{Document, Operation, properties_of};
use self::service::{Says, Service, Setup};

/// Documented, and not produced by a case, each with its reason.
fn is_excused(status: u16) -> bool {
    // 500 takes a defect; `net::http` tests it with one. 408 takes 20 seconds; `ingress::http::body` tests it in none.
    [500, 408].contains(&status)
}

/// Plays a case and returns its answer.
async fn play(case: &Case) -> Response {
    let mut service = Service::start(&case.setup);
    let address = service.address;
    let bytes = case.request.bytes();
    let is_head = case.request.method == "HEAD";
    match case.twist {
        Twist::None => client::send(address, &case.request).await,
        Twist::Busy => {
            let mut other = client::connect(address).await;
            let half = Request::new("POST", "/v1/send").body("application/json", "{").header("Content-Length", "1000");
            other.write_all(&half.bytes()).await.unwrap();
            settle().await;
            client::send(address, &case.request).await
        }
        Twist::Full => {
            let _other = client::connect(address).await;
            settle().await;
            client::send(address, &case.request).await
        }
        Twist::Draining => {
            let mut stream = client::connect(address).await;
            stream.write_all(&bytes[..10]).await.unwrap();
            settle().await;
            service.drain();
            settle().await;
            stream.write_all(&bytes[10..]).await.unwrap();
            client::receive(&mut stream, is_head).await
        }
        Twist::AfterSend => {
            let sent = client::send(address, &cases::simple_send()).await.json();
            let id = sent["id"].as_str().unwrap();
            let target = case.request.target.replace("{id}", id);
            client::send(address, &Request { target, ..case.request.clone() }).await
        }
    }
}

/// Long enough for the service to have seen what was sent.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(50)).await;
}

#[tokio::test]
async fn every_answer_is_documented_and_everything_documented_is_answered() {
    let document = Document::read();
    let mut seen = Seen::default();
    let mut complaints = Vec::new();
    for case in cases::all(&document) {
        let response = play(&case).await;
        complaints.extend(complain(&document, &case, &response));
        seen.note(&case, &response);
    }
    complaints.extend(seen.missing(&document));
    assert!(complaints.is_empty(), "{} complaints:\n{}", complaints.len(), complaints.join("\n"));
}

fn complain(document: &Document, case: &Case, response: &Response) -> Option<String> {
    let code = (response.status >= 400).then(|| response.json()["code"].as_str().unwrap().to_owned());
    let complaint = if (response.status, code.as_deref()) != (case.status, case.code) {
        Err(format!("expected {} {:?}", case.status, case.code))
    } else {
        match &case.operation {
            Some(operation) => document.check(operation, response),
            None => document.check_problem(&response.json(), response),
        }
    };
    let shown = String::from_utf8_lossy(&response.body);
    complaint
        .err()
        .map(|why| format!("{}: {why}\n    {} {:?}\n    {shown}", case.name, response.status, response.headers))
}

/// What the cases produced.
#[derive(Default)]
struct Seen {
    statuses: BTreeSet<(Operation, u16)>,
    codes: BTreeSet<String>,
    headers: BTreeSet<String>,
    properties: BTreeSet<String>,
}

impl Seen {
    fn note(&mut self, case: &Case, response: &Response) {
        self.statuses.extend(case.operation.clone().map(|operation| (operation, response.status)));
        self.headers.extend(response.headers.iter().map(|(name, _)| name.clone()));
        if response.media_type().is_some_and(|media_type| media_type.ends_with("json")) {
            let body = response.json();
            self.codes.extend(body["code"].as_str().map(str::to_owned));
            self.properties.extend(properties_of(&body));
        }
    }

    fn missing(&self, document: &Document) -> Vec<String> {
        let operations = document.operations().into_iter().filter(|operation| !document.is_admin(operation));
        let documented = operations.flat_map(|operation| {
            document.statuses(&operation).into_iter().map(move |status| (operation.clone(), status))
        });
        let statuses =
            documented.filter(|(_, status)| !is_excused(*status)).filter(|pair| !self.statuses.contains(pair));
        let status_of = |code: &str| document.problems()[code]["status"].as_u64().unwrap();
        let codes = document.problems().keys().filter(|code| !is_excused(status_of(code).try_into().unwrap()));
        let schemas = ["Sent", "Problem", "Captured"].map(|name| format!("#/components/schemas/{name}"));
        let properties = schemas.iter().flat_map(|schema| document.properties(&serde_json::json!({ "$ref": schema })));
        let missing = |what: &str, names: Vec<String>| -> Vec<String> {
            names.into_iter().map(|name| format!("no case produces the {what} {name}")).collect()
        };
        [
            missing("status", statuses.map(|((method, path), status)| format!("{method} {path} {status}")).collect()),
            missing("code", codes.filter(|code| !self.codes.contains(*code)).cloned().collect()),
            missing("header", document.headers().difference(&self.headers).cloned().collect()),
            missing("member", properties.filter(|name| !self.properties.contains(name)).collect()),
        ]
        .concat()
    }
}

#[test]
fn routes_and_document_are_the_same() {
    let document = Document::read();
    let documented: BTreeSet<_> =
        document.operations().into_iter().filter(|operation| !document.is_admin(operation)).collect();
    let routes = sidepost::ingress::http::ROUTES.iter();
    let routes: BTreeSet<Operation> = routes.map(|(method, path)| ((*method).into(), (*path).into())).collect();
    assert_eq!(documented, routes);
}

#[test]
fn codes_and_document_are_the_same() {
    let document = Document::read();
    let explained: BTreeSet<_> = document.problems().keys().cloned().collect();
    let codes: BTreeSet<_> = sidepost::ingress::http::Code::ALL.iter().map(|code| code.name().to_owned()).collect();
    assert_eq!(explained, codes);
}

#[tokio::test]
async fn the_document_is_served_as_it_stands() {
    let service = Service::start(&Setup { token: Some("secret"), ..Setup::default() });
    let response = client::send(service.address, &Request::new("GET", "/openapi.yaml")).await;
    assert_eq!(response.body, include_bytes!("../../openapi.yaml"));
}

#[tokio::test]
async fn every_example_request_gets_its_documented_status() {
    let document = Document::read();
    let service = Service::start(&Setup::default());
    let mut sent = 0;
    for operation in document.operations() {
        for (name, request, status) in cases::examples(&document, &operation) {
            let response = client::send(service.address, &request).await;
            assert_eq!(response.status, status, "{operation:?} {name}: {}", String::from_utf8_lossy(&response.body));
            document.check(&operation, &response).unwrap();
            sent += 1;
        }
    }
    assert!(sent >= 6, "{sent}");
}

#[test]
fn every_example_fits_its_schema() {
    let document = Document::read();
    let mut checked = 0;
    let mut check = |media: &Value| {
        for (name, example) in media["examples"].as_object().into_iter().flatten() {
            let fits = document.fits(&media["schema"], &example["value"]);
            // What is there to be refused need not fit.
            assert!(fits.is_ok() != (example["x-status"] == 422), "{name}: {fits:?}");
            checked += 1;
        }
    };
    for operation in document.operations() {
        let operation = document.operation(&operation);
        operation["requestBody"]["content"].as_object().into_iter().flatten().for_each(|(_, media)| check(media));
        for (_, response) in operation["responses"].as_object().unwrap() {
            let response = document.resolve(response);
            response["content"].as_object().into_iter().flatten().for_each(|(_, media)| check(media));
        }
    }
    assert!(checked > 10, "{checked}");
}

#[tokio::test]
async fn refusals_are_counted() {
    let service = Service::start(&Setup { token: Some("secret"), ..Setup::default() });
    client::send(service.address, &cases::simple_send()).await;
    client::send(service.address, &cases::simple_send().header("Host", "evil.example")).await;
    let authorized = Request::new("POST", "/v1/send").header("Authorization", "Bearer secret");
    client::send(service.address, &authorized.body("application/json", "{")).await;
    let text = client::send(service.admin, &Request::new("GET", "/metrics")).await;
    let text = String::from_utf8(text.body).unwrap();
    for reason in ["unauthorized", "forbidden", "malformed"] {
        let line = format!("sidepost_refusals_total{{ingress=\"http\",reason=\"{reason}\"}} 1\n");
        assert!(text.contains(&line), "{reason}\n{text}");
    }
}

#[tokio::test]
async fn the_admin_listener_is_what_the_document_says() {
    let document = Document::read();
    let documented: BTreeSet<_> =
        document.operations().into_iter().filter(|operation| document.is_admin(operation)).collect();
    let routes = sidepost::observe::admin::ROUTES.iter();
    let routes: BTreeSet<Operation> = routes.map(|(method, path)| ((*method).into(), (*path).into())).collect();
    assert_eq!(documented, routes);
    let mut service = Service::start(&Setup { says: Says::HangsUp, ..Setup::default() });
    let mut seen = BTreeSet::new();
    for is_draining in [false, true] {
        for operation in &documented {
            let response = client::send(service.admin, &Request::new("GET", &operation.1)).await;
            document.check(operation, &response).unwrap();
            seen.insert((operation.clone(), response.status));
        }
        if !is_draining {
            // Something in flight keeps it draining for a while.
            let mut stream = client::connect(service.address).await;
            stream.write_all(&cases::simple_send().bytes()[..10]).await.unwrap();
            settle().await;
            service.drain();
            settle().await;
            std::mem::forget(stream);
        }
    }
    let starting =
        |(operation, status): &(Operation, u16)| matches!(&*operation.1, "/startupz" | "/health") && *status == 503;
    let all = documented
        .iter()
        .flat_map(|operation| document.statuses(operation).into_iter().map(move |status| (operation.clone(), status)));
    // Nobody can ask before the listeners are bound, and then it has started; `observe::admin` tests that 503, and
    // `observe::health` the one that has to be asked for.
    let missing: Vec<_> = all.filter(|pair| !seen.contains(pair) && !starting(pair)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
