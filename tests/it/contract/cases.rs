//! One request each, and the answer it must get.

use serde_json::{Value, json};

use super::client::Request;
use super::document::{Document, Operation};
use super::service::{MAX_MESSAGE_BYTES, MAX_RECIPIENTS, Says, Setup};

/// What happens around the request.
#[derive(Clone, Copy, Debug, Default)]
pub enum Twist {
    #[default]
    None,
    /// Another request is being read.
    Busy,
    /// Another connection is open.
    Full,
    /// The process begins to drain in the middle of the request.
    Draining,
    /// A message was sent before; its id takes the place of `{id}`.
    AfterSend,
}

#[derive(Clone, Debug)]
pub struct Case {
    pub name: String,
    /// None where the path or the method is not in the document.
    pub operation: Option<Operation>,
    pub setup: Setup,
    pub twist: Twist,
    pub request: Request,
    pub status: u16,
    pub code: Option<&'static str>,
}

impl Case {
    fn new(name: &str, operation: (&str, &str), request: Request, status: u16) -> Self {
        let operation = Some((operation.0.to_owned(), operation.1.to_owned()));
        let (setup, twist) = Default::default();
        Self { name: name.into(), operation, setup, twist, request, status, code: None }
    }

    fn code(self, code: &'static str) -> Self {
        Self { code: Some(code), ..self }
    }

    fn with(self, setup: Setup) -> Self {
        Self { setup, ..self }
    }

    fn twist(self, twist: Twist) -> Self {
        Self { twist, ..self }
    }
}

const SEND: (&str, &str) = ("POST", "/v1/send");
const RAW: (&str, &str) = ("POST", "/v1/send/raw");
const LIST: (&str, &str) = ("GET", "/v1/messages");
const ONE: (&str, &str) = ("GET", "/v1/messages/{id}");
const RAW_TARGET: &str = "/v1/send/raw?from=app@example.com&to=ann@example.com";

fn message() -> Value {
    json!({"from": "app@example.com", "to": ["ann@example.com"], "cc": "bea@example.com", "text": "Hello."})
}

pub fn simple_send() -> Request {
    Request::new("POST", "/v1/send").json(&message())
}

fn simple_raw() -> Request {
    Request::new("POST", RAW_TARGET).body("message/rfc822", "Subject: Hello\r\n\r\nHello.\r\n")
}

fn get(target: &str) -> Request {
    Request::new("GET", target)
}

/// A request that succeeds, for each operation.
fn plain(operation: &Operation) -> Request {
    match (operation.0.as_str(), operation.1.as_str()) {
        SEND => simple_send(),
        RAW => simple_raw(),
        (method, path) => Request::new(method, path),
    }
}

pub fn all(document: &Document) -> Vec<Case> {
    let operations: Vec<_> =
        document.operations().into_iter().filter(|operation| !document.is_admin(operation)).collect();
    let guarded = operations.iter().flat_map(guards);
    let sends = [(SEND, simple_send()), (RAW, simple_raw())];
    let sends = sends.into_iter().flat_map(|(operation, request)| outcomes(operation, &request));
    let guarded = guarded.chain(diagnosis());
    guarded.chain(sends).chain(json_bodies()).chain(raw_bodies()).chain(messages()).chain(elsewhere()).collect()
}

/// Who may call is the same for every operation.
fn guards(operation: &Operation) -> Vec<Case> {
    let (method, path) = operation;
    let case = |name: &str, request: Request, status, code| {
        Case::new(&format!("{method} {path}: {name}"), (method, path), request, status).code(code)
    };
    let plain = plain(operation);
    let foreign = Setup { admits_clients: false, ..Setup::default() };
    let guarded = Setup { token: Some("first, second"), ..Setup::default() };
    let mut cases = vec![
        case("no host", plain.clone().header("Host", ""), 400, "malformed_request"),
        case("rebound host", plain.clone().header("Host", "evil.example"), 403, "host_not_allowed"),
        case("foreign origin", plain.clone().header("Origin", "https://evil.example"), 403, "origin_not_allowed"),
        case("no origin", plain.clone().header("Origin", "null"), 403, "origin_not_allowed"),
        case("cross-site", plain.clone().header("Sec-Fetch-Site", "cross-site"), 403, "origin_not_allowed"),
        case("foreign client", plain.clone(), 403, "client_not_allowed").with(foreign),
        case("no connection free", plain.clone(), 503, "too_many_connections")
            .with(Setup { connections: 1, ..Setup::default() })
            .twist(Twist::Full),
    ];
    if path != "/openapi.yaml" {
        let wrong = plain.clone().header("Authorization", "Bearer third");
        let basic = plain.clone().header("Authorization", "Basic Zmlyc3Q6");
        cases.push(case("no token", plain, 401, "unauthorized").with(guarded.clone()));
        cases.push(case("wrong token", wrong, 401, "unauthorized").with(guarded.clone()));
        cases.push(case("no bearer", basic, 401, "unauthorized").with(guarded));
    } else {
        cases.push(Case::new("the document", (method, path), plain, 200));
    }
    cases
}

/// What can become of a message that is in order.
fn outcomes(operation: (&str, &str), request: &Request) -> Vec<Case> {
    let case = |name: &str, says, status| {
        let name = format!("{} {name}", operation.1);
        Case::new(&name, operation, request.clone(), status).with(Setup { says, ..Setup::default() })
    };
    let fails = |says, status, code| case(code, says, status).code(code);
    vec![
        case("sent", Says::Takes, 200),
        case("partial", Says::TakesForOne, 200),
        fails(Says::RefusesContent, 422, "upstream_rejected"),
        fails(Says::RefusesLogin, 502, "upstream_auth_failed"),
        fails(Says::RefusesSender, 502, "upstream_sender_refused"),
        fails(Says::LacksStartTls, 502, "upstream_tls_failed"),
        fails(Says::SpeaksHttp, 502, "upstream_misconfigured"),
        fails(Says::IsOverrun, 503, "upstream_throttled"),
        fails(Says::IsBusy, 503, "upstream_unavailable"),
        fails(Says::IsNotThere, 503, "upstream_unreachable"),
        fails(Says::HangsUp, 504, "outcome_unknown"),
        case("draining", Says::Takes, 503).code("shutting_down").twist(Twist::Draining),
        case("overloaded", Says::Takes, 429)
            .code("overloaded")
            .with(Setup { in_flight: 1, ..Setup::default() })
            .twist(Twist::Busy),
    ]
}

fn json_bodies() -> Vec<Case> {
    let case = |name: &str, body: &str, status| {
        Case::new(name, SEND, Request::new("POST", "/v1/send").body("application/json", body), status)
    };
    let with = |name: &str, more: Value, status| {
        let mut body = message();
        more.as_object().unwrap().iter().for_each(|(field, value)| body[field] = value.clone());
        case(name, &body.to_string(), status)
    };
    let invalid = |name: &str, more: Value| with(name, more, 422).code("validation_failed");
    let malformed = |name: &str, body: &str| case(name, body, 400).code("malformed_request");
    let typed = |name: &str, content_type: &str, status| {
        Case::new(name, SEND, Request::new("POST", "/v1/send").body(content_type, message().to_string()), status)
    };
    let many: Vec<_> = (0..=MAX_RECIPIENTS).map(|n| format!("a{n}@example.com")).collect();
    let flood: Vec<_> = (0..5_000).map(|n| format!("a{n}@example.com")).collect();
    let strict = simple_send().header("Prefer", "wait=5, handling=strict");
    let lenient = simple_send().header("Prefer", "handling=lenient");
    vec![
        Case::new("strict", SEND, strict, 200),
        Case::new("lenient", SEND, lenient, 200),
        case("default sender", r#"{"to":"ann@example.com","text":""}"#, 200)
            .with(Setup { from: Some("App <app@example.com>"), ..Setup::default() }),
        case("slashes escaped by PHP", r#"{"from":"a@example.com","to":"b@example.com","text":"1\/2"}"#, 200),
        with("nulls", json!({"subject": null, "bcc": null, "headers": {"X-A": null}, "unsubscribe": null}), 200),
        with("null sender", json!({"envelope": {"mail_from": "", "rcpt_to": ["ann@example.com"]}}), 200),
        typed("charset", "Application/JSON; charset=UTF-8", 200),
        typed("no JSON", "text/plain", 415).code("unsupported_media_type"),
        typed("form", "application/x-www-form-urlencoded", 415).code("unsupported_media_type"),
        typed("JSON of another kind", "application/problem+json", 415).code("unsupported_media_type"),
        typed("another charset", "application/json; charset=latin1", 415).code("unsupported_media_type"),
        Case::new("encoded", SEND, simple_send().header("Content-Encoding", "gzip"), 415)
            .code("unsupported_media_type"),
        malformed("empty", ""),
        malformed("cut", r#"{"from":"#),
        malformed("duplicate names", r#"{"to":"ann@example.com","to":"bea@example.com"}"#),
        malformed("nested", &"[".repeat(100_000)),
        with("a flood of values", json!({ "to": flood }), 400).code("malformed_request"),
        with("too many recipients", json!({ "to": many }), 422).code("too_many_recipients"),
        with("too large when composed", json!({"text": "\u{1}".repeat(MAX_MESSAGE_BYTES)}), 413)
            .code("message_too_large"),
        Case::new("announced too large", SEND, simple_send().header("Content-Length", "99999999"), 413)
            .code("message_too_large"),
        case("no object", "[]", 422).code("validation_failed"),
        case("nothing", "{}", 422).code("validation_failed"),
        invalid("unknown field", json!({"sbject": "x"})),
        invalid("unsupported field", json!({"tags": [{"name": "a", "value": "b"}]})),
        invalid("wrong type", json!({"to": [17], "subject": ["x"], "attachments": "x", "headers": []})),
        invalid("bad address", json!({"to": ["ann@example.com", "ann@"], "cc": {"name": "x"}})),
        invalid(
            "line end in a name",
            json!({"from": {"email": "a@example.com", "name": "x\r\nBcc: evil@example.com"}}),
        ),
        invalid("line end in a header", json!({"headers": {"X-A": "x\nBcc: evil@example.com"}})),
        invalid("a header with its own field", json!({"headers": {"bcc": "evil@example.com"}})),
        invalid("attachment by path", json!({"attachments": [{"path": "https://example.com/a.pdf"}]})),
        invalid("broken base64", json!({"attachments": [{"content": "a"}]})),
        invalid("bcc beside an envelope", json!({"bcc": "x@example.com", "envelope": {"rcpt_to": ["x@example.com"]}})),
        invalid("no body", json!({"text": null})),
    ]
}

fn raw_bodies() -> Vec<Case> {
    let case = |name: &str, target: &str, status| {
        Case::new(&format!("raw: {name}"), RAW, Request { target: target.into(), ..simple_raw() }, status)
    };
    let invalid = |name: &str, target: &str| case(name, target, 422).code("validation_failed");
    let large = simple_raw().body("message/rfc822", vec![b'x'; MAX_MESSAGE_BYTES + 1]);
    let strict = simple_raw().header("Prefer", "handling=strict");
    let in_headers = Request { target: "/v1/send/raw".into(), ..simple_raw() }
        .header("X-Envelope-From", "app@example.com")
        .header("X-Envelope-To", "ann@example.com, bea@example.com");
    let twice = simple_raw().header("X-Envelope-To", "bea@example.com");
    let long_header = simple_raw().body("message/rfc822", "X-Padding: x\r\n".repeat(20_000));
    let far = simple_raw().body("message/rfc822", format!("{}\r\nHello.\r\n", "Received: x\r\n".repeat(100)));
    let senders = Setup { rules: &[("ALLOWED_SENDERS", "example.org")], ..Setup::default() };
    let recipients = Setup { rules: &[("DENIED_RECIPIENTS", "ann@example.com")], ..Setup::default() };
    let staging = Setup { rules: &[("REDIRECT_TO", "staging@example.com")], ..Setup::default() };
    vec![
        Case::new("raw: long header", RAW, long_header, 413).code("header_too_large"),
        Case::new("raw: loop", RAW, far, 422).code("mail_loop"),
        Case::new("raw: sender", RAW, simple_raw(), 403).code("sender_not_allowed").with(senders.clone()),
        Case::new("raw: recipient", RAW, simple_raw(), 403).code("recipient_not_allowed").with(recipients.clone()),
        Case::new("send: sender", SEND, simple_send(), 403).code("sender_not_allowed").with(senders),
        Case::new("send: recipient", SEND, simple_send(), 403).code("recipient_not_allowed").with(recipients),
        Case::new("send: redirected", SEND, simple_send(), 200).with(staging),
        Case::new("raw: envelope in headers", RAW, in_headers, 200),
        Case::new("raw: strict", RAW, strict, 200),
        case("null sender", "/v1/send/raw?from=&to=a+b@example.com", 200),
        case("default sender", "/v1/send/raw?to=ann@example.com", 200)
            .with(Setup { from: Some("app@example.com"), ..Setup::default() }),
        invalid("no sender", "/v1/send/raw?to=ann@example.com"),
        invalid("no recipient", "/v1/send/raw?from=app@example.com"),
        invalid("bad recipient", "/v1/send/raw?from=app@example.com&to=ann"),
        invalid("unknown parameter", "/v1/send/raw?from=app@example.com&too=ann@example.com"),
        Case::new("raw: recipients twice", RAW, twice, 422).code("validation_failed"),
        Case::new("raw: empty", RAW, simple_raw().body("message/rfc822", ""), 422).code("validation_failed"),
        Case::new("raw: too large", RAW, large, 413).code("message_too_large"),
        Case::new("raw: JSON", RAW, simple_raw().body("application/json", "{}"), 415).code("unsupported_media_type"),
    ]
}

fn diagnosis() -> Vec<Case> {
    let case = |method: &str, says| {
        let setup = Setup { says, keeps_messages: false, ..Setup::default() };
        let path = "/v1/diagnosis";
        Case::new(&format!("{method} {path} {says:?}"), (method, path), Request::new(method, path), 200).with(setup)
    };
    ["GET", "POST"]
        .into_iter()
        .flat_map(|method| [case(method, Says::Takes), case(method, Says::RefusesLogin)])
        .collect()
}

fn messages() -> Vec<Case> {
    let unknown = "/v1/messages/019ab0e4-5c5b-7a52-9d05-1c2f6f0f9a11";
    let not_kept = Setup { keeps_messages: false, ..Setup::default() };
    let as_message = get("/v1/messages/{id}").header("Accept", "message/rfc822");
    let as_html = get("/v1/messages/{id}").header("Accept", "text/html");
    vec![
        Case::new("list of none", LIST, get("/v1/messages"), 200),
        Case::new("list", LIST, get("/v1/messages?limit=1"), 200).twist(Twist::AfterSend),
        Case::new("list of too many", LIST, get("/v1/messages?limit=1001"), 422).code("validation_failed"),
        Case::new("list of words", LIST, get("/v1/messages?limit=many"), 422).code("validation_failed"),
        Case::new("no list", LIST, get("/v1/messages"), 404).code("messages_not_kept").with(not_kept.clone()),
        Case::new("one", ONE, get("/v1/messages/{id}"), 200).twist(Twist::AfterSend),
        Case::new("one as it is", ONE, as_message, 200).twist(Twist::AfterSend),
        Case::new("one as HTML", ONE, as_html, 406).code("not_acceptable").twist(Twist::AfterSend),
        Case::new("one unknown", ONE, get(unknown), 404).code("message_not_found"),
        Case::new("no id", ONE, get("/v1/messages/%ff"), 404).code("message_not_found"),
        Case::new("none is kept", ONE, get(unknown), 404).code("messages_not_kept").with(not_kept),
    ]
}

/// What is not in the document.
fn elsewhere() -> Vec<Case> {
    let case = |method: &str, target: &str, status, code| {
        let case = Case::new(&format!("{method} {target}"), ("", ""), Request::new(method, target), status).code(code);
        Case { operation: None, ..case }
    };
    vec![
        case("GET", "/", 404, "not_found"),
        case("POST", "/v1/send/", 404, "not_found"),
        case("GET", "/v1/messages/a/b", 404, "not_found"),
        case("GET", "/v1/send", 405, "method_not_allowed"),
        case("DELETE", "/v1/messages/a", 405, "method_not_allowed"),
        case("OPTIONS", "/v1/send", 405, "method_not_allowed"),
        case("POST", "/openapi.yaml", 405, "method_not_allowed"),
    ]
}

/// The example requests of an operation, with their names and the status they must get.
pub fn examples(document: &Document, operation: &Operation) -> Vec<(String, Request, u16)> {
    let (method, path) = operation;
    let described = document.operation(operation);
    let parameters = described["parameters"].as_array().into_iter().flatten().map(|one| document.resolve(one));
    let mut request = Request::new(method, path);
    let mut query = Vec::new();
    for parameter in parameters.filter(|parameter| !parameter["example"].is_null()) {
        let (name, example) = (parameter["name"].as_str().unwrap(), &parameter["example"]);
        let values = example.as_array().cloned().unwrap_or_else(|| vec![example.clone()]);
        let texts = values.iter().map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        match parameter["in"].as_str().unwrap() {
            "query" => query.extend(texts.map(|text| format!("{name}={text}"))),
            "header" => request = request.header(name, &texts.collect::<String>()),
            // The id of a message is known only after it was sent.
            _ => return Vec::new(),
        }
    }
    if !query.is_empty() {
        request.target = format!("{path}?{}", query.join("&"));
    }
    let bodies = described["requestBody"]["content"].as_object().into_iter().flatten();
    let bodies = bodies.flat_map(|(media_type, media)| {
        media["examples"].as_object().unwrap().iter().map(move |(name, example)| (media_type, name, example))
    });
    let requests: Vec<_> = bodies
        .map(|(media_type, name, example)| {
            let value = &example["value"];
            let body = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let status = example["x-status"].as_u64().map_or(200, |status| status.try_into().unwrap());
            (name.clone(), request.clone().body(media_type, body), status)
        })
        .collect();
    if requests.is_empty() && !document.is_admin(operation) { vec![("plain".into(), request, 200)] } else { requests }
}
